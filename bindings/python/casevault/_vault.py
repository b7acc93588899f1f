# SPDX-License-Identifier: Apache-2.0
"""An open vault, and what belongs to it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, overload, runtime_checkable

from . import _casevault
from ._casevault import Disclosure, Found, Pair, Release, Schema, Table, Tabulation
from ._errors import BadInput, Usage

Progress = Callable[[str, int, int], bool | None]
Where = Mapping[str, str | tuple[str, str]] | Iterable[str]

_ERAS = {"recorded": 0, "2024": 1, "2025": 2}
_LEVELS = {"exact": 0, "month": 1, "year": 2}
_PAGE = 1000


@runtime_checkable
class Bar(Protocol):
    """What a progress bar of tqdm can do, as far as it is used."""

    total: Any
    n: Any

    def update(self, n: int = 1) -> Any: ...


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


def _milliseconds(moment: datetime.datetime | None) -> int:
    """What grants take: 0 stands for never."""
    if moment is None:
        return 0
    if moment.tzinfo is None:
        raise Usage("a time at which a grant expires needs its time zone")
    return round(moment.timestamp() * 1000)


def _timed(facts: dict[str, Any]) -> dict[str, Any]:
    facts["time"] = _time(facts.pop("time_ms"))
    return facts


def callback_of(progress: Progress | Bar | None) -> Progress | None:
    """A callback as it is, or a bar of tqdm made into one."""
    if not isinstance(progress, Bar):
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


def _where(where: Where | None) -> list[tuple[str, str, str]]:
    if where is None:
        return []
    if isinstance(where, Mapping):
        return [_condition(field, each) for field, each in where.items()]
    if isinstance(where, str):
        return [parse_filter(where)]
    return [parse_filter(each) for each in where]


def _condition(field: str, value: object) -> tuple[str, str, str]:
    if isinstance(value, str):
        return field, value, value
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(each, str) for each in value):
        return field, value[0], value[1]
    raise Usage(f"the condition on {field} is a text, or a pair of texts for a range; an empty text means that nothing is recorded")


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


def _names(names: Sequence[str]) -> list[str]:
    """A list; a single name is taken for what is meant, not for its letters."""
    made = [names] if isinstance(names, str) else list(names)
    if not all(isinstance(each, str) for each in made):
        raise TypeError("a list of texts is expected")
    return made


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


class _Written(NamedTuple):
    id: str
    version: int
    entry: int


class Written(_Written):
    """What a write answers: id, version and entry, as a tuple too.

    `warnings` names records that may be about the same person as a new one: told, and decided by nobody.

    >>> id, version, entry = Written("0" * 26, 1, 7, ["a line"])
    >>> version, entry
    (1, 7)
    """

    warnings: list[str]

    def __new__(cls, id: str, version: int, entry: int, warnings: Sequence[str] = ()) -> Written:
        self = super().__new__(cls, id, version, entry)
        self.warnings = list(warnings)
        return self


class Problem(NamedTuple):
    """What is wrong with a row of an import: its number from 1, the column (empty: all of it), the reason; never a value."""

    row: int
    column: str
    reason: str


class _Imported(NamedTuple):
    ids: list[str]
    entry: int | None


class Imported(_Imported):
    """What an import answers: the ids in order, and the entry (None when nothing was written), as a tuple too."""

    imported: int
    rejected: int
    problems: list[Problem]
    warnings: list[str]

    def __new__(cls, facts: Mapping[str, Any]) -> Imported:
        self = super().__new__(cls, facts["ids"], facts["entry"])
        self.imported = facts["imported"]
        self.rejected = facts["rejected"]
        self.problems = [Problem(*each) for each in facts["problems"]]
        self.warnings = facts["warnings"]
        return self

    def __repr__(self) -> str:
        return f"<casevault.Imported, {self.imported} rows, {self.rejected} rejected, entry {self.entry}>"


class Duplicates(list[Pair]):
    """Pairs that may be one person, the likeliest first, under one entry of the log."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(sorted(facts["pairs"], key=lambda pair: -pair.score))
        self.entry: int = facts["entry"]
        self.basis: str = facts["basis"]
        self.records: int = facts["records"]
        self.found: int = facts["found"]
        self.unheard: list[str] = facts["unheard"]

    def __repr__(self) -> str:
        return f"<casevault.Duplicates, {self.found} pairs of {self.records} records, entry {self.entry}>"

    def _repr_html_(self) -> str:
        from ._show import html_table

        lines = [[each.a, each.b, f"{each.score:.2f}", "; ".join(each.because), "; ".join(each.against)] for each in self]
        return html_table(("a", "b", "score", "because", "against"), lines)


class Indicator(NamedTuple):
    """One indicator of a report: its table, or why there is none."""

    name: str
    titles: dict[str, str]
    table: Tabulation | None
    refused: str | None


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
        """Recomputes tree, commitments and signatures: `ok`, `size`, `root`, `entry` (the first bad one), `reason`, `warnings`.

        `anchor` is a signed checkpoint of earlier, which the log must contain."""
        return self._session.verify(anchor, callback_of(progress))

    def entries(self, start: int = 0, *, actor: str = "", subject: str | None = None, details: bool = False,
                limit: int | None = None) -> Entries:
        """Entries from `start` on, `limit` at most. `subject` and `details` need the audit compartment and leave an entry of their own."""
        if limit == 0:
            return Entries()
        return Entries(map(_timed, self._session.entries(start, actor, subject, details, limit or 0)))

    def prove(self, entry: int) -> str:
        """The receipt of an entry, for `verify_receipt`."""
        return self._session.prove(entry)

    def checkpoint(self) -> str:
        """A signed checkpoint of now: an anchor to keep elsewhere, for `verify` and `verify_checkpoint`."""
        return self._session.checkpoint()

    def __repr__(self) -> str:
        return "<casevault.Audit>"


class Keys:
    """Epochs of the compartments. Iterating gives `compartment`, `epoch`, `state`, `cells`, `indexes` of each."""

    def __init__(self, session: _casevault.Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._session.keys())

    def rotate(self, compartment: str) -> tuple[int, int, int]:
        """Opens the successor epoch: old epoch, new epoch, entry."""
        return self._session.rotate(compartment)

    def rotate_vault_key(self) -> int:
        """New vault key, log key and erasure root, for all who are in. Answers the entry."""
        return self._session.rotate_vault_key()

    def census(self) -> dict[str, Any]:
        """What lies under which epoch: `keys`, `old_cells`, `old_indexes`, and `entry`, the signed statement that nothing old is left."""
        return self._session.census()

    def retire(self, compartment: str, epoch: int) -> int:
        """Says in the log that an old epoch is empty for good. Answers the entry."""
        return self._session.retire_epoch(compartment, epoch)

    def destroy(self, compartment: str, epoch: int) -> int:
        """Ends an old epoch under which nothing is left, also for older copies. Answers the entry."""
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

    def schema(self) -> Schema:
        """The schema in force."""
        return self._session.schema()

    # records

    def records(self, type: str, *, after: str | None = None, limit: int | None = None) -> Iterator[Record]:
        """Metadata of the records of a type, in order of insertion; all of them, or `limit`."""
        while limit is None or limit > 0:
            page = _PAGE if limit is None else min(_PAGE, limit)
            found = self._session.records(type, page, after)
            yield from map(Record, found)
            if len(found) < page:
                return
            after = found[-1]["id"]
            limit = None if limit is None else limit - page

    def history(self, id: str) -> list[dict[str, Any]]:
        """Versions of a record: `version`, `entry`, `time`, `action`, `actor` of each."""
        return list(map(_timed, self._session.history(id)))

    def add(self, type: str, values: Mapping[str, str], *, searched: int | None = None) -> Written:
        """A new record. `searched`: the entry of a search that went before, for types whose schema wants one."""
        return Written(*self._session.add(type, list(values.items()), searched))

    def import_rows(self, type: str, rows: Iterable[Mapping[str, str]], *, dry_run: bool = False, skip_bad_rows: bool = False,
                    progress: Progress | Bar | None = None) -> Imported:
        """All rows or, when one is bad, none: that raises `BadInput`.

        With `skip_bad_rows` the good ones are written, with `dry_run` none; `problems` of the answer tells of the bad ones."""
        done = Imported(self._session.import_rows(type, [list(row.items()) for row in rows], dry_run, skip_bad_rows, callback_of(progress)))
        if done.rejected and not (dry_run or skip_bad_rows):
            first = done.problems[0]
            raise BadInput(f"{done.rejected} bad rows, nothing was written; row {first.row}, column {first.column}: {first.reason}")
        return done

    def update(self, id: str, values: Mapping[str, str], *, expect_version: int | None = None) -> Written:
        """Changes fields; an empty text empties one."""
        return Written(*self._session.update(id, list(values.items()), expect_version))

    def disclose(self, ids: Sequence[str], *, fields: Sequence[str], purpose: str, recipient: str, basis: str = "",
                 recipient_class: str = "") -> Disclosure:
        """The audited disclosure of single records: policy, then the entry, then values as `Secret`."""
        return self._session.disclose(_names(ids), _names(fields), purpose, basis, recipient, recipient_class)

    # people

    @overload
    def find(self, type: str, typed: Mapping[str, str], *, purpose: str, basis: str = "", loose: bool = False,
             limit: int = 100) -> Found: ...
    @overload
    def find(self, type: str, typed: Sequence[Mapping[str, str]], *, purpose: str, basis: str = "", loose: bool = False,
             limit: int = 100) -> list[Found]: ...

    def find(self, type: str, typed: Mapping[str, str] | Sequence[Mapping[str, str]], *, purpose: str, basis: str = "", loose: bool = False,
             limit: int = 100) -> Found | list[Found]:
        """The audited search: records whose fields hold what was typed, all of it; `loose` finds names in any order and spelling too.

        Several searches, as a list, share one entry and give a list. The entry is there, hit or miss, before an id is.

        >>> found = vault.find("person", {"full_name": "nguyen thi hoa"}, purpose="reception")  # doctest: +SKIP
        >>> [(hit.id, hit.match) for hit in found], found.count, found.entry                     # doctest: +SKIP
        """
        if isinstance(typed, Mapping):
            return self._session.find(type, [list(typed.items())], purpose, basis, loose, limit)[0]
        return self._session.find(type, [list(each.items()) for each in typed], purpose, basis, loose, limit)

    def duplicates(self, type: str, *, purpose: str, basis: str = "", min_score: float = 0.5,
                   found: Callable[[Pair], bool | None] | None = None, progress: Progress | Bar | None = None) -> Duplicates:
        """Pairs of records that may be about one person, scored and explained without values; nothing joins them but `merge`.

        `found` is called with each pair as it comes, instead of keeping it, and stops by answering False. `unheard` of the answer names
        fields that tell of a person and that this identity may not read."""
        return Duplicates(self._session.duplicates(type, purpose, basis, min_score, found, callback_of(progress)))

    def merge(self, a: str, b: str, *, reason: str, undo: bool = False) -> tuple[int, list[str]]:
        """Says that two records are about one person, or takes it back; both stay. Answers the entry, and all records of the first's person."""
        return self._session.merge(a, b, reason, undo)

    def same_person(self, id: str) -> list[str]:
        """All records that merges say to be about the person of this one, with it, oldest first."""
        return self._session.same_person(id)

    # tables and what may be published

    def table(self, type: str, *, columns: Sequence[str], purpose: str, basis: str = "", recipient: str = "", recipient_class: str = "",
              ids: bool = False, progress: Progress | Bar | None = None) -> Table:
        """Granted columns, exactly, for polars, pandas, pyarrow, duckdb or nanoarrow. Reading it is the disclosure."""
        return self._session.table(type, _names(columns), ids, purpose, basis, recipient, recipient_class, callback_of(progress))

    def tabulate(self, type: str, *, rows: str, columns: str = "", where: Where | None = None, era: str = "recorded",
                 min_cell: int | None = None, round_to: int | None = None, purpose: str = "statistics",
                 basis: str = "", recipient: str = "", name: str = "", progress: Progress | Bar | None = None) -> Tabulation:
        """A cross table in which no small cell shows, nor can be worked out. It is published: see the ledger.

        `min_cell` is that of the purpose unless it is greater; of a set of fewer records there is no table (`Refused`)."""
        return self._session.tabulate(type, rows, columns, _where(where), _era(era), _number(min_cell, "min_cell"),
                                      _number(round_to, "round_to"), purpose, basis, recipient, name, callback_of(progress))

    def indicators(self, start: str, end: str, *, names: Sequence[str] = (), era: str = "recorded", min_cell: int | None = None,
                   purpose: str = "statistics", basis: str = "", recipient: str = "",
                   progress: Progress | Bar | None = None) -> list[Indicator]:
        """The indicators that the schema declares, of a period (YYYY, YYYY-MM or YYYY-MM-DD, both ends in). Each is published, or says
        why it was refused."""
        given = [names] if isinstance(names, str) else list(names)
        return [Indicator(*each) for each in self._session.indicators(start, end, given, _era(era), _number(min_cell, "min_cell"), purpose, basis,
                                                                      recipient, callback_of(progress))]

    def release(self, type: str, *, columns: Sequence[str | Column], name: str, where: Where | None = None, k: int | None = None,
                distinct: int | None = None, star: bool = False, pseudonyms: bool = True, era: str = "recorded", purpose: str = "statistics", basis: str = "",
                recipient: str = "", recipient_class: str = "", progress: Progress | Bar | None = None) -> Release:
        """Rows that may be handed on. Of a plain field name dates leave as years, all else as it is; `Column` says how much coarser.

        `k` is min_cell of the purpose unless it is greater; `distinct` is 2 where a column is sensitive, which only fields can be that
        the schema calls so."""
        given = [columns] if isinstance(columns, str) else list(columns)
        if not all(isinstance(each, str | Column) for each in given):
            raise TypeError("columns are a list of texts and Column")
        made = [Column(each) if isinstance(each, str) else each for each in given]
        return self._session.release(type, [each._tuple() for each in made], _where(where), name, _number(k, "k"),
                                     _number(distinct, "distinct"), star, pseudonyms, _era(era), purpose, basis, recipient, recipient_class,
                                     callback_of(progress))

    def ledger(self) -> list[Budget]:
        """What was published, oldest first."""
        return [Budget(each) for each in self._session.ledger()]

    def record_budget(self, tool: str, *, epsilon: str, name: str, purpose: str = "statistics") -> int:
        """Records the privacy budget that a tool outside has spent. Answers the entry."""
        return self._session.record_budget(purpose, tool, name, epsilon)

    # keys and principals

    def reencrypt(self, compartment: str = "", *, rate: int = 0, index: bool = False, progress: Progress | Bar | None = None) -> dict[str, Any]:
        """Moves cells under old epochs to the current ones, while others work; may be stopped and called again.

        With `index` only the search indexes are built anew."""
        return self._session.reencrypt(compartment, rate, index, callback_of(progress))

    def principals(self) -> list[dict[str, Any]]:
        """Everybody the log vouches for: `name`, `role`, `unit`, `grants`, `may_grant`, `expires` (by compartment), `entry`, `revoked`."""
        found: list[dict[str, Any]] = self._session.principals()
        for who in found:
            who["expires"] = {compartment: _time(at) for compartment, at in who.pop("expires_ms").items()}
        return found

    def add_principal(self, name: str, *, public: str, role: str, grants: Sequence[str] = (), unit: str = "",
                      functional_roles: Sequence[str] = (), may_grant: bool = False, expires: datetime.datetime | None = None) -> str:
        """Certifies a principal; answers the invitation to hand over. From `expires` on its grants are refused."""
        return self._session.add_principal(name, public, role, unit, _names(functional_roles), _names(grants), may_grant,
                                           _milliseconds(expires))

    def grant(self, principal: str, compartments: Sequence[str], *, may_grant: bool = False, expires: datetime.datetime | None = None) -> int:
        """Grants compartments that this identity may grant. Answers the entry."""
        return self._session.grant(principal, _names(compartments), may_grant, _milliseconds(expires))

    def revoke_grant(self, principal: str, compartments: Sequence[str]) -> int:
        """Takes grants back, at once. Answers the entry."""
        return self._session.revoke_grant(principal, _names(compartments))

    def revoke(self, name: str) -> int:
        """Puts a principal out, at once. Answers the entry."""
        return self._session.revoke(name)

    def rekey(self, public: str) -> str:
        """Replaces this principal's keys by those of a new identity of the same name; this vault then opens with that one only.

        Answers the invitation for the new identity."""
        return self._session.rekey(public)

