"""The locks of processes that write for one user: each write reads and changes the user's sums.

They lie on empty tables, of which there are a few for all users; see `snaptable.postgres.contention_lock`.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snaptable.postgres.contention_lock import ContentionLock

NAMES = tuple(f"backend_turns_{number:02}" for number in range(16))
"""The tables."""
MOST_KEPT = 10_000
"""Users of whom it is known whether a write of theirs lost; more are forgotten, and found out again."""


class UserLocks:
    """The locks of all users, as this process knows them."""

    def __init__(self) -> None:
        """Begin: nothing has lost."""
        self._contended: dict[str, ContentionLock] = {}

    @contextmanager
    def of(self, user_id: str) -> Iterator[None]:
        """Return the context of transactions that write what a user stores."""
        from snaptable.postgres.contention_lock import ContentionLock, under  # only where there is a server

        lock = self._contended.get(user_id) or ContentionLock(NAMES[zlib.crc32(user_id.encode()) % len(NAMES)])
        try:
            with under(lock):
                yield
        finally:
            self._note(user_id, lock)

    def _note(self, user_id: str, lock: "ContentionLock") -> None:
        """Keep a lock as long as there is contention for it."""
        if not lock.is_contended:
            self._contended.pop(user_id, None)
            return
        if len(self._contended) >= MOST_KEPT:
            self._contended.clear()
        self._contended[user_id] = lock
