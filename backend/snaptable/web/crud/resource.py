"""A table as its router serves it: whose rows, which fields, and what may be done to them."""

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from typing import Any, Generic, cast

from pydantic import JsonValue

from snaptable import ConstraintError, Database, ForeignKeyViolation, Row, Table
from snaptable.web.crud.bodies import Body, body_of, given_body
from snaptable.web.crud.hooks import Hooks
from snaptable.web.crud.shown_rows import Relation, RowJson, relations_of
from snaptable.web.listing import RowT
from snaptable.web.problems import FieldError, Problem, problem_of
from snaptable.web.rules import Rules, View, database_of, identity_of, owned, rule_book

Caller = Callable[..., object]
"""A dependency of FastAPI that gives the caller."""
ALL = frozenset({"list", "get", "create", "update", "replace", "delete", "bulk"})
"""What a router allows unless it is told otherwise."""
OFFERS = frozenset({"fields", "count", "at", "q", "dry_run", "tag"})
"""What a router's requests may ask for, unless it is told otherwise."""
MISSING = "There is no such row."
_NO_ADDRESS = ("", ".", "..")
"""Texts that can't be a part of an address."""


@dataclass(frozen=True)
class Options(Generic[RowT]):
    """What an application says of a router beside its table; see `crud_router`."""

    caller: Caller | None
    owner: str | None
    rules: Rules
    filters: tuple[str, ...] | None
    sorts: tuple[str, ...] | None
    sort: str | None
    ignore_case: bool
    offers: frozenset[str]
    expand: tuple[str, ...]
    hidden: frozenset[str]
    fixed: frozenset[str]
    create: type | None
    update: type | None
    merge: bool
    max_limit: int
    page_bytes: int
    require_if_match: bool
    hooks: Hooks[RowT]
    missing: str
    actor: Callable[[Any], str | None] | None


class Resource(Generic[RowT]):
    """A table as its router serves it."""

    def __init__(self, table: Table[RowT], options: Options[RowT]) -> None:
        """Check what was said of the router, and add the table's rules to those of its database.

        Raises:
            TypeError: a field or a relation that isn't there, an owner without a caller, or a body without a field
                that every row needs.
        """
        self.table, self.options, self.schema = table, options, table.schema
        self.database: Database = database_of(table)
        self._check_names()
        # 1. Who may see which rows.
        rules, owner = options.rules, options.owner
        reads = [read for read in (rules.read, owner and owned(table, owner)) if read]
        self.view: View[RowT] = View(table, reads, options.hidden)
        rule_book(self.database).add(self.view, options.caller)
        self.json = RowJson(self.view)
        # 2. What may be written.
        key, numbered = self.schema.key, self.schema.numbered
        self.never = {
            *options.hidden,
            *self.schema.on_update,
            *([owner] if owner else []),
            *([key] if numbered else []),
        }
        """The fields that no body has."""
        self.fixed = options.fixed | {key}
        self.create = given_body(options.create) if options.create else self._derived_create()
        left_out = self.never | self.fixed
        self.update = (
            given_body(options.update) if options.update else body_of(self.schema, "Update", left_out, partly=True)
        )

    def _derived_create(self) -> Body:
        fields, key, owner = self.schema.model.model_fields, self.schema.key, self.options.owner
        needed = {name for name in self.never if fields[name].is_required()} - {owner, key}
        if needed:
            raise TypeError(
                f"{self.table.name}: rows need {min(needed)}, which no body has; pass create=, or a default"
            )
        return body_of(self.schema, "Create", self.never, partly=False)

    def _check_names(self) -> None:
        options, fields = self.options, self.schema.model.model_fields
        if options.owner is not None and options.caller is None:
            raise TypeError(f"{self.table.name}: rows have an owner, so pass caller=, which says who asks")
        named = {*options.hidden, *(options.fixed - {"id"}), *([options.owner] if options.owner else [])}
        if unknown := named - fields.keys():
            raise TypeError(f"{self.table.name} has no field {min(unknown)!r}")
        if self.schema.key in options.hidden:
            raise TypeError(f"{self.table.name}: the key can't be hidden, it is in every address")
        for name in options.expand:
            self._check_relation(name)

    def _check_relation(self, name: str) -> None:
        """Refuse a name in `expand` that leads nowhere, further than two levels, or that a field has."""
        tables, table = self.database.tables, self.table
        parts = name.split(".")
        if len(parts) > 2:
            raise TypeError(f"{self.table.name}: expand leads at most two levels far; {name!r} leads further")
        for part in parts:
            relation: Relation | None = relations_of(table).get(part)
            if relation is None or part in table.model.model_fields:
                raise TypeError(f"{table.name}: {part!r} leads to no other table, or is a field's name")
            table = tables[relation.table]

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def key_of(self, text: str) -> object:
        """Return the key that an address names.

        Raises:
            Problem: 404, it is not a key of this table.
        """
        try:
            return self.schema.parse_key(text)
        except ValueError:
            raise self.not_there() from None

    def check_key(self, key: object) -> None:
        """Refuse a key that could not stand in an address.

        Raises:
            Problem: 422.
        """
        if isinstance(key, str) and (key in _NO_ADDRESS or "/" in key):
            detail = "A key is part of an address: it is not empty, and has no slash."
            raise Problem.invalid(FieldError(f"/{self.schema.key}", detail))

    def find(self, me: object, key: object, table: Table[RowT] | None = None) -> RowT | None:
        """Return the row of a key, None if there is none that the caller may see; O(1).

        Args:
            me: the caller.
            key: of the table's type.
            table: the table in a past; None for the present one.
        """
        source = self.table if table is None else table
        options = self.options
        if options.rules.read is None:
            row, owner = source.get(key), options.owner
            if row is None or (owner is not None and getattr(row, owner) != identity_of(me)):
                return None
        else:
            row = self.view.query(me, source).where(**{self.schema.key: key}).first()
        hook = options.hooks.find
        return row if hook is None or row is None or hook(me, row) else None

    def get(self, me: object, key: object, table: Table[RowT] | None = None) -> RowT:
        """Return the row of a key.

        Raises:
            Problem: 404, there is none that the caller may see.
        """
        row = self.find(me, key, table)
        if row is None:
            raise self.not_there()
        return row

    def not_there(self) -> Problem:
        """Return the 404 of a row that is not there, or that the caller may not see."""
        return Problem(404, self.options.missing)

    def owner_fields(self, me: object) -> dict[str, object]:
        """Return the field that says whose a new row is."""
        return {self.options.owner: identity_of(me)} if self.options.owner else {}

    # ── writes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, me: object, values: dict[str, object]) -> RowT:
        """Add a row, as the application does."""
        hook = self.options.hooks.create
        return self.table.create(**values) if hook is None else hook(me, values)

    def change(self, me: object, old: RowT, key: object, values: dict[str, object]) -> RowT:
        """Change a row, as the application does."""
        hook = self.options.hooks.update
        return self.table.update(key, **values) if hook is None else hook(me, old, values)

    def remove(self, me: object, old: RowT, key: object) -> RowT:
        """Delete a row, as the application does."""
        hook = self.options.hooks.delete
        return self.table.delete(key) if hook is None else hook(me, old)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def allow_create(self, me: object, new: RowT) -> None:
        """Refuse a new row that the caller may not add; called in the transaction, after it was added.

        Raises:
            Problem: 403.
        """
        rule = self.options.rules.create
        self._allow(self._is_seen(me, new) if rule is None else rule(me, new))

    def allow_update(self, me: object, old: RowT, new: RowT) -> None:
        """Refuse a change that the caller may not make; called in the transaction, after it was made.

        Raises:
            Problem: 403.
        """
        rule = self.options.rules.update
        self._allow(self._is_seen(me, new) if rule is None else rule(me, old, new))

    def allow_delete(self, me: object, old: RowT) -> None:
        """Refuse a deletion that the caller may not make.

        Raises:
            Problem: 403.
        """
        rule = self.options.rules.delete
        self._allow(rule is None or rule(me, old))

    def _is_seen(self, me: object, row: RowT) -> bool:
        # A row's owner was set here, and never changes: only a rule of the application's can say no.
        return self.options.rules.read is None or self.find(me, getattr(row, self.schema.key)) is not None

    def _allow(self, allowed: object) -> None:
        if not allowed:
            raise Problem(403, "You may not do this.")

    def check_references(self, me: object, row: RowT, changed: Container[str]) -> None:
        """Refuse a reference to a row that the caller may not see, as one to a row that isn't there.

        Raises:
            Problem: 409.
        """
        if not self.schema.references:
            return
        book = rule_book(self.database)
        for reference in self.schema.references:
            if reference.field not in changed:
                continue
            value = getattr(row, reference.field)
            view = None if value is None else book.of(reference.target, self.options.caller)
            if view is None:
                continue
            if not view.query(me).where(**{view.table.schema.key: value}).exists():
                raise problem_of(ForeignKeyViolation(table=self.table.name, fields=(reference.field,)))

    def conflict(self, me: object, error: ConstraintError) -> Problem:
        """Return the 409 of a constraint, with the row in the way as `other`, if the caller may see that.

        If rows refer to one that was to go, also how many, of those that the caller may see.
        """
        problem = problem_of(error)
        view = (
            None if error.other_table is None else rule_book(self.database).of(error.other_table, self.options.caller)
        )
        if error.other is None or view is None:
            return problem
        key = getattr(error.other, view.table.schema.key)
        row = view.query(me).where(**{view.table.schema.key: key}).first()
        if row is None:
            return problem
        members: dict[str, JsonValue] = {"table": view.table.name, "row": cast(JsonValue, RowJson(view).fields(row))}
        if isinstance(error, ForeignKeyViolation):
            members["count"] = self._referring(me, error, view, row)
        return Problem(409, problem.detail, errors=problem.errors, members={**problem.members, "other": members})

    def _referring(self, me: object, error: ForeignKeyViolation, view: View[Row], row: Row) -> int:
        """Return how many rows of another table refer to the one that was to go, of those that the caller may see."""
        columns = [ref.field for ref in view.table.schema.references if ref.target == error.table]
        named = {column: getattr(row, column) for column in columns if getattr(row, column) == error.value}
        return view.query(me).where(**named).count() if named else 1

    def actor_of(self, me: object) -> str | None:
        """Return who makes a commit, as its history has it."""
        if self.options.actor is not None:
            return self.options.actor(me)
        if self.options.caller is None or me is None:
            return None
        return str(getattr(me, "id", me))

    def sender_of(self, me: object) -> str | None:
        """Return what tells a caller from all others; None for anyone. In the history several may have one name.

        Raises:
            Problem: 400, nothing does.
        """
        if self.options.caller is None or me is None:
            return None
        identity = getattr(me, "id", me)
        if type(identity).__repr__ is object.__repr__:  # the next request's object may have the same address
            raise Problem(400, "This server can't tell callers apart, so it keeps no answers: leave the header out.")
        return str(identity)


def object_of(body: JsonValue) -> dict[str, JsonValue]:
    """Return a body that is a JSON object.

    Raises:
        Problem: 422, it is something else.
    """
    if not isinstance(body, dict):
        raise Problem.invalid(FieldError("", "This must be a JSON object."))
    return body


def readable_fields(table: Table[RowT], hidden: Collection[str]) -> list[str]:
    """Return the fields that a list is filtered by unless said otherwise: the key, references, what has an index."""
    schema = table.schema
    indexed = {name for index in schema.indexes for name in index.names}
    named = {schema.key, *indexed, *(reference.field for reference in schema.references)}
    return [name for name in schema.columns if name in named and name not in hidden]
