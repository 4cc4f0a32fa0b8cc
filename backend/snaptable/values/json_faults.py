"""Where in a JSON text the value stands that `strict_json` refuses: for who sent it, and has to find it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from snaptable.values.strict_json import BEYOND_FLOAT, HALF_A_PAIR, NOT_A_NUMBER, REPEATED_KEY, TOO_DEEP

MAX_WORDS = 100_000
"""So many tokens are looked at, in some 60 ms: a fault behind them is not located."""
TOO_MANY_DIGITS = "a number has too many digits"
MAX_DIGITS = 4_300
"""What Python parses unless it is told otherwise."""

_WORD = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s"\[\]{},:]++', re.DOTALL)
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
Step = str | int
"""A name of a member, or the position of an item."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that is refused: the names and positions that lead to it, and why."""

    path: tuple[Step, ...]
    reason: str


@dataclass(slots=True)
class _Container:
    """An object or array that is being read."""

    is_object: bool
    step: Step = 0
    """The name of the present member, or the position of the present item."""
    names: set[str] = field(default_factory=set)
    wants_name: bool = True


def first_fault(text: str, max_depth: int) -> Fault | None:
    """Return the first value of a JSON text that is not strict; O(size), and at most `MAX_WORDS` tokens.

    None: there is none, or the text is not JSON before it. A name with half of a surrogate pair is told by its object,
    since no pointer can hold it.

    Args:
        text: what was refused.
        max_depth: the nesting that is allowed.
    """
    stack: list[_Container] = []
    for word in _words(text):
        if word in "[{":
            if len(stack) >= max_depth:
                return Fault(_path(stack), TOO_DEEP)
            stack.append(_Container(word == "{"))
        elif not stack:
            # A scalar by itself, or brackets too many: no JSON has more behind it.
            reason = _fault_of(word)
            return Fault((), reason) if reason else None
        elif word in "]}":
            stack.pop()
        elif word == ",":
            _go_on(stack[-1])
        elif word == ":":
            stack[-1].wants_name = False
        elif stack[-1].is_object and stack[-1].wants_name and word[0] == '"':
            if reason := _name(stack[-1], word):
                return Fault(_path(stack if reason == REPEATED_KEY else stack[:-1]), reason)
        elif reason := _fault_of(word):
            return Fault(_path(stack), reason)
    return None


def _words(text: str) -> Iterator[str]:
    for number, match in enumerate(_WORD.finditer(text)):
        if number == MAX_WORDS:
            return
        yield match[0]


def _path(stack: list[_Container]) -> tuple[Step, ...]:
    return tuple(container.step for container in stack)


def _go_on(container: _Container) -> None:
    """Pass a comma."""
    container.wants_name = True
    if isinstance(container.step, int):
        container.step += 1


def _name(container: _Container, word: str) -> str:
    """Enter the name of a member; return what is wrong with it, "" if nothing is."""
    name = _text_of(word)
    if name is None:
        return HALF_A_PAIR
    repeated = name in container.names
    container.step = name
    container.names.add(name)
    return REPEATED_KEY if repeated else ""


def _fault_of(word: str) -> str:
    """Return what is wrong with a scalar, "" if nothing is."""
    if word[0] == '"':
        return HALF_A_PAIR if _text_of(word) is None else ""
    if word in _CONSTANTS:
        return NOT_A_NUMBER
    if word.removeprefix("-").isdigit():
        return TOO_MANY_DIGITS if len(word) > MAX_DIGITS else ""
    try:
        return BEYOND_FLOAT if word[-1].isdigit() and abs(float(word)) == float("inf") else ""
    except ValueError:
        return ""


def _text_of(word: str) -> str | None:
    """Return the text of a string, None if it holds half of a surrogate pair."""
    if "\\" not in word:
        return word[1:-1]
    try:
        text: str = json.loads(word, strict=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    except ValueError:
        return word[1:-1]
    return text
