"""What happened to rows over some commits, all in all: worked out of which rows were changed, and how.

Of the changes to a row the oldest says whether it was there before, the newest whether it is there after. What was in
it is read only of rows that were changed more than once and were there on both sides, and of those that are shown.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from snaptable.changes.records import CommitRecord, Kind, PlainChange
from snaptable.history.fields import Fields, differing
from snaptable.history.rewind import RowKey, before_unknown
from snaptable.memory.loader import without_garbage_collection

AT_ONCE = 1_000
"""Rows that are read in one go."""
Touch = int
"""One change of a row: the place of its commit, its number there, and two bits. A commit may have very many of them."""
_WAS, _STAYS = 1, 2
"""Bits: whether the row was there before a change, and is there after it."""
_NUMBER_BITS = 34


class NetChange(NamedTuple):
    """What happened to a row: its table, the text of its key, the oldest and the newest of its changes."""

    table: str
    key: str
    oldest: Touch
    newest: Touch


class NetChanges:
    """The rows that are otherwise after some commits than before."""

    def __init__(
        self,
        newest_first: Iterable[CommitRecord],
        tables: Collection[str],
        *,
        backward: bool = False,
        as_written: bool = False,
    ) -> None:
        """Work them out; O(changes).

        Args:
            newest_first: the commits.
            tables: only rows of these.
            backward: whether to lead from after the commits to before them.
            as_written: whether what an opening filled in by itself is a change; see `rewind.touched`.

        Raises:
            HistoryGone: what a row was before isn't known, and it was changed more than once.
        """
        self._records: list[CommitRecord] = []
        self._backward = backward
        with without_garbage_collection():
            nets = self._touched(newest_first, tables, as_written=as_written)
        again = (net for net in nets if net[2] != net[3] and net[2] & _WAS and net[3] & _STAYS)
        same = {(net.table, net.key) for net, old, new in self._states(again) if not differing(old or {}, new or {})}
        self._nets = [net for net in nets if net[:2] not in same] if same else nets

    def _touched(
        self, newest_first: Iterable[CommitRecord], tables: Collection[str], *, as_written: bool
    ) -> list[tuple[str, str, Touch, Touch]]:
        """Return the oldest and the newest change of each row, but for rows that are on neither side.

        Plain tuples and numbers: the garbage collector doesn't look at them.
        """
        oldest: dict[RowKey, Touch] = {}
        newest: dict[RowKey, Touch] = {}
        for record in newest_first:
            touch = len(self._records) << _NUMBER_BITS
            self._records.append(record)
            counts = as_written or not record.is_automatic
            for kind, table, key, purged in record.rows():
                if table in tables:
                    row, bits = (table, key), 0 if purged else _BITS[kind]
                    if row not in newest:
                        newest[row] = touch | bits
                    if counts:
                        oldest[row] = touch | bits
                touch += 4
        return [(*row, first, newest[row]) for row, first in oldest.items() if first & _WAS or newest[row] & _STAYS]

    # ── what is known of them ───────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Return how many rows there are; O(1)."""
        return len(self._nets)

    def counts(self) -> dict[tuple[str, Kind], int]:
        """Return how many rows there are by table and kind; O(rows)."""
        kinds = Counter([(table, oldest & _WAS, newest & _STAYS) for table, _, oldest, newest in self._nets])
        return {(table, self._kind(was, stays)): count for (table, was, stays), count in kinds.items()}

    def _kind(self, was: int, stays: int) -> Kind:
        if was and stays:
            return "replace"
        return "delete" if bool(was) != self._backward else "insert"

    # ── what was in them ────────────────────────────────────────────────────────────────────────────────────────────

    def states(
        self, most: int | None = None, tables: Collection[str] | None = None
    ) -> Iterator[tuple[str, str, Fields | None, Fields | None]]:
        """Yield table, key, and the row before and after as JSON objects, None for none; O(bytes of those it yields).

        Args:
            most: how many rows.
            tables: only rows of these.

        Raises:
            HistoryGone: what a row was before isn't known.
        """
        wanted = (net for net in self._nets if tables is None or net[0] in tables)
        for net, old, new in self._states(islice(wanted, most)):
            yield (net.table, net.key, new, old) if self._backward else (net.table, net.key, old, new)

    def _states(
        self, nets: Iterable[tuple[str, str, Touch, Touch]]
    ) -> Iterator[tuple[NetChange, Fields | None, Fields | None]]:
        pending = (NetChange(*net) for net in nets)
        while some := list(islice(pending, AT_ONCE)):
            plain = self._read(some)
            for net in some:
                old = _former(net, plain[net.oldest]) if net.oldest & _WAS else None
                yield net, old, plain[net.newest]["row"] if net.newest & _STAYS else None

    def _read(self, nets: Sequence[NetChange]) -> dict[Touch, PlainChange]:
        """Return the changes that say what the rows were and are, those of a commit read in one go."""
        touches = {net.oldest for net in nets if net.oldest & _WAS} | {
            net.newest for net in nets if net.newest & _STAYS
        }
        by_record: dict[int, list[Touch]] = defaultdict(list)
        for touch in sorted(touches):
            by_record[touch >> _NUMBER_BITS].append(touch)
        return {
            touch: plain
            for number, wanted in by_record.items()
            for touch, plain in zip(wanted, self._records[number].plain_at(list(map(_number, wanted))), strict=True)
        }


_BITS: dict[Kind, int] = {"insert": _STAYS, "replace": _WAS | _STAYS, "delete": _WAS}


def _number(touch: Touch) -> int:
    """Return the number of a change in its commit."""
    return touch >> 2 & (1 << _NUMBER_BITS - 2) - 1


def _former(net: NetChange, plain: PlainChange) -> dict[str, object]:
    """Return the row before a change, which was there."""
    before: dict[str, object] | None = plain.get("before")
    if before is None:
        raise before_unknown(net.table, net.key)
    if "delete" in plain:
        return before
    added = plain.get("added", ())
    return {name: before.get(name, value) for name, value in plain["row"].items() if name not in added} | before
