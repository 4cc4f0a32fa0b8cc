"""Counting the pages of a PDF. Run as a program, it does so for paths given on standard input.

A PDF can be made to take hours or all memory to read. So the server never reads one itself: it asks this program,
which has its memory bounded and can be killed. Besides pypdf, it needs the standard library only.
"""

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import BinaryIO

HEADER_WITHIN = 1024
"""Bytes at the beginning of a file that hold the mark of a PDF; readers allow for something in front of it."""


NICENESS = 10
"""A request that is served beside it has ten times its share of a processor."""


class NotAPdf(Exception):
    """A file that can't be taken as a PDF document; the message says why."""


def count_pages(file: BinaryIO) -> int:
    """Return how many pages the page tree holds; the count the file claims is not trusted.

    Raises:
        NotAPdf: it is not a PDF, is damaged, encrypted or without pages.
    """
    if b"%PDF-" not in file.read(HEADER_WITHIN):
        raise NotAPdf("This is not a PDF file.")
    file.seek(0)
    try:
        pages = _count(file)
    except NotAPdf:
        raise
    except MemoryError:
        raise NotAPdf("This PDF takes too much memory to read.") from None
    except (Exception, RecursionError):  # noqa: BLE001  # what a parser raises on hostile input can't be listed
        raise NotAPdf("This PDF is damaged and can't be read.") from None
    if not pages:
        raise NotAPdf("This PDF has no pages.")
    return pages


def _count(file: BinaryIO) -> int:
    """Return the number of pages, as pypdf counts the page tree."""
    from pypdf import PdfReader  # a third of a second to import: only a child that counts pays for it

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = PdfReader(file)
    # A PDF with an owner's password only is encrypted too, and opens without any: it says what readers may do with it.
    if reader.is_encrypted and not reader.decrypt(""):
        raise NotAPdf("This PDF is encrypted; remove the password that it asks for when it is opened.")
    return len(reader.pages)


def _bound(memory: int) -> None:
    """Limit what a hostile file can take; on a system without such limits the caller's timeout remains."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        # Where memory runs short, as in a small container, the kernel takes this process and not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(path: str) -> dict[str, int | str]:
    """Return the line to answer for one path."""
    try:
        with Path(path).open("rb") as file:
            return {"pages": count_pages(file)}
    except NotAPdf as error:
        return {"error": str(error)}


def main() -> None:
    """Write a line once it is ready; then answer those of standard input, each a JSON text with a path, to the end."""
    _bound(int(sys.argv[1]))
    import pypdf  # noqa: F401 - now, so that no document pays for it

    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
