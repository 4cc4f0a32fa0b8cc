"""One transaction's changes: applied in place, veiled from readers, undone to a mark or as a whole.

`changed → rolled back to a mark → … → committed (its veils pass to the batch) | rolled back (its veils put back)`
"""

from contextlib import AbstractContextManager
from typing import Any

from snaptable.changes import Change, Delete, Insert, Replace
from snaptable.memory.commit_log import CommitBatch
from snaptable.memory.rows import BeforeImages, TableRows


class Transaction:
    """Collect the changes of one transaction. Not thread-safe by itself: the turn to write, and the latch, guard it."""

    __slots__ = ("_images", "_log", "failure", "latch", "veils")

    def __init__(self, latch: AbstractContextManager[Any]) -> None:
        self.latch = latch
        self.veils: dict[TableRows, BeforeImages] = {}
        self.failure: Exception | None = None
        """Why it was rolled back from outside: the commits it stood on could not be made durable."""
        self._log: list[tuple[TableRows, Any, Any, bool]] = []
        """Table, key, row before (None: none), and whether the key had a place in the table, if only a grave."""
        self._images: dict[tuple[TableRows, Any], bytes] = {}

    def change(self, table: TableRows, key: Any, before: Any, after: Any, image: bytes | None = None) -> None:
        """Change a row from `before` to `after` (None: no row); `image` is the new row's JSON, where it is known."""
        with self.latch:
            if self.failure is not None:
                raise self.failure
            veil = self.veils.get(table)
            if veil is None:
                veil = self.veils[table] = {}
                table.hide(veil)
            veil.setdefault(key, before)
            self._log.append((table, key, before, key in table.rows))
            table.put(key, before, after)
            if image is not None:
                self._images[table, key] = image
            else:
                self._images.pop((table, key), None)

    def mark(self) -> int:
        """Return the present point, to roll back to."""
        return len(self._log)

    def roll_back_to(self, mark: int) -> None:
        """Undo every change since a mark, the last first."""
        with self.latch:
            if self.failure is not None:
                return
            while len(self._log) > mark:
                table, key, before, had_place = self._log.pop()
                self._images.pop((table, key), None)
                table.put(key, table.get(key), before)
                if not had_place:
                    # The key was nowhere before: no grave is left, and a later row of it is the newest.
                    table.forget(key)
                    del self.veils[table][key]

    def roll_back(self) -> None:
        """Undo everything and lift the veils."""
        with self.latch:
            if self.failure is None:
                self.roll_back_to(0)
                for table, veil in self.veils.items():
                    table.lift(veil)
            self.veils = {}

    def net(self) -> list[tuple[TableRows, Any, Any, Any]]:
        """Return `(table, key, before, after)` of every row that differs from what it was, in order of first change."""
        changed = []
        for table, veil in self.veils.items():
            get = table.get
            for key, before in veil.items():
                after = get(key)
                if after is not before and (
                    before is None or after is None or self._differs(table, key, before, after)
                ):
                    changed.append((table, key, before, after))
        return changed

    def _differs(self, table: TableRows, key: Any, before: Any, after: Any) -> bool:
        # Equal is not enough: the same instant can be written with another offset, and that is a change.
        return before != after or self.image(table, key, after) != table.codec.encode(before)

    def join(self, batch: CommitBatch) -> None:
        """Pass the veils to the batch that will make the changes durable."""
        for table, veil in self.veils.items():
            table.bury(veil)
            older = batch.undo.setdefault(table, veil)
            if older is not veil:
                for key, before in veil.items():
                    older.setdefault(key, before)
                table.lift(veil)
        self.veils = {}

    def image(self, table: TableRows, key: Any, row: Any) -> bytes:
        """Return the JSON of a row this transaction wrote."""
        image = self._images.get((table, key))
        if image is None:
            image = self._images[table, key] = table.codec.encode(row)
        return image

    def as_change(self, table: TableRows, key: Any, before: Any, after: Any) -> Change:
        """Return a net change in its engine-neutral form."""
        if after is None:
            return Delete(table.name, key)
        kind = Insert if before is None else Replace
        return kind(table.name, key, self.image(table, key, after))
