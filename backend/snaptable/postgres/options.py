"""What a program can say of a database server, beside its URL; needs no driver."""

from dataclasses import dataclass
from typing import Literal, get_args

ServerKind = Literal["postgresql", "cockroachdb", "yugabytedb", "citus"]
"""What answers PostgreSQL's protocol: see `snaptable/postgres/README.md` for what differs."""
POOL_SIZE = 16


@dataclass(frozen=True)
class PostgresOptions:
    """How PostgreSQL is used; only for `postgresql://` URLs.

    Attributes:
        pool_size: connections of this process at most, and threads that `db.run` and `db.read` use.
        statement_timeout: seconds that a statement may take; None for as long as it likes.
        prepare: whether statements are prepared on the server; False for poolers that can't (PgBouncer before 1.21).
        server: what the server is.
        revisions: the field of tables for whose values a cache asks what is committed of their rows, such as
            "user_id": once asked for, each commit costs a statement more. None for no field, unless it was asked for
            before.

    >>> PostgresOptions(pool_size=4).server
    'postgresql'
    """

    pool_size: int = POOL_SIZE
    statement_timeout: float | None = None
    prepare: bool = True
    server: ServerKind = "postgresql"
    revisions: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is none."""
        if type(self.pool_size) is not int or self.pool_size < 1:
            raise ValueError(f"pool_size is a number of connections, 1 or above; not {self.pool_size!r}")
        if self.statement_timeout is not None and not 0 < self.statement_timeout < float("inf"):
            raise ValueError(
                f"statement_timeout is a number of seconds above 0, or None; not {self.statement_timeout!r}"
            )
        if self.server not in get_args(ServerKind):
            raise ValueError(f"server is one of {', '.join(get_args(ServerKind))}; not {self.server!r}")
