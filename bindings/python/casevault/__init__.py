# SPDX-License-Identifier: Apache-2.0
"""casevault for analysts: an encrypted vault of records, in which nothing is read without a key, and nothing without a trace.

>>> import casevault
>>> with casevault.open(vault_folder, identity=identity_file, passphrase=passphrase) as vault:  # doctest: +SKIP
...     table = vault.table("person", columns=["sex", "status"], purpose="statistics")
...     frame = polars.DataFrame(table)

What frames and strings hold is in Python's memory, where nothing is locked or wiped. Frames that share the memory of a table or a
release are of zeros in a forked child: hand on copies, or open the vault there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import _casevault
from ._casevault import (
    Disclosure, Field, Found, Hit, Identity, NewSlot, Pair, Purpose, Release, Row, Rule, Schema, Secret, Table, Tabulation, Unlock,
)
from ._errors import (
    BadInput, Busy, Cancelled, Conflict, Degraded, DiskFull, Erased, ErasePending, Error, InputOutput, Integrity, Internal, NoGrant,
    NotFound, Refused, RolledBack, UnknownOutcome, UnsafePermissions, Unsupported, Untrusted, Usage, Waiting, WrongKey,
)
from ._vault import (
    Audit, Bar, Budget, Column, Duplicates, Entries, Imported, Indicator, Keys, Problem, Progress, Record, Vault, Written, callback_of, parse_filter,
)

__version__ = "0.1.0"
__all__ = [
    "Audit", "BadInput", "Budget", "Busy", "Cancelled", "Column", "Conflict", "Degraded", "Disclosure", "DiskFull", "Duplicates", "Entries",
    "Erased", "ErasePending", "Error", "Field", "Found", "Hit", "Identity", "Imported", "Indicator", "InputOutput", "Integrity", "Internal", "Keys",
    "NewSlot", "NoGrant", "NotFound", "Pair", "Problem", "Purpose", "Record", "Refused", "Release", "RolledBack", "Row", "Rule", "Schema",
    "Secret", "Table", "Tabulation", "UnknownOutcome", "Unlock", "UnsafePermissions", "Unsupported", "Untrusted", "Usage", "Vault",
    "Waiting", "Written", "WrongKey", "accept", "create_identity", "default_state_folder", "doctor", "generate_passphrase", "init",
    "memory_lock_status", "open", "parse_filter", "verify_checkpoint", "verify_receipt",
]

Path = str | os.PathLike[str]

_SUITES = (1, 2, 3)


def _identity(identity: Path | Identity, passphrase: str | Secret | None, unlock: Unlock | None, state_folder: Path) -> Identity:
    """An identity as it is, or opened from its file."""
    ways = [each for each in (passphrase, unlock) if each is not None]
    if isinstance(identity, Identity):
        if ways:
            raise Usage("an open identity needs nothing to unlock it")
        return identity
    if len(ways) != 1:
        raise Usage("an identity file is opened by a passphrase, or by what else unlocks it: one of the two")
    return Identity.open(identity, unlock or Unlock.passphrase(passphrase or ""), state_folder)


def open(path: Path, *, identity: Path | Identity, passphrase: str | Secret | None = None, unlock: Unlock | None = None,
         read_only: bool = False, state_folder: Path = "", anchors: Sequence[Path] = (), trust_id: str = "") -> Vault:
    """Opens a vault with an identity: an open `Identity`, or its file and its passphrase, or what else unlocks it.

    `anchors`: files of signed checkpoints that the log must contain. `trust_id`: of a vault that the identity has not pinned."""
    holder = _identity(identity, passphrase, unlock, state_folder)
    return Vault(_casevault.Session.open(path, holder, read_only, state_folder, list(anchors), trust_id), os.fspath(path))


def init(path: Path, *, identity: Path, passphrase: str | Secret | None = None, quorum: tuple[int, int, Path] | None = None,
         schema: str | Schema = "vn-victim-support", owner: str = "owner", suite: int = 1, state_folder: Path = "", passes: int = 0,
         memory_mib: int = 0) -> dict[str, str]:
    """Makes a new vault and its owner's identity file. `schema` is a bundled name, TOML, or a `Schema`.

    The owner has a passphrase, whose cost `passes` and `memory_mib` say (0: the default), or a quorum: (2, 3, folder) writes three
    shares into a new folder, of which two open it. `suite`: 1 AES-256-GCM, 2 ChaCha20-Poly1305, 3 HKDF and AES-256-GCM of OpenSSL."""
    if suite not in _SUITES:
        raise Usage("a suite is 1, 2 or 3")
    if isinstance(schema, str):
        schema = Schema.parse(schema) if "\n" in schema else Schema.bundled(schema)
    unlock = None if passphrase is None else Unlock.passphrase(passphrase)
    return _casevault.init(path, schema, unlock, quorum, identity, owner, suite, state_folder, passes, memory_mib)


def create_identity(path: Path, *, name: str, passphrase: str | Secret, passes: int = 0, memory_mib: int = 0) -> str:
    """Makes an identity file; answers its public string."""
    made = Identity.create(path, name=name, passphrase=Unlock.passphrase(passphrase), passes=passes, memory_mib=memory_mib)
    with made:
        return made.public


def accept(invitation: str, *, identity: Path | Identity, passphrase: str | Secret | None = None, unlock: Unlock | None = None,
           state_folder: Path = "") -> str:
    """Pins the vault of an invitation in an identity; answers the vault's id."""
    return _identity(identity, passphrase, unlock, state_folder).accept(invitation)


def doctor(path: Path, *, identity: Path | Identity, passphrase: str | Secret | None = None, unlock: Unlock | None = None, deep: bool = False,
           state_folder: Path = "", anchors: Sequence[Path] = (), trust_id: str = "", progress: Progress | Bar | None = None) -> dict[str, Any]:
    """Examines a vault without believing who wrote it, and changes nothing: `ok`, `findings` (`severity`, `where`, `what`, `remedy`).

    With `deep` it opens every cell that this identity may open."""
    holder = _identity(identity, passphrase, unlock, state_folder)
    return _casevault.doctor(path, holder, deep, state_folder, list(anchors), trust_id, callback_of(progress))


def generate_passphrase(words: int = 6) -> Secret:
    """Words that nobody guesses, ten bits each.

    >>> len(generate_passphrase().reveal().split(" "))
    6
    """
    return _casevault.generate_passphrase(words)


def default_state_folder() -> str:
    """Where anchors are kept unless `state_folder` is given; empty when not known."""
    return _casevault.default_state_folder()


def memory_lock_status() -> dict[str, Any]:
    """Whether all memory for secrets could be locked (`locked`), and how much of it is in use (`bytes_in_use`)."""
    return _casevault.memory_lock_status()


def verify_receipt(receipt: str, log_key: str) -> dict[str, Any]:
    """Checks a receipt with the log's public key and no vault; raises `Integrity` when it does not hold."""
    return _casevault.verify_receipt(receipt, log_key)


def verify_checkpoint(note: str, log_key: str) -> dict[str, Any]:
    """Checks a signed checkpoint with the log's public key and no vault: `origin`, `size`, `root`."""
    return _casevault.verify_checkpoint(note, log_key)
