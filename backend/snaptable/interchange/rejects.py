"""The file of rows that an import refused: each as its file had it, with what is wrong, a JSON object a line."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from snaptable.errors import UnreadableFile
from snaptable.interchange.parsed import Record


def write_rejects(path: str | Path, rejected: Iterable[tuple[Record, Sequence[Mapping[str, str | None]]]]) -> int:
    """Write records that are wrong, for the file's owner alone, and return how many there are.

    Args:
        path: a new file.
        rejected: records, each with the fields and reasons of its faults.

    Raises:
        UnreadableFile: it is there already, or can't be written.
    """
    count = 0
    try:
        with open(path, "x", encoding="utf-8", opener=_private) as file:
            for record, faults in rejected:
                line = {"line": record.line, "faults": faults, "record": dict(record.values)}
                file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
                count += 1
    except FileExistsError:
        raise UnreadableFile(f"{path} is there already; nothing is replaced", path=path) from None
    except OSError as error:
        raise UnreadableFile(f"{path} can't be written: {error.strerror or error}", path=path) from error
    return count


def _private(path: str, flags: int) -> int:
    """Open a file that is for its owner alone."""
    return os.open(path, flags, 0o600)
