"""crud_router: the REST routes of one table."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any, Generic

from fastapi import APIRouter, Depends, Request
from fastapi import Body as FastApiBody
from pydantic import JsonValue, WrapValidator
from starlette.responses import Response

from snaptable import Table
from snaptable.web.crud.bulk import bulk_answer, bulk_body
from snaptable.web.crud.documentation import Docs, DocumentedRows, Operation, documented, joined
from snaptable.web.crud.handlers import Handlers
from snaptable.web.crud.hooks import Hooks
from snaptable.web.crud.idempotency import IDEMPOTENCY_KEY
from snaptable.web.crud.resource import ALL, MISSING, OFFERS, Caller, Options, Resource
from snaptable.web.crud.row_history import HistoryPage, RestoreTo
from snaptable.web.etags import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED
from snaptable.web.listing import MAX_LIMIT, PAGE_BYTES, RowT
from snaptable.web.problems import problems
from snaptable.web.request_json import StrictRequest, StrictRoute
from snaptable.web.rules import Rules

KNOWN = ALL | {"history", "restore"}
WRITING = (401, 403, 404, 409, 412, 413, 422, 428, 503)
"""Statuses of what goes wrong with a write."""
_NOTHING: dict[str, JsonValue] = {"parameters": []}


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
    sort: str | None = None,
    ignore_case: bool = True,
    offers: Collection[str] = OFFERS,
    expand: Sequence[str] = (),
    hidden: Collection[str] = (),
    fixed: Collection[str] = ("id",),
    create: type | None = None,
    update: type | None = None,
    merge: bool = True,
    max_limit: int = MAX_LIMIT,
    page_bytes: int = PAGE_BYTES,
    require_if_match: bool = False,
    hooks: Hooks[RowT] | None = None,
    missing: str = MISSING,
    docs: Docs | None = None,
    route_class: type[StrictRoute] = StrictRoute,
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
        sort: the order of a list whose request says none, as in "-at,id"; by key unless said otherwise.
        ignore_case: whether the filter `__contains` ignores case.
        offers: what requests may ask for: the parameters "fields", "count", "q", "at" and "dry_run", and "tag", by
            which a list that nothing was committed since is 304 (`OFFERS`).
        expand: related rows that may be shown inside of rows, as in "user", "annotations", "annotations.user": by the
            routers' rules of their tables.
        hidden: fields that are in no answer and no body.
        fixed: fields that can't be changed once the row is there.
        create: the model, or the TypedDict, of a body that adds or replaces a row; derived from the row's model unless
            said otherwise.
        update: that of a row after a change, its fields optional; derived likewise.
        merge: whether a PATCH merges inside of fields (RFC 7396); else a field that it names is replaced whole.
        max_limit: most rows of a page.
        page_bytes: about the most bytes of a page, which ends before.
        require_if_match: whether changes of a row must say, by If-Match, as of which state: 428.
        hooks: what the application does where the router reads and writes.
        missing: what a 404 says.
        docs: what the OpenAPI document calls it all.
        route_class: of the routes. One that finds the caller by itself (`finds_caller`), the same as `caller` gives,
            spares each request FastAPI's resolution of a dependency, a quarter of what a read costs.
        actor: gives who is named in the history; the caller's `id`, or the caller itself, unless said otherwise.

    Raises:
        TypeError: a field, a relation or something to allow or offer that isn't there, an owner without a caller, hooks
            where restores are allowed, or documented rows that are others than those that are sent.
        ValueError: `max_limit` is not from 1 to 200.
    """
    _check_given(table, allow, offers, max_limit, has_hooks=hooks is not None)
    options = Options(
        caller=caller, owner=owner, rules=rules or Rules(), filters=None if filters is None else tuple(filters),
        sorts=None if sorts is None else tuple(sorts), sort=sort, ignore_case=ignore_case, offers=frozenset(offers),
        expand=tuple(expand), hidden=frozenset(hidden), fixed=_fixed(table, fixed), create=create, update=update,
        merge=merge, max_limit=max_limit, page_bytes=page_bytes, require_if_match=require_if_match,
        hooks=hooks or Hooks(), missing=missing, actor=actor,
    )  # fmt: skip
    handlers = Handlers(Resource(table, options), frozenset(allow))
    return _Routes(handlers, docs or Docs(), route_class).router(f"/{table.name}" if prefix is None else prefix)


def _check_given(
    table: Table[RowT], allow: Collection[str], offers: Collection[str], max_limit: int, *, has_hooks: bool
) -> None:
    for word, given, known in (("allow", allow, KNOWN), ("offer", offers, OFFERS)):
        if unknown := set(given) - known:
            raise TypeError(f"{table.name}: can't {word} {min(unknown)!r}; what can be: {', '.join(sorted(known))}")
    if has_hooks and "restore" in allow:
        raise TypeError(f"{table.name}: a restore takes rows from the history, past the hooks; allow one of them")
    if not 1 <= max_limit <= MAX_LIMIT:
        raise ValueError(f"{table.name}: max_limit is from 1 to {MAX_LIMIT}; not {max_limit}")


def _fixed(table: Table[RowT], fixed: Collection[str]) -> frozenset[str]:
    """Return the fixed fields; the default names a key that may be called otherwise."""
    return frozenset(table.schema.key if name == "id" and name not in table.schema.columns else name for name in fixed)


class _Routes(Generic[RowT]):
    """The routes of one table, and what is documented of them."""

    def __init__(self, handlers: Handlers[RowT], docs: Docs, route_class: type[StrictRoute]) -> None:
        self._handlers, self._docs, self._route_class = handlers, docs, route_class
        self._documented = DocumentedRows(handlers.resource, docs)
        self._keeps = IDEMPOTENCY_KEY if handlers.idempotency.is_kept else _NOTHING

    def router(self, prefix: str) -> APIRouter:
        """Return the router: what is asked for most is tried first."""
        name = self._handlers.resource.table.name
        self._router = APIRouter(prefix=prefix, tags=[name], route_class=self._route_class)
        self._add_reads(name)
        self._add_writes(name, self._documented.row)
        self._add_others(name, self._documented.row)
        return self._router

    def _add_reads(self, name: str) -> None:
        """Add the routes that show rows."""
        handlers, expand = self._handlers, self._handlers.resource.options.expand
        shown = documented(handlers.of_row, expand)
        has_tags = "tag" in handlers.resource.options.offers
        self._add(
            "list", "GET", "", handlers.list_rows, self._documented.page, (401, 410, 422),
            joined(handlers.lists.params.openapi, documented(handlers.lists.others, expand)), f"List {name}",
            NOT_MODIFIED if has_tags else None,
        )  # fmt: skip
        self._add(
            "get", "GET", "/{key}", handlers.get, self._documented.expanded, (401, 404, 410, 422),
            joined(IF_NONE_MATCH, shown), f"Show a row of {name}", NOT_MODIFIED,
        )  # fmt: skip

    def _add_writes(self, name: str, row: type) -> None:
        """Add the routes that change one row."""
        handlers, writing = self._handlers, WRITING
        create, update = handlers.resource.create.kind, handlers.resource.update.kind
        self._add(
            "create", "POST", "", handlers.create, row, writing, self._keeps, f"Add a row to {name}",
            body=create, status=201,
        )  # fmt: skip
        self._add(
            "update", "PATCH", "/{key}", handlers.update, row, writing, joined(IF_MATCH, self._keeps),
            f"Change fields of a row of {name}", body=update,
        )  # fmt: skip
        self._add(
            "replace", "PUT", "/{key}", handlers.replace, row, writing, IF_MATCH,
            f"Replace a row of {name}, or add it", {201: {"model": row}}, body=create,
        )  # fmt: skip
        counted: dict[int | str, dict[str, JsonValue]] = {200: {"description": "What would be deleted, of a dry run."}}
        self._add(
            "delete", "DELETE", "/{key}", handlers.delete, None, writing,
            joined(IF_MATCH, documented(handlers.of_deletion, ())), f"Delete a row of {name}",
            counted if handlers.of_deletion else None, status=204,
        )  # fmt: skip

    def _add_others(self, name: str, row: type) -> None:
        """Add the routes for many rows at once, and for the past of one."""
        handlers, writing = self._handlers, WRITING
        self._add(
            "bulk", "POST", "/bulk", handlers.bulk, bulk_answer(handlers.resource, row), writing, self._keeps,
            f"Change many rows of {name} at once", body=bulk_body(handlers.resource),
        )  # fmt: skip
        self._add(
            "history", "GET", "/{key}/history", handlers.history, HistoryPage, (401, 404, 410, 422),
            documented(["until"], ()), f"Show what happened to a row of {name}",
        )  # fmt: skip
        self._add(
            "restore", "POST", "/{key}/restore", handlers.restore, row, (*writing, 410), joined(IF_MATCH, self._keeps),
            f"Make a row of {name} what it was", {204: {"description": "There was no such row then."}}, body=RestoreTo,
        )  # fmt: skip

    def _add(
        self,
        verb: str,
        method: str,
        path: str,
        handler: Callable[..., Awaitable[Response]],
        model: type | None,
        statuses: Sequence[int],
        extra: dict[str, JsonValue],
        summary: str,
        responses: dict[int | str, Any] | None = None,
        *,
        body: type | None = None,
        status: int = 200,
    ) -> None:
        """Add a route, if it is allowed."""
        if verb not in self._handlers.allow:
            return
        derived = Operation(f"{self._handlers.resource.table.name}_{verb}", summary, inspect.getdoc(handler) or "")
        said = self._docs.operations.get(verb, derived)
        key = self._docs.key if "{key}" in path else ""
        if key:
            extra = joined({"parameters": [_path_parameter(key)]}, extra)
        self._router.add_api_route(
            path.replace("{key}", f"{{{self._docs.key}}}"),
            self._endpoint(handler, key, body),
            methods=[method],
            response_model=model,
            status_code=status,
            responses={**problems(*(said.problems or statuses)), **(responses or {})},
            operation_id=said.id,
            name=said.id,
            summary=said.summary,
            description=said.description,
            openapi_extra=extra if extra["parameters"] else None,
        )

    def _endpoint(
        self, handler: Callable[..., Awaitable[Response]], key_name: str, body: type | None
    ) -> Callable[..., Awaitable[Response]]:
        """Return the function of a route, with the parameters that FastAPI finds by its signature."""
        caller = self._handlers.resource.options.caller
        knows_caller = caller is not None and self._route_class.finds_caller

        async def endpoint(request: StrictRequest, me: object = None, **others: object) -> Response:
            """Answer a request."""
            if key_name:
                others["key"] = request.path_params[key_name]
            return await handler(request, request.caller if knows_caller else me, **others)

        given = inspect.Parameter.KEYWORD_ONLY
        wanted = [inspect.Parameter("request", given, annotation=Request)]
        if caller is not None and not knows_caller:
            wanted.append(inspect.Parameter("me", given, annotation=Any, default=Depends(caller)))
        if body is not None:
            annotation: Any = Annotated[(body, WrapValidator(_as_it_is), FastApiBody())]
            wanted.append(inspect.Parameter("body", given, annotation=annotation))
        endpoint.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]  # what FastAPI reads
        return endpoint


def _path_parameter(name: str) -> JsonValue:
    """Return the OpenAPI description of a row's key, a text: FastAPI would validate it as one at every request."""
    schema: JsonValue = {"type": "string", "title": name.replace("_", " ").title()}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _as_it_is(value: object, _handler: object) -> object:
    """Pass a body on: it is read in the place that knows where it stands."""
    return value
