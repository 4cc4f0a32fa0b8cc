"""What a refused snapshot's message tells a person to do: mend an edit and accept it, or repair damage."""

from pathlib import Path

import pytest
from tests.snaptable.storage.support import SNAPSHOT, Post, Store, User, expect_refusal, sealed

from snaptable import CorruptSnapshot, Database, Row, SchemaMismatch, Table


@pytest.fixture
def lines(directory: Path) -> list[bytes]:
    """Give the lines of a sound snapshot: header, users in lines 4 to 6, posts in line 9."""
    with Store(directory, fsync=False) as db:
        db.users.insert_many([User(id="ann"), User(id="bob"), User(id="eve")])
        db.posts.insert(Post(user_id="ann"))
    return (directory / SNAPSHOT).read_bytes().splitlines(keepends=True)


def accept(directory: Path) -> str:
    """Return the command that takes an edit over."""
    return f"snaptable accept {directory}"


def test_a_lost_comma(directory: Path, lines: list[bytes]) -> None:
    """Ensure the line that lost its comma is named, not the one behind it, and that accepting comes before a repair."""
    lines[3] = lines[3].replace(b",\n", b"\n")
    (directory / SNAPSHOT).write_bytes(b"".join(lines))
    refusal = expect_refusal(directory, CorruptSnapshot, "not JSON any more", "mend line 4 and run", accept(directory))
    assert refusal.text.index("accept") < refusal.text.index("repair")
    assert (refusal.error.path, refusal.error.line) == (str(directory / SNAPSHOT), 4)
    assert refusal.error.offset == refusal.offset == len(b"".join(lines[:4])) - 1


def test_a_comma_too_many(directory: Path, lines: list[bytes]) -> None:
    """Ensure a comma behind the last row of a table is named by its own line."""
    lines[5] = lines[5].replace(b"\n", b",\n")
    (directory / SNAPSHOT).write_bytes(b"".join(lines))
    expect_refusal(directory, CorruptSnapshot, "mend line 6 and run", accept(directory))


def test_a_typo_in_a_row(directory: Path, lines: list[bytes]) -> None:
    """Ensure a mistake within a line is named by that line."""
    lines[4] = lines[4].replace(b'"note":""', b'"note":tru')
    (directory / SNAPSHOT).write_bytes(b"".join(lines))
    expect_refusal(directory, CorruptSnapshot, "mend line 5 and run", accept(directory))


def test_conflict_markers_of_a_merge(directory: Path, lines: list[bytes]) -> None:
    """Ensure git's conflict markers are called that, and no repair is spoken of, which would discard the edit."""
    conflict = [b"<<<<<<< HEAD\n", lines[4], b"=======\n", lines[4].replace(b"bob", b"rob"), b">>>>>>> branch\n"]
    (directory / SNAPSHOT).write_bytes(b"".join([*lines[:4], *conflict, *lines[5:]]))
    refusal = expect_refusal(directory, CorruptSnapshot, "conflict markers", "line 5", accept(directory))
    assert "repair" not in refusal.text
    assert refusal.error.line == 5


def test_a_file_that_was_cut(directory: Path, lines: list[bytes]) -> None:
    """Ensure a file whose end is missing is damage: nothing can be mended in it."""
    (directory / SNAPSHOT).write_bytes(b"".join(lines)[:-60])
    refusal = expect_refusal(directory, CorruptSnapshot, "damaged in line", f"snaptable repair {directory}")
    assert "mend" not in refusal.text


def test_rows_that_do_not_fit_are_named_by_their_own_lines(directory: Path, lines: list[bytes]) -> None:
    """Ensure each row that does not fit its model is listed with its line in the file."""
    lines[4] = lines[4].replace(b'"note":""', b'"note":7')
    lines[5] = lines[5].replace(b'"note":""', b'"note":8')
    (directory / SNAPSHOT).write_bytes(sealed(b"".join(lines)))
    refusal = expect_refusal(directory, SchemaMismatch, "line 5: users['bob']", "line 6: users['eve']")
    assert (refusal.error.path, refusal.error.line) == (str(directory / SNAPSHOT), 5)


def test_a_key_that_stands_twice_is_named_by_its_line(directory: Path, lines: list[bytes]) -> None:
    """Ensure a key that stands twice is reported with the line and byte of a row that has it."""
    lines[5] = lines[4].replace(b",\n", b"\n")
    (directory / SNAPSHOT).write_bytes(sealed(b"".join(lines)))
    refusal = expect_refusal(directory, CorruptSnapshot, "bob", "twice")
    assert refusal.error.line in (5, 6)
    assert refusal.error.offset == len(b"".join(lines[: refusal.error.line - 1]))


class Note(Row):
    id: str


class Notes(Database):
    notes: Table[Note]


@pytest.mark.usefixtures("lines")
def test_tables_that_the_database_does_not_have(directory: Path) -> None:
    """Ensure the message asks whether the directory is another program's, and says how to drop a table."""
    with pytest.raises(SchemaMismatch) as raised, Notes(directory, fsync=False):
        pytest.fail("it was opened")
    text = str(raised.value)
    for words in (
        "users, posts", "another program's directory?", "jq 'del(.users, .posts)'", accept(directory)
    ):  # fmt: skip
        assert words in text
    assert (raised.value.path, raised.value.line) == (str(directory / SNAPSHOT), 4)
