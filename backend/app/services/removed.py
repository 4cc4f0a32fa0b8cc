"""What was deleted and takes a while to go: meanwhile it belongs to an account without a person, which is deleted too.

A document with many rows on it is handed over to such an account, one for each user, in one commit: so no reader sees
the document or its rows any more, and `Erasure` removes them with the account, in small commits, also after a restart.
"""

from app.library import Library
from app.tables import User
from snaptable import utc_now

_PREFIX = "removed:"


def holder_of(db: Library, user_id: str) -> User | None:
    """Return the account that holds what a user deleted, as long as it is being removed; None if nothing is; O(1)."""
    return db.users.where(User.email == _name(user_id)).first()


def hold(db: Library, user_id: str) -> User:
    """Return the account that holds what a user deleted, made if there is none."""
    holder = holder_of(db, user_id)
    if holder is not None:
        return holder
    now = utc_now()
    return db.users.insert(User(email=_name(user_id), password_hash="", created_at=now, updated_at=now, deleted_at=now))


def owner_of(email: str) -> str | None:
    """Return the user whose deleted things an account holds, by its address; None for an account of a person."""
    owner = email.removeprefix(_PREFIX)
    return owner if owner != email else None


def _name(user_id: str) -> str:
    """Return what stands in place of an address; no address that is registered or typed equals it."""
    return f"{_PREFIX}{user_id}"
