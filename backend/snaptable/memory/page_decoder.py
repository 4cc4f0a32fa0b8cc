"""Rows from a page of a snapshot's lines, all in one go: validated, and proven to be what would be written again.

The lines are parsed and validated by one call, the rows encoded by another, and the bytes compared. Equal bytes mean:
valid JSON, no key twice, no NaN, the right keys, nothing lost.

Lines that are sealed, written by this very code and unchanged since (see `spelling`), are validated, and not compared.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from pydantic import BaseModel

from snaptable.codec import Codec
from snaptable.values import bulk_validator
from snaptable.values.row_lines import Key, encode_line, encode_lines, join_lines


class PageDecoder:
    """What decodes pages of one table's lines."""

    def __init__(self, codec: Codec, shared: Mapping[str, bulk_validator.Intern]) -> None:
        """Prepare the table's validator; `shared` is for its fields, as in `bulk_validator`."""
        self._codec = codec
        self._key_of: Callable[[BaseModel], Key] = attrgetter(codec.key)
        self._validate = bulk_validator.rows_validator(codec.model, shared, plain=codec.plain).validate_json
        first = next(iter(codec.model.model_fields))
        self._row_start = "{" + json.dumps(first, ensure_ascii=False) + ":"
        """The first bytes of each row's JSON."""
        self._between = f",{self._row_start}".encode()

    def decode(self, page: bytes, *, sealed: bool) -> tuple[list[Key], list[BaseModel]] | None:
        """Return keys and rows of a page that is exactly as it would be written, else None; O(page).

        Args:
            page: some lines, joined.
            sealed: whether it is known that they are as they would be written, if they are valid.
        """
        try:
            by_key: dict[str, BaseModel] = self._validate(b"{%b}" % page, by_alias=False, by_name=True)
            rows = list(by_key.values())
            keys = list(map(self._key_of, rows))
            if sealed:
                # The count finds keys that stand twice. Line breaks alone are counted: a third of the time of `,\n`.
                if list(map(str, keys)) != list(by_key) or page.count(b"\n") != len(rows) - 1:
                    return None
            elif self._encode(keys, rows) != page:
                return None
        except Exception:  # noqa: BLE001 - a validator may raise anything; the row that it refuses is named line by line
            return None
        self._codec.adopt_all(rows)
        return keys, rows

    def _encode(self, keys: Sequence[Key], rows: Sequence[BaseModel]) -> bytes:
        """Return the page that would be written.

        Raises:
            ValueError: a row holds what not every reader accepts.
        """
        array = self._codec.dump_all(rows)
        # The split removes the comma before each row and the row's first bytes. If nested objects begin with the same
        # bytes, or rows don't, the number of parts is another, and the rows are encoded one by one.
        _, *row_ends = (b"," + array[1:-1]).split(self._between)
        if len(row_ends) != len(rows):
            parts = [self._codec.dump(row) for row in rows]
            self._codec.check_readable(array, b"", parts)
            return join_lines(map(encode_line, keys, parts))
        self._codec.check_readable(array, self._between[1:], row_ends)
        return encode_lines(list(map(str, keys)), self._row_start, row_ends)
