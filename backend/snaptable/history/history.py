"""History: what a database's `history` gives."""

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from snaptable.changes.records import Key, TimedCommit
from snaptable.errors import HistoryError, TransactionError
from snaptable.history.feed import Feed
from snaptable.history.moments import Moment, sequence_of
from snaptable.history.purge import Purge, Purged
from snaptable.history.records import Commit, Diff, ReadDifferences, Revert
from snaptable.history.revert import Manner, Reverter, Steps
from snaptable.history.states import RowsOf, compared, rows_of_engine, rows_of_file
from snaptable.history.timeline import Subject, Timeline

D = TypeVar("D", bound=Subject)


class History(Generic[D]):
    """The past of a database: its commits, its earlier states, and the way back.

    A moment is a sequence or an aware time. **`at(57)` is the state after commit 57**; `undo(57)` takes back what
    commit 57 did; `restore(at=57)` makes the state after commit 57 the present one. All goes back as far as commits
    are kept (`first`). Undo, restore and merge are ordinary commits: they are checked like any, and can be undone.

    What it shows of changes has `••••` in the place of secrets; the rows of `at` and `fork` have their values. Rows of
    transient tables have no past: they are in none of this, and a past and a fork have none of them.
    """

    def __init__(self, database: D) -> None:
        self._database = database
        self._timeline = Timeline(database)

    def __repr__(self) -> str:
        source = self._timeline.source
        return f"<History of {self._database!r}: commits {source.first + 1} to {source.sequence}>"

    # ── what there is ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def sequence(self) -> int:
        """The last durable commit; 0 before the first.

        >>> db.history.sequence
        1
        """
        return self._timeline.source.sequence

    @property
    def first(self) -> int:
        """The earliest moment that can be reached; 0 while every commit is kept.

        >>> db.history.first
        0
        """
        return self._timeline.source.first

    def commits(
        self,
        table: str | None = None,
        key: object = None,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        actor: str | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Commit]:
        """Return an iterator over commits, the newest first; read as it is consumed, never counted.

        Args:
            table: only those that changed rows of a table.
            key: only those that changed the row of this key there.
            since: only those after a moment.
            until: only those up to a moment.
            actor: only those that this actor made.
            limit: how many at most.
            oldest_first: in order.

        Raises:
            ValueError: a key without a table, a negative limit, or a moment that is none; see `at`.
            HistoryGone: `since` lies before what is kept.

        >>> [commit.sequence for commit in db.history.commits("users", "ann")]
        [1]
        """
        if key is not None and table is None:
            raise ValueError("name the table of the key")
        if table is not None:
            self._timeline.checked(table)
        if limit is not None and limit < 0:
            raise ValueError(f"limit is 0 or above; not {limit}")
        source = self._timeline.source
        after = source.first if since is None else sequence_of(since, source)
        last = source.sequence if until is None else sequence_of(until, source)
        read = source.oldest_first if oldest_first else source.newest_first
        commits = read(after, last, None if key is None else str(key))
        # Who made a commit stands at its end, apart from what it changed.
        named = (timed for timed in commits if actor is None or timed.record.actor == actor)
        shown = (commit for commit in map(self._shown, named) if not commit.is_hidden)
        return islice((commit for commit in shown if commit.touches(table, key)), limit)

    def __iter__(self) -> Iterator[Commit]:
        """Iterate over all commits, the newest first."""
        return self.commits()

    def _shown(self, timed: TimedCommit) -> Commit:
        return Commit.of(timed, self._database.__schemas__)

    # ── earlier states ──────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, moment: Moment) -> D:
        """Return the database as it was at a moment: read only, of the same class, open; `with` or `close()` ends it.

        It shares its rows with the present. O(rows) to copy a dictionary and O(commits since); an index is built when a
        query first needs one of its table. Before a migration it is seen through today's models: the migrations since
        are applied to its rows, O(n); a table with rows that don't fit says so when it is read, and `past.raw(table)`
        gives the rows of any table as they were.

        Raises:
            ValueError: a moment later than now, a negative sequence, a naive time.
            HistoryGone: it lies before what is kept.
            HistoryError: a migration since can't be applied to what there was.

        >>> with db.history.at(0) as past:
        ...     past.users.count()
        0
        """
        sequence = sequence_of(moment, self._timeline.source)
        engine = self._timeline.engine_at(sequence, writable=False)
        return self._database._copy_over(
            engine, f"as of commit {sequence}", None, lambda: self._timeline.lifting().raw(sequence)
        )

    def fork(self, at: Moment | None = None) -> D:
        """Return a copy of the database in memory, as of a moment or of now, that can be written to; costs as `at`.

        Nothing that happens there is kept, unless `merge` brings it back.

        Raises:
            ValueError, HistoryGone: as `at`.

        >>> with db.history.fork() as copy:
        ...     copy.users.delete("ben")
        ...     print(db.history.diff(copy))
        User(id='ben', age=25)
        - users ben
        """
        source = self._timeline.source
        sequence = source.sequence if at is None else sequence_of(at, source)
        engine = self._timeline.engine_at(sequence, writable=True)
        return self._database._copy_over(engine, f"forked from commit {sequence}", sequence)

    def diff(
        self,
        a: "Moment | Subject | Path",
        b: "Moment | Subject | Path | None" = None,
        *,
        tables: Collection[str] | None = None,
    ) -> Diff:
        """Return what changed from one state to another: moments, databases (pasts, forks), snapshot files.

        Args:
            a: the first state. A fork of this database alone: what changed in the fork since it began.
            b: the second one; None for now.
            tables: only these.

        O(changes between) for two moments of this database, O(n) otherwise. The rows are read when they are looked at:
        to count them, or to look at the `first` few, costs a fraction of all.

        Raises:
            ValueError, HistoryGone: as `at`.

        >>> db.history.diff(0).counts
        {'users': {'insert': 2, 'replace': 0, 'delete': 0}}
        """
        for table in tables or ():
            self._timeline.checked(table)
        names = [name for name in self._timeline.schemas if tables is None or name in tables]
        if b is None and isinstance(a, Subject) and a.fork_base is not None:
            return Timeline(a).between(a.fork_base, a._opened().commits.sequence, names)
        if isinstance(a, (int, datetime)) and (b is None or isinstance(b, (int, datetime))):
            last = self.sequence if b is None else sequence_of(b, self._timeline.source)
            return self._timeline.between(sequence_of(a, self._timeline.source), last, names)
        schemas = {name: self._database.__schemas__[name] for name in names}
        return Diff(ReadDifferences(compared(schemas, self._rows_of(a), self._rows_of(b))))

    def _rows_of(self, state: "Moment | Subject | Path | None") -> RowsOf:
        if isinstance(state, Path):
            return rows_of_file(state)
        if isinstance(state, (int, datetime)):
            return rows_of_engine(self.at(state)._opened())
        return rows_of_engine((state or self._database)._opened())

    # ── the way back ────────────────────────────────────────────────────────────────────────────────────────────────

    def undo(
        self,
        *sequences: int,
        note: str | None = None,
        dry_run: bool = False,
        force: bool = False,
        cascade: bool = False,
    ) -> Revert:
        """Take back what commits did, as one ordinary commit; by field, so that later changes of others stay.

        Of an insert: the row goes, if it is still as it was inserted. Of a replace: each field that the commit wrote,
        and that is still so, gets its former value. Of a delete: the row comes back, with all that went with it.

        Args:
            sequences: which; the newest is taken back first.
            note: why, kept with the commit.
            dry_run: change nothing, and return what it would do.
            force: override later changes; never a constraint.
            cascade: delete rows that refer to those that go, too.

        Raises:
            UndoConflict: listing every conflict; nothing was written. Not in a dry run.
            ValueError: a sequence that wasn't reached, or none given.
            HistoryGone: a commit that isn't kept any more.

        >>> db.users.delete("ben")
        User(id='ben', age=25)
        >>> print(db.history.undo(db.history.sequence))
        removes 0, puts back 1, changes 0
        """
        if not sequences:
            raise ValueError("name the commits to undo")
        ordered = sorted(set(sequences), reverse=True)
        steps = [step for sequence in ordered for step in self._timeline.steps_back(sequence)]
        how = Manner(note, tuple(reversed(ordered)), dry_run, force, cascade)
        return self._revert(lambda: steps, how)

    def restore(
        self,
        at: Moment,
        table: str | None = None,
        key: object = None,
        *,
        note: str | None = None,
        dry_run: bool = False,
        force: bool = False,
    ) -> Revert:
        """Make rows what they were at a moment, as one ordinary commit: all, those of a table, or one.

        Args:
            at: the moment.
            table: only its rows.
            key: only this row of it.
            note: why, kept with the commit.
            dry_run: change nothing, and return what it would do.
            force: as `undo`; a restore has no later changes to override.

        Raises:
            UndoConflict: a constraint would be broken, each is listed; nothing was written.
            HistoryPurged: the row was purged. Of all rows, or of a table's, those that were stay away.
            ValueError, HistoryGone: as `at`.

        >>> db.users.update("ann", age=99)
        User(id='ann', age=99)
        >>> print(db.history.restore(1, "users", "ann"))
        removes 0, puts back 0, changes 1
        """
        if key is not None and table is None:
            raise ValueError("name the table of the key")
        names = self._timeline.schemas if table is None else {table: self._timeline.checked(table)}
        sequence = sequence_of(at, self._timeline.source)
        return self._revert(lambda: self._timeline.steps_to(sequence, names, key), Manner(note, (), dry_run, force))

    def merge(self, fork: D, *, note: str | None = None, dry_run: bool = False, force: bool = False) -> Revert:
        """Bring what changed in a fork of this database into it, as one commit; by field, as `undo`.

        Args:
            fork: what `fork()` gave.
            note: why, kept with the commit.
            dry_run: change nothing, and return what it would do.
            force: override what changed here since the fork began; never a constraint.

        Raises:
            UndoConflict: listing every conflict; nothing was written. Not in a dry run.
            HistoryError: it is not a fork of a database of this class.

        >>> with db.history.fork() as copy:
        ...     copy.users.update("ben", age=26)
        ...     print(db.history.merge(copy))
        User(id='ben', age=26)
        removes 0, puts back 0, changes 1
        """
        base = fork.fork_base
        if base is None or type(fork) is not type(self._database):
            raise HistoryError(f"{fork!r} is not a fork of a {type(self._database).__name__}")
        steps = Timeline(fork).steps_since(base)
        return self._revert(lambda: steps, Manner(note, (), dry_run, force))

    def _revert(self, steps: Steps, how: Manner) -> Revert:
        return Reverter(self._timeline.engine, self._database.__schemas__, self._changed_by).carry_out(steps, how)

    def _changed_by(self, table: str, key: Key) -> int | None:
        last = next(self.commits(table, key, limit=1), None)
        return None if last is None else last.sequence

    # ── what is kept of it ──────────────────────────────────────────────────────────────────────────────────────────

    def forget(self, before: Moment) -> int:
        """Forget what was before a moment, and return the first one that can be reached then: `first`.

        "memory:" forgets exactly that. A directory forgets whole files of the journal: those with nothing but commits
        up to the moment, all there are if it is now. O(rows), for it saves a snapshot first.

        Raises:
            ValueError, HistoryGone: as `at`.
            WriteFailed: not everything could be removed; the cause is the OSError. What is left is whole.
            ReadOnlyStore: writing is not allowed here.
            TransactionError: called inside a transaction.

        >>> db.history.forget(1)
        1
        """
        engine = self._timeline.engine
        self._refuse_in_transaction("forget")
        engine.forget(sequence_of(before, engine.commits))
        return engine.commits.first

    def purge(self, table: str, key: object, *, cascade: bool = True, keys: bool = False) -> Purged:
        """Erase what a row was, now and in all of the past; that it was, and when it changed, is kept.

        A row that is there is deleted first, as any row is. Then its values are erased from every commit that is kept,
        and from every file of the store; the journal can be verified as before. No past shows the row any more, and
        nothing brings it back. The receipt names where its values still stand: in rows that were not meant, in the
        quarantine, in backups that lie in the directory. It can't know of copies elsewhere. A row that migrations gave
        another table or key (`rename_table`, `rekey`) is erased there too; through what a function of the application
        made of rows (`each` with another key, `run`) it can't be followed, and the receipt names what is left.

        Args:
            table: the table.
            key: the row's key. There need be no such row any more.
            cascade: likewise the rows that go, or went, with it because they referred to it with "cascade".
            keys: erase the key as well; what stands for it is made of 8 hex digits of a keyed hash, where others
                referred to it and where it was the actor, too.

        If the program is killed while it runs, the database opens with the row deleted or not, and calling it again
        does the rest. O(rows + commits): it saves a snapshot, and writes the journal's files anew that have the row.

        Raises:
            ForeignKeyViolation: rows with "restrict" refer to it; nothing was done.
            InvalidKey: no row can have that key; nothing was done.
            CorruptJournal: a file of the journal is damaged.
            WriteFailed: it was begun; call it again. The cause is the OSError.
            ReadOnlyStore: writing is not allowed here.
            TransactionError: called inside a transaction.

        >>> print(db.history.purge("users", "ben"))
        purged 1 row (1 of users), 2 commits rewritten; nothing is left of their values
        >>> db.history.at(1).users.get("ben") is None
        True
        """
        self._refuse_in_transaction("purge")
        changes = self._database._schema_changes()
        purge = Purge(self._timeline.engine, self._database.__schemas__, changes, cascade=cascade, keys=keys)
        return purge.run(table, key)

    def _refuse_in_transaction(self, method: str) -> None:
        if self._timeline.engine.in_transaction():
            raise TransactionError(
                f"{method}() inside a transaction would see half of it; call it after the transaction"
            )

    # ── as it happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, since: Moment | None = None, *, tables: Collection[str] | None = None) -> Feed:
        """Return the commits after a moment, in order, and then each as it becomes durable: for `for` and `async for`.

        It ends when it, or the database, is closed.

        Args:
            since: the moment; None for now.
            tables: only commits that change rows of these.

        Raises:
            ValueError, HistoryGone: as `at`; while it is read too, if commits that weren't read yet are gone.

        >>> with db.history.follow(since=0) as feed:
        ...     next(iter(feed)).sequence
        1
        """
        for table in tables or ():
            self._timeline.checked(table)
        engine = self._timeline.engine
        place = engine.commits.sequence if since is None else sequence_of(since, engine.commits)

        def read(after: int, until: int) -> Iterator[Commit]:
            """Return the commits between two moments, in order."""
            return map(self._shown, engine.commits.oldest_first(after, until))

        return Feed(engine, lambda: self._database.is_open, read, place, tables)
