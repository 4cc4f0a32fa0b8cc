"""The rows of one table and their indexes, changed in place under the engine's latch; veils keep what was before.

A *veil* maps keys to the row (or None) each had before some changes that are not yet everybody's to see: those of the
open transaction, and those of commits whose frame is not yet durable. Readers look through the veils, oldest first;
rolling back puts a veil's rows back; a commit that became durable lifts its veil. One mechanism for isolation, for
rollback and for never showing what a crash could still take away.

Invariants:
1. A row deleted under a veil leaves a grave in `rows`: the key with None, so that a rollback finds its place. Lifting
   the veil removes it. The place of a grave that a commit dug is given up (`buried`): a new row goes to the end.
2. `rows` without graves is what the indexes hold. `graves` counts them.
3. A change records its veil before it touches the row, so that a row read too new is always veiled.
4. Without veils there are no graves, and `rows.get` alone answers a reader; with any, `rows` is of the class whose
   `get` looks through them.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from snaptable.codec import Codec
from snaptable.memory.column_cache import ColumnCache
from snaptable.memory.indexes import AnyIndex, make_index
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.schema import TableSchema

BeforeImages = dict[Any, Any]


class _Rows(dict[Any, Any]):
    """Be the rows by key; which subclass it is at the moment decides what its `get` answers.

    A reader's `get` is one call in C as long as nothing is veiled, and the class is changed before a row is: looked up
    and found in one piece (keys are str or int, whose hash and comparison are C as well), it can't be too new.
    """

    __slots__ = ("guard",)

    guard: Callable[[Any], Any]
    """Answers a reader who may have to be shown what was before."""


class SettledRows(_Rows):
    """Be rows of which every one is everybody's to see."""

    __slots__ = ()


class VersionedRows(_Rows):
    """Be rows that readers see through veils."""

    __slots__ = ()

    def get(self, key: Any, default: Any = None, /) -> Any:
        """Return the row of a key, or `default`, as the reader may see it."""
        row = self.guard(key)
        return default if row is None else row


class TableRows:
    """Hold the rows of one table by key, in insertion order, and every index over them."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.name = schema.name
        self.codec = Codec(schema)
        self.key_of = attrgetter(schema.key)
        self.indexes: tuple[AnyIndex, ...] = tuple(make_index(index, schema) for index in schema.indexes)
        self.unique = [index for index in self.indexes if isinstance(index, HashIndex) and index.kind == "unique"]
        self.by_field = {
            index.names[0]: index for index in self.indexes if len(index.names) == 1 and index.kind != "each"
        }
        self.rows: _Rows = SettledRows()
        self.get: Callable[[Any], Any] = _plain_get(self.rows)
        """Returns the row of a key, or None, as the writer sees it; O(1)."""
        self.graves = 0
        self.buried: set[Any] = set()
        self.last_number = 0
        self.veils: tuple[BeforeImages, ...] = ()
        self.scans: ColumnCache | None = None
        """What scans since the last change have kept."""
        self.calm: object | None = object()
        """None under a veil, a new token after each: a reader without the latch that sees the same token before and
        after reading has read a durable row."""

    def __len__(self) -> int:
        return len(self.rows) - self.graves

    # ── reading, as the writer sees it ──────────────────────────────────────────────────────────────────────────────

    def live(self) -> list[Any]:
        """Return every row, in insertion order; O(n)."""
        if self.graves:
            return [row for row in self.rows.values() if row is not None]
        return list(self.rows.values())

    def pick(self, keys: Iterable[Any]) -> list[Any]:
        """Return the rows of those keys that have one."""
        found = map(self.get, keys)
        return [row for row in found if row is not None]

    # ── reading, as everybody else does ─────────────────────────────────────────────────────────────────────────────

    def veiled_get(self, key: Any) -> Any:
        """Return the row of a key as of the last durable commit; O(veils), under the latch."""
        for veil in self.veils:
            if key in veil:
                return veil[key]
        return self.get(key)

    def before(self) -> BeforeImages:
        """Return, for every veiled key, the row it had as of the last durable commit; O(veiled)."""
        merged: BeforeImages = {}
        for veil in reversed(self.veils):
            merged.update(veil)
        return merged

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Any, before: Any, after: Any) -> None:
        """Change the row of a key from `before` to `after` (None: no row), indexes included; undone by the reverse."""
        self.scans = None
        if after is None:
            self.rows[key] = None
            self.graves += 1
            for index in self.indexes:
                index.remove(before)
        elif before is None:
            if key in self.rows:
                self.graves -= 1
                if key in self.buried:
                    self.buried.remove(key)
                    del self.rows[key]
            self.rows[key] = after
            for index in self.indexes:
                index.add(after)
        else:
            self.rows[key] = after
            for index in self.indexes:
                index.swap(before, after)

    def forget(self, key: Any) -> None:
        """Clear a key's grave, where nothing can want its place back."""
        del self.rows[key]
        self.graves -= 1

    def hide(self, veil: BeforeImages) -> None:
        """Put a veil over the rows it names, and will name."""
        self.calm = None
        self.rows.__class__ = VersionedRows
        self.veils = (*self.veils, veil)

    def bury(self, veil: BeforeImages) -> None:
        """Give up the places of the rows that a commit deleted: a later row of such a key goes to the end."""
        if self.graves:
            self.buried.update(key for key in veil if self._is_grave(key))

    def lift(self, veil: BeforeImages) -> None:
        """Remove a veil: what it hid is everybody's to see, and its graves are cleared."""
        self.veils = tuple(other for other in self.veils if other is not veil)
        if self.graves:
            for key in veil:
                if self._is_grave(key) and not any(key in other for other in self.veils):
                    del self.rows[key]
                    self.graves -= 1
                    self.buried.discard(key)
        if not self.veils:
            self.rows.__class__ = SettledRows
            self.calm = object()

    def _is_grave(self, key: Any) -> bool:
        return self.get(key) is None and key in self.rows

    def put_back(self, veil: BeforeImages) -> None:
        """Undo the changes under the newest veil, then lift it."""
        for key, before in veil.items():
            now = self.get(key)
            if now is not before:
                self.buried.discard(key)  # the row comes back to its own place
                self.put(key, now, before)
        self.lift(veil)

    def problems(self) -> Iterable[str]:
        """Yield where an index differs from a full scan; O(n log n) an index."""
        rows = {self.key_of(row): row for row in self.live()}
        if list(rows) != [key for key, row in self.rows.items() if row is not None]:
            yield f"{self.name}: a row lies under another row's key"
        for index in self.indexes:
            yield from (f"{self.name}: {problem}" for problem in index.problems(rows))


def _plain_get(rows: _Rows) -> Callable[[Any], Any]:
    """Return the `get` of dict itself, bound: whatever class the rows are of."""
    bound: Callable[[Any], Any] = dict.get.__get__(rows)
    return bound
