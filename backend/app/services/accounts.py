"""Registering, logging in, changing a password, deleting an account: rules with the slow hashing in between.

A password is verified between two looks at the database. The second one, in the transaction that acts on it, refuses
if the stored hash is another by then, and the password is verified again: it may have been changed, or another login
has just replaced an outdated hash.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec, TypeVar

from app.errors import EmailTaken, FieldRefused, PasswordChanged, TooManyAttempts, WrongPassword
from app.library import Library
from app.security.common_passwords import reason_to_refuse
from app.security.emails import canonical_email
from app.security.events import SecurityEvents
from app.security.login_limits import LoginAttempt, LoginLimits
from app.security.networks import household_of
from app.security.passwords import Passwords, Verification
from app.services import sessions, users
from app.services.sessions import SessionTerms
from app.tables import Session, User

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 3
"""How often a password is verified that is changed or hashed anew at the same moment."""


@dataclass(frozen=True)
class AccountResources:
    """What registering and logging in need besides the database."""

    passwords: Passwords
    limits: LoginLimits
    terms: SessionTerms
    events: SecurityEvents


class Credentials(NamedTuple):
    """What a person gives to be let in: e-mail address and password, and the network address they come from."""

    email: str
    password: str
    address: str


class Owner(NamedTuple):
    """Who asks for something that needs the password of an account they are logged in to."""

    user: User
    session: Session
    address: str
    """The network address the request comes from."""


async def register(db: Library, resources: AccountResources, email: str, password: str, address: str) -> User:
    """Add a user.

    Args:
        db: where to.
        resources: what it takes.
        email: in any spelling.
        password: in clear.
        address: the network address the request comes from.

    Raises:
        EmailTaken: another user has the e-mail address.
        FieldRefused: the password is too easily guessed.
        TooManyAttempts: too many registrations came from the network address.
        TooBusy: too many wait for a password to be hashed.
    """
    try:
        await _counted(resources, resources.limits.count_registration, address)
    except TooManyAttempts:
        resources.events.report("registration limit reached", address)
        raise
    email = canonical_email(email)
    _check_password("password", password, email)
    if await db.read(users.by_email, email):
        # The look inside the transaction is what counts; this one saves the hashing.
        raise EmailTaken
    password_hash = await resources.passwords.hash(password, household_of(address))
    user = await db.run(users.register, email, password_hash)
    resources.events.report("registered", address, account=user.id)
    return user


async def log_in(db: Library, resources: AccountResources, email: str, password: str, address: str) -> str:
    """Return the token of a new session; arguments as of `register`.

    Raises:
        WrongPassword: e-mail address and password don't belong together.
        TooManyAttempts: too many attempts failed.
        TooBusy: too many wait for a password to be verified.
    """
    token = sessions.new_token()

    def begin(db: Library, user: User, verification: Verification) -> str:
        return sessions.begin(db, user, token, resources.terms, verification.new_hash).user_id

    await _verified(db, resources, Credentials(email, password, address), begin)
    return token


async def admin_of(db: Library, resources: AccountResources, given: Credentials) -> User:
    """Return the user who may use the admin page; a wrong password is a failed login.

    Raises:
        WrongPassword: e-mail address and password don't belong together, or not to an admin.
        TooManyAttempts, TooBusy: as `log_in`.
    """

    def check(db: Library, user: User, _: Verification) -> str:
        if not users.is_admin(sessions.check_unchanged(db, user)):
            raise WrongPassword
        return user.id

    user_id = await _verified(db, resources, given, check)
    return await db.read(lambda db: db.users[user_id])


async def make_first_admin(db: Library, resources: AccountResources, given: Credentials) -> User:
    """Let the first person use the admin page: who has an account, by its password, else by a new account.

    Raises:
        NotFirst: another is an admin already.
        WrongPassword: the account has another password.
        FieldRefused: the password of a new account is too easily guessed.
        TooManyAttempts, TooBusy: as `log_in`.
    """
    if await db.read(users.by_email, canonical_email(given.email)) is None:
        await register(db, resources, *given)

    def make(db: Library, user: User, _: Verification) -> str:
        return users.make_first_admin(db, user).id

    user_id = await _verified(db, resources, given, make)
    resources.events.report("first admin", given.address, account=user_id)
    return await db.read(lambda db: db.users[user_id])


async def _verified(
    db: Library,
    resources: AccountResources,
    given: Credentials,
    act: Callable[[Library, User, Verification], str],
) -> str:
    """Act for the user whose password was given, and return their id, which `act` gives; counted as a login.

    Raises:
        WrongPassword, TooManyAttempts, TooBusy: as `log_in`.
    """
    email = canonical_email(given.email)
    attempt = await _begin(resources, email, given.address)
    try:
        user_id = await _with_password(
            db, resources, lambda db: users.by_email(db, email), given.password, given.address, act
        )
    except WrongPassword:
        known = await db.read(users.by_email, email)
        resources.events.report("login failed", given.address, account=known.id if known else None, unknown=email)
        raise
    except Exception:
        await _counted(resources, attempt.was_not_made)
        raise
    await _counted(resources, attempt.succeeded)
    resources.events.report("login ok", given.address, account=user_id)
    return user_id


async def change_password(db: Library, resources: AccountResources, owner: Owner, old: str, new: str) -> None:
    """Replace the password, and end all other sessions.

    Raises:
        FieldRefused: the old password is wrong, or the new one too easily guessed.
        TooManyAttempts: too many attempts failed.
        SessionEnded: the session was ended meanwhile.
        TooBusy: too many wait for a password to be verified.
    """
    user, session, address = owner
    _check_password("new_password", new, user.email)
    async with _attempt(resources, owner, "old_password"):
        new_hash = await resources.passwords.hash(new, household_of(address))

        def change(db: Library, user: User, _: Verification) -> int:
            return users.change_password(db, user, session.id, new_hash)

        ended = await _with_password(db, resources, lambda db: db.users.get(user.id), old, address, change)
    resources.events.report("password changed", address, account=user.id)
    if ended:
        resources.events.report("sessions ended", address, account=user.id, number=ended)


async def close(db: Library, resources: AccountResources, owner: Owner, password: str) -> None:
    """Make the account unusable at once; the caller sees to it that its rows and files go.

    Raises:
        FieldRefused: the password is wrong.
        TooManyAttempts: too many attempts failed.
        SessionEnded: the session was ended meanwhile.
        TooBusy: too many wait for a password to be verified.
    """
    user, session, address = owner

    def close(db: Library, user: User, _: Verification) -> None:
        users.close_account(db, user, session.id)

    async with _attempt(resources, owner, "password"):
        await _with_password(db, resources, lambda db: db.users.get(user.id), password, address, close)
    resources.events.report("account deleted", address, account=user.id)


@asynccontextmanager
async def _attempt(resources: AccountResources, owner: Owner, field: str) -> AsyncIterator[None]:
    """Count a wrong password in the block as a failed login, and nothing else.

    Raises:
        FieldRefused: the password is wrong.
        TooManyAttempts: a limit is reached; the block is not run.
    """
    attempt = await _begin(resources, owner.user.email, owner.address)
    try:
        yield
    except WrongPassword:
        resources.events.report("password refused", owner.address, account=owner.user.id)
        raise FieldRefused(field, "This is not your password.") from None
    except Exception:
        await _counted(resources, attempt.was_not_made)
        raise
    await _counted(resources, attempt.succeeded)


async def _with_password(
    db: Library,
    resources: AccountResources,
    find: Callable[[Library], User | None],
    password: str,
    address: str,
    act: Callable[[Library, User, Verification], T],
) -> T:
    """Act in one transaction, if the password is that of the user who is found, and still is when it commits.

    Raises:
        WrongPassword: it is not, or no such user exists.
        TooBusy: too many wait for a password to be verified.
    """
    user = await db.read(find)
    for _ in range(ATTEMPTS):
        stored = user.password_hash if user else None
        verification = await resources.passwords.verify(password, stored, household_of(address))
        if user is None or not verification.right:
            raise WrongPassword
        try:
            return await db.run(act, user, verification)
        except PasswordChanged:
            # What it was changed to may not be durable yet: only a transaction sees it, and waits for it.
            user = await db.run(find)
    raise WrongPassword


async def _counted(resources: AccountResources, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function of the limits gives; in a thread where counts are on a server."""
    if not resources.limits.counts.is_shared:
        return act(*args, **kwargs)
    return await asyncio.to_thread(act, *args, **kwargs)


async def _begin(resources: AccountResources, email: str, address: str) -> LoginAttempt:
    """Count an attempt.

    Raises:
        TooManyAttempts: a limit is reached.
    """
    try:
        return await _counted(resources, resources.limits.begin_login, email, address)
    except TooManyAttempts:
        resources.events.report("login limit reached", address, unknown=email)
        raise


def _check_password(field: str, password: str, email: str) -> None:
    """Refuse a password that is among the first to be tried.

    Raises:
        FieldRefused: naming the field.
    """
    reason = reason_to_refuse(password, email)
    if reason:
        raise FieldRefused(field, reason)
