"""What a lane tells while it runs, and at its end."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from demos.lesson.naive import FILE

LOOK_SECONDS = 0.06


@dataclass(frozen=True)
class Step:
    """How far a run has come.

    Attributes:
        figure: what counts, in large print: "50 of 100".
        says: a sentence about it.
        file: the file that is looked at.
        held: whether nothing was lost; None while it runs.
        points: of a curve, rows and milliseconds.
    """

    figure: str
    says: str
    file: Path | None = None
    held: bool | None = None
    points: Sequence[tuple[int, float]] = ()


Run = Callable[[Path], Iterator[Step]]
"""Runs in an empty folder; the last step says whether it held."""


@dataclass(frozen=True)
class Lane:
    """A way in which data gets lost, and a run of it for each of the two stores.

    Attributes:
        name: in addresses.
        title: in a few words.
        question: what it asks.
        naive, ours: its runs.
    """

    name: str
    title: str
    question: str
    naive: Run
    ours: Run

    def run(self, side: str, folder: Path) -> Iterator[Step]:
        """Return the steps of one of its runs, `naive` or `ours`."""
        return (self.naive if side == "naive" else self.ours)(folder)


def watched(work: Callable[[], object], look: Callable[[], Step]) -> Iterator[Step]:
    """Do some work in a thread, and yield what `look` tells of it meanwhile, at least once; raises what it raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        is_done = False
        while not is_done:
            is_done = bool(wait([future], LOOK_SECONDS).done)
            yield look()
        future.result()


def snapshot_in(folder: Path) -> Path:
    """Return the file of a store's folder that a person looks at; it has one name in both."""
    return folder / FILE
