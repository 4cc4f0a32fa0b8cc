"""Rows from a page of a snapshot's lines, all in one go: validated, and proven to be what would be written again.

The lines are parsed and validated by one call, the rows encoded by another, and the bytes compared. Equal bytes mean:
valid JSON, no key twice, no NaN, the right keys, nothing lost.
"""

import json
import re
from collections.abc import Mapping
from itertools import chain
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from snaptable.changes import key_json
from snaptable.codec import Codec
from snaptable.values import bulk_validator

_ESCAPED = re.compile(r'["\\\x00-\x1f]')


class PageDecoder:
    """Read pages of one table's lines."""

    def __init__(self, codec: Codec, shared: Mapping[str, bulk_validator.Intern]) -> None:
        """Prepare the table's validator; `shared` is for its fields, as in `compact`."""
        self._codec = codec
        self._key_of = attrgetter(codec.key)
        self._validate = bulk_validator.rows_validator(codec.model, shared, plain=codec.plain).validate_json
        first = next(iter(codec.model.model_fields))
        self._begin = "{" + json.dumps(first, ensure_ascii=False) + ":"
        """How each row's JSON begins."""
        self._between = f",{self._begin}".encode()

    def read(self, page: bytes) -> tuple[list[Any], list[Any]] | None:
        """Return keys and rows of a page that is exactly as it would be written, else None; O(page)."""
        try:
            rows = list(self._validate(b"{" + page + b"}", by_alias=False, by_name=True).values())
            keys = list(map(self._key_of, rows))
            if self._write(keys, rows) != page:
                return None
        except (ValidationError, ValueError, TypeError, AttributeError):
            return None
        self._codec.adopt_all(rows)
        return keys, rows

    def _write(self, keys: list[Any], rows: list[Any]) -> bytes:
        """Return the page that would be written; raises ValueError where a row is more than every reader takes."""
        array = self._codec.dump_all(rows)
        # What was cut off: the comma before a row, and how it begins. Where a row's own objects begin in that way too,
        # or it doesn't, their number is another.
        _, *tails = (b"," + array[1:-1]).split(self._between)
        if len(tails) != len(rows):
            parts = [self._codec.dump(row) for row in rows]
            self._codec.check_readable(array, b"", parts)
            return b",\n".join(key_json(key) + b": " + part for key, part in zip(keys, parts, strict=True))
        self._codec.check_readable(array, self._between[1:], tails)
        return b"".join(chain.from_iterable(zip(self._heads(keys), tails, strict=True)))

    def _heads(self, keys: list[Any]) -> list[bytes]:
        """Return what stands between the rows' tails: the separator, the key, and how a row begins."""
        texts = keys if self._codec.schema.key_type is str else list(map(str, keys))
        if _ESCAPED.search("".join(texts)):
            texts = [key_json(key)[1:-1].decode() for key in keys]
        # A control character stands in no key's JSON: all are encoded in one go.
        return ('"' + f'": {self._begin}\0,\n"'.join(texts) + f'": {self._begin}').encode().split(b"\0")
