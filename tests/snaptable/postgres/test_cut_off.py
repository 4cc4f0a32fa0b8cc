"""A connection that ends at any statement: what was asked is done once, or said not to be, whichever statement it was.

Each case is tried with the first statement cut off, the second, and so on, until none is left that could be.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import Cursor
from tests.snaptable.contract.plain_model import Library, Note, User
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import wait_for

from snaptable import Unavailable
from snaptable.postgres.server.connections import Session

Case = Callable[[Library], object]


class Cut(Protocol):
    """Has the connection cut off that carries out a statement, and says whether there was one with that number."""

    def __call__(self, work: Callable[[], object], number: int) -> tuple[object, bool]:
        """Return what a function gives of which the statement with this number was cut off."""


@pytest.fixture(name="url", scope="module")
def give_url() -> Iterator[str]:
    """Give an empty place."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@pytest.fixture(name="db")
def open_store(url: str) -> Iterator[Library]:
    """Give a store that waits for its server as long as a busy machine may take."""
    with Library(url) as db:
        wait_for(db, 60.0)
        yield db


@pytest.fixture(name="cut", params=["before", "after"])
def give_cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Give what cuts a connection off before the statement is sent, or once it was carried out and not answered."""
    left = 0

    def cutting(method: Callable[..., object]) -> Callable[..., object]:
        def carry_out(cursor: Cursor[Any], *arguments: Any, **options: Any) -> object:
            nonlocal left
            if not isinstance(cursor.connection, Session):
                return method(cursor, *arguments, **options)
            left -= 1
            if left == 0 and request.param == "after":
                method(cursor, *arguments, **options)
            if left == 0:
                with socket.socket(fileno=os.dup(cursor.connection.fileno())) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
                if request.param == "after":
                    raise psycopg.OperationalError("the answer is lost")
            return method(cursor, *arguments, **options)

        return carry_out

    monkeypatch.setattr(Cursor, "execute", cutting(Cursor.execute))
    monkeypatch.setattr(Cursor, "executemany", cutting(Cursor.executemany))

    def cut(work: Callable[[], object], number: int) -> tuple[object, bool]:
        nonlocal left
        left = number
        try:
            return work(), left <= 0
        finally:
            left = 0

    return cut


def begin(db: Library) -> int:
    """Forget what was, purges too, fill it, and return the last commit."""
    db.history.forget(db.history.sequence)
    stores.administer(f"update {stores.schema_of(db.url)}.snaptable_state set erased = '{{}}'")
    with db.transaction():
        db.notes.where().delete()
        db.users.where().delete()
        db.users.insert_many([User(id="a", age=1), User(id="b", age=2, boss="a")])
        db.notes.insert_many([Note(id="m"), Note(id="n", above="m", by="a")])
    return db.history.sequence


def state(db: Library, since: int) -> object:
    """Return the rows, and what was committed since."""
    commits = [list(map(str, each.changes)) for each in db.history.commits(oldest_first=True) if each.sequence > since]
    return db.users.order_by(User.id).all(), db.notes.order_by(Note.id).all(), commits


def older(db: Library) -> None:
    """Make everybody a year older: done twice, it shows."""
    db.users.where().update(age=User.age + 1)  # type: ignore[operator]


def change_much(db: Library) -> None:
    """Write several tables in one transaction."""
    older(db)
    db.users.insert(User(id="c"))
    db.notes.delete("m")


def change_in_block(db: Library) -> None:
    """Do that in a block, which can't be called again."""
    with db.transaction():
        change_much(db)


DONE_AGAIN: dict[str, Case] = {
    "insert": lambda db: db.users.insert(User(id="c")),
    "update": lambda db: db.users.update("a", age=User.age + 1),  # type: ignore[operator]
    "update many": older,
    "insert many": lambda db: db.users.insert_many([User(id="c"), User(id="d")]),
    "delete, with what goes along": lambda db: db.notes.delete("m"),
    "a function of db.run": lambda db: asyncio.run(db.run(change_much)),
    "a state of the past": lambda db: db.history.at(db.history.sequence).users.order_by(User.id).all(),
    "a check": lambda db: db.check(),
}
CALLED_AGAIN: dict[str, Case] = {
    "a block": change_in_block,
    "an undo": lambda db: db.history.undo(db.history.sequence),
    "a purge": lambda db: db.history.purge("users", "a"),
}


@pytest.mark.parametrize("case", DONE_AGAIN.values(), ids=DONE_AGAIN)
def test_nobody_notices(db: Library, cut: Cut, case: Case) -> None:
    """Ensure that reads and writes give what they give without it, and that there is one commit."""
    found: list[object] = []
    for number in count(1):
        since = begin(db)
        result, was_cut = cut(lambda: case(db), number)
        found.append((result, state(db, since)))
        if not was_cut:
            break
    assert len(found) > 3
    assert all(each == found[-1] for each in found)


@pytest.mark.parametrize("case", CALLED_AGAIN.values(), ids=CALLED_AGAIN)
def test_what_can_not_be_done_again_says_so(db: Library, cut: Cut, case: Case) -> None:
    """Ensure that who gets the error calls it again, and that it was not done before, nor is done twice by that."""
    found: list[object] = []
    refused: list[object] = []
    for number in count(1):
        since, was_cut = begin(db), True
        try:
            _, was_cut = cut(lambda: case(db), number)
        except Unavailable:
            refused.append(state(db, since))
            case(db)
        found.append(state(db, since))
        if not was_cut:
            break
    assert len(refused) > 3
    assert found[-1] not in refused
    assert all(each == found[-1] for each in found)
