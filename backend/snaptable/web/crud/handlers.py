"""What each route of a router does with a request."""

import re
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import JsonValue
from pydantic_core import to_json
from starlette.responses import Response

from snaptable import ConstraintError, attribution
from snaptable.web.crud.bulk import Bulk
from snaptable.web.crud.idempotency import Idempotency, Kept
from snaptable.web.crud.lists import Lists, selection_of
from snaptable.web.crud.past import flag, parameters, state
from snaptable.web.crud.resource import Resource, object_of
from snaptable.web.crud.row_history import moment_in, restore_row, row_history
from snaptable.web.crud.shown_rows import Expander, Preconditions
from snaptable.web.crud.writes import Patch, Writes, deletion_of
from snaptable.web.etags import etag_of, is_known
from snaptable.web.listing import RowT
from snaptable.web.problems import Problem
from snaptable.web.row_response import JsonResponse
from snaptable.web.rules import rule_book

T = TypeVar("T")
_PLAIN = re.compile(r"[A-Za-z0-9_/-]*")
"""What is written in an address as it is; a key has no slash."""
MAX_VIA = 200
"""Characters of a request's method and path that are kept with a commit."""


class Handlers(Generic[RowT]):
    """What the routes of one table call: each takes the request, and the caller."""

    def __init__(self, resource: Resource[RowT], allow: frozenset[str]) -> None:
        """Take the table, and what may be done to it."""
        self.resource, self.allow = resource, allow
        self.lists = Lists(resource)
        self.idempotency = Idempotency(resource.database)
        offers = resource.options.offers
        self.of_row = [name for name in self.lists.others if name in ("fields", "expand", "at")]
        """The parameters that a single row is asked for with."""
        self.of_deletion = ["dry_run"] if "dry_run" in offers else []

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_rows(self, request: Request, me: object) -> Response:
        """Return a page of the rows that you may see."""
        return await self.lists.answer(request, me)

    async def get(self, request: Request, me: object, key: str) -> Response:
        """Return the row, with its `ETag`."""
        resource = self.resource
        place, given = resource.key_of(key), parameters(request, self.of_row)
        if given:
            return await resource.database.read(lambda _db: self._chosen(request, me, place, given))
        if (read := resource.options.hooks.read) is not None:
            return await read(me, request, lambda: self._row(resource.get(me, place)))
        # Where no hook looks at more, a row is one read.
        one_state = resource.options.hooks.find is not None
        row = await resource.database.read(lambda _db: resource.get(me, place), one_state=one_state)
        return self._row(row, request=request)

    def _chosen(self, request: Request, me: object, key: object, given: dict[str, str]) -> Response:
        """Return the response that holds a row as it was, or some of its fields, or related rows with it."""
        resource = self.resource
        selection = selection_of(given, resource.options.expand)
        with state(resource.database, resource.schema, given.get("at")) as tables:
            row = resource.get(me, key, tables[resource.table.name])
            if selection.is_plain:
                return self._row(row, request=request)
            expander = Expander(tables, rule_book(resource.database), resource.options.caller, me)
            (shown,) = expander.shown(resource.view, [row], selection)
        text = to_json(shown)
        tag = etag_of(text)
        if is_known(request.scope, tag):
            return Response(None, 304, {"ETag": f"W/{tag}"})
        return JsonResponse(text, 200, {"ETag": f"W/{tag}"})  # weak: no change can be made conditional on a part

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: Request, me: object, body: JsonValue) -> Response:
        """Add the row; what is left out gets its default."""
        values = self.resource.create.values(object_of(body))

        def act(writes: Writes[RowT]) -> Response:
            """Add the row."""
            row = writes.create(values)
            return self._row(row, 201, {"Location": self._address(request, row)})

        return await self._write_once(request, me, act)

    async def update(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Apply a JSON merge patch (RFC 7396): what is left out stays; null is null, and removes what is inside."""
        patch, place = Patch(self.resource, object_of(body)), self.resource.key_of(key)
        check = self._preconditions(request).check
        return await self._write_once(request, me, lambda writes: self._row(writes.patch(place, patch, check)))

    async def replace(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Put the body in the place of the row, or add it: what is left out gets its default."""
        resource, sent, place = self.resource, object_of(body), self.resource.key_of(key)
        conditions = self._preconditions(request)

        def act(writes: Writes[RowT]) -> tuple[RowT, bool]:
            """Replace the row, if there is one."""
            if resource.find(me, place) is not None or "create" not in self.allow:
                return writes.replace(place, sent, conditions.check), False
            if resource.schema.numbered or resource.table.get(place) is not None:
                raise resource.not_there()  # a key that the table will give out, or another's row
            conditions.check_missing()
            return writes.create(self._with_key(sent, key)), True

        row, is_new = await self._write(request, me, act)
        return self._row(row, 201, {"Location": _quoted(request.scope["path"])}) if is_new else self._row(row)

    async def delete(self, request: Request, me: object, key: str) -> Response:
        """Delete the row for good, and what goes with it."""
        resource, place = self.resource, self.resource.key_of(key)
        check = self._preconditions(request).check
        if flag(parameters(request, self.of_deletion), "dry_run"):
            counted = await resource.database.run(lambda _db: deletion_of(resource, me, place, check))
            return JsonResponse(to_json(counted))
        await self._write(request, me, lambda writes: writes.delete(place, check))
        return Response(None, 204)

    async def bulk(self, request: Request, me: object, body: JsonValue) -> Response:
        """Insert, update and delete rows, at most 1,000, as one commit: all, or none."""
        bulk = Bulk(self.resource, self.allow, body)
        try:
            return await self._write_once(request, me, lambda writes: JsonResponse(bulk.carry_out(writes)))
        except Problem as problem:
            raise bulk.placed(problem, problem.__cause__) from None

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def history(self, request: Request, me: object, key: str) -> Response:
        """Return the commits that changed the row, the newest first, as far as you may see the row in them."""
        return await row_history(self.resource, request, me, self.resource.key_of(key))

    async def restore(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Make the row what it was at a moment, as a new commit; 204 if there was none then."""
        resource, place = self.resource, self.resource.key_of(key)
        at, conditions = moment_in(object_of(body)), self._preconditions(request)

        def act(_writes: Writes[RowT]) -> Response:
            """Restore the row."""
            row = restore_row(resource, me, place, at, conditions)
            return Response(None, 204) if row is None else self._row(row)

        return await self._write_once(request, me, act)

    # ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write_once(self, request: Request, me: object, act: Callable[[Writes[RowT]], Response]) -> Response:
        """Carry out a write whose answer is kept with it, if the request has an Idempotency-Key."""
        if not self.idempotency.is_asked_for(request):
            return await self._write(request, me, act)

        async def write(kept: Kept) -> Response:
            """Carry it out, unless it was."""
            return await self._write(request, me, lambda writes: kept(lambda: act(writes)))

        return await self.idempotency.answer(request, self.resource.sender_of(me), write)

    async def _write(self, request: Request, me: object, act: Callable[[Writes[RowT]], T]) -> T:
        """Carry out a write as one commit, which says who made it, and by which request."""
        resource = self.resource
        if resource.options.hooks.prepare is not None:
            await resource.options.hooks.prepare(me)
        via = f"{request.scope['method']} {request.scope['path']}"[:MAX_VIA]
        if not via.isascii():
            via = via.encode("utf-8", "replace").decode()
        with attribution(actor=resource.actor_of(me), via=via):
            try:
                if resource.options.hooks.write_lock is None:
                    return await resource.database.run(lambda _db: act(Writes(resource, me)))
                async with resource.options.hooks.write_lock(me):
                    return await resource.database.run(lambda _db: act(Writes(resource, me)))
            except ConstraintError as error:
                raise await resource.database.read(_conflict, resource, me, error) from error

    def _with_key(self, body: dict[str, JsonValue], text: str) -> dict[str, object]:
        """Return the values of a new row's body, with the key of the address."""
        resource, key = self.resource, self.resource.schema.key
        address: JsonValue = int(text) if resource.schema.key_type is int else text
        if key == resource.options.owner or body.get(key, address) != address:
            raise resource.not_there()
        return resource.create.values(body | {key: address})

    def _preconditions(self, request: Request) -> Preconditions[RowT]:
        return Preconditions(request, self.resource.json, required=self.resource.options.require_if_match)

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _row(
        self, row: RowT, status: int = 200, headers: dict[str, str] | None = None, *, request: Request | None = None
    ) -> Response:
        """Return the response that holds a row; 304 to a GET of who has it already."""
        text = self.resource.json.text(row)
        tag = etag_of(text)
        if request is not None and is_known(request.scope, tag):
            return Response(None, 304, {"ETag": tag})
        return JsonResponse(text, status, {"ETag": tag, **(headers or {})})

    def _address(self, request: Request, row: RowT) -> str:
        path, key = request.scope["path"].rstrip("/"), str(getattr(row, self.resource.schema.key))
        return f"{_quoted(path)}/{key if _PLAIN.fullmatch(key) else quote(key, '')}"


def _quoted(path: str) -> str:
    """Return a path as it stands in a header: a key may have any character, such as one that ends a header."""
    return path if _PLAIN.fullmatch(path) else quote(path)


def _conflict(_db: object, resource: Resource[RowT], me: object, error: ConstraintError) -> Problem:
    """Return the answer to a constraint that a write would break."""
    return resource.conflict(me, error)
