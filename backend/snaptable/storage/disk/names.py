"""The names of a store's files, and whose they are; the formats are described in `snaptable/README.md`."""

import os
import re
import shlex
from uuid import uuid4

FORMAT = 1
SNAPSHOT = "db_snapshot.json"
JOURNAL = "db_journal"
LOCK = "db.lock"
QUARANTINE = "quarantine"
_SEGMENT = re.compile(r"([1-9][0-9]{0,18})\.jsonl")
_TEMPORARY = re.compile(r"\.(db_snapshot|segment)\.[0-9a-f]{32}\.tmp")


def command(verb: str, directory: str | os.PathLike[str]) -> str:
    """Return the command line of one of our commands on a directory."""
    return f"snaptable {verb} {shlex.quote(os.fspath(directory))}"


def segment(first: int) -> str:
    """Return the file name of the journal segment that begins with a sequence."""
    return f"{first}.jsonl"


def first_of(name: str) -> int | None:
    """Return the first sequence of a journal segment by its file name, None if it is not the name of a segment."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else None


def temporary() -> str:
    """Return a new name for a snapshot that is being written: unguessable, so that no file can be planted there."""
    return f".db_snapshot.{uuid4().hex}.tmp"


def temporary_segment() -> str:
    """Return a new name, below the store's directory, for a journal segment that is being written."""
    return f"{JOURNAL}/.segment.{uuid4().hex}.tmp"


def is_temporary(name: str) -> bool:
    """Return whether a name, without its folder, was made by `temporary` or `temporary_segment`."""
    return _TEMPORARY.fullmatch(name) is not None
