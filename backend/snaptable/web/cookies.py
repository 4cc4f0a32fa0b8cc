"""Cookies of a request, in a time proportional to their size.

Python's own parser, which Starlette's is made of, takes the square of a cookie's size where it is full of escapes
(CVE-2024-7592, before Python 3.11.10 and 3.12.6): a head of 64 KiB holds an event loop for seconds.
"""

from starlette.types import Scope


def cookie_of(scope: Scope, name: str) -> str | None:
    """Return the text of a request's first cookie of a name, as it was sent; None if there is none. O(its head)."""
    wanted = name.encode("latin-1")
    for header, value in scope["headers"]:
        if header == b"cookie":
            for part in value.split(b";"):
                given, _, text = part.partition(b"=")
                if given.strip() == wanted:
                    return str(text.strip(), "latin-1")
    return None
