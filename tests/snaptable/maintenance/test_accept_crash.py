"""Accepting an edit: a crash at any point leaves the edit in the store, or asked for again."""

from pathlib import Path

import pytest
from tests.snaptable.maintenance.support import contents, edit, lift
from tests.snaptable.storage.support import JOURNAL, QUARANTINE, SNAPSHOT, Rows, Store, User, parse_snapshot

from snaptable.maintenance.acceptance import accept_edit
from snaptable.maintenance.external_edit import examine
from snaptable.maintenance.untyped import recover_untyped
from snaptable.storage.disk import names
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import SimulatedDisk


@pytest.mark.parametrize("reaches_back", [True, False])
@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_at_any_point(directory: Path, states: list[Rows], model: Model, *, reaches_back: bool) -> None:
    """Ensure that after a crash anywhere the edit is there or asked for again, and taking it over ends the same."""
    assert states
    if not reaches_back:
        with Store(directory, fsync=False) as db:
            db.users.insert(User(id="ten"))
        (directory / JOURNAL / "1.jsonl").unlink()
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    before = contents(directory)
    first = lift(directory)
    wanted = examine(first, before[SNAPSHOT])
    assert wanted is not None
    accept_edit(first, wanted)
    end = (wanted.store.sequence, wanted.store.pages.render())
    for point in range(len(first.operations) + 1):
        for state in states_after(first, point, model, max_states=60):
            disk = SimulatedDisk(state)
            again = examine(disk, disk.read(names.SNAPSHOT))
            if again is not None:
                accept_edit(disk, again)
                assert (again.store.sequence, again.store.pages.render()) == end, point
            found = recover_untyped(disk, disk.read(names.SNAPSHOT))
            assert (found.sequence, found.pages.render()) == end, point
            assert parse_snapshot(disk.read(names.SNAPSHOT))[0]["sequence"] == end[0]
            kept = {disk.read(f"{QUARANTINE}/{found}") for found in disk.list(QUARANTINE)}
            for file, old in before.items():
                assert old in kept or disk.read(file) == old, (point, file)
