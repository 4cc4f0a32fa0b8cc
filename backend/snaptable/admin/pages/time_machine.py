"""The time machine: two moments on a bar, what is different between them, tables as they were, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from snaptable import Database, HistoryError, InvalidCursor, SnaptableError, UndoConflict
from snaptable.admin.moments import sequence_at, short_time
from snaptable.admin.past_shown import counts_of, in_words, label_of, visible, visible_conflicts
from snaptable.admin.rows import Cells, ShownTable
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.admin.timeline import Bar, Timeline
from snaptable.history import Revert

DEFAULT_BACK = 50
"""Commits between then and now, until somebody moves a handle."""
SHOWN = 100
"""Differences of a table that are shown; one table alone shows ten times as many."""
PAGE = 50
"""Rows of a page of a table as it was."""
PREVIEWED = 200


def add_to(site: Site) -> None:
    """Add the pages."""
    site.add_nav(NavItem("time", "Time machine", "/time", "time", 30))
    pages = TimePages()
    site.get("/time", pages.show)
    site.get("/time/restore", pages.ask_to_restore)
    site.post("/time/restore", pages.restore)


@dataclass
class Span:
    """The two moments.

    Attributes:
        then, now: their commits.
        errors: what is wrong with what was typed, by parameter.
    """

    then: int
    now: int
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def in_address(cls, visit: Visit) -> "Span":
        """Read an address; what means no moment is told, and is as if it were not there."""
        db, errors = visit.db, dict[str, str]()
        first, last = db.history.first, db.history.sequence
        ends = {"from": max(first, last - DEFAULT_BACK), "to": last}
        for name in ends:
            text = visit.query.get(name, "").strip()
            try:
                ends[name] = sequence_at(text, db) if text else ends[name]
                if ends[name] < first:
                    errors[name] = f"What was before #{first:,} is not kept any more."
                    ends[name] = first
            except (ValueError, SnaptableError) as error:
                errors[name] = str(error)
        return cls(min(ends["from"], ends["to"]), max(ends["from"], ends["to"]), errors)


class TimePages:
    """The pages, with what is known of the bar."""

    def __init__(self) -> None:
        self._timeline = Timeline()

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def show(self, visit: Visit) -> Response:
        """Show what is different between two moments, or a table as it was at the first."""
        span = Span.in_address(visit)
        with visit.timed("bars"):
            bars = self._timeline.bars(visit.db)
        tables = [table for table in visit.site.tables.values() if not table.schema.transient]
        chosen = next((table for table in tables if table.name == visit.query.get("table")), None)
        values = self._differences(visit, span) if chosen is None else self._as_it_was(visit, span, chosen)
        return visit.render(
            "time.html",
            200,
            active="time",
            span=span,
            first=visit.db.history.first,
            last=visit.db.history.sequence,
            bars=[(bar, self._title(bar), self._address(visit, span, bar)) for bar in bars],
            times=[short_time(self._timeline.time_of(moment)) for moment in (span.then, span.now)],
            ends=[short_time(self._timeline.time_of(bar.last)) for bar in (bars[:1] + bars[-1:])],
            tables=tables,
            chosen=chosen,
            to=None if span.now == visit.db.history.sequence else span.now,
            **values,
        )

    def _title(self, bar: Bar) -> str:
        at = self._timeline.time_of(bar.last)
        rows = f", {bar.weight:,} rows" if bar.weight else ""
        return f"#{bar.first:,} to #{bar.last:,}{rows}" + (f", {short_time(at)}" if at else "")

    @staticmethod
    def _address(visit: Visit, span: Span, bar: Bar) -> str:
        """Return where a bar leads: to what is different since."""
        to = span.now if span.now != visit.db.history.sequence and span.now >= bar.last else None
        return visit.url("/time", **{"from": bar.first - 1, "to": to, "table": visit.query.get("table")})

    @staticmethod
    def _differences(visit: Visit, span: Span) -> dict[str, object]:
        """Return the first differences of each table, and how many there are: the others aren't read."""
        only, counts, groups = visit.query.get("only"), {"insert": 0, "replace": 0, "delete": 0}, []
        tables = [name for name, table in visit.site.tables.items() if not table.schema.transient]
        try:
            with visit.timed("diff"):
                diff = visit.db.history.diff(span.then, span.now, tables=tables)
                for name, of_table in diff.counts.items():
                    counts = {kind: count + of_table[kind] for kind, count in counts.items()}
                    if only in (None, name):
                        changes = diff.first(SHOWN * (10 if only else 1), [name])
                        shown = [(change, label_of(visit.site, change)) for change in changes]
                        groups.append((name, sum(of_table.values()), shown))
        except (SnaptableError, ValueError) as error:
            span.errors["from"] = str(error)
        return {"groups": groups, "counts": counts, "only": only, "past": None}

    @staticmethod
    def _as_it_was(visit: Visit, span: Span, table: ShownTable) -> dict[str, object]:
        """Return the rows of a table at the first moment, by key."""
        past: dict[str, object] = {"rows": [], "next": None, "count": 0, "error": None, "table": table}
        try:
            with visit.timed("past"), visit.db.history.at(span.then) as db:
                past |= _page_of(visit, db, table)
        except InvalidCursor:
            past["error"] = "This page belongs to another list: go to the first page."
        except (SnaptableError, ValueError) as error:
            past["error"] = str(error)
        return {"groups": [], "counts": None, "only": None, "past": past}

    # ── going back ──────────────────────────────────────────────────────────────────────────────────────────────────

    def ask_to_restore(self, visit: Visit) -> Response:
        """Show what a restore would do."""
        return self._preview(visit, *_target(visit, visit.query))

    async def restore(self, visit: Visit) -> Response:
        """Make rows what they were, as a commit: one, those of a table, or all; these ask for the password again."""
        at, table, key = _target(visit, visit.form)
        if key is None and not await visit.confirmed():
            return await run_in_threadpool(self._preview, visit, at, table, key, "This is not your password.", 403)
        try:
            revert = await run_in_threadpool(_restore, visit, at, table, key)
        except UndoConflict:
            return await run_in_threadpool(self._preview, visit, at, table, key, None, 409)
        if key is not None:
            return visit.redirect(f"/tables/{table}/row", key=key, done=revert.commit)
        return visit.redirect("/time", **{"from": at, "done": revert.commit})

    def _preview(
        self, visit: Visit, at: int, table: str | None, key: str | None, error: str | None = None, status: int = 200
    ) -> Response:
        try:
            would: Revert | None = _restore(visit, at, table, key, dry_run=True)
            reason = None
        except (HistoryError, ValueError) as refusal:
            would, reason = None, str(refusal)
        changes = visible(visit.site, would.changes) if would else []
        self._timeline.bars(visit.db)
        return visit.render(
            "restore.html",
            status,
            active="time",
            at=at,
            at_time=short_time(self._timeline.time_of(at)),
            table=table,
            key=key,
            changes=[(change, label_of(visit.site, change)) for change in changes[:PREVIEWED]],
            total=len(changes),
            counts=counts_of(changes),
            conflicts=[
                (each, in_words(each)) for each in visible_conflicts(visit.site, would.conflicts if would else ())
            ],
            reason=reason,
            error=error,
        )


def _page_of(visit: Visit, db: Database, table: ShownTable) -> dict[str, object]:
    past = db.tables[table.name]
    column: object = table.schema.columns[table.schema.key]
    page = past.order_by(column).page(limit=PAGE, after=visit.query.get("cursor") or None)
    cells = Cells(table.fields, visit.row_url, visit.site.tables)
    labels = {
        each.name: visit.site.labels.of_keys(db.tables[each.target], [getattr(row, each.name) for row in page.items])
        for each in table.fields
        if each.target in visit.site.tables and each.kind != "secret" and not db.tables[each.target].schema.transient
    }
    rows = [
        (
            getattr(row, table.schema.key),
            [(each, cells.show(each, getattr(row, each.name), labels.get(each.name))) for each in table.fields],
        )
        for row in page.items
    ]
    return {"rows": rows, "next": page.next_cursor, "count": past.count()}


def _target(visit: Visit, given: Mapping[str, str]) -> tuple[int, str | None, str | None]:
    """Return the moment, the table and the key that a restore is of.

    Raises:
        HTTPException: no such moment or table exists.
    """
    try:
        at = sequence_at(given.get("at", ""), visit.db)
    except (ValueError, SnaptableError) as error:
        raise HTTPException(422, str(error)) from None
    table, key = given.get("table") or None, given.get("key") or None
    if table is not None:
        if visit.site.table(table).schema.transient:
            raise HTTPException(422, f"{table} is transient: its rows have no past.")
    elif not visit.site.shows_all:
        raise HTTPException(403, "Some tables are not shown here, so that everything can't be restored: name a table.")
    return at, table, key


def _restore(visit: Visit, at: int, table: str | None, key: str | None, *, dry_run: bool = False) -> Revert:
    typed: object = None
    if key is not None and table is not None:
        typed = visit.site.table(table).parse_key(key)
        if typed is None:
            raise HTTPException(404, f"{key[:80]!r} is no key of {table}.")
    note = None if dry_run else visit.form.get("note") or None
    return visit.db.history.restore(at, table, typed, note=note, dry_run=dry_run)
