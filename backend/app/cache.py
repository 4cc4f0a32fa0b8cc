"""Answers of reads kept in Redis or Valkey, each under the state of its user's rows: `BACKEND_CACHE_URL`.

Every request asks the database who its caller is. In the same state it also asks for the caller's revision: tokens that
each commit renews which changes rows of theirs (`snaptable.postgres.revisions`). What a read answers depends on the
caller's rows and on what was asked alone, so an answer that was read from a state is right for as long as the revision
is that state's. It is kept under a digest of both:

1. The caller, their session and their revision, as of one state, from the database.
2. The answer from the cache, under user, revision and question: done, if it is there.
3. Else the answer and the revision, as of one state, from the database; kept under the revision that was read with it.

A commit invalidates by changing where is looked, in the transaction that makes the answers old: nothing has to be
deleted, and nothing that this server, the cache or the network does or fails to do brings an old answer back. A reader
sees what was committed when their request's first look at the database was made, or later. Only changes that the
engine isn't told of (psql by hand) are seen late, by `cache_seconds` at most.

An entry bears a digest made with a secret that only the database has, of its place, its time and its content: what
anybody else puts there, or moves there from another place, is not taken. There are rows in it as the owner is shown
them; no session, no password, no account. A cache that fails three times is left alone for a second, then longer: one
read tries it, the others ask the database.
"""

import hashlib
import hmac
import logging
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from snaptable.errors import OpenError

FORMAT = b"1"
MOST_BYTES = 256 * 1024
"""Of an answer that is kept; larger ones are read from the database each time."""
TIMEOUT = 0.1
"""Seconds that the cache may take to connect, and to answer, before the database is asked."""
MOST_CONNECTIONS = 64
FAILURES = 3
"""In a row, after which the cache is left alone."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
CLOCK_SECONDS = 5.0
"""How much the clocks of two machines may differ."""
_DIGEST_BYTES = 16
_TIME = struct.Struct(">d")
_HEAD_BYTES = len(FORMAT) + _DIGEST_BYTES + _TIME.size

Loaded = tuple[str | None, bytes]
"""A revision and the answer, as of one state."""

logger = logging.getLogger("app.cache")


class Store(Protocol):
    """What keeps entries: a client of Redis, or a test's own."""

    async def read(self, key: str, most: int) -> bytes:
        """Return the first bytes of an entry, b"" if there is none; raises what it likes when it fails."""

    async def write(self, key: str, entry: bytes, seconds: float) -> None:
        """Keep an entry for some time."""

    async def close(self) -> None:
        """Close all connections."""


@dataclass
class CacheCounts:
    """What became of the reads that could be answered from the cache."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    """The cache failed, or took too long."""
    skipped: int = 0
    """It was left alone for having failed."""
    refused: int = 0
    """Entries that were damaged, too old, or not made here."""
    too_large: int = 0
    """Answers that were not kept."""


class Cache:
    """The answers that are kept."""

    def __init__(
        self,
        store: Store,
        secret: str,
        seconds: float,
        *,
        shape: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where they are kept.

        Args:
            store: keeps them.
            secret: of the database, and the same for every process on it.
            seconds: for how long.
            shape: of the answers: programs of another one find none of these.
            clock: seconds since 1970.
            monotonic: seconds that never go back.
        """
        self.counts = CacheCounts()
        self._store, self._seconds = store, seconds
        self._clock, self._monotonic = clock, monotonic
        self._key_secret, self._entry_secret, name = (
            hashlib.blake2b(purpose, key=secret.encode()[:64], digest_size=32).digest()
            for purpose in (b"places" + hashlib.sha256(shape.encode()).digest(), b"entries", b"name")
        )
        self._prefix = f"snaptable:{name.hex()[:12]}:"
        self._failures, self._pause, self._open_until = 0, FIRST_PAUSE, 0.0

    async def through(
        self, user: str, revision: str | None, question: str, load: Callable[[], Awaitable[Loaded]]
    ) -> bytes:
        """Return the answer to a question of a user: from the cache, else from the database, and kept then.

        Args:
            user: the user's key.
            revision: of their rows, as this request's first look found it; None if there are no revisions.
            question: what is asked, with all that the answer depends on besides the user's rows.
            load: returns it from the database, with the revision of the same state; what it raises is passed on.
        """
        if revision is None:
            return (await load())[1]
        place = self._place(user, revision, question)
        kept = await self._get(place)
        if kept is not None:
            return kept
        read_revision, answer = await load()
        if read_revision is not None:
            await self._put(place if read_revision == revision else self._place(user, read_revision, question), answer)
        return answer

    def _place(self, user: str, revision: str, question: str) -> str:
        """Return the key of an entry; nothing can be read off it, and no parts can be taken for others."""
        parts = [part.encode("utf-8", "surrogatepass") for part in (user, revision, question)]
        text = b"".join(struct.pack(">I", len(part)) + part for part in parts)
        return self._prefix + hashlib.blake2b(text, key=self._key_secret, digest_size=24).hexdigest()

    # ── entries ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, place: str, answer: bytes) -> bytes:
        sealed = _TIME.pack(self._clock()) + answer
        return FORMAT + self._seal(place, sealed) + sealed

    def _seal(self, place: str, sealed: bytes) -> bytes:
        return hashlib.blake2b(place.encode() + sealed, key=self._entry_secret, digest_size=_DIGEST_BYTES).digest()

    def _opened(self, place: str, entry: bytes) -> bytes | None:
        """Return the answer that an entry holds; None unless it was made here, for this place, and is not too old."""
        if entry[:1] != FORMAT or len(entry) < _HEAD_BYTES:
            return None
        seal, sealed = entry[1 : 1 + _DIGEST_BYTES], entry[1 + _DIGEST_BYTES :]
        if not hmac.compare_digest(seal, self._seal(place, sealed)):
            return None
        age = self._clock() - _TIME.unpack_from(sealed)[0]
        return sealed[_TIME.size :] if -CLOCK_SECONDS <= age <= self._seconds + CLOCK_SECONDS else None

    async def _get(self, place: str) -> bytes | None:
        """Return an answer that is kept; None if there is none, or the cache can't say. Raises nothing."""
        if not self._may_ask():
            self.counts.skipped += 1
            return None
        try:
            entry = await self._store.read(place, _HEAD_BYTES + MOST_BYTES)
        except Exception as error:  # noqa: BLE001 - whatever it is, the database has the answer
            self._failed(error)
            return None
        self._answered()
        if not entry:
            self.counts.misses += 1
            return None
        answer = self._opened(place, entry)
        if answer is None:
            self.counts.refused += 1
        else:
            self.counts.hits += 1
        return answer

    async def _put(self, place: str, answer: bytes) -> None:
        """Keep an answer, if the cache works and it is not too large. Raises nothing."""
        if len(answer) > MOST_BYTES:
            self.counts.too_large += 1
            return
        if self._failures or not self._may_ask():
            return
        try:
            await self._store.write(place, self._entry(place, answer), self._seconds)
        except Exception as error:  # noqa: BLE001 - it is only kept
            self._failed(error)

    # ── a cache that fails ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether the cache is left alone, for having failed several times in a row."""
        return self._failures >= FAILURES

    def _may_ask(self) -> bool:
        """Return whether to ask the cache: always, but for one read a pause while it is left alone."""
        if not self.is_open:
            return True
        now = self._monotonic()
        if now < self._open_until:
            return False
        self._open_until = now + self._pause
        return True

    def _failed(self, error: Exception) -> None:
        self.counts.errors += 1
        self._failures += 1
        if self._failures > FAILURES:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        self._open_until = self._monotonic() + self._pause
        if self._failures == FAILURES:
            logger.warning("The cache doesn't answer (%s); reads go to the database.", type(error).__name__)

    def _answered(self) -> None:
        if self.is_open:
            logger.warning("The cache answers again.")
        self._failures, self._pause = 0, FIRST_PAUSE

    def measures(self) -> dict[str, float]:
        """Return what a monitor shows of it, by name."""
        return {**{f"{name}_total": float(count) for name, count in vars(self.counts).items()}, "open": self.is_open}

    async def close(self) -> None:
        """Close its connections."""
        try:
            await self._store.close()
        except Exception as error:  # noqa: BLE001 - it may be gone
            logger.info("The cache could not be left in order: %s", type(error).__name__)


class RedisStore:
    """Entries in a server that speaks Redis' protocol."""

    def __init__(self, url: str, timeout: float | None = None) -> None:
        """Take where it is, and how long it may take; it is connected to when it is first asked.

        Raises:
            OpenError: the package `redis` is not installed, or can't read the URL.
        """
        try:
            from redis.asyncio import ConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise OpenError("cache_url needs the package redis: pip install 'snaptable-backend[cache]'") from None
        timeout = TIMEOUT if timeout is None else timeout
        try:
            pool = ConnectionPool.from_url(
                url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
                max_connections=MOST_CONNECTIONS,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError:
            raise OpenError("cache_url is not one that can be read: redis://host:6379/0, or unix:///path") from None
        self._redis: Any = Redis.from_pool(pool)

    async def read(self, key: str, most: int) -> bytes:
        """Return the first bytes of an entry, b"" if there is none: no answer is larger, whatever was put there."""
        return bytes(await self._redis.getrange(key, 0, most - 1))

    async def write(self, key: str, entry: bytes, seconds: float) -> None:
        """Keep an entry for some time."""
        await self._redis.set(key, entry, px=max(1, int(1000 * seconds)))

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
