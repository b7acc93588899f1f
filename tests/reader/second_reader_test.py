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
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import second_reader as reader                                                                   # noqa: E402

GOLDEN = Path(os.environ.get("SECOND_READER_GOLDEN", HERE / "../golden/vault_v1.tar.gz"))
EXPECTED = Path(os.environ.get("SECOND_READER_EXPECTED", HERE / "../golden/expected.json"))
VECTORS = Path(os.environ.get("SECOND_READER_VECTORS", HERE / "../format/vectors.txt"))
FLIPS = int(os.environ.get("SECOND_READER_FLIPS", "60"))
FAR = 1 << 50                                     # a time long after that of any entry
PASSPHRASE = b"golden vault, public passphrase"
DIAGNOSTICS = ("erasure_root", "torn_batch")      # what a reader says about damage that the page lets it live with


def setUpModule():
    """Unpacks the golden vault once and opens its identities once (Argon2id is slow on purpose)."""
    global scratch, golden, owner, analyst, officer, fourth, renewed, expected, log_key, receipt
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
    officer, fourth = map(new_identity, ("officer", "fourth"))     # of no vault; forged chains certify them as numbers 3 and 4
    renewed = new_identity(analyst.person.name)                    # the analyst's new keys
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
    log_key, receipt = (golden / "log_key").read_text().strip(), (golden / "receipt").read_bytes()


def tearDownModule():
    scratch.cleanup()


def new_identity(name):
    x_secret, seed = os.urandom(32), os.urandom(32)
    return reader.Identity(reader.Person(name, reader.x_public(x_secret), reader.ed_public(seed)), x_secret, seed, {})


def document(folder, identity=None, anchored=True):
    vault = reader.Vault(folder, identity or owner)
    if anchored:
        vault.check_receipt(log_key, receipt)
    return vault.document()


def principal_string(identity):
    person = identity.person
    signed = reader.encode([person.name, person.x, person.ed, reader.ed_sign(identity.ed_seed, reader.PRINCIPAL + person.encoded())])
    return "cvp1:" + base64.b64encode(signed).decode()


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
        for (_, compartment, epoch), (box, *_) in vault.authority.grants.items():
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
        stranger = new_identity("stranger")
        with self.assertRaises(reader.Untrusted):                                                # not pinned
            reader.Vault(golden / "vault", stranger)
        with self.assertRaises(reader.NoGrant):
            reader.Vault(golden / "vault", stranger, bytes.fromhex(expected["id"]))

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
        self.folder, self.actor = folder, (1, owner)
        self.vault = reader.Vault(folder, owner)
        self.granted, self.half_rows, self.erased = {}, {}, set()
        self.log = self.vault.log
        self.vks, self.epoch, self.grants_at = dict(self.log.vks), self.log.epoch, self.log.grants_at
        self.db_epoch = self.row_epoch = self.vault.state.vk_epoch     # what op 13 says, and where the state row is
        self.publics = {number: one.person.x for number, one in self.vault.authority.principals.items() if one.revoked is None}
        self.segment = len(self.log.segments) - 1
        self.data = (folder / f"log/{self.segment:08}.log").read_bytes()
        self.at = reader.scan(self.data, self.segment, self.log.segments[-1].start, False)[1]
        self.data = self.data[:self.at]
        self.state, self.tree = list(self.log.state), self.log.tree

    def position(self):
        return reader.u32(self.grants_at[0]) + reader.u32(self.grants_at[1])

    def seal(self, lab, context, plain, epoch=None):
        return reader.env_seal(lab, self.vks[epoch or self.epoch], context, plain, os.urandom(24))

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

    def key(self, epoch=None, before=None, bits=None):
        """Op 3 of the next VK epoch, or of one that is none."""
        epoch = epoch or max(self.vks) + 1
        self.vks[epoch] = os.urandom(32)
        before = before or self.vks.get(epoch - 1, bytes(32))
        return [3, epoch, bits or reader.d32(reader.VK_COMMIT, self.vks[epoch], self.log.tag + reader.u32(epoch)), before]

    def follow(self, ops, actor):
        """Who is in, and where the database belongs, after these ops."""
        for op in ops:
            if op[0] == 4:
                self.publics[op[1]] = reader.parse_principal(op[2]).x
            elif op[0] == 10 and op[1] != 1:                       # the owner stays, to judge what must be refused
                self.publics.pop(op[1], None)
            elif op[0] == 15 and actor in self.publics:
                self.publics[actor] = reader.parse_principal(op[1]).x
            elif op[0] == 13 and op[1] <= self.epoch:
                self.db_epoch = op[1]

    def vk_grants(self, publics):
        """VK grants of the present epoch for these X25519 public keys."""
        bound, grants = self.log.tag + reader.u32(self.epoch), b""
        for public in publics:
            box = reader.box_seal(reader.VK_GRANT, public, bound, self.vks[self.epoch], os.urandom(32), os.urandom(24))
            grants += reader.vk_label(public, self.log.tag, self.epoch) + reader.block(box)
        return self.position() + reader.u32(len(publics)) + grants

    def entry(self, offset, action, ops=None, write=None, time=None, epoch=None, publics=None, signer=None, log_key=True):
        """`epoch` of the frame, `publics` of the VK grants and `signer` of the payload, where they are to be other than usual; a
        payload that begins a VK epoch gets an op 12 if it has none, without `log_key` it does not."""
        number, (actor, own) = self.tree.size, self.actor
        begins, grants = bool(ops) and ops[0][0] == 3, b""
        if begins and log_key and all(op[0] != 12 for op in ops):
            ops = [ops[0], [12, os.urandom(32)], *ops[1:]]
        self.epoch = epoch or (ops[0][1] if begins else self.epoch)
        self.follow(ops or (), actor)
        if publics if publics is not None else begins:
            grants = self.vk_grants(publics or self.publics.values())
            self.grants_at = (self.segment, offset)
        context = self.log.tag + reader.u64(number) + reader.u32(self.epoch)
        openings = [os.urandom(32) + reader.encode(value) for value in ([actor, own.person.name], [0, []])] + [os.urandom(32)]
        details, commitment = self.details(self.log.tag + reader.u64(number) + reader.u32(1), openings)
        time = time or self.state[6] + 1
        leaf = [1, action, 0, time, "", "", 1, *map(reader.commit, (reader.C_ACTOR, reader.C_SUBJECTS, reader.C_FIELDS),
                                                    (openings[0], openings[2], openings[1])), commitment, None, None]
        authority = opened = b""
        if ops:
            previous = [self.state[0] - 1, self.state[3], *self.state[1:3]]
            payload = reader.encode([os.urandom(32), actor, previous, ops, bytes(64)])[:-66]
            signature = reader.ed_sign((signer or own).ed_seed, reader.AUTHORITY_SIGN + self.log.tag + payload)
            payload += reader.encode(signature)
            leaf[11] = reader.commit(reader.C_AUTHORITY, payload + reader.sha256(grants))
            authority = self.seal(reader.AUTHORITY, context, self.padded(reader.block(payload), 256))
        if write:
            opening = os.urandom(32) + reader.encode(write)
            leaf[12] = reader.commit(reader.C_WRITE, opening)
            opened = self.seal(reader.LOG_WRITE, context, self.padded(reader.u16(len(opening)) + opening, 32))
        leaf = reader.encode(leaf)
        hashed = reader.leaf_hash(leaf)
        if ops:
            self.state[:4] = [number + 1, self.segment, offset, hashed]
        if write or ops and action != 8 and not begins:
            self.state[4] = number + 1
        if ops and ops[0][0] == 7:
            self.state[4] = self.state[5]
        self.state[6] = time
        self.tree.add(hashed)
        sealed = self.seal(reader.LOG_LEAF, context, self.padded(reader.u16(len(leaf)) + leaf, 128))
        body = b"".join(map(reader.block, (sealed, grants, authority, opened, details)))
        return reader.u8(1) + hashed + reader.u32(self.epoch) + body, hashed

    def batch(self, *entries):
        """Each entry: keyword arguments of entry()."""
        start, before, root, hashes = self.at, self.tree.size, self.tree.root(), b""
        for arguments in entries:
            body, hashed = self.entry(self.at, **arguments)
            hashes += hashed
            self.frame(body, start, 0)
        signed = self.log.tag + reader.u64(before) + root + reader.u64(len(entries)) + hashes
        actor, own = self.actor
        closing = [actor, before, root, len(entries), reader.ed_sign(own.ed_seed, reader.LOG_BATCH + signed), self.state]
        bound = self.log.tag + reader.u64(before) + reader.u32(self.epoch) + self.position()
        self.frame(reader.u8(2) + reader.u32(self.epoch) + self.position() + reader.u64(before)
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
        bound = self.log.tag + reader.u64(self.tree.size) + reader.u32(self.epoch) + self.position()
        sealed = self.seal(reader.LOG_SEGMENT, bound + self.tree.root(), reader.encode(self.state))
        header = (reader.u64(self.tree.size) + self.log.tag + self.position() + reader.u32(self.epoch)
                  + reader.u8(len(self.tree.roots)) + b"".join(self.tree.roots) + reader.block(sealed))
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

    def key_of(self, compartment, epoch):
        """CK' of an epoch, forged here or granted to the owner."""
        if (compartment, epoch) not in self.granted:
            box = self.vault.authority.grants[1, compartment, epoch][0]
            bound = self.log.tag + reader.u16(compartment) + reader.u32(epoch)
            self.granted[compartment, epoch] = reader.box_open(reader.CK_GRANT, owner.x_secret, bound, box, "grant of the owner")
        return self.granted[compartment, epoch]

    def opens(self, compartment, epoch, before=None, slot=None):
        """Ops 5 and 8 of an epoch."""
        granted, half = self.granted[compartment, epoch], os.urandom(32)
        slot = self.vault.state.next_half + len(self.half_rows) if slot is None else slot
        self.half_rows[slot] = half
        bound = self.log.tag + reader.u16(compartment) + reader.u32(epoch)
        key = reader.d32(reader.CK_KEY, granted + half, bound)
        before = self.key_of(compartment, epoch - 1) if before is None else before
        return [[5, compartment, epoch, reader.d32(reader.CK_COMMIT, granted, bound + b"\0"),
                 reader.d32(reader.CK_COMMIT, key, bound + b"\1"), reader.x_public(reader.d32(reader.CK_DEPOSIT, key, bound)), slot],
                [8, compartment, epoch, reader.env_seal(reader.CK_PAST, granted, bound, before, os.urandom(24))]]

    def grant(self, principal, public, compartment, epoch, may_grant=False, expires=0):
        bound = self.log.tag + reader.u16(compartment) + reader.u32(epoch)
        box = reader.box_seal(reader.CK_GRANT, public, bound, self.key_of(compartment, epoch), os.urandom(32), os.urandom(24))
        return [6, principal, compartment, epoch, box, may_grant, expires]

    def successor(self, epoch=2, compartment=None, before=None, slot=None):
        """Ops 5, 8 and 6 of an epoch, for the owner, who may grant, and for the analyst, who may not."""
        compartment = compartment or self.shared()
        self.granted[compartment, epoch] = os.urandom(32)
        ops = self.opens(compartment, epoch, before, slot)
        return ops + [self.grant(1, owner.person.x, compartment, epoch, True), self.grant(2, analyst.person.x, compartment, epoch)]

    def successor_of(self, identity):
        """As successor(), when the analyst has these keys."""
        return self.successor()[:3] + [self.grant(2, identity.person.x, self.shared(), 2)]

    def shared(self):
        """The compartment that the analyst holds."""
        return next(compartment for principal, compartment, _ in self.vault.authority.grants if principal == 2)

    def certify(self, number, identity, role):
        """Op 4."""
        return [4, number, principal_string(identity), role, "", []]

    def rekeyed(self, identity, epoch=1, rights=(False, 0)):
        """Ops of the analyst's new keys, whose one grant is given again."""
        return [self.key(), [15, principal_string(identity)], self.grant(2, identity.person.x, self.shared(), epoch, *rights)]

    def wrapped(self, kind, level, index, parent, key):
        name, nonce = self.vault.keys.name(kind, level, index), os.urandom(12)
        return name, nonce + AESGCM(parent).encrypt(nonce, key, reader.TREE_NODE + self.log.tag + name)

    def meta(self, change=()):
        """The rows of `meta`, after some were replaced, or removed where None stands."""
        with lmdb.open(str(self.folder / "data.mdb"), subdir=False, max_dbs=4, map_size=1 << 26, lock=False) as env:
            table = env.open_db(b"meta", create=False)
            with env.begin(write=True, db=table) as transaction:
                for name, row in dict(change).items():
                    transaction.put(name, row) if row is not None else transaction.delete(name)
                return dict(transaction.cursor())

    def swap(self, root_epoch):
        """Puts ERK, which may stay as far as a reader can tell, under the VK of the state row; its commitment."""
        erk, place = self.vault.keys.erk, reader.u64(root_epoch) + reader.u32(self.db_epoch)
        sealed = self.seal(reader.ERASURE, self.log.tag + place, erk, self.db_epoch)
        with open(self.folder / "erasure.root", "r+b") as file:
            for offset in (0, 4096, 1 << 20, (1 << 20) + 4096):
                file.seek(offset)
                file.write(b"CVERK1\0\0" + place + sealed)
        return reader.d32(reader.ERASURE_COMMIT, erk, self.log.tag + reader.u64(root_epoch))

    def commit(self):
        """The database as the transaction of the newest mutation leaves it; then the log is saved."""
        with lmdb.open(str(self.folder / "data.mdb"), subdir=False, max_dbs=4, map_size=1 << 26, lock=False) as env:
            meta, tree = env.open_db(b"meta", create=False), env.open_db(b"tree", create=False)
            with env.begin(write=True) as transaction:
                old, new = reader.state_key(self.row_epoch), reader.state_key(self.db_epoch)
                opened = reader.env_open(reader.META_ROW, self.vks[self.row_epoch], self.log.tag, transaction.get(old, db=meta))
                row = reader.cbor_prefix(opened)[0]
                if old != new:
                    transaction.delete(old, db=meta)
                    row[2] += 1
                    row[3] = self.swap(row[2])
                    self.row_epoch = self.db_epoch
                row[0], row[5] = self.state[4], max([row[5], *(slot + 1 for slot in self.half_rows)])
                row = self.seal(reader.META_ROW, self.log.tag, self.padded(reader.encode(row), 256), self.db_epoch)
                transaction.put(new, row, db=meta)
                for slot, half in self.half_rows.items():
                    keys = self.vault.keys
                    if keys.name(2, 0, slot >> 8) not in keys.rows:   # a leaf node of its own, under the node above that is there
                        keys.cache[keys.name(2, 0, slot >> 8)] = node = os.urandom(32)
                        transaction.put(*self.wrapped(2, 0, slot >> 8, keys.key(2, 1, slot >> 16), node), db=tree)
                    transaction.put(*self.wrapped(2, 0xFF, slot, keys.key(2, 0, slot >> 8), half), db=tree)
                for slot in self.erased:                             # as far as a reader can tell
                    transaction.delete(self.vault.keys.name(2, 0xFF, slot), db=tree)
        return self.save()


def certified(forge, role="officer"):
    return [forge.certify(3, officer, role)]


def granted(forge, may_grant=False, expires=0, epoch=1):
    """Op 6 of the shared compartment for the officer."""
    return forge.grant(3, officer.person.x, forge.shared(), epoch, may_grant, expires)


def holding(forge, may_grant=False, expires=0, role="officer"):
    """The officer is certified and holds the shared compartment."""
    return certified(forge, role) + [granted(forge, may_grant, expires)]


def with_fourth(forge, expires=0):
    """One more is certified, who holds the shared compartment until some time."""
    return [forge.certify(4, fourth, "officer"), forge.grant(4, fourth.person.x, forge.shared(), 1, False, expires)]


def new_keys(forge, *others):
    """Ops of new keys of the officer; a reader that is another does not see that the grants are for the keys before."""
    return [forge.key(), [15, principal_string(new_identity("officer"))], *others]


def given_anew(forge, may_grant=False, expires=0):
    """Payloads by which the analyst's grant ends and begins anew with the next epoch."""
    return [[[11, 2, forge.shared()], *forge.successor()[:3]],
            [forge.grant(2, analyst.person.x, forge.shared(), 2, may_grant, expires)]]


def mixed(opening, signing, name=None):
    """An identity with keys of two, of the analyst's name or another."""
    person = reader.Person(name or analyst.person.name, opening.person.x, signing.person.ed)
    return reader.Identity(person, opening.x_secret, signing.ed_seed, {})


def with_envelope(ops, envelope):
    return [ops[0], [*ops[1][:3], envelope], *ops[2:]]


# What section 10 refuses of epochs that follow each other: why, who signs the last payload (the owner signs those before it), the
# payloads, and what the reader says. Successors are those of the compartment that owner and analyst hold.
FORGED = (
    ("a grant to one more", 1, lambda f: [certified(f) + f.successor() + [granted(f, epoch=2)]], "other grants"),
    ("no grant to the analyst", 1, lambda f: [f.successor()[:3]], "other grants"),
    ("no grant to the one who opens it", 1, lambda f: [[op for op in f.successor() if op[:2] != [6, 1]]], "other grants"),
    ("more rights", 1, lambda f: [f.successor()[:3] + [f.grant(2, analyst.person.x, f.shared(), 2, True)]], "other grants"),
    ("more rights, by the one who gets them", 2,
     lambda f: [f.successor()[:3] + [f.grant(2, analyst.person.x, f.shared(), 2, True)]], "other grants"),
    ("fewer rights", 1, lambda f: [f.successor()[:2] + [f.grant(1, owner.person.x, f.shared(), 2), f.successor()[3]]], "other grants"),
    ("a grant twice", 1, lambda f: [f.successor() + [f.grant(2, analyst.person.x, f.shared(), 2)]], "granted already"),
    ("the grants in a payload of their own", 1, lambda f: [f.successor()[:2], f.successor()[2:]], "other grants"),
    ("the epoch before granted to one more beside it", 1,
     lambda f: [certified(f) + f.successor() + [granted(f)]], "other grants"),
    ("without op 8", 1, lambda f: [[op for op in f.successor() if op[0] != 8]], "without op 8"),
    ("two op 8", 1, lambda f: [(lambda ops: ops[:2] + ops[1:])(f.successor())], "a second one"),
    ("an empty op 8", 1, lambda f: [with_envelope(f.successor(), b"")], "empty"),
    ("op 8 before op 5", 1, lambda f: [(lambda ops: [ops[1], ops[0], *ops[2:]])(f.successor())], "no op 5 of this payload"),
    ("op 8 in the payload after", 1, lambda f: [f.successor(), [f.successor()[1]]], "no op 5 of this payload"),
    ("op 8 of the epoch before", 1, lambda f: [f.successor() + [[8, f.shared(), 1, b"x"]]], "no op 5 of this payload"),
    ("op 8 of another compartment", 1, lambda f: [[[8, 1, *op[2:]] if op[0] == 8 else op for op in f.successor()]],
     "no op 5 of this payload"),
    ("an epoch left out", 1, lambda f: [f.successor(3, before=bytes(32))], "epoch 3 after 1"),
    ("an epoch again", 1, lambda f: [f.successor(1, before=bytes(32))], "epoch 1 after 1"),
    ("an epoch again, after its successor", 1, lambda f: [f.successor(), f.successor()], "epoch 2 after 2"),
    ("a compartment that has no epoch", 1, lambda f: [f.successor(1, 77, bytes(32))], "epoch 1 after 0"),
    ("by a principal without a grant", 2, lambda f: [f.successor(2, 1)[:3]], "no grant of the epoch before"),
    ("by a holder of the epoch before only", 3,
     lambda f: [f.successor(), holding(f), f.successor(3)],
     "no grant of the epoch before"),
    ("a grant to one more in a later payload, by one who may not", 2,
     lambda f: [certified(f) + f.successor(), [granted(f, epoch=2)]], "may not grant"),
    ("op 9 of the only epoch", 1, lambda f: [[[9, f.shared(), 1]]], "the current epoch"),
    ("op 9 of the current epoch", 1, lambda f: [f.successor(), [[9, f.shared(), 2]]], "the current epoch"),
    ("op 9 of an epoch that nobody opened", 1, lambda f: [f.successor(), [[9, f.shared(), 3]]], "no such epoch"),
    ("op 9 of a compartment that nobody opened", 1, lambda f: [[[9, 77, 1]]], "no such epoch"),
    ("op 9 twice", 1, lambda f: [f.successor(), [[9, f.shared(), 1]], [[9, f.shared(), 1]]], "destroyed before"),
    ("op 9 twice in a payload", 1, lambda f: [f.successor() + [[9, f.shared(), 1]] * 2], "destroyed before"),
    ("op 9 by an officer", 3, lambda f: [certified(f) + f.successor(), [[9, f.shared(), 1]]], "may not end it"),
    ("op 9 by a holder who is no officer", 2, lambda f: [f.successor(), [[9, f.shared(), 1]]], "may not end it"),
    ("op 9 of audit", 1, lambda f: [f.successor(2, 64)[:3], [[9, 64, 1]]], "audit epoch"),
    ("an op that there is not", 1, lambda f: [[[16, f.shared(), 1]]], "op 16"),
    ("the half slot of the epoch before", 1, lambda f: [f.successor(slot=f.vault.authority.epochs[f.shared(), 1][3])], "named before"),
    ("the half slot of another compartment", 1, lambda f: [f.successor(slot=f.vault.authority.epochs[1, 1][3])], "named before"),
    ("one half slot for two epochs of a payload", 1, lambda f: [f.successor(slot=200) + f.successor(2, 1, slot=200)[:3]],
     "named before"),
    ("op 10 by an officer", 3, lambda f: [certified(f), [f.key(), [10, 2]]], "may not replace"),
    ("op 10 by an analyst, of itself", 2, lambda f: [[f.key(), [10, 2]]], "may not replace"),
    ("op 10 of an owner by an administrator", 3, lambda f: [certified(f, "administrator"), [f.key(), [10, 1]]], "may not revoke"),
    ("op 10 of an administrator by itself", 3, lambda f: [certified(f, "administrator"), [f.key(), [10, 3]]], "may not revoke"),
    ("op 10 of the last owner", 1, lambda f: [[f.key(), [10, 1]]], "last owner"),
    ("op 10 of the last owner beside an administrator", 1, lambda f: [certified(f, "administrator"), [f.key(), [10, 1]]], "last owner"),
    ("op 10 of the last owner who is not revoked", 1, lambda f: [certified(f, "owner"), [f.key(), [10, 3]], [f.key(), [10, 1]]], "last owner"),
    ("op 10 of all owners", 1, lambda f: [certified(f, "owner"), [f.key(), [10, 1], [10, 3]]], "last owner"),
    ("op 10 twice", 1, lambda f: [[f.key(), [10, 2]], [f.key(), [10, 2]]], "revoked before"),
    ("op 10 twice in a payload", 1, lambda f: [[f.key(), [10, 2], [10, 2]]], "revoked before"),
    ("op 10 of nobody", 1, lambda f: [[f.key(), [10, 3]]], "no such principal"),
    ("a revoked principal certified again", 1, lambda f: [certified(f), [f.key(), [10, 3]], [f.certify(4, officer, "officer")]], "already there"),
    ("a grant to a revoked principal", 1, lambda f: [[f.key(), [10, 2]], [f.grant(2, analyst.person.x, 1, 1)]], "principal was revoked"),
    ("a payload by a revoked principal", 3,
     lambda f: [certified(f, "administrator"), [f.key(), [10, 3]], [f.certify(4, fourth, "officer")]], "actor was revoked before"),
    ("a successor by a revoked principal", 2, lambda f: [[f.key(), [10, 2]], f.successor()[:3]], "actor was revoked before"),
    ("op 11 of a grant that is not held", 1, lambda f: [[[11, 2, 1]]], "no grant of the current epoch"),
    ("op 11 of a grant of the epoch before only", 1,
     lambda f: [f.successor(), holding(f), [[11, 3, f.shared()]]],
     "no grant of the current epoch"),
    ("op 11 twice", 1, lambda f: [[[11, 2, f.shared()]], [[11, 2, f.shared()]]], "no grant of the current epoch"),
    ("op 11 of a revoked principal", 1, lambda f: [[f.key(), [10, 2]], [[11, 2, f.shared()]]], "no grant of the current epoch"),
    ("op 11 of nobody", 1, lambda f: [[[11, 3, f.shared()]]], "no grant of the current epoch"),
    ("op 11 of a compartment that nobody opened", 1, lambda f: [[[11, 2, 77]]], "no grant of the current epoch"),
    ("an ended grant granted again", 1, lambda f: [[[11, 2, f.shared()]], [f.grant(2, analyst.person.x, f.shared(), 1)]],
     "was ended"),
    ("op 11 of the last holder", 1, lambda f: [[[11, 1, 1]]], "last holder"),
    ("op 11 of the last holder whose grant is not ended", 1, lambda f: [[[11, 2, f.shared()]], [[11, 1, f.shared()]]], "last holder"),
    ("op 11 of the last holder who is not revoked", 1, lambda f: [[f.key(), [10, 2]], [[11, 1, f.shared()]]], "last holder"),
    ("op 11 by a holder who may not grant", 2, lambda f: [[[11, 1, f.shared()]]], "may not end"),
    ("op 11 by an officer without a grant", 3, lambda f: [certified(f), [[11, 2, f.shared()]]], "may not end"),
    ("op 11 by one whose grant was ended", 3, lambda f: [holding(f, True), [[11, 3, f.shared()]], [[11, 2, f.shared()]]], "may not end"),
    ("a grant by one whose grant was ended", 3,
     lambda f: [holding(f, True) + [f.certify(4, fourth, "officer")], [[11, 3, f.shared()]],
                [f.grant(4, fourth.person.x, f.shared(), 1)]], "may not grant"),
    ("a successor that goes to an ended grant", 1, lambda f: [[[11, 2, f.shared()]], f.successor()], "other grants"),
    ("a successor that goes to a grant that its payload ends", 1, lambda f: [[[11, 2, f.shared()], *f.successor()]], "other grants"),
    ("a successor that goes to a grant that ends after it", 1, lambda f: [[*f.successor(), [11, 2, f.shared()]]], "other grants"),
    ("a successor that goes to a revoked principal", 1, lambda f: [[f.key(), [10, 2]], f.successor()], "principal was revoked"),
    ("a successor by one whose grant was ended", 2, lambda f: [[[11, 2, f.shared()]], f.successor()[:3]], "no grant of the epoch before"),
    ("op 10 without a new vault key", 1, lambda f: [[[10, 2]]], "without a new vault key"),
    ("op 10 before op 3", 1, lambda f: [[[10, 2], f.key()]], "without a new vault key"),
    ("op 10 beside op 15 by an analyst", 2, lambda f: [[*f.rekeyed(renewed), [10, 1]]], "may not revoke"),
    ("op 3 behind another op", 1, lambda f: [[*certified(f), f.key()]], "not the first op"),
    ("op 3 twice in a payload", 1, lambda f: [[f.key(), f.key()]], "beside ops .3"),
    ("op 3 without op 12", 1, lambda f: [{"ops": [f.key()], "log_key": False}], "not with one op 12"),
    ("op 3 and op 10 without op 12", 1, lambda f: [{"ops": [f.key(), [10, 2]], "log_key": False}], "not with one op 12"),
    ("op 3 and op 15 without op 12", 2, lambda f: [{"ops": f.rekeyed(renewed), "log_key": False}], "not with one op 12"),
    ("op 3 with two op 12", 1, lambda f: [[f.key(), [12, os.urandom(32)], [12, os.urandom(32)]]], "not with one op 12"),
    ("op 3 with the same op 12 twice", 1, lambda f: [[f.key(), *[[12, os.urandom(32)]] * 2]], "not with one op 12"),
    ("op 3 whose op 12 is in the payload after", 1,
     lambda f: [{"ops": [f.key()], "log_key": False}, [f.key(), [12, os.urandom(32)]]], "not with one op 12"),
    ("a principal certified beside a new vault key", 1, lambda f: [[f.key(), *certified(f)]], "beside ops .4"),
    ("a principal certified and revoked beside a new vault key", 1, lambda f: [[f.key(), *certified(f), [10, 3]]], "beside ops .4"),
    ("a successor beside a new vault key", 1, lambda f: [[f.key(), *f.successor()]], "beside ops .5, 6, 8"),
    ("a successor without the one who is revoked beside it", 1, lambda f: [[f.key(), [10, 2], *f.successor()[:3]]], "beside ops .5, 6, 8"),
    ("a successor that goes to one who is revoked after it", 1, lambda f: [[f.key(), *f.successor(), [10, 2]]], "beside ops .5, 6, 8"),
    ("a successor beside new keys", 2, lambda f: [f.rekeyed(renewed) + f.successor_of(renewed)], "beside ops .5, 8"),
    ("a grant beside a new vault key", 1, lambda f: [certified(f), [f.key(), granted(f)]], "beside ops .6"),
    ("a grant beside a revocation", 1, lambda f: [certified(f), [f.key(), [10, 2], granted(f)]], "beside ops .6"),
    ("an epoch destroyed beside a new vault key", 1, lambda f: [f.successor(), [f.key(), [9, f.shared(), 1]]], "beside ops .9"),
    ("a grant ended beside a new vault key", 1, lambda f: [[f.key(), [11, 2, f.shared()]]], "beside ops .11"),
    ("a grant ended beside new keys", 2, lambda f: [f.rekeyed(renewed)[:2] + [[11, 2, f.shared()]]], "beside ops .11"),
    ("the database brought over beside a new vault key", 1, lambda f: [[f.key(), [13, 2]]], "beside ops .13"),
    ("the database brought over beside new keys", 2, lambda f: [f.rekeyed(renewed) + [[13, 2]]], "beside ops .13"),
    ("an epoch retired beside a new vault key", 1, lambda f: [f.successor(), [f.key(), [14, f.shared(), 1]]], "beside ops .14"),
    ("a schema beside a new vault key", 1, lambda f: [[f.key(), [2, ""]]], "beside ops .2"),
    ("a mutation marked beside a new vault key", 1, lambda f: [certified(f), [f.key(), [7, f.tree.size]]], "op 7 is not alone"),
    ("an op that there is not beside a new vault key", 1, lambda f: [[f.key(), [16, 1]]], "beside ops .16"),
    ("a vault key for one more", 1,
     lambda f: [{"ops": [f.key()], "publics": [owner.person.x, analyst.person.x, officer.person.x]}], "exactly those who are in"),
    ("a vault key for another instead", 1, lambda f: [{"ops": [f.key()], "publics": [owner.person.x, officer.person.x]}],
     "exactly those who are in"),
    ("a vault key without one who is in", 1, lambda f: [{"ops": [f.key()], "publics": [owner.person.x]}], "exactly those who are in"),
    ("a vault key without one who was just certified", 1,
     lambda f: [certified(f), {"ops": [f.key()], "publics": [owner.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for one twice", 1,
     lambda f: [{"ops": [f.key()], "publics": [owner.person.x, analyst.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for one twice in the place of another", 1,
     lambda f: [{"ops": [f.key()], "publics": [owner.person.x, owner.person.x]}], "exactly those who are in"),
    ("a vault key for the one whom its payload revokes", 1,
     lambda f: [{"ops": [f.key(), [10, 2]], "publics": [owner.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for one who was revoked before", 1,
     lambda f: [[f.key(), [10, 2]], {"ops": [f.key()], "publics": [owner.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for the keys that its payload replaces", 2,
     lambda f: [{"ops": f.rekeyed(renewed), "publics": [owner.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for old keys and new ones", 2,
     lambda f: [{"ops": f.rekeyed(renewed), "publics": [owner.person.x, renewed.person.x, analyst.person.x]}], "exactly those who are in"),
    ("a vault key for keys that were replaced before", 1,
     lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, {"ops": [f.key()], "publics": [owner.person.x, analyst.person.x]}],
     "exactly those who are in"),
    ("a vault key once for two who have one opening key", 1,
     lambda f: [[f.certify(3, mixed(owner, officer, "third"), "officer")], {"ops": [f.key()], "publics": [owner.person.x, analyst.person.x]}],
     "exactly those who are in"),
    ("op 3 by an officer", 3, lambda f: [certified(f), [f.key()]], "may not replace"),
    ("op 3 by an analyst", 2, lambda f: [[f.key()]], "may not replace"),
    ("op 3 by an analyst, for new keys that it does not name", 2, lambda f: [f.rekeyed(renewed)[::2]], "may not replace"),
    ("op 3 by a revoked administrator", 3, lambda f: [certified(f, "administrator"), [f.key(), [10, 3]], [f.key()]],
     "actor was revoked before"),
    ("a VK epoch left out", 1, lambda f: [[f.key(3, f.vks[1])]], "no op 3 leads to"),
    ("a VK epoch again", 1, lambda f: [[f.key()], [f.key(2)]], "VK epoch"),
    ("a VK epoch that its frame does not have", 1,
     lambda f: [(lambda own: {"ops": [f.key(3, f.vks[1])], "epoch": own[1]})(f.key())], "op 3 names another epoch"),
    ("op 3 of the next epoch in a frame of the present one", 1, lambda f: [{"ops": [f.key()], "epoch": 1}], "VK epoch"),
    ("a frame of the next epoch without op 3", 1,
     lambda f: [{"ops": certified(f), "epoch": f.key()[1], "publics": [owner.person.x]}], "no op 3 leads to"),
    ("a frame of the epoch before", 1, lambda f: [[f.key()], {"action": 5, "epoch": 1}], "VK epoch"),
    ("a VK epoch that begins without VK grants", 1,
     lambda f: [{"ops": [f.key()], "publics": []}, {"ops": certified(f), "publics": [owner.person.x]}], "without VK grants"),
    ("a VK epoch that begins beside a write", 1,
     lambda f: [{"ops": [f.key()], "write": [0, 1, 2, bytes(16), False, 0]}], "beside a write"),
    ("another VK of the epoch before", 1, lambda f: [[f.key(before=bytes(32))]], "another key, label or context"),
    ("another commitment of the new VK", 1, lambda f: [[f.key(bits=bytes(32))]], "does not match its commitment"),
    ("another commitment of a VK that is replaced", 1, lambda f: [[f.key(bits=bytes(32))], [f.key()]], "does not match its commitment"),
    ("op 12 of another size", 1, lambda f: [[f.key(), [12, bytes(31)]]], "member 1"),
    ("op 12 without a new vault key", 1, lambda f: [[[12, os.urandom(32)]]], "without a new vault key"),
    ("op 13 of a VK epoch that nobody began", 1, lambda f: [[[13, f.key()[1]]]], "VK epoch 2 after 1"),
    ("op 13 again", 1, lambda f: [[f.key()], [[13, 2]], [[13, 2]]], "VK epoch 2 after 2"),
    ("op 13 that goes back", 1, lambda f: [[f.key()], [f.key()], [[13, 3]], [[13, 2]]], "VK epoch 2 after 3"),
    ("op 17 of one row", 1, lambda f: [[[17, 4, 4, True]]], "do not ascend"),
    ("op 17 of rows that descend", 1, lambda f: [[[17, 5, 4, True]]], "do not ascend"),
    ("op 17 twice", 1, lambda f: [[[17, 1, 4, True]], [[17, 1, 4, True]]], "linked already"),
    ("op 17 that ends no link", 1, lambda f: [[[17, 1, 4, True]], [[17, 1, 3, False]]], "an end of no link"),
    ("op 17 that ends a link twice", 1, lambda f: [[[17, 1, 4, True], [17, 1, 4, False]], [[17, 1, 4, False]]], "an end of no link"),
    ("op 14 of the current epoch", 1, lambda f: [f.successor(), [[14, f.shared(), 2]]], "the current epoch"),
    ("op 14 of an epoch that nobody opened", 1, lambda f: [f.successor(), [[14, f.shared(), 3]]], "no such epoch"),
    ("op 14 twice", 1, lambda f: [f.successor(), [[14, f.shared(), 1]], [[14, f.shared(), 1]]], "retired before"),
    ("op 14 of a destroyed epoch", 1, lambda f: [f.successor(), [[9, f.shared(), 1]], [[14, f.shared(), 1]]], "destroyed before"),
    ("op 14 of audit", 1, lambda f: [f.successor(2, 64)[:3], [[14, 64, 1]]], "audit epoch"),
    ("op 14 by an officer", 3, lambda f: [certified(f) + f.successor(), [[14, f.shared(), 1]]], "may not end it"),
    ("op 14 by a holder who is no officer", 2, lambda f: [f.successor(), [[14, f.shared(), 1]]], "may not end it"),
    ("op 15 without a new vault key", 2, lambda f: [f.rekeyed(renewed)[1:]], "without a new vault key"),
    ("op 15 without its grants", 2, lambda f: [f.rekeyed(renewed)[:2]], "without the grants"),
    ("op 15 with its grants in a payload of their own", 1, lambda f: [{"ops": f.rekeyed(renewed)[:2], "by": 2}, f.rekeyed(renewed)[2:]],
     "without the grants"),
    ("op 15 behind its grants", 2, lambda f: [(lambda ops: [ops[0], ops[2], ops[1]])(f.rekeyed(renewed))], "may not grant"),
    ("op 15 with more rights", 2, lambda f: [f.rekeyed(renewed, rights=(True, 0))], "not a grant that op 15 asks for"),
    ("op 15 with fewer rights", 2,
     lambda f: [[f.grant(2, analyst.person.x, f.shared(), 1, True)], f.rekeyed(renewed)], "not a grant that op 15 asks for"),
    ("op 15 with another time", 2, lambda f: [f.rekeyed(renewed, rights=(False, FAR))], "not a grant that op 15 asks for"),
    ("op 15 with a grant twice", 2, lambda f: [(lambda ops: ops + ops[2:])(f.rekeyed(renewed))], "not a grant that op 15 asks for"),
    ("op 15 with a grant that was not there", 2, lambda f: [f.rekeyed(renewed) + [f.grant(2, renewed.person.x, 1, 1)]],
     "not a grant that op 15 asks for"),
    ("op 15 with a grant that was ended", 2, lambda f: [[[11, 2, f.shared()]], f.rekeyed(renewed)], "not a grant that op 15 asks for"),
    ("op 15 with a grant of the epoch before too", 2,
     lambda f: [f.successor(), f.rekeyed(renewed) + [f.grant(2, renewed.person.x, f.shared(), 2)]], "not a grant that op 15 asks for"),
    ("op 15 with another time, by one who may grant", 3,
     lambda f: [holding(f, True, FAR), new_keys(f, granted(f, True))], "not a grant that op 15 asks for"),
    ("op 15 with the time before a grant given again beside it", 3,
     lambda f: [holding(f, True, FAR), (lambda ops: [ops[0], granted(f, True), *ops[1:]])(new_keys(f, granted(f, True, FAR)))],
     "not a grant that op 15 asks for"),
    ("op 15 with a grant to one more before its own", 3,
     lambda f: [holding(f, True) + with_fourth(f)[:1], new_keys(f, with_fourth(f)[1], granted(f, True))], "may not grant"),
    ("op 15 with a grant to one more, by one whose own expired", 3,
     lambda f: [holding(f, True, 1) + with_fourth(f)[:1], new_keys(f, granted(f, True, 1), with_fourth(f)[1])], "may not grant"),
    ("op 15 with a grant to one whom its payload revokes", 3,
     lambda f: [holding(f, True, role="owner") + with_fourth(f), new_keys(f, granted(f, True), [10, 4], with_fourth(f)[1])],
     "principal was revoked"),
    ("op 15 with its grants after the actor revoked itself", 3,
     lambda f: [holding(f, role="owner"), new_keys(f, [10, 3], granted(f))], "principal was revoked"),
    ("op 15 twice in a payload", 2, lambda f: [(lambda ops: ops[:2] + ops[1:])(f.rekeyed(renewed))], "a second one"),
    ("op 15 with another name", 2, lambda f: [f.rekeyed(officer)], "another name"),
    ("op 15 with the keys that it has", 2, lambda f: [f.rekeyed(analyst)], "keys that were there before"),
    ("op 15 with the signing key of another", 2, lambda f: [f.rekeyed(mixed(renewed, owner))], "keys that were there before"),
    ("op 4 with the signing key that somebody had", 1,
     lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, [f.certify(3, mixed(officer, analyst, "third"), "officer")]],
     "keys that were there before"),
    ("op 4 with the opening key that somebody had", 1,
     lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, [f.certify(3, mixed(analyst, officer, "third"), "officer")]],
     "keys that were there before"),
    ("a grant with a time before 1970", 1, lambda f: [[f.grant(2, analyst.person.x, f.shared(), 1, False, -1)]], "before 1970"),
    ("op 15 with the keys that it had", "renewed", lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, f.rekeyed(analyst)],
     "keys that were there before"),
    ("op 15 signed by the new keys", 2, lambda f: [{"ops": f.rekeyed(renewed), "signer": renewed}], "authority: the signature"),
    ("a batch with op 15 signed by the new keys", "renewed", lambda f: [{"ops": f.rekeyed(renewed), "signer": analyst}],
     "batch of entry .*: the signature"),
    ("a batch after op 15 signed by the old keys", 2, lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, {"action": 5}],
     "batch of entry .*: the signature"),
    ("a payload after op 15 signed by the old keys", "renewed",
     lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, {"ops": f.successor(), "signer": analyst}], "authority: the signature"),
    ("a grant of before op 15 of an epoch that is not current", 2,
     lambda f: [f.successor(), {"ops": [f.key(), [15, principal_string(renewed)], f.grant(2, renewed.person.x, f.shared(), 1)]}],
     "not a grant that op 15 asks for"),
    ("a grant given again without may grant", 1, lambda f: [holding(f, True, FAR), [granted(f, False, FAR)]], "takes away"),
    ("a grant given again without may grant, for longer", 1, lambda f: [holding(f, True, FAR), [granted(f)]], "takes away"),
    ("a grant given again for less long", 1, lambda f: [holding(f, False, FAR), [granted(f, False, FAR - 1)]], "takes away"),
    ("a grant given again with may grant, for less long", 1, lambda f: [holding(f, False, FAR), [granted(f, True, FAR - 1)]], "takes away"),
    ("a grant given again with an end that it did not have", 1, lambda f: [holding(f), [granted(f, False, FAR)]], "takes away"),
    ("a grant given again with may grant, and an end that it did not have", 1, lambda f: [holding(f), [granted(f, True, FAR)]], "takes away"),
    ("a grant given again with the last end that there is", 1, lambda f: [holding(f), [granted(f, True, (1 << 63) - 1)]], "takes away"),
    ("a grant given again as it was", 1, lambda f: [holding(f), [granted(f)]], "granted already"),
    ("a grant given again as it was, with an end", 1, lambda f: [holding(f, True, FAR), [granted(f, True, FAR)]], "granted already"),
    ("a grant given again, then as it was first", 1,
     lambda f: [holding(f, False, FAR), [granted(f)], [granted(f, False, FAR)]], "takes away"),
    ("a grant given again as it was, beside a better one", 1, lambda f: [holding(f, False, FAR), [granted(f), granted(f)]], "granted already"),
    ("an ended grant given again, with may grant", 1,
     lambda f: [[[11, 2, f.shared()]], [f.grant(2, analyst.person.x, f.shared(), 1, True, FAR)]], "was ended"),
    ("a successor with another time", 1,
     lambda f: [f.successor()[:3] + [f.grant(2, analyst.person.x, f.shared(), 2, False, FAR)]], "other grants"),
    ("a successor without the time", 1, lambda f: [holding(f, False, FAR), f.successor() + [granted(f, epoch=2)]], "other grants"),
    ("a successor that goes to one whose grant expired without its time", 1,
     lambda f: [holding(f, False, 1), f.successor() + [granted(f, epoch=2)]], "other grants"),
    ("a successor that leaves out one whose grant expired", 1, lambda f: [holding(f, False, 1), f.successor()], "other grants"),
    ("a successor by one whose grant expired", 3,
     lambda f: [holding(f, False, 1), f.successor() + [granted(f, False, 1, epoch=2)]], "no grant of the epoch before"),
    ("a successor by one whose grant expires then", 3,
     lambda f: [holding(f, False, FAR), {"ops": f.successor() + [granted(f, False, FAR, epoch=2)], "time": FAR}], "no grant of the epoch before"),
    ("a successor by an owner whose grant expired", 3,
     lambda f: [holding(f, True, 1, "owner"), f.successor() + [granted(f, True, 1, epoch=2)]], "no grant of the epoch before"),
    ("a grant by one whose grant expired", 3, lambda f: [holding(f, True, 1) + with_fourth(f)[:1], with_fourth(f)[1:]], "may not grant"),
    ("a grant by one whose grant expires then", 3,
     lambda f: [holding(f, True, FAR) + with_fourth(f)[:1], {"ops": with_fourth(f)[1:], "time": FAR}], "may not grant"),
    ("a grant by an owner whose grant expired", 3,
     lambda f: [holding(f, True, 1, "owner") + with_fourth(f)[:1], with_fourth(f)[1:]], "may not grant"),
    ("a grant given again for longer by the one whose it is, which expired", 3,
     lambda f: [holding(f, True, 1), [granted(f, True)]], "may not grant"),
    ("a grant given again for longer by the one whose it is, who may not grant", 3,
     lambda f: [holding(f, False, FAR), [granted(f)]], "may not grant"),
    ("op 11 of a grant before its time, by a holder who may not grant", 2, lambda f: [holding(f, False, FAR), [[11, 3, f.shared()]]],
     "may not end it"),
    ("op 11 of a grant just before its time, by a holder who may not grant", 2,
     lambda f: [holding(f, False, FAR), {"ops": [[11, 3, f.shared()]], "time": FAR - 1}], "may not end it"),
    ("op 11 of a grant after its time, by one who has none", 3,
     lambda f: [certified(f) + with_fourth(f, 1), [[11, 4, f.shared()]]], "may not end it"),
    ("op 11 of a grant after its time, by one whose own expired too", 3,
     lambda f: [holding(f, False, 1) + with_fourth(f, 1), [[11, 4, f.shared()]]], "may not end it"),
    ("op 11 of a grant after its time, by one whose own expires then", 3,
     lambda f: [holding(f, False, FAR) + with_fourth(f, 1), {"ops": [[11, 4, f.shared()]], "time": FAR}], "may not end it"),
    ("op 11 of the actor's own grant after its time", 3, lambda f: [holding(f, False, 1), [[11, 3, f.shared()]]], "may not end it"),
    ("op 11 by one whose grant with may grant expired", 3, lambda f: [holding(f, True, 1), [[11, 2, f.shared()]]], "may not end it"),
    ("op 11 by one whose grant with may grant expires then", 3,
     lambda f: [holding(f, True, FAR), {"ops": [[11, 2, f.shared()]], "time": FAR}], "may not end it"),
)


# What it takes.
FORGED_AND_READ = (
    ("by a holder who may not grant", 2, lambda f: [f.successor()]),
    ("by one who was granted after the first successor", 3,
     lambda f: [f.successor() + certified(f), [granted(f, epoch=2)],
                f.successor(3) + [granted(f, epoch=3)]]),
    ("grants before op 8", 1, lambda f: [(lambda ops: ops[:1] + ops[2:] + ops[1:2])(f.successor())]),
    ("two steps in one payload", 1, lambda f: [f.successor() + f.successor(3)]),
    ("two compartments, their ops mixed", 1,
     lambda f: [(lambda a, b: [b[0], *a[:3], b[1], a[3], b[2]])(f.successor(), f.successor(2, 1))]),
    ("the old epoch granted to one more beside it, and the new one too", 1,
     lambda f: [certified(f) + f.successor() + [granted(f, epoch=epoch) for epoch in (1, 2)]]),
    ("a grant ended, its successor beside it", 1, lambda f: [[[11, 2, f.shared()], *f.successor()[:3]]]),
    ("a grant ended, its successor later", 1, lambda f: [[[11, 2, f.shared()]], f.successor()[:3]]),
    ("a grant ended, the newest epoch granted anew", 1,
     lambda f: [[[11, 2, f.shared()], *f.successor()[:3]], [f.grant(2, analyst.person.x, f.shared(), 2)]]),
    ("a grant ended by a holder who may grant", 3, lambda f: [holding(f, True), [[11, 2, f.shared()]]]),
    ("a grant ended by an administrator who has none", 3, lambda f: [certified(f, "administrator"), [[11, 2, f.shared()]]]),
    ("a principal revoked, the successor later", 1, lambda f: [[f.key(), [10, 2]], f.successor()[:3]]),
    ("a principal revoked by an administrator", 3, lambda f: [certified(f, "administrator"), [f.key(), [10, 2]]]),
    ("an owner revoked by another", 1, lambda f: [certified(f, "owner"), [f.key(), [10, 3]]]),
    ("an owner who revokes itself at the end of its payload", 3,
     lambda f: [certified(f, "owner"), [f.key(), [10, 2], [10, 3]]]),
    ("the old epoch granted later", 1, lambda f: [f.successor(), holding(f)]),
    ("a new vault key", 1, lambda f: [[f.key()]]),
    ("new vault keys, and the database under none of them", 1, lambda f: [[f.key()], [f.key(), [12, os.urandom(32)]], certified(f)]),
    ("new vault keys, and the database under the first", 1, lambda f: [[f.key()], [f.key()], [[13, 2]]]),
    ("new vault keys, and the database under the last", 1, lambda f: [[f.key()], [f.key()], [[13, 3]], certified(f)]),
    ("a new vault key by an administrator", 3, lambda f: [certified(f, "administrator"), [f.key(), [12, os.urandom(32)]], [[13, 2]]]),
    ("a new vault key, its log key behind the revocation", 1, lambda f: [[f.key(), [10, 2], [12, os.urandom(32)]]]),
    ("a new vault key after one was certified, and a batch by that one", 3, lambda f: [certified(f), [f.key()], {"action": 5}]),
    ("a new vault key for two who have one opening key", 1, lambda f: [[f.certify(3, mixed(owner, officer, "third"), "officer")], [f.key()]]),
    ("a new vault key after one of two who have one opening key was revoked", 1,
     lambda f: [[f.certify(3, mixed(owner, officer, "third"), "officer")],
                {"ops": [f.key(), [10, 3]], "publics": [owner.person.x, analyst.person.x]}]),
    ("records linked, unlinked and linked again", 1,
     lambda f: [[[17, 0, 1, True], [17, 1, 2, True]], [[17, 0, 1, False]], [[17, 0, 1, True]]]),
    ("records linked by a holder of nothing", 2, lambda f: [[[17, 0, 1, True]]]),
    ("an epoch retired", 1, lambda f: [f.successor(), [[14, f.shared(), 1]]]),
    ("an epoch retired by an administrator", 3, lambda f: [certified(f, "administrator") + f.successor(), [[14, f.shared(), 1]]]),
    ("new keys, and a batch by them", "renewed", lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, f.successor_of(renewed)]),
    ("new keys of one who may grant until some time", 2,
     lambda f: [*given_anew(f, True, FAR), f.rekeyed(renewed, 2, (True, FAR))]),
    ("new keys of one whose grant expired", 2, lambda f: [*given_anew(f, False, 1), f.rekeyed(renewed, 2, (False, 1))]),
    ("new keys beside a revocation", 3, lambda f: [holding(f, role="administrator"), new_keys(f, [10, 2], granted(f))]),
    ("new keys beside a grant to one more, after its own", 3,
     lambda f: [holding(f, True) + with_fourth(f)[:1], new_keys(f, granted(f, True), with_fourth(f)[1])]),
    ("new keys of an owner who then revokes itself", 3, lambda f: [holding(f, role="owner"), new_keys(f, granted(f), [10, 3])]),
    ("new keys of an owner who revoked itself", 3,
     lambda f: [holding(f, role="owner"), (lambda ops: [ops[0], [10, 3], *ops[1:]])(new_keys(f))]),
    ("new keys of one whose grant was ended", 2, lambda f: [[[11, 2, f.shared()]], f.rekeyed(renewed)[:2]]),
    ("new keys, twice", "renewed",
     lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, f.rekeyed(new_identity(analyst.person.name))]),
    ("new keys, then revoked", 1, lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, [f.key(), [10, 2]]]),
    ("a grant with an end, given again without", 1, lambda f: [holding(f, False, FAR), [granted(f)]]),
    ("a grant with an end, given again with a later one", 1, lambda f: [holding(f, True, FAR), [granted(f, True, FAR + 1)]]),
    ("a grant with an end, given again with may grant", 1, lambda f: [holding(f, False, FAR), [granted(f, True, FAR)]]),
    ("a grant given again with may grant", 1, lambda f: [holding(f), [granted(f, True)]]),
    ("a grant given again until its holder has all", 1,
     lambda f: [holding(f, False, 1), [granted(f, False, FAR)], [granted(f, True, FAR)], [granted(f, True)]]),
    ("a grant given again after it expired", 1, lambda f: [holding(f, False, 1), [granted(f, False, FAR)], {"action": 5}]),
    ("a grant given again for longer by the one whose it is", 3, lambda f: [holding(f, True, FAR), [granted(f, True)]]),
    ("a grant given again beside its successor", 1,
     lambda f: [holding(f, False, FAR), [granted(f, True), *f.successor(), granted(f, True, epoch=2)]]),
    ("a grant given again with may grant, and a successor", 1,
     lambda f: [holding(f, False, FAR), [granted(f, True, FAR)], f.successor() + [granted(f, True, FAR, epoch=2)]]),
    ("a grant given again with a box that nobody opens", 1,
     lambda f: [holding(f, False, FAR), [[6, 3, f.shared(), 1, bytes(200), True, 0]]]),
    ("a grant of the epoch before given again", 1,
     lambda f: [holding(f, False, FAR), f.successor() + [granted(f, False, FAR, 2)], [granted(f, True)]]),
    ("a successor by one whose grant expired, by a clock set back", 3,
     lambda f: [holding(f, False, 5000), {"ops": f.successor() + [granted(f, False, 5000, 2)], "time": 4999}]),
    ("op 11 of a grant after its time, by a holder who may not grant", 2, lambda f: [holding(f, False, 1), [[11, 3, f.shared()]]]),
    ("op 11 of a grant at its time, by a holder who may not grant", 2,
     lambda f: [holding(f, False, FAR), {"ops": [[11, 3, f.shared()]], "time": FAR}]),
    ("op 11 of a grant after its time, by one whose own lasts a little longer", 3,
     lambda f: [holding(f, False, FAR) + with_fourth(f, FAR - 1), {"ops": [[11, 4, f.shared()]], "time": FAR - 1}]),
    ("op 11 by one whose grant with may grant lasts a little longer", 3,
     lambda f: [holding(f, True, FAR), {"ops": [[11, 2, f.shared()]], "time": FAR - 1}]),
    ("op 11 by an owner whose grant expired", 3, lambda f: [holding(f, False, 1, "owner"), [[11, 2, f.shared()]]]),
    ("op 11 of a grant beside one that expired", 1,
     lambda f: [certified(f) + [f.grant(3, officer.person.x, 64, 1, False, 1)], [[11, 1, 64]]]),
    ("op 4 with the opening key of another", 1, lambda f: [[f.certify(3, mixed(owner, officer, "third"), "officer")]]),
    ("a successor that goes to one whose grant expired", 1,
     lambda f: [holding(f, False, 1), f.successor() + [granted(f, False, 1, epoch=2)]]),
    ("a successor by one whose grant lasts a little longer", 3,
     lambda f: [holding(f, False, FAR), {"ops": f.successor() + [granted(f, False, FAR, epoch=2)], "time": FAR - 1}]),
    ("a grant by one whose grant lasts a little longer", 3,
     lambda f: [holding(f, True, FAR) + with_fourth(f)[:1], {"ops": with_fourth(f)[1:], "time": FAR - 1}]),
    ("VK grants beside a payload that begins no VK epoch", 1, lambda f: [{"ops": certified(f), "publics": [officer.person.x]}]),
    ("the database brought over by an analyst", 2, lambda f: [[f.key()], [[13, 2]]]),
    ("a log key that comes again", 1,
     lambda f: [[f.key(), [12, os.urandom(32)]], [f.key(), [12, f.vault.authority.log_seeds[0][1]]]]),
)


def forged_vault(folder, signer, payloads):
    """The vault with these payloads in its log, and a database that applied them all. A payload is its ops, or what Forge.entry()
    takes, and who signs it as `by`."""
    forge = Forge(folder)
    signers = {1: (1, owner), 2: (2, analyst), 3: (3, officer), "renewed": (2, renewed)}
    *firsts, last = [ops if isinstance(ops, dict) else {"ops": ops} for ops in payloads(forge)]
    for arguments in [*firsts, {"by": signer} | last]:
        arguments = {"action": 11, "by": 1} | arguments
        forge.actor = signers[arguments.pop("by")]
        forge.batch(arguments)
    return forge.commit()


def unapplied_principal(folder, outsider):
    """A vault key after a certification that never reached the database; whether it goes to that outsider."""
    forge = Forge(folder)
    inside = list(forge.publics.values())
    forge.batch({"action": 6, "ops": certified(forge)}).batch({"action": 8, "ops": [[7, forge.tree.size - 1]]})
    forge.batch({"action": 17, "ops": [forge.key()], "publics": inside + [officer.person.x] * outsider})
    return forge.save()


def retired_too_early(folder):
    """A vault that says of an epoch that no cell is under it, though its cells are."""
    return forged_vault(folder, 1, lambda f: [f.successor(), {"ops": [[14, f.shared(), 1]], "action": 19}])


def revoked_batch(folder, before=(), after=0):
    """A vault whose analyst is revoked and signs a batch after that, others between and after it by the owner."""
    forge = Forge(folder)
    forge.batch({"action": 15, "ops": [forge.key(), [10, 2]]}, *before)
    forge.actor = (2, analyst)
    forge.batch({"action": 5})
    forge.actor = (1, owner)
    for _ in range(after):
        forge.batch({"action": 5})
    return forge.commit()


class ForgedEpochsTest(unittest.TestCase):
    def test_chains_that_must_be_refused(self):
        for why, signer, payloads, text in FORGED:
            with Copy() as folder, self.subTest(why):
                forged_vault(folder, signer, payloads)
                with self.assertRaisesRegex(reader.Integrity, text):
                    document(folder, anchored=False)

    def test_chains_that_are_read(self):
        good = document(golden / "vault")["records"]
        for why, signer, payloads in FORGED_AND_READ:
            with Copy() as folder, self.subTest(why):
                forged_vault(folder, signer, payloads)
                self.assertEqual(document(folder)["records"], good)

    def test_the_newest_grant_reaches_all_epochs_that_are_left(self):
        def payloads(forge):
            return [forge.successor(), forge.successor(3), certified(forge) + [granted(forge, epoch=3)]]
        with Copy() as folder:
            number = forged_vault(folder, 1, payloads).shared()
            vault = reader.Vault(folder, owner)
            found = vault.authority.compartment_keys(3, officer, vault.keys)
            self.assertEqual(found, {(number, epoch): vault.cks[number, epoch] for epoch in (1, 2, 3)})
            forge = Forge(folder)                                  # the one between is destroyed: a way, not a key any more
            forge.erased.add(forge.vault.authority.epochs[number, 2][3])
            forge.batch({"action": 14, "ops": [[9, number, 2]]}).commit()
            vault = reader.Vault(folder, owner)
            found = vault.authority.compartment_keys(3, officer, vault.keys)
            self.assertEqual(found, {(number, epoch): vault.cks[number, epoch] for epoch in (1, 3)})
            self.assertEqual([one["state"] for one in vault.census() if one["compartment"] == number], ["old", "destroyed", "current"])

    def test_an_op_8_that_leads_elsewhere_is_refused_by_who_needs_it(self):
        def other_key(forge):
            return forge.successor(before=os.urandom(32))

        def short_key(forge):
            return forge.successor(before=forge.key_of(forge.shared(), 1)[:31])

        def other_epoch(forge):
            ops, bound = forge.successor(), forge.log.tag + reader.u16(forge.shared()) + reader.u32(1)
            return with_envelope(ops, reader.env_seal(reader.CK_PAST, forge.granted[forge.shared(), 2], bound,
                                                      forge.key_of(forge.shared(), 1), os.urandom(24)))

        def damaged(forge):
            ops = forge.successor()
            return with_envelope(ops, ops[1][3][:-1] + bytes([ops[1][3][-1] ^ 1]))

        for make, text in ((other_key, "commitment of CK'"), (short_key, "not 32 bytes"), (other_epoch, "another key, label or context"),
                           (damaged, "does not verify"), (lambda forge: with_envelope(forge.successor(), b"x"), "fewer than 73")):
            with Copy() as folder, self.subTest(text):
                forge = forged_vault(folder, 1, lambda f: [certified(f) + make(f), [granted(f, epoch=2)]])
                vault = reader.Vault(folder, owner)                # has a grant of its own of each
                self.assertIn((forge.shared(), 1), vault.cks)
                with self.assertRaisesRegex(reader.Integrity, text):
                    vault.authority.compartment_keys(3, officer, vault.keys)

    def test_cells_under_a_destroyed_epoch_stay_closed_and_harm_nothing(self):
        good = {record["id"]: record for record in document(golden / "vault")["records"]}
        with Copy() as folder:
            forge = forged_vault(folder, 1, lambda f: [f.successor(), [[9, f.shared(), 1]]])
            with self.assertRaisesRegex(reader.Integrity, "half of a destroyed epoch"):
                document(folder)
            forge.half_rows, forge.erased = {}, {forge.vault.authority.epochs[forge.shared(), 1][3]}
            name = forge.commit().vault.authority.schema.compartments[forge.shared()][0]
            closed = 0
            for record in document(folder)["records"]:
                wanted = good[record["id"]]
                closed += name in record["sealed"]
                self.assertLessEqual(record["values"].items(), wanted["values"].items())
                self.assertEqual(record["values"] == wanted["values"], not record["sealed"])
                self.assertLessEqual(set(record["sealed"]), {name})
            self.assertGreater(closed, 0)

    def test_an_ended_grant_opens_nothing_and_a_new_one_opens_all_that_is_left(self):
        for op, end in ((11, lambda f: [[11, 2, f.shared()]]), (10, lambda f: [f.key(), [10, 2]])):
            with Copy() as folder, self.subTest(op=op):
                number = forged_vault(folder, 1, lambda f: [end(f), f.successor()[:3]]).shared()
                vault = reader.Vault(folder, owner)
                self.assertEqual(vault.authority.compartment_keys(2, analyst, vault.keys), {})
                if op == 10:
                    with self.assertRaisesRegex(reader.NoGrant, "not granted"):
                        reader.Vault(folder, analyst)
                else:
                    found = reader.Vault(folder, analyst)
                    self.assertTrue(found.cks == {} and not any(record["values"] for record in found.document()["records"]))
                self.assertEqual({epoch for own, epoch in reader.Vault(folder, owner).cks if own == number}, {1, 2})
        with Copy() as folder:
            number = forged_vault(folder, 1, lambda f: [[[11, 2, f.shared()], *f.successor()[:3]],
                                                        [f.grant(2, analyst.person.x, f.shared(), 2)]]).shared()
            self.assertEqual(set(reader.Vault(folder, analyst).cks), {(number, 1), (number, 2)})

    def test_a_revocation_holds_from_its_entry_on_whatever_the_database_has(self):
        with Copy() as folder:
            forge = Forge(folder)
            number = forge.tree.size
            found = document(forge.batch({"action": 15, "ops": [forge.key(), [10, 2]]}).save().folder)
            self.assertEqual((found["pending"], found["entries"][-1]["action"]), ([], "principal-revoke"))
            with self.assertRaises(reader.NoGrant):
                reader.Vault(folder, analyst)
            forge.batch({"action": 8, "ops": [[7, number]]}).save()
            with self.assertRaisesRegex(reader.Integrity, "newest mutation"):
                document(folder)

    def test_new_keys_whose_x25519_key_somebody_has_are_refused(self):
        for own, text in ((mixed(owner, renewed), "keys that were there before"), (mixed(analyst, renewed), "keys that were there before")):
            with Copy() as folder, self.subTest(text):
                forged_vault(folder, 2, lambda f: [f.rekeyed(own)])
                with self.assertRaisesRegex(reader.Integrity, text):
                    document(folder)

    def test_in_the_batch_of_new_keys_a_payload_is_by_them_and_the_batch_by_the_old(self):
        for signer, text in ((renewed, None), (analyst, "authority: the signature")):
            with Copy() as folder, self.subTest(text):
                forge = Forge(folder)
                forge.actor = (2, analyst)
                forge.batch({"action": 18, "ops": forge.rekeyed(renewed)},
                            {"action": 11, "ops": forge.successor_of(renewed), "signer": signer}).commit()
                with self.assertRaisesRegex(reader.Integrity, text) if text else contextlib.nullcontext():
                    document(folder)

    def test_new_keys_take_the_place_of_the_old_ones_in_everything(self):
        good = reader.Vault(golden / "vault", analyst)
        with Copy() as folder:
            number = forged_vault(folder, "renewed", lambda f: [{"ops": f.rekeyed(renewed), "by": 2}, {"action": 5}]).shared()
            renewed.pins[good.id] = good.log_key
            self.addCleanup(renewed.pins.clear)
            vault = reader.Vault(folder, renewed)
            self.assertEqual((vault.own, set(vault.cks)), (2, {(number, 1)}))
            self.assertEqual(vault.document()["records"], good.document()["records"])
            with self.assertRaisesRegex(reader.NoGrant, "not granted"):
                reader.Vault(folder, analyst)

    def test_one_who_has_a_box_and_is_no_principal_has_no_grant(self):
        with Copy() as folder:
            forged_vault(folder, 1, lambda f: [{"ops": [[11, 2, f.shared()]], "publics": [officer.person.x]}])
            with self.assertRaisesRegex(reader.NoGrant, "no principal"):
                reader.Vault(folder, officer, bytes.fromhex(expected["id"]))

    def test_one_whose_certification_never_reached_the_database_gets_no_vault_key(self):
        for outsider, text in ((False, None), (True, "exactly those who are in")):
            with Copy() as folder, self.subTest(outsider=outsider):
                unapplied_principal(folder, outsider)
                with self.assertRaisesRegex(reader.Integrity, text) if text else contextlib.nullcontext():
                    document(folder)

    def test_a_grant_given_again_keeps_its_first_box(self):
        with Copy() as folder:
            forge = forged_vault(folder, 1, lambda f: [[[6, 2, f.shared(), 1, bytes(200), True, 0]]])
            vault = reader.Vault(folder, analyst)
            self.assertEqual(set(vault.cks), {(forge.shared(), 1)})
            self.assertEqual(vault.authority._live(forge.shared(), 1)[2], (True, 0))

    def test_cells_under_a_retired_epoch_are_told_and_read_all_the_same(self):
        with Copy() as folder:
            number = retired_too_early(folder).shared()
            found = document(folder)
            self.assertEqual(found["records"], document(golden / "vault")["records"])
            (told,) = (one for one in found["keys"] if one["state"] == "retired")
            self.assertEqual((told["compartment"], told["epoch"]), (number, 1))
            self.assertGreater(told["cells"], 0)

    def test_a_compartment_is_closed_when_the_newest_grant_of_it_expired(self):
        def epochs(payloads, now=None):
            """Those that open for the officer."""
            with Copy() as folder:
                forge = forged_vault(folder, 1, payloads)
                vault = reader.Vault(folder, owner)
                found = vault.authority.compartment_keys(3, officer, vault.keys, now)
                self.assertLessEqual({number for number, _ in found}, {forge.shared()})
                return {epoch for _, epoch in found}
        self.assertEqual(epochs(lambda f: [holding(f, False, 1)]), set())
        self.assertEqual(epochs(lambda f: [holding(f, False, FAR)]), {1})
        self.assertEqual([epochs(lambda f: [holding(f, False, 5000)], now) for now in (4999, 5000)], [{1}, set()])
        self.assertEqual(epochs(lambda f: [holding(f, False, 1), [granted(f)]]), {1})
        self.assertEqual(epochs(lambda f: [holding(f, False, 1), f.successor() + [granted(f, False, 1, 2)]]), set())
        self.assertEqual(epochs(lambda f: [holding(f, False, 1), f.successor() + [granted(f, False, 1, 2)], [granted(f, epoch=2)]]), {1, 2})
        self.assertEqual(epochs(lambda f: [f.successor() + certified(f), [granted(f, False, 1, 2)], [granted(f)]]), set())
        self.assertEqual(epochs(lambda f: [f.successor(), holding(f, False, 1), [granted(f, epoch=2)]]), {1, 2})
        self.assertEqual(epochs(lambda f: [f.successor() + certified(f), [granted(f, False, 1)]]), set())
        for expires in (1, FAR):                                   # and nothing that its holder sees says otherwise
            with Copy() as folder:
                number = forged_vault(folder, 1, lambda f: given_anew(f, False, expires)).shared()
                vault = reader.Vault(folder, analyst)
                self.assertEqual(set(vault.cks), {(number, 1), (number, 2)} if expires == FAR else set())
                self.assertEqual(any(record["values"] for record in vault.document()["records"]), expires == FAR)

    def test_a_half_that_is_gone_without_op_9_is_told(self):
        with Copy() as folder:
            forge = forged_vault(folder, 1, lambda f: [f.successor()])
            forge.half_rows, forge.erased = {}, {forge.vault.authority.epochs[forge.shared(), 1][3]}
            forge.commit()
            with self.assertRaisesRegex(reader.Integrity, "is missing"):
                document(folder)

    def test_a_successor_that_never_reached_the_database_opens_nothing(self):
        good = document(golden / "vault")
        with Copy() as folder:
            forge = Forge(folder)
            number = forge.tree.size
            found = document(forge.batch({"action": 11, "ops": forge.successor()}).save().folder)
            self.assertEqual((found["pending"], found["keys"], found["records"]), ([number], good["keys"], good["records"]))
            forge.batch({"action": 8, "ops": [[7, number]]})
            found = document(forge.save().folder)
            self.assertEqual((found["not_applied"], found["keys"], found["records"]), ([number], good["keys"], good["records"]))


# State rows that must be refused of a database that op 13 put under VK epoch 2: why, what is done to `meta`, what the reader says.
def state_rows():
    def older(forge):
        """The state row under the VK before, with the newest `applied`."""
        row = reader.cbor_prefix(reader.env_open(reader.META_ROW, forge.vks[2], forge.log.tag, forge.meta()[reader.state_key(2)]))[0]
        return forge.seal(reader.META_ROW, forge.log.tag, forge.padded(reader.encode(row), 256), 1)

    def moved(forge, epoch):
        return {reader.state_key(2): None, reader.state_key(epoch): forge.meta()[reader.state_key(2)]}
    return (("one more, under the VK before", lambda f: {reader.state_key(1): older(f)}, "2 state rows"),
            ("one more that nobody can open", lambda f: {reader.state_key(3): bytes(300)}, "2 state rows"),
            ("none", lambda f: {reader.state_key(2): None}, "0 state rows"),
            ("of a VK epoch that nobody began", lambda f: moved(f, 3), "VK epoch 3"),
            ("under the key of the first epoch", lambda f: moved(f, 1), "another key, label or context"))


def with_state_row(folder, change):
    forge = forged_vault(folder, 1, lambda f: [[f.key()], [[13, 2]]])
    forge.meta(change(forge))
    return forge


def older_state_row(folder):
    """A database under VK epoch 1, though it applied an op 13 of epoch 2."""
    forge = Forge(folder)
    forge.batch({"action": 17, "ops": [forge.key()]}).batch({"action": 17, "ops": [[13, 2]]})
    forge.db_epoch = 1
    return forge.commit()


class StateRowTest(unittest.TestCase):
    def test_state_rows_that_must_be_refused(self):
        for why, change, text in state_rows():
            with Copy() as folder, self.subTest(why):
                with_state_row(folder, change)
                with self.assertRaisesRegex(reader.Integrity, text):
                    document(folder)

    def test_an_older_state_passed_off_under_an_older_vault_key_is_refused(self):
        with Copy() as folder:
            older_state_row(folder)
            with self.assertRaisesRegex(reader.Integrity, "VK epoch 1, op 13 says 2"):
                document(folder)

    def test_a_state_row_under_a_vault_key_that_no_op_13_named_is_refused(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.batch({"action": 17, "ops": [forge.key()]})
            forge.db_epoch = 2
            forge.commit()
            with self.assertRaisesRegex(reader.Integrity, "VK epoch 2, op 13 says 1"):
                document(folder)

    def test_op_13_that_never_reached_the_database_leaves_it_where_it_was(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.batch({"action": 17, "ops": [forge.key()]}).save()
            number = forge.tree.size
            forge.batch({"action": 17, "ops": [[13, 2]]}).save()
            self.assertEqual(document(folder)["pending"], [number])
            found = document(forge.batch({"action": 8, "ops": [[7, number]]}).save().folder)
            self.assertEqual((found["not_applied"], found["records"]), ([number], document(golden / "vault")["records"]))

    def test_places_of_the_erasure_root_under_another_vault_key_do_not_count(self):
        with Copy() as folder, Copy() as other:
            forged_vault(folder, 1, lambda f: [[f.key()], [[13, 2]]])
            shutil.copyfile(other / "erasure.root", folder / "erasure.root")
            with self.assertRaisesRegex(reader.Integrity, "no live place"):
                document(folder)


def checkpoint(vault, key, size):
    """A checkpoint of a vault's log under its log key number `key`."""
    root = reader.Tree(entry.leaf_hash for entry in vault.log.entries[:size]).root()
    return reader.checkpoint_note(vault.log.tag, vault.authority.log_seeds[key][1], size, root)


def path_to(leaves, index):
    """Inclusion path of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    near, far, at = (leaves[:half], leaves[half:], index) if index < half else (leaves[half:], leaves[:half], index - half)
    return path_to(near, at) + [reader.Tree(far).root()]


# Log keys are replaced in entries 6 and 7 of a vault of 9 entries: key, size of what it signed, whether that is good.
LOG_KEYS = ((0, 5, True), (0, 6, True), (0, 7, False), (0, 9, False), (1, 5, True), (1, 7, True), (1, 8, False), (2, 6, True), (2, 9, True))


def replaced_log_keys(folder):
    forged_vault(folder, 1, lambda f: [[f.key(), [12, os.urandom(32)]], [f.key(), [12, os.urandom(32)]], [[13, 3]]])
    return reader.Vault(folder, owner)


class LogKeyTest(unittest.TestCase):
    def test_a_log_key_that_was_replaced_signs_nothing_beyond_the_entry_that_did_it(self):
        with Copy() as folder:
            vault = replaced_log_keys(folder)
            for key, size, good in LOG_KEYS:
                leaves = [entry.leaf_hash for entry in vault.log.entries[:size]]
                leaf = reader.encode(vault.log.entries[4].leaf)
                lines = [b"c2sp.org/tlog-proof@v1", b"extra " + base64.b64encode(leaf), b"index 4", *map(base64.b64encode, path_to(leaves, 4))]
                made = b"\n".join(lines) + b"\n\n" + checkpoint(vault, key, size)
                with self.subTest(key=key, size=size), contextlib.ExitStack() as stack:
                    if not good:
                        stack.enter_context(self.assertRaisesRegex(reader.Integrity, "replaced"))
                    self.assertEqual(vault.check_receipt(vault.log_keys[key], made), {"index": 4, "size": size})

    def test_the_pinned_log_key_may_be_any_that_the_vault_had_and_no_other(self):
        with Copy() as folder:
            vault = replaced_log_keys(folder)
            own = reader.Identity(owner.person, owner.x_secret, owner.ed_seed, {})
            self.assertEqual((vault.log_keys[0], vault.log_key), (log_key, vault.log_keys[-1]))
            for known in vault.log_keys:
                own.pins = {vault.id: known}
                reader.Vault(folder, own)
            own.pins = {vault.id: reader.verifier_key(vault.log.tag, bytes(32))}
            with self.assertRaises(reader.Untrusted):
                reader.Vault(folder, own)
            with self.assertRaisesRegex(reader.Integrity, "none of the vault"):
                vault.check_receipt(own.pins[vault.id])


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

    def test_vault_keys_begin_at_both_ends_of_a_segment_and_within_a_batch(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.batch(self.SHOWN, {"action": 17, "ops": [forge.key()]}, self.SHOWN).next_segment()
            found = document(forge.save().folder)                 # the header of the last segment alone says the state
            forge.batch({"action": 17, "ops": [forge.key()]}, {"action": 17, "ops": [forge.key()]}).next_segment().batch(self.SHOWN)
            later = document(forge.save().folder)
            self.assertEqual([one["size"] for one in (found, later)], [self.good["size"] + 3, self.good["size"] + 6])
            self.assertEqual((found["records"], later["records"]), (self.good["records"],) * 2)
            self.assertEqual(later["root"], forge.tree.root().hex())

    def test_a_segment_or_batch_that_names_another_vault_key_epoch(self):
        with Copy() as folder:
            forge = Forge(folder).batch(self.SHOWN)
            forge.batch({"action": 17, "ops": [forge.key()]})
            forge.epoch = 1                                        # the header of the next segment, under the VK before
            self.refuse(forge.next_segment().save().folder, "no op 3 leads to|VK epoch")
        with Copy() as folder:
            forge = Forge(folder)
            forge.key()
            forge.epoch = 2
            with self.assertRaises(reader.NoGrant):                # nobody began it: no VK grants of it are there
                document(forge.next_segment().save().folder)

    def test_a_vault_key_that_is_counted_as_a_mutation(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.batch({"action": 17, "ops": [forge.key()]})
            forge.state[4] = forge.tree.size
            self.refuse(forge.batch(self.SHOWN).save().folder, "newest mutation of the state")

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
                                (1, [3, 2, bytes(32)], "not an array of 4"), (1, [3, 1, bytes(32), bytes(32)], "VK epoch 1 after 1"),
                                (1, [6, 1, 9, 1, b"", True, 0], "granted already"),
                                (2, [6, 1, 9, 1, b"", True, 0], "may not grant"),
                                (1, [6, 9, 9, 1, b"", True, 0], "principal or epoch"), (1, [6, 2, 1, 1, b""], "not an array"),
                                (1, [6, 2, 70, 1, b"", True, 0], "principal or epoch"), (1, [16], "op 16"), (1, [12], "not an array"),
                                (1, [12, bytes(31)], "member 1"), (1, [12, bytes(32)], "new vault key"),
                                (1, [13, 1 << 32], "member 1"), (1, [13, 2], "VK epoch 2 after 1"), (1, [13, 1], "VK epoch 1 after 1"),
                                (1, [14, 9], "not an array"), (1, [14, 9, 1], "the current epoch"), (1, [15], "not an array"),
                                (1, [15, "cvp1:"], "new vault key"), (1, [10, 2], "new vault key"),
                                (1, [8, 9, 1], "not an array"), (1, [8, 9, 1 << 32, b"x"], "member 2"),
                                (1, [9, 9, 1, 0], "not an array"), (1, [9, 1 << 16, 1], "member 1"),
                                (1, [10], "not an array"), (1, [10, 1 << 32], "member 1"), (1, [10, 2, 9], "not an array"),
                                (1, [11, 2], "not an array"), (1, [11, 2, 1 << 16], "member 2"), (1, [11, 1 << 32, 9], "member 1"),
                                (1, [4, 4, "cvp1:", "owner", "", []], "number"), (1, [4, 3, "cvp1:", "king", "", []], "role"),
                                (2, [4, 3, "cvp1:", "owner", "", []], "may not certify"),
                                (1, [4, 3, "no string", "owner", "", []], "string")):
            entry.payload = [b"", actor, None, [op], b""]
            with self.subTest(op=op[0], text=text), self.assertRaisesRegex(reader.Integrity, text):
                authority._apply(entry, 0, op)
        entry.payload[1] = 1
        entry.number = 0                                              # entry 0 opens epochs 1, once each, and nothing after them
        for op, text in (([5, 9, 2, bytes(32), bytes(32), bytes(32), 99], "epoch 2 after 1"),
                         ([5, 9, 1, bytes(32), bytes(32), bytes(32), 99], "epoch 1 after 1"),
                         ([5, 77, 2, bytes(32), bytes(32), bytes(32), 99], "epoch 2 after 0"),
                         ([5, 77, 1, bytes(32), bytes(32), bytes(32), authority.epochs[64, 1][3]], "named before"),
                         ([8, 9, 1, b"x"], "no op 5 of this payload"), ([9, 9, 1], "the current epoch"),
                         ([10, 2], "in entry 0"), ([11, 2, 9], "in entry 0")):
            with self.subTest(op=op[0], text=text), self.assertRaisesRegex(reader.Integrity, text):
                authority._apply(entry, 1, op)

    def test_a_clock_set_back_is_told(self):
        with Copy() as folder:
            forge = Forge(folder)
            number = forge.tree.size
            found = document(forge.batch({"action": 5, "time": 1}).save().folder)
            self.assertEqual(found["time_went_backwards"], [number])

    def test_a_batch_of_one_who_was_revoked(self):
        for before, last in (((), 0), ((self.SHOWN,), 0), ((), 3)):
            with Copy() as folder, self.subTest(before=len(before), last=last):
                revoked_batch(folder, before, last)
                self.refuse(folder, "batch of entry .*: the actor was revoked before")

    def test_a_batch_that_revokes_its_own_signer_is_its_last(self):
        with Copy() as folder:
            forge = Forge(folder).batch({"action": 6, "ops": certified(Forge(folder), "owner")})
            forge.actor = (3, officer)
            size = forge.batch({"action": 15, "ops": [forge.key(), [10, 3]]}, self.SHOWN).commit().tree.size
            self.assertEqual(document(folder)["size"], size)
            self.refuse(forge.batch(self.SHOWN).save().folder, "the actor was revoked before")

    def test_a_batch_of_another_signer(self):
        with Copy() as folder:
            forge = Forge(folder)
            forge.actor = (1, reader.Identity(owner.person, owner.x_secret, analyst.ed_seed, {}))
            self.refuse(forge.batch(self.SHOWN).save().folder, "signature")


if __name__ == "__main__":
    unittest.main()
