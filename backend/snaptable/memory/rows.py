"""The rows of one table and their indexes, changed in place, under the engine's latch.

An *undo record* maps keys to *before-images*: the row, or None, that each had before some changes. There is one for the
open transaction, and one for each batch of commits whose frame is not durable yet. Readers are answered from undo
records (see `point_lookup`), a rollback writes the before-images back, and a batch that became durable releases its
record. So isolation, rollback, and hiding what a crash could still take away are one mechanism.

The *slot* of a row is its place in the order of insertion. While a deletion can be rolled back a *tombstone*, the key
with None, keeps the slot.

Invariants:
1. A deletion leaves a tombstone; releasing the undo record removes it. Once the deletion is committed its slot is free:
   a new row of that key goes to the end, even before the commit is durable (`freed_slots`).
2. `rows` without the tombstones is what the indexes hold. `tombstones` counts them.
3. A change is entered in an attached undo record before it touches the row, so no reader sees a row that is too new.
4. Without undo records there are no tombstones.
5. `intact` is False while a change is under way. An interruption (Ctrl-C) in the middle of one leaves it False: from
   then on only `rows` is trusted and changed, until whoever needs what is derived from it has that built anew.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from functools import cached_property, partial
from operator import attrgetter
from typing import cast

from pydantic import BaseModel

from snaptable.codec import Codec
from snaptable.evaluation.time_kinds import TimeKinds
from snaptable.memory.column_cache import ColumnCache
from snaptable.memory.indexes import AnyIndex, make_index
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.point_lookup import BeforeImages, Get, SettledRows, writer_get
from snaptable.schema.keys import check_key
from snaptable.values.row_lines import Key


class TableRows:
    """The rows of one table by key, in order of insertion, and every index over them."""

    def __init__(self, codec: Codec, latch: AbstractContextManager[object], in_transaction: Callable[[], bool]) -> None:
        """Begin without rows; the engine's `latch`, and what tells whether the caller is its writer."""
        self.codec = codec
        self.schema = codec.schema
        self.name = codec.table
        self.key_of: Callable[[BaseModel], Key] = attrgetter(codec.key)
        self._time_kinds: dict[str, TimeKinds] = {}
        """By field, for the columns whose times were ever asked about."""
        self.check_key = partial(check_key, codec.table, codec.key, codec.schema.key_type)
        """Raises InvalidKey for what can't be a key of the table."""
        self.rows = SettledRows(latch, in_transaction, self.check_key)
        self.get: Get = writer_get(self.rows)
        """Returns the row of a key, or None, as the writer sees it; O(1)."""
        self.intact = True
        """Whether the indexes, and all else that is derived from the rows, agree with them (invariant 5)."""
        self._unbuilt: set[AnyIndex] | None = None
        """While not intact: the indexes that are missing, the others agree with the rows. None if that is not known."""
        self.tombstones = 0
        self.freed_slots: set[Key] = set()
        self.last_number = 0
        """The last key given out by a table that numbers its rows."""
        self._column_cache: ColumnCache | None = None

    def __len__(self) -> int:
        if not self.intact and self._unbuilt is None:
            self.rebuild()
        return len(self.rows) - self.tombstones

    # ── the indexes: made when they are first asked for ─────────────────────────────────────────────────────────────

    @cached_property
    def indexes(self) -> tuple[AnyIndex, ...]:
        """Every index."""
        return tuple(make_index(index, self.schema) for index in self.schema.indexes)

    @cached_property
    def _kept_up(self) -> "tuple[AnyIndex | TimeKinds, ...]":
        """Whatever hears of each change of a row."""
        return (*self.indexes, *self._time_kinds.values())

    @cached_property
    def unique(self) -> list[HashIndex]:
        """The indexes whose values may not repeat."""
        return [index for index in self.indexes if isinstance(index, HashIndex) and index.kind == "unique"]

    @cached_property
    def by_field(self) -> dict[str, AnyIndex]:
        """The indexes over a single field, by its name."""
        return {index.names[0]: index for index in self.indexes if len(index.names) == 1 and index.kind != "each"}

    # ── reading, as the writer sees it ──────────────────────────────────────────────────────────────────────────────

    def live(self) -> list[BaseModel]:
        """Return every row, in order of insertion; O(n)."""
        return list(self.scan())

    def scan(self) -> Collection[BaseModel]:
        """Return every row, in order of insertion, as a view that is good until the next change; O(1) as a rule."""
        if self.tombstones or not self.intact:
            return [row for row in self.rows.values() if row is not None]
        return cast("Collection[BaseModel]", self.rows.values())

    def scan_backwards(self) -> Iterable[BaseModel]:
        """Return every row, the last inserted first, good until the next change; O(1) as a rule."""
        return (row for row in reversed(self.rows.values()) if row is not None)

    def places(self) -> Callable[[BaseModel], int]:
        """Return the function from a row to its place in the order of insertion; O(n) once after a change."""
        places, key_of = self.column_cache().places(self.rows), self.key_of
        return lambda row: places[key_of(row)]

    def rows_of(self, keys: Iterable[object]) -> list[BaseModel]:
        """Return the rows of those keys that have one; O(keys)."""
        return [row for row in map(self.get, keys) if row is not None]

    def rows_with(self, name: str, value: object) -> Sequence[BaseModel]:
        """Return the rows with a value in an indexed column; O(1) with a hash index."""
        index = self.by_field[name]
        if not self.intact:
            self.build((index,))
        return index.lookup(value)

    def distinct_values(self, name: str) -> Set[object]:
        """Return the values of an indexed column, each once; O(1) with a hash index, else O(n)."""
        index = self.by_field[name]
        if self.intact and isinstance(index, HashIndex):
            return index.entries.keys()
        return set(map(attrgetter(name), self.live()))

    def has_clashes(self) -> bool:
        """Return whether rows share a value that must be unique; O(indexes)."""
        if not self.intact:
            self.build(self.unique)
        for index in self.unique:  # noqa: SIM110 - asked at every commit, where a generator costs more than its loop
            if index.clashes:
                return True
        return False

    def column_cache(self) -> ColumnCache:
        """Return what scans have kept of the rows, as they are now."""
        if self._column_cache is None:
            self._column_cache = ColumnCache(len(self))
        elif self.intact and not self.tombstones:
            self._column_cache.catch_up(self.rows)
        return self._column_cache

    def time_kinds(self, name: str) -> TimeKinds:
        """Return the numbers of naive and aware times of a column; O(1), but O(n) the first time."""
        kinds = self._time_kinds.get(name)
        if kinds is None:
            kinds = TimeKinds(name, self.scan())
            # In this order: an interruption in between costs a second counting, and no wrong counts.
            self.__dict__.pop("_kept_up", None)
            self._time_kinds[name] = kinds
        return kinds

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Key, before: BaseModel | None, after: BaseModel | None) -> None:
        """Change the row of a key from `before` to `after` (None: no row), indexes included; the reverse undoes it.

        O(1) for each hash index, O(log n) for each ordered one; only the row is changed if the table is not intact.
        """
        if self._column_cache is not None:
            self._tell_columns(key, before, after)
        if not self.intact:
            self._unbuilt = None
            self.rows[key] = after
            return
        kept_up = self._kept_up  # before the change: those of a copy may be built only now, over the rows as they are
        self.intact = False
        if after is None:
            self.rows[key] = None
            self.tombstones += 1
            if before is not None:
                for index in kept_up:
                    index.remove(before)
        elif before is None:
            if key in self.rows:
                self.tombstones -= 1
                if key in self.freed_slots:
                    self.freed_slots.remove(key)
                    del self.rows[key]
            self.rows[key] = after
            for index in kept_up:
                index.add(after)
        else:
            self.rows[key] = after
            for index in kept_up:
                index.swap(before, after)
        self.intact = True

    def _tell_columns(self, key: Key, before: BaseModel | None, after: BaseModel | None) -> None:
        """Have the columns that scans kept follow a change that is about to be made, or forget them."""
        assert self._column_cache is not None
        # Where rows go, or come back to the slots they had, those behind them move.
        in_place = self.intact and not self.tombstones and after is not None
        if not in_place or (before is not None and not self._column_cache.note_replaced(key)):
            self._column_cache = None

    def remove_tombstone(self, key: Key) -> None:
        """Remove a key's tombstone, if it has one: no rollback can need its slot any more."""
        if self._is_tombstone(key):
            del self.rows[key]
            self.tombstones -= 1

    def build(self, indexes: Iterable[AnyIndex]) -> None:
        """Build those of some indexes that are missing; everything, if it is not known what is. O(n log n) an index."""
        if self._unbuilt is None:
            self.rebuild()
            return
        for index in self._unbuilt.intersection(indexes):
            index.load(self.live())
            self._unbuilt.discard(index)
        if not self._unbuilt:
            self.intact, self._unbuilt = True, None

    def rebuild(self) -> None:
        """Build all that is derived from the rows anew, after an interruption left it half changed; O(n log n).

        It can be interrupted too: the table is intact only once all is done.
        """
        self._column_cache = None
        self._time_kinds.clear()
        self.__dict__.pop("_kept_up", None)
        gone = {key for key, row in self.rows.items() if row is None}
        self.freed_slots &= gone
        self.tombstones = len(gone)
        rows = self.live()
        for index in self.indexes:
            index.load(rows)
        self.intact, self._unbuilt = True, None

    def next_number(self) -> int:
        """Return the next key that the table gives out."""
        return self.last_number + 1

    def use_number(self, key: int) -> None:
        """Never give out a key again, nor one below it."""
        self.last_number = max(self.last_number, key)

    # ── undo records ────────────────────────────────────────────────────────────────────────────────────────────────

    def attach_undo(self, images: BeforeImages) -> None:
        """Attach an undo record: readers are answered from it, also for later keys. Can be done twice."""
        self.rows.attach(images)

    def free_slots(self, images: BeforeImages) -> None:
        """Free the slots of the rows that a commit deleted: a later row of such a key goes to the end."""
        self.freed_slots.update(key for key in images if self._is_tombstone(key))

    def release_undo(self, images: BeforeImages) -> None:
        """Release an undo record: its changes are visible to every reader, and its tombstones are removed."""
        if self.tombstones or not self.intact:
            others = [other for other in self.rows.undo_records if other is not images]
            for key in images:
                if self._is_tombstone(key) and not any(key in other for other in others):
                    self.remove_tombstone(key)
                    self.freed_slots.discard(key)
        self.rows.release(images)

    def undo(self, images: BeforeImages) -> None:
        """Write the before-images of the newest undo record back, then release it; can be done again if interrupted."""
        for key, before in images.items():
            now = self.get(key)
            if now is not before:
                self.freed_slots.discard(key)  # the row returns to its own slot
                self.put(key, now, before)
        self.release_undo(images)

    def _is_tombstone(self, key: Key) -> bool:
        return self.get(key) is None and key in self.rows

    # ── loading: rows without indexes, which are built at the end ───────────────────────────────────────────────────

    def clear(self) -> None:
        """Forget all rows, before any is loaded."""
        self.rows.clear()

    def load(self, keys: Collection[Key], rows: Collection[BaseModel]) -> bool:
        """Add rows at the end; return whether every key was new. O(rows), in C."""
        count = len(self.rows)
        self.rows.update(zip(keys, rows, strict=True))
        return len(self.rows) == count + len(keys)

    def load_change(self, key: Key, row: BaseModel | None) -> None:
        """Put a row at a key; None removes the one that is there. O(1)."""
        if row is None:
            del self.rows[key]
        else:
            self.rows[key] = row

    def durable_rows(self) -> dict[Key, BaseModel]:
        """Return a copy of the rows that every reader sees, in order of insertion; O(n), in C as a rule. Latched."""
        rows = dict(self.rows)
        for images in reversed(self.rows.undo_records):
            rows.update(images)
        if self.rows.undo_records:
            return {key: row for key, row in rows.items() if row is not None}
        return cast("dict[Key, BaseModel]", rows)

    def adopt(self, rows: Mapping[Key, BaseModel], last_number: int) -> None:
        """Begin with rows that another table validated; the indexes are built when they are first asked for."""
        self.rows.update(rows)
        self.last_number = last_number
        self.build_when_asked()

    def build_when_asked(self) -> None:
        """Build each index over the loaded rows when it is first asked for; O(indexes) now."""
        self.intact, self._unbuilt = False, set(self.indexes)

    def build_indexes(self) -> Iterator[int]:
        """Build the indexes over the loaded rows, one at a time; yield the number of rows after each. O(n log n)."""
        rows = self.live()
        for index in self.indexes:
            index.load(rows)
            yield len(rows)

    def restore_last_number(self, number: int | None) -> int:
        """Set the last number given out, None for the highest key there is; return the highest key, 0 if none."""
        highest = max((key for key in self.rows if type(key) is int), default=0) if self.schema.numbered else 0
        self.last_number = highest if number is None else number
        return highest

    # ── checking ────────────────────────────────────────────────────────────────────────────────────────────────────

    def problems(self) -> Iterator[str]:
        """Yield where an index differs from a full scan; O(n log n) an index."""
        if not self.intact:
            self.build(self.indexes)
        rows = {self.key_of(row): row for row in self.live()}
        if list(rows) != [key for key, row in self.rows.items() if row is not None]:
            yield f"{self.name}: a row lies under another row's key"
        for index in self.indexes:
            yield from (f"{self.name}: {problem}" for problem in index.problems(rows))
        for kinds in self._time_kinds.values():
            yield from (f"{self.name}: {problem}" for problem in kinds.problems(rows.values()))
