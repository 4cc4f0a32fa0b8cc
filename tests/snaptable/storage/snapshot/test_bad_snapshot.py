"""Snapshots that are not what the store wrote: each is refused by name and reason, and nothing on the disk changes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from tests.snaptable.storage.support import (
    JOURNAL,
    SNAPSHOT,
    Post,
    Refusal,
    Store,
    Token,
    User,
    checksum,
    expect_refusal,
    opened,
    read_snapshot,
    sealed,
)

from snaptable import CorruptSnapshot, OpenError, SchemaMismatch, SnapshotEdited, UnsupportedFormat

Edit = Callable[[bytes], bytes]
TOKEN = UUID(int=1)


@pytest.fixture
def good(directory: Path) -> bytes:
    """Give the bytes of a sound snapshot, in a store that was closed; its journal is gone, so that it stands alone."""
    with Store(directory, fsync=False) as db:
        db.users.insert_many([User(id="ann", email="a@b.org"), User(id="bob", email="b@b.org", note="plain")])
        db.posts.insert(Post(user_id="ann", text="one"))
        db.tokens.insert(Token(id=TOKEN, data={"value": 1}))
    shutil.rmtree(directory / JOURNAL)
    return (directory / SNAPSHOT).read_bytes()


def expect_bad(directory: Path, data: bytes, kind: type[OpenError], *words: str) -> Refusal:
    """Put bytes in the snapshot's place and check that they are refused."""
    path = directory / SNAPSHOT
    path.write_bytes(data)
    return expect_refusal(directory, kind, str(path), *words)


def swap(old: str, new: str) -> Edit:
    """Return an edit that puts a text in another's place."""

    def edit(data: bytes) -> bytes:
        assert data.count(old.encode()) == 1, old
        return data.replace(old.encode(), new.encode())

    return edit


def counted(table: str, count: int) -> Edit:
    """Return an edit that sets a table's count in the header."""
    return lambda data: re.sub(rb'("rows": \{.*"%b": )\d+' % table.encode(), rb"\g<1>%d" % count, data, count=1)


def test_a_file_of_no_bytes(directory: Path, good: bytes) -> None:
    """Ensure a zero-length snapshot is damage, never an empty store, with or without a journal."""
    assert good
    assert expect_bad(directory, b"", CorruptSnapshot, "empty").offset == 0
    expect_bad(directory, bytes(100), CorruptSnapshot)
    expect_bad(directory, b"\n", CorruptSnapshot)


def test_cut_at_every_byte(directory: Path, good: bytes) -> None:
    """Ensure a snapshot cut anywhere is refused with the place where it ends."""
    for cut in sorted({*range(1, len(good) - 4, 13), len(good) - 3, len(good) - 2}):
        refusal = expect_bad(directory, good[:cut], CorruptSnapshot, str(len(good[:cut])))
        assert 0 <= refusal.offset <= cut
    expect_bad(directory, good[:-1], SnapshotEdited)


def test_a_flipped_bit_anywhere(directory: Path, good: bytes) -> None:
    """Ensure one wrong bit is refused wherever it is, also where the JSON stays valid."""
    for position in range(0, len(good), 5):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        (directory / SNAPSHOT).write_bytes(damaged)
        with pytest.raises((CorruptSnapshot, SnapshotEdited, UnsupportedFormat)), Store(directory, fsync=False):
            pass
        assert (directory / SNAPSHOT).read_bytes() == damaged


def test_an_edit_that_leaves_valid_json(directory: Path, good: bytes) -> None:
    """Ensure valid JSON with a wrong checksum is SnapshotEdited, also where it was only laid out anew."""
    edits: list[Edit] = [
        swap('"note":"plain"', '"note":"PLAIN"'),
        swap('"crc32:', '"crc32:0'),
        lambda data: data + b"\n",
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: json.dumps(json.loads(data), indent=2).encode(),
        lambda data: json.dumps(json.loads(data)).encode(),
    ]
    for edit in edits:
        expect_bad(directory, edit(good), SnapshotEdited, "valid JSON")


def test_bytes_behind_the_end(directory: Path, good: bytes) -> None:
    """Ensure trailing data is refused, with the offset where it begins."""
    assert expect_bad(directory, good + b"x", CorruptSnapshot).offset == len(good)
    expect_bad(directory, good + bytes(512), CorruptSnapshot)
    expect_bad(directory, good + good, CorruptSnapshot)


def test_the_offset_is_where_the_damage_is(directory: Path, good: bytes) -> None:
    """Ensure the byte that is named is the damaged one, counted in bytes, not in characters."""
    data = good.replace(b"plain", "plän".encode())
    position = data.index(b'"posts"') + len(b'"posts"')
    assert expect_bad(directory, data[:position] + b";" + data[position + 1 :], CorruptSnapshot).offset == position
    position = good.index(b"plain")
    assert expect_bad(directory, good[:position] + b"\xff" + good[position + 1 :], CorruptSnapshot).offset == position


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (swap('"value":1', '"value":1,"value":2'), ["value", "twice"]),
        (swap('"value":1', '"value":NaN'), ["NaN"]),
        (swap('"value":1', '"value":-Infinity'), ["Infinity"]),
        (swap('"value":1', '"value":1e400'), ["1e400"]),
        (swap('"value":1', '"value":' + "[" * 150 + "]" * 150), ["nested"]),
        (swap('"value":1', '"value":' + "[" * 100_000 + "]" * 100_000), ["nested"]),
        (swap('"value":1', '"value":' + "9" * 5_000), ["digits"]),
        (swap('"value":1', '"value":"\\ud800"'), ["surrogate"]),
        (swap('"value":1', '"value":tru'), []),
        (swap('"value":1', '"value":"a\nb"'), []),
    ],
    ids=[
        "key twice",
        "nan",
        "infinity",
        "1e400",
        "deep",
        "very deep",
        "huge int",
        "surrogate",
        "no json",
        "line break",
    ],
)
def test_what_json_parsers_let_pass(directory: Path, good: bytes, edit: Edit, words: list[str]) -> None:
    """Ensure it is refused with the reason, checksum wrong or right; where it is right, the table and key are named."""
    damaged = edit(good)
    start, end = damaged.index(b'"value"'), damaged.index(b'"checksum"')
    refusal = expect_bad(directory, damaged, CorruptSnapshot, *words)
    assert start - 100 <= refusal.offset <= end, "the place is not where the damage is"
    expect_bad(directory, sealed(damaged), CorruptSnapshot, *words, "tokens")


def test_keys_twice(directory: Path, good: bytes) -> None:
    """Ensure a row, a table or a line of our own that stands twice is refused, also with a right checksum and count."""
    line = b'"bob": {"id":"bob","email":"b@b.org","note":"plain"}'
    twice = good.replace(line, line + b",\n" + line)
    expect_bad(directory, twice, CorruptSnapshot, "twice", "bob")
    expect_bad(directory, sealed(twice), CorruptSnapshot, "bob")
    expect_bad(directory, sealed(counted("users", 3)(twice)), CorruptSnapshot, "twice", "bob", "users")
    apart = good.replace(b'"ann":', line + b',\n"ann":', 1)
    expect_bad(directory, sealed(counted("users", 3)(apart)), CorruptSnapshot, "twice", "bob", "users")
    table = good.replace(b'"posts": {', b'"users": {\n},\n"posts": {')
    expect_bad(directory, sealed(table), CorruptSnapshot, "users")
    expect_bad(
        directory, sealed(good.replace(b'"users": {', b'"snaptable": {\n},\n"users": {')), CorruptSnapshot, "snaptable"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
def test_other_encodings(directory: Path, good: bytes, encoding: str) -> None:
    """Ensure nothing but UTF-8 without a mark is taken."""
    text = good.decode().replace("plain", "plän")
    text = text[: text.index('"checksum"')]
    data = text.encode(encoding) + f'"checksum": "{checksum(text.encode(encoding))}"\n}}\n'.encode(encoding)
    expect_bad(directory, data, CorruptSnapshot)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"])
def test_bad_utf8_with_a_right_checksum(directory: Path, good: bytes, bad: bytes) -> None:
    """Ensure bytes that aren't UTF-8 are refused wherever they stand, though the checksum counts them."""
    for old in (b"plain", b"value", b'"bob": '):
        expect_bad(directory, sealed(good.replace(old, old.replace(b"b", bad).replace(b"a", bad))), CorruptSnapshot)
    for old in (b'"tokens": {', b'"saved_at": "'):
        expect_bad(directory, sealed(good.replace(old, old[:-3] + bad + old[-3:])), CorruptSnapshot)


@pytest.mark.parametrize("version", ["2", "99", '"2"', "0", "1.5", "null"])
def test_another_format(directory: Path, good: bytes, version: str) -> None:
    """Ensure a snapshot of another format is refused as such, whatever else is in it and whatever its checksum."""
    data = swap('"format": 1', f'"format": {version}')(good)
    expect_bad(directory, data, UnsupportedFormat, "format")
    expect_bad(directory, sealed(data), UnsupportedFormat, "format 1")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (swap('"bob": {"id":"bob"', '"bob": {"id":"bib"'), ["users", "bob", "id"]),
        (swap('"1": {"id":1', '"01": {"id":1'), ["posts", "01", "id"]),
        (swap('"note":"plain"', '"note":7'), ["users", "bob", "note"]),
        (swap('"note":"plain"', '"note":"plain","admin":true'), ["users", "bob", "admin"]),
        (swap('"email":"b@b.org"', '"email":"a@b.org"'), ["users", "ann", "bob", "email"]),
        (swap('"user_id":"ann"', '"user_id":"eve"'), ["posts", "user_id", "eve"]),
        (swap('"numbered": {"posts": 1}', '"numbered": {"posts": 0}'), ["posts", "number"]),
    ],
    ids=["key", "key spelled", "type", "unknown field", "unique", "foreign key", "counter"],
)
def test_rows_that_do_not_fit_the_schema(directory: Path, good: bytes, edit: Edit, words: list[str]) -> None:
    """Ensure rows that break the models, their keys or a constraint are listed by table, key and field."""
    (directory / SNAPSHOT).write_bytes(sealed(edit(good)))
    expect_refusal(directory, SchemaMismatch, *words)


def test_every_row_that_does_not_fit_is_listed(directory: Path, good: bytes) -> None:
    """Ensure the list does not end with the first problem of a table."""
    data = swap('"note":"plain"', '"note":7')(swap('"email":"a@b.org"', '"email":8')(good))
    (directory / SNAPSHOT).write_bytes(sealed(data))
    expect_refusal(directory, SchemaMismatch, "ann", "email", "bob", "note")


@pytest.mark.parametrize(
    "edit",
    [
        counted("users", 1),
        counted("users", 3),
        swap('"users": {\n', '"people": {\n'),
        swap(', "tokens": 1}', "}"),
        swap('"posts": {\n', '"posts": [\n'),
        swap('"sequence": 3', '"sequence": -3'),
        swap('"sequence": 3', '"sequence": "3"'),
        swap('"sequence": 3', '"sequence": true'),
        swap('"rows": {', '"rows": [], "more": {'),
        swap('"store": "', '"store": 5, "was": "'),
        swap('"saved_at": "', '"saved_at": 5, "was": "'),
        swap('"saved_at": "', '"saved_at": "yesterday", "was": "'),
        swap('"snaptable": {', '"snaptable": [], "was": {'),
        swap('"tokens": {\n', '"tok\\qens": {\n'),
        swap('},\n"tokens"', '}\n"tokens"'),
        swap('"bob": {"id"', 'bob: {"id"'),
        swap('"bob": {"id"', '"bob": {"id"}, {"id"'),
        swap('"note":"plain"}', '"note":"plain"}}'),
        lambda data: data.replace(b"\n", b"\r\n"),
    ],
)
def test_forged_with_a_right_checksum(directory: Path, good: bytes, edit: Edit) -> None:
    """Ensure a file whose parts contradict each other is refused with an error of ours, though its checksum holds."""
    (directory / SNAPSHOT).write_bytes(sealed(edit(good)))
    before = (directory / SNAPSHOT).read_bytes()
    with pytest.raises((CorruptSnapshot, SnapshotEdited, UnsupportedFormat)) as raised, Store(directory, fsync=False):
        pytest.fail("it was opened")
    assert str(directory / SNAPSHOT) in str(raised.value)
    assert (directory / SNAPSHOT).read_bytes() == before


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (lambda data: b"", CorruptSnapshot),
        (lambda data: data[:50], CorruptSnapshot),
        (lambda data: data.decode().encode("utf-16"), CorruptSnapshot),
        (swap('"note":"plain"', '"note":"other"'), SnapshotEdited),
        (swap('"format": 1', '"format": 2'), UnsupportedFormat),
        (lambda data: sealed(swap('"note":"plain"', '"note":7')(data)), SchemaMismatch),
    ],
    ids=["empty", "cut", "utf-16", "edited", "newer", "schema"],
)
def test_refused_for_reading_too(directory: Path, good: bytes, edit: Edit, kind: type[OpenError]) -> None:
    """Ensure read_only is no way around a refusal, and tells the same reason."""
    (directory / SNAPSHOT).write_bytes(edit(good))
    assert expect_refusal(directory, kind, read_only=True).text == expect_refusal(directory, kind).text


def test_json_that_is_no_snapshot(directory: Path, good: bytes) -> None:
    """Ensure JSON of another kind is not taken for a store of any kind."""
    assert good
    for text in (b"[]", b"5", b'"x"', b"null", b'{"users": []}', b'{"a": 1}', b'{"users": {"a": 5}}', b"{}x", b"{,}"):
        (directory / SNAPSHOT).write_bytes(text)
        with pytest.raises((CorruptSnapshot, UnsupportedFormat, SchemaMismatch)), Store(directory, fsync=False):
            pytest.fail(f"{text!r} was opened")
        assert (directory / SNAPSHOT).read_bytes() == text


def test_the_good_file_is_taken(directory: Path, good: bytes) -> None:
    """Ensure the file that all these were made from opens, and a change with a right checksum is read as it stands."""
    assert sealed(good) == good
    assert list(opened(directory)["users"]) == ["ann", "bob"]
    (directory / SNAPSHOT).write_bytes(sealed(swap('"note":"plain"', '"note":"edited"')(good)))
    assert opened(directory)["users"]["bob"]["note"] == "edited"
    assert read_snapshot(directory)[1]["users"]["bob"]["note"] == "edited"
