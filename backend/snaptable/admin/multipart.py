"""Forms with a file, as browsers send them without script (RFC 7578): fields as texts, files as bytes."""

import re
from dataclasses import dataclass

MOST_PARTS = 100
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?')
_NAME = re.compile(rb'[; ]name="((?:[^"\\]|\\.)*)"')
_FILENAME = re.compile(rb'filename="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class SentFile:
    """A file of a form: its name, as the browser tells it, and its bytes."""

    name: str
    data: bytes


def parse(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], dict[str, SentFile]]:
    """Return the fields and the files of a form; O(size).

    Raises:
        ValueError: it is not such a form.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ValueError("the form has no boundary")
    mark = b"--" + boundary[1].encode("latin-1", "replace")
    parts = body.split(b"\r\n" + mark, MOST_PARTS)
    parts[0] = parts[0].removeprefix(mark)
    if len(parts) < 2 or len(parts) > MOST_PARTS or not parts[-1].startswith(b"--"):
        raise ValueError("the form is cut off, or has too many parts")
    fields: list[tuple[str, str]] = []
    files: dict[str, SentFile] = {}
    for part in parts[:-1]:
        head, separator, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head.partition(b"\r\n")[0] if b"\r\n" in head else head)
        if not separator or name is None:
            raise ValueError("a part of the form has no name")
        filename = _FILENAME.search(head)
        if filename is None:
            fields.append((name[1].decode("utf-8"), data.decode("utf-8")))
        else:
            files[name[1].decode("utf-8")] = SentFile(filename[1].decode("utf-8", "replace"), data)
    return fields, files
