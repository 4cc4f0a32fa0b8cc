"""What a file holds, before any model has seen it: tables of records, each with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from snaptable.errors import UnreadableFile
from snaptable.interchange.formats import Format

Values = Literal["json", "text", "sql"]
"""What the values of a record are: JSON's, texts of CSV cells (None for an empty one), or sqlite's."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as a file has it.

    Attributes:
        values: by the file's own names; empty if the record could not be read.
        line: where it begins, counted from 1; in sqlite the number of the row.
        kind: what the values are.
        key: the key that stands beside it, where the file has a map of rows; None elsewhere.
        fault: why it could not be read, None if it could.
    """

    values: Mapping[str, object]
    line: int
    kind: Values = "json"
    key: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class ParsedFile:
    """The tables of a file.

    Attributes:
        name: the file's name, for messages.
        format: how it was read.
        tables: the records by table; the only table of a file without names is "".
        ignored: names of what stood beside the tables and is none.
    """

    name: str
    format: Format
    tables: Mapping[str, Sequence[Record]]
    ignored: tuple[str, ...] = field(default=())

    @property
    def count(self) -> int:
        """The number of records in all tables."""
        return sum(map(len, self.tables.values()))

    def records(self, table: str | None = None) -> Sequence[Record]:
        """Return the records of a table; of the only one, if none is named or the file's only table has no name.

        Raises:
            UnreadableFile: the file has no such table, or several and none was named.
        """
        if table is not None and table in self.tables:
            return self.tables[table]
        if len(self.tables) == 1:
            only = next(iter(self.tables))
            if table is None or only in ("", "_default"):
                return self.tables[only]
        names = ", ".join(sorted(map(repr, self.tables))) or "none"
        said = f"has no table {table!r}" if table is not None else "has several tables, and none was named"
        raise UnreadableFile(f"{self.name} {said}; its tables: {names}", path=self.name)

    def columns(self, table: str | None = None) -> tuple[str, ...]:
        """Return the names that the records of a table have, in the order in which they first stand there; O(n)."""
        return tuple(dict.fromkeys(name for record in self.records(table) for name in record.values))
