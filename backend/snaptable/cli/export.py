"""`snaptable export [TABLE] FILE`: rows as JSON, JSON lines, CSV or sqlite; or everything that is somebody's."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from snaptable.cli.carrying import closure_of
from snaptable.cli.common import EXIT_SOUND, UsageError, describe_counts, describe_number, output, say
from snaptable.cli.looking import WantedState, check_table, key_in, looking_at
from snaptable.cli.output import columns_of
from snaptable.history.records import Fields
from snaptable.interchange import format_of
from snaptable.interchange.csv_files import csv_lines
from snaptable.interchange.json_files import array_lines, tables_lines, tinydb_lines
from snaptable.interchange.sqlite_files import SqlValue, fits, write_sqlite

SINGLE = ("jsonl", "csv")
"""Formats of one table."""
STANDARD_OUTPUT = "-"
Tables = Mapping[str, Mapping[str, Fields]]


def row_json(value: object) -> bytes:
    """Return a row, or a value, as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def run(
    *,
    targets: tuple[str, ...],
    store: str | None,
    format_name: str | None,
    of: tuple[str, str] | None,
    at: WantedState | None,
    overwrite: bool,
) -> int:
    """Write the rows."""
    table, file = _named(targets, of)
    chosen = format_name or format_of(file) or ("json" if file == STANDARD_OUTPUT else None)
    if chosen is None:
        raise UsageError(f"the end of {file} names no format; say which by --format")
    with looking_at(store, at) as found:
        if of is not None:
            check_table(found, of[0])
            closure = closure_of(found, of[0], [key_in(found, *of)])
            tables: dict[str, dict[str, Fields]] = {name: rows for name, rows in closure.rows.items() if rows}
            for line in closure.missing:
                say(f"  {line}")
        elif table is not None:
            check_table(found, table)
            tables = {table: dict(found.rows(table))}
        else:
            tables = {each.name: dict(found.rows(each.name)) for each in found.tables() if not each.transient}
        sequence = found.sequence
    if chosen in SINGLE and len(tables) != 1:
        raise UsageError(f"{chosen} holds one table: name it, or choose json or sqlite")
    size = _write(file, chosen, tables, is_single=table is not None, overwrite=overwrite)
    counts = {name: len(rows) for name, rows in tables.items()}
    out = output()
    if file != STANDARD_OUTPUT:
        say(f"{file}: {describe_counts(counts)}, of commit {sequence}; {describe_number(size, 'byte')}")
        if out.as_json:
            out.document({"file": file, "format": chosen, "sequence": sequence, "bytes": size, "rows": counts})
    return EXIT_SOUND


def _named(targets: tuple[str, ...], of: tuple[str, str] | None) -> tuple[str | None, str]:
    """Return the table, None for all, and the file."""
    if of is not None and len(targets) != 1:
        raise UsageError("--of names the row: give the file alone")
    if not 1 <= len(targets) <= 2:
        raise UsageError("name a file, or a table and a file; - for standard output")
    return (None, targets[0]) if len(targets) == 1 else (targets[0], targets[1])


def _write(file: str, chosen: str, tables: Tables, *, is_single: bool, overwrite: bool) -> int:
    """Write the file, which gets its name when it is whole, for its owner alone; return its size."""
    parts = _parts(chosen, tables, is_single=is_single)
    if file == STANDARD_OUTPUT:
        sys.stdout.write(b"".join(parts).decode())
        return 0
    path = Path(file)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; --overwrite replaces it")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            for part in parts:
                out.write(part)
            out.flush()
            os.fsync(out.fileno())
        size = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _parts(chosen: str, tables: Tables, *, is_single: bool) -> Iterable[bytes]:
    """Return the bytes of the file: written as `snaptable.interchange` writes files, of rows without models."""
    lines = [(name, map(row_json, rows.values())) for name, rows in tables.items()]
    if chosen == "sqlite":
        return _sqlite(tables)
    if chosen == "csv":
        return _csv(next(iter(tables.values())).values())
    if chosen == "jsonl":
        return (line + b"\n" for line in lines[0][1])
    if chosen == "tinydb":
        return tinydb_lines(lines)
    if chosen == "json" and is_single:
        return (*array_lines(lines[0][1]), b"\n")
    return tables_lines(lines)


def _csv(rows: Iterable[Fields]) -> Iterator[bytes]:
    """Yield lines: null is an empty cell, what is no text its JSON."""
    listed = list(rows)
    names = columns_of(listed)
    return csv_lines(names, ([_cell(row.get(name)) for name in names] for row in listed))


def _cell(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else row_json(value).decode()


def _sqlite(tables: Tables) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.sqlite")
        write_sqlite(path, [(name, *_columns(rows.values())) for name, rows in tables.items()])
        yield path.read_bytes()


def _columns(rows: Iterable[Fields]) -> tuple[list[tuple[str, str]], Iterator[list[SqlValue]]]:
    """Return the columns of some rows, each with its type in sqlite, and their values."""
    listed = list(rows)
    names = columns_of(listed) or ["id"]
    texts = {name for name in names if any(isinstance(row.get(name), str) for row in listed)}
    columns = [(name, "TEXT" if name in texts else "") for name in names]
    return columns, ([_sql_value(row.get(name)) for name in names] for row in listed)


def _sql_value(value: object) -> SqlValue:
    if isinstance(value, int) and not isinstance(value, bool) and not fits(value):
        return str(value)
    return value if value is None or isinstance(value, int | float | str) else row_json(value).decode()
