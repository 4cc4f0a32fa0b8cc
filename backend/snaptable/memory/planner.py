"""Choose the way to a query's rows: the index that expects to look at the fewest, in the order wanted where it can.

The ways, cheapest first as a rule: primary key, unique, hash, items (`each`), ordered range or compound prefix, scan.
Expected rows are counted from the indexes themselves, which is exact up to very wide ranges. What the index does not
settle is filtered; what it does not order is sorted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from snaptable.conditions import AllOf, Compare, Condition, Contains, OneOf, StartsWith
from snaptable.memory.filters import Filter, compile_filter
from snaptable.memory.indexes import HashIndex, OrderedIndex
from snaptable.memory.ordering import complete, rows_after, sort_rows
from snaptable.memory.rows import TableRows
from snaptable.memory.sorted import TOP
from snaptable.query import Plan, Select

Batches = Callable[[], Iterable[Sequence[Any]]]
Bound = tuple[Any, ...] | None
LAST_CHARACTER = 0x10FFFF
RESIDUAL_GUESS = 8
"""Rows looked at for each row wanted, when a limit stops a filtered walk early."""


@dataclass
class Path:
    """Be one way to the rows: how many it looks at, which conditions it settles, whether in the wanted order."""

    name: str | None
    rows: int
    batches: Batches
    settled: frozenset[int] = frozenset()
    """Identities of the conditions this way answers by itself."""
    ordered: bool = False
    sought: bool = False
    """Whether it starts behind the cursor by itself."""


class Terms:
    """Sort a query's conditions, all of which must hold, by what an index can do with them; `&` is taken apart."""

    __slots__ = ("contains", "equal", "every", "high", "low", "names", "one_of", "starts")

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self.every: list[Condition] = []
        self.equal: dict[str, Compare] = {}
        self.low: dict[str, Compare] = {}
        self.high: dict[str, Compare] = {}
        self.one_of: dict[str, OneOf] = {}
        self.contains: dict[str, Contains] = {}
        self.starts: dict[str, StartsWith] = {}
        for condition in conditions:
            self._add(condition)
        self.names = {*self.equal, *self.low, *self.high, *self.one_of, *self.contains, *self.starts}
        """Every column that an index could help with."""

    def _add(self, condition: Condition) -> None:
        if isinstance(condition, AllOf):
            for part in condition.parts:
                self._add(part)
            return
        self.every.append(condition)
        match condition:
            case Compare(column, "==", _):
                self.equal.setdefault(column.name, condition)
            case Compare(column, ">" | ">=", value) if value == value:  # a NaN bound sorts nowhere: filtered instead
                self.low.setdefault(column.name, condition)
            case Compare(column, "<" | "<=", value) if value == value:
                self.high.setdefault(column.name, condition)
            case OneOf(column, _):
                self.one_of.setdefault(column.name, condition)
            case Contains(column, _):
                self.contains.setdefault(column.name, condition)
            case StartsWith(column, text) if text:
                self.starts.setdefault(column.name, condition)


class Planned:
    """Be a query with its way chosen: `plan` tells it, `run` walks it."""

    def __init__(self, table: TableRows, wanted: Select) -> None:
        self.table = table
        self.wanted = wanted
        self.terms = Terms(wanted.where)
        self.order = complete(wanted.order, table.schema.columns[table.schema.key]) if wanted.order else ()
        self.path = min(self._paths(), key=self._cost)
        self.residual = [term for term in self.terms.every if id(term) not in self.path.settled]
        self.keep: Filter | None = compile_filter(self.residual)
        self.sorts = bool(self.order) and not self.path.ordered

    def plan(self) -> Plan:
        """Return the way chosen, for `explain()`."""
        return Plan(self.table.name, self.path.name, self._expected(self.path), self.sorts, len(self.residual))

    # ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def matching(self) -> list[Any]:
        """Return every row the conditions hold for, unsorted and uncut."""
        rows: list[Any] = []
        for batch in self.path.batches():
            rows += self.keep(batch) if self.keep else batch
        return rows

    def run(self) -> list[Any]:
        """Return the rows: filtered, sorted, cut; stops early where the way is in order."""
        past_cursor = self.wanted.after is None or self.path.sought
        if self.wanted.limit is not None and past_cursor and not self.sorts:
            end = self.wanted.offset + self.wanted.limit
            return self._first(end)[self.wanted.offset : end]
        return self.finish(self.matching(), in_order=not self.sorts)

    def finish(self, rows: list[Any], *, in_order: bool = False) -> list[Any]:
        """Return matching rows moved past the cursor, sorted, and cut."""
        if self.wanted.after is not None:
            rows = rows_after(rows, self.order, self.wanted.after)
        if self.order and not in_order:
            rows = sort_rows(rows, self.order)
        end = None if self.wanted.limit is None else self.wanted.offset + self.wanted.limit
        return rows[self.wanted.offset : end]

    def _first(self, count: int) -> list[Any]:
        found: list[Any] = []
        if count == 0:
            return found
        for batch in self.path.batches():
            # A wide batch is taken in steps, so that a limit of one does not filter hundreds.
            step = max(64, count)
            for begin in range(0, len(batch), step):
                part = batch[begin : begin + step]
                found += self.keep(part) if self.keep else part
                if len(found) >= count:
                    return found
        return found

    # ── choosing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _cost(self, path: Path) -> float:
        sort = 1.5 if self.order and not path.ordered else 1.0
        # At equal counts the way that settles more by itself wins, and any index over a scan.
        left = 0.01 * (len(self.terms.every) - len(path.settled))
        return self._expected(path) * sort + left + (0.5 if path.name is None else 0.0)

    def _expected(self, path: Path) -> int:
        limit = self.wanted.limit
        cursor = self.wanted.after is not None and not path.sought
        if limit is None or cursor or (self.order and not path.ordered):
            return path.rows
        need = self.wanted.offset + limit
        filtered = len(self.terms.every) > len(path.settled)
        return min(path.rows, need * RESIDUAL_GUESS if filtered else need)

    def _paths(self) -> Iterator[Path]:
        yield from self._by_key()
        names = self.terms.names
        for index in self.table.indexes:
            if isinstance(index, OrderedIndex):
                if self.order or index.names[0] in names:
                    yield from self._by_range(index)
            elif index.names[0] not in names:
                continue
            elif index.kind == "each":
                yield from self._by_item(index)
            else:
                yield from self._by_value(index)
        yield Path(None, len(self.table), lambda: (self.table.live(),))

    def _by_key(self) -> Iterator[Path]:
        key, table = self.table.schema.key, self.table
        if key in self.terms.equal:
            term = self.terms.equal[key]
            yield Path("primary key", 1, lambda: (table.pick((term.value,)),), frozenset({id(term)}), ordered=True)
        elif key in self.terms.one_of:
            chosen = self.terms.one_of[key]
            keys = list(dict.fromkeys(chosen.values))
            yield Path("primary key", len(keys), lambda: (table.pick(keys),), frozenset({id(chosen)}))

    def _by_item(self, index: HashIndex) -> Iterator[Path]:
        term = self.terms.contains.get(index.names[0])
        if term is not None:
            item = term.item
            yield Path(index.name, index.size(item), lambda: (index.find(item),), frozenset({id(term)}))

    def _by_value(self, index: HashIndex) -> Iterator[Path]:
        equal = [self.terms.equal[name] for name in index.names if name in self.terms.equal]
        if len(equal) == len(index.names):
            values = tuple(term.value for term in equal)
            value = values if len(values) > 1 else values[0]
            settled = frozenset(map(id, equal))
            yield Path(index.name, index.size(value), lambda: (index.find(value),), settled)
        elif len(index.names) == 1 and index.names[0] in self.terms.one_of:
            chosen = self.terms.one_of[index.names[0]]
            wanted = list(dict.fromkeys(chosen.values))
            size = sum(map(index.size, wanted))
            yield Path(index.name, size, lambda: map(index.find, wanted), frozenset({id(chosen)}))

    def _by_range(self, index: OrderedIndex) -> Iterator[Path]:
        span = Span(index, self.terms)
        ordered, descending = self._order_from(index, span)
        nulls = span.nulls()
        if nulls and len(index.names) - span.prefix > 1:
            # A None further back in a compound entry has its place among the others: the walk can't put it there.
            ordered = False
        if not (span.settled or ordered):
            return
        sought = ordered and not nulls and self._seek(span, descending=descending)
        if ordered:
            nulls.sort(key=index.key_of, reverse=descending)

        def batches() -> Iterable[Sequence[Any]]:
            walk = index.sorted.slices(span.low, span.high, descending=ordered and descending)
            return chain(walk, (nulls,) if nulls else ())

        rows = index.sorted.count(span.low, span.high) + len(nulls)
        yield Path(index.name, rows, batches, frozenset(map(id, span.settled)), ordered, sought)

    def _order_from(self, index: OrderedIndex, span: "Span") -> tuple[bool, bool]:
        """Return whether the index, behind its fixed prefix, is in the wanted order, and if to walk it backwards."""
        if not self.order:
            return False, False
        descending = self.order[-1].descending
        fixed = index.names[: span.prefix]
        wanted = [item for item in self.order[:-1] if item.column.name not in fixed]
        # Ties are broken by the primary key alone, so the index must have no further field between.
        names = tuple(item.column.name for item in wanted)
        same_way = all(item.descending == descending for item in wanted)
        return names == index.names[span.prefix :] and same_way, descending

    def _seek(self, span: "Span", *, descending: bool) -> bool:
        """Move the near end of the span behind the cursor; return False where there is no cursor to go by."""
        if self.wanted.after is None:
            return False
        values = {item.column.name: value for item, value in zip(self.order, self.wanted.after, strict=True)}
        rest = tuple(values[name] for name in span.index.names[span.prefix :])
        if None in rest:
            return False
        entry = (*span.index.bound((*span.values, *rest)), self.wanted.after[-1])
        if descending:
            span.high = entry if span.high is None else min(span.high, entry)
        else:
            entry = (*entry, TOP)
            span.low = entry if span.low is None else max(span.low, entry)
        return True


class Span:
    """Be the part of an ordered index that the terms allow: a prefix fixed by equalities, then at most one range."""

    def __init__(self, index: OrderedIndex, terms: Terms) -> None:
        self.index = index
        fixed: list[Condition] = []
        values: list[Any] = []
        for name in index.names:
            term = terms.equal.get(name)
            if term is None or term.value is None:
                break
            fixed.append(term)
            values.append(term.value)
        self.prefix, self.values = len(fixed), tuple(values)
        self.low: Bound = index.bound(self.values) if fixed else None
        self.high: Bound = index.bound(self.values, above=True) if fixed else None
        self.settled = fixed
        if self.prefix < len(index.names):
            fixed.extend(self._narrow(terms, index.names[self.prefix]))

    def _narrow(self, terms: Terms, name: str) -> Iterator[Condition]:
        low, high, starts = terms.low.get(name), terms.high.get(name), terms.starts.get(name)
        if low is not None:
            self.low = self.index.bound((*self.values, low.value), above=low.operator == ">")
            yield low
        if high is not None:
            self.high = self.index.bound((*self.values, high.value), above=high.operator == "<=")
            yield high
        if starts is not None and low is None and high is None:
            self.low = self.index.bound((*self.values, starts.text))
            following = _after_prefix(starts.text)
            if following is not None:
                self.high = self.index.bound((*self.values, following))
            yield starts

    def nulls(self) -> list[Any]:
        """Return the rows with a None in the index that the settled terms hold for: they lie beside the entries."""
        rows = list(self.index.nulls.values())
        keep = compile_filter(self.settled)
        return keep(rows) if keep and rows else rows


def _after_prefix(text: str) -> str | None:
    """Return the least text above every text that begins with this one; None where there is none."""
    kept = text.rstrip(chr(LAST_CHARACTER))
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None
