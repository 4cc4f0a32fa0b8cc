"""What the commands share: the directory they are given, what they say, and the question before anything is changed."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from snaptable.maintenance.check import fingerprint
from snaptable.progress import Progress
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, resolve
from snaptable.storage.disk.lock import Lock

EXIT_SOUND = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """Say how the command was called wrongly."""


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Add the argument that every command has."""
    parser.add_argument("directory", metavar="DIR", help="the store's directory, which holds db_snapshot.json")


def add_schema(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the models."""
    parser.add_argument(
        "--schema", metavar="MODULE:DATABASE", help="check rows against the models too, e.g. app.main:Library"
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option that answers the question."""
    parser.add_argument("--yes", action="store_true", help="go on without asking")


def store_in(directory: str) -> Files:
    """Return a store's directory.

    Raises:
        UsageError: there is no store, or it is another user's.
    """
    files = Files(resolve(directory))
    if not files.exists():
        raise UsageError(f"{files.root} is no directory")
    if not any(name in (names.SNAPSHOT, names.JOURNAL) for name in files.list()):
        raise UsageError(f"there is no store in {files.root}: neither {names.SNAPSHOT} nor {names.JOURNAL}")
    owner = files.root.stat().st_uid
    if os.name != "nt" and owner != os.geteuid():
        raise UsageError(f"{files.root} belongs to user {owner}: call this as that user, e.g. sudo -u '#{owner}' …")
    return files


@contextmanager
def locked(files: Files) -> Iterator[None]:
    """Hold a store's lock for the length of a block; raises StoreLocked where it is open somewhere."""
    for name in ("", *(known for known in (names.JOURNAL, names.QUARANTINE) if files.identity(known))):
        files.check_directory(name)
    lock = Lock(files)
    try:
        yield
    finally:
        lock.release()


def progress_of(files: Files) -> Progress:
    """Return what tells how far reading is, where it takes long."""
    return Progress(sum(found[2] for found in fingerprint(files) if found), f"Loading {files.root}")


def say(text: str = "") -> None:
    """Write a line for the person who called the command."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def ask(question: str, *, yes: bool) -> bool:
    """Return whether to go on; the answer is no unless somebody says yes."""
    if yes:
        return True
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline() if sys.stdin else ""
    if not answer.endswith("\n"):
        say()
    if answer.strip().lower() in ("y", "yes"):
        return True
    say("Nothing was changed.")
    return False


def counted(counts: Mapping[str, int]) -> str:
    """Return how many rows each table has, in words."""
    return ", ".join(f"{count:,} {table}" for table, count in counts.items()) or "no tables"
