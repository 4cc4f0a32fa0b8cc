"""The list of a router: filters, search, order, pages, counts, of now or as it was."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial, reduce
from operator import or_
from typing import Any, Generic
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import Request
from pydantic_core import to_json
from starlette.responses import Response

from snaptable import Query, Table, contains
from snaptable.conditions.constructors import is_orderable
from snaptable.web.crud.past import state
from snaptable.web.crud.resource import Resource, readable_fields
from snaptable.web.crud.shown_rows import Expander, Selection, Tables, names_in
from snaptable.web.etags import etag_of, is_known
from snaptable.web.listing import Listing, ListParams, RowT
from snaptable.web.problems import FieldError, Problem
from snaptable.web.row_response import JsonResponse
from snaptable.web.rules import rule_book

EVERYTHING = Selection((), ())
LISTS_ALIKE = 20
"""Plain lists of a caller that are taken to be as long as the one before."""
MANY_CALLERS = 1_000
"""Callers of whom it is remembered whether a plain list takes long."""
_IDENTITIES = (str, int, UUID, type(None))
"""Types of what callers are known by."""
_PLAIN = re.compile(r"[A-Za-z0-9_.,=&/-]*")
"""What stands in an address as it is."""
MAX_SEARCH = 200
"""Characters of a text that is searched for."""


class Lists(Generic[RowT]):
    """What answers a router's lists."""

    def __init__(self, resource: Resource[RowT]) -> None:
        """Work out the parameters.

        Raises:
            TypeError: a filter, or a field to sort by, is hidden, a secret, or isn't there.
        """
        self.resource = resource
        options, schema = resource.options, resource.schema
        sort = schema.key if options.sort is None else options.sort
        filters, sorts = _fields_to_list_by(resource, sort)
        references = {reference.field for reference in schema.references}
        self._searched = [
            schema.columns[name]
            for name in filters
            if schema.columns[name].types in ((str,), (str, type(None)))
            and name not in references | {schema.key, options.owner}
        ]
        """The columns that `q` looks into: text that is no key."""
        possible = {"expand": options.expand, "at": not schema.transient, "q": self._searched}
        self.others = [
            name
            for name in ("fields", "count", "expand", "at", "q")
            if possible.get(name, True) and (name in options.offers or name == "expand")
        ]
        """The parameters besides filters, order and pages."""
        self._has_tags = "tag" in options.offers
        self._is_sent_as_stored = resource.view.hidden == schema.secrets
        self._is_by_owner = options.rules.read is None
        self._plain: dict[object, tuple[bool, int]] = {}
        """Whether a list without anything chosen takes long, and of how many more that is taken, by caller."""
        self.params: ListParams[RowT] = ListParams(
            resource.table.model,
            filters,
            sort,
            sorts=list(dict.fromkeys(sorts)),
            max_limit=options.max_limit,
            others=self.others,
            ignore_case=options.ignore_case,
        )

    async def answer(self, request: Request, me: object) -> Response:
        """Return the page that a request asks for; 304 if nothing was committed since it was read.

        Raises:
            Problem: 401, 410, 422; what hooks raise.
        """
        resource = self.resource
        asked = self.params.read(request)
        selection = selection_of(asked.others, resource.options.expand) if self.others else EVERYTHING
        if self.others and asked.others.get("count", "") not in ("", "exact"):
            raise Problem.invalid(FieldError("/count", "This must be `exact`.", "query"))
        if (read := resource.options.hooks.read) is not None and not self._has_tags:
            made = partial(self._page, request, me, asked, selection)
            return await read(me, request, made)  # type: ignore[arg-type]  # put off on an event loop alone
        response = await resource.database.read(lambda _db: self._page(request, me, asked, selection))
        if response is not None:
            return response
        slow = resource.options.hooks.slow
        async with nullcontext() if slow is None else slow(me):
            work = asyncio.to_thread(self._page, request, me, asked, selection)
            return await work  # type: ignore[return-value]  # in a thread it is never put off

    def _page(self, request: Request, me: object, asked: Listing[RowT], selection: Selection) -> Response | None:
        """Return the page, as of one state; None if it takes long, and would keep an event loop waiting."""
        resource, headers = self.resource, {}
        # 1. What the caller has already. The tag is older than the rows, if another commit comes between.
        if self._has_tags:
            resource.view.condition(me)  # refuses who must say who they are
            headers = self._headers(me)
            if is_known(request.scope, headers["ETag"].removeprefix("W/")):
                return Response(None, 304, headers)
        # 2. The rows, now or as they were.
        if not (self.others and asked.others.get("at")):
            rows = self._rows(me, asked, selection, resource.database.tables)
        else:
            with state(resource.database, resource.schema, asked.others["at"]) as tables:
                rows = self._rows(me, asked, selection, tables)
        if rows is None:
            return None
        body, cursor = rows
        # 3. Where the next page is.
        if cursor is not None and self._has_tags:
            headers["Link"] = f'<{_address_of_next(request, cursor)}>; rel="next"'
        return JsonResponse(body, 200, headers or None)

    def _rows(
        self, me: object, asked: Listing[RowT], selection: Selection, tables: Tables
    ) -> tuple[bytes, str | None] | None:
        """Return the body of a page, and the cursor of the next one; None if it takes long, on an event loop."""
        resource, table = self.resource, tables[self.resource.table.name]
        query = self._query(me, table, asked)
        if _is_on_event_loop() and self._is_slow(me, query, asked):
            return None
        if selection is EVERYTHING and self._is_sent_as_stored:
            items, cursor = asked.page_json(query, resource.options.page_bytes)
        else:
            expander = Expander(tables, rule_book(resource.database), resource.options.caller, me)
            items, cursor = self._shown(query, asked, expander, selection)
        if not (self.others and asked.others.get("count")):
            return b'{"items":%b,"next_cursor":%b}' % (items, to_json(cursor)), cursor
        narrowed = query.where(*asked.conditions) if asked.conditions else query
        return b'{"items":%b,"next_cursor":%b,"total":%d}' % (items, to_json(cursor), narrowed.count()), cursor

    def _shown(
        self, query: Query[RowT], asked: Listing[RowT], expander: Expander, selection: Selection
    ) -> tuple[bytes, str | None]:
        """Return rows of which fields or related rows were chosen, as a JSON array, and the cursor of the next ones."""
        rows, cursor = asked.page(query)
        texts: list[bytes] = []
        left = self.resource.options.page_bytes
        for item in expander.shown(self.resource.view, rows, selection):
            texts.append(to_json(item))
            left -= len(texts[-1])
            if left < 0 and len(texts) > 1:
                texts.pop()
                _, cursor = asked.page(query, len(texts))
                break
        return b"[%b]" % b",".join(texts), cursor

    # ── what takes long ─────────────────────────────────────────────────────────────────────────────────────────────

    def _is_slow(self, me: object, query: Query[RowT], asked: Listing[RowT]) -> bool:
        """Return whether many rows are looked at one by one, or sorted; O(1) of a small table, else O(log n)."""
        others, caller = asked.others, getattr(me, "id", me)
        is_chosen = asked.conditions or asked.has_sort or (others.get("at") or others.get("q") if self.others else None)
        if is_chosen or not (self._is_by_owner and isinstance(caller, _IDENTITIES)):
            return asked.takes_long(query)
        # A list without anything chosen takes about as long for its caller as it did a moment ago.
        known = self._plain.get(caller)
        if known is not None and known[1] > 0:
            self._plain[caller] = known[0], known[1] - 1
            return known[0]
        if len(self._plain) >= MANY_CALLERS:
            self._plain.clear()
        is_slow = asked.takes_long(query)
        self._plain[caller] = is_slow, LISTS_ALIKE
        return is_slow

    # ── what a request asks ─────────────────────────────────────────────────────────────────────────────────────────

    def _headers(self, me: object) -> dict[str, str]:
        commits = self.resource.database._opened().commits
        place = commits.sequence
        tag = etag_of(f"{commits.store} {place} {getattr(me, 'id', me)!r}".encode("utf-8", "replace"))
        return {"ETag": f"W/{tag}", "Snaptable-Place": str(place)}

    def _query(self, me: object, table: Table[RowT], asked: Listing[RowT]) -> Query[RowT]:
        """Return the query for what the caller may see, and searches for."""
        options = self.resource.options
        query = self.resource.view.query(me, table)
        if options.hooks.list is not None:
            query = options.hooks.list(me, query, asked)
        search = asked.others.get("q") if self.others else None
        if not search:
            return query
        if len(search) > MAX_SEARCH:
            raise Problem.invalid(FieldError("/q", f"This has more than {MAX_SEARCH} characters.", "query"))
        columns: list[Any] = self._searched
        conditions = [contains(column, search, ignore_case=True) for column in columns]
        return query.where(reduce(or_, conditions))


def _address_of_next(request: Request, cursor: str) -> str:
    """Return the address of the page behind one."""
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    if _PLAIN.fullmatch(path) and _PLAIN.fullmatch(query) and _PLAIN.fullmatch(cursor):  # at a tenth of the cost
        kept = [part for part in query.split("&") if part and part.partition("=")[0] != "cursor"]
        return f"{path}?{'&'.join([*kept, f'cursor={cursor}'])}"
    parameters = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    return f"{quote(path)}?{urlencode([*parameters, ('cursor', cursor)])}"


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def selection_of(given: dict[str, str], allowed: Sequence[str]) -> Selection:
    """Return which fields and related rows the parameters `fields` and `expand` choose.

    Raises:
        Problem: 422, something that this router does not expand.
    """
    if not (given.get("expand") or given.get("fields")):
        return EVERYTHING
    expand = names_in("expand", given.get("expand", ""))
    for name in expand:
        if name not in allowed:
            raise Problem.invalid(FieldError("/expand", f"This is one of {', '.join(allowed)}.", "query"))
    return Selection(names_in("fields", given.get("fields", "")), expand)


def _fields_to_list_by(resource: Resource[RowT], sort: str) -> tuple[list[str], list[str]]:
    """Return the fields that lists may be filtered by, and those that they may be sorted by.

    Raises:
        TypeError: one of them is hidden, a secret, or isn't there.
    """
    options, schema, hidden = resource.options, resource.schema, resource.view.hidden
    filters = readable_fields(resource.table, hidden) if options.filters is None else list(options.filters)
    ordered = [name for name in filters if is_orderable(schema.columns.get(name))]
    chosen = ordered if options.sorts is None else options.sorts
    sorts = [schema.key, *chosen, *(name.removeprefix("-") for name in sort.split(","))]
    for name in (*filters, *sorts):
        if name in hidden or name not in schema.columns:
            raise TypeError(f"{resource.table.name}.{name} is no field that a list may be asked for")
    return filters, sorts
