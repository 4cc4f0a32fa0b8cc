"""What is proposed, kept beside the data: `admin_proposals.json`, readable by its owner alone, replaced in one step."""

import logging
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from typing_extensions import TypedDict

from snaptable.admin.kept_file import FORMAT, KeptFile

NAME = "admin_proposals.json"
MOST_BYTES = 32 << 20
"""Of the file; twenty proposals can't be larger."""

logger = logging.getLogger("snaptable.admin")


class KeptProposal(TypedDict):
    """A proposal as it is kept: what its author sent, and of which commit's rows."""

    number: int
    author: str
    note: str
    at: datetime
    base: int
    table: str
    sent: object


class Kept(TypedDict):
    """The file's content; `last` is the greatest number that was given."""

    format: int
    last: int
    proposals: list[KeptProposal]


_FILE = KeptFile(NAME, Kept, MOST_BYTES)


def read(directory: Path) -> Kept:
    """Return what is kept; nothing, if the file is missing. One that can't be read is set aside, and logged."""
    try:
        return _FILE.read(directory)
    except FileNotFoundError:
        return {"format": FORMAT, "last": 0, "proposals": []}
    except (OSError, ValueError) as error:
        reason = "it is damaged" if isinstance(error, ValidationError) else str(error)
        path = directory / NAME
        aside = path.with_name(f"{NAME}.set-aside")
        logger.warning("The proposals in %s can't be read (%s); the file is now %s.", NAME, reason, aside.name)
        path.replace(aside)
        return {"format": FORMAT, "last": 0, "proposals": []}


def write(directory: Path, last: int, proposals: list[KeptProposal]) -> None:
    """Keep proposals, durably, in the place of those before.

    Raises:
        OSError: they are not kept.
    """
    _FILE.write(directory, {"format": FORMAT, "last": last, "proposals": proposals})
