"""Strict JSON: what is refused, where depth is counted, and that refusing costs at most in proportion to the size."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.growth import assert_proportional

from snaptable.values.strict_json import MAX_QUOTED, NotStrict, depth_of, parse_strictly
from snaptable.web import parse_json

DIGITS = sys.get_int_max_str_digits()
DEEP = "[]" * 65
"""So many brackets that their depth is counted."""


def dotted(part: str, size: int) -> str:
    """Return a part again and again, up to a size, with commas between."""
    return ",".join([part] * (size // (len(part) + 1) + 1))


def numbered(size: int) -> str:
    """Return the members of an object, each with another key."""
    return ",".join(f'"{number}":0' for number in range(size // 8))


REFUSED: dict[str, Callable[[int], str]] = {
    "an escaped quote, again and again, in no string": lambda n: DEEP + '\\"' * (n // 2),
    "a string that does not end": lambda n: DEEP + '"' + "a" * n,
    "a string of escaped quotes that does not end": lambda n: DEEP + '"' + '\\"' * (n // 2),
    "a string of backslashes that does not end": lambda n: DEEP + '"' + "\\" * n,
    "JSON within a string, cut": lambda n: '["' + '{\\"a\\":[]},' * (n // 11),
    "one quote missing": lambda n: '{"a:1,' + dotted('"b":"c"', n) + "," + DEEP + "}",
    "quotes": lambda n: '"' * n + "[" * 200,
    "empty strings": lambda n: '""' * (n // 2) + "{" * 200,
    "opening braces": lambda n: "{" * n,
    "opening brackets": lambda n: "[" * n,
    "closing brackets": lambda n: DEEP + "]" * n,
    "brackets in a string": lambda n: '"' + "[" * n + '"' + "x",
    "deep, again and again": lambda n: "[" + dotted("[" * 99 + "]" * 99, n) + "x",
    "too deep at the end": lambda n: "[" + dotted("[]", n) + "," + "[" * 200 + "]" * 201,
    "the last key twice": lambda n: "{" + numbered(n) + f',"{n // 8 - 1}":1}}',
    "every key twice": lambda n: "{" + numbered(n // 2) + "," + numbered(n // 2) + "}",
    "one key in every place": lambda n: "{" + dotted('"a":0', n) + "}",
    "objects, the last with a key twice": lambda n: "[" + dotted('{"a":1}', n) + ',{"a":1,"a":2}]',
    "one long key twice": lambda n: "{" + ",".join(['"' + "k" * (n // 2) + '":0'] * 2) + "}",
    "NaN at the end": lambda n: "[" + dotted("1", n) + ",NaN]",
    "NaN everywhere": lambda n: "[" + dotted("NaN", n) + "]",
    "an integer of many digits": lambda n: "9" * (DIGITS + n),
    "integers of as many digits as there may be": lambda n: "[" + dotted("9" * DIGITS, n) + ",]",
    "a float of many digits": lambda n: "9" * n + ".5",
    "an exponent of many digits": lambda n: "1e" + "9" * n,
    "a small number of many digits": lambda n: "[0." + "1" * n + ",]",
    "half of a surrogate pair at the end": lambda n: '["' + "a" * n + '\\ud800"]',
    "halves of surrogate pairs": lambda n: '["' + "\\ud800" * (n // 6) + '"]',
    "halves of surrogate pairs, each in a string": lambda n: "[" + dotted('"\\ud800"', n) + "]",
    "an escape that is none": lambda n: '"' + "\\u00e9" * (n // 6) + '\\x"',
    "a control character": lambda n: '"' + "a" * n + '\x01"',
    "blanks, then more": lambda n: "{}" + " " * n + "x",
    "lines": lambda n: "[" + "\n" * n + "x",
    "a comma too much": lambda n: "[" + dotted("0", n) + ",]",
    "many objects, cut": lambda n: "[" + dotted('{"a":1}', n),
    "nothing but backslashes": lambda n: "\\" * n,
}


T = TypeVar("T")


def refusal(text: T, parse: Callable[[T], object] = parse_strictly) -> ValueError:  # type: ignore[assignment]
    """Return the error that a text is refused with."""
    try:
        value = parse(text)
    except ValueError as error:
        return error
    pytest.fail(f"it was taken: {value!r:.80}")


@pytest.mark.parametrize("kind", REFUSED)
def test_refusing_costs_at_most_in_proportion(kind: str) -> None:
    """Ensure each refusal takes a time that grows with the text, and not with its square."""
    assert_proportional(refusal, REFUSED[kind], 4096)


@pytest.mark.parametrize("kind", REFUSED)
def test_refusing_a_body_costs_at_most_in_proportion(kind: str) -> None:
    """Ensure the same of what a request's body goes through, the quicker parser before it included."""
    assert_proportional(lambda data: refusal(data, parse_json), lambda n: REFUSED[kind](n).encode(), 4096)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_message_does_not_grow_with_the_text(kind: str) -> None:
    """Ensure that no message repeats a megabyte of what was refused."""
    assert len(str(refusal(REFUSED[kind](20_000)))) < 2 * MAX_QUOTED + 100


def test_which_key_stands_twice_is_said() -> None:
    """Ensure the message names the key, and the reason by itself names nothing."""
    with pytest.raises(NotStrict) as raised:
        parse_strictly('{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}')
    assert '"c"' in str(raised.value)
    assert '"c"' not in raised.value.reason


TEXTS = st.text('"\\[]{}ab\x00é', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.integers(0, 6), st.booleans())
def test_depth_is_counted_outside_of_strings(value: Any, allowed: int, ascii_only: bool) -> None:
    """Ensure a value is refused for its depth exactly if it is deeper, whatever quotes and brackets its texts hold."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    if depth_of(value) > allowed:
        with pytest.raises(NotStrict, match="nested deeper"):
            parse_strictly(text, allowed)
    else:
        assert parse_strictly(text, allowed) == value


@given(
    st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", ":", ",", "a", "0", '"a"', '\\"', "\\\\"]), max_size=30)
)
def test_what_is_no_json_is_refused_as_the_plain_parser_refuses_it(parts: list[str]) -> None:
    """Ensure counting the depth first takes nothing that is no JSON, and refuses nothing else that is."""
    text = "".join(parts)
    try:
        expected = json.loads(text)
    except ValueError:
        refusal(text, lambda text: parse_strictly(text, 2))
        return
    if depth_of(expected) > 2:
        with pytest.raises(NotStrict):
            parse_strictly(text, 2)
