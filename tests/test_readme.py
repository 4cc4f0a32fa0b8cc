"""Run the code of the READMEs: what a newcomer copies works, restart included."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

ROOT = Path(__file__).parents[1]


def example(name: str) -> str:
    """Return the code block of the README that a comment names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.+?)```", text, re.DOTALL)
    assert found is not None, name
    return found[1]


def test_the_store_example_is_still_there_when_run_again(tmp_path: Path) -> None:
    """The first run writes, the second finds it, and the file between them is readable JSON."""
    script = tmp_path / "library.py"
    script.write_text(example("store"), encoding="utf-8")

    def run() -> str:
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    assert run() == "written; run me again\n"
    snapshot = json.loads((tmp_path / "data" / "db_snapshot.json").read_text(encoding="utf-8"))
    assert [row["email"] for row in snapshot["users"].values()] == ["ada@example.org"]
    again = run()
    assert again.startswith("still there: ['notes.pdf']\n")
    assert "index user_id,uploaded" in again


def test_the_fastapi_example_serves_and_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes written over HTTP are listed by author, and are there after the application was started anew."""
    monkeypatch.chdir(tmp_path)

    def start() -> TestClient:
        namespace: dict[str, object] = {"__name__": "notes"}
        exec(compile(example("fastapi"), "notes.py", "exec"), namespace)
        return TestClient(namespace["app"])  # type: ignore[arg-type]

    with start() as client:
        created = client.post("/notes", params={"author": "ada", "text": "first"})
        assert (created.status_code, created.json()) == (201, {"id": 1, "author": "ada", "text": "first"})
        assert client.get("/notes/7").status_code == 404
    with start() as client:
        assert client.get("/notes/1").json()["text"] == "first"
        assert [note["id"] for note in client.get("/notes", params={"author": "ada"}).json()] == [1]


def test_the_readme_names_the_two_commands_that_set_everything_up() -> None:
    """One command runs the backend, one the tests; the second is what CI runs, to the letter."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.+?)\n```", text, re.DOTALL))
    assert commands["run"].endswith("uv run backend")
    assert commands["test"].endswith("uv run pytest")
    assert "command: test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
