"""Copies of a running store: its files one after the other, in any order, each read in two parts, while it is written.

`cp -r`, `tar` and `rsync` make such copies. Each must open, or be mended by `snaptable repair` (or, if the store was
closed meanwhile, by `accept --discard`), with every row that was acknowledged before the copy began.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tests.snaptable.crash import migrating
from tests.snaptable.crash.search import SHORTENED, WORKLOADS, Recording, Shelf, background, has_migrated

from snaptable import Database, OpenError, SnapshotEdited
from snaptable.maintenance.acceptance import discard_edit
from snaptable.maintenance.external_edit import examine_discarding
from snaptable.maintenance.repair import carry_out
from snaptable.maintenance.salvage import plan_repair
from snaptable.storage.disk import names
from snaptable.testing.disk import Contents, SimulatedDisk, apply
from snaptable.testing.recording import rows_of

COPIED = tuple(name for name in WORKLOADS if name not in SHORTENED)
"""The workloads whose copies lose nothing: those whose history is not shortened meanwhile, as 256 MiB of it are not.

While history is forgotten, pruned or purged, a copy may have an older snapshot, and lack the files that went meanwhile:
it is refused, or mended to an older state; what it shows is a state that was, all the same.
"""


@dataclass
class CopyReport:
    """How many copies opened at once, were repaired, or discarded a snapshot; and what was wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def search(run: Recording[Shelf], report: CopyReport, seed: int, copies: int, *, shortened: bool = False) -> None:
    """Copy the store of a recorded run again and again, and open each copy.

    Args:
        run: the recorded run.
        report: told how it went.
        seed: chooses the copies.
        copies: how many.
        shortened: whether a copy may be of an older state, or refused.
    """
    judged: Recording[Any] = migrating.as_newer_sees(run) if has_migrated(run) else run
    moments = _moments(run.disk)
    for number in range(copies):
        rng = random.Random(f"{seed}, {number}")
        began = rng.randrange(run.first_operation, len(moments))
        copy = _copied(moments, began, rng)
        known = (sequence for sequence, at in judged.acknowledged.items() if at <= began)
        expected = -1 if shortened else max(known, default=0)
        try:
            report.outcomes[_opened(judged, copy, expected, may_be_refused=shortened)] += 1
        except Exception as error:
            report.failures.append(
                f"seed {seed}, copy {number} from operation {began}: {type(error).__name__}: {error}"
            )


def _moments(disk: SimulatedDisk) -> list[Contents]:
    """Return what was on the disk before the first operation and after each."""
    contents = disk.start.copy()
    moments = [contents.copy()]
    for operation in disk.operations:
        apply(contents, operation)
        moments.append(contents.copy())
    return moments


def _copied(moments: list[Contents], began: int, rng: random.Random) -> Contents:
    """Return a copy that began at a moment: its files in random order, each read in two parts, later and later."""
    now, longest = began, rng.choice((0, 1, 3, 10, 40))

    def later() -> Contents:
        nonlocal now
        now = min(now + rng.randint(0, longest), len(moments) - 1)
        return moments[now]

    copy = Contents(set(moments[began].directories), {}, {})
    folders = ["", names.JOURNAL]
    rng.shuffle(folders)
    for folder in folders:
        # The names are listed when the folder is reached.
        listed = [name for name in later().names if name.rpartition("/")[0] == folder]
        rng.shuffle(listed)
        for name in listed:
            inode = later().names.get(name)
            if inode is None:
                continue  # it vanished meanwhile, as temporary files do
            data = moments[now].inodes[inode]
            cut = rng.randint(0, len(data))
            copy.names[name], copy.inodes[inode] = inode, data[:cut] + later().inodes[inode][cut:]
    copy.directories |= {name.rpartition("/")[0] for name in copy.names}
    return copy


def _opened(run: Recording[Any], contents: Contents, expected: int, *, may_be_refused: bool) -> str:
    """Open a copy, mending it if it is refused, and check what it holds; return how that went."""
    disk, outcome = SimulatedDisk(contents), "opened"
    make = background if run.make is not migrating.newer else migrating.newer

    def opened() -> Database:
        return make(disk.root, filesystem=disk.mount).open()

    if not any(name == names.SNAPSHOT or name.startswith(names.JOURNAL) for name in contents.names):
        assert expected <= 0
        return "empty"
    try:
        db = opened()
    except SnapshotEdited:
        outcome, data = "discarded", disk.read(names.SNAPSHOT)
        store = examine_discarding(disk, data)
        assert store is not None
        discard_edit(disk, data, store)
        db = opened()
    except OpenError:
        outcome = "repaired"
        try:
            carry_out(disk, plan_repair(disk))
        except OpenError:
            if may_be_refused:
                return "refused"
            raise
        db = opened()
    with closing(db):
        sequence, rows = db.status().sequence, rows_of(db)
        assert db.check() == []
        assert sequence >= expected, f"{outcome} at {sequence}, acknowledged was {expected}"
        assert any(rows == candidate.rows for candidate in run.states.get(sequence, ())), f"{outcome}: never so"
    return outcome


__all__ = ["COPIED", "CopyReport", "search"]
