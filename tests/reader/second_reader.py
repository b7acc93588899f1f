#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second reader of the casevault format, version 1, written from FORMAT.md alone.

It opens a vault read-only, checks everything that the page says a reader MUST check, verifies the whole log, and prints a JSON
document of entries and records. It shares no code with casevault. Section numbers in the docstrings are those of FORMAT.md.

    second_reader.py VAULT --identity FILE (--passphrase-file FILE | --share FILE ...) [--trust ID] [--log-key FILE --receipt FILE] [--values TYPE]
    second_reader.py --vectors vectors.txt

Exit status: 0; 8 integrity; 3 wrong key; 4 no grant or untrusted; 6 busy; 1 anything else. The vault must be at rest: the locks of
section 5 see to that, no LMDB reader lock is taken.
"""
import argparse
import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import stat
import struct
import sys
import time
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import lmdb
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError


# --- Errors (section 2) -------------------------------------------------------------------------------------------------------

class Fault(Exception):
    """What a reader reports instead of a value."""
    name, status = "error", 1


class Integrity(Fault):
    name, status = "integrity", 8


class Unsupported(Fault):
    name, status = "unsupported", 1


class WrongKey(Fault):
    name, status = "wrong key", 3


class NoGrant(Fault):
    name, status = "no grant", 4


class Untrusted(Fault):
    name, status = "untrusted", 4


class Busy(Fault):
    name, status = "busy", 6


def require(condition, message):
    if not condition:
        raise Integrity(message)


# --- Bytes (section 2) --------------------------------------------------------------------------------------------------------

def u8(n): return struct.pack(">B", n)
def u16(n): return struct.pack(">H", n)
def u32(n): return struct.pack(">I", n)
def u64(n): return struct.pack(">Q", n)
def block(data): return u32(len(data)) + data


class Cursor:
    """Reads numbers, blocks and varints in order; too few bytes are an integrity error."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, n):
        require(len(self.data) - self.at >= n, f"{self.what}: cut short")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, size): return int.from_bytes(self.take(size), "big")
    def u8(self): return self.number(1)
    def u16(self): return self.number(2)
    def u32(self): return self.number(4)
    def u64(self): return self.number(8)
    def block(self): return self.take(self.u32())
    def position(self): return self.u32(), self.u32()
    def left(self): return len(self.data) - self.at

    def varint(self, bits=64):
        value = 0
        for index in range(10):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                require(byte or not index, f"{self.what}: varint longer than needed")
                require(value < 1 << bits, f"{self.what}: a number beyond {bits} bits")
                return value
        raise Integrity(f"{self.what}: varint of more than 10 bytes")

    def zeros(self, below=None):
        """The rest is padding: zeros, and fewer than `below` of them."""
        rest = self.take(self.left())
        require(not any(rest), f"{self.what}: padding is not zero")
        require(below is None or len(rest) < below, f"{self.what}: more padding than needed")

    def end(self):
        require(not self.left(), f"{self.what}: bytes left over")


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + u8(n)


def text_of(data, what):
    try:
        return data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Integrity(f"{what}: not UTF-8") from None


def unbase64(text, what):
    """RFC 4648 section 4, padded, and no other spelling of the same bytes."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        data = base64.b64decode(raw, validate=True)
    except ValueError:
        raise Integrity(f"{what}: not base64") from None
    require(base64.b64encode(data) == raw, f"{what}: base64 in another spelling")
    return data


def unhex(text, size, what):
    require(re.fullmatch("[0-9a-fA-F]{%d}" % (2 * size), text), f"{what}: not {2 * size} hex digits")
    return bytes.fromhex(text)


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def crockford(data):
    number = int.from_bytes(data, "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def uncrockford(text):
    plain = text.upper().replace("-", "").translate(str.maketrans("OIL", "011"))
    require(text.isascii() and len(plain) == 26 and all(c in CROCKFORD for c in plain) and plain[0] <= "7", "not a record id")
    number = 0
    for character in plain:
        number = number << 5 | CROCKFORD.index(character)
    return number.to_bytes(16, "big")


# --- Deterministic CBOR (section 2) -------------------------------------------------------------------------------------------

def _cbor_head(cursor):
    first = cursor.u8()
    major, info = first >> 5, first & 31
    require(info <= 27, "CBOR: indefinite or reserved length")
    if info < 24:
        return major, info, info
    size = 1 << (info - 24)
    value = cursor.number(size)
    require(major == 7 or value >= (24 if size == 1 else 1 << (4 * size)), "CBOR: head longer than needed")
    return major, info, value


def _cbor_item(cursor, depth):
    major, info, value = _cbor_head(cursor)
    if major == 0:
        return value
    if major == 1:
        require(value < 1 << 63, "CBOR: negative number below -2^63")
        return -1 - value
    if major in (2, 3):
        require(value <= cursor.left(), "CBOR: string longer than its bytes")
        data = cursor.take(value)
        return data if major == 2 else text_of(data, "CBOR text")
    if major in (4, 5):
        require(depth < 16, "CBOR: nested too deeply")
        require(value <= cursor.left() // (major - 3), "CBOR: more members than bytes")
        if major == 4:
            return [_cbor_item(cursor, depth + 1) for _ in range(value)]
        result, last = {}, -1
        for _ in range(value):
            kind, _, key = _cbor_head(cursor)
            require(kind == 0 and key > last, "CBOR: map keys must be ascending unsigned numbers")
            result[key], last = _cbor_item(cursor, depth + 1), key
        return result
    require(major == 7 and info in (20, 21, 22), "CBOR: tag, float or simple value")
    return {20: False, 21: True, 22: None}[info]


def cbor_prefix(data):
    """The first value and the number of its bytes; for places where padding follows."""
    cursor = Cursor(data, "CBOR")
    return _cbor_item(cursor, 0), cursor.at


def cbor(data, what="CBOR"):
    value, used = cbor_prefix(data)
    require(used == len(data), f"{what}: bytes after the CBOR value")
    return value


def encode(value):
    """CBOR as section 2 wants it, the other way round."""
    def head(major, n):
        if n < 24:
            return u8(major << 5 | n)
        size = next(s for s in (1, 2, 4, 8) if n < 1 << 8 * s)
        return u8(major << 5 | 23 + size.bit_length()) + n.to_bytes(size, "big")
    if value is None or isinstance(value, bool):
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    return head(5, len(value)) + b"".join(encode(key) + encode(value[key]) for key in sorted(value))


def _is(value, kind):
    """One member: u64 u32 u16 u8 unsigned, i signed, t text, b bytes, b32 bytes of a size, a array, m map, f bool; ? or null."""
    if kind.endswith("?"):
        return value is None or _is(value, kind[:-1])
    number = isinstance(value, int) and not isinstance(value, bool)
    if kind[0] == "u":
        return number and 0 <= value < 1 << int(kind[1:])
    if kind[0] == "b":
        return isinstance(value, bytes) and kind in ("b", f"b{len(value)}")
    return {"i": number and -1 << 63 <= value < 1 << 63, "t": isinstance(value, str), "a": isinstance(value, list),
            "m": isinstance(value, dict), "f": isinstance(value, bool)}[kind]


def members(value, kinds, what):
    """An array with exactly these members (section 2)."""
    kinds = kinds.split()
    require(isinstance(value, list) and len(value) == len(kinds), f"{what}: not an array of {len(kinds)}")
    for index, (member, kind) in enumerate(zip(value, kinds)):
        require(_is(member, kind), f"{what}: member {index} is not {kind}")
    return value


# --- Constructions (sections 3 and 4) -----------------------------------------------------------------------------------------

def label(text):
    assert len(text) <= 16
    return text.ljust(16).encode()


SLOT, BODY, PRINCIPAL = label("cv1 slot passphr"), label("cv1 identity key"), label("cv1 principal fl")
VK_GRANT, VK_LABEL, VK_COMMIT = label("cv1 vk grant box"), label("cv1 vk grant tag"), label("cv1 vk commitmnt")
CK_GRANT, CK_KEY, CK_COMMIT = label("cv1 ck grant box"), label("cv1 ck from half"), label("cv1 ck commitmnt")
CK_PAST, CK_DEPOSIT = label("cv1 ck past epoc"), label("cv1 ck deposit x")
ERASURE, ERASURE_COMMIT = label("cv1 erasure root"), label("cv1 erasure comm")
TREE_NODE, TREE_HEAD, CELL = label("cv1 key tree nod"), label("cv1 key tree hd"), label("cv1 record cell")
AUTHORITY, AUTHORITY_SIGN, LEAF_KEYS = label("cv1 authority pl"), label("cv1 authority sg"), label("cv1 leaf seal+mk")
LOG_LEAF, LOG_WRITE, LOG_CLOSE = label("cv1 log leaf"), label("cv1 log write"), label("cv1 log close")
LOG_SEGMENT, LOG_BATCH, IMPORT_STAMP = label("cv1 log segment"), label("cv1 log batchsig"), label("cv1 import stamp")
DETAILS, SUBJECT, SUBJECT_TAG = label("cv1 log details"), label("cv1 log subject"), label("cv1 log subj tag")
C_ACTOR, C_SUBJECTS, C_FIELDS = label("cv1 commit actor"), label("cv1 commit subj"), label("cv1 commit field")
C_DETAILS, C_AUTHORITY, C_WRITE = label("cv1 commit detls"), label("cv1 commit autho"), label("cv1 commit write")
META_ROW, SLOT_SHARES, SHARE = label("cv1 meta row"), label("cv1 slot shares"), label("cv1 share signed")


def sha256(data): return hashlib.sha256(data).digest()
def b2(data): return hashlib.blake2b(data, digest_size=32).digest()
def d64(lab, key, message): return hashlib.blake2b(message, digest_size=64, key=key, salt=bytes(16), person=lab).digest()
def d32(lab, key, message): return d64(lab, key, message)[:32]
def commit(lab, opening): return sha256(lab + opening)


def c64(suite, lab, ck, rk, message):
    """Cell key ‖ commitment of a suite."""
    if suite in (1, 2):
        return d64(lab, ck + rk, message)
    if suite == 3:
        extracted = hmac.digest(ck, rk, "sha512")
        return hmac.digest(extracted, lab + message + b"\x01", "sha512")
    raise Unsupported(f"suite {suite}")


CELL_AEAD = {1: AESGCM, 2: ChaCha20Poly1305, 3: AESGCM}


def aead_open(cipher, key, nonce, aad, sealed, what):
    try:
        require(len(sealed) >= 16, f"{what}: shorter than a tag")
        return cipher(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Integrity(f"{what}: does not verify") from None


def env_seal(lab, key, context, plaintext, salt):
    derived = d64(lab, key, u8(1) + salt + context)
    return u8(1) + salt + derived[32:] + AESGCM(derived[:32]).encrypt(bytes(12), plaintext, b"")


def env_open(lab, key, context, sealed, what="envelope"):
    require(len(sealed) >= 73, f"{what}: fewer than 73 bytes")
    if sealed[0] != 1:
        raise Unsupported(f"{what}: suite {sealed[0]}")
    derived = d64(lab, key, sealed[:25] + context)
    if not hmac.compare_digest(derived[32:], sealed[25:57]):
        raise WrongKey(f"{what}: another key, label or context")
    return aead_open(AESGCM, derived[:32], bytes(12), b"", sealed[57:], what)


def vault_open(lab, key, context, sealed, what):
    """An envelope of a vault: one that does not open, for whatever reason, is an integrity error (section 2)."""
    try:
        return env_open(lab, key, context, sealed, what)
    except (WrongKey, Unsupported) as error:
        raise Integrity(str(error)) from None


def x25519(secret, public):
    try:
        return sodium.crypto_scalarmult(secret, public)
    except RuntimeError:
        raise Integrity("X25519 result is all zero") from None


def x_public(secret):
    return sodium.crypto_scalarmult_base(secret)


def box_seal(lab, recipient, context, plaintext, e, salt):
    public = x_public(e)
    return public + env_seal(lab, d32(lab, x25519(e, recipient), public + recipient), context, plaintext, salt)


def box_open(lab, secret, context, sealed, what):
    require(len(sealed) >= 105, f"{what}: fewer than 105 bytes")
    public = sealed[:32]
    return vault_open(lab, d32(lab, x25519(secret, public), public + x_public(secret)), context, sealed[32:], what)


def ed_public(seed):
    return sodium.crypto_sign_seed_keypair(seed)[0]


def ed_sign(seed, message):
    return sodium.crypto_sign(message, sodium.crypto_sign_seed_keypair(seed)[1])[:64]


def ed_verify(public, message, signature, what):
    try:
        sodium.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        raise Integrity(f"{what}: the signature does not verify") from None


def siphash(key, data):
    """SipHash-2-4 under the first 16 bytes of a key."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key[:16])
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & mask

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & mask
            v[2] = (v[2] + v[3]) & mask
            v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
            v[0] = (rotate(v[0], 32) + v[3]) & mask
            v[2] = (v[2] + v[1]) & mask
            v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + u8(len(data) & 255)
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xC96C5795D7870F42 if byte & 1 else 0)   # 0x42F0E1EBA9EA3693, reflected
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc64(data):
    """CRC-64/XZ (section 7)."""
    value = (1 << 64) - 1
    for byte in data:
        value = value >> 8 ^ CRC_TABLE[(value ^ byte) & 255]
    return value ^ (1 << 64) - 1


assert crc64(b"123456789") == 0x995DC9BBDF1939FA


def aes_block(key, data, decrypt=False):
    cipher = Cipher(algorithms.AES(key), modes.ECB())
    context = cipher.decryptor() if decrypt else cipher.encryptor()
    return context.update(data) + context.finalize()


def record_id(id_key, row):
    """Section 13."""
    return crockford(aes_block(id_key, u64(row) + bytes(8)))


# --- Merkle tree, notes, receipts (section 12) --------------------------------------------------------------------------------

class Tree:
    """RFC 6962: the roots of the perfect subtrees, largest first."""

    def __init__(self, leaves=()):
        self.size, self.roots = 0, []
        for leaf in leaves:
            self.add(leaf)

    @classmethod
    def of(cls, size, roots):
        tree = cls()
        tree.size, tree.roots = size, list(roots)
        return tree

    def add(self, leaf_hash):
        self.size += 1
        self.roots.append(leaf_hash)
        carry = self.size
        while carry % 2 == 0:
            right, left = self.roots.pop(), self.roots.pop()
            self.roots.append(sha256(b"\x01" + left + right))
            carry //= 2

    def root(self):
        if not self.roots:
            return sha256(b"")
        result = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            result = sha256(b"\x01" + left + result)
        return result


def leaf_hash(leaf):
    return sha256(b"\x00" + leaf)


def path_root(leaf, index, size, path):
    """The root to which an inclusion path leads (RFC 9162 section 2.1.3.2)."""
    require(index < size, "receipt: index beyond the size of the tree")
    node, last, result = index, size - 1, leaf
    for step in path:
        require(last, "receipt: path too long")
        if node & 1 or node == last:
            result = sha256(b"\x01" + step + result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = sha256(b"\x01" + result + step)
        node, last = node >> 1, last >> 1
    require(last == 0, "receipt: path too short")
    return result


def origin_of(tag):
    return "casevault/" + tag.hex()


def key_id(origin, public):
    return sha256(origin.encode() + b"\n\x01" + public)[:4]


def verifier_key(tag, public):
    origin = origin_of(tag)
    return f"{origin}+{key_id(origin, public).hex()}+{base64.b64encode(b'%c' % 1 + public).decode()}"


def parse_verifier_key(text):
    found = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
    require(found, "log key: not a verifier key")
    origin, data = found[1], unbase64(found[3], "log key")
    require(data, "log key: empty")
    if data[0] != 1:
        raise Unsupported(f"log key: key type {data[0]}")
    require(len(data) == 33 and key_id(origin, data[1:]).hex() == found[2], "log key: wrong size or key id")
    return origin, data[1:]


def checkpoint_note(tag, seed, size, root):
    origin = origin_of(tag)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()
    signature = key_id(origin, ed_public(seed)) + ed_sign(seed, text)
    return text + f"\n\u2014 {origin} {base64.b64encode(signature).decode()}\n".encode()


def open_checkpoint(note, log_key):
    """Size and root of a checkpoint that verifies under the log key."""
    origin, public = parse_verifier_key(log_key)
    require(len(note) <= 1 << 20, "note: over 1 MiB")
    text = text_of(note, "note")
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", text), "note: control characters")
    require("\n\n" in text and text.endswith("\n"), "note: no signatures")
    body, signatures = text.rsplit("\n\n", 1)
    body += "\n"
    lines = signatures.removesuffix("\n").split("\n")
    require(len(lines) <= 64, "note: more than 64 signatures")
    known = 0
    for line in lines:
        found = re.fullmatch(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
        require(found, "note: a line that is not a signature")
        data = unbase64(found[2], "note: signature")
        require(len(data) > 4, "note: signature too short")
        if found[1] == origin and data[:4] == key_id(origin, public):
            require(len(data) == 68, "note: signature of another size")
            ed_verify(public, body.encode(), data[4:], "note")
            known += 1
    require(known, "note: not signed by the log key")
    parts = body.split("\n")
    require(len(parts) >= 4 and parts[0] == origin, "checkpoint: origin is not the name of the key")
    require(all(parts[3:-1]), "checkpoint: an empty line")
    require(re.fullmatch("0|[1-9][0-9]{0,19}", parts[1]) and int(parts[1]) < 1 << 64, "checkpoint: size")
    root = unbase64(parts[2], "checkpoint: root")
    require(len(root) == 32, "checkpoint: root is not 32 bytes")
    return int(parts[1]), root


def open_receipt(data, log_key):
    """Leaf, index, size and root of a receipt that holds."""
    require(len(data) <= 1 << 20, "receipt: too long")
    head, separator, note = data.partition(b"\n\n")
    lines = text_of(head, "receipt").split("\n")
    require(separator and 3 <= len(lines) <= 3 + 63 and lines[0] == "c2sp.org/tlog-proof@v1", "receipt: not a tlog-proof")
    require(lines[1].startswith("extra ") and re.fullmatch("index (0|[1-9][0-9]{0,19})", lines[2]), "receipt: extra and index")
    leaf, index = unbase64(lines[1][6:], "receipt: extra"), int(lines[2][6:])
    require(leaf, "receipt: extra is empty")
    path = [unbase64(line, "receipt: path") for line in lines[3:]]
    require(all(len(step) == 32 for step in path), "receipt: a hash that is not 32 bytes")
    size, root = open_checkpoint(note, log_key)
    require(path_root(leaf_hash(leaf), index, size, path) == root, "receipt: the path does not lead to the root")
    return leaf, index, size, root


# --- Identity (section 6) -----------------------------------------------------------------------------------------------------

@dataclass
class Person:
    """A principal string that verified."""
    name: str
    x: bytes
    ed: bytes

    def encoded(self):
        return encode([self.name, self.x, self.ed])


def parse_principal(text):
    text = text.rstrip(" \r\n")
    require(len(text.encode()) <= 1024 and text.startswith("cvp1:"), "principal string: not one")
    name, x, ed, signature = members(cbor(unbase64(text[5:], "principal string")), "t b32 b32 b64", "principal string")
    require(1 <= len(name.encode()) <= 64 and not re.search(r"[\x00-\x1f\x7f]", name), "principal string: name")
    person = Person(name, x, ed)
    ed_verify(ed, PRINCIPAL + person.encoded(), signature, "principal string")
    return person


@dataclass
class Identity:
    person: Person
    x_secret: bytes
    ed_seed: bytes
    pins: dict


def argon2id(passphrase, salt, passes, memory):
    return sodium.crypto_pwhash_alg(32, passphrase, salt, passes, memory * 1024, sodium.crypto_pwhash_ALG_ARGON2ID13)


BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _bech32_check(values):
    """The remainder of BIP-173: 1 when the checksum holds."""
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check


@dataclass
class Share:
    """A share of a quorum whose signature verified."""
    number: bytes
    threshold: int
    total: int
    index: int
    value: bytes


def parse_share(line, person):
    text = line.strip(" \r\n")
    require(text in (text.lower(), text.upper()) and len(text) == 183, "share: not one line of 183 characters in one case")
    prefix, _, rest = text.lower().rpartition("1")
    require(prefix == "cvs" and all(character in BECH32 for character in rest), "share: not Bech32 of a share")
    words = [BECH32.index(character) for character in rest]
    expanded = [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]
    require(_bech32_check(expanded + words) == 1, "share: checksum")
    number = 0
    for word in words[:-6]:
        number = number << 5 | word
    spare = 5 * (len(words) - 6) % 8
    require(not number & (1 << spare) - 1, "share: bits left over")
    cursor = Cursor((number >> spare).to_bytes(5 * (len(words) - 6) // 8, "big"), "share")
    if cursor.u8() != 1:
        raise Unsupported("share: version")
    share = Share(cursor.take(8), cursor.u8(), cursor.u8(), cursor.u8(), cursor.take(32))
    signed = cursor.data[:cursor.at]
    ed_verify(person.ed, SHARE + signed, cursor.take(64), "share")
    cursor.end()
    require(2 <= share.threshold <= share.total <= 32 and 1 <= share.index <= share.total, "share: numbers")
    return share


def _field_product(a, b):
    """In GF(2^8) mod x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return product


def combine_shares(shares):
    """The value at 0 of the polynomials through as many shares as the threshold says."""
    require(len({(one.number, one.threshold, one.total) for one in shares}) == 1, "shares: of different sets")
    require(len({one.index for one in shares}) == len(shares), "shares: one twice")
    if len(shares) < shares[0].threshold:
        raise WrongKey("shares: fewer than the threshold")
    used, secret = shares[:shares[0].threshold], bytes(32)
    for one in used:
        factor = 1
        for other in used:
            if other is not one:
                inverse = next(n for n in range(1, 256) if _field_product(n, one.index ^ other.index) == 1)
                factor = _field_product(factor, _field_product(other.index, inverse))
        secret = bytes(byte ^ _field_product(factor, own) for byte, own in zip(secret, one.value))
    return secret


def _open_slot(slot, own, passphrase, shares):
    """The identity key from a slot, or None when nothing that was given opens it."""
    kind, number, passes, memory, salt, body = slot
    context = own + encode([kind, number, passes, memory, salt])
    if kind == 1 and passphrase is not None:
        if not (1 <= passes <= 8 and 64 << 10 <= memory <= 1 << 20):
            raise Unsupported("slot: cost out of bounds")
        lab, secret, envelope = SLOT, argon2id(passphrase, salt, passes, memory), body
    elif kind == 5 and shares:
        threshold, total, envelope = members(cbor(body, "slot of shares"), "u8 u8 b", "slot of shares")
        lab, secret, context = SLOT_SHARES, combine_shares(shares), context + encode(threshold) + encode(total)
    else:
        return None
    try:
        key = env_open(lab, secret, context, envelope, "slot")
    except WrongKey:
        return None
    except Unsupported as error:
        raise Integrity(str(error)) from None
    require(len(key) == 32, "slot: the identity key is not 32 bytes")
    return key


def open_identity(data, passphrase=None, shares=()):
    """By a passphrase, or by the lines of shares of a quorum."""
    require(len(data) <= 256 * 1024, "identity: over 256 KiB")
    first, *lines = data.split(b"\n")
    if first != b"casevault-identity 1":
        raise Unsupported("identity: first line")
    require(lines, "identity: one line only")
    string, table, body = members(cbor(unbase64(b"".join(lines), "identity"), "identity"), "t b b", "identity")
    person = parse_principal(string)
    slots = cbor(table, "slot table")
    require(isinstance(slots, list) and 1 <= len(slots) <= 32, "identity: 1 to 32 slots")
    shares = [parse_share(line, person) for line in shares]
    key = None
    for slot in slots:
        members(slot, "u64 b8 u32 u32 b16 b", "slot")
        key = key or _open_slot(slot, person.encoded(), passphrase, shares)
    if key is None:
        raise WrongKey("no slot of the identity opens with what was given")
    opened = vault_open(BODY, key, person.encoded() + sha256(table), body, "identity body")
    require(len(opened) > 64, "identity body: cut short")
    x_secret, ed_seed, pins = opened[:32], opened[32:64], {}
    require(x_public(x_secret) == person.x and ed_public(ed_seed) == person.ed, "identity: secrets are of other public keys")
    listed, used = cbor_prefix(opened[64:])
    if opened[64 + used:]:                                           # generation of the slot table; nothing stands for 0
        generation = cbor(opened[64 + used:], "identity: generation")
        require(_is(generation, "u64") and generation, "identity: generation")
    require(isinstance(listed, list), "pins: not an array")
    for pin in listed:
        vault, log_key = members(pin, "b32 t", "pin")
        pins.setdefault(vault, log_key)
    return Identity(person, x_secret, ed_seed, pins)


def open_invitation(text, identity):
    """Vault id, log key and VK of an invitation (section 6); it carries no signature."""
    text = text.rstrip(" \r\n")
    require(len(text.encode()) <= 4096 and text.startswith("cvi1:"), "invitation: not one")
    parts = cbor(unbase64(text[5:], "invitation"), "invitation")
    vault, log_key, name, box = members(parts, "b32 t t b", "invitation")
    try:
        key = box_open(label("cv1 invitation"), identity.x_secret, encode([vault, log_key, name]), box, "invitation")
    except Integrity as error:
        raise WrongKey(str(error)) from None
    if len(key) != 32:
        raise WrongKey("invitation: the vault key is not 32 bytes")
    return vault, log_key, key


# --- Folder (section 5) -------------------------------------------------------------------------------------------------------

def guard(path, folder=False):
    """Refuses what group or others may use, foreign owners, symbolic links and files with two names."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise Integrity(f"{path.name}: {error.strerror}") from None
    kind = stat.S_ISDIR if folder else stat.S_ISREG
    require(kind(status.st_mode), f"{path.name}: not a {'folder' if folder else 'file'}")
    require(not status.st_mode & 0o077, f"{path.name}: group or others may use it")
    require(status.st_uid in (0, os.geteuid()), f"{path.name}: belongs to somebody else")
    require(folder or status.st_nlink == 1, f"{path.name}: has more than one name")
    return path


def load(path):
    with open(guard(path), "rb") as file:
        return file.read()


def read_format(file):
    """Sees that nobody has the vault open, or opens it until the file is closed (section 5); the vault id."""
    def flock(kind, byte): return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLKW, flock(fcntl.F_RDLCK, 2))
    held = fcntl.fcntl(file, fcntl.F_OFD_GETLK, flock(fcntl.F_WRLCK, 0))
    if struct.unpack_from("h", held)[0] != fcntl.F_UNLCK:
        raise Busy("somebody has the vault open")
    line = file.read(257)
    if line.startswith(b"casevault ") and not line.startswith(b"casevault 1 lmdb 0.9 "):
        raise Unsupported("FORMAT: another version")
    found = re.fullmatch(rb"casevault 1 lmdb 0\.9 ([0-9a-fA-F]{64})\n", line)
    require(found, "FORMAT: not a line of casevault")
    return bytes.fromhex(found[1].decode())


# --- Log files and frames (sections 7 and 8) ----------------------------------------------------------------------------------

NOWHERE = (0xFFFFFFFF, 0xFFFFFFFF)
ACTIONS = {1: "genesis", 2: "add", 3: "update", 4: "import", 5: "disclose", 6: "principal-add", 7: "grant-add", 8: "not-applied",
           9: "read-log", 11: "key-rotate", 12: "key-reencrypt", 13: "key-census", 14: "key-destroy",
           15: "principal-revoke", 16: "grant-revoke", 17: "key-vault", 18: "principal-rekey", 19: "key-retire", 20: "find",
           21: "duplicates", 22: "merge", 23: "unmerge",
           32: "table", 33: "tabulate", 34: "release", 35: "budget"}
OUTCOMES = {0: "ok", 1: "denied", 2: "failed"}


@dataclass
class Entry:
    """An entry frame; what stands below `details` is filled in when it is opened."""
    number: int
    position: tuple
    leaf_hash: bytes
    epoch: int
    leaf_sealed: bytes
    grants: bytes
    authority_sealed: bytes
    write_sealed: bytes
    details: bytes
    leaf: list = None
    actor: int = 0
    payload: list = None
    signed: bytes = b""
    write: list = None
    shown: dict = field(default_factory=dict)

    def only_marks(self):
        return self.payload is not None and all(op[0] == 7 for op in self.payload[3])

    def begins_epoch(self):
        """Its payload begins a VK epoch after the first (section 8)."""
        return self.number > 0 and self.payload is not None and self.payload[3][0][0] == 3

    def is_mutation(self):
        """A write block, or an authority block and another action than 8, and no VK epoch begun (section 8)."""
        return self.write is not None or self.payload is not None and self.leaf[1] != 8 and not self.begins_epoch()


@dataclass
class Batch:
    entries: list
    before: int
    epoch: int
    grants_at: tuple
    sealed: bytes
    bound: bytes
    closing: list = None


@dataclass
class Segment:
    number: int
    previous_end: int
    start: int
    size: int
    tag: bytes
    grants_at: tuple
    epoch: int
    roots: list
    sealed: bytes
    bound: bytes
    batches: list = field(default_factory=list)
    torn_at: int = None


def parse_segment_head(data, number):
    what = f"segment {number}"
    cursor = Cursor(data, what)
    require(cursor.take(8) == b"CVLOG1\n\0", f"{what}: magic")
    require(cursor.u32() == number, f"{what}: number")
    previous_end, length = cursor.u32(), cursor.u32()
    require(length <= 4096, f"{what}: header over 4,096 bytes")
    header = Cursor(cursor.take(length), f"{what}: header")
    checked = data[:cursor.at]
    require(cursor.u64() == crc64(checked), f"{what}: checksum of the head")
    size, tag, grants_at, epoch, count = header.u64(), header.take(16), header.position(), header.u32(), header.u8()
    require(count == bin(size).count("1"), f"{what}: number of subtree roots")
    roots = [header.take(32) for _ in range(count)]
    sealed = header.block()
    header.end()
    bound = tag + u64(size) + u32(epoch) + u32(grants_at[0]) + u32(grants_at[1])
    require(number or (size, grants_at, epoch, previous_end) == (0, NOWHERE, 1, 0), f"{what}: not a first segment")
    return Segment(number, previous_end, cursor.at, size, tag, grants_at, epoch, roots, sealed, bound)


def frame_at(data, segment, at):
    """(batch start, flags, body) of an intact frame, or None."""
    if len(data) - at < 21:
        return None
    length, start, flags, checksum = struct.unpack_from(">IIBQ", data, at)
    if not length or length > len(data) - at - 17 or flags > 1:
        return None
    body = data[at + 17:at + 17 + length]
    if crc64(struct.pack(">IIIIB", segment, at, length, start, flags) + body) != checksum:
        return None
    return start, flags, body


def scan(data, segment, start, whole):
    """The batches of a segment as [(offset, body)] lists, and their end. `whole`: nothing but intact batches may stand there."""
    batches, end = [], start
    while end < len(data):
        frames, at, closed = [], end, False
        while not closed:
            frame = frame_at(data, segment, at)
            if frame is None or frame[0] != end:
                break
            _, flags, body = frame
            frames.append((at, body))
            at += 17 + len(body)
            require(at - end <= 1 << 30, f"segment {segment} offset {at}: batch over 1 GiB")
            closed = flags == 1
        if not closed:
            require(not whole, f"segment {segment} offset {at}: damaged")
            break
        batches.append(frames)
        end = at
    return batches, end


def is_torn(data, segment, end):
    """Bytes after the end of the last segment: False if all zero, True if torn, an error if they were once whole."""
    rest, written = len(data) - end, len(data.rstrip(b"\0"))
    if written <= end:
        return False
    checked = 0
    for at in range(end + 1, min(written, len(data) - 17)):
        length, start, flags = struct.unpack_from(">IIB", data, at)
        if length and end < start <= at and length <= len(data) - at - 17 and flags <= 1:
            checked += length
            require(checked <= 64 * (rest + 1024), f"segment {segment} offset {end}: damaged (gave up)")
            require(frame_at(data, segment, at) is None, f"segment {segment} offset {end}: damaged before offset {at}")
    return True


def parse_entry(body, number, position):
    cursor = Cursor(body, f"entry {number}")
    require(len(body) <= 8 << 20, f"entry {number}: over 8 MiB")
    require(cursor.u8() == 1, f"entry {number}: not an entry frame")
    entry = Entry(number, position, cursor.take(32), cursor.u32(), *(cursor.block() for _ in range(5)))
    cursor.end()
    require(not entry.grants or entry.authority_sealed, f"entry {number}: VK grants without an authority payload")
    return entry


def parse_batch(frames, segment, size, tag):
    *firsts, (_, last) = frames
    require(firsts, f"segment {segment}: a batch without entries")
    entries = [parse_entry(body, size + i, (segment, at)) for i, (at, body) in enumerate(firsts)]
    cursor = Cursor(last, f"closing frame after entry {entries[-1].number}")
    require(cursor.u8() == 2, f"{cursor.what}: not a closing frame")
    epoch, grants_at, before, sealed = cursor.u32(), cursor.position(), cursor.u64(), cursor.block()
    cursor.end()
    require(before == size, f"{cursor.what}: size before")
    bound = tag + u64(before) + u32(epoch) + u32(grants_at[0]) + u32(grants_at[1])
    return Batch(entries, before, epoch, grants_at, sealed, bound)


def read_log(folder):
    """All segments with their batches and entries, still sealed."""
    names = sorted(path.name for path in folder.iterdir() if re.fullmatch(r"[0-9]{8}\.log", path.name))
    require(names and names == [f"{i:08}.log" for i in range(len(names))], "log: a segment is missing")
    files, segments, size = [], [], 0
    for number, name in enumerate(names):
        data = load(folder / name)
        require(len(data) < 1 << 32, f"segment {number}: 4 GiB or more")
        files.append(data)
        segments.append(parse_segment_head(data, number))
    for number, (data, segment) in enumerate(zip(files, segments)):
        require(segment.size == size and segment.tag == segments[0].tag, f"segment {number}: size or tag")
        last = number == len(files) - 1
        if not last:
            limit = segments[number + 1].previous_end
            require(segment.start <= limit <= len(data), f"segment {number + 1}: previous end")
            data = data[:limit]
        batches, end = scan(data, number, segment.start, whole=not last)
        if last and is_torn(data, number, end):
            segment.torn_at = end
        for frames in batches:
            segment.batches.append(parse_batch(frames, number, size, segment.tag))
            size += len(segment.batches[-1].entries)
    require(size, "log: no entries")
    return segments


def unpad(data, what):
    """pad(n, x) of section 8; any number of zeros (section 2)."""
    cursor = Cursor(data, what)
    inner = cursor.take(cursor.u16())
    cursor.zeros()
    return inner


def unpad_block(data, what):
    """block ‖ zeros up to a multiple."""
    cursor = Cursor(data, what)
    inner = cursor.block()
    cursor.zeros()
    return inner


def parse_grants(data, what):
    """VK grants: previous position, {label: box} as a list."""
    cursor = Cursor(data, f"{what}: VK grants")
    previous, count = cursor.position(), cursor.u32()
    grants = []
    for _ in range(count):
        grants.append((cursor.take(16), cursor.block()))
    cursor.end()
    return previous, grants


VK_AFTER = "u64 u32 b32 b32"               # op 3 of an epoch after the first


def vk_label(public, tag, epoch):
    """By which who has this X25519 public key finds its box."""
    return d32(VK_LABEL, public, tag + u32(epoch))[:16]


class Log:
    """The log under its VKs: every leaf hash, state, root and chain is recomputed from entry 0 on (section 8)."""

    def __init__(self, folder, identity):
        self.segments = read_log(folder)
        self.tag = self.segments[0].tag
        self.entries = [entry for segment in self.segments for batch in segment.batches for entry in batch.entries]
        self.at = {entry.position: entry for entry in self.entries}
        last = self.segments[-1]
        newest = last.batches[-1] if last.batches else last
        self.epoch, self.grants_at = newest.epoch, newest.grants_at
        self.vk = self._find_vk(identity)
        self.vks = {self.epoch: self.vk}
        self._find_vks_before(last, newest)
        self.state = [0, 0, 0, bytes(32), 0, 0, 0]
        self.marked, self.mutations, self.backwards = set(), [], []
        self.tree = Tree()
        self._replay()

    def _find_vk(self, identity):
        """Section 9: from the newest VK grants backwards."""
        wanted = vk_label(identity.person.x, self.tag, self.epoch)
        position = self.grants_at
        while position != NOWHERE:
            require(position in self.at, "VK grants: no entry at the position named")
            entry = self.at[position]
            require(entry.grants, f"entry {entry.number}: has no VK grants")
            if entry.epoch < self.epoch:
                break
            previous, grants = parse_grants(entry.grants, f"entry {entry.number}")
            for name, sealed in grants:
                if name == wanted:
                    key = box_open(VK_GRANT, identity.x_secret, self.tag + u32(self.epoch), sealed, "VK grant")
                    require(len(key) == 32, "VK grant: not 32 bytes")
                    return key
            require(previous == NOWHERE or previous < position, f"entry {entry.number}: VK grants not backwards")
            position = previous
        raise NoGrant("the vault key is not granted to this identity")

    def _find_vks_before(self, last, newest):
        """Section 9: along the authority chain from the newest state, where each op 3 but the first holds the VK before it."""
        if last.batches:
            state = members(cbor(vault_open(LOG_CLOSE, self.vk, newest.bound, newest.sealed, "newest closing frame")),
                            "u32 u64 b32 u64 b64 a", "newest closing frame")[5]
        else:
            state = cbor(self._open_header(last, Tree.of(last.size, last.roots)))
        number, segment, offset = members(state, "u64 u32 u32 b32 u64 u64 i", "newest state")[:3]
        above = number
        while number:
            entry = self.at.get((segment, offset))
            require(entry and entry.number == number - 1 and number <= above, "authority: no entry where the chain leads")
            self._open_entry(entry)
            require(entry.payload, f"entry {entry.number}: no authority payload")
            above = entry.number
            if entry.begins_epoch():
                before = members(entry.payload[3][0], VK_AFTER, f"entry {entry.number}: op 3")[3]
                require(entry.epoch - 1 not in self.vks, f"entry {entry.number}: VK epoch {entry.epoch} begins twice")
                self.vks[entry.epoch - 1] = before
            if entry.payload[2] is None:
                break
            named, _, segment, offset = members(entry.payload[2], "u64 b32 u32 u32", f"entry {entry.number}: previous")
            number = named + 1

    def key_of(self, epoch, what):
        """The VK of an epoch that the chain led to."""
        require(epoch in self.vks, f"{what}: VK epoch {epoch}, which no op 3 leads to")
        return self.vks[epoch]

    def _open_header(self, segment, tree):
        what = f"segment {segment.number}"
        return vault_open(LOG_SEGMENT, self.key_of(segment.epoch, what), segment.bound + tree.root(), segment.sealed, what)

    def context(self, entry):
        return self.tag + u64(entry.number) + u32(entry.epoch)

    def _open_entry(self, entry):
        what = f"entry {entry.number}"
        if entry.leaf is not None:                                       # opened on the way to the vault keys
            return
        context, key = self.context(entry), self.key_of(entry.epoch, what)
        leaf = unpad(vault_open(LOG_LEAF, key, context, entry.leaf_sealed, f"{what}: leaf"), f"{what}: leaf")
        require(leaf_hash(leaf) == entry.leaf_hash, f"{what}: the leaf has another hash")
        value = cbor(leaf, f"{what}: leaf")
        require(isinstance(value, list) and value and _is(value[0], "u64"), f"{what}: leaf")
        if value[0] != 1:
            raise Unsupported(f"{what}: leaf version {value[0]}")
        entry.leaf = members(value, "u64 u64 u64 i t t u64 b32 b32 b32 b32 b32? b32?", f"{what}: leaf")
        if value[1] not in ACTIONS or value[2] not in OUTCOMES:
            raise Unsupported(f"{what}: action {value[1]} outcome {value[2]}")
        require((value[11] is None) == (not entry.authority_sealed), f"{what}: authority block and commitment")
        require((value[12] is None) == (not entry.write_sealed), f"{what}: write block and commitment")
        if entry.authority_sealed:
            opened = vault_open(AUTHORITY, key, context, entry.authority_sealed, f"{what}: authority")
            payload = unpad_block(opened, f"{what}: authority")
            require(commit(C_AUTHORITY, payload + sha256(entry.grants)) == value[11], f"{what}: authority commitment")
            entry.payload = members(cbor(payload, f"{what}: authority"), "b32 u32 a? a b64", f"{what}: authority")
            entry.signed = payload[:-66]
            ops = entry.payload[3]
            require(ops and all(isinstance(op, list) and op and _is(op[0], "u64") for op in ops), f"{what}: ops")
            require(len(ops) == 1 or all(op[0] != 7 for op in ops), f"{what}: op 7 is not alone")
        require(entry.only_marks() == (value[1] == 8), f"{what}: op 7 and action 8 belong together")
        require(value[1] != 8 or not entry.write_sealed, f"{what}: op 7 beside a write")
        if entry.write_sealed:
            opened = vault_open(LOG_WRITE, key, context, entry.write_sealed, f"{what}: write")
            opening = unpad(opened, f"{what}: write")
            require(len(opening) > 32 and commit(C_WRITE, opening) == value[12], f"{what}: write commitment")
            entry.write = members(cbor(opening[32:], f"{what}: write"), "u64 u64 u32 b16 f u64", f"{what}: write")
            first, rows, version, _, is_range, _ = entry.write
            require(rows and first + rows <= 1 << 32 and version, f"{what}: rows of the write")
            require(version == 1 if is_range else rows == 1, f"{what}: version or rows of the write")

    @staticmethod
    def _follow_epoch(entry, epoch):
        """The VK epoch of an entry: that before it, or the next one in the shape that begins it (section 8)."""
        what, begins = f"entry {entry.number}", entry.begins_epoch()
        require(entry.epoch == epoch + begins, f"{what}: VK epoch {entry.epoch} after {epoch}")
        if begins:
            require(entry.grants, f"{what}: begins a VK epoch without VK grants")
            require(entry.write is None, f"{what}: begins a VK epoch beside a write")
            require(members(entry.payload[3][0], VK_AFTER, f"{what}: op 3")[1] == entry.epoch, f"{what}: op 3 names another epoch")
        return entry.epoch

    def _replay(self):
        grants_at, epoch = NOWHERE, 1
        for segment in self.segments:
            what = f"segment {segment.number}"
            require(segment.roots == self.tree.roots, f"{what}: subtree roots")
            require(segment.grants_at == grants_at and segment.epoch == epoch, f"{what}: position of the VK grants, or VK epoch")
            require(cbor(self._open_header(segment, self.tree), what) == self.state, f"{what}: state")
            for batch in segment.batches:
                root_before, hashes = self.tree.root(), b""
                for entry in batch.entries:
                    self._open_entry(entry)
                    epoch = self._follow_epoch(entry, epoch)
                    self.tree.add(entry.leaf_hash)
                    hashes += entry.leaf_hash
                    if entry.grants:
                        previous, _ = parse_grants(entry.grants, f"entry {entry.number}")
                        require(previous == grants_at, f"entry {entry.number}: position of the VK grants before")
                        grants_at = entry.position
                    self._follow(entry)
                what = f"batch of entry {batch.before}"
                require(batch.grants_at == grants_at and batch.epoch == epoch, f"{what}: VK grants or epoch")
                opened = vault_open(LOG_CLOSE, self.key_of(epoch, what), batch.bound, batch.sealed, what)
                batch.closing = members(cbor(opened, what), "u32 u64 b32 u64 b64 a", what)
                actor, before, root, count, _, state = batch.closing
                require((before, root, count) == (batch.before, root_before, len(batch.entries)), f"{what}: size or root before")
                self._check_state(members(state, "u64 u32 u32 b32 u64 u64 i", f"{what}: state"), what)
                for entry in batch.entries:
                    entry.actor = actor

    def _follow(self, entry):
        """What an entry does to the state."""
        what = f"entry {entry.number}"
        if entry.number and entry.leaf[3] < self.state[6]:
            self.backwards.append(entry.number)
        if entry.payload is not None:
            previous = entry.payload[2]
            if previous is None:
                require(self.state[0] == 0, f"{what}: no previous authority entry named")
            else:
                members(previous, "u64 b32 u32 u32", f"{what}: previous")
                expected = [self.state[0] - 1, self.state[3], self.state[1], self.state[2]]
                require(previous == expected, f"{what}: another previous authority entry")
            for op in entry.payload[3]:
                if op[0] == 7:
                    marked = members(op, "u64 u64", f"{what}: op 7")[1]
                    floor = previous[0] if previous else 0
                    require(floor <= marked < entry.number, f"{what}: op 7 out of bounds")
                    require(self.mutations and self.mutations[-1] == marked, f"{what}: op 7 is not about the newest mutation")
                    require(marked not in self.marked, f"{what}: op 7 marks again what is marked")
                    self.marked.add(marked)
            self.state[:4] = [entry.number + 1, *entry.position, entry.leaf_hash]
        if entry.is_mutation():
            self.mutations.append(entry.number)
        self.state[6] = entry.leaf[3]

    def _check_state(self, state, what):
        newest = max((number + 1 for number in self.mutations if number not in self.marked), default=0)
        require(state[:4] == self.state[:4] and state[6] == self.state[6], f"{what}: state")
        require(state[4] == newest, f"{what}: newest mutation of the state")
        floor = state[5]
        require(self.state[5] <= floor <= newest, f"{what}: floor of the state")
        require(floor == 0 or floor - 1 in self.mutations and floor - 1 not in self.marked, f"{what}: floor is no mutation")
        require(floor == newest or self.mutations[-1] not in self.marked, f"{what}: floor of the state after a mark")
        self.state[4:6] = [newest, floor]

    def check_applied(self, applied):
        """Only the newest mutation may wait for its transaction (section 17)."""
        waiting = [number for number in self.mutations if number >= applied and number not in self.marked]
        require(waiting in ([], self.mutations[-1:]), "a mutation follows one that the database lacks: rolled back")


# --- data.mdb (section 13) ----------------------------------------------------------------------------------------------------

class Pages:
    """The structure of an LMDB 0.9 file, walked without a mapping, so that LMDB never follows a bad page number."""

    def __init__(self, data):
        self.data, metas = data, []
        require(len(data) >= 4096, "data.mdb: too short")
        self.page_size = struct.unpack_from("<I", data, 40)[0]
        require(self.page_size in (1 << n for n in range(12, 16)) and len(data) >= 2 * self.page_size, "data.mdb: page size")
        for number in range(2):
            page = data[number * self.page_size:][:self.page_size]
            own, flags, magic, version, address = struct.unpack_from("<Q2xH4xIIQ", page)
            require(own == number and flags == 8 and magic == 0xBEEFC0DE, f"data.mdb: meta page {number}")
            if version != 1:
                raise Unsupported(f"data.mdb: data format {version}")
            require(struct.unpack_from("<I", page, 40)[0] == self.page_size and not address, f"data.mdb: meta page {number}")
            last, transaction = struct.unpack_from("<QQ", page, 136)
            require(1 <= last <= len(data) // self.page_size + len(data) // 8, f"data.mdb: meta page {number}")
            require(not transaction or transaction % 2 == number, f"data.mdb: meta page {number}")
            metas.append((transaction, -number, last, page[40:88], page[88:136]))
        newest, _, self.last, free, main = max(metas)
        self.seen, self.free, self.tables = set(), set(), {}
        for name, value, flags in self._table(main):
            require(flags == 2 and len(value) == 48, "data.mdb: not a named table")
            self.tables[name] = {}
            for key, inner, inner_flags in self._table(value):
                require(inner_flags == 0, "data.mdb: flags of a node")
                self.tables[name][key] = inner
        self._free_list(free, newest)

    def _table(self, record, free=False):
        flags, depth, entries, root = struct.unpack("<4xHH24xQQ", record)
        require(flags == (8 if free else 0), "data.mdb: flags of a table")
        require((depth == 0) == (root == (1 << 64) - 1) and depth < 32, "data.mdb: depth of a table")
        order = (lambda key: int.from_bytes(key, "little")) if free else (lambda key: key)
        found = list(self._walk(root, depth, order, 1 if free else 2)) if depth else []
        require(len(found) == entries, "data.mdb: number of entries")
        require(all(order(a[0]) < order(b[0]) for a, b in zip(found, found[1:])), "data.mdb: keys are not ascending")
        return found

    def _free_list(self, record, newest):
        """Transaction number -> count, then as many pages that are used nowhere else, descending."""
        for key, value, flags in self._table(record, free=True):
            words = [word for (word,) in struct.iter_unpack("<Q", value[:len(value) // 8 * 8])]
            require(len(key) == 8 and flags == 0 and 1 <= int.from_bytes(key, "little") <= newest, "data.mdb: free list")
            require(words and words[0] < len(words), "data.mdb: free list")
            pages = words[1:words[0] + 1]
            require(all(a > b for a, b in zip(pages, pages[1:])) and all(2 <= page <= self.last for page in pages)
                    and self.seen.isdisjoint(pages) and self.free.isdisjoint(pages), "data.mdb: free list")
            self.free.update(pages)

    def _page(self, number, flags):
        require(2 <= number <= self.last and number not in self.seen, "data.mdb: page number")
        require((number + 1) * self.page_size <= len(self.data), "data.mdb: cut short")
        self.seen.add(number)
        page = self.data[number * self.page_size:][:self.page_size]
        own, found = struct.unpack_from("<Q2xH", page)
        require(own == number and found == flags, f"data.mdb: page {number}")
        return page

    def _overflow(self, number, size):
        page = self._page(number, 4)
        count = struct.unpack_from("<I", page, 12)[0]
        needed = (16 + size - 1) // self.page_size + 1                 # more remain when a value was replaced by a shorter one
        run = range(number, number + count)
        require(needed <= count and run[-1] <= self.last and self.seen.isdisjoint(run[1:]), "data.mdb: overflow pages")
        require((number + needed) * self.page_size <= len(self.data), "data.mdb: cut short")
        self.seen.update(run)
        return self.data[number * self.page_size + 16:][:size]

    def _walk(self, number, depth, order, least):
        page = self._page(number, 2 if depth == 1 else 1)
        lower, upper = struct.unpack_from("<HH", page, 12)
        require(16 < lower <= upper <= self.page_size and lower % 2 == 0, f"data.mdb: page {number}")
        offsets = struct.unpack_from(f"<{(lower - 16) // 2}H", page, 16)
        require(depth == 1 or len(offsets) >= least, f"data.mdb: page {number}")
        used = []
        for index, offset in enumerate(offsets):
            require(upper <= offset <= self.page_size - 8 and offset % 2 == 0, f"data.mdb: page {number}")
            low, high, flags, length = struct.unpack_from("<HHHH", page, offset)
            key, size = page[offset + 8:offset + 8 + length], low | high << 16
            require(len(key) == length and (length or depth > 1), f"data.mdb: page {number}")
            used.append((offset, offset + 8 + length + (0 if depth > 1 else 8 if flags & 1 else size)))
            if depth > 1:
                below = list(self._walk(size | flags << 32, depth - 1, order, least))
                require(not index or order(last) < order(key) <= order(below[0][0]), f"data.mdb: page {number}")
                last = below[-1][0]
                yield from below
                continue
            if flags & 1:
                require(offset + 16 + length <= self.page_size, f"data.mdb: page {number}")
                value = self._overflow(struct.unpack_from("<Q", page, offset + 8 + length)[0], size)
            else:
                value = page[offset + 8 + length:][:size]
            require(len(value) == size, f"data.mdb: page {number}")
            yield key, value, flags & ~1
        used.sort()
        require(all(a[1] <= b[0] for a, b in zip(used, used[1:])) and used[-1][1] <= self.page_size, f"data.mdb: page {number}")


TABLES = (b"meta", b"rows", b"tree", b"index")


def read_tables(path):
    """The four tables; LMDB itself must see what the walk saw."""
    pages = Pages(load(path))
    require(sorted(pages.tables) == sorted(TABLES), "data.mdb: other tables")
    tables = {}
    try:
        with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=4, create=False) as env:
            for name in TABLES:
                with env.begin(db=env.open_db(name, create=False)) as transaction:
                    tables[name] = dict(transaction.cursor())
    except lmdb.Error as error:
        raise Integrity(f"data.mdb: {error}") from None
    require(tables == pages.tables, "data.mdb: LMDB reads something else")
    for table in tables.values():
        require(all(1 <= len(key) <= 64 for key in table), "data.mdb: size of a key")
    return tables


@dataclass
class State:
    """The state row."""
    applied: int
    generation: int
    root_epoch: int
    root_commitment: bytes
    next_row: int
    next_half: int
    counts: dict
    unpublished: list
    vk_epoch: int = 1
    indexes: list = field(default_factory=list)  # (compartment, epoch) of each generation of section 22

    def published(self, row):
        return not any(first <= row < end for first, end in self.unpublished)


def state_key(epoch):
    return b"state" + (u32(epoch) if epoch > 1 else b"")


def state_epoch(key):
    """The VK epoch that the key of a state row names; None for another row of `meta`."""
    epoch = int.from_bytes(key[5:], "big") if len(key) == 9 else 1
    return epoch if key == state_key(epoch) else None


def check_index(said, rows):
    """The postings are not opened here: places, sizes and numbers of the generations of section 22."""
    next_slot, generations = members(said, "u32 a", "state row: index")
    require(len(generations) <= 256, "state row: index")
    postings = {}
    for one in generations:
        _, _, slot, _, number, _ = members(one, "u16 u32 u32 b8 u64 u64?", "state row: index")
        require(slot < next_slot and slot not in postings, "state row: index: slot")
        postings[slot] = number
    found = dict.fromkeys(postings, 0)
    for key, value in rows.items():
        require(len(key) == 16 and len(value) == 32, "index: a row of another size")
        slot = struct.unpack(">I", key[:4])[0]
        require(slot < next_slot, "index: a row of no generation")
        if slot in found:
            found[slot] += 1
    require(found == postings, "index: other numbers of postings than the state row's")
    return [tuple(one[:2]) for one in generations]


def read_state(tables, log):
    epochs = {key: state_epoch(key) for key in tables[b"meta"]}
    if None in epochs.values():
        raise Unsupported("data.mdb: rows that version 1 does not have")
    require(len(epochs) == 1, f"data.mdb: {len(epochs)} state rows")
    (key, epoch), = epochs.items()
    opened = vault_open(META_ROW, log.key_of(epoch, "state row"), log.tag, tables[b"meta"][key], "state row")
    value, used = cbor_prefix(opened)
    require(not any(opened[used:]), "state row: padding")
    *numbers, reserved = members(value, "u64 u64 u64 b32 u64 u64 m a m", "state row")
    if set(reserved) - {1}:
        raise Unsupported("state row: reserved map")
    state = State(*numbers, epoch)
    state.indexes = check_index(reserved.get(1, [0, []]), tables[b"index"])
    for one in state.unpublished:
        members(one, "u64 u64", "state row: range")
        require(one[0] < one[1] <= state.next_row, "state row: range")
    newest, floor = log.state[4:6]
    require(state.applied in (newest, floor), f"data.mdb has applied {state.applied}, the log {newest} or {floor}: rolled back")
    return state


# --- erasure.root and the key tree (sections 14 and 15) -----------------------------------------------------------------------

def read_erasure_root(path, log, state):
    """ERK and the state of the four places."""
    data, live, newer = load(path), [], False
    for offset in (0, 1 << 20, 4096, (1 << 20) + 4096):
        place = data[offset:offset + 125]
        if len(place) < 125 or place[:8] != b"CVERK1\0\0":
            continue
        epoch, vk_epoch = struct.unpack(">QI", place[8:20])
        try:
            erk = env_open(ERASURE, log.key_of(state.vk_epoch, "erasure.root"), log.tag + place[8:20], place[20:], "erasure.root")
        except Fault:
            continue
        if vk_epoch != state.vk_epoch or len(erk) != 32:
            continue
        commitment = d32(ERASURE_COMMIT, erk, log.tag + u64(epoch))
        if (epoch, commitment) == (state.root_epoch, state.root_commitment):
            live.append(erk)
        newer = newer or epoch > state.root_epoch
    require(live or not newer, "erasure.root: all places are newer, the database was rolled back")
    require(live, "erasure.root: no live place")
    return live[0], "idle" if len(live) == 4 else "swap begun" if newer else "swap not finished or places damaged"


class KeyTree:
    """Node keys, each opened under its one parent."""

    def __init__(self, tables, log, erk):
        self.rows, self.tag, self.cache = tables[b"tree"], log.tag, {}
        self.erk = erk
        for key in self.rows:                                        # every row must lie on a path that opens
            require(len(key) == 10, "key tree: size of a key")
            kind, level, index = struct.unpack(">BBQ", key)
            if kind == 4:
                raise Unsupported(f"key tree: kind {kind}")
            require(kind in (1, 2, 3) and level in (0, 1, 2, 0xFF) and (kind != 1 or level != 0xFF), "key tree: kind or level")
            require(index < 1 << {0: 24, 1: 16, 2: 8, 0xFF: 32}[level], "key tree: index")
            self.key(kind, level, index)

    @staticmethod
    def name(kind, level, index):
        return struct.pack(">BBQ", kind, level, index)

    def key(self, kind, level, index):
        name = self.name(kind, level, index)
        if name not in self.cache:
            parent = (self.erk if level == 2 else self.key(kind, 0, index >> 8) if level == 0xFF
                      else self.key(kind, level + 1, index >> 8))
            sealed = self.rows.get(name, b"")
            require(len(sealed) == 60, f"key tree: row {name.hex()} is missing or of another size")
            aad = TREE_NODE + self.tag + name
            self.cache[name] = aead_open(AESGCM, parent, sealed[:12], aad, sealed[12:], f"key tree: row {name.hex()}")
        return self.cache[name]

    def half(self, slot):
        return self.key(2, 0xFF, slot)

    def has_half(self, slot):
        return self.name(2, 0xFF, slot) in self.rows

    def leaf_keys(self, row):
        """Seal key and mask key of a record's leaf node."""
        keys = d64(LEAF_KEYS, self.key(1, 0, row >> 8), self.tag + u64(row >> 8))
        return keys[:32], keys[32:]


# --- Authority (section 10) ---------------------------------------------------------------------------------------------------

ROLES = ("owner", "administrator", "officer", "analyst", "auditor", "service")
OPS = {1: "u64 b16 i b32 b32 u64", 2: "u64 t", 3: "u64 u32 b32", 4: "u64 u32 t t t a", 5: "u64 u16 u32 b32 b32 b32 u64",
       6: "u64 u32 u16 u32 b f i", 7: "u64 u64", 8: "u64 u16 u32 b", 9: "u64 u16 u32", 10: "u64 u32", 11: "u64 u32 u16",
       12: "u64 b32", 13: "u64 u32", 14: "u64 u16 u32", 15: "u64 t", 16: "u64 u64 b", 17: "u64 u32 u32 f"}
AUDIT = 64


@dataclass
class Principal:
    person: Person
    role: str
    since: int
    revoked: int = None                    # the entry that did it
    before: list = field(default_factory=list)         # (the entry that replaced it, person) for each op 15

    def signer_of(self, entry):
        """Whose keys sign a batch that begins at this entry."""
        return next((person for replaced, person in self.before if entry <= replaced), self.person)


class Schema:
    """What a reader of records needs of the TOML of op 2."""

    def __init__(self, source):
        require(len(source.encode()) <= 1 << 20, "schema: over 1 MiB")
        try:
            parsed = tomllib.loads(source)
            self.compartments = {c["id"]: (c["name"], c.get("sealed", "field")) for c in parsed["compartments"]}
            require(AUDIT not in self.compartments, "schema: compartment 64 is audit")
            self.compartments[AUDIT] = ("audit", "field")
            numbers = {name: number for number, (name, _) in self.compartments.items()}
            require(len(numbers) == len(self.compartments) <= 64, "schema: compartments")
            require(all(sealed in ("field", "cell") for _, sealed in self.compartments.values()), "schema: sealed")
            self.types = {kind["id"]: (kind["name"], {f["id"]: (f["name"], f["type"], numbers[f["compartment"]])
                                                      for f in kind["fields"]}) for kind in parsed["types"]}
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
            raise Integrity(f"schema: does not parse ({error})") from None


class Authority:
    """The fold over the authority payloads of the chain, given `applied` of the database."""

    def __init__(self, log, applied):
        self.log, self.tag = log, None
        self.schema, self.principals, self.vk_commitments, self.epochs, self.grants = None, {}, {}, {}, {}
        self.opened, self.past, self.destroyed = [], {}, set()       # successors of the payload at hand; envelopes of op 8
        self.ended = set()                                           # keys of grants that op 10 or 11 ended
        self.log_seeds, self.db_epoch, self.retired = [], 1, set()   # (entry, seed) of op 1 and 12; of op 13; of op 14
        self.links = set()                                           # rows of op 17
        self.regranted = None                                        # what op 15 of the payload at hand asks op 6 for
        chain = self._walk(log)
        self.pending = []
        for entry in chain:
            live = (entry.number == 0 or entry.only_marks() or entry.begins_epoch()
                    or entry.number < applied and entry.number not in log.marked)
            if not live:
                if entry.number >= applied:
                    self.pending.append(entry.number)
                continue
            self.opened, self.regranted, actor = [], None, entry.payload[1]
            require(not self._is_revoked(actor), f"entry {entry.number}: the actor was revoked before")
            for index, op in enumerate(entry.payload[3]):
                self._apply(entry, index, op)
            if entry.begins_epoch():
                labels = [name for name, _ in parse_grants(entry.grants, f"entry {entry.number}")[1]]
                wanted = [vk_label(one.person.x, log.tag, entry.epoch) for one in self.principals.values() if one.revoked is None]
                require(sorted(labels) == sorted(wanted), f"entry {entry.number}: the vault key does not go to exactly those who are in")
            self._check_successors(f"entry {entry.number}")
            require(not self.regranted, f"entry {entry.number}: new keys without the grants of {sorted(self.regranted or ())}")
            require(actor in self.principals, f"entry {entry.number}: signed by no principal")
            require(entry.number or actor == 1, "entry 0: not signed by principal 1")
            ed_verify(self.principals[actor].signer_of(entry.number).ed, AUTHORITY_SIGN + self.tag + entry.signed, entry.payload[4],
                      f"entry {entry.number}: authority")
        require(self.principals and self.schema and self.vk_commitments, "authority: no principal, schema or vault key")
        require(self.tag == log.tag, "authority: the tag of op 1 is not that of the segments")
        require(max(self.vk_commitments) == log.epoch, "authority: the newest op 3 is not of the newest VK epoch")
        for epoch, commitment in self.vk_commitments.items():
            require(self._vk_commitment(epoch, log.key_of(epoch, "op 3")) == commitment,
                    f"the vault key of epoch {epoch} does not match its commitment")

    def _vk_commitment(self, epoch, key):
        return d32(VK_COMMIT, key, self.log.tag + u32(epoch))

    @staticmethod
    def _walk(log):
        """From the newest back to entry 0; in a whole log the chain holds every authority payload."""
        number, chain = log.state[0] - 1, []
        while True:
            entry = log.entries[number]
            require(entry.payload is not None, f"entry {number}: no authority payload")
            chain.insert(0, entry)
            previous = entry.payload[2]
            if previous is None:
                break
            require(previous[0] < number, f"entry {number}: previous is not smaller")
            number = previous[0]
        require(chain[0].number == 0, "authority: the chain does not end at entry 0")
        require(chain == [entry for entry in log.entries if entry.payload], "authority: a payload outside the chain")
        return chain

    def _apply(self, entry, index, op):
        what = f"entry {entry.number}: op {op[0]}"
        require(op[0] in OPS, what)
        first, actor = entry.number == 0, entry.payload[1]
        members(op, VK_AFTER if op[0] == 3 and not first else OPS[op[0]], what)
        require(first or op[0] > 2, f"{what} after entry 0")
        require(first or (op[0] == 3) <= (index == 0), f"{what}: not the first op")
        require((op[0] == 1) == (first and index == 0), f"{what}: genesis is the first op of entry 0, and only it")
        getattr(self, f"_op{op[0]}")(entry, first, actor, what, *op[1:])

    def _op1(self, entry, first, actor, what, tag, created, id_key, log_seed, suite):
        if suite not in (1, 2, 3):
            raise Unsupported(f"{what}: suite {suite}")
        self.tag, self.created, self.id_key, self.suite = tag, created, id_key, suite
        self.log_seeds.append((entry.number, log_seed))

    def _op2(self, entry, first, actor, what, source):
        require(self.schema is None, f"{what}: a second schema")
        self.schema = Schema(source)

    def _op3(self, entry, first, actor, what, epoch, commitment, before=None):
        newest = max(self.vk_commitments, default=0)
        require(epoch == newest + 1 and first == (epoch == 1), f"{what}: VK epoch {epoch} after {newest}")
        if not first:
            require(epoch == entry.epoch, f"{what}: VK epoch {epoch} in an entry of {entry.epoch}")
            require(self._vk_commitment(newest, before) == self.vk_commitments[newest],
                    f"{what}: the vault key of epoch {newest} does not match its commitment")
            require(self._role(actor) in ("owner", "administrator") or any(op[0] == 15 for op in entry.payload[3]),
                    f"{what}: the actor may not replace the vault key")
            beside = [op[0] for op in entry.payload[3][1:]]
            others = set(beside) - {10, 12, 15} - ({6} if 15 in beside else set())
            require(not others, f"{what}: beside ops {sorted(others)}, which do not hold at once")
            require(beside.count(12) == 1, f"{what}: not with one op 12")
        self.vk_commitments[epoch] = commitment

    def _op4(self, entry, first, actor, what, number, string, role, unit, functional):
        own = self._role(actor)
        require(first or own in ("owner", "administrator"), f"{what}: the actor may not certify")
        require(role in ROLES, f"{what}: role")
        require(first or own == "owner" or role not in ("owner", "administrator"), f"{what}: only an owner certifies {role}")
        require(number == len(self.principals) + 1, f"{what}: number")
        require(len(unit.encode()) <= 64 and all(isinstance(one, str) for one in functional), f"{what}: unit or roles")
        person = parse_principal(string)
        for other in self.principals.values():
            require(person.name != other.person.name and person.ed != other.person.ed, f"{what}: already there")
            require(not any(person.ed == had.ed or person.x == had.x for _, had in other.before), f"{what}: keys that were there before")
        self.principals[number] = Principal(person, role, entry.number)

    def _role(self, actor):
        return self.principals[actor].role if actor in self.principals else ""

    def _is_revoked(self, number):
        return number in self.principals and self.principals[number].revoked is not None

    def _end(self, principal, compartment=None):
        """Ends the grants that a principal has by now, of one compartment or of all."""
        self.ended |= {key for key in self.grants if key[0] == principal and compartment in (None, key[1])}

    def current(self, compartment):
        """The newest epoch that op 5 opened, 0 for none."""
        return max((epoch for number, epoch in self.epochs if number == compartment), default=0)

    def _granted(self, compartment, epoch):
        """Principal -> (may grant, expires), of an epoch, ended grants too."""
        return {one: grant[1:] for (one, *key), grant in self.grants.items() if key == [compartment, epoch]}

    def _live(self, compartment, epoch):
        """Principal -> (may grant, expires), of the grants of an epoch that are not ended."""
        return {one: rights for one, rights in self._granted(compartment, epoch).items()
                if (one, compartment, epoch) not in self.ended}

    def _has_now(self, entry, actor, compartment, epoch):
        """Holds it at the time of the entry."""
        live = self._live(compartment, epoch)
        return actor in live and not 0 < live[actor][1] <= entry.leaf[3]

    def _may_grant(self, entry, actor, compartment, epoch):
        return self._has_now(entry, actor, compartment, epoch) and self._live(compartment, epoch)[actor][0]

    def _op5(self, entry, first, actor, what, compartment, epoch, *values):
        slot = values[3]
        current = self.current(compartment)
        require(epoch == current + 1 and bool(current) != first, f"{what}: epoch {epoch} after {current}")
        if not first:
            require(self._has_now(entry, actor, compartment, current), f"{what}: the actor has no grant of the epoch before")
            self.opened.append((compartment, epoch))
        require(all(slot != other[3] for other in self.epochs.values()), f"{what}: half slot {slot} was named before")
        self.epochs[compartment, epoch] = values

    def _op6(self, entry, first, actor, what, principal, compartment, epoch, box, may_grant, expires):
        key = (principal, compartment, epoch)
        require(principal in self.principals and (compartment, epoch) in self.epochs, f"{what}: principal or epoch")
        require(not self._is_revoked(principal), f"{what}: the principal was revoked")
        require(expires >= 0, f"{what}: a time before 1970")
        if self.regranted is not None and principal == actor:
            require(self.regranted.pop((compartment, epoch), None) == (may_grant, expires), f"{what}: not a grant that op 15 asks for")
        else:
            require(first or (compartment, epoch) in self.opened or self._may_grant(entry, actor, compartment, epoch),
                    f"{what}: the actor may not grant")
            require(key not in self.ended, f"{what}: the grant was ended")
            if key in self.grants:
                require(not first, f"{what}: granted twice")
                box, old_may, old_expires = self.grants[key]
                end, old_end = expires or 1 << 64, old_expires or 1 << 64
                require(may_grant >= old_may and end >= old_end, f"{what}: takes away")
                require((may_grant, end) != (old_may, old_end), f"{what}: granted already")
        self.grants[key] = (box, may_grant, expires)

    def _op7(self, *_):
        """Its bounds were checked when the log was replayed."""

    def _op8(self, entry, first, actor, what, compartment, epoch, envelope):
        require((compartment, epoch) in self.opened, f"{what}: no op 5 of this payload opened the epoch")
        require((compartment, epoch) not in self.past, f"{what}: a second one for the epoch")
        require(envelope, f"{what}: empty")
        self.past[compartment, epoch] = envelope

    def _check_old(self, actor, what, compartment, epoch):
        """What ops 9 and 14 ask of an epoch."""
        require(self._role(actor) in ("owner", "administrator"), f"{what}: the actor may not end it")
        require((compartment, epoch) in self.epochs, f"{what}: no such epoch")
        require(compartment != AUDIT, f"{what}: an audit epoch")
        require(epoch != self.current(compartment), f"{what}: the current epoch")
        require((compartment, epoch) not in self.destroyed, f"{what}: destroyed before")

    def _op9(self, entry, first, actor, what, compartment, epoch):
        self._check_old(actor, what, compartment, epoch)
        self.destroyed.add((compartment, epoch))

    def _op10(self, entry, first, actor, what, number):
        require(not first, f"{what} in entry 0")
        require(entry.begins_epoch(), f"{what}: without a new vault key")
        require(number in self.principals, f"{what}: no such principal")
        require(not self._is_revoked(number), f"{what}: revoked before")
        own, principal = self._role(actor), self.principals[number]
        senior = principal.role in ("owner", "administrator")
        require(own == "owner" or own == "administrator" and not senior, f"{what}: the actor may not revoke")
        require(any(other.role == "owner" and other.revoked is None for other in self.principals.values() if other is not principal),
                f"{what}: the last owner")
        principal.revoked = entry.number
        self._end(number)

    def _op11(self, entry, first, actor, what, principal, compartment):
        require(not first, f"{what} in entry 0")
        live = self._live(compartment, self.current(compartment))
        require(principal in live, f"{what}: the principal has no grant of the current epoch")
        expires = live[principal][1]
        holds = self._has_now(entry, actor, compartment, self.current(compartment))
        over = holds and 0 < expires <= entry.leaf[3]
        require(self._role(actor) in ("owner", "administrator") or holds and live[actor][0] or over,
                f"{what}: the actor may not end it")
        require(len(live) > 1, f"{what}: the last holder")
        self._end(principal, compartment)

    def _op12(self, entry, first, actor, what, seed):
        require(entry.begins_epoch(), f"{what}: without a new vault key")
        self.log_seeds.append((entry.number, seed))

    def _op13(self, entry, first, actor, what, epoch):
        require(not first, f"{what} in entry 0")
        require(self.db_epoch < epoch <= max(self.vk_commitments), f"{what}: VK epoch {epoch} after {self.db_epoch}")
        self.db_epoch = epoch

    def _op14(self, entry, first, actor, what, compartment, epoch):
        self._check_old(actor, what, compartment, epoch)
        require((compartment, epoch) not in self.retired, f"{what}: retired before")
        self.retired.add((compartment, epoch))

    def _op15(self, entry, first, actor, what, string):
        require(entry.begins_epoch(), f"{what}: without a new vault key")
        require(self.regranted is None, f"{what}: a second one")
        require(actor in self.principals, f"{what}: by no principal")
        person, own = parse_principal(string), self.principals[actor]
        require(person.name == own.person.name, f"{what}: another name")
        for other in self.principals.values():
            for known in (other.person, *(before for _, before in other.before)):
                require(person.ed != known.ed and person.x != known.x, f"{what}: keys that were there before")
        own.before.append((entry.number, own.person))
        own.person = person
        held = {key: grant for key, grant in self.grants.items() if key[0] == actor and key not in self.ended}
        self.regranted = {key[1:]: grant[1:] for key, grant in held.items() if key[2] == self.current(key[1])}
        self.grants = {key: grant for key, grant in self.grants.items() if key not in held}

    def _op16(self, entry, first, actor, what, kind, definition):
        require(not first, f"{what} in entry 0")
        require(kind in (1, 2, 3), f"{what}: kind {kind}")
        require(0 < len(definition) <= 65536, f"{what}: its definition")

    def _op17(self, entry, first, actor, what, low, high, same):
        require(not first, f"{what} in entry 0")
        require(low < high, f"{what}: rows that do not ascend")
        require(((low, high) in self.links) != same, f"{what}: {'linked already' if same else 'an end of no link'}")
        self.links.symmetric_difference_update({(low, high)})

    def _check_successors(self, what):
        """A successor comes with the key before it, for all who have a grant of that which is not ended, and for nobody else."""
        for compartment, epoch in self.opened:
            place = f"{what}: compartment {compartment} epoch {epoch}"
            require((compartment, epoch) in self.past, f"{place}: without op 8")
            require(self._granted(compartment, epoch) == self._live(compartment, epoch - 1),
                    f"{place}: other grants than the epoch before")

    def find_own(self, identity):
        for number, principal in self.principals.items():
            if principal.person.ed == identity.person.ed:
                require(principal.person.x == identity.person.x, "own principal: another x public key")
                return number
        raise NoGrant("the identity is no principal of this vault")

    def expired(self, own, compartment, now):
        """Whether the newest grant that a principal has of a compartment is not to be used any more (section 9)."""
        found = [(epoch, grant[2]) for (one, number, epoch), grant in self.grants.items()
                 if (one, number) == (own, compartment) and (one, number, epoch) not in self.ended]
        return bool(found) and 0 < max(found)[1] <= now

    def compartment_keys(self, own, identity, keys, now=None):
        """CK of every epoch that the identity holds, newest first, each checked against its commitments (section 9)."""
        result, reached = {}, {}
        now = time.time_ns() // 1_000_000 if now is None else now
        closed = {number for number, _ in self.epochs if self.expired(own, number, now)}
        for compartment, epoch in sorted(self.epochs, reverse=True):
            what, context = f"compartment {compartment} epoch {epoch}", self.tag + u16(compartment) + u32(epoch)
            granted_commit, key_commit, deposit, slot = self.epochs[compartment, epoch]
            if compartment in closed:
                continue
            if own in self._live(compartment, epoch):
                box = self.grants[own, compartment, epoch][0]
                granted = box_open(CK_GRANT, identity.x_secret, context, box, f"{what}: grant")
            elif (compartment, epoch + 1) in reached:
                later = self.tag + u16(compartment) + u32(epoch + 1)
                granted = vault_open(CK_PAST, reached[compartment, epoch + 1], later, self.past[compartment, epoch + 1],
                                     f"{what}: from the epoch after it")
            else:
                continue
            require(len(granted) == 32, f"{what}: CK' is not 32 bytes")
            require(d32(CK_COMMIT, granted, context + b"\0") == granted_commit, f"{what}: commitment of CK'")
            reached[compartment, epoch] = granted
            if (compartment, epoch) in self.destroyed:               # its half is gone; CK' may still lead to epochs before
                continue
            key = d32(CK_KEY, granted + keys.half(slot), context)
            require(d32(CK_COMMIT, key, context + b"\1") == key_commit, f"{what}: commitment of the key")
            require(x_public(d32(CK_DEPOSIT, key, context)) == deposit, f"{what}: deposit key")
            result[compartment, epoch] = key
        return result


# --- Records (section 16) -----------------------------------------------------------------------------------------------------

def class_size(number):
    if number < 16:
        return 16 * (number + 1)
    if number < 28:
        return 320 + 64 * (number - 16)
    if number < 40:
        return 1280 + 256 * (number - 28)
    return 8192 + 4096 * (number - 40)


def length_class(size):
    return next(number for number in range(296) if class_size(number) >= size)


@dataclass
class Cell:
    compartment: int
    suite: int
    epoch: int
    schema_version: int
    salt: bytes
    directory: bytes
    fields: list                    # (field id, length class)
    data: bytes = b""


@dataclass
class Record:
    row: int
    rk: bytes
    stamp: bytes
    type: int
    version: int
    created: int
    updated: int
    import_id: int
    unit: str
    cells: list


def parse_head(head, row):
    """Head and, per cell, its size."""
    cursor = Cursor(head, f"row {row}: head")
    if cursor.u8() != 1:
        raise Unsupported(f"row {row}: head format")
    require(len(head) % 32 == 0, f"row {row}: length of the head")
    rk, stamp = cursor.take(32), cursor.take(16)
    kind, version, created, updated = (cursor.varint(bits) for bits in (16, 32, 64, 64))
    cursor.varint(32), cursor.varint(32)                             # policy and consent bits, 0 in version 1
    import_id = cursor.varint()
    cursor.varint(32)                                                # seals
    length = cursor.varint()
    require(length <= 64, f"row {row}: unit over 64 bytes")
    unit = text_of(cursor.take(length), f"row {row}: unit")
    count = cursor.varint()
    require(count <= 64, f"row {row}: more than 64 cells")
    cells, sizes = [], []
    for _ in range(count):
        compartment, size, suite, epoch, schema_version, flags = (cursor.varint(bits) for bits in (16, 32, 8, 32, 16, 8))
        what = f"row {row}: compartment {compartment}"
        require(not cells or compartment > cells[-1].compartment, f"{what}: not ascending")
        salt, start = cursor.take(16), cursor.at
        number = cursor.varint()
        require(number <= 1000, f"{what}: more than 1,000 fields")
        fields = [(cursor.varint(16), cursor.varint(16)) for _ in range(number)]
        directory = cursor.data[start:cursor.at]
        ids = [one for one, _ in fields]
        require(len(set(ids)) == number and (0 not in ids or number == 1), f"{what}: a field twice, or field 0 beside others")
        require(all(size_class <= 295 for _, size_class in fields), f"{what}: length class")
        require(size == 32 + sum(class_size(size_class) + 16 for _, size_class in fields), f"{what}: size")
        if suite not in CELL_AEAD or flags or cursor.varint():
            raise Unsupported(f"{what}: suite, flags or share block")
        cells.append(Cell(compartment, suite, epoch, schema_version, salt, directory, fields))
        sizes.append(size)
    cursor.zeros(below=32)
    signed = [one - (1 << 64) if one >> 63 else one for one in (created, updated)]
    return Record(row, rk, stamp, kind, version, *signed, import_id, unit, cells), sizes


def open_row(data, row, tag, seal_key, mask_key):
    """A record row: its head, and its cells still sealed."""
    cursor = Cursor(data, f"row {row}")
    nonce, masked = cursor.take(12), cursor.u16()
    sealed = cursor.take((masked ^ siphash(mask_key, nonce) & 0xFFFF) + 16)
    record, sizes = parse_head(aead_open(AESGCM, seal_key, nonce, TREE_HEAD + tag + u64(row), sealed, f"row {row}: head"), row)
    for cell, size in zip(record.cells, sizes):
        cell.data = cursor.take(size)
    cursor.end()
    return record


def cell_keys(cell, row, tag, ck, rk):
    message = (u8(cell.suite) + tag + u64(row) + u16(cell.compartment) + u32(cell.epoch) + u16(cell.schema_version) + cell.salt)
    keys = c64(cell.suite, CELL, ck, rk, message)
    return keys[:32], keys[32:]


def field_aad(cell, index):
    return u16(cell.fields[index][0]) + u32(index) + b2(cell.directory)


def open_cell(cell, row, tag, ck, rk):
    """{field id: plaintext with its padding}; the commitment is compared first."""
    what = f"row {row}: compartment {cell.compartment}"
    key, commitment = cell_keys(cell, row, tag, ck, rk)
    cursor = Cursor(cell.data, what)
    require(hmac.compare_digest(cursor.take(32), commitment), f"{what}: commitment of the cell")
    opened = {}
    for index, (number, size_class) in enumerate(cell.fields):
        sealed = cursor.take(class_size(size_class) + 16)
        opened[number] = aead_open(CELL_AEAD[cell.suite], key, bytes(8) + u32(index), field_aad(cell, index), sealed,
                                   f"{what}: field {number}")
    return opened


def seal_cell(cell, row, tag, ck, rk, values):
    """The other way round, for the vectors."""
    key, commitment = cell_keys(cell, row, tag, ck, rk)
    for index, (value, (_, size_class)) in enumerate(zip(values, cell.fields)):
        padded = value.ljust(class_size(size_class), b"\0")
        commitment += CELL_AEAD[cell.suite](key).encrypt(bytes(8) + u32(index), padded, field_aad(cell, index))
    return commitment


def is_date(text):
    """YYYY, YYYY-MM or YYYY-MM-DD of the Gregorian calendar."""
    if not re.fullmatch("[0-9]{4}(-[0-9]{2}){0,2}", text):
        return False
    try:
        return bool(date.fromisoformat(text + "-01-01"[:10 - len(text)]))
    except ValueError:
        return False


def value_text(value, kind, what):
    """A value as text."""
    if kind in ("text", "code", "date"):
        require(isinstance(value, str), f"{what}: not a text")
        require(kind != "date" or is_date(value), f"{what}: not a date")
        return value
    if kind == "multi-code":
        require(isinstance(value, list) and value and all(isinstance(one, str) and one and ";" not in one for one in value),
                f"{what}: not a multi-code")
        return ";".join(value)
    if kind == "integer":
        require(_is(value, "i"), f"{what}: not an integer")
        return str(value)
    if kind == "boolean":
        require(isinstance(value, bool), f"{what}: not a boolean")
        return "true" if value else "false"
    if kind == "bytes":
        require(isinstance(value, bytes), f"{what}: not bytes")
        return base64.b64encode(value).decode()
    raise Unsupported(f"{what}: type {kind}")


def padded_value(data, what):
    value, used = cbor_prefix(data)
    require(not any(data[used:]), f"{what}: bytes after the value")
    return value


# --- A vault (section 17) -----------------------------------------------------------------------------------------------------

class Vault:
    """A vault that was read whole, checked and verified; nothing of the folder is needed afterwards."""

    def __init__(self, folder, identity, trust=None):
        folder = Path(folder)
        self.identity = identity
        guard(folder, folder=True)
        with open(guard(folder / "FORMAT"), "rb") as held:
            self.id = read_format(held)
            if not (self.id == trust if trust else self.id in identity.pins):
                raise Untrusted("the vault id is neither pinned nor named by the user")
            self.log = log = Log(guard(folder / "log", folder=True), identity)
            tables = read_tables(folder / "data.mdb")
            self.state = read_state(tables, log)
            log.check_applied(self.state.applied)
            erk, self.erasure = read_erasure_root(folder / "erasure.root", log, self.state)
        require(log.entries[0].leaf_hash == self.id, "entry 0 is not that of the vault id")
        self.authority = Authority(log, self.state.applied)
        self.own = self.authority.find_own(identity)
        require(self.authority.db_epoch == self.state.vk_epoch,
                f"the state row is under VK epoch {self.state.vk_epoch}, op 13 says {self.authority.db_epoch}: rolled back")
        self.log_keys = [verifier_key(log.tag, ed_public(seed)) for _, seed in self.authority.log_seeds]
        self.log_key = self.log_keys[-1]
        if identity.pins.get(self.id, self.log_key) not in self.log_keys:
            raise Untrusted("the pinned log key is none that the vault had")
        self.keys = KeyTree(tables, log, erk)
        self.cks = self.authority.compartment_keys(self.own, identity, self.keys)
        self._check_erased()
        self._check_batches()
        self.records = self._read_rows(tables[b"rows"])
        self._check_writes()
        for entry in log.entries:
            self._open_details(entry)

    def _check_erased(self):
        """The slots of destroyed epochs are empty (section 17)."""
        for compartment, epoch in self.authority.destroyed:
            require(not self.keys.has_half(self.authority.epochs[compartment, epoch][3]),
                    f"compartment {compartment} epoch {epoch}: half of a destroyed epoch")

    def _check_batches(self):
        """Every batch signature (section 8)."""
        for segment in self.log.segments:
            for batch in segment.batches:
                actor, before, root, count, signature, _ = batch.closing
                what = f"batch of entry {before}"
                principal = self.authority.principals.get(actor)
                require(principal and (principal.since < before or before == 0 == principal.since), f"{what}: actor")
                require(principal.revoked is None or principal.revoked >= before, f"{what}: the actor was revoked before")
                hashes = b"".join(entry.leaf_hash for entry in batch.entries)
                signed = self.log.tag + u64(before) + root + u64(count) + hashes
                ed_verify(principal.signer_of(before).ed, LOG_BATCH + signed, signature, what)
                for entry in batch.entries:
                    require(entry.payload is None or entry.payload[1] == actor, f"entry {entry.number}: payload of another actor")

    def _read_rows(self, rows):
        records, counts = {}, {}
        for key, data in sorted(rows.items()):
            require(len(key) in (8, 16), "rows: size of a key")
            row = int.from_bytes(key[:8], "big")
            if len(key) == 16 or not self.state.published(row):      # attachments, imports that are not published
                continue
            require(row < self.state.next_row <= 1 << 32, f"row {row}: not below the next row")
            record = open_row(data, row, self.log.tag, *self.keys.leaf_keys(row))
            if record.type not in self.authority.schema.types:
                raise Unsupported(f"row {row}: type {record.type}")
            records[row] = record
            counts[record.type] = counts.get(record.type, 0) + 1
        require(counts == {kind: n for kind, n in self.state.counts.items() if n}, "state row: numbers of published records")
        return records

    def _check_writes(self):
        """Every head against the newest applied write about its row (section 11)."""
        newest = {}
        for entry in self.log.entries:
            if entry.write and entry.number < self.state.applied and entry.number not in self.log.marked:
                first, rows, version, stamp, is_range, import_id = entry.write
                for row in range(first, first + rows):
                    require(not is_range or row not in newest, f"entry {entry.number}: an import over rows that were there")
                    own = b2(IMPORT_STAMP + stamp + u64(row))[:16] if is_range else stamp
                    newest[row] = (version, own)
        for row, expected in newest.items():
            require(row in self.records, f"row {row}: missing")
            require((self.records[row].version, self.records[row].stamp) == expected, f"row {row}: not what was written last")
        for row in self.records:
            require(row in newest, f"row {row}: foreign, nothing in the log wrote it")

    def _open_details(self, entry):
        """Section 11: structure for everybody, content for holders of the compartment audit."""
        what = f"entry {entry.number}: details"
        cursor = Cursor(entry.details, what)
        ephemeral, epoch, sealed = cursor.take(32), cursor.u32(), cursor.block()
        marks = [(cursor.take(16), cursor.take(16)) for _ in range(cursor.u8())]
        cursor.end()
        require(len(marks) <= 64, f"{what}: more than 64 subject parts")
        require((AUDIT, epoch) in self.authority.epochs, f"{what}: audit epoch {epoch}")
        if (AUDIT, epoch) not in self.cks:
            return
        secret = d32(CK_DEPOSIT, self.cks[AUDIT, epoch], self.log.tag + u16(AUDIT) + u32(epoch))
        shared = d32(DETAILS, x25519(secret, ephemeral), ephemeral)
        context = self.log.tag + u64(entry.number) + u32(epoch) + ephemeral
        opened = vault_open(DETAILS, shared, context, sealed, what)
        inside = Cursor(opened, what)
        common = inside.block()
        parts = [inside.block() for _ in range(inside.u8())]
        require(len(parts) == len(marks), f"{what}: number of subject parts")
        inside.zeros()
        leaf_actor, leaf_subjects, leaf_fields, leaf_details = entry.leaf[7:11]
        require(len(common) > 32 and commit(C_DETAILS, common) == leaf_details, f"{what}: commitment")
        all_of_it = members(cbor(common[32:], what), "b b b t t t m", what)
        actor, fields, subjects, recipient, recipient_class, note, reserved = all_of_it
        if reserved:
            raise Unsupported(f"{what}: reserved map")
        for opening, lab, expected in ((actor, C_ACTOR, leaf_actor), (fields, C_FIELDS, leaf_fields),
                                       (subjects, C_SUBJECTS, leaf_subjects)):
            require(len(opening) >= 32 and commit(lab, opening) == expected, f"{what}: commitment of an opening")
        number, name = members(cbor(actor[32:], what), "u32 t", f"{what}: actor")
        require(number == entry.actor, f"{what}: the actor did not sign the batch")
        require(name == self.authority.principals[number].person.name, f"{what}: another name of the actor")
        _, ids = members(cbor(fields[32:], what), "u16 a", f"{what}: fields")
        require(all(_is(one, "u16") for one in ids), f"{what}: fields")
        rows = self._subjects(entry, Cursor(subjects[32:], f"{what}: subjects"), parts, marks, context)
        ids = [record_id(self.authority.id_key, row) for row in rows]
        entry.shown = {"actor": name, "recipient": recipient, "recipient_class": recipient_class, "note": note, "subjects": ids}

    def _subjects(self, entry, cursor, parts, marks, context):
        rows = []
        for part, (salt, tag) in zip(parts, marks):
            row, own_salt, own_tag, commitment = cursor.u64(), cursor.take(16), cursor.take(16), cursor.take(32)
            require((salt, tag) == (own_salt, own_tag), f"{cursor.what}: salt or tag outside the seal")
            rows.append(row)
            record = self.records.get(row)
            if record is None:                                       # its RK is gone, or not published
                continue
            require(d32(SUBJECT_TAG, record.rk, salt)[:16] == tag, f"{cursor.what}: tag of row {row}")
            opening = vault_open(SUBJECT, d32(SUBJECT, record.rk, b"details"), context, part, f"{cursor.what}: part of row {row}")
            require(len(opening) > 32 and commit(C_SUBJECTS, opening) == commitment, f"{cursor.what}: part of row {row}")
            require(members(cbor(opening[32:]), "u64 u32", cursor.what)[0] == row, f"{cursor.what}: part of another row")
        end = 0
        while cursor.left():
            first = end + cursor.varint()
            end = first + cursor.varint() + 1
            require(end <= 1 << 32 and len(rows) + end - first <= entry.leaf[6], f"{cursor.what}: more rows than the count")
            rows.extend(range(first, end))
        return rows

    def check_receipt(self, log_key, receipt=None):
        """The receipt and its checkpoint as an anchor (sections 12 and 17)."""
        known = [index for index, own in enumerate(self.log_keys) if parse_verifier_key(own) == parse_verifier_key(log_key)]
        require(known, "log key: none of the vault")
        if receipt is None:
            return None
        leaf, index, size, root = open_receipt(receipt, log_key)
        if known[-1] + 1 < len(self.log_keys):
            replaced = self.authority.log_seeds[known[-1] + 1][0]
            require(size <= replaced, f"checkpoint of size {size} under a log key that entry {replaced} replaced")
        require(size <= len(self.log.entries), f"the log has {len(self.log.entries)} entries, the receipt {size}: rolled back")
        require(Tree(entry.leaf_hash for entry in self.log.entries[:size]).root() == root, "the log was rewritten")
        require(self.log.entries[index].leaf_hash == leaf_hash(leaf), "receipt: another entry")
        return {"index": index, "size": size}

    def values(self, record):
        """Name -> text of all fields that can be opened, and the names of compartments that cannot."""
        schema, values, sealed = self.authority.schema, {}, []
        fields = schema.types[record.type][1]
        for cell in record.cells:
            what = f"row {record.row}: compartment {cell.compartment}"
            if cell.compartment not in schema.compartments:
                raise Unsupported(f"{what}: not in the schema")
            name, mode = schema.compartments[cell.compartment]
            require([number for number, _ in cell.fields] == [0] if mode == "cell" else all(n for n, _ in cell.fields),
                    f"{what}: field 0")
            if (cell.compartment, cell.epoch) not in self.authority.epochs:
                raise Unsupported(f"{what}: epoch {cell.epoch}")
            ck = self.cks.get((cell.compartment, cell.epoch))
            if ck is None:
                sealed.append(name)
                continue
            opened = open_cell(cell, record.row, self.log.tag, ck, record.rk)
            decoded = {number: padded_value(data, what) for number, data in opened.items()}
            if mode == "cell":
                decoded = decoded[0]
                require(isinstance(decoded, dict) and all(1 <= n < 1 << 16 for n in decoded), f"{what}: not a map of fields")
            for number, value in decoded.items():
                place = f"{what}: field {number}"
                if number not in fields or fields[number][2] != cell.compartment:
                    raise Unsupported(f"{place} is not in the schema")
                values[number] = value_text(value, fields[number][1], place)
        return {fields[number][0]: values[number] for number in sorted(values)}, sealed

    def census(self):
        """Every epoch, its state, and how many cells of records are under it."""
        authority, found = self.authority, []
        for compartment, epoch in sorted(authority.epochs):
            cells = sum(cell.compartment == compartment and cell.epoch == epoch for one in self.records.values() for cell in one.cells)
            state = ("destroyed" if (compartment, epoch) in authority.destroyed else
                     "retired" if (compartment, epoch) in authority.retired else
                     "current" if epoch == authority.current(compartment) else "old")
            found.append({"compartment": compartment, "epoch": epoch, "state": state, "cells": cells,
                          "indexes": self.state.indexes.count((compartment, epoch))})
        return found

    def document(self, only_type=None):
        log, records = self.log, []
        for row, record in sorted(self.records.items()):
            values, sealed = self.values(record)
            kind = self.authority.schema.types[record.type][0]
            if only_type in (None, kind):
                records.append({"id": record_id(self.authority.id_key, row), "type": kind, "version": record.version,
                                "values": values, "sealed": sealed})
        entries = []
        for entry in log.entries:
            _, action, outcome, time, purpose, basis, count = entry.leaf[:7]
            entries.append({"entry": entry.number, "action": ACTIONS[action], "outcome": OUTCOMES[outcome], "time": time,
                            "purpose": purpose, "basis": basis, "count": count, **entry.shown})
        return {"id": self.id.hex(), "size": len(log.entries), "root": log.tree.root().hex(), "suite": self.authority.suite,
                "log_key": self.log_key, "entries": entries, "records": records, "keys": self.census(),
                "not_applied": sorted(log.marked), "pending": self.authority.pending, "time_went_backwards": log.backwards,
                "erasure_root": self.erasure, "torn_batch": log.segments[-1].torn_at is not None}


# --- Vectors (section 20) -----------------------------------------------------------------------------------------------------

INPUTS = """vault.tag envelope.key envelope.label envelope.context envelope.plaintext box.recipient_secret box.label epoch.granted
epoch.half row.number row.ck row.rk row.leaf_seal row.leaf_mask id.key id.row leaf.bytes checkpoint.seed import.seed
principal.name tree.slot siphash.message details.deposit_secret index.generation_key index.folded
index.exact""".split()
CELLS = (("identity", 1, 2, encode("Hoa")), ("statistics", 9, 0, encode({7: "female"})))      # compartment, field, value
COUNT = bytes(range(256))                                                                    # the "random" bytes of a group


def vector_cells(suite):
    """The two cells of section 20, not sealed yet."""
    cells = []
    for index, (_, compartment, number, value) in enumerate(CELLS):
        size_class, salt = length_class(len(value)), COUNT[16 * index:16 * index + 16]
        directory = varint(1) + varint(number) + varint(size_class)
        cells.append(Cell(compartment, suite, 1, 1, salt, directory, [(number, size_class)]))
    return cells


def vector_row(given, suite):
    """Cells and row of a suite; what was sealed is opened again."""
    row, ck, rk, tag = given["row.number"], given["row.ck"], given["row.rk"], given["vault.tag"]
    cells = vector_cells(suite)
    created, updated = varint(1_700_000_000_000), varint(1_700_000_000_001)
    head = (u8(1) + rk + b"\x99" * 16 + varint(1) + varint(1) + created + updated + varint(0) * 3 + varint(1)
            + varint(4) + b"unit" + varint(len(cells)))
    for cell, (_, _, _, value) in zip(cells, CELLS):
        cell.data = seal_cell(cell, row, tag, ck, rk, [value])
        head += (varint(cell.compartment) + varint(len(cell.data)) + varint(suite) + varint(1) + varint(1) + varint(0) + cell.salt
                 + cell.directory + varint(0))
    head += bytes(-len(head) % 32)
    nonce, seal_key, mask_key = COUNT[32:44], given["row.leaf_seal"], given["row.leaf_mask"]
    sealed = (nonce + u16(len(head) ^ siphash(mask_key, nonce) & 0xFFFF)
              + AESGCM(seal_key).encrypt(nonce, head, TREE_HEAD + tag + u64(row)) + b"".join(cell.data for cell in cells))
    opened = open_row(sealed, row, tag, seal_key, mask_key)
    require(opened.rk == rk and [cell.data for cell in opened.cells] == [cell.data for cell in cells], "vectors: row")
    for cell, (_, _, number, value) in zip(opened.cells, CELLS):
        require(padded_value(open_cell(cell, row, tag, ck, rk)[number], "vectors") == cbor(value), "vectors: value of a cell")
    return cells[0].data, cells[1].data, sealed


def vector_tree(tag, erk, half, slot):
    """Rows of kind 2 from ERK down to a slot."""
    out, parent, drawn = {}, erk, 0
    for level, index in ((2, slot >> 24), (1, slot >> 16), (0, slot >> 8), (0xFF, slot)):
        key = half if level == 0xFF else COUNT[drawn:drawn + 32]
        drawn += 0 if level == 0xFF else 32
        name, nonce = struct.pack(">BBQ", 2, level, index), COUNT[drawn:drawn + 12]
        drawn += 12
        out["tree.row_" + name.hex()] = nonce + AESGCM(parent).encrypt(nonce, key, TREE_NODE + tag + name)
        parent = key
    return out


def vector_details(tag, deposit, rk):
    """The four commitments and the block, opened again from the block as section 11 says."""
    drawn = iter(COUNT)

    def draw(size): return bytes(next(drawn) for _ in range(size))
    e, actor, fields, subjects = draw(32), draw(32), draw(32), draw(32)
    actor, fields = actor + encode([2, "Mai"]), fields + encode([1, [7, 2]])
    part, salt = draw(32) + encode([258, 3]), draw(16)
    mark = salt + d32(SUBJECT_TAG, rk, salt)[:16]
    runs = varint(5) + varint(1) + varint(293) + varint(0)           # 5 and 6, then 300
    subjects += u64(258) + mark + commit(C_SUBJECTS, part) + runs
    common = draw(32) + encode([actor, fields, subjects, "police", "authority", "note", {}])
    public = x_public(e)
    context = tag + u64(9) + u32(1) + public
    inside = block(common) + u8(1) + block(env_seal(SUBJECT, d32(SUBJECT, rk, b"details"), context, part, draw(24)))
    inside += bytes(-len(inside) % 128)
    sealed = env_seal(DETAILS, d32(DETAILS, x25519(e, x_public(deposit)), public), context, inside, draw(24))
    opened = vault_open(DETAILS, d32(DETAILS, x25519(deposit, public), public), context, sealed, "vectors: details")
    require(opened == inside, "vectors: details")
    return {"details.actor": commit(C_ACTOR, actor), "details.fields": commit(C_FIELDS, fields),
            "details.subjects": commit(C_SUBJECTS, subjects), "details.details": commit(C_DETAILS, common),
            "details.block": public + u32(1) + block(sealed) + u8(1) + mark}


def vector_index(tag, given):
    """Section 22: postings of one name, field 2 of type 1, compartment 5, epoch 1, slot 3, CK = 32 times 55."""
    both, where = b"\x55" * 32 + given["index.generation_key"], tag + u16(5) + u32(1) + u32(3)
    keys, words = (d64(b"cv1 index genera", both, where + u8(which)) for which in (0, 1))
    name, filler = (d32(b"cv1 index field ", words[:32], u16(kind) + u16(number)) for kind, number in ((1, 2), (0, 0)))
    word = d64(b"cv1 index word  ", name, u8(1) + given["index.folded"].encode())
    mark = d64(b"cv1 index word  ", name, u8(6) + given["index.exact"].encode())[32:39]

    def place(word, at):
        if at == 0:
            return u32(3) + word[52:]
        return u32(3) + d64(b"cv1 index label ", word[:32], u64((at - 1) // 5))[12 * ((at - 1) % 5):][:12]

    def seal(at, kind, mark, row, position):
        posting = u8(kind) + mark + u32(row) + u32(position)
        tagged = d32(b"cv1 index tag   ", keys[:32], at + posting)[:16]
        mask = aes_block(keys[32:], tagged)
        return tagged + bytes(a ^ b for a, b in zip(posting, mask))

    at, none = place(word, 7), bytes(7)
    rest = place(d64(b"cv1 index word  ", filler, u8(0) + u64(258)), 0)
    return {**{f"index.key_{label}": place(word, label) for label in (0, 1, 5, 6)}, "index.key_7": at, "index.posting_7": seal(at, 1, mark, 258, 7),
            "index.tombstone_7": seal(at, 3, none, 0, 7), "index.filler_key": rest, "index.filler": seal(rest, 2, none, 258, 0)}


def vector_outputs(given):
    """Every output of section 20, computed from the inputs."""
    tag, out = given["vault.tag"], {}
    lab, key, context, plain = (given["envelope." + name] for name in ("label", "key", "context", "plaintext"))
    lab, context, plain = lab.encode(), context.encode(), plain.encode()
    out["envelope.sealed"] = env_seal(lab, key, context, plain, COUNT[:24])
    require(env_open(lab, key, context, out["envelope.sealed"]) == plain, "vectors: envelope")
    secret, lab = given["box.recipient_secret"], given["box.label"].encode()
    out["box.recipient_public"] = x_public(secret)
    out["box.sealed"] = box_seal(lab, x_public(secret), context, plain, COUNT[:32], COUNT[32:56])
    require(box_open(lab, secret, context, out["box.sealed"], "box") == plain, "vectors: box")

    granted, half, bound = given["epoch.granted"], given["epoch.half"], tag + u16(5) + u32(1)
    out["epoch.key"] = ck = d32(CK_KEY, granted + half, bound)
    out["epoch.commit_granted"] = d32(CK_COMMIT, granted, bound + b"\0")
    out["epoch.commit_key"] = d32(CK_COMMIT, ck, bound + b"\1")
    out["epoch.deposit_public"] = x_public(d32(CK_DEPOSIT, ck, bound))
    out["vault_key.label"] = d32(VK_LABEL, x_public(granted), tag + u32(1))[:16]
    out["vault_key.commitment"] = d32(VK_COMMIT, granted, tag + u32(1))
    out["erasure_root.commitment"] = d32(ERASURE_COMMIT, half, tag + u64(1))

    for suite, prefix, row in ((1, "row", "row.row"), (2, "suite2", "suite2.row"), (3, "suite3", "suite3.row")):
        out[f"{prefix}.cell_identity"], out[f"{prefix}.cell_statistics"], out[row] = vector_row(given, suite)
    out["row.cell_identity_salt"], out["row.cell_statistics_salt"] = COUNT[:16], COUNT[16:32]

    number = u64(given["id.row"]) + bytes(8)
    out["id.bytes"] = aes_block(given["id.key"], number)
    out["id.text"] = record_id(given["id.key"], given["id.row"])
    require(aes_block(given["id.key"], uncrockford(out["id.text"].lower()), decrypt=True) == number, "vectors: id")

    leaf = given["leaf.bytes"]
    require(encode(cbor(leaf)) == leaf, "vectors: leaf")
    out["leaf.hash"] = root = leaf_hash(leaf)
    out["commitment.actor"] = commit(C_ACTOR, b"opening")
    seed = given["checkpoint.seed"]
    out["checkpoint.log_key"] = verifier_key(tag, ed_public(seed))
    out["checkpoint.note"] = note = checkpoint_note(tag, seed, 1, root)
    out["receipt"] = b"c2sp.org/tlog-proof@v1\nextra " + base64.b64encode(leaf) + b"\nindex 0\n\n" + note
    require(open_receipt(out["receipt"], out["checkpoint.log_key"]) == (leaf, 0, 1, root), "vectors: receipt")
    out["import.stamp_of_row_300"] = b2(IMPORT_STAMP + given["import.seed"] + u64(300))[:16]

    person = Person(given["principal.name"], x_public(secret), ed_public(seed))
    signed = encode([person.name, person.x, person.ed, ed_sign(seed, PRINCIPAL + person.encoded())])
    out["principal.string"] = "cvp1:" + base64.b64encode(signed).decode()
    require(parse_principal(out["principal.string"] + "\r\n") == person, "vectors: principal string")
    out.update(vector_tree(tag, half, granted, given["tree.slot"]))
    out.update(vector_index(tag, given))
    place = u64(1) + u32(1)
    out["erasure_root.place"] = b"CVERK1\0\0" + place + env_seal(ERASURE, granted, tag + place, half, COUNT[:24])
    out["erasure_root.size"] = (1 << 20) + 8192
    out["siphash.number"] = siphash(given["row.leaf_mask"], given["siphash.message"])
    out["crc64.of_message"] = crc64(given["siphash.message"])
    out.update(vector_details(tag, given["details.deposit_secret"], given["row.rk"]))
    return out


def spell(value):
    """A value as vectors.txt writes it."""
    return value.hex() if isinstance(value, bytes) else f'"{value}"' if isinstance(value, str) else str(value)


def check_vectors(text):
    """Recomputes every line that is an output: (number of lines, [difference])."""
    lines = [tuple(line.split(" = ", 1)) for line in text.splitlines() if line.strip()]
    written = dict(lines)
    given, differences = {}, []
    for name in INPUTS:
        value = written[name]
        if value[0] == '"':
            given[name] = value[1:-1]
        else:
            given[name] = int(value) if name in ("row.number", "id.row", "tree.slot") else bytes.fromhex(value)
    outputs = vector_outputs(given)
    for name, value in lines:
        group, _, number = name.partition(".")
        if group == "length_class":
            expected = length_class(int(number))
        elif group == "class_size":
            expected = class_size(int(number))
        else:
            expected = outputs.get(name, given.get(name))
        if expected is None or spell(expected) != value:
            differences.append(f"{name}: {'not described' if expected is None else spell(expected)}")
    differences += [f"{name}: not in the file" for name in outputs if name not in written]
    return len(lines), differences


# --- Command line -------------------------------------------------------------------------------------------------------------

def run(arguments):
    if arguments.vectors:
        count, differences = check_vectors(Path(arguments.vectors).read_text(encoding="utf-8"))
        for difference in differences:
            print(difference, file=sys.stderr)
        print(f"{count} lines, {len(differences)} differences")
        return 1 if differences else 0
    passphrase = Path(arguments.passphrase_file).read_bytes().removesuffix(b"\n") if arguments.passphrase_file else None
    shares = [Path(name).read_text(encoding="ascii") for name in arguments.share]
    identity = open_identity(load(Path(arguments.identity)), passphrase, shares)
    trust = unhex(arguments.trust, 32, "--trust") if arguments.trust else None
    vault = Vault(arguments.vault, identity, trust)
    document = vault.document(arguments.values)
    if arguments.log_key:
        log_key = Path(arguments.log_key).read_text(encoding="utf-8").strip()
        document["receipt"] = vault.check_receipt(log_key, Path(arguments.receipt).read_bytes() if arguments.receipt else None)
    print(json.dumps(document, ensure_ascii=False, indent=None if arguments.json else 1))
    return 0


def main(words=None):
    parser = argparse.ArgumentParser(description="A second reader of the casevault format, written from FORMAT.md.")
    parser.add_argument("vault", nargs="?", help="folder of the vault")
    parser.add_argument("--identity", help="identity file")
    parser.add_argument("--passphrase-file", help="its passphrase; a newline at the end is not part of it")
    parser.add_argument("--share", metavar="FILE", action="append", default=[], help="a share of the quorum that opens the identity")
    parser.add_argument("--trust", metavar="ID", help="vault id (hex) to trust when it is not pinned")
    parser.add_argument("--log-key", metavar="FILE", help="verifier key of the log")
    parser.add_argument("--receipt", metavar="FILE", help="receipt to verify, and to hold against the log as an anchor")
    parser.add_argument("--values", metavar="TYPE", help="only records of this type")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    parser.add_argument("--vectors", metavar="FILE", help="recompute the vectors of section 20 instead")
    arguments = parser.parse_args(words)
    if not arguments.vectors and not (arguments.vault and arguments.identity and (arguments.passphrase_file or arguments.share)):
        parser.error("VAULT, --identity and --passphrase-file or --share are needed")
    if arguments.receipt and not arguments.log_key:
        parser.error("--receipt needs --log-key")
    try:
        return run(arguments)
    except Fault as fault:
        print(f"{fault.name}: {fault}", file=sys.stderr)
        return fault.status
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
