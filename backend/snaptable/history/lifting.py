"""Earlier states seen through today's models: the migrations since are applied to the rows as they were.

Frames stay as they were written. So the raw rows of a moment are the present ones with the commits since taken back,
those of migrations too; and what the models of today make of them is what those migrations make.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from snaptable.changes.records import ChangeRecord, CommitRecord
from snaptable.contract import CommitSource, Engine
from snaptable.errors import HistoryError, MigrationFailed
from snaptable.history.rewind import RowKey, complete, former_row, touched_by
from snaptable.memory.loader import without_garbage_collection
from snaptable.migrations.plan import SchemaMigrations
from snaptable.migrations.raw import RawDatabase, RawRow
from snaptable.schema.tables import TableSchema
from snaptable.storage.raw_rows import UnwritableRow, encoded

TextRows = dict[str, dict[str, bytes]]
"""Each row's JSON, by table and text of the key."""
RawRows = dict[str, dict[str, RawRow]]
"""Each row as a JSON object, by table and text of the key."""


@dataclass(frozen=True)
class Present:
    """One present state, to which earlier ones are compared.

    Attributes:
        engine: a copy that nothing changes.
        sequence: its last commit.
        source: the commits that lead to it.
    """

    engine: Engine
    sequence: int
    source: CommitSource

    @classmethod
    def of(cls, engine: Engine) -> "Present":
        """Return the state of an engine as of its last durable commit; O(rows), in C."""
        sequences: list[int] = []

        def states(present: int) -> tuple[()]:
            """Take note of the commit that is copied; nothing was otherwise."""
            sequences.append(present)
            return ()

        copy = engine.at(engine.commits.sequence, states, writable=False)
        return cls(copy, sequences[0], engine.commits)

    def rows(self, schemas: Mapping[str, TableSchema]) -> TextRows:
        """Return the rows of some tables; O(n)."""
        return {name: {str(key): row for key, row in self.engine.rows_json(name).items()} for name in schemas}


class Lifting:
    """What leads earlier states to today's models."""

    def __init__(
        self,
        present: Present,
        schemas: Mapping[str, TableSchema],
        changes: SchemaMigrations,
        without_past: Collection[str],
    ) -> None:
        """Take the present, the tables that have a past, the application's migrations, and the tables without one."""
        self.present, self._schemas, self._changes, self._without_past = present, schemas, changes, without_past
        self._commits: tuple[int, list[CommitRecord]] | None = None

    def migrations_since(self, sequence: int) -> tuple[str, ...]:
        """Return the migrations that were applied after a commit, in order; O(commits since), 0 without any list."""
        if not self._changes.names:
            return ()
        return tuple(name for commit in reversed(self._commits_since(sequence)) for name in commit.named_migrations)

    def _commits_since(self, sequence: int) -> list[CommitRecord]:
        """Return the commits after one, the newest first; they are read once."""
        if self._commits is None or self._commits[0] != sequence:
            commits = list(complete(self.present.source, sequence, self.present.sequence))
            self._commits = (sequence, commits)
        return self._commits[1]

    def past(self, sequence: int) -> dict[RowKey, tuple[ChangeRecord, ChangeRecord]]:
        """Return the oldest and the newest change of each row since a commit, of tables that have a past."""
        return touched_by(self._commits_since(sequence), self._schemas)

    def refuse_code(self, sequence: int, names: tuple[str, ...]) -> None:
        """Raise HistoryError if one of some migrations ran code over whole tables: a single commit can't follow it."""
        if self._changes.runs_code(names):
            raise HistoryError(
                f"commit {sequence} lies before the migrations {', '.join(map(repr, names))}, one of which runs code "
                f"across tables: it can't be undone through that; restore(at={sequence - 1}, …) works by whole rows"
            )

    def raw(self, sequence: int) -> RawRows:
        """Return the rows as they stood after a commit, of the tables there were then; O(n)."""
        return self._rewound(sequence, as_written=True)

    def _rewound(self, sequence: int, *, as_written: bool) -> RawRows:
        """Return the present rows with the commits since taken back."""
        past = touched_by(self._commits_since(sequence), None, as_written=as_written)
        rows: RawRows = {
            table: {key: json.loads(row) for key, row in by_key.items() if (table, key) not in past}
            for table, by_key in self.present.rows(self._schemas).items()
        }
        for (table, key), (oldest, _) in past.items():
            if table in self._without_past:
                continue
            former, by_key = former_row(oldest), rows.setdefault(table, {})
            if former is not None:
                by_key[key] = former
        return rows

    def rows(self, sequence: int, names: tuple[str, ...]) -> TextRows:
        """Return the rows after a commit, in the shape of today's models; O(n) a step.

        Args:
            sequence: the commit.
            names: the migrations that were applied since.

        Raises:
            HistoryError: a migration can't be applied to them, or the code doesn't have it any more.
        """
        if not self._changes.knows(names):
            raise HistoryError(
                f"the state at {sequence} lies before migrations that the code doesn't have any more: "
                f"{', '.join(map(repr, names))}; raw(table) gives its rows as they were"
            )
        with without_garbage_collection():
            return self._lifted(sequence, self._rewound(sequence, as_written=False), names)

    def _lifted(self, sequence: int, rows: RawRows, names: tuple[str, ...]) -> TextRows:
        """Return raw rows in the shape of today's models."""
        db: RawDatabase = {name: {} for name in self._changes.tables_before(names)} | rows
        try:
            self._changes.apply(db, names, is_past=True)
            return {
                name: {key: encoded(name, key, row, tuple(schema.columns)) for key, row in db.get(name, {}).items()}
                for name, schema in self._schemas.items()
            }
        except (MigrationFailed, UnwritableRow) as error:
            raise HistoryError(
                f"the state at {sequence} can't be seen through today's models: {error}; raw(table) gives its rows as "
                f"they were"
            ) from error
