"""An older snapshot put back beside a newer, cleanly closed journal is noticed, and either of the two can be taken."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.cli.support import SCHEMA, command, nothing_lost, unchanged
from tests.snaptable.maintenance.support import contents, fill, lift
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Post,
    Rows,
    Store,
    User,
    expect_refusal,
    killed,
    opened,
    parse_snapshot,
    rows_of,
    segments,
)

from snaptable import SnapshotEdited, WriteFailed
from snaptable.maintenance.acceptance import accept_edit, discard_edit
from snaptable.maintenance.external_edit import examine, examine_discarding
from snaptable.maintenance.untyped import recover_untyped
from snaptable.storage.disk import names
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import SimulatedDisk


def put_back(directory: Path, last: int = 3) -> Rows:
    """Fill a store, close it, go on, close it again, and put the first close's snapshot back; return its rows."""
    with Store(directory, fsync=False) as db:
        older = fill(db, last=last)[-1]
    data = (directory / SNAPSHOT).read_bytes()
    with Store(directory, fsync=False) as db:
        fill(db, first=last)
    (directory / SNAPSHOT).write_bytes(data)
    return older


@pytest.mark.parametrize("read_only", [False, True])
def test_it_is_refused_by_both_sequences_and_times(directory: Path, *, read_only: bool) -> None:
    """Ensure the message names both sequences, both times and both commands, and that nothing is changed."""
    put_back(directory)
    header, _ = parse_snapshot((directory / SNAPSHOT).read_bytes())
    close = json.loads((directory / JOURNAL / "4.jsonl").read_text().splitlines()[-1])
    assert (header["sequence"], close["sequence"]) == (3, 8)
    accept = f"snaptable accept {directory}"
    words = ("put back", "sequence 3", header["saved_at"], "sequence 8", close["at"], accept, f"{accept} --discard")
    expect_refusal(directory, SnapshotEdited, *words, read_only=read_only)
    assert unchanged(directory, "check", directory).says(*words).status == 1
    assert unchanged(directory, "repair", directory, "--yes").says(*words).status == 1


@pytest.mark.parametrize("schema", [(), ("--schema", SCHEMA)])
@pytest.mark.parametrize("layout", [None, {"indent": 2}])
def test_going_back(directory: Path, schema: tuple[str, ...], layout: dict[str, int] | None) -> None:
    """Ensure accepting makes the older rows a new commit, keeps every byte, and numbers are not given out again."""
    older = put_back(directory)
    if layout:
        plain = json.loads((directory / SNAPSHOT).read_text())
        (directory / SNAPSHOT).write_text(json.dumps(plain, **layout))  # type: ignore[arg-type]
    before = contents(directory)
    assert (
        unchanged(directory, "accept", directory, *schema, answer="n\n").says("5 newer commits", '- "zoe"').status == 1
    )
    assert command("accept", directory, "--yes", *schema).says("sequence 9").status == 0
    nothing_lost(directory, before)
    assert opened(directory) == older
    shutil.copytree(directory, rebuilt := directory.parent / "rebuilt")
    (rebuilt / SNAPSHOT).unlink()
    assert opened(rebuilt) == older
    with Store(directory, fsync=False) as db:
        assert db.posts.insert(Post(user_id="ann")).id == 4
    assert unchanged(directory, "accept", directory).says("no edit").status == 0


@pytest.mark.parametrize("arguments", [("accept", "--discard"), ("repair", "--discard-edit")])
def test_going_on(directory: Path, arguments: tuple[str, str]) -> None:
    """Ensure discarding writes the newer snapshot again, and keeps the one that was put back."""
    put_back(directory)
    with Store(directory.parent / "twin", fsync=False) as db:
        newest = fill(db)[-1]
    before, (verb, option) = contents(directory), arguments
    assert unchanged(directory, verb, directory, option, answer="n\n").says("sequence 8").status == 1
    assert command(verb, directory, option, "--yes").says("Done").status == 0
    nothing_lost(directory, before)
    assert before[SNAPSHOT] in [path.read_bytes() for path in (directory / QUARANTINE).iterdir()]
    assert opened(directory) == newest
    assert unchanged(directory, "accept", directory, "--discard").says("no edit").status == 0


def test_an_edit_can_be_discarded(directory: Path, states: list[Rows]) -> None:
    """Ensure an edit is given up for what was there before, also one that the models, or the form, forbid."""
    sound = (directory / SNAPSHOT).read_text()
    for old, new in (
        ('"note":"plain"', '"note":7'),
        ('"tokens": {\n}', '"tokens": []'),
        ('"note":"plain"', '"note":"x"'),
    ):
        (directory / SNAPSHOT).write_text(sound.replace(old, new))
        assert command("accept", directory, "--discard", "--yes").says("sequence 8").status == 0
        assert opened(directory) == states[8]


def test_a_mark_of_an_earlier_close_counts(directory: Path) -> None:
    """Ensure that a kill behind the close makes the older snapshot no less put back."""
    older = put_back(directory)
    data = (directory / SNAPSHOT).read_bytes()
    command("accept", directory, "--discard", "--yes")
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="more"))
        copy = killed(db, keep=data)
    expect_refusal(copy, SnapshotEdited, "sequence 3", "sequence 8")
    assert command("accept", copy, "--yes").says("6 newer commits").status == 0
    assert opened(copy) == older


def test_a_snapshot_that_lags_after_a_kill_is_not_put_back(behind: Path, states: list[Rows]) -> None:
    """Ensure a snapshot that a crash left behind the journal is brought forward without a question."""
    assert opened(behind) == states[8]


def test_a_close_whose_snapshot_failed_leaves_no_mark() -> None:
    """Ensure the next start replays what only the journal holds, and calls nothing put back."""
    disk = SimulatedDisk()
    db = Store(disk.root, snapshot="background", filesystem=disk.mount).open()
    db.users.insert(User(id="a"))
    with disk.faults.fail("rename", name=SNAPSHOT), pytest.raises(WriteFailed):
        db.close()
    assert b'"sequence": 0' in disk.read(SNAPSHOT)
    with Store(disk.root, filesystem=disk.mount) as again:
        assert list(rows_of(again)["users"]) == ["a"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["write", "close", "kill", "keep"]), min_size=2, max_size=12), st.booleans())
def test_any_life(tmp_path_factory: pytest.TempPathFactory, life: list[str], discard: bool) -> None:
    """Ensure that a snapshot of any moment, put back, is noticed exactly if a clean close came behind it."""
    directory = tmp_path_factory.mktemp("life") / "data"
    db, sequence, closed, kept, kept_rows = Store(directory, fsync=False).open(), 0, -1, None, Rows()
    for step in [*life, "write", "close"]:
        if step == "write":
            db.users.insert(User(id=str(sequence)))
            sequence += 1
        elif step == "keep":
            kept, kept_rows = (sequence, (directory / SNAPSHOT).read_bytes()), rows_of(db)
        elif step == "close":
            closed = sequence if sequence else closed
            db.close()
            db.open()
        else:
            copy = killed(db)
            db.close()
            directory, db = copy, Store(copy, fsync=False).open()
    newest = rows_of(db)
    copy = killed(db)
    db.close()
    if kept is None:
        return
    (copy / SNAPSHOT).write_bytes(kept[1])
    if kept[0] < closed:
        expect_refusal(copy, SnapshotEdited, f"sequence {kept[0]},", f"sequence {closed},")
        assert command("accept", copy, "--yes", *(["--discard"] if discard else [])).status == 0
    assert opened(copy) == (newest if discard or kept[0] >= closed else kept_rows)


@pytest.mark.parametrize("discard", [True, False])
@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_at_any_point(directory: Path, model: Model, *, discard: bool) -> None:
    """Ensure that after a crash anywhere the store is refused as before or is as it was to be; another call ends so."""
    put_back(directory)
    # The only mark of the close stands in a file without a commit, whose name the new one needs.
    data = (directory / SNAPSHOT).read_bytes()
    command("accept", directory, "--discard", "--yes")
    with Store(directory, fsync=False) as db:
        copy = killed(db)
    (copy / JOURNAL / "4.jsonl").write_bytes(b"".join((copy / JOURNAL / "4.jsonl").read_bytes().splitlines(True)[:-1]))
    opened(copy)
    assert [path.name for path in segments(copy)] == ["1.jsonl", "4.jsonl", "9.jsonl"]
    (copy / JOURNAL / "1.jsonl").write_bytes(b"".join((copy / JOURNAL / "1.jsonl").read_bytes().splitlines(True)[:-1]))
    (copy / SNAPSHOT).write_bytes(data)
    before, first = contents(copy), lift(copy)

    def take(disk: SimulatedDisk) -> None:
        content = disk.read(names.SNAPSHOT)
        if discard:
            store = examine_discarding(disk, content)
            if store is not None:
                discard_edit(disk, content, store)
            return
        edit = examine(disk, content)
        if edit is not None:
            accept_edit(disk, edit)

    take(first)
    end = recover_untyped(first, first.read(names.SNAPSHOT))
    assert end.sequence == (8 if discard else 9)
    for point in range(len(first.operations) + 1):
        for state in states_after(first, point, model, max_states=40):
            disk = SimulatedDisk(state)
            try:
                recover_untyped(disk, disk.read(names.SNAPSHOT))
            except SnapshotEdited:
                take(disk)
            after = recover_untyped(disk, disk.read(names.SNAPSHOT))
            assert (after.sequence, after.pages.render()) == (end.sequence, end.pages.render()), point
            kept = {disk.read(f"{QUARANTINE}/{name}") for name in disk.list(QUARANTINE)}
            assert before[SNAPSHOT] in kept or disk.read(SNAPSHOT) == before[SNAPSHOT]
