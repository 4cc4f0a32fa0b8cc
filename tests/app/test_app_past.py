"""What the backend's tables say of their past: sessions have none, secrets are shown to nobody, times move."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.library import Library
from app.services import annotations, documents, sessions, users
from app.services.sessions import SessionTerms
from app.tables import User

TERMS = SessionTerms(timedelta(days=30), timedelta(days=7), 10)
HASH, TOKEN = "$argon2id$not-to-be-seen", "token-not-to-be-seen"


@pytest.fixture(name="db")
def opened() -> Iterator[Library]:
    """Give an open database."""
    with Library("memory:") as db:
        yield db


@pytest.fixture(name="ann")
def registered(db: Library) -> User:
    """Give a user who is logged in."""
    ann = users.register(db, "ann@example.org", HASH)
    sessions.begin(db, ann, TOKEN, TERMS)
    return ann


def test_going_back_in_time_logs_nobody_in_again(db: Library, ann: User) -> None:
    """Ensure that a session that was ended stays ended, and one that began since stays."""
    before = db.history.sequence
    db.users.update(ann.id, email="ann@example.com")
    sessions.log_out(db, db.sessions.where().one().id)
    sessions.begin(db, db.users[ann.id], "another", TERMS)
    db.history.restore(before)
    assert db.users[ann.id].email == "ann@example.org"
    assert sessions.of_token(db, TOKEN) is None
    assert sessions.of_token(db, "another") is not None
    assert {change.table for commit in db.history for change in commit.changes} == {"users"}


def test_hashes_and_tokens_are_not_shown(db: Library, ann: User) -> None:
    """Ensure that neither a row's repr nor history has them."""
    db.users.update(ann.id, password_hash=HASH + "2")
    (session,) = db.sessions.all()
    shown = repr([*db.users, session]) + "".join(repr(commit.changes) for commit in db.history)
    assert "not-to-be-seen" not in shown
    assert session.token_sha256 not in shown


def test_a_time_of_change_moves_with_changes(db: Library, ann: User) -> None:
    """Ensure that it moves with a change of a user and an annotation, and stays where nothing changed."""
    document = documents.create(db, ann, filename="a.pdf", total_pages=1, size=1, sha256="0" * 64, metadata={})
    made = annotations.create(db, ann, document.id, 1, type="note", coordinates={"x": 1}, content="a", color=None)
    sequence = db.history.sequence
    assert annotations.change(db, ann, made, content="a", coordinates={"x": 1}) == made
    assert db.history.sequence == sequence
    assert annotations.change(db, ann, made, content="b").updated_at > made.updated_at
    assert db.users.update(ann.id, password_hash="other").updated_at > ann.updated_at
