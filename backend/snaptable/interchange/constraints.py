"""Whether rows that are about to be written would break a constraint: checked beforehand, so that all are known."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from snaptable.contract import M
from snaptable.schema.tables import TableSchema
from snaptable.table import Table


class ConstraintCheck:
    """The keys, unique values and references of rows, beside those of a table and of one another."""

    def __init__(self, table: Table[M], tables: Mapping[str, Table[Any]]) -> None:
        """Take the table the rows are for, and all tables of its database."""
        self._table, self._tables = table, tables
        self._schema: TableSchema = table.schema
        self._uniques = [index for index in self._schema.indexes if index.kind == "unique"]
        self._lines: dict[tuple[str, object], int] = {}
        """Where a key, or a unique value, stands in the file."""
        self._keys: set[object] = set()
        """The keys of the rows in the file."""
        self._freed: dict[str, set[object]] = {}
        """Unique values, by index, that the rows in the file no longer have."""
        self._known: dict[tuple[str, object], bool] = {}

    def key_faults(self, key: object, line: int) -> Iterator[tuple[str, str]]:
        """Enter a row's key; yield the field and what is wrong."""
        first = self._lines.setdefault((self._schema.key, key), line)
        if first != line:
            yield self._schema.key, f"the row of line {first} has the same key"
        self._keys.add(key)

    def enter(self, row: BaseModel, stored: BaseModel | None) -> None:
        """Note which unique values a row that replaces a stored one sets free."""
        if stored is None:
            return
        for index in self._uniques:
            value = _value(stored, index.names)
            if value is not None and value != _value(row, index.names):
                self._freed.setdefault(index.name, set()).add(value)

    def faults(self, row: BaseModel, line: int, *, has_key: bool) -> Iterator[tuple[str, str]]:
        """Yield the field and what is wrong, once all rows are entered."""
        key = getattr(row, self._schema.key) if has_key else None
        for index in self._uniques:
            value = _value(row, index.names)
            if value is None:
                continue
            names = ", ".join(index.names)
            first = self._lines.setdefault((f"unique {index.name}", value), line)
            if first != line:
                yield names, f"the row of line {first} has the same value, and it is unique"
                continue
            other = self._table.where(**dict(zip(index.names, value, strict=True))).first()
            if other is None or value in self._freed.get(index.name, ()):
                continue
            other_key = getattr(other, self._schema.key)
            if other_key != key:
                yield names, f"the row {other_key} has the same value, and it is unique"
        for reference in self._schema.references:
            target = getattr(row, reference.field)
            if target is not None and not self._exists(reference.target, target):
                yield reference.field, f"{reference.target} has no row with this key"

    def _exists(self, table: str, key: object) -> bool:
        if table == self._schema.name and key in self._keys:
            return True
        known = self._known.get((table, key))
        if known is None:
            known = self._known[table, key] = key in self._tables[table]
        return known


def _value(row: BaseModel, names: tuple[str, ...]) -> tuple[object, ...] | None:
    """Return the values of an index's fields; None if one of them is None, which clashes with nothing."""
    value = tuple(getattr(row, name) for name in names)
    return None if None in value else value
