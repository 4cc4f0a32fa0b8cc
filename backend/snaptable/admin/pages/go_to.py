"""Go to anything: pages, tables, rows by key or by what they are called, commits; and completions of filters."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from starlette.responses import Response

from snaptable import contains, desc, inserted, starts_with
from snaptable.admin.numbers import number_in
from snaptable.admin.rows import ShownTable
from snaptable.admin.site import Site, Visit

MOST, OF_TABLE = 20, 5
"""Hits in all, and of one table."""
MOST_TEXT = 200
RECENT_ROWS = 500
"""Rows, the newest, whose values are offered to complete a filter."""
OFFERED = 12

Hit = dict[str, str]
"""What was found: `label`, `meta`, `url`, `icon`, of a row also `key`."""


def add_to(site: Site) -> None:
    """Add the routes."""
    site.get("/go", go)
    site.get("/tables/{table}/values", values)


def go(visit: Visit) -> Response:
    """Show what a text may mean, the best first."""
    text = visit.query.get("q", "").strip()[:MOST_TEXT]
    hits = list(islice(_hits(visit, text), MOST))
    if visit.wants_json:
        return visit.json({"hits": hits})
    return visit.render("go.html", text=text, hits=hits)


def _hits(visit: Visit, text: str) -> Iterator[Hit]:
    wanted = text.casefold()
    yield from _commit(visit, text)
    for item in visit.site.nav:
        if wanted in item.label.casefold():
            yield {"label": item.label, "meta": "page", "url": visit.url(item.path), "icon": item.icon}
    for table in visit.site.tables.values():
        if wanted in table.name.casefold():
            count = f"{table.table.count():,} rows"
            yield {"label": table.name, "meta": count, "url": visit.url(f"/tables/{table.name}"), "icon": "table"}
    if text:
        for table in visit.site.tables.values():
            yield from _rows(visit, table, text)


def _commit(visit: Visit, text: str) -> Iterator[Hit]:
    sequence = number_in(text.removeprefix("#"), digits=15)
    if sequence is not None and 0 < sequence <= visit.db.history.sequence:
        url = visit.url(f"/commits/{sequence}")
        yield {"label": f"#{sequence:,}", "meta": "commit", "url": url, "icon": "history"}


def _rows(visit: Visit, table: ShownTable, text: str) -> Iterator[Hit]:
    """Yield the rows of a table that have a key, or are called so."""
    schema = table.schema
    seen: set[object] = set()
    key = table.parse_key(text)
    rows = [row] if key is not None and (row := table.table.get(key)) is not None else []
    queries: list[bool] = []
    if schema.key_type is str:
        column: Any = schema.columns[schema.key]
        queries.append(starts_with(column, text))
    label = visit.site.labels.fields.get(table.name)
    if label is not None:
        called: Any = schema.columns[label]
        queries.append(starts_with(called, text, ignore_case=True))
        queries.append(contains(called, text, ignore_case=True))
    for condition in queries:
        if len(rows) < OF_TABLE:
            rows += table.table.where(condition).limit(OF_TABLE).all()
    for row in rows:
        own = getattr(row, schema.key)
        if own not in seen and len(seen) < OF_TABLE:
            seen.add(own)
            name = visit.site.labels.label(table.name, row, own)
            yield {
                "label": name,
                "meta": table.name,
                "url": visit.row_url(table.name, own),
                "icon": "key",
                "key": str(own),
            }


def values(visit: Visit) -> Response:
    """Return values of a field that a filter, or a reference, may be completed to: the most frequent of recent rows."""
    table = visit.site.table(visit.request.path_params["table"])
    field = table.by_name.get(visit.query.get("field", ""))
    text = visit.query.get("q", "")[:MOST_TEXT]
    if field is None or field.kind in ("secret", "json"):
        return visit.json({"values": []})
    if field.choices or field.kind == "bool":
        every = [str(each) for each in field.choices] or ["true", "false"]
        return visit.json({"values": [{"value": each, "label": ""} for each in every]})
    if field.target is not None and field.target in visit.site.tables:
        target = visit.site.tables[field.target]
        hits = list(_rows(visit, target, text)) if text else []
        choices = [{"value": hit["key"], "label": hit["label"]} for hit in hits]
        return visit.json({"values": choices})
    rows = table.table.order_by(desc(inserted())).limit(RECENT_ROWS).all()
    counted: Counter[str] = Counter()
    for row in rows:
        value = getattr(row, field.name)
        items = value if field.kind == "list" and value is not None else (value,)
        counted.update(str(each) for each in items if each is not None and text.casefold() in str(each).casefold())
    return visit.json({"values": [{"value": each[:200], "label": ""} for each, _ in counted.most_common(OFFERED)]})
