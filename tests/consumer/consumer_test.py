# SPDX-License-Identifier: Apache-2.0
"""casevault as others use it: an installed package, shared and static, pkg-config, and a subdirectory."""

import os
import shlex
import shutil
import subprocess
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ["CASEVAULT_BUILD_DIR"])
CXX = os.environ["CASEVAULT_CXX"]
CMAKE = os.environ["CASEVAULT_CMAKE"]
WORK = BUILD / "consumer"  # kept: the second run only rebuilds what changed


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode:
        raise AssertionError(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(project, folder, *options):
    """Builds one of the projects here and returns what its program prints."""
    run(CMAKE, "-S", HERE / project, "-B", folder, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={CXX}", *options)
    run(CMAKE, "--build", folder)
    return run(folder / "consumer")


def install(tree, prefix):
    shutil.rmtree(prefix, ignore_errors=True)
    run(CMAKE, "--install", tree, "--prefix", prefix)


class Consumer(unittest.TestCase):
    def check_package(self, prefix, *pkg_config_options):
        folder = WORK / f"{prefix.name}_project"
        shutil.rmtree(folder, ignore_errors=True)
        self.assertEqual(build("find_package", folder, f"-DCMAKE_PREFIX_PATH={prefix}"), "casevault works\n")

        [description] = prefix.rglob("casevault.pc")
        flags = run("pkg-config", *pkg_config_options, "--cflags", "--libs", "casevault",
                    PKG_CONFIG_PATH=str(description.parent)).split()
        program = WORK / f"{prefix.name}_pkg_config"
        run(CXX, "-std=c++20", HERE / "main.cpp", "-o", program, *flags)
        self.assertEqual(run(program, LD_LIBRARY_PATH=str(description.parents[1])), "casevault works\n")

    def test_the_shared_package_is_usable_and_complete(self):
        prefix = WORK / "shared"
        install(BUILD, prefix)
        self.check_package(prefix)
        if (BUILD / "bin/casevault").exists():  # finds the library it was installed with
            run(prefix / "bin/casevault", "version", LD_LIBRARY_PATH="")

    def test_as_a_subdirectory_and_as_the_static_package(self):
        tree = WORK / "subdirectory"
        output = build("subdirectory", tree, "-DBUILD_SHARED_LIBS=OFF", "-DCASEVAULT_INSTALL=ON")
        self.assertEqual(output, "casevault works\n")
        prefix = WORK / "static"
        install(tree, prefix)
        self.check_package(prefix, "--static")


if __name__ == "__main__":
    unittest.main()
