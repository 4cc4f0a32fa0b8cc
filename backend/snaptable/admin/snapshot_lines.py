"""On which line of `db_snapshot.json` a row stands."""

import json
import mmap
from pathlib import Path

NAME = "db_snapshot.json"


def line_of(directory: Path | None, table: str, key: object) -> int | None:
    """Return the line of a row, counted from 1; None without a file, or if it isn't there (yet). O(bytes before it)."""
    if directory is None:
        return None
    try:
        with (directory / NAME).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            section = data.find(b"\n%b: {\n" % _spelled(table))
            place = data.find(b"\n%b: {" % _spelled(str(key)), section + 1) if section >= 0 else -1
            end = data.find(b"\n}", section + 1)
            if place < 0 or place > end >= 0:
                return None
            return data[: place + 1].count(b"\n") + 1
    except (OSError, ValueError):
        return None


def _spelled(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
