r"""The lines of rows: how the rows of a table stand in a snapshot. No other module spells their punctuation.

    "<key>": {"id":"<key>",…},
    "<key>": {"id":"<key>",…}

A line is the row's primary key as a JSON string, a colon, a space, and the row's JSON without a raw line break; lines
are joined by `SEPARATOR`. So `\n"<key>": ` stands in joined lines exactly once, and a line ends at the next separator.

    encode   row_json, key_json, line_start, encode_line, encode_lines, join_lines
    split    split_lines, lines_with_offsets, find_line
    match    line_key (does a row's line begin here?), parse_line (strict, with the reason)
    read     Lines (those of a table, wherever they come from)
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from json.encoder import encode_basestring
from typing import Protocol
from uuid import UUID

from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

Key = str | int | UUID
"""A primary key."""
SEPARATOR = b",\n"
"""Between two lines."""
COLON = b": "
"""Between a line's key and its row."""

_LINE = re.compile(rb'("(?:[^"\\]|\\.)*"): ?(\{.*\})', re.DOTALL)
_START = re.compile(rb'("(?:[^"\\\n]|\\.)*"): ?\{.')
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# ── encode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def row_json(value: object) -> bytes:
    """Return a parsed JSON value as rows are written: on one line, without spaces, UTF-8; O(size)."""
    return _encode(value).encode("utf-8")


def key_json(key: Key) -> bytes:
    """Return a primary key as it is spelled in snapshots and journals: a JSON string, UTF-8; O(length)."""
    return encode_basestring(str(key)).encode("utf-8")


def line_start(key: Key) -> bytes:
    """Return how the line of a row begins: all that comes before the row's own JSON."""
    return key_json(key) + COLON


def encode_line(key: Key, row: bytes) -> bytes:
    """Return the line of a row, without a separator; `row` is its JSON on one line."""
    return line_start(key) + row


def encode_lines(keys: Sequence[str], row_start: str, row_ends: Sequence[bytes]) -> bytes:
    """Return the lines, joined, of rows whose JSON begins alike; O(bytes), and no Python code for each row.

    Args:
        keys: the rows' keys.
        row_start: how the JSON of every row begins, e.g. `{"id":`.
        row_ends: what follows that, of each row.
    """
    if not keys:
        return b""
    starts: Sequence[str] = keys
    if _ESCAPED.search("".join(keys)):
        starts = [key_json(key)[1:-1].decode() for key in keys]
    # JSON escapes control characters, so no key contains a NUL: all are joined, encoded in one call, and split again.
    between = f'": {row_start}\0,\n"'.join(starts)
    heads = f'"{between}": {row_start}'.encode().split(b"\0")
    return b"".join(chain.from_iterable(zip(heads, row_ends, strict=True)))


def join_lines(lines: Iterable[bytes]) -> bytes:
    """Return lines as they stand in the file."""
    return SEPARATOR.join(lines)


# ── split ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines that were joined; none for no bytes."""
    return data.split(SEPARATOR) if data else []


def lines_with_offsets(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield each of the joined lines with the place where it begins, when `data` begins at `offset` of its file."""
    for line in split_lines(data):
        yield offset, line
        offset += len(line) + len(SEPARATOR)


def find_line(data: bytes, start: bytes) -> tuple[int, int] | None:
    """Return where in joined lines the one that begins with `line_start(key)` lies; None if there is none; O(bytes)."""
    if data.startswith(start):
        begin = 0
    elif (begin := data.find(b"\n" + start) + 1) == 0:
        return None
    end = data.find(SEPARATOR, begin)
    return begin, len(data) if end < 0 else end


# ── match ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def line_key(data: bytes, position: int = 0) -> str | None:
    """Return the key of the row whose line seems to begin at a position; None if no row's line does.

    For files that may be damaged or edited: the rest of the line may be anything, and a key whose escapes make no
    sense is returned as it is spelled.
    """
    match = _START.match(data, position)
    if match is None:
        return None
    try:
        return str(json.loads(match[1]))
    except ValueError:
        return match[1].decode("utf-8", "backslashreplace")


def parse_line(table: str, line: bytes) -> tuple[str, bytes]:
    """Return the key of a line, and its row's JSON, after parsing both strictly.

    Args:
        table: name of the table, for messages.
        line: one line, without separators.

    Raises:
        ValueError: naming the table and the key, and what is wrong.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"a line of {table} is not a row: {_excerpt(line)}")
    try:
        key, row = parse_strictly(match[1]), parse_strictly(match[2])
        if depth_of(row) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{table}[{_excerpt(match[1])}]: {error}") from None
    return key, match[2]


def _excerpt(data: bytes) -> str:
    text = data[:40].decode("utf-8", "backslashreplace")
    return text + "…" * (len(data) > 40)


# ── read ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Lines(Protocol):
    """The lines of one table, to be loaded into models."""

    @property
    def path(self) -> str:
        """The file's path, for messages."""

    @property
    def table(self) -> str:
        """The table's name."""

    @property
    def speller(self) -> str:
        """What wrote them, if that is known and nothing changed them since; else ""."""

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield its lines, joined, some at a time, each with its offset in the file, 0 if they are in none."""

    def line_at(self, offset: int) -> int:
        """Return the line of an offset of the file, counted from 1, 0 if they are in none; O(n)."""
