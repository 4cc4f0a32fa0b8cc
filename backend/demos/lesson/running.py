"""Runs of lanes: each in a fresh folder, one at a time, with what its file holds meanwhile."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from demos.lesson.lanes import LANES
from demos.lesson.steps import Lane, Step

SIDES: Final = ("naive", "ours")
TAIL: Final = 260
"""Bytes of the file's end that are shown."""


class Busy(Exception):
    """A lane that is running already."""


class Runner:
    """The runs of lanes below a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made when it is needed."""
        self._folder = folder
        self._running: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def run(self, lane: Lane, side: str) -> Iterator[Step]:
        """Yield the steps of a run.

        Raises:
            Busy: when it begins: the same is running already.
        """
        place = self._folder / lane.name / side
        with self._lock:
            if (lane.name, side) in self._running:
                raise Busy
            self._running.add((lane.name, side))
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True, mode=0o700)
            with closing(lane.run(side, place)) as steps:  # type: ignore[type-var]  # generators
                yield from steps
        finally:
            with self._lock:
                self._running.discard((lane.name, side))

    def results(self) -> Iterator[tuple[Lane, dict[str, Step]]]:
        """Yield every lane with the last steps of its runs, by side."""
        for lane in LANES.values():
            yield lane, {side: [*self.run(lane, side)][-1] for side in SIDES}


def told(step: Step) -> dict[str, Any]:
    """Return a step as a JSON object, with the size and the end of its file."""
    size, end = 0, ""
    if step.file is not None and step.file.exists():
        data = step.file.read_bytes()
        size, end = len(data), data[-TAIL:].decode(errors="replace")
    return {
        "figure": step.figure,
        "says": step.says,
        "held": step.held,
        "points": step.points,
        "file_bytes": size,
        "file_end": end,
    }


def table_of(results: Iterator[tuple[Lane, dict[str, Step]]]) -> Iterator[str]:
    """Yield the lines of a table for a terminal."""
    yield f"{'':16}{'a file, dumped':28}snaptable"
    for lane, steps in results:
        cells = [f"{'held' if steps[side].held else 'BROKEN'}  {steps[side].figure}" for side in SIDES]
        yield f"{lane.title:16}{cells[0]:28}{cells[1]}"
