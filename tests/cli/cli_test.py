#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command's contract: every command, exit code and JSON key, and what must not happen on the way to an error.

Run as: cli_test.py COMMAND [unittest arguments]. A passphrase costs about half a second, so a vault is prepared once and copied,
together with the anchors that belong to it.
"""
import csv
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import time
import unittest

COMMAND = os.environ.get("CASEVAULT_COMMAND", "casevault")
TESTS = pathlib.Path(__file__).resolve().parent.parent
SMALL = TESTS.parent / "examples" / "data" / "registry_vn_small.csv"
LARGE = TESTS / "data" / "registry_vn.csv"
PASSPHRASE = "sáu từ đơn giản không ai đoán"
EXCHANGE = ["--purpose", "interagency_exchange", "--basis", "state_agency_duty", "--to", "Công an tỉnh"]
STATISTICS = ["--purpose", "statistics", "--basis", "state_agency_duty", "--to", "Cục Thống kê"]
RIGHTS = ["--purpose", "subject_rights", "--basis", "subject_request", "--to", "Chủ thể dữ liệu"]
SECRET = "Bí-Mật-Giá-Trị"  # a value; must never be seen in a message

HOME = None  # pathlib.Path of this run's files
BASE = None  # the prepared vault


def environment(state, **more):
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    return {**kept, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(state), "HOME": str(HOME), **more}


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])

    @property
    def error(self):
        """The error object, which stands alone on the last line of standard error."""
        return json.loads(self.err.splitlines()[-1])["error"]


class Box:
    """A folder with a vault, its anchors, and the passphrase file of everybody."""

    def __init__(self, name, source=None):
        self.folder = HOME / name
        if source is not None:
            stray = set(os.listdir(source.folder)) - source.kept
            shutil.copytree(source.folder, self.folder, ignore=lambda at, _: stray if pathlib.Path(at) == source.folder else [])
            self.kept = source.kept
        else:
            self.folder.mkdir(mode=0o700)
            self.write("pass", PASSPHRASE + "\n")
        self.vault = self.folder / "vault"
        self.state = self.folder / "state"

    def path(self, name):
        return self.folder / name

    def write(self, name, text, mode=0o600):
        file = self.folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return file

    def arguments(self, words, vault=True, secret=True, as_json=True):
        line = ["--no-input"]
        if vault:
            line += ["--vault", str(self.vault)]
        if secret:
            line += ["--passphrase-file", str(self.path("pass"))]
        if as_json:
            line.append("--json")
        words = list(map(str, words))
        return [COMMAND, *line, *words] if "--" in words else [COMMAND, *words, *line]

    def run(self, *words, code=0, vault=True, secret=True, as_json=True, **options):
        options.setdefault("env", environment(self.state))
        done = subprocess.run(self.arguments(words, vault, secret, as_json), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, check=False, **options)
        answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
        what = f"{words[:4]}: exit {answer.code}, not {code}\n{answer.out[:1000]}{answer.err}"
        assert answer.code == code, what
        assert SECRET not in answer.err, "a value stands in a message: " + what
        if code not in (0, 8, 10):
            assert answer.out == "" and answer.err, what
            if as_json:
                error = answer.error
                assert error["exit"] == code and error["message"] and error["code"], what
                assert not any(line.startswith("casevault: " + error["message"]) for line in answer.err.splitlines()), what
        return answer

    def json(self, *words, **options):
        return self.run(*words, **options).json

    def ids(self):
        return self.path("ids").read_text().split()

    def log(self, *words):
        return [json.loads(line) for line in self.run("audit", "log", *words).out.splitlines()]


def values_of(box, ids, fields, *how, **options):
    answer = box.json("disclose", *ids, "--fields", ",".join(fields), *(how or RIGHTS), **options)
    assert [d["id"] for d in answer["disclosures"]] == list(ids)
    return [d["values"] for d in answer["disclosures"]]


def registry(file):
    with open(file, encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def setUpModule():
    global HOME, BASE
    HOME = pathlib.Path(tempfile.mkdtemp(prefix="casevault-cli-"))
    HOME.chmod(0o700)
    BASE = box = Box("base")
    made = box.run("init", box.vault, vault=False)
    box.write("init.json", made.out)
    box.write("log.key", made.json["log_key"] + "\n")
    box.json("import", "person", SMALL, "--ids-out", box.path("ids"))
    for name, role, grants in (("officer", "officer", "identity,contact,statistics"), ("analyst", "analyst", "statistics")):
        box.write(name + ".pub", box.run("identity", "new", name, "--out", box.path(name + ".identity"), vault=False,
                                         as_json=name == "officer").out)
        box.json("principal", "add", name, "--public", box.path(name + ".pub"), "--role", role, "--grant", grants, "--invitation",
                 box.path(name + ".invitation"))
        box.json("vault", "accept", box.path(name + ".invitation"), "--identity", box.path(name + ".identity"), vault=False)
    box.kept = set(os.listdir(box.folder))


def tearDownModule():
    shutil.rmtree(HOME, ignore_errors=True)


class CommandTest(unittest.TestCase):
    def box(self):
        return Box(self._testMethodName, BASE)


class Usage(CommandTest):
    """Nothing here opens a vault."""

    def test_unknown_words_are_usage(self):
        for words in (["frob"], ["audit", "frob"], ["audit"], [], ["status", "--frob"], ["disclose", "--consent", "X"], ["stat"],
                      ["completion", "bash"], ["list"], ["list", "person", "more"], ["key", "rotate", "identity"], ["--share", "x", "status"],
                      ["status", "--progress", "loud"], ["status", "--as", "a", "--as", "b"]):
            self.assertEqual(BASE.run(*words, code=2, vault=False).error["code"], "usage", words)

    def test_help_is_there_for_everything(self):
        commands = ("init|status|schema show|schema check|add|update|list|history|import|disclose|audit verify|audit log|audit prove|"
                    "audit checkpoint|receipt verify|principal add|principal list|vault accept|grant add|identity new|identity show|"
                    "key list|report table|report indicators|report ledger|report budget|export|version|help").split("|")
        for command in commands:
            shown = BASE.run(*command.split(), "--help", vault=False, secret=False, as_json=False)
            self.assertIn("Usage: casevault " + command, shown.out)
            self.assertEqual(BASE.run("help", *command.split(), vault=False, as_json=False).out, shown.out)
        self.assertIn("Exit codes", BASE.run("help", vault=False, as_json=False).out)
        self.assertIn("Exit codes", BASE.json("help", vault=False)["help"])
        BASE.run("help", "frob", code=2, vault=False)

    def test_version(self):
        version = BASE.json("version", vault=False)
        self.assertRegex(version["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(version["format"], 1)

    def test_required_options(self):
        given = dict(zip(RIGHTS[::2], RIGHTS[1::2]))
        for missing in given:
            rest = [word for pair in given.items() if pair[0] != missing for word in pair]
            for extra in ([], [missing, ""]):
                answer = BASE.run("disclose", BASE.ids()[0], "--fields", "full_name", *rest, *extra, code=2)
                self.assertIn(missing, answer.error["message"])
        for fields in ("", "a,", ",a", "a,,b"):
            BASE.run("disclose", BASE.ids()[0], "--fields", fields, *RIGHTS, code=2)
        BASE.run("audit", "prove", "0", code=2)
        BASE.run("receipt", "verify", BASE.path("pass"), code=2, vault=False)
        BASE.run("principal", "add", "x", "--role", "officer", code=2)

    def test_numbers_are_decimal(self):
        for number in ("-1", "0x1", "1e3", "1 ", "", "99999999999999999999"):
            BASE.run("audit", "log", f"--from={number}", code=2)
            BASE.run("audit", "prove", f"--out={BASE.path('never')}", "--", number, code=2)
        BASE.run("list", "person", "--limit", "0", code=2)
        BASE.run("update", BASE.ids()[0], "sex=male", "--expect-version", "0", code=2)

    def test_no_vault(self):
        BASE.run("status", code=2, vault=False)
        BASE.run("status", "--vault", BASE.path("nowhere"), code=5, vault=False)
        BASE.run("status", code=5, vault=False, env=environment(BASE.state, CASEVAULT_VAULT=str(BASE.path("nowhere"))))

    def test_values_are_not_echoed(self):
        for words in (["add", "person", SECRET], ["add", "person", "=" + SECRET], ["update", BASE.ids()[0], "a b " + SECRET],
                      ["list", "person", SECRET], ["add", "person", "--" + "x=" + SECRET], ["add", "person", "a=1", "a=" + SECRET],
                      ["add", "person"]):
            BASE.run(*words, code=2)

    def test_outputs_are_never_overwritten(self):
        there = BASE.path("pass")
        first = BASE.ids()[0]
        for words in (["init", BASE.vault], ["init", there], ["init", BASE.path("new"), "--identity-out", there],
                      ["import", "person", SMALL, "--rejects", there], ["import", "person", SMALL, "--ids-out", there],
                      ["disclose", first, "--fields", "sex", *RIGHTS, "--receipt", there],
                      ["disclose", first, "--fields", "sex", *RIGHTS, "--out", there],
                      ["disclose", first, "--fields", "sex", *RIGHTS, "--out", BASE.path("x"), "--receipt", BASE.path("x")],
                      ["audit", "prove", "0", "--out", there], ["audit", "checkpoint", "--out", there],
                      ["identity", "new", "x", "--out", there], ["identity", "new", "x", "--out", BASE.path("no/folder")],
                      ["principal", "add", "x", "--public", BASE.path("officer.pub"), "--role", "officer", "--invitation", there]):
            before = time.monotonic()
            BASE.run(*words, code=2)
            self.assertLess(time.monotonic() - before, 0.3, "refused only after the work: " + str(words))
        self.assertEqual(there.read_text(), PASSPHRASE + "\n")
        dangling = BASE.path("dangling")
        dangling.symlink_to(BASE.path("target"))
        BASE.run("audit", "prove", "0", "--out", dangling, code=2)
        self.assertFalse(BASE.path("target").exists())

    def test_closed_and_full_standard_output(self):
        def closed():
            os.close(1)
        done = subprocess.run([COMMAND, "version"], preexec_fn=closed, stderr=subprocess.PIPE, env=environment(BASE.state), check=False)
        self.assertEqual(done.returncode, 9)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([COMMAND, "version"], stdout=full, stderr=subprocess.PIPE, env=environment(BASE.state), check=False)
        self.assertEqual(done.returncode, 9)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([COMMAND, "help"], stdout=write, stderr=subprocess.PIPE, env=environment(BASE.state), check=False)
        os.close(write)
        self.assertEqual(done.returncode, 9)
        self.assertIn(b"casevault: ", done.stderr)

    def test_schema_check(self):
        good = TESTS.parent / "src" / "model" / "schemas" / "vn-victim-support.toml"
        answer = BASE.json("schema", "check", good, vault=False)
        self.assertEqual((answer["ok"], answer["name"], answer["types"]), (True, "vn-victim-support", ["person"]))
        BASE.run("schema", "check", BASE.write("bad.toml", "name = \n"), code=11, vault=False)
        BASE.run("schema", "check", BASE.path("none.toml"), code=5, vault=False)


class Vault(CommandTest):
    def test_init_answers_and_modes(self):
        box = Box(self._testMethodName)
        answer = box.json("init", box.vault, "--name", "Chị Hà", "--identity-out", box.path("ha.identity"), vault=False)
        self.assertLessEqual({"vault", "id", "owner", "log_key", "schema"}, set(answer))
        self.assertEqual((answer["vault"], answer["owner"], answer["schema"]), (str(box.vault), "Chị Hà", "vn-victim-support"))
        self.assertRegex(answer["id"], "^[0-9a-f]{64}$")
        self.assertEqual(stat.S_IMODE(box.vault.stat().st_mode), 0o700)
        for file in [box.path("ha.identity"), *box.vault.rglob("*")]:
            self.assertEqual(stat.S_IMODE(file.stat().st_mode) & 0o77, 0, file)
        box.run("status", code=2)  # no identity in the vault
        status = box.json("status", "--identity", box.path("ha.identity"))
        self.assertEqual((status["id"], status["principal"], status["role"]), (answer["id"], "Chị Hà", "owner"))

    def test_suites(self):
        for suite in (2, 3):
            box = Box(f"{self._testMethodName}{suite}")
            box.json("init", box.vault, "--suite", suite, vault=False)
            self.assertEqual(box.json("status")["suite"], suite)
            id_ = box.json("add", "person", "full_name=Lò Thị Én", "sex=female", "narrative=" + "dài " * 900)["id"]
            self.assertEqual(values_of(box, [id_], ["full_name", "sex", "narrative"]),
                             [{"full_name": "Lò Thị Én", "sex": "female", "narrative": "dài " * 900}])
            self.assertTrue(box.json("audit", "verify")["ok"])
        self.assertEqual(BASE.json("status")["suite"], 1)
        box.run("init", box.folder / "other", "--suite", "4", code=2, vault=False)

    def test_init_refuses(self):
        box = Box(self._testMethodName)
        box.run("init", box.vault, "--schema", "nonsense", code=5, vault=False)
        box.run("init", box.vault, "--schema", box.write("bad.toml", "x"), code=11, vault=False)
        box.run("init", box.vault, "--schema", box.path("none.toml"), code=5, vault=False)
        self.assertFalse(box.vault.exists())

    def test_init_for_people_names_the_log_key(self):
        box = Box(self._testMethodName)
        shown = box.run("init", box.vault, vault=False, as_json=False)
        self.assertRegex(shown.out, r"(?m)^log key: +\S+\+\S+\+\S+$")
        box.write("shown", shown.out)
        box.json("audit", "prove", "0", "--out", box.path("receipt"))
        box.json("receipt", "verify", box.path("receipt"), "--log-key", box.path("shown"), vault=False, secret=False)

    def test_status(self):
        status = BASE.json("status")
        self.assertLessEqual({"id", "records", "log_size", "root", "epochs", "erasure_level", "warnings", "schema", "principal", "role"},
                             set(status))
        self.assertEqual(status["records"], {"person": 50})
        self.assertRegex(status["root"], "^[0-9a-f]{64}$")
        self.assertEqual(status["epochs"]["identity"], 1)
        self.assertTrue(any("identit" in warning for warning in status["warnings"]))
        self.assertEqual(BASE.json("status"), status)  # appends nothing
        self.assertIn(status["id"], BASE.run("status", as_json=False).out)

    def test_doctor(self):
        box = self.box()
        before = {file: file.read_bytes() for file in box.vault.rglob("*") if file.is_file() and file.name != "lock.mdb"}
        for words in (["doctor"], ["doctor", "--deep"]):
            report = box.json(*words)
            self.assertTrue(report["ok"])
            self.assertEqual((report["records"], report["entries"]), (50, box.json("status")["log_size"]))
            self.assertLessEqual({f["severity"] for f in report["findings"]}, {"info"})
        self.assertGreater(report["cells"], 50)
        self.assertRegex(box.run("doctor", as_json=False).out, r"(?m)^ok: ")
        self.assertEqual({file: file.read_bytes() for file in before}, before)
        box.run("doctor", "--passphrase-file", box.write("wrong", "wrong\n"), secret=False, code=3)

        root = box.vault / "erasure.root"
        flip(root, 60)
        report = box.run("doctor", code=10).json
        self.assertEqual([(f["severity"], f["where"]) for f in report["findings"] if f["severity"] != "info"],
                         [("warning", "erasure.root at byte 0")])
        self.assertFalse(report["ok"])
        flip(root, 60)
        segment = box.vault / "log" / "00000000.log"
        flip(segment, 4000)
        report = box.run("doctor", code=8).json
        self.assertFalse(report["ok"])
        worst = next(f for f in report["findings"] if f["severity"] == "error")
        self.assertTrue(worst["where"].startswith("log") and worst["what"] and worst["remedy"], worst)
        self.assertIn("error: log", box.run("doctor", as_json=False, code=8).out)

    def test_key_list_and_schema_show(self):
        keys = {key["compartment"]: key for key in BASE.json("key", "list")}
        self.assertEqual((keys["identity"]["epoch"], keys["identity"]["state"]), (1, "current"))
        self.assertGreaterEqual(keys["statistics"]["cells"], 50)
        box = Box(self._testMethodName)
        box.write("schema.toml", BASE.run("schema", "show", as_json=False).out)
        self.assertEqual(box.json("schema", "check", box.path("schema.toml"), vault=False)["name"], "vn-victim-support")

    def test_copied_and_moved(self):
        box = self.box()
        box.vault.rename(box.path("moved"))
        moved = box.json("status", "--vault", box.path("moved"), vault=False)
        self.assertEqual(moved["records"]["person"], 50)
        trailing = box.json("status", vault=False, env=environment(box.state, CASEVAULT_VAULT=str(box.path("moved")) + "/"))
        self.assertEqual(trailing["root"], moved["root"])

    def test_looser_modes_are_refused(self):
        for file, mode in (("", 0o755), ("data.mdb", 0o640), ("erasure.root", 0o604), ("identities/owner.identity", 0o644)):
            with self.subTest(file=file):
                box = Box("modes" + str(mode), BASE)
                (box.vault / file).chmod(mode)
                error = box.run("add", "person", "full_name=X", code=9).error
                self.assertEqual(error["code"], "unsafe_permissions")

    def test_a_link_in_place_of_a_file_is_refused(self):
        box = self.box()
        (box.vault / "data.mdb").rename(box.path("elsewhere.mdb"))
        (box.vault / "data.mdb").symlink_to(box.path("elsewhere.mdb"))
        box.run("status", code=9)

    def test_read_only_folder(self):
        box = self.box()
        if os.geteuid() != 0:
            box.vault.chmod(0o500)
            for file in box.vault.rglob("*"):
                file.chmod(0o500 if file.is_dir() else 0o400)
            mounted = False
        else:
            mounted = subprocess.run(["mount", "--bind", str(box.vault), str(box.vault)], stderr=subprocess.DEVNULL, check=False).returncode == 0
            if not mounted:
                self.skipTest("root without the right to mount: nothing is read-only for it")
            self.addCleanup(subprocess.run, ["umount", str(box.vault)], check=False)
            subprocess.run(["mount", "-o", "remount,bind,ro", str(box.vault)], check=True)
        box.run("add", "person", "full_name=X", code=9)
        box.run("disclose", box.ids()[0], "--fields", "full_name", *RIGHTS, code=9)  # no entry, no values


class Secrets(CommandTest):
    def test_wrong_passphrase(self):
        wrong = BASE.write("wrong", "không phải\n")
        self.assertEqual(BASE.run("status", "--passphrase-file", wrong, code=3, secret=False).error["code"], "wrong_key")

    def test_never_asks_with_no_input(self):
        for words in (["status"], ["init", BASE.path("new")], ["identity", "new", "x", "--out", BASE.path("x.identity")]):
            self.assertIn("--passphrase-file", BASE.run(*words, code=2, secret=False).error["message"])
        self.assertFalse(BASE.path("new").exists())

    def test_passphrase_files(self):
        warned = BASE.run("status", "--passphrase-file", BASE.write("open", PASSPHRASE + "\r\nmore\n", mode=0o644), secret=False)
        self.assertIn("warning", warned.err)
        self.assertIn(str(BASE.path("open")), warned.err)
        BASE.run("status", "--passphrase-file", BASE.write("empty", "\n" + PASSPHRASE), code=2, secret=False)
        BASE.run("status", "--passphrase-file", BASE.write("long", "x" * 5000), code=2, secret=False)
        BASE.run("status", "--passphrase-file", BASE.path("nowhere"), code=5, secret=False)
        BASE.run("status", "--passphrase-fd", "0", code=2)  # and a file: contradiction

    def test_passphrase_descriptor(self):
        read, write = os.pipe()
        os.write(write, (PASSPHRASE + "\nrest").encode())
        os.close(write)
        BASE.run("status", "--passphrase-fd", read, secret=False, pass_fds=[read])
        self.assertEqual(os.read(read, 100), b"rest")  # nothing beyond the line was taken
        os.close(read)
        for number in ("1", "2", "77", "-1", "x"):
            BASE.run("status", f"--passphrase-fd={number}", code=2, secret=False)

    def at_terminal(self, words, replies):
        """Runs at a terminal of its own; `replies` answer the prompts, None interrupts. Code, screen, echo before and after."""
        pid, screen = pty.fork()
        if pid == 0:
            os.execve(COMMAND, [COMMAND, *map(str, words)], environment(BASE.state))
        shown = b""
        silent = []
        end = time.monotonic() + 60
        for reply in [*replies, b""]:
            while time.monotonic() < end:
                try:
                    part = os.read(screen, 4096)
                except OSError:
                    part = b""
                shown += part
                if not part or (reply != b"" and shown.endswith(b": ")):
                    break
            if reply == b"":
                break
            silent.append(not termios.tcgetattr(screen)[3] & termios.ECHO)
            os.write(screen, b"\x03" if reply is None else reply.encode() + b"\n")
            shown += b"|"
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(screen)
        return code, shown.decode(), silent

    def test_prompt_without_echo(self):
        code, shown, silent = self.at_terminal(["status", "--vault", BASE.vault, "--json"], [PASSPHRASE])
        self.assertEqual((code, silent), (0, [True]), shown)
        self.assertNotIn(PASSPHRASE, shown)
        self.assertIn("owner.identity", shown)

    def test_new_passphrases_are_asked_twice(self):
        new = BASE.path("typed.identity")
        code, shown, silent = self.at_terminal(["identity", "new", "typed", "--out", new], ["one", "two"])
        self.assertEqual((code, silent), (2, [True, True]), shown)
        self.assertFalse(new.exists())
        code, shown, silent = self.at_terminal(["identity", "new", "typed", "--out", new], ["same", "same"])
        self.assertEqual((code, silent), (0, [True, True]), shown)
        self.assertEqual(BASE.json("identity", "show", new, vault=False)["name"], "typed")

    def test_interrupt_at_the_prompt(self):
        code, shown, _ = self.at_terminal(["status", "--vault", BASE.vault], [None])
        self.assertEqual(code, 130, shown)

    def test_identity_choice(self):
        box = self.box()
        shutil.copy2(box.path("officer.identity"), box.vault / "identities" / "officer.identity")
        several = box.run("status", code=2).error["message"]
        self.assertIn("officer", several)
        self.assertIn("owner", several)
        self.assertEqual(box.json("status", "--as", "officer")["principal"], "officer")
        self.assertIn("owner", box.run("status", "--as", "nobody", code=5).error["message"])
        box.run("status", "--as", "../identities/owner", code=5)
        box.run("status", "--as", "owner", "--identity", box.path("officer.identity"), code=2)


class Records(CommandTest):
    def test_add_update_list_history(self):
        box = self.box()
        added = box.json("add", "person", "full_name=Nguyễn Thị Mới", "dob=1997-02", "sex=female", "narrative=")
        self.assertEqual((set(added), added["version"]), ({"id", "version", "entry"}, 1))
        changed = box.json("update", added["id"], "dob=1998", "sex=", "--expect-version", "1")
        self.assertEqual((changed["id"], changed["version"]), (added["id"], 2))
        self.assertGreater(changed["entry"], added["entry"])
        self.assertEqual(box.run("update", added["id"], "dob=1999", "--expect-version", "1", code=6).error["code"], "conflict")
        self.assertEqual(values_of(box, [added["id"]], ["full_name", "dob", "sex", "narrative"]),
                         [{"full_name": "Nguyễn Thị Mới", "dob": "1998", "sex": None, "narrative": None}])
        history = box.json("history", added["id"])
        self.assertEqual(history["id"], added["id"])
        self.assertEqual([(v["version"], v["entry"], v["action"], v["actor"]) for v in history["versions"]],
                         [(1, added["entry"], "add", "owner"), (2, changed["entry"], "update", "owner")])
        self.assertRegex(history["versions"][0]["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_list_pages(self):
        whole = BASE.json("list", "person")
        self.assertEqual(([r["id"] for r in whole["records"]], whole["next"]), (BASE.ids(), None))
        self.assertEqual(set(whole["records"][0]), {"id", "type", "version", "created", "updated", "unit"})
        page = BASE.json("list", "person", "--limit", "20")
        self.assertEqual(([r["id"] for r in page["records"]], page["next"]), (BASE.ids()[:20], BASE.ids()[19]))
        rest = BASE.json("list", "person", "--limit", "30", "--after", page["next"])
        self.assertEqual(([r["id"] for r in rest["records"]], rest["next"]), (BASE.ids()[20:], None))
        BASE.run("list", "nonsense", code=5)

    def test_add_from_json(self):
        box = self.box()
        file = box.write("in.json", '{"full_name": "H\\u1ea1nh\\n\\"x\\"",\n "dob": 1990, "aliases": null}')
        added = box.json("add", "person", "sex=male", "--from", file)
        self.assertEqual(values_of(box, [added["id"]], ["full_name", "dob", "aliases", "sex"]),
                         [{"full_name": 'Hạnh\n"x"', "dob": "1990", "aliases": None, "sex": "male"}])
        for text in ('[]', '{"full_name": {}}', '{"full_name": "' + SECRET, ""):
            box.run("add", "person", "--from", box.write("bad.json", text), code=11)
        box.run("add", "person", "full_name=x", "--from", file, code=2)
        box.run("add", "person", "--from", box.path("none.json"), code=5)

    def test_bad_values_write_nothing(self):
        before = BASE.json("status")
        for field in ("nonsense=" + SECRET, "sex=" + SECRET, "dob=1990-02-30", "dob=" + SECRET, "intake_date=90-1-1",
                      "exploitation_type=" + SECRET + ";Other", "full_name=\udcff"):
            error = BASE.run("add", "person", "full_name=X" if "full_name" not in field else "sex=male", field, code=11).error
            self.assertEqual(error["code"], "bad_input")
            self.assertIn(field.split("=")[0], error["message"])
        BASE.run("add", "person", "sex=male", code=11)  # a required field is missing
        BASE.run("add", "nonsense", "full_name=X", code=5)
        BASE.run("update", BASE.ids()[0], "sex=" + SECRET, code=11)
        self.assertEqual(BASE.json("status"), before)

    def test_unknown_and_mistyped_ids(self):
        first = BASE.ids()[0]
        mistyped = first[:10] + ("A" if first[10] != "A" else "B") + first[11:]
        for bad in (mistyped, "nonsense", "", "0" * 26, first + "0"):
            for words in (["history", "--", bad], ["update", "sex=male", "--", bad], ["disclose", "--fields", "sex", *RIGHTS, "--", bad]):
                if words[0] == "update":
                    words = ["update", "--", bad, "sex=male"]
                BASE.run(*words, code=5)


class Import(CommandTest):
    def bad(self, name, text, row, column, *more, box=None):
        box = box or BASE
        answer = box.run("import", "person", box.write(name, text), *more, code=11)
        where = answer.error["message"] + json.dumps(answer.error.get("problems", []), ensure_ascii=False)
        if "problems" in answer.error:
            self.assertIn((row, column), [(p["row"], p["column"]) for p in answer.error["problems"]], where)
        else:
            self.assertIn(f"row {row}" if row else "header row", where)
            self.assertIn(column, where)
        return answer

    def test_malformed_files_write_nothing(self):
        before = BASE.json("status")
        head = b"full_name,sex,dob\n"
        self.bad("a.csv", head + b'A,male,1990\n"B' + SECRET.encode(), 2, "full_name")
        self.bad("b.csv", head + b'A,ma"le,1990\n', 1, "sex")
        self.bad("c.csv", head + b"A,male,1990\nB,\xff\n", 2, "sex")
        self.bad("d.csv", head + b"A,male,19\x0090\n", 1, "dob")
        self.bad("e.csv", head + b"A,male\nB,male,1990,7\n", 2, "")
        self.bad("f.csv", head + b"A,male,1990-13-01\nB," + SECRET.encode() + b",1990\n", 2, "sex")
        self.bad("g.csv", b"full_name,nonsense,more\nA,B,C\nA,B,C\n", 0, "nonsense")
        self.bad("h.csv", b"full_name,full_name\nA,B\n", 0, "full_name")
        self.bad("i.csv", b"", 0, "")
        self.bad("j.jsonl", b'{"full_name":"A"}\n{"full_name":[]}\n', 2, "")
        self.bad("k.jsonl", b'{"full_name":"A"}\n{"full_name":"\xff"}\n', 2, "")
        repeated = self.bad("l.jsonl", b'{"full_name":"A","x":"1"}\n{"full_name":"B","x":"2"}\n', 1, "x")
        self.assertEqual(len(repeated.error["problems"]), 1)
        self.assertEqual(BASE.json("status"), before)

    def test_a_file_without_its_header_is_not_repeated(self):
        for file in (BASE.write("nohead.csv", f"{SECRET},1990\nB,1991\n"), BASE.write("nohead.jsonl", json.dumps({SECRET: "x"}) + "\n")):
            error = BASE.run("import", "person", file, code=11).error  # run() refuses messages with SECRET in them
            self.assertIn("#1", [p["column"] for p in error["problems"]])

    def test_maps(self):
        box = self.box()
        file = box.write("in.csv", "Họ tên,x,dob\nNguyễn A,1,1990\n")
        for text in ("[columns", "columns = 3", "[columns]\nx = 1\n", "[other]\n"):
            box.run("import", "person", file, "--map", box.write("map.toml", text), code=11)
        box.run("import", "person", file, "--map", box.path("none.toml"), code=5)
        done = box.json("import", "person", file, "--map", box.write("map.toml", '[columns]\n"Họ tên" = "full_name"\nx = ""\n'),
                        "--ids-out", box.path("new"))
        self.assertEqual((done["imported"], done["rejected"], done["ids_file"]), (1, 0, str(box.path("new"))))
        self.assertEqual(values_of(box, box.path("new").read_text().split(), ["full_name", "dob"]), [{"full_name": "Nguyễn A", "dob": "1990"}])

    def test_other_files(self):
        BASE.run("import", "person", BASE.write("in.txt", "full_name\nA\n"), code=2)
        BASE.run("import", "person", BASE.path("none.csv"), code=5)
        BASE.run("import", "nonsense", SMALL, code=5)
        os.mkfifo(BASE.path("pipe.csv"))
        BASE.run("import", "person", BASE.path("pipe.csv"), code=2)

    def test_dry_run(self):
        before = BASE.json("status")
        done = BASE.json("import", "person", SMALL, "--dry-run", "--ids-out", BASE.path("never"))
        self.assertEqual((done["rejected"], done["entry"], done["ids_file"]), (0, None, None))
        self.assertFalse(BASE.path("never").exists())
        self.assertEqual(BASE.json("status"), before)

    def test_rejects(self):
        box = self.box()
        csv_text = 'full_name,sex\r\nA,male\r\n"B ""b""\r\n",wrong\r\nC\r\nD,female'
        done = box.json("import", "person", box.write("in.csv", csv_text), "--rejects", box.path("bad.csv"), "--ids-out", box.path("new"))
        self.assertEqual((done["imported"], done["rejected"]), (2, 2))
        self.assertEqual(box.path("bad.csv").read_bytes(), b'full_name,sex\r\n"B ""b""\r\n",wrong\r\nC\r\n')
        self.assertEqual(stat.S_IMODE(box.path("bad.csv").stat().st_mode), 0o600)
        self.assertEqual(values_of(box, box.path("new").read_text().split(), ["full_name"]), [{"full_name": "A"}, {"full_name": "D"}])
        again = box.run("import", "person", box.path("bad.csv"), code=11)
        self.assertEqual([p["row"] for p in again.error["problems"]], [1, 2])
        lines = '{"full_name":"E"}\nnonsense\n{"full_name":"F","sex":"x"}'
        done = box.json("import", "person", box.write("in.jsonl", lines), "--rejects", box.path("bad.jsonl"))
        self.assertEqual((done["imported"], done["rejected"]), (1, 2))
        self.assertEqual(box.path("bad.jsonl").read_text(), 'nonsense\n{"full_name":"F","sex":"x"}\n')

    def test_the_whole_register_comes_back_exactly(self):
        box = self.box()
        done = box.run("import", "person", LARGE, "--ids-out", box.path("new"), "--progress", "json")
        rows = registry(LARGE)
        self.assertEqual((done.json["imported"], done.json["rejected"]), (len(rows), 0))
        steps = [json.loads(line) for line in done.err.splitlines()]
        self.assertTrue(steps and all({"stage", "done", "total"} <= set(step) for step in steps))
        new = box.path("new").read_text().split()
        self.assertEqual(len(set(new)), len(rows))
        sample = list(range(0, len(rows), 7))
        found = values_of(box, [new[i] for i in sample], list(rows[0]))
        for i, values in zip(sample, found):
            self.assertEqual(values, {column: text or None for column, text in rows[i].items()})
        self.assertEqual(box.json("status")["records"]["person"], len(rows) + 50)

    def test_interrupted_import(self):
        box = self.box()
        process = subprocess.Popen(box.arguments(["import", "person", LARGE, "--progress", "json"]),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(box.state))
        process.stderr.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertIn(process.returncode, (0, 130))
        self.assertEqual(box.json("status")["records"]["person"], 2050 if process.returncode == 0 else 50)
        self.assertTrue(box.json("audit", "verify")["ok"])
        box.json("add", "person", "full_name=Sau đó")


class Disclose(CommandTest):
    def test_values_order_and_keys(self):
        box = self.box()
        rows = registry(SMALL)
        ids = box.ids()
        asked = [ids[7], ids[0], ids[3]]
        answer = box.json("disclose", *asked, "--fields", "narrative,full_name,aliases,dob", *EXCHANGE, "--to-class", "police",
                          "--receipt", box.path("receipt"))
        self.assertEqual(set(answer), {"disclosures", "entry", "receipt", "basis"})
        self.assertEqual((answer["receipt"], answer["basis"]), (str(box.path("receipt")), "state_agency_duty"))
        for disclosed, i in zip(answer["disclosures"], (7, 0, 3)):
            self.assertEqual(disclosed["id"], ids[i])
            self.assertEqual(list(disclosed["values"]), ["narrative", "full_name", "aliases", "dob"])
            self.assertEqual(disclosed["values"], {f: rows[i][f] or None for f in disclosed["values"]})
        self.assertEqual(stat.S_IMODE(box.path("receipt").stat().st_mode), 0o600)
        entry = box.log()[-1]
        self.assertEqual((entry["entry"], entry["action"], entry["outcome"], entry["purpose"], entry["basis"], entry["actor"]),
                         (answer["entry"], "disclose", "ok", "interagency_exchange", "state_agency_duty", "owner"))

    def test_for_people_and_into_a_file(self):
        box = self.box()
        box.json("update", box.ids()[0], "full_name=\x1b[31mA\nB")
        shown = box.run("disclose", box.ids()[0], "--fields", "full_name", *RIGHTS, as_json=False).out
        self.assertNotIn("\x1b", shown)
        self.assertIn("\\x1b[31mA\n    B", shown)
        self.assertEqual(values_of(box, box.ids()[:1], ["full_name"]), [{"full_name": "\x1b[31mA\nB"}])
        answer = box.json("disclose", box.ids()[0], "--fields", "full_name", *RIGHTS, "--out", box.path("values"))
        self.assertNotIn("disclosures", answer)
        self.assertEqual(json.loads(box.path("values").read_text())["disclosures"][0]["values"]["full_name"], "\x1b[31mA\nB")
        self.assertEqual(stat.S_IMODE(box.path("values").stat().st_mode), 0o600)

    def test_refusals_are_logged(self):
        box = self.box()
        first = box.ids()[0]
        size = box.json("status")["log_size"]
        for words in (["--fields", "full_name", *STATISTICS],
                      ["--fields", "sex", "--purpose", "nonsense", "--basis", "state_agency_duty", "--to", "X"],
                      ["--fields", "sex", "--purpose", "statistics", "--basis", "consent_subject", "--to", "X"]):
            self.assertEqual(box.run("disclose", first, *words, code=4).error["code"], "refused")
        self.assertEqual([(e["action"], e["outcome"]) for e in box.log("--from", size)], [("disclose", "denied")] * 3)

    def test_bad_requests(self):
        first = BASE.ids()[0]
        BASE.run("disclose", first, first, "--fields", "sex", *RIGHTS, code=2)
        code = subprocess.run(BASE.arguments(["disclose", first, "--fields", "nonsense", *RIGHTS]), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(BASE.state)).returncode
        self.assertIn(code, (2, 5, 11))

    def test_a_receipt_that_cannot_be_written(self):
        """The folder passes the check before and is full at the time of writing: the values go out, the entry is named."""
        if os.geteuid() != 0:
            self.skipTest("needs the right to mount a small file system")
        box = self.box()
        small = box.path("small")
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small)], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("root without the right to mount")
        self.addCleanup(subprocess.run, ["umount", str(small)], check=False)
        (small / "full").write_bytes(b"x" * 4096)
        words = ["disclose", box.ids()[0], "--fields", "sex", *RIGHTS, "--receipt", small / "receipt"]
        done = subprocess.run(box.arguments(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(box.state), check=False)
        self.assertEqual(done.returncode, 9)
        answer = json.loads(done.stdout)
        self.assertIsNone(answer["receipt"])
        self.assertIn(f"audit prove {answer['entry']}", done.stderr.decode())
        self.assertFalse((small / "receipt").exists())
        box.json("audit", "prove", answer["entry"], "--out", box.path("receipt"))

    def test_closed_output_discloses_nothing(self):
        box = self.box()
        size = box.json("status")["log_size"]
        done = subprocess.run(box.arguments(["disclose", box.ids()[0], "--fields", "sex", *RIGHTS]),
                              preexec_fn=lambda: os.close(1), stderr=subprocess.PIPE, env=environment(box.state), check=False)
        self.assertEqual(done.returncode, 9)
        self.assertEqual(box.json("status")["log_size"], size)
        with open("/dev/full", "wb") as full:
            done = subprocess.run(box.arguments(["disclose", box.ids()[0], "--fields", "sex", *RIGHTS]),
                                  stdout=full, stderr=subprocess.PIPE, env=environment(box.state), check=False)
        self.assertEqual(done.returncode, 9)
        self.assertIn(f"entry {size}", done.stderr.decode())

    def test_altered_records_are_integrity(self):
        box = self.box()
        data = box.vault / "data.mdb"
        for page in range(2, data.stat().st_size // 4096):
            flip(data, page * 4096 + 600)
        every_field = ",".join(registry(SMALL)[0])
        self.assertEqual(box.run("disclose", *box.ids(), "--fields", every_field, *RIGHTS, code=8).out, "")


class People(CommandTest):
    def as_(self, box, name):
        return ["--identity", box.path(name + ".identity")]

    def test_identities(self):
        shown = BASE.json("identity", "show", BASE.path("officer.identity"), vault=False, secret=False)
        self.assertEqual((shown["name"], shown["slots"]), ("officer", ["passphrase"]))
        self.assertEqual(shown["public"], json.loads(BASE.path("officer.pub").read_text())["public"])
        line = BASE.path("analyst.pub").read_text()  # for people: the public string alone
        self.assertEqual(line.split("\n")[1:], [""])
        self.assertEqual(BASE.json("identity", "show", BASE.path("analyst.identity"), vault=False)["public"], line.strip())
        BASE.run("identity", "show", BASE.path("pass"), code=11, vault=False)
        BASE.run("identity", "show", BASE.path("none"), code=5, vault=False)

    def test_principals(self):
        people = {person["name"]: person for person in BASE.json("principal", "list")}
        self.assertEqual(set(people), {"owner", "officer", "analyst"})
        self.assertEqual((people["officer"]["role"], people["officer"]["grants"]), ("officer", ["identity", "contact", "statistics"]))
        self.assertIn("health", people["owner"]["grants"])
        for name, role in (("officer", "officer"), ("new", "king")):
            code = subprocess.run(BASE.arguments(["principal", "add", name, "--public", BASE.path("officer.pub"), "--role", role]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(BASE.state),
                                  check=False).returncode
            self.assertIn(code, (2, 5, 6, 11))
        BASE.run("principal", "add", "x", "--public", BASE.write("x.pub", "nonsense\n"), "--role", "officer", code=11)

    def test_compartments_hold_by_key(self):
        box = self.box()
        first = box.ids()[0]
        row = registry(SMALL)[0]
        got = values_of(box, [first], ["full_name", "sex"], *EXCHANGE, *self.as_(box, "officer"))
        self.assertEqual(got, [{"full_name": row["full_name"], "sex": row["sex"]}])
        case = ["disclose", first, "--fields", "narrative", *EXCHANGE, *self.as_(box, "officer")]
        denied = box.run(*case, code=4)
        self.assertEqual(denied.error["code"], "no_grant")
        self.assertIn("case", denied.error["message"])
        last = box.log()[-1]
        self.assertEqual((last["outcome"], last["actor"]), ("denied", "officer"))
        self.assertEqual(values_of(box, [first], ["sex"], *STATISTICS, *self.as_(box, "analyst")), [{"sex": row["sex"]}])
        box.run("disclose", first, "--fields", "full_name", *EXCHANGE, *self.as_(box, "analyst"), code=4)
        box.run("grant", "add", "analyst", "statistics", *self.as_(box, "officer"), code=4)
        box.run("grant", "add", "nobody", "case", code=5)
        granted = box.json("grant", "add", "officer", "case")
        self.assertIsInstance(granted["entry"], int)
        self.assertEqual(box.run(*case).json["disclosures"][0]["values"]["narrative"], row["narrative"])

    def test_invitations(self):
        box = self.box()
        fresh = box.path("fresh.identity")
        box.write("fresh.pub", box.run("identity", "new", "fresh", "--out", fresh, as_json=False, vault=False).out)
        box.run("status", "--identity", fresh, code=4)
        added = box.json("principal", "add", "fresh", "--public", box.path("fresh.pub"), "--role", "officer", "--grant", "identity",
                         "--may-grant", "--unit", "Phòng 2")
        self.assertEqual((added["name"], added["role"], added["grants"]), ("fresh", "officer", ["identity"]))
        self.assertIsInstance(added["entry"], int)
        self.assertEqual(box.run("status", "--identity", fresh, code=4).error["code"], "untrusted")
        self.assertEqual(box.json("status", "--identity", fresh, "--trust", box.json("status")["id"])["principal"], "fresh")
        box.run("status", "--identity", fresh, "--trust", "0" * 64, code=4)
        invitation = box.write("invitation", added["invitation_text"])
        box.run("vault", "accept", invitation, *self.as_(box, "officer"), code=3, vault=False)
        self.assertEqual(box.json("vault", "accept", invitation, "--identity", fresh, vault=False)["id"], box.json("status")["id"])
        self.assertEqual(box.json("status", "--identity", fresh)["role"], "officer")
        box.json("grant", "add", "analyst", "identity", "--identity", fresh)


class Audit(CommandTest):
    def test_verify_and_log(self):
        report = BASE.json("audit", "verify")
        self.assertEqual(set(report), {"ok", "size", "root", "entry", "reason", "warnings"})
        status = BASE.json("status")
        self.assertEqual((report["ok"], report["size"], report["root"], report["entry"]), (True, status["log_size"], status["root"], None))
        entries = BASE.log()
        self.assertEqual([e["entry"] for e in entries], list(range(status["log_size"])))
        self.assertLessEqual({"entry", "time", "action", "outcome", "actor", "purpose", "basis"}, set(entries[0]))
        self.assertEqual((entries[0]["action"], entries[1]["action"], entries[1]["count"]), ("genesis", "import", 50))
        self.assertEqual(BASE.log("--from", len(entries) - 2), entries[-2:])
        self.assertEqual(BASE.log("--actor", "owner"), entries)
        self.assertEqual(BASE.log("--actor", "nobody"), [])
        self.assertEqual(BASE.json("status"), status)  # none of this appends

    def test_details_leave_an_entry_first(self):
        box = self.box()
        size = box.json("status")["log_size"]
        values_of(box, box.ids()[:1], ["full_name"])
        entries = box.log("--details", "--from", size)
        self.assertEqual(entries[0]["action"], "disclose")
        self.assertIn("Chủ thể dữ liệu", json.dumps(entries[0]["details"], ensure_ascii=False))
        self.assertIn("full_name", json.dumps(entries[0]["details"]))
        after = box.log("--from", size)
        self.assertEqual([(e["entry"], e["action"]) for e in after], [(size, "disclose"), (size + 1, "read-log")])
        box.run("audit", "log", "--details", "--identity", box.path("analyst.identity"), code=4)

    def test_entries_of_one_subject(self):
        box = self.box()
        one, other = box.ids()[:2]
        size = box.json("status")["log_size"]
        values_of(box, [one], ["full_name"])
        values_of(box, [other], ["full_name"])
        about = box.log("--subject", one, "--from", size)
        self.assertEqual([e["entry"] for e in about], [size])
        self.assertEqual(box.json("status")["log_size"], size + 3)  # looking is an entry too
        box.run("audit", "log", "--subject", one, "--identity", box.path("analyst.identity"), code=4)

    def test_receipts(self):
        box = self.box()
        entry = box.json("disclose", box.ids()[0], "--fields", "full_name", *EXCHANGE, "--receipt", box.path("receipt"))["entry"]
        self.assertEqual(box.json("audit", "prove", entry, "--out", box.path("proved")),
                         {"entry": entry, "receipt": str(box.path("proved"))})
        box.run("audit", "prove", entry + 1000, "--out", box.path("never"), code=5)
        alone = Box("alone")
        for name in ("receipt", "proved", "log.key", "init.json"):
            shutil.copy(box.path(name), alone.path(name))

        def check(receipt, key="log.key", code=0):
            return alone.run("receipt", "verify", alone.path(receipt), "--log-key", alone.path(key), vault=False, secret=False, code=code)

        for receipt in ("receipt", "proved"):
            facts = check(receipt).json
            self.assertLessEqual({"ok", "entry", "size", "root", "action", "outcome", "time", "purpose", "basis", "count", "origin"}, set(facts))
            self.assertEqual((facts["ok"], facts["entry"], facts["action"], facts["outcome"], facts["purpose"], facts["basis"], facts["count"]),
                             (True, entry, "disclose", "ok", "interagency_exchange", "state_agency_duty", 1))
        check("receipt", key="init.json")
        text = alone.path("receipt").read_text()
        for word in ("owner", "Công an", "full_name", *box.ids()[:1]):
            self.assertNotIn(word, text)
        data = alone.path("receipt").read_bytes()
        for at in range(0, len(data), max(1, len(data) // 12)):
            alone.write("forged", data)
            flip(alone.path("forged"), at)
            forged = check("forged", code=8).json
            self.assertEqual(forged["ok"], False)
        for junk in (b"", b"\xff\x00", b"x" * 1000):
            alone.write("junk", junk)
            self.assertEqual(check("junk", code=8).json["ok"], False)
        check("receipt", key="pass", code=11)
        check("nowhere", code=5)
        other = Box("other")
        other.write("other.key", other.json("init", other.vault, vault=False)["log_key"])
        shutil.copy(other.path("other.key"), alone.path("other.key"))
        check("receipt", key="other.key", code=8)

    def test_checkpoints_are_anchors(self):
        box = self.box()
        old = Box("old", box)
        box.json("add", "person", "full_name=A")
        made = box.json("audit", "checkpoint", "--out", box.path("anchor"))
        status = box.json("status")
        self.assertEqual((made["size"], made["root"]), (status["log_size"], status["root"]))
        self.assertEqual(box.path("anchor").read_text(), made["checkpoint"])
        self.assertEqual(box.run("audit", "checkpoint", as_json=False).out.split("\n")[1], str(made["size"]))
        self.assertTrue(box.json("audit", "verify", "--anchor", box.path("anchor"))["ok"])
        box.json("add", "person", "full_name=B")
        self.assertTrue(box.json("audit", "verify", "--anchor", box.path("anchor"))["ok"])
        rolled_back = old.run("audit", "verify", "--anchor", box.path("anchor"), code=8).json
        self.assertEqual(rolled_back["ok"], False)
        self.assertTrue(rolled_back["reason"])
        old.run("status", "--anchor", box.path("anchor"), code=8)
        # the newest checkpoint seen is an anchor by itself
        shutil.rmtree(box.vault)
        shutil.copytree(old.vault, box.vault)
        box.run("status", code=8)
        self.assertEqual(box.run("audit", "verify", code=8).json["ok"], False)

    def test_a_tampered_log_is_named(self):
        segment = max((BASE.vault / "log").iterdir(), key=lambda file: file.stat().st_size).name
        filled = (BASE.vault / "log" / segment).read_bytes().rstrip(b"\0")
        for i, at in enumerate((len(filled) // 4, len(filled) // 2, len(filled) - 40)):
            with self.subTest(at=at):
                box = Box(f"tampered{i}", BASE)
                flip(box.vault / "log" / segment, at)
                report = box.run("audit", "verify", code=8).json
                self.assertEqual(set(report), {"ok", "size", "root", "entry", "reason", "warnings"})
                self.assertEqual(report["ok"], False)
                self.assertTrue(report["reason"])


class Together(CommandTest):
    def test_processes_at_the_same_time(self):
        box = self.box()
        started = [subprocess.Popen(box.arguments(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=environment(box.state))
                   for words in (["add", "person", "full_name=A"], ["add", "person", "full_name=B"], ["status"],
                                 ["disclose", box.ids()[0], "--fields", "sex", *RIGHTS])]
        errors = [process.communicate(timeout=60)[1] for process in started]
        codes = [process.returncode for process in started]
        self.assertLessEqual(set(codes), {0, 6}, errors)
        self.assertEqual(box.json("status")["records"]["person"], 50 + codes[:2].count(0))
        self.assertTrue(box.json("audit", "verify")["ok"])

    def test_the_demonstration(self):
        demo = TESTS.parent / "examples" / "demo.sh"
        done = subprocess.run(["bash", str(demo)], env=environment(BASE.state, CASEVAULT_COMMAND=COMMAND), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        self.assertEqual((done.returncode, done.stdout.decode().splitlines()[-1]), (0, "demo: all steps passed"), done.stdout.decode())


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        COMMAND = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
