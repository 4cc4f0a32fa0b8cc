"""A database along its commits: its tables that have a past, its states at any of them, and the steps between."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import ClassVar, Protocol, Self, runtime_checkable

from snaptable.changes.records import ChangeRecord, CommitRecord, PurgedChange
from snaptable.contract import CommitSource, Engine, RowState
from snaptable.errors import HistoryError, HistoryPurged
from snaptable.history.lifting import Lifting, Present, RawRows
from snaptable.history.moments import sequence_of
from snaptable.history.net_changes import NetChanges
from snaptable.history.records import Diff, NetDifferences, ReadDifferences, typed_key
from snaptable.history.rewind import RowKey, complete, former_json, gone, later_json, touched
from snaptable.history.states import compared
from snaptable.history.three_way import Step
from snaptable.migrations.plan import SchemaMigrations
from snaptable.schema.tables import TableSchema


@runtime_checkable
class Subject(Protocol):
    """A database, as its history sees it."""

    __schemas__: ClassVar[dict[str, TableSchema]]
    fork_base: int | None

    def _opened(self) -> Engine: ...

    def _copy_over(
        self, engine: Engine, name: str, fork_base: int | None, raw_rows: Callable[[], RawRows] | None = None
    ) -> Self: ...

    def _schema_changes(self) -> SchemaMigrations: ...

    @property
    def is_open(self) -> bool:
        """Whether it is open."""


class Timeline:
    """The states of one database along its commits, each seen through today's models."""

    def __init__(self, database: Subject) -> None:
        self._database = database

    @property
    def engine(self) -> Engine:
        """The engine of the database.

        Raises:
            DatabaseClosed: it is not open.
        """
        return self._database._opened()

    @property
    def source(self) -> CommitSource:
        """The commits that are kept."""
        return self.engine.commits

    @property
    def schemas(self) -> dict[str, TableSchema]:
        """The tables that have a past."""
        return {name: schema for name, schema in self._database.__schemas__.items() if not schema.transient}

    def checked(self, table: str) -> TableSchema:
        """Return the schema of a table that has a past.

        Raises:
            ValueError: no such table exists, or it is transient.
        """
        schema = self._database.__schemas__.get(table)
        if schema is None:
            raise ValueError(f"the database has no table {table!r}; it has {', '.join(self._database.__schemas__)}")
        if schema.transient:
            raise ValueError(f"{table} is transient: its rows have no past")
        return schema

    # ── states ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def engine_at(self, sequence: int, *, writable: bool) -> Engine:
        """Return an engine in memory with the rows as of a commit; see `History.at`."""
        lifting = self._lifting_if_migrated() if sequence < self.source.sequence else None
        if lifting is None:
            return self.engine.at(sequence, lambda present: self._states_at(sequence, present), writable=writable)
        names = lifting.migrations_since(sequence)
        states = self._lifted_states(lifting, sequence, names) if names else self._states_of(lifting.past(sequence))
        return lifting.present.engine.at(sequence, lambda _: states, writable=writable)

    def lifting(self) -> Lifting:
        """Return what leads earlier states to today's models; O(rows), in C."""
        transient = [name for name, schema in self._database.__schemas__.items() if schema.transient]
        return Lifting(Present.of(self.engine), self.schemas, self._database._schema_changes(), transient)

    def _lifting_if_migrated(self) -> Lifting | None:
        """Return the same where the application has migrations; None where nothing can have to be lifted."""
        return self.lifting() if self._database._schema_changes().names else None

    def _lifted_states(self, lifting: Lifting, sequence: int, names: tuple[str, ...]) -> Iterator[RowState]:
        """Yield the rows that were otherwise before migrations, seen through today's models."""
        schemas, present = self.schemas, lifting.present.rows(self.schemas)
        for table, rows in lifting.rows(sequence, names).items():
            for key in dict.fromkeys((*present[table], *rows)):
                if present[table].get(key) != rows.get(key):
                    yield RowState(table, typed_key(schemas[table], key), rows.get(key))

    def _states_at(self, sequence: int, present: int) -> Iterator[RowState]:
        return self._states_of(touched(self.source, sequence, present, self.schemas))

    def _states_of(self, past: Mapping[RowKey, tuple[ChangeRecord, ChangeRecord]]) -> Iterator[RowState]:
        for (table, text), (oldest, _) in past.items():
            yield RowState(table, typed_key(self._database.__schemas__[table], text), former_json(oldest))

    # ── differences ─────────────────────────────────────────────────────────────────────────────────────────────────

    def between(self, first: int, second: int, names: Collection[str]) -> Diff:
        """Return what changed from one commit to another, which may be the earlier one, in some tables."""
        lifting = self._lifting_if_migrated()
        if lifting is not None and lifting.migrations_since(min(first, second)):
            states = [lifting.rows(at, lifting.migrations_since(at)) for at in (first, second)]
            schemas = {name: self.schemas[name] for name in names}
            return Diff(ReadDifferences(compared(schemas, states[0].__getitem__, states[1].__getitem__)))
        commits = complete(self.source, min(first, second), max(first, second))
        return Diff(NetDifferences(NetChanges(commits, names, backward=first > second), self.schemas))

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def steps_back(self, sequence: int) -> Iterator[Step]:
        """Yield what takes back one commit; see `History.undo`."""
        record = self._commit_to_undo(sequence)
        lifting = self._lifting_if_migrated()
        names = () if lifting is None else lifting.migrations_since(sequence)
        if lifting is not None and names:
            yield from self._steps_through_migrations(lifting, sequence, names)
            yield from self._purged_steps(record)
            return
        for change in reversed(record.changes):
            if change.table in self._database.__schemas__ and change.table not in self.schemas:
                continue  # a transient table
            key = typed_key(self.checked(change.table), change.key)
            yield Step(change.table, key, later_json(change), former_json(change), isinstance(change, PurgedChange))

    def _commit_to_undo(self, sequence: int) -> CommitRecord:
        source = self.source
        if sequence_of(sequence, source) == 0 or sequence <= source.first:
            raise ValueError("there is no commit 0") if sequence == 0 else gone(source, sequence - 1)
        commit = next(iter(source.newest_first(sequence - 1, sequence)), None)
        if commit is None:
            raise gone(source, sequence - 1)
        if commit.record.migrations:
            raise HistoryError(f"commit {sequence} is a migration, which can't be undone")
        return commit.record

    def _steps_through_migrations(self, lifting: Lifting, sequence: int, names: tuple[str, ...]) -> Iterator[Step]:
        """Yield what leads back over a commit before migrations: the states around it, seen through today's models."""
        lifting.refuse_code(sequence, names)
        old, new = lifting.rows(sequence - 1, names), lifting.rows(sequence, names)
        for table, schema in self.schemas.items():
            for key in dict.fromkeys((*new[table], *old[table])):
                before, after = old[table].get(key), new[table].get(key)
                if before != after:
                    yield Step(table, typed_key(schema, key), after, before)

    def _purged_steps(self, record: CommitRecord) -> Iterator[Step]:
        """Yield the ways back that a purge has closed."""
        schemas = self.schemas
        for change in record.changes:
            if isinstance(change, PurgedChange) and change.table in schemas:
                yield Step(change.table, typed_key(schemas[change.table], change.key), None, None, purged=True)

    def steps_to(self, sequence: int, names: Mapping[str, TableSchema], key: object) -> list[Step]:
        """Return what makes rows of some tables, or the one of a key, what they were at a commit."""
        engine = self.engine
        states = touched(engine.commits, sequence, engine.commits.sequence, names, key=key)
        wanted = list(states)
        if key is not None and wanted and isinstance(states[wanted[0]][0], PurgedChange):
            table = wanted[0][0]
            raise HistoryPurged(f"{table} {key} was purged: what it was is kept nowhere", table=table, key=key)
        lifting = self._lifting_if_migrated()
        migrations = () if lifting is None else lifting.migrations_since(sequence)
        if lifting is not None and migrations:
            return [
                Step(state.table, state.key, engine.row_json(state.table, state.key), state.row)
                for state in self._lifted_states(lifting, sequence, migrations)
                if state.table in names and (key is None or str(state.key) == str(key))
            ]
        keys = [(name, typed_key(names[name], text), former_json(states[name, text][0])) for name, text in wanted]
        return [Step(name, each, engine.row_json(name, each), former) for name, each, former in keys]

    def steps_since(self, base: int) -> list[Step]:
        """Return what changed since a commit, as steps to do again elsewhere; see `History.merge`."""
        schemas, source = self.schemas, self.source
        return [
            Step(table, typed_key(schemas[table], text), former_json(oldest), later_json(newest))
            for (table, text), (oldest, newest) in touched(source, base, source.sequence, schemas).items()
        ]
