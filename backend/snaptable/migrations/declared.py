"""`Migration` and the functions that make its steps: what an application writes in its list."""

from collections.abc import Callable, Sequence
from typing import Any

from snaptable.changes.records import AUTOMATIC
from snaptable.errors import SchemaError
from snaptable.migrations.field_steps import Add, Drop, Fill, Rename, Retype
from snaptable.migrations.raw import RawDatabase, RawRow
from snaptable.migrations.step import Step
from snaptable.migrations.table_steps import DropTable, Each, Rekey, RenameTable, Run


class Migration:
    """Steps under a name, applied to a store once: at its next opening, in one commit with the others that are pending.

    The name is what a store remembers. So names stay, and so does the order of the list; new ones are appended.

    Attributes:
        name: its name.
        steps: what it does, in order.

    >>> from snaptable.migrations import Migration, fill, rename
    >>> Migration("documents: title becomes name", rename("documents.title", to="name"), fill("documents.name", ""))
    Migration('documents: title becomes name', rename("documents.title", to="name"), fill("documents.name", ""))
    """

    def __init__(self, name: str, *steps: Step) -> None:
        """Name some steps.

        Raises:
            SchemaError: no name, no steps, or what is none.
        """
        self.name = _checked_name(name)
        self.steps = steps
        if not steps or not all(isinstance(step, Step) for step in steps):
            raise SchemaError(f"Migration({name!r}, …) takes steps: add, fill, rename, retype, drop, each, …")

    def __repr__(self) -> str:
        return f"Migration({self.name!r}, {', '.join(map(str, self.steps))})"


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise SchemaError(f"a migration's name is a text; not {name!r}")
    if name.startswith(AUTOMATIC):
        raise SchemaError(f"a migration's name doesn't begin with {AUTOMATIC!r}: {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SchemaError("a migration's name holds a lone surrogate, which is not UTF-8") from None
    return name


def checked(database: str, migrations: object) -> tuple[Migration, ...]:
    """Return the migrations of a Database class.

    Raises:
        SchemaError: it is not a list of them, or a name stands twice.
    """
    if not isinstance(migrations, Sequence) or not all(isinstance(each, Migration) for each in migrations):
        raise SchemaError(f'{database}.migrations is a list of Migration("name", steps…)')
    names = [each.name for each in migrations]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise SchemaError(f"{database}.migrations: the name {repeated!r} stands twice")
    return tuple(migrations)


def add(path: str, value: object) -> Step:
    """Add a field that no row has yet: a value, or what a function gives for the raw row."""
    return Add(path, value)


def fill(path: str, value: object) -> Step:
    """Give a field a value where it is missing or null: a value, or what a function gives for the raw row."""
    return Fill(path, value)


def rename(path: str, to: str) -> Step:
    """Rename a field; `to` is its bare new name. A row that has both is an error."""
    return Rename(path, to)


def retype(path: str, using: Callable[[Any], object]) -> Step:
    """Make a field's values anew: `using` is called with each old one but None, which stays."""
    return Retype(path, using)


def drop(path: str, *, secret: bool = False) -> Step:
    """Drop a field; `secret=True` if it was a `Secret()`, which the models don't say any more: history masks it."""
    return Drop(path, secret=secret)


def each(table: str, function: Callable[[RawRow], object]) -> Step:
    """Make each row of a table anew: `function(row)` gives a row, None to delete it, or a list of rows."""
    return Each(table, function)


def rekey(table: str, function: Callable[[RawRow], object]) -> Step:
    """Give each row of a table the key that `function(row)` gives; the foreign keys to it follow."""
    return Rekey(table, function)


def rename_table(old: str, to: str) -> Step:
    """Rename a table."""
    return RenameTable(old, to)


def drop_table(name: str) -> Step:
    """Drop a table with its rows. A table that isn't in the store is an error."""
    return DropTable(name)


def run(function: Callable[[RawDatabase], object]) -> Step:
    """Call `function(db)`, across tables: `db["users"]` is a dict of raw rows by key. Undo does not reach across it."""
    return Run(function)
