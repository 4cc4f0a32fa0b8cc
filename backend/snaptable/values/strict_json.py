"""Strict JSON: what parsers let pass, and would not come back as it was, is refused.

Every text, refused or not, takes time in proportion to its size: texts come from strangers and from damaged files.
"""

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Nesting of a row's JSON, its own object counted as 1; Python 3.11's parser fails near 1,000."""

FILE_DEPTH = MAX_DEPTH + 2
"""Nesting of a snapshot: its rows lie two levels down."""
MAX_QUOTED = 80
"""Characters of the text that a message repeats."""

TOO_DEEP = "nested too deeply"
REPEATED_KEY = "a key stands twice in one object"
NOT_A_NUMBER = "NaN and infinities are not JSON"
BEYOND_FLOAT = "a number is beyond what a float holds"
HALF_A_PAIR = "half of a surrogate pair is not UTF-8"
"""Reasons of refusals; `json_faults` tells by them where the value stands."""


class NotStrict(ValueError):
    """JSON that a parser would take, and that is refused here.

    Attributes:
        reason: the sentence without any of the data, for those who may not see it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason + detail)
        self.reason = reason


def parse_strictly(text: str | bytes, max_depth: int = FILE_DEPTH) -> Any:
    """Return the value of a JSON text, refusing what JSON parsers let pass; O(size), refused or not.

    Raises:
        NotStrict: a key twice in an object, NaN or an infinity, a number beyond a float, half of a surrogate pair,
            nested deeper than `max_depth`.
        ValueError: not UTF-8, not JSON, an integer of more digits than Python parses.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    # Counting brackets outside strings is cheap, and it must come first: the parser itself recurses.
    check_depth(text, max_depth)
    value = json.loads(text, object_pairs_hook=unique_pairs, parse_constant=refuse_constant, parse_float=finite)
    if "\\u" in text:
        _check_surrogates(value)
    return value


_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
"""A string, or a bracket. A string without an end reaches to the text's: were it no match, the search would begin anew
at each further quote."""


def check_depth(text: str, max_depth: int) -> None:
    """Refuse a text whose brackets are nested deeper than that; O(size).

    Raises:
        NotStrict: they are.
    """
    if text.count("{") + text.count("[") <= max_depth:
        return
    depth = 0
    for match in _TOKEN.finditer(text):
        mark = match[0]
        depth += (mark in "[{") - (mark in "]}")
        if depth > max_depth:
            raise NotStrict(f"nested deeper than {max_depth}", f", at character {match.start()}")


def unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of an object; a hook of Python's parser, as the two below.

    Raises:
        NotStrict: a key stands twice.
    """
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise NotStrict(REPEATED_KEY, f": {_quoted(json.dumps(_first_repeated(pairs)))}")
    return unique


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities.

    Raises:
        NotStrict: always.
    """
    raise NotStrict(NOT_A_NUMBER, f": {name}")


def finite(text: str) -> float:
    """Return the value of a number with a fraction or an exponent.

    Raises:
        NotStrict: it is beyond what a float holds.
    """
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotStrict(BEYOND_FLOAT, f": {_quoted(text)}")
    return value


def _quoted(text: str) -> str:
    """Return a part of the text as a message repeats it: cut, as it may be a megabyte."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise NotStrict(HALF_A_PAIR) from None


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
