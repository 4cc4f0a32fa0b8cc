"""A second process at a store's directory: one that tries to open it, and one that holds it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SecondProcess:
    """Be what came of a second process's try to open a store."""

    refused: str | None
    """What it was told: the message of StoreLocked, or of another OpenError; None where it got in."""


_CHILD = """
import sys
from pathlib import Path
from snaptable.errors import SnaptableError
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.lock import Lock
try:
    files = Files(Path(sys.argv[1]))
    files.make_directory()
    lock = Lock(files)
except SnaptableError as error:
    print(f"refused {error}", flush=True)
else:
    print("opened", flush=True)
    sys.stdin.read()
    lock.release()
"""


def _start(directory: Path) -> "subprocess.Popen[str]":
    # The lock is all it takes: it comes before anything else, and no schema has to be known for it.
    return subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", _CHILD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def try_to_open(directory: Path) -> SecondProcess:
    """Let another process try to open a directory."""
    with _start(directory) as process:
        output, _ = process.communicate()
    refused = output.removeprefix("refused ").strip() if output.startswith("refused ") else None
    return SecondProcess(refused)


@contextmanager
def holding(directory: Path) -> Iterator[int]:
    """Let another process hold a directory for the length of a block; gives its process id."""
    with _start(directory) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != "opened\n":
            raise RuntimeError(f"the second process could not open the store: {said}")
        yield process.pid
        process.communicate()
