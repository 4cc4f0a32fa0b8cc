"""JSON as the store takes it: strictly. Parsers let much pass that would not come back as it was; this one doesn't."""

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Nesting of a row's JSON, its own object counted as 1; Python 3.11's parser fails near 1,000."""


def parse_strictly(text: str | bytes) -> Any:
    """Return the value of a JSON text, refusing what JSON parsers let pass.

    Raises:
        ValueError: not UTF-8, not JSON, a key twice in an object, NaN or an infinity, a lone surrogate, nested over
            `MAX_DEPTH` deep, an integer Python doesn't parse.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    # Counting brackets outside strings is cheap, and it must come first: the parser itself recurses.
    _check_depth(text)
    value = json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant, parse_float=_finite)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for match in _TOKEN.finditer(text):
        mark = match[0]
        depth += (mark in "[{") - (mark in "]}")
        # A snapshot holds its rows two levels down.
        if depth > MAX_DEPTH + 2:
            raise ValueError(f"nested deeper than {MAX_DEPTH} at character {match.start()}")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(twice)} stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is beyond what a float holds")
    return value


def depth_of(value: object) -> int:
    """Return how deeply a parsed JSON value is nested; a scalar is 0."""
    deepest, level = 0, [value]
    while level:
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return deepest
        deepest += 1
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest
