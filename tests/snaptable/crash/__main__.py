"""The long crash search: `python -m tests.snaptable.crash`; `--help` tells what can be chosen.

One round looks at every workload, and at restores, after every operation, under every model, with a sample of the
states where there are many; and, after some operations, crashes again in the recovery. Rounds follow, each with another
seed, until as many states were looked at as are wanted, or the time is up. Two processes share the work.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
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


@dataclass
class Tally:
    """What a task, or several, looked at and found."""

    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what another one has."""
        self.states += other.states
        self.seconds += other.seconds
        self.failures += other.failures


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


def look(task: Task) -> Tally:
    """Carry out a task."""
    began, tally = time.process_time(), Tally()
    with search.silenced_log():
        try:
            _LOOKS[task.kind](task, tally)
        except Exception as error:
            tally.failures.append(f"{type(error).__name__}: {error}")
    tally.failures = [f"{task.kind}, {task.name}, {failure}" for failure in tally.failures]
    tally.seconds = time.process_time() - began
    return tally


def _crashes(task: Task, tally: Tally) -> None:
    report, nested = CrashReport(), int(task.kind == "crashes again")
    with search.configured(task.name) as workload:
        run = record(workload)
        search.search(run, task.model, report, seed=task.seed, most=task.most, every=task.every, nested=nested)
    tally.states, tally.failures = report.states, report.failures


def _restores(task: Task, tally: Tally) -> None:
    report = restores.RestoreReport()
    with tempfile.TemporaryDirectory() as folder:
        run = restores.restored(Path(folder).resolve(), **restores.WAYS[task.name])
    restores.search(run, report, task.model, seed=task.seed, most=task.most, every=task.every)
    tally.states, tally.failures = Counter({f"{task.model}, restore": report.states.total()}), report.failures


def _copies(task: Task, tally: Tally) -> None:
    report, shortened = copies.CopyReport(), task.name in search.SHORTENED
    with search.configured(task.name) as workload:
        copies.search(record(workload), report, task.seed, task.most, shortened=shortened)
    tally.states, tally.failures = Counter({"copies": task.most}), report.failures


_LOOKS: dict[str, Any] = {
    "crashes": _crashes, "crashes again": _crashes, "restores": _restores, "copies": _copies
}  # fmt: skip


def main() -> int:
    """Search, print what was looked at, and return 1 where anything was wrong, or less was looked at than wanted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.snaptable.crash", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--states", type=int, default=100_000, help="states to look at (default 100,000)")
    parser.add_argument("--minutes", type=float, default=25, help="time after which no task begins (default 25)")
    parser.add_argument("--most", type=int, default=40, help="states after one operation, at the most (default 40)")
    parser.add_argument("--every", type=int, default=1, help="look after every so many operations (default 1)")
    parser.add_argument("--nested-most", type=int, default=2, help="the same, of those that crash again (default 2)")
    parser.add_argument("--nested-every", type=int, default=17, help="and for them (default 17)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the samples of the first round (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--only", default="", help="workloads, or ways of restoring, with this in their names")
    given = parser.parse_args()
    began, total, by_name = time.monotonic(), Tally(), dict[str, Tally]()
    deadline = began + 60 * given.minutes
    with ProcessPoolExecutor(given.jobs) as pool:
        for number in count():
            tasks = (task for task in round_of(number, given) if given.only in task.name)
            for task, tally in _looked(pool, tasks, given, total, deadline):
                total.add(tally)
                by_name.setdefault(f"{task.kind}, {task.name}", Tally()).add(tally)
            _say(f"round {number + 1}, seed {given.seed + number}: {_told(total)} so far")
            if total.states.total() >= given.states or time.monotonic() > deadline or total.failures:
                break
    for name, tally in sorted(by_name.items()):
        _say(f"  {name}: {_told(tally)}")
    _say(f"{_told(total)}, in {time.monotonic() - began:.0f} s: {dict(total.states)}")
    _say("\n".join(total.failures[:20]) or "nothing lost")
    enough = total.states.total() >= given.states
    if not enough:
        _say(f"fewer than the {given.states:,} states that were wanted")
    return 1 if total.failures or not enough else 0


def _looked(
    pool: ProcessPoolExecutor, tasks: Iterator[Task], given: argparse.Namespace, total: Tally, deadline: float
) -> Iterator[tuple[Task, Tally]]:
    """Yield what tasks find, as they end; begin no more of them once enough was looked at, or the time is up."""
    pending: dict[Future[Tally], Task] = {}
    while True:
        while len(pending) < given.jobs and total.states.total() < given.states and time.monotonic() < deadline:
            task = next(tasks, None)
            if task is None:
                break
            pending[pool.submit(look, task)] = task
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            yield pending.pop(future), future.result()


def _told(tally: Tally) -> str:
    wrong, seconds = len(tally.failures), tally.seconds
    return f"{tally.states.total():,} states, {wrong} wrong, {seconds:.0f} s of processor"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
