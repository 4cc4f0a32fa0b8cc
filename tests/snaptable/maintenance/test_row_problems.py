"""Problems with rows: read off the texts that loading words, and placed by line in the user's own file."""

import json
import random
from typing import Any
from uuid import UUID

import pytest

from snaptable.errors import listed
from snaptable.maintenance.row_problems import RowProblem, row_lines

TABLES: dict[str, Any] = {
    "snaptable": {"format": 1, "rows": {"users": 2}},
    "users": {"ann": {"id": "ann", "tags": ['},\n"bob": {', "}"]}, 'q"\\\n}é€': {"id": {"users": {"x": {}}}}},
    "posts": {"1": {}, "2": {"text": "line\nbreak"}, "3": 7},
    "broken": [{"users": {}}],
    "empty": {},
    "checksum": "crc32:00000000",
}


@pytest.mark.parametrize(
    "layout", [{"indent": 1}, {"indent": 4}, {}, {"separators": (",", ":")}, {"ensure_ascii": False, "indent": 2}]
)
def test_row_lines_in_any_layout(layout: dict[str, Any]) -> None:
    """Ensure every row is found on the line that its key stands on, however the file is laid out."""
    data = json.dumps(TABLES, **layout).encode()
    lines = data.split(b"\n")
    keys = [(table, key) for table, rows in TABLES.items() if isinstance(rows, dict) for key in rows]
    placed = row_lines(data)
    assert list(placed) == keys
    for (_, key), line in placed.items():
        assert json.dumps(key, ensure_ascii=layout.get("ensure_ascii", True)).encode() in lines[line - 1]


def test_row_lines_with_blanks_anywhere() -> None:
    """Ensure blanks between any two tokens move a row's line and nothing else."""
    chance = random.Random(1)
    blank = ["", " ", "\t", "\n", "\r\n", "\n\n "]
    for _ in range(50):
        text, wanted = "", {}
        for token in (
            "{",
            '"users"',
            ":",
            "{",
            '"a"',
            ":",
            "{",
            '"n"',
            ":",
            "1",
            "}",
            ",",
            '"b"',
            ":",
            "{",
            "}",
            "}",
            "}",
        ):
            text += chance.choice(blank)
            if token in ('"a"', '"b"'):
                wanted["users", token[1]] = text.count("\n") + 1
            text += token
        assert row_lines(text.encode()) == wanted


@pytest.mark.parametrize("key", ["ann", "o'hara", 'say "x"', "both ' and \"", "[x]: y", "\\", "", 7, -7, UUID(int=5)])
def test_the_row_of_a_text(key: object) -> None:
    """Ensure table and key are read off a text that begins with a row, whatever the key is, and off no other."""
    text = f"users[{key!r}].email: not a valid address"
    assert RowProblem.parse(text) == RowProblem(text, "users", str(key))
    assert RowProblem.parse(f"the header: {text}") == RowProblem(f"the header: {text}")
    assert RowProblem.of("users", str(key), "bad") == RowProblem(f"users[{str(key)!r}]: bad", "users", str(key))


def test_listed() -> None:
    """Ensure a list ends with the number of what it leaves out, if it leaves anything out."""
    assert listed(["a", "b"], 2) == ["a", "b"]
    assert listed(["a", "b", "c"], 1) == ["a", "… and 2 more"]
