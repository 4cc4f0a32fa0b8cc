"""How a snapshot is put together of parts: their checksums, what changes while it is written, the file it replaces."""

import os
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
from tests.snaptable.storage.conftest import Open
from tests.snaptable.storage.support import SNAPSHOT, User, checksum, read_snapshot, rows_of

from snaptable.changes.records import ChangeRecord, Delete, Insert, Replace
from snaptable.engines import engine_of
from snaptable.storage.disk.files import Files
from snaptable.storage.group_commit import GroupCommit
from snaptable.storage.snapshot import replaced_files
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.format import SnapshotHeader, chunks
from snaptable.storage.snapshot.pages import Pages

DESCRIPTORS = Path("/proc/self/fd")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 255, 4096, 1_000_003])
def test_a_checksum_is_put_together(length: int) -> None:
    """Ensure the checksum of parts joined is that of their bytes, also the second time, when it is known."""
    before, part = random.Random(length).randbytes(77), random.Random(-length).randbytes(length)
    part_of_file = ChecksummedBytes([part[: length // 3], part[length // 3 :]])
    for start in (before, part):
        assert part_of_file.after(zlib.crc32(start)) == zlib.crc32(start + part)


def _changes(chance: random.Random, rows: dict[str, bytes], count: int) -> list[ChangeRecord]:
    """Return random changes, and bring the rows up to them."""
    made: list[ChangeRecord] = []
    for _ in range(count):
        row = b'{"x":"%s"}' % (b"y" * chance.randrange(900))
        key = chance.choice(list(rows)) if rows and chance.random() < 0.7 else f"new {len(made)} {chance.random()}"
        kind = Replace if key in rows else Insert
        if key in rows and chance.random() < 0.5:
            made.append(Delete("t", key))
            del rows[key]
        else:
            made.append(kind("t", key, row))
            rows[key] = row
    return made


@pytest.mark.parametrize("seed", range(5))
def test_what_changes_while_a_snapshot_is_written_is_not_in_it(seed: int) -> None:
    """Ensure each part gives the rows of the moment it was asked for, however many change before it is taken."""
    chance = random.Random(seed)
    pages, rows = Pages(["t"]), {str(number): b'{"x":"%d"}' % number for number in range(2_000)}
    pages.apply_changes([Insert("t", key, row) for key, row in rows.items()])
    for _ in range(3):
        expected = pages.render()["t"]
        groups = pages.mark()["t"]
        assert len(groups) > 3
        collected = list[bytes]()
        for group in groups:
            pages.apply_changes(_changes(chance, rows, 40))
            collected += group.collect().buffers[::2]
        assert collected == expected
        assert pages.counts() == {"t": len(rows)}


def test_a_file_of_many_parts_verifies(open_store: Open) -> None:
    """Ensure the checksum holds over a file of several parts, whichever of them change."""
    db = open_store(snapshot="always")
    assert db.directory is not None
    db.users.insert_many([User(id=str(number), note="n" * 300) for number in range(3_000)])
    for key in ("0", "1500", "2999", "700"):
        db.users.update(key, note="changed")
        db.users.delete(str(int(key) // 2 + 1))
        data = (db.directory / SNAPSHOT).read_bytes()
        assert checksum(data[: data.index(b'"checksum": ')]).encode() in data[-40:]
        assert read_snapshot(db.directory)[1] == rows_of(db)


def test_a_sealed_snapshot_lets_go_of_what_is_written() -> None:
    """Ensure old bytes of rows that change meanwhile are kept until they are written, not until all of the file is."""
    size, count = 1 << 18, 40
    header = SnapshotHeader("s", 1, "2026-11-28T00:00:00.000000Z", {"t": count}, "0" * 32, {}, speller="5" * 32)
    tracemalloc.start()
    try:
        parts = (ChecksummedBytes([b"x" * (size + number)]) for number in range(count))
        kept = [tracemalloc.get_traced_memory()[0] for _ in chunks(header, {"t": parts})]
    finally:
        tracemalloc.stop()
    total, behind = kept[0], kept[len(kept) // 2]
    assert total > size * count  # all of them: the seal stands before them
    assert behind < 0.6 * total
    assert kept[-1] < 0.1 * total


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="descriptors can't be counted here")
def test_replaced_files_are_not_held_for_long(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the files that snapshots replace are let go of: never more than a few while writing, none after close."""
    monkeypatch.setattr(replaced_files, "RETAIN_FROM", 1)
    before = len(os.listdir(DESCRIPTORS))  # noqa: PTH208
    db = open_store(snapshot="always")
    db.users.insert(User(id="a"))
    opened = len(os.listdir(DESCRIPTORS))  # noqa: PTH208
    for number in range(200):
        db.users.update("a", note=str(number))
        assert len(os.listdir(DESCRIPTORS)) <= opened + 2  # noqa: PTH208
    db.close()
    assert len(os.listdir(DESCRIPTORS)) <= before  # noqa: PTH208


def test_where_an_open_file_can_not_be_replaced(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure nothing is held where the system does not let an open file be replaced."""
    monkeypatch.setattr(replaced_files, "RETAIN_FROM", 1)
    monkeypatch.setattr(Files, "retain", lambda *_: None)
    db = open_store(snapshot="always")
    assert db.directory is not None
    for number in range(5):
        db.users.insert(User(id=str(number)))
        log = engine_of(db).log
        assert isinstance(log, GroupCommit)
        assert not log.checkpointer._replaced._open
    assert read_snapshot(db.directory)[1] == rows_of(db)
