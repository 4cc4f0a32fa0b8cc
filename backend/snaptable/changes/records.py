"""Insert, Replace, Delete, CommitRecord: what happened, in the form that is journalled, replayed, diffed and published.

Engine-neutral: a row is its JSON, on one line, as the codec wrote it. None of these is changed once it is made; they
are not frozen because a frozen dataclass takes three times as long to make, and each commit makes two.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Literal, NamedTuple

from snaptable.changes.attribution import Attribution

Kind = Literal["insert", "replace", "delete"]
Key = Any
"""A primary key, or its text if the model is not known: whatever carries changes does not look at it."""


AUTOMATIC = "automatic: "
"""How the name begins, under which a commit's `migrations` has what an opening filled in by itself."""


@dataclass(slots=True)
class Insert:
    """A row that wasn't there."""

    table: str
    key: Key
    row: bytes


@dataclass(slots=True)
class Replace:
    """A row in the place of the one with the same key.

    Attributes:
        table, key: the row.
        row: its JSON.
        before: a JSON object with the former values of the fields that differ; None in a journal written before
            changes remembered what was there.
        added: the fields that the row before did not have.
    """

    table: str
    key: Key
    row: bytes
    before: bytes | None = None
    added: tuple[str, ...] = ()


@dataclass(slots=True)
class Delete:
    """A row that is gone; `before` is its JSON, None in a journal written before changes remembered what was there."""

    table: str
    key: Key
    before: bytes | None = None


@dataclass(slots=True)
class PurgedChange(Delete):
    """A change of which history keeps that it happened, not what was in the row.

    Its row is in no state any more: to whoever replays or reverts it, it is a deletion of a row that may be gone.
    """

    kind: Kind = "delete"


ChangeRecord = Insert | Replace | Delete


PlainChange = Mapping[str, Any]
"""A change as the journal has it, parsed: `{"replace": table, "key": …, "row": {…}, "before": {…}, "added": […]}`."""


PlainCommit = Mapping[str, Any]
"""A commit as the journal has it, parsed: `{"sequence": …, "changes": […], …}`."""


class Place(NamedTuple):
    """Which row a change is of, and what happened to it; not what is in the row."""

    kind: Kind
    table: str
    key: str
    """The key's text."""
    purged: bool = False
    """Whether only that it happened is known."""


ErasedKeys = Mapping[str, Mapping[str, int]]
"""What was purged: by table, the digest of each key, and the last commit of which its content was erased."""


def key_digest(store: str, table: str, key: Key) -> str:
    """Return what stands for a purged key in lists that must not name it: 32 hex digits, other ones in each store."""
    return blake2b(f"{table}\0{key}".encode(), key=store.encode()[:64], digest_size=16).hexdigest()


@dataclass(frozen=True)
class FillIn:
    """A row that loading completed or changed: its models have, or spell, more than its file did.

    Attributes:
        table, key: the row.
        row: its JSON, as it is now.
        before: a JSON object with the former values of the changed fields.
        added: the fields that the file did not have.
        changed: those that the models write otherwise.
        invented: the fields among them that may get another value each time: by a default factory, or a validator.
    """

    table: str
    key: Key
    row: bytes
    before: bytes
    added: tuple[str, ...]
    changed: tuple[str, ...]
    invented: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimedCommit:
    """A commit as it is remembered, with its time in UTC as files spell it."""

    at: str
    record: "CommitRecord"


@dataclass(slots=True)
class CommitRecord:
    """A transaction's net changes under one sequence number.

    Attributes:
        sequence: 1, 2, 3, …, without gaps.
        changes: each row that it changed, once.
        numbered: the last number given out, by table that numbers its keys, if this commit moved it.
        attribution: who made it, and why; None if nothing says so.
        undoes: the commits that it takes back.
        migrations: the names of the migrations that it applied; or, beginning with `AUTOMATIC`, what was filled in.
        erased: the keys whose content was erased from the commits before it; None for none.
    """

    sequence: int
    changes: tuple[ChangeRecord, ...]
    numbered: Mapping[str, int]
    attribution: Attribution | None = None
    undoes: tuple[int, ...] = ()
    migrations: tuple[str, ...] = ()
    erased: ErasedKeys | None = None

    def __eq__(self, other: object) -> bool:
        """Return whether another commit says the same, however it is kept."""
        if not isinstance(other, CommitRecord):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in CommitRecord.__slots__)

    @property
    def actor(self) -> str | None:
        """Who made it; None if nothing says so."""
        return self.attribution.actor if self.attribution is not None else None

    def changes_to(self, table: str, key: str) -> tuple[ChangeRecord, ...]:
        """Return the changes to the row of a key, given as text."""
        return tuple([change for change in self.changes if change.table == table and str(change.key) == key])

    def has_table(self, table: str) -> bool:
        """Return whether it changed a row of a table."""
        return any(change.table == table for change in self.changes)

    @property
    def first_table(self) -> str | None:
        """The table of its first change; None without changes."""
        return self.changes[0].table if self.changes else None

    @property
    def places(self) -> tuple[Place, ...]:
        """Which rows it changed, and how."""
        return tuple(
            [
                Place(_kind_of(change), change.table, str(change.key), isinstance(change, PurgedChange))
                for change in self.changes
            ]
        )

    def rows(self) -> Iterator[tuple[Kind, str, str, bool]]:
        """Yield `places` one by one, as plain tuples: quicker, where there are very many."""
        return map(tuple, self.places)  # type: ignore[arg-type]

    def plain_at(self, numbers: Sequence[int]) -> list[PlainChange]:
        """Return some of its changes as JSON objects, by their numbers in `places`; O(their bytes)."""
        return [_plain(self.changes[number]) for number in numbers]

    def first_changes(self, tables: Collection[str], most: int) -> tuple[ChangeRecord, ...]:
        """Return its first changes to rows of some tables, a number of them at most."""
        return tuple(islice((change for change in self.changes if change.table in tables), most))

    @property
    def named_migrations(self) -> tuple[str, ...]:
        """The migrations that it applied, without what was filled in by itself."""
        return tuple(name for name in self.migrations if not name.startswith(AUTOMATIC))

    @property
    def is_automatic(self) -> bool:
        """Whether it is what an opening filled in by itself."""
        return bool(self.migrations) and not self.named_migrations


def _plain(change: ChangeRecord) -> PlainChange:
    plain: dict[str, Any] = {_kind_of(change): change.table, "key": change.key}
    if isinstance(change, PurgedChange):
        return plain | {"row": None, "purged": True}
    if not isinstance(change, Delete):
        plain["row"] = json.loads(change.row)
    if not isinstance(change, Insert) and change.before is not None:
        plain["before"] = json.loads(change.before)
    if isinstance(change, Replace) and change.added:
        plain["added"] = change.added
    return plain


def _kind_of(change: ChangeRecord) -> Kind:
    if isinstance(change, PurgedChange):
        return change.kind
    return "insert" if isinstance(change, Insert) else "delete" if isinstance(change, Delete) else "replace"
