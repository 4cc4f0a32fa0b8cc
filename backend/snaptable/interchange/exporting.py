"""Rows to files: a table, what a query gives, or a whole database, now or as of a moment; secrets are masked."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from snaptable.codec import Codec
from snaptable.database.database import Database
from snaptable.database.lookup import database_of
from snaptable.errors import InterchangeError
from snaptable.history.moments import Moment
from snaptable.interchange.cells import fields_of
from snaptable.interchange.formats import checked_format, format_of
from snaptable.interchange.sqlite_files import SqlValue
from snaptable.interchange.writing import CHUNK, SINGLE, file_lines, write_file
from snaptable.query.query import Query
from snaptable.schema.tables import TableSchema
from snaptable.secrets import masked
from snaptable.table import Table

Source = Table[Any] | Query[Any] | Database


def export(
    source: Source,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 - as users say it
    *,
    at: Moment | None = None,
    reveal: bool = False,
    overwrite: bool = False,
) -> int:
    """Write the rows of a table, of a query, or of all tables into a file, and return how many bytes it has; O(rows).

    All rows are of one state. Secrets are written as `••••`. The export of a database leaves transient tables out.

    Args:
        source: what is written.
        path: the file; it gets its name when it is whole.
        format: one of `FORMATS` but "snapshot"; None to tell by the file's name.
        at: of a table or a database: the moment it is written of, None for now.
        reveal: write secrets too.
        overwrite: replace a file that is there.

    Raises:
        InterchangeError: the file is there already, its format is unknown or is for one table alone, or it can't be
            written.
        ValueError: no such format, or a moment of a query: ask the past for it (`db.history.at(57).users.where(…)`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(db.users, f"{folder}/users.csv")
    ...     print(open(f"{folder}/users.csv").read())
    21
    id,age
    ann,31
    ben,25
    <BLANKLINE>
    """
    file = Path(path)
    asked = checked_format(format) if format is not None else format_of(file.name)
    if asked is None:
        raise InterchangeError(f"the end of {file.name} names no format; say which")
    if file.exists() and not overwrite:
        raise InterchangeError(f"{file} is there already")
    try:
        return write_file(file, export_bytes(source, asked, at=at, reveal=reveal), overwrite=overwrite)
    except OSError as error:
        raise InterchangeError(f"{file} can't be written: {error.strerror or error}") from error


def export_bytes(
    source: Source,
    format: str,  # noqa: A002 - as users say it
    *,
    at: Moment | None = None,
    reveal: bool = False,
) -> Iterator[bytes]:
    """Return an iterator over the bytes of an export, in chunks; the rows are those of now, not of later. As `export`.

    Raises:
        InterchangeError: the format is for one table alone.
        ValueError: no such format, or a moment of a query.
    """
    asked = checked_format(format)
    if asked == "snapshot":
        raise ValueError("a snapshot is a file of the store; write a backup instead")
    tables = _tables_of(source, at, reveal=reveal)
    if asked in SINGLE and len(tables) != 1:
        raise InterchangeError(f"{asked} holds one table; export one, or choose json or sqlite")
    return _chunked(file_lines(tables, asked, is_single=not isinstance(source, Database)))


class _Rows:
    """The rows of one table, as one state has them, ready to be written."""

    def __init__(self, schema: TableSchema, rows: list[BaseModel], *, reveal: bool) -> None:
        self.name, self.rows = schema.name, rows
        self._codec, self._secrets = schema.derive(Codec), frozenset() if reveal else schema.secrets
        self._fields = fields_of(schema)

    @property
    def names(self) -> list[str]:
        """The names of its fields."""
        return list(self._fields)

    @property
    def sql_columns(self) -> list[tuple[str, str]]:
        """The names and types of its columns in sqlite."""
        return [(name, field.sql_type) for name, field in self._fields.items()]

    def json_lines(self) -> Iterator[bytes]:
        """Yield the JSON of each row."""
        if not self._secrets:
            yield from map(self._codec.dump, self.rows)
            return
        for values in self.values():
            yield json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON values of each row by field."""
        for row in self.rows:
            yield masked(json.loads(self._codec.dump(row)), self._secrets)

    def cells(self) -> Iterator[list[str | None]]:
        """Yield the CSV cells of each row."""
        for values in self.values():
            yield [field.to_text(values.get(name)) for name, field in self._fields.items()]

    def sql_values(self) -> Iterator[list[SqlValue]]:
        """Yield what sqlite keeps of each row."""
        for values in self.values():
            yield [
                values[name]
                if name in self._secrets and values.get(name) is not None
                else field.to_sql(values.get(name))
                for name, field in self._fields.items()
            ]


def _tables_of(source: Source, at: Moment | None, *, reveal: bool) -> list[_Rows]:
    if isinstance(source, Query):
        if at is not None:
            raise ValueError("a query has its own moment: ask the past for it, as in db.history.at(57).users.where(…)")
        return [_Rows(source._source.schema, source.all(), reveal=reveal)]
    database = source if isinstance(source, Database) else database_of(source)
    if at is not None:
        with database.history.at(at) as past:
            return _tables_of(past if source is database else past.tables[source.name], None, reveal=reveal)  # type: ignore[union-attr]
    if isinstance(source, Table):
        return [_Rows(source.schema, source.all(), reveal=reveal)]
    # One state of all tables: no commit comes between.
    with database.history.at(database.history.sequence) as past:
        kept = [table for table in past.tables.values() if not table.schema.transient]
        return [_Rows(table.schema, table.all(), reveal=reveal) for table in kept]


def _chunked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield parts joined into chunks: a line by itself is a small write."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
