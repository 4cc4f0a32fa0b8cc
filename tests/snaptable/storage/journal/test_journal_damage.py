"""The journal's bytes: torn at any byte of the last frame it is mended, damaged anywhere else it is refused."""

import errno
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Store,
    Token,
    User,
    expect_refusal,
    ids,
    killed,
    opened,
    segments,
    tree,
)

from snaptable import CorruptJournal, SnapshotEdited, WriteFailed

KEYS = "abcd"


@dataclass
class Template:
    """A killed store whose commits, one user each, are in one journal file only."""

    directory: Path
    journal: bytes
    offsets: list[int]
    """Where the header begins and each frame, and where the last one ends."""

    def copy(self, journal: bytes) -> Path:
        """Return a copy of it with other bytes in the journal."""
        directory = self.directory.parent / "copy"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.directory, directory)
        (directory / JOURNAL / "1.jsonl").write_bytes(journal)
        return directory

    def line_of(self, offset: int) -> int:
        """Return the number of the line that a byte belongs to; 0 is the header."""
        return max(number for number, start in enumerate(self.offsets) if start <= offset)


def make(directory: Path, write: Callable[[Store, str], object], keys: str = KEYS) -> Template:
    """Return a template of commits made by `write`."""
    with Store(directory, fsync=False) as db:
        empty = (directory / SNAPSHOT).read_bytes()
        for key in keys:
            write(db, key)
        copy = killed(db, keep=empty)
    journal = (copy / JOURNAL / "1.jsonl").read_bytes()
    lines = journal.splitlines(keepends=True)
    assert len(lines) == len(keys) + 1
    offsets = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    return Template(copy, journal, offsets)


@pytest.fixture
def template(directory: Path) -> Template:
    """Give four commits of a user each."""
    return make(directory, lambda db, key: db.users.insert(User(id=key)))


def expect_mended(template: Template, journal: bytes, expected: str, torn: bytes, *, nested: bool = True) -> None:
    """Check that a store opens with exactly these users, the torn bytes kept, and goes on; nested: killed again."""
    directory = template.copy(journal)
    with Store(directory, fsync=False) as db:
        assert ids(db) == list(expected)
        assert db.check() == []
        again = killed(db) if nested else None
        db.users.insert(User(id="next"))
        after = killed(db) if nested else None
    if expected:
        whole = template.journal[: template.offsets[len(expected) + 1]]
        assert (directory / JOURNAL / "1.jsonl").read_bytes() == whole, "the torn end was not cut off"
    kept = list((directory / QUARANTINE).iterdir()) if (directory / QUARANTINE).exists() else []
    assert [path.read_bytes() for path in kept] == ([torn] if torn else [])
    for where, users in ((again, [*expected]), (after, [*expected, "next"]), (directory, [*expected, "next"])):
        if where is not None:
            assert list(opened(where)["users"]) == users
            assert len(list(where.glob(f"{QUARANTINE}/*"))) == len(kept)
            shutil.rmtree(where)


def test_torn_at_every_byte_of_the_last_frame(template: Template) -> None:
    """Ensure every cut through the last frame opens with the three commits before it, and the torn bytes are kept."""
    start = template.offsets[-2]
    for cut in range(start, len(template.journal)):
        expect_mended(template, template.journal[:cut], "abc", template.journal[start:cut], nested=cut % 10 == 0)


def test_a_torn_header_is_refused(template: Template) -> None:
    """Ensure a file whose header is not whole is damage: no file gets its name before its header is on the disk."""
    for cut in range(0, template.offsets[1], 9):
        directory = template.copy(template.journal[:cut])
        assert expect_refusal(directory, CorruptJournal, str(directory / JOURNAL / "1.jsonl")).offset == 0


def test_cut_between_frames(template: Template) -> None:
    """Ensure a journal that ends with any whole frame opens with the commits up to it, and nothing is set aside."""
    for number, offset in enumerate(template.offsets[1:]):
        expect_mended(template, template.journal[:offset], KEYS[:number], b"")


@pytest.mark.parametrize("fill", ["zeros", "ones", "garbage", "lines", "stale"])
def test_a_torn_end_full_of_something(template: Template, tmp_path: Path, fill: str) -> None:
    """Ensure zeros, garbage, line breaks or frames of another segment behind a cut don't pass for commits."""
    start = template.offsets[-2]
    stale = make(tmp_path / "other" / "data", lambda db, key: db.users.insert(User(id=key))).journal
    chance = random.Random(7)
    for cut in [*range(start, len(template.journal) - 1, 9), len(template.journal) - 2]:
        size = chance.choice([1, 7, len(template.journal) - cut, 4_096])
        rest = {
            "zeros": bytes(size),
            "ones": b"\xff" * size,
            "garbage": chance.randbytes(size),
            "lines": b"\n" * size + b'{"frame":[5,5]}\n',
            "stale": b"\n" + stale[stale.index(b"\n") + 1 :],
        }[fill]
        # Zeros at the very end are room that was reserved for frames: nothing of anybody's.
        torn = (template.journal[start:cut] + rest).rstrip(b"\0")
        expect_mended(template, template.journal[:cut] + rest, "abc", torn, nested=cut % 5 == 0)


def test_a_flipped_bit_before_the_last_frame_is_refused(template: Template) -> None:
    """Ensure one wrong bit anywhere in the header or a frame that others follow is named, and nothing is touched."""
    chance = random.Random(1)
    breaks = [offset - 1 for offset in template.offsets[1:-1]]
    for position in sorted({*range(0, template.offsets[-2], 7), *breaks, 0, 1, template.offsets[1]}):
        data = bytearray(template.journal)
        data[position] ^= 1 << chance.randrange(8)
        directory = template.copy(bytes(data))
        refusal = expect_refusal(directory, CorruptJournal, str(directory / JOURNAL / "1.jsonl"))
        assert refusal.offset == template.offsets[template.line_of(position)], (position, refusal.text)


def test_bytes_cut_from_or_put_into_the_middle_are_refused(template: Template) -> None:
    """Ensure missing and additional bytes before the last frame are damage, whole frames included."""
    data, (_, first, second, third, _, _) = template.journal, template.offsets
    for damaged in (
        data[: second - 1] + data[second:],
        data[:first] + data[second:],
        data[:second] + data[third:],
        data[:second] + data[first:second] + data[second:],
        data[:second] + b"\n" + data[second:],
        data[:second] + bytes(512) + data[second:],
        data[:first] + data[second:third] + data[first:second] + data[third:],
        data[first:],
        data[: first // 2] + data[first:],
    ):
        expect_refusal(template.copy(damaged), CorruptJournal)


def test_damage_of_the_only_frame_is_never_taken_for_a_torn_header(directory: Path) -> None:
    """Ensure a header that is damaged with a frame behind it is refused, even where there is just the one."""
    template = make(directory, lambda db, key: db.users.insert(User(id=key)), keys="a")
    for position in [*range(0, template.offsets[1], 4), template.offsets[1] - 1]:
        data = bytearray(template.journal)
        data[position] ^= 0x10
        expect_refusal(template.copy(bytes(data)), CorruptJournal)


def test_a_frame_that_was_taken_back_is_no_stand_in(directory: Path) -> None:
    """Ensure a frame of this very file and sequence, cut off again after a full disk, can't replace the one kept."""
    disk, given_up = Disk(), []

    def look(operation: str, name: str) -> None:
        if operation == "truncate":
            given_up.append((directory / name).read_bytes())

    disk.before = look
    with FaultyStore(directory, disk) as db:
        empty = (directory / SNAPSHOT).read_bytes()
        db.users.insert(User(id="a"))
        disk.fail("write", errno.ENOSPC, name=JOURNAL, how="after")
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="x"))
        db.users.insert(User(id="b"))
        db.users.insert(User(id="c"))
        copy = killed(db, keep=empty)
    path = copy / JOURNAL / "1.jsonl"
    header, a, _, c = path.read_bytes().splitlines(keepends=True)
    stand_in = given_up[0].splitlines(keepends=True)[-1]
    assert b'"x"' in stand_in
    assert b'"c"' in c
    path.write_bytes(header + a + stand_in + c)
    expect_refusal(copy, CorruptJournal, str(path))


def test_rows_that_hold_frames_do_not_turn_a_torn_end_into_damage(directory: Path) -> None:
    """Ensure a row with the text and the structure of a frame, copied from the journal, changes nothing."""

    def write(db: Store, key: str) -> None:
        assert db.directory is not None
        files = segments(db.directory)
        frame = files[0].read_bytes().splitlines()[-1] if files else b"{}"
        db.tokens.insert(Token(data={"text": f"\n{frame.decode()}\n", "plain": json.loads(frame)}))

    template = make(directory, write, keys="abc")
    start = template.offsets[-2]
    for cut in range(start, len(template.journal), 41):
        rest = b"\n" if cut % 2 else b""
        directory = template.copy(template.journal[:cut] + rest)
        assert len(opened(directory)["tokens"]) == 2


def test_damage_after_a_clean_close_is_refused(directory: Path) -> None:
    """Ensure nothing passes for torn once the store was closed cleanly: neither a changed frame nor bytes behind it."""
    for kept in ("closed", "with the first snapshot"):
        shutil.rmtree(directory, ignore_errors=True)
        with Store(directory, fsync=False) as db:
            empty = (directory / SNAPSHOT).read_bytes()
            for key in KEYS:
                db.users.insert(User(id=key))
        journal = directory / JOURNAL / "1.jsonl"
        if kept != "closed":
            (directory / SNAPSHOT).write_bytes(empty)
            expect_refusal(directory, SnapshotEdited, "put back")
        data = journal.read_bytes()
        lines = data.splitlines(keepends=True)
        last = len(data) - len(lines[-1]) - len(lines[-2])
        behind = [data + b"x", data + b"\n", data + bytes(100) + b"x", data + lines[-2]]
        places = range(last, last + len(lines[-2]), 9)
        for damaged in [*behind, *(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for at in places)]:
            journal.write_bytes(damaged)
            expect_refusal(directory, CorruptJournal, str(journal))


def test_a_clean_close_stays_one_after_starts_without_a_write(directory: Path) -> None:
    """Ensure opening and closing again, nothing written, does not make damage look like a torn end."""
    disk = Disk()
    with FaultyStore(directory, disk) as db:
        for key in KEYS:
            db.users.insert(User(id=key))
        disk.fail("sync", name=JOURNAL)
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="ghost"))
        db.persist()
    for _ in range(3):
        assert list(opened(directory)["users"]) == list(KEYS)
    last = segments(directory)[-1]
    last.write_bytes(last.read_bytes() + b'{"frame":[5')
    expect_refusal(directory, CorruptJournal, str(last))


def test_a_write_that_failed_stays_away_for_ever(directory: Path) -> None:
    """Ensure a frame that reached the disk though its sync failed is never replayed after a clean close."""
    disk = Disk()
    with FaultyStore(directory, disk) as db:
        db.users.insert(User(id="a"))
        disk.fail("sync", name=JOURNAL, how="after")
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="ghost"))
        db.persist()
    assert any(b"ghost" in path.read_bytes() for path in directory.rglob("*") if path.is_file())
    for number in range(4):
        with Store(directory, fsync=False) as db:
            assert "ghost" not in ids(db)
            if number == 2:
                db.users.insert(User(id="b"))
    copy = killed(Store(directory, fsync=False).open())
    assert list(opened(copy)["users"]) == ["a", "b"]


def test_a_refused_store_opens_once_its_bytes_are_back(template: Template) -> None:
    """Ensure a refusal leaves nothing behind that stands in the way of the repair."""
    data = template.journal
    directory = template.copy(data[: template.offsets[2] - 1] + data[template.offsets[2] :])
    before = tree(directory)
    expect_refusal(directory, CorruptJournal)
    expect_refusal(directory, CorruptJournal, read_only=True)
    assert tree(directory) == before
    (directory / JOURNAL / "1.jsonl").write_bytes(data)
    assert list(opened(directory)["users"]) == list(KEYS)
