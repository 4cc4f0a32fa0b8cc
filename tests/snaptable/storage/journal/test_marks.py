"""A commit is read from the journal without the rest of its segment, and never another one in its place.

The past costs what is asked for, not what lies beside it: tests of bounds count the bytes that are read. What marks
lead to is compared with the journal read whole, over any range, any distance of marks, and files written anew.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.storage.support import JOURNAL, Store, User, segments

from snaptable import CorruptJournal
from snaptable.changes.records import TimedCommit
from snaptable.storage import group_commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import marks
from snaptable.storage.journal.commits import JournalCommits
from snaptable.storage.journal.reader import JournalReader


class _CountedFile(io.RawIOBase):
    def __init__(self, files: "CountingFiles", file: Any) -> None:
        self._files, self._file = files, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        count = int(self._file.readinto(buffer))
        self._files.count += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class CountingFiles(Files):
    """A disk that counts the bytes that are read of the journal."""

    count = 0

    def read(self, name: str) -> bytes:
        data = super().read(name)
        self.count += len(data) if name.startswith(JOURNAL) else 0
        return data

    def open(self, name: str) -> BinaryIO:
        return io.BufferedReader(_CountedFile(self, super().open(name)))


def _opened(directory: Path) -> tuple[Store, list[CountingFiles]]:
    disks: list[CountingFiles] = []

    def filesystem(root: Path, *, fsync: bool = True) -> CountingFiles:
        disks.append(CountingFiles(root, fsync=fsync))
        return disks[-1]

    return Store(directory, fsync=False, snapshot="background", filesystem=filesystem), disks


def _read_by(disks: list[CountingFiles], call: Any) -> int:
    (disk,) = disks
    disk.count = 0
    call()
    return disk.count


MOST = 4 * marks.MARK_BYTES
"""Bytes that are read for one commit: the part that it is in, and as much as a buffer holds."""


def test_one_commit_costs_no_segment(directory: Path) -> None:
    """Ensure undo, a page of the past, and the newest time read a part of a segment that was just written."""
    db, disks = _opened(directory)
    with db:
        for number in range(900):
            db.users.insert(User(id=str(number), note="x" * 1000))
        db.users.update("450", note="changed")
        size = sum(path.stat().st_size for path in segments(directory))
        assert size > 6 * MOST
        assert _read_by(disks, lambda: db.history.undo(901)) < MOST
        assert _read_by(disks, lambda: db.history.undo(300)) < MOST
        assert _read_by(disks, lambda: list(db.history.commits(limit=5))) < MOST
        assert _read_by(disks, lambda: db.history.at(899).close()) < MOST
        assert db.users.get("299") is None
        assert db.users["450"].note == "x" * 1000


def test_a_segment_of_before_is_read_whole_once(directory: Path) -> None:
    """Ensure the first look into a segment that an earlier opening wrote reads it whole, the next one a part."""
    db, _ = _opened(directory)
    with db:
        for number in range(600):
            db.users.insert(User(id=str(number), note="x" * 1000))
    db, disks = _opened(directory)
    with db:
        assert _read_by(disks, lambda: db.history.undo(100)) > MOST
        assert _read_by(disks, lambda: db.history.undo(200)) < MOST
        assert _read_by(disks, lambda: db.history.undo(599)) < MOST


def test_a_commit_longer_than_a_part(directory: Path) -> None:
    """Ensure a frame of many parts is read to its end, and those behind it are found."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
        db.users.insert_many(User(id=str(number), note="x" * 1000) for number in range(300))
        db.users.insert(User(id="b"))
        db.history.undo(2, 3)
        assert [user.id for user in db.users.where().all()] == ["a"]
        assert len(next(iter(db.history.commits(since=1, until=2))).changes) == 300


# ── the same as without ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Give a journal of 60 commits in several segments, closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_commit, "SEGMENT_BYTES", 4000)
        directory = tmp_path_factory.mktemp("journal")
        with Store(directory, fsync=False) as db:
            for number in range(60):
                db.users.insert(User(id=str(number), note="x" * (number * 37 % 400)))
    assert len(segments(directory)) > 4
    return Files(directory)


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), min_size=1, max_size=8)


@given(ranges=RANGES, distance=st.sampled_from((1, 300, 1500, 1 << 15)))
@settings(max_examples=60, deadline=None)
def test_any_range_in_any_order(journal: Files, ranges: list[tuple[int, int, bool]], distance: int) -> None:
    """Ensure each range, whatever was read before it, gives just the commits that the journal has, in order."""
    known = {commit.sequence: commit for commit in JournalReader(journal).commits()}
    commits = JournalCommits(journal, lambda: 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "MARK_BYTES", distance)
        for after, until, backwards in ranges:
            read = commits.newest_first if backwards else commits.oldest_first
            wanted = range(until, after, -1) if backwards else range(after + 1, until + 1)
            assert [timed.record for timed in read(after, until)] == [known[sequence] for sequence in wanted]


def test_one_at_a_time_while_more_are_written(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure each commit is found by itself, newest and oldest, while others are written and segments end."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 3000)
    monkeypatch.setattr(marks, "MARK_BYTES", 500)
    with Store(directory, fsync=False) as db:
        for number in range(1, 60):
            db.users.insert(User(id=str(number)))
            for sequence in {number, (number + 1) // 2, 1}:
                (commit,) = db.history.commits(since=sequence - 1, until=sequence)
                assert (commit.sequence, commit.changes[0].key) == (sequence, str(sequence))


def test_files_written_anew(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure what was marked before a purge moved the frames leads to no other commit, nor to what was purged."""
    monkeypatch.setattr(marks, "MARK_BYTES", 1)
    with Store(directory, fsync=False) as db:
        for number in range(20):
            db.users.insert(User(id=str(number), note="secret" * number))
        assert len(list(db.history.commits())) == 20
        db.history.purge("users", "7")
        for sequence in (20, 1, 8, 9, 19):
            (commit,) = db.history.commits(since=sequence - 1, until=sequence)
            assert (commit.sequence, commit.changes[0].key) == (sequence, str(sequence - 1))
        assert [commit.sequence for commit in db.history.commits()] == list(range(db.history.sequence, 0, -1))


def test_damage_is_told_where_it_is_wanted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a damaged commit is an error with its place, behind marks too, and keeps nobody from the others."""
    monkeypatch.setattr(marks, "MARK_BYTES", 1)
    with Store(directory, fsync=False) as db:
        for number in range(9):
            db.users.insert(User(id=str(number), note="here" * number))
        (path,) = segments(directory)
        data = path.read_bytes()
        place = data.index(b'"key":"4"')
        path.write_bytes(data.replace(b"here" * 4 + b'"', b"hare" + b"here" * 3 + b'"', 1))
        assert [commit.sequence for commit in db.history.commits(since=5)] == [9, 8, 7, 6]
        assert [commit.sequence for commit in db.history.commits(until=4)] == [4, 3, 2, 1]
        with pytest.raises(CorruptJournal) as raised:
            list(db.history.commits(since=4, until=5))
        assert raised.value.offset == data.rindex(b"\n", 0, place) + 1
        with pytest.raises(CorruptJournal):
            list(db.history.commits())


def test_a_header_of_another_segment(journal: Files, tmp_path: Path) -> None:
    """Ensure files that were put in the place of others while they were known are refused, as by a first reading."""
    root = tmp_path / "copy"
    (root / JOURNAL).mkdir(parents=True)
    for path in segments(journal.root):
        (root / JOURNAL / path.name).write_bytes(path.read_bytes())
    commits = JournalCommits(Files(root), lambda: 60)
    first: list[TimedCommit] = list(commits.oldest_first(0, 60))
    assert len(first) == 60
    one, two, *_ = segments(root)
    one.write_bytes(two.read_bytes())
    with pytest.raises(CorruptJournal, match="renamed"):
        list(commits.oldest_first(0, 1))


def test_marks_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the marks of a journal of any length take little memory: of few segments, far apart."""
    monkeypatch.setattr(marks, "MOST_SEGMENTS", 3)
    known = marks.FrameMarks()
    for first in range(1, 5001, 1000):
        for number in range(1000):
            known.of(first).add(first + number, number * 1000, "")
    counts = [len(known.of(first).up_to(10**6)) for first in (4001, 3001, 2001, 1001, 1)]
    assert counts == [31, 31, 31, 0, 0]  # every 33rd: 33,000 bytes from the one before it
