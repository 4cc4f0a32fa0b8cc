"""What the commands' tests share: calling them, here or as a process, and what they may not touch."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.snaptable.storage.support import tree

from snaptable.cli import main

ROOT = Path(__file__).parents[3]
SCHEMA = "tests.snaptable.storage.support:Store"


@dataclass
class Result:
    """Be how a command ended."""

    status: int
    out: str
    err: str

    def says(self, *words: str) -> "Result":
        """Check that it said all of that."""
        missing = [word for word in words if word not in self.out + self.err]
        assert not missing, f"{missing} not in:\n{self.out}{self.err}"
        return self


def command(*arguments: object, answer: str = "") -> Result:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", io.StringIO(answer)):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Result(status, out.getvalue(), err.getvalue())


def process(*arguments: object, answer: str = "") -> Result:
    """Call the command as a process of its own."""
    line = [sys.executable, "-m", "snaptable", *map(str, arguments)]
    ended = subprocess.run(line, cwd=ROOT, input=answer, capture_output=True, text=True, timeout=180, check=False)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def unchanged(directory: Path, *arguments: object, answer: str = "") -> Result:
    """Call the command and check that no file but the lock was touched."""
    before = tree(directory)
    times = {path: path.lstat().st_mtime_ns for path in directory.rglob("*") if path.name != "db.lock"}
    result = command(*arguments, answer=answer)
    assert tree(directory) == before
    assert {path: path.lstat().st_mtime_ns for path in times} == times
    return result


def nothing_lost(directory: Path, before: dict[str, bytes]) -> None:
    """Check that each byte that was in the store is in its place still, or in the quarantine."""
    kept = [path.read_bytes() for path in (directory / "quarantine").glob("*")]
    for name, data in before.items():
        place = directory / name
        now = place.read_bytes() if place.exists() else b""
        if data != now and data not in kept:
            assert data.startswith(now), name
            assert data[len(now) :] in kept, name
