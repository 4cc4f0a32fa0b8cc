"""Bytes to text, strictly: what is not UTF-8 is refused in words."""

from typing import Final

from snaptable.errors import UnreadableFile

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Of one row in a file."""
TOO_LONG: Final = f"longer than {MAX_RECORD_BYTES >> 20} MiB, which no row is"

_BOM: Final = b"\xef\xbb\xbf"
_OTHER_MARKS: Final = {
    b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16",
}  # fmt: skip


def text_of(data: bytes, name: str) -> str:
    """Return a file's text, without the mark that some programs put before UTF-8; O(size).

    Raises:
        UnreadableFile: it is in another encoding; with the line, if it is known.
    """
    data = without_mark(data, name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{name}, line {line}: {not_utf8(data, error)}", path=name, line=line) from None


def without_mark(data: bytes, name: str) -> bytes:
    """Return a file's bytes without the mark of UTF-8.

    Raises:
        UnreadableFile: the mark is that of another encoding.
    """
    for mark, encoding in _OTHER_MARKS.items():
        if data.startswith(mark):
            raise UnreadableFile(f"{name} is {encoding}; save it as UTF-8", path=name)
    return data.removeprefix(_BOM)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    """Return in words what is wrong with bytes that could not be decoded."""
    return f"byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8"
