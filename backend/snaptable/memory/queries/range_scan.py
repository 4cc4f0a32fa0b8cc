"""Ranges: the part of an ordered index that a query's equalities and bounds allow, walked in the order it wants."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from snaptable.conditions import Order
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.memory.indexes.sorted_rows import AFTER_ALL, CHUNK
from snaptable.memory.queries.access_paths import AccessPath, IndexableTerm, IndexableTerms, Position, cut
from snaptable.memory.queries.filters import ResidualFilter, Values
from snaptable.memory.queries.ordering import rows_after

Bound = tuple[Any, ...] | None
LAST_CHARACTER = 0x10FFFF


class Range(AccessPath):
    """Walk a part of an ordered index: a prefix fixed by equalities, then one range at the most."""

    def __init__(self, index: OrderedIndex, terms: IndexableTerms, order: tuple[Order, ...]) -> None:
        self.index = index
        self.name = index.name
        self.order = order
        fixed: list[IndexableTerm] = []
        for name in index.names:
            found = terms.equal.get(name)
            if found is None or found.term.verb == "is":
                break  # rows with None are not among the entries
            fixed.append(found)
        self.fixed = [found.place for found in fixed]
        self.rest = index.names[len(fixed) :]
        """The fields whose values are left open."""
        self.sort_key = index.sort_keys[len(fixed)] if self.rest else None
        name = self.rest[0] if self.rest else ""
        self.low, self.high = terms.low.get(name), terms.high.get(name)
        self.starts = terms.starts.get(name) if self.low is None and self.high is None else None
        chosen = [*fixed, *(found for found in (self.low, self.high, self.starts) if found is not None)]
        self.settled = frozenset(found.number for found in chosen)
        self.holds = ResidualFilter([(found.term, found.place) for found in chosen]) if chosen else None
        """The settled conditions as a filter, for rows that have a None and so no entry."""
        self.closed = len({found.term.column.name for found in chosen}) == len(index.names)
        """Whether they speak of every field, and so hold for no row with a None in one."""
        self.backwards = bool(order) and order[-1].descending
        self.ordered = bool(order) and self._is_ordered(order)
        places = {item.column.name: place for place, item in enumerate(order)}
        self.sought_by = [places[name] for name in self.rest] if self.ordered else []

    def _is_ordered(self, order: tuple[Order, ...]) -> bool:
        """Return whether the index, behind its fixed prefix, is in the wanted order."""
        fixed = self.index.names[: len(self.fixed)]
        wanted = [item for item in order[:-1] if item.column.name not in fixed]
        # Ties are broken by the primary key alone, so the index must have no further field between.
        names = tuple(item.column.name for item in wanted)
        return names == self.rest and all(item.descending == self.backwards for item in wanted)

    @property
    def useful(self) -> bool:
        """Whether it could be better than a scan."""
        return bool(self.settled) or self.ordered

    @property
    def sure(self) -> bool:
        """Whether no value and no row rules it out."""
        return bool(self.settled) or (self.ordered and len(self.rest) <= 1)

    def bind(self, values: Values, after: Position) -> "AccessPath | None":
        """Return the stretch of the index that these values allow."""
        stretch = BoundRange(self)
        if self.index.nulls and not self.closed:
            stretch.nulls = self._nulls(values)
            if stretch.nulls and len(self.rest) > 1:
                # A None further back in a compound entry has its place among the others: no walk can put it there.
                stretch.ordered = False
                if not self.settled:
                    return None
        head: tuple[Any, ...] = ()
        if self.fixed:
            head = self.index.bound(tuple([values[place] for place in self.fixed]))
            stretch.low, stretch.high = head, (*head, AFTER_ALL)
        self._narrow(stretch, head, values)
        if stretch.ordered:
            if stretch.nulls:
                stretch.nulls.sort(key=self.index.key_of, reverse=self.backwards)
            if after is not None:
                self._seek(stretch, head, after)
        return stretch

    def _narrow(self, stretch: "BoundRange", head: tuple[Any, ...], values: Values) -> None:
        if self.low is not None:
            low = (*head, self._key(values[self.low.place]))
            stretch.low = (*low, AFTER_ALL) if self.low.term.verb == ">" else low
        if self.high is not None:
            high = (*head, self._key(values[self.high.place]))
            stretch.high = (*high, AFTER_ALL) if self.high.term.verb == "<=" else high
        if self.starts is not None:
            text = values[self.starts.place]
            stretch.low = (*head, text)
            following = _after_prefix(text)
            if following is not None:
                stretch.high = (*head, following)

    def _key(self, value: Any) -> Any:
        return value if self.sort_key is None else self.sort_key(value)

    def _nulls(self, values: Values) -> list[Any]:
        """Return the rows with a None in the index for which the settled conditions hold: they have no entries."""
        rows = list(self.index.nulls.values())
        return rows if self.holds is None else self.holds.over_rows(values)(rows)

    def _seek(self, stretch: "BoundRange", head: tuple[Any, ...], after: tuple[Any, ...]) -> None:
        """Move the near end of a stretch behind the cursor."""
        rest = [after[place] for place in self.sought_by]
        if None not in rest:
            keys = zip(rest, self.index.sort_keys[len(head) :], strict=True)
            entry = (*head, *(value if sort_key is None else sort_key(value) for value, sort_key in keys), after[-1])
            if self.backwards:
                stretch.high = entry if stretch.high is None else min(stretch.high, entry)
            else:
                entry = (*entry, AFTER_ALL)
                stretch.low = entry if stretch.low is None else max(stretch.low, entry)
        elif len(rest) == 1:
            # None is last in both directions: every entry is before the cursor, and of the rows beside them some.
            stretch.low, stretch.high = (*head, AFTER_ALL), head
            stretch.nulls = rows_after(stretch.nulls, self.order, after)
        else:
            return
        stretch.sought = True


class BoundRange(AccessPath):
    """Be a range with its bounds worked out."""

    def __init__(self, way: Range) -> None:
        self.name = way.name
        self.settled = way.settled
        self.residue = way.residue
        self.left = way.left
        self.ordered = way.ordered
        self.low: Bound = None
        self.high: Bound = None
        self.nulls: list[Any] = []
        self._entries = way.index.sorted
        self._backwards = way.backwards

    def size(self, values: Values) -> int:  # noqa: ARG002 - they are in the bounds
        """Return how many rows it looks at, estimated where they are very many."""
        return self._entries.count(self.low, self.high) + len(self.nulls)

    def count(self, values: Values) -> int:
        """Return how many rows match."""
        if self.residue is not None:
            return len(self.matching(values))
        return self._entries.count(self.low, self.high, exactly=True) + len(self.nulls)

    def batches(self, values: Values, most: int) -> Iterable[list[Any]]:  # noqa: ARG002 - they are in the bounds
        """Yield the rows it looks at, those without an entry last, at most so many at a time."""
        walk = self._entries.slices(self.low, self.high, descending=self.ordered and self._backwards, most=most)
        return chain(walk, cut(self.nulls, most)) if self.nulls else walk

    def matching(self, values: Values) -> list[Any]:
        """Return every row that matches."""
        found: list[Any] = []
        keep = None if self.residue is None else self.residue.over_rows(values)
        for part in self.batches(values, 2 * CHUNK):
            found += part if keep is None else keep(part)
        return found


def _after_prefix(text: str) -> str | None:
    """Return the least text above every text that begins with this one; None where there is none."""
    kept = text.rstrip(chr(LAST_CHARACTER))
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None
