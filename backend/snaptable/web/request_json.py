"""Read JSON bodies strictly: what another parser could read differently, or we could not store, is refused."""

import json
from typing import Any

from pydantic_core import from_json, to_json

from snaptable.values.strict_json import NotStrict, depth_of, parse_strictly

# Well under what the store takes in a row (100), so that a body that passes here can be stored.
MAX_DEPTH = 64


def parse_json(data: bytes | str) -> Any:
    """Return the JSON value of `data`.

    Raises:
        ValueError: for anything but exactly one JSON text in UTF-8: duplicate keys, NaN and infinities, numbers
            that overflow, lone surrogates, nesting over `MAX_DEPTH`. The message repeats nothing of the data.
    """
    try:
        return parse_quickly(data) if isinstance(data, bytes) else _parse_strictly(data)
    except NeedsStrictParser:
        return _parse_strictly(data)


class NeedsStrictParser(Exception):
    """Say that it takes a closer look to tell whether a JSON text is strict."""


def parse_quickly(data: bytes) -> Any:
    """Return the JSON value of an ordinary text as the strict parser does, in a half to a quarter of the time.

    Pydantic's parser is strict as well, but for keys that stand twice, numbers beyond a float, and depth.

    Raises:
        NeedsStrictParser: it is not ordinary, or not strict.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
        again = to_json(value)
    except ValueError:
        raise NeedsStrictParser from None
    # A value that lost a key has a colon less when it is written again; an escape could hide a colon from the count.
    if b"\\u" in data or again.count(b":") != data.count(b":") or b"Infinity" in again:
        raise NeedsStrictParser
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH < depth_of(value):
        raise NeedsStrictParser
    return value


def _parse_strictly(data: bytes | str) -> Any:
    """Return the JSON value of `data`, or say why it is refused."""
    try:
        return parse_strictly(data, MAX_DEPTH)
    except NotStrict as error:
        raise ValueError(f"This can't be stored: {error.reason}.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"This is not valid UTF-8, at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not valid JSON, at character {error.pos}.") from None
    except ValueError:  # Python's bound on the digits of an integer
        raise ValueError("A number has too many digits.") from None
