"""The disk of the library's pytest plugin, for both stores: real files, and yet it can be full, and its power be cut.

Of what was not synced when the power goes, anything may be there: what POSIX allows, and some file systems do.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from demos.lesson.naive import FILE, NaiveStore, many
from demos.lesson.tables import Mail
from snaptable.testing import DiskFaults
from snaptable.testing.process import abandon
from snaptable.testing.recorded_directory import RecordedDirectory


def disk_in(folder: Path) -> tuple[RecordedDirectory, DiskFaults]:
    """Return a disk on a folder, and the faults that it can be given."""
    folder.mkdir(parents=True, mode=0o700)
    faults = DiskFaults()
    return RecordedDirectory(folder, faults, fsync=True), faults


def mail_on(disk: RecordedDirectory) -> Mail:
    """Return a closed database whose files are on a disk."""
    return Mail(disk.root, filesystem=lambda _directory, *, fsync: disk, banner=False)  # noqa: ARG005 - a disk that syncs


class NaiveStoreOnDisk(NaiveStore):
    """The stop-gap, its file on such a disk: opened to be written, which empties it, and written."""

    def __init__(self, disk: RecordedDirectory) -> None:
        """Take the disk."""
        super().__init__(disk.root / FILE)
        self._disk = disk

    def save(self, messages: list[dict[str, object]]) -> None:
        """Write all messages."""
        if FILE in self._disk.list():
            file = self._disk.append(FILE)
            file.truncate(0)
        else:
            file = self._disk.create(FILE)
        file.write([json.dumps(messages, indent=0).encode()])
        file.close()


def write_naively(disk: RecordedDirectory, count: int, told: Callable[[], None]) -> None:
    """Add a number of messages, telling each that was added."""
    store = NaiveStoreOnDisk(disk)
    for number in range(1, count + 1):
        store.save(many(number))
        told()


def lose_power(disk: RecordedDirectory, rng: Random, db: Mail | None = None) -> None:
    """Cut the power, and leave in the folder what a disk may hold then."""
    disk.kill("the power was cut")
    if db is not None:
        abandon(db)
    disk.lose_unsynced("weak", rng)
