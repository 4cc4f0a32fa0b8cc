"""Hash and verify passwords off the event loop, with the work and the memory it takes bounded."""

import asyncio
import secrets
import threading
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
    """Say whether a password is right, and the hash to store in place of an outdated one."""

    right: bool
    replacement: str | None = None


class LegacyBcrypt(BcryptHasher):
    """Verify hashes of the older stop-gap, whose bcrypt looked at the first 72 bytes and ignored the rest."""

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  # the name of the protocol
        """Return whether the password is right; what bcrypt can't take is wrong."""
        encoded = password.encode() if isinstance(password, str) else password
        try:
            return super().verify(encoded[:BCRYPT_BYTES], hash)
        except ValueError:
            return False


class Passwords:
    """Hash with argon2; verify argon2 and the bcrypt of old."""

    def __init__(self, *, memory_kib: int, passes: int, lanes: int, workers: int = 2, waiting: int = 128) -> None:
        """Take argon2's parameters, how many to compute at once, and how many callers may wait."""
        argon2 = Argon2Hasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._hashes = PasswordHash((argon2, LegacyBcrypt()))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._dummy = argon2.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """Return a new hash of the password."""
        return await self._run(lambda: self._hashes.hash(password))

    async def verify(self, password: str, stored: str | None) -> Verification:
        """Compare with a stored hash; None, for an unknown user, takes as long and is never right."""
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return Verification(right=False)
        return await self._run(lambda: self._verify(password, stored))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _verify(self, password: str, stored: str | None) -> Verification:
        """Do the work of `verify`."""
        try:
            right, replacement = self._hashes.verify_and_update(password, stored or self._dummy)
        except UnknownHashError:
            return Verification(right=False)
        return Verification(right and stored is not None, replacement)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run in the pool, unless too many are waiting for it."""
        if not self._places.acquire(blocking=False):
            raise TooBusy
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _future: "Future[T]") -> None:
        """Free a place once the work is done or dropped, also when nobody waits for it any more."""
        self._places.release()
