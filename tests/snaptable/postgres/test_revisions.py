"""Revisions: equal tokens mean equal rows, whatever is written, by whichever program, and side by side.

Ensures it for random writes of every kind against the rows themselves, and for openings with and without the option.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar

import psycopg
import pytest
from tests.snaptable.postgres import stores

from snaptable import (
    Database,
    ForeignKey,
    Index,
    OpenError,
    PostgresOptions,
    Row,
    Table,
    UniqueViolation,
    table,
)
from snaptable import Unique as UniqueField
from snaptable.engines.postgresql import PostgresEngine
from snaptable.maintenance.moving import follow, move
from snaptable.migrations import Migration, fill

ASKED = PostgresOptions(revisions="owner")
OWNERS = ("ann", "bob", "")


class Folder(Row):
    id: str
    owner: Annotated[str, Index()]


class Note(Row):
    id: str
    folder: Annotated[str, ForeignKey(Folder, on_delete="cascade")]
    owner: Annotated[str, Index()]
    text: Annotated[str, UniqueField()]


class Login(Row):
    id: str
    owner: str


class Notes(Database):
    folders: Table[Folder]
    notes: Table[Note]
    logins: Table[Login] = table(transient=True)


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty place."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


def revision(db: Database, owner: str) -> str | None:
    """Return what names the state of an owner's rows."""
    engine = db._opened()
    assert isinstance(engine, PostgresEngine)
    return engine.revision(owner)


def rows_of(db: Notes, owner: str) -> object:
    """Return all that an owner has, with its order."""
    return db.folders.where(Folder.owner == owner).all(), db.notes.where(Note.owner == owner).all()


class Wanted(Exception):
    """Rolls a block back."""


def writes(db: Notes, drawn: random.Random) -> list[Callable[[], object]]:
    """Return writes of every kind, of which one is chosen."""
    number, owner = drawn.randrange(6), drawn.choice(OWNERS)
    note = Note(id=f"n{number}", folder=f"f{drawn.randrange(2)}", owner=owner, text=f"t{drawn.randrange(40)}")
    folder = Folder(id=f"f{drawn.randrange(2)}", owner=owner)

    def rolled_back() -> None:
        with db.transaction():
            db.notes.upsert(note)
            raise Wanted

    def in_part() -> None:
        with db.transaction():
            db.folders.upsert(folder)
            with suppress(Wanted), db.transaction():
                db.notes.upsert(note)
                raise Wanted

    return [
        lambda: db.notes.upsert(note),
        lambda: db.notes.upsert(note),
        lambda: db.folders.upsert(folder),
        lambda: db.notes.insert_many([note]),
        lambda: db.notes.where(Note.owner == owner).update(folder=folder.id),
        lambda: db.notes.where(Note.owner == owner).delete(),
        lambda: db.folders.delete(folder.id),
        lambda: db.notes.where(Note.id == note.id).update(owner=owner),
        lambda: db.history.undo(db.history.sequence),
        lambda: db.logins.upsert(Login(id=f"l{number}", owner=owner)),
        rolled_back,
        in_part,
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_tokens_mean_equal_rows(url: str, seed: int) -> None:
    """Ensure that no state of an owner's rows shares its tokens with another, and that nothing else renews them."""
    drawn = random.Random(seed)
    known: dict[tuple[str, str], object] = {}
    kept = renewed = 0
    with Notes(url, banner=False, postgres=ASKED) as db:
        db.folders.insert_many([Folder(id=f"f{number}", owner="ann") for number in range(2)])
        for _ in range(60):
            before = {owner: (revision(db, owner), rows_of(db, owner)) for owner in OWNERS}
            with suppress(Exception):  # a row is missing, a text is taken, the block was rolled back
                drawn.choice(writes(db, drawn))()
            for owner in OWNERS:
                token, rows = revision(db, owner), rows_of(db, owner)
                assert token is not None
                assert known.setdefault((owner, token), rows) == rows
                old_token, old_rows = before[owner]
                if token == old_token:
                    kept += 1
                else:
                    renewed += 1
                    # An owner whose rows are as they were had one that came and went: none of the writes does that.
                    assert rows != old_rows
    assert kept > renewed > 15


def test_whoever_writes_renews_them(url: str) -> None:
    """Ensure that programs which don't ask for them do so too once they are there, and none before."""
    with Notes(url, banner=False) as db:
        db.folders.insert(Folder(id="f", owner="ann"))
        assert revision(db, "ann") is None
    assert "snaptable_revisions" not in stores.content(url)
    with Notes(url, banner=False, postgres=ASKED) as first, Notes(url, banner=False) as second:
        none = revision(first, "ann")
        assert none == revision(second, "ann") == revision(first, "bob")
        second.folders.insert(Folder(id="g", owner="ann"))
        assert none != revision(first, "ann") == revision(second, "ann")
        assert revision(first, "bob") == none
        with pytest.raises(UniqueViolation):
            second.notes.insert_many([Note(id=each, folder="g", owner="bob", text="t") for each in "ab"])
        assert revision(first, "bob") == none
    with Notes(url, banner=False, read_only=True) as db:
        assert revision(db, "ann") not in (None, none)


def test_a_state_comes_with_its_own_tokens(url: str) -> None:
    """Ensure that tokens and rows read as of one state are of one state, whatever is committed in between."""
    with Notes(url, banner=False, postgres=ASKED) as db:
        core = db._opened().core  # type: ignore[attr-defined]

        def read() -> tuple[object, ...]:
            first = revision(db, "ann")
            thread = threading.Thread(target=lambda: db.folders.insert(Folder(id="f", owner="ann")))
            thread.start()
            thread.join()
            return first, rows_of(db, "ann"), revision(db, "ann")

        first, rows, last = core.as_of_one_state(read)
        assert first == last != revision(db, "ann")
        assert rows == ([], [])


def test_migrations_renew_every_owner(url: str) -> None:
    """Ensure that rows which an opening changed, without any model of them being another, are known to be others."""
    with Notes(url, banner=False, postgres=ASKED) as db:
        db.folders.insert(Folder(id="f", owner="ann"))
        before = [revision(db, owner) for owner in OWNERS]

    class Migrated(Notes):
        migrations: ClassVar = [Migration("again", fill("notes.text", "x"))]

    with Migrated(url, banner=False) as db:
        after = [revision(db, owner) for owner in OWNERS]
    assert not set(before) & set(after)


def test_a_move_and_what_follows_it_renew_every_owner(url: str, tmp_path: Path) -> None:
    """Ensure that what was read while the database was empty, or behind, is known to be old."""
    with Notes(url, banner=False, postgres=ASKED) as there, Notes(tmp_path, banner=False) as source:
        seen = [revision(there, "ann")]
        source.folders.insert(Folder(id="f", owner="ann"))
        move(str(tmp_path), url, schema=Notes, running=True)
        seen.append(revision(there, "ann"))
        source.folders.insert(Folder(id="g", owner="ann"))
        follow(tmp_path, url, schema=Notes, stop=lambda _: True)
        seen.append(revision(there, "ann"))
    assert len(set(seen)) == 3


def test_writers_side_by_side_lose_no_renewal(url: str) -> None:
    """Ensure, with eight of them on two owners, that the last tokens are not those of any state before."""
    seen: set[str | None] = set()
    with Notes(url, banner=False, postgres=ASKED) as db:

        def write(number: int) -> None:
            for each in range(5):
                db.folders.insert(Folder(id=f"{number}-{each}", owner=OWNERS[number % 2]))
                state = db._opened().core.as_of_one_state(  # type: ignore[attr-defined]
                    lambda: (revision(db, "ann"), len(db.folders.where(Folder.owner == "ann").all()))
                )
                counts.setdefault(state[0], set()).add(state[1])

        counts: dict[str | None, set[int]] = {}
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(each) == 1 for each in counts.values())
        assert db.folders.count() == 40
        seen.update(counts)
        db.folders.insert(Folder(id="last", owner="ann"))
        assert revision(db, "ann") not in seen


def test_what_is_no_table_of_ours_is_refused(url: str) -> None:
    """Ensure that a table whose own row is gone is an error that says what to do, and no cache without an end."""
    with Notes(url, banner=False, postgres=ASKED):
        pass
    with psycopg.connect(url) as connection:
        connection.execute("delete from snaptable_revisions where stripe = -1")
    with pytest.raises(OpenError, match="drop it"):
        Notes(url, banner=False).open()
