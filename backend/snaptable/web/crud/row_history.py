"""What happened to a row, as far as the caller may see it, and the way back."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from fastapi import Request
from pydantic import BaseModel, ConfigDict, JsonValue, with_config
from pydantic_core import to_json
from starlette.responses import Response
from typing_extensions import TypedDict

from snaptable import UndoConflict
from snaptable.history import Change, Conflict
from snaptable.web.crud.past import moment_of, parameters, past_errors
from snaptable.web.crud.resource import Resource
from snaptable.web.crud.shown_rows import Preconditions
from snaptable.web.listing import RowT
from snaptable.web.problems import FieldError, Problem
from snaptable.web.row_response import JsonResponse

COMMITS = 50
"""Commits of a page."""


class ChangeOut(BaseModel):
    """What happened to a row."""

    table: str
    key: str | int
    kind: str
    before: dict[str, object] | None
    after: dict[str, object] | None


class CommitOut(BaseModel):
    """A commit, and what of it the caller may see."""

    sequence: int
    at: datetime
    actor: str | None
    note: str | None
    via: str | None
    changes: list[ChangeOut]


class HistoryPage(BaseModel):
    """Commits, the newest first; `next` is the `until` of the following page."""

    items: list[CommitOut]
    next: int | None


@with_config(ConfigDict(extra="forbid"))
class RestoreTo(TypedDict):
    """The moment that a row is restored to: a commit's number, or a time with its offset."""

    at: int | str


async def row_history(resource: Resource[RowT], request: Request, me: object, key: object) -> Response:
    """Return the answer with the commits that changed a row.

    A row that went may be seen as it was then; one that is there only by who sees it now.

    Raises:
        Problem: 404, 410, 422.
    """
    if resource.schema.transient:
        raise Problem(404, "These rows have no past.")
    text = parameters(request, {"until"}).get("until")
    read = resource.database.read
    if await read(lambda _db: resource.find(me, key) is None and resource.table.get(key) is not None):
        raise resource.not_there()
    until = None
    if text is not None:
        with past_errors("/until", "query"):
            until = moment_of(text)
    commits = await asyncio.to_thread(lambda: list(islice(_commits(resource, me, key, until), COMMITS + 1)))
    if not commits and await read(lambda _db: resource.find(me, key)) is None:
        raise resource.not_there()
    following = commits[COMMITS]["sequence"] if len(commits) > COMMITS else None
    return JsonResponse(to_json({"items": commits[:COMMITS], "next": following}))


def _commits(
    resource: Resource[RowT], me: object, key: object, until: int | datetime | None
) -> Iterator[dict[str, object]]:
    """Yield the commits that changed a row, the newest first, with that change alone."""
    is_seen = resource.view.shown_to(me)
    name = resource.table.name
    with past_errors("/until", "query"):
        commits = resource.database.history.commits(name, key, until=until)
    for commit in commits:
        changes = [
            shown for change in commit.only(name, key).changes for shown in _seen_change(resource, change, is_seen)
        ]
        if changes:
            about = {each: getattr(commit, each) for each in ("sequence", "at", "actor", "note", "via")}
            yield {**about, "changes": changes}


def _seen_change(resource: Resource[RowT], change: Change, is_seen: Callable[..., bool]) -> Iterator[dict[str, object]]:
    """Yield a change as the caller sees it: a row that comes into sight is an insert, one that leaves it a delete."""
    before, after = (
        resource.view.shown(fields) if fields is not None and is_seen(fields) else None
        for fields in (change.before, change.after)
    )
    if before is None and after is None:
        return
    kind = "insert" if before is None else "delete" if after is None else "replace"
    yield {"table": change.table, "key": change.key, "kind": kind, "before": before, "after": after}


def moment_in(body: dict[str, JsonValue]) -> int | datetime:
    """Return the moment that a body names.

    Raises:
        Problem: 422.
    """
    if body.keys() != {"at"} or type(body["at"]) not in (int, str):
        raise Problem.invalid(FieldError("/at", 'This takes {"at": …}: a commit\'s number, or a time with its offset.'))
    with past_errors("/at", "body"):
        return moment_of(str(body["at"]))


def restore_row(
    resource: Resource[RowT], me: object, key: object, at: int | datetime, conditions: Preconditions[RowT]
) -> RowT | None:
    """Make a row what it was at a moment, in a transaction; return it, None if there was none then.

    Raises:
        Problem: 403 by the rules: a row that comes back is created, one that goes is deleted; 404, the caller may not
            see the row, now or as it was; 409, a constraint is in the way; 410, what it was is not kept; 412, the
            conditions don't hold; 422.
    """
    old = resource.find(me, key)
    if old is not None:
        conditions.check(old)
    elif resource.table.get(key) is not None:
        raise resource.not_there()
    conflicts: tuple[Conflict, ...] = ()
    with past_errors("/at", "body"):
        try:
            resource.database.history.restore(at, resource.table.name, key)
        except UndoConflict as error:
            conflicts = error.conflicts
    if conflicts:
        if old is None:
            _check_was_seen(resource, me, key, at)
        kinds = sorted({f"{conflict.table}: {conflict.kind}" for conflict in conflicts})
        raise Problem(409, "Other rows are in the way.", members={"conflicts": list(kinds)})
    new = resource.find(me, key)
    if new is None:
        # There was none, or one that the caller may not see.
        if old is None or resource.table.get(key) is not None:
            raise resource.not_there()
        resource.allow_delete(me, old)
        return None
    if old is None:
        conditions.check_missing()
        resource.allow_create(me, new)
    else:
        resource.allow_update(me, old, new)
    resource.check_references(me, new, resource.schema.columns)
    return new


def _check_was_seen(resource: Resource[RowT], me: object, key: object, at: int | datetime) -> None:
    """Refuse a row that is gone, and was another's at a moment, as one that never was.

    Raises:
        Problem: 404.
    """
    with past_errors("/at", "body"), resource.database.history.at(at) as past:
        resource.get(me, key, past.tables[resource.table.name])
