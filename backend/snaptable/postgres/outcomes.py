"""What became of a commit whose connection ended while the server was told to make it."""

from snaptable.errors import OutcomeUnknown, SnaptableError
from snaptable.postgres.commits import CommitTable
from snaptable.postgres.server.connections import Connections
from snaptable.postgres.server.failures import ConnectionLost
from snaptable.postgres.server.retry import Circuit, retried
from snaptable.postgres.transaction import CommitMark

_UNKNOWN = (
    "PostgreSQL went away during the commit: the write may have happened, or not. Read what it wrote before writing it "
    "again"
)


def find_out(connections: Connections, circuit: Circuit, mark: CommitMark | None) -> None:
    """Return if a commit was made; its mark is None if it has no record.

    Raises:
        ConnectionLost: it was not.
        OutcomeUnknown: it can't be known.
    """
    if mark is None:
        raise OutcomeUnknown(_UNKNOWN)
    try:
        was_committed = retried(lambda: _outcome(connections, mark), circuit)
    except SnaptableError:
        raise OutcomeUnknown(_UNKNOWN) from None
    if not was_committed:
        raise ConnectionLost("the connection to PostgreSQL was lost, and the transaction rolled back")


def _outcome(connections: Connections, mark: CommitMark) -> bool:
    with connections.session() as session:
        outcome = CommitTable.outcome(session, mark)
    if outcome is None:
        raise ConnectionLost("the server is still rolling it back, or committing it")
    return outcome
