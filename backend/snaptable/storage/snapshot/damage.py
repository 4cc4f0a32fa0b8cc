"""What is wrong with a snapshot that does not verify, where, and what to do about it.

A file that stopped being JSON in the middle, but still ends as it should, was most likely edited by hand: what helps
is to mend the line and accept the edit, for a repair would discard it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snaptable.errors import CorruptSnapshot, OpenError, SnapshotEdited
from snaptable.storage.disk import names
from snaptable.values.row_lines import line_key
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

_TABLE_LINE = re.compile(rb'^("(?:[^"\\\n]|\\.)*"): \{$', re.MULTILINE)
_CONFLICT_MARKER = re.compile(rb"^(?:<{7}|={7}|>{7})(?: |\r?$)", re.MULTILINE)


def explain(path: str, data: bytes, *, has_header: bool) -> OpenError:
    """Return the error that says how a snapshot that does not verify is wrong; O(n).

    Args:
        path: the file's path, for messages.
        data: its content.
        has_header: whether its header line can be read.
    """
    try:
        plain = parse_strictly(data)
    except (ValueError, RecursionError) as error:
        return _explain_invalid_json(path, data, error)
    if not isinstance(plain, dict) or not isinstance(plain.get("snaptable"), dict):
        return CorruptSnapshot(
            f"{path}: valid JSON, but not as this library writes it (its first or last lines are not)", path=path
        )
    if "checksum" not in plain or not has_header:
        return edited(path, "its first or last lines are not those of a snapshot")
    return edited(path, f"{plain['checksum']!r} is not the checksum of its bytes")


def edited(path: str, reason: str) -> SnapshotEdited:
    """Return the error for a snapshot that is valid JSON, but not as it was written."""
    accept = names.command("accept", Path(path).parent)
    return SnapshotEdited(
        f"{path} is valid JSON, but not as it was written: {reason}. It was edited by hand, or damaged; it was left as "
        f"it is. {accept} shows the difference and takes it over; otherwise put the copy from before that back",
        path=path,
    )


def put_back(path: str, sequence: int, saved_at: str, closed_sequence: int, closed_at: str) -> SnapshotEdited:
    """Return the error for a whole snapshot that is older than the last clean close of the journal beside it.

    Args:
        path: the file's path.
        sequence: the last commit that it holds.
        saved_at: the time it was written.
        closed_sequence: the last commit at the clean close, which left a snapshot of that.
        closed_at: the time of that.
    """
    accept = names.command("accept", Path(path).parent)
    return SnapshotEdited(
        f"{path} is older than the journal beside it: it holds sequence {sequence}, saved {saved_at}; the journal was "
        f"closed cleanly at sequence {closed_sequence}, {closed_at}, and left a snapshot of that. So an older copy was "
        f"put back; it was left as it is. To go back to it, {accept} shows what would change and asks; to continue "
        f"from the journal, {accept} --discard keeps the copy in {names.QUARANTINE} and writes the newer one",
        path=path,
    )


def _explain_invalid_json(path: str, data: bytes, error: Exception) -> CorruptSnapshot:
    directory = Path(path).parent
    accept, check, repair = (names.command(verb, directory) for verb in ("accept", "check", "repair"))
    marker = _CONFLICT_MARKER.search(data)
    offset = marker.start() if marker else _offset_of(data, error)
    line = line_at(data, offset)
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if marker:
        text = (
            f"{path} holds the conflict markers of a merge, the first in line {line} (byte {offset}); it was left as "
            f"it is. Resolve them and run {accept}; or put a copy from before the merge back"
        )
    elif _ends_well(data) and not isinstance(error, UnicodeDecodeError):
        text = (
            f"{path} is not JSON any more: {reason} in line {line} (byte {offset} of {len(data)}); it was left as it "
            f"is. If it was edited, mend line {line} and run {accept}; if not, it is damaged: {check} lists where, "
            f"{repair} says what can be saved; or put a copy back"
        )
    else:
        text = (
            f"{path} is damaged in line {line} (byte {offset} of {len(data)}): {reason}; it was left as it is. "
            f"{check} lists the damage, {repair} says what can be saved; or put a copy back"
        )
    return CorruptSnapshot(text, path=path, line=line, offset=offset)


def _ends_well(data: bytes) -> bool:
    """Return whether a file's last lines are those of a snapshot, up to white space."""
    return b'"checksum": "' in data[-200:] and data.rstrip().endswith(b"}")


def _offset_of(data: bytes, error: Exception) -> int:
    """Return the byte where a file stops being strict JSON: the parser's own, or that of the first row that is not."""
    if isinstance(error, UnicodeDecodeError):
        return error.start
    if not isinstance(error, json.JSONDecodeError):
        return next((offset for offset, _ in damaged_rows(data)), 0)
    offset = len(data.decode("utf-8")[: error.pos].encode("utf-8"))
    before = data[:offset].rstrip()
    if len(before) < offset and _is_about_comma(error, data, offset, before):
        return len(before)  # the end of the line before
    return offset


def _is_about_comma(error: json.JSONDecodeError, data: bytes, offset: int, before: bytes) -> bool:
    """Return whether a comma is missing, or too much, at the end of the line before: parsers name the next line."""
    is_missing = error.msg.startswith("Expecting ',' delimiter")
    return is_missing or (before.endswith(b",") and data.startswith(b"}", offset))


def at(path: str, data: bytes, offset: int, reason: str) -> CorruptSnapshot:
    """Return the error for damage at an offset of a snapshot."""
    return CorruptSnapshot(f"{path}, byte {offset}: {reason}", path=path, line=line_at(data, offset), offset=offset)


# ── places ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Place:
    """A place in a snapshot, as a person looks it up."""

    line: int
    table: str | None = None
    key: str | None = None


def line_at(data: bytes, offset: int) -> int:
    """Return the line of an offset, counted from 1; O(n)."""
    return data.count(b"\n", 0, offset) + 1


def locate(data: bytes, offset: int) -> Place:
    """Return the line of an offset, and table and key of the row there, if there is one; O(n)."""
    start = data.rfind(b"\n", 0, offset) + 1
    tables = [match[1] for match in _TABLE_LINE.finditer(data, 0, start)]
    line = line_at(data, offset)
    return Place(line, _text(tables[-1]), line_key(data, start)) if tables else Place(line)


def _text(name: bytes) -> str:
    try:
        return str(json.loads(name))
    except ValueError:
        return name.decode("utf-8", "backslashreplace")


def damaged_rows(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the offset of each line of a file that should be a row and isn't strict JSON, and the reason; O(n)."""
    offset = 0
    for line in data.split(b"\n"):
        if line_key(line) is not None:
            try:
                # The braces around it count as one level.
                if depth_of(parse_strictly(b"{" + line.rstrip(b",") + b"}")) > MAX_DEPTH + 1:
                    yield offset, f"nested deeper than {MAX_DEPTH}"
            except (ValueError, RecursionError) as error:
                yield offset, str(error)
        offset += len(line) + 1
