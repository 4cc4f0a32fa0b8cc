"""The lesson: every lane breaks the dumped file and not the store, on the page, on a terminal and here."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.demos.support import client_of

from demos.lesson import running, seed
from demos.lesson.application import create_app
from demos.lesson.lanes import LANES, kill, scale
from demos.lesson.naive import NaiveStore
from demos.lesson.running import Busy, Runner, table_of
from demos.lesson.steps import Lane, Step
from demos.lesson.tables import Mail
from demos.main import main
from snaptable import Database


def steps_of(lane: str, side: str, folder: Path) -> list[Step]:
    """Run a lane, and return its steps."""
    return list(Runner(folder).run(LANES[lane], side))


SOON = [name for name in LANES if name != "scale"]


@pytest.mark.parametrize("lane", SOON)
def test_a_dumped_file_loses_data(lane: str, tmp_path: Path) -> None:
    """Ensure that each lane breaks the file, and says so at its end alone."""
    *before, last = steps_of(lane, "naive", tmp_path)
    assert last.held is False, last.says
    assert all(step.held is None for step in before)
    assert before or lane == "refer"


@pytest.mark.parametrize("lane", SOON)
def test_the_store_does_not(lane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that the store holds in the same lane, and that its file is there to be looked at."""
    monkeypatch.setattr(kill, "KILLS", 1)  # each starts a process
    *before, last = steps_of(lane, "ours", tmp_path)
    assert last.held is True, last.says
    assert all(step.held is None for step in before)
    assert last.file is not None
    json.loads(last.file.read_text(encoding="utf-8"))


def test_one_more_message_costs_what_there_is_or_one_line(tmp_path: Path) -> None:
    """Ensure that the cost of one more message grows with their number in a dumped file, and does not in the store."""
    sizes = (500, 16_000)
    for side, most, least in (("naive", 1e9, 6), ("ours", 4, 0)):
        (tmp_path / side).mkdir()
        run = scale.naive if side == "naive" else scale.ours
        (_, little), (_, much) = [*run(tmp_path / side, sizes)][-1].points
        assert least * little <= much <= most * max(little, 0.2), side


def test_the_file_of_each_lane_is_as_the_lane_says(tmp_path: Path) -> None:
    """Ensure what is left for a person to look at: a race's lost messages, torn files, a message of nobody."""
    race = steps_of("race", "naive", tmp_path)[-1]
    assert race.file is not None
    assert race.figure.endswith(" of 100")
    full = steps_of("full", "naive", tmp_path)[-1]
    assert full.file is not None
    with pytest.raises(ValueError, match=r"line|column|char"):
        NaiveStore(full.file).load()
    find = steps_of("find", "ours", tmp_path)[-1]
    assert "index" in find.says
    assert find.figure == "1 looked at"


# ── on the page ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Give a client of the lesson."""
    with client_of(create_app(tmp_path / "lesson", banner=False)) as client:
        yield client


def test_a_run_is_told_line_by_line_and_kept(client: TestClient) -> None:
    """Ensure the steps, the file's bytes with each, and that what came of it is in the tally and in the list."""
    assert [lane["name"] for lane in client.get("/api/lanes").json()] == list(LANES)
    for side, held in (("naive", False), ("ours", True)):
        answer = client.post(f"/api/lanes/full/{side}")
        assert answer.headers["content-type"] == "application/jsonl"
        steps = [json.loads(line) for line in answer.text.splitlines()]
        assert [step["held"] for step in steps] == [None, held]
        assert steps[-1]["file_bytes"] > 0
        assert steps[-1]["file_end"]
    assert client.get("/api/tally").json() == {"naive": {"runs": 1, "held": 0}, "ours": {"runs": 1, "held": 1}}
    assert [run["lane"] for run in client.get("/api/runs?side=ours").json()["items"]] == ["full"]
    assert client.post("/api/lanes/nowhere/ours").status_code == 404
    assert client.post("/api/lanes/full/theirs").status_code == 422


def test_the_same_run_is_refused_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that two windows don't run one lane in one folder, and that it can be run again, also after a fault."""
    going, waiting = threading.Event(), threading.Event()

    def slow(_folder: Path) -> Iterator[Step]:
        yield Step("0", "begun")
        waiting.set()
        going.wait(10)
        raise OSError("a fault")

    lane = Lane("slow", "Slow", "", slow, slow)
    runner = Runner(tmp_path)
    run = runner.run(lane, "naive")
    next(run)

    def go_on() -> None:
        with pytest.raises(OSError, match="a fault"):
            list(run)

    thread = threading.Thread(target=go_on)
    thread.start()
    assert waiting.wait(60)
    with pytest.raises(Busy):
        next(runner.run(lane, "naive"))
    next(runner.run(lane, "ours"))
    going.set()
    thread.join()
    assert next(runner.run(lane, "naive")).says == "begun"


# ── on a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ensure that `--text` runs all lanes, a line each, and fails if the store lost something."""
    monkeypatch.setattr(running, "LANES", {name: LANES[name] for name in ("full", "refer")})
    assert main(["lesson", "--text", "--data-dir", str(tmp_path / "data")]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["a", "file,", "dumped", "snaptable"]
    assert [row[:9] for row in rows] == ["Full disk", "Who sent "]
    assert all("BROKEN" in row[:44] and "held" in row[44:] for row in rows)
    lost = {side: Step("0 of 1", "", held=False) for side in running.SIDES}
    assert "BROKEN" in [*table_of(iter([(LANES["full"], lost)]))][1][44:]


def test_the_seed_is_two_folders_to_break_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ensure the same messages in both, and that what a person did there is left alone."""
    for _ in range(2):
        assert main(["lesson", "seed", "--data-dir", str(tmp_path)]) == 0
        assert "1000 messages in naive, 1000 messages in snaptable" in capsys.readouterr().out
    store = NaiveStore(tmp_path / "by-hand" / "naive" / "db_snapshot.json")
    store.add("mine")
    with Mail(tmp_path / "by-hand" / "snaptable", banner=False) as db:
        db.people.delete(1)
        assert isinstance(db, Database)
    assert seed.seed(tmp_path)["naive"] == 1001
