"""What the runs came to, kept: in a store of the library, of course."""

from datetime import datetime

from pydantic import Field

from snaptable import Database, Row, Table, numbered, table, utc_now


class Run(Row):
    """A run of a lane with one of the stores."""

    id: int = numbered()
    lane: str
    side: str
    held: bool
    figure: str
    at: datetime = Field(default_factory=utc_now)


class Results(Database):
    """All runs."""

    runs: Table[Run] = table()
