#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The runbook src/keys/CEREMONY.md is carried out as it stands, at a terminal, in one shell.

Run as: ceremony_test.py COMMAND [unittest arguments].
"""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

COMMAND = os.environ.get("CASEVAULT_COMMAND", "casevault")
KEYS = pathlib.Path(__file__).resolve().parent.parent.parent / "src" / "keys"
MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
PASSPHRASE = "một câu không ai đoán ra"
PIN = "123456"
PROMPTS = (b"assphrase for ", b"same again: ", b"PIN ")


def blocks(file):
    return re.findall(r"^```sh\n(.*?)^```$", file.read_text(encoding="utf-8"), re.M | re.S)


class Terminal:
    """A bash at a terminal of its own that stops at the first command that fails."""

    def __init__(self, folder, environment):
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve("/bin/bash", ["bash", "--noprofile", "--norc", str(folder / "script.sh")], environment)
        self.shown = b""

    def read(self, until):
        """Reads on until something new has come, or the end; False at the end."""
        while time.monotonic() < until:
            if not select.select([self.screen], [], [], 1)[0]:
                continue
            try:
                part = os.read(self.screen, 65536)
            except OSError:
                return False
            self.shown += part
            return bool(part)
        raise AssertionError("the ceremony hangs:\n" + self.shown.decode(errors="replace")[-2000:])

    def run(self, seconds):
        until = time.monotonic() + seconds
        answered = 0
        while self.read(until):
            line = self.shown[answered:].splitlines()[-1] if self.shown[answered:].splitlines() else b""
            if self.shown.endswith(b": ") and any(prompt in line for prompt in PROMPTS):
                os.write(self.screen, (PIN if b"PIN " in line else PASSPHRASE).encode() + b"\n")
                answered = len(self.shown)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.screen)
        return code, self.shown.decode(errors="replace")


class Ceremony(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="casevault-ceremony-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "casevault").symlink_to(pathlib.Path(COMMAND).resolve())
        (self.folder / "home").mkdir(mode=0o700)
        kept = {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        self.environment = {**kept, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.folder / "home"), "LC_ALL": "C.UTF-8",
                            "MODULE": str(MODULE), "TOKEN": "steward-card", "SOFTHSM2_CONF": str(self.folder / "softhsm.conf")}

    def token(self):
        (self.folder / "tokens").mkdir()
        (self.folder / "softhsm.conf").write_text(f"directories.tokendir = {self.folder}/tokens\nlog.level = ERROR\n")
        (self.folder / "raw").write_text(os.urandom(16).hex())
        util = ["softhsm2-util"]
        subprocess.run([*util, "--init-token", "--free", "--label", "steward-card", "--so-pin", "87654321", "--pin", PIN], check=True,
                       capture_output=True, env=self.environment)
        subprocess.run([*util, "--import", str(self.folder / "raw"), "--aes", "--token", "steward-card", "--label", "steward", "--id", "01",
                        "--pin", PIN], check=True, capture_output=True, env=self.environment)

    @unittest.skipUnless(shutil.which("softhsm2-util") and MODULE.exists(), "SoftHSM 2 is not installed")
    def test_every_command_as_written(self):
        self.token()
        script = "set -e\numask 077\n"
        commands = 0
        for block in blocks(KEYS / "CEREMONY.md"):
            commands += block.count("casevault ")
            script += block
        self.assertGreater(commands, 50)
        script += ("\necho THE-END\n"
                   "! casevault status --identity hoa.identity --no-input --passphrase-file pass\n"
                   "! casevault status --identity minh.identity --no-input --passphrase-file pass\n"
                   "! casevault status --identity owner.identity --share shares/share-01-of-05.txt --share shares/share-02-of-05.txt"
                   " --share shares/share-03-of-05.txt --no-input\n"
                   "casevault key list --identity minh-2.identity --passphrase-file pass --json > keys.json\n"
                   "echo THE-VERY-END\n")
        (self.folder / "script.sh").write_text(script)
        (self.folder / "pass").write_text(PASSPHRASE + "\n")
        (self.folder / "pass").chmod(0o600)
        code, shown = Terminal(self.folder, self.environment).run(240)
        self.assertIn("THE-VERY-END", shown, shown[-3000:])
        self.assertEqual(code, 0, shown[-3000:])
        self.assertNotIn(PASSPHRASE, shown)
        self.assertIn('"state":"destroyed"', (self.folder / "keys.json").read_text().replace(" ", ""))
        leaver = shown.split("THE-END")[1]
        self.assertIn("revoked", leaver)

    def test_both_languages_have_the_same_commands(self):
        english = blocks(KEYS / "CEREMONY.md")
        self.assertEqual(english, blocks(KEYS / "CEREMONY.vi.md"))
        self.assertGreater(len(english), 10)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        COMMAND = sys.argv.pop(1)
    unittest.main()
