"""The list of a router: filters, search, order, pages, counts, of now or as it was."""

import asyncio
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, Generic
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from pydantic import JsonValue
from pydantic_core import to_json
from starlette.responses import Response

from snaptable import Query, contains
from snaptable.conditions import is_orderable
from snaptable.contract import M
from snaptable.web.crud.past import state
from snaptable.web.crud.resource import Resource, readable_fields
from snaptable.web.crud.shown_rows import Expander, Selection, Tables, names_in
from snaptable.web.etags import etag_of, is_known
from snaptable.web.listing import MANY_ROWS, PAGE_BYTES, Listing, ListParams, by_commas, parameter_of
from snaptable.web.problems import FieldError, Problem
from snaptable.web.row_response import JsonResponse
from snaptable.web.rules import rule_book

EVERYTHING = Selection((), ())
MANY_CALLERS = 1_000
"""Callers of whom it is remembered whether a plain list takes long."""
MAX_SEARCH = 200
"""Characters of a text that is searched for."""


class Lists(Generic[M]):
    """What answers a router's lists."""

    def __init__(self, resource: Resource[M]) -> None:
        """Work out the parameters.

        Raises:
            TypeError: a filter, or a field to sort by, is hidden, a secret, or isn't there.
        """
        self.resource = resource
        options, schema, hidden = resource.options, resource.schema, resource.view.hidden
        filters = readable_fields(resource.table, hidden) if options.filters is None else list(options.filters)
        sorts = [name for name in filters if is_orderable(schema.columns.get(name))]
        sorts = sorts if options.sorts is None else list(options.sorts)
        for name in (*filters, *sorts):
            if name in hidden or name not in schema.columns:
                raise TypeError(f"{resource.table.name}.{name} is no field that a list may be asked for")
        references = {reference.field for reference in schema.references}
        self._searched = [
            schema.columns[name]
            for name in filters
            if schema.columns[name].types in ((str,), (str, type(None)))
            and name not in references | {schema.key, options.owner}
        ]
        """The columns that `q` looks into: text that is no key."""
        others = ["fields", "count"]
        others += ["expand"] if options.expand else []
        others += [] if schema.transient else ["at"]
        others += ["q"] if self._searched else []
        self.others = others
        self._plain: dict[str, tuple[int, bool]] = {}
        """Whether a list without anything chosen takes long, and how many rows the table had, by caller."""
        self._params: ListParams[Any] = ListParams(
            schema.model,
            filters,
            schema.key,
            sorts=list(dict.fromkeys((schema.key, *sorts))),
            max_limit=options.max_limit,
            others=others,
            ignore_case=True,
        )

    @property
    def openapi(self) -> dict[str, JsonValue]:
        """Return the parameters as OpenAPI describes them."""
        listed: Any = self._params.openapi["parameters"]
        return {"parameters": [*listed, *documented(self.others, self.resource.options.expand)]}

    async def answer(self, request: Request, me: object) -> Response:
        """Return the page that a request asks for; 304 if nothing was committed since it was read.

        Raises:
            Problem: 401, 410, 422.
        """
        resource = self.resource
        asked = self._params.read(request)
        selection = selection_of(asked.others, resource.options.expand)
        counts = asked.others["count"]
        if counts not in ("", "exact"):
            raise Problem.invalid(FieldError("/count", "This must be `exact`.", "query"))
        # 1. What the caller has already. The tag is older than the rows, if another commit comes between.
        resource.view.condition(me)  # refuses who must say who they are
        headers = self._headers(me)
        if is_known(request.scope, headers["ETag"].removeprefix("W/")):
            return Response(None, 304, headers)
        # 2. The rows, now or as they were.
        with state(resource.database, resource.schema, asked.others.get("at") or None) as tables:
            query = self._query(me, tables, asked.others.get("q", ""))
            page = _Page(resource, me, tables, asked, selection)
            narrowed = query.where(*asked.conditions) if asked.conditions else query
            work = asyncio.to_thread if self._is_slow(me, narrowed, tables, asked) else _at_once
            items, cursor = await work(page.json, query)
            body = b'{"items":%b,"next_cursor":%b' % (items, to_json(cursor))
            if counts:
                body += b',"total":%d' % await work(narrowed.count)
        # 3. Where the next page is.
        if cursor is not None:
            parameters = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
            address = f"{request.url.path}?{urlencode([*parameters, ('cursor', cursor)])}"
            headers["Link"] = f'<{address}>; rel="next"'
        return JsonResponse(body + b"}", 200, headers)

    def _is_slow(self, me: object, query: Query[M], tables: Tables, asked: Listing[Any]) -> bool:
        """Return whether many rows are looked at one by one, or sorted; O(1) of a small table, else O(log n)."""
        count = len(tables[self.resource.table.name])
        if count <= MANY_ROWS:
            return False
        caller = self._plain_caller(me, asked)
        if caller is not None and caller in self._plain:
            counted, is_slow = self._plain[caller]
            if abs(count - counted) < MANY_ROWS // 2:  # so many rows more, at most
                return is_slow
        plan = query.order_by(*asked.order).explain()
        is_slow = plan.rows > MANY_ROWS and (plan.sorts or plan.filters > 0)
        if caller is not None:
            if len(self._plain) >= MANY_CALLERS:
                self._plain.clear()
            self._plain[caller] = count, is_slow
        return is_slow

    def _plain_caller(self, me: object, asked: Listing[Any]) -> str | None:
        """Return who asks for a list without anything chosen, as long as its length depends on that alone."""
        identity = getattr(me, "id", me)
        is_plain = (
            not asked.conditions
            and not asked.has_sort
            and not any(asked.others[name] for name in ("at", "q") if name in asked.others)
        )
        is_known = self.resource.options.rules.read is None and isinstance(identity, str | int | UUID | None)
        return repr(identity) if is_plain and is_known else None

    def _headers(self, me: object) -> dict[str, str]:
        commits = self.resource.database._opened().commits
        place = commits.sequence
        tag = etag_of(f"{commits.store} {place} {getattr(me, 'id', me)!r}".encode("utf-8", "replace"))
        return {"ETag": f"W/{tag}", "Snaptable-Place": str(place)}

    def _query(self, me: object, tables: Tables, search: str) -> Query[M]:
        query = self.resource.view.query(me, tables[self.resource.table.name])
        if not search:
            return query
        if len(search) > MAX_SEARCH:
            raise Problem.invalid(FieldError("/q", f"This has more than {MAX_SEARCH} characters.", "query"))
        columns: list[Any] = self._searched
        found: Any = [contains(column, search, ignore_case=True) for column in columns]
        return query.where(reduce(or_, found))


class _Page(Generic[M]):
    """One page, as JSON."""

    def __init__(
        self, resource: Resource[M], me: object, tables: Tables, asked: Listing[Any], selection: Selection
    ) -> None:
        self._resource, self._asked, self._selection = resource, asked, selection
        self._expander = Expander(tables, rule_book(resource.database), resource.options.caller, me)

    def json(self, query: Query[M]) -> tuple[bytes, str | None]:
        """Return the rows as a JSON array, and the cursor of the next ones."""
        resource, asked = self._resource, self._asked
        if self._selection.is_plain and resource.view.hidden == resource.schema.secrets:
            return asked.page_json(query)
        rows, cursor = asked.page(query)
        shown = self._expander.shown(resource.view, rows, self._selection)
        texts: list[bytes] = []
        left = PAGE_BYTES
        for item in shown:
            texts.append(to_json(item))
            left -= len(texts[-1])
            if left < 0 and len(texts) > 1:
                texts.pop()
                _, cursor = asked.page(query, len(texts))
                break
        return b"[%b]" % b",".join(texts), cursor


async def _at_once(work: Any, *arguments: Any) -> Any:
    return work(*arguments)


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


def documented(names: Sequence[str], expand: Sequence[str]) -> list[JsonValue]:
    """Return parameters that are not filters as OpenAPI describes them."""
    text: dict[str, JsonValue] = {"type": "string", "minLength": 1}
    known: dict[str, tuple[dict[str, JsonValue], str]] = {
        "fields": (text, "The fields to show, separated by commas; `user.name` is one of an expanded row."),
        "expand": (
            {"type": "array", "items": {"type": "string", "enum": list(expand)}, "minItems": 1},
            "Related rows to show inside of each.",
        ),
        "count": ({"type": "string", "enum": ["exact"]}, "Whether to count all rows, as `total`."),
        "at": (text, "A commit's number, or a time with its offset: the rows as they were."),
        "q": (text | {"maxLength": MAX_SEARCH}, "A text that a text field contains, whatever its case."),
        "until": ({"type": "integer", "minimum": 0}, "The last commit to show: the `next` of the page before."),
        "dry_run": ({"type": "boolean"}, "Only count what would be deleted."),
    }
    parameters: list[JsonValue] = []
    for name in names:
        parameter = parameter_of(name, *known[name])
        is_list = known[name][0].get("type") == "array"
        parameters.append(by_commas(parameter) if is_list else parameter)
    return parameters
