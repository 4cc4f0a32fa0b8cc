"""The names of a store's files, and whose they are; the formats are described in `snaptable/README.md`."""

import os
import re
import shlex
from collections.abc import Collection
from uuid import uuid4

from snaptable.runtime.program_name import program

FORMAT = 1
"""What is written, unless a store has seen migrations or purges."""
FORMAT_WITH_PAST = 2
"""The same, and in the header the migrations it has seen and the keys that were purged, or that lines were; so no
version that doesn't know of them drops them."""
PAST_MEMBERS = ("migrations", "erased", "purged")
"""The members of a header, any of which a file of that format has."""
SNAPSHOT = "db_snapshot.json"
JOURNAL = "db_journal"
LOCK = "db.lock"
SOCKET = "db.socket"
"""Where a server that has the store open takes the command's writes."""
QUARANTINE = "quarantine"
BEFORE = "db_before"
_SEGMENT = re.compile(r"([1-9][0-9]{0,18})\.jsonl")
_TEMPORARY = re.compile(r"\.(db_snapshot|segment)\.[0-9a-f]{32}\.tmp")


def command(verb: str, directory: str | os.PathLike[str]) -> str:
    """Return the command line of one of our commands on a directory."""
    return f"{program()} {verb} {shlex.quote(os.fspath(directory))}"


def format_with(past: Collection[object]) -> int:
    """Return the format of a file of a store that has seen some migrations, or purges."""
    return FORMAT_WITH_PAST if past else FORMAT


def can_read(number: object, header: Collection[str]) -> bool:
    """Return whether this version reads a file of some format, by the names of what its header has."""
    return number == FORMAT or (number == FORMAT_WITH_PAST and any(member in header for member in PAST_MEMBERS))


def before(sequence: int) -> str:
    """Return the name, below the store's directory, of the snapshot kept from before a migration."""
    return f"{BEFORE}/{sequence}.json"


def temporary_before() -> str:
    """Return a new name, below the store's directory, for such a snapshot that is being written."""
    return f"{BEFORE}/.db_snapshot.{uuid4().hex}.tmp"


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
