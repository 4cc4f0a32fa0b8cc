"""One transaction's changes: applied in place, hidden from readers, undone to a savepoint or as a whole.

open → rolled back to a savepoint → … → committed (its undo records pass to the batch) or rolled back
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from weakref import ref

from pydantic import BaseModel

from snaptable.changes.attribution import Attribution, current_attribution, merged
from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, ErasedKeys, Insert, Replace
from snaptable.memory.commit_log import CommitBatch, UndoRecords
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.rows import TableRows
from snaptable.values.row_lines import Key

NetChange = tuple[TableRows, Key, BaseModel | None, BaseModel | None]
"""Table, key, the row before the transaction and the row after it; None if there is no row."""


class Transaction:
    """The changes of one transaction. Not thread-safe by itself: the writer lock and the latch guard it."""

    __slots__ = (
        "_changes",
        "_row_json",
        "attribution",
        "block",
        "calling_thread",
        "ending",
        "erased",
        "failure",
        "latch",
        "record",
        "sequence",
        "undo",
        "undoes",
    )

    def __init__(self, latch: AbstractContextManager[object]) -> None:
        """Begin without changes; `latch` is the engine's."""
        self.latch = latch
        self.undo: UndoRecords = {}
        self.attribution = current_attribution()
        """Who makes the commit, and why."""
        self.record: CommitRecord | None = None
        """What it commits, once that was worked out."""
        self.undoes: tuple[int, ...] = ()
        """The commits that it takes back."""
        self.erased: ErasedKeys | None = None
        """What it says was erased from the commits before it; its commit is made though it changes no row."""
        self.sequence: int | None = None
        """Its commit's; None before that, and if nothing changed."""
        self.block: ref[object] | None = None
        """The block that ends it, while it is open; None for a function that `db.run` calls."""
        self.calling_thread: int | None = None
        """The thread that is inside the function that `db.run` calls; None for a block, and outside of that."""
        self.ending = False
        """Whether it is being rolled back: what an interruption leaves of that is done before the next one begins."""
        self.failure: Exception | None = None
        """Why it was rolled back from outside: the commits it was built on could not be made durable."""
        self._changes: list[tuple[TableRows, Key, BaseModel | None, bool]] = []
        """Table, key, the row before (None: no row), and whether the key had a slot, if only by a tombstone."""
        self._row_json: dict[tuple[TableRows, Key], bytes] = {}

    def change(
        self,
        table: TableRows,
        key: Key,
        before: BaseModel | None,
        after: BaseModel | None,
        row_json: bytes | None = None,
    ) -> None:
        """Change a row from `before` to `after` (None: no row); `row_json` is the new row's JSON, if it is known.

        Raises:
            Exception: the `failure` that rolled the transaction back.
        """
        with self.latch:
            if self.failure is not None:
                raise self.failure
            images = self.undo.get(table)
            if images is None:
                images = self.undo[table] = {}
                table.rows.attach(images)
            if not table.intact:
                table.build(table.indexes)
            images.setdefault(key, before)
            self._changes.append((table, key, before, before is not None or key in table.rows))
            table.put(key, before, after)
            if row_json is not None:
                self._row_json[table, key] = row_json
            else:
                self._row_json.pop((table, key), None)

    def change_only(self, table: TableRows, key: Key, before: BaseModel | None, after: BaseModel) -> None:
        """Make the only change, with the latch held; the table must be intact and without tombstones."""
        images: BeforeImages = {key: before}
        self.undo[table] = images
        table.rows.attach(images)
        self._changes.append((table, key, before, before is not None))
        table.put(key, before, after)

    def before_image(self, table: TableRows, key: Key) -> BaseModel | None:
        """Return the row that a key had before the transaction, if that changed it; else None. O(1)."""
        images = self.undo.get(table)
        return None if images is None else images.get(key)

    def take_note(self, note: str | None, undoes: tuple[int, ...]) -> None:
        """Say in the commit why it was made, if there is a note, and which commits it takes back."""
        self.undoes = (*self.undoes, *undoes)
        if note is not None:
            self.attribution = merged(self.attribution, Attribution(note=note))

    def savepoint(self) -> int:
        """Return the present point, to roll back to; O(1)."""
        return len(self._changes)

    def roll_back_to(self, savepoint: int) -> None:
        """Undo every change since a savepoint, the last one first; O(changes). Can be done again if interrupted."""
        with self.latch:
            if self.failure is not None:
                return
            for table, images in self.undo.items():
                table.attach_undo(images)  # an interruption may have come before that
            while len(self._changes) > savepoint:
                table, key, before, had_slot = self._changes[-1]
                now = table.get(key)
                if now is not before:
                    table.put(key, now, before)
                if not had_slot:
                    # The key is new since the transaction began: no tombstone stays, a later row of it is the newest.
                    table.remove_tombstone(key)
                    self.undo.get(table, {}).pop(key, None)
                self._row_json.pop((table, key), None)
                self._changes.pop()

    def roll_back(self) -> None:
        """Undo every change and release the undo records; O(changes). Can be done again if interrupted."""
        with self.latch:
            if self.failure is None:
                self.roll_back_to(0)
            self.release_undo()

    def release_undo(self) -> None:
        """Answer readers from the undo records no more; can be done again if interrupted."""
        for table, images in self.undo.items():
            table.release_undo(images)
        self.undo = {}

    def fail(self, error: Exception) -> None:
        """Undo every change, and refuse further ones and the commit with an error."""
        with self.latch:
            self.roll_back()
            self.failure = error

    def net_changes(self) -> list[NetChange]:
        """Return every row that differs from what it was before, in order of first change; O(changes)."""
        changed: list[NetChange] = []
        for table, images in self.undo.items():
            get = table.get
            for key, before in images.items():
                after = get(key)
                if after is not before and (
                    before is None or after is None or self._differs(table, key, before, after)
                ):
                    changed.append((table, key, before, after))
        return changed

    def _differs(self, table: TableRows, key: Key, before: BaseModel, after: BaseModel) -> bool:
        return not table.codec.is_same_row(before, after, self.row_json(table, key, after))

    def pass_undo_to(self, batch: CommitBatch) -> None:
        """Pass the undo records to the batch that will make the changes durable; can be done again if interrupted."""
        for table, images in self.undo.items():
            if table.tombstones:
                table.free_slots(images)
            older = batch.undo.setdefault(table, images)
            if older is not images:
                for key, before in images.items():
                    older.setdefault(key, before)
                if table.tombstones or not table.intact:
                    table.release_undo(images)
                else:
                    table.rows.release(images)
        self.undo = {}

    def row_json(self, table: TableRows, key: Key, row: BaseModel) -> bytes:
        """Return the JSON of a row that this transaction wrote."""
        data = self._row_json.get((table, key))
        if data is None:
            data = self._row_json[table, key] = table.codec.encode(row)
        return data

    def as_commit(self, sequence: int, net: Sequence[NetChange]) -> CommitRecord:
        """Return what it commits under a sequence number, and keep it as its `record`; O(changes)."""
        changes: list[ChangeRecord] = []
        numbered: dict[str, int] = {}
        for table, key, before, after in net:
            changes.append(self.as_change(table, key, before, after))
            if table.schema.numbered:
                numbered[table.name] = table.last_number
        self.record = CommitRecord(sequence, tuple(changes), numbered, self.attribution, self.undoes, (), self.erased)
        return self.record

    def as_only_commit(
        self, sequence: int, table: TableRows, key: Key, before: BaseModel | None, after: BaseModel, row_json: bytes
    ) -> CommitRecord:
        """Return the same of a transaction that `change_only` changed; O(1)."""
        change = self.as_change(table, key, before, after, row_json)
        numbered = {table.name: table.last_number} if table.schema.numbered else {}
        self.record = CommitRecord(sequence, (change,), numbered, self.attribution)
        return self.record

    def as_change(
        self,
        table: TableRows,
        key: Key,
        before: BaseModel | None,
        after: BaseModel | None,
        row_json: bytes | None = None,
    ) -> ChangeRecord:
        """Return a net change in its engine-neutral form; `row_json` is the new row's JSON, if it is at hand."""
        if after is None:
            assert before is not None
            return Delete(table.name, key, None if table.schema.transient else table.codec.dump(before))
        row_json = row_json or self._row_json.get((table, key)) or self.row_json(table, key, after)
        if before is None:
            return Insert(table.name, key, row_json)
        # What has no past need not say what was there before.
        former = None if table.schema.transient else table.codec.former_values(before, after)
        return Replace(table.name, key, row_json, former)
