"""Every kind of column compared with every kind of value: the rows that plain Python would pick, or an error.

Never an empty answer to a question that has no meaning: where Python can't compare, or nothing could ever be equal, it
is InvalidQuery, which names the column; and never an error where a row is equal. By index and by scan alike.
"""
# ruff: noqa: DTZ001 - naive times are tested too

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel
from tests.snaptable.contract.stores import Stores

from snaptable import Database, Index, InvalidQuery, Row, Table, one_of
from snaptable.conditions.columns import Column


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Shade(StrEnum):
    DARK = "dark"
    PALE = "pale"


class Box(BaseModel, frozen=True):
    x: int = 1


KINDS: dict[str, Any] = {
    "whole": int,
    "real": float,
    "exact": Decimal,
    "flag": bool,
    "text": str,
    "raw": bytes,
    "moment": datetime,
    "day": date,
    "hour": time,
    "span": timedelta,
    "mark": UUID,
    "mood": Mood,
    "size": Size,
    "shade": Shade,
    "letter": Literal["a", "b"],
    "either": int | str,
    "number": int | float,
    "items": tuple[int, ...],
    "names": frozenset[str],
    "box": Box,
    "address": IPv4Address,
    "anything": Any,
}
VALUES: dict[str, list[Any]] = {
    "whole": [0, 1, 2, 10**20],
    "real": [0.0, 1.0, 0.5, 1e300],
    "exact": [Decimal(0), Decimal(1), Decimal("0.5")],
    "flag": [False, True],
    "text": ["", "a", "calm", "dark", "1", "2026-01-01"],
    "raw": [b"", b"a"],
    "moment": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=1)))],
    "day": [date(2026, 1, 1), date(2026, 1, 2)],
    "hour": [time(1), time(2)],
    "span": [timedelta(0), timedelta(1)],
    "mark": [UUID(int=1), UUID(int=2)],
    "mood": list(Mood),
    "size": list(Size),
    "shade": list(Shade),
    "letter": ["a", "b"],
    "either": [1, "a", "1"],
    "number": [1, 0.5, 2],
    "items": [(), (1,), (1, 2)],
    "names": [frozenset(), frozenset({"a"})],
    "box": [Box(), Box(x=2)],
    "address": [IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")],
    "anything": [1, "a", True],
}
ODD: list[Any] = [
    None, True, 1, 1.0, -1, 0.25, float("nan"), float("inf"), Decimal(1), Decimal("NaN"), Decimal("sNaN"), 1j, "1",
    "zzz", b"1", datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), time(1),
    time(1, tzinfo=UTC), timedelta(1), UUID(int=1), str(UUID(int=1)), Mood.CALM, Size.SMALL, Shade.DARK, [1], (1,), {1},
    frozenset({"a"}), {"x": 1}, Box(), IPv4Address("10.0.0.1"), PurePosixPath("a"), object(), int, ..., range(3),
]  # fmt: skip
INDEXED = [name for name in KINDS if name not in ("either", "items", "names", "box", "anything", "raw", "address")]


def model(name: str, *markers: object) -> Any:
    """Return a model with a column of each kind, which may be None; markers on those that may have an index."""
    kinds = {
        field: Annotated[kind | None, *markers] if markers and field in INDEXED else kind | None
        for field, kind in KINDS.items()
    }
    return type(name, (Row,), {"__module__": __name__, "__annotations__": {"id": int, **kinds}})


Plain, Ordered, Hashed = model("Plain"), model("Ordered", Index(ordered=True)), model("Hashed", Index())
VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "one of": lambda one, other: one_of(one, [other]) if isinstance(one, Column) else one == other,
}
EQUALITIES = ("==", "!=", "one of")


class Store(Database):
    plain: Table[Plain]  # type: ignore[valid-type]
    ordered: Table[Ordered]  # type: ignore[valid-type]
    hashed: Table[Hashed]  # type: ignore[valid-type]


@pytest.fixture(scope="module")
def db(module_stores: Stores) -> Iterator[Store]:
    """Give a store with rows of every value, one column filled in each, the others None."""
    with module_stores.new(Store) as db:
        empty, filled = dict.fromkeys(KINDS), [(name, value) for name, values in VALUES.items() for value in values]
        for key, (name, value) in enumerate(filled):
            value = 2**63 - 1 if module_stores.on_postgres and value == 10**20 else value
            for table in db.tables.values():
                table.create(**{**empty, "id": key, name: value})
        yield db


def by_python(rows: list[Any], name: str, verb: str, operand: Any) -> set[int] | None:
    """Return the keys of the rows that Python would pick, None if it can't compare some value with the operand."""
    picked = set()
    for row in rows:
        value = getattr(row, name)
        if name == "mood" and verb not in EQUALITIES:  # members of enums are in the order of their values
            value, operand = getattr(value, "value", None), getattr(operand, "value", operand)
        if value is None and verb not in EQUALITIES:
            continue
        try:
            if VERBS[verb](value, operand):
                picked.add(row.id)
        except (TypeError, ArithmeticError):
            return None
    return picked


def by_store(table: Table[Any], name: str, verb: str, operand: Any) -> set[int] | None:
    """Return the keys of the rows that a table picks, None if it refuses, naming the column."""
    try:
        query = table.where(VERBS[verb](getattr(table.model, name), operand))
        found = query.all()
    except InvalidQuery as error:
        message = str(error)
    else:
        assert query.count() == len(found)
        return {row.id for row in found}
    assert f"{table.model.__name__}.{name}" in message, (name, verb, operand, message)
    return None


@pytest.mark.parametrize("name", KINDS)
def test_compares_as_python_does_or_refuses(db: Store, name: str) -> None:
    """Ensure each comparison gives Python's rows or an error, the same by scan, hash index and ordered index."""
    rows = db.tables["plain"].all()
    operands = [*ODD, *(value for values in VALUES.values() for value in values)]
    for verb in VERBS:
        for operand in operands:
            case = (name, verb, operand)
            answers = [by_store(table, name, verb, operand) for table in db.tables.values()]
            assert answers[0] == answers[1] == answers[2], case
            wanted = by_python(rows, name, verb, operand)
            if answers[0] is not None:
                assert answers[0] == wanted, case
            elif verb in ("==", "one of"):
                assert not wanted, case
