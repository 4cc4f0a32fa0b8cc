"""Users."""

from app.errors import EmailTaken, NotFirst
from app.library import Library
from app.services import sessions
from app.tables import User
from snaptable import utc_now


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


def is_admin(user: User | None) -> bool:
    """Return whether a user may use the admin page."""
    return user is not None and user.is_admin and user.deleted_at is None


def lacks_admin(db: Library) -> bool:
    """Return whether no user may use the admin page; O(users) if so."""
    return not any(is_admin(user) for user in db.users.where(is_admin=True))


def make_first_admin(db: Library, user: User) -> User:
    """Let a user use the admin page, as the first.

    Raises:
        NotFirst: another is an admin already.
        WrongPassword, PasswordChanged: as `sessions.check_unchanged`.
    """
    sessions.check_unchanged(db, user)
    if not lacks_admin(db):
        raise NotFirst
    return db.users.update(user.id, is_admin=True)


def change_password(db: Library, user: User, session_id: str, password_hash: str) -> int:
    """Store another password, end all other sessions, and return how many these were.

    Args:
        db: where.
        user: as they were when the old password was verified.
        session_id: of the session that stays.
        password_hash: of the new password.

    Raises:
        WrongPassword: the user is gone.
        PasswordChanged: the old password was changed, or hashed anew, since it was verified.
        SessionEnded: the session was ended since.
    """
    sessions.check_unchanged(db, user)
    ended = sessions.end_others(db, user, session_id)
    db.users.update(user.id, password_hash=password_hash)
    return ended


def close_account(db: Library, user: User, session_id: str) -> None:
    """Make an account unusable, and its address free; `Erasure` removes what belongs to it.

    Args:
        db: where.
        user: as they were when the password was verified.
        session_id: of the session that asks for it.

    Raises:
        WrongPassword: the user is gone.
        PasswordChanged: the password was changed, or hashed anew, since it was verified.
        SessionEnded: the session was ended since.
    """
    sessions.check_unchanged(db, user)
    sessions.end_others(db, user, session_id)
    sessions.log_out(db, session_id)
    # No address that is registered or typed equals this one, and no password opens the empty hash.
    db.users.update(user.id, email=f"deleted:{user.id}", password_hash="", deleted_at=utc_now())
