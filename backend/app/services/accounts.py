"""Registering and logging in: the rules of `users`, with the slow hashing between two looks at the database."""

from dataclasses import dataclass
from datetime import timedelta

from app.errors import EmailTaken, TooBusy, WrongPassword
from app.library import Library
from app.security.emails import canonical_email
from app.security.login_limits import LoginLimits
from app.security.networks import household_of
from app.security.passwords import Passwords
from app.services import users
from app.tables import User


@dataclass(frozen=True)
class AccountResources:
    """What registering and logging in need besides the database."""

    passwords: Passwords
    limits: LoginLimits
    session_lifetime: timedelta


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
        TooManyAttempts: too many registrations came from the network address.
    """
    resources.limits.count_registration(address)
    email = canonical_email(email)
    if users.by_email(db, email):
        # The look inside the transaction is what counts; this one saves the hashing.
        raise EmailTaken
    password_hash = await resources.passwords.hash(password, household_of(address))
    return await db.run(users.register, email, password_hash)


async def log_in(db: Library, resources: AccountResources, email: str, password: str, address: str) -> str:
    """Return the token of a new session; arguments as of `register`.

    Raises:
        WrongPassword: e-mail address and password don't belong together.
        TooManyAttempts: too many attempts failed.
    """
    email = canonical_email(email)
    attempt = resources.limits.begin_login(email, address)
    user = users.by_email(db, email)
    try:
        verification = await resources.passwords.verify(
            password, user.password_hash if user else None, household_of(address)
        )
    except TooBusy:
        attempt.was_not_made()
        raise
    if user is None or not verification.right:
        raise WrongPassword
    token = users.new_token()
    await db.run(users.begin_session, user, token, resources.session_lifetime, verification.new_hash)
    attempt.succeeded()
    return token
