"""A key of another type than the table's is an error that names both types, and never repeats what was given."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.contract.stores import Stores, current, use
from tests.snaptable.support import refuses

from snaptable import Database, InvalidKey, InvalidQuery, Row, RowNotFound, Table

SECRET = "hunter2"


class ByText(Row):
    id: str
    note: str = ""


class ByNumber(Row):
    id: int
    tags: list[str] = []


class ById(Row):
    id: UUID


class Store(Database):
    texts: Table[ByText]
    numbers: Table[ByNumber]
    ids: Table[ById]


DB = current(Store)


@pytest.fixture(scope="module", autouse=True)
def opened(module_stores: Stores) -> Iterator[None]:
    """Open the database that the module asks, on each engine."""
    with module_stores.new(Store) as db:
        db.texts.insert(ByText(id="1", note=SECRET))
        db.numbers.insert(ByNumber(id=1))
        db.ids.insert(ById(id=UUID(int=1)))
        use(DB, db)
        yield


KEYS: dict[str, tuple[type[Any], tuple[type[Any], ...]]] = {
    "texts": (str, (str,)),
    "numbers": (int, (int, bool, float, Decimal)),
    "ids": (UUID, (UUID,)),
}
VERBS: list[Callable[[Any, Any], object]] = [
    lambda rows, key: rows.get(key),
    lambda rows, key: rows[key],
    lambda rows, key: key in rows,
    lambda rows, key: rows.update(key),
    lambda rows, key: rows.delete(key),
]
GIVEN = st.one_of(
    st.text(),
    st.integers(5),
    st.booleans().filter(lambda value: not value),
    st.floats(1.5, 1.9),
    st.decimals(2, 3),
    st.uuids(),
    st.dates(),
    st.binary(),
    st.tuples(st.text()),
    st.builds(ByText, id=st.just(SECRET), note=st.just(SECRET)),
    st.builds(ByNumber, id=st.just(7), tags=st.just([SECRET])),
    st.just(ByText),
)


@given(st.sampled_from(sorted(KEYS)), GIVEN, st.sampled_from(range(len(VERBS))))
def test_a_missing_key_or_a_wrong_one(name: str, key: Any, verb: int) -> None:
    """Ensure that what may be a key is just not there, and that anything else is refused."""
    table, (wanted, taken) = DB.tables[name], KEYS[name]
    if key in ("1", UUID(int=1)):
        return

    def ask() -> object:
        return VERBS[verb](table, key)

    if type(key) not in taken:
        if isinstance(key, ByNumber) and verb == 0 and name != "numbers":
            with pytest.raises(TypeError):
                ask()  # it can't be hashed: a look-up in C says so
            return
        message = refuses(InvalidKey, ask, name, wanted.__name__, type(key).__name__)
        assert SECRET not in message
    elif verb in (0, 2):
        assert not ask()
    else:
        assert refuses(RowNotFound, ask, name)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_none_is_no_key(name: str, in_transaction: bool) -> None:
    """Ensure that an optional reference can be followed: no row has the key None."""
    table = DB.tables[name]

    def check() -> None:
        assert table.get(None) is None
        assert None not in table
        for verb in (VERBS[1], VERBS[3], VERBS[4]):
            assert refuses(RowNotFound, lambda: verb(table, None), name, "None")  # noqa: B023 - called at once

    with DB.transaction() if in_transaction else nullcontext():
        if in_transaction:
            DB.texts.upsert(ByText(id="2"))
        check()


def test_numbers_are_numbers() -> None:
    """Ensure that keys compare as in `where` and in a dict: 1.0 and True are 1."""
    for key in (1, 1.0, True, Decimal(1)):
        assert DB.numbers.get(key) == DB.numbers[1] == DB.numbers.where(id=key).one()
        assert key in DB.numbers
    assert DB.numbers.get(1.5) is None


def test_is_both_a_wrong_question_and_a_missing_row() -> None:
    """Ensure that the error is caught as either, and survives pickling."""
    with pytest.raises(InvalidKey, match=r"write UUID\(text\)") as raised:
        DB.ids.get(str(UUID(int=1)))
    assert isinstance(raised.value, InvalidQuery)
    assert isinstance(raised.value, KeyError)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.table) == (str(raised.value), "ids")
    with pytest.raises(InvalidKey):
        DB.numbers.get(date(2026, 1, 1))


def test_a_query_is_neither_true_nor_false() -> None:
    """Ensure that `if db.texts.where(…)` is refused: it would hold whatever the answer."""
    assert refuses(InvalidQuery, lambda: bool(DB.texts.where(id="none")), "texts", "exists()")
