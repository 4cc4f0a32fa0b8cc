"""Cursors of pages: where a page ended, as an opaque text that only its own query takes back."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from snaptable.conditions import Column, Condition, Order
from snaptable.errors import InvalidCursor

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


def encode(table: str, where: Sequence[Condition], order: Sequence[Order], row: Any) -> str:
    """Return the cursor that stands behind a row: its values of the ordering's columns, and whose query they are."""
    values = [_adapter(item.column).dump_json(getattr(row, item.column.name)).decode() for item in order]
    text = json.dumps([_fingerprint(table, where, order), *values], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(table: str, where: Sequence[Condition], order: Sequence[Order], cursor: str) -> tuple[Any, ...]:
    """Return the values a cursor stands behind.

    Raises:
        InvalidCursor: it is damaged, or was given out by another query.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        fingerprint, *values = json.loads(urlsafe_b64decode(padded))
        own = fingerprint == _fingerprint(table, where, order) and len(values) == len(order)
        position = (
            tuple(_adapter(item.column).validate_json(value) for item, value in zip(order, values, strict=own))
            if own
            else ()
        )
    except (ValueError, TypeError, AttributeError, RecursionError, ValidationError):
        raise InvalidCursor(f"the cursor is damaged; start again at the first page of {table}") from None
    if not own:
        raise InvalidCursor(f"the cursor belongs to another query; start again at the first page of {table}")
    return position


def _fingerprint(table: str, where: Sequence[Condition], order: Sequence[Order]) -> str:
    return blake2b(repr((table, where, order)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@lru_cache(maxsize=512)
def _column_adapter(model: type, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(Column(model, name).annotation, config=_BYTES)


def _adapter(column: Column) -> TypeAdapter[Any]:
    return _column_adapter(column.model, column.name)
