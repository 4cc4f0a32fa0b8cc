"""The steps of migrations: what each does to raw rows.

    add, fill, rename, retype, drop     one field, by its path: "table.field", or deeper, "documents.metadata.lang"
    each, rekey                         every row of a table
    rename_table, drop_table            a table
    run                                 anything, across tables

A step that names a table or a field that doesn't exist is an error, so that a slip of the pen does not pass for a step
that was carried out; a table without rows may lack the field.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final

from snaptable.errors import SchemaError
from snaptable.migrations.raw import (
    RawDatabase,
    RawRow,
    RawTable,
    StepError,
    called,
    called_for_all,
    holders,
    key_field,
    plain,
)
from snaptable.migrations.shape import Shape

RowFunction = Callable[[RawRow], object]
MOST_SHOWN = 40
"""Characters of a value in the name of a step."""


class Step(ABC):
    """One change of raw rows."""

    @abstractmethod
    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Change the rows.

        Args:
            db: the rows, as the step before it left them.
            shape: what is known of the tables at this step.

        Raises:
            StepError: it can't be done; the rows are as they may be, and are given up.
        """

    def shape_before(self, shape: Shape) -> Shape:
        """Return the shape before the step, from the one after it."""
        return shape

    @abstractmethod
    def __str__(self) -> str:
        """Return the step as it is written in code."""


# ── one field ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Path:
    """The place of a field: `table.field`, or deeper.

    Attributes:
        table: the table's name.
        names: the fields that lead there; the last one is meant.
    """

    def __init__(self, text: str) -> None:
        """Parse the text; raises SchemaError if it names no field."""
        parts = text.split(".") if isinstance(text, str) else []
        if len(parts) < 2 or not all(parts):
            raise SchemaError(f'a migration names a field as "table.field", or deeper; not {text!r}')
        self.text = text
        self.table, self.names = parts[0], tuple(parts[1:])
        self.name = parts[-1]
        """The field's own name."""

    def __repr__(self) -> str:
        return f'"{self.text}"'


class FieldStep(Step):
    """A step about one field of every row of a table."""

    must_exist = True
    """Whether it is an error that no row has the field."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Change the field in every row that has it; O(rows)."""
        rows, has_any = table_of(db, shape, self.path.table), False
        if len(self.path.names) == 1:
            has_any = any(self.path.name in row for row in rows.values())
            self.change_rows(rows)
        else:
            for key, row in rows.items():
                for holder in holders(row, self.path.names):
                    has_any = has_any or self.path.name in holder
                    self.change(holder, row, key)
        if rows and self.must_exist and not has_any:
            raise StepError(f"no row of {self.path.table} has {'.'.join(self.path.names)}", self.path.table)

    def change_rows(self, rows: RawTable) -> None:
        """Change the field in every row of a table, where the rows themselves hold it."""
        for key, row in rows.items():
            self.change(row, row, key)

    def set_all(self, rows: RawTable, value: object) -> None:
        """Set the field in some rows to a value as given, or to what a function gives for each."""
        name = self.path.name
        if callable(value):
            for row, made in zip(rows.values(), called_for_all(value, rows, self.path.table), strict=True):
                row[name] = made
            return
        for key, row in rows.items():
            row[name] = plain(value, self.path.table, key)

    @abstractmethod
    def change(self, holder: RawRow, row: RawRow, key: str) -> None:
        """Change the field in the object that holds it, inside a row."""

    def error(self, reason: str, key: str) -> StepError:
        """Return the error about a row."""
        return StepError(reason, self.path.table, key)

    def value_of(self, value: object, row: RawRow, key: str) -> Any:
        """Return a value as given, or what a function gives for a row."""
        return called(value, row, self.path.table, key) if callable(value) else plain(value, self.path.table, key)


class Add(FieldStep):
    """A field that no row has yet."""

    must_exist = False

    def __init__(self, path: str, value: object) -> None:
        super().__init__(path)
        self.value = value

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:
        """Set the field."""
        if self.path.name in holder:
            raise self.error(f"{self.path.name} is there already; fill() sets it where it is missing or null", key)
        holder[self.path.name] = self.value_of(self.value, row, key)

    def change_rows(self, rows: RawTable) -> None:
        """Set the field in every row."""
        key = next((key for key, row in rows.items() if self.path.name in row), None)
        before = rows if key is None else dict(takewhile(lambda item: item[0] != key, rows.items()))
        self.set_all(before, self.value)
        if key is not None:
            self.change(rows[key], rows[key], key)

    def __str__(self) -> str:
        return f"add({self.path!r}, {shown(self.value)})"


class Fill(FieldStep):
    """A value where a field is missing or null."""

    must_exist = False

    def __init__(self, path: str, value: object) -> None:
        super().__init__(path)
        self.value = value

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:
        """Set the field where it has no value."""
        if holder.get(self.path.name) is None:
            holder[self.path.name] = self.value_of(self.value, row, key)

    def change_rows(self, rows: RawTable) -> None:
        """Set the field in every row where it has no value."""
        self.set_all({key: row for key, row in rows.items() if row.get(self.path.name) is None}, self.value)

    def __str__(self) -> str:
        return f"fill({self.path!r}, {shown(self.value)})"


class Rename(FieldStep):
    """Another name for a field; it keeps its place in the row."""

    def __init__(self, path: str, to: str) -> None:
        super().__init__(path)
        self.to: Final = to
        self._renamed: dict[tuple[str, ...], tuple[str, ...]] = {}
        if not (isinstance(to, str) and to) or "." in to:
            raise SchemaError(
                f'rename({self.path!r}, to=…) takes the bare new name of the field, as "name"; not {to!r}'
            )
        if to == self.path.name:
            raise SchemaError(f"rename({self.path!r}, to={to!r}) renames nothing")

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:  # noqa: ARG002 - the row itself isn't needed
        """Rename the field where it is."""
        if self.path.name not in holder:
            return
        if self.to in holder:
            raise self.error(f"{self.path.name} can't be renamed: {self.to} is there too", key)
        names, values = tuple(holder), list(holder.values())
        renamed = self._renamed.get(names)
        if renamed is None:
            renamed = tuple([self.to if name == self.path.name else name for name in names])
            self._renamed = {names: renamed}  # the rows of a table mostly have the same fields
        # In place: whoever follows the row, follows the object.
        holder.clear()
        holder.update(zip(renamed, values, strict=True))

    def shape_before(self, shape: Shape) -> Shape:
        """Return the shape in which the field had its old name."""
        return shape.with_field_called(self.path.table, self.to, self.path.name) if len(self.path.names) == 1 else shape

    def __str__(self) -> str:
        return f'rename({self.path!r}, to="{self.to}")'


class Retype(FieldStep):
    """A field's values made anew from the old ones; None stays."""

    def __init__(self, path: str, using: Callable[[Any], object]) -> None:
        super().__init__(path)
        self.using = using
        if not callable(using):
            raise SchemaError(f"retype({self.path!r}, using=…) takes a function from the old value to the new one")

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:  # noqa: ARG002 - the row itself isn't needed
        """Make the value anew."""
        value = holder.get(self.path.name)
        if value is not None:
            holder[self.path.name] = called(self.using, value, self.path.table, key)

    def change_rows(self, rows: RawTable) -> None:
        """Make the value of every row anew."""
        name = self.path.name
        values = {key: value for key, row in rows.items() if (value := row.get(name)) is not None}
        for key, made in zip(values, called_for_all(self.using, values, self.path.table), strict=True):
            rows[key][name] = made

    def __str__(self) -> str:
        return f"retype({self.path!r}, using={shown(self.using)})"


class Drop(FieldStep):
    """A field that goes; history masks it if it was a secret."""

    def __init__(self, path: str, *, secret: bool) -> None:
        super().__init__(path)
        self.secret = secret

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:  # noqa: ARG002 - the row itself isn't needed
        """Remove the field where it is."""
        holder.pop(self.path.name, None)

    def __str__(self) -> str:
        return f"drop({self.path!r})"


# ── every row of a table ────────────────────────────────────────────────────────────────────────────────────────────


class Each(Step):
    """Each row made anew: another one, none, or several."""

    def __init__(self, table: str, function: RowFunction) -> None:
        self.table, self.function = table_name(table), function_of("each", function)

    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Make the rows anew; O(rows)."""
        rows = table_of(db, shape, self.table)
        field, made = key_field(rows, shape.keys.get(self.table)), RawTable()
        for key, row in rows.items():
            for each in self._results(called(self.function, row, self.table, key), key):
                place = str(each[field]) if field in each else key
                if place in made:
                    raise StepError(f"two rows have the key {place!r}", self.table, key)
                made[place] = each
        db[self.table] = made

    def _results(self, result: object, key: str) -> list[RawRow]:
        results = [] if result is None else result if isinstance(result, list) else [result]
        rows = [each for each in results if isinstance(each, dict)]
        if len(rows) != len(results):
            raise StepError("the function gives a row (a dict), None, or a list of rows", self.table, key)
        return rows

    def __str__(self) -> str:
        return f'each("{self.table}", {shown(self.function)})'


class Rekey(Step):
    """New keys for the rows of a table; what refers to them follows."""

    def __init__(self, table: str, function: RowFunction) -> None:
        self.table, self.function = table_name(table), function_of("rekey", function)

    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Give each row its key, then each reference; O(rows)."""
        rows = table_of(db, shape, self.table)
        field = key_field(rows, shape.keys.get(self.table))
        if rows and field is None:
            raise StepError("no field holds the key of every row", self.table)
        made, new_keys = RawTable(), dict[str, str | int]()
        for key, row in rows.items():
            new = called(self.function, row, self.table, key)
            if type(new) not in (str, int):
                raise StepError("the function gives a key: a str, an int or a UUID", self.table, key)
            if str(new) in made:
                raise StepError(f"two rows get the key {str(new)!r}", self.table, key)
            new_keys[key] = row[str(field)] = new
            made[str(new)] = row
        db[self.table] = made
        for reference in shape.references:
            if reference.target == self.table and reference.table in db:
                for row in db[reference.table].values():
                    if str(row.get(reference.field)) in new_keys and row[reference.field] is not None:
                        row[reference.field] = new_keys[str(row[reference.field])]

    def __str__(self) -> str:
        return f'rekey("{self.table}", {shown(self.function)})'


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class RenameTable(Step):
    """Another name for a table."""

    def __init__(self, old: str, to: str) -> None:
        self.old, self.to = table_name(old), table_name(to)
        if old == to:
            raise SchemaError(f"rename_table({old!r}, to={to!r}) renames nothing")

    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Move the rows; O(1)."""
        rows = table_of(db, shape, self.old)
        if db.get(self.to):
            raise StepError(f"{self.old} can't be renamed: there is a table {self.to} with rows", self.to)
        db.pop(self.old, None)
        db[self.to] = rows

    def shape_before(self, shape: Shape) -> Shape:
        """Return the shape in which the table had its old name."""
        return shape.with_table_called(self.to, self.old)

    def __str__(self) -> str:
        return f'rename_table("{self.old}", to="{self.to}")'


class DropTable(Step):
    """A table that goes, with its rows."""

    def __init__(self, name: str) -> None:
        self.name = table_name(name)

    def apply(self, db: RawDatabase, shape: Shape) -> None:  # noqa: ARG002 - today's models needn't know it
        """Remove the table; O(1)."""
        if self.name not in db:
            raise StepError(f"there is no table {self.name}", self.name)
        del db[self.name]

    def shape_before(self, shape: Shape) -> Shape:
        """Return the shape in which the table was there."""
        return shape.with_table(self.name)

    def __str__(self) -> str:
        return f'drop_table("{self.name}")'


# ── anything ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Run(Step):
    """A function of the application's own, over all tables."""

    def __init__(self, function: Callable[[RawDatabase], object]) -> None:
        self.function = function_of("run", function)

    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Call the function; a table that only the models know is there, and empty."""
        for name in shape.keys:
            db.setdefault(name, {})
        try:
            self.function(db)
        except StepError:
            raise
        except Exception as error:
            raise StepError(f"the function raised {type(error).__name__}") from error
        for name, rows in db.items():
            if not isinstance(name, str) or not isinstance(rows, dict) or not all(isinstance(key, str) for key in rows):
                raise StepError(f"the function left {name} no dict of rows by the text of their keys", str(name))
            for key, row in rows.items():
                if not isinstance(row, dict):
                    raise StepError("the function left a row that is no dict", name, key)

    def __str__(self) -> str:
        return f"run({shown(self.function)})"


# ── what steps share ────────────────────────────────────────────────────────────────────────────────────────────────


def table_of(db: RawDatabase, shape: Shape, name: str) -> RawTable:
    """Return the rows of a table; none if only the models, or later steps, know it: the file is older than the table.

    Raises:
        StepError: it is not known.
    """
    if name in db:
        return db[name]
    if name in shape.keys:
        return {}
    raise StepError(f"there is no table {name}; there are {', '.join(db) or 'none'}", name)


def table_name(name: str) -> str:
    """Return a table's name; raises SchemaError if it can't be one."""
    if not isinstance(name, str) or not name or "." in name:
        raise SchemaError(f"a migration names a table by its name alone; not {name!r}")
    return name


def function_of(step: str, function: Callable[..., object]) -> Callable[..., object]:
    """Return what a step calls; raises SchemaError if it can't be called."""
    if not callable(function):
        raise SchemaError(f"{step}(…) takes a function; not {type(function).__name__}")
    return function


def shown(value: object) -> str:
    """Return a step's value, or the name of its function, as a message shows it."""
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    text = repr(value).replace("'", '"') if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
