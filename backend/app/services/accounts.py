"""Register and log in: the rules of `services.users`, with the slow hashing between two looks at the database."""

from dataclasses import dataclass
from datetime import timedelta

from app.errors import EmailTaken, WrongPassword
from app.security.emails import canonical_email
from app.security.login_limits import LoginLimits
from app.security.passwords import Passwords
from app.services import users
from app.tables import Library, User


@dataclass(frozen=True)
class Accounts:
    """Know everything that registering and logging in take."""

    db: Library
    passwords: Passwords
    attempts: LoginLimits
    session_lifetime: timedelta

    async def register(self, email: str, password: str, address: str) -> User:
        """Add a user.

        Raises:
            EmailTaken: somebody has the e-mail address.
            TooManyAttempts: too many registrations came from the network address.
        """
        self.attempts.registering(address)
        email = canonical_email(email)
        if users.find(self.db, email):
            # The look inside the transaction is what counts; this one saves the hashing.
            raise EmailTaken
        password_hash = await self.passwords.hash(password)
        return await self.db.run(users.register, email, password_hash)

    async def log_in(self, email: str, password: str, address: str) -> str:
        """Return the token of a new session.

        Raises:
            WrongPassword: e-mail address and password don't belong together.
            TooManyAttempts: too many attempts failed.
        """
        email = canonical_email(email)
        attempt = self.attempts.logging_in(email, address)
        user = users.find(self.db, email)
        verdict = await self.passwords.verify(password, user.password_hash if user else None)
        if user is None or not verdict.right:
            raise WrongPassword
        token = users.new_token()
        await self.db.run(users.begin_session, user, token, self.session_lifetime, verdict.replacement)
        attempt.succeeded()
        return token
