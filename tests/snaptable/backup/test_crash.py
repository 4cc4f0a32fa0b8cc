"""A crash at any step of a backup: no name stands for half of one, and the store is as it was."""

import io
from pathlib import Path

import pytest
from tests.snaptable.backup.support import Store, fill, rows_of

from snaptable.backup.archive import Archive
from snaptable.testing.crash import MODELS, Model, states_after
from snaptable.testing.disk import SimulatedDisk

WHERE = Path("/simulated")


@pytest.mark.parametrize("model", MODELS)
def test_a_crash_anywhere(model: Model) -> None:
    """Ensure, in every state that a kill or a power cut leaves, the file is whole or missing, and the store opens."""
    disk = SimulatedDisk()
    with Store(WHERE, filesystem=disk.mount, banner=False) as db:
        fill(db)
        expected, begin = rows_of(db), len(disk.operations)
        db.backup(WHERE / "x.zip")
        end = len(disk.operations)
        name, found = "x.zip", list[bool]()
        for point in range(begin, end + 1):
            for state in states_after(disk, point, model, max_states=15):
                there = SimulatedDisk(state)
                found.append(name in state.names)
                if name in state.names:
                    Archive(name, io.BytesIO(there.read(name))).verify()
                assert not [other for other in state.names if "backup" in other and ".tmp" not in other]
                with Store(WHERE, filesystem=there.mount, banner=False) as copy:
                    assert rows_of(copy) == expected
    assert not found[0]
    assert found[-1]


@pytest.mark.parametrize("model", ["ordered", "weak"])
def test_a_backup_is_synced_even_if_the_store_is_not(model: Model) -> None:
    """Ensure a power cut leaves a backup whole or missing, also of a store that is opened with fsync=False."""
    disk = SimulatedDisk()
    with Store(WHERE, filesystem=disk.mount, banner=False, fsync=False) as db:
        fill(db)
        begin = len(disk.operations)
        db.backup(WHERE / "x.zip")
        end = len(disk.operations)
    for point in range(begin, end + 1):
        for state in states_after(disk, point, model, max_states=15):
            if "x.zip" in state.names:
                Archive("x.zip", io.BytesIO(SimulatedDisk(state).read("x.zip"))).verify()
            assert point < end or "x.zip" in state.names


def test_only_the_backup_is_written() -> None:
    """Ensure no operation of a backup touches a file of the store, so that none can harm it."""
    disk = SimulatedDisk()
    with Store(WHERE, filesystem=disk.mount, banner=False, snapshot="background") as db:
        fill(db)
        db.persist()
        begin = len(disk.operations)
        db.backup(WHERE / "x.zip")
        touched = {operation.target or operation.name for operation in disk.operations[begin:]}
    assert all(name == "x.zip" or name.startswith(".backup.") or name == "" for name in touched), touched
