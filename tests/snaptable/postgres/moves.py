"""What the tests of moves share: a store of random transactions, comparing databases, a writer that never rests."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.snaptable.contract.plain_model import Document, Hold, Library, Note, User

from snaptable import ConstraintError, Database, RowNotFound, Table


def images(db: Database) -> dict[str, list[bytes]]:
    """Return the JSON of every row, by table, in order."""
    engine = db._engine
    assert engine is not None
    return {name: list(engine.rows_json(name).values()) for name in db.tables}


def fill(directory: Path, seed: int = 1, changes: int = 300) -> None:
    """Make a store by random transactions."""
    with Library(directory, fsync=False, banner=False) as db:
        rng = random.Random(seed)
        for _ in range(changes):
            change(db, rng)
        assert changes < 50 or db.status().sequence > changes / 2, "the transactions are refused"


def change(db: Library, rng: random.Random) -> None:
    """Make a random transaction; now and then one that is refused, or operations in it that are."""
    with suppress(ConstraintError), db.transaction():
        for _ in range(rng.randrange(1, 5)):
            with suppress(ConstraintError, RowNotFound):
                rng.choice(_WORKS)(db, rng)


def _some(table: Table[Any], rng: random.Random, other: str) -> Any:
    """Return the key of a row that is there, as a rule."""
    keys = [row.id for row in table]
    return rng.choice(keys) if keys and rng.random() < 0.95 else other


def _user(db: Library, rng: random.Random) -> str:
    return str(_some(db.users, rng, "nobody"))


def _note(db: Library, rng: random.Random) -> str:
    return str(_some(db.notes, rng, "none"))


def _put_user(db: Library, rng: random.Random) -> None:
    age = rng.choice([None, 3, 2**62])
    db.users.upsert(User(id=f"u{rng.randrange(30)}", email=f"{rng.randrange(99)}@x.org", age=age))


def _put_document(db: Library, rng: random.Random) -> None:
    name = rng.choice([None, f"d{rng.randrange(999)}"])
    db.documents.insert(Document(user=_user(db, rng), name=name, tags=rng.choice([[], ["é", "b"]])))


def _put_note(db: Library, rng: random.Random) -> None:
    above = None if rng.random() < 0.6 else _note(db, rng)
    document = None if rng.random() < 0.5 else _some(db.documents, rng, "0")
    db.notes.upsert(Note(id=f"n{rng.randrange(40)}", by=_user(db, rng), above=above, document=document))


def _swap_emails(db: Library, rng: random.Random) -> None:
    one, other = db.users[_user(db, rng)], db.users[_user(db, rng)]
    db.users.update(one.id, email=other.email)
    db.users.update(other.id, email=one.email)


_WORKS: list[Callable[[Library, random.Random], object]] = [
    _put_user,
    _put_user,
    _put_document,
    _put_document,
    _put_note,
    _put_note,
    _swap_emails,
    lambda db, rng: db.users.update(_user(db, rng), boss=_user(db, rng)),
    lambda db, rng: db.documents.where(user=_user(db, rng)).limit(2).update(status=rng.choice("abc")),
    lambda db, rng: db.documents.where(user=_user(db, rng)).limit(1).delete(),
    lambda db, rng: db.notes.delete(_note(db, rng)),
    lambda db, rng: db.holds.upsert(Hold(id=rng.choice("hi"), note=_note(db, rng))),
    lambda db, rng: db.users.delete(_user(db, rng)) if rng.random() < 0.3 else None,
]


def write_for(directory: str, seconds: float, seed: float) -> None:
    """Write without rest, then close: what a process of the tests does."""
    rng = random.Random(seed)
    with Library(directory, fsync=False, banner=False) as db:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            change(db, rng)
            time.sleep(rng.random() * 0.004)
