"""The events of a feed, spelled as the HTML standard has it for `text/event-stream`.

commit     a commit, with the changes that the caller may see
bookmark   how far the feed has come, though nothing passed the filter
restart    the server stops: come back with the last id
gone       what comes next can't be told any more: read the lists again
ended      the caller may not see this any more
"""

import json

from pydantic_core import to_jsonable_python

from snaptable.history.places import Place

_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""JSON escapes the others."""
RETRY_MILLISECONDS = 2000
"""How long a browser waits before it comes back."""
BEGIN = b"retry: %d\n\n" % RETRY_MILLISECONDS


def event(kind: str, data: object, place: Place | None = None) -> bytes:
    """Return an event; `place` is what the client comes back with. O(its JSON)."""
    lines = [f"event: {kind}", f"data: {_json(data)}"]
    if place is not None:
        lines.insert(0, f"id: {place}")
    return "\n".join([*lines, "", ""]).encode()


def _json(data: object) -> str:
    """Return JSON on one line, also to readers that take every line end of Unicode for one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=to_jsonable_python)
    return text.translate(_LINE_ENDS)
