"""Power cut: what was written and not synced is in the memory of the system, and gone with it."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from demos.lesson.disks import disk_in, lose_power, mail_on, write_naively
from demos.lesson.naive import NaiveStore
from demos.lesson.steps import Lane, Step, snapshot_in
from demos.lesson.tables import Mail, Message, fill
from snaptable import SnaptableError
from snaptable.runtime.silenced_log import silenced_log

CUTS = 12
WRITES = 10
OPERATIONS = 12
"""Operations of the disk after which the power is cut, at most."""


def naive(folder: Path) -> Iterator[Step]:
    """Write some messages, cut the power at some operation, and read what is left; again and again."""
    whole = 0
    last = snapshot_in(folder)
    for cut in range(1, CUTS + 1):
        place = folder / str(cut)
        disk, _ = disk_in(place)
        rng, told = Random(cut), [0]  # noqa: S311 - the same cuts each time

        def tell(told: list[int] = told) -> None:
            told[0] += 1

        disk.operations_left = rng.randint(3, 3 * WRITES)
        with suppress(OSError):
            write_naively(disk, WRITES, tell)
        lose_power(disk, rng)
        last = snapshot_in(place)
        with suppress(ValueError):
            whole += len(NaiveStore(last).load()) >= told[0]
        yield Step(f"{whole} of {cut}", "cuts left what was told to be saved …", last)
    says = f"After {CUTS - whole} of {CUTS} cuts messages are gone that were told to be saved: nothing was synced."
    yield Step(f"{whole} of {CUTS}", says, last, held=whole == CUTS)


def ours(folder: Path) -> Iterator[Step]:
    """Do the same on the same disk."""
    whole = 0
    last = snapshot_in(folder)
    for cut in range(1, CUTS + 1):
        place = folder / str(cut)
        disk, _ = disk_in(place)
        rng, told = Random(cut), 0  # noqa: S311 - the same cuts each time
        db = mail_on(disk).open()
        fill(db, 0)
        disk.operations_left = rng.randint(3, OPERATIONS * WRITES)
        with silenced_log(), suppress(SnaptableError, OSError):
            for number in range(WRITES):
                db.messages.insert(Message(sender=1, text=f"message {number}"))
                told += 1
        with silenced_log():
            lose_power(disk, rng, db)
        last = snapshot_in(place)
        with Mail(place, banner=False) as after:
            whole += after.messages.count() >= told and not after.check()
        if cut < CUTS:
            shutil.rmtree(place)
        yield Step(f"{whole} of {cut}", "cuts left what was told to be saved …", last)
    says = (
        f"After {whole} of {CUTS} cuts every message is there: a write returns when its line in the journal is synced."
    )
    yield Step(f"{whole} of {CUTS}", says, last, held=whole == CUTS)


LANE = Lane(
    "power", "Power cut", "The power goes while messages are written. Are those there that were saved?", naive, ours
)
