"""Import and export: a file is looked at first, with everything that is wrong; then it is one commit, or nothing."""

from collections.abc import Iterator
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from snaptable import Query, Row, SnaptableError, Table
from snaptable.admin.filters import SEARCH, TableFilters
from snaptable.admin.moments import sequence_at
from snaptable.admin.rows import ShownTable
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.admin.uploads import SentUpload, Upload, Uploads, UploadStore
from snaptable.errors import ImportRefused, UnreadableFile
from snaptable.interchange import FORMATS, ImportPlan, export_bytes, plan_import, read_bytes

MAX_FILE = 32 << 20
"""Bytes of a file that is sent; larger ones are for the command."""
FAULTS = 50
"""Faults that a page lists."""
MEDIA_TYPES = {
    "json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8",
    "sqlite": "application/vnd.sqlite3",
}  # fmt: skip
SUFFIXES = {"jsonl": "jsonl", "csv": "csv", "sqlite": "sqlite"}
OF_ALL = ("json", "sqlite", "json-server", "lowdb", "tinydb")
"""Formats that hold several tables."""


def add_to(site: Site) -> None:
    """Add the pages."""
    site.add_nav(NavItem("import", "Import", "/import", "up", 110))
    site.add_nav(NavItem("export", "Export", "/export", "down", 120))
    site.table_links.append(("Export", "down", "/export"))
    pages = ImportPages(site.options.get("uploads") or Uploads())
    site.get("/import", pages.show)
    site.post("/import", pages.take, max_body=MAX_FILE + (1 << 20))
    site.get("/import/{token}", pages.plan)
    site.post("/import/{token}", pages.apply)
    site.get("/export", show_export)
    site.get("/export/file", give)


# ── import ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class ImportPages:
    """The pages of imports, and the files that wait."""

    def __init__(self, uploads: UploadStore) -> None:
        self._uploads = uploads

    def show(self, visit: Visit) -> Response:
        """Show where a file, or a text, is given."""
        return self._form(visit)

    @staticmethod
    def _form(visit: Visit, error: str | None = None, status: int = 200) -> Response:
        return visit.render(
            "import.html",
            status,
            active="import",
            formats=FORMATS,
            table=visit.query.get("table") or visit.form.get("table", ""),
            text=visit.form.get("text", ""),
            error=error,
            most=MAX_FILE,
        )

    def take(self, visit: Visit) -> Response:
        """Take a file or a text, and lead on to what is in it."""
        sent = visit.files.get("file")
        text, asked = visit.form.get("text", ""), visit.form.get("format") or None
        name, data = (sent.name, sent.data) if sent is not None and sent.data else ("the text", text.encode())
        if not data.strip():
            return self._form(visit, "Choose a file, or paste a text.", 422)
        try:
            parsed = read_bytes(data, name[-100:], asked)
        except (UnreadableFile, ValueError) as error:
            return self._form(visit, str(error), 422)
        token = self._uploads.keep(parsed, SentUpload(name[-100:], data, asked), visit.admin.name)
        return visit.redirect(f"/import/{token}", table=visit.form.get("table") or None)

    def plan(self, visit: Visit) -> Response:
        """Show what an import would do."""
        return self._plan_page(visit, self._upload(visit))

    def _upload(self, visit: Visit) -> Upload:
        upload = self._uploads.of(visit.request.path_params["token"], visit.admin.name)
        if upload is None:
            raise HTTPException(404, "This file is not kept any more: send it again.")
        return upload

    def _plan_page(self, visit: Visit, upload: Upload, error: str | None = None, status: int = 200) -> Response:
        asked = Asked(visit, upload, visit.query)
        plan: ImportPlan | None = None
        if asked.table is not None and asked.source is not None:
            try:
                with visit.timed("plan"):
                    plan = asked.planned()
            except (SnaptableError, ValueError) as refusal:
                error = error or str(refusal)
        return visit.render(
            "import_plan.html",
            status,
            active="import",
            asked=asked,
            upload=upload,
            token_of_file=visit.request.path_params["token"],
            plan=plan,
            faults=plan.faults[:FAULTS] if plan else (),
            error=error,
        )

    def apply(self, visit: Visit) -> Response:
        """Import it, as one commit."""
        upload = self._upload(visit)
        asked = Asked(visit, upload, visit.query)
        if asked.table is None or asked.source is None:
            raise HTTPException(422, "Choose the table.")
        note = visit.form.get("note") or f"import of {upload.parsed.name}"
        try:
            done = asked.planned().apply(note=note)
        except ImportRefused as error:
            return self._plan_page(visit, upload, str(error).partition("\n")[0], 409)
        self._uploads.drop(visit.request.path_params["token"])
        return visit.redirect(f"/tables/{asked.table.name}", done=done.commit)


class Asked:
    """What an address asks of a file: into which table, from which of its tables, how names are mapped."""

    def __init__(self, visit: Visit, upload: Upload, query: QueryParams) -> None:
        """Read an address."""
        names = list(upload.parsed.tables)
        wanted = query.get("source") if query.get("source") in names else None
        table = query.get("table") or (names[0] if len(names) == 1 else wanted)
        self.table: ShownTable | None = visit.site.tables.get(table or "")
        if self.table is None and len(visit.site.tables) == 1:
            self.table = next(iter(visit.site.tables.values()))
        source = wanted if wanted is not None else names[0] if len(names) == 1 else table
        self.source = source if source in names else None
        self.update = query.get("update") == "on"
        self.upload = upload
        given = {name[4:]: text for name, text in query.multi_items() if name.startswith("map:")}
        self.columns = upload.parsed.columns(self.source)[:200] if self.source is not None else ()
        self.mapping: dict[str, str] = {
            name: text for name, text in given.items() if name in self.columns and text != name
        }

    @property
    def address(self) -> str:
        """The parameters, for the form that imports."""
        pairs = [("table", self.table.name if self.table else ""), ("source", self.source or "")]
        pairs += [("update", "on")] * self.update + [(f"map:{name}", text) for name, text in self.mapping.items()]
        return urlencode(pairs)

    def planned(self) -> ImportPlan:
        """Return what would be done."""
        assert self.table is not None
        assert self.source is not None
        known = {name: text for name, text in self.mapping.items() if not text or text in self.table.by_name}
        return plan_import(self.table.table, self.upload.parsed.tables[self.source], mapping=known, update=self.update)

    def field_of(self, column: str) -> str:
        """Return the field that a column is mapped to; "" for none."""
        if column in self.mapping:
            return self.mapping[column]
        return column if self.table is not None and column in self.table.by_name else ""


# ── export ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def show_export(visit: Visit) -> Response:
    """Show what can be exported, and how."""
    table = visit.site.tables.get(visit.query.get("table", ""))
    given = TableFilters(table).given(visit.query) if table else []
    return visit.render(
        "export.html",
        active="export",
        table=table,
        given=given,
        sort=visit.query.get("sort", "") if table else "",
        formats=[each for each in FORMATS if each != "snapshot" and (table is not None or each in OF_ALL)],
        can_have_all=visit.site.shows_all,
        at=visit.query.get("at", ""),
    )


def give(visit: Visit) -> Response:
    """Give the file: a table, what its filters leave, or all tables; secrets are masked."""
    asked = visit.query.get("format", "json")
    if asked not in FORMATS or asked == "snapshot":
        raise HTTPException(422, "There is no such format.")
    moment = _moment(visit)
    name = visit.query.get("table")
    try:
        if name:
            chunks = _of_table(visit, visit.site.table(name), asked, moment)
        elif visit.site.shows_all:
            chunks = export_bytes(visit.db, asked, at=moment)
        else:
            raise HTTPException(403, "Some tables are not shown here: export one.")
    except SnaptableError as error:
        raise HTTPException(422, str(error)) from None
    suffix = SUFFIXES.get(asked, "json")
    filename = (
        f"{name or visit.site.title.casefold().replace(' ', '-')}{f'-{moment}' if moment is not None else ''}.{suffix}"
    )
    headers = {"Content-Disposition": f'attachment; filename="{_plain(filename)}"'}
    return StreamingResponse(chunks, media_type=MEDIA_TYPES.get(asked, "application/json"), headers=headers)


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in name)


def _moment(visit: Visit) -> int | None:
    text = visit.query.get("at", "").strip()
    if not text:
        return None
    try:
        return sequence_at(text, visit.db)
    except (ValueError, SnaptableError) as error:
        raise HTTPException(422, str(error)) from None


def _of_table(visit: Visit, table: ShownTable, asked: str, moment: int | None) -> Iterator[bytes]:
    filters = TableFilters(table)
    given = filters.given(visit.query)
    if moment is not None:
        with visit.db.history.at(moment) as past:
            return export_bytes(_query(past.tables[table.name], filters, given, visit.query.get("sort", "")), asked)
    return export_bytes(_query(table.table, filters, given, visit.query.get("sort", "")), asked)


def _query(table: Table[Row], filters: TableFilters, given: list[tuple[str, str]], sort: str) -> Query[Row]:
    """Return the rows that filters leave, in their order; newest first only if asked, as the file has them else."""
    listing, errors = filters.read(given, sort)
    if listing is None:
        raise HTTPException(422, "; ".join(f"{name}: {text}" for name, text in errors.items()))
    query = table.where(*listing.conditions)
    for parameter, text in given:
        if parameter == SEARCH and (condition := filters.search(text)) is not None:
            query = query.where(condition)
    return query.order_by(*listing.order) if listing.has_sort else query
