"""The records of commits: an outbox that each transaction writes to as its last statement.

The number of a commit is given by an identity column, so numbers may be left out, and commits that run side by side
keep their group commit: nothing orders them by a lock. It is taken only after the constraints were judged: a
transaction that waits there for another gets its number behind that one's, so that the commits, replayed in their
order, give the same rows. Readers stop before numbers that are taken and not committed yet: see `barrier`.
"""

import json

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, PlainCommit, Replace
from snaptable.errors import OutcomeUnknown
from snaptable.postgres.layout.names import BARRIER, COMMITS, STATE
from snaptable.postgres.server.connections import Fetch, Session
from snaptable.postgres.server.dialect import Dialect
from snaptable.postgres.transaction import CommitMark, RowChange, RowId, Transaction, row_json

LAST = f"select greatest(max(sequence), (select first from {STATE})) from {COMMITS}"
"""The number of the last commit; where none is kept, that after which they are."""
Net = list[tuple[RowId, RowChange]]
_MICROSECONDS = "(extract(epoch from at) * 1000000)::int8"
_STATE_OF_TRANSACTION = """
    select case when %(xid)s::text::xid8 < pg_current_xact_id() then pg_xact_status(%(xid)s::text::xid8) end
"""
"""The state of a number that the server has given; it refuses to say anything of others. Whether it has, a number given
now tells: a snapshot's `xmax` would not, as transactions above the last that ended are in progress too.
"""
_IS_THERE = f"""
    select exists(select from {COMMITS} where sequence = %(sequence)s and {_MICROSECONDS} = %(microseconds)s),
    (select first from {STATE})
"""


class CommitTable:
    """The table of commits."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = (
            f"insert into {COMMITS} (record) values (%(record)s::text::{dialect.json}) "
            f"returning sequence, {_MICROSECONDS}, pg_current_xact_id()::text"
        )

    def add(self, transaction: Transaction, net: Net) -> None:
        """Write the record of a transaction that is about to commit, if it changed anything; sets its number.

        Raises:
            Error: psycopg's: a constraint doesn't hold, among others.
        """
        record = self.record_of(transaction, net)
        if record is None:
            return
        session = transaction.session
        if self._dialect.judge_now is not None:
            session.tell(self._dialect.judge_now)
        if self._dialect.barrier == "row":
            session.tell(f"select 1 from {BARRIER} for share")
        transaction.mark = self.add_record(session, record)

    def add_record(self, session: Session, record: CommitRecord) -> CommitMark:
        """Write a record in the open transaction; return what it is known by."""
        from snaptable.storage.journal.format import encode_commit

        ((sequence, microseconds, xid),) = session.ask(self._insert, {"record": encode_commit(record).decode()})
        return CommitMark(int(sequence), int(microseconds), str(xid))

    @staticmethod
    def outcome(session: Session, mark: CommitMark) -> bool | None:
        """Return whether a commit was made whose connection ended; None if it is being made, or rolled back, still.

        Raises:
            OutcomeUnknown: what is kept of commits begins behind it.
        """
        # The state first: a commit that ends between the two looks is seen by the second.
        ((state,),) = session.ask(_STATE_OF_TRANSACTION, {"xid": mark.xid})
        if state == "in progress":
            return None
        ((is_there, first),) = session.ask(_IS_THERE, mark._asdict())
        if not is_there and mark.sequence <= first:
            raise OutcomeUnknown("what became of the transaction is not known: its record is not kept any more")
        return bool(is_there)

    @staticmethod
    def record_of(transaction: Transaction, net: Net) -> CommitRecord | None:
        """Return what a transaction did; None if that is nothing that has a past."""
        changes = tuple(change_of(row_id, change) for row_id, change in net if not change.codec.schema.transient)
        if not changes and transaction.erased is None and not transaction.migrations:
            return None
        return CommitRecord(
            0, changes, {}, transaction.attribution, transaction.undoes, transaction.migrations, transaction.erased
        )

    def last(self, fetch: Fetch) -> int:
        """Return the number of the last commit; where none is kept, that after which they are."""
        ((last,),) = fetch(LAST)
        return int(last)


def change_of(row_id: RowId, change: RowChange) -> ChangeRecord:
    """Return a net change in its engine-neutral form."""
    table, key = row_id
    codec = change.codec
    if change.after is None:
        assert change.before is not None
        return Delete(table, key, codec.dump(change.before))
    if change.before is None:
        return Insert(table, key, row_json(change))
    return Replace(table, key, row_json(change), codec.former_values(change.before, change.after))


def decoded(record: object) -> PlainCommit:
    """Return the parsed record of a commit."""
    plain: PlainCommit = json.loads(record if isinstance(record, (str, bytes)) else bytes(record))  # type: ignore[call-overload]
    return plain
