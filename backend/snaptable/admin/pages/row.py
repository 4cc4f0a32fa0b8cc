"""A row: its fields in a form, what refers to it, its history, its line in the file; as a page, and as a drawer."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from markupsafe import Markup
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from snaptable import SnaptableError
from snaptable.admin import cascades, past, snapshot_lines
from snaptable.admin.edits import Control, Refused, Trouble, control_of, delete, edited, save, typed_control
from snaptable.admin.rows import Cells, FieldView, ShownTable, json_of
from snaptable.admin.site import Site, Visit
from snaptable.history import Change, Commit
from snaptable.secrets import masked

COMMITS = 20
"""Commits of a row's history that its page shows."""


def add_to(site: Site) -> None:
    """Add the pages."""
    site.get("/tables/{table}/row", show)
    site.post("/tables/{table}/row", change)
    site.get("/tables/{table}/delete", ask_to_delete)
    site.post("/tables/{table}/delete", remove)


def show(visit: Visit) -> Response:
    """Show a row; for a script that asks for a part, the drawer without its history, or the history alone."""
    table, part = visit.site.table(visit.request.path_params["table"]), visit.query.get("part")
    text = visit.query.get("key", "")
    if part == "history":
        commits, more = _history(visit, table, table.parse_key(text))
        return visit.render("row_history.html", panel={"table": table, "key": text, "commits": commits, "more": more})
    panel = panel_of(visit, table, text, has_history=part != "drawer")
    template = "row_panel.html" if part == "drawer" else "row.html"
    return visit.render(template, 200 if panel["row"] is not None else 404, active=f"table:{table.name}", panel=panel)


def change(visit: Visit) -> Response:
    """Save what a row's form holds."""
    table = visit.site.table(visit.request.path_params["table"])
    text = visit.query.get("key", "")
    controls = [
        typed_control(field, visit.form)
        for field in table.fields
        if field.editable and f"seen:{field.name}" in visit.form
    ]
    try:
        edit = edited(table, table.parse_key(text), controls)
        sequence = save(visit.db, table, [edit], visit.form.get("note"))
    except Refused as refused:
        if visit.wants_json:
            return visit.json(shown_troubles(visit, refused.troubles), refused.status)
        panel = panel_of(visit, table, text, controls, refused.troubles)
        return visit.render("row.html", refused.status, active=f"table:{table.name}", panel=panel)
    if visit.wants_json:
        return visit.json({"sequence": sequence})
    return visit.redirect(f"/tables/{table.name}/row", key=text, done=sequence)


def ask_to_delete(visit: Visit) -> Response:
    """Show what goes with rows, before they are deleted."""
    return _deletion_page(visit, visit.query.getlist("key"))


def remove(visit: Visit) -> Response:
    """Delete rows."""
    table, texts = visit.site.table(visit.request.path_params["table"]), visit.form.getlist("key")
    keys = [key for text in texts if (key := table.parse_key(text)) is not None]
    try:
        sequence = delete(visit.db, table, keys, visit.form.get("note"))
    except Refused as refused:
        return _deletion_page(visit, texts, refused.troubles)
    return visit.redirect(f"/tables/{table.name}", done=sequence)


def _deletion_page(visit: Visit, texts: Sequence[str], troubles: Sequence[Trouble] = ()) -> Response:
    table = visit.site.table(visit.request.path_params["table"])
    keys = [key for text in texts if (key := table.parse_key(text)) is not None and table.table.get(key) is not None]
    if not keys:
        raise HTTPException(404, "These rows are gone already.")
    rows = [table.table[key] for key in keys[:10]]
    return visit.render(
        "delete.html",
        409 if troubles else 200,
        active=f"table:{table.name}",
        table=table,
        keys=keys,
        labels=[visit.site.labels.label(table.name, row, getattr(row, table.schema.key)) for row in rows],
        deletion=cascades.deletion_of(visit.db, table.name, keys),
        troubles=troubles,
    )


def panel_of(
    visit: Visit,
    table: ShownTable,
    text: str,
    controls: Iterable[Control] = (),
    troubles: Sequence[Trouble] = (),
    *,
    has_history: bool = True,
) -> dict[str, object]:
    """Return what the drawer of a row shows; a row that is gone has a history alone.

    Args:
        visit: the request.
        table: the row's.
        text: its key, as text.
        controls: what was typed, if it could not be saved.
        troubles: and why not.
        has_history: whether the history is shown at once, or fetched by the script: it may take a while.
    """
    key = table.parse_key(text)
    row = None if key is None else table.table.get(key)
    panel: dict[str, object] = {
        "table": table,
        "key": text,
        "row": row,
        "troubles": troubles,
        "label": text,
        "close": None,
        "has_history": has_history or row is None,
    }
    panel["commits"], panel["more"] = _history(visit, table, key) if panel["has_history"] else ([], False)
    if row is None:
        if not panel["commits"]:
            raise HTTPException(404, f"There is no row {text[:80]!r} in {table.name}.")
        return panel
    values = json_of(row)
    errors = {trouble.field: trouble for trouble in troubles if trouble.key in ("", text)}
    panel["fields"] = _fields_of(visit, table, row, {control.field.name: control for control in controls}, errors)
    panel["label"] = visit.site.labels.label(table.name, row, key)
    panel["referring"] = cascades.referring(visit.db, table.name, key, visit.site.shown)
    panel["line"] = json.dumps(masked(values, table.schema.secrets), ensure_ascii=False, separators=(",", ":"))
    with visit.timed("line"):
        panel["line_number"] = snapshot_lines.line_of(visit.db.directory, table.name, key)
    return panel


def _fields_of(
    visit: Visit, table: ShownTable, row: BaseModel, typed: Mapping[str, Control], errors: Mapping[str, Trouble]
) -> list[dict[str, object]]:
    """Return what the drawer shows of each field; `typed` and `errors` are of a form that could not be saved."""
    values = json_of(row)
    return [
        {
            "field": field,
            "cell": _cell(visit, table, field, row),
            "control": (typed.get(field.name) or control_of(field, values[field.name])) if field.editable else None,
            "trouble": errors.get(field.name),
        }
        for field in table.fields
    ]


def _cell(visit: Visit, table: ShownTable, field: FieldView, row: BaseModel) -> Markup:
    value = getattr(row, field.name)
    labels = {}
    if field.target in visit.site.tables and field.kind != "secret":
        labels = visit.site.labels.of_keys(visit.db.tables[field.target], [value])
    return Cells(table.fields, visit.row_url, visit.site.tables).show(field, value, labels)


def _history(visit: Visit, table: ShownTable, key: object) -> tuple[list[tuple[Commit, Change]], bool]:
    """Return the last commits of a row, each with what it did to that row, and whether there are more."""
    if key is None or table.schema.transient:
        return [], False
    with visit.timed("history"):
        try:
            commits = list(islice(visit.db.history.commits(table.name, key), COMMITS + 1))
        except SnaptableError:
            return [], False
    changes = []
    for commit in commits[:COMMITS]:
        changes += [(commit, change) for change in past.of_row(commit, table.name, key).changes]
    return changes, len(commits) > COMMITS


def shown_troubles(visit: Visit, troubles: Iterable[Trouble]) -> dict[str, object]:
    """Return troubles as a script takes them."""
    return {
        "troubles": [
            {
                "key": each.key,
                "field": each.field,
                "detail": each.detail,
                "conflict": each.is_conflict,
                "now": each.now,
                "other": visit.row_url(*each.other) if each.other and each.other[0] in visit.site.tables else None,
            }
            for each in troubles
        ]
    }
