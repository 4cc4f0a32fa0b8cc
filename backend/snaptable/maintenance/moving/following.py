"""A directory's journal, applied to PostgreSQL commit by commit while another process writes it.

The database says which commit it has come to, and that moves in the transaction that applies the commits: whatever is
killed, and whenever, each is applied exactly once. Only what is on the source's disk is applied: a line that can be
read may not be synced yet, and a power cut would take it from the source alone. So it is synced first.

connect → read the place → read frames → sync them → apply a batch, and move the place → …
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from psycopg import Cursor, Error
from pydantic import BaseModel

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, Key, Replace
from snaptable.codec import Codec
from snaptable.database.database import Database
from snaptable.errors import InvalidRow, OpenError, SchemaMismatch, StoreLocked, Unavailable
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.moving.steps import Report
from snaptable.maintenance.moving.target import Target
from snaptable.postgres.layout.catalog import read_catalog
from snaptable.postgres.layout.column import Unstorable
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.names import COMMITS, SOURCE, name_of, quoted
from snaptable.postgres.past import RecordedCommits
from snaptable.postgres.server.connections import Session
from snaptable.postgres.server.failures import as_own, is_lost
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import follower as journal_follower
from snaptable.storage.journal.follower import JournalFollower, PlaceLost
from snaptable.storage.journal.format import Frame, encode_commit

MOST_COMMITS = 200
"""That one transaction applies, about: more gain little, and are lost together."""
POLL_SECONDS = 0.05
RETRY_SECONDS = (0.1, 5.0)
"""Between two attempts to reach the server: at first, and at most."""


class PlaceGone(OpenError):
    """A journal that doesn't lead on from where the database is; it must be moved to again, empty."""


@dataclass(frozen=True)
class Place:
    """Where in the source's journal a database is."""

    store: str
    sequence: int
    digest: str


@dataclass
class Following:
    """How far following has come.

    Attributes:
        sequence: the last commit that was applied.
        commits: how many were applied by this call.
        is_closed: whether the source was closed in order behind it.
    """

    sequence: int
    commits: int = 0
    is_closed: bool = False


def follow(
    source: str | os.PathLike[str],
    url: str,
    *,
    schema: type[Database],
    stop: Callable[[bool], bool],
    report: Report | None = None,
) -> Following:
    """Apply what a process commits to a directory to the database that it was moved to, until told to stop.

    A server that goes away is waited for.

    Args:
        source: the directory.
        url: the database, which `move` filled.
        schema: the models.
        stop: asked, whenever nothing is left to be applied and while the server is away, with whether the source was
            closed in order.
        report: told of the commits that were applied.

    Raises:
        PlaceGone: the journal doesn't lead on from there: files were pruned or put back, or the models changed.
        SchemaMismatch: a row doesn't fit the models, or is not in the database as the journal says.
        OpenError: the directory can't be read, or the database was not moved to.
    """
    follower = _Follower(StoreDirectory(os.fspath(source)), url, schema, report or Report())
    wait = RETRY_SECONDS[0]
    while True:
        try:
            return follower.run(stop)
        except Unavailable:
            if stop(False):  # noqa: FBT003 - not known
                raise
            time.sleep(wait)
            wait = min(wait * 2, RETRY_SECONDS[1])


class _Follower:
    """One directory, followed into one database."""

    def __init__(self, directory: StoreDirectory, url: str, models: type[Database], report: Report) -> None:
        self._directory, self._url, self._models, self._report = directory, url, models, report
        self._commits = 0
        self._closed_at: journal_follower.Place | None = None
        """The mark of a clean close behind which no process had the source open."""

    def run(self, stop: Callable[[bool], bool]) -> Following:
        """Follow over one connection."""
        try:
            with Target(self._url, self._models) as target:
                return self._run(target, stop)
        except Error as error:
            raise as_own(error) from None
        except OpenError as error:
            if isinstance(error.__context__, Error) and is_lost(error.__context__):
                raise Unavailable(str(error)) from None
            raise

    def _run(self, target: Target, stop: Callable[[bool], bool]) -> Following:
        tables = {name: _TableWriter(name, columns, target) for name, columns in target.columns.items()}
        place = read_place(target)
        files = self._directory.files
        follower = JournalFollower(files, place.store, place.sequence, place.digest)
        while True:
            before = follower
            try:
                frames, follower = before.advanced()
            except PlaceLost:
                if not before.sequence and not journal_directory.segments(files):  # it has no commit yet
                    if stop(False):  # noqa: FBT003 - it is not closed
                        return Following(0)
                    time.sleep(POLL_SECONDS)
                    continue
                raise PlaceGone(
                    f"{self._directory.root}: the journal doesn't lead on from commit {before.sequence}, which the "
                    "database has: files were pruned or put back, or the models changed; move to an empty schema again"
                ) from None
            self._sync(frames, before.sequence)
            for batch in _batches(frames):
                place = _apply(target, tables, batch, place)
                self._commits += sum(len(frame.commits) for frame in batch)
                self._report.done(sum(len(frame.commits) for frame in batch))
            if frames:
                continue
            is_closed = self._is_closed(follower)
            if stop(is_closed):
                return Following(place.sequence, self._commits, is_closed)
            time.sleep(POLL_SECONDS)

    def _is_closed(self, follower: JournalFollower) -> bool:
        """Return whether the source was closed in order; its lock, which a program that starts needs, is tried once."""
        if follower.place is None or not follower.place.closed:
            return False
        if self._closed_at != follower.place and self._is_unlocked():
            self._closed_at = follower.place
        return self._closed_at == follower.place

    def _is_unlocked(self) -> bool:
        """Return whether no process has the source open: the mark of a clean close stands until the next commit."""
        try:
            with self._directory.locked():
                return True
        except StoreLocked:
            return False

    def _sync(self, frames: Sequence[Frame], after: int) -> None:
        """Sync the files that hold frames: the process that wrote them may not have yet."""
        if not frames:
            return
        files = self._directory.files
        for first, following in journal_directory.spans(files):
            if first <= frames[-1].last and (following is None or following > after + 1):
                descriptor = os.open(files.path(journal_directory.path_of(first)), os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def is_moved(url: str, models: type[Database]) -> bool:
    """Return whether a database was moved to before, and so can follow.

    Raises:
        OpenError: it can't be reached.
    """
    with Target(url, models) as target:
        try:
            return SOURCE in read_catalog(target.session.ask).tables
        except Error as error:
            raise as_own(error) from None


def read_place(target: Target) -> Place:
    """Return where in its source's journal a database is; a commit that a lost connection began is waited for.

    Raises:
        OpenError: it was not moved to.
    """
    ask = target.session.ask
    if SOURCE not in read_catalog(ask).tables:
        raise OpenError("the database was not filled by `snaptable move`, and follows nothing")
    ((store, sequence, digest),) = ask(f"select store, sequence, digest from {SOURCE} for update")
    return Place(store, sequence, digest)


def _batches(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    count = 0
    for frame in frames:
        batch.append(frame)
        count += len(frame.commits)
        if count >= MOST_COMMITS:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _apply(target: Target, tables: Mapping[str, "_TableWriter"], frames: Sequence[Frame], place: Place) -> Place:
    """Apply frames in one transaction, with the move of the place; return the place behind them.

    Raises:
        OpenError: another process follows too.
        SchemaMismatch: the database is not as the journal says.
    """
    after = Place(place.store, frames[-1].last, frames[-1].digest)
    session = target.session
    with session.transaction():
        moved = session.execute(
            f"update {SOURCE} set sequence = %s, digest = %s, at = clock_timestamp() "
            f"where store = %s and sequence = %s and digest = %s".encode(),
            [after.sequence, after.digest, place.store, place.sequence, place.digest],
        )
        if moved.rowcount != 1:
            raise OpenError("another process follows the same source into this database")
        numbers: dict[str, int] = {}
        checks: list[Check] = []
        with session.pipeline():
            for frame in frames:
                for commit in frame.commits:
                    checks += _bring(target, tables, commit)
                    _keep(target, frame, commit)
                    numbers.update(commit.numbered)
        for check in checks:
            check()
        for commit in (each for frame in frames for each in frame.commits):
            _erase(session, place.store, commit)
        target.renew_revisions()
        target.set_commits(after.sequence)
        for name, last in numbers.items():
            target.session.tell(f"select setval('{tables[name].numbers}', {last})")
    return after


Check = Callable[[], None]
"""Raises SchemaMismatch if a statement did not touch the rows that it was to; to be called once it is done."""


def _bring(target: Target, tables: Mapping[str, "_TableWriter"], commit: CommitRecord) -> list[Check]:
    """Begin to make the changes of a commit; return what checks them.

    What goes, goes last, and in one statement: the server's own `on delete` finds nothing left to do then.
    """
    checks: list[Check] = []
    for change in commit.changes:
        if change.table not in tables:
            raise SchemaMismatch(f"the journal holds rows of {change.table}, which the models don't have")
        if not isinstance(change, Delete):
            cursor = tables[change.table].write(change)
            checks.append(partial(_check_one, commit, change, cursor))
    going: dict[str, list[object]] = {}
    for change in commit.changes:
        if isinstance(change, Delete):
            going.setdefault(change.table, []).append(tables[change.table].key(change))
    if going:
        parts = [tables[name].deletion(f"d{number}") for number, name in enumerate(going)]
        counts = " + ".join(f"(select count(*) from d{number})" for number in range(len(going)))
        sql = f"with {', '.join(parts)} select {counts}".encode()
        cursor = target.session.execute(sql, list(going.values()))
        checks.append(partial(_check_gone, commit, sum(map(len, going.values())), cursor))
    return checks


def _check_one(commit: CommitRecord, change: ChangeRecord, cursor: "Cursor[tuple[object, ...]]") -> None:
    if cursor.rowcount != 1:
        raise SchemaMismatch(
            f"{change.table}[{change.key!r}] is not in the database as before commit {commit.sequence}: something else "
            "has written there"
        )


def _check_gone(commit: CommitRecord, count: int, cursor: "Cursor[tuple[object, ...]]") -> None:
    if cursor.fetchone() != (count,):
        raise SchemaMismatch(
            f"rows that commit {commit.sequence} deletes are not in the database: something else has written there"
        )


def _keep(target: Target, frame: Frame, commit: CommitRecord) -> None:
    """Write the record of a commit under its own number, so that history and followers go on with it."""
    changes = tuple(change for change in commit.changes if not target.codecs[change.table].schema.transient)
    if changes or commit.erased is not None:
        record = encode_commit(replace(commit, sequence=0, changes=changes, numbered={})).decode()
        target.session.execute(
            f"insert into {COMMITS} (sequence, at, record) overriding system value "
            f"values (%s, %s::timestamptz, %s::json)".encode(),
            [commit.sequence, frame.at, record],
        )


def _erase(session: Session, store: str, commit: CommitRecord) -> None:
    """Forget the commits that may hold what a purge of the source erased there, and take note of whose that was."""
    if commit.erased is not None:
        past = RecordedCommits(store, session.ask, lambda: commit.sequence, "json")
        past.note_erased(session.ask, commit.erased)
        past.forget(session.ask, max(last for keys in commit.erased.values() for last in keys.values()))


class _TableWriter:
    """The statements that bring a table to what a commit says."""

    def __init__(self, name: str, columns: StoredColumns, target: Target) -> None:
        self._name, self._columns, self._target = name, columns, target
        self._codec: Codec = target.codecs[name]
        self.numbers = quoted(name_of(name, "numbers"))
        table, key = quoted(name_of(name)), columns.key
        marks = ", ".join(f"%b::{sql}" for _, sql in columns.targets)
        sets = ", ".join(f"{column} = %b::{sql}" for column, sql in columns.targets)
        where = f"where {key.quoted} = %b::{key.sql}"
        self._insert = f"insert into {table} ({columns.select_list}) values ({marks})".encode()
        self._update = f"update {table} set {sets} {where}".encode()
        self._deletion = f"delete from {table} where {key.quoted} = any(%b::{key.sql}[]) returning 1"

    def key(self, change: ChangeRecord) -> object:
        """Return the parameter for a change's key."""
        return self._columns.key.dump(self._codec.schema.parse_key(change.key))

    def deletion(self, name: str) -> str:
        """Return the part of a statement that deletes rows by key."""
        return f"{name} as ({self._deletion})"

    def write(self, change: Insert | Replace) -> "Cursor[tuple[object, ...]]":
        """Begin to write a row, and return the cursor that will know how many it touched."""
        params = self._params(change.row, self._codec.schema.parse_key(change.key))
        execute = self._target.session.execute
        return (
            execute(self._insert, params)
            if isinstance(change, Insert)
            else execute(self._update, [*params, self.key(change)])
        )

    def _params(self, image: bytes, key: Key) -> list[object]:
        try:
            row: BaseModel = self._codec.decode(image, str(key))
            return self._columns.params(row, self._codec.dump(row))
        except InvalidRow as error:
            raise SchemaMismatch(f"what was committed does not fit the models: {error}") from None
        except Unstorable as error:
            field = error.args[1]
            raise SchemaMismatch(f"{self._name}[{key!r}].{field} can't go to PostgreSQL: {error.args[0]}") from None
