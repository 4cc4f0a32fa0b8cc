"""`snaptable export [TABLE] FILE`: rows as JSON, JSON lines, CSV or sqlite; or everything that belongs to a row."""

import sys
from collections.abc import Mapping
from pathlib import Path

from snaptable.cli.carrying import closure_of
from snaptable.cli.common import EXIT_SOUND, UsageError, describe_counts, describe_number, output, say
from snaptable.cli.looking import WantedState, check_table, key_in, looking_at
from snaptable.history.fields import Fields
from snaptable.interchange import format_of
from snaptable.interchange.untyped_rows import UntypedRows
from snaptable.interchange.writing import SINGLE, file_lines, write_file
from snaptable.maintenance.raw_store import RawStore

STANDARD_OUTPUT = "-"
Tables = Mapping[str, Mapping[str, Fields]]


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
    with looking_at(store, at) as contents:
        tables = _rows(contents, table, of)
        sequence = contents.sequence
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


def _rows(contents: RawStore, table: str | None, of: tuple[str, str] | None) -> Tables:
    """Return the rows that are meant: what belongs to one, those of a table, or all that are kept."""
    if of is not None:
        check_table(contents, of[0])
        closure = closure_of(contents, of[0], [key_in(contents, *of)])
        for line in closure.missing:
            say(f"  {line}")
        return {name: rows for name, rows in closure.rows.items() if rows}
    if table is not None:
        check_table(contents, table)
        return {table: dict(contents.rows(table))}
    return {each.name: dict(contents.rows(each.name)) for each in contents.tables() if not each.transient}


def _write(file: str, chosen: str, tables: Tables, *, is_single: bool, overwrite: bool) -> int:
    """Write the file, which gets its name when it is whole, for its owner alone; return its size."""
    parts = file_lines([UntypedRows(name, rows.values()) for name, rows in tables.items()], chosen, is_single=is_single)
    if file == STANDARD_OUTPUT:
        sys.stdout.write(b"".join(parts).decode())
        return 0
    path = Path(file)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; --overwrite replaces it")
    return write_file(path, parts, overwrite=True)
