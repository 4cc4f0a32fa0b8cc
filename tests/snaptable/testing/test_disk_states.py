"""The simulated disk itself: what may be there after a crash, and what a fault leaves."""

import errno

import pytest

from snaptable.testing import SimulatedDisk
from snaptable.testing.crash import BLOCK, Model, states_after
from snaptable.testing.disk import Contents

Files = dict[str, bytes]


def files_of(contents: Contents) -> Files:
    """Return the files by name."""
    return {name: contents.inodes[inode] for name, inode in contents.names.items()}


def left(disk: SimulatedDisk, model: Model) -> list[Files]:
    """Return what a crash now may leave."""
    return [files_of(contents) for contents in states_after(disk, len(disk.operations), model)]


@pytest.fixture
def disk() -> SimulatedDisk:
    """Give a disk with its directory made and durable."""
    disk = SimulatedDisk()
    disk.make_directory()
    return disk


def test_a_kill_leaves_everything(disk: SimulatedDisk) -> None:
    """What was done is there, synced or not."""
    disk.create("a").write([b"one"])
    assert left(disk, "kill") == [{"a": b"one"}]


def test_what_was_not_synced_may_be_gone(disk: SimulatedDisk) -> None:
    """A file needs its bytes synced and its name: with one alone, the other may be missing."""
    file = disk.create("a")
    file.write([b"one"])
    assert {frozenset(files.items()) for files in left(disk, "ordered")} >= {
        frozenset(), frozenset({("a", b"")}), frozenset({("a", b"one")}),
    }  # fmt: skip
    file.sync()
    assert {} in left(disk, "weak")
    disk.sync_directory()
    assert left(disk, "weak") == [{"a": b"one"}]


def test_a_sync_orders_names_only_under_the_ordered_model(disk: SimulatedDisk) -> None:
    """On ext4 the sync of any file makes earlier names durable; POSIX does not say so."""
    disk.create("a")
    file = disk.create("b")
    file.write([b"x"])
    file.sync()
    assert left(disk, "ordered") == [{"a": b"", "b": b"x"}]
    assert {} in left(disk, "weak")


def test_blocks_are_torn_reordered_and_filled(disk: SimulatedDisk) -> None:
    """Under the weak model any block may be the old one, zeros or garbage, at any size between."""
    file = disk.create("a")
    disk.sync_directory()
    file.write([b"1" * BLOCK + b"2" * BLOCK])
    contents = {state["a"] for state in left(disk, "weak")}
    assert b"\0" * BLOCK + b"2" * BLOCK in contents
    assert b"1" * BLOCK + b"\xa5" * BLOCK in contents
    assert b"1" * BLOCK + b"2" in contents
    assert b"" in contents


def test_a_cut_and_a_later_write_reach_the_disk_apart(disk: SimulatedDisk) -> None:
    """Under the weak model the cut may be missing, its blocks holding anything, or come behind the write."""
    file = disk.create("a")
    disk.sync_directory()
    file.write([b"kept"])
    file.preallocate(4, 96)
    file.sync()
    file.truncate(4)
    file.write([b"last"])
    contents = {state["a"] for state in left(disk, "weak")}
    garbage = b"\xa5" * 92
    assert {b"keptlast", b"keptlast" + bytes(92), b"keptlast" + garbage, b"kept", b"kept" + bytes(96)} <= contents
    assert all(state["a"] in (b"keptlast", b"kept", b"kept" + bytes(96)) for state in left(disk, "ordered"))
    file.sync()
    assert left(disk, "weak") == [{"a": b"keptlast"}]


def test_blocks_may_hold_what_a_removed_file_left(disk: SimulatedDisk) -> None:
    """A disk does not clean what it gives out again."""
    old = disk.create("old")
    old.write([b"stale!"])
    old.sync()
    disk.remove("old")
    disk.sync_directory()
    file = disk.create("new")
    disk.sync_directory()
    file.write([b"n" * BLOCK])
    assert any(b"stale!stale!" in state["new"] for state in left(disk, "weak"))


def test_a_failed_sync_is_not_made_good_by_another(disk: SimulatedDisk) -> None:
    """The second sync reports success, and what the first one lost stays lost; what was written since is there."""
    file = disk.create("a")
    disk.sync_directory()
    file.write([b"first."])
    disk.faults.fail("sync", times=1)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert b"" in {state["a"] for state in left(disk, "weak")}
    file.write([b"second"])
    file.sync()
    contents = {state["a"] for state in left(disk, "weak")}
    assert {b"first.second", b"\0" * 6 + b"second"} <= contents
    assert all(data.endswith(b"second") for data in contents)


def test_names_change_in_one_step(disk: SimulatedDisk) -> None:
    """A rename leaves the old file or the new one, whole, never none."""
    for name, data in (("a", b"old"), ("b", b"new")):
        file = disk.create(name)
        file.write([data])
        file.sync()
    disk.sync_directory()
    disk.replace("b", "a")
    assert [state["a"] for state in left(disk, "weak")] in ([b"new", b"old"], [b"old", b"new"])


def test_faults_strike_where_they_are_told_to(disk: SimulatedDisk) -> None:
    """Before, after, or half-way; by name, after a number of others, a number of times; and room is used up."""
    file = disk.create("a")
    disk.faults.fail("write", errno.EIO, times=1, how="after")
    with pytest.raises(OSError, match="Input/output"):
        file.write([b"done"])
    disk.faults.fail("write", errno.EIO, times=1, how="short")
    with pytest.raises(OSError, match="Input/output"):
        file.write([b"half"])
    disk.faults.fail("write", ZeroDivisionError("now"), times=1, after=1, name="a")
    file.write([b"!"])
    with pytest.raises(ZeroDivisionError):
        file.write([b"?"])
    with disk.faults.full(room=3), pytest.raises(OSError, match="No space"):
        file.write([b"1234"])
    assert disk.read("a") == b"doneha!123"


def test_a_process_that_comes_after_a_kill_finds_what_was_not_synced(disk: SimulatedDisk) -> None:
    """It sees the bytes, and a power cut may still take them."""
    disk.create("a").write([b"seen"])
    after = disk.after_kill(len(disk.operations))
    assert after.read("a") == b"seen"
    after.append("a").sync()
    assert {} in left(after, "weak")
    after.sync_directory()
    assert left(after, "weak") == [{"a": b"seen"}]
