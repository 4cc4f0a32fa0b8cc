"""What another process committed, brought into the tables of a database that is read only: all at once, or not at all.

It is one transaction, whose undo records answer readers until all of it is there. Rows are validated as at loading, and
constraints checked: the other process may have other models.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete
from snaptable.errors import InvalidRow, SchemaMismatch
from snaptable.memory import constraints
from snaptable.memory.commit_log import VolatileBatch
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.values import core_schemas
from snaptable.values.row_lines import Key

NewState = tuple[TableRows, Key, BaseModel | None]
"""A table, a key, and the row that it has from now on; None for none."""


class CommittedFrame(Protocol):
    """Commits as a journal holds them, keys as texts."""

    @property
    def commits(self) -> tuple[CommitRecord, ...]:
        """Its commits, in order."""


def absorb_frames(memory: MemoryEngine, frames: Sequence[CommittedFrame]) -> None:
    """Bring the commits that follow into the tables; O(changes).

    Raises:
        SchemaMismatch: a row doesn't fit the models; nothing was changed.
    """
    commits = [commit for frame in frames for commit in frame.commits]
    if not commits:
        return
    numbered: dict[str, int] = {}
    for commit in commits:
        numbered.update(commit.numbered)
    steps = [[_decoded(memory, change) for change in commit.changes] for commit in commits]
    _absorb(memory, steps, commits[-1].sequence, numbered)


def absorb_rows(memory: MemoryEngine, loaded: MemoryEngine, sequence: int) -> None:
    """Bring the tables to the rows of another engine of the same models, in its order; O(n).

    Rows that are equal stay the objects they are, as far as their order does.
    """
    steps: list[list[NewState]] = [[], []]
    for name, rows in memory.tables.items():
        going, coming = _differences(rows, loaded.tables[name])
        steps[0] += going
        steps[1] += coming
    _absorb(memory, steps, sequence, {name: table.last_number for name, table in loaded.tables.items()})


def _decoded(memory: MemoryEngine, change: ChangeRecord) -> NewState:
    rows = memory.tables.get(change.table)
    if rows is None:
        raise SchemaMismatch(f"the journal holds rows of {change.table}, which the database doesn't have")
    key = rows.schema.parse_key(change.key)
    if isinstance(change, Delete):
        return rows, key, None
    try:
        row, row_json = rows.codec.complete(change.row, str(change.key))
    except InvalidRow as error:
        raise SchemaMismatch(f"what was committed does not fit the models: {error}") from None
    if row_json != change.row and (invented := _invented(rows, change.row, row)):
        raise SchemaMismatch(
            f"{change.table}[{change.key!r}] lacks {invented}, which only opening it for writing fills in"
        )
    return rows, key, row


def _invented(rows: TableRows, data: bytes, row: BaseModel) -> str:
    """Return the fields that a row's JSON lacks, and that would get another value each time."""
    lacking = [name for name in type(row).model_fields if b'"%b":' % name.encode() not in data]
    return ", ".join(name for name in lacking if core_schemas.invents(rows.codec.model, name))


def _differences(rows: TableRows, loaded: TableRows) -> tuple[list[NewState], list[NewState]]:
    """Return what makes the rows of one table those of another: rows that go, and then rows that come.

    Those that stand in another order go, and come back at the end.
    """
    old, new = {key: row for key, row in rows.rows.items() if row is not None}, loaded.rows
    kept = _common_prefix([key for key in old if key in new], list(new))
    going: list[NewState] = [(rows, key, None) for key in old if key not in kept]
    return going, [(rows, key, row) for key, row in new.items() if key not in kept or row != old[key]]


def _common_prefix(old: Sequence[Key], new: Sequence[Key]) -> set[Key]:
    count = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return set(new[:count])


def _absorb(
    memory: MemoryEngine, steps: Sequence[Sequence[NewState]], sequence: int, numbered: Mapping[str, int]
) -> None:
    """Change rows, step by step: a row that goes in one and comes back in a later one goes to the end."""
    transaction = Transaction(memory.latch)
    try:
        memory.begin(transaction)
        for states in steps:
            _change(transaction, states)
        violation = next(iter(constraints.violations(memory.tables, transaction.net_changes())), None)
        if violation is not None:
            raise SchemaMismatch(f"what was committed does not fit the models: {violation}")
        for name, number in numbered.items():
            if name in memory.tables:
                memory.tables[name].use_number(number)
        memory.show(transaction, VolatileBatch(CommitRecord(sequence, (), {})))
    except BaseException:
        memory.end_failed(transaction)
        raise


def _change(transaction: Transaction, states: Sequence[NewState]) -> None:
    for rows, key, after in states:
        before = rows.get(key)
        if before is not None or after is not None:
            transaction.change(rows, key, before, after)
    with transaction.latch:
        for table, images in transaction.undo.items():
            table.free_slots(images)
