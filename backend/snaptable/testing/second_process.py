"""A second process at a store's directory: one that tries to open it, and one that keeps it open."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SecondProcess:
    """The outcome of a second process's attempt to open a store.

    Attributes:
        refused: the message of StoreLocked, or of another OpenError; None if it got in.
    """

    refused: str | None


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
    # Taking the lock is enough: it comes before anything else in an opening, and needs no schema.
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
def kept_open(directory: Path) -> Iterator[int]:
    """Let another process keep a directory open for the length of a block; gives its process id."""
    with _start(directory) as process:
        assert process.stdout is not None
        answer = process.stdout.readline()
        if answer != "opened\n":
            raise RuntimeError(f"the second process could not open the store: {answer}")
        yield process.pid
        process.communicate()
