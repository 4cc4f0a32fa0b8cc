"""sqlite: the tables of a file, read out of its bytes in memory; nothing is written beside it, and nothing of it runs.

No view, no trigger, and no column that is worked out of others is read. A page of a file may be named twice, and a few
kilobytes so hold rows without end: the rows of a file are no larger than the file.

Columns that are written have no type but TEXT, so that no value becomes another one: sqlite's other types convert.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from snaptable.errors import UnreadableFile
from snaptable.interchange.parsed import ParsedFile, Record
from snaptable.interchange.text import MAX_RECORD_BYTES, TOO_LONG

SqlValue = str | int | float | bytes | None
_LARGEST: Final = 2**63

_TABLES = """
    SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY rowid
"""


_ROWS_TO_FILE: Final = 2
"""Bytes of rows to a byte of the file, at most: a text in UTF-16 may take half as much again in UTF-8."""
_LEAST_ROW: Final = 4
"""Bytes that a row takes in a file, at least."""
_WORKED_OUT: Final = (1, 2)
"""What `table_xinfo` calls columns that are hidden, or worked out when they are read."""


class _TooLarge(Exception):
    """Rows that are larger than their file."""


class _Room:
    """The bytes that the rows still to be read may have."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, row: Sequence[object]) -> None:
        """Count a row.

        Raises:
            _TooLarge: it takes more than is left.
        """
        self._left -= _LEAST_ROW + sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if self._left < 0:
            raise _TooLarge


class _NoText(str):
    """A text that is not UTF-8."""

    __slots__ = ()


def read_sqlite(data: bytes, name: str) -> ParsedFile:
    """Return the tables of a sqlite file; views, virtual tables, sqlite's own and virtual columns are left out.

    Raises:
        UnreadableFile: it is not a sqlite file, or damaged.
    """
    # Bytes 18 and 19 say "look into the write-ahead log too", which there is none of in memory.
    plain = data[:18] + b"\1\1" + data[20:]
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_RECORD_BYTES)
            connection.text_factory = _text_of
            connection.deserialize(plain)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            names = [str(row[0]) for row in connection.execute(_TABLES)]
            room = _Room(_ROWS_TO_FILE * len(data))
            return ParsedFile(name, "sqlite", {table: _records_of(connection, table, room) for table in names})
    except _TooLarge:
        raise UnreadableFile(
            f"{name}: it can't be read as a sqlite file (its rows are larger than it)", path=name
        ) from None
    except sqlite3.DataError:
        raise UnreadableFile(f"{name} holds a row {TOO_LONG}", path=name) from None
    except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError) as error:
        reason = f"it can't be read as a sqlite file ({error})"
        raise UnreadableFile(f"{name}: {reason}", path=name) from None


def _text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _NoText()


def _records_of(connection: sqlite3.Connection, table: str, room: _Room) -> list[Record]:
    columns = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    names = [str(name) for _, name, _, _, _, _, kind in columns if kind not in _WORKED_OUT]
    wanted = ", ".join(map(quoted, names)) or "NULL"
    cursor = connection.execute(f"SELECT {wanted} FROM {quoted(table)}")  # noqa: S608 - the names are quoted
    records = []
    for number, row in enumerate(cursor, start=1):
        room.take(row)
        records.append(_record_of(dict(zip(names, row, strict=False)), number))
    return records


def _record_of(values: dict[str, object], number: int) -> Record:
    broken = next((name for name, value in values.items() if isinstance(value, _NoText)), None)
    if broken is not None:
        return Record({}, number, "sql", fault=f"the text of {broken[:80]!r} is not UTF-8")
    return Record(values, number, "sql")


def quoted(name: str) -> str:
    """Return a name as SQL takes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_sqlite(path: Path, tables: Iterable[tuple[str, Sequence[tuple[str, str]], Iterator[list[SqlValue]]]]) -> None:
    """Write tables into a new file.

    Args:
        path: the file, which isn't there or is empty.
        tables: of each its name, the names and types of its columns, and its rows.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("BEGIN")
        for name, columns, rows in tables:
            spelled = ", ".join(f"{quoted(column)} {kind}".rstrip() for column, kind in columns)
            connection.execute(f"CREATE TABLE {quoted(name)} ({spelled})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {quoted(name)} VALUES ({marks})", rows)  # noqa: S608 - quoted
        connection.execute("COMMIT")


def fits(value: int) -> bool:
    """Return whether sqlite holds an integer as it is."""
    return -_LARGEST <= value < _LARGEST
