"""Race: two threads write at once. Each reads the file, adds a message and writes the file: the last one wins."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from demos.lesson.naive import NaiveStore
from demos.lesson.steps import Lane, Step, snapshot_in, watched
from demos.lesson.tables import Mail, Message, fill

WRITERS, EACH = 2, 50
SENT = WRITERS * EACH


def at_once(write: Callable[[int], object]) -> None:
    """Call a function for each message, from all threads at once."""
    start = threading.Barrier(WRITERS)

    def work(writer: int) -> None:
        start.wait()
        for number in range(EACH):
            write(writer * EACH + number)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class CarefulStore(NaiveStore):
    """The stop-gap, written beside and renamed, so that no reader ever gets half a file. It does not help."""

    def save(self, messages: list[dict[str, object]]) -> None:
        """Write all messages to a file of this thread's own, and rename it."""
        path = self.path.with_name(f"{threading.get_ident()}.tmp")
        path.write_text(json.dumps(messages, indent=0), encoding="utf-8")
        path.replace(self.path)


def naive(folder: Path) -> Iterator[Step]:
    """Write to the JSON file."""
    store = CarefulStore(snapshot_in(folder))
    store.save([])
    told: list[int] = []

    def write(number: int) -> None:
        store.add(f"message {number}")
        told.append(number)

    yield from watched(lambda: at_once(write), lambda: Step(f"{len(told)} sent", "writing …", store.path))
    kept = len(store.load())
    says = f"All {len(told)} were told to be saved; {kept} are in the file. Each wrote over what the other had added."
    yield Step(f"{kept} of {SENT}", says, store.path, held=kept == SENT)


def ours(folder: Path) -> Iterator[Step]:
    """Write to the store."""
    with Mail(folder, banner=False) as db:
        fill(db, 0)
        yield from watched(
            lambda: at_once(lambda number: db.messages.insert(Message(sender=1, text=f"message {number}"))),
            lambda: Step(f"{db.messages.count()} sent", "writing …", snapshot_in(folder)),
        )
    with Mail(folder, banner=False) as db:
        kept = db.messages.count()
        says = f"All {SENT} were told to be saved, one transaction at a time; {kept} are there after a restart."
        yield Step(f"{kept} of {SENT}", says, snapshot_in(folder), held=kept == SENT and not db.check())


LANE = Lane("race", "Race", "Two threads write 50 messages each, at once. How many are there?", naive, ours)
