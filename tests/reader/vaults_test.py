#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vaults of every suite, one whose keys were rotated, one with revocations, one with new vault keys and new keys of a principal,
one whose database follows new keys, and one whose owner is a quorum, made by the casevault command and read by the second reader,
and forged ones that are put before both: both say the same.

Run as: vaults_test.py COMMAND [unittest arguments]. The identities are written here, from FORMAT.md section 6, with the cheapest
passphrase slot that is allowed; so it is also shown that casevault opens what somebody else wrote by the page.
"""
import base64
import datetime
import json
import os
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import second_reader as reader                                                                   # noqa: E402
import second_reader_test as forged                                                              # noqa: E402

COMMAND = os.environ.get("CASEVAULT_COMMAND", "casevault")
PASSPHRASE = b"a public passphrase of a test"
IMPORTED, STAGED = 300, 10_050       # the first crosses leaf nodes; so many rows are staged, and the database has many pages
UNIT = "Nhà 2"
SCHEMA = """
name = "two-readers"
version = 3
bases = ["duty", "consent"]
recipient_classes = ["clinic"]
roles = ["nurse"]

[codelists]
sex = ["female", "male", "unknown"]
needs = ["shelter", "legal aid", "y tế", "food"]

[[compartments]]
id = 1
name = "identity"

[[compartments]]
id = 2
name = "coded"
sealed = "cell"

[[compartments]]
id = 700
name = "story"

[[types]]
id = 1
name = "person"
fields = [
  { id = 1, name = "full_name", type = "text", compartment = "identity", required = true },
  { id = 2, name = "photo", type = "bytes", compartment = "identity" },
  { id = 3, name = "born", type = "date", compartment = "identity" },
  { id = 4, name = "minor", type = "boolean", compartment = "coded" },
  { id = 5, name = "children", type = "integer", compartment = "coded" },
  { id = 6, name = "needs", type = "multi-code", compartment = "coded", list = "needs" },
  { id = 7, name = "sex", type = "code", compartment = "coded", list = "sex" },
  { id = 8, name = "seen", type = "date", compartment = "coded" },
  { id = 65535, name = "account", type = "text", compartment = "story" },
  { id = 300, name = "balance", type = "integer", compartment = "identity" },
  { id = 301, name = "alive", type = "boolean", compartment = "identity" },
  { id = 302, name = "wishes", type = "multi-code", compartment = "identity", list = "needs" },
]

[[types]]
id = 40000
name = "visit"
fields = [{ id = 1, name = "day", type = "date", compartment = "coded" }]

[[purposes]]
code = "care"
bases = ["duty", "consent"]
default_basis = "duty"
min_cell = 3

[[purposes]]
code = "statistics"
bases = ["duty"]
default_basis = "duty"

[[rules]]
roles = ["owner", "officer"]
purposes = ["care"]
compartments = ["*"]

[[rules]]
roles = ["analyst"]
purposes = ["statistics"]
compartments = ["coded"]
"""
FIELDS = ["account", "full_name", "photo", "born", "minor", "children", "needs", "sex", "seen", "balance", "alive", "wishes"]
CODED = {"minor", "children", "needs", "sex", "seen"}
ROTATED = 30
SEALED_ALIKE = ["full_name", "photo", "born", "balance", "alive", "wishes"]                       # the compartment identity
READ_BY = {"owner": FIELDS, "officer": SEALED_ALIKE + sorted(CODED), "late": SEALED_ALIKE}
FIRST = {"full_name": "Thi\u0323 Hoa\u0300 花 \"x\" \\", "photo": base64.b64encode(bytes(range(256)) * 9).decode(), "born": "1990-05",
         "minor": "false", "children": "-9223372036854775808", "needs": "y tế;food", "sex": "female", "seen": "2024-02-29",
         "account": "dòng một\ndòng hai " + "dài " * 3000, "balance": "9223372036854775807", "alive": "true", "wishes": "shelter"}


def row(number):
    """Values of imported row `number`; many fields stay empty."""
    values = {"full_name": f"Người {number} " + "x" * (number * 7 % 90), "sex": ("female", "male", "unknown")[number % 3]}
    if number % 2:
        values |= {"born": f"{1950 + number % 60}", "children": str(number % 9 - 1), "minor": "true"}
    if number % 5 == 0:
        values |= {"needs": "shelter;y tế" if number % 10 else "food", "account": "t" * (number % 700 + 1), "alive": "false"}
    if number % 7 == 0:
        values |= {"photo": base64.b64encode(b"%d" % number * (number % 50)).decode() or "AA==", "balance": str(-number),
                   "seen": f"20{number % 90 + 10}-0{number % 9 + 1}"}
    return values


def identity_file(identity):
    """FORMAT.md section 6, with one slot of the lowest cost."""
    own, number, salt, key = identity.person.encoded(), os.urandom(8), os.urandom(16), os.urandom(32)
    public = reader.encode([identity.person.name, identity.person.x, identity.person.ed,
                            reader.ed_sign(identity.ed_seed, reader.PRINCIPAL + own)])
    public = "cvp1:" + base64.b64encode(public).decode()
    cost = [1, number, 1, 64 << 10, salt]
    stretched = reader.argon2id(PASSPHRASE, salt, 1, 64 << 10)
    slot = [*cost, reader.env_seal(reader.SLOT, stretched, own + reader.encode(cost), key, os.urandom(24))]
    table = reader.encode([slot])
    body = identity.x_secret + identity.ed_seed + reader.encode([[vault, text] for vault, text in identity.pins.items()])
    sealed = reader.env_seal(reader.BODY, key, own + reader.sha256(table), body, os.urandom(24))
    packed = base64.b64encode(reader.encode([public, table, sealed])).decode()
    lines = "".join(packed[at:at + 76] + "\n" for at in range(0, len(packed), 76))
    return public, "casevault-identity 1\n" + lines


class Maker:
    """One vault of a suite with all that happens in it, and what casevault said of it."""

    def __init__(self, folder, suite):
        self.begin(folder / str(suite), suite)
        self.fill()
        self.log = self.run("owner", "audit", "log", "--details")
        self.verified = self.run("owner", "audit", "verify")
        self.status = self.run("owner", "status")

    def begin(self, folder, suite):
        self.folder, self.suite = folder, suite
        self.folder.mkdir(mode=0o700)
        self.write("passphrase", PASSPHRASE + b"\n")
        schema = self.write("schema.toml", SCHEMA.encode())
        made = self.run("owner", "init", self.folder / "vault", "--name", "owner", "--schema", schema, "--suite", suite,
                        "--identity-out", self.folder / "owner.identity")
        self.vault, self.log_key = self.folder / "vault", made["log_key"]
        self.owner = reader.open_identity((self.folder / "owner.identity").read_bytes(), PASSPHRASE)
        self.keep(self.owner)

    def fill(self):
        self.officer = self.certify("officer", "--grant", "identity,coded", "--unit", UNIT)
        self.analyst = self.certify("analyst", "--grant", "coded")

        self.rows = [FIRST, *map(row, range(IMPORTED))]
        self.ids = [self.run("owner", "add", "person", *(f"{name}={text}" for name, text in FIRST.items()))["id"]]
        self.bring(range(IMPORTED))
        single = {"full_name": "Một mình", "children": "0", "alive": "true"}
        self.rows.append(single)
        self.ids.append(self.run("officer", "add", "person", *(f"{name}={text}" for name, text in single.items()))["id"])
        self.visit = self.run("officer", "add", "visit", "day=2024")["id"]
        self.run("officer", "update", self.ids[1], "sex=male", "born=", "wishes=food;shelter")
        self.rows[1] = {name: text for name, text in (self.rows[1] | {"sex": "male", "wishes": "food;shelter"}).items()
                        if name != "born"}
        if self.suite == 1:
            self.rows += map(row, range(IMPORTED, IMPORTED + STAGED))
            self.bring(range(IMPORTED, IMPORTED + STAGED))
        self.say("analyst", self.ids[:2], ["full_name"], "statistics", code=4)               # no rule
        self.say("officer", self.ids[:1], ["account"], "care", code=4)                       # a rule, but no key
        self.few = self.say("officer", self.ids[:3], ["sex", "full_name"], "care")
        self.many = self.say("owner", self.ids, FIELDS, "care")

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def keep(self, identity):
        public, text = identity_file(identity)
        self.write(identity.person.name + ".identity", text.encode())
        return self.write(identity.person.name + ".public", public.encode() + b"\n")

    def certify(self, name, *how, role=None):
        """The principal is added, and its identity pins what the invitation says."""
        identity = forged.new_identity(name)
        invitation = self.folder / f"{name}.invitation"
        self.run("owner", "principal", "add", name, "--public", self.keep(identity), "--role", role or name,
                 "--invitation", invitation, *how)
        vault, log_key, _ = reader.open_invitation(invitation.read_text(), identity)
        identity.pins[vault] = log_key
        self.keep(identity)
        return identity

    def rekey(self, name):
        """Gives a principal new keys; the identity before stays as NAME.before, the new one pins what its invitation says."""
        identity, invitation = forged.new_identity(name), self.folder / "rekeyed.invitation"
        os.rename(self.folder / f"{name}.identity", self.folder / f"{name}.before.identity")
        public = self.keep(identity)
        self.run(f"{name}.before", "principal", "rekey", "--public", public, "--invitation", invitation)
        vault, log_key, _ = reader.open_invitation(invitation.read_text(), identity)
        invitation.unlink()
        identity.pins[vault] = log_key
        self.keep(identity)
        return identity

    def bring(self, numbers):
        rows = "".join(json.dumps(row(number), ensure_ascii=False) + "\n" for number in numbers)
        ids = self.folder / f"ids{numbers[0]}"
        self.run("owner", "import", "person", self.write(f"rows{numbers[0]}.jsonl", rows.encode()), "--ids-out", ids)
        self.ids += ids.read_text().split()

    def say(self, who, ids, fields, purpose, code=0):
        return self.run(who, "disclose", *ids, "--fields", ",".join(fields), "--purpose", purpose, "--basis", "duty", "--to",
                        "Trạm y tế", "--to-class", "clinic", code=code)

    def run(self, who, *words, code=0, shares=()):
        """The JSON document of a command, a list where it prints a line each."""
        line = [COMMAND, *map(str, words), "--vault", self.folder / "vault", "--no-input", "--json"]
        line += [word for share in shares for word in ("--share", share)]
        if not shares and "--quorum" not in words:
            line += ["--passphrase-file", self.folder / "passphrase"]
        if words[0] != "init":
            line += ["--identity", self.folder / f"{who}.identity"]
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS")}
        done = subprocess.run(line, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=250,
                              env={**kept, "LC_ALL": "C.UTF-8", "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state")})
        assert done.returncode == code, f"{words[:4]}: exit {done.returncode}: {done.stderr.decode()[-1000:]}"
        found = [json.loads(text) for text in done.stdout.splitlines()]
        return found if words[:2] == ("audit", "log") else found[0] if found else None


class RotatedMaker(Maker):
    """A vault whose keys are rotated by one and by another, sealed anew, and one of them destroyed; all is looked at in between."""

    def __init__(self, folder):
        self.begin(folder / "rotated", 2)
        self.stages, self.ids, self.rows = {}, [], []
        self.officer = self.certify("officer", "--grant", "identity,coded,audit")
        self.bring(range(IMPORTED, IMPORTED + ROTATED))
        self.rows = [row(number) for number in range(IMPORTED, IMPORTED + ROTATED)]
        self.rotate("owner", "identity", "audit")
        self.late = self.certify("late", "--grant", "identity,audit", role="officer")
        self.add("officer", full_name="Sau", sex="male")
        self.change("late", 0, full_name="Người khác")
        self.change("officer", 1, sex="unknown")                       # its cell of identity stays as it was
        self.look("rotated")
        self.rotate("late", "identity")
        self.add("late", full_name="Muộn")
        self.look("rotated by the one who came later")
        self.run("owner", "key", "reencrypt", "identity")
        self.run("owner", "key", "census")
        self.look("sealed anew")
        self.run("owner", "report", "table", "person", "--rows", "sex", "--columns", "seen:month", "--purpose", "care", "--where", "sex=male")
        self.run("owner", "export", "person", "--columns", "sex,seen", "--release", "study", "--out", folder / "rows.csv", "--purpose", "care",
                 "--basis", "duty", "--where", "sex=female")
        self.run("owner", "merge", self.ids[0], self.ids[1], "--reason", "the same fingerprints")
        self.run("owner", "merge", self.ids[1], self.ids[0], "--reason", "mistaken", "--undo")
        self.run("owner", "merge", self.ids[0], self.ids[2], "--reason", "the same voice")
        self.run("owner", "report", "budget", "opendp", "--epsilon", "0.5", "--name", "histogram")
        self.run("owner", "key", "destroy", "identity", 1, "--confirm", "identity:1")
        self.look("destroyed")
        self.verified = self.run("owner", "audit", "verify")

    def rotate(self, who, *compartments):
        for one in compartments:
            self.run(who, "key", "rotate", one)

    def add(self, who, **values):
        self.ids.append(self.run(who, "add", "person", *(f"{name}={text}" for name, text in values.items()))["id"])
        self.rows.append(values)

    def change(self, who, index, **values):
        self.run(who, "update", self.ids[index], *(f"{name}={text}" for name, text in values.items()))
        self.rows[index] = self.rows[index] | values

    def look(self, stage):
        """What the command says to each, and what the reader reads for each, at one moment."""
        keys = self.run("owner", "key", "list")
        for who, fields in READ_BY.items():
            said, log = self.say(who, self.ids, fields, "care"), self.run(who, "audit", "log", "--details")
            vault = reader.Vault(self.vault, getattr(self, who))
            self.stages[stage, who] = said["disclosures"], log, keys, vault, [dict(values) for values in self.rows]


class RevokedMaker(RotatedMaker):
    """A vault whose owner revokes the officer and takes a compartment back from the analyst."""

    def __init__(self, folder):
        self.begin(folder / "revoked", 1)
        self.ids, self.rows = [], []
        self.officer = self.certify("officer", "--grant", "identity,coded")
        self.analyst = self.certify("analyst", "--grant", "identity,coded,audit")
        self.add("owner", full_name="Trước", sex="male", account="dòng")
        self.add("officer", full_name="Cũng trước", sex="female")
        self.run("owner", "principal", "revoke", "officer")
        self.add("owner", full_name="Sau", sex="female")
        self.run("owner", "grant", "revoke", "analyst", "identity")
        self.change("owner", 0, full_name="Sau nữa")
        self.analysed = self.say("analyst", self.ids, ["sex"], "statistics")
        self.run("officer", "status", code=4)
        self.disclosed = self.say("owner", self.ids, FIELDS, "care")
        self.log = self.run("owner", "audit", "log", "--details")
        self.keys = self.run("owner", "key", "list")
        self.verified, self.status = self.run("owner", "audit", "verify"), self.run("owner", "status")


class RenewedMaker(RotatedMaker):
    """A vault with several vault keys, whose officer gets new keys; grants end some day, are given again, an epoch is retired."""

    def __init__(self, folder):
        self.begin(folder / "renewed", 3)
        self.ids, self.rows, self.looks, self.log_keys, self.receipts = [], [], {}, [self.log_key], []
        self.officer = self.certify("officer", "--grant", "identity", "--unit", UNIT)
        self.bring(range(IMPORTED, IMPORTED + ROTATED))
        self.rows = [row(number) for number in range(IMPORTED, IMPORTED + ROTATED)]
        self.run("owner", "grant", "add", "officer", "audit", "--expires", "2250-01-02", "--may-grant")
        self.run("owner", "grant", "add", "officer", "coded", "--expires", "2250-01-02")
        for less in (("identity", "--expires", "2250-01-02"), ("coded", "--expires", "2250-01-01"), ("coded", "--expires", "2250-01-02")):
            self.run("owner", "grant", "add", "officer", *less, code=6)
        self.renew()
        self.look("a new vault key")
        self.run("owner", "grant", "add", "officer", "coded")         # without an end again
        self.add("officer", full_name="Giữa", sex="male")
        self.rotate("owner", "identity", "audit")
        self.renew()
        self.renew()
        self.analyst = self.certify("analyst", "--grant", "coded")
        self.add("owner", full_name="Sau", sex="female", account="dòng")
        self.change("officer", 0, full_name="Người khác")
        self.look("three more")
        self.before, self.officer = self.officer, self.rekey("officer")
        self.log_keys.append(self.run("officer", "status")["log_key"])
        self.run("officer.before", "status", code=4)
        self.look("new keys of the officer")
        self.change("officer", 1, full_name="Khoá mới")
        self.run("owner", "key", "reencrypt")
        self.run("owner", "key", "retire", "identity", 1)
        self.renew()
        self.add("officer", full_name="Cuối cùng", sex="unknown")
        self.look("retired")
        self.verified = self.run("owner", "audit", "verify")

    def renew(self):
        """A new vault key; a receipt of the newest entry before it is kept."""
        receipt = self.folder / f"receipt{len(self.receipts)}"
        self.run("owner", "audit", "prove", self.run("owner", "status")["log_size"] - 1, "--out", receipt)
        self.receipts.append((self.log_keys[-1], receipt))
        self.log_keys.append(self.run("owner", "key", "rotate", "--vault-key")["log_key"])

    def look(self, stage):
        fields = {"owner": FIELDS, "officer": SEALED_ALIKE + sorted(CODED)}
        keys, status = self.run("owner", "key", "list"), self.run("owner", "status")
        people = self.run("owner", "principal", "list")
        for who in fields:
            vault = reader.Vault(self.vault, getattr(self, who))
            said, log = self.say(who, self.ids, fields[who], "care"), self.run(who, "audit", "log", "--details")
            self.looks[stage, who] = said["disclosures"], fields[who], log, keys, status, people, vault, [dict(one) for one in self.rows]


class FollowedMaker(Maker):
    """A vault whose officer gets new keys again and again, and what kind of write comes after each time."""

    def __init__(self, folder):
        self.begin(folder / "followed", 1)
        self.ids, self.found = [], {}
        self.officer = self.certify("officer", "--grant", "identity")
        add = ("add", "person", "full_name=Một")
        for kind, words in (("add", add), ("update", ("update", None, "full_name=Hai")), ("import", None),
                            ("key-rotate", ("key", "rotate", "identity")), ("key-reencrypt", ("key", "reencrypt", "identity")),
                            ("key-retire", ("key", "retire", "identity", 1)),
                            ("key-destroy", ("key", "destroy", "identity", 1, "--confirm", "identity:1")),
                            ("principal-add", None), ("grant-add", ("grant", "add", "late", "story")),
                            ("grant-revoke", ("grant", "revoke", "late", "story")), ("key-vault", ("key", "rotate", "--vault-key")),
                            ("principal-revoke", ("principal", "revoke", "late"))):
            self.officer = self.rekey("officer")
            before = self.state()
            if kind == "import":
                self.bring(range(IMPORTED, IMPORTED + 2))
            elif kind == "principal-add":
                self.certify("late", "--grant", "coded", role="officer")
            else:
                found = self.run("owner", *(self.ids[0] if word is None else word for word in words))
                self.ids += [found["id"]] if kind == "add" else []
            self.found[kind] = before, self.state()
        self.verified = self.run("owner", "audit", "verify")

    def state(self):
        """VK epochs of log and database, the log key that the officer pinned and all that the vault had, and what was done."""
        vault = reader.Vault(self.vault, self.owner)
        done = {reader.ACTIONS[entry.leaf[1]] for entry in vault.log.entries}
        return vault.log.epoch, vault.state.vk_epoch, self.officer.pins[vault.id], vault.log_keys, done


class QuorumMaker(Maker):
    """A vault whose owner is opened by any two of three shares."""

    def __init__(self, folder):
        self.folder = folder / "quorum"
        self.folder.mkdir(mode=0o700)
        self.write("passphrase", PASSPHRASE + b"\n")
        schema = self.write("schema.toml", SCHEMA.encode())
        self.run("owner", "init", self.folder / "vault", "--name", "owner", "--schema", schema, "--identity-out",
                 self.folder / "owner.identity", "--quorum", "2/3", "--shares-dir", self.folder / "shares")
        self.vault, self.shares = self.folder / "vault", sorted((self.folder / "shares").iterdir())
        self.id = self.run("owner", "add", "person", "full_name=Một", "sex=male", shares=self.shares[:2])["id"]
        self.run("owner", "status", shares=self.shares[1:2], code=7)
        self.run("owner", "key", "rotate", "--vault-key", shares=self.shares[1:])
        self.status = self.run("owner", "status", shares=self.shares[::2])


def setUpModule():
    global scratch, makers, rotated, revoked, renewed, followed, quorum, read, documents
    forged.setUpModule()
    unittest.addModuleCleanup(forged.tearDownModule)
    scratch = tempfile.TemporaryDirectory(prefix="casevault-reader-")
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(one, Path(scratch.name)) for one in (RotatedMaker, RevokedMaker, RenewedMaker, FollowedMaker, QuorumMaker)]
        makers = list(pool.map(lambda suite: Maker(Path(scratch.name), suite), (1, 2, 3)))
        rotated, revoked, renewed, followed, quorum = (one.result() for one in others)
    read = {maker.suite: reader.Vault(maker.vault, maker.owner) for maker in makers}
    documents = {suite: vault.document() for suite, vault in read.items()}


def tearDownModule():
    scratch.cleanup()


def rfc3339(milliseconds):
    moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{milliseconds % 1000:03}Z"


class VaultsTest(unittest.TestCase):
    def each(self):
        for maker in makers:
            with self.subTest(suite=maker.suite):
                yield maker, read[maker.suite]

    def test_the_owner_reads_what_casevault_discloses(self):
        for maker, vault in self.each():
            found = {record["id"]: record for record in documents[maker.suite]["records"]}
            self.assertEqual(list(found)[:IMPORTED + 2], maker.ids[:IMPORTED + 2])
            self.assertEqual(set(found), {*maker.ids, maker.visit})
            self.assertEqual([one["id"] for one in maker.many["disclosures"]], maker.ids)
            for one, written in zip(maker.many["disclosures"], maker.rows, strict=True):
                values = {name: text for name, text in one["values"].items() if text is not None}
                self.assertEqual(values, written)
                self.assertEqual(found[one["id"]]["values"], written)
                self.assertEqual(found[one["id"]]["sealed"], [])
            self.assertEqual(found[maker.visit]["values"], {"day": "2024"})
            self.assertEqual([found[id_]["version"] for id_ in maker.ids[:3]], [1, 2, 1])
            units = {reader.record_id(vault.authority.id_key, one.row): one.unit for one in vault.records.values()}
            self.assertEqual([id_ for id_, unit in units.items() if unit == UNIT], [maker.ids[IMPORTED + 1], maker.visit])
            self.assertEqual({cell.suite for one in vault.records.values() for cell in one.cells}, {maker.suite})

    def test_size_and_root_are_those_of_status(self):
        for maker, vault in self.each():
            found = documents[maker.suite]
            self.assertEqual((found["id"], found["size"], found["root"]),
                             (maker.status["id"], maker.status["log_size"], maker.status["root"]))
            self.assertEqual((maker.verified["ok"], maker.verified["root"]), (True, found["root"]))
            self.assertEqual((found["log_key"], found["suite"]), (maker.log_key, maker.suite))
            self.assertEqual((found["pending"], found["not_applied"], found["erasure_root"]), ([], [], "idle"))
            self.assertEqual(maker.status["records"], {"person": len(maker.ids), "visit": 1})

    def test_the_log_says_the_same(self):
        for maker, vault in self.each():
            entries = documents[maker.suite]["entries"]
            self.assertEqual(len(entries), len(maker.log))
            for own, theirs in zip(entries, maker.log):
                details = theirs["details"]
                self.assertEqual((own["entry"], rfc3339(own["time"]), own["action"], own["outcome"], own["actor"], own["purpose"],
                                  own["basis"], own["count"]),
                                 tuple(theirs[name] for name in ("entry", "time", "action", "outcome", "actor", "purpose", "basis",
                                                                 "count")))
                self.assertEqual((own["actor"], own["recipient"], own["recipient_class"], own["note"], own["subjects"]),
                                 tuple(details[name] for name in ("actor", "recipient", "recipient_class", "text", "records")))
            self.assertEqual([(own["action"], own["outcome"], own["actor"]) for own in entries[-5:]],
                             [("disclose", "denied", "analyst"), ("disclose", "denied", "officer"), ("disclose", "ok", "officer"),
                              ("disclose", "ok", "owner"), ("read-log", "ok", "owner")])
            self.assertEqual([own["subjects"] for own in entries[-5:]],
                             [maker.ids[:2], maker.ids[:1], maker.ids[:3], maker.ids, []])

    def test_a_principal_with_one_grant_reads_nothing_else(self):
        for maker, vault in self.each():
            if maker.suite == 1:                 # the large one adds time and no case
                continue
            analyst = reader.Vault(maker.vault, maker.analyst)
            self.assertEqual(set(analyst.cks), {(2, 1)})
            owned = {record["id"]: record["values"] for record in documents[maker.suite]["records"]}
            found = analyst.document()
            self.assertEqual({record["id"] for record in found["records"]}, set(owned))
            for record in found["records"]:
                wanted = {name: text for name, text in owned[record["id"]].items() if name in CODED | {"day"}}
                self.assertEqual(record["values"], wanted)
                self.assertNotIn("coded", record["sealed"])
                self.assertTrue(record["sealed"] or record["type"] == "visit")
            self.assertFalse(any({"actor", "subjects", "note", "recipient"} & set(entry) for entry in found["entries"]))
            self.assertEqual(found["root"], documents[maker.suite]["root"])
            for own in analyst.records.values():                       # its key opens no cell of another compartment
                for cell in own.cells:
                    if cell.compartment != 2:
                        with self.assertRaises(reader.Integrity):
                            reader.open_cell(cell, own.row, vault.log.tag, analyst.cks[2, 1], own.rk)
            for (_, compartment, epoch), (box, *_) in analyst.authority.grants.items():
                if compartment != 2:
                    with self.assertRaises(reader.Integrity):
                        context = vault.log.tag + reader.u16(compartment) + reader.u32(epoch)
                        reader.box_open(reader.CK_GRANT, maker.analyst.x_secret, context, box, "a grant of somebody else")

    def test_a_large_database_is_read_whole(self):
        maker, vault = makers[0], read[1]
        data = (maker.vault / "data.mdb").read_bytes()
        self.assertGreater(len(reader.Pages(data).seen), 1000)
        self.assertGreater(max(vault.records) // 256, 40)              # leaf nodes
        self.assertEqual(len(vault.records), IMPORTED + STAGED + 3)

    def test_an_open_vault_is_left_alone(self):
        maker = makers[1]
        with open(maker.vault / "FORMAT", "r+b") as held:
            reader.fcntl.fcntl(held, reader.fcntl.F_OFD_SETLK,
                               reader.struct.pack("hhqqi4x", reader.fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0))
            with self.assertRaises(reader.Busy):
                reader.Vault(maker.vault, maker.owner)


class RotatedTest(unittest.TestCase):
    def each(self, *stages):
        for (stage, who), (said, log, keys, vault, rows) in rotated.stages.items():
            if stage in stages or not stages:
                with self.subTest(stage=stage, who=who):
                    yield who, said, log, keys, vault, rows

    def test_each_reads_the_values_that_casevault_discloses_to_it(self):
        for who, said, _, _, vault, rows in self.each():
            found = {record["id"]: record["values"] for record in vault.document()["records"]}
            self.assertEqual(list(found), [one["id"] for one in said])
            for one, written in zip(said, rows, strict=True):
                wanted = {name: text for name, text in written.items() if name in READ_BY[who]}
                self.assertEqual({name: text for name, text in one["values"].items() if text is not None}, wanted)
                self.assertEqual(found[one["id"]], wanted)

    def test_epochs_and_their_cells_are_those_of_key_list(self):
        def identity(cells):
            return [(one["state"], bool(one["cells"])) for one in cells if one["compartment"] == "identity"]
        wanted = {"rotated": [("old", True), ("current", True)],
                  "rotated by the one who came later": [("old", True), ("old", True), ("current", True)],
                  "sealed anew": [("old", False), ("old", False), ("current", True)],
                  "destroyed": [("destroyed", False), ("old", False), ("current", True)]}
        for stage, states in wanted.items():
            for _, _, _, keys, vault, _ in self.each(stage):
                names = vault.authority.schema.compartments
                found = [one | {"compartment": names[one["compartment"]][0]} for one in vault.census()]
                self.assertCountEqual(found, keys)
                self.assertEqual(identity(found), states)

    def test_a_grant_of_the_newest_epoch_reaches_those_before_it_while_they_last(self):
        for stage, identity in (("rotated", {1, 2}), ("rotated by the one who came later", {1, 2, 3}), ("destroyed", {2, 3})):
            for who, _, _, _, vault, _ in self.each(stage):
                held = {1: identity, 64: {1, 2}} | ({} if who == "late" else {2: {1}}) | ({700: {1}} if who == "owner" else {})
                self.assertEqual(set(vault.cks), {(number, epoch) for number, epochs in held.items() for epoch in epochs})
                owners = rotated.stages[stage, "owner"][3].cks
                self.assertLessEqual(vault.cks.items(), owners.items())
                if who == "late":
                    granted = {(number, epoch) for own, number, epoch in vault.authority.grants if own == vault.own}
                    self.assertEqual(granted, {(1, epoch) for epoch in {2, *identity} - {1}} | {(64, 2)})

    def test_the_log_says_the_same_under_two_audit_epochs(self):
        for who, _, log, _, vault, _ in self.each():
            entries = vault.document()["entries"]
            self.assertEqual(len(entries), len(log))
            for own, theirs in zip(entries, log):
                details = theirs["details"]
                self.assertEqual((own["entry"], own["action"], own["outcome"], own["actor"], own["count"]),
                                 tuple(theirs[name] for name in ("entry", "action", "outcome", "actor", "count")))
                self.assertEqual((own["actor"], own["recipient"], own["note"], own["subjects"]),
                                 tuple(details[name] for name in ("actor", "recipient", "text", "records")))
            epochs = [int.from_bytes(entry.details[32:36], "big") for entry in vault.log.entries]
            opened = next(entry.number for entry in vault.log.entries if entry.payload and entry.payload[3][0][:3] == [5, 64, 2])
            self.assertEqual(epochs, [1] * (opened + 1) + [2] * (len(epochs) - opened - 1))       # itself under the one before
        actions = {own["action"] for own in entries}
        self.assertLessEqual({"key-rotate", "key-reencrypt", "key-census", "key-destroy", "tabulate", "release", "budget", "merge", "unmerge"}, actions)
        self.assertEqual((rotated.verified["ok"], rotated.verified["root"]), (True, vault.log.tree.root().hex()))

    def test_cells_sealed_anew_change_nothing_else_of_their_records(self):
        before, after = (rotated.stages[stage, "owner"][3].records for stage in ("rotated by the one who came later", "sealed anew"))
        self.assertEqual(list(before), list(after))
        for row_, old in before.items():
            new = after[row_]
            for name in ("rk", "stamp", "version", "created", "updated", "import_id", "unit"):
                self.assertEqual(getattr(new, name), getattr(old, name), name)
            self.assertEqual({cell.epoch for cell in new.cells if cell.compartment == 1}, {3})
            kept = [[(cell.salt, cell.data) for cell in one.cells if cell.compartment != 1] for one in (old, new)]
            self.assertEqual(*kept)
            salts = {cell.salt for one in (old, new) for cell in one.cells if cell.compartment == 1 and cell.epoch != 3}
            self.assertTrue(salts.isdisjoint(cell.salt for cell in new.cells))

    def test_no_older_copy_of_the_database_leads_to_an_erased_half(self):
        old, new = (rotated.stages[stage, "late"][3] for stage in ("sealed anew", "destroyed"))
        slot = old.authority.epochs[1, 1][3]
        self.assertTrue(old.keys.has_half(slot))
        self.assertFalse(new.keys.has_half(slot))
        self.assertEqual((new.state.generation, new.state.root_epoch), (old.state.generation + 1, old.state.root_epoch + 1))
        for level in (0, 1, 2):
            self.assertNotEqual(new.keys.key(2, level, 0), old.keys.key(2, level, 0))
        self.assertEqual(new.keys.key(1, 2, 0), old.keys.key(1, 2, 0))
        for erk, rows in ((new.keys.erk, old.keys.rows), (old.keys.erk, new.keys.rows)):
            with self.assertRaisesRegex(reader.Integrity, "does not verify"):
                reader.KeyTree({b"tree": rows}, new.log, erk)
        with self.assertRaisesRegex(reader.Integrity, "rolled back"):
            reader.read_erasure_root(rotated.vault / "erasure.root", old.log, old.state)


class RevokedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vaults = {who: reader.Vault(revoked.vault, getattr(revoked, who)) for who in ("owner", "analyst")}
        cls.names = {name: number for number, (name, _) in cls.vaults["owner"].authority.schema.compartments.items()}

    def read(self, who):
        return {record["id"]: record["values"] for record in self.vaults[who].document()["records"]}

    def test_each_reads_what_casevault_discloses_to_it(self):
        for who, said, fields in (("owner", revoked.disclosed, FIELDS), ("analyst", revoked.analysed, ["sex"])):
            found = self.read(who)
            self.assertEqual(list(found), [one["id"] for one in said["disclosures"]])
            for one, written in zip(said["disclosures"], revoked.rows, strict=True):
                wanted = {name: text for name, text in written.items() if name in fields}
                self.assertEqual({name: text for name, text in one["values"].items() if text is not None}, wanted)
                self.assertEqual(found[one["id"]], wanted)

    def test_a_revoked_officer_has_no_vault_key_and_an_analyst_whose_grant_was_ended_holds_no_epoch_of_it(self):
        with self.assertRaisesRegex(reader.NoGrant, "not granted"):
            reader.Vault(revoked.vault, revoked.officer)
        coded, audit, owners = self.names["coded"], self.names["audit"], self.vaults["owner"].cks
        held = {key: value for key, value in owners.items() if key[0] in (coded, audit)}
        self.assertEqual(self.vaults["analyst"].cks, held)
        principals = [(one.person.name, one.revoked is not None) for one in self.vaults["owner"].authority.principals.values()]
        self.assertEqual(principals, [("owner", False), ("officer", True), ("analyst", False)])

    def test_a_revocation_comes_with_a_new_vault_key_and_log_key_and_the_database_follows(self):
        vault = self.vaults["owner"]
        entry = next(one for one in vault.log.entries if one.payload and one.payload[3][0][0] == 3 and one.number)
        self.assertEqual((entry.epoch, [op[0] for op in entry.payload[3] if op[0] in (3, 10, 12)]), (2, [3, 12, 10]))
        self.assertEqual((vault.log.epoch, vault.state.vk_epoch), (revoked.status["vault_key_epoch"], revoked.status["vault_key_epoch"]))
        self.assertEqual((len(vault.log_keys), vault.log_keys[0], vault.log_key), (2, revoked.log_key, revoked.status["log_key"]))
        labels = {label for label, _ in reader.parse_grants(entry.grants, "test")[1]}
        self.assertEqual(labels, {reader.vk_label(getattr(revoked, who).person.x, vault.log.tag, 2) for who in ("owner", "analyst")})
        with self.assertRaises(reader.Integrity):                      # what the officer kept opens no entry after
            context = vault.log.context(entry)
            reader.vault_open(reader.LOG_LEAF, vault.log.vks[1], context, entry.leaf_sealed, "an entry after the revocation")

    def test_no_box_of_a_successor_is_for_whom_it_was_taken_from(self):
        authority = self.vaults["owner"].authority
        current = {number: authority.current(number) for number in self.names.values()}
        holders = {name: set(authority._granted(number, current[number])) for name, number in self.names.items()}
        self.assertEqual(holders, {"identity": {1}, "coded": {1, 3}, "story": {1}, "audit": {1, 3}})
        self.assertEqual((current[self.names["identity"]], current[self.names["coded"]]), (3, 2))
        for who, name in (("officer", "identity"), ("officer", "coded"), ("analyst", "identity")):
            number = self.names[name]
            bound = authority.tag + reader.u16(number) + reader.u32(current[number])
            for box, *_ in (authority.grants[one, number, current[number]] for one in holders[name]):
                with self.assertRaises(reader.Integrity):
                    reader.box_open(reader.CK_GRANT, getattr(revoked, who).x_secret, bound, box, "a grant of somebody else")

    def test_epochs_log_and_root_are_those_that_casevault_says(self):
        vault = self.vaults["owner"]
        found, names = vault.document(), vault.authority.schema.compartments
        self.assertCountEqual([one | {"compartment": names[one["compartment"]][0]} for one in vault.census()], revoked.keys)
        self.assertEqual((revoked.verified["ok"], revoked.verified["root"]), (True, found["root"]))
        for own, theirs in zip(found["entries"], revoked.log, strict=True):
            details = theirs["details"]
            self.assertEqual((own["entry"], own["action"], own["outcome"], own["actor"], own["count"]),
                             tuple(theirs[name] for name in ("entry", "action", "outcome", "actor", "count")))
            self.assertEqual((own["actor"], own["note"], own["subjects"]), tuple(details[name] for name in ("actor", "text", "records")))
        actions = [own["action"] for own in found["entries"]]
        self.assertLess(actions.index("principal-revoke"), actions.index("grant-revoke"))


class RenewedTest(unittest.TestCase):
    def each(self):
        for (stage, who), look in renewed.looks.items():
            with self.subTest(stage=stage, who=who):
                yield stage, who, *look

    def last(self, who="owner"):
        return renewed.looks["retired", who][-2]

    def test_each_reads_the_values_that_casevault_discloses_to_it(self):
        for _, _, said, fields, _, _, _, _, vault, rows in self.each():
            found = {record["id"]: record["values"] for record in vault.document()["records"]}
            self.assertEqual(list(found), [one["id"] for one in said])
            for one, written in zip(said, rows, strict=True):
                wanted = {name: text for name, text in written.items() if name in fields}
                self.assertEqual({name: text for name, text in one["values"].items() if text is not None}, wanted)
                self.assertEqual(found[one["id"]], wanted)

    def test_size_root_log_key_epochs_and_states_are_those_that_casevault_says(self):
        for _, _, _, _, _, keys, status, _, vault, _ in self.each():
            found, names = vault.document(), vault.authority.schema.compartments
            self.assertEqual(found["log_key"], status["log_key"])
            self.assertEqual(vault.log.epoch, status["vault_key_epoch"])
            self.assertEqual(reader.Tree(one.leaf_hash for one in vault.log.entries[:status["log_size"]]).root().hex(), status["root"])
            self.assertCountEqual([one | {"compartment": names[one["compartment"]][0]} for one in vault.census()], keys)
            self.assertEqual((found["pending"], found["not_applied"], found["erasure_root"]), ([], [], "idle"))
        self.assertEqual([one["state"] for one in keys if one["compartment"] == "identity"], ["retired", "current"])
        newest = reader.Vault(renewed.vault, renewed.owner)
        self.assertEqual((renewed.verified["ok"], renewed.verified["root"]), (True, newest.document()["root"]))
        self.assertEqual(newest.log_keys, renewed.log_keys)
        self.assertEqual(renewed.officer.pins[newest.id], newest.log_keys[4])              # that of the entry which gave it new keys
        self.assertEqual((newest.log.epoch, newest.state.vk_epoch), (6, 6))

    def test_roles_rights_and_ends_of_grants_are_those_of_principal_list(self):
        for _, _, _, _, _, _, _, people, vault, _ in self.each():
            authority, names = vault.authority, vault.authority.schema.compartments
            self.assertEqual([(one.person.name, one.role, one.revoked) for one in authority.principals.values()],
                             [(one["name"], one["role"], one["revoked"]) for one in people])
            for number, said in enumerate(people, 1):
                own = {names[compartment][0]: rights for compartment in names
                       for one, rights in authority._live(compartment, authority.current(compartment)).items() if one == number}
                self.assertCountEqual(own, said["grants"])
                self.assertCountEqual([name for name, (may_grant, _) in own.items() if may_grant], said["may_grant"])
                self.assertEqual({name: rfc3339(expires) for name, (_, expires) in own.items() if expires}, said["expires"])

    def test_the_log_says_the_same_under_all_vault_keys(self):
        for stage, who, _, _, log, _, _, _, vault, _ in self.each():
            entries = vault.document()["entries"]
            for own, theirs in zip(entries, log):                      # the reader looked before the two newest were written
                details = theirs["details"]
                self.assertEqual((own["entry"], own["action"], own["outcome"], own["actor"], own["count"]),
                                 tuple(theirs[name] for name in ("entry", "action", "outcome", "actor", "count")))
                self.assertEqual((own["actor"], own["recipient"], own["note"], own["subjects"]),
                                 tuple(details[name] for name in ("actor", "recipient", "text", "records")))
        actions = [own["action"] for own in entries]
        self.assertLessEqual({"key-vault", "principal-rekey", "key-retire", "grant-add"}, set(actions))
        self.assertEqual({entry.epoch for entry in vault.log.entries}, set(range(1, 7)))

    def test_receipts_under_every_log_key_hold_for_both(self):
        vault = reader.Vault(renewed.vault, renewed.owner)
        for log_key, receipt in renewed.receipts:
            size = vault.check_receipt(log_key, receipt.read_bytes())["size"]
            said = renewed.run("owner", "receipt", "verify", receipt, "--log-key", renewed.write("log_key", log_key.encode() + b"\n"))
            self.assertEqual((said["ok"], said["size"]), (True, size))

    def test_old_keys_of_a_principal_open_nothing_after_the_new_ones(self):
        with self.assertRaisesRegex(reader.NoGrant, "not granted"):
            reader.Vault(renewed.vault, renewed.before)
        owners, own = self.last(), self.last("officer")
        self.assertEqual((own.own, own.authority.principals[2].person), (2, renewed.officer.person))
        self.assertLessEqual(own.cks.items(), owners.cks.items())
        for (number, compartment, epoch), (box, *_) in owners.authority.grants.items():
            if number == 2:
                context = owners.log.tag + reader.u16(compartment) + reader.u32(epoch)
                with self.assertRaises(reader.Integrity):
                    reader.box_open(reader.CK_GRANT, renewed.before.x_secret, context, box, "a grant to the new keys")

    def test_records_written_after_a_new_vault_key_lie_under_nodes_that_nobody_knew_before(self):
        before, after = (renewed.looks[stage, "owner"][-2] for stage in ("a new vault key", "retired"))
        leaves = {row_ // 256 for row_ in before.records}
        self.assertTrue(leaves.isdisjoint(row_ // 256 for row_ in set(after.records) - set(before.records)))
        self.assertNotEqual(before.keys.key(1, 2, 0), after.keys.key(1, 2, 0))
        self.assertEqual(before.keys.key(1, 0, min(leaves)), after.keys.key(1, 0, min(leaves)))
        self.assertNotEqual(before.keys.erk, after.keys.erk)


class FollowedTest(unittest.TestCase):
    def test_the_database_follows_new_keys_at_the_next_write_of_any_kind(self):
        for kind, ((epoch, old, *_), (newest, followed_to, _, _, done)) in followed.found.items():
            with self.subTest(kind):
                self.assertLess(old, epoch)
                self.assertEqual((followed_to, newest - epoch), (newest, kind in ("key-vault", "principal-revoke")))
                self.assertIn(kind, done)
        self.assertTrue(followed.verified["ok"])

    def test_the_invitation_of_new_keys_names_the_log_key_that_came_with_them(self):
        for kind, ((_, _, pinned, log_keys, _), _) in followed.found.items():
            with self.subTest(kind):
                self.assertEqual(pinned, log_keys[-1])
        reader.Vault(followed.vault, followed.officer)


class QuorumTest(unittest.TestCase):
    def test_any_two_shares_open_the_owner_and_one_or_others_do_not(self):
        data, lines = (quorum.folder / "owner.identity").read_bytes(), [path.read_text() for path in quorum.shares]
        self.assertEqual(len(lines), 3)
        for chosen in ((0, 1), (0, 2), (2, 1), (2, 1, 0)):
            identity = reader.open_identity(data, shares=[lines[index] for index in chosen])
            self.assertEqual(identity.person.name, "owner")
        for words, fault in ((lines[:1], reader.WrongKey), (lines[:1] * 2, reader.Integrity), ([], reader.WrongKey)):
            with self.assertRaises(fault):
                reader.open_identity(data, shares=words)
        for at in range(4, 183, 7):                                    # every character is checked
            other = lines[0][:at] + ("q" if lines[0][at] != "q" else "p") + lines[0][at + 1:]
            with self.subTest(at), self.assertRaises(reader.Fault):
                reader.open_identity(data, shares=[other, lines[1]])
        with self.assertRaises(reader.WrongKey):
            reader.open_identity(data, PASSPHRASE)

    def test_the_vault_of_a_quorum_is_read_as_casevault_says(self):
        identity = reader.open_identity((quorum.folder / "owner.identity").read_bytes(), shares=[one.read_text() for one in quorum.shares])
        found = reader.Vault(quorum.vault, identity).document()
        self.assertEqual((found["size"], found["root"], found["log_key"]),
                         (quorum.status["log_size"], quorum.status["root"], quorum.status["log_key"]))
        self.assertEqual([(one["id"], one["values"]) for one in found["records"]], [(quorum.id, {"full_name": "Một", "sex": "male"})])


class ForgedTest(unittest.TestCase):
    """Chains that somebody else wrote by the page, put before the command."""

    def setUp(self):
        self.identity = Path(scratch.name) / "forger"
        self.identity.mkdir(mode=0o700)
        self.addCleanup(forged.shutil.rmtree, self.identity)
        for name, data in (("owner", identity_file(forged.owner)[1].encode()), ("analyst", identity_file(forged.analyst)[1].encode()),
                           ("passphrase", PASSPHRASE)):
            (self.identity / name).write_bytes(data)
            (self.identity / name).chmod(0o600)

    def run_on(self, vault, *words, who="owner"):
        """Exit status and what is said, without an anchor of another forgery."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS")}
        done = subprocess.run([COMMAND, *words, "--vault", vault, "--identity", self.identity / who, "--passphrase-file",
                               self.identity / "passphrase", "--no-input", "--json"], capture_output=True, stdin=subprocess.DEVNULL,
                              check=False, timeout=250, env={**kept, "LC_ALL": "C.UTF-8", "HOME": str(vault.parent),
                                                             "XDG_STATE_HOME": str(vault.parent / "state")})
        return done.returncode, done.stdout.decode()

    def disclosed_to_analyst(self, vault):
        """Exit status of a disclosure to the analyst, and whether the reader has that value for it."""
        record = reader.Vault(vault, forged.analyst).document()["records"][0]
        status, _ = self.run_on(vault, "disclose", record["id"], "--fields", "sex", "--purpose", "statistics", "--basis",
                                "state_agency_duty", "--to", "x", "--to-class", "oversight_body", who="analyst")
        return status, "sex" in record["values"]

    def test_casevault_refuses_the_chains_that_the_reader_refuses(self):
        for why, signer, payloads, _ in forged.FORGED:
            with forged.Copy() as folder, self.subTest(why):
                forged.forged_vault(folder, signer, payloads)
                status, said = self.run_on(folder, "audit", "verify")
                self.assertEqual((status, json.loads(said)["ok"]), (8, False), said)

    def test_casevault_refuses_a_batch_of_one_who_was_revoked(self):
        for after in (0, 3):
            with forged.Copy() as folder, self.subTest(after=after):
                forged.revoked_batch(folder, after=after)
                status, said = self.run_on(folder, "audit", "verify")
                self.assertEqual((status, json.loads(said)["ok"]), (8, False), said)

    def test_casevault_takes_the_chains_that_the_reader_takes(self):
        for why, signer, payloads in forged.FORGED_AND_READ:
            with forged.Copy() as folder, self.subTest(why):
                forged.forged_vault(folder, signer, payloads)
                size = len(reader.Vault(folder, forged.owner).log.entries)
                status, said = self.run_on(folder, "audit", "verify")
                self.assertEqual((status, json.loads(said)["ok"], json.loads(said)["size"]), (0, True, size), said)

    def test_casevault_refuses_the_state_rows_that_the_reader_refuses(self):
        makes = [(why, lambda folder, change=change: forged.with_state_row(folder, change)) for why, change, _ in forged.state_rows()]
        for why, make in [*makes, ("an older one", forged.older_state_row)]:
            with forged.Copy() as folder, self.subTest(why):
                make(folder)
                status, said = self.run_on(folder, "audit", "verify")
                self.assertEqual((status, json.loads(said)["ok"]), (8, False), said)

    def test_casevault_takes_a_checkpoint_of_a_replaced_log_key_as_far_as_the_reader_does(self):
        with forged.Copy() as folder:
            vault = forged.replaced_log_keys(folder)
            for key, size, good in forged.LOG_KEYS:
                anchor = self.identity / "anchor"
                anchor.write_bytes(forged.checkpoint(vault, key, size))
                with self.subTest(key=key, size=size):
                    status, said = self.run_on(folder, "audit", "verify", "--anchor", anchor)
                    self.assertEqual((status, json.loads(said)["ok"]), (0, True) if good else (8, False), said)

    def test_a_grant_that_expired_discloses_nothing_to_its_holder(self):
        for expires, found in ((1, (4, False)), (forged.FAR, (0, True))):
            with forged.Copy() as folder, self.subTest(expires=expires):
                forged.forged_vault(folder, 1, lambda f: forged.given_anew(f, False, expires))
                self.assertEqual(self.disclosed_to_analyst(folder), found)

    def test_a_grant_given_again_keeps_its_first_box(self):
        with forged.Copy() as folder:
            forged.forged_vault(folder, 1, lambda f: [[[6, 2, f.shared(), 1, bytes(200), True, 0]]])
            self.assertEqual(self.disclosed_to_analyst(folder), (0, True))

    def test_casevault_refuses_a_vault_key_for_one_whose_certification_never_reached_the_database(self):
        for outsider, wanted in ((False, (0, True)), (True, (8, False))):
            with forged.Copy() as folder, self.subTest(outsider=outsider):
                forged.unapplied_principal(folder, outsider)
                status, said = self.run_on(folder, "audit", "verify")
                self.assertEqual((status, json.loads(said)["ok"]), wanted, said)

    def test_doctor_names_the_cells_that_the_reader_counts_under_a_retired_epoch(self):
        with forged.Copy() as folder:
            name = forged.retired_too_early(folder).vault.authority.schema.compartments[9][0]
            vault = reader.Vault(folder, forged.owner)
            (told,) = (one["cells"] for one in vault.census() if one["state"] == "retired")
            status, said = self.run_on(folder, "doctor")
            named = [one["where"] for one in json.loads(said)["findings"] if one["severity"] == "error" and f"{name}:1" in one["what"]]
            under = [reader.record_id(vault.authority.id_key, row_) for row_, record in vault.records.items()
                     if any((cell.compartment, cell.epoch) == (9, 1) for cell in record.cells)]
            self.assertEqual((status, len(under)), (8, told))
            self.assertCountEqual(named, [f"record {one}" for one in under])

    def test_casevault_destroys_an_epoch_beside_a_second_leaf_node_of_halves(self):
        with forged.Copy() as folder:
            forge = forged.forged_vault(folder, 2, lambda f: [f.successor(slot=300)])
            number, old = forge.shared(), reader.Vault(folder, forged.owner)
            name = old.authority.schema.compartments[number][0]
            for words in (("key", "reencrypt"), ("key", "destroy", name, "1", "--confirm", name + ":1"), ("audit", "verify")):
                self.assertEqual(self.run_on(folder, *words)[0], 0, words)
            new = reader.Vault(folder, forged.owner)
            self.assertEqual(new.document()["records"], old.document()["records"])
            self.assertEqual(new.keys.half(300), old.keys.half(300))
            self.assertEqual(new.keys.key(2, 0, 1), old.keys.key(2, 0, 1))
            self.assertNotEqual(new.keys.key(2, 0, 0), old.keys.key(2, 0, 0))
            self.assertFalse(new.keys.has_half(old.authority.epochs[number, 1][3]))
            self.assertEqual(set(new.cks), set(old.cks) - {(number, 1)})


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        COMMAND = sys.argv.pop(1)
    unittest.main()
