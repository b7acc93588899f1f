#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the second reader over the golden vault and the vectors, and attacks it.

SECOND_READER_GOLDEN (a tar.gz, or a folder that holds `vault`, the identities, `log_key` and `receipt`), SECOND_READER_EXPECTED,
SECOND_READER_VECTORS and SECOND_READER_FLIPS (flips a file; 0 = every byte that matters) override the constants below.
"""
import base64
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import lmdb

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import second_reader as reader                                                                   # noqa: E402

GOLDEN = Path(os.environ.get("SECOND_READER_GOLDEN", HERE / "../golden/vault_v1.tar.gz"))
EXPECTED = Path(os.environ.get("SECOND_READER_EXPECTED", HERE / "../golden/expected.json"))
VECTORS = Path(os.environ.get("SECOND_READER_VECTORS", HERE / "../format/vectors.txt"))
FLIPS = int(os.environ.get("SECOND_READER_FLIPS", "60"))
PASSPHRASE = b"golden vault, public passphrase"
DIAGNOSTICS = ("erasure_root", "torn_batch")      # what a reader says about damage that the page lets it live with


def setUpModule():
    """Unpacks the golden vault once and opens its identities once (Argon2id is slow on purpose)."""
    global scratch, golden, owner, analyst, expected, log_key, receipt
    scratch = tempfile.TemporaryDirectory()
    golden = GOLDEN
    if GOLDEN.is_file():
        with tarfile.open(GOLDEN) as archive:
            for member in archive.getmembers():                    # ours, whoever packed it: a reader refuses foreign files
                member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
                archive.extract(member, scratch.name)
        golden = next(Path(scratch.name).rglob("FORMAT")).parent.parent
    owner, analyst = (reader.open_identity((golden / f"{name}.identity").read_bytes(), PASSPHRASE)
                      for name in ("owner", "analyst"))
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
    log_key, receipt = (golden / "log_key").read_text().strip(), (golden / "receipt").read_bytes()


def tearDownModule():
    scratch.cleanup()


def document(folder, identity=None, anchored=True):
    vault = reader.Vault(folder, identity or owner)
    if anchored:
        vault.check_receipt(log_key, receipt)
    return vault.document()


class Copy:
    """A copy of the golden vault that a test may change."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.vault = Path(self.folder.name) / "vault"
        shutil.copytree(golden / "vault", self.vault)
        return self.vault

    def __exit__(self, *_):
        self.folder.cleanup()


class VectorsTest(unittest.TestCase):
    def test_every_line(self):
        count, differences = reader.check_vectors(VECTORS.read_text(encoding="utf-8"))
        self.assertEqual(differences, [])
        self.assertGreater(count, 50)

    def test_a_changed_line_is_seen(self):
        lines = VECTORS.read_text(encoding="utf-8").splitlines()
        for index, line in enumerate(lines):
            name = line.split(" = ")[0]
            if name not in reader.INPUTS:
                end = -1 if line.endswith('"') else len(line)
                other = line[:end][:-1] + ("0" if line[:end][-1] != "0" else "1") + line[end:]
                changed = [*lines[:index], other, *lines[index + 1:]]
                with self.subTest(name):
                    self.assertTrue(reader.check_vectors("\n".join(changed))[1])

    def test_bytes_that_must_be_rejected(self):
        for data in ("1800", "190001", "1a00000001", "3bffffffffffffffff", "5f40ff", "9f00ff", "c000", "f90000", "f7", "f818",
                     "61ff", "63eda080", "82", "8200", "a20200", "a201000100", "a202000100", "a16100", "81" * 17 + "00",
                     "9b0000000100000000", "0000", ""):
            with self.subTest(cbor=data), self.assertRaises(reader.Integrity):
                reader.cbor(bytes.fromhex(data))
        reader.cbor(bytes.fromhex("81" * 16 + "00"))
        for data in ("8000", "ff" * 10, "80" * 10 + "00", "ffffffffffffffffff02", "80"):
            with self.subTest(varint=data), self.assertRaises(reader.Integrity):
                reader.Cursor(bytes.fromhex(data), "test").varint()
        for text in ("QQ", "QR==", "Q Q=", "QQ==\n", "-_=="):
            with self.subTest(base64=text), self.assertRaises(reader.Integrity):
                reader.unbase64(text, "test")
        for text in ("8" + "0" * 25, "0" * 25, "U" + "0" * 25, "0" * 27):
            with self.subTest(id=text), self.assertRaises(reader.Integrity):
                reader.uncrockford(text)


class GoldenTest(unittest.TestCase):
    def test_owner_gets_everything(self):
        found = document(golden / "vault")
        values = {record["id"]: record["values"] for record in found["records"]}
        self.assertEqual(values, dict(zip(expected["ids"], expected["records"])))
        self.assertEqual((found["id"], found["size"], found["root"]), (expected["id"], expected["size"], expected["root"]))
        self.assertFalse(any(record["sealed"] for record in found["records"]))
        self.assertTrue(all(entry["actor"] == "owner" for entry in found["entries"]))
        self.assertEqual((found["torn_batch"], found["erasure_root"], found["log_key"]), (False, "idle", log_key))

    def test_analyst_gets_one_compartment_and_nothing_else(self):
        vault = reader.Vault(golden / "vault", analyst)
        fields = vault.authority.schema.types[1][1].values()
        (own,) = {vault.authority.schema.compartments[number][0] for number, _ in vault.cks}
        open_to_it = {name for name, _, number in fields if vault.authority.schema.compartments[number][0] == own}
        owned = {record["id"]: record for record in document(golden / "vault")["records"]}
        for record in vault.document()["records"]:
            all_values = owned[record["id"]]["values"]
            self.assertEqual(record["values"], {name: text for name, text in all_values.items() if name in open_to_it})
            self.assertNotIn(own, record["sealed"])
        self.assertFalse(any("actor" in entry for entry in vault.document()["entries"]))
        for record in vault.records.values():                     # a key of the one compartment opens no other
            for cell in record.cells:
                if (cell.compartment, cell.epoch) not in vault.cks:
                    with self.assertRaises(reader.Integrity):
                        reader.open_cell(cell, record.row, vault.log.tag, next(iter(vault.cks.values())), record.rk)
        for (_, compartment, epoch), (box, _) in vault.authority.grants.items():
            if (compartment, epoch) not in vault.cks:
                with self.assertRaises(reader.Integrity):
                    context = vault.log.tag + reader.u16(compartment) + reader.u32(epoch)
                    reader.box_open(reader.CK_GRANT, analyst.x_secret, context, box, "a grant of somebody else")

    def test_nothing_is_written(self):
        with Copy() as vault:
            before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in vault.rglob("*") if path.is_file()}
            document(vault)
            after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in vault.rglob("*") if path.is_file()}
            self.assertEqual(before, after)

    def test_command_line(self):
        secret = Path(scratch.name) / "passphrase"
        for words, passphrase, status, name in ((["--json"], PASSPHRASE + b"\n", 0, ""), ([], b"another", 3, "wrong key: ")):
            secret.write_bytes(passphrase)
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                found = reader.main([str(golden / "vault"), "--identity", str(golden / "owner.identity"),
                                     "--passphrase-file", str(secret), "--log-key", str(golden / "log_key"),
                                     "--receipt", str(golden / "receipt"), *words])
            self.assertEqual(found, status)
            self.assertTrue(err.getvalue().startswith(name) and err.getvalue().count("\n") == bool(name))
            if not status:
                self.assertEqual(json.loads(out.getvalue())["root"], expected["root"])

    def test_a_stranger_has_no_grant(self):
        x_secret, seed = os.urandom(32), os.urandom(32)
        person = reader.Person("stranger", reader.x_public(x_secret), reader.ed_public(seed))
        with self.assertRaises(reader.Untrusted):                                                # not pinned
            reader.Vault(golden / "vault", reader.Identity(person, x_secret, seed, {}))
        with self.assertRaises(reader.NoGrant):
            reader.Vault(golden / "vault", reader.Identity(person, x_secret, seed, {}), bytes.fromhex(expected["id"]))

    def test_an_identity_that_was_changed(self):
        text = (golden / "owner.identity").read_bytes()
        head, *lines = text.split(b"\n")
        data = base64.b64decode(b"".join(lines))
        string, table, body = reader.cbor(data)
        (slot,) = reader.cbor(table)
        cheaper = [slot[0], slot[1], 1, 64 << 10, *slot[4:]]
        unknown = [2, *slot[1:]]
        for slots, changed, fault in (([cheaper], body, reader.WrongKey), ([unknown], body, reader.WrongKey),
                                      ([slot, unknown], body, reader.Integrity),
                                      ([slot[:2] + [9] + slot[3:]], body, reader.Unsupported),
                                      ([slot[:3] + [1 << 32] + slot[4:]], body, reader.Integrity),
                                      ([slot], body[:-1] + bytes([body[-1] ^ 1]), reader.Integrity)):
            packed = base64.b64encode(reader.encode([string, reader.encode(slots), changed]))
            wrapped = b"".join(packed[at:at + 76] + b"\n" for at in range(0, len(packed), 76))
            with self.assertRaises(fault):
                reader.open_identity(head + b"\n" + wrapped, PASSPHRASE)


class FolderTest(unittest.TestCase):
    def refuse(self, change, fault=reader.Integrity):
        with Copy() as vault:
            change(vault)
            with self.assertRaises(fault):
                document(vault)

    def test_modes_links_and_names(self):
        self.refuse(lambda vault: (vault / "data.mdb").chmod(0o640))
        self.refuse(lambda vault: (vault / "log").chmod(0o750))
        self.refuse(lambda vault: vault.chmod(0o711))
        self.refuse(lambda vault: os.link(vault / "erasure.root", vault / "second.name"))
        self.refuse(lambda vault: ((vault / "log/00000000.log").rename(vault / "moved"),
                                   (vault / "log/00000000.log").symlink_to(vault / "moved")))

    def test_format_line(self):
        def write(data):
            return lambda vault: (vault / "FORMAT").write_bytes(data)
        line = (golden / "vault/FORMAT").read_bytes()
        self.refuse(write(line.replace(b"casevault 1", b"casevault 2")), reader.Unsupported)
        self.refuse(write(line.replace(b"0.9", b"1.0")), reader.Unsupported)
        self.refuse(write(line + b"\n"))
        self.refuse(write(line[:-1]))
        self.refuse(write(b"vault 1"))

    def test_missing_files(self):
        for name in ("FORMAT", "data.mdb", "erasure.root", "log/00000000.log"):
            self.refuse(lambda vault: (vault / name).unlink())
        self.refuse(lambda vault: (vault / "log/00000000.log").rename(vault / "log/00000001.log"))

    def test_an_erasure_root_cut_short_is_enough(self):
        with Copy() as vault:
            os.truncate(vault / "erasure.root", 125)
            self.assertEqual(document(vault)["records"], document(golden / "vault")["records"])
            os.truncate(vault / "erasure.root", 124)
            with self.assertRaises(reader.Integrity):
                document(vault)


class FlipTest(unittest.TestCase):
    """A flipped bit gives an error or, where the page calls the bytes meaningless, the same document; never another value."""

    def flip(self, name, offsets, anchored=True):
        good = document(golden / "vault")
        good = {key: value for key, value in good.items() if key not in DIAGNOSTICS}
        refused = 0
        with Copy() as vault:
            original = (vault / name).read_bytes()
            for at in offsets:
                changed = bytearray(original)
                changed[at] ^= 1 << random.randrange(8)
                (vault / name).write_bytes(changed)
                try:
                    found = document(vault, anchored=anchored)
                except reader.Fault:
                    refused += 1
                    continue
                found = {key: value for key, value in found.items() if key not in DIAGNOSTICS}
                if not anchored:                                   # damage of the very last batch looks like a torn one
                    found["entries"] += good["entries"][len(found["entries"]):]
                    found["size"], found["root"] = good["size"], good["root"]
                self.assertEqual(found, good, f"{name}: byte {at}")
        return refused, len(offsets)

    def sample(self, offsets):
        offsets = list(offsets)
        return offsets if not FLIPS else random.sample(offsets, min(FLIPS, len(offsets)))

    def setUp(self):
        random.seed(1)
        log = reader.Log(golden / "vault/log", owner)
        self.end = reader.scan((golden / "vault/log/00000000.log").read_bytes(), 0, log.segments[0].start, False)[1]
        self.last = log.entries[-1].position[1]

    def test_log(self):
        refused, count = self.flip("log/00000000.log", self.sample(range(self.end)))
        self.assertEqual(refused, count)
        self.flip("log/00000000.log", self.sample(range(self.end, self.end + 4096)))
        self.flip("log/00000000.log", self.sample(range(self.last, self.end)), anchored=False)

    def test_database(self):
        data = (golden / "vault/data.mdb").read_bytes()
        pages = reader.Pages(data)
        used = [at for page in sorted(pages.seen) for at in range(page * pages.page_size, (page + 1) * pages.page_size)]
        self.flip("data.mdb", self.sample(range(len(data))))
        refused, count = self.flip("data.mdb", self.sample(at for at in used if data[at]))
        self.assertGreater(refused, count * 9 // 10)

    def test_erasure_root(self):
        places = (0, 4096, 1 << 20, (1 << 20) + 4096)
        self.assertEqual(self.flip("erasure.root", self.sample(place + at for place in places for at in range(125)))[0], 0)

    def test_format(self):
        refused, count = self.flip("FORMAT", range(86))
        self.assertGreaterEqual(refused, count - 64)               # a flip may change the case of a hex digit

    def test_identity(self):
        text = (golden / "owner.identity").read_bytes()
        for at in random.sample(range(len(text)), 8):
            changed = bytearray(text)
            changed[at] ^= 1 << random.randrange(8)
            with self.assertRaises(reader.Fault):
                reader.open_identity(bytes(changed), PASSPHRASE)

    def test_receipt(self):
        vault = reader.Vault(golden / "vault", owner)
        for at in range(len(receipt)):
            changed = bytearray(receipt)
            changed[at] ^= 1 << random.randrange(8)
            with self.subTest(at), self.assertRaises(reader.Fault):
                vault.check_receipt(log_key, bytes(changed))


class DatabaseTest(unittest.TestCase):
    def test_large_trees_with_replaced_and_deleted_values(self):
        """The walk sees what LMDB sees, in files larger than any sample's."""
        random.seed(3)
        path = Path(scratch.name) / "large" / "data.mdb"
        with lmdb.open(str(path.parent), lock=False, max_dbs=4, map_size=1 << 26) as env:
            tables = [env.open_db(name) for name in reader.TABLES]
            for _ in range(4):
                with env.begin(write=True) as transaction:
                    for _ in range(900):
                        table, size = random.choice(tables), random.choice((10, 60, 300, 2500, 9000))
                        transaction.put(reader.u64(random.randrange(3000)), os.urandom(size), db=table)
                        transaction.delete(reader.u64(random.randrange(3000)), db=table)
        path.chmod(0o600)
        self.assertGreater(sum(map(len, reader.read_tables(path).values())), 1000)

    def test_a_file_may_end_before_its_last_page(self):
        path = Path(scratch.name) / "short" / "data.mdb"
        with lmdb.open(str(path.parent), lock=False, max_dbs=4, map_size=1 << 26) as env:
            tables = [env.open_db(name) for name in reader.TABLES]
            with env.begin(write=True) as transaction:
                for number in range(200):
                    transaction.put(reader.u64(number), bytes(9000), db=tables[1])
                for number in range(200):
                    transaction.delete(reader.u64(number), db=tables[1])
        path.chmod(0o600)
        pages = reader.Pages(path.read_bytes())
        self.assertGreater((pages.last + 1) * pages.page_size, path.stat().st_size)
        self.assertEqual(sum(map(len, reader.read_tables(path).values())), 0)


class Forge:
    """Appends batches to a log as section 8 describes them: what no sample vault holds, a reader must still read."""

    def __init__(self, folder):
        self.folder = folder
        self.vault = reader.Vault(folder, owner)
        self.log = self.vault.log
        self.segment = len(self.log.segments) - 1
        self.data = (folder / f"log/{self.segment:08}.log").read_bytes()
        self.at = reader.scan(self.data, self.segment, self.log.segments[-1].start, False)[1]
        self.data = self.data[:self.at]
        self.state, self.tree = list(self.log.state), self.log.tree

    def position(self):
        return reader.u32(self.log.grants_at[0]) + reader.u32(self.log.grants_at[1])

    def seal(self, lab, context, plain):
        return reader.env_seal(lab, self.log.vk, context, plain, os.urandom(24))

    @staticmethod
    def padded(data, multiple):
        return data + bytes(-len(data) % multiple)

    def details(self, context, openings):
        deposit = self.vault.authority.epochs[64, 1][2]
        e, common = os.urandom(32), os.urandom(32) + reader.encode([*openings, "", "", "", {}])
        public = reader.x_public(e)
        inside = self.padded(reader.block(common) + reader.u8(0), 128)
        shared = reader.d32(reader.DETAILS, reader.x25519(e, deposit), public)
        sealed = reader.env_seal(reader.DETAILS, shared, context + public, inside, os.urandom(24))
        return public + reader.u32(1) + reader.block(sealed) + reader.u8(0), reader.commit(reader.C_DETAILS, common)

    def entry(self, offset, action, ops=None, write=None, time=None):
        number = self.tree.size
        context = self.log.tag + reader.u64(number) + reader.u32(1)
        openings = [os.urandom(32) + reader.encode(value) for value in ([1, "owner"], [0, []])] + [os.urandom(32)]
        details, commitment = self.details(context, openings)
        time = time or self.state[6] + 1
        leaf = [1, action, 0, time, "", "", 1, *map(reader.commit, (reader.C_ACTOR, reader.C_SUBJECTS, reader.C_FIELDS),
                                                    (openings[0], openings[2], openings[1])), commitment, None, None]
        authority = opened = b""
        if ops:
            previous = [self.state[0] - 1, self.state[3], *self.state[1:3]]
            payload = reader.encode([os.urandom(32), 1, previous, ops, bytes(64)])[:-66]
            signature = reader.ed_sign(owner.ed_seed, reader.AUTHORITY_SIGN + self.log.tag + payload)
            payload += reader.encode(signature)
            leaf[11] = reader.commit(reader.C_AUTHORITY, payload + reader.sha256(b""))
            authority = self.seal(reader.AUTHORITY, context, self.padded(reader.block(payload), 256))
        if write:
            opening = os.urandom(32) + reader.encode(write)
            leaf[12] = reader.commit(reader.C_WRITE, opening)
            opened = self.seal(reader.LOG_WRITE, context, self.padded(reader.u16(len(opening)) + opening, 32))
        leaf = reader.encode(leaf)
        hashed = reader.leaf_hash(leaf)
        if ops:
            self.state[:4] = [number + 1, self.segment, offset, hashed]
        if write:
            self.state[4] = number + 1
        if ops and ops[0][0] == 7:
            self.state[4] = self.state[5]
        self.state[6] = time
        self.tree.add(hashed)
        sealed = self.seal(reader.LOG_LEAF, context, self.padded(reader.u16(len(leaf)) + leaf, 128))
        body = b"".join(map(reader.block, (sealed, b"", authority, opened, details)))
        return reader.u8(1) + hashed + reader.u32(1) + body, hashed

    def batch(self, *entries):
        """Each entry: keyword arguments of entry()."""
        start, before, root, hashes = self.at, self.tree.size, self.tree.root(), b""
        for arguments in entries:
            body, hashed = self.entry(self.at, **arguments)
            hashes += hashed
            self.frame(body, start, 0)
        signed = self.log.tag + reader.u64(before) + root + reader.u64(len(entries)) + hashes
        closing = [1, before, root, len(entries), reader.ed_sign(owner.ed_seed, reader.LOG_BATCH + signed), self.state]
        bound = self.log.tag + reader.u64(before) + reader.u32(1) + self.position()
        self.frame(reader.u8(2) + reader.u32(1) + self.position() + reader.u64(before)
                   + reader.block(self.seal(reader.LOG_CLOSE, bound, reader.encode(closing))), start, 1)
        return self

    def frame(self, body, start, flags):
        head = reader.u32(len(body)) + reader.u32(start) + reader.u8(flags)
        checked = reader.u32(self.segment) + reader.u32(self.at) + head + body
        self.data += head + reader.u64(reader.crc64(checked)) + body
        self.at += 17 + len(body)

    def next_segment(self, void=b""):
        """Closes the segment, with something void behind its end, and begins the next."""
        self.save(void)
        bound = self.log.tag + reader.u64(self.tree.size) + reader.u32(1) + self.position()
        sealed = self.seal(reader.LOG_SEGMENT, bound + self.tree.root(), reader.encode(self.state))
        header = (reader.u64(self.tree.size) + self.log.tag + self.position() + reader.u32(1) + reader.u8(len(self.tree.roots))
                  + b"".join(self.tree.roots) + reader.block(sealed))
        self.segment += 1
        self.data = b"CVLOG1\n\0" + reader.u32(self.segment) + reader.u32(self.at) + reader.block(header)
        self.data += reader.u64(reader.crc64(self.data))
        self.at = len(self.data)
        return self

    def save(self, behind=bytes(5000)):
        path = self.folder / f"log/{self.segment:08}.log"
        path.write_bytes(self.data + behind)
        path.chmod(0o600)
        return self


class ForgedLogTest(unittest.TestCase):
    SHOWN = {"action": 5}                                                                         # a disclose entry
    WRITE = {"action": 2, "write": [3, 1, 1, bytes(16), False, 0]}                                # an add that never committed

    def setUp(self):
        self.good = document(golden / "vault")

    def refuse(self, folder, text):
        with self.assertRaisesRegex(reader.Integrity, text):
            document(folder)

    def test_more_batches_and_segments(self):
        with Copy() as folder:
            forge = Forge(folder).batch(self.SHOWN, self.SHOWN).next_segment(void=b"\x01" * 300)
            forge.batch(self.SHOWN).batch(self.SHOWN)
            found = document(forge.save().folder)
            self.assertEqual((found["size"], found["records"]), (self.good["size"] + 4, self.good["records"]))
            self.assertEqual(found["root"], forge.tree.root().hex())
            first = folder / "log/00000000.log"
            data = bytearray(first.read_bytes())
            data[-400] ^= 1                                       # the last batch of a segment that is not the last
            first.write_bytes(data)
            self.refuse(folder, "damaged")

    def test_torn_batches(self):
        with Copy() as folder:
            forge = Forge(folder)
            first = forge.at
            forge.batch(self.SHOWN)
            second = forge.at
            forge.batch(self.SHOWN)
            whole, size = forge.data, self.good["size"]
            forge.data = whole[:-1]
            found = document(forge.save().folder)
            self.assertEqual((found["size"], found["torn_batch"]), (size + 1, True))
            for at in (first, first + 40, second - 1):             # damage before a batch that was acknowledged
                forge.data = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]
                self.refuse(forge.save().folder, "damaged")
            forge.data = whole[:second]
            self.assertEqual(document(forge.save().folder)["size"], size + 1)

    def test_a_write_that_never_reached_the_database(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.batch(self.WRITE)
            self.assertEqual(document(forge.save().folder)["records"], self.good["records"])
            number = forge.tree.size - 1
            forge.batch({"action": 8, "ops": [[7, number]]}).batch(self.SHOWN)
            found = document(forge.save().folder)
            self.assertEqual((found["records"], found["not_applied"]), (self.good["records"], [number]))

    def test_marks_that_must_be_refused(self):
        for entries, text in (([self.SHOWN, {"action": 8, "ops": [[7, 5]]}], "newest mutation"),
                              ([self.WRITE, {"action": 8, "ops": [[7, 4]]}], "newest mutation"),
                              ([{"action": 8, "ops": [[7, 6]]}], "out of bounds"),
                              ([{"action": 8, "ops": [[7, 4]]}], "newest mutation of"),
                              ([self.WRITE, {"action": 9, "ops": [[7, 6]]}], "belong together"),
                              ([self.WRITE, {"action": 8}], "belong together"),
                              ([self.WRITE, {"action": 8, "ops": [[7, 6], [7, 6]]}], "not alone"),
                              ([self.WRITE, self.WRITE], "rolled back")):
            with Copy() as folder, self.subTest(text):
                forge = Forge(folder)
                for entry in entries:
                    forge.batch(entry)
                self.refuse(forge.save().folder, text)

    def test_a_database_that_was_rolled_back(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.state[5] = forge.state[4]
            forge.batch(self.WRITE)
            forge.state[5] = forge.state[4]                       # a writer that knew the write in the database
            self.refuse(forge.batch(self.SHOWN).save().folder, "rolled back")

    def test_a_floor_that_falls(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.state[5] -= 1
            self.refuse(forge.batch(self.SHOWN).save().folder, "floor")

    def test_a_reserved_action(self):
        with Copy() as folder, self.assertRaises(reader.Unsupported):
            document(Forge(folder).batch({"action": 10}).save().folder)

    def test_operations_that_must_be_refused(self):
        """The fold itself, as if the database had applied the payload."""
        authority = reader.Vault(golden / "vault", owner).authority
        entry = reader.Entry(6, (0, 0), b"", 1, b"", b"", b"", b"", b"")
        for actor, op, text in ((1, [1, bytes(16), 0, bytes(32), bytes(32), 1], "after entry 0"), (1, [2, "x"], "after entry 0"),
                                (1, [3, 2, bytes(32)], "after entry 0"),
                                (1, [5, 9, 2, bytes(32), bytes(32), bytes(32), 99], "after entry 0"),
                                (1, [6, 1, 9, 1, b"", True, 0], "granted already"),
                                (2, [6, 1, 9, 1, b"", True, 0], "may not grant"),
                                (1, [6, 9, 9, 1, b"", True, 0], "principal or epoch"), (1, [6, 2, 1, 1, b""], "not an array"),
                                (1, [6, 2, 70, 1, b"", True, 0], "principal or epoch"), (1, [8], "op 8"),
                                (1, [4, 4, "cvp1:", "owner", "", []], "number"), (1, [4, 3, "cvp1:", "king", "", []], "role"),
                                (2, [4, 3, "cvp1:", "owner", "", []], "may not certify"),
                                (1, [4, 3, "no string", "owner", "", []], "string")):
            entry.payload = [b"", actor, None, None, b""]
            with self.subTest(op=op[0], text=text), self.assertRaisesRegex(reader.Integrity, text):
                authority._apply(entry, 0, op)
        entry.payload[1] = 1
        with self.assertRaises(reader.Unsupported):
            authority._apply(entry, 0, [6, 2, 1, 1, b"", False, 1])

    def test_a_clock_set_back_is_told(self):
        with Copy() as folder:
            forge = Forge(folder)
            number = forge.tree.size
            found = document(forge.batch({"action": 5, "time": 1}).save().folder)
            self.assertEqual(found["time_went_backwards"], [number])

    def test_a_batch_of_another_signer(self):
        global owner
        with Copy() as folder:
            forge, own = Forge(folder), owner
            owner = analyst
            try:
                forge.batch(self.SHOWN)
            finally:
                owner = own
            self.refuse(forge.save().folder, "signature")


if __name__ == "__main__":
    unittest.main()
