"""Aggregates, groups and distinct values on PostgreSQL: to the digit those of memory, and worked out by the server."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import product
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AfterValidator, AwareDatetime
from tests.snaptable.postgres import stores

from snaptable import Avg, Count, Database, Index, Max, Min, Row, SnaptableError, Sum, Table, desc
from snaptable.postgres.server.connections import Session

OFFSET = timezone(timedelta(hours=2))
NAIVE = datetime(2026, 1, 2)  # noqa: DTZ001 - of times without a zone


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Rank(IntEnum):
    LOW = 1
    HIGH = 2


class Thing(Row):
    id: int
    text: str | None
    number: Annotated[int | None, Index(ordered=True)]
    real: float | None
    price: Decimal | None
    flag: bool | None
    mood: Mood | None
    rank: Rank | None
    day: date | None
    at: AwareDatetime | None
    either: datetime | None
    clock: time | None
    took: timedelta | None
    code: UUID | None
    data: bytes | None
    mixed: int | float | None
    tags: tuple[str, ...] | None
    above: dict[str, int] | None


class Told(Row):
    """A row whose model has code of its own, and so is read from its image."""

    id: int
    number: Annotated[int, AfterValidator(lambda number: number)]


class Things(Database):
    things: Table[Thing]
    told: Table[Told]


POOLS: dict[str, list[Any]] = {
    "text": ["a", "B", "é", "\uffff", "\U0001f600", ""],
    "number": [0, 1, -1, 2**62, 2**63 - 1, -(2**63)],
    "real": [0.0, -0.0, 0.1, 1e308, -1e308, 1e-300],
    "price": [Decimal(text) for text in ("1.10", "1.1", "-0", "0", "1E+3", "1000", "-1E+30", "1E-40")],
    "flag": [True, False],
    "mood": [*Mood],
    "rank": [*Rank],
    "day": [date.min, date.max, date(2026, 1, 2)],
    "at": [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 2, tzinfo=OFFSET), datetime(2025, 1, 1, tzinfo=UTC)],
    "either": [datetime(2026, 1, 2, tzinfo=UTC), NAIVE, datetime(2026, 1, 2, 2, tzinfo=OFFSET)],
    "clock": [time.min, time.max, time(12, 0, 0, 1)],
    "took": [timedelta(0), timedelta(days=1), timedelta(hours=-25), timedelta(microseconds=1)],
    "code": [UUID(int=0), UUID(int=2**128 - 1)],
    "data": [b"", b"\0", b"a"],
    "mixed": [1, 1.0, 2.5],
    "tags": [(), ("a",), ("a", "b")],
    "above": [{}, {"a": 1}],
}
COLUMNS = [*POOLS, "id"]
AGGREGATES = [Count, Sum, Avg, Min, Max]
ROWS = 120


@pytest.fixture(name="both", scope="module")
def give_both() -> Iterator[tuple[Things, Things]]:
    """Give the same rows in memory and on the server."""
    rng = random.Random(4)
    rows = [
        Thing(id=number, **{name: rng.choice([None, *pool]) for name, pool in POOLS.items()}) for number in range(ROWS)
    ]
    url = stores.new_schema()
    try:
        with Things("memory:") as memory, Things(url) as server:
            for db in (memory, server):
                db.things.insert_many(rows)
                db.told.insert_many(Told(id=number, number=number % 7) for number in range(20))
            yield memory, server
    finally:
        stores.drop_schemas([url])


def said(db: Things, ask: Any) -> str:
    """Return what a question gives, to the digit, or the kind of its error."""
    try:
        return repr(ask(db.things))
    except SnaptableError as error:
        return type(error).__name__


ANY: Any = Thing
QUERIES: list[Any] = [
    lambda things: things.where(),
    lambda things: things.where(ANY.number > 0, Thing.flag != None),  # noqa: E711
    lambda things: things.where(Thing.text == "nothing"),
    lambda things: things.where(Thing.above == {}),  # which SQL can't say
    lambda things: things.order_by(desc(Thing.number)).limit(30),
    lambda things: things.where(ANY.text < "z").limit(10),
    lambda things: things.order_by(Thing.text, Thing.id).limit(0),
]


@pytest.mark.parametrize("query", QUERIES)
def test_figures_are_those_of_memory(both: tuple[Things, Things], query: Any) -> None:
    """Ensure that every aggregate of every column is the same, digits, types and refusals too."""
    for made, name in product(AGGREGATES, COLUMNS):

        def ask(things: Any, made: Any = made, name: str = name) -> object:
            return query(things).aggregate(figure=made(getattr(Thing, name)), n=Count())

        answers = [said(db, ask) for db in both]
        assert answers[0] == answers[1], (made, name)


@pytest.mark.parametrize("name", COLUMNS)
def test_groups_are_those_of_memory(both: tuple[Things, Things], name: str) -> None:
    """Ensure that groups by every column, alone and with another, have the same keys, figures and order, cut or not."""
    column = getattr(Thing, name)
    figures = {"n": Count(), "sum": Sum(Thing.number), "mean": Avg(Thing.price), "most": Max(Thing.text)}
    questions: list[Any] = [
        lambda things: things.distinct(column),
        lambda things: things.group_by(column).aggregate(**figures),
        lambda things: things.group_by(column, Thing.flag).order_by("-n").limit(5).aggregate(n=Count()),
        lambda things: things.group_by(column).having(Count() > 9, Max(Thing.number) > 1).aggregate(first=Min(column)),
        lambda things: things.order_by(Thing.id).limit(50).group_by(column).aggregate(real=Sum(Thing.real)),
    ]
    for number, ask in enumerate(questions):
        answers = [said(db, ask) for db in both]
        assert answers[0] == answers[1], number


ON_THE_SERVER: list[Any] = [
    lambda db: db.things.sum(Thing.number),
    lambda db: db.things.avg(Thing.price),
    lambda db: db.things.where(Thing.flag == True).max(Thing.text),  # noqa: E712
    lambda db: db.things.aggregate(n=Count(), days=Count(Thing.day), first=Min(Thing.took), true=Sum(Thing.flag)),
    lambda db: db.things.distinct(Thing.mood),
    lambda db: db.things.group_by(Thing.flag, Thing.rank).aggregate(sum=Sum(Thing.number)),
    lambda db: db.things.order_by(Thing.id).limit(100).group_by(Thing.text).having(Count() > 1).aggregate(),
]


@pytest.mark.parametrize("ask", ON_THE_SERVER)
def test_the_server_works_them_out(both: tuple[Things, Things], monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    """Ensure that no more comes over the connection than there are groups."""
    came: list[int] = []
    usual = Session.ask

    def counted(session: Session, sql: str, params: Any = None) -> Any:
        records = usual(session, sql, params)
        came.append(len(records))
        return records

    monkeypatch.setattr(Session, "ask", counted)
    assert ask(both[1]) == ask(both[0])
    assert sum(came) <= 12


def test_a_model_with_code_of_its_own_is_asked(both: tuple[Things, Things]) -> None:
    """Ensure that rows read from their images are aggregated as they read."""
    memory, server = both
    for ask in (
        lambda db: db.told.sum(Told.number),
        lambda db: [(group.key, group.n) for group in db.told.group_by(Told.number).aggregate(n=Count())],
    ):
        assert ask(memory) == ask(server)


class Far(Row):
    id: int
    at: AwareDatetime
    price: Decimal = Decimal(0)


class Fars(Database):
    fars: Table[Far]


def test_what_only_python_can_say() -> None:
    """Ensure that moments in years that Python has not, in UTC, and sums that memory rounds, are as in memory."""
    moments = [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-23))),
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=OFFSET),
    ]
    prices = [Decimal("1E+1200"), Decimal("1E-20"), Decimal("-1E+1200")]
    rows = [Far(id=number, at=at, price=price) for number, (at, price) in enumerate(zip(moments, prices, strict=True))]
    url = stores.new_schema()
    try:
        with Fars("memory:") as memory, Fars(url) as server:
            for db in (memory, server):
                db.fars.insert_many(rows)
            assert (
                [repr(row) for row in server.fars] == [repr(row) for row in memory.fars] == [repr(row) for row in rows]
            )
            assert repr(server.fars.get(0)) == repr(rows[0])
            assert server.fars.update(1, price=Decimal(1)) == memory.fars.update(1, price=Decimal(1))
            server.fars.update(1, price=prices[1])
            memory.fars.update(1, price=prices[1])
            assert repr(server.fars.sum(Far.price)) == repr(memory.fars.sum(Far.price))
    finally:
        stores.drop_schemas([url])
