"""`snaptable repair`: the store opens again with all that can be saved, and no byte and no commit goes unnamed."""

import random
import shutil
from pathlib import Path

import pytest
from tests.snaptable.cli.support import SCHEMA, command, nothing_lost, process, unchanged
from tests.snaptable.maintenance.support import contents, damage, edit, fill
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Rows,
    Store,
    User,
    expect_refusal,
    killed,
    opened,
    segments,
)

from snaptable import CorruptJournal
from snaptable.storage.journal import directory as journal_directory


def same(found: Rows, expected: Rows) -> bool:
    """Return whether two states are equal, the order of their rows included."""
    return [list(rows.items()) for rows in found.values()] == [list(rows.items()) for rows in expected.values()]


def check_repaired(directory: Path, expected: Rows | None, *words: str) -> None:
    """Check a repair: said first and nothing done without a yes; then it opens with these rows, and nothing is lost."""
    for arguments, answer in ((["--dry-run"], ""), ([], ""), ([], "n\n"), ([], "maybe\n")):
        unchanged(directory, "repair", directory, *arguments, answer=answer).says(*words)
    before = contents(directory)
    assert command("repair", directory, answer="yes\n").says("Done", *words).status == 0
    nothing_lost(directory, before)
    assert command("check", directory, "--schema", SCHEMA).status == 0
    assert command("repair", directory, "--yes").says("nothing to repair").status == 0
    if expected is not None:
        assert same(opened(directory), expected)
        with Store(directory, fsync=False) as db:
            db.users.insert(User(id="further"))
        assert "further" in opened(directory)["users"]


# ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_to_repair(behind: Path, directory: Path, states: list[Rows]) -> None:
    """Ensure a sound store, closed or killed, is left alone."""
    assert states
    for where in (behind, directory):
        assert unchanged(where, "repair", where, "--yes").says("nothing to repair").status == 0


def test_a_torn_end(behind: Path, states: list[Rows]) -> None:
    """Ensure a torn end is cut off and kept, and every whole commit stays."""
    path = behind / JOURNAL / "1.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    check_repaired(behind, states[7], "cut at byte", "No acknowledged commit is lost")


def test_damage_in_the_middle(behind: Path, states: list[Rows]) -> None:
    """Ensure what verifies up to the damage stays, and each commit behind it is named by sequence, table and key."""
    damage(behind / JOURNAL / "1.jsonl", b'"eve"', b'"EVE"')
    check_repaired(
        behind, states[4], "sequence 5, ", "'EVE'", "damaged", "sequence 6, 20", "posts '3'", "sequence 8, 20", "'zoe'"
    )


def test_damage_that_cannot_be_read(behind: Path, states: list[Rows]) -> None:
    """Ensure a commit of which nothing readable is left is named by its sequence."""
    damage(behind / JOURNAL / "1.jsonl", b'{"sequence":5', b'{"sequ\xffnce"5')
    check_repaired(behind, states[4], "sequence 5: nothing readable is left", "sequence 8, 20")


def test_damage_before_the_snapshot(behind: Path, states: list[Rows]) -> None:
    """Ensure commits behind damage are saved where the snapshot bridges it: each names the one before it."""
    damage(behind / JOURNAL / "1.jsonl", b'"one"', b'"ONE"')
    check_repaired(behind, states[8], "No acknowledged commit is lost", "commits 3 to 8")


@pytest.mark.usefixtures("small_segments")
def test_damaged_history(directory: Path) -> None:
    """Ensure history behind a damaged file stays, and the damaged one and those before it are set aside."""
    with Store(directory, fsync=False) as db:
        states = fill(db)
    damage(directory / JOURNAL / "3.jsonl", b'"changes"', b'"CHANGES"')
    check_repaired(
        directory, states[8], "3.jsonl is set aside", "1.jsonl is set aside", "No acknowledged commit is lost"
    )
    assert [path.name for path in segments(directory)][:2] == ["4.jsonl", "5.jsonl"]


@pytest.mark.usefixtures("small_segments")
def test_files_behind_damage(directory: Path) -> None:
    """Ensure files that can't be applied any more are set aside, their commits named."""
    with Store(directory, fsync=False) as db:
        states = fill(db, last=2)
        second = (directory / SNAPSHOT).read_bytes()
        states += fill(db, first=2)[1:]
        copy = killed(db, keep=second)
    damage(copy / JOURNAL / "4.jsonl", b'"changes"', b'"CHANGES"')
    check_repaired(copy, states[3], "5.jsonl is set aside", "sequence 5, 20", "sequence 8, 20")
    assert not (copy / JOURNAL / "5.jsonl").exists()


def test_a_damaged_header(behind: Path, states: list[Rows]) -> None:
    """Ensure a file whose header is damaged is set aside, and what its lines say is named with a doubt."""
    damage(behind / JOURNAL / "1.jsonl", b'"salt":"', b'"SALT":"')
    check_repaired(behind, states[2], "1.jsonl is set aside", "sequence 3, 20", "users 'zoe'", "damaged")


@pytest.mark.usefixtures("small_segments")
def test_a_gap(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure an older copy of the snapshot goes on alone, and the commits behind the gap are named."""
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 1)
    with Store(directory, fsync=False, history_bytes=0) as db:
        states = fill(db, last=2)
        second = (directory / SNAPSHOT).read_bytes()
        fill(db, first=2)
        copy = killed(db, keep=second)
    assert command("check", copy).says("missing between", f"snaptable repair {copy}").status == 1
    check_repaired(copy, states[2], "set aside", "sequence 8, 20", "sequences 3 to")


def test_a_journal_of_another_store(behind: Path, directory: Path, states: list[Rows]) -> None:
    """Ensure the snapshot goes on alone, and the foreign commits are named."""
    assert states
    shutil.copy(directory / JOURNAL / "1.jsonl", behind / JOURNAL / "1.jsonl")
    check_repaired(behind, states[2], "another store", "sequence 1, 20", "sequence 8, 20")


def test_a_write_that_failed_does_not_come_back(haunted: Path) -> None:
    """Ensure a frame that was given up is not followed, when the file that superseded it is damaged."""
    check_repaired(haunted, None, "sequence 2, 20", "'b'")
    assert list(opened(haunted)["users"]) == ["a"]


def test_a_write_that_failed_behind_damage_does_not_come_back(haunted: Path) -> None:
    """Ensure a frame that was given up is not followed either where damage in front of it is bridged."""
    damage(haunted / JOURNAL / "1.jsonl", b'"id":"a"', b'"id":"x"')
    check_repaired(haunted, None, "set aside")
    assert list(opened(haunted)["users"]) == ["a"]


# ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [b"", b"{", b'{\n"snaptable": {"format": 1', bytes(4096)])
def test_a_damaged_snapshot_is_rebuilt(directory: Path, states: list[Rows], bad: bytes) -> None:
    """Ensure a journal that reaches back to the start rebuilds a snapshot, also one of no bytes."""
    (directory / SNAPSHOT).write_bytes(bad)
    check_repaired(directory, states[8], "written anew", "not whole", "No acknowledged commit is lost")


def test_a_damaged_edit_is_spoken_of(directory: Path, states: list[Rows]) -> None:
    """Ensure that a repair says it drops an edit that is not JSON any more, and how to keep the edit."""
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other')
    check_repaired(directory, states[8], "line 5 is damaged, and a repair drops the edit", f"accept {directory}")


def test_an_older_state(behind: Path, states: list[Rows]) -> None:
    """Ensure a damaged snapshot beside a damaged journal goes back to what verifies, and the rest is named."""
    (behind / SNAPSHOT).write_bytes((behind / SNAPSHOT).read_bytes()[:200])
    damage(behind / JOURNAL / "1.jsonl", b'"eve"', b'"EVE"')
    check_repaired(behind, states[4], "sequence 4", "sequence 5, ", "sequence 8, ")


def test_commits_that_only_the_snapshot_held(directory: Path, states: list[Rows]) -> None:
    """Ensure sequences that a damaged snapshot's header speaks of and nothing else holds are named."""
    path = directory / JOURNAL / "1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]))
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"plain')
    check_repaired(directory, states[5], "sequences 6 to 8: nothing readable is left")


def test_a_snapshot_that_was_never_renamed(directory: Path, states: list[Rows]) -> None:
    """Ensure a whole snapshot that a crash left under its temporary name is used where nothing else leads anywhere."""
    (directory / SNAPSHOT).rename(directory / f".db_snapshot.{'a' * 32}.tmp")
    damage(directory / JOURNAL / "1.jsonl", b'"one"', b'"ONE"')
    check_repaired(directory, states[8], "that a crash left", "No acknowledged commit is lost")


def test_leftovers(directory: Path, states: list[Rows]) -> None:
    """Ensure files that were never finished are set aside."""
    (directory / f".db_snapshot.{'a' * 32}.tmp").write_bytes(b"half")
    (directory / JOURNAL / f".segment.{'b' * 32}.tmp").write_bytes(b"half a header")
    check_repaired(directory, states[8], ".tmp", "set aside")


def test_nothing_is_safe(directory: Path, states: list[Rows]) -> None:
    """Ensure a snapshot that nothing can stand in for is left as it is, with what to do and how to start fresh."""
    assert states
    shutil.rmtree(directory / JOURNAL)
    for bad in (b"", (directory / SNAPSHOT).read_bytes()[:-100]):
        (directory / SNAPSHOT).write_bytes(bad)
        result = unchanged(directory, "repair", directory, "--yes")
        assert result.says("nothing that could be done is safe", "start afresh", "copy of the snapshot").status == 1
    assert process("repair", directory, "--yes").status == 1


def test_an_edit_is_not_thrown_away(directory: Path, states: list[Rows]) -> None:
    """Ensure an edited snapshot is left to `accept`, however it was laid out, unless told to discard it."""
    whole = (directory / SNAPSHOT).read_bytes()
    for edited in (whole.replace(b"plain", b"other"), whole[: whole.index(b',\n"checksum"')] + b"}"):
        (directory / SNAPSHOT).write_bytes(edited)
        assert unchanged(directory, "repair", directory, "--yes").says("snaptable accept").status == 1
    before = contents(directory)
    assert command("repair", directory, "--discard-edit", "--yes").status == 0
    nothing_lost(directory, before)
    assert same(opened(directory), states[8])


def test_what_repair_is_not_for(directory: Path, states: list[Rows]) -> None:
    """Ensure a newer format, the older format and unsafe files are refused with the reason, and nothing is touched."""
    assert states
    edit(directory / SNAPSHOT, '"format": 1', '"format": 2')
    assert unchanged(directory, "repair", directory, "--yes").says("format 2").status == 1
    (directory / SNAPSHOT).write_text('{"users": {}}')
    assert unchanged(directory, "repair", directory, "--yes").says("older format").status == 1
    (directory / SNAPSHOT).rename(directory / "real")
    (directory / SNAPSHOT).symlink_to("real")
    assert unchanged(directory, "repair", directory, "--yes").says("symlink").status == 1


def test_a_running_store_is_refused(directory: Path) -> None:
    """Ensure a store that is open is not repaired, and its holder is named."""
    with Store(directory, fsync=False) as db:
        fill(db)
        for verb in ("repair", "accept"):
            result = process(verb, directory, "--yes").says("in use by process", "close it there")
            assert result.status == 3
            assert "read_only" not in result.err
    assert process("repair", directory, "--yes").status == 0


# ── all of it ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_damage_anywhere(directory: Path, states: list[Rows]) -> None:
    """Ensure that over random damage to any files a repair loses no byte, and ends in a state that once was."""
    chance = random.Random(5)
    whole = contents(directory)
    for _ in range(60):
        shutil.rmtree(directory / QUARANTINE, ignore_errors=True)
        for name, data in whole.items():
            (directory / name).write_bytes(data)
        for name in chance.sample(sorted(whole), chance.randint(1, 2)):
            start, size = chance.randrange(len(whole[name])), chance.choice([1, 9, 300])
            filled = chance.choice([b"", bytes(size), chance.randbytes(size)])
            (directory / name).write_bytes(whole[name][:start] + filled + whole[name][start + size :])
        before = contents(directory)
        if command("repair", directory, "--yes", "--discard-edit").status == 0:
            nothing_lost(directory, before)
            assert any(same(opened(directory), state) for state in states)
        else:
            assert contents(directory) == before


def test_a_journal_that_was_copied_before_the_snapshot(directory: Path) -> None:
    """Ensure a copy of a running store whose journal is older than its snapshot loses nothing by a repair."""
    with Store(directory, fsync=False) as db:
        fill(db, last=4)
        copy = killed(db)
        rows = fill(db, first=4)[-1]
        shutil.copy(directory / SNAPSHOT, copy)
    before = contents(copy)
    expect_refusal(copy, CorruptJournal, "copied before the snapshot", "ends at sequence 4", f"snaptable repair {copy}")
    result = command("repair", copy, "--yes").says(
        "1.jsonl is set aside", "sequence 8", "No acknowledged commit is lost"
    )
    assert result.status == 0
    nothing_lost(copy, before)
    assert opened(copy) == rows
