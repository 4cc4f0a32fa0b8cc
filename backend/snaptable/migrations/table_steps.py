"""The steps of migrations about whole tables.

each, rekey                         every row of a table
rename_table, drop_table            a table
run                                 anything, across tables
"""

from collections.abc import Callable

from snaptable.errors import SchemaError
from snaptable.migrations.raw import RawDatabase, RawRow, RawTable, StepError, called, key_field
from snaptable.migrations.shape import Shape
from snaptable.migrations.step import Step, function_of, shown, table_name, table_of

RowFunction = Callable[[RawRow], object]


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
                # A row that was purged has no new key, and its old one may be another row's now.
                is_cut = shape.is_past and reference.optional
                for row in db[reference.table].values():
                    old = row.get(reference.field)
                    if old is not None and (is_cut or str(old) in new_keys):
                        row[reference.field] = new_keys.get(str(old))

    def __str__(self) -> str:
        return f'rekey("{self.table}", {shown(self.function)})'


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
