"""The events of a feed, spelled as the HTML standard has it for `text/event-stream`.

commit     a commit, with the changes that the caller may see
bookmark   how far the feed has come, though nothing passed the filter
restart    the server stops: come back with the last id
gone       what comes next can't be told any more: read the lists again
ended      the caller may not see this any more
"""

import json

from pydantic_core import to_jsonable_python

from snaptable.history import Change, Commit
from snaptable.history.moments import spelled
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


def commit_shape(commit: Commit, changes: list[dict[str, object]]) -> dict[str, object]:
    """Return a commit as a JSON object, with some of its changes."""
    return {
        "sequence": commit.sequence,
        "at": spelled(commit.at),
        "actor": commit.actor,
        "note": commit.note,
        "via": commit.via,
        "changes": changes,
    }


def change_shape(
    change: Change, before: dict[str, object] | None, after: dict[str, object] | None
) -> dict[str, object]:
    """Return a change as a JSON object: what it is to somebody who sees these two states of the row."""
    kind = "insert" if before is None else "delete" if after is None else "replace"
    return {"table": change.table, "key": change.key, "kind": kind, "before": before, "after": after}


def _json(data: object) -> str:
    """Return JSON on one line, also to readers that take every line end of Unicode for one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=to_jsonable_python)
    return text.translate(_LINE_ENDS)
