"""Edits of many rows in one commit, new rows, and taking commits back."""

import json

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from typing_extensions import TypedDict

from snaptable import HistoryError, SnaptableError, UndoConflict
from snaptable.admin import past
from snaptable.admin.edits import (
    Control,
    Refused,
    RowEdit,
    Trouble,
    edited,
    insert,
    mode_of,
    save,
    typed_control,
    value_of,
)
from snaptable.admin.numbers import number_in
from snaptable.admin.pages.row import shown_troubles
from snaptable.admin.past_shown import visible_conflicts
from snaptable.admin.rows import FieldView, ShownTable
from snaptable.admin.site import Site, Visit
from snaptable.errors import Conflict
from snaptable.values.strict_json import FILE_DEPTH, check_depth
from snaptable.web.problems import Problem

MOST_ROWS = 500
"""Rows of one save."""
BEYOND = "This commit changed tables that are not shown here, so that it can't be taken back here."


class SentField(TypedDict):
    """An edit of a field, as a script sends it: texts, the first of them JSON."""

    seen: str
    text: str
    null: bool


class SentRow(TypedDict):
    """The edits of a row."""

    key: str
    fields: dict[str, SentField]


class Sent(TypedDict):
    """What a script sends to be saved."""

    rows: list[SentRow]
    note: str


_SENT = TypeAdapter(Sent)


def add_to(site: Site) -> None:
    """Add the pages."""
    site.post("/tables/{table}/save", save_rows)
    site.get("/tables/{table}/new", show_new)
    site.post("/tables/{table}/new", add)
    site.get("/commits/{sequence}", show_commit)
    site.post("/undo", undo)


# ── staged edits ────────────────────────────────────────────────────────────────────────────────────────────────────


def save_rows(visit: Visit) -> Response:
    """Save edits of several rows, all or none."""
    table = visit.site.table(visit.request.path_params["table"])
    try:
        edits, note = sent_edits(table, visit.sent_json)
        return visit.json({"sequence": save(visit.db, table, edits, note)})
    except Refused as refused:
        return visit.json(shown_troubles(visit, refused.troubles), refused.status)


def sent_edits(table: ShownTable, value: object) -> tuple[list[RowEdit], str]:
    """Return the edits, and the note, that a script sent.

    Raises:
        Refused: fields that can't be edited, or texts that stand for no value.
        Problem: 422, these are no edits, or too many.
    """
    try:
        sent = _SENT.validate_python(value)
    except ValidationError:
        raise Problem(422, "These are no edits: nothing was done.") from None
    if len(sent["rows"]) > MOST_ROWS:
        raise Problem(422, f"A save takes {MOST_ROWS} rows at most: nothing was done.")
    edits: list[RowEdit] = []
    troubles: list[Trouble] = []
    for row in sent["rows"]:
        try:
            edits.append(_sent_edit(table, row))
        except Refused as refused:
            troubles += refused.troubles
    if troubles:
        raise Refused(troubles)
    return edits, sent["note"]


def _sent_edit(table: ShownTable, row: SentRow) -> RowEdit:
    """Return the edit of a row; its key may spell none, and is then a row that is gone.

    Raises:
        Refused: a field that can't be edited, or a text that stands for no value.
    """
    controls = []
    for name, each in row["fields"].items():
        field = table.by_name.get(name)
        if field is None or not field.editable:
            raise Refused([Trouble(row["key"], name, "This field can't be edited.")])
        controls.append(_sent_control(field, each))
    return edited(table, table.parse_key(row["key"]), controls)


def _sent_control(field: FieldView, sent: SentField) -> Control:
    try:
        check_depth(sent["seen"], FILE_DEPTH)
        seen = json.loads(sent["seen"])
    except ValueError:
        raise Problem(422, "These are no edits: nothing was done.") from None
    return Control(field, mode_of(field, seen), sent["text"], sent["null"], sent["seen"])


# ── new rows ────────────────────────────────────────────────────────────────────────────────────────────────────────


def show_new(visit: Visit) -> Response:
    """Show the form of a new row."""
    table = visit.site.table(visit.request.path_params["table"])
    return _new_page(visit, table, [_blank(table, field, visit.query.get(field.name)) for field in _settable(table)])


def add(visit: Visit) -> Response:
    """Add a row; what is left blank, and need not be given, is what the model makes of it."""
    table = visit.site.table(visit.request.path_params["table"])
    controls = [typed_control(field, visit.form) for field in _settable(table)]
    try:
        row, sequence = insert(visit.db, table, _values(table, controls), visit.form.get("note"))
    except Refused as refused:
        if visit.wants_json:
            return visit.json(shown_troubles(visit, refused.troubles), refused.status)
        return _new_page(visit, table, controls, refused.troubles, refused.status)
    key = str(getattr(row, table.schema.key))
    if visit.wants_json:
        return visit.json({"sequence": sequence, "key": key})
    return visit.redirect(f"/tables/{table.name}/row", key=key, done=sequence)


def _settable(table: ShownTable) -> list[FieldView]:
    """Return the fields that a new row may be given: secrets too, which are typed and never shown again."""
    numbered = table.schema.key if table.schema.numbered else None
    return [field for field in table.fields if not field.is_set and field.name != numbered]


def _blank(table: ShownTable, field: FieldView, given: str | None) -> Control:
    """Return the control of a field of a new row: with its default where that is always the same."""
    default = table.schema.model.model_fields[field.name].get_default()
    mode = mode_of(field)
    if given is not None:
        return Control(field, mode, given)
    if field.kind in ("bool", "choice") and default is not None and not field.required:
        value = TypeAdapter(object).dump_python(default, mode="json")
        return Control(field, mode, json.dumps(value, ensure_ascii=False))
    return Control(field, mode, "")


def _values(table: ShownTable, controls: list[Control]) -> dict[str, object]:
    values: dict[str, object] = {}
    troubles = []
    for control in controls:
        field = control.field
        if control.is_null and field.nullable:
            values[field.name] = None
        elif control.text or (field.required and field.kind == "text"):
            try:
                values[field.name] = value_of(table, field, control.mode, control.text)
            except ValueError as error:
                troubles.append(Trouble("", field.name, str(error)))
        elif field.required:
            troubles.append(Trouble("", field.name, "This must be given."))
    if troubles:
        raise Refused(troubles)
    return values


def _new_page(
    visit: Visit, table: ShownTable, controls: list[Control], troubles: tuple[Trouble, ...] = (), status: int = 200
) -> Response:
    errors = {trouble.field: trouble for trouble in troubles}
    fields = [{"field": each.field, "control": each, "trouble": errors.get(each.field.name)} for each in controls]
    panel = {"table": table, "key": "", "fields": fields, "troubles": troubles}
    template = "new_panel.html" if visit.query.get("part") == "drawer" else "new.html"
    return visit.render(template, status, active=f"table:{table.name}", panel=panel)


# ── taking back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def show_commit(visit: Visit) -> Response:
    """Show a commit, and what taking it back would do."""
    sequence = number_in(visit.request.path_params["sequence"])
    if sequence is None:
        raise HTTPException(404, "There is no such commit.")
    return _commit_page(visit, sequence)


def undo(visit: Visit) -> Response:
    """Take a commit back, as a commit; later changes are overridden only by `force`."""
    sequence = number_in(visit.form.get("sequence", ""))
    if sequence is None:
        raise HTTPException(422, "Name the commit to take back.")
    force = visit.form.get("force") == "on"
    if _is_beyond(visit, sequence):
        raise HTTPException(403, BEYOND)
    try:
        revert = visit.db.history.undo(sequence, note=visit.form.get("note") or None, force=force)
    except UndoConflict as error:
        if visit.wants_json:
            return visit.json(
                {"detail": "Later changes are in the way.", "commit": visit.url(f"/commits/{sequence}")}, 409
            )
        return _commit_page(visit, sequence, error.conflicts, 409)
    except ValueError as error:
        raise HTTPException(404, str(error)) from None
    if visit.wants_json:
        return visit.json({"sequence": revert.commit})
    return visit.back("/", done=revert.commit)


def _is_beyond(visit: Visit, sequence: int) -> bool:
    """Return whether a commit changed tables that are not shown here."""
    if visit.site.shows_all:
        return False
    try:
        commit = next(visit.db.history.commits(since=sequence - 1, until=sequence), None) if sequence > 0 else None
    except (ValueError, HistoryError):
        return False  # there is none, which is told in other words
    return commit is not None and any(place.table not in visit.site.shown for place in commit.places)


def _commit_page(visit: Visit, sequence: int, conflicts: tuple[Conflict, ...] = (), status: int = 200) -> Response:
    try:
        commit = next(visit.db.history.commits(since=sequence - 1, until=sequence), None) if sequence > 0 else None
    except (ValueError, HistoryError):
        commit = None
    if commit is None:
        raise HTTPException(404, f"There is no commit {sequence} that can be shown.")
    commit, count = past.shown(commit, visit.site.shown)
    reason, would = BEYOND if _is_beyond(visit, sequence) else "", None
    try:
        would = None if reason else visit.db.history.undo(sequence, dry_run=True)
        conflicts = would.conflicts if would else ()
    except SnaptableError as error:
        reason = str(error)
    return visit.render(
        "commit.html",
        status,
        active="history",
        commit=commit,
        would=would,
        conflicts=visible_conflicts(visit.site, conflicts),
        reason=reason,
        count=count,
    )
