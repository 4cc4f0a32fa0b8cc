"""Hashing and verifying passwords off the event loop, with the work and the memory it takes bounded."""

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from app.errors import TooBusy

T = TypeVar("T")

MAX_PASSWORD_BYTES = 1024
BCRYPT_BYTES = 72


@dataclass(frozen=True)
class Verification:
    """Whether a password is right."""

    right: bool
    new_hash: str | None = None
    """What to store in place of an outdated hash."""


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
    """

    def __init__(self, *, memory_kib: int, passes: int, lanes: int, workers: int = 2, waiting: int = 128) -> None:
        """Start nothing yet.

        Args:
            memory_kib: argon2's memory for one hash, in KiB.
            passes: argon2's passes over it.
            lanes: argon2's threads for one hash.
            workers: number of hashes computed at the same time.
            waiting: number of callers that may wait besides.
        """
        argon2 = Argon2Hasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._hashes = PasswordHash((argon2, LegacyBcrypt()))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._dummy = argon2.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """Return a new hash of the password.

        Raises:
            TooBusy: too many callers are waiting.
        """
        return await self._run(lambda: self._hashes.hash(normalized(password)))

    async def verify(self, password: str, stored: str | None) -> Verification:
        """Compare with a stored hash; None, for an unknown user, takes as long and is never right.

        Raises:
            TooBusy: too many callers are waiting.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return Verification(right=False)
        return await self._run(lambda: self._verify(password, stored))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _verify(self, password: str, stored: str | None) -> Verification:
        plain = normalized(password)
        try:
            right, new_hash = self._hashes.verify_and_update(plain, stored or self._dummy)
            if not right and plain != password and self._hashes.verify(password, stored or self._dummy):
                right, new_hash = True, self._hashes.hash(plain)
        except UnknownHashError:
            return Verification(right=False)
        return Verification(right and stored is not None, new_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run in the pool."""
        if not self._places.acquire(blocking=False):
            raise TooBusy
        future = self._pool.submit(work)
        future.add_done_callback(self._free_place)
        return await asyncio.wrap_future(future)

    def _free_place(self, _future: "Future[T]") -> None:
        """Free a place once the work is done or dropped, even if its caller is gone."""
        self._places.release()
