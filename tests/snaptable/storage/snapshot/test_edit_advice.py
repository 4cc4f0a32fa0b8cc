"""What a refused snapshot's message tells a person to do: mend an edit and accept it, or repair damage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.snaptable.cli.support import command
from tests.snaptable.storage.support import SNAPSHOT, Post, Store, User, expect_refusal, opened, sealed

from snaptable import CorruptSnapshot, Database, Row, SchemaMismatch, SnapshotEdited, Table, UnsupportedFormat
from snaptable.maintenance.check import check_store
from snaptable.storage.disk.files import Files
from snaptable.storage.snapshot import damage


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


# ── layout ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def crlf(data: bytes) -> bytes:
    """Return a file with the line ends of Windows."""
    return data.replace(b"\n", b"\r\n")


def with_bom(data: bytes) -> bytes:
    """Return a file with a byte order mark before it."""
    return b"\xef\xbb\xbf" + data


def indented(data: bytes) -> bytes:
    """Return a file laid out anew."""
    return json.dumps(json.loads(data), indent=2).encode()


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "as written": lambda data: data,
    "crlf": crlf,
    "bom": with_bom,
    "bom and crlf": lambda data: with_bom(crlf(data)),
    "indented": indented,
    "indented, bom and crlf": lambda data: with_bom(crlf(indented(data))),
    "sorted": lambda data: json.dumps(json.loads(data), sort_keys=True, indent=1).encode(),
    "one line": lambda data: json.dumps(json.loads(data), separators=(",", ":")).encode(),
}


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "as written"])
@pytest.mark.parametrize("edit", [(b"ann", b"ann"), (b'"note":""', b'"note":"edited"')])
def test_layout_is_no_damage(directory: Path, lines: list[bytes], layout: str, edit: tuple[bytes, bytes]) -> None:
    """Ensure what an editor adds is an edit to accept, and a check names one thing, no line of it."""
    (directory / SNAPSHOT).write_bytes(LAYOUTS[layout](b"".join(lines).replace(*edit)))
    expect_refusal(directory, SnapshotEdited, accept(directory))
    (finding,) = check_store(Files(directory)).problems
    assert finding.line is None
    assert command("accept", directory, "--yes").status == 0
    notes = {row["note"] for row in opened(directory)["users"].values()}
    assert notes == ({""} if edit[0] == edit[1] else {"edited"})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_newer_format_in_any_layout(directory: Path, lines: list[bytes], layout: str) -> None:
    """Ensure a file of a newer version is called that, whatever it looks like, also where it is no JSON at all."""
    newer = LAYOUTS[layout](b"".join(lines).replace(b'"format": 1', b'"format": 2'))
    for data in (newer, newer[:-20]):
        (directory / SNAPSHOT).write_bytes(data)
        if layout != "sorted" or data == newer:
            expect_refusal(directory, UnsupportedFormat, "format 2", "nothing was changed")
        assert "format 2" in command("accept", directory, "--yes").err or data != newer


@pytest.mark.parametrize("layout", ["as written", "crlf", "bom and crlf"])
def test_every_broken_byte_points_to_its_line(lines: list[bytes], layout: str) -> None:
    """Ensure that wherever a byte of a row is lost or doubled, the line is named, and no other is called damaged."""
    for number in (4, 5, 6, 9):
        line = lines[number - 1]
        for position in range(len(line.rstrip(b"\n"))):
            for put in (b"", b'"', b"{", b"}", b","):
                broken = line[:position] + put + line[position + 1 :]
                data = LAYOUTS["as written"](b"".join([*lines[: number - 1], broken, *lines[number:]]))
                data = {"as written": data, "crlf": crlf(data), "bom and crlf": with_bom(crlf(data))}[layout]
                error = damage.explain("snapshot", data, has_header=layout == "as written")
                if isinstance(error, CorruptSnapshot) and "valid JSON" not in str(error):
                    assert error.line == number, (broken, str(error))
                    assert "accept" in str(error)
                listed = {damage.line_at(data, offset) for offset, _ in damage.damaged_rows(data)}
                assert listed <= {number}, (broken, listed)


def test_a_row_spread_over_lines_is_no_damage(directory: Path, lines: list[bytes]) -> None:
    """Ensure that beside a line that is broken, a row that an editor spread over several lines is not listed."""
    lines[3] = lines[3].replace(b',"', b',\n  "')
    lines[5] = lines[5].replace(b'"note":""', b'"note":')
    (directory / SNAPSHOT).write_bytes(b"".join(lines))
    (finding,) = check_store(Files(directory)).problems
    assert (finding.table, finding.key) == ("users", "eve")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", [0, 1, 3, -1])
def test_conflict_markers_anywhere(directory: Path, lines: list[bytes], layout: str, place: int) -> None:
    """Ensure git's markers are named with their line in whatever layout, also before the first line and in the last."""
    laid_out = LAYOUTS[layout](b"".join(lines)).splitlines(keepends=True)
    where = place % max(1, len(laid_out))
    laid_out.insert(where, b"<<<<<<< HEAD\n")
    (directory / SNAPSHOT).write_bytes(b"".join(laid_out))
    refusal = expect_refusal(directory, CorruptSnapshot, "conflict markers", accept(directory))
    assert "repair" not in refusal.text
    assert refusal.error.line == where + 1
