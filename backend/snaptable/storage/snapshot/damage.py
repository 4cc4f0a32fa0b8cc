"""What is wrong with a snapshot that does not verify, where, and what to do about it.

A file that stopped being JSON in the middle, but still ends as it should, was most likely edited by hand: what helps
is to mend the line and accept the edit, for a repair would discard it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snaptable.errors import CorruptSnapshot, OpenError, SnapshotEdited, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.values.row_lines import line_key
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

_TABLE_LINE = re.compile(rb'^("(?:[^"\\\n]|\\.)*"): \{\r?$', re.MULTILINE)
BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors put before UTF-8: layout, as white space is."""
_OURS = re.compile(rb'"snaptable"\s*:\s*(?=\{)')
_FORMAT = re.compile(rb'\{\s*"format"\s*:\s*([0-9]{1,18})')
_PAST = re.compile(rb'"(' + "|".join(names.PAST_MEMBERS).encode() + rb')"\s*:')
_CHECKSUM = re.compile(rb'"checksum"\s*:\s*"')
_LONE_BRACE = re.compile(rb"[}\]],?[ \t]*(?:\r?\n|\Z)")
_CONFLICT_MARKER = re.compile(rb"^(?:<{7}|={7}|>{7})(?: |\r?$)", re.MULTILINE)


HEAD_BYTES = 4096
"""Bytes in which a file's header begins, whatever was put before it."""
LONGEST_HEADER = 1 << 16
"""Bytes in which a header ends."""
MAX_SPREAD = 1 << 16
"""Bytes of a row up to which it is recognised though it is spread over several lines."""


def explain(path: str, data: bytes, *, has_header: bool) -> OpenError:
    """Return the error that says how a snapshot that does not verify is wrong; O(n).

    Args:
        path: the file's path, for messages.
        data: its content.
        has_header: whether its header line can be read.
    """
    number: object = _claimed_format(data)
    if not names.can_read(number, [name.decode() for name in _PAST.findall(data, 0, LONGEST_HEADER)]):
        return unsupported(path, number)
    try:
        plain = parse_file(data)
    except (ValueError, RecursionError) as error:
        return _explain_invalid_json(path, data, error)
    if not isinstance(plain, dict) or not isinstance(plain.get("snaptable"), dict):
        return CorruptSnapshot(
            f"{path}: valid JSON, but not as this library writes it (its first or last lines are not)", path=path
        )
    number = plain["snaptable"].get("format", names.FORMAT)
    if not names.can_read(number, plain["snaptable"]):
        return unsupported(path, number)
    if data.startswith(BOM):
        return edited(path, "it begins with a byte order mark")
    if not data.startswith(b'{\n"snaptable": '):
        return edited(path, "it was laid out anew")
    if "checksum" not in plain or not has_header:
        return edited(path, "its first or last lines are not those of a snapshot")
    return edited(path, f"{plain['checksum']!r} is not the checksum of its bytes")


def parse_file(data: bytes) -> object:
    """Return the value of a file in strict JSON, a byte order mark before it left out; raises as `parse_strictly`."""
    return parse_strictly(data.removeprefix(BOM))


def seems_ours(data: bytes) -> bool:
    """Return whether a file, however it is laid out or damaged, was made from a snapshot of this library."""
    return _OURS.search(data, 0, HEAD_BYTES) is not None


def _claimed_format(data: bytes) -> int:
    """Return the format that a file's first lines name, this version's own if they name none."""
    header = _OURS.search(data, 0, HEAD_BYTES)
    number = _FORMAT.match(data, header.end()) if header else None
    return int(number[1]) if number else names.FORMAT


def unsupported(path: str, number: object, line: int | None = None) -> UnsupportedFormat:
    """Return the error for a snapshot of another format than this version's."""
    return UnsupportedFormat(
        f"{path} has format {number}; this version reads format {names.FORMAT}, and {names.FORMAT_WITH_PAST}: "
        f"open it with the version that wrote it; nothing was changed",
        path=path,
        line=line,
    )


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
    line, reason = line_at(data, offset), _reason_of(error)
    first = None if marker else next(damaged_rows(data), None)
    if first is not None and line_at(data, first[0]) < line:
        # A brace or a quote that is missing shows to a parser only at the end of what it opened.
        offset, reason = first
        line = line_at(data, offset)
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
    return _CHECKSUM.search(data, max(0, len(data) - 200)) is not None and data.rstrip().endswith(b"}")


def _offset_of(data: bytes, error: Exception) -> int:
    """Return the byte where a file stops being strict JSON: the parser's own, or that of the first row that is not."""
    if isinstance(error, UnicodeDecodeError):
        return error.start
    if not isinstance(error, json.JSONDecodeError):
        return next((offset for offset, _ in damaged_rows(data)), 0)
    skipped = len(BOM) if data.startswith(BOM) else 0
    offset = skipped + len(data[skipped:].decode("utf-8")[: error.pos].encode("utf-8"))
    before = data[:offset].rstrip()
    if len(before) < offset and _is_about_comma(error, data, offset, before):
        return len(before)  # the end of the line before
    return offset


def _is_about_comma(error: json.JSONDecodeError, data: bytes, offset: int, before: bytes) -> bool:
    """Return whether a comma is missing, or too much, at the end of the line before: parsers name the next line."""
    is_missing = error.msg.startswith("Expecting ',' delimiter")
    return is_missing or (before.endswith(b",") and _LONE_BRACE.match(data, offset) is not None)


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
    """Yield the offset of each line of a file that should be a row and isn't strict JSON, and the reason; O(n).

    Nothing of a file that is laid out otherwise than one row a line: there a line isn't a row.
    """
    if not data[: len(BOM) + 4].removeprefix(BOM).replace(b"\r", b"").startswith(b'{\n"'):
        return
    offset = 0
    for line in data.split(b"\n"):
        if line_key(line) is not None and not _TABLE_LINE.match(line.rstrip()):
            try:
                # The braces around it count as one level.
                if depth_of(parse_strictly(b"{" + line.rstrip().rstrip(b",") + b"}")) > MAX_DEPTH + 1:
                    yield offset, f"nested deeper than {MAX_DEPTH}"
            except (ValueError, RecursionError) as error:
                if not _continues(data, offset):
                    yield offset, _reason_of(error)
        offset += len(line) + 1


def _reason_of(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _continues(data: bytes, offset: int) -> bool:
    """Return whether a row that does not end with its line is whole all the same: it was spread over several lines."""
    # Latin-1 keeps one character a byte; what JSON is made of is ASCII.
    start = data.index(b"{", offset)
    try:
        _, count = json.JSONDecoder().raw_decode(data[start : start + MAX_SPREAD].decode("latin-1"))
    except (ValueError, RecursionError):
        return False
    # Not so if it took the brace of its table for its own, or another row for a part of it.
    behind = data[start + count : start + count + HEAD_BYTES].lstrip(b" \t\r\n,")
    if _TABLE_LINE.match(behind) or _CHECKSUM.match(behind):
        return False
    lines = data[start : start + count].split(b"\n")
    return len(lines) > 1 and all(line_key(line) is None for line in lines[1:])
