"""Who may enter, and which of their requests count: sessions, links with a token, and what browsers tell of a request.

A session is a random token in a cookie that scripts can't read and that no other site's page can send along; the server
keeps its digest. A request that changes something must come from a page of this origin (`Sec-Fetch-Site`, `Origin`) and
bring the token that only these pages hold.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from snaptable.client_networks import network_of
from snaptable.web.problems import Problem

SESSION_SECONDS = 12 * 3600.0
"""How long a session lasts."""
IDLE_SECONDS = 2 * 3600.0
"""How long one lasts that is not used."""
MOST_SESSIONS = 1_000
FIRST_ADMIN_SECONDS = 15 * 60.0
"""How long the link for the first admin is good."""
FAILURES, FAILURE_SECONDS = 10, 60.0
"""Failed logins of one address (of one /64 in IPv6) in so many seconds, before further ones are refused."""
TOKEN_HEADER = "X-Admin-Token"  # noqa: S105  # a name
TOKEN_FIELD = "admin_token"  # noqa: S105
"""Where a request brings the token of its session: as a header, or as a field of its form."""

client_address: ContextVar[str] = ContextVar("snaptable.admin.client_address", default="")
"""The address that the request of this task comes from, for an `AdminAuth` that counts attempts."""


@dataclass(frozen=True)
class Admin:
    """A person who may use the admin page.

    Attributes:
        name: the actor of the commits they make.
    """

    name: str


class AdminAuth(Protocol):
    """What an application says of its admins."""

    async def login(self, name: str, password: str) -> Admin | None:
        """Return the admin of a name and a password; None if there is none. Asked again before what can't be undone."""

    async def is_admin(self, request: Request) -> Admin | bool | None:
        """Return the admin whom the application's own session, if it has any, lets in; None or False for none."""


@runtime_checkable
class FirstAdminAuth(Protocol):
    """An `AdminAuth` whose first admin comes by a link that is written at the start, and good once."""

    def lacks_admin(self) -> bool:
        """Return whether no admin could log in; called in a thread, beside the event loop."""

    async def make_first(self, name: str, password: str) -> Admin | str:
        """Make the first admin of a name and a password, or return why not, in words."""


@runtime_checkable
class StillAdminAuth(Protocol):
    """An `AdminAuth` that is asked at each request whether a session's admin still is one."""

    def still(self, admin: Admin) -> bool:
        """Return whether the admin may still be in; called at every request, so O(1), and in a thread."""


@dataclass
class Session:
    """An admin who came in.

    Attributes:
        admin: who.
        token: what their pages bring with every change.
    """

    admin: Admin
    token: str
    began: float = 0.0
    used: float = 0.0


class SessionStore(Protocol):
    """The sessions of an admin page; asked in a thread, beside the event loop, so that a server may have them."""

    def begin(self, admin: Admin) -> str:
        """Begin a session, and return its cookie."""

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, which is used now; None if it is over."""

    def end(self, cookie: str | None) -> None:
        """End a session, if there is one."""

    def end_all(self, name: str) -> None:
        """End every session of the admin of a name: an application calls it where it logs a user out everywhere."""


@dataclass
class Sessions:
    """The sessions of one process, by the digest of their cookie: a restart ends them.

    Attributes:
        clock: gives seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Session] = field(default_factory=dict)

    def begin(self, admin: Admin) -> str:
        """Begin a session, and return its cookie."""
        cookie, now = secrets.token_urlsafe(32), self.clock()
        self._known = {digest: each for digest, each in self._known.items() if self._is_good(each, now)}
        while len(self._known) >= MOST_SESSIONS:
            del self._known[next(iter(self._known))]
        self._known[digest_of(cookie)] = Session(admin, token_of(cookie), now, now)
        return cookie

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, which is used now; None if it is over."""
        session = self._known.get(digest_of(cookie)) if cookie else None
        now = self.clock()
        if session is None or not self._is_good(session, now):
            return None
        session.used = now
        return session

    def end(self, cookie: str | None) -> None:
        """End a session, if there is one."""
        self._known.pop(digest_of(cookie or ""), None)

    def end_all(self, name: str) -> None:
        """End every session of the admin of a name."""
        for digest in [digest for digest, each in tuple(self._known.items()) if each.admin.name == name]:
            self._known.pop(digest, None)

    @staticmethod
    def _is_good(session: Session, now: float) -> bool:
        return now - session.began < SESSION_SECONDS and now - session.used < IDLE_SECONDS


def digest_of(token: str) -> str:
    """Return what is kept of a random token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def token_of(cookie: str) -> str:
    """Return the token that the pages of a session bring with each change: made of its cookie, and nowhere kept."""
    return hmac.new(cookie.encode("utf-8", "surrogatepass"), b"token", hashlib.sha256).hexdigest()


@dataclass
class LinkToken:
    """The token of a link that was written at the start.

    Attributes:
        once: whether it is used up by its first use.
        seconds: how long it is good; None until the process ends.
    """

    once: bool
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    text: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _is_used: bool = False
    _made: float = 0.0

    def __post_init__(self) -> None:
        """Note when it was made."""
        self._made = self.clock()

    def fits(self, text: str) -> bool:
        """Return whether a text is this token, and still good; in a time that doesn't tell how much of it is right."""
        is_right = hmac.compare_digest(self.text.encode(), text.encode("utf-8", "surrogatepass"))
        is_over = self.seconds is not None and self.clock() - self._made > self.seconds
        return is_right and not self._is_used and not is_over

    def use(self) -> None:
        """Use it up, if it is good once only."""
        self._is_used = self.once


class Access:
    """The way in for admins, and the count of attempts that fail."""

    def __init__(self, auth: AdminAuth | None) -> None:
        """Take what says who is an admin; None if the link is all that is asked for."""
        self.auth = auth
        self.sessions: SessionStore = Sessions()
        """Where several processes serve the page, one that they share takes its place."""
        self.link = LinkToken(once=False) if auth is None else LinkToken(once=True, seconds=FIRST_ADMIN_SECONDS)
        self._key = secrets.token_bytes(32)
        self._failures: dict[str, list[float]] = {}

    @property
    def wants_first_admin(self) -> bool:
        """Whether the first admin is to come by the link."""
        return isinstance(self.auth, FirstAdminAuth) and self.auth.lacks_admin()

    @property
    def has_link(self) -> bool:
        """Whether there is a link that lets in."""
        return self.auth is None or self.wants_first_admin

    async def session_of(self, request: Request, cookie: str | None) -> Session | None:
        """Return the session that a request belongs to; None for a stranger's."""
        if cookie is not None:
            waits = isinstance(self.auth, StillAdminAuth) or type(self.sessions) is not Sessions
            session, is_over = await run_in_threadpool(self._of_cookie, cookie) if waits else self._of_cookie(cookie)
            if session is not None or is_over:
                return session
        let_in = None if self.auth is None else await self.auth.is_admin(request)
        if not let_in:
            return None
        admin = let_in if isinstance(let_in, Admin) else Admin("admin")
        token = hmac.new(self._key, admin.name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return Session(admin, token)

    def _of_cookie(self, cookie: str) -> tuple[Session | None, bool]:
        """Return the session of a cookie, and whether it is over because its admin is none any more."""
        session = self.sessions.of(cookie)
        if session is not None and isinstance(self.auth, StillAdminAuth) and not self.auth.still(session.admin):
            self.sessions.end(cookie)
            return None, True
        return session, False

    async def log_in(self, name: str, password: str) -> Admin | None:
        """Return the admin of a name and a password; None for a wrong one.

        Raises:
            Problem: 429, too many of one address failed.
        """
        attempts, now = self._attempts_of(network_of(client_address.get())), time.monotonic()
        if len(attempts) >= FAILURES:
            raise Problem(429, "Too many logins failed: wait a minute.", headers={"Retry-After": "60"})
        attempts.append(now)  # before it is known whether it fails: others may be tried at the same time
        admin = None if self.auth is None else await self.auth.login(name, password)
        if admin is not None and now in attempts:
            attempts.remove(now)
        return admin

    def _attempts_of(self, network: str) -> list[float]:
        """Return when each of the last attempts of a network began; those that are too long ago are forgotten."""
        begin = time.monotonic() - FAILURE_SECONDS
        for each in [each for each, times in self._failures.items() if not times or times[-1] < begin]:
            del self._failures[each]
        attempts = self._failures.setdefault(network, [])
        attempts[:] = [at for at in attempts if at >= begin]
        return attempts

    async def confirm(self, admin: Admin, password: str) -> bool:
        """Return whether an admin's password was given again, for what can't be undone; without passwords, True.

        Raises:
            Problem: 429.
        """
        if self.auth is None:
            return True
        again = await self.log_in(admin.name, password)
        return again is not None and again.name == admin.name


def check_origin(request: Request) -> None:
    """Refuse a request that changes something and does not come from a page of this origin.

    Every browser says where a request of method POST comes from: `Sec-Fetch-Site` (not over plain HTTP, but for this
    machine), or `Origin`. What says nothing isn't an admin's browser.

    Raises:
        Problem: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        allowed = site == "same-origin"
    else:
        allowed = origin is not None and origin.partition("://")[2] == request.headers.get("host")
    if not allowed:
        raise Problem(403, "This did not come from a page of the admin: nothing was done.")


def check_token(session: Session, given: str | None) -> None:
    """Refuse a change without the token that the admin's pages hold.

    Raises:
        Problem: 403.
    """
    if given is None or not hmac.compare_digest(session.token.encode(), given.encode("utf-8", "surrogatepass")):
        raise Problem(403, "This page is older than your session: load it again. Nothing was done.")
