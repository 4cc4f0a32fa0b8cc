"""The commits of a frame, read only as far as is asked for: who made them, what one of them did to a row, or all of it.

A commit may hold the rows of a whole import, and most questions are about its head, or about one row. As `format`
writes it, a commit is `{"sequence":57,"changes":[…],"actor":"…"}`: what stands behind the changes is short, is in a
known order, and none of it is a list of objects. So it is read backward from the commit's end. The changes of a row are
found by the bytes of their table and key; that they stand there as changes, and not inside of a row, is proved by the
number of such changes that a parser finds.

Whatever is not as `format` writes it (another version may write otherwise) is decoded whole.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from pydantic_core import SchemaValidator, ValidationError, core_schema

from snaptable.changes import ChangeRecord, CommitRecord, Kind, Place
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

_PLACES = SchemaValidator(
    core_schema.list_schema(
        core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(core_schema.any_schema(), required=False) for name in (*_VERBS, "key")}
        )
    )
)
"""Table and key of each change of a list; it parses the rows without making anything of them."""


def stored_commits(frame: Frame) -> tuple[CommitRecord, ...]:
    """Return the commits of a frame, their changes decoded when they are first asked for. O(bytes) of a search in C.

    Raises:
        ValueError: a commit can't be decoded.
    """
    spans = list(_spans(frame))
    commits = [_stored(frame.line, *span) for span in spans]
    if None in commits or [span[0] for span in spans] != list(range(frame.first, frame.last + 1)):
        return frame.commits
    return tuple(cast("list[CommitRecord]", commits))


def _spans(frame: Frame) -> Iterator[tuple[int, int, int]]:
    """Yield what looks like a commit: its sequence, where its changes begin, and where it ends."""
    line = frame.line
    end = line.rfind(DIGEST_MARK)
    sealed = line.rfind(SEAL_MARK, 0, end)
    end = end if sealed < 0 or sealed + len(SEAL_MARK) + 33 != end else sealed
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


def _stored(line: bytes, sequence: int, start: int, end: int) -> CommitRecord | None:
    """Return the commit whose changes begin at `start` and which ends at `end`; None if it is written otherwise."""
    match = _TAIL.match(line[max(start, end - _TAIL_BYTES) : end][::-1])
    if match is None:
        return None
    tail = match["tail"][::-1]
    try:
        head = decode_commit({**json.loads(b"{%b}" % tail[1:]), "sequence": sequence, "changes": ()})
    except ValueError:
        return None
    return StoredCommit.of(head, line, start, end - match.end() + 1)


class StoredCommit(CommitRecord):
    """A commit as it stands in a frame; its changes are decoded when they are asked for."""

    __slots__ = ("_decoded", "_end", "_line", "_start")

    _decoded: tuple[ChangeRecord, ...] | None
    _line: bytes
    _start: int
    _end: int

    @classmethod
    def of(cls, head: CommitRecord, line: bytes, start: int, end: int) -> "StoredCommit":
        """Return the commit of a head, and of the place in a line where the list of its changes stands."""
        commit = cls(head.sequence, (), head.numbered, head.attribution, head.undoes, head.migrations, head.erased)
        commit._line, commit._start, commit._end = line, start, end
        commit._decoded = None
        return commit

    @property
    def changes(self) -> tuple[ChangeRecord, ...]:
        """Each row that it changed, once; O(bytes) at the first use.

        Raises:
            ValueError: they can't be decoded.
        """
        if self._decoded is None:
            self._decoded = tuple(map(_decoded, _parsed(self._line[self._start : self._end].decode())))
        return self._decoded

    @changes.setter
    def changes(self, changes: tuple[ChangeRecord, ...]) -> None:
        self._decoded = changes

    @property
    def _is_at_hand(self) -> bool:
        """Whether to decode all of it is as quick as anything."""
        return self._decoded is not None or self._end - self._start < _WINDOW

    def changes_to(self, table: str, key: str) -> tuple[ChangeRecord, ...]:
        """Return the changes to one row, which alone are decoded; O(bytes) of a search, and of a parser if it is in."""
        if self._is_at_hand:
            return super().changes_to(table, key)
        found = list(self._openings(table, key))
        if not found:
            return ()
        if self._count(table, key) != len(found):  # rows hold what looks like changes
            return super().changes_to(table, key)
        return tuple([self._change_at(at)[0] for at in found])

    def _count(self, table: str, key: str) -> int | None:
        """Return how many changes to a row there are; None if a parser can't tell."""
        try:
            found = _PLACES.validate_json(self._line[self._start : self._end])
        except ValidationError:
            return None
        with_key = [each for each in found if each.get("key") == key]
        return sum(table in (each.get("insert"), each.get("replace"), each.get("delete")) for each in with_key)

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

    def has_table(self, table: str) -> bool:
        """Return whether it changed a row of a table; O(bytes) of a search, and of a parser where that is not plain."""
        if self._is_at_hand:
            return super().has_table(table)
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
        """Which rows it changed, and how; O(bytes) of a parser that makes nothing of the rows."""
        if self._is_at_hand:
            return super().places
        try:
            found = _PLACES.validate_json(self._line[self._start : self._end])
            return tuple([_place(each) for each in found])
        except (ValidationError, KeyError, TypeError):
            return super().places

    def first_changes(self, tables: Collection[str], most: int) -> tuple[ChangeRecord, ...]:
        """Return its first changes to rows of some tables; only those up to the last of them are decoded."""
        if self._is_at_hand:
            return super().first_changes(tables, most)
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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _decoded(plain: Any) -> ChangeRecord:
    try:
        return decode_change(plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a change: {error!r}") from None


def _place(plain: Mapping[str, Any]) -> Place:
    kind = next(verb for verb in _VERBS if verb in plain)
    return Place(kind, plain[kind], str(plain["key"]))
