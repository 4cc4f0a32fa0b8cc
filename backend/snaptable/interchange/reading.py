"""A file to its tables: which format it has, and that it can be read at all."""

import os
import stat
from pathlib import Path
from typing import Final

from snaptable.errors import UnreadableFile
from snaptable.interchange.csv_files import read_csv
from snaptable.interchange.formats import SQLITE_MAGIC, Format, checked_format, compression_of, format_of
from snaptable.interchange.json_files import read_json, read_lines
from snaptable.interchange.parsed import ParsedFile
from snaptable.interchange.sqlite_files import read_sqlite

MAX_FILE_BYTES: Final = 1 << 30
"""A file is read into memory, where its rows will be."""


def read_file(path: str | os.PathLike[str], format: str | None = None) -> ParsedFile:  # noqa: A002 - as users say it
    """Return the tables of a file, before any model has seen them; O(size).

    Args:
        path: the file.
        format: one of `FORMATS`; None to tell by its name and its content.

    Raises:
        UnreadableFile: it isn't there, can't be read, or is damaged; with the line, if it is known.
        ValueError: no such format.
    """
    asked = None if format is None else checked_format(format)
    file, name = Path(path), os.fspath(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(f"{name} is not a file", path=name)
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableFile(f"{name} is larger than {MAX_FILE_BYTES >> 30} GiB; split it", path=name)
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{name} can't be read: {error.strerror or error}", path=name) from error
    parsed = read_bytes(data, name, asked)
    log = file.with_name(f"{file.name}-wal")
    if parsed.format == "sqlite" and log.exists() and log.stat().st_size:
        raise UnreadableFile(
            f"{name} has changes in {log.name} that are not in it yet; close the program that has it open", path=name
        )
    return parsed


def read_bytes(data: bytes, name: str = "the text", format: str | None = None) -> ParsedFile:  # noqa: A002
    """Return the tables of a file's bytes, as `read_file`.

    Raises:
        UnreadableFile: it is damaged, or of no format that is known.
        ValueError: no such format.
    """
    asked = None if format is None else checked_format(format)
    packed = compression_of(data)
    if packed:
        raise UnreadableFile(f"{name} is {packed}; unpack it first", path=name)
    if asked == "sqlite" or data.startswith(SQLITE_MAGIC):
        if not data.startswith(SQLITE_MAGIC):
            raise UnreadableFile(f"{name} is not a sqlite file", path=name)
        return read_sqlite(data, name)
    told = asked or format_of(name) or _guessed(data)
    if told == "sqlite":
        raise UnreadableFile(f"{name} is not a sqlite file", path=name)
    if told == "jsonl":
        return read_lines(data, name)
    if told == "csv":
        return read_csv(data, name)
    return read_json(data, name, asked)


def _guessed(data: bytes) -> Format:
    """Return what bytes without a name seem to be."""
    begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin[:1] == b"[":
        return "json"
    if begin[:1] == b"{":
        first, _, rest = begin.partition(b"\n")
        return "jsonl" if first.rstrip().endswith(b"}") and rest.lstrip()[:1] == b"{" else "json"
    return "csv"
