"""The engine behind PgBouncer in transaction mode: each transaction may have another connection to the server."""

import asyncio
import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.snaptable.contract.plain_model import Document, Library, User
from tests.snaptable.postgres import bouncer, differential, stores

from snaptable import Database, PostgresOptions, TransactionConflict, TransactionError, UniqueViolation, desc

THREADS = 8


class Undone(Exception):
    """Raised to roll a part of a transaction back."""


@pytest.fixture(name="db")
def give_library() -> Iterator[Library]:
    """Give an empty database through a PgBouncer; skipped where there is none, but never where CI is true."""
    if bouncer.program() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no pgbouncer, and CI=true requires it")
        pytest.skip("there is no pgbouncer: apt-get install pgbouncer")
    url = stores.new_schema()
    try:
        with bouncer.running([url]) as [through], Library(through, postgres=PostgresOptions(prepare=False)) as db:
            yield db
    finally:
        stores.drop_schemas([url])


def test_does_what_memory_does(db: Library) -> None:
    """Ensure that random transactions give the same rows, results and errors as in memory."""
    outcome = differential.compare(db, 300, random.Random(8))
    assert outcome.difference is None, outcome


def test_many_threads_share_few_connections(db: Library) -> None:
    """Ensure that no statement of a transaction goes to the connection of another one, and no update is lost."""
    db.users.insert(User(id="a", age=0))
    errors: list[Exception] = []

    def add(db: Library) -> None:
        row = db.users["a"]
        db.users.update("a", age=(row.age or 0) + 1)

    def write(name: str) -> None:
        with db.transaction():
            db.users.insert(User(id=name, email=name))
            db.documents.insert(Document(user=name, name="d", tags=["x"]))
            with pytest.raises(Undone), db.transaction():  # noqa: PT012 - what is undone is the point
                db.users.delete(name)
                raise Undone

    def work(number: int) -> None:
        try:
            for name in (f"{number}-{turn}" for turn in range(10)):
                while True:
                    with suppress(TransactionConflict):  # which a block may always end in
                        write(name)
                        break
                with pytest.raises(UniqueViolation):
                    db.users.insert(User(id=f"other {name}", email=name))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()

    async def many() -> None:
        await asyncio.gather(*(db.run(add) for _ in range(20)))

    asyncio.run(many())
    for thread in threads:
        thread.join()
    assert errors == []
    assert db.users["a"].age == 20
    assert db.documents.where(Document.tags == ["x"]).count() == THREADS * 10
    assert (db.users.count(), db.check()) == (THREADS * 10 + 1, [])
    first = db.users.order_by(desc(User.id)).page(limit=50)
    rest = db.users.order_by(desc(User.id)).page(limit=50, after=first.next_cursor)
    assert len({row.id for row in [*first.items, *rest.items]}) == THREADS * 10 + 1


def test_the_past_and_the_loop(db: Library) -> None:
    """Ensure that history, undo, `at` and the refusal of waiting on an event loop are as without it."""
    db.users.insert(User(id="a", age=1))
    before = db.history.sequence
    db.users.update("a", age=2)
    with db.history.at(before) as then:
        assert then.users["a"].age == 1
    db.history.undo(db.history.sequence)
    assert db.users["a"].age == 1
    assert [commit.changes[0].kind for commit in db.history.commits("users")][:1] == ["replace"]

    async def wait(db: Database) -> None:
        with pytest.raises(TransactionError):
            db.tables["users"].get("a")
        assert (await db.read(lambda db: db.tables["users"].get("a"))) is not None

    asyncio.run(wait(db))
