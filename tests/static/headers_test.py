# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, twice in a row, strictly, and needs no include folder but include/."""

import os
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

from tree import ROOT, files

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", str(ROOT / "include")]


def complaints(include, language, standard):
    line = f"#include <{include}>\n"
    command = [os.environ.get("CASEVAULT_CXX", "c++"), *STRICT, f"-std={standard}", "-x", language, "-"]
    done = subprocess.run(command, input=line * 2, text=True, capture_output=True, check=False)
    return done.stderr or (f"exit {done.returncode}" if done.returncode else "")


class Headers(unittest.TestCase):
    def test_each_public_header_compiles_alone(self):
        headers = [path.relative_to(ROOT / "include").as_posix() for path in files(under="include")]
        self.assertTrue(headers)
        jobs = [(header, "c++", "c++20") for header in headers]
        jobs += [(header, "c", "c11") for header in headers if header.endswith(".h")]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for job, text in zip(jobs, pool.map(lambda job: complaints(*job), jobs)):
                with self.subTest(header=job[0], language=job[1]):
                    self.assertEqual(text, "")

    def test_a_header_that_does_not_exist_is_noticed(self):
        self.assertNotEqual(complaints("casevault/no_such_header.hpp", "c++", "c++20"), "")


if __name__ == "__main__":
    unittest.main()
