"""A store looked at without its models, its lock or its program: rows as JSON objects, commits, and earlier states.

A directory, also beside the process that has it open; a snapshot file by itself, which has no past; or a backup.
What is secret is masked, as the header of the snapshot names it. Without a header that could name it, nothing
is shown.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel
from pydantic_core import from_json

from snaptable.changes.records import TimedCommit
from snaptable.contract import CommitSource
from snaptable.errors import HistoryGone
from snaptable.history.fields import Fields
from snaptable.history.moments import Moment, sequence_of
from snaptable.history.net_changes import NetChanges
from snaptable.history.records import Change, Commit, NetDifferences, typed_key
from snaptable.history.rewind import complete, former_json, touched
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.untyped import pages_of
from snaptable.runtime.clock import timestamp
from snaptable.schema.tables import TableSchema
from snaptable.secrets import masked
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.commits import JournalCommits
from snaptable.storage.journal.follower import JournalFollower, PlaceLost
from snaptable.storage.journal.format import GENESIS
from snaptable.storage.recovery import RecoveryResult
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.values.row_lines import find_line, line_start, row_json

Overlay = Mapping[tuple[str, str], bytes | None]
"""Rows that were otherwise at an earlier moment: their JSON then, None for none, by table and key."""


class NoHistory(HistoryGone):
    """A snapshot by itself: it has no past."""


@dataclass(frozen=True)
class TableFacts:
    """What is known of a table.

    Attributes:
        name: its name.
        rows: number of its rows.
        size: bytes of them; None of an earlier state.
        secret: the fields that are never shown.
        transient: whether it has no past.
    """

    name: str
    rows: int
    size: int | None
    secret: tuple[str, ...]
    transient: bool


@dataclass
class RawStore:
    """The rows of a store and its past, as JSON objects with secrets masked; made by `opened`.

    Attributes:
        path: where it is.
        recovery: the state on the disk.
        files: the directory of its journal; None for a snapshot by itself.
    """

    path: Path
    recovery: RecoveryResult
    files: Files | None
    _pages: Pages
    _marks: TableMarks
    _overlay: Overlay = field(default_factory=dict)
    _schemas: dict[str, TableSchema] = field(default_factory=dict)
    _shown_at: int | None = None

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def sequence(self) -> int:
        """The commit whose state it shows."""
        return self.recovery.sequence if self._shown_at is None else self._shown_at

    @property
    def is_past(self) -> bool:
        """Whether it is an earlier state."""
        return self._shown_at is not None

    @property
    def references(self) -> Mapping[str, Mapping[str, tuple[str, str]]]:
        """The foreign keys that the snapshot's header names: by table and field, the target and its `on_delete`."""
        return self._marks.references

    def tables(self) -> list[TableFacts]:
        """Return what is known of each table, in the order of the file; O(tables), O(n) of an earlier state."""
        return [
            TableFacts(
                name,
                sum(1 for _ in self._lines(name)) if self._overlay else len(pages),
                None if self._overlay else pages.size,
                tuple(self._marks.secret.get(name, ())),
                name in self._marks.transient,
            )
            for name, pages in self._pages.tables.items()
        ]

    def has_table(self, table: str) -> bool:
        """Return whether there is such a table."""
        return table in self._pages.tables

    def keys(self, table: str) -> list[str]:
        """Return the text of each key of a table, in the order of the file."""
        return [key for key, _ in self._lines(table)]

    def row(self, table: str, key: str) -> Fields | None:
        """Return the row of a key, None if there is none; O(page)."""
        if (table, key) in self._overlay:
            data = self._overlay[table, key]
            return None if data is None else self._masked(table, from_json(data))
        pages = self._pages.tables[table]
        page = pages._page_of.get(key)
        if page is None:
            return None
        start, data = line_start(key), page.render()
        place = find_line(data, start)
        assert place is not None
        return self._masked(table, from_json(data[place[0] + len(start) : place[1]]))

    def rows(self, table: str) -> Iterator[tuple[str, Fields]]:
        """Yield key and row of a table, in the order of the file; O(n), parsed in C."""
        for key, row in self._lines(table):
            yield key, self._masked(table, row)

    def _lines(self, table: str) -> Iterator[tuple[str, Fields]]:
        overlay = {key: row for (name, key), row in self._overlay.items() if name == table}
        for page in self._pages.tables[table]:
            for key, row in from_json(b"{" + page.render() + b"}").items():
                if key not in overlay:
                    yield key, row
                elif (former := overlay.pop(key)) is not None:
                    yield key, from_json(former)
        yield from ((key, from_json(row)) for key, row in overlay.items() if row is not None)

    def _masked(self, table: str, row: Fields) -> Fields:
        secrets = self._marks.secret.get(table, ())
        return masked(row, secrets) if secrets else row

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def source(self) -> CommitSource:
        """The commits that are kept.

        Raises:
            NoHistory: it is a snapshot by itself.
        """
        if self.files is None:
            raise NoHistory(f"{self.path} is a snapshot by itself: it has no history", first=self.recovery.sequence)
        source = JournalCommits(self.files, lambda: self.recovery.sequence)
        source.store = self.recovery.store or ""
        return source

    def sequence_of(self, moment: Moment | CommitsAgo) -> int:
        """Return the sequence that a moment means; raises as `History.at`."""
        if self.files is None and moment == self.recovery.sequence:
            return self.recovery.sequence
        source = self.source
        return sequence_of(source.sequence - moment.count if isinstance(moment, CommitsAgo) else moment, source)

    def at(self, moment: Moment | CommitsAgo) -> "RawStore":
        """Return the state at a moment, as it was written then; O(commits since).

        Raises:
            ValueError, HistoryGone: as `History.at`.
        """
        sequence = self.sequence_of(moment)
        overlay: dict[tuple[str, str], bytes | None] = {}
        transient = set(self._marks.transient)
        tables = set(self._pages.tables) - transient
        if sequence != self.recovery.sequence:
            past = touched(self.source, sequence, self.recovery.sequence, as_written=True)
            overlay = {
                (table, str(key)): former_json(oldest)
                for (table, key), (oldest, _) in past.items()
                if table not in transient
            }
            tables |= {table for table, _ in overlay}
        pages = Pages([name for name in dict.fromkeys((*self._pages.tables, *sorted(tables))) if name in tables])
        pages.tables.update({name: self._pages.tables[name] for name in tables if name in self._pages.tables})
        pages.numbered, pages.migrations = self._pages.numbered, self._pages.migrations
        return RawStore(self.path, self.recovery, self.files, pages, self._marks, overlay, self._schemas, sequence)

    def commits(
        self,
        table: str | None = None,
        key: str | None = None,
        *,
        since: Moment | CommitsAgo | None = None,
        until: Moment | CommitsAgo | None = None,
        actor: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Commit]:
        """Return an iterator over commits, the newest first; as `History.commits`, but for what no model says."""
        source = self.source
        after = source.first if since is None else self.sequence_of(since)
        last = source.sequence if until is None else self.sequence_of(until)
        commits = source.newest_first(after, last, key)
        shown = (self.shown(timed) for timed in commits if actor is None or timed.record.actor == actor)
        matching = (commit for commit in shown if not commit.is_hidden and commit.touches(table, key))
        return islice(matching, limit)

    def commit(self, sequence: int) -> Commit | None:
        """Return one commit, None if it isn't kept; O(segment)."""
        return next((self.shown(timed) for timed in self.source.oldest_first(sequence - 1, sequence)), None)

    def shown(self, timed: TimedCommit) -> Commit:
        """Return a commit as people see it."""
        for table in {place.table for place in timed.record.places}:
            self.schema(table)
        return Commit.of(timed, self._schemas)

    def schema(self, table: str) -> TableSchema:
        """Return what stands for the schema of a table: its key's type by its rows, what is secret by the header."""
        if table not in self._schemas:
            secrets = frozenset(self._marks.secret.get(table, ()))
            transient = table in self._marks.transient
            kind = int if self._has_numbers_for_keys(table) else str
            name = self.key_field(table) or "id"
            self._schemas[table] = TableSchema(
                table, BaseModel, name, kind, numbered=False, secrets=secrets, transient=transient
            )
        return self._schemas[table]

    def key_field(self, table: str) -> str | None:
        """Return the field that holds the key, by the first row; None if the table is empty, or no field does."""
        first = self._first(table)
        if first is None:
            return None
        key, row = first
        names = [name for name, value in row.items() if str(value) == key and isinstance(value, str | int)]
        return "id" if "id" in names else next(iter(names), None)

    def _has_numbers_for_keys(self, table: str) -> bool:
        first, name = self._first(table), self.key_field(table)
        return first is not None and name is not None and type(first[1][name]) is int

    def _first(self, table: str) -> tuple[str, Fields] | None:
        if table not in self._pages.tables:
            return None
        page = next(iter(self._pages.tables[table]), None)
        return None if page is None else next(iter(from_json(b"{" + page.render() + b"}").items()), None)

    def changes_to(self, other: "RawStore", tables: Collection[str] | None = None) -> Iterator[Change]:
        """Yield the rows in which another state differs, by table; O(commits between), O(n) for another store."""
        names = [
            name
            for name in dict.fromkeys((*self._pages.tables, *other._pages.tables))
            if name not in self._marks.transient and (tables is None or name in tables)
        ]
        if self.recovery is other.recovery:
            yield from self._changes_between(other, names)
            return
        for name in names:
            schema = self.schema(name)
            old, new = (dict(each._lines(name)) if each.has_table(name) else {} for each in (self, other))
            for key in dict.fromkeys((*old, *new)):
                if old.get(key) != new.get(key):
                    change = Change.of(schema, typed_key(schema, key), old.get(key), new.get(key))
                    if change.changed:
                        yield change

    def _changes_between(self, other: "RawStore", names: Collection[str]) -> Iterator[Change]:
        first, last = sorted((self.sequence, other.sequence))
        commits, backward = complete(self.source, first, last), self.sequence > other.sequence
        nets = NetChanges(commits, names, backward=backward, as_written=True)
        return NetDifferences(nets, {name: self.schema(name) for name in names}).changes()

    def snapshot_of(self, rows: Mapping[str, Mapping[str, Fields]]) -> bytes:
        """Return some rows, as they are given, as a snapshot that their program opens; it has no past. O(rows).

        Raises:
            HistoryGone: which migrations an earlier state had seen isn't kept.
        """
        written = {table: {key: row_json(row) for key, row in of_table.items()} for table, of_table in rows.items()}
        later = set()
        if self.is_past:
            commits = self.source.newest_first(self.sequence, self.recovery.sequence)
            later = {name for timed in commits for name in timed.record.named_migrations}
        seen = [name for name in self._pages.migrations if name not in later]
        pages = pages_of(written, self._pages.numbered, seen)
        header = SnapshotHeader(
            self.recovery.store or str(uuid4()), self.sequence, timestamp(), pages.counts(), GENESIS,
            dict(pages.numbered), tuple(seen), marks=self._marks,
        )  # fmt: skip
        return b"".join(snapshot_format.compose(header, pages.render()))

    # ── as it happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, wait: Callable[[], object]) -> Iterator[Commit]:
        """Yield each commit that another process makes from now on; O(new bytes) a look.

        Args:
            wait: called when there is nothing new; raises to end it.

        Raises:
            NoHistory: it is a snapshot by itself.
            HistoryGone: the files were put back, repaired or purged: what followed isn't known.
        """
        source, recovery = self.source, self.recovery
        assert self.files is not None
        if recovery.store is None:
            raise NoHistory(f"{self.path} has no commit yet")
        follower = JournalFollower(self.files, recovery.store, recovery.sequence, recovery.head_digest)
        while True:
            try:
                frames, follower = follower.advanced()
            except PlaceLost:
                raise HistoryGone(
                    f"{self.path} does not go on from commit {follower.sequence}: files were put back, migrated, "
                    f"purged or pruned; begin again",
                    first=source.first,
                ) from None
            for frame in frames:
                for record in frame.commits:
                    commit = self.shown(TimedCommit(frame.at, record))
                    if not commit.is_hidden:
                        yield commit
            if not frames:
                wait()
