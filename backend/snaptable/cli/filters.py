"""Filters as a person writes them, `pages >= 10`, over rows as JSON has them."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from snaptable.cli.common import UsageError

JsonRow = Mapping[str, object]
_PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*"
_COMPARED = re.compile(rf"\s*({_PATH})\s*(>=|<=|!=|==|=|>|<)\s*(.*?)\s*", re.DOTALL)
_WORDED = re.compile(rf"\s*({_PATH})\s+(in|has|contains|starts_with)\s+(.*?)\s*", re.DOTALL)
_NULL = re.compile(rf"\s*({_PATH})\s+is\s+(not\s+)?null\s*", re.IGNORECASE)
_REST = re.compile(
    r"([A-Za-z_][A-Za-z0-9_.]*?)__(ne|gte|gt|lte|lt|in|contains|starts_with|has|isnull|null)=(.*)", re.DOTALL
)
_REST_NAMES = {"ne": "!=", "gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass
class Filter:
    """A condition on the rows of a table.

    Attributes:
        path: the field, and what is inside of it; empty for any text field.
        operator: "=", "!=", "<", "<=", ">", ">=", "in", "has", "contains", "starts_with", "null" or "text".
        text: what it is compared with.
        is_known: whether a row has had the field.
    """

    path: tuple[str, ...]
    operator: str
    text: str
    is_known: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Return the filter that a text spells; what spells none is looked for in every text field."""
        if match := _NULL.fullmatch(text):
            return cls(_parts(match[1]), "null", "false" if match[2] else "true")
        if match := _REST.fullmatch(text):
            name = "null" if match[2] == "isnull" else match[2]
            return cls(_parts(match[1]), _REST_NAMES.get(name, name), match[3])
        if match := _WORDED.fullmatch(text):
            return cls(_parts(match[1]), match[2], match[3])
        if match := _COMPARED.fullmatch(text):
            sign = "=" if match[2] == "==" else match[2]
            if match[3] == "null" and sign in ("=", "!="):
                return cls(_parts(match[1]), "null", "true" if sign == "=" else "false")
            return cls(_parts(match[1]), sign, match[3])
        return cls((), "text", text)

    def __str__(self) -> str:
        return f"{'.'.join(self.path)} {self.operator} {self.text}".strip()

    @property
    def values(self) -> list[str]:
        """What it is compared with: the parts of a list, without quotes."""
        parts = self.text.split(",") if self.operator == "in" else [self.text]
        return [_unquoted(part.strip()) for part in parts]

    def holds(self, row: JsonRow) -> bool:
        """Return whether it holds for a row.

        Raises:
            UsageError: the value of the row has no order with what it is compared with.
        """
        if self.operator == "text":
            wanted = self.text.casefold()
            return any(isinstance(value, str) and wanted in value.casefold() for value in row.values())
        self.is_known = self.is_known or self.path[0] in row
        value = value_at(row, self.path)
        if self.operator == "null":
            return (value is None) == (self.text.lower() == "true")
        return _holds(self, value)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def value_at(row: JsonRow, path: Sequence[str]) -> object:
    """Return the value of a field, or what is inside of it; None if it isn't there."""
    value: object = row
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _holds(wanted: Filter, value: object) -> bool:
    """Return whether a value is as wanted; a null is neither less nor greater than anything."""
    name, texts = wanted.operator, wanted.values
    if name == "in":
        return any(_equals(value, text) for text in texts)
    if name == "has":
        return isinstance(value, list) and any(_equals(item, texts[0]) for item in value)
    if name == "contains":
        return isinstance(value, str) and texts[0].casefold() in value.casefold()
    if name == "starts_with":
        return isinstance(value, str) and value.startswith(texts[0])
    if name == "=":
        return _equals(value, texts[0])
    if name == "!=":
        return not _equals(value, texts[0])
    return value is not None and _compares(wanted, value, texts[0])


def _equals(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        return bool(_NUMBER.fullmatch(text)) and Decimal(text) == Decimal(str(value))
    if isinstance(value, str):
        if value == text:
            return True
        if _MOMENT.fullmatch(value) and (_DAY.fullmatch(text) or _MOMENT.fullmatch(text)):
            first, last = _span(text, value)
            moment = _moment(value)
            return moment is not None and first is not None and last is not None and first <= moment <= last
    return False


def _compares(wanted: Filter, value: object, text: str) -> bool:
    compare = COMPARISONS[wanted.operator]
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _number(text)
        if number is None:
            raise UsageError(f"{'.'.join(wanted.path)} holds numbers; {text!r} is none")
        return compare(Decimal(str(value)), number)
    if isinstance(value, str):
        if _MOMENT.fullmatch(value) and (_DAY.fullmatch(text) or _MOMENT.fullmatch(text)):
            first, last = _span(text, value)
            moment, bound = _moment(value), last if wanted.operator in (">", "<=") else first
            return moment is not None and bound is not None and compare(moment, bound)
        ours, other = _number(value), _number(text)
        return compare(ours, other) if ours is not None and other is not None else compare(value, text)
    raise UsageError(f"{'.'.join(wanted.path)} has no order: it holds {type(value).__name__}s")


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _span(text: str, like: str) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment that a text means, naive if those that it is compared with are.

    A day is all of its moments, a time without a zone one of this machine.
    """
    other = _moment(like)
    is_naive = other is None or other.tzinfo is None
    if _DAY.fullmatch(text):
        try:
            begin = datetime.combine(date.fromisoformat(text), datetime.min.time())
        except ValueError:
            raise UsageError(f"there is no day {text}") from None
        end = begin + timedelta(days=1, microseconds=-1)
    else:
        moment = _moment(text)
        if moment is None:
            return None, None
        begin = end = moment
    if is_naive:
        return begin.replace(tzinfo=None), end.replace(tzinfo=None)
    return begin.astimezone(), end.astimezone()


# ── order ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def sorted_rows(rows: list[JsonRow], order: str) -> list[JsonRow]:
    """Return rows sorted by `-upload_date,id`; null comes last in both directions. O(n log n).

    Raises:
        UsageError: no row has the field.
    """
    for name in reversed([part.strip() for part in order.split(",")]):
        path = _parts(name.removeprefix("-"))
        if rows and not any(path[0] in row for row in rows):
            raise UsageError(f"there is no field {path[0]!r} to sort by; there are {', '.join(rows[0])}")
        valued = [(value_at(row, path), row) for row in rows]
        there = [pair for pair in valued if pair[0] is not None]
        there.sort(key=lambda pair: _rank(pair[0]), reverse=name.startswith("-"))
        rows = [row for _, row in there] + [row for value, row in valued if value is None]
    return rows


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool | int | float):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, str(value))
