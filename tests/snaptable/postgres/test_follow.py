"""Following a store that is written to: each commit applied once, whatever is killed; differences end it loudly."""

import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from tests.snaptable.contract.plain_model import Library, User
from tests.snaptable.postgres import kills, stores
from tests.snaptable.postgres.moves import change, fill, images

from snaptable import OpenError, SnaptableError
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.moving import follow, move
from snaptable.maintenance.moving.following import PlaceGone
from snaptable.postgres.server.connections import Connections, Session


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


def test_applies_what_is_committed(url: str, tmp_path: Path) -> None:
    """Ensure that a running store's commits arrive, in batches or one by one, with their numbers and their order."""
    fill(tmp_path / "data", changes=50)
    rng = random.Random(3)
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        move(str(tmp_path / "data"), url, schema=Library, running=True)
        for changes in (1, 250, 0, 30):
            for _ in range(changes):
                change(db, rng)
            followed = follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)
            assert (followed.sequence, followed.is_closed) == (db.status().sequence, False)
        wanted, sequence = images(db), db.status().sequence
    followed = follow(tmp_path / "data", url, schema=Library, stop=lambda is_closed: is_closed)
    assert followed.is_closed
    with Library(url) as db:
        assert images(db) == wanted
        assert db.status().sequence == sequence
        db.users.insert(User(id="after"))
        assert db.status().sequence > sequence


INTERFERENCE = {
    "a row that is deleted": "delete from notes; delete from documents; delete from users where id = 'u1'",
    "a row that is replaced": "update users set id = 'other' where id = 'u1'",
    "a key that is inserted": "insert into users (id) values ('new')",
}


@pytest.mark.parametrize("statement", INTERFERENCE.values(), ids=INTERFERENCE)
def test_what_was_written_beside_it_ends_it(url: str, tmp_path: Path, statement: str) -> None:
    """Ensure that a row changed in the database itself stops the follower, which changes nothing then."""
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="u1"))
        move(str(tmp_path / "data"), url, schema=Library, running=True)
        with db.transaction():
            db.users.update("u1", age=5)
            db.users.insert(User(id="new"))
        db.users.delete("u1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
    before = stores.content(url)
    with pytest.raises(SnaptableError):
        follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)
    assert stores.content(url) == before


def test_a_program_may_start_again_while_it_is_followed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a store that was closed is locked once to know it, not each time that there is nothing new."""
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="u1"))
    move(str(tmp_path / "data"), url, schema=Library, running=True)
    told, tries, locked = list[bool](), list[StoreDirectory](), StoreDirectory.locked

    def counted(self: StoreDirectory) -> AbstractContextManager[None]:
        """Lock, and take note of it."""
        tries.append(self)
        return locked(self)

    def stop(is_closed: bool) -> bool:
        """Stop at the sixth time; at the third a program is started, writes and is closed."""
        told.append(is_closed)
        if len(told) == 3:
            with Library(tmp_path / "data", fsync=False, banner=False) as db:
                db.users.insert(User(id="u2"))
        return len(told) == 6

    monkeypatch.setattr(StoreDirectory, "locked", counted)
    assert follow(tmp_path / "data", url, schema=Library, stop=stop).is_closed
    assert told == [True] * 6
    assert len(tries) == 2


def test_what_was_purged_from_the_source_is_erased(url: str, tmp_path: Path) -> None:
    """Ensure that nothing is left of a purged row that had arrived, its history included, and that this is known."""
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="u1"))
        move(str(tmp_path / "data"), url, schema=Library, running=True)
        db.users.insert(User(id="u2", email="secret@example.org"))
        db.users.delete("u2")
        follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)
        assert "secret" in str(stores.content(url))
        db.history.purge("users", "u2")
        db.users.insert(User(id="u3"))
        follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)
        erased = db._opened().erased
    assert "secret" not in str(stores.content(url))
    with Library(url) as there:
        assert there._opened().erased == erased != {}
        assert [user.id for user in there.users] == ["u1", "u3"]
        assert len(list(there.history.commits())) == 2


HOLD_COMMITS = """
    create function {0}.hold() returns trigger language plpgsql as
    'begin perform pg_advisory_xact_lock(hashtext(''{0}'')); return null; end';
    create constraint trigger held after update on {0}.snaptable_source deferrable initially deferred
    for each row execute function {0}.hold();
    select pg_advisory_lock(hashtext('{0}'))
"""
LET_GO = "select pg_advisory_unlock(hashtext('{0}'))"


def test_a_commit_that_a_lost_connection_began_is_waited_for(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a follower whose connection ends while its commit is carried out goes on behind that commit."""
    sessions: list[Session] = []

    def connect(self: Connections) -> Session:
        """Connect, and keep the connection for the test to cut."""
        sessions.append(original(self))
        return sessions[-1]

    original = Connections.connect
    monkeypatch.setattr(Connections, "connect", connect)
    schema, goes_on = stores.schema_of(url), threading.Event()

    def wait_for(waiting: int) -> None:
        while stores.waiting(url) < waiting and not followed.done():
            time.sleep(0.001)

    with Library(tmp_path / "data", fsync=False, banner=False) as db, ThreadPoolExecutor(1) as pool:
        db.users.insert(User(id="u1"))
        move(str(tmp_path / "data"), url, schema=Library, running=True)
        db.users.insert(User(id="u2"))
        stores.administer(HOLD_COMMITS.format(schema))
        followed = pool.submit(follow, tmp_path / "data", url, schema=Library, stop=lambda _: goes_on.is_set())
        wait_for(1)
        with socket.socket(fileno=os.dup(sessions[-1].fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        wait_for(2)
        goes_on.set()
        stores.administer(LET_GO.format(schema))
        assert followed.result().sequence == db.status().sequence
    with Library(url) as there:
        assert [row.id for row in there.users] == ["u1", "u2"]


def test_another_history_is_not_followed(url: str, tmp_path: Path) -> None:
    """Ensure that a directory that was put back, and written to since, is refused, and the database stays."""
    fill(tmp_path / "data", changes=19)
    shutil.copytree(tmp_path / "data", tmp_path / "former")
    fill(tmp_path / "data", seed=2, changes=20)
    move(str(tmp_path / "data"), url, schema=Library)
    before = stores.content(url)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "former").rename(tmp_path / "data")
    fill(tmp_path / "data", seed=5, changes=200)
    with pytest.raises(PlaceGone, match="doesn't lead on"):
        follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)
    assert stores.content(url) == before


def test_what_was_not_moved_follows_nothing(url: str, tmp_path: Path) -> None:
    """Ensure that only a database that was moved to can follow."""
    fill(tmp_path / "data", changes=3)
    with Library(url):
        pass
    with pytest.raises(OpenError, match="follows nothing"):
        follow(tmp_path / "data", url, schema=Library, stop=lambda _: True)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Ensure that moves, followers and the server killed at random lose no commit and apply none twice."""
    outcome = kills.run(tmp_path, seconds=4, seed=11)
    assert outcome.differences == []
    assert outcome.kills + outcome.server_kills >= kills.LEAST
