"""Clients that openapi-python-client generates from what the backend and the demos say of themselves.

The generator is not among the tools that are locked: `uv run --with` brings it. Where it can't be had, these are
skipped; never where CI is true.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app.support import CHEAP_HASHING
from tests.demos.support import running

from app.api.application import create_app
from app.settings import Settings
from demos.chat.application import create_app as create_chat
from demos.lesson.application import create_app as create_lesson
from demos.tracker.application import create_app as create_tracker

ROOT = Path(__file__).parents[2]
GENERATOR = "openapi-python-client==0.29.1"
UNKNOWN_TO_IT = "application/pdf"
"""What the generator leaves out of a client, and says so."""
USE = """
from generated_tracker import Client
from generated_tracker.api.tracks import tracks_get, tracks_list
from generated_tracker.api.users import users_create
from generated_tracker.models import ExpandedRows, Problem, TrackPage, User, UserCreate
from generated_tracker.models import TracksListExpandItem, TracksListSortItem

client = Client(BASE)
page = tracks_list.sync(client=client, sort=[TracksListSortItem.DIFFICULTY, TracksListSortItem.VALUE_6], limit=200)
assert isinstance(page, TrackPage)
keys = [track.id for track in page.items if isinstance(track.id, str)]
some = tracks_list.sync(client=client, id_in=keys[:2], expand=[TracksListExpandItem.LESSONS])
assert isinstance(some, TrackPage)
assert {track.id for track in some.items} == set(keys[:2])
for track in some.items:
    assert isinstance(track.lessons, ExpandedRows)
    assert "order" in track.lessons.items[0].additional_properties
new = users_create.sync(client=client, body=UserCreate(name="Kay", email="kay@example.org"))
assert isinstance(new, User), new
again = users_create.sync(client=client, body=UserCreate(name="Kay", email="kay@example.org"))
assert isinstance(again, Problem)
assert again.status == 409
missing = tracks_get.sync("nowhere", client=client)
assert isinstance(missing, Problem)
print("used", len(keys))
"""


def run(folder: Path, *command: str) -> str:
    """Run a program of the generator's environment in a folder, and return its output."""
    uv = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    tools = ["--no-project", "--python", sys.executable, "--with", GENERATOR, "--with", "mypy"]
    found = subprocess.run(
        [uv, "run", "--quiet", *tools, *command],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return f"exit {found.returncode}\n{found.stdout}{found.stderr}"


def generate(folder: Path) -> list[str]:
    """Generate the clients in a folder, and return their names; skip, or fail, where the generator can't be had."""
    said = run(folder, "openapi-python-client", "--version")
    if not said.startswith("exit 0"):
        message = f"{GENERATOR} can't be had: {said[:300]}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    options: dict[str, object] = {"data_dir": "memory:", **CHEAP_HASHING}
    apps = {
        "app": create_app(Settings(_env_file=None, **options)),  # type: ignore[arg-type]
        "lesson": create_lesson(folder / "lesson"),
        "chat": create_chat("memory:"),
        "tracker": create_tracker("memory:"),
    }
    for name, app in apps.items():
        document = folder / f"{name}.json"
        document.write_text(json.dumps(app.openapi()), encoding="utf-8")
        generated = folder / f"generated_{name}"
        said = run(
            folder, "openapi-python-client", "generate", "--path", str(document), "--output-path", str(generated),
            "--meta", "none",
        )  # fmt: skip
        assert said.startswith("exit 0"), said
        warnings = [line for line in said.splitlines() if line.startswith(("Unable", "Could not", "Cannot", "WARNING"))]
        assert all(UNKNOWN_TO_IT in line or "/content" in line for line in warnings), said
    return [f"generated_{name}" for name in sorted(apps)]


def test_generated_clients_are_strictly_typed_and_work(tmp_path: Path) -> None:
    """Ensure that mypy --strict finds nothing in any client, but in `client.py`, which is the generator's own.

    And that lists, sorts, expansions and problems come to one of them, of a server, as what their types say.
    """
    folder = tmp_path / "clients"
    folder.mkdir()
    names = generate(folder)
    ignored = "".join(f"[mypy-{name}.client]\nignore_errors = True\n" for name in names)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{ignored}", encoding="utf-8")
    assert len({(folder / name / "client.py").read_bytes() for name in names}) == 1
    said = run(folder, "mypy", "--config-file", "mypy.ini", *names)
    assert said.startswith("exit 0\nSuccess"), said
    with running("tracker", "--data-dir", tmp_path / "data") as address:
        (folder / "use.py").write_text(USE.replace("BASE", repr(address)), encoding="utf-8")
        said = run(folder, "python", "use.py")
        assert said == "exit 0\nused 5\n", said
