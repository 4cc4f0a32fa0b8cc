"""Entity tags of rows (RFC 9110, 8.8.3): a change that was made meanwhile is noticed, and what is known not sent again.

The tag of a row is a digest of its JSON: strong, the same after a restart, and nothing that has to be stored.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b

from pydantic import JsonValue
from starlette.types import Scope

from snaptable.web.problems import Problem

_TAG = re.compile(rb'(W/)?("[^"]*")')
NOT_MODIFIED: dict[int | str, dict[str, JsonValue]] = {
    304: {"description": "What is there has the tag that If-None-Match names."}
}
"""The answer to a GET with If-None-Match, for a route's `responses`."""


def _header(name: str, description: str) -> dict[str, JsonValue]:
    """Return the OpenAPI description of a header."""
    parameter: dict[str, JsonValue] = {"name": name, "in": "header", "required": False, "description": description}
    return {"parameters": [parameter | {"schema": {"type": "string"}}]}


IF_MATCH = _header("If-Match", "The `ETag` of what you read: 412 if it was changed since. `*`: if it is there.")
IF_NONE_MATCH = _header("If-None-Match", "The `ETag` of what you have: 304 without a body if it is still the same.")
"""For a route's `openapi_extra`."""


def etag_of(data: bytes) -> str:
    """Return the tag of a body; O(its size), about a microsecond for a row."""
    return f'"{blake2b(data, digest_size=16).hexdigest()}"'


def is_known(scope: Scope, etag: str) -> bool:
    """Return whether a request has what this tag names already (If-None-Match; weak tags count)."""
    for value in _values(scope, b"if-none-match"):
        if value.strip() == b"*" or any(tag == etag.encode() for _, tag in _TAG.findall(value)):
            return True
    return False


class IfMatch:
    """The condition of a request that its target is unchanged; without the header it always holds."""

    def __init__(self, scope: Scope) -> None:
        """Read the header; several of them are one list."""
        self._values = list(_values(scope, b"if-match"))
        self._tags = {tag for value in self._values for weak, tag in _TAG.findall(value) if not weak}
        self.is_given = bool(self._values)
        """Whether there is the header."""
        self.any = not self._values or any(value.strip() == b"*" for value in self._values)
        """Whether whatever is there will do."""

    def check(self, etag: str) -> None:
        """Refuse a target with another tag; to be called in the transaction that changes it.

        Raises:
            Problem: 412, with the present tag as header and as member; a weak tag never matches.
        """
        if not self.any and etag.encode() not in self._tags:
            detail = "This was changed since you read it: read it again, and decide anew."
            raise Problem(412, detail, headers={"ETag": etag}, members={"etag": etag})


def _values(scope: Scope, wanted: bytes) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        if name == wanted:
            yield value
