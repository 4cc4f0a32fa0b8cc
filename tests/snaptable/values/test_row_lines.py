"""The lines of rows: what is joined is found again, whatever keys and rows contain."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snaptable.values.row_lines import (
    encode_line,
    encode_lines,
    find_line,
    join_lines,
    key_json,
    line_key,
    line_start,
    lines_with_offsets,
    parse_line,
    split_lines,
)

TEXTS = st.text(st.characters(codec="utf-8"))
ROWS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS, min_size=1))


def dump(value: object) -> bytes:
    """Return JSON as rows are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(ROWS)
def test_lines_are_found_again(rows: dict[str, dict[str, str]]) -> None:
    """Each line is split off, found by its key, and parsed back to its key and its row."""
    lines = [encode_line(key, dump(row)) for key, row in rows.items()]
    data = join_lines(lines)
    assert split_lines(data) == lines
    assert [line for _, line in lines_with_offsets(data, 7)] == lines
    assert all(data[offset - 7 :].startswith(line) for offset, line in lines_with_offsets(data, 7))
    for line, (key, row) in zip(lines, rows.items(), strict=True):
        place = find_line(data, line_start(key))
        assert place is not None
        assert data[slice(*place)] == line
        assert line_key(line) == key
        assert parse_line("notes", line) == (key, dump(row))
    assert {**json.loads(b"{" + data + b"}")} == rows


@given(ROWS, TEXTS)
def test_a_key_without_a_line_is_not_found(rows: dict[str, dict[str, str]], key: str) -> None:
    """Not even if a row contains what would be its line."""
    rows.pop(key, None)
    rows = {name: {**row, "line": line_start(key).decode()} for name, row in rows.items()}
    assert find_line(join_lines(encode_line(name, dump(row)) for name, row in rows.items()), line_start(key)) is None


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_lines_that_begin_alike_are_encoded_in_one_go(pairs: list[tuple[str, str]]) -> None:
    """The result is that of one line after the other."""
    ends = [dump(text) + b"}" for _, text in pairs]
    expected = join_lines(encode_line(key, b'{"text":' + end) for (key, _), end in zip(pairs, ends, strict=True))
    assert encode_lines([key for key, _ in pairs], '{"text":', ends) == expected


def test_keys_of_every_type() -> None:
    """A key is a JSON string, whatever its type."""
    number = UUID("12345678-1234-5678-1234-567812345678")
    assert [key_json(key) for key in (3, number, 'a"\nö')] == [b'"3"', f'"{number}"'.encode(), '"a\\"\\nö"'.encode()]


@pytest.mark.parametrize(
    ("line", "key"),
    [(b'"a": {"id":"a"}', "a"), (b'"a":{"id"', "a"), (b'"\\x": {"', '"\\x"'), (b'"a": {', None), (b'"a": [', None)],
)
def test_lines_of_a_file_that_may_be_damaged(line: bytes, key: str | None) -> None:
    """A row's line is known by its beginning; a table's own line is none."""
    assert line_key(b"..." + line, 3) == key


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'"a": []', "a line of notes is not a row"),
        (b'"a": {"b":1,"b":2}', r'notes\["a"\]: a key stands twice'),
        (b'"\\ud800": {}', "surrogate"),
        (b'"a": ' + b'{"b":' * 101 + b"1" + b"}" * 101, "nested deeper than 100"),
    ],
)
def test_lines_that_are_refused(line: bytes, message: str) -> None:
    """The reason names the table and the key."""
    with pytest.raises(ValueError, match=message):
        parse_line("notes", line)
