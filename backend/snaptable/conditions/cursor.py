"""Cursors of pages: where a page ended, as an opaque text that only its own query accepts."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import Order, PredicateTemplates
from snaptable.errors import InvalidCursor

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class Cursors:
    """The cursors of queries that differ in their values only.

    A cursor is base64 of a JSON array: a fingerprint of the query, then the JSON of each column of its order.
    """

    def __init__(self, table: str, where: PredicateTemplates, order: tuple[Order, ...]) -> None:
        """Take the query's table, its conditions and its order, which ends in the primary key."""
        self.table = table
        self.order = order
        self._adapters = [_adapter_of(item.column) for item in order]
        values_of = [item.column.read for item in order]
        self._writers = [
            (adapter.serializer.to_json, value_of) for adapter, value_of in zip(self._adapters, values_of, strict=True)
        ]
        self._shape = blake2b(repr((table, where, order)).encode("utf-8", "surrogatepass"), digest_size=8)

    def encode(self, values: tuple[object, ...], row: BaseModel) -> str:
        """Return the cursor behind a row of the query with these values."""
        position = [write(value_of(row)).decode() for write, value_of in self._writers]
        return urlsafe_b64encode(to_json([self._fingerprint(values), *position])).rstrip(b"=").decode()

    def decode(self, values: tuple[object, ...], cursor: str) -> tuple[object, ...]:
        """Return the row's values of the order's columns that a cursor stands behind.

        Raises:
            InvalidCursor: it is damaged, or was given out by another query.
        """
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            fingerprint, *texts = json.loads(urlsafe_b64decode(padded))
            own = fingerprint == self._fingerprint(values) and len(texts) == len(self.order)
            position = (
                tuple(adapter.validate_json(text) for adapter, text in zip(self._adapters, texts, strict=True))
                if own
                else ()
            )
        except (ValueError, TypeError, AttributeError, RecursionError, ValidationError):
            raise InvalidCursor(f"the cursor is damaged; start again at the first page of {self.table}") from None
        if not own:
            raise InvalidCursor(f"the cursor belongs to another query; start again at the first page of {self.table}")
        return position

    def _fingerprint(self, values: tuple[object, ...]) -> str:
        digest = self._shape.copy()
        digest.update(repr(values).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _adapter_of(column: Column) -> TypeAdapter[object]:
    if column.is_part:
        return TypeAdapter(column.annotation, config=_BYTES)
    return _column_adapter(column.model, column.name)


@lru_cache(maxsize=512)
def _column_adapter(model: type[BaseModel], name: str) -> TypeAdapter[object]:
    return TypeAdapter(Column(model, name).annotation, config=_BYTES)
