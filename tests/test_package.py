"""The wheel as a user installs it: beside a project whose own package is called `app`, as FastAPI's tutorial has it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock
from tests.test_readme import example

ROOT = Path(__file__).parents[1]
PROJECT = """
[project]
name = "theirs"
version = "1"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["app"]
"""
REQUEST = """
import asyncio, json, sys
from notes import app

async def ask(method, path, query=""):
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    answer = []
    async def receive():
        return {"type": "http.request"}
    async def send(message):
        answer.append(message)
    await app(scope, receive, send)
    return answer[0]["status"], json.loads(answer[1]["body"])

async def main():
    async with app.router.lifespan_context(app):
        print(*await ask("POST", "/notes", "text=first"))
        print(*await ask("GET", "/notes/1"))

asyncio.run(main())
"""


def uv(*arguments: str | Path) -> None:
    """Run uv: the one that runs these tests, or the one of the README's command."""
    program = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    subprocess.run([program, "--quiet", *arguments], cwd=ROOT, check=True, timeout=300)


class Installed:
    """A user's environment and project: the wheel, and a package `app` of their own, both in site-packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = next(folder.glob("snaptable-*.whl"))
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    @classmethod
    def make(cls, folder: Path) -> "Installed":
        """Build the wheel, and install it without extras, with `web`, and with all, into an environment each."""
        uv("build", "--wheel", "--out-dir", folder, ROOT)
        (folder / "theirs" / "app").mkdir(parents=True)
        (folder / "theirs" / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (folder / "theirs" / "app" / "main.py").write_text("MINE = True\n", encoding="utf-8")
        installed = cls(folder)
        installed.install("venv", str(installed.wheel))
        installed.install("venv-web", f"{installed.wheel}[web]")
        installed.install("venv-all", f"{installed.wheel}[cli,admin,postgres,backup]")
        return installed

    def install(self, environment: str, wheel: str) -> None:
        """Make an environment that holds the wheel and the user's own package."""
        uv("venv", "--python", sys.executable, self.folder / environment)
        uv("pip", "install", "--python", self.folder / environment, wheel, self.folder / "theirs")

    def run(self, *command: str, environment: str = "venv", cwd: Path | None = None) -> str:
        """Run a program of an environment, without anything of this clone, and return what it printed."""
        program, *arguments = command
        path = self.folder / environment / self.bin.name / program
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [path, *arguments],
            cwd=cwd or self.folder, env=variables, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Installed:
    """Give the environments; made once, whichever process of xdist comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "package"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            Installed.make(folder)
            (folder / "made").touch()
    return Installed(folder)


def top_level(names: Sequence[str]) -> set[str]:
    """Return the first parts of paths, but for the folder of the wheel's own metadata."""
    return {name.split("/")[0] for name in names if ".dist-info/" not in name}


def test_the_wheel_holds_the_library_and_its_plugin_only(installed: Installed) -> None:
    """No `app`, no demos: what a user installs is `snaptable` and the module that pytest loads."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    assert top_level(names) == {"snaptable", "_snaptable_pytest.py"}
    assert "snaptable/py.typed" in names
    assert {"snaptable/admin/static/admin.js", "snaptable/admin/templates/base.html"} <= set(names)


def test_uninstalling_removes_nothing_of_the_users(installed: Installed) -> None:
    """The record, which pip removes by, names no file of `app`, and `app.main` is the user's."""
    code = (
        "import importlib.metadata as m, json, app.main; assert app.main.MINE;"
        "print(json.dumps([str(file) for file in m.files('snaptable')]))"
    )
    names = json.loads(installed.run("python", "-c", code))
    assert top_level(names) - {"..", "__pycache__"} == {"snaptable", "_snaptable_pytest.py"}
    scripts = {Path(name).stem for name in names if name.startswith("..")}
    assert scripts == {"snaptable"}


def test_the_library_needs_three_packages(installed: Installed) -> None:
    """Everything else in the environment is what those three need; there is no FastAPI, and it works without."""
    code = "import importlib.metadata as m; print(*sorted(d.metadata['name'].lower() for d in m.distributions()))"
    names = set(installed.run("python", "-c", code).replace("_", "-").split())
    assert names == {
        "snaptable", "theirs", "pydantic", "filelock", "typing-extensions",
        "pydantic-core", "annotated-types", "typing-inspection",
    }  # fmt: skip


def test_the_command_says_its_version(installed: Installed) -> None:
    """The command is there, and tells which version it is."""
    version = installed.run("python", "-c", "import snaptable; print(snaptable.__version__)").strip()
    assert installed.wheel.name.startswith(f"snaptable-{version}-")
    assert installed.run("snaptable", "--version", environment="venv-all") == f"snaptable {version}\n"


def test_the_command_says_what_it_lacks(installed: Installed) -> None:
    """Without its extra it is there, and names what to install."""
    with pytest.raises(AssertionError, match=r'click is not installed; this needs: pip install "snaptable\[cli\]"'):
        installed.run("snaptable", "--version")


def test_the_store_example_of_the_readme_runs(installed: Installed, tmp_path: Path) -> None:
    """The first file that a newcomer pastes works in a fresh project."""
    (tmp_path / "library.py").write_text(example("store"), encoding="utf-8")
    assert installed.run("python", "library.py", cwd=tmp_path) == "written; run me again\n"
    assert installed.run("python", "library.py", cwd=tmp_path).startswith("still there: ")
    assert "sound" in installed.run("snaptable", "check", "library-data", environment="venv-all", cwd=tmp_path)


def test_the_fastapi_example_of_the_readme_runs(installed: Installed, tmp_path: Path) -> None:
    """With the extra `web`, the second example answers, and remembers."""
    (tmp_path / "notes.py").write_text(example("fastapi"), encoding="utf-8")
    (tmp_path / "ask.py").write_text(REQUEST, encoding="utf-8")
    first = installed.run("python", "ask.py", environment="venv-web", cwd=tmp_path)
    assert "201 {'id': 1, 'text': 'first'}" in first
    second = installed.run("python", "ask.py", environment="venv-web", cwd=tmp_path)
    assert "200 {'id': 1, 'text': 'first'}" in second
    assert "201 {'id': 2, 'text': 'first'}" in second


POSTGRES = ("snaptable.postgres", "snaptable.engines.postgresql", "snaptable.maintenance.moving")
LACKS = {
    "venv": ("snaptable.admin", "snaptable.cli", "snaptable.web", *POSTGRES),
    "venv-web": ("snaptable.admin", "snaptable.cli", *POSTGRES),
    "venv-all": (),
}
"""What each environment lacks the packages for."""


@pytest.mark.parametrize("environment", LACKS)
def test_every_module_imports_with_what_is_installed(installed: Installed, environment: str) -> None:
    """No module needs a package that its extra doesn't bring; the plugin needs pytest."""
    code = (
        "import importlib, pkgutil, snaptable, sys\n"
        "for module in pkgutil.walk_packages(snaptable.__path__, 'snaptable.', onerror=lambda name: None):\n"
        "    if not module.name.endswith('__main__') and not module.name.startswith(SKIPPED):\n"
        "        importlib.import_module(module.name)\n"
        "print(*(name for name in sys.modules if name.startswith('snaptable.')))\n"
    )
    skipped = ("snaptable.testing", *LACKS[environment])
    imported = installed.run("python", "-c", f"SKIPPED = {skipped!r}\n{code}", environment=environment).split()
    assert {"snaptable.database", "snaptable.maintenance.check", "snaptable.storage.store"} <= set(imported)
