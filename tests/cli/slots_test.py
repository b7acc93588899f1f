#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every way to open an identity, from the command line: slot add, remove, list; split; and the options that open with them.

Run as: slots_test.py COMMAND [unittest arguments].
"""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

COMMAND = os.environ.get("CASEVAULT_COMMAND", "casevault")
PASSPHRASE = "sáu từ đơn giản không ai đoán"
GENERATED = re.compile(r"^passphrase: ((?:[bdklmnst][aiou]){2}(?: (?:[bdklmnst][aiou]){2}){5})$", re.MULTILINE)


class Case(unittest.TestCase):
    """A folder with an identity, its state, and its passphrase file."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="casevault-slots-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.pass_file = self.write("pass", PASSPHRASE + "\n")
        self.opened = ["--passphrase-file", self.pass_file]
        self.file = self.folder / "an.identity"
        shutil.copy(self.prepared, self.file)
        self.file.chmod(0o600)

    @classmethod
    def setUpClass(cls):
        home = pathlib.Path(tempfile.mkdtemp(prefix="casevault-slots-"))
        cls.addClassCleanup(shutil.rmtree, home)
        secret = home / "pass"
        secret.write_text(PASSPHRASE + "\n")
        secret.chmod(0o600)
        cls.prepared = home / "an.identity"
        subprocess.run([COMMAND, "identity", "new", "An", "--out", cls.prepared, "--passphrase-file", secret], check=True,
                       stdout=subprocess.DEVNULL, env=cls.environment(home))

    @staticmethod
    def environment(folder, **more):
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        return {**kept, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder), **more}

    def write(self, name, content, mode=0o600):
        file = self.folder / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
        return file

    def run_command(self, *words, code=0, **more):
        done = subprocess.run([COMMAND, *map(str, words), "--no-input"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False, env=self.environment(self.folder, **more))
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}{done.stderr}")
        if code != 0:
            self.assertEqual(done.stdout, "")
        self.err = done.stderr
        return done.stdout

    def json(self, *words, **more):
        return json.loads(self.run_command(*words, "--json", **more))

    def error(self, *words, code, **more):
        self.run_command(*words, "--json", code=code, **more)
        return json.loads(self.err.splitlines()[-1])["error"]["message"]

    def add(self, *words, **more):
        return self.json("identity", "slot", "add", self.file, *words, *self.opened, **more)

    def opens(self, *words, code=0, **more):
        """Opens the identity in the way of `words`, changing nothing: the slot that is to be removed is not there."""
        message = self.error("identity", "slot", "remove", self.file, "0" * 16, *words, code=5 if code == 0 else code, **more)
        if code == 0:
            self.assertIn("no such slot", message)
        return message

    def kinds(self):
        return [slot["kind"] for slot in self.json("identity", "slot", "list", self.file)["slots"]]


class Slots(Case):
    def test_a_key_file_opens_the_identity_and_another_file_does_not(self):
        key = self.write("key", os.urandom(64))
        answer = self.add("--type", "keyfile", "--keyfile", key)
        self.assertEqual(answer["kind"], "keyfile")
        self.assertEqual(answer["name"], "An")
        self.assertTrue(answer["public"].startswith("cvp1:"))
        self.opens("--keyfile", key)
        self.opens("--keyfile", self.write("other", os.urandom(64)), code=3)
        self.opens("--keyfile", self.write("short", b"x" * 31), code=11)
        self.opens("--keyfile", self.folder / "none", code=5)
        self.assertEqual(self.kinds(), ["passphrase", "keyfile"])

    def test_a_key_file_is_made_on_request_only_and_never_over_another(self):
        key = self.folder / "made"
        self.error("identity", "slot", "add", self.file, "--type", "keyfile", "--keyfile", key, *self.opened, code=5)
        self.add("--type", "keyfile", "--keyfile", key, "--generate")
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        self.assertEqual(key.stat().st_size, 32)
        self.opens("--keyfile", key)
        self.error("identity", "slot", "add", self.file, "--type", "keyfile", "--keyfile", key, "--generate", *self.opened, code=2)
        wrong = self.write("wrong", "wrong\n")
        self.error("identity", "slot", "add", self.file, "--type", "keyfile", "--keyfile", self.folder / "never", "--generate",
                   "--passphrase-file", wrong, code=3)
        self.assertFalse((self.folder / "never").exists())

    def test_a_key_file_opens_for_the_slot_of_another_key_file(self):
        first, second = self.write("first", os.urandom(32)), self.write("second", os.urandom(32))
        self.add("--type", "keyfile", "--keyfile", first)
        self.json("--keyfile", first, "identity", "slot", "add", self.file, "--type", "keyfile", "--keyfile", second)
        self.opens("--keyfile", second)
        new = self.write("new", "một câu khác\n")
        self.json("identity", "slot", "add", self.file, "--keyfile", second, "--new-passphrase-file", new)
        self.opens("--passphrase-file", new)

    def test_a_file_that_others_can_read_is_used_with_a_warning(self):
        key = self.write("key", os.urandom(32), 0o644)
        self.add("--type", "keyfile", "--keyfile", key)
        self.assertIn("can be read by others", self.err)

    @unittest.skipUnless(shutil.which("age-keygen"), "age is not installed")
    def test_an_identity_of_age_keygen_opens_its_slot_and_the_file_is_nothing_for_age(self):
        identity = self.folder / "age.txt"
        subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
        recipient = re.search(r"age1\w+", identity.read_text())[0]
        self.add("--type", "age", "--recipient", recipient)
        self.opens("--age-identity", identity)
        other = self.folder / "other.txt"
        subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
        self.opens("--age-identity", other, code=3)
        self.opens("--age-identity", self.write("empty", "# nothing\n"), code=11)
        self.assertNotEqual(subprocess.run(["age", "-d", "-i", identity, self.file], capture_output=True, check=False).returncode, 0)
        both = self.write("both", other.read_text() + identity.read_text())
        self.opens("--age-identity", both)
        self.error("identity", "slot", "add", self.file, "--type", "age", "--recipient", "age1nonsense", *self.opened, code=11)

    def test_a_generated_passphrase_is_shown_once_and_never_on_standard_output(self):
        answer = self.add("--generate")
        made = GENERATED.search(self.err)
        self.assertIsNotNone(made, self.err)
        self.assertNotIn(made[1], json.dumps(answer))
        self.opens("--passphrase-file", self.write("made", made[1]))
        out = self.run_command("identity", "new", "Bình", "--out", self.folder / "b", "--generate")
        made = GENERATED.search(self.err)
        self.assertTrue(out.startswith("cvp1:"))
        self.assertNotIn(made[1], out)
        self.file = self.folder / "b"
        self.opens("--passphrase-file", self.write("made", made[1]))
        self.error("identity", "new", "C", "--out", self.folder / "c", "--generate", *self.opened, code=2)
        self.assertFalse((self.folder / "c").exists())

    def test_slots_are_listed_and_removed_but_for_the_last(self):
        listed = self.json("identity", "slot", "list", self.file)
        self.assertEqual(listed["name"], "An")
        first = listed["slots"][0]["id"]
        self.assertRegex(first, r"^[0-9a-f]{16}$")
        before = self.file.read_bytes()
        message = self.error("identity", "slot", "remove", self.file, first, *self.opened, code=2)
        self.assertIn("last slot", message)
        self.assertEqual(self.file.read_bytes(), before)
        key = self.write("key", os.urandom(32))
        second = self.add("--type", "keyfile", "--keyfile", key)["id"]
        self.json("identity", "slot", "remove", self.file, first, *self.opened)
        self.assertEqual([slot["id"] for slot in self.json("identity", "slot", "list", self.file)["slots"]], [second])
        # Nothing to ask for: the message says what would open it.
        self.assertIn("--keyfile", self.opens(code=2))
        self.assertIn("keyfile", self.opens(*self.opened, code=3))

    def test_a_file_put_back_to_before_a_slot_was_removed_is_refused_as_rolled_back(self):
        stolen = self.write("stolen", os.urandom(32))
        slot = self.add("--type", "keyfile", "--keyfile", stolen)["id"]
        old = self.file.read_bytes()
        self.json("identity", "slot", "remove", self.file, slot, *self.opened)
        self.file.write_bytes(old)
        for way in (["--keyfile", stolen], self.opened):
            message = self.opens(*way, code=8)
            self.assertIn(str(self.file), message)
            self.assertIn("older copy", message)
        memory = re.search(r"remove (\S+\.slots)", message)[1]
        os.unlink(memory)
        self.opens(*self.opened)

    def test_wrong_options_are_usage_errors_that_change_nothing(self):
        before = self.file.read_bytes()
        key = self.write("key", os.urandom(32))
        for words in (["--type", "keyfile"], ["--type", "age"], ["--type", "shares"], ["--recipient", "age1x"],
                      ["--type", "age", "--recipient", "age1x", "--generate"],
                      ["--type", "keyfile", "--keyfile", key, "--new-passphrase-file", key],
                      ["--generate", "--new-passphrase-file", key], [], ["--age-identity", key, "--generate"]):
            with self.subTest(words=words):
                self.error("identity", "slot", "add", self.file, *words, *self.opened, code=2)
        self.error("identity", "slot", "remove", self.file, "nonsense", *self.opened, code=5)
        self.error("identity", "slot", "list", self.folder / "none", code=5)
        self.assertEqual(self.file.read_bytes(), before)


MODULE = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")


@unittest.skipUnless(shutil.which("softhsm2-util") and MODULE.exists(), "SoftHSM 2 is not installed")
class TokenSlots(Case):
    def setUp(self):
        super().setUp()
        (self.folder / "tokens").mkdir()
        self.softhsm = {"SOFTHSM2_CONF": str(self.write("softhsm.conf", f"directories.tokendir = {self.folder}/tokens\nlog.level = ERROR\n"))}
        self.pin = self.write("pin", "123456\n")
        self.token("cv")
        self.key("cv", "aes", "0a")

    def util(self, *words):
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=self.environment(self.folder, **self.softhsm))

    def token(self, label):
        self.util("--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", "123456")

    def key(self, token, label, number):
        # Read by softhsm2-util as a word of text.
        self.util("--import", str(self.write("raw", os.urandom(16).hex())), "--aes", "--token", token, "--label", label, "--id", number,
                  "--pin", "123456")

    def add_token(self, *words, token="cv", key="aes", **more):
        return self.add("--type", "pkcs11", "--module", MODULE, "--token", token, "--key", key, "--pin-file", self.pin, *words, **self.softhsm,
                        **more)

    def by_token(self, *words, pin=None, code=0):
        return self.opens("--token-module", MODULE, "--pin-file", pin or self.pin, *words, code=code, **self.softhsm)

    def test_a_token_opens_the_identity_with_its_pin_only(self):
        answer = self.add_token()
        self.assertEqual(answer["kind"], "pkcs11")
        self.assertEqual(self.json("identity", "slot", "list", self.file)["slots"][1]["detail"], "cv/aes")
        self.by_token()
        self.by_token("--token", "cv")
        message = self.by_token(pin=self.write("wrong", "000000\n"), code=3)
        self.assertIn("wrong PIN", message)
        self.assertNotIn("000000", message)
        self.by_token()  # the wrong one cost one try, not the token
        self.assertNotIn(b"123456", self.file.read_bytes())
        self.by_token("--token", "other", code=3)

    def test_a_key_replaced_a_token_taken_away_and_another_token_open_nothing(self):
        self.add_token()
        self.token("second")
        self.key("second", "aes", "0a")
        self.by_token("--token", "second", code=3)
        self.by_token()
        away = self.folder / "away"
        (self.folder / "tokens").rename(away)
        (self.folder / "tokens").mkdir()
        self.assertIn("not there", self.by_token(code=5))
        # A token of the same label with a key of the same name: another serial.
        self.token("cv")
        self.key("cv", "aes", "0a")
        self.by_token(code=5)

    def test_a_slot_opens_although_the_key_of_another_slot_on_the_token_is_gone(self):
        self.key("cv", "gone", "0b")
        self.add_token(key="gone")
        kept = {file: file.read_bytes() for file in self.folder.glob("tokens/*/*.object")}
        self.key("cv", "also gone", "0c")
        self.add_token(key="also gone")
        self.add_token()
        for file in self.folder.glob("tokens/*/*.object"):
            if file not in kept:
                file.unlink()
        self.by_token()

    def test_what_is_no_module_no_token_or_no_key_is_named(self):
        before = self.file.read_bytes()
        self.error("identity", "slot", "add", self.file, "--type", "pkcs11", "--module", self.folder / "none.so", "--token", "cv", "--key",
                   "aes", "--pin-file", self.pin, *self.opened, code=5)
        self.error("identity", "slot", "add", self.file, "--type", "pkcs11", "--module", self.pin, "--token", "cv", "--key", "aes",
                   "--pin-file", self.pin, *self.opened, code=11)
        for token, key in (("none", "aes"), ("cv", "none")):
            self.error("identity", "slot", "add", self.file, "--type", "pkcs11", "--module", MODULE, "--token", token, "--key", key,
                       "--pin-file", self.pin, *self.opened, code=5, **self.softhsm)
        self.error("identity", "slot", "add", self.file, "--type", "pkcs11", "--module", MODULE, "--token", "cv", *self.opened, code=2)
        self.opens("--token-module", MODULE, code=2, **self.softhsm)  # no PIN, and nobody to ask
        self.opens("--pin-file", self.pin, code=2)
        self.assertEqual(self.file.read_bytes(), before)


class SharesOfAQuorum(Case):
    def split(self, quorum, name="shares", *words):
        answer = self.json("identity", "split", self.file, "--quorum", quorum, "--out-dir", self.folder / name, *(words or self.opened))
        self.assertEqual(answer["quorum"], quorum)
        return sorted((self.folder / name).iterdir())

    @staticmethod
    def of(*files):
        return [word for file in files for word in ("--share", file)]

    def test_any_quorum_opens_and_anything_else_has_its_own_error(self):
        files = self.split("2/3")
        self.assertEqual(len(files), 3)
        for file in files:
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
            self.assertRegex(file.read_text(), r"\Acvs1[02-9ac-hj-np-z]+\n\Z")
        self.assertEqual(stat.S_IMODE(files[0].parent.stat().st_mode), 0o700)
        self.assertEqual(self.json("identity", "slot", "list", self.file)["slots"][1]["detail"], "2 of 3")
        self.opens(*self.of(files[0], files[2]))
        self.opens(*self.of(files[1], files[2]))
        self.opens(*self.of(*files))
        self.assertIn("1 of the 2 shares", self.opens(*self.of(files[1]), code=7))
        self.assertIn("twice", self.opens(*self.of(files[1], files[1]), code=2))
        text = files[0].read_text()
        typo = self.write("typo", text[:40] + ("q" if text[40] != "q" else "p") + text[41:])
        self.assertIn(str(typo), self.opens(*self.of(typo, files[1]), code=11))
        self.opens(*self.of(self.write("no-share", "hello\n"), files[1]), code=11)
        self.opens(*self.of(files[0], files[1]), *self.opened, code=2)

    def test_a_new_quorum_takes_the_place_of_the_old_and_may_be_made_by_it(self):
        old = self.split("2/3")
        new = self.split("3/4", "new", *self.of(old[0], old[1]))
        self.assertEqual(self.kinds(), ["passphrase", "shares"])
        self.opens(*self.of(new[3], new[0], new[2]))
        self.assertIn("replaced", self.opens(*self.of(old[0], old[1]), code=3))
        self.assertIn("two sets", self.opens(*self.of(new[0], new[1], old[2]), code=11))

    def test_shares_of_another_identity_are_refused(self):
        mine = self.split("2/2")
        self.file = self.folder / "b.identity"
        self.run_command("identity", "new", "An", "--out", self.file, *self.opened)
        theirs = self.split("2/2", "theirs")
        self.assertIn("not made for this identity", self.opens(*self.of(theirs[0], mine[1]), code=3))

    def test_a_folder_that_exists_or_an_impossible_quorum_changes_nothing(self):
        before = self.file.read_bytes()
        (self.folder / "there").mkdir()
        for quorum, name in (("2/3", "there"), ("1/3", "x"), ("3/2", "x"), ("2/33", "x"), ("2", "x"), ("a/b", "x"), ("/", "x"),
                             ("2/99999999999", "x"), ("0/0", "x"), ("-2/3", "x")):
            with self.subTest(quorum=quorum):
                self.error("identity", "split", self.file, f"--quorum={quorum}", "--out-dir", self.folder / name, *self.opened, code=2)
        self.error("identity", "split", self.file, "--quorum", "2/3", "--out-dir", self.folder / "no" / "x", *self.opened, code=2)
        self.assertFalse((self.folder / "x").exists())
        self.assertEqual(list((self.folder / "there").iterdir()), [])
        self.assertEqual(self.file.read_bytes(), before)


class EveryCommand(Case):
    def test_a_vault_opens_in_each_way_its_owner_has(self):
        vault = self.folder / "vault"
        self.json("init", vault, "--name", "An", *self.opened)
        self.file = vault / "identities" / "An.identity"
        key = self.write("key", os.urandom(32))
        self.add("--type", "keyfile", "--keyfile", key)
        self.json("identity", "split", self.file, "--quorum", "2/2", "--out-dir", self.folder / "shares", *self.opened)
        shares = [word for file in sorted((self.folder / "shares").iterdir()) for word in ("--share", file)]
        for way in (self.opened, ["--keyfile", key], shares):
            self.assertEqual(self.json("status", "--vault", vault, *way)["log_size"], self.json("--vault", vault, *way, "status")["log_size"])

    def test_the_passphrase_of_the_service_manager_is_used_when_nothing_else_was_given(self):
        self.write("casevault-passphrase", PASSPHRASE + "\n", 0o400)
        self.opens(CREDENTIALS_DIRECTORY=str(self.folder))
        self.opens("--passphrase-file", self.write("wrong", "wrong\n"), code=3, CREDENTIALS_DIRECTORY=str(self.folder))
        self.opens(code=2, CREDENTIALS_DIRECTORY=str(self.folder / "none"))
        # It opens; it does not become the passphrase of a new slot.
        self.error("identity", "slot", "add", self.file, code=2, CREDENTIALS_DIRECTORY=str(self.folder))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        COMMAND = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
