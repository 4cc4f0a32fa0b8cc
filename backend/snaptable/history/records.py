"""Commit, Change, Diff, Revert: the past as people are shown it."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Protocol

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Key, Kind, Place, PurgedChange, TimedCommit
from snaptable.errors import Conflict
from snaptable.history.fields import Fields, differing
from snaptable.history.net_changes import NetChanges
from snaptable.history.rewind import former_row
from snaptable.schema.tables import TableSchema
from snaptable.secrets import masked

SIGNS: dict[str, str] = {"insert": "+", "replace": "~", "delete": "-"}


@dataclass(frozen=True)
class Change:
    """What happened to a row; secrets are shown as `••••`.

    Attributes:
        table, key: the row.
        kind: "insert", "replace" or "delete".
        before: the row before, as a JSON object; None if there was none.
        after: the row after; None if there is none.
        changed: the names of the fields that differ, secrets among them.
        purged: whether only that it happened is known: what the row was is erased.
    """

    table: str
    key: Key
    kind: Kind
    before: Fields | None
    after: Fields | None
    changed: tuple[str, ...]
    purged: bool = False

    @classmethod
    def between(cls, schema: TableSchema, key: Key, before: bytes | None, after: bytes | None) -> "Change | None":
        """Return the change from one state of a row, as JSON, to another; None if they say the same."""
        if before == after:
            return None
        old = None if before is None else json.loads(before)
        new = None if after is None else json.loads(after)
        if old is not None and new is not None and not differing(old, new):
            return None
        return cls.of(schema, key, old, new)

    @classmethod
    def of(cls, schema: TableSchema, key: Key, old: Fields | None, new: Fields | None) -> "Change":
        """Return the change from one state of a row to another."""
        kind: Kind = "insert" if old is None else "delete" if new is None else "replace"
        changed = tuple(differing(old or {}, new or {}))
        before, after = (None if row is None else masked(row, schema.secrets) for row in (old, new))
        return cls(schema.name, key, kind, before, after, changed)

    @property
    def fields(self) -> dict[str, tuple[object, object]]:
        """The fields that differ, each with its value before and after; None where there is none."""
        old, new = self.before or {}, self.after or {}
        return {name: (old.get(name), new.get(name)) for name in self.changed}

    def __str__(self) -> str:
        line = f"{SIGNS[self.kind]} {self.table} {self.key}{'   (purged)' * self.purged}"
        if self.kind != "replace":
            return line
        return line + "".join(f"   {name} {_shown(old)} → {_shown(new)}" for name, (old, new) in self.fields.items())


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


@dataclass(frozen=True)
class Commit:
    """A transaction that was committed.

    Attributes:
        sequence: its number.
        at: when, in UTC; never before the commit before it.
        actor: who made it; None if nothing said so.
        note: why; None likewise.
        via: by which way; None likewise.
        undoes: the commits that it took back.
        migrations: the migrations that it applied.

    What it changed is decoded when it is asked for: a commit may hold the rows of a whole import.
    """

    sequence: int
    at: datetime
    actor: str | None
    note: str | None
    via: str | None
    undoes: tuple[int, ...]
    migrations: tuple[str, ...]
    _record: CommitRecord
    _schemas: Mapping[str, TableSchema]
    _part: tuple[ChangeRecord, ...] | None = None
    """The changes that are shown of it; None for all."""

    @classmethod
    def of(cls, timed: TimedCommit, schemas: Mapping[str, TableSchema]) -> "Commit":
        """Return a commit as people see it, without what it did to transient tables."""
        record, by = timed.record, timed.record.attribution
        at = datetime.fromisoformat(timed.at)
        actor, note, via = (by.actor, by.note, by.via) if by else (None, None, None)
        return cls(record.sequence, at, actor, note, via, record.undoes, record.migrations, record, schemas)

    @cached_property
    def is_hidden(self) -> bool:
        """Whether it changed rows of transient tables alone, which have no past."""
        first = self._record.first_table
        if first is None or first not in self._transient or self.migrations:
            return False
        return all(place.table in self._transient for place in self._record.places)

    @property
    def _transient(self) -> frozenset[str]:
        return frozenset([name for name, schema in self._schemas.items() if schema.transient])

    @cached_property
    def _records(self) -> tuple[ChangeRecord, ...]:
        if self._part is not None:
            return self._part
        transient = self._transient
        return tuple([change for change in self._record.changes if change.table not in transient])

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Which rows it changed, and how, by the text of their keys; quicker than `changes`, where there are many."""
        transient = self._transient
        return tuple([place for place in self._record.places if place.table not in transient])

    def only(self, table: str, key: object) -> "Commit":
        """Return the commit with its changes to one row alone, which alone are decoded."""
        return replace(self, _part=self._record.changes_to(table, str(key)))

    def beginning(self, tables: Collection[str], most: int) -> "Commit":
        """Return the commit with its first changes to rows of some tables alone."""
        shown = set(tables) - self._transient
        return replace(self, _part=self._record.first_changes(shown, most))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What it changed, each row once; rows of tables that the models don't have any more are left out."""
        return tuple(_change_of(record, self._schemas[record.table]) for record in self._records if self._knows(record))

    @property
    def size(self) -> int:
        """About how many bytes of JSON its changes are; O(changes)."""
        rows = (getattr(record, name, None) or b"" for record in self._records for name in ("row", "before"))
        return sum(map(len, rows))

    def _knows(self, record: ChangeRecord) -> bool:
        return record.table in self._schemas

    def touches(self, table: str | None, key: object = None) -> bool:
        """Return whether it changed a row of a table, or the row of a key there; O(bytes) of a search."""
        if table is None or key is None:
            return table is None or self._record.has_table(table)
        return bool(self._record.changes_to(table, str(key)))

    def __str__(self) -> str:
        head = f"#{self.sequence}  {self.at:%Y-%m-%d %H:%M:%S}"
        head += "".join(f"  {text}" for text in (self.actor, self.via) if text)
        head += f'  "{self.note}"' if self.note else ""
        return "\n".join([head, *(f"  {change}" for change in self.changes)])

    def __repr__(self) -> str:
        return f"<Commit {self.sequence}: {len(self.places if self._part is None else self._part)} changes>"


def _change_of(record: ChangeRecord, schema: TableSchema) -> Change:
    if isinstance(record, PurgedChange):
        return Change(schema.name, typed_key(schema, record.key), record.kind, None, None, (), purged=True)
    after = None if isinstance(record, Delete) else json.loads(record.row)
    return Change.of(schema, typed_key(schema, record.key), former_row(record), after)


def typed_key(schema: TableSchema, key: Key) -> Key:
    """Return a key of the table's type; the journal has its text. A text that is none, of other models, stays one."""
    if not isinstance(key, str):
        return key
    try:
        return schema.parse_key(key)
    except ValueError:
        return key


class Differences(Protocol):
    """Rows that differ, of which some may not be read yet."""

    def __len__(self) -> int: ...

    def counts(self) -> Mapping[tuple[str, Kind], int]:
        """Return how many there are by table and kind."""

    def changes(self, most: int | None = None, tables: Collection[str] | None = None) -> Iterator[Change]:
        """Read them; the first ones only, or those of some tables."""


class ReadDifferences(tuple[Change, ...]):
    """Differences that were read already."""

    __slots__ = ()

    def counts(self) -> Mapping[tuple[str, Kind], int]:
        """Return how many there are by table and kind; O(n)."""
        return Counter((change.table, change.kind) for change in self)

    def changes(self, most: int | None = None, tables: Collection[str] | None = None) -> Iterator[Change]:
        """Yield them."""
        return islice((change for change in self if tables is None or change.table in tables), most)


class NetDifferences:
    """Differences that are read from commits when they are asked for."""

    def __init__(self, nets: NetChanges, schemas: Mapping[str, TableSchema]) -> None:
        self._nets, self._schemas, self.counts = nets, schemas, nets.counts

    def __len__(self) -> int:
        return len(self._nets)

    def changes(self, most: int | None = None, tables: Collection[str] | None = None) -> Iterator[Change]:
        """Yield them, some read at a time."""
        for table, key, old, new in self._nets.states(most, tables):
            schema = self._schemas[table]
            yield Change.of(schema, typed_key(schema, key), old, new)


class Diff:
    """The rows in which two states differ; iterates over changes, from the first state to the second.

    Which rows they are, and what happened to them, is known at once. What was in them is read as it is asked for: once
    for all of `changes`, each time by an iteration and by `first`.
    """

    def __init__(self, differences: Differences) -> None:
        self._differences = differences

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """All changes; O(their bytes) at the first use."""
        return tuple(self._differences.changes())

    def __iter__(self) -> Iterator[Change]:
        """Iterate over the changes; as many are read as are asked for, some at a time."""
        return iter(vars(self).get("changes") or self._differences.changes())

    def __len__(self) -> int:
        """Return the number of rows that differ; O(1)."""
        return len(self._differences)

    def first(self, most: int, tables: Collection[str] | None = None) -> tuple[Change, ...]:
        """Return the first changes, of rows of some tables if these are named; they alone are read.

        >>> db.history.diff(0).first(1)[0].key
        'ann'
        """
        return tuple(self._differences.changes(most, tables))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many rows differ, by table and kind; tables without any are left out. O(rows), none of which is read."""
        counts: dict[str, dict[str, int]] = {}
        for (table, kind), count in self._differences.counts().items():
            counts.setdefault(table, {"insert": 0, "replace": 0, "delete": 0})[kind] = count
        return counts

    def __repr__(self) -> str:
        return f"<Diff: {len(self)} row{'s' * (len(self) != 1)}>"

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no differences"


@dataclass(frozen=True)
class Revert:
    """What an undo, a restore or a merge did, or would do.

    Attributes:
        changes: the rows that it changes.
        conflicts: what is, or was overridden, in the way.
        commit: the sequence of its commit; None in a dry run, inside a transaction, and if there was nothing to do.
    """

    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    commit: int | None

    def __str__(self) -> str:
        counts = {kind: sum(change.kind == kind for change in self.changes) for kind in SIGNS}
        lines = [f"removes {counts['delete']}, puts back {counts['insert']}, changes {counts['replace']}"]
        return "\n".join([*lines, *(f"conflict: {conflict}" for conflict in self.conflicts)])
