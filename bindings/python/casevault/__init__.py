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

import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from . import _casevault
from ._casevault import Disclosure, Release, Row, Secret, Table, Tabulation
from ._errors import (
    BadInput, Busy, Cancelled, Conflict, Degraded, DiskFull, Erased, ErasePending, Error, InputOutput, Integrity, Internal, NoGrant,
    NotFound, Refused, RolledBack, UnknownOutcome, UnsafePermissions, Unsupported, Untrusted, Usage, Waiting, WrongKey,
)

__version__ = "0.1.0"
__all__ = [
    "Audit", "BadInput", "Budget", "Busy", "Cancelled", "Column", "Conflict", "Degraded", "Disclosure", "DiskFull", "Entries", "Erased",
    "ErasePending", "Error", "InputOutput", "Integrity", "Internal", "Keys", "NoGrant", "NotFound", "Record", "Refused", "Release",
    "RolledBack", "Row", "Secret", "Table", "Tabulation", "UnknownOutcome", "UnsafePermissions", "Unsupported", "Untrusted", "Usage",
    "Vault", "Waiting", "WrongKey", "accept", "create_identity", "init", "open", "parse_filter", "verify_receipt",
]

Path = str | os.PathLike[str]
Progress = Callable[[str, int, int], bool | None]

_ERAS = {"recorded": 0, "2024": 1, "2025": 2}
_LEVELS = {"exact": 0, "month": 1, "year": 2}


class Bar(Protocol):
    """What a progress bar of tqdm can do, as far as it is used."""

    total: Any
    n: Any

    def update(self, n: int = 1) -> Any: ...


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


def _progress(progress: Progress | Bar | None) -> Progress | None:
    """A callback as it is, or a bar of tqdm made into one."""
    if progress is None or not hasattr(progress, "update"):
        return progress
    bar = progress

    def advance(stage: str, done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return advance


def parse_filter(text: str) -> tuple[str, str, str]:
    """A condition as the command writes it: field, from, to.

    >>> parse_filter("intake_date=2023..2024")
    ('intake_date', '2023', '2024')
    >>> parse_filter("sex=female")
    ('sex', 'female', 'female')
    """
    return _casevault.parse_filter(text)


def _where(where: Mapping[str, str | tuple[str, str]] | Iterable[str] | None) -> list[tuple[str, str, str]]:
    if where is None:
        return []
    if isinstance(where, Mapping):
        return [_condition(field, each) for field, each in where.items()]
    return [parse_filter(each) for each in _texts([where] if isinstance(where, str) else where, "where")]


def _condition(field: str, value: object) -> tuple[str, str, str]:
    if isinstance(value, str):
        return field, value, value
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(each, str) for each in value):
        return field, value[0], value[1]
    raise Usage(f"the condition on {field} is a text, or a pair of texts for a range; an empty text means that nothing is recorded")


def _texts(values: Iterable[str], what: str) -> list[str]:
    """A list of texts; one text alone is likely meant to be a list of it, and would be one of letters."""
    made = [] if isinstance(values, str) else list(values)
    if not made or not all(isinstance(each, str) for each in made):
        raise Usage(f"{what} is a list of texts")
    return made


def _number(value: int | None, what: str) -> int:
    """0, which stands for the default, for None."""
    if value is None:
        return 0
    if not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise Usage(f"{what} is a number from 1 to 1000000")
    return int(value)


def _era(era: str) -> int:
    if era not in _ERAS:
        raise Usage("era is recorded, 2024 or 2025")
    return _ERAS[era]


class Record:
    """Metadata of a record; no values."""

    __slots__ = ("created", "id", "type", "unit", "updated", "version")

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.id: str = facts["id"]
        self.type: str = facts["type"]
        self.version: int = facts["version"]
        self.unit: str = facts["unit"]
        self.created = _time(facts["created_ms"])
        self.updated = _time(facts["updated_ms"])

    def __repr__(self) -> str:
        return f"<casevault.Record {self.id}, version {self.version}>"


class Column:
    """A column of a release: how much coarser it leaves. Without a level dates become years; `bands` stand for themselves.

    >>> Column("intake_date", "year")
    Column('intake_date', 'year')
    >>> Column("dob", bands=[0, 9, 18], age_on="2024-12-31", sensitive=False).bands
    [0, 9, 18]
    """

    __slots__ = ("age_on", "bands", "field", "level", "sensitive")

    def __init__(self, field: str, level: str | None = None, *, bands: Sequence[int] = (), age_on: str = "", sensitive: bool = False) -> None:
        if level is not None and level not in _LEVELS:
            raise Usage("a level is exact, month or year")
        if level is not None and len(bands) != 0:
            raise Usage("a column has either bands or a level, not both")
        self.field = field
        self.level = level
        self.bands = list(bands)
        self.age_on = age_on
        self.sensitive = sensitive

    def __repr__(self) -> str:
        return f"Column({self.field!r})" if self.level is None else f"Column({self.field!r}, {self.level!r})"

    def _tuple(self) -> tuple[str, int | None, list[int], str, bool]:
        return self.field, None if self.level is None else _LEVELS[self.level], self.bands, self.age_on, self.sensitive


class Budget:
    """Something in the release ledger: a table, rows, or a budget spent outside."""

    __slots__ = ("actor", "definition", "entry", "kind", "name", "time", "type")

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.entry: int = facts["entry"]
        self.kind: str = facts["kind"]
        self.actor: str = facts["actor"]
        self.type: str = facts["type"]
        self.name: str = facts["name"]
        self.definition: str = facts["definition"]
        self.time = _time(facts["time_ms"])

    def __repr__(self) -> str:
        return f"<casevault ledger entry {self.entry}: {self.kind}, {self.definition}>"


class Entries(list[dict[str, Any]]):
    """Entries of the log, one dictionary each; shows itself as a table in a notebook."""

    def _repr_html_(self) -> str:
        from ._show import html_table

        names = ("entry", "time", "action", "outcome", "actor", "purpose", "basis", "count")
        return html_table(names, [[str(each[name]) for name in names] for each in self])


class Audit:
    """The log of an open vault."""

    def __init__(self, session: _casevault.Session) -> None:
        self._session = session

    def verify(self, anchor: str = "", *, progress: Progress | Bar | None = None) -> dict[str, Any]:
        """Recomputes tree, commitments and signatures: `ok`, `size`, `entry` (the first bad one), `reason`, `warnings`."""
        return self._session.verify(anchor, _progress(progress))

    def entries(self, start: int = 0, *, actor: str = "", subject: str | None = None, details: bool = False) -> Entries:
        """Entries from `start` on. `subject` and `details` need the audit compartment and leave an entry of their own."""
        out = Entries(self._session.entries(start, actor, subject, details))
        for each in out:
            each["time"] = _time(each.pop("time_ms"))
        return out

    def prove(self, entry: int) -> str:
        """The receipt of an entry, for `verify_receipt`."""
        return self._session.prove(entry)

    def checkpoint(self) -> str:
        """A signed checkpoint of now: an anchor to keep elsewhere."""
        return self._session.checkpoint()

    def __repr__(self) -> str:
        return "<casevault.Audit>"


class Keys:
    """Epochs of the compartments."""

    def __init__(self, session: _casevault.Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._session.keys())

    def rotate(self, compartment: str) -> tuple[int, int, int]:
        """Opens the successor epoch: old epoch, new epoch, entry."""
        return self._session.rotate(compartment)

    def destroy(self, compartment: str, epoch: int) -> int:
        """Ends an old epoch under which nothing is left. Answers the entry."""
        return self._session.destroy_epoch(compartment, epoch)

    def __repr__(self) -> str:
        return "<casevault.Keys>"


class Vault:
    """An open vault. A context manager: its end wipes the keys. May be used from several threads; not in a forked child."""

    def __init__(self, session: _casevault.Session, folder: str) -> None:
        self._session = session
        self._folder = folder
        self.audit = Audit(session)
        self.keys = Keys(session)

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session and wipes its keys; whatever is read afterwards raises `Usage`."""
        self._session.close()

    def __repr__(self) -> str:
        return f"<casevault.Vault {self._folder}>"

    def __reduce__(self) -> Any:
        raise TypeError("an open vault is not pickled")

    def status(self) -> dict[str, Any]:
        """What a keyholder sees at a glance."""
        return self._session.status()

    def schema(self) -> str:
        """The schema in force, as TOML."""
        return self._session.schema_source()

    def records(self, type: str, *, after: str | None = None) -> Iterator[Record]:
        """Metadata of all records of a type, in order of insertion."""
        page = 1000
        while True:
            found = self._session.records(type, page, after)
            yield from map(Record, found)
            if len(found) < page:
                return
            after = found[-1]["id"]

    def add(self, type: str, values: Mapping[str, str]) -> tuple[str, int, int]:
        """A new record: id, version, entry."""
        return self._session.add(type, list(values.items()))

    def import_rows(self, type: str, rows: Iterable[Mapping[str, str]], *, progress: Progress | Bar | None = None) -> tuple[list[str], int | None]:
        """All rows or, when one is bad, none: the new ids in order, and the entry."""
        return self._session.import_rows(type, [list(row.items()) for row in rows], _progress(progress))

    def update(self, id: str, values: Mapping[str, str], *, expect_version: int | None = None) -> tuple[str, int, int]:
        """Changes fields; an empty text empties one. Answers id, version, entry."""
        return self._session.update(id, list(values.items()), expect_version)

    def disclose(self, ids: Sequence[str], *, fields: Sequence[str], purpose: str, recipient: str, basis: str = "",
                 recipient_class: str = "") -> Disclosure:
        """The audited disclosure of single records: policy, then the entry, then values as `Secret`."""
        return self._session.disclose(_texts(ids, "ids"), _texts(fields, "fields"), purpose, basis, recipient, recipient_class)

    def table(self, type: str, *, columns: Sequence[str], purpose: str, basis: str = "", recipient: str = "", recipient_class: str = "",
              ids: bool = False, progress: Progress | Bar | None = None) -> Table:
        """Granted columns, exactly, for polars, pandas, pyarrow, duckdb or nanoarrow. Reading it is the disclosure."""
        return self._session.table(type, _texts(columns, "columns"), ids, purpose, basis, recipient, recipient_class, _progress(progress))

    def tabulate(self, type: str, *, rows: str, columns: str = "", where: Mapping[str, str | tuple[str, str]] | Iterable[str] | None = None,
                 era: str = "recorded", min_cell: int | None = None, round_to: int | None = None, purpose: str = "statistics", basis: str = "",
                 recipient: str = "", name: str = "") -> Tabulation:
        """A cross table in which no small cell shows, nor can be worked out. It is published: see the ledger.

        `min_cell` is that of the purpose unless it is greater; of a set of fewer records there is no table (`Refused`)."""
        return self._session.tabulate(type, rows, columns, _where(where), _era(era), _number(min_cell, "min_cell"),
                                      _number(round_to, "round_to"), purpose, basis, recipient, name)

    def release(self, type: str, *, columns: Sequence[str | Column], name: str,
                where: Mapping[str, str | tuple[str, str]] | Iterable[str] | None = None, k: int | None = None, distinct: int | None = None, star: bool = False,
                pseudonyms: bool = True, era: str = "recorded", purpose: str = "statistics", basis: str = "",
                recipient: str = "", recipient_class: str = "") -> Release:
        """Rows that may be handed on. Of a plain field name dates leave as years, all else as it is; `Column` says how much coarser.

        `k` is min_cell of the purpose unless it is greater; `distinct` is 2 where a column is sensitive, which only fields can be that
        the schema calls so."""
        if isinstance(columns, str) or not all(isinstance(each, (str, Column)) for each in columns):
            raise Usage("columns is a list of texts and Column")
        made = [Column(each) if isinstance(each, str) else each for each in columns]
        return self._session.release(type, [each._tuple() for each in made], _where(where), name, _number(k, "k"),
                                     _number(distinct, "distinct"), star, pseudonyms, _era(era), purpose, basis, recipient, recipient_class)

    def ledger(self) -> list[Budget]:
        """What was published, oldest first."""
        return [Budget(each) for each in self._session.ledger()]

    def record_budget(self, tool: str, *, epsilon: str, name: str, purpose: str = "statistics") -> int:
        """Records the privacy budget that a tool outside has spent. Answers the entry."""
        return self._session.record_budget(purpose, tool, name, epsilon)

    def reencrypt(
        self,
        compartment: str = "",
        *,
        rate: int = 0,
        index: bool = False,
        progress: Progress | Bar | None = None,
    ) -> dict[str, Any]:
        """Moves cells under old epochs to the current ones, while others work; may be stopped and called again.

        With `index` only the search indexes are built anew."""
        return self._session.reencrypt(compartment, rate, index, _progress(progress))

    def principals(self) -> list[dict[str, Any]]:
        """Everybody the log vouches for."""
        return self._session.principals()

    def add_principal(self, name: str, *, public: str, role: str, grants: Sequence[str] = (), unit: str = "") -> str:
        """Certifies a principal; answers the invitation to hand over."""
        return self._session.add_principal(name, public, role, list(grants), unit)

    def revoke(self, name: str) -> int:
        """Puts a principal out, at once. Answers the entry."""
        return self._session.revoke(name)


def open(path: Path, *, identity: Path, passphrase: str, read_only: bool = False, state_folder: Path = "", trust_id: str = "") -> Vault:
    """Opens a vault with an identity file and its passphrase."""
    session = _casevault.Session.open(os.fspath(path), os.fspath(identity), passphrase, read_only, os.fspath(state_folder), trust_id)
    return Vault(session, os.fspath(path))


def init(path: Path, *, identity: Path, passphrase: str, schema: str = "vn-victim-support", owner: str = "owner", state_folder: Path = "",
         memory_mib: int = 0) -> dict[str, str]:
    """Makes a new vault and its owner's identity file. `schema` is a bundled name or TOML. `memory_mib`: cost of the passphrase."""
    return _casevault.init(os.fspath(path), schema, passphrase, os.fspath(identity), owner, os.fspath(state_folder), memory_mib)


def create_identity(path: Path, *, name: str, passphrase: str, memory_mib: int = 0) -> str:
    """Makes an identity file; answers its public string."""
    return _casevault.create_identity(os.fspath(path), name, passphrase, memory_mib)


def accept(invitation: str, *, identity: Path, passphrase: str, state_folder: Path = "") -> str:
    """Pins the vault of an invitation in an identity; answers the vault's id."""
    return _casevault.accept(invitation, os.fspath(identity), passphrase, os.fspath(state_folder))


def verify_receipt(receipt: str, log_key: str) -> dict[str, Any]:
    """Checks a receipt with the log's public key and no vault; raises `Integrity` when it does not hold."""
    return _casevault.verify_receipt(receipt, log_key)
