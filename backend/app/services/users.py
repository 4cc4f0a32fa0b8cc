"""Users and their sessions."""

import hashlib
import secrets
from datetime import timedelta

from app.errors import EmailTaken, WrongPassword
from app.library import Library
from app.tables import Session, User
from snaptable import utc_now

TOKEN_BYTES = 32


def by_email(db: Library, email: str) -> User | None:
    """Return the user with this address, given in canonical form; None if there is none."""
    return db.users.where(User.email == email).first()


def register(db: Library, email: str, password_hash: str) -> User:
    """Add a user.

    Raises:
        EmailTaken: another user has the address.
    """
    if by_email(db, email):
        raise EmailTaken
    now = utc_now()
    return db.users.insert(User(email=email, password_hash=password_hash, created_at=now, updated_at=now))


def new_token() -> str:
    """Return a new token: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def begin_session(db: Library, user: User, token: str, lifetime: timedelta, new_hash: str | None) -> Session:
    """Log a user in, replacing an outdated password hash, and remove the sessions that have expired.

    Raises:
        WrongPassword: the user is gone.
    """
    stored = db.users.get(user.id)
    if stored is None:
        raise WrongPassword
    now = utc_now()
    if new_hash and stored.password_hash == user.password_hash:
        db.users.update(user.id, password_hash=new_hash, updated_at=now)
    db.sessions.where(Session.expires_at <= now).delete()
    return db.sessions.insert(
        Session(user_id=user.id, token_sha256=_digest(token), created_at=now, expires_at=now + lifetime)
    )


def session_of(db: Library, token: str) -> tuple[User, Session] | None:
    """Return the user and the session of a token; None if it is unknown or has expired."""
    session = db.sessions.where(Session.token_sha256 == _digest(token)).first()
    if session is None or session.expires_at <= utc_now():
        return None
    user = db.users.get(session.user_id)
    return (user, session) if user else None


def end_session(db: Library, session_id: str) -> None:
    """Log out; a session that is gone already is not an error."""
    db.sessions.where(Session.id == session_id).delete()


def _digest(token: str) -> str:
    """Return what is stored of a token: with 256 random bits in it, a plain hash can't be guessed backwards."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
