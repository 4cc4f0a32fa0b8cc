"""Repairing a store: after a crash at any point, repairing it again ends the same, with every byte kept."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.snaptable.maintenance.support import contents, damage, fill, lift
from tests.snaptable.storage.support import JOURNAL, QUARANTINE, SNAPSHOT, Store, killed

from snaptable import OpenError
from snaptable.maintenance.repair import carry_out
from snaptable.maintenance.salvage import plan_repair
from snaptable.maintenance.untyped import recover_untyped
from snaptable.storage.store import read_snapshot
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import SimulatedDisk


def break_file(path: Path) -> None:
    """Damage a file that the state needs."""
    damage(path / JOURNAL / "4.jsonl", b'"changes"', b'"CHANGES"')


def break_both(path: Path) -> None:
    """Damage a file, and the snapshot."""
    break_file(path)
    damage(path / SNAPSHOT, b'"one"', b'"one')


def break_history(path: Path) -> None:
    """Damage a file that the snapshot covers."""
    damage(path / JOURNAL / "1.jsonl", b'"changes"', b'"CHANGES"')


def lose_file(path: Path) -> None:
    """Remove a file that the state needs."""
    (path / JOURNAL / "4.jsonl").unlink()


def lose_snapshot(path: Path) -> None:
    """Empty the snapshot."""
    (path / SNAPSHOT).write_bytes(b"")


BREAKS: list[Callable[[Path], None]] = [break_file, break_both, break_history, lose_file, lose_snapshot]


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
@pytest.mark.parametrize("harm", BREAKS)
def test_a_crash_at_any_point(directory: Path, harm: Callable[[Path], None], model: Model) -> None:
    """Ensure that after a crash anywhere in a repair, doing it again ends the same, with every byte kept."""
    with Store(directory, fsync=False) as db:
        fill(db, last=2)
        second = (directory / SNAPSHOT).read_bytes()
        fill(db, first=2)
        copy = killed(db, keep=second)
    harm(copy)
    assert repeated_after_a_crash(copy, model)


@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_while_damage_is_bridged(behind: Path, model: Model) -> None:
    """Ensure commits whose only file is set aside are in the snapshot before it goes."""
    damage(behind / JOURNAL / "1.jsonl", b'"one"', b'"ONE"')
    assert repeated_after_a_crash(behind, model)


@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_while_a_failed_write_is_cut_off(haunted: Path, model: Model) -> None:
    """Ensure a frame that was given up does not come back through a crash in the repair either."""
    for rows in repeated_after_a_crash(haunted, model):
        assert b"ghost" not in rows


def repeated_after_a_crash(directory: Path, model: Model) -> list[bytes]:
    """Crash a repair everywhere and do it again, each time to the same end; return the rows as opening shows them."""
    before = contents(directory)
    first = lift(directory)
    made = plan_repair(first)
    assert made.store is not None
    carry_out(first, made)
    end = (made.store.sequence, made.store.pages.render())
    seen = []
    for point in range(len(first.operations) + 1):
        for state in states_after(first, point, model, max_states=25):
            disk = SimulatedDisk(state)
            again = plan_repair(disk)
            assert again.store is not None, point
            assert (again.store.sequence, again.store.pages.render()) == end, point
            with suppress(OpenError):  # it may open before it is repaired, but then with the very rows
                raw = recover_untyped(disk, read_snapshot(disk))
                assert raw.pages.render() == end[1], point
            carry_out(disk, again)
            assert not plan_repair(disk).is_needed
            seen += [
                page for pages in recover_untyped(disk, read_snapshot(disk)).pages.render().values() for page in pages
            ]
            kept = {disk.read(f"{QUARANTINE}/{found}") for found in disk.list(QUARANTINE)}
            for file, data in before.items():
                now = disk.read(file) if file in disk.contents.names else b""
                assert now == data or data in kept or data[len(now) :] in kept, (point, file)
    return seen
