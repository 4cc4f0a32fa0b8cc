"""The turns that processes take who write for one user: each write reads and changes the user's sums.

They are taken by locks on empty tables, of which there are a few for all users; see `snaptable.postgres.turns`.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snaptable.postgres.turns import Turn

NAMES = tuple(f"backend_turns_{number:02}" for number in range(16))
"""The tables."""
MOST_KEPT = 10_000
"""Users of whom it is known whether a write of theirs lost; more are forgotten, and found out again."""


class SharedTurns:
    """The turns of all users, as this process knows them."""

    def __init__(self) -> None:
        """Begin: nothing has lost."""
        self._waiting: dict[str, Turn] = {}

    @contextmanager
    def of(self, user_id: str) -> Iterator[None]:
        """Return the context of transactions that write what a user stores."""
        from snaptable.postgres.turns import Turn, taking  # only where there is a server

        turn = self._waiting.get(user_id) or Turn(NAMES[zlib.crc32(user_id.encode()) % len(NAMES)])
        try:
            with taking(turn):
                yield
        finally:
            self._note(user_id, turn)

    def _note(self, user_id: str, turn: "Turn") -> None:
        """Keep the turn as long as writes wait for it."""
        if not turn.waits:
            self._waiting.pop(user_id, None)
            return
        if len(self._waiting) >= MOST_KEPT:
            self._waiting.clear()
        self._waiting[user_id] = turn
