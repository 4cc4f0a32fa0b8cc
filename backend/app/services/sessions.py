"""Sessions: begun by a login, bounded an account, kept alive by use, ended one by one or all at once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from app.errors import NotFound, PasswordChanged, SessionEnded, WrongPassword
from app.library import Library
from app.tables import Session, User
from snaptable import utc_now

TOKEN_BYTES = 32
AT_A_TIME = 200
"""Sessions that one login clears away at most: what has piled up must not hold the others up."""
RENEWAL = timedelta(hours=1)
"""How much longer a session must last by a request to be worth a write."""
MOST_KEYS = 10_000
"""Sessions whose keys are remembered by their token's digest: two megabytes."""
_NOTHING = timedelta(0)


@dataclass(frozen=True)
class SessionTerms:
    """How long sessions last, and how many there may be."""

    lifetime: timedelta
    """From the login on."""
    idle: timedelta
    """From the last use on, less up to an hour: uses are noted no more often."""
    most: int
    """Of one account; the oldest goes when there would be more."""

    def end_of(self, created_at: datetime, used_at: datetime) -> datetime:
        """Return when a session ends that is used for the last time now."""
        return min(created_at + self.lifetime, used_at + self.idle)

    def is_renewed_by(self, session: Session, used_at: datetime) -> bool:
        """Return whether a use changes the end of a session by enough to be worth a write."""
        gain = self.end_of(session.created_at, used_at) - session.expires_at
        return gain >= self._least_gain or gain < _NOTHING

    @cached_property
    def _least_gain(self) -> timedelta:
        return min(RENEWAL, self.idle / 10)


def new_token() -> str:
    """Return a new token: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def begin(db: Library, user: User, token: str, terms: SessionTerms, new_hash: str | None = None) -> Session:
    """Log a user in, replacing an outdated password hash, and clear away sessions that are over or too many.

    Args:
        db: where to.
        user: as they were when the password was verified.
        token: of the session.
        terms: of all sessions.
        new_hash: of the same password.

    Raises:
        WrongPassword: the user is gone.
        PasswordChanged: the password is not the one that was verified, or was hashed anew meanwhile.
    """
    check_unchanged(db, user)
    now = utc_now()
    if new_hash:
        db.users.update(user.id, password_hash=new_hash)
    _clear_away(db, user, now, terms.most - 1)
    return db.sessions.insert(
        Session(user_id=user.id, token_sha256=_digest(token), created_at=now, expires_at=terms.end_of(now, now))
    )


def check_unchanged(db: Library, user: User) -> User:
    """Return the user as stored, if a password that was verified meanwhile is still theirs.

    Raises:
        WrongPassword: the user is gone.
        PasswordChanged: the stored hash is not the one that was verified.
    """
    stored = db.users.get(user.id)
    if stored is None or stored.deleted_at is not None:
        raise WrongPassword
    if stored.password_hash != user.password_hash:
        raise PasswordChanged
    return stored


def of_token(db: Library, token: str) -> tuple[User, Session] | None:
    """Return the user and the session of a token; None if it is unknown or over, or the account is being deleted."""
    session = _of_digest(db, _digest(token))
    if session is None or session.expires_at <= utc_now():
        return None
    user = db.users.get(session.user_id)
    return (user, session) if user is not None and user.deleted_at is None else None


def _of_digest(db: Library, digest: str) -> Session | None:
    """Return the session whose token has a digest, as it is now; None if there is none.

    Which one that is never changes, so its key is remembered, and it is read by that: a tenth of a read less than a
    query. A session that has ended is not there, whatever is remembered of it.
    """
    keys = db.session_keys
    key = keys.get(digest)
    session = None if key is None else db.sessions.get(key)
    if session is None or session.token_sha256 != digest:
        keys.pop(digest, None)
        session = db.sessions.where(Session.token_sha256 == digest).first()
        if session is not None:
            if len(keys) >= MOST_KEYS:
                keys.clear()
            keys[digest] = session.id
    return session


def goes_on(db: Library, session_id: str) -> bool:
    """Return whether a session has not ended, nor its account."""
    session = db.sessions.get(session_id)
    if session is None or session.expires_at <= utc_now():
        return False
    user = db.users.get(session.user_id)
    return user is not None and user.deleted_at is None


def renew(db: Library, session_id: str, terms: SessionTerms) -> None:
    """Keep a session alive that is being used; do nothing if another request did, or it has ended."""
    session = db.sessions.get(session_id)
    now = utc_now()
    if session is not None and session.expires_at > now and terms.is_renewed_by(session, now):
        db.sessions.update(session_id, expires_at=terms.end_of(session.created_at, now))


def of_user(db: Library, user: User) -> list[Session]:
    """Return the user's sessions that are not over, the youngest first."""
    now = utc_now()
    rows = db.sessions.where(Session.user_id == user.id).all()
    return sorted((row for row in rows if row.expires_at > now), key=lambda row: (row.created_at, row.id), reverse=True)


def end(db: Library, user: User, session_id: str) -> None:
    """End one of the user's sessions.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    session = db.sessions.get(session_id)
    if session is None or session.user_id != user.id:
        raise NotFound("session")
    db.sessions.delete(session_id)


def log_out(db: Library, session_id: str) -> None:
    """End the session of the caller; one that is gone already is not an error."""
    db.sessions.where(Session.id == session_id).delete()


def end_others(db: Library, user: User, session_id: str) -> int:
    """End all sessions of the user but this one, and return how many these were.

    Raises:
        SessionEnded: this one was ended meanwhile: who holds its token has no say any more.
    """
    if session_id not in db.sessions:
        raise SessionEnded
    return db.sessions.where(Session.user_id == user.id, Session.id != session_id).delete()


def _clear_away(db: Library, user: User, now: datetime, most: int) -> None:
    """Remove sessions that are over, whoever had them, and the user's oldest beyond `most`; some hundred at most."""
    over = db.sessions.where(Session.expires_at <= now).order_by(Session.expires_at).limit(AT_A_TIME).all()
    for row in over:
        db.sessions.delete(row.id)
    own = db.sessions.where(Session.user_id == user.id).all()
    own.sort(key=lambda row: (row.created_at, row.id))
    for row in own[: max(0, len(own) - most)][:AT_A_TIME]:
        db.sessions.delete(row.id)


def _digest(token: str) -> str:
    """Return what is stored of a token: with 256 random bits in it, a plain hash can't be guessed backwards."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
