"""The planner: which index answers, how many rows it expects, when it sorts; and every way gives the same rows."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest

from snaptable import (
    Database,
    ForeignKey,
    Index,
    Plan,
    Query,
    Row,
    Table,
    Unique,
    contains,
    desc,
    one_of,
    starts_with,
    table,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 400


class User(Row):
    id: str


class Document(Row):
    id: int
    user_id: Annotated[str, ForeignKey(User)]
    code: Annotated[str, Unique()]
    status: Annotated[str, Index()] = "new"
    pages: Annotated[int | None, Index(ordered=True)] = None
    uploaded: datetime = START
    title: Annotated[str, Index(ordered=True)] = ""
    tags: Annotated[list[str], Index(each=True)] = []
    size: int = 0
    weight: float = 0.0


class Library(Database):
    users: Table[User]
    documents: Table[Document] = table(
        Index("user_id", "uploaded", ordered=True), Unique("user_id", "title"), Index("status", "size")
    )


def document(number: int) -> Document:
    """Return the document of a number: 4 users, 3 states, 50 page counts, none for the last 10."""
    return Document(
        id=number,
        user_id=f"u{number % 4}",
        code=f"c{number}",
        status=("new", "read", "done")[number % 3],
        pages=number % 50 if number < COUNT - 10 else None,
        uploaded=START + timedelta(hours=number * 7 % COUNT),
        title=f"title {number:03}",
        tags=[f"t{number % 5}", f"t{number % 7}"],
        size=number % 11,
        weight=number / 3,
    )


@pytest.fixture(name="db", scope="module")
def open_library() -> Any:
    """Give a library with 400 documents of 4 users."""
    with Library("memory:") as db:
        db.users.insert_many([User(id=f"u{number}") for number in range(4)])
        db.documents.insert_many([document(number) for number in range(COUNT)])
        yield db


Ask = Callable[[Table[Document]], Query[Document]]
DAY = START + timedelta(days=1)
# What is asked, the index that must answer, the most rows it may look at, and whether it sorts afterwards.
PLANS: list[tuple[str, Ask, str | None, int, bool]] = [
    ("primary key", lambda t: t.where(Document.id == 7), "primary key", 1, False),
    ("primary keys", lambda t: t.where(one_of(Document.id, [7, 8])), "primary key", 2, False),
    ("key and more", lambda t: t.where(Document.id == 7, Document.status == "new"), "primary key", 1, False),
    ("unique", lambda t: t.where(Document.code == "c7"), "code", 1, False),
    ("several unique values", lambda t: t.where(one_of(Document.code, ["c7", "c8"])), "code", 2, False),
    ("hash", lambda t: t.where(Document.status == "new"), "status", 134, False),
    ("hash of several", lambda t: t.where(one_of(Document.status, ["new", "done"])), "status", 267, False),
    ("foreign key", lambda t: t.where(user_id="u1", size=3), "user_id", 100, False),
    ("the rarer of two", lambda t: t.where(Document.status == "new", user_id="u1"), "user_id", 100, False),
    ("compound hash", lambda t: t.where(status="new", size=3), "status,size", 13, False),
    ("compound unique", lambda t: t.where(user_id="u1", title="title 001"), "user_id,title", 1, False),
    ("item of a list", lambda t: t.where(contains(Document.tags, "t6")), "tags", 60, False),
    ("equal in an ordered index", lambda t: t.where(Document.pages == 7), "pages", 8, False),
    ("range", lambda t: t.where(Document.pages > 46), "pages", 21, False),  # type: ignore[operator]
    (
        "closed range",
        lambda t: t.where(Document.pages >= 3, Document.pages < 5),  # type: ignore[operator]
        "pages",
        16,
        False,
    ),
    (
        "range within a condition",
        lambda t: t.where((Document.pages >= 3) & (Document.pages < 5)),  # type: ignore[operator]
        "pages",
        16,
        False,
    ),
    ("beginning of a text", lambda t: t.where(starts_with(Document.title, "title 01")), "title", 10, False),
    ("order", lambda t: t.order_by(Document.title), "title", COUNT, False),
    ("order backwards", lambda t: t.order_by(desc(Document.title)), "title", COUNT, False),
    ("order and limit", lambda t: t.order_by(Document.title).limit(5), "title", 5, False),
    ("order, None last", lambda t: t.order_by(desc(Document.pages)).limit(5), "pages", 5, False),
    ("range and order", lambda t: t.where(Document.title > "title 390").order_by(Document.title), "title", 9, False),
    (
        "prefix",
        lambda t: t.where(user_id="u1").order_by(desc(Document.uploaded)).limit(20),
        "user_id,uploaded",
        20,
        False,
    ),
    ("prefix and range", lambda t: t.where(Document.uploaded < DAY, user_id="u1"), "user_id,uploaded", 24, False),
    (
        "prefix, range and order",
        lambda t: t.where(Document.uploaded < DAY, user_id="u1").order_by(Document.uploaded),
        "user_id,uploaded",
        24,
        False,
    ),
    ("two in order", lambda t: t.order_by(Document.user_id, Document.uploaded), "user_id,uploaded", COUNT, False),
    (
        "two backwards",
        lambda t: t.order_by(desc(Document.user_id), desc(Document.uploaded)),
        "user_id,uploaded",
        COUNT,
        False,
    ),
    ("hash, then sorted", lambda t: t.where(status="new").order_by(Document.weight), "status", 134, True),
    ("no index", lambda t: t.where(Document.weight > 3), None, COUNT, False),
    ("not equal", lambda t: t.where(Document.status != "new"), None, COUNT, False),
    ("either of two", lambda t: t.where((Document.size == 1) | (Document.weight > 3)), None, COUNT, False),
    ("everything", lambda t: t.where(), None, COUNT, False),
    ("order without an index", lambda t: t.order_by(Document.weight), None, COUNT, True),
    ("mixed directions", lambda t: t.order_by(Document.weight, desc(Document.size)), None, COUNT, True),
]


@pytest.mark.parametrize(("ask", "index", "most", "sorts"), [plan[1:] for plan in PLANS], ids=[p[0] for p in PLANS])
def test_plans(db: Library, ask: Ask, index: str | None, most: int, sorts: bool) -> None:
    """Ensure that the named index answers, that it expects no more rows than it must, and sorts if it must."""
    plan = ask(db.documents).explain()
    assert plan.index == index
    assert 0 < plan.rows <= most
    assert plan.sorts is sorts


def test_shows_the_plan_as_text(db: Library) -> None:
    """Ensure that a plan prints as text that names the table, the index or the scan, the rows, and the sort."""
    text = str(db.documents.where(status="new").order_by(Document.weight).explain())
    assert all(word in text for word in ("documents", "status", "134 rows", "sort"))
    text = str(db.documents.where(Document.weight > 3, Document.size == 1).explain())
    assert all(word in text for word in ("scan", "documents", "400 rows", "2 conditions"))
    assert "1 row " in str(db.documents.where(id=3).explain())


def test_chooses_anew_for_other_values() -> None:
    """Ensure that of two queries that differ in a value only, each takes the index that is better for it."""
    with Library("memory:") as skewed:
        skewed.users.insert_many([User(id="u0"), User(id="u1")])
        rows = [document(number).model_copy(update={"user_id": "u1" if number > 9 else "u0"}) for number in range(90)]
        skewed.documents.insert_many(rows)
        for _ in range(2):
            for user, status, index, count in (("u0", "new", "user_id", 4), ("u1", "new", "status", 26)):
                query = skewed.documents.where(user_id=user, status=status)
                assert query.explain().index == index
                assert len(query.all()) == query.count() == count
            assert skewed.documents.where(user_id="none", status="new").explain().rows == 0


def test_tells_values_without_a_place_apart() -> None:
    """Ensure that None, NaN and the empty text are not sought in an index where other values of the field are."""
    with Library("memory:") as library:
        library.users.insert(User(id="u0"))
        library.documents.insert_many([document(number * 4) for number in range(20)])
        pages = library.documents.where(Document.pages >= 0)  # type: ignore[operator]
        assert (pages.explain().index, pages.count()) == ("pages", 20)
        nan = library.documents.where(Document.pages >= float("nan"))  # type: ignore[operator]
        assert (nan.explain().index, nan.all()) == (None, [])
        assert library.documents.where(pages=0).explain().index == "pages"
        assert library.documents.where(pages=None).explain().index is None
        titled = library.documents.where(starts_with(Document.title, "t"))
        assert (titled.explain().index, titled.count()) == ("title", 20)
        anything = library.documents.where(starts_with(Document.title, ""))
        assert (anything.explain().index, anything.count()) == (None, 20)


def test_takes_none_for_no_unique_value() -> None:
    """Ensure that None in a unique index, which many rows may have, is weighed against other indexes."""

    class Ticket(Row):
        id: int
        seat: Annotated[str | None, Unique()] = None
        show: Annotated[str, Index()] = ""

    class Tickets(Database):
        tickets: Table[Ticket]

    with Tickets("memory:") as db:
        db.tickets.insert_many([Ticket(id=number, show=f"s{number % 5}") for number in range(50)])
        query = db.tickets.where(seat=None, show="s1")
        assert (query.explain().index, query.explain().rows, query.count()) == ("show", 10, 10)
        db.tickets.update(1, seat="1a")
        assert db.tickets.where(seat="1a", show="s1").explain().index == "seat"


def test_expects_nothing_of_an_empty_table() -> None:
    """Ensure that a plan of an empty table can be asked for, and expects no rows."""
    with Library("memory:") as empty:
        for _, ask, *_ in PLANS:
            plan = ask(empty.documents).explain()
            assert isinstance(plan, Plan)
            assert plan.rows <= 2
            assert ask(empty.documents).all() == []


def test_stops_early(db: Library) -> None:
    """Ensure that a limit on a walk in order expects a few rows, with a filter some more, never the whole table."""
    few = db.documents.order_by(Document.title).limit(3).explain()
    filtered = db.documents.where(Document.weight > 1).order_by(Document.title).limit(3).explain()
    assert (few.rows, few.index) == (3, "title")
    assert filtered.index == "title"
    assert filtered.rows < COUNT / 4
