"""What routes depend on: the backend's resources, and the caller."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Concatenate, NamedTuple, ParamSpec, TypeVar, TypeVarTuple, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from starlette.responses import Response

from app.cache import Loaded
from app.library import Library
from app.resources import Resources
from app.services import quotas, sessions
from app.tables import Session, User
from snaptable import SnaptableError, utc_now
from snaptable.web import FieldError, Problem, StrictRequest, is_known, note_caller

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CHALLENGE = {"WWW-Authenticate": "Bearer"}
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Caller(NamedTuple):
    """The user a request comes from, and what serves it."""

    resources: Resources
    user: User
    session: Session
    revision: str | None = None
    """Of the user's rows, as of the state that they were found in; None without a cache."""

    @property
    def id(self) -> str:
        """The user's key."""
        return self.user.id

    @property
    def db(self) -> Library:
        """The database."""
        return self.resources.db

    async def read(self, find: "Callable[[Library, User, *Ts], T]", *args: *Ts) -> T:
        """Return what is found of the user's, as of one state."""
        return await self.db.read(find, self.user, *args)

    async def answer(
        self, request: Request, read: Callable[[], Response], takes_long: Callable[[], bool] | None = None
    ) -> Response:
        """Return the answer to a GET, read as of one state: from the cache, if that has it; 304 to who knows it.

        Args:
            request: whose address, with the caller's rows, is all that the answer depends on.
            read: makes it of the rows, with the `ETag` of a single one.
            takes_long: returns whether it takes a sort of many rows, in memory: such answers are made in a thread, for
                users in rotation.

        Raises:
            TooBusy: too many such answers are waited for.
        """
        if self.revision is not None:
            response = await self._kept(f"{request.url.path}?{request.url.query}", read)
        elif takes_long is not None and not self.db.is_on_server and takes_long():
            async with self.sorting_place():
                response = await asyncio.to_thread(read)
        else:
            response = await self.db.read(lambda _db: read())
        tag = next((value.decode("latin-1") for name, value in response.raw_headers if name == b"etag"), None)
        return Response(None, 304, {"ETag": tag}) if tag and is_known(request.scope, tag) else response

    @asynccontextmanager
    async def sorting_place(self) -> AsyncIterator[None]:
        """Return the context of a sort of many rows: users are served in rotation.

        Raises:
            TooBusy: on entering: too many wait for a place.
        """
        queue = self.resources.sorting
        await queue.take(self.user.id)
        try:
            yield
        finally:
            queue.give_back()

    async def _kept(self, question: str, read: Callable[[], Response]) -> Response:
        """Return the answer to a question, from the cache if that has it; only a 200 is kept."""
        cache, made = self.resources.cache, list[Response]()
        assert cache is not None  # or no revision was asked for

        async def load() -> Loaded:
            revision, response = await self.db.read(lambda db: (db.revision(self.user.id), read()))
            made.append(response)
            kept = response.headers.get("etag", "").encode() + b"\n" + bytes(response.body)
            return (revision if response.status_code == 200 else None), kept

        kept = await cache.through(self.user.id, self.revision, question, load)
        if made:
            return made[0]
        tag, _, body = kept.partition(b"\n")
        return Response(body, 200, {"ETag": tag.decode()} if tag else None, "application/json")

    async def write(self, act: Callable[Concatenate[Library, User, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Act on what the user stores, in one transaction; return when it is durable."""
        if self.user.id not in self.db.usages:
            await quotas.prepare(self.db, self.user)
        async with quotas.write_lock(self.db, self.user):
            return await self.db.run(act, self.user, *args, **kwargs)


async def get_resources(request: Request) -> Resources:
    """Return the resources of this application."""
    return cast(Resources, request.app.state.resources)


class Login(OAuth2PasswordBearer):
    """The scheme that OpenAPI documents, and the dependency that gives the caller.

    FastAPI's own gives the token only, and the caller would be a second dependency, at the cost of a second round
    through FastAPI's resolution at every request.
    """

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # more than the token
        """Return the user and the session of the bearer token.

        Raises:
            Problem: 401, the token is missing, or not a session's.
        """
        token = _bearer_token(request)
        resources: Resources = request.app.state.resources
        db = resources.db
        revision = None
        if not token:
            login = None
        elif resources.cache is not None:
            login, revision = await _login_of(resources, token)
        elif db.is_on_server:
            # The user of a session never changes, so both needn't be of one state.
            login = await db.read(sessions.of_token, token, one_state=False)
        else:
            login = sessions.of_token(db, token)  # as `read` would, in memory; two calls fewer at every request
        if login is None:
            if token:
                resources.accounts.events.report("token refused", client_address(request))
            raise Problem(401, "Log in, and send the token as `Authorization: Bearer …`.", headers=CHALLENGE)
        user, session = login
        note_caller(user.id)
        if resources.accounts.terms.is_renewed_by(session, utc_now()):
            await _keep_alive(resources, session)
        return Caller(resources, user, session, revision)


async def _login_of(resources: Resources, token: str) -> tuple[tuple[User, Session] | None, str | None]:
    """Return the login of a token, and the revision of its user's rows, as of one state."""

    def find(db: Library) -> tuple[tuple[User, Session] | None, str | None]:
        login = sessions.of_token(db, token)
        return login, None if login is None else db.revision(login[0].id)

    return await resources.db.read(find)


def _bearer_token(request: Request) -> str | None:
    """Return the token that a request brings, as FastAPI's scheme would, from the first header of that name."""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            return token.decode("latin-1").strip() if scheme.lower() == b"bearer" else None
    return None


async def _keep_alive(resources: Resources, session: Session) -> None:
    """Note that a session is used, once an hour at most; a read isn't refused because a store takes no writes."""
    with contextlib.suppress(SnaptableError):
        await resources.db.run(sessions.renew, session.id, resources.accounts.terms)


async def require_login_form(request: Request) -> None:
    """Refuse a login that is not a form, and say what a form is: OAuth2 wants one, many clients send JSON.

    Raises:
        Problem: 422.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in FORMS:
        detail = f"Send this as a field of a form: Content-Type {FORMS[0]}, with the fields username and password."
        raise Problem.invalid(FieldError("/username", detail), FieldError("/password", detail))


def client_address(request: Request) -> str:
    """Return the address a request comes from, as far as the server trusts it."""
    return request.client.host if request.client else ""


ResourcesDep = Annotated[Resources, Depends(get_resources)]
LOGIN = Login(tokenUrl="/api/auth/login", scheme_name="OAuth2PasswordBearer", auto_error=False)
CallerDep = Annotated[Caller, Depends(LOGIN)]


class CallerRequest(StrictRequest):
    """A request of a user who is logged in.

    Attributes:
        caller: the user and the session of its token.
    """

    caller: Caller

    async def admit(self) -> None:
        """Find out who asks.

        Raises:
            Problem: 401, as `Login`.
        """
        self.caller = await LOGIN(self)
