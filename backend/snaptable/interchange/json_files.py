"""JSON and JSON lines: arrays of rows, tables of them, and maps of rows by key.

A file is read row by row, so that each row has its line. The two outer levels are taken apart here, the rows by
Python's parser in C. Files come from strangers: what a parser would let pass, and would not come back, is refused.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # it is not in typeshed
from typing import Any

from snaptable.errors import UnreadableFile
from snaptable.interchange.formats import Format
from snaptable.interchange.parsed import ParsedFile, Record
from snaptable.interchange.text import MAX_RECORD_BYTES, TOO_LONG, not_utf8, text_of, without_mark
from snaptable.values.strict_json import FILE_DEPTH, NotStrict, check_depth, finite, refuse_constant, unique_pairs

_SPACE = re.compile(r"[ \t\n\r]*")
_NO_OBJECT = "is not a JSON object"


def exact(text: str) -> float | Decimal:
    """Return a number as a float if that says the same, else as it is written.

    Raises:
        NotStrict: it is beyond what a float holds.
    """
    value = finite(text)
    if repr(value) == text:
        return value
    written = Decimal(text)
    return value if written == Decimal(repr(value)) else written


_decoder = json.JSONDecoder(object_pairs_hook=unique_pairs, parse_constant=refuse_constant, parse_float=exact)


def parse_value(text: str) -> object:
    """Return the value of a JSON text, its numbers as they are written; O(size).

    Raises:
        ValueError: it is not JSON, or not strict.
    """
    check_depth(text, FILE_DEPTH)
    return _decoder.decode(text)


# ── JSON lines ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read_lines(data: bytes, name: str) -> ParsedFile:
    """Return the rows of a file with a JSON object a line; empty lines are left out.

    Raises:
        UnreadableFile: it is in another encoding.
    """
    lines = enumerate(without_mark(data, name).split(b"\n"), start=1)
    return ParsedFile(name, "jsonl", {"": [_record_of(line, number) for number, line in lines if line.strip()]})


def _record_of(line: bytes, number: int) -> Record:
    if len(line) > MAX_RECORD_BYTES:
        return Record({}, number, fault=f"is {TOO_LONG}")
    try:
        value = parse_value(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Record({}, number, fault=not_utf8(line, error))
    except NotStrict as error:
        return Record({}, number, fault=error.reason)
    except ValueError as error:
        return Record({}, number, fault=f"is not JSON: {_reason(error)}")
    return _checked(value, number)


def _reason(error: ValueError) -> str:
    """Return what is wrong with a JSON text, without any of it."""
    if isinstance(error, JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "a number has too many digits"


def _checked(value: object, line: int, key: str | None = None) -> Record:
    if not isinstance(value, dict):
        return Record({}, line, key=key, fault=_NO_OBJECT)
    return Record(value, line, key=key)


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_json(data: bytes, name: str, given: Format | None = None) -> ParsedFile:
    """Return the tables of a JSON file: an array of rows, or an object of arrays or of maps of rows.

    Args:
        data: the file.
        name: its name, for messages.
        given: the format that was asked for; None to find out.

    Raises:
        UnreadableFile: it is not such JSON; with the line.
    """
    text = text_of(data, name)
    scanner = _Scanner(text, name)
    try:
        check_depth(text, FILE_DEPTH)
        content = _Tables(scanner).read()
    except NotStrict as error:
        raise scanner.refused(error.reason) from None
    except JSONDecodeError as error:
        line = text.count("\n", 0, error.pos) + 1
        raise UnreadableFile(f"{name}, line {line}: {error.msg}; it is not JSON", path=name, line=line) from None
    except ValueError:
        raise scanner.refused("a number has too many digits") from None
    if given not in (None, "json"):
        return ParsedFile(name, given, content.tables, content.ignored)
    return ParsedFile(name, content.format, content.tables, content.ignored)


class _Scanner:
    """A JSON text that is read value by value."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self._name = text, name
        self._counted, self._line = 0, 1

    def line_at(self, position: int) -> int:
        """Return the line of a position, which is never before the one asked for last."""
        self._line += self.text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def refused(self, reason: str) -> UnreadableFile:
        """Return the error about what stands at the last line asked for, or behind it."""
        return UnreadableFile(f"{self._name}, from line {self._line} on: {reason}", path=self._name, line=self._line)

    def skip(self, position: int) -> int:
        """Return where what follows white space begins."""
        return _SPACE.match(self.text, position).end()  # type: ignore[union-attr]  # it matches nothing, too

    def starts(self, position: int) -> str:
        """Return the character there, "" at the end."""
        return self.text[position : position + 1]

    def value(self, position: int) -> tuple[Any, int]:
        """Return the value that begins at a position, and where it ends."""
        return _decoder.raw_decode(self.text, position)

    def array(self, position: int, item: Callable[[int], int]) -> int:
        """Take each item of the array at a position; return where it ends. `item` returns where it ended."""
        position = self.skip(position + 1)
        if self.starts(position) == "]":
            return position + 1
        while True:
            position = self.skip(item(position))
            mark = self.starts(position)
            if mark == "]":
                return position + 1
            if mark != ",":
                raise JSONDecodeError("Expecting ',' or ']'", self.text, position)
            position = self.skip(position + 1)

    def object(self, position: int, member: Callable[[str, int], int]) -> int:
        """Take each member of the object at a position; return where it ends."""
        names: set[str] = set()
        position = self.skip(position + 1)
        if self.starts(position) == "}":
            return position + 1
        while True:
            if self.starts(position) != '"':
                raise JSONDecodeError("Expecting a name in quotes", self.text, position)
            line = self.line_at(position)
            key, position = scanstring(self.text, position + 1, True)  # noqa: FBT003 - of the standard library
            if key in names:
                raise NotStrict(f"the name {key[:80]!r} stands twice in one object (the second on line {line})")
            names.add(key)
            position = self.skip(position)
            if self.starts(position) != ":":
                raise JSONDecodeError("Expecting ':'", self.text, position)
            position = self.skip(member(key, self.skip(position + 1)))
            mark = self.starts(position)
            if mark == "}":
                return position + 1
            if mark != ",":
                raise JSONDecodeError("Expecting ',' or '}'", self.text, position)
            position = self.skip(position + 1)


class _Tables:
    """The tables of a JSON text."""

    def __init__(self, scanner: _Scanner) -> None:
        self._scanner = scanner
        self.tables: dict[str, list[Record]] = {}
        self.ignored: tuple[str, ...] = ()
        self.format: Format = "json"
        self._others: dict[str, Record] = {}
        """Objects by name that are no tables, or each a row."""

    def read(self) -> "_Tables":
        """Read the whole text."""
        scanner = self._scanner
        begin = scanner.skip(0)
        mark = scanner.starts(begin)
        if mark == "[":
            self.tables[""] = []
            end = self._array("", begin)
        elif mark == "{":
            end = scanner.object(begin, self._member)
            self._sort_out()
        else:
            raise JSONDecodeError("Expecting an array or an object of rows", scanner.text, begin)
        end = scanner.skip(end)
        if end != len(scanner.text):
            raise JSONDecodeError("Something follows the end", scanner.text, end)
        return self

    def _array(self, table: str, position: int) -> int:
        records = self.tables.setdefault(table, [])
        scanner = self._scanner

        def item(begin: int) -> int:
            """Take an item of the array; return where it ends."""
            line = scanner.line_at(begin)
            value, end = scanner.value(begin)
            records.append(_checked(value, line))
            return end

        return scanner.array(position, item)

    def _member(self, name: str, position: int) -> int:
        scanner = self._scanner
        mark = scanner.starts(position)
        if mark == "[":
            return self._array(name, position)
        if mark != "{":
            _, end = scanner.value(position)
            self.ignored += (name,)
            return end
        line, records = scanner.line_at(position), []
        values: dict[str, object] = {}

        def member(key: str, begin: int) -> int:
            """Take a member of the object; return where it ends."""
            at = scanner.line_at(begin)
            value, end = scanner.value(begin)
            values[key] = value
            records.append(_checked(value, at, key))
            return end

        end = scanner.object(position, member)
        if all(record.fault is None for record in records) and name != "snaptable":
            self.tables[name] = records
        else:
            self._others[name] = Record(values, line, key=name)
        return end

    def _sort_out(self) -> None:
        """Decide what the objects are that hold something else than rows: rows by key, or no rows at all."""
        if "snaptable" in self._others:
            self.format = "snapshot"
            self.ignored = ()
        elif self._others and all(not records for records in self.tables.values()) and not self.ignored:
            empty = [Record({}, 1, key=name) for name in self.tables]
            self.tables = {"": [*self._others.values(), *empty]}
        else:
            self.ignored += tuple(self._others)
            maps = [record.key for records in self.tables.values() for record in records if record.key is not None]
            if maps and all(key.isascii() and key.isdigit() for key in maps):
                self.format = "tinydb"
            elif self.tables and not maps:
                self.format = "json-server"


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Rows = Iterator[bytes]
"""The JSON of rows, each on one line."""


def array_lines(rows: Rows, indent: bytes = b"") -> Iterator[bytes]:
    """Yield an array of rows, a row a line."""
    yield b"["
    for number, row in enumerate(rows):
        yield (b",\n" if number else b"\n") + indent + row
    yield b"\n" + indent[:-2] + b"]"


def tables_lines(tables: Sequence[tuple[str, Rows]]) -> Iterator[bytes]:
    """Yield an object of arrays, as json-server and lowdb have it."""
    yield b"{"
    for number, (name, rows) in enumerate(tables):
        yield (b",\n  " if number else b"\n  ") + json.dumps(name, ensure_ascii=False).encode() + b": "
        yield from array_lines(rows, b"    ")
    yield b"\n}\n"


def tinydb_lines(tables: Sequence[tuple[str, Rows]]) -> Iterator[bytes]:
    """Yield an object of tables, each with its documents by number, as TinyDB has it."""
    yield b"{"
    for number, (name, rows) in enumerate(tables):
        yield (b",\n" if number else b"\n") + json.dumps(name, ensure_ascii=False).encode() + b": {"
        for place, row in enumerate(rows, start=1):
            yield (b",\n" if place > 1 else b"\n") + b'"%d": ' % place + row
        yield b"\n}"
    yield b"\n}\n"
