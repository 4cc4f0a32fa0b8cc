"""What an engine provides. `Database`, `Table` and `Query` are written against this package and nothing else.

Two engines answer it: `memory`, with `storage` behind it, and `postgres`. tests/snaptable/contract/ holds what each
sentence here means; it runs on both.
"""

from snaptable.contract.commits import CommitNumber, CommitSource, RowState
from snaptable.contract.engine import WRITER_TIMEOUT, Engine, ServerStatus, SnapshotPolicy, Status
from snaptable.contract.questions import EVERYTHING, Join, M, Page, Plan, QueryObserver, Select
from snaptable.contract.tables import TableEngine

__all__ = [
    "EVERYTHING",
    "WRITER_TIMEOUT",
    "CommitNumber",
    "CommitSource",
    "Engine",
    "Join",
    "M",
    "Page",
    "Plan",
    "QueryObserver",
    "RowState",
    "Select",
    "ServerStatus",
    "SnapshotPolicy",
    "Status",
    "TableEngine",
]
