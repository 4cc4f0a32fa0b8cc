"""Edits of rows as they are typed: controls for values, values for texts, and a save that overwrites no other change.

An edit says of each field what the editor saw and what it is to be. A field that is otherwise by then is a conflict,
which the editor decides; other fields of the row may have changed meanwhile.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from snaptable import ConstraintError, Database, ForeignKeyViolation, InvalidRow, SnaptableError, UniqueViolation
from snaptable.admin.rows import FieldView, ShownTable, json_of
from snaptable.history.fields import same_json
from snaptable.values.strict_json import FILE_DEPTH, check_depth
from snaptable.web.request_json import NotStrictJson, parse_json

Mode = Literal["line", "area", "json", "select"]
"""How a value is typed: as a text, as a text of several lines, as JSON, by choosing."""
LONG_TEXT = 60
"""Characters from which on a text has several lines to be typed in."""
_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", hide_input_in_errors=True)


@dataclass(frozen=True)
class Control:
    """What a value is edited with.

    Attributes:
        field: the field.
        mode: how it is typed.
        text: what is typed.
        is_null: whether it is null, whatever was typed.
        seen: the value as the editor saw it, as JSON; None for a new row.
        error: what is wrong with it; "" for nothing.
    """

    field: FieldView
    mode: Mode
    text: str
    is_null: bool = False
    seen: str | None = None
    error: str = ""

    @property
    def options(self) -> list[tuple[str, str]]:
        """What can be chosen: values as JSON, and what they are called."""
        if self.field.kind == "bool":
            return [("true", "true"), ("false", "false")]
        return [(json.dumps(each, ensure_ascii=False), str(each)) for each in self.field.choices]


def control_of(field: FieldView, value: object) -> Control:
    """Return what a stored value is edited with; `value` is its JSON."""
    mode = mode_of(field, value)
    return Control(field, mode, text_of(mode, value), value is None, json.dumps(value, ensure_ascii=False))


def mode_of(field: FieldView, value: object = "") -> Mode:
    """Return how a value of a field is typed."""
    if field.kind in ("bool", "choice"):
        return "select"
    if field.kind in ("list", "json"):
        return "json"
    if not isinstance(value, str):
        return "line"
    if any(ord(each) < 32 and each not in "\n\t" for each in value):
        return "json"  # a form would not bring it back as it is
    return "area" if len(value) > LONG_TEXT or "\n" in value else "line"


def text_of(mode: Mode, value: object) -> str:
    """Return a value, given as JSON, as the text that stands in its control."""
    if value is None:
        return ""
    if mode in ("line", "area") and isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, indent=2) if mode == "json" and len(text) > LONG_TEXT else text


def value_of(table: ShownTable, field: FieldView, mode: str, text: str) -> object:
    """Return the value that a text stands for.

    Raises:
        ValueError: it stands for none; in words.
    """
    adapter = _adapter(table.schema.model, field.name)
    if mode in ("json", "select"):
        try:
            parse_json(text)
        except NotStrictJson as error:
            raise ValueError(str(error)) from None
        return _parsed(adapter, text)
    if field.kind in ("int", "number"):
        try:
            return _parsed(adapter, text.strip())
        except ValueError:
            return _parsed(adapter, json.dumps(text.strip()))
    return _parsed(adapter, json.dumps(text))


def _parsed(adapter: TypeAdapter[object], text: str) -> object:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        messages = dict.fromkeys(each["msg"] for each in error.errors(include_input=False, include_url=False))
        raise ValueError("; ".join(list(messages)[:3])) from None


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[object]:
    """Return the parser of a field's values, its constraints included."""
    info = model.model_fields[name]
    kind: Any = info.annotation
    for mark in info.metadata:
        kind = Annotated[kind, mark]
    try:
        return TypeAdapter(kind, config=_CONFIG)
    except Exception:  # noqa: BLE001  # of a model or a dataclass, which has a configuration of its own
        return TypeAdapter(kind)


# ── what was sent ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class FieldEdit:
    """What a field is to be: a value of Python; `seen` is the JSON value that the editor saw."""

    seen: object
    value: object


@dataclass(frozen=True)
class RowEdit:
    """The changes to one row."""

    key: object
    fields: Mapping[str, FieldEdit]


@dataclass(frozen=True)
class Trouble:
    """Why something could not be saved.

    Attributes:
        key, field: where; "" for the whole row.
        detail: in words.
        is_conflict: whether the field was changed meanwhile.
        now: then the value that it has, as JSON.
        other: the row in the way, as (table, key); None for none.
    """

    key: str
    field: str
    detail: str
    is_conflict: bool = False
    now: str | None = None
    other: tuple[str, str] | None = None


class Refused(Exception):
    """Edits that can't be saved, as a whole; nothing was written.

    Attributes:
        troubles: all that is known to be in the way.
    """

    def __init__(self, troubles: Iterable[Trouble]) -> None:
        self.troubles = tuple(troubles)
        super().__init__("; ".join(each.detail for each in self.troubles))

    @property
    def status(self) -> int:
        """The status of HTTP."""
        clashes = any(each.is_conflict or each.other is not None for each in self.troubles)
        return 409 if clashes else 422


def typed_control(field: FieldView, sent: Mapping[str, str]) -> Control:
    """Return the control of a field as a form sent it."""
    name = field.name
    given = sent.get(f"mode:{name}", "")
    mode: Mode = "json" if given == "json" else mode_of(field)
    text = sent.get(f"field:{name}", "").replace("\r\n", "\n")
    return Control(field, mode, text, sent.get(f"null:{name}") == "on", sent.get(f"seen:{name}"))


def _seen(control: Control) -> object:
    """Return the value that a page says it showed.

    Raises:
        ValueError: it is none that a row could have.
    """
    text = control.seen or "null"
    check_depth(text, FILE_DEPTH)
    return json.loads(text)


def edited(table: ShownTable, key: object, controls: Iterable[Control]) -> RowEdit:
    """Return the edit of a row: the fields whose control no longer has what was seen.

    Raises:
        Refused: a text that stands for no value.
    """
    fields: dict[str, FieldEdit] = {}
    troubles = []
    for control in controls:
        field = control.field
        try:
            seen = _seen(control)
        except ValueError:
            troubles.append(Trouble(str(key), field.name, "This page is damaged: load it again."))
            continue
        if control.is_null and field.nullable:
            if seen is not None:
                fields[field.name] = FieldEdit(seen, None)
        elif seen is None or control.text != text_of(control.mode, seen).replace("\r\n", "\n"):
            try:
                fields[field.name] = FieldEdit(seen, value_of(table, field, control.mode, control.text))
            except ValueError as error:
                troubles.append(Trouble(str(key), field.name, str(error)))
    if troubles:
        raise Refused(troubles)
    return RowEdit(key, fields)


# ── saving ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def save(db: Database, table: ShownTable, edits: Sequence[RowEdit], note: str | None) -> int | None:
    """Make all edits in one commit, and return its number; None if nothing changed.

    Raises:
        Refused: a conflict, a constraint, a value that the model refuses; nothing was written.
        SnaptableError: the store takes no writes.
    """
    rows = table.table
    try:
        with db._opened().writing(note or None, ()) as number:
            if conflicts := [each for edit in edits for each in _conflicts(db, table, edit)]:
                raise Refused(conflicts)
            for edit in edits:
                if edit.fields:
                    rows.update(edit.key, **{name: each.value for name, each in edit.fields.items()})
    except (ConstraintError, InvalidRow) as error:
        raise Refused(troubles_of(db, table, error)) from None
    return number.sequence


def insert(
    db: Database, table: ShownTable, values: Mapping[str, object], note: str | None
) -> tuple[object, int | None]:
    """Add a row, and return it with the number of its commit.

    Raises:
        Refused, SnaptableError: as `save`.
    """
    try:
        with db._opened().writing(note or None, ()) as number:
            row = table.table.create(**values)
    except (ConstraintError, InvalidRow) as error:
        raise Refused(troubles_of(db, table, error)) from None
    return row, number.sequence


def delete(db: Database, table: ShownTable, keys: Iterable[object], note: str | None) -> int | None:
    """Delete rows, with what goes with them, in one commit, and return its number; rows that are gone are left out.

    Raises:
        Refused, SnaptableError: as `save`.
    """
    try:
        with db._opened().writing(note or None, ()) as number:
            for key in keys:
                if table.table.get(key) is not None:
                    table.table.delete(key)
    except ConstraintError as error:
        raise Refused(troubles_of(db, table, error)) from None
    return number.sequence


def _conflicts(db: Database, table: ShownTable, edit: RowEdit) -> Iterator[Trouble]:
    """Yield the fields that are not as the editor saw them."""
    row = table.table.get(edit.key)
    if row is None:
        detail = f"This row was deleted meanwhile{_by(db, table, edit.key)}."
        yield Trouble(str(edit.key), "", detail, is_conflict=True)
        return
    now = json_of(row)
    for name, each in edit.fields.items():
        if not same_json(now[name], each.seen):
            text = json.dumps(now[name], ensure_ascii=False)
            detail = f"Changed meanwhile{_by(db, table, edit.key)}: it is {text[:80]} now."
            yield Trouble(str(edit.key), name, detail, is_conflict=True, now=text)


def _by(db: Database, table: ShownTable, key: object) -> str:
    """Return who changed a row last, in words; "" where it isn't known."""
    try:
        commit = None if table.schema.transient else next(db.history.commits(table.name, key, limit=1), None)
    except SnaptableError:
        return ""
    return "" if commit is None else f" by {commit.actor or 'the application'} (#{commit.sequence})"


def troubles_of(db: Database, table: ShownTable, error: ConstraintError | InvalidRow) -> Iterator[Trouble]:
    """Yield what the store refused, field by field, in words."""
    key = "" if error.key is None else str(error.key)
    here = error.table in (None, table.name)
    fields = [name for name in error.fields if here and name in table.by_name] or [""]
    if isinstance(error, InvalidRow):
        by_field = _messages(error)
        yield from (Trouble(key, name, by_field.get(name, str(error))) for name in fields)
        return
    other = None
    if error.other is not None and error.other_table is not None:
        other = (error.other_table, str(getattr(error.other, db.tables[error.other_table].schema.key)))
    detail = str(error)
    if isinstance(error, UniqueViolation):
        detail = f"Another row has this {' and '.join(error.fields) or 'value'} already."
    elif isinstance(error, ForeignKeyViolation) and other is None:
        detail = "There is no such row to refer to."
    yield from (Trouble(key, name, detail, other=other) for name in fields)


def _messages(error: InvalidRow) -> dict[str, str]:
    """Return what Pydantic says of each field, without its input."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return {}
    messages: dict[str, str] = {}
    for each in cause.errors(include_input=False, include_url=False):
        if each["loc"]:
            messages.setdefault(str(each["loc"][0]), each["msg"])
    return messages
