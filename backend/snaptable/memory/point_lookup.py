"""Point lookup: the row of a primary key, as the caller may see it. The hottest path, and all that makes it quick.

The writer sees the newest rows. Other readers see the rows as of the last durable commit: while there are changes that
are not durable, undo records hold the rows from before them, the before-images, and readers are answered from those.

Invariants:
1. While no undo record is attached every row is durable, and the rows are of the class `SettledRows`, which inherits
   `[]` from dict: a lookup runs in C, without a lock. Only a key that no row has comes to Python, by `__missing__`,
   which looks at its type.
2. An undo record is attached before the first row changes, and makes the rows a `VersionedRows`. A key that is a str or
   an int is hashed and compared in C, and no other thread runs between that and the return of the row: a lookup that
   began under invariant 1 can't return a row that is not durable.
3. `VersionedRows.__getitem__` answers by `visible_get`: under the latch, and from the undo records for all but the
   writer.
4. A UUID is hashed and compared in Python, so the writer may run in between. Lookups of UUIDs compare the version token
   before and after: it is None while an undo record is attached, and another object after each time. So do queries that
   one entry of a hash index answers (`TableReader._without_latch`).
5. Callers get the `[]` of a mapping proxy, which looks the method up on the class of the rows at each call. The bound
   method of the dictionary would be quicker, and show rows that are not durable to whoever kept it.
6. A row that holds something mutable is copied before it is handed out.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from operator import getitem
from types import MappingProxyType, MethodType
from typing import cast
from uuid import UUID

from pydantic import BaseModel

from snaptable.values.row_lines import Key

BeforeImages = dict[Key, BaseModel | None]
"""An undo record of one table: each changed key, with the row it had before; None if it had none."""
Get = Callable[[object], BaseModel | None]


class RowsByKey(dict[Key, BaseModel | None]):
    """The rows of one table by key, in order of insertion; None in place of a row is a tombstone (see `rows`)."""

    __slots__ = ("_in_transaction", "_latch", "check_key", "undo_records", "version")

    def __init__(
        self,
        latch: AbstractContextManager[object],
        in_transaction: Callable[[], bool],
        check_key: Callable[[object], None],
    ) -> None:
        """Begin without rows.

        Args:
            latch: the engine's; rows change and undo records are read with it held.
            in_transaction: returns whether the caller is the writer.
            check_key: raises InvalidKey for a key of another type than the table's.
        """
        super().__init__()
        self.undo_records: tuple[BeforeImages, ...] = ()
        """Oldest first."""
        self.version: object | None = object()
        self._latch = latch
        self._in_transaction = in_transaction
        self.check_key = check_key

    def __missing__(self, key: object) -> None:
        """Return None for a key that no row has, once it is known to be one."""
        self.check_key(key)

    def attach(self, images: BeforeImages) -> None:
        """Answer readers from an undo record, also for keys that are entered in it later; can be done twice."""
        self.version = None
        self.__class__ = VersionedRows
        for other in self.undo_records:
            if other is images:
                return
        self.undo_records = (*self.undo_records, images)

    def release(self, images: BeforeImages) -> None:
        """Answer readers from an undo record no more; nothing if that is so already."""
        records = self.undo_records
        if (
            records and records[-1] is images
        ):  # as a rule: the newest, of a transaction that passes it on, or the only one
            self.undo_records = records[:-1]
        else:
            self.undo_records = tuple([other for other in records if other is not images])
        if not self.undo_records:
            self.__class__ = SettledRows
            self.version = object()

    def visible_get(self, key: object) -> BaseModel | None:
        """Return the row of a key that the caller may see, or None; O(undo records), takes the latch."""
        with self._latch:
            if not self._in_transaction():
                for images in self.undo_records:
                    if key in images:
                        return images[cast(Key, key)]
            return dict.get(self, cast(Key, key))

    def images_for_caller(self) -> BeforeImages | None:
        """Return the before-images that a query must put in place of rows; None if the caller may see all rows.

        Under the latch; O(changed rows that are not durable).
        """
        if not self.undo_records or self._in_transaction():
            return None
        merged: BeforeImages = {}
        for images in reversed(self.undo_records):
            merged.update(images)
        return merged


class SettledRows(RowsByKey):
    """Rows that are all durable."""

    __slots__ = ()


class VersionedRows(RowsByKey):
    """Rows of which some are not durable yet."""

    __slots__ = ()

    def __getitem__(self, key: object, /) -> BaseModel | None:
        """Return the row of a key that the caller may see, or None."""
        row = self.visible_get(key)
        if row is None:
            self.check_key(key)
        return row


def writer_get(rows: RowsByKey) -> Get:
    """Return the writer's `get`: that of dict, whichever class the rows are of; O(1), in C."""
    return cast(Get, dict.get.__get__(rows))


def reader_get(rows: RowsByKey, key_type: type[Key], share: Callable[[BaseModel], BaseModel] | None) -> Get:
    """Return the `get` that is handed to callers: the row that they may see, or None; O(1).

    It raises InvalidKey for a key of another type, and TypeError for one that can't be hashed.

    Args:
        rows: the table's rows.
        key_type: the type of its primary key.
        share: copies a row; None if rows are immutable and handed out as they are.
    """
    # A bound method of a function in C is called without a frame, and without a tuple of arguments.
    get = _token_get(rows) if key_type is UUID else cast(Get, MethodType(getitem, MappingProxyType(rows)))
    if share is None:
        return get

    def get_copy(key: object, /) -> BaseModel | None:
        """Return a copy of the row of a key, or None."""
        try:
            row = get(key)
        except TypeError:  # it can't be hashed
            rows.check_key(key)
            raise
        return row if row is None else share(row)

    return get_copy


def _token_get(rows: RowsByKey) -> Get:
    """Return the `get` of invariant 4, for keys that are hashed and compared in Python."""
    latest = writer_get(rows)

    def get(key: object, /) -> BaseModel | None:
        """Return the row of a key, or None."""
        version = rows.version
        try:
            row = latest(key)
        except TypeError:  # it can't be hashed
            rows.check_key(key)
            raise
        if rows.version is not version or version is None:
            row = rows.visible_get(key)
        if row is None:
            rows.check_key(key)
        return row

    return get
