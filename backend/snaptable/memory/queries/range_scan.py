"""Range scans: the part of an ordered index that a query's equalities and bounds allow, in the order it wants."""

from collections.abc import Iterable
from itertools import chain

from pydantic import BaseModel

from snaptable.conditions.columns import INSERTED
from snaptable.conditions.predicates import Order
from snaptable.evaluation.filters import Conditions, ResidualFilter, Values
from snaptable.evaluation.ordering import rows_after
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.memory.indexes.sorted_rows import AFTER_ALL, CHUNK, Entry
from snaptable.memory.queries.access_paths import AccessPath, IndexableTerm, IndexableTerms, Position, batched

Bound = Entry | None
LAST_CHARACTER = 0x10FFFF


class RangeScan(AccessPath):
    """A part of an ordered index: a prefix of its fields fixed by equalities, then one range at the most."""

    def __init__(
        self, index: OrderedIndex, conditions: Conditions, terms: IndexableTerms, order: tuple[Order, ...]
    ) -> None:
        """Make the path that an index offers.

        Args:
            index: whose part it is.
            conditions: all of the query's.
            terms: those among them that an index can answer.
            order: the query's, complete; empty if any order will do.
        """
        self.reads = self.index = index
        self.order = order
        # 1. The prefix, and the fields whose values are left open.
        fixed = list(_equalities(index, terms))
        self._fixed = [term.position for term in fixed]
        self.open_fields = index.names[len(fixed) :]
        self._sort_key = index.sort_keys[len(fixed)] if self.open_fields else None
        # 2. The range, over the first open field.
        name = self.open_fields[0] if self.open_fields else ""
        self._low, self._high = terms.low.get(name), terms.high.get(name)
        self._low_end: Entry = (AFTER_ALL,) if self._low is not None and self._low.term.operator == ">" else ()
        self._high_end: Entry = (AFTER_ALL,) if self._high is not None and self._high.term.operator == "<=" else ()
        self._prefix = terms.prefix.get(name) if self._low is None and self._high is None else None
        covered = [*fixed, *(term for term in (self._low, self._high, self._prefix) if term is not None)]
        super().__init__(index.name, conditions, covered)
        # 3. Rows with a None have no entry: the covered conditions are checked on them one by one.
        self._covered = ResidualFilter([(term.term, term.position) for term in covered]) if covered else None
        self._excludes_nulls = len({term.term.column.name for term in covered}) == len(index.names)
        # 4. The order.
        self.backwards = bool(order) and order[-1].descending
        self.ordered = bool(order) and self._is_ordered(order)
        positions = {item.column.name: position for position, item in enumerate(order)}
        self._cursor_positions = [positions[name] for name in self.open_fields] if self.ordered else []

    def _is_ordered(self, order: tuple[Order, ...]) -> bool:
        """Return whether the index, behind its fixed prefix, is in the wanted order."""
        if order[-1].column is INSERTED:
            return False  # ties in the index are broken by the primary key
        fixed = self.index.names[: len(self._fixed)]
        wanted = [item for item in order[:-1] if item.column.name not in fixed]
        # Ties are broken by the primary key alone, so the index must have no further field between.
        names = tuple(item.column.name for item in wanted)
        return names == self.open_fields and all(item.descending == self.backwards for item in wanted)

    @property
    def is_useful(self) -> bool:
        """Whether it could be better than a scan."""
        return bool(self.covered_conditions) or self.ordered

    @property
    def is_certain(self) -> bool:
        """Whether no value and no row rules it out."""
        return bool(self.covered_conditions) or (self.ordered and len(self.open_fields) <= 1)

    def bind(self, values: Values, after: Position | None) -> "BoundRange | None":
        """Return the range of the index that these values allow."""
        ordered = self.ordered
        nulls = self._nulls(values) if self.index.nulls and not self._excludes_nulls else []
        if nulls and len(self.open_fields) > 1:
            # A None further back in a compound entry belongs among the others, and no order of entries has it there.
            ordered = False
            if not self.covered_conditions:
                return None
        head = self.index.bound([values[position] for position in self._fixed]) if self._fixed else ()
        low, high = self._bounds(head, values)
        if ordered and nulls:
            nulls.sort(key=self.index.key_of, reverse=self.backwards)
        bound = BoundRange(self, low, high, nulls, ordered)
        return bound if after is None or not ordered else self._behind(bound, head, after)

    def _nulls(self, values: Values) -> list[BaseModel]:
        """Return the rows with a None in the index for which the covered conditions hold: they have no entries."""
        rows = list(self.index.nulls.values())
        return rows if self._covered is None else self._covered.over_rows(values)(rows)

    def _bounds(self, head: Entry, values: Values) -> tuple[Bound, Bound]:
        """Return the bounds that the values set behind the fixed prefix, `head`."""
        low: Bound = head if self._fixed else None
        high: Bound = (*head, AFTER_ALL) if self._fixed else None
        if self._low is not None:
            low = (*head, self._key(values[self._low.position]), *self._low_end)
        if self._high is not None:
            high = (*head, self._key(values[self._high.position]), *self._high_end)
        if self._prefix is not None:
            text = str(values[self._prefix.position])
            low, following = (*head, text), _after_prefix(text)
            high = high if following is None else (*head, following)
        return low, high

    def _key(self, value: object) -> object:
        return value if self._sort_key is None else self._sort_key(value)

    def _behind(self, bound: "BoundRange", head: Entry, after: Position) -> "BoundRange":
        """Return the part of a range, in order, that is behind the cursor; the whole range if that is not a part."""
        rest = [after[position] for position in self._cursor_positions]
        if None not in rest:
            entry = (*self.index.bound(rest, head=head), after[-1])
            if self.backwards:
                return bound.behind(bound.low, entry if bound.high is None else min(bound.high, entry), bound.nulls)
            entry = (*entry, AFTER_ALL)
            return bound.behind(entry if bound.low is None else max(bound.low, entry), bound.high, bound.nulls)
        if len(rest) == 1:
            # The cursor stands at a None, so all entries precede it; of the rows with None, those after it remain.
            return bound.behind((*head, AFTER_ALL), head, rows_after(bound.nulls, self.order, after))
        return bound


class BoundRange(AccessPath):
    """A range scan with its bounds worked out."""

    def __init__(
        self,
        path: RangeScan,
        low: Bound,
        high: Bound,
        nulls: list[BaseModel],
        ordered: bool,  # noqa: FBT001 - by keyword, a bind takes a sixth longer
        after_cursor: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Make the part of an index with `low <= entry < high` (None: no bound), and then the rows `nulls`."""
        self.name = path.name
        self.covered_conditions = path.covered_conditions
        self.residual_filter = path.residual_filter
        self.residual_count = path.residual_count
        self.ordered = ordered
        self.after_cursor = after_cursor
        self.low, self.high, self.nulls = low, high, nulls
        self._path = path
        self._sorted = path.index.sorted

    def behind(self, low: Bound, high: Bound, nulls: list[BaseModel]) -> "BoundRange":
        """Return the part of this range that is behind the cursor."""
        return BoundRange(self._path, low, high, nulls, ordered=self.ordered, after_cursor=True)

    def size(self, values: Values) -> int:  # noqa: ARG002 - they are in the bounds
        """Return how many rows it looks at; estimated if they are many."""
        return self._sorted.count(self.low, self.high) + len(self.nulls)

    def count(self, values: Values) -> int:
        """Return how many rows match; O(log n) without a residual filter."""
        if self.residual_filter is not None:
            return len(self.matching(values))
        return self._sorted.count(self.low, self.high, exactly=True) + len(self.nulls)

    def batches(self, values: Values, most: int) -> Iterable[list[BaseModel]]:  # noqa: ARG002 - they are in the bounds
        """Yield the rows it looks at, those without an entry last, in lists of at most `most`."""
        descending = self.ordered and self._path.backwards
        slices = self._sorted.slices(self.low, self.high, descending=descending, most=most)
        return chain(slices, batched(self.nulls, most)) if self.nulls else slices

    def matching(self, values: Values) -> list[BaseModel]:
        """Return every row that matches."""
        rows: list[BaseModel] = []
        keep = None if self.residual_filter is None else self.residual_filter.over_rows(values)
        for batch in self.batches(values, 2 * CHUNK):
            rows += batch if keep is None else keep(batch)
        return rows


def _equalities(index: OrderedIndex, terms: IndexableTerms) -> Iterable[IndexableTerm]:
    """Yield the equalities that fix the first fields of an index."""
    for name in index.names:
        term = terms.equal.get(name)
        if term is None or term.term.operator == "is":
            return  # rows with None have no entries
        yield term


def _after_prefix(text: str) -> str | None:
    """Return the least text above every text that begins with this one; None if there is none."""
    kept = text.rstrip(chr(LAST_CHARACTER))
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None
