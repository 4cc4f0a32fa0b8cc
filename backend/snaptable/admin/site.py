"""What pages stand on: the `Site` that they add themselves to, and the `Visit` that each of their requests is."""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from snaptable import Database, SnaptableError, attribution
from snaptable.admin import access, past, words
from snaptable.admin.access import Access, Admin, AdminAuth, Session
from snaptable.admin.numbers import number_in
from snaptable.admin.rows import Labels, ShownTable
from snaptable.admin.sent_request import SentRequest, body_of
from snaptable.admin.state import StoreState
from snaptable.web.cookies import cookie_of

MAX_BODY = 1024 * 1024
"""Bytes of a form, or of staged edits, unless a page says otherwise."""
THEMES = ("system", "light", "dark")
DENSITIES = ("normal", "compact", "roomy")
COOKIE = "snaptable_admin"

Handler = Callable[["Visit"], "Response | Awaitable[Response]"]


@dataclass(frozen=True)
class NavItem:
    """A page that the sidebar leads to.

    Attributes:
        name: the page's own, which `Visit.render` takes as `active`.
        label: what it is called.
        path: below the admin's.
        icon: of `templates/icons.html`.
        place: the lower, the further up; from 100 on below the tables.
    """

    name: str
    label: str
    path: str
    icon: str
    place: int


@dataclass
class Site:
    """One mounted admin page.

    Attributes:
        db: what it shows; it may be opened later.
        title: what it is called.
        shown: the names of the tables that it shows.
        access: who may enter.
        labels: how rows are called in links.
        options: what else `mount_admin` was given, for single pages.
    """

    db: Database
    title: str
    shown: Sequence[str]
    access: Access
    labels: Labels
    options: Mapping[str, Any] = field(default_factory=dict)
    nav: list[NavItem] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    overview: "list[Callable[[Visit], tuple[str, str, str, str] | None]]" = field(default_factory=list)
    """What adds a line to the overview: its name, a figure, what it means, and "", "good", "changed" or "removed"."""
    overview_actions: list[tuple[str, str, str]] = field(default_factory=list)
    """Buttons of the overview that post: label, icon, path."""
    table_links: list[tuple[str, str, str]] = field(default_factory=list)
    """Buttons of each table, which lead on with `table=`, the filters and the order: label, icon, path."""
    assets: dict[str, str] = field(default_factory=dict)
    """The digest of each file in `static/`, by its name."""
    path: str = "/admin"
    """Where it is, in the application."""

    @property
    def shows_all(self) -> bool:
        """Whether every table is shown: what is of all tables at once is for such a page alone."""
        return len(self.shown) == len(self.db.tables)

    @property
    def link(self) -> str | None:
        """The path that lets in without a login; None if there is none."""
        return f"{self.path}/enter?token={self.access.link.text}" if self.access.has_link else None

    @property
    def link_note(self) -> str:
        """What is to be known of the link."""
        if self.access.auth is None:
            return "It is good until the server stops."
        return "It makes who opens it the first admin, once, within 15 minutes."

    @cached_property
    def tables(self) -> "dict[str, ShownTable]":
        """The tables that are shown, by name, in their order."""
        return {name: ShownTable(self.db.tables[name]) for name in self.shown}

    def add_nav(self, item: NavItem) -> None:
        """Lead to a page from the sidebar."""
        self.nav.append(item)
        self.nav.sort(key=lambda each: each.place)

    def get(self, path: str, handler: Handler) -> None:
        """Answer GET at a path below the admin's; the handler reads, and changes nothing.

        A plain function is called in a thread, a coroutine function on the event loop.
        """
        self.routes.append(Route(path, self._endpoint(handler, 0), methods=["GET"]))

    def post(self, path: str, handler: Handler, *, max_body: int = MAX_BODY) -> None:
        """Answer POST at a path, once origin and token were checked; commits are attributed to the admin.

        Args:
            path: below the admin's.
            handler: as of `get`.
            max_body: bytes that the body may have; it is read before the handler is called.
        """
        self.routes.append(Route(path, self._endpoint(handler, max_body), methods=["POST"]))

    def table(self, name: str) -> ShownTable:
        """Return a table that is shown.

        Raises:
            HTTPException: 404.
        """
        if name not in self.tables:
            raise HTTPException(404, f"There is no table {name[:80]!r} here.")
        return self.tables[name]

    @property
    def templates(self) -> Environment:
        """The templates of this package."""
        return _templates()

    def _endpoint(self, handler: Handler, max_body: int) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            """Answer a request of an admin, and send strangers to the login."""
            token = access.client_address.set(request.client.host if request.client else "")
            try:
                session = await self.access.session_of(request, cookie_of(request.scope, COOKIE))
                visit = Visit(self, request, session)
                if session is None:
                    return visit.to_login()
                if request.method == "POST":
                    access.check_origin(request)
                    visit.body = await body_of(request, max_body)
                    access.check_token(session, visit.sent_token)
                with attribution(actor=session.admin.name, via="admin"):
                    return await _call(handler, visit)
            finally:
                access.client_address.reset(token)

        return answer


@cache
def _templates() -> Environment:
    """Return the templates of this package, which escape what they are given; compiled once a process."""
    environment = Environment(
        loader=PackageLoader("snaptable.admin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= words.FILTERS
    return environment


async def _call(handler: Handler, visit: "Visit") -> Response:
    if inspect.iscoroutinefunction(handler):
        answer: Response = await handler(visit)
        return answer
    response = await run_in_threadpool(handler, visit)
    assert isinstance(response, Response)
    return response


class Visit(SentRequest):
    """One request of an admin.

    Attributes:
        site: the admin page.
    """

    def __init__(self, site: Site, request: Request, session: Session | None) -> None:
        """Take a request, and whose it is; None for a stranger's, who sees the login and nothing else."""
        super().__init__(request)
        self.site, self._session = site, session
        self._began = time.perf_counter()
        self._times: dict[str, float] = {}

    # ── what was asked ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def db(self) -> Database:
        """The database."""
        return self.site.db

    @property
    def admin(self) -> Admin:
        """Who asks."""
        assert self._session is not None
        return self._session.admin

    # ── what is answered ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def base(self) -> str:
        """The path that the admin page is mounted at, as browsers see it."""
        return str(self.request.scope.get("root_path", ""))

    def url(self, path: str, **query: object) -> str:
        """Return the address of a page; parameters that are None are left out."""
        given = [(name, str(value)) for name, value in query.items() if value is not None]
        return f"{self.base}{quote(path)}" + (f"?{urlencode(given)}" if given else "")

    def row_url(self, table: str, key: object) -> str:
        """Return the address of a row's page."""
        return self.url(f"/tables/{table}/row", key=key)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a step of the answer, for the header Server-Timing."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._times[name] = self._times.get(name, 0.0) + time.perf_counter() - began

    @property
    def milliseconds(self) -> float:
        """The time since the request came."""
        return (time.perf_counter() - self._began) * 1000

    def render(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Return the page that a template makes; it has `visit`, `site`, `url`, `row_url`, `state` and these values."""
        with self.timed("render"):
            text = self.site.templates.get_template(template).render(self._frame() | values)
        response = HTMLResponse(text, status)
        parts = [f"{name};dur={seconds * 1000:.1f}" for name, seconds in self._times.items()]
        response.headers["Server-Timing"] = ", ".join([*parts, f"total;dur={self.milliseconds:.1f}"])
        return response

    def _frame(self) -> dict[str, object]:
        theme, density = (cookie_of(self.request.scope, f"snaptable_{name}") for name in ("theme", "density"))
        return {
            "visit": self,
            "site": self.site,
            "url": self.url,
            "row_url": self.row_url,
            "token": self._session.token if self._session else "",
            "state": StoreState.of(self.db),
            "theme": theme if theme in THEMES else "system",
            "density": density if density in DENSITIES else "normal",
            "toast": self._toast(),
            "panel": None,
            "active": "",
        }

    def _toast(self) -> dict[str, object] | None:
        """Return what is said of the commit that was just made, named by the parameter `done`, if it is the admin's."""
        done = number_in(self.query.get("done", ""), digits=15)
        if self._session is None or done is None:
            return None
        try:
            commit = next(self.db.history.commits(since=done - 1, until=done), None)
        except (SnaptableError, ValueError):
            return None
        if commit is None or commit.actor != self.admin.name:
            return None
        back = self.request.url.path
        return {"text": past.summary(commit), "sequence": commit.sequence, "back": back}

    def redirect(self, path: str, **query: object) -> RedirectResponse:
        """Return the answer that leads on to another page, by GET."""
        return RedirectResponse(self.url(path, **query), 303)

    def back(self, path: str, **query: object) -> RedirectResponse:
        """Return the answer that leads back to where the form says that it stands (`back`), else to a path."""
        to = self.form.get("back", "")
        if not to.startswith(f"{self.base}/") or any(ord(each) < 32 or each == "\\" for each in to):
            return self.redirect(path, **query)
        given = [(name, str(value)) for name, value in query.items() if value is not None]
        joint = "&" if "?" in to else "?"
        return RedirectResponse(to + (joint + urlencode(given) if given else ""), 303)

    def json(self, value: object, status: int = 200) -> Response:
        """Return an answer for a script."""
        return Response(json.dumps(value, ensure_ascii=False), status, media_type="application/json")

    def to_login(self) -> Response:
        """Return what a stranger gets."""
        if self.wants_json or self.request.method != "GET":
            return self.json({"title": "Log in again", "detail": "Your session is over: load the page again."}, 401)
        asked = self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else "")
        return self.redirect("/login", next=asked)

    async def confirmed(self) -> bool:
        """Return whether the form's `password` is the admin's own: asked again before what can't be undone."""
        confirmed = await self.site.access.confirm(self.admin, self.form.get("password", ""))
        await asyncio.sleep(0)
        return confirmed

    @property
    def asks_password(self) -> bool:
        """Whether there are passwords to ask for again."""
        return self.site.access.auth is not None


def make_site(
    db: Database,
    auth: AdminAuth | None,
    title: str | None,
    tables: Sequence[str] | None,
    labels: Mapping[str, str] | None,
    options: Mapping[str, Any],
) -> Site:
    """Return the site of a database, without any page yet.

    Raises:
        ValueError: a table, or a field for labels, that there is not.
    """
    shown = list(db.tables) if tables is None else list(tables)
    for name in (*shown, *(labels or {})):
        if name not in db.tables:
            raise ValueError(f"mount_admin: {type(db).__name__} has no table {name!r}; it has {', '.join(db.tables)}")
    return Site(db, title or type(db).__name__, shown, Access(auth), Labels.of(db, labels or {}), options)
