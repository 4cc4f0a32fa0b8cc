"""Rows without models, ready to be written: what a value is in a cell, its own type alone says."""

import json
from collections.abc import Iterable, Iterator, Mapping

from snaptable.interchange.csv_files import Cell
from snaptable.interchange.sqlite_files import SqlValue, fits


class UntypedRows:
    """The rows of one table as JSON objects, ready to be written.

    Attributes:
        name: the table's name.
        names: the names of their fields, in the order in which they come.
    """

    def __init__(self, name: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Take the table's name and its rows."""
        self.name, self._rows = name, list(rows)
        self.names = list(dict.fromkeys(field for row in self._rows for field in row))

    @property
    def sql_columns(self) -> list[tuple[str, str]]:
        """The columns in sqlite: TEXT where a row has a text, no type elsewhere; one at least."""
        texts = {name for name in self.names if any(isinstance(row.get(name), str) for row in self._rows)}
        return [(name, "TEXT" if name in texts else "") for name in self._columns]

    @property
    def _columns(self) -> list[str]:
        return self.names or ["id"]

    def json_lines(self) -> Iterator[bytes]:
        """Yield the JSON of each row."""
        return map(_json, self._rows)

    def cells(self) -> Iterator[list[Cell]]:
        """Yield the CSV cells of each row: null is an empty cell, a value that isn't text its JSON."""
        return ([_cell(row.get(name)) for name in self.names] for row in self._rows)

    def sql_values(self) -> Iterator[list[SqlValue]]:
        """Yield what sqlite keeps of each row."""
        return ([_sql_value(row.get(name)) for name in self._columns] for row in self._rows)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, str) else _json(value).decode()


def _sql_value(value: object) -> SqlValue:
    if isinstance(value, int) and not isinstance(value, bool) and not fits(value):
        return str(value)
    return value if value is None or isinstance(value, int | float | str) else _json(value).decode()
