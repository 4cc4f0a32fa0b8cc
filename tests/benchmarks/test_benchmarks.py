"""The benchmarks run and say what they mean: each scenario once, on a few rows, with what needs no other package."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import pytest
from tests.benchmarks import __main__ as command
from tests.benchmarks import report
from tests.benchmarks.__main__ import GOALS, README, SCENARIOS
from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Measured, Ratio
from tests.benchmarks.peers.sqlite import SqliteWal
from tests.benchmarks.results import OtherRun, Results
from tests.benchmarks.same import check_answers
from tests.benchmarks.scenarios.size import growth_of_dictionaries, growth_of_ours
from tests.benchmarks.server import cached, on_postgres, serving
from tests.benchmarks.server.load import load
from tests.benchmarks.server.scenarios import Subject, client
from tests.benchmarks.targets import TARGETS, Kind, Target

P = ParamSpec("P")
T = TypeVar("T")
WEIGHING: tuple[Callable[..., object], ...] = (growth_of_ours, growth_of_dictionaries)
BUILT_IN = ("snaptable", "sqlite, WAL FULL", "sqlite, default", "stop-gap")


class Tiny(Bench):
    """Be a run on a few rows of every size, against what Python brings along, in this process but for memory."""

    def again(self, *, rounds: int | None = None, seconds: float) -> Self:
        return self

    def installed(self, name: str) -> bool:
        return name in BUILT_IN

    def apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # This process has room left from the test before: it would not grow.
        return super().apart(function, *args, **kwargs) if function in WEIGHING else function(*args, **kwargs)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a run of one round, as short as can be."""
    tiny = Tiny.tiny(tmp_path)
    yield tiny
    tiny.rest()


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ("start-1m", "p99-1m", "growth")])
def test_scenario_finds_something(bench: Bench, name: str) -> None:
    """Each scenario ends with ratios, and says of peers that are not there that they are not."""
    found = list(SCENARIOS[name](bench))
    assert found
    assert all(one.ratio.median > 0 if one.ratio else one.note == "not installed" for one in found)


def test_growth_has_points_of_every_size(bench: Bench) -> None:
    """The plot gets a point of ours at each size."""
    bench.quick = True
    assert list(SCENARIOS["growth"](bench)) == []
    assert {point.rows for point in bench.points if point.name == "snaptable"} == {1_000, 10_000, 100_000}


def test_peers_answer_alike(bench: Bench) -> None:
    """Those that are always there are asked, and agree."""
    assert check_answers(bench) == list(BUILT_IN)


def test_peer_that_answers_otherwise_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that forgets its writes, or finds too little, is not measured."""
    monkeypatch.setattr(SqliteWal, "find", lambda self, document: [])
    with pytest.raises(AssertionError, match="sqlite, WAL FULL answers otherwise"):
        check_answers(bench)


@pytest.mark.parametrize(
    ("kind", "ratio", "verdict"),
    [
        ("cost", 1.0, "aim"),
        ("cost", 1.4, "reach"),
        ("cost", 2.0, "**short**"),
        ("speed", 2.0, "aim"),
        ("speed", 1.4, "reach"),
        ("speed", 1.0, "**short**"),
    ],
)
def test_verdict(kind: Kind, ratio: float, verdict: str) -> None:
    """Of costs the small ones are good, of speeds the large ones."""
    target = Target("this", "that", kind, *((1.5, 1.2) if kind == "cost" else (1.2, 1.5)))
    assert report.verdict(Finding("key", target, Ratio(ratio, ratio, ratio))) == verdict


@pytest.mark.parametrize(("key", "expected"), [("journal", 0.5), ("insert 1", 2.0)])
def test_ratio_is_taken_within_each_round(key: str, expected: float) -> None:
    """A disk that was ten times as slow in one round, for both, changes nothing."""
    found = finding(key, (Measured("ours", [1.0, 10.0, 3.0]), Measured("theirs", [2.0, 20.0, 3.0])))
    assert found.ratio is not None
    assert found.ratio.median == expected


def test_results_are_written(bench: Bench, tmp_path: Path) -> None:
    """The table that is printed is the one in the file, with what could not be measured in its place."""
    results = Results(tmp_path, "tiny")
    results.add("journal", finding("journal", (Measured("ours", [2e-4]), Measured("theirs", [1e-4]))))
    results.add("peers", bench.missing("insert LMDB"))
    text = results.write()
    assert "| 2.00 " in text
    assert "not installed" in text
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "results.json").exists()


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    """What ended stays as it was found; what was cut short, or failed, is measured again; other runs are refused."""
    results = Results(tmp_path, "tiny")
    journal = finding("journal", (Measured("ours", [2e-4, 3e-4]), Measured("theirs", [1e-4, 1e-4])))
    results.add("journal", journal)
    results.done.append("journal")
    results.add("peers", Finding("insert LMDB", TARGETS["insert LMDB"], note="not installed"))
    kept = Results.continued(tmp_path, "tiny")
    assert kept.findings == [journal]
    assert kept.done == ["journal"]
    with pytest.raises(OtherRun, match="begin anew"):
        Results.continued(tmp_path, "full")
    with pytest.raises(OtherRun, match="no run to continue"):
        Results.continued(tmp_path / "elsewhere", "tiny")


def test_the_command_tells_each_finding_and_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure of one scenario leaves the others; a second call does only what is missing, and fills in the page."""
    page = tmp_path / "README.md"
    page.write_text(README.read_text(encoding="utf-8"), encoding="utf-8")

    def broken(bench: Bench) -> Iterator[Finding]:
        yield bench.missing("insert LMDB")
        raise OSError("no room")

    monkeypatch.setitem(SCENARIOS, "peers", broken)
    monkeypatch.setattr(command, "check_answers", lambda bench: ["snaptable"])
    given = ["--tiny", "--only", "journal", "peers", "--readme", "--out", str(tmp_path / "out")]
    assert command.main(command.arguments(given), page) == 1
    told = capsys.readouterr()
    assert told.err.index("2 to go") < told.err.index("equal answers")
    assert "peers; 1 to go" in told.err
    assert "commits, 64 threads ÷ append + fdatasync, one by one: " in told.err
    assert "no room" in told.err
    assert "not installed" not in told.out
    monkeypatch.setitem(SCENARIOS, "peers", lambda bench: iter([bench.missing("insert LMDB")]))
    assert command.main(command.arguments([*given, "--continue"]), page) == 0
    again = capsys.readouterr()
    assert "commits, 64 threads" in again.out
    assert "commits, 64 threads" not in again.err
    row = next(line for line in again.out.splitlines() if line.startswith("| commits, 64 tasks"))
    assert re.sub(" +", " ", row) in page.read_text(encoding="utf-8").replace("| |", "| |")


def test_a_run_of_the_goals_says_how_long_it_takes() -> None:
    """The table is made within 20 minutes on a quiet machine; of what nobody has reckoned no time is told."""
    (minutes,) = re.findall(r"13 to go, some (\d+) minutes", command.to_go(list(GOALS), "full"))
    assert 5 < int(minutes) <= 20
    assert command.to_go(["get", "growth"], "full") == "2 to go"
    assert command.to_go(["get"], "tiny") == "1 to go"


# ── the table of goals ──────────────────────────────────────────────────────────────────────────────────────────────


def test_findings_go_into_their_rows(tmp_path: Path) -> None:
    """What was measured takes the place of what stood there, in the rows of its own; all others stay."""
    page = tmp_path / "README.md"
    before = README.read_text(encoding="utf-8")
    page.write_text(before, encoding="utf-8")
    journal = finding("journal", (Measured("ours", [1e-4]), Measured("theirs", [2e-4])))
    unknown = Finding("x", Target("something", "else", "cost"), Ratio(1, 1, 1))
    report.fill_in(page, [journal, unknown])
    old, new = before.splitlines(), page.read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in new if line.startswith("| commit, one caller |")]
    assert row == (
        "| commit, one caller | append + fdatasync | 1.10 | 0.95 | 0.50 | 0.50 – 0.50 | 100 µs | 200 µs | aim |"
    )
    changed = [line for line, former in zip(new, old, strict=True) if line != former]
    assert [line for line in changed if line != row] == [f"{report.DATED}{report.machine()}."]
    report.fill_in(page, [journal])
    assert page.read_text(encoding="utf-8").splitlines() == new


def test_every_goal_has_a_row() -> None:
    """The page has one row, with reach and aim as they are now, for all that a run of the goals has goals for."""
    assert all(name in SCENARIOS for name in GOALS)
    lines = README.read_text(encoding="utf-8").splitlines()
    for target in TARGETS.values():
        if target.reach is not None and target.what != "commit at 100k rows":
            wanted = "".join(f" {report.ratio_shown(each, target)} |" for each in (target.reach, target.aim))
            begin = f"| {target.what} | {target.against} |{wanted}".replace("|  |", "| |")
            assert [line.startswith(begin) for line in lines].count(True) == 1, begin


def test_the_cache_is_measured_by_answers_that_are_kept_and_not() -> None:
    """Each kind of pass is counted on both backends."""
    results = cached.measure(1, on_postgres.new_database)
    assert {len(results[key].latencies) for key in results if key[0] == cached.WRITE} == {cached.WRITES}
    for name in (cached.WITHOUT, cached.WITH):
        assert len(results["read", cached.MISS, name].latencies) == cached.READS
        assert len(results["list of 50", cached.HIT, name].latencies) == cached.READS
    assert len(cached.markdown(results).splitlines()) == 4 + len(results)


def test_the_server_is_measured_beside_a_floor_that_answers() -> None:
    """Ensure that the peer which needs no other package starts as the backend does, and answers what is asked of it."""
    with serving.running("-m", "tests.benchmarks.server.floor", "secret", "document") as port:
        headers = {"Authorization": "Bearer secret"}
        http = client(port, headers)
        floor = Subject(http, ["document"], ["document"]).fill()
        http.http.close()
        for scenario, requests in (("read", 60), ("list of 50", 1), ("write", 1)):
            asked = floor.requests(scenario)
            assert len(asked) == requests
            assert load(port, asked, 0.05).rate > 0
