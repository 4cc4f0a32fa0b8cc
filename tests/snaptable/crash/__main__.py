"""The long crash search: `python -m tests.snaptable.crash`; `--help` tells what can be chosen."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product

from tests.snaptable.crash import search
from tests.snaptable.crash.search import WORKLOADS, CrashReport, record

MODELS: tuple[search.Model, ...] = ("kill", "ordered", "weak")


def look(task: tuple[str, search.Model, int, int, int, int]) -> CrashReport:
    """Search one workload under one model."""
    name, model, seed, most, every, nested = task
    tally = CrashReport()
    with search.silenced_log(), search.configured(name) as workload:
        search.search(record(workload), model, tally, seed=seed, most=most, every=every, nested=nested)
    return tally


def main() -> int:
    """Search all, print what was looked at, and return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.snaptable.crash", description=__doc__)
    parser.add_argument("--most", type=int, default=60, help="states after one operation, at the most (default 60)")
    parser.add_argument("--every", type=int, default=1, help="look after every so many operations (default 1)")
    parser.add_argument("--nested", type=int, default=2, help="of these, how many crash again in recovery (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the samples (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    given = parser.parse_args()
    began, states, failures = time.monotonic(), Counter[str](), list[str]()
    tasks = [
        (name, model, given.seed, given.most, given.every, given.nested) for name, model in product(WORKLOADS, MODELS)
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for task, tally in zip(tasks, pool.map(look, tasks), strict=True):
            states += tally.states
            failures += tally.failures
            wrong = len(tally.failures)
            print(f"{task[0]}, {task[1]}: {sum(tally.states.values()):,} states, {wrong} wrong", flush=True)  # noqa: T201
    print(f"{sum(states.values()):,} states in {time.monotonic() - began:.0f} s: {dict(states)}")  # noqa: T201
    print("\n".join(failures[:20]) or "nothing lost")  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
