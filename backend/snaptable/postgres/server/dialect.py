"""The SQL that differs between servers; all other SQL is the same for each.

PostgreSQL judges unique and foreign keys at the commit, keeps `json` as it was written, and can lock a table for an
instant. Servers that speak its protocol lack some of that; README.md says what changes for whom.
"""

from dataclasses import dataclass
from typing import Literal

from snaptable.postgres.options import ServerKind


@dataclass(frozen=True)
class Dialect:
    """What a server can do.

    Attributes:
        deferrable_unique: whether unique keys are judged at the commit; at the statement otherwise.
        deferrable_references: the same of foreign keys.
        json: the type of columns that hold JSON as it was written.
        barrier: how readers of the commits wait for those that have a number and aren't committed: by a lock on the
            table, or on one row that each commit shares.
        advisory_locks: whether transactions can take locks of their own by number.
        collation: of columns of text, so that they compare by code point; "" where all do.
    """

    deferrable_unique: bool = True
    deferrable_references: bool = True
    json: Literal["json", "text"] = "json"
    barrier: Literal["lock", "row"] = "lock"
    advisory_locks: bool = True
    collation: str = ' collate "C"'

    @property
    def unique_timing(self) -> str:
        """When a unique key is judged."""
        return " deferrable initially deferred" if self.deferrable_unique else ""

    @property
    def reference_timing(self) -> str:
        """When a foreign key is judged."""
        return " deferrable initially deferred" if self.deferrable_references else ""

    @property
    def judge_now(self) -> str | None:
        """The statement that has what was put off to the commit judged; None if nothing is."""
        is_any = self.deferrable_unique or self.deferrable_references
        return "set constraints all immediate" if is_any else None


DIALECTS: dict[ServerKind, Dialect] = {
    "postgresql": Dialect(),
    "cockroachdb": Dialect(
        deferrable_unique=False, deferrable_references=False, json="text", barrier="row", advisory_locks=False,
        collation="",
    ),
    "yugabytedb": Dialect(deferrable_unique=False, barrier="row", advisory_locks=False),
    "citus": Dialect(deferrable_unique=False, deferrable_references=False, barrier="row"),
}  # fmt: skip
