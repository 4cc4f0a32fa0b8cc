"""The workloads of the crash search; the search itself is `snaptable.testing`, as users have it.

In every state the past is looked at as well: see `oracle`.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.crash import migrating
from tests.snaptable.crash.backups import backed_up, check_backups
from tests.snaptable.crash.oracle import MARK, SECRET, Author, Book, Shelf, check_files, check_past, purges

from snaptable import Database, ReadOnlyStore, WriteFailed
from snaptable.engines import Filesystem
from snaptable.runtime.silenced_log import silenced_log
from snaptable.storage import group_commit
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.snapshot import checkpointer
from snaptable.testing.crash import Model
from snaptable.testing.disk import EMPTY, Contents
from snaptable.testing.oracle import CrashReport, CrashSearch
from snaptable.testing.recording import Recording, disk_of
from snaptable.testing.recording import record as record_run

Workload = Callable[[Shelf], object]


def mark(db: Shelf) -> None:
    """Make a commit in a store that was recovered."""
    if db.authors.get(MARK.id) is None:
        db.authors.insert(MARK)


def purge_again(db: Shelf) -> None:
    """Purge in a store that was recovered what may have been purged in part: it must end with nothing left."""
    db.history.purge("authors", 1, keys=True)
    check_files(db)
    mark(db)


def background(directory: Path, filesystem: Filesystem | None = None) -> Shelf:
    """Return a store whose acknowledgements wait for the journal alone: nothing but the journal holds them at first."""
    return Shelf(directory, snapshot="background", filesystem=filesystem)


def record(workload: Workload, contents: Contents = EMPTY) -> Recording[Shelf]:
    """Run a workload on a simulated disk."""
    if workload is migrating.migrated:
        contents = migrating.left_behind()
    make = background if workload in JOURNAL_ONLY else Shelf
    with silenced_log():
        return record_run(make, workload, contents)


def has_migrated(run: Recording[Shelf]) -> bool:
    """Return whether a newer program opened the store of a recording."""
    return any("works" in each.rows for states in run.states.values() for each in states)


def search(
    run: Recording[Shelf],
    model: Model,
    tally: CrashReport,
    *,
    seed: int,
    most: int,
    every: int = 1,
    nested: int = 0,
    max_failures: int = 10,
) -> None:
    """Open the store in every state after every operation of a run; `nested` of them crash again while opening."""
    options: dict[str, Any] = {"seed": seed, "max_states": most, "nested": nested, "max_failures": max_failures}
    with silenced_log():
        if has_migrated(run):
            seen = migrating.as_newer_sees(run)
            check_seen = partial(migrating.check_past, run, seen, is_nested=nested > 0)
            CrashSearch(tally, follow_up=migrating.mark, check=check_seen, **options).run(seen, model, every=every)
            return

        def check(db: Shelf) -> None:
            check_past(run, db, is_nested=nested > 0)
            check_backups(run, db)

        follow_up = purge_again if purges(run) else mark
        CrashSearch(tally, follow_up=follow_up, check=check, **options).run(run, model, every=every)


# ── workloads ───────────────────────────────────────────────────────────────────────────────────────────────────────


def small_commits(db: Shelf) -> None:
    """Insert, update, delete and cascade, a commit each; then a clean close."""
    db.authors.insert(Author(name="Ada"))
    db.authors.insert(Author(name="Grace", note="x" * 700))
    db.books.insert(Book(id="b1", author=1, tags=["a", "b"]))
    db.authors.update(1, note="y" * 300)
    db.books.insert(Book(id="b2", author=2))
    db.authors.delete(1)
    db.close()


def transactions(db: Shelf) -> None:
    """Change several tables in each commit."""
    for number in range(1, 8):
        with db.transaction():
            author = db.authors.insert(Author(name=f"author {number}", note="z" * (number * 211 % 900)))
            assert author.id is not None
            db.books.insert_many(Book(id=f"b{number}-{part}", author=author.id, year=number) for part in range(3))
            if number % 3 == 2:
                db.authors.where(Author.name < author.name).limit(1).delete()


def restarts(db: Shelf) -> None:
    """Close and open between commits."""
    for number in range(1, 6):
        db.authors.insert(Author(name=f"author {number}"))
        if number % 2:
            db.close()
            db.open()


def rolling(db: Shelf) -> None:
    """Go on in a new journal file after nearly every commit."""
    for number in range(1, 7):
        db.authors.insert(Author(name=f"author {number}", note="n" * 400))


def journal_only(db: Shelf) -> None:
    """Commit what only the journal holds, a snapshot in the middle."""
    for number in range(1, 7):
        db.authors.insert(Author(name=f"author {number}", note="n" * (number * 311 % 900)))
        if number == 3:
            db.persist()


def rolling_journal(db: Shelf) -> None:
    """Commit into ever new journal files, which alone hold the commits, with a snapshot and a restart between."""
    for number in range(1, 9):
        db.authors.insert(Author(name=f"author {number}", note="n" * 400))
        if number == 3:
            db.persist()
        if number == 6:
            db.close()
            db.open()


def pruned(db: Shelf) -> None:
    """Keep no history: what the snapshot covers goes, and leaves its bytes in the blocks of what comes next."""
    for number in range(1, 8):
        db.authors.insert(Author(name=f"author {number}", note="n" * (1900 if number in (5, 7) else 150)))
        if number % 2 == 0:
            db.persist()


def rolled_away(db: Shelf) -> None:
    """Keep no history behind writes that wait for their snapshot, whose name is synced later only."""
    for number in range(1, 9):
        db.authors.insert(Author(name=f"author {number}", note="n" * 400))


def gathered(db: Shelf) -> None:
    """Let tasks commit together, so that a frame holds several commits."""

    async def main() -> None:
        for group in range(20):
            adds = (db.run(_add, f"author {group}-{number}") for number in range(3))
            await asyncio.gather(*adds)

    asyncio.run(main())


def _add(db: Shelf, name: str) -> None:
    db.authors.insert(Author(name=name, note="n" * 200))


def failing_sync(db: Shelf) -> None:
    """Go on after a sync that failed: the write is taken back, persist() moves to new files."""
    db.authors.insert(Author(name="before"))
    disk_of(db).faults.fail("sync", times=1, name=".jsonl")
    with suppress(WriteFailed):
        db.authors.insert(Author(name="lost, or not"))
    with suppress(WriteFailed, ReadOnlyStore):
        db.persist()
    db.authors.insert(Author(name="after"))
    db.authors.insert(Author(name="last"))


def without_zeros(db: Shelf) -> None:
    """Find no room for all the zeros behind the journal, nor to sync them, and then enough."""
    disk_of(db).faults.fail("zeros", errno.ENOSPC, times=3, how="short")
    for number in range(1, 5):
        db.authors.insert(Author(name=f"author {number}", note="n" * (number * 311 % 900)))
    db.close()
    db.open()
    db.authors.insert(Author(name="with zeros"))
    disk_of(db).faults.fail("sync", times=1, name=".jsonl")
    with suppress(WriteFailed):
        db.authors.insert(Author(name="lost, or not", note="n" * 2000))
    db.persist()
    db.authors.insert(Author(name="last", note="n" * 1400))


def given_up(db: Shelf) -> None:
    """Take a write back whose bytes may well be on the disk, and restart again and again."""
    db.authors.insert(Author(name="before"))
    disk_of(db).faults.fail("sync", times=1, name=".jsonl", how="after")
    with suppress(WriteFailed):
        db.authors.insert(Author(name="taken back"))
    db.persist()
    for number in range(3):
        db.close()
        db.open()
        if number == 1:
            db.authors.insert(Author(name="after"))


def undone(db: Shelf) -> None:
    """Undo, redo and restore, cascades among it, with a restart between."""
    with db.transaction():
        author = db.authors.insert(Author(name="Ada", note="first"))
        db.books.insert_many(Book(id=f"b{number}", author=author.id or 0, tags=["x"] * number) for number in range(3))
    db.authors.update(1, note="n" * 700)
    db.authors.delete(1)
    db.history.undo(3)
    db.history.undo(4)
    db.close()
    db.open()
    db.history.restore(2)
    db.history.undo(2)
    db.history.restore(0, "books")
    db.history.undo(7, 8)


def merged(db: Shelf) -> None:
    """Fork the present and the past, change both sides, and merge."""
    db.authors.insert(Author(name="Ada"))
    db.books.insert(Book(id="b1", author=1))
    with db.history.fork() as fork:
        fork.books.update("b1", year=1999)
        fork.authors.insert(Author(id=7, name="Eve", note="e" * 600))
        db.books.update("b1", tags=["here"])
        db.history.merge(fork)
    with db.history.fork(at=1) as fork:
        fork.authors.update(1, note="as of then")
        fork.books.insert(Book(id="b2", author=1))
        db.history.merge(fork)
    db.persist()
    db.history.undo(4)


def forgotten(db: Shelf) -> None:
    """Forget what was before a moment, and all there is, and go on."""
    for number in range(1, 6):
        db.authors.insert(Author(name=f"author {number}", note="n" * 400))
    db.history.forget(3)
    db.authors.update(1, note="after the first")
    db.history.forget(db.history.sequence)
    db.authors.update(2, note="after the second")
    db.close()
    db.open()
    db.history.undo(7)


def erased(db: Shelf) -> None:
    """Purge a row with a life, and what went with it; twice, for its key was given again; the second time with it."""
    db.authors.insert_many([Author(name=SECRET), Author(name="Grace", note="g" * 300)])
    db.books.insert(Book(id="b1", author=2, tags=[SECRET, "x" * 500]))
    db.books.update("b1", author=1)
    db.authors.delete(1)
    db.history.undo(4)
    db.history.purge("authors", 1)
    db.authors.insert(Author(id=1, name=SECRET))
    db.close()
    db.open()
    db.history.purge("authors", 1, keys=True)
    db.authors.update(2, note="long after")


WORKLOADS: dict[str, Workload] = {
    "small commits": small_commits,
    "transactions": transactions,
    "restarts": restarts,
    "rolling": rolling,
    "journal only": journal_only,
    "rolling journal": rolling_journal,
    "pruned": pruned,
    "rolled away": rolled_away,
    "gathered": gathered,
    "failing sync": failing_sync,
    "given up": given_up,
    "without zeros": without_zeros,
    "undone": undone,
    "merged": merged,
    "forgotten": forgotten,
    "erased": erased,
    "backed up": backed_up,
    "migrated": migrating.migrated,
}
JOURNAL_ONLY = (
    journal_only,
    rolling_journal,
    pruned,
    gathered,
    failing_sync,
    given_up,
    without_zeros,
    merged,
    forgotten,
    erased,
)
SEGMENT_BYTES = {
    "rolling": 600,
    "rolling journal": 600,
    "pruned": 600,
    "rolled away": 600,
    "forgotten": 1000,
    "erased": 600,
}
EVERY = {
    "undone": 3, "merged": 3, "forgotten": 5, "erased": 8, "rolling journal": 5, "rolled away": 5, "rolling": 4,
    "pruned": 4, "gathered": 4, "backed up": 9, "migrated": 4,
}  # fmt: skip
"""After how many operations each the quick form looks at long workloads."""
HISTORY_BYTES = {"pruned": 0, "rolled away": 0}
SHORTENED = (*HISTORY_BYTES, "forgotten", "erased")
"""The workloads that remove, or rewrite, what a copy that began before may need."""


def keep_history(patch: pytest.MonkeyPatch, count: int) -> None:
    """Let a shelf keep so many bytes of history."""
    patch.setattr(Shelf, "__init__", partialmethod(Database.__init__, history_bytes=count))


@contextmanager
def configured(name: str) -> Iterator[Workload]:
    """Set the sizes that a workload is made for, and keep the background from saving at times of its own; give it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_commit, "SEGMENT_BYTES", SEGMENT_BYTES.get(name, group_commit.SEGMENT_BYTES))
        if name in HISTORY_BYTES:
            keep_history(patch, HISTORY_BYTES[name])
        patch.setattr(journal_directory, "LEAST_BYTES", 0)
        patch.setattr(group_commit, "RESUME_PAUSE", 0.0)
        patch.setattr(checkpointer, "DELAY", 3600.0)
        patch.setattr(checkpointer, "RETRY", 3600.0)
        yield WORKLOADS.get(name, small_commits)


__all__ = [
    "MARK",
    "SEGMENT_BYTES",
    "WORKLOADS",
    "Author",
    "Book",
    "CrashReport",
    "Model",
    "Recording",
    "Shelf",
    "configured",
    "record",
    "search",
    "silenced_log",
]
