"""Rows as they are shown: without hidden fields and secrets, with the fields and related rows that were asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import Request
from pydantic import JsonValue

from snaptable import ReferenceSchema, Row, Table, asc, one_of
from snaptable.codec.set_order import serializer_of
from snaptable.web.etags import IfMatch, etag_of
from snaptable.web.listing import RowT
from snaptable.web.problems import FieldError, Problem
from snaptable.web.rules import RuleBook, View

EXPANDED_ROWS = 50
"""Rows of a list that is shown inside of another table's row."""
MAX_NAMES = 100
"""Names in `fields` or `expand`."""
MAX_PARTS = 3
"""Parts of a name: two relations, and a field of the rows behind them."""
Shown = dict[str, JsonValue]
Tables = Mapping[str, Table[Any]]
"""The tables of the present, or of a past, by name."""


class RowJson(Generic[RowT]):
    """The JSON of rows of one table, without the fields that are never shown."""

    def __init__(self, view: View[RowT]) -> None:
        """Take what may be seen."""
        model = view.table.model
        self._serializer = serializer_of(model)
        self._hidden = set(view.hidden) or None
        self.names = frozenset((*model.model_fields, *model.model_computed_fields)) - view.hidden
        """The members that rows are shown with."""

    def text(self, row: RowT) -> bytes:
        """Return a row's JSON; O(its size)."""
        return self._serializer.to_json(row, exclude=self._hidden)

    def fields(self, row: RowT) -> Shown:
        """Return a row as a JSON object."""
        shown: Shown = self._serializer.to_python(row, mode="json", exclude=self._hidden)
        return shown


class Preconditions(Generic[RowT]):
    """The conditions of a request that changes a row: If-Match, If-None-Match."""

    def __init__(self, request: Request, rows: RowJson[RowT], *, required: bool) -> None:
        """Read the headers.

        Args:
            request: the request.
            rows: gives the JSON whose tags they are.
            required: whether a change without If-Match is refused.
        """
        self._rows = rows
        self._if_match = IfMatch(request.scope)
        self._is_given = self._if_match.is_given
        self._is_missing = required and not self._is_given
        self._only_new = b"*" in [value.strip() for name, value in request.scope["headers"] if name == b"if-none-match"]

    def check(self, row: RowT) -> None:
        """Refuse a change of a row that is another than was read; called in the transaction that changes it.

        Raises:
            Problem: 412, with the present row as `current`, and its tag; 428, without If-Match.
        """
        if self._is_missing:
            raise Problem(428, "Send If-Match with the `ETag` of the row as you read it.")
        if self._only_new:
            raise Problem(412, "There is such a row already.")
        if self._if_match.any:
            return
        text = self._rows.text(row)
        try:
            self._if_match.check(etag_of(text))
        except Problem as problem:
            members = {**problem.members, "current": self._rows.fields(row)}
            raise Problem(412, problem.detail, headers=problem.headers, members=members) from None

    def check_missing(self) -> None:
        """Refuse to add a row where one is expected.

        Raises:
            Problem: 412, there is an If-Match, which nothing matches.
        """
        if self._is_given:
            raise Problem(412, "There is no such row any more.")


# ── related rows ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Relation:
    """A way from the rows of a table to those of another.

    Attributes:
        table: the name of the other table.
        field: the field that holds keys: of this table's rows, or of the other's if they are many.
        is_list: whether several rows of the other may belong to one of this table.
    """

    table: str
    field: str
    is_list: bool


def relations_of(table: Table[RowT]) -> dict[str, Relation]:
    """Return the ways to other tables, by the name under which the rows are shown.

    A reference has its field's name without `_id`; a table that refers here its own name, or `table_by_field` if
    several of its fields do.
    """
    relations: dict[str, Relation] = {}
    for reference in table.schema.references:
        relations[reference.field.removesuffix("_id")] = Relation(reference.target, reference.field, is_list=False)
    for reference in table.schema.referenced_by:
        relations[_reverse_name(reference, table.schema.referenced_by)] = Relation(
            reference.table, reference.field, is_list=True
        )
    return relations


def _reverse_name(reference: ReferenceSchema, others: Sequence[ReferenceSchema]) -> str:
    is_only = sum(other.table == reference.table for other in others) == 1
    return reference.table if is_only else f"{reference.table}_by_{reference.field}"


class Selection:
    """Which fields and related rows of a table's rows a request asks for."""

    def __init__(self, fields: Iterable[str], expand: Iterable[str]) -> None:
        """Take names; a dotted one is about what is behind its first part."""
        self.fields: set[str] = set()
        """The fields that are shown, if it narrows."""
        self.narrows = False
        """Whether fields are chosen at all."""
        behind: dict[str, tuple[list[str], list[str]]] = {}
        for name in expand:
            head, _, rest = name.partition(".")
            behind.setdefault(head, ([], []))[1].extend([rest] if rest else [])
        for name in fields:
            head, _, rest = name.partition(".")
            if rest:
                behind.setdefault(head, ([], []))[0].append(rest)
                continue
            self.narrows = True
            if head not in behind:
                self.fields.add(head)
        self.inner = {head: Selection(*names) for head, names in behind.items()}
        """What is asked for of related rows, by their name."""

    @property
    def is_plain(self) -> bool:
        """Whether whole rows are asked for, and nothing else."""
        return not self.narrows and not self.inner


class Expander:
    """What shows rows with their fields and related rows chosen; one look-up by index a level for each relation."""

    def __init__(self, tables: Tables, book: RuleBook, caller: object, me: object) -> None:
        """Take the tables and what the caller may see of them.

        Args:
            tables: the present ones, or those of a past.
            book: the rules of all tables.
            caller: the dependency that gives callers.
            me: the caller.
        """
        self._tables, self._book, self._caller, self._me = tables, book, caller, me

    def shown(self, view: View[RowT], rows: Sequence[RowT], selection: Selection) -> list[Shown]:
        """Return rows as JSON objects, in their order.

        Raises:
            Problem: 422, a name that is not that of a field, or of rows that may be shown here.
        """
        json = RowJson(view)
        unknown = selection.fields - json.names
        if unknown:
            raise _no_such("fields", f"There is no field {min(unknown)[:50]!r} here.")
        shown = [json.fields(row) for row in rows]
        if selection.narrows:
            shown = [{name: fields[name] for name in fields if name in selection.fields} for fields in shown]
        for name, inner in selection.inner.items():
            relation = relations_of(view.table).get(name)
            other = None if relation is None else self._book.of(relation.table, self._caller)
            if relation is None or other is None:
                raise _no_such("expand", f"There is nothing to show as {name[:50]!r} here.")
            related = self._lists if relation.is_list else self._ones
            for fields, value in zip(shown, related(view, rows, relation, other, inner), strict=True):
                fields[name] = value
        return shown

    def _ones(
        self, _view: View[RowT], rows: Sequence[RowT], relation: Relation, other: View[Row], inner: Selection
    ) -> list[JsonValue]:
        """Return for each row the one that it refers to, None if there is none that may be seen."""
        key = other.table.schema.key
        wanted = {value for row in rows if (value := getattr(row, relation.field)) is not None}
        query = other.query(self._me, self._tables[relation.table])
        ones = query.where(one_of(other.table.schema.columns[key], wanted)).all()
        shown = dict(zip([getattr(row, key) for row in ones], self.shown(other, ones, inner), strict=True))
        return [shown.get(getattr(row, relation.field)) for row in rows]

    def _lists(
        self, view: View[RowT], rows: Sequence[RowT], relation: Relation, other: View[Row], inner: Selection
    ) -> list[JsonValue]:
        """Return for each row the first of those that refer to it, by their key, and the cursor of the next ones."""
        key, schema = view.table.schema.key, other.table.schema
        column: Any = schema.columns[relation.field]
        query = other.query(self._me, self._tables[relation.table]).order_by(asc(schema.columns[schema.key]))
        mine = view.table.schema.columns[key]
        keys = [getattr(row, key) for row in rows]
        own = self._tables[view.table.name].where(one_of(mine, keys))
        pairs = own.with_many(query, on=column, limit=EXPANDED_ROWS + 1)
        lists = {getattr(row, key): others for row, others in pairs}
        first = [row for each in lists.values() for row in each[:EXPANDED_ROWS]]
        shown = iter(self.shown(other, first, inner))
        pages: dict[object, JsonValue] = {}
        for each, others in lists.items():
            inside, is_cut = others[:EXPANDED_ROWS], len(others) > EXPANDED_ROWS
            cursor = query.where(column == each)._cursor_after(inside[-1]) if is_cut else None
            pages[each] = {"items": [next(shown) for _ in inside], "next_cursor": cursor}
        return [pages.get(each, {"items": [], "next_cursor": None}) for each in keys]


def _no_such(parameter: str, detail: str) -> Problem:
    return Problem.invalid(FieldError(f"/{parameter}", detail, "query"))


def names_in(parameter: str, text: str) -> list[str]:
    """Return the names that a parameter lists, separated by commas.

    Raises:
        Problem: 422, there are too many, or one is empty or leads too far.
    """
    names = text.split(",") if text else []
    if len(names) > MAX_NAMES or not all(names):
        raise _no_such(parameter, f"This takes at most {MAX_NAMES} names, separated by commas.")
    if any(name.count(".") >= MAX_PARTS for name in names):
        raise _no_such(parameter, f"A name has at most {MAX_PARTS} parts, with a dot between them.")
    return names
