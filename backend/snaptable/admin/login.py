"""The way in and out: the login, the link that a start writes, the first admin, the end of a session."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from snaptable.admin.access import Admin, FirstAdminAuth, check_origin, client_address
from snaptable.admin.sent_request import body_of
from snaptable.admin.site import COOKIE, Site, Visit
from snaptable.web.cookies import cookie_of

MAX_BODY = 16 * 1024


def add_login(site: Site) -> None:
    """Add what strangers may ask for."""
    way_in = _WayIn(site)
    site.routes += [
        Route("/login", way_in.show, methods=["GET"]),
        Route("/login", way_in.log_in, methods=["POST"]),
        Route("/enter", way_in.enter, methods=["GET"]),
        Route("/enter", way_in.make_first, methods=["POST"]),
    ]
    site.post("/logout", way_in.log_out)


class _WayIn:
    """The pages that need no session."""

    def __init__(self, site: Site) -> None:
        self.site, self.access = site, site.access

    async def show(self, request: Request) -> Response:
        """Show the login, by password or by token."""
        return await self._page(Visit(self.site, request, None))

    async def log_in(self, request: Request) -> Response:
        """Begin a session for a name and its password, or for the token of the start's link."""
        visit = await self._sent(request)
        form = visit.form
        if self.access.auth is None:
            if self.access.link.fits(form.get("token", "").strip()):
                return await self._begun(visit, Admin("admin"))
            return await self._page(visit, error="This is not the token that the last start wrote.", status=401)
        name = form.get("name", "")
        admin = await self._with_address(request, name, form.get("password", ""))
        if admin is None:
            error = "No admin has this name and this password."
            return await self._page(visit, error=error, status=401, name=name)
        return await self._begun(visit, admin)

    async def enter(self, request: Request) -> Response:
        """Let in who comes by the start's link; the first admin says first who they are."""
        visit = Visit(self.site, request, None)
        token = request.query_params.get("token", "")
        request.scope["query_string"] = b""  # the server's log of requests is written from it, at the answer
        if not self.access.link.fits(token) or not await run_in_threadpool(lambda: self.access.has_link):
            return await self._page(
                visit, error="This link is not good any more: a new start writes another.", status=401
            )
        if self.access.auth is None:
            answer = visit.render("entered.html", next=visit.url("/"))
            return await self._with_cookie(visit, answer, Admin("admin"))
        return visit.render("first_admin.html", link=token, error="", name="")

    async def make_first(self, request: Request) -> Response:
        """Make who holds the link the first admin; the link is used up."""
        visit = await self._sent(request)
        form, auth, link = visit.form, self.access.auth, self.access.link
        token, name = form.get("link", ""), form.get("name", "")
        is_good = link.fits(token) and await run_in_threadpool(lambda: self.access.wants_first_admin)
        if not isinstance(auth, FirstAdminAuth) or not is_good:
            return await self._page(
                visit, error="This link is not good any more: a new start writes another.", status=401
            )
        address = client_address.set(_address(request))
        try:
            made = await auth.make_first(name, form.get("password", ""))
        finally:
            client_address.reset(address)
        if isinstance(made, str):
            return visit.render("first_admin.html", status=422, link=token, error=made, name=name)
        link.use()
        return await self._begun(visit, made)

    async def log_out(self, visit: Visit) -> Response:
        """End the session."""
        await run_in_threadpool(self.access.sessions.end, cookie_of(visit.request.scope, COOKIE))
        answer = visit.redirect("/login")
        answer.delete_cookie(COOKIE, path=visit.base or "/")
        return answer

    async def _sent(self, request: Request) -> Visit:
        check_origin(request)
        visit = Visit(self.site, request, None)
        visit.body = await body_of(request, MAX_BODY)
        return visit

    async def _with_address(self, request: Request, name: str, password: str) -> Admin | None:
        address = client_address.set(_address(request))
        try:
            return await self.access.log_in(name, password)
        finally:
            client_address.reset(address)

    async def _page(self, visit: Visit, error: str = "", status: int = 200, name: str = "") -> Response:
        return await run_in_threadpool(
            lambda: visit.render(
                "login.html",
                status,
                error=error,
                name=name,
                by_password=self.access.auth is not None,
                wants_first=self.access.wants_first_admin,
                next=visit.query.get("next") or visit.form.get("next", ""),
            )
        )

    async def _begun(self, visit: Visit, admin: Admin) -> Response:
        to = visit.form.get("next", "")
        is_ours = to.startswith(f"{visit.base}/") and not any(ord(each) < 33 or each == "\\" for each in to)
        return await self._with_cookie(visit, RedirectResponse(to if is_ours else visit.url("/"), 303), admin)

    async def _with_cookie(self, visit: Visit, answer: Response, admin: Admin) -> Response:
        answer.set_cookie(
            COOKIE,
            await run_in_threadpool(self.access.sessions.begin, admin),
            path=visit.base or "/",
            httponly=True,
            samesite="strict",
            secure=visit.request.url.scheme == "https",
        )
        return answer


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
