"""sqlite: the tables of a file, read out of its bytes in memory; nothing is written beside it, no view or trigger runs.

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


class _NoText(str):
    """A text that is not UTF-8."""

    __slots__ = ()


def read_sqlite(data: bytes, name: str) -> ParsedFile:
    """Return the tables of a sqlite file; views, virtual tables and sqlite's own are left out.

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
            return ParsedFile(name, "sqlite", {table: _records_of(connection, table) for table in names})
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


def _records_of(connection: sqlite3.Connection, table: str) -> list[Record]:
    cursor = connection.execute(f"SELECT * FROM {quoted(table)}")  # noqa: S608 - the name is quoted
    names = [column[0] for column in cursor.description]
    return [_record_of(dict(zip(names, row, strict=True)), number) for number, row in enumerate(cursor, start=1)]


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
