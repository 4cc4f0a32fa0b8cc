"""Full disk: a file that is opened to be written is empty by then, and the disk has no room to fill it again."""

from collections.abc import Iterator
from pathlib import Path

from demos.lesson.disks import NaiveStoreOnDisk, disk_in, mail_on
from demos.lesson.naive import many
from demos.lesson.steps import Lane, Step, snapshot_in
from demos.lesson.tables import Mail, Message, fill
from snaptable import WriteFailed
from snaptable.runtime.silenced_log import silenced_log

MESSAGES = 200


def naive(folder: Path) -> Iterator[Step]:
    """Add a message while there is room for half the file."""
    disk, faults = disk_in(folder / "disk")
    store = NaiveStoreOnDisk(disk)
    store.save(many(MESSAGES))
    size = store.path.stat().st_size
    yield Step(f"{MESSAGES}", "messages are in the file; the disk is filled …", store.path)
    with faults.full(size // 2):
        try:
            store.save(many(MESSAGES + 1))
            failed = "nothing"
        except OSError as error:
            failed = str(error.strerror)
    try:
        kept = len(store.load())
    except ValueError:
        kept = 0
    says = f"The write failed ({failed}), and took the {MESSAGES} messages along that were there: the file is torn."
    yield Step(f"{kept} of {MESSAGES}", says, store.path, held=kept >= MESSAGES)


def ours(folder: Path) -> Iterator[Step]:
    """Add a message while the disk is full, and one when there is room again."""
    disk, faults = disk_in(folder / "disk")
    file = snapshot_in(disk.root)
    with mail_on(disk) as db:
        fill(db, MESSAGES)
        yield Step(f"{MESSAGES}", "messages are in the store; the disk is filled …", file)
        with faults.full(), silenced_log():
            try:
                db.messages.insert(Message(sender=1, text="no room"))
                refused = False
            except WriteFailed:
                refused = True
            still = db.messages.count()
        db.messages.insert(Message(sender=1, text="room again"))
    with Mail(disk.root, banner=False) as db:
        kept = db.messages.count()
        held = refused and still == MESSAGES and kept == MESSAGES + 1 and not db.check()
    says = f"The write was refused, and nothing else happened. With room again the next one is saved: {kept}."
    yield Step(f"{min(kept, MESSAGES)} of {MESSAGES}", says, file, held=held)


LANE = Lane("full", "Full disk", "There is no room for one more message. What of the others?", naive, ours)
