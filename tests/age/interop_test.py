# SPDX-License-Identifier: Apache-2.0
"""Files of ours are opened by the `age` program and the other way round. First argument: the tool built beside this."""

import os
import pty
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = ""
FORMS = {"binary": [], "armor": ["--armor"]}
CASES = [(size, form) for size in (0, 1, 64, 65535, 65536, 65537, 131072, 300001) for form in FORMS]
CASES.append((257 * 65536 + 1, "binary"))  # the counter of chunks has more than one byte
PASSPHRASE = "correct horse battery staple"


def run(command, data=b"", expect=0):
    done = subprocess.run([str(word) for word in command], input=data, capture_output=True, timeout=120)
    if done.returncode != expect:
        raise AssertionError(f"{command[0]}: exit {done.returncode}, expected {expect}: {done.stderr.decode()}")
    return done.stdout


def with_terminal(command, answer):
    """Runs a command that asks for a passphrase at its terminal, as often as it asks."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], [str(word) for word in command])
    said = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # EIO: the other side is gone
            block = b""
        if not block:
            break
        said += block
        if block.rstrip().endswith(b":"):
            os.write(terminal, answer.encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    if os.waitstatus_to_exitcode(status) != 0:
        raise AssertionError(f"{command[0]}: {said.decode(errors='replace')}")


class Interop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.theirs = self.folder / "theirs"
        run(["age-keygen", "-o", self.theirs])
        self.ours = self.folder / "ours"
        self.ours.write_bytes(run([TOOL, "keygen"]))
        self.recipients = [run([TOOL, "public", file]).decode().strip() for file in (self.theirs, self.ours)]

    def test_age_keygen_derives_the_same_recipient_from_keys_of_both(self):
        for file, recipient in zip((self.theirs, self.ours), self.recipients):
            self.assertEqual(run(["age-keygen", "-y", file]).decode().strip(), recipient)

    def test_age_opens_what_we_seal_with_keys_of_both(self):
        for size, form in CASES:
            with self.subTest(size=size, form=form):
                data = random.Random(size).randbytes(size)
                sealed = run([TOOL, "seal", "-", form, *self.recipients], data)
                for file in (self.theirs, self.ours):
                    self.assertEqual(run(["age", "--decrypt", "-i", file], sealed), data)

    def test_we_open_what_age_seals_with_keys_of_both(self):
        names = [word for recipient in self.recipients for word in ("-r", recipient)]
        for size, form in CASES:
            with self.subTest(size=size, form=form):
                data = random.Random(size).randbytes(size)
                sealed = run(["age", "--encrypt", *FORMS[form], *names], data)
                for file in (self.theirs, self.ours):
                    self.assertEqual(run([TOOL, "open", file], sealed), data)

    def test_a_key_that_is_no_recipient_opens_neither(self):
        sealed = run(["age", "--encrypt", "-r", self.recipients[0]], b"x")
        run([TOOL, "open", self.ours], sealed, expect=3)
        run(["age", "--decrypt", "-i", self.ours], run([TOOL, "seal", "-", "binary", self.recipients[0]], b"x"), expect=1)

    def test_both_open_by_passphrase_what_the_other_sealed(self):
        data = random.Random(1).randbytes(70000)
        plain, sealed, back = (self.folder / name for name in ("plain", "sealed", "back"))
        plain.write_bytes(data)
        for form, options in FORMS.items():
            with self.subTest(form=form):
                with_terminal(["age", "--encrypt", "--passphrase", *options, "-o", sealed, plain], PASSPHRASE)
                self.assertEqual(run([TOOL, "open-passphrase", PASSPHRASE], sealed.read_bytes()), data)
                run([TOOL, "open-passphrase", PASSPHRASE + "r"], sealed.read_bytes(), expect=3)
                sealed.write_bytes(run([TOOL, "seal-passphrase", PASSPHRASE, form], data))
                with_terminal(["age", "--decrypt", "-o", back, sealed], PASSPHRASE)
                self.assertEqual(back.read_bytes(), data)


if __name__ == "__main__":
    if not (shutil.which("age") and shutil.which("age-keygen")):
        print("skipped: no age (Debian package `age`)")
        sys.exit(0)
    TOOL = sys.argv.pop(1)
    unittest.main()
