"""`uv run --group bench python -m tests.benchmarks`: measure the library against its peers, and say what is reached."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import plot, report
from tests.benchmarks.bench import Bench, Finding
from tests.benchmarks.same import check_answers
from tests.benchmarks.scenarios import asking, backups, growth, past, reading, size, writing

Scenario = Callable[[Bench], Iterator[Finding]]
SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        reading.get,
        writing.mutation_1k,
        writing.mutation_10k,
        writing.mutation_100k,
        writing.journal,
        writing.insert,
        writing.peers,
        writing.peers_as_they_come,
        reading.reads,
        reading.scan,
        asking.asking,
        past.past,
        backups.backups,
        size.start_100k,
        size.start_1m,
        size.memory,
        size.p99_100k,
        size.p99_1m,
        size.size,
        writing.bulk,
        size.imports,
        growth.growth,
    )
}
FULL_ONLY = {"start-1m", "p99-1m"}
GOALS = (
    "get", "mutation-1k", "mutation-10k", "mutation-100k", "journal", "insert", "peers", "reads", "start-100k",
    "start-1m", "memory", "p99-100k", "p99-1m",
)  # fmt: skip
"""The groups of the one table of goals in README.md."""
README = Path(__file__).parent / "README.md"


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, 100k rows at the most")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=f"scenarios, by their names or beginnings: {', '.join(SCENARIOS)}"
    )
    parser.add_argument(
        "--goals", action="store_true", help="just what README.md has aims for, in one go, in less than 20 minutes"
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the findings into the table of goals in README.md, in their rows"
    )
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="directory of the results")
    parser.add_argument("--stores", type=Path, help="keep filled stores there, and use them again: for many short runs")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> list[str]:
    """Return the names of the scenarios to run."""
    if given.only:
        names = [name for name in SCENARIOS if name in given.only]
        begun = [
            name for name in SCENARIOS if any(name.startswith(only) for only in given.only if only not in SCENARIOS)
        ]
        if not names + begun:
            sys.exit(f"no such scenario; there are {', '.join(SCENARIOS)}")
        return names + begun
    names = list(GOALS if given.goals else SCENARIOS)
    return [name for name in names if not (given.quick and name in FULL_ONLY)]


def main() -> int:
    """Run the scenarios, print the table and write the results."""
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=given.out))
    if given.stores:
        given.stores.mkdir(parents=True, exist_ok=True)
    bench, findings, began = Bench(work, stores=given.stores, quick=given.quick), list[Finding](), time.monotonic()
    failed: list[str] = []
    try:
        bench.say(f"equal answers: {'; '.join(check_answers(bench))}")
        for name in chosen(given):
            bench.say(f"{time.monotonic() - began:4.0f} s  {name}")
            try:
                findings += SCENARIOS[name](bench)
            except Exception:
                failed.append(name)
                traceback.print_exc()  # the others are worth having all the same
            report.write(given.out, findings, bench.points)
            bench.rest()
    finally:
        shutil.rmtree(work)
    bench.say(f"{time.monotonic() - began:4.0f} s  done")
    if bench.points and not plot.draw(bench.points, given.out / "growth.png", f"Costs over size; {report.machine()}"):
        bench.say("no plot: matplotlib is not installed")
    print(report.write(given.out, findings, bench.points))  # noqa: T201
    if given.readme:
        report.fill_in(README, findings)
    if failed:
        bench.say(f"failed, so missing above: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
