"""A table: the filter bar, the grid, its order and its pages. The whole state is in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote_plus, urlencode

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from snaptable import InvalidCursor, InvalidQuery, Query, Row, desc, inserted
from snaptable.admin.filters import SEARCH, Chip, TableFilters, parse_all, typed
from snaptable.admin.numbers import number_in
from snaptable.admin.pages.row import panel_of
from snaptable.admin.rows import Cells, FieldView, ShownTable, json_of, json_text
from snaptable.admin.site import Site, Visit

PAGE = 50
"""Rows of a page."""
LOOKED_AROUND = 200
"""Rows around where a page should begin, among which the last row of the page before is looked for."""
NOTHING: Mapping[str, str] = {}
MOST_COUNTED = 100_000
"""Rows that match a filter, up to which they are counted."""


def add_to(site: Site) -> None:
    """Add the page."""
    pages = TablePages(site)
    site.get("/tables/{table}", pages.show)


@dataclass
class Asked:
    """What an address asks of a table.

    Attributes:
        given: the filters, as parameters.
        sort: the order, as the REST lists take it; "" for newest first.
        cursor: where a sorted page begins; "" for the first.
        skip: how many rows came before, of `of` that there were; newest first.
        after: the key of the last of them.
        begin: the number of the first row of the page, counted from 1, as far as it is known.
    """

    given: list[tuple[str, str]]
    sort: str
    cursor: str
    skip: int
    of: int
    begin: int
    after: str = ""

    @classmethod
    def in_address(cls, visit: Visit, filters: TableFilters) -> "Asked":
        """Read an address; numbers that are none are 0."""
        query = visit.query
        skip, of, begin = (_number(query.get(name, "")) for name in ("skip", "of", "begin"))
        return cls(
            filters.given(query),
            query.get("sort", ""),
            query.get("cursor", ""),
            skip,
            of,
            begin,
            query.get("after", ""),
        )

    @property
    def page(self) -> dict[str, str]:
        """The parameters that lead to the page that is shown."""
        kept = {"cursor": self.cursor, "begin": self.begin, "skip": self.skip, "of": self.of, "after": self.after}
        return {name: str(value) for name, value in kept.items() if value}

    @property
    def as_suffix(self) -> str:
        """The filters and the order, to be put behind another address that has parameters already."""
        pairs = [*self.given, *([("sort", self.sort)] if self.sort else [])]
        return f"&{urlencode(pairs)}" if pairs else ""

    @property
    def sorted_by(self) -> dict[str, bool]:
        """The fields that it is sorted by, and whether descending."""
        return {part.removeprefix("-"): part.startswith("-") for part in self.sort.split(",") if part}


@dataclass
class Found:
    """The rows of a page.

    Attributes:
        rows: the rows.
        total: how many match; no more than `MOST_COUNTED` + 1 are counted.
        plan: how they were looked up.
        begin: the number of the first.
        next: the parameters of the next page; None at the end.
    """

    rows: list[Row]
    total: int
    plan: str
    begin: int
    next: dict[str, str] | None

    @property
    def is_counted(self) -> bool:
        """Whether the total is exact."""
        return self.total <= MOST_COUNTED

    @property
    def total_text(self) -> str:
        """The total, in words."""
        return f"{self.total:,}" if self.is_counted else f"{MOST_COUNTED:,}+"


def _number(text: str) -> int:
    """Return a number of an address; 0 for what is none."""
    return number_in(text, digits=15) or 0


_ROW = (
    '<tr data-key="{0}"><td class="pick"><input type="checkbox" data-pick tabindex="-1" aria-label="Select {0}"></td>'
)


def _in_quotes(text: str) -> str:
    """Return a text for an attribute in single quotes: JSON is full of the others."""
    return text.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;")


def _cell_of(field: FieldView) -> str:
    """Return how a cell of a column begins."""
    kinds = [field.kind, *(["right"] if field.is_right else []), *(["key"] if field.is_key else [])]
    return f'<td data-column="{escape(field.name)}" class="{" ".join(kinds)}"'


def _place_behind(ordered: Query[Row], key: str, asked: Asked, total: int) -> int:
    """Return how many rows, newest first, there are up to the one that a page begins behind.

    It is looked for around where it should be, as rows came and went. If it went too, all that went is taken for rows
    before it: some may be shown twice then, and none is left out.
    """
    expected = max(0, asked.skip + total - asked.of)
    begin = max(0, expected - LOOKED_AROUND)
    around = ordered.offset(begin).limit(abs(total - asked.of) + 2 * LOOKED_AROUND).all()
    for place, row in enumerate(around, begin + 1):
        if str(getattr(row, key)) == asked.after:
            return place
    return expected


class TablePages:
    """The pages of all tables of a site."""

    def __init__(self, site: Site) -> None:
        """Work out, for each table, the filters it takes."""
        self.site = site
        self._filters: dict[str, TableFilters] = {}

    def filters_of(self, table: ShownTable) -> TableFilters:
        """Return the filters that a table takes."""
        if table.name not in self._filters:
            self._filters[table.name] = TableFilters(table)
        return self._filters[table.name]

    def show(self, visit: Visit) -> Response:
        """Show a page of a table; a filter that was typed first becomes a part of the address."""
        table = self.site.table(visit.request.path_params["table"])
        filters = self.filters_of(table)
        asked = Asked.in_address(visit, filters)
        if "filter" in visit.query:
            return self._with_filter(visit, table, asked, visit.query["filter"])
        with visit.timed("query"):
            page, errors = self._find(table, filters, asked)
        with visit.timed("cells"):
            grid = self._grid(visit, table, page.rows)
        return visit.render(
            "table.html",
            active=f"table:{table.name}",
            table=table,
            filters=filters,
            asked=asked,
            chips=self._chips(visit, filters, asked, errors),
            errors=errors,
            found=page,
            grid=grid,
            headings=[self._heading(visit, asked, field) for field in table.fields],
            here=self._address(visit, asked, asked.page),
            next_page=None if page.next is None else self._address(visit, asked, page.next),
            first_page=self._address(visit, asked) if asked.cursor or asked.skip else None,
            panel=self._panel(visit, table, asked),
            unfiltered=visit.url(f"/tables/{table.name}", sort=asked.sort or None),
        )

    def _panel(self, visit: Visit, table: ShownTable, asked: Asked) -> dict[str, object] | None:
        """Return the drawer of the row that the address names, if it names one."""
        if "row" not in visit.query:
            return None
        return panel_of(visit, table, visit.query["row"]) | {"close": self._address(visit, asked, asked.page)}

    # ── what is found ───────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, table: ShownTable, filters: TableFilters, asked: Asked) -> tuple[Found, dict[str, str]]:
        """Return the rows of the page, and what is wrong with which parameter; then there are no rows."""
        listing, errors = filters.read(asked.given, asked.sort)
        nothing = Found([], 0, "", 0, None)
        if listing is None:
            return nothing, errors
        query: Query[Row] = table.table.where(*listing.conditions)
        for parameter, text in asked.given:
            if parameter == SEARCH and (condition := filters.search(text)) is not None:
                query = query.where(condition)
        try:
            total = self._total(table, query, is_filtered=bool(asked.given))
            if listing.has_sort:
                return self._sorted_page(query.order_by(*listing.order), asked, total), errors
            return self._newest_page(query, asked, total, table.schema.key), errors
        except InvalidCursor:
            return nothing, {"cursor": "This page belongs to another list: go to the first page."}
        except InvalidQuery as error:
            return nothing, {"": str(error)}

    @staticmethod
    def _total(table: ShownTable, query: Query[Row], *, is_filtered: bool) -> int:
        rows = table.table.count()
        if not is_filtered:
            return rows
        return query.count() if rows <= MOST_COUNTED else query.limit(MOST_COUNTED + 1).count()

    @staticmethod
    def _sorted_page(query: Query[Row], asked: Asked, total: int) -> Found:
        page = query.page(limit=PAGE, after=asked.cursor or None)
        begin = max(1, asked.begin) if asked.cursor else 1
        following = None
        if page.next_cursor is not None:
            following = {"cursor": page.next_cursor, "begin": str(begin + len(page.items))}
        return Found(page.items, total, str(query.limit(PAGE).explain()), begin, following)

    @staticmethod
    def _newest_page(query: Query[Row], asked: Asked, total: int, key: str) -> Found:
        """Return a page of the newest rows: behind the last row of the page before, wherever that stands now."""
        ordered = query.order_by(desc(inserted()))
        skip = asked.skip
        if asked.of and (total != asked.of or asked.after):
            skip = _place_behind(ordered, key, asked, total)
        rows = ordered.offset(skip).limit(PAGE).all()
        plan = str(ordered.limit(PAGE).explain())
        following = None
        if skip + PAGE < total and rows:
            following = {"skip": str(skip + PAGE), "of": str(total), "after": str(getattr(rows[-1], key))}
        return Found(rows, total, plan, skip + 1, following)

    # ── how it is shown ─────────────────────────────────────────────────────────────────────────────────────────────

    def _grid(self, visit: Visit, table: ShownTable, rows: list[Row]) -> Markup:
        """Return the rows of the grid as HTML; its editable cells have their values as JSON, for the script."""
        labels = self.labels_of(table, rows)
        cells = Cells(table.fields, visit.row_url, self.site.tables)
        key, address = table.schema.key, escape(visit.row_url(table.name, ""))
        columns = [(field, _cell_of(field), labels.get(field.name, {})) for field in table.fields]
        parts: list[str] = []
        for row in rows:
            values, own = json_of(row), str(getattr(row, key))
            parts.append(_ROW.format(escape(own)))
            for field, begin, called in columns:
                shown = cells.html(field, getattr(row, field.name), called)
                if field.editable:
                    parts.append(f"{begin} data-json='{_in_quotes(json_text(values[field.name]))}'>{shown}</td>")
                elif field.is_key:
                    link = f'<a class="open" href="{address}{quote_plus(own)}" data-drawer-link>{shown}</a>'
                    parts.append(f"{begin}>{link}</td>")
                else:
                    parts.append(f"{begin}>{shown}</td>")
            parts.append("</tr>\n")
        return Markup("".join(parts))  # noqa: S704  # every value in it was escaped

    def labels_of(self, table: ShownTable, rows: list[Row]) -> dict[str, Mapping[object, str]]:
        """Return, for each field that refers to rows, what these are called."""
        labels: dict[str, Mapping[object, str]] = {}
        for field in table.fields:
            if field.target in self.site.tables and field.kind != "secret":
                target = self.site.db.tables[field.target]
                labels[field.name] = self.site.labels.of_keys(target, (getattr(row, field.name) for row in rows))
        return labels

    @staticmethod
    def _address(
        visit: Visit,
        asked: Asked,
        more: Mapping[str, str] = NOTHING,
        *,
        sort: str | None = None,
        without: int | None = None,
    ) -> str:
        """Return the address of this list, with other parameters, another order, or without one of its filters."""
        pairs = [pair for place, pair in enumerate(asked.given) if place != without]
        order = asked.sort if sort is None else sort
        if order:
            pairs.append(("sort", order))
        pairs += list(more.items())
        path = visit.request.url.path
        return path + (f"?{urlencode(pairs)}" if pairs else "")

    def _chips(
        self, visit: Visit, filters: TableFilters, asked: Asked, errors: Mapping[str, str]
    ) -> list[tuple[Chip, str]]:
        """Return the filters, each with the address of the list without it."""
        chips = filters.chips(asked.given, errors)
        return [(chip, self._address(visit, asked, without=place)) for place, chip in enumerate(chips)]

    def _heading(self, visit: Visit, asked: Asked, field: FieldView) -> dict[str, object]:
        """Return the head of a column: a further click sorts the other way, the third takes the order back."""
        descending = asked.sorted_by.get(field.name)
        following = {None: field.name, False: f"-{field.name}", True: ""}[descending]
        return {
            "field": field,
            "sort": None if not field.sortable else self._address(visit, asked, sort=following),
            "order": {None: "none", False: "ascending", True: "descending"}[descending],
        }

    @staticmethod
    def _with_filter(visit: Visit, table: ShownTable, asked: Asked, text: str) -> RedirectResponse:
        """Lead on to the address of the list with one filter more."""
        pairs = list(asked.given)
        for parameter, value in parse_all(text, table.by_name):
            field = table.by_name.get(parameter.partition("__")[0])
            meant = (parameter, value) if field is None else typed(field, parameter, value)
            pairs = [pair for pair in pairs if pair[0] != meant[0] or meant[0] == SEARCH] + [meant]
        if asked.sort:
            pairs.append(("sort", asked.sort))
        to = visit.request.url.path + (f"?{urlencode(pairs)}" if pairs else "")
        return RedirectResponse(to, 303)
