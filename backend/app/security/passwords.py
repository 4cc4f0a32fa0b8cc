"""Hashing and verifying passwords off the event loop, with the work and the memory it takes bounded."""

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import bcrypt
from argon2.exceptions import HashingError, VerificationError
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from app.errors import TooBusy
from app.security.child_hasher import SHORTAGES, ChildHasher
from app.security.fair_queue import FairQueue

T = TypeVar("T")

MAX_PASSWORD_BYTES = 1024
BCRYPT_BYTES = 72
RETRY_SECONDS = 5
_BCRYPT_COST = re.compile(r"\$2[abxy]?\$(\d\d)\$")


@dataclass(frozen=True)
class Verification:
    """Whether a password is right."""

    right: bool
    new_hash: str | None = None
    """What to store in place of an outdated hash."""


class Argon2(Argon2Hasher):
    """The hasher of argon2, to which a password is not wrong because memory or threads are short.

    Its work is done by child processes of low priority; a thread waits for it, and no request is held up.
    """

    _hasher: ChildHasher

    def __init__(self, *, time_cost: int, memory_cost: int, parallelism: int) -> None:
        """Take what one hash costs: passes, KiB, threads."""
        super().__init__(time_cost, memory_cost, parallelism)
        self._hasher = ChildHasher(time_cost, memory_cost, parallelism)

    def close(self) -> None:
        """End the children."""
        self._hasher.close()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """Return a new hash.

        Raises:
            TooBusy: memory or threads are short.
        """
        try:
            return super().hash(password, salt=salt)
        except HashingError as error:
            raise TooBusy(RETRY_SECONDS) from error

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # the name of the protocol
        """Return whether the password is right; it never is for a hash that can't be read.

        pwdlib's own answers False to every failure.

        Raises:
            TooBusy: memory or threads are short, so that it isn't known.
        """
        try:
            return self._hasher.verify(hash, password)
        except VerificationError as error:
            if str(error) in SHORTAGES:
                raise TooBusy(RETRY_SECONDS) from error
            return False
        except ValueError:  # argon2's InvalidHashError is one
            return False


class LegacyBcrypt(BcryptHasher):
    """The verifier of hashes of the older stop-gap, whose bcrypt ignored all but the first 72 bytes."""

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # the name of the protocol
        """Return whether the password is right; what bcrypt can't take is wrong."""
        encoded = password.encode() if isinstance(password, str) else password
        try:
            return super().verify(encoded[:BCRYPT_BYTES], hash)
        except ValueError:
            return False


def normalized(password: str) -> str:
    """Return the form in which a password is compared: NFKC (RFC 8265 has NFC; browsers and phones differ in more)."""
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """The hashing of passwords with argon2, and the verification of these hashes and of the older bcrypt ones.

    Passwords are compared in Unicode's form NFKC: what is typed the same may arrive composed or decomposed, depending
    on keyboard and system. A hash that was made of another form opens too, and is outdated.

    A failure costs the same whether the account is unknown, has a hash of argon2, or one of bcrypt: as long as bcrypt
    is expected at all, each failure does the work of both, one of them on a hash that nothing opens. So the time tells
    neither which accounts exist nor which were taken over. It does differ for hashes made with other costs than those
    set now, until their owners log in.
    """

    def __init__(
        self,
        *,
        memory_kib: int,
        passes: int,
        lanes: int,
        workers: int = 2,
        waiting: int = 128,
        patience: float = 10.0,
        bcrypt_cost: int | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            memory_kib: argon2's memory for one hash, in KiB.
            passes: argon2's passes over it.
            lanes: argon2's threads for one hash.
            workers: number of hashes computed at the same time.
            waiting: number of callers that may wait besides.
            patience: seconds that a caller waits at most.
            bcrypt_cost: of the hashes of bcrypt that are stored; None if there are none.
        """
        self._argon2 = Argon2(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._bcrypt = LegacyBcrypt()
        self._hashes = PasswordHash((self._argon2, self._bcrypt))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._queue = FairQueue(workers, waiting=waiting, patience=patience)
        self._argon2_dummy = self._argon2.hash(secrets.token_hex())
        self._bcrypt_dummy = _bcrypt_dummy(bcrypt_cost) if bcrypt_cost else None

    async def hash(self, password: str, client: str = "") -> str:
        """Return a new hash of the password.

        Args:
            password: in clear.
            client: whose turn it takes.

        Raises:
            TooBusy: too many callers are waiting, or memory is short.
        """
        return await self._run(client, lambda: self._hashes.hash(normalized(password)))

    async def verify(self, password: str, stored: str | None, client: str = "") -> Verification:
        """Compare with a stored hash; None, for an unknown user, takes as long and is never right.

        Args:
            password: in clear.
            stored: the hash.
            client: whose turn it takes.

        Raises:
            TooBusy: too many callers are waiting, or memory is short.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return Verification(right=False)
        return await self._run(client, lambda: self._verify(password, stored))

    def close(self) -> None:
        """End the threads, and the children they use."""
        self._pool.shutdown(cancel_futures=True)
        self._argon2.close()

    def _verify(self, password: str, stored: str | None) -> Verification:
        plain = normalized(password)
        if self._opens(plain, stored):
            assert stored is not None  # or nothing would open it
            return Verification(right=True, new_hash=self._hashes.hash(plain) if self._is_outdated(stored) else None)
        if plain != password and self._opens(password, stored):
            return Verification(right=True, new_hash=self._hashes.hash(plain))
        return Verification(right=False)

    def _opens(self, password: str, stored: str | None) -> bool:
        """Return whether the password opens the hash, after the work of both schemes if it doesn't."""
        try:
            if stored is not None and self._hashes.verify(password, stored):
                return True
        except UnknownHashError:
            stored = None
        if stored is None or self._bcrypt.identify(stored):
            self._argon2.verify(password, self._argon2_dummy)
        if self._bcrypt_dummy is not None and (stored is None or self._argon2.identify(stored)):
            self._bcrypt.verify(password, self._bcrypt_dummy)
        return False

    def _is_outdated(self, stored: str) -> bool:
        """Return whether a hash is of another scheme, or of other costs, than new ones are."""
        return not self._argon2.identify(stored) or self._argon2.check_needs_rehash(stored)

    async def _run(self, client: str, work: Callable[[], T]) -> T:
        """Run in the pool, once the client has a place."""
        await self._queue.take(client)
        try:
            future = self._pool.submit(work)
        except BaseException as error:
            self._queue.give_back()
            if isinstance(error, (RuntimeError, MemoryError)):  # no thread could be started
                raise TooBusy(RETRY_SECONDS) from error
            raise
        future.add_done_callback(self._give_back)
        try:
            return await asyncio.wrap_future(future)
        except MemoryError as error:
            raise TooBusy(RETRY_SECONDS) from error

    def _give_back(self, _future: "Future[T]") -> None:
        """Give the place back once the work is done or dropped, even if its caller is gone."""
        self._queue.give_back()


def bcrypt_cost_of(hashes: Iterable[str]) -> int | None:
    """Return the highest cost among the hashes of bcrypt, None if there are none."""
    costs = (match[1] for text in hashes if (match := _BCRYPT_COST.match(text)))
    return max(map(int, costs), default=None)


def _bcrypt_dummy(cost: int) -> str:
    """Return what bcrypt takes for a hash of this cost, and no password opens."""
    return bcrypt.gensalt(min(max(cost, 4), 31)).decode() + "." * 31
