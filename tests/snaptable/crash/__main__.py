"""The long crash search: `python -m tests.snaptable.crash`; `--help` tells what can be chosen.

One round looks at every workload, and at restores, after every operation, under every model, with a sample of the
states where there are many; and, after some operations, crashes again in the recovery. Rounds follow, each with another
seed, until as many states were looked at as are wanted, or the time is up: then the tasks that run end as well, and
those that the first round never came to are named. Two processes share the work, and a line tells each half minute how
far they are.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Any

from tests.snaptable.crash import copies, restores, search
from tests.snaptable.crash.search import WORKLOADS, CrashReport, record

MODELS: tuple[search.Model, ...] = ("kill", "ordered", "weak")
COPIES = 100
"""Copies of each workload's running store that a round makes."""
TELL_EVERY = 30.0
"""Seconds between two lines that tell how far the search is."""


@dataclass(frozen=True)
class Task:
    """A part of a round, small enough that two processes end at about the same time.

    Attributes:
        kind: what is looked at: "crashes", "crashes again", "restores", "copies".
        name: the workload, or the way of restoring.
        model: the kind of crash.
        seed: chooses the sample.
        most: states after one operation, at the most.
        every: the distance between the operations that are followed by a crash.
    """

    kind: str
    name: str
    model: search.Model
    seed: int
    most: int
    every: int = 1

    @property
    def title(self) -> str:
        """What it looks at, in words."""
        return f"{self.kind}, {self.name}, {self.model}"


@dataclass
class Tally:
    """What a task, or several, looked at and found."""

    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    cut_short: bool = False

    def add(self, other: "Tally") -> None:
        """Add what another one has."""
        self.states += other.states
        self.seconds += other.seconds
        self.failures += other.failures
        self.cut_short |= other.cut_short


class TimeIsUp(Exception):
    """The search shall have ended by now."""


class Watch:
    """What all processes of a search share: the time when it ends, and the number of states that were looked at."""

    def __init__(self, minutes: float) -> None:
        """Let the search end in so many minutes."""
        self._deadline = time.time() + 60 * minutes  # which other processes' clocks tell alike
        self._seen = multiprocessing.Value("q")

    @property
    def seen(self) -> int:
        """The states that were looked at by now, by tasks that have not ended too."""
        return int(self._seen.value)

    @property
    def is_up(self) -> bool:
        """Whether the time is."""
        return time.time() > self._deadline

    def count(self, states: int = 1) -> None:
        """Count states."""
        with self._seen:
            self._seen.value += states


class WatchedStates(Counter[str]):
    """A count of states that all processes see, and that ends its task when the time is up."""

    def __init__(self, watch: Watch) -> None:
        """Count for a watch."""
        super().__init__()
        self._watch = watch

    def __setitem__(self, kind: str, count: int) -> None:
        """Count a state that is about to be looked at.

        Raises:
            TimeIsUp: it shall not be any more.
        """
        if self._watch.is_up:
            raise TimeIsUp
        self._watch.count(count - self[kind])
        super().__setitem__(kind, count)


def round_of(number: int, given: argparse.Namespace) -> Iterator[Task]:
    """Yield the tasks of a round. What chance does not change is in the first round only."""
    seed, is_first = given.seed + number, number == 0
    for name, model in product(WORKLOADS, reversed(MODELS)):
        if is_first or model != "kill":
            yield Task("crashes", name, model, seed, given.most, given.every)
    for way, model in product(restores.WAYS, MODELS):
        if is_first or model != "kill":
            yield Task("restores", way, model, seed, 4 * given.most, given.every)
    for name in WORKLOADS:
        yield Task("copies", name, "kill", seed, COPIES)
    for name, model in product(WORKLOADS, MODELS):
        yield Task("crashes again", name, model, seed, given.nested_most, given.nested_every)


def look(task: Task, watch: Watch | None = None) -> Tally:
    """Carry out a task."""
    watch = watch or _watches[0]
    began, tally = time.process_time(), Tally(WatchedStates(watch))
    with search.silenced_log():
        try:
            _LOOKS[task.kind](task, tally, watch)
        except TimeIsUp:
            tally.cut_short = True
        except Exception as error:
            tally.failures.append(f"{type(error).__name__}: {error}")
    tally.states = Counter(dict(tally.states))
    tally.failures = [f"{task.title}: {failure}" for failure in tally.failures]
    tally.seconds = time.process_time() - began
    return tally


def _crashes(task: Task, tally: Tally, _: Watch) -> None:
    report, nested = CrashReport(tally.states, tally.failures), int(task.kind == "crashes again")
    with search.configured(task.name) as workload:
        run = record(workload)
        search.search(run, task.model, report, seed=task.seed, most=task.most, every=task.every, nested=nested)


def _restores(task: Task, tally: Tally, watch: Watch) -> None:
    report = restores.RestoreReport(WatchedStates(watch), failures=tally.failures)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = restores.restored(Path(folder).resolve(), **restores.WAYS[task.name])
        restores.search(run, report, task.model, seed=task.seed, most=task.most, every=task.every)
    finally:
        tally.states = Counter({f"{task.model}, restore": report.states.total()})


def _copies(task: Task, tally: Tally, watch: Watch) -> None:
    report, shortened = copies.CopyReport(failures=tally.failures), task.name in search.SHORTENED
    with search.configured(task.name) as workload:
        copies.search(record(workload), report, task.seed, task.most, shortened=shortened)
    tally.states = Counter({"copies": task.most})
    watch.count(task.most)


_LOOKS: dict[str, Any] = {
    "crashes": _crashes, "crashes again": _crashes, "restores": _restores, "copies": _copies
}  # fmt: skip
_watches: list[Watch] = []
"""The watch of the search that this process works for."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.snaptable.crash", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--states", type=int, default=100_000, help="states to look at (default 100,000)")
    parser.add_argument("--minutes", type=float, default=25, help="time after which the search ends (default 25)")
    parser.add_argument("--most", type=int, default=40, help="states after one operation, at the most (default 40)")
    parser.add_argument("--every", type=int, default=1, help="look after every so many operations (default 1)")
    parser.add_argument("--nested-most", type=int, default=2, help="the same, of those that crash again (default 2)")
    parser.add_argument("--nested-every", type=int, default=17, help="and for them (default 17)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the samples of the first round (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--only", default="", help="workloads, or ways of restoring, with this in their names")
    return parser.parse_args(given)


class Search:
    """A search: rounds of tasks, shared by processes, until enough was looked at."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Search as the command line says."""
        self.given, self.watch, self.total = given, Watch(given.minutes), Tally()
        self.by_name: dict[str, Tally] = {}
        self.begun: set[str] = set()
        self.never_begun: list[str] = []
        self._began = self._told = time.monotonic()

    @property
    def found_enough(self) -> bool:
        """Whether no further task is to begin."""
        return self.total.states.total() >= self.given.states or self.watch.is_up

    def run(self) -> None:
        """Go through rounds until enough was looked at, the time is up, or something is wrong."""
        with ProcessPoolExecutor(self.given.jobs, initializer=_watches.append, initargs=(self.watch,)) as pool:
            for number in count():
                tasks = [task for task in round_of(number, self.given) if self.given.only in task.name]
                self._look_at_all(pool, iter(tasks))
                if number == 0:
                    self.never_begun = [task.title for task in tasks if task.title not in self.begun]
                self.say(f"round {number + 1}, seed {self.given.seed + number}: {_told(self.total)} so far")
                if self.found_enough or self.total.failures or not tasks:
                    return

    def _look_at_all(self, pool: ProcessPoolExecutor, tasks: Iterator[Task]) -> None:
        """Carry out tasks, and take in what they find as they end; begin no more of them once there is enough."""
        pending: dict[Future[Tally], Task] = {}
        while True:
            while len(pending) < self.given.jobs and not self.found_enough:
                task = next(tasks, None)
                if task is None:
                    break
                pending[pool.submit(look, task)] = task
                self.begun.add(task.title)
            if not pending:
                return
            done = wait(pending, timeout=TELL_EVERY / 10, return_when=FIRST_COMPLETED).done
            for future in done:
                task, tally = pending.pop(future), future.result()
                self.total.add(tally)
                self.by_name.setdefault(f"{task.kind}, {task.name}", Tally()).add(tally)
            self._tell(pending.values())

    def _tell(self, running: Iterable[Task]) -> None:
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            titles = "; ".join(task.title for task in running)
            self.say(f"{self.watch.seen:,} states, {len(self.total.failures)} wrong; now {titles or 'nothing'}")

    def say(self, text: str) -> None:
        """Print a line that begins with the seconds since the start."""
        _say(f"{time.monotonic() - self._began:5.0f} s  {text}")


def main() -> int:
    """Search, print what was looked at, and return 1 where anything was wrong, or less was looked at than wanted."""
    searching = Search(arguments())
    searching.run()
    total, wanted = searching.total, searching.given.states
    for name, tally in sorted(searching.by_name.items()):
        _say(f"  {name}: {_told(tally)}{', cut short' if tally.cut_short else ''}")
    searching.say(f"{_told(total)}: {dict(total.states)}")
    _say("\n".join(total.failures[:20]) or "nothing lost")
    enough = total.states.total() >= wanted
    if not enough:
        _say(f"fewer than the {wanted:,} states that were wanted")
    if searching.never_begun:
        _say(f"never begun: {'; '.join(searching.never_begun)}")
    return 1 if total.failures or not enough else 0


def _told(tally: Tally) -> str:
    wrong, seconds = len(tally.failures), tally.seconds
    return f"{tally.states.total():,} states, {wrong} wrong, {seconds:.0f} s of processor"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
