"""crud_router: the REST routes of one table."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any, Generic, TypeVar, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi import Body as FastApiBody
from pydantic import BaseModel, ConfigDict, Field, JsonValue, WrapValidator, create_model
from pydantic_core import to_json
from starlette.responses import Response

from snaptable import ConstraintError, Row, Table, attribution
from snaptable.contract import M
from snaptable.web.crud.bulk import Bulk, bulk_answer, bulk_body
from snaptable.web.crud.idempotency import IDEMPOTENCY_KEY, Idempotency, Kept
from snaptable.web.crud.lists import Lists, documented, selection_of
from snaptable.web.crud.past import flag, parameters, state
from snaptable.web.crud.resource import Caller, Options, Resource, not_there, object_of
from snaptable.web.crud.row_history import HistoryPage, RestoreTo, moment_in, restore_row, row_history
from snaptable.web.crud.shown_rows import Expander, Preconditions, relations_of
from snaptable.web.crud.writes import Writes, deletion_of
from snaptable.web.etags import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, etag_of, is_known
from snaptable.web.listing import MAX_LIMIT
from snaptable.web.problems import Problem, problems
from snaptable.web.request_json import StrictRoute
from snaptable.web.row_response import JsonResponse
from snaptable.web.rules import Hooks, Rules, rule_book

RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")
ALL = frozenset({"list", "get", "create", "update", "replace", "delete", "bulk"})
"""What a router allows unless it is told otherwise."""
KNOWN = ALL | {"history", "restore"}
MAX_VIA = 200
"""Characters of a request's method and path that are kept with a commit."""
_DOCUMENTED = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


def crud_router(
    table: Table[RowT],
    *,
    prefix: str | None = None,
    allow: Collection[str] = ALL,
    caller: Caller | None = None,
    owner: str | None = None,
    rules: Rules | None = None,
    filters: Sequence[str] | None = None,
    sorts: Sequence[str] | None = None,
    expand: Sequence[str] = (),
    hidden: Collection[str] = (),
    fixed: Collection[str] = ("id",),
    create: type[BaseModel] | None = None,
    update: type[BaseModel] | None = None,
    max_limit: int = MAX_LIMIT,
    require_if_match: bool = False,
    hooks: Hooks[RowT] | None = None,
    actor: Callable[[Any], str | None] | None = None,
) -> APIRouter:
    """Return the REST routes of a table, for an application with `install_problems`.

    A row that the caller may not see is the same 404 as one that isn't there, by every route, and a reference to it the
    same 409. Secrets are in no answer.

    Args:
        table: as in `db.documents`; the database need not be open yet.
        prefix: of the addresses; the table's name unless said otherwise.
        allow: what may be done: "list", "get", "create", "update", "replace", "delete", "bulk" (`ALL`), and also
            "history", "restore".
        caller: a dependency of FastAPI that gives the caller, or raises a 401; None lets anyone in.
        owner: the field that holds the caller's `id` (or the caller itself): set when a row is added, in no body, and
            callers see their own rows alone.
        rules: who may see and change which rows, beside the owner.
        filters: fields that lists may be filtered by; the key, references and indexed fields unless said otherwise.
        sorts: fields that lists may be sorted by; those of the filters that have an order unless said otherwise.
        expand: related rows that may be shown inside of rows, as in "user", "annotations", "annotations.user": by the
            routers' rules of their tables.
        hidden: fields that are in no answer and no body.
        fixed: fields that can't be changed once the row is there.
        create: the model of a body that adds or replaces a row; derived from the row's model unless said otherwise.
        update: the model of a row after a change, its fields optional; derived likewise.
        max_limit: most rows of a page.
        require_if_match: whether changes of a row must say, by If-Match, as of which state: 428.
        hooks: what the application does where the router writes.
        actor: gives who is named in the history; the caller's `id`, or the caller itself, unless said otherwise.

    Raises:
        TypeError: a field, a relation or something to allow that isn't there, an owner without a caller, or hooks
            where restores are allowed.
        ValueError: `max_limit` is not from 1 to 200.
    """
    if unknown := set(allow) - KNOWN:
        raise TypeError(f"{table.name}: {min(unknown)!r} can't be allowed; what can: {', '.join(sorted(KNOWN))}")
    if hooks is not None and "restore" in allow:
        raise TypeError(f"{table.name}: a restore takes rows from the history, past the hooks; allow one of them")
    if not 1 <= max_limit <= MAX_LIMIT:
        raise ValueError(f"{table.name}: max_limit is from 1 to {MAX_LIMIT}; not {max_limit}")
    options = Options(
        caller, owner, rules or Rules(), None if filters is None else tuple(filters),
        None if sorts is None else tuple(sorts), tuple(expand), frozenset(hidden), _fixed(table, fixed), create, update,
        max_limit, require_if_match, hooks or Hooks(), actor,
    )  # fmt: skip
    path = f"/{table.name}" if prefix is None else prefix
    return _Routes(Resource(table, options), frozenset(allow)).router(path)


def _fixed(table: Table[Any], fixed: Collection[str]) -> frozenset[str]:
    """Return the fixed fields; the default names a key that may be called otherwise."""
    return frozenset(table.schema.key if name == "id" and name not in table.schema.columns else name for name in fixed)


class _Routes(Generic[M]):
    """The routes of one table."""

    def __init__(self, resource: Resource[M], allow: frozenset[str]) -> None:
        self.resource, self.allow = resource, allow
        self.lists = Lists(resource)
        self._idempotency = Idempotency(resource.database)
        name = resource.table.model.__name__
        self.documented = _documented_row(resource)
        self.documented_get = _documented_expanded(resource, self.documented)
        self.documented_page = create_model(
            f"{name}Page", items=(list[self.documented_get], ...), next_cursor=(str | None, ...), total=(int, 0)  # type: ignore[name-defined]
        )  # fmt: skip

    def router(self, prefix: str) -> APIRouter:
        """Return the router."""
        name, resource = self.resource.table.name, self.resource
        row, page = self.documented, self.documented_page
        self._router = APIRouter(prefix=prefix, tags=[name], route_class=StrictRoute)
        create, update = resource.create.kind, resource.update.kind
        writing = (401, 403, 404, 409, 412, 413, 422, 428, 503)
        shown = [each for each in self.lists.others if each in ("fields", "expand", "at")]
        self._add(
            "list", "GET", "", self.list_rows, page, (401, 410, 422), self.lists.openapi, f"List {name}", NOT_MODIFIED
        )
        self._add(
            "create",
            "POST",
            "",
            self.create,
            row,
            writing,
            IDEMPOTENCY_KEY,
            f"Add a row to {name}",
            body=create,
            status=201,
        )
        self._add(
            "get", "GET", "/{key}", self.get, self.documented_get, (401, 404, 410, 422),
            _joined(IF_NONE_MATCH, {"parameters": documented(shown, resource.options.expand)}),
            f"Show a row of {name}", NOT_MODIFIED,
        )  # fmt: skip
        self._add(
            "update", "PATCH", "/{key}", self.update, row, writing, _joined(IF_MATCH, IDEMPOTENCY_KEY),
            f"Change fields of a row of {name}", body=update,
        )  # fmt: skip
        self._add(
            "replace", "PUT", "/{key}", self.replace, row, writing, IF_MATCH,
            f"Replace a row of {name}, or add it", {201: {"model": row}}, body=create,
        )  # fmt: skip
        self._add(
            "delete", "DELETE", "/{key}", self.delete, None, writing,
            _joined(IF_MATCH, {"parameters": documented(["dry_run"], ())}),
            f"Delete a row of {name}", {200: {"description": "What would be deleted, of a dry run."}}, status=204,
        )  # fmt: skip
        self._add_others(name, row, writing)
        return self._router

    def _add_others(self, name: str, row: type[BaseModel], writing: Sequence[int]) -> None:
        """Add the routes for many rows at once, and for the past of one."""
        resource = self.resource
        self._add(
            "bulk", "POST", "/bulk", self.bulk, bulk_answer(resource, row), writing, IDEMPOTENCY_KEY,
            f"Change many rows of {name} at once", body=bulk_body(resource),
        )  # fmt: skip
        self._add(
            "history", "GET", "/{key}/history", self.history, HistoryPage, (401, 404, 410, 422),
            {"parameters": documented(["until"], ())}, f"Show what happened to a row of {name}",
        )  # fmt: skip
        self._add(
            "restore", "POST", "/{key}/restore", self.restore, row, (*writing, 410), _joined(IF_MATCH, IDEMPOTENCY_KEY),
            f"Make a row of {name} what it was", {204: {"description": "There was no such row then."}}, body=RestoreTo,
        )  # fmt: skip

    def _add(
        self,
        verb: str,
        method: str,
        path: str,
        handler: Callable[..., Awaitable[Response]],
        model: type[BaseModel] | None,
        statuses: Sequence[int],
        extra: dict[str, Any],
        summary: str,
        responses: dict[int | str, Any] | None = None,
        *,
        body: type | None = None,
        status: int = 200,
    ) -> None:
        """Add a route, if it is allowed."""
        if verb not in self.allow:
            return
        self._router.add_api_route(
            path,
            _endpoint(handler, self.resource.options.caller, has_key="{key}" in path, body=body),
            methods=[method],
            response_model=model,
            status_code=status,
            responses={**problems(*statuses), **(responses or {})},
            operation_id=f"{self.resource.table.name}_{verb}",
            name=f"{self.resource.table.name}_{verb}",
            summary=summary,
            description=inspect.getdoc(handler) or "",
            openapi_extra=extra or None,
        )

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_rows(self, request: Request, me: object) -> Response:
        """Return a page of the rows that you may see."""
        return await self.lists.answer(request, me)

    async def get(self, request: Request, me: object, key: str) -> Response:
        """Return the row, with its `ETag`."""
        resource = self.resource
        given = parameters(request, {"fields", "expand", "at"})
        selection = selection_of(given, resource.options.expand)
        with state(resource.database, resource.schema, given.get("at")) as tables:
            row = resource.get(me, resource.key_of(key), tables[resource.table.name])
            if selection.is_plain:
                return self._row(row, request=request)
            expander = Expander(tables, rule_book(resource.database), resource.options.caller, me)
            (shown,) = expander.shown(resource.view, [row], selection)  # type: ignore[list-item]  # a Row
        text = to_json(shown)
        tag = etag_of(text)
        if is_known(request.scope, tag):
            return Response(None, 304, {"ETag": f"W/{tag}"})
        return JsonResponse(text, 200, {"ETag": f"W/{tag}"})  # weak: no change can be made conditional on a part

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: Request, me: object, body: JsonValue) -> Response:
        """Add the row; what is left out gets its default."""
        values = self.resource.create.values(object_of(body))

        def act(writes: Writes[M]) -> Response:
            """Add the row."""
            row = writes.create(values)
            return self._row(row, 201, {"Location": self._address(request, row)})

        return await self._write_once(request, me, act)

    async def update(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Apply a JSON merge patch (RFC 7396): what is left out stays; null is null, and removes what is inside."""
        patch, place = object_of(body), self.resource.key_of(key)
        check = self._preconditions(request).check
        return await self._write_once(request, me, lambda writes: self._row(writes.patch(place, patch, check)))

    async def replace(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Put the body in the place of the row, or add it: what is left out gets its default."""
        resource, sent, place = self.resource, object_of(body), self.resource.key_of(key)
        conditions = self._preconditions(request)

        def act(writes: Writes[M]) -> tuple[M, bool]:
            """Replace the row, if there is one."""
            if resource.find(me, place) is not None or "create" not in self.allow:
                return writes.replace(place, sent, conditions.check), False
            if resource.schema.numbered or resource.table.get(place) is not None:
                raise not_there()  # a key that the table will give out, or another's row
            conditions.check_missing()
            return writes.create(self._with_key(sent, key)), True

        row, is_new = await self._write(request, me, act)
        return self._row(row, 201, {"Location": request.url.path}) if is_new else self._row(row)

    async def delete(self, request: Request, me: object, key: str) -> Response:
        """Delete the row for good, and what goes with it."""
        resource, place = self.resource, self.resource.key_of(key)
        check = self._preconditions(request).check
        if flag(parameters(request, {"dry_run"}), "dry_run"):
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

    async def history(self, request: Request, me: object, key: str) -> Response:
        """Return the commits that changed the row, the newest first, as far as you may see the row in them."""
        return await row_history(self.resource, request, me, self.resource.key_of(key))

    async def restore(self, request: Request, me: object, key: str, body: JsonValue) -> Response:
        """Make the row what it was at a moment, as a new commit; 204 if there was none then."""
        resource, place = self.resource, self.resource.key_of(key)
        at, check = moment_in(object_of(body)), self._preconditions(request).check

        def act(_writes: Writes[M]) -> Response:
            """Restore the row."""
            row = restore_row(resource, me, place, at, check)
            return Response(None, 204) if row is None else self._row(row)

        return await self._write_once(request, me, act)

    async def _write_once(self, request: Request, me: object, act: Callable[[Writes[M]], Response]) -> Response:
        """Carry out a write whose answer is kept with it, if the request has an Idempotency-Key."""

        async def write(kept: Kept) -> Response:
            """Carry it out, unless it was."""
            return await self._write(request, me, lambda writes: kept(lambda: act(writes)))

        return await self._idempotency.answer(request, self.resource.actor_of(me), write)

    async def _write(self, request: Request, me: object, act: Callable[[Writes[M]], T]) -> T:
        """Carry out a write as one commit, which says who made it, and by which request."""
        resource = self.resource
        if resource.options.hooks.prepare is not None:
            await resource.options.hooks.prepare(me)
        via = f"{request.method} {request.scope['path']}"[:MAX_VIA].encode("utf-8", "replace").decode()
        with attribution(actor=resource.actor_of(me), via=via):
            try:
                return await resource.database.run(lambda _db: act(Writes(resource, me)))
            except ConstraintError as error:
                raise resource.conflict(me, error) from error

    def _with_key(self, body: dict[str, JsonValue], text: str) -> dict[str, object]:
        """Return the values of a new row's body, with the key of the address."""
        resource, key = self.resource, self.resource.schema.key
        address: JsonValue = int(text) if resource.schema.key_type is int else text
        if key == resource.options.owner or body.get(key, address) != address:
            raise not_there()
        return resource.create.values(body | {key: address})

    def _preconditions(self, request: Request) -> Preconditions[M]:
        return Preconditions(request, self.resource.json, required=self.resource.options.require_if_match)

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _row(
        self, row: M, status: int = 200, headers: dict[str, str] | None = None, *, request: Request | None = None
    ) -> Response:
        """Return the response that holds a row; 304 to a GET of who has it already."""
        text = self.resource.json.text(row)
        tag = etag_of(text)
        if request is not None and is_known(request.scope, tag):
            return Response(None, 304, {"ETag": tag})
        return JsonResponse(text, status, {"ETag": tag, **(headers or {})})

    def _address(self, request: Request, row: M) -> str:
        return (
            f"{quote(request.scope['path'].rstrip('/'))}/{quote(str(getattr(row, self.resource.schema.key)), safe='')}"
        )


def _joined(*extras: dict[str, Any]) -> dict[str, Any]:
    """Return what several extras add to a route's parameters."""
    return {"parameters": [parameter for extra in extras for parameter in extra["parameters"]]}


def _documented_row(resource: Resource[Any]) -> type[BaseModel]:
    """Return the model that documents what rows are shown as."""
    model = resource.table.model
    if not resource.view.hidden:
        return cast(type[BaseModel], model)
    return create_model(model.__name__, __config__=_DOCUMENTED, **_shown_members(resource))


class ExpandedRows(BaseModel):
    """Rows that refer to the one that they are shown in: the first of them."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def _documented_expanded(resource: Resource[Any], row: type[BaseModel]) -> type[BaseModel]:
    """Return the model that documents rows with what may be shown inside of them, `row` if that is nothing."""
    relations = relations_of(resource.table)
    expanded: dict[str, Any] = {
        name: (ExpandedRows | None if relations[name].is_list else dict[str, Any] | None, None)
        for name in dict.fromkeys(path.partition(".")[0] for path in resource.options.expand)
    }
    if not expanded:
        return row
    name = f"{resource.table.model.__name__}Expanded"
    return create_model(name, __config__=_DOCUMENTED, **_shown_members(resource), **expanded)


def _shown_members(resource: Resource[Any]) -> dict[str, Any]:
    """Return the fields of rows that are shown, as `create_model` takes them."""
    return {
        name: (Annotated[(info.annotation, *info.metadata, Field(description=info.description))], ...)
        for name, info in resource.table.model.model_fields.items()
        if name not in resource.view.hidden
    }


def _as_it_is(value: Any, _handler: object) -> Any:
    """Pass a body on: it is read in the place that knows where it stands."""
    return value


def _endpoint(
    handler: Callable[..., Awaitable[Response]], caller: Caller | None, *, has_key: bool, body: type | None
) -> Callable[..., Awaitable[Response]]:
    """Return the function of a route, with the parameters that FastAPI finds by its signature."""

    async def endpoint(request: Request, me: object = None, **others: Any) -> Response:
        """Answer a request."""
        return await handler(request, me, **others)

    given = inspect.Parameter.KEYWORD_ONLY
    wanted = [inspect.Parameter("request", given, annotation=Request)]
    if has_key:
        wanted.append(inspect.Parameter("key", given, annotation=str))
    if caller is not None:
        wanted.append(inspect.Parameter("me", given, annotation=Any, default=Depends(caller)))
    if body is not None:
        annotation: Any = Annotated[(body, WrapValidator(_as_it_is), FastApiBody())]
        wanted.append(inspect.Parameter("body", given, annotation=annotation))
    endpoint.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]  # what FastAPI reads
    return endpoint
