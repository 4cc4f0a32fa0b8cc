"""The admin page: who may use it, and where it is."""

import multiprocessing

from email_validator import EmailNotValidError, validate_email
from fastapi import FastAPI
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.api.admin_pages import BackendBackups, BackendUsers
from app.api.admin_sessions import SharedAdminSessions
from app.api.admin_uploads import SharedUploads
from app.errors import FieldRefused, NotFirst, ServiceError, TooManyAttempts, WrongPassword
from app.resources import Resources
from app.security.passwords import MAX_PASSWORD_BYTES
from app.services import accounts, sessions, users
from app.services.accounts import Credentials
from snaptable.admin import Admin, Site, mount_admin
from snaptable.admin.access import FIRST_ADMIN_SECONDS, LinkToken, client_address
from snaptable.web import Problem

PATH = "/admin"
MIN_PASSWORD = 8


class BackendAdmins:
    """The users with `is_admin`, by their passwords; the first comes by a link that the start writes."""

    def __init__(self, resources: Resources) -> None:
        """Take what serves them."""
        self._resources = resources

    async def login(self, name: str, password: str) -> Admin | None:
        """Return the admin of an e-mail address and a password; limited and logged as every login."""
        try:
            user = await accounts.admin_of(self._resources.db, self._resources.accounts, _credentials(name, password))
        except WrongPassword:
            return None
        except ServiceError as error:
            raise _busy(error) from None
        return Admin(user.email)

    async def is_admin(self, request: Request) -> Admin | None:
        """Return the admin whose token of the API a request brings, as a program does."""
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        if scheme.lower() != "bearer" or not token:
            return None
        login = await run_in_threadpool(sessions.of_token, self._resources.db, token)
        return Admin(login[0].email) if login is not None and users.is_admin(login[0]) else None

    def still(self, admin: Admin) -> bool:
        """Return whether an admin has remained one."""
        return users.is_admin(users.by_email(self._resources.db, admin.name))

    def lacks_admin(self) -> bool:
        """Return whether an admin is still to be made; that can't be done while the store is closed."""
        return self._resources.db.is_open and users.lacks_admin(self._resources.db)

    async def make_first(self, name: str, password: str) -> Admin | str:
        """Make the first admin, of a user or of a new account, or return why not."""
        given = _credentials(name, password)
        if reason := _not_valid(given):
            return reason
        try:
            user = await accounts.make_first_admin(self._resources.db, self._resources.accounts, given)
        except WrongPassword:
            return "This account has another password."
        except NotFirst:
            return "There is an admin already: log in."
        except FieldRefused as error:
            return str(error)
        except ServiceError as error:
            raise _busy(error) from None
        return Admin(user.email)


def _credentials(name: str, password: str) -> Credentials:
    return Credentials(name, password, client_address.get())


def _not_valid(given: Credentials) -> str:
    """Return why no account could be made of what was given; "" if one could."""
    try:
        validate_email(given.email.strip(), check_deliverability=False)
    except EmailNotValidError:
        return "This is not a valid e-mail address."
    if len(given.password) < MIN_PASSWORD or len(given.password.encode("utf-8", "replace")) > MAX_PASSWORD_BYTES:
        return f"A password has {MIN_PASSWORD} characters to {MAX_PASSWORD_BYTES} bytes."
    return ""


def _busy(error: ServiceError) -> Problem:
    """Return the answer to who must wait."""
    if isinstance(error, TooManyAttempts):
        return Problem(429, "Too many logins failed: wait.", headers={"Retry-After": str(error.seconds)})
    return Problem(503, "Too many wait for their password to be verified: try again.", headers={"Retry-After": "5"})


class SharedLink(LinkToken):
    """The link for the first admin that this process and its forks share: good once in all of them."""

    def __post_init__(self) -> None:
        """Note when it was made, and that it was not used yet, in memory that forks share."""
        super().__post_init__()
        self._flag = multiprocessing.get_context("fork").Value("b", 0)

    def fits(self, text: str) -> bool:
        """Return whether a text is this token, and still good in every process."""
        return super().fits(text) and not self._flag.value

    def use(self) -> None:
        """Use it up, for all of them."""
        self._flag.value = 1


def add_admin(app: FastAPI, resources: Resources) -> Site | None:
    """Add the page, if the settings want it, and return it."""
    if not resources.settings.admin:
        return None
    shared, listed = resources.db.shared, BackendUsers(resources.db)
    site = mount_admin(
        app,
        resources.db,
        path=PATH,
        auth=BackendAdmins(resources),
        announce=False,
        users=listed,
        backups=BackendBackups(resources),
        uploads=None if shared is None else SharedUploads(shared),
        proposals=resources.settings.workers == 1,
    )
    if resources.settings.workers > 1:
        site.access.link = SharedLink(once=True, seconds=FIRST_ADMIN_SECONDS)
    if shared is not None:
        site.access.sessions = SharedAdminSessions(shared)
    listed.leave_admin_page = site.access.sessions.end_all
    return site
