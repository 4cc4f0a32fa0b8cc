"""The command as a whole: its version, the name that its texts call it by, and what its help costs."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.snaptable.cli.support import command, process

from snaptable.storage.disk import names


def test_version() -> None:
    """Ensure the version that is installed is named, by `python -m snaptable` as well."""
    assert command("--version").says(f"snaptable {version('snaptable')}").status == 0
    assert process("--version").says(f"snaptable {version('snaptable')}").status == 0


def test_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the command line in a message works where the process was started: `uv run`, on the PATH or neither."""

    def install(name: str) -> str:
        program = tmp_path / name
        program.write_text("")
        program.chmod(0o700)
        return str(program)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    assert names.command("check", "my data") == "python -m snaptable check 'my data'"
    install("snaptable")
    assert names.command("check", "data") == "snaptable check data"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    monkeypatch.setenv("UV", "/opt/uv")
    assert names.command("check", "data") == "/opt/uv run snaptable check data"
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("UV", install("bin/uv"))
    assert names.command("check", "data") == "bin/uv run snaptable check data"
    install("uv")
    assert names.command("check", "data") == "uv run snaptable check data"
    assert command("--help").says("usage: uv run snaptable").status == 0


def test_help_needs_little() -> None:
    """Ensure that `--help` imports click and a few modules of ours, and none that only a command needs."""
    code = "import sys, click; before = set(sys.modules); import snaptable.cli.root; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = set(done.stdout.split())
    slow = {"pydantic", "rich", "json", "shutil", "pathlib", "urllib.parse", "asyncio", "sqlite3", "snaptable.database"}
    assert not needed & slow
    assert len(needed) <= 30
