"""Stored rows as JSON, one or many, and what differs between two of one key: nothing here is validated any more."""

import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from functools import cached_property
from operator import ne
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import SchemaSerializer

from snaptable.codec.set_order import list_serializer_of, serializer_of
from snaptable.schema.tables import TableSchema
from snaptable.values import core_schemas
from snaptable.values.unordered import equal_in_any_order, written_in_any_order

FIRST_ROWS = 4
"""Rows that are written before it is known how large rows are; then four times as many, and so on."""
_EXACT_TYPES = frozenset({str, int, bool, type(None), date, UUID, bytes})
"""Types whose equal values are written alike."""


class RowWriter:
    """What writes the stored rows of one table as JSON, and compares them."""

    def __init__(self, schema: TableSchema, *, trusted: bool) -> None:
        """Take a table, and whether it is known that its rows survive JSON, if their values look so."""
        self.schema = schema
        self.model = schema.model
        self.table = schema.name
        self.key = schema.key
        self.on_update = dict(schema.on_update)
        """The fields that move with every change of a row, and what gives their new values."""
        self.trusted = trusted
        """Whether the types alone, and a look at the values, tell that a row survives JSON."""
        self._to_json = serializer_of(schema.model).to_json
        self._names = tuple(schema.model.model_fields)
        # A cached property keeps its value beside the fields; it is worked out again, not stored.
        self._cached = {
            name
            for base in schema.model.__mro__
            for name, member in vars(base).items()
            if isinstance(member, cached_property)
        }
        self._differ = _values_differ if self._compares_by_values() else ne

    def _compares_by_values(self) -> bool:
        """Return whether two stored rows are equal if, and only if, their dictionaries are: four times as quick."""
        return self.model.__eq__ is BaseModel.__eq__ and self.model.__ne__ is object.__ne__ and not self._cached

    # ── as JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self, row: BaseModel) -> bytes:
        """Return the row's JSON unchecked, for rows that came from JSON."""
        if self.trusted:
            # It was validated, and Pydantic alone writes its fields: a search for what does not fit would double the
            # cost.
            return self._to_json(row, round_trip=True)
        return self._to_json(row, round_trip=True, by_alias=False, warnings="error")

    def array_json(self, rows: Sequence[BaseModel]) -> bytes:
        """Return rows as a JSON array for readers outside, as Pydantic writes it: aliases, computed fields and all.

        Secrets are left out.
        """
        if self.schema.secrets:
            return self._rows_serializer.to_json(rows, exclude={"__all__": set(self.schema.secrets)})
        return self._rows_serializer.to_json(rows)

    def array_json_within(self, rows: Sequence[BaseModel], size: int) -> tuple[bytes, int]:
        """Return as many of the first rows, as `array_json`, as fit into `size` bytes, and how many; at least one.

        However large the others are, not many more are written than fit: the next ones are as many as the size of the
        ones before lets expect, and no more than four times as many.
        """
        parts: list[bytes] = []
        count, left, step = 0, size - 1, FIRST_ROWS
        while count < len(rows):
            some = rows[count : count + step]
            part = self.array_json(some)[1:-1]
            if len(part) + 1 > left and count + len(some) > 1:
                if len(some) == 1:
                    break
                step = len(some) // 2
                continue
            parts.append(part)
            count, left = count + len(some), left - len(part) - 1
            step = max(1, min(FIRST_ROWS * len(some), left * len(some) // (len(part) + 1)))
        return b"[%b]" % b",".join(parts), count

    def dump_all(self, rows: Sequence[BaseModel]) -> bytes:
        """Return the JSON of rows that came from JSON as one array, unchecked: half the cost of one by one."""
        return self._rows_serializer.to_json(rows, round_trip=True, by_alias=False, warnings="error")

    @cached_property
    def _rows_serializer(self) -> SchemaSerializer:
        return list_serializer_of(self.model)

    # ── what differs ────────────────────────────────────────────────────────────────────────────────────────────────

    def is_same_row(self, before: BaseModel, after: BaseModel, after_json: bytes) -> bool:
        """Return whether a stored row says the same as another, whose JSON is known.

        Equal is not enough: the same instant can be written with another offset, and that is a change.
        """
        if self._differ(before, after):
            return False
        return after_json == self.dump(before) or self.former_values(before, after) == b"{}"

    def is_moved_only(self, before: BaseModel, after: BaseModel, moved: Collection[str]) -> bool:
        """Return whether nothing but fields that move with every change is different in a row; O(fields)."""
        old, new = before.__dict__, after.__dict__
        return all(
            name in moved or old[name] is new[name] or self._is_stored_alike(name, before, after)
            for name in self._names
        )

    def former_values(self, before: BaseModel, after: BaseModel) -> bytes:
        """Return a JSON object of the values that `before` has in the fields that are written otherwise in `after`.

        Both are stored rows. O(fields), 2 µs for most.
        """
        old, new, names = before.__dict__, after.__dict__, set()
        for name in self._names:
            if old[name] is not new[name] and not self._is_stored_alike(name, before, after):
                names.add(name)
        return self._to_json(before, include=names, round_trip=True, by_alias=False) if names else b"{}"

    def is_written_alike(self, name: str, first: object, second: object) -> bool:
        """Return whether two parsed JSON values of a field say the same: the order of a set's items says nothing."""
        return first == second or (core_schemas.holds_sets(self.model, name) and equal_in_any_order(first, second))

    def _is_stored_alike(self, name: str, before: BaseModel, after: BaseModel) -> bool:
        old, new = before.__dict__[name], after.__dict__[name]
        kind = type(old)
        if kind is not type(new):
            return False
        if kind in _EXACT_TYPES:
            return bool(old == new)
        if kind is datetime:
            return bool(old == new and old.utcoffset() == new.utcoffset())
        # Equal is not enough: 1.0 and 1, -0.0 and 0.0, two orders of a dict's keys.
        first, second = (self._to_json(row, include={name}, round_trip=True, by_alias=False) for row in (before, after))
        return first == second or (
            core_schemas.holds_sets(self.model, name) and written_in_any_order(json.loads(first), json.loads(second))
        )


def _values_differ(first: BaseModel, second: BaseModel) -> bool:
    return first.__dict__ != second.__dict__
