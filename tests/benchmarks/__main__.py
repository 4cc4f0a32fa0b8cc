"""`uv run --group bench python -m tests.benchmarks`: measure the library against its peers, and say what is reached."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.benchmarks import plot, report
from tests.benchmarks.bench import Bench, Finding, keep_compiled
from tests.benchmarks.results import OtherRun, Results
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
GOALS = {
    "get": 20, "mutation-1k": 15, "mutation-10k": 20, "mutation-100k": 35, "journal": 20, "insert": 30, "peers": 90,
    "reads": 20, "start-100k": 45, "start-1m": 300, "memory": 20, "p99-100k": 20, "p99-1m": 60,
}  # fmt: skip
"""The groups of the one table of goals in README.md, and the seconds that each takes on a quiet machine: reckoned from
its rounds, its sides and the rows that their stores are filled with."""
README = Path(__file__).parent / "README.md"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, 100k rows at the most")
    parser.add_argument(
        "--tiny", action="store_true", help="500 rows at the most, one round: to see that all of it runs"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=f"scenarios, by their names or beginnings: {', '.join(SCENARIOS)}"
    )
    parser.add_argument(
        "--goals", action="store_true", help="just what README.md has aims for, in one go, in some 15 minutes"
    )
    parser.add_argument(
        "--continue", dest="goes_on", action="store_true", help="leave out what an interrupted run has found in --out"
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the findings into the table of goals in README.md, in their rows"
    )
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="directory of the results")
    parser.add_argument("--stores", type=Path, help="keep filled stores there, and use them again: for many short runs")
    return parser.parse_args(given)


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


def to_go(names: Sequence[str], settings: str) -> str:
    """Return how many scenarios are left, and about how long they take, where that is known."""
    if settings != "full" or not all(name in GOALS for name in names):
        return f"{len(names)} to go"
    return f"{len(names)} to go, some {sum(GOALS[name] for name in names) / 60:.0f} minutes on a quiet machine"


def main(given: argparse.Namespace, readme: Path = README) -> int:
    """Run the scenarios, tell each finding as it is there, keep them in a file, and print the table."""
    keep_compiled()
    given.out.mkdir(parents=True, exist_ok=True)
    (given.stores or given.out).mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=given.out))
    bench, began = (
        Bench.tiny(work) if given.tiny else Bench(work, stores=given.stores, quick=given.quick),
        time.monotonic(),
    )
    settings = "tiny" if given.tiny else "quick" if given.quick else "full"
    try:
        results = Results.continued(given.out, settings) if given.goes_on else Results(given.out, settings)
        bench.points = results.points
        left = [name for name in chosen(given) if name not in results.done]
        bench.say(to_go(left, settings))
        bench.say(f"equal answers: {'; '.join(check_answers(bench))}")
        while left:
            bench.say(f"{time.monotonic() - began:4.0f} s  {left[0]}; {to_go(left, settings)}")
            measure(bench, left.pop(0), results)
    except OtherRun as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(work)
    bench.say(f"{time.monotonic() - began:4.0f} s  done")
    if bench.points and not plot.draw(bench.points, given.out / "growth.png", f"Costs over size; {report.machine()}"):
        bench.say("no plot: matplotlib is not installed")
    print(results.write())  # noqa: T201
    if given.readme:
        report.fill_in(readme, results.findings)
    if results.failed:
        bench.say(f"failed, so missing above: {', '.join(results.failed)}")
    return 1 if results.failed else 0


def measure(bench: Bench, name: str, results: Results) -> None:
    """Run a scenario, and keep what it finds; one that fails is noted, for the others are worth having all the same."""
    try:
        for found in SCENARIOS[name](bench):
            bench.say(f"        {report.line(found)}")
            results.add(name, found)
    except Exception:
        results.failed.append(name)
        results.forget(name)
        traceback.print_exc()
    else:
        results.done.append(name)
    results.write()
    bench.rest()


if __name__ == "__main__":
    sys.exit(main(arguments()))
