"""What the routers of extractions and of annotations have in common: their rows are on documents."""

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.dependencies import LOGIN, Caller
from app.api.routing import CallerRoute
from app.api.schemas import Output, PageOut
from app.resources import Resources
from app.services import documents, quotas
from app.services.ownership import MarkT, is_on_document
from snaptable import Query, Table
from snaptable.web import Docs, Hooks, Listing, Operation, crud_router


def mark_router(
    resources: Resources,
    table: Table[MarkT],
    kind: str,
    *,
    fields: Sequence[str],
    sort: str,
    bodies: Mapping[str, type],
    shown: type[Output],
    operations: Mapping[str, Operation],
    create: Callable[..., MarkT],
    change: Callable[..., MarkT] | None = None,
) -> APIRouter:
    """Return the routes of a table whose rows are on documents; a user's own only, and within their quota.

    Args:
        resources: of the application.
        table: the table.
        kind: what one row is called, in addresses and answers.
        fields: what lists are filtered and sorted by.
        sort: the order of a list, unless a request says one.
        bodies: the models of bodies, by verb.
        shown: the model of a row.
        operations: what is allowed, and documented of it.
        create: the rule by which a row is added.
        change: that by which one is changed.
    """
    page: type = PageOut[shown]  # type: ignore[valid-type]
    return crud_router(
        table,
        prefix=f"/api/{table.name}",
        allow=operations.keys(),
        caller=LOGIN,
        route_class=CallerRoute,
        owner="user_id",
        filters=fields,
        sorts=fields,
        sort=sort,
        ignore_case=False,
        offers=(),
        create=bodies["create"],
        update=bodies.get("update"),
        merge=False,
        page_bytes=resources.settings.page_bytes,
        hooks=_hooks(resources, table, create, change),
        missing=f"There is no such {kind}.",
        docs=Docs(shown, page, f"{kind}_id", operations),
    )


def _hooks(
    resources: Resources, table: Table[MarkT], create: Callable[..., MarkT], change: Callable[..., MarkT] | None
) -> Hooks[MarkT]:
    """Return what the rules say to each write, and to what is seen while a document is being removed."""
    db = resources.db

    async def prepare(me: Caller) -> None:
        """Sum up what the caller stores, where it isn't known."""
        if me.user.id not in db.usages:
            await quotas.prepare(db, me.user)

    def narrow(me: Caller, query: Query[MarkT], asked: Listing[MarkT]) -> Query[MarkT]:
        """Leave out what is on a document that was deleted."""
        return documents.without_removed(db, me.user, query, asked.equals.get("document_id", ()))

    async def read(me: Caller, request: Request, make: Callable[[], Response]) -> Response:
        """Answer from the cache, if that has it."""
        return await me.answer(request, make)

    return Hooks(
        read=read if resources.settings.cache_url else None,
        prepare=prepare,
        write_lock=(lambda me: quotas.write_lock(db, me.user)) if db.is_on_server else None,
        create=lambda me, values: create(db, me.user, **values),
        update=None if change is None else lambda me, row, changes: change(db, me.user, row, **changes),
        delete=lambda me, row: quotas.delete(db, me.user, table, row),
        find=lambda me, row: is_on_document(db, me.user, row),
        list=narrow,
        slow=Caller.sorting_place,
    )
