"""The rows in which two states differ: compared as values, so that layout, order and spelling don't count."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from snaptable.maintenance.untyped import Rows
from snaptable.values.row_lines import row_json


@dataclass(frozen=True)
class FieldChange:
    """A field whose value changed: its JSON before and after, None if the row has no such field."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Difference:
    """A row that changed: its JSON before and after, None if it was added or removed."""

    table: str
    key: str
    before: bytes | None
    after: bytes | None

    @property
    def fields(self) -> list[FieldChange]:
        """The fields that changed, those of the row before first."""
        old, new = _fields_of(self.before), _fields_of(self.after)
        return [
            FieldChange(name, _text_of(old, name), _text_of(new, name))
            for name in _union(old, new)
            if (name in old) != (name in new) or _canonical(old[name]) != _canonical(new[name])
        ]

    @property
    def former_values(self) -> bytes:
        """A JSON object with the values that the fields which changed, or are gone, had before."""
        old, names = _fields_of(self.before), {field.name for field in self.fields}
        return row_json({name: value for name, value in old.items() if name in names})

    @property
    def added(self) -> tuple[str, ...]:
        """The fields that the row did not have before."""
        return tuple(field.name for field in self.fields if field.before is None)


def compare(before: Rows, after: Rows) -> Iterator[Difference]:
    """Yield the rows that differ, by table; O(n)."""
    for table in _union(before, after):
        old, new = before.get(table, {}), after.get(table, {})
        for key in _union(old, new):
            if not is_same(old.get(key), new.get(key)):
                yield Difference(table, key, old.get(key), new.get(key))


def is_same(one: bytes | None, other: bytes | None) -> bool:
    """Return whether two rows are equal as values; 1, 1.0 and true are three values."""
    if one == other or one is None or other is None:
        return one == other
    return _canonical(json.loads(one)) == _canonical(json.loads(other))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _fields_of(row: bytes | None) -> dict[str, object]:
    return json.loads(row) if row else {}


def _text_of(fields: dict[str, object], name: str) -> str | None:
    return json.dumps(fields[name], ensure_ascii=False) if name in fields else None


V = TypeVar("V")


def _union(first: dict[str, V], second: dict[str, V]) -> list[str]:
    """Return the keys of the first, then those that only the second has."""
    return [*first, *(name for name in second if name not in first)]
