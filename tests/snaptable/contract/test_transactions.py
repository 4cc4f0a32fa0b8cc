"""Transactions in one thread: whole or not at all, savepoints, copies handed out, open and closed."""
# ruff: noqa: PT012, RUF012 - a transaction that fails has several statements; a model's default is copied by Pydantic

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses

from snaptable import (
    Database,
    DatabaseClosed,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    Index,
    OpenError,
    Row,
    SnaptableError,
    Table,
    TransactionError,
    Unique,
    UniqueViolation,
)


class Account(Row):
    id: str
    balance: Annotated[int, Index(ordered=True)] = 0
    code: Annotated[str | None, Unique()] = None


class Entry(Row):
    id: int | None = None
    account_id: Annotated[str, ForeignKey(Account, on_delete="cascade")]
    amount: int = 0


class Bank(Database):
    accounts: Table[Account]
    entries: Table[Entry]


class Stop(Exception):
    """Be raised to end a transaction."""


@pytest.fixture(name="db")
def open_bank(stores: Stores) -> Iterator[Bank]:
    """Give a bank with two accounts, in a directory."""
    with stores.lasting(Bank) as db:
        db.accounts.insert_many([Account(id="a", balance=5, code="A"), Account(id="b", balance=7, code="B")])
        yield db


def balances(db: Bank) -> dict[str, int]:
    """Return every account's balance."""
    return {row.id: row.balance for row in db.accounts}


def test_commits_over_several_tables(stores: Stores, db: Bank) -> None:
    """Ensure that a transaction over several tables is one commit: one sequence, all of it there."""
    sequence = db.status().sequence
    with db.transaction():
        db.accounts.update("a", balance=4)
        db.accounts.update("b", balance=8)
        db.entries.insert_many([Entry(account_id="a", amount=-1), Entry(account_id="b", amount=1)])
        db.accounts.insert(Account(id="c"))
    assert db.status().sequence == sequence + 1
    assert balances(db) == {"a": 4, "b": 8, "c": 0}
    assert db.entries.count() == 2


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_rolls_back_on_any_exception(stores: Stores, db: Bank, error: type[BaseException]) -> None:
    """Ensure that an exception of any kind takes back everything, is passed on itself, and lets others write."""
    rows, files = db.accounts.all(), stores.content(db)
    with pytest.raises(error), db.transaction():
        db.accounts.update("a", balance=0)
        db.accounts.delete("b")
        db.accounts.insert(Account(id="c"))
        db.entries.insert(Entry(account_id="c"))
        raise error
    assert db.accounts.all() == rows
    assert db.entries.all() == []
    assert stores.content(db) == files
    assert db.check() == []
    assert db.accounts.insert(Account(id="c")).id == "c"


def test_sees_its_own_writes(db: Bank) -> None:
    """Ensure that a transaction reads what it wrote, by key, by index, by count, by page and by iteration."""
    with db.transaction():
        db.accounts.insert(Account(id="c", balance=6, code="C"))
        db.accounts.delete("a")
        db.accounts.update("b", balance=1)
        assert balances(db) == {"b": 1, "c": 6}
        assert db.accounts.where(code="C").one().id == "c"
        assert db.accounts.where(code="A").first() is None
        assert [row.id for row in db.accounts.order_by(Account.balance)] == ["b", "c"]
        assert len(db.accounts) == db.accounts.where(Account.balance > 0).count() == 2
        assert [row.id for row in db.accounts.where().page(limit=9).items] == ["b", "c"]
        assert "a" not in db.accounts


def test_rolls_back_to_a_savepoint(db: Bank) -> None:
    """Ensure that a nested transaction that fails takes back its own part, at any depth, and the outer one goes on."""
    with db.transaction():
        db.accounts.update("a", balance=1)
        with pytest.raises(Stop), db.transaction():
            db.accounts.update("a", balance=2)
            with db.transaction():
                db.accounts.update("a", balance=3)
                db.accounts.insert(Account(id="c"))
            assert db.accounts["a"].balance == 3
            with pytest.raises(Stop), db.transaction():
                db.accounts.delete("a")
                raise Stop
            assert db.accounts["a"].balance == 3
            raise Stop
        assert balances(db) == {"a": 1, "b": 7}
        with db.transaction():
            db.accounts.update("b", balance=9)
    assert balances(db) == {"a": 1, "b": 9}
    assert db.check() == []


def test_keeps_nothing_of_a_savepoint_whose_outer_fails(db: Bank) -> None:
    """Ensure that a nested transaction that ended well is taken back with the outer one."""
    with pytest.raises(Stop), db.transaction():
        with db.transaction():
            db.accounts.update("a", balance=1)
        raise Stop
    assert balances(db) == {"a": 5, "b": 7}


def test_goes_on_after_a_caught_error(db: Bank) -> None:
    """Ensure that an error caught inside a transaction left nothing of its operation, and the rest commits."""
    with db.transaction():
        db.accounts.update("a", balance=1)
        assert refuses(DuplicateKey, lambda: db.accounts.insert_many([Account(id="c"), Account(id="a")]), "'a'")
        with pytest.raises(KeyError):
            db.accounts.delete("none")
        with pytest.raises(ValueError, match="balance"):
            db.accounts.where().update(balance="much")
        db.accounts.update("b", balance=2)
    assert balances(db) == {"a": 1, "b": 2}
    assert db.check() == []


def test_uses_no_sequence_for_nothing(db: Bank) -> None:
    """Ensure that what changes nothing uses no sequence: no-op updates, undone changes, empty transactions, reads."""
    sequence = db.status().sequence
    nothing: list[Callable[[], object]] = [
        lambda: db.accounts.update("a", balance=5),
        lambda: db.accounts.update("a"),
        lambda: db.accounts.replace(Account(id="a", balance=5, code="A")),
        lambda: db.accounts.upsert(Account(id="a", balance=5, code="A")),
        lambda: db.accounts.insert_many([]),
        lambda: db.accounts.where(id="none").delete(),
        lambda: db.accounts.where().update(),
        db.accounts.all,
    ]
    for work in nothing:
        work()
    with db.transaction():
        pass
    with db.transaction():
        db.accounts.insert(Account(id="c"))
        db.accounts.update("a", balance=6)
        db.accounts.delete("c")
        db.accounts.update("a", balance=5)
    with db.transaction():
        db.accounts.delete("b")
        db.accounts.insert(Account(id="b", balance=7, code="B"))
    assert db.status().sequence == sequence
    assert balances(db) == {"a": 5, "b": 7}


def test_judges_at_the_end_only(db: Bank) -> None:
    """Ensure that a violation that is made good before the end of the transaction is none."""
    with db.transaction():
        db.accounts.update("a", code="B")
        assert db.accounts.where(code="B").count() == 2
        db.entries.insert(Entry(account_id="c"))
        db.accounts.update("b", code="A")
        db.accounts.insert(Account(id="c"))
    assert (db.accounts["a"].code, db.accounts["b"].code) == ("B", "A")
    assert refuses(UniqueViolation, lambda: db.accounts.update("a", code="A"), "code")
    assert db.check() == []


def test_transactions_can_follow_a_failed_commit(db: Bank) -> None:
    """Ensure that a transaction refused at its end is closed: the next one begins anew and sees the old state."""

    def transact() -> None:
        with db.transaction():
            db.accounts.update("a", balance=1)
            db.entries.insert(Entry(account_id="none"))

    for _ in range(3):
        assert refuses(ForeignKeyViolation, transact, "entries", "account_id")
        assert balances(db) == {"a": 5, "b": 7}
    with db.transaction():
        db.accounts.update("a", balance=2)
    assert balances(db) == {"a": 2, "b": 7}


class Inner(BaseModel):
    tags: list[str] = []


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    tags: tuple[str, ...] = ()


class Loose(Row):
    id: str
    tags: Annotated[list[str], Index(each=True)] = []
    data: dict[str, Any] = {}
    inner: Inner = Inner()
    anything: Any = None
    pair: tuple[list[int], ...] = ()
    marks: set[int] = set()


class Tight(Row):
    id: str
    tags: tuple[str, ...] = ()
    inner: Frozen = Frozen()


class Things(Database):
    loose: Table[Loose]
    tight: Table[Tight]


def loose() -> Loose:
    """Return a row full of what can change."""
    return Loose(
        id="1",
        tags=["a"],
        data={"k": [1]},
        inner=Inner(tags=["x"]),
        anything={"deep": [{"er": 1}]},
        pair=([1],),
        marks={1},
    )


def disturb(row: Loose) -> None:
    """Change everything in a row that can change."""
    row.tags.append("b")
    row.data["k"].append(2)
    row.data["new"] = 1
    row.inner.tags.append("y")
    row.anything["deep"][0]["er"] = 2
    row.pair[0].append(2)
    row.marks.add(2)


WAYS_OUT: list[Callable[[Things], Loose]] = [
    lambda db: db.loose["1"],
    lambda db: db.loose.get("1") or loose(),
    lambda db: db.loose.all()[0],
    lambda db: next(iter(db.loose)),
    lambda db: db.loose.where(id="1").one(),
    lambda db: db.loose.where().first() or loose(),
    lambda db: db.loose.where().page().items[0],
    lambda db: next(iter(db.loose.order_by(Loose.id))),
    lambda db: db.loose.upsert(loose()),
    lambda db: db.loose.replace(loose()),
    lambda db: db.loose.update("1", tags=["a"]),
    lambda db: db.loose.upsert(loose().model_copy(update={"id": "2"})).model_copy(),
]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_hands_out_copies(stores: Stores, way: Callable[[Things], Loose]) -> None:
    """Ensure that changing what a row handed out holds changes nothing in the store, whichever way it came out."""
    with stores.new(Things) as db:
        db.loose.insert(loose())
        disturb(way(db))
        assert db.loose["1"] == loose()
        assert db.loose.where(Loose.tags == ["a"]).exists()
        assert db.check() == []
        with db.transaction():
            disturb(way(db))
            assert db.loose["1"] == loose()


WAYS_IN: list[Callable[[Things, Loose], object]] = [
    lambda db, row: db.loose.insert(row),
    lambda db, row: db.loose.upsert(row),
    lambda db, row: db.loose.insert_many([row]),
    lambda db, row: (db.loose.insert(Loose(id="1")), db.loose.replace(row)),
    lambda db, row: (db.loose.insert(Loose(id="1")), db.loose.update("1", **dict(row))),
    lambda db, row: (db.loose.insert(Loose(id="1")), db.loose.where().update(**dict(row, id="1"))),
]


@pytest.mark.parametrize("way", WAYS_IN)
def test_keeps_its_own_copy(stores: Stores, way: Callable[[Things, Loose], object]) -> None:
    """Ensure that changing what a row handed in holds, after the write, changes neither memory nor what comes back."""
    with stores.lasting(Things) as db:
        row = loose()
        way(db, row)
        disturb(row)
        assert db.loose["1"] == loose()
        assert db.check() == []
    with stores.again(db) as again:
        assert again.loose["1"] == loose()


def test_shares_rows_that_cannot_change() -> None:
    """Ensure that deeply immutable rows are handed out without copying: the same object each time."""
    with Things("memory:") as db:
        db.tight.insert(Tight(id="1", tags=("a",)))
        assert db.tight["1"] is db.tight["1"]
        assert db.tight.all()[0] is db.tight.where(id="1").one()


def test_refuses_everything_while_closed(stores: Stores) -> None:
    """Ensure that a database is refused before open and after close, also through what was taken while it was open."""
    db = stores.lasting(Bank)
    assert stores.on_postgres or not stores.content(db)  # a server may have the tables already
    query = db.accounts.where(id="a")
    works: list[Callable[[], object]] = [
        lambda: db.accounts.get("a"),
        lambda: db.accounts["a"],
        lambda: "a" in db.accounts,
        lambda: len(db.accounts),
        lambda: list(db.accounts),
        db.accounts.all,
        query.all,
        query.count,
        query.exists,
        query.page,
        query.explain,
        lambda: query.update(balance=1),
        query.delete,
        lambda: db.accounts.insert(Account(id="a")),
        lambda: db.accounts.insert_many([]),
        lambda: db.accounts.update("a", balance=1),
        lambda: db.accounts.delete("a"),
        lambda: db.transaction().__enter__(),
        db.persist,
        db.check,
        db.status,
    ]
    for work in works:
        assert refuses(DatabaseClosed, work)
    with db:
        db.accounts.insert(Account(id="a"))
        assert query.count() == 1
        taken = db.accounts.get
        assert refuses(OpenError, db.open, "open")
    db.close()
    for work in works:
        assert refuses(DatabaseClosed, work)
    with pytest.raises(SnaptableError):
        db.accounts.update("a", balance=taken("a") is None)
    with db:
        assert db.accounts["a"] == Account(id="a")


def test_refuses_to_close_inside_a_transaction(db: Bank) -> None:
    """Ensure that closing inside a transaction raises, and that the transaction then goes on and commits."""
    with db.transaction():
        db.accounts.update("a", balance=1)
        assert refuses(TransactionError, db.close, "closed")
        db.accounts.update("b", balance=2)
    assert db.is_open
    assert balances(db) == {"a": 1, "b": 2}


def test_makes_no_directory_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that "memory:" writes no file, forgets at close, and has transactions all the same."""
    monkeypatch.chdir(tmp_path)
    db = Bank("memory:")
    with db:
        db.accounts.insert(Account(id="a"))
        db.persist()
        with pytest.raises(Stop), db.transaction():
            db.accounts.delete("a")
            raise Stop
        assert balances(db) == {"a": 0}
        assert (db.directory, db.status().sequence) == (None, 1)
    assert list(tmp_path.iterdir()) == []
    with db:
        assert db.accounts.all() == []
