"""Which migrations are pending in a store, and their steps applied to its rows, one after the other."""

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Literal, NoReturn, get_args

from snaptable.errors import MigrationFailed, MigrationNeeded, StoreNewer
from snaptable.migrations import advice
from snaptable.migrations.declared import Migration
from snaptable.migrations.field_steps import Drop, Rename
from snaptable.migrations.raw import RawDatabase, StepError
from snaptable.migrations.shape import Shape
from snaptable.migrations.step import Step
from snaptable.migrations.table_steps import DropTable, RenameTable, Run
from snaptable.schema.tables import TableSchema

MigratePolicy = Literal["open", "manual"]
Place = tuple[str, str]
"""A table's name and the text of a key."""
Observer = Callable[[Migration, Step], None]
"""Told each step, once it was carried out."""


def check_policy(policy: MigratePolicy) -> MigratePolicy:
    """Return a policy; raises ValueError if it is none."""
    if policy not in get_args(MigratePolicy):
        raise ValueError(f"migrate is one of {', '.join(get_args(MigratePolicy))}; not {policy!r}")
    return policy


def mark_former_secrets(schemas: Mapping[str, TableSchema], migrations: Sequence[Migration]) -> None:
    """Let the secrets of tables have the names too that they had before they were renamed: history holds those."""
    steps = [step for migration in migrations for step in migration.steps]
    for schema in schemas.values():
        table, secrets = schema.name, set(schema.secrets)
        for step in reversed(steps):
            if isinstance(step, RenameTable) and step.to == table:
                table = step.old
            elif isinstance(step, Rename | Drop) and step.path.table == table:
                was_secret = step.secret if isinstance(step, Drop) else step.to in secrets
                secrets |= {step.path.names[0]} if was_secret else set()
        schema.secrets = frozenset(secrets)


class SchemaMigrations:
    """The migrations of a Database class, beside its tables.

    Attributes:
        names: all of them, in order.
    """

    def __init__(
        self, schemas: Mapping[str, TableSchema], migrations: Sequence[Migration], policy: MigratePolicy = "open"
    ) -> None:
        self.names = tuple(migration.name for migration in migrations)
        self._by_name = {migration.name: migration for migration in migrations}
        self._schemas, self._policy = schemas, policy

    def pending(self, applied: Collection[str], path: str | None = None) -> tuple[str, ...]:
        """Return the names that a store has not seen, in the order of the list.

        Args:
            applied: those that it has.
            path: its snapshot, for messages.

        Raises:
            StoreNewer: it has names that the list doesn't: a newer version of the program wrote it.
        """
        unknown = tuple(name for name in applied if name not in self._by_name)
        if unknown:
            raise StoreNewer(
                f"{path or 'the store'} was written by a newer version of this program: it has the migrations "
                f"{_quoted(unknown)}, which the code doesn't; nothing was changed. Open it with that version",
                unknown=unknown,
                path=path,
            )
        return tuple(name for name in self.names if name not in applied)

    def refuse_unless_open(self, pending: Sequence[str], path: str, *, read_only: bool) -> None:
        """Raise MigrationNeeded if something is pending that this opening may not apply."""
        if not pending or not (read_only or self._policy == "manual"):
            return
        way = "open it for writing once" if read_only else 'run `snaptable migrate`, or open it with migrate="open"'
        raise MigrationNeeded(
            f"{path} needs {_quoted(pending)}; nothing was changed: {way}", pending=tuple(pending), path=path
        )

    def apply(
        self,
        db: RawDatabase,
        names: Sequence[str],
        numbered: MutableMapping[str, int] | None = None,
        observer: Observer | None = None,
        *,
        is_past: bool = False,
    ) -> None:
        """Carry out the steps of some migrations; O(rows) a step.

        Args:
            db: raw rows, changed in place.
            names: which migrations, in order.
            numbered: the last number given out, by table; follows the tables' names.
            observer: told each step.
            is_past: whether the rows are of a past, in which those that were purged are missing.

        Raises:
            MigrationFailed: naming migration, step, table and key; the rows are given up.
        """
        for migration, step, shape in self._steps_of(names):
            try:
                step.apply(db, replace(shape, is_past=is_past))
            except StepError as error:
                _fail(migration, step, error)
            if numbered is not None:
                _follow(step, numbered)
            if observer is not None:
                observer(migration, step)

    def _steps_of(self, names: Sequence[str]) -> Iterator[tuple[Migration, Step, Shape]]:
        """Yield each step, and the shape that the rows have before it."""
        steps = [(self._by_name[name], step) for name in names for step in self._by_name[name].steps]
        shapes = [Shape.of(self._schemas)]
        for _, step in reversed(steps):
            shapes.append(step.shape_before(shapes[-1]))
        yield from ((migration, step, shape) for (migration, step), shape in zip(steps, shapes[:0:-1], strict=True))

    def shapes_before(self, names: Sequence[str]) -> tuple[Shape, ...]:
        """Return the shape before each of some migrations, in order, and today's at last."""
        shapes = [Shape.of(self._schemas)]
        for name in reversed(names):
            shape = shapes[-1]
            for step in reversed(self._by_name[name].steps):
                shape = step.shape_before(shape)
            shapes.append(shape)
        return tuple(reversed(shapes))

    def moves(self, names: Sequence[str], rows: RawDatabase) -> dict[Place, Place]:
        """Return the place of each row that some migrations gave another table or key, by its former place.

        A row is followed from step to step as one object: through `rename_table` and `rekey`, not through what an
        application's function makes of it (`each` with another key, `run`). O(rows) a step.

        Args:
            names: the migrations.
            rows: the rows as they were before them; given up.
        """
        former = {id(row): (table, key) for table, held in rows.items() for key, row in held.items()}
        kept_alive = [row for held in rows.values() for row in held.values()]
        for table in self.tables_before(names):
            rows.setdefault(table, {})
        try:
            for _, step, shape in self._steps_of(names):
                if not isinstance(step, Run):
                    step.apply(rows, shape)
        except StepError:
            return {}  # it needs the rows that a migration left alone, or what `run` would have made
        now = {
            former[id(row)]: (table, key)
            for table, held in rows.items()
            for key, row in held.items()
            if id(row) in former
        }
        del kept_alive
        return {before: after for before, after in now.items() if before != after}

    def name_today(self, table: str, names: Sequence[str]) -> str:
        """Return what a table is called today that had a name before some migrations."""
        for name in names:
            for step in self._by_name[name].steps:
                if isinstance(step, RenameTable) and step.old == table:
                    table = step.to
        return table

    def former_names(self, table: str) -> set[str]:
        """Return the names that a table had, today's among them."""
        names = {table}
        for name in reversed(self.names):
            for step in reversed(self._by_name[name].steps):
                if isinstance(step, RenameTable) and step.to in names:
                    names.add(step.old)
        return names

    def going_with(self, table: str) -> set[str]:
        """Return a table and all those whose rows may go, or may have gone, with its rows; under former names too."""
        names = self.former_names(table)
        return names.union(*(shape.going_with(name) for shape in self.shapes_before(self.names) for name in names))

    def tables_before(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the tables that there may be before some migrations, by what the models and the steps say."""
        first = next(self._steps_of(names), None)
        return tuple(self._schemas) if first is None else tuple(first[2].keys)

    def field_order(self, table: str) -> tuple[str, ...]:
        """Return the fields of a table in the order in which its rows are written; none if no such table exists."""
        schema = self._schemas.get(table)
        return () if schema is None else tuple(schema.columns)

    def runs_code(self, names: Collection[str]) -> bool:
        """Return whether one of some migrations has a `run` step."""
        return any(isinstance(step, Run) for name in names for step in self._by_name[name].steps)

    def knows(self, names: Collection[str]) -> bool:
        """Return whether the list has every one of some names."""
        return all(name in self._by_name for name in names)

    def advice(self, db: RawDatabase, problems: Sequence[str] = ()) -> list[str]:
        """Return what to write in the list for rows that don't fit today's models, a line each; O(rows).

        Args:
            db: raw rows, as they are.
            problems: what is wrong with them, each as "table['key'].field: reason".
        """
        return advice.advice(self._schemas, db, problems)


def _follow(step: Step, numbered: MutableMapping[str, int]) -> None:
    """Let the last numbers given out follow the names of tables."""
    if isinstance(step, RenameTable) and step.old in numbered:
        numbered[step.to] = numbered.pop(step.old)
    elif isinstance(step, DropTable):
        numbered.pop(step.name, None)


def _fail(migration: Migration, step: Step, error: StepError) -> NoReturn:
    place = "" if error.table is None else error.table if error.key is None else f"{error.table}[{error.key!r}]"
    raise MigrationFailed(
        f"migration {migration.name!r}, {step}: {place}{': ' if place else ''}{error}; nothing was changed",
        migration=migration.name,
        step=str(step),
        table=error.table,
        key=error.key,
    ) from error.__cause__


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
