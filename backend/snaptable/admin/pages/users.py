"""Users, for an application that has them: who is an admin, who is logged in; `mount_admin(…, users=…)`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.responses import Response

from snaptable.admin.numbers import number_in
from snaptable.admin.site import NavItem, Site, Visit

PAGE = 50


@dataclass(frozen=True)
class ListedUser:
    """A user, as the page shows them.

    Attributes:
        key: of the row.
        name: what they log in with.
        is_admin: whether they may be here.
        sessions: how many logins they have.
        created_at: since when.
    """

    key: str
    name: str
    is_admin: bool
    sessions: int
    created_at: datetime | None = None


class Users(Protocol):
    """What an application says of its users, and does to them; each act is a commit."""

    table: str
    """The table of their rows."""

    def find(self, text: str, skip: int, most: int) -> tuple[Sequence[ListedUser], int]:
        """Return users whose name has a text, admins first, and how many there are."""

    def set_admin(self, key: str, *, is_admin: bool) -> str | None:
        """Make a user an admin, or one no longer; return why not."""

    def end_sessions(self, key: str) -> int:
        """End all logins of a user; return how many there were."""


def add_to(site: Site) -> None:
    """Add the page, if the application has users."""
    if site.options.get("users") is None:
        return
    site.add_nav(NavItem("users", "Users", "/users", "user", 130))
    site.get("/users", show)
    site.post("/users/admin", set_admin)
    site.post("/users/sessions", end_sessions)


def _users(visit: Visit) -> Users:
    users: Users = visit.site.options["users"]
    return users


def show(visit: Visit) -> Response:
    """Show them."""
    return _page(visit)


def _page(visit: Visit, status: int = 200, error: str | None = None) -> Response:
    begin = number_in(visit.query.get("skip", ""), digits=9) or 0
    text = visit.query.get("q", "").strip()[:200]
    users, total = _users(visit).find(text, begin, PAGE)
    return visit.render(
        "users.html",
        status,
        active="users",
        users=users,
        total=total,
        begin=begin,
        text=text,
        table=_users(visit).table,
        error=error,
        next=visit.url("/users", q=text or None, skip=begin + PAGE) if begin + PAGE < total else None,
    )


def set_admin(visit: Visit) -> Response:
    """Make a user an admin, or one no longer."""
    key, is_admin = visit.form.get("key", ""), visit.form.get("admin") == "yes"
    if not key:
        raise HTTPException(422, "Name the user.")
    error = _users(visit).set_admin(key, is_admin=is_admin)
    if error is not None:
        return _page(visit, 409, error)
    return visit.back("/users", done=visit.db.history.sequence)


def end_sessions(visit: Visit) -> Response:
    """Log a user out everywhere."""
    _users(visit).end_sessions(visit.form.get("key", ""))
    return visit.back("/users")
