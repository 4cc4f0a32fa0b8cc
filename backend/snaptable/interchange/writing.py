"""Tables of rows as the bytes of a file, whatever rows are made of; and files that are there once they are whole."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from snaptable.interchange.csv_files import Cell, csv_lines
from snaptable.interchange.json_files import array_lines, tables_lines, tinydb_lines
from snaptable.interchange.sqlite_files import SqlValue, write_sqlite

SINGLE: Final = ("jsonl", "csv")
"""Formats of one table."""
CHUNK: Final = 1 << 16


class TableRows(Protocol):
    """The rows of one table, ready to be written."""

    @property
    def name(self) -> str:
        """The table's name."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its fields."""

    @property
    def sql_columns(self) -> list[tuple[str, str]]:
        """The names and types of its columns in sqlite."""

    def json_lines(self) -> Iterator[bytes]:
        """Yield the JSON of each row."""

    def cells(self) -> Iterator[list[Cell]]:
        """Yield the CSV cells of each row."""

    def sql_values(self) -> Iterator[list[SqlValue]]:
        """Yield what sqlite keeps of each row."""


def file_lines(tables: Sequence[TableRows], format_name: str, *, is_single: bool) -> Iterator[bytes]:
    """Yield the parts of a file of some tables.

    Args:
        tables: the tables; one for the formats of one table.
        format_name: the format.
        is_single: whether JSON is the array of a table's rows, rather than an object of tables.
    """
    if format_name == "jsonl":
        for row in tables[0].json_lines():
            yield row + b"\n"
    elif format_name == "csv":
        yield from csv_lines(tables[0].names, tables[0].cells())
    elif format_name == "sqlite":
        yield from _sqlite_chunks(tables)
    elif format_name == "tinydb":
        yield from tinydb_lines([(each.name, each.json_lines()) for each in tables])
    elif format_name == "json" and is_single:
        yield from array_lines(tables[0].json_lines())
        yield b"\n"
    else:
        yield from tables_lines([(each.name, each.json_lines()) for each in tables])


def _sqlite_chunks(tables: Sequence[TableRows]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.sqlite")
        write_sqlite(path, [(each.name, each.sql_columns, each.sql_values()) for each in tables])
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def write_file(path: Path, parts: Iterable[bytes], *, overwrite: bool) -> int:
    """Write a file, which gets its name when it is whole, for its owner alone; return its size.

    Args:
        path: the file.
        parts: its content.
        overwrite: whether it replaces a file that is there.

    Raises:
        OSError: it can't be written, or is there already.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
        size = temporary.stat().st_size
        if overwrite:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return size
