"""Whole states, to be compared: the rows of a database, and those of a snapshot file."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from snaptable.changes.records import Key
from snaptable.contract import Engine
from snaptable.history.records import Change, typed_key
from snaptable.schema.tables import TableSchema
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.values.row_lines import parse_line, split_lines

RowsOf = Callable[[str], Mapping[Key, bytes]]
"""Returns the JSON of each row of a table, by the text of its key."""


def rows_of_engine(engine: Engine) -> RowsOf:
    """Return what gives the rows of an open database."""

    def rows_of(table: str) -> Mapping[Key, bytes]:
        """Return the JSON of a table's rows by key."""
        return {str(key): row for key, row in engine.rows_json(table).items()}

    return rows_of


def rows_of_file(path: Path) -> RowsOf:
    """Return what gives the rows of a snapshot file, which is verified; O(n).

    Raises:
        CorruptSnapshot, SnapshotEdited, UnsupportedFormat: it does not verify.
        OSError: it can't be read.
    """
    snapshot = snapshot_format.read(str(path), path.read_bytes())
    sections = {section.table: section for section in snapshot.sections}

    def rows_of(table: str) -> Mapping[Key, bytes]:
        """Return the JSON of a table's rows by key."""
        section = sections.get(table)
        lines = [] if section is None or section.empty else split_lines(section.data)
        return dict(parse_line(table, line) for line in lines)

    return rows_of


def compared(schemas: Mapping[str, TableSchema], first: RowsOf, second: RowsOf) -> Iterator[Change]:
    """Yield the rows that differ between two states, by table; O(n)."""
    for name, schema in schemas.items():
        old, new = first(name), second(name)
        for key in dict.fromkeys((*old, *new)):
            change = Change.between(schema, typed_key(schema, key), old.get(key), new.get(key))
            if change is not None:
                yield change
