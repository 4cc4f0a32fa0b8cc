"""The formats of files, and how a file says which it has."""

from pathlib import PurePath
from typing import Final, Literal, get_args

Format = Literal["json", "jsonl", "csv", "sqlite", "json-server", "lowdb", "tinydb", "snapshot"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

SUFFIXES: Final[dict[str, Format]] = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv",
    ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".db3": "sqlite",
}  # fmt: skip
"""By the end of the file's name, in lower case."""
SQLITE_MAGIC: Final = b"SQLite format 3\0"

_COMPRESSED: Final = {
    b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "compressed with gzip", b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz", b"\x28\xb5\x2f\xfd": "compressed with zstd", b"7z\xbc\xaf": "a 7z archive",
}  # fmt: skip


def format_of(name: str) -> Format | None:
    """Return the format that a file's name tells, None if it tells none.

    >>> format_of("people.CSV")
    'csv'
    """
    return SUFFIXES.get(PurePath(name).suffix.lower())


def checked_format(given: str) -> Format:
    """Return a format that was named.

    Raises:
        ValueError: there is none of that name.
    """
    for known in FORMATS:
        if given == known:
            return known
    raise ValueError(f"{given!r} is no format; it is one of {', '.join(FORMATS)}")


def compression_of(data: bytes) -> str | None:
    """Return in words how a file is compressed, None if it isn't."""
    return next((words for magic, words in _COMPRESSED.items() if data.startswith(magic)), None)
