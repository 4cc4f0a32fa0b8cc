"""Every file operation of a store's life fails, once or from then on, in every way: nothing acknowledged is lost."""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import FOREVER, Disk, FaultyStore
from tests.snaptable.storage.support import JOURNAL, SNAPSHOT, Store, User, killed

from snaptable import OpenError, ReadOnlyStore, WriteFailed
from snaptable.storage import group_commit

Notes = dict[str, str]
GONE = "gone"
EVERY = os.environ.get("SNAPTABLE_FAULTS") == "all"
FAILURES = (WriteFailed, ReadOnlyStore)


class Witness:
    """What was acknowledged, and what may be there besides after a kill."""

    def __init__(self) -> None:
        self.acknowledged: Notes = {}
        self.possible: dict[str, set[str]] = {}
        self.failures = 0

    def promised(self, changes: Notes) -> None:
        """Take note of a write that returned."""
        for key, note in changes.items():
            self.possible.pop(key, None)
            self.acknowledged.pop(key, None) if note == GONE else self.acknowledged.update({key: note})

    def doubtful(self, changes: Notes) -> None:
        """Take note of a write that raised: a kill may leave it or not."""
        self.failures += 1
        for key, note in changes.items():
            self.possible.setdefault(key, {self.acknowledged.get(key, GONE)}).add(note)

    def verify(self, present: Notes, *, exactly: bool) -> None:
        """Check what was found: exactly what was acknowledged, or, after a kill, that or what was tried."""
        if exactly or not self.possible:
            assert present == self.acknowledged
            return
        for key in {*present, *self.acknowledged, *self.possible}:
            allowed = self.possible.get(key, {self.acknowledged.get(key, GONE)})
            assert present.get(key, GONE) in allowed, key
        for number in range(20):
            pair = {present.get(f"pair {number} {side}") for side in "ab"}
            assert len(pair) == 1, "half a transaction"


def notes(db: Store) -> Notes:
    """Return the users' notes by key."""
    return {user.id: user.note for user in db.users.where().all()}


def pair(number: int) -> Notes:
    """Return two rows that are written in one transaction."""
    return {f"pair {number} {side}": str(number) for side in "ab"}


def apply(db: Store, changes: Notes) -> None:
    """Write changes in one transaction."""
    with db.transaction():
        for key, note in changes.items():
            if note == GONE:
                db.users.delete(key)
            else:
                db.users.upsert(User(id=key, note=note))


STEPS: list[Notes | str] = [
    pair(1),
    {"a": "2"},
    "persist",
    {"a": GONE},
    pair(2),
    {"b": "x" * 2_000},
    pair(3),
    "persist",
    {"c": GONE, "e": "5"},
    pair(4),
]


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a killed store with a torn end, so that an opening has everything to do."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 2_500)
    with Store(tmp_path / "template" / "data", fsync=False) as db:
        oldest = (tmp_path / "template" / "data" / SNAPSHOT).read_bytes()
        apply(db, {"a": "1", "b": "1", "c": "1", "d": "1"})
        apply(db, {"d": "2"})
        copy = killed(db, keep=oldest)
    with (copy / JOURNAL / "1.jsonl").open("ab") as journal:
        journal.write(b'{"frame":[3,3],')
    return copy


def work(db: Store, witness: Witness, errors: tuple[type[BaseException], ...]) -> None:
    """Do every step that can be done; after each, memory holds exactly what was acknowledged."""
    for step in STEPS:
        try:
            if step == "persist":
                db.persist()
                continue
            assert isinstance(step, dict)
            possible = {key: note for key, note in step.items() if note != GONE or key in witness.acknowledged}
            apply(db, possible)
        except errors as error:
            promised = isinstance(error.__cause__, OSError | ReadOnlyStore) or not isinstance(error, WriteFailed)
            assert promised or RuntimeError in errors
            if isinstance(step, dict):
                # An interruption behind the sync: what readers see by then is durable, and must stay.
                shown = not isinstance(error, FAILURES) and possible.items() <= notes(db).items() | {
                    (key, GONE) for key in possible.keys() - notes(db).keys()
                }
                (witness.promised if shown else witness.doubtful)(possible)
        else:
            witness.promised(possible)
        assert notes(db) == witness.acknowledged
        assert db.check() == []


def live(directory: Path, disk: Disk, errors: tuple[type[BaseException], ...], *, mend: bool) -> Witness:
    """Live a store's life on a disk that fails somewhere; return the witness after all was checked."""
    witness = Witness()
    witness.acknowledged = {"a": "1", "b": "1", "c": "1", "d": "2"}
    db = FaultyStore(directory, disk)
    with suppress(OpenError, *errors[2:]):
        db.open()
    if not db.is_open:
        disk.mend()
        witness.failures += 1
        db.open()
    assert notes(db) == witness.acknowledged
    work(db, witness, errors)
    # 1. After a kill.
    with Store(killed(db), fsync=False) as copy:
        witness.verify(notes(copy), exactly=False)
        assert copy.check() == []
    # 2. Healed, where the disk is well again.
    if mend:
        disk.mend()
        if errors[2:] == ():
            db.persist()
            apply(db, {"healed": "yes"})
            witness.promised({"healed": "yes"})
    # 3. After closing: exactly what was acknowledged, unless closing says that it failed.
    clean = True
    try:
        db.close()
    except errors:
        clean = False
        assert not mend or errors[2:]
    disk.mend()
    for _ in range(2):
        with Store(directory, fsync=False) as again:
            witness.verify(notes(again), exactly=clean and not errors[2:])
            assert again.check() == []
            witness.acknowledged, witness.possible = notes(again), {}
    return witness


def sweep(
    template: Path, plant: Callable[[Disk, int], object], errors: tuple[type[BaseException], ...], *, first: int
) -> int:
    """Live a life for every second operation, from the `first` on, with a fault at that one; return how many struck.

    The disk is well again before closing every other time; with SNAPTABLE_FAULTS=all every operation has its faults,
    and each life is lived both ways.
    """
    record = Disk()
    directory = template.parent / "run"
    shutil.copytree(template, directory)
    live(directory, record, errors, mend=True)
    struck = 0
    for number in range(len(record.operations)) if EVERY else range(first, len(record.operations), 2):
        for mend in (True, False) if EVERY else (number % 4 < 2,):
            shutil.rmtree(directory)
            shutil.copytree(template, directory)
            disk = Disk()
            plant(disk, number)
            try:
                struck += live(directory, disk, errors, mend=mend).failures > 0
            except BaseException:
                where = disk.operations[number] if number < len(disk.operations) else "?"
                sys.stderr.write(f"the fault was at operation {number}, {where}, mend={mend}\n")
                raise
            for path in directory.parent.glob("killed-*"):
                if path != template:
                    shutil.rmtree(path)
    assert struck
    return struck


@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "from then on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_every_operation_fails(template: Path, error: int, times: int) -> None:
    """Ensure an operation that fails, whichever it is, costs at most the write it belongs to."""
    # Every operation fails once, and for good: every second one by the one error, the others by the other.
    first = int(error == errno.EIO) ^ int(times == 1)
    sweep(template, lambda disk, number: disk.fail("any", error, skip=number, times=times), FAILURES, first=first)


@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "from then on"])
@pytest.mark.parametrize(
    ("operation", "how", "error"),
    [
        ("write", "short", errno.ENOSPC),
        ("write", "after", errno.EIO),
        ("sync", "after", errno.EIO),
        ("sync", "lost", errno.EIO),
        ("sync", "after", errno.ENOSPC),
        ("replace", "after", errno.EIO),
    ],
)
def test_operations_fail_half_done(template: Path, operation: str, how: str, error: int, times: int) -> None:
    """Ensure an operation that took place in part or whole, and failed all the same, costs at most its write."""

    def plant(disk: Disk, number: int) -> None:
        disk.fail(operation, error, skip=number, times=times, how=how)

    record = Disk()
    shutil.copytree(template, template.parent / "dry")
    live(template.parent / "dry", record, FAILURES, mend=True)
    some = Disk()
    some.operations = [entry for entry in record.operations if entry[0] == operation]
    assert len(some.operations) > 5
    directory = template.parent / "run"
    for number in range(len(some.operations)):
        for mend in (True, False) if EVERY else (number % 2 == 0,):
            shutil.copytree(template, directory)
            disk = Disk()
            plant(disk, number)
            live(directory, disk, FAILURES, mend=mend)
            shutil.rmtree(directory)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_every_operation_is_interrupted(template: Path, error: type[BaseException]) -> None:
    """Ensure an exception that is no file error, Ctrl-C above all, loses nothing and leaves a store that opens."""
    errors, first = (WriteFailed, ReadOnlyStore, error), int(error is RuntimeError)
    sweep(template, lambda disk, number: disk.fail("any", error("interrupted"), skip=number), errors, first=first)


def test_killed_at_every_operation(template: Path) -> None:
    """Ensure a kill just before any file operation leaves what was acknowledged by then, and at most one write more."""
    disk, witness = Disk(), Witness()
    copies: list[tuple[Path, Witness, tuple[str, str]]] = []
    directory = template.parent / "run"
    shutil.copytree(template, directory)
    witness.acknowledged = {"a": "1", "b": "1", "c": "1", "d": "2"}
    current: list[Notes] = [{}]

    def photograph(operation: str, name: str) -> None:
        if operation in ("inspect", "read", "list"):
            return
        copy = template.parent / f"photo-{len(copies)}"
        shutil.copytree(directory, copy)
        now = Witness()
        now.acknowledged = dict(witness.acknowledged)
        now.doubtful(current[0])
        copies.append((copy, now, (operation, name)))

    disk.before = photograph
    with FaultyStore(directory, disk) as db:
        for step in STEPS:
            if isinstance(step, str):
                db.persist()
                continue
            current[0] = step
            apply(db, step)
            witness.promised(step)
            current[0] = {}
    assert len(copies) > 80
    for copy, then, where in copies:
        for _ in range(2):
            with Store(copy, fsync=False) as again:
                then.verify(notes(again), exactly=False)
                assert again.check() == [], where
                then.acknowledged, then.possible = notes(again), {}
                apply(again, {"more": "yes"})
                then.promised({"more": "yes"})
        shutil.rmtree(copy)


def test_no_descriptor_is_left_open(template: Path) -> None:
    """Ensure failures at any operation, healed or closed over, leak no file descriptor."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    if not before:
        pytest.skip("descriptors can't be counted here")
    directory = template.parent / "run"
    for number in range(0, 150, 6):
        shutil.copytree(template, directory)
        disk = Disk()
        disk.fail("any", errno.EIO, skip=number, times=FOREVER)
        with suppress(WriteFailed, OpenError):
            live(directory, disk, FAILURES, mend=False)
        shutil.rmtree(directory)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208
