"""Kill: a real process is killed (`kill -9`) while it writes. A file that is written in place is half a file then."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from demos.lesson.naive import NaiveStore, many
from demos.lesson.steps import LOOK_SECONDS, Lane, Step, snapshot_in
from demos.lesson.tables import Mail, fill

MESSAGES = 20_000
"""In the JSON file before: some tenths of a second to dump, most of them with half a file on the disk."""
ROWS = 2_000
TRIES = 20
KILLS = 3
WAIT_SECONDS = 30.0


@contextmanager
def writer(side: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the process that writes; it is killed at the end of the block, at the latest."""
    command = [sys.executable, "-m", "demos.lesson.writer", side, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def told_by(process: subprocess.Popen[bytes], count: int) -> int:
    """Wait until a process has told some messages, and return how many it has."""
    assert process.stdout is not None
    told = b""
    while len(told) < count:
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            raise RuntimeError("the process that writes has ended")
        told += part
    return len(told)


def naive(folder: Path) -> Iterator[Step]:
    """Kill the process when the file is shorter than it was: it is just being written."""
    store = NaiveStore(snapshot_in(folder))
    for number in range(1, TRIES + 1):
        store.save(many(MESSAGES))
        full = store.path.stat().st_size
        yield Step(f"{MESSAGES:,}", f"messages are in the file; kill {number} …", store.path)
        with writer("naive", folder) as process:
            told = told_by(process, 1)
            end = time.monotonic() + WAIT_SECONDS
            while not 0 < store.path.stat().st_size < full and time.monotonic() < end:
                time.sleep(0)
            process.kill()
            process.wait()
        try:
            store.load()
        except ValueError:
            size = store.path.stat().st_size
            saved = told + MESSAGES
            says = f"{saved:,} were told to be saved. The file ends at byte {size:,}, in the middle: it is no JSON."
            yield Step(f"0 of {saved:,}", says, store.path, held=False)
            return
    yield Step("all", f"{TRIES} kills hit no write; try again.", store.path, held=True)


def ours(folder: Path) -> Iterator[Step]:
    """Kill the process amid its writes, several times, and open what it left."""
    with Mail(folder, banner=False) as db:
        fill(db, ROWS)
    expected = kept = ROWS
    rng = Random()  # noqa: S311 - any moment
    for number in range(1, KILLS + 1):
        with writer("ours", folder) as process:
            told = told_by(process, 1)
            yield Step(f"{kept:,}", f"messages are there; kill {number} of {KILLS} …", snapshot_in(folder))
            time.sleep(rng.uniform(LOOK_SECONDS, 4 * LOOK_SECONDS))
            process.kill()
            assert process.stdout is not None
            rest = process.stdout.read()
        with Mail(folder, banner=False) as db:
            expected, kept = kept + told + len(rest), db.messages.count()
            # One that was durable, and not told any more, may be there.
            if not expected <= kept <= expected + 1 or db.check():
                yield Step(f"{kept:,} of {expected:,}", "Something is wrong.", snapshot_in(folder), held=False)
                return
    says = f"{KILLS} kills amid writes; every message that was told to be saved is there."
    yield Step(f"{min(kept, expected):,} of {expected:,}", says, snapshot_in(folder), held=True)


LANE = Lane("kill", "Kill", "The process is killed while it writes. What is in the file?", naive, ours)
