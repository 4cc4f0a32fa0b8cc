"""The commits of a frame, read only as far as is asked for: who made them, what one of them did to a row, or all of it.

A commit may hold the rows of a whole import, and most questions are about its head, or about one row. As `format`
writes it, a commit is `{"sequence":57,"changes":[…],"actor":"…"}`: what stands behind the changes is short, is in a
known order, and none of it is a list of objects. So it is read backward from the commit's end. Changes are found by the
bytes that they begin with; that these stand there as changes, and not inside of a row, is proved by their number: a
parser counts as many. Where the changes of a large commit begin is remembered, so that it is proved once.

Whatever is not as `format` writes it (another version may write otherwise) is decoded whole.
"""

import json
import re
import threading
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, cast

from pydantic_core import SchemaValidator, ValidationError, core_schema, from_json

from snaptable.changes.records import ChangeRecord, CommitRecord, Kind, Place, PlainChange
from snaptable.storage.journal.format import (
    DIGEST_MARK,
    SEAL_MARK,
    Frame,
    decode_change,
    decode_commit,
    key_member,
)

_COMMIT = b'{"sequence":'
_HEAD = re.compile(rb'\{"sequence":([0-9]+),"changes":\[')
_VERBS: tuple[Kind, ...] = ("insert", "replace", "delete")
_DECODER = json.JSONDecoder()
_OPENING = re.compile(rb'\{"(?:insert|replace|delete)":("(?:[^"\\]|\\.)*"),"key":')
_TAIL_BYTES = 1 << 16
"""Bytes at a commit's end in which what stands behind its changes is looked for."""
_WINDOW = 1 << 12
"""Bytes in which the end of a change is looked for first."""

_TEXT = rb'"(?:[^"]++|"\\(?:\\\\)*+(?!\\))*+"'
"""A JSON string, read backward: there a quote is followed by what escapes it."""
_FLAT = rb'\}(?:[^"{}]++|' + _TEXT + rb")*+\{"
_TAIL = re.compile(
    rb"\}(?P<tail>"
    rb'(?:\}(?:[^"{}]++|' + _TEXT + rb"|" + _FLAT + rb')*+\{:"desare",)?'
    rb"(?:\](?:" + _TEXT + rb',?)++\[:"snoitargim",)?'
    rb'(?:\][0-9,]++\[:"seodnu",)?'
    rb"(?:" + _TEXT + rb':"aiv",)?'
    rb"(?:" + _TEXT + rb':"eton",)?'
    rb"(?:" + _TEXT + rb':"rotca",)?'
    rb"(?:" + _FLAT + rb':"derebmun",)?'
    rb")\](?=[}\[])",
    re.DOTALL,
)
"""The end of a commit, read backward: what stands behind its changes, in the order in which it is written."""

MOST_REMEMBERED = 16
"""Commits of which it is remembered where their changes begin: 8 bytes a change."""

_PLACES = SchemaValidator(
    core_schema.list_schema(
        core_schema.typed_dict_schema(
            {
                name: core_schema.typed_dict_field(core_schema.any_schema(), required=False)
                for name in (*_VERBS, "key", "purged")
            }
        )
    )
)
"""What each change of a list is of; it parses the rows without making anything of them."""

_CHANGES = SchemaValidator(core_schema.list_schema(core_schema.typed_dict_schema({})))
"""Nothing of each change of a list: to count them."""


def stored_commits(frame: Frame) -> tuple[CommitRecord, ...]:
    """Return the commits of a frame, their changes decoded when they are first asked for. O(bytes) of a search in C.

    Raises:
        ValueError: a commit can't be decoded.
    """
    end = _end_of_commits(frame.line)
    spans = list(_spans(frame.line, end))
    commits = [_stored(frame.line, *span, frame.line[end:]) for span in spans]
    if None in commits or [span[0] for span in spans] != list(range(frame.first, frame.last + 1)):
        return frame.commits
    return tuple(cast("list[CommitRecord]", commits))


def _end_of_commits(line: bytes) -> int:
    """Return where the list of a line's commits ends: before its seal, if it has one, or its digest."""
    end = line.rfind(DIGEST_MARK)
    sealed = line.rfind(SEAL_MARK, 0, end)
    return end if sealed < 0 or sealed + len(SEAL_MARK) + 33 != end else sealed


def _spans(line: bytes, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield what looks like a commit: its sequence, where its changes begin, and where it ends."""
    starts: list[tuple[int, int, int]] = []
    at = line.find(_COMMIT)
    while 0 <= at < end:
        match = _HEAD.match(line, at)
        if match is not None:
            starts.append((int(match[1]), at, match.end() - 1))
        at = line.find(_COMMIT, at + 1)
    for number, (sequence, _, changes) in enumerate(starts):
        # Behind each but the last stands a comma; behind the last the bracket that ends the list.
        yield sequence, changes, (starts[number + 1][1] if number + 1 < len(starts) else end) - 1


def _stored(line: bytes, sequence: int, start: int, end: int, mark: bytes) -> CommitRecord | None:
    """Return the commit whose changes begin at `start` and which ends at `end`; None if it is written otherwise.

    `mark` is how the line ends: its digest, and its seal, which no other line has.
    """
    match = _TAIL.match(line[max(start, end - _TAIL_BYTES) : end][::-1])
    if match is None:
        return None
    tail = match["tail"][::-1]
    try:
        head = decode_commit({**json.loads(b"{%b}" % tail[1:]), "sequence": sequence, "changes": ()})
    except ValueError:
        return None
    return StoredCommit.of(head, line, start, end - match.end() + 1, mark)


class _Starts:
    """Where the changes of commits begin in their lines, for the few large ones that were asked for last."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, int], array[int]] = {}
        self._mutex = threading.Lock()

    def get(self, mark: bytes, start: int) -> "array[int] | None":
        """Return where the changes of a commit begin; None if it isn't known."""
        return self._known.get((mark, start))

    def put(self, mark: bytes, start: int, starts: "array[int]") -> None:
        """Remember where they begin, and forget what was put first."""
        with self._mutex:
            self._known.pop((mark, start), None)
            self._known[mark, start] = starts
            while len(self._known) > MOST_REMEMBERED:
                del self._known[next(iter(self._known))]


_STARTS = _Starts()


class StoredCommit(CommitRecord):
    """A commit as it stands in a frame; its changes are decoded when they are asked for."""

    __slots__ = ("_decoded", "_end", "_line", "_mark", "_places", "_start")

    _decoded: tuple[ChangeRecord, ...] | None
    _places: tuple[Place, ...] | None
    _line: bytes
    _mark: bytes
    _start: int
    _end: int

    @classmethod
    def of(cls, head: CommitRecord, line: bytes, start: int, end: int, mark: bytes) -> "StoredCommit":
        """Return the commit of a head, and of the place in a line where the list of its changes stands."""
        commit = cls(head.sequence, (), head.numbered, head.attribution, head.undoes, head.migrations, head.erased)
        commit._line, commit._start, commit._end, commit._mark = line, start, end, mark
        commit._decoded = commit._places = None
        return commit

    @property
    def changes(self) -> tuple[ChangeRecord, ...]:
        """Each row that it changed, once; O(bytes) at the first use.

        Raises:
            ValueError: they can't be decoded.
        """
        if self._decoded is None:
            self._decoded = tuple(map(_decoded, _parsed(self._line[self._start : self._end])))
        return self._decoded

    @changes.setter
    def changes(self, changes: tuple[ChangeRecord, ...]) -> None:
        self._decoded = changes

    @property
    def _is_at_hand(self) -> bool:
        """Whether to decode all of it is as quick as anything."""
        return self._decoded is not None or self._end - self._start < _WINDOW

    def changes_to(self, table: str, key: str) -> tuple[ChangeRecord, ...]:
        """Return the changes to one row, which alone are decoded; O(bytes) of a search.

        And, if the row is in it, of a parser, unless that was asked for before.
        """
        if self._is_at_hand:
            return CommitRecord.changes_to(self, table, key)
        found = list(self._openings(table, key))
        if not found:
            return ()
        starts = self._starts()
        if starts is None:
            return CommitRecord.changes_to(self, table, key)
        return tuple([self._change_at(at)[0] for at in found if _is_among(at, starts)])

    def _openings(self, table: str, key: str) -> Iterator[int]:
        """Yield where what looks like a change to a row begins."""
        ending = b":%b,%b" % (json.dumps(table).encode(), key_member(key))
        at = self._line.find(ending, self._start, self._end)
        while at >= 0:
            for verb in _VERBS:
                opening = b'{"%b"' % verb.encode()
                if self._line.endswith(opening, self._start, at):
                    yield at - len(opening)
            at = self._line.find(ending, at + 1, self._end)

    def _starts(self) -> "array[int] | None":
        """Return where each change begins; None if that isn't certain. O(bytes) of a parser, but for the first time."""
        starts = _STARTS.get(self._mark, self._start)
        if starts is None:
            found = array("Q", [match.start() for match in _OPENING.finditer(self._line, self._start, self._end)])
            if len(found) != self._count():
                return None  # rows hold what looks like changes, or another version wrote them
            starts = found
            _STARTS.put(self._mark, self._start, starts)
        return starts

    def _count(self) -> int | None:
        """Return how many changes there are, by a parser that makes nothing of them; None if it can't tell."""
        try:
            return len(_CHANGES.validate_json(self._line[self._start : self._end]))
        except ValidationError:
            return None

    def has_table(self, table: str) -> bool:
        """Return whether it changed a row of a table; O(bytes) of a search, and of a parser where that is not plain."""
        if self._is_at_hand:
            return CommitRecord.has_table(self, table)
        if self._line.find(b'":%b,"key":' % json.dumps(table).encode(), self._start, self._end) < 0:
            return False
        return self.first_table == table or any(place.table == table for place in self.places)

    @property
    def first_table(self) -> str | None:
        """The table of its first change; None without changes. O(1)."""
        match = None if self._is_at_hand else _OPENING.match(self._line, self._start + 1)
        return super().first_table if match is None else str(json.loads(match[1]))

    @property
    def places(self) -> tuple[Place, ...]:
        """Which rows it changed, and how; O(bytes), at the first use, of a parser that makes nothing of the rows."""
        if self._places is None:
            self._places = super().places if self._is_at_hand else self._parsed_places()
        return self._places

    def _parsed_places(self) -> tuple[Place, ...]:
        try:
            return tuple(map(Place._make, self._parsed_rows()))
        except (ValidationError, KeyError, TypeError):
            return super().places

    def rows(self) -> Iterator[tuple[Kind, str, str, bool]]:
        """Yield `places` one by one, as plain tuples: quicker for large commits."""
        if self._places is None and self._decoded is None:
            with suppress(ValidationError, KeyError, TypeError):
                return iter(self._parsed_rows())
        return super().rows()

    def _parsed_rows(self) -> list[tuple[Kind, str, str, bool]]:
        """Return which rows it changed; raises ValidationError, KeyError or TypeError for what is not a change."""
        return [_place(plain) for plain in _PLACES.validate_json(self._line[self._start : self._end])]

    def plain_at(self, numbers: Sequence[int]) -> list[PlainChange]:
        """Return some of its changes as JSON objects, by their numbers in `places`; O(their bytes) of a parser.

        Raises:
            ValueError: they can't be decoded.
        """
        if self._decoded is not None:
            return super().plain_at(numbers)
        starts = None if self._is_at_hand else self._starts()
        if starts is None:
            every = _parsed(self._line[self._start : self._end])
            found = [every[number] for number in numbers]
        else:
            ends = (*starts[1:], self._end)  # behind a comma, or the bracket that ends the list
            found = _parsed(b"[%b]" % b",".join([self._line[starts[each] : ends[each] - 1] for each in numbers]))
        if not all("row" in plain or "delete" in plain for plain in found):
            raise ValueError("not a change: it has no row")
        return cast("list[PlainChange]", found)

    def first_changes(self, tables: Collection[str], most: int) -> tuple[ChangeRecord, ...]:
        """Return its first changes to rows of some tables; only those up to the last of them are decoded."""
        if self._is_at_hand:
            return CommitRecord.first_changes(self, tables, most)
        return tuple(islice((change for change in self._in_order() if change.table in tables), most))

    def _in_order(self) -> Iterator[ChangeRecord]:
        at = self._start + 1
        while self._line[at : at + 1] == b"{":
            change, end = self._change_at(at)
            yield change
            at = end + 1  # a comma, or the bracket that ends the list

    def _change_at(self, start: int) -> tuple[ChangeRecord, int]:
        """Return the change that begins at a place, and where it ends; O(change)."""
        size = _WINDOW
        while True:
            text = self._line[start : min(start + size, self._end)].decode(errors="ignore")
            try:
                plain, length = _DECODER.raw_decode(text)
            except (ValueError, RecursionError) as error:
                if start + size >= self._end:
                    raise ValueError(f"not a change: {error!r}") from None
                size *= 8
            else:
                return _decoded(plain), start + len(text[:length].encode())


def _is_among(at: int, starts: "array[int]") -> bool:
    place = bisect_left(starts, at)
    return place < len(starts) and starts[place] == at


def _parsed(data: bytes) -> Any:
    """Return a parsed JSON text; the parser that makes an exact copy of any text is asked if the quick one refuses."""
    try:
        return from_json(data)
    except ValueError:
        pass
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _decoded(plain: PlainChange) -> ChangeRecord:
    try:
        return decode_change(plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a change: {error!r}") from None


def _place(plain: PlainChange) -> tuple[Kind, str, str, bool]:
    for kind in _VERBS:
        if kind in plain:
            return kind, plain[kind], str(plain["key"]), "purged" in plain and bool(plain["purged"])
    raise KeyError("no kind")
