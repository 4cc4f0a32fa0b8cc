"""The steps of migrations about one field: add, fill, rename, retype, drop.

Each names the field by its path: "table.field", or deeper, "documents.metadata.lang".
"""

from abc import abstractmethod
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final

from snaptable.errors import SchemaError
from snaptable.migrations.raw import RawDatabase, RawRow, RawTable, StepError, called, called_for_all, holders, plain
from snaptable.migrations.shape import Shape
from snaptable.migrations.step import Step, shown, table_of


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


class _ValueStep(FieldStep):
    """A step that gives a field a value, or what a function gives for each row."""

    must_exist = False
    name: str
    """The function that users call."""

    def __init__(self, path: str, value: object) -> None:
        super().__init__(path)
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}({self.path!r}, {shown(self.value)})"


class Add(_ValueStep):
    """A field that no row has yet."""

    name = "add"

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


class Fill(_ValueStep):
    """A value where a field is missing or null."""

    name = "fill"

    def change(self, holder: RawRow, row: RawRow, key: str) -> None:
        """Set the field where it has no value."""
        if holder.get(self.path.name) is None:
            holder[self.path.name] = self.value_of(self.value, row, key)

    def change_rows(self, rows: RawTable) -> None:
        """Set the field in every row where it has no value."""
        self.set_all({key: row for key, row in rows.items() if row.get(self.path.name) is None}, self.value)


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
