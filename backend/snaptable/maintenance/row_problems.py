"""What is wrong with single rows, named by table and key, with their lines in the file that the user edited."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SHOWN = 50
"""Problems that a message lists."""


@dataclass(frozen=True)
class RowProblem:
    """Something wrong with a row.

    Attributes:
        text: the whole problem, which begins with the row if there is one.
        table, key: the row, None if the problem is about none.
    """

    text: str
    table: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, table: str, key: str, reason: str, field: str = "") -> "RowProblem":
        """Return a problem with a row, or a field of it."""
        return cls(f"{table}[{key!r}]{field and '.'}{field}: {reason}", table, key)

    @classmethod
    def parse(cls, text: str) -> "RowProblem":
        """Return a problem as loading words it: `table[key].field: reason` or `table[key]: reason`, if about a row."""
        match = _ROW.match(text)
        return cls(text, match[1], str(ast.literal_eval(match[2]))) if match else cls(text)


_ROW = re.compile(r"(\w+)\[(?:UUID\()?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|-?\d+)\)?\]")
"""A row as messages name it; the key is the repr of a str, an int or a UUID."""


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def row_lines(data: bytes) -> dict[tuple[str, str], int]:
    """Return the line, counted from 1, on which each row of a snapshot begins, however it is laid out; O(n).

    Args:
        data: valid JSON: an object of tables, each an object of rows by key. What isn't such a table has no rows.
    """
    text = data.decode("utf-8")
    lines: dict[tuple[str, str], int] = {}
    line, counted = 1, 0
    for table, _, table_start in _members(text, text.index("{")):
        if text[table_start] == "{":
            for key, key_start, _ in _members(text, table_start):
                line += text.count("\n", counted, key_start)
                counted = key_start
                lines[table, key] = line
    return lines


_DECODER = json.JSONDecoder()


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each member of the object at `start`, where the name begins, and where its value does."""
    position = _skip_blank(text, start + 1)
    while text[position] != "}":
        name, end = _DECODER.raw_decode(text, position)
        value_start = _skip_blank(text, _skip_blank(text, end) + 1)
        yield name, position, value_start
        _, end = _DECODER.raw_decode(text, value_start)
        position = _skip_blank(text, end)
        if text[position] == ",":
            position = _skip_blank(text, position + 1)


def _skip_blank(text: str, position: int) -> int:
    while text[position] in " \t\n\r":
        position += 1
    return position
