"""Writes that depend on what is there: expressions, upserts by a unique column, and the row that was expected."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses

from snaptable import (
    Database,
    InvalidQuery,
    InvalidRow,
    Row,
    RowNotFound,
    StaleRow,
    Table,
    Unique,
    UniqueViolation,
    numbered,
)
from snaptable.errors import TransactionConflict


class Counter(Row):
    id: int
    count: int = 0
    maybe: int | None = None
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    took: timedelta = timedelta(0)
    flag: bool = False
    text: str = ""


class User(Row):
    id: int = numbered()
    email: Annotated[str, Unique(), AfterValidator(str.lower)]
    nick: Annotated[str | None, Unique()] = None
    name: str = ""


class Store(Database):
    counters: Table[Counter]
    users: Table[User]


NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "count": st.integers(),
    "maybe": st.none() | st.integers(),
    "ratio": st.floats(-1e50, 1e50),
    "price": st.decimals(-(10**20), 10**20, places=12),
    "took": st.timedeltas(timedelta(-1000), timedelta(1000)),
}
OPERATIONS: dict[str, Any] = {
    "+": lambda value, number: value + number,
    "-": lambda value, number: value - number,
    "*": lambda value, number: value * number,
    "from": lambda value, number: number - value,
    "plus": lambda value, number: number + value,
}


def fit(numbers: Sequence[int | None]) -> bool:
    """Return whether PostgreSQL has a place for each of them, which other columns and engines have for any number."""
    return all(number is None or -(2**63) <= number < 2**63 for number in numbers)


@given(st.data(), st.sampled_from([*NUMBERS]), st.sampled_from([*OPERATIONS]))
def test_expressions_as_plain_python(stores: Stores, data: st.DataObject, name: str, operation: str) -> None:
    """Ensure that update and bulk update set what the operation gives, twice in one transaction, None staying None."""
    whole = name in ("count", "maybe")
    values = data.draw(st.lists(NUMBERS[name], min_size=1, max_size=4))
    assume(not (stores.on_postgres and whole) or fit(values))
    scalar = st.integers(-9, 9)
    number = data.draw(
        scalar if name == "took" and operation == "*" else NUMBERS[name].filter(lambda one: one is not None)
    )
    act = OPERATIONS[operation]
    with stores.new(Store) as db:
        db.counters.insert_many(Counter(id=at, **{name: value}) for at, value in enumerate(values))

        def worked(value: Any) -> Any:
            return None if value is None else act(value, number)

        expression = act(getattr(Counter, name), number)
        results = [worked(value) for value in values]
        if stores.on_postgres and whole and not fit(results):
            assert refuses(InvalidRow, lambda: db.counters.where().update(**{name: expression}), "counters", name)
            return
        assert db.counters.where().update(**{name: expression}) == len(values)
        found = [getattr(row, name) for row in db.counters.order_by(Counter.id)]
        if name == "price":  # exact, beyond the digits of the context
            assert [Fraction(one) for one in found] == [act(Fraction(value), Fraction(number)) for value in values]
        else:
            assert found == results
            if stores.on_postgres and whole and not fit([worked(results[0]), worked(worked(results[0]))]):
                return
            with db.transaction():
                first = db.counters.update(0, **{name: expression})
                second = db.counters.update(0, **{name: expression})
            assert getattr(first, name) == worked(found[0])
            assert getattr(second, name) == worked(getattr(first, name))
        assert db.check() == []


def test_an_expression_is_worked_out_where_no_other_write_comes_between(stores: Stores) -> None:
    """Ensure that threads that count up together lose nothing."""
    with stores.new(Store) as db:
        db.counters.insert(Counter(id=1))

        def work() -> None:
            for _ in range(50):
                count_up()

        def count_up() -> None:
            try:
                db.counters.update(1, count=Counter.count + 1)
            except TransactionConflict:  # PostgreSQL: it lost against the others for so long that it gave up
                count_up()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.counters[1].count == 200


def test_what_an_expression_gives_is_validated(stores: Stores) -> None:
    """Ensure that a result is checked as any value is, and a fault leaves nothing behind."""
    with stores.new(Store) as db:
        db.counters.insert(Counter(id=1, count=5))
        db.counters.insert(Counter(id=2, count=7))
        assert db.counters.update(1, maybe=Counter.count * 2, count=Counter.count + 1) == Counter(
            id=1, count=6, maybe=10
        )
        assert refuses(InvalidRow, lambda: db.counters.update(1, count=Counter.count + 0.5), "count")
        assert refuses(InvalidRow, lambda: db.counters.update(1, id=Counter.id + 1), "key")
        assert refuses(InvalidRow, lambda: db.counters.where().update(text=Counter.count + 1), "text")
        db.counters.update(1, took=timedelta.max)
        assert refuses(
            InvalidQuery, lambda: db.counters.update(1, took=Counter.took + timedelta(1)), "Counter.took", "timedelta"
        )
        assert [row.count for row in db.counters] == [6, 7]


ANY: Any = Counter
OTHER: Any = User


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda db: db.counters.update(1, text=ANY.text + "a"), ["Counter.text", "str"]),
        (lambda db: db.counters.update(1, flag=ANY.flag + 1), ["Counter.flag", "bool"]),
        (lambda db: db.counters.update(1, count=ANY.count + "1"), ["Counter.count", "str"]),
        (lambda db: db.counters.update(1, count=ANY.count + ANY.maybe), ["Counter.count", "Column"]),
        (lambda db: db.counters.update(1, count=ANY.count + True), ["Counter.count", "bool"]),
        (lambda db: db.counters.update(1, price=ANY.price * 0.5), ["Counter.price", "Decimal", "float"]),
        (lambda db: db.counters.update(1, took=ANY.took + 1), ["Counter.took", "timedelta"]),
        (lambda db: db.counters.update(1, count=ANY.count * timedelta(1)), ["Counter.count", "timedelta"]),
        (lambda db: db.counters.update(1, count=OTHER.id + 1), ["User.id", "counters"]),
        (lambda db: db.counters.where().update(count=OTHER.id + 1), ["User.id", "counters"]),
        (lambda db: db.users.upsert(User(email="a"), by=OTHER.name), ["users", "name", "Unique()"]),
        (lambda db: db.users.get_or_insert(User(email="a"), by="email"), ["users", "str"]),
        (lambda db: db.users.upsert(User(email="a"), by=ANY.id), ["Counter.id", "users"]),
    ],
)
def test_what_has_no_meaning_is_refused(stores: Stores, write: Any, words: list[str]) -> None:
    """An InvalidQuery names the column and the types."""
    with stores.new(Store) as db:
        db.counters.insert(Counter(id=1))
        assert refuses(InvalidQuery, lambda: write(db), *words)
        assert len(db.users) == 0


@given(st.lists(st.tuples(st.sampled_from("abcABC"), st.sampled_from([None, "n", "m"]), st.booleans()), max_size=8))
def test_upsert_by_a_unique_column(stores: Stores, writes: list[tuple[str, str | None, bool]]) -> None:
    """Ensure that the row with the same value, as it is validated, is replaced and keeps its key; else one is added."""
    with stores.new(Store) as db:
        stored: dict[str, User] = {}
        for number, (email, nick, insert_only) in enumerate(writes):
            row = User(email=email, name=f"{number}")
            before = stored.get(email.lower())
            if insert_only:
                found = db.users.get_or_insert(row, by=User.email)
                assert (found.name == row.name) == (before is None)
            else:
                found = db.users.upsert(row, by=User.email)
                assert found.name == row.name
            assert found.email == email.lower()
            assert before is None or found.id == before.id
            stored[found.email] = found
            other = db.users.get_or_insert(User(email=f"{nick}{number}", nick=nick), by=User.nick)
            stored[other.email] = other
        assert {user.email: user for user in db.users} == stored
        assert db.check() == []


def test_upsert_and_get_or_insert_by_the_key_and_inside_a_transaction(stores: Stores) -> None:
    """Ensure that the writer's own rows are found, other unique columns hold, and None is no value."""
    with stores.new(Store) as db:
        with db.transaction():
            ann = db.users.upsert(User(email="ann", nick="a"), by=User.email)
            assert db.users.upsert(User(email="ANN", nick="b"), by=User.email).id == ann.id
            assert db.users.get_or_insert(User(id=ann.id, email="x")).email == "ann"
        eve, joe = db.users.get_or_insert(User(email="eve")), db.users.get_or_insert(User(email="joe"), by=User.nick)
        assert (ann.id, eve.id, joe.id) == (1, 2, 3)  # no number was drawn for those that were there
        assert refuses(UniqueViolation, lambda: db.users.upsert(User(email="joe", nick="b"), by=User.email), "nick")
        assert [user.email for user in db.users] == ["ann", "eve", "joe"]


class Exact(Row):
    id: int
    data: dict[str, object] = Field(default_factory=dict)
    real: float = 0.0
    price: Decimal = Decimal(0)
    tags: frozenset[int] = frozenset()


class Exacts(Database):
    rows: Table[Exact]


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("data", {"a": 1}, {"a": 1.0}),
        ("data", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("real", 0.0, -0.0),
        ("price", Decimal("1.1"), Decimal("1.10")),
        ("price", Decimal("1000"), Decimal("1E+3")),
    ],
)
def test_what_is_equal_and_written_otherwise_is_a_change(stores: Stores, field: str, before: Any, after: Any) -> None:
    """Ensure that it is stored, where a set in another order is none."""
    with stores.new(Exacts) as db:
        db.rows.insert(Exact(id=1, tags=frozenset({1, 8}), **{field: before}))
        sequence = db.status().sequence
        assert repr(getattr(db.rows.update(1, **{field: after}), field)) == repr(after)
        assert repr(getattr(db.rows[1], field)) == repr(after)
        assert db.status().sequence > sequence
        sequence = db.status().sequence
        db.rows.update(1, tags=frozenset({8, 1}))
        assert db.status().sequence == sequence


def test_replace_with_the_row_that_was_read(stores: Stores) -> None:
    """Ensure that a row changed meanwhile is left alone, and the error says by which fields and carries it."""
    with stores.new(Store) as db:
        read = db.users.insert(User(email="ann"))
        db.users.update(read.id, name="Ann", nick="a")
        with pytest.raises(StaleRow, match=r"users\[1\].*nick, name") as raised:
            db.users.replace(User(id=1, email="ann", name="Anna"), expected=read)
        error = raised.value
        assert (error.table, error.key, error.fields, error.other) == ("users", 1, ("nick", "name"), db.users[1])
        assert db.users.replace(User(id=1, email="ann", name="Anna"), expected=db.users[1]).name == "Anna"
        assert refuses(RowNotFound, lambda: db.users.replace(User(id=9, email="eve"), expected=read), "9")
        wrong: Any = Counter(id=1)
        assert refuses(InvalidRow, lambda: db.users.replace(User(id=1, email="ann"), expected=wrong), "Counter")
