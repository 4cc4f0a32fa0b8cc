"""How the store is doing, as the foot of the sidebar says it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from snaptable import Database, SnaptableError


def is_on_server(db: Database) -> bool:
    """Return whether the rows are on a PostgreSQL server."""
    return db.url.startswith(("postgresql:", "postgres:"))


@dataclass(frozen=True)
class StoreState:
    """How the store is doing.

    Attributes:
        level: "good" when all is durable and in the file, "behind" while the file follows, "failing" when the last
            snapshot failed, "refusing" when writes are refused, "closed" when it is not open.
        sequence: the last commit.
        reason: why, for the last three.
        saved_at: when the snapshot was saved; None without one.
        rows: how many, by table.
    """

    level: Literal["good", "behind", "failing", "refusing", "closed"]
    sequence: int = 0
    reason: str | None = None
    saved_at: datetime | None = None
    has_file: bool = False
    is_on_server: bool = False
    rows: dict[str, int] | None = None

    @classmethod
    def of(cls, db: Database) -> "StoreState":
        """Return the state of a database; O(tables)."""
        try:
            status = db.status()
        except SnaptableError as error:
            return cls("closed", reason=str(error))
        has_file = status.snapshot_bytes is not None or status.snapshot_sequence is not None
        level: Literal["good", "behind", "failing", "refusing"] = "good"
        if not status.writable:
            level = "refusing"
        elif status.snapshot_error:
            level = "failing"
        elif has_file and status.snapshot_sequence != status.sequence:
            level = "behind"
        reason = status.reason or status.snapshot_error
        on_server = is_on_server(db)
        return cls(level, status.sequence, reason, status.snapshot_saved_at, has_file, on_server, status.rows)

    @property
    def word(self) -> str:
        """What it is called."""
        words = {"behind": "Saving", "failing": "Not in the file", "refusing": "Read only", "closed": "Closed"}
        return words.get(self.level, "Saved" if self.has_file or self.is_on_server else "In memory")

    def count(self, table: str) -> int:
        """Return how many rows a table has; 0 while the store is closed."""
        return (self.rows or {}).get(table, 0)
