"""Who may see and change which rows: the rules of each table, kept with its Database for all that shows rows of it.

A router states the rules of its own table. Whatever else shows rows of that table (an expanded reference, a count, a
history, a feed) asks here, and shows nothing of a table that no router has rules for.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Generic, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from snaptable import Database, DatabaseClosed, Query, Table, TableSchema, one_of
from snaptable.conditions.predicates import Condition, as_condition, terms_of
from snaptable.contract import M
from snaptable.database.lookup import database_of as owner_of
from snaptable.evaluation.filters import ResidualFilter, placed
from snaptable.web.problems import Problem

ReadRule = Callable[[Any], object]
"""Gives, for a caller, the condition of the rows that may be seen; True for all of them, False for none."""
Fields = Mapping[str, object]
"""A row as a JSON object."""
_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True)
class Rules:
    """Who may see and change rows of a table. The caller, `me`, is whatever the router's dependency gives.

    Attributes:
        read: gives the condition of the rows that a caller may see: it narrows every query, by an index if there is
            one. Other rows are to the caller as if they were not there: 404. True is all rows, False none.
        create: whether a caller may add a row; called with it, as it would be stored. Refused: 403.
        update: whether a caller may change a row; called with it as it is, and as it would be.
        delete: whether a caller may delete a row.

    What is left out is allowed, for rows that the caller may see: before the change, and after it.

    >>> from snaptable import Row
    >>> class Note(Row):
    ...     id: str
    ...     author: str
    >>> Rules(read=lambda me: Note.author == me.name, delete=lambda me, old: me.is_admin).create is None
    True
    """

    read: ReadRule | None = None
    create: Callable[[Any, Any], object] | None = None
    update: Callable[[Any, Any, Any], object] | None = None
    delete: Callable[[Any, Any], object] | None = None


class View(Generic[M]):
    """The rows of a table that a caller may see, and the fields that are shown of them.

    Attributes:
        table: the table.
        hidden: the fields that are never shown, secrets among them.
    """

    def __init__(self, table: Table[M], reads: Iterable[ReadRule] = (), hidden: Collection[str] = ()) -> None:
        """Take the rules that all must allow a row to be seen."""
        self.table = table
        self.reads = tuple(reads)
        self.hidden = frozenset(hidden) | table.schema.secrets

    def condition(self, me: object) -> Condition | bool:
        """Return what holds for the rows that a caller may see; True for all rows, False for none.

        Raises:
            TypeError: a rule gave something else.
        """
        if len(self.reads) == 1:
            allowed = self.reads[0](me)
            return allowed if isinstance(allowed, bool) else as_condition(allowed)
        conditions = []
        for read in self.reads:
            allowed = read(me)
            if allowed is False:
                return False
            if allowed is not True:
                conditions.append(as_condition(allowed))
        return reduce(and_, conditions) if conditions else True

    def query(self, me: object, table: Table[M] | None = None) -> Query[M]:
        """Return the query for the rows that a caller may see.

        Args:
            me: the caller.
            table: the table in a past of the database; None for the present one.
        """
        condition = self.condition(me)
        source = self.table if table is None else table
        if condition is True:
            return source.where()
        if condition is False:
            return source.where(one_of(source.schema.columns[source.schema.key], ()))
        return source.where(cast(bool, condition))

    def shown_to(self, me: object) -> Callable[[Fields | None], bool]:
        """Return the function that says of a row as a JSON object, as history has it, whether a caller may see it.

        Of None, for no row, it says no. A rule about a field that is secret, or that the row didn't have then, shows
        nothing: what isn't known is not allowed.
        """
        condition = self.condition(me)
        if not isinstance(condition, Condition):
            return lambda fields: condition and fields is not None
        holds = _evaluation(self.table.schema, condition)
        return lambda fields: fields is not None and holds(fields)

    def shown(self, fields: Fields) -> dict[str, object]:
        """Return a row as a JSON object without the fields that are never shown."""
        return {name: value for name, value in fields.items() if name not in self.hidden}


def _evaluation(schema: TableSchema, condition: Condition) -> Callable[[Fields], bool]:
    """Return the function that says of a row as a JSON object whether a condition holds for it."""
    names = {term.column.root for term in terms_of(condition.template)}
    adapters = {name: TypeAdapter[object](schema.columns[name].annotation, config=_BYTES) for name in names}
    keep = ResidualFilter(placed([condition.template])).over_rows(condition.values)
    is_secret = bool(names & schema.secrets)

    def holds(fields: Fields) -> bool:
        """Return whether the condition holds; False if the row lacks what it is about."""
        if is_secret or not names <= fields.keys():
            return False
        try:
            values = {name: adapter.validate_json(to_json(fields[name])) for name, adapter in adapters.items()}
        except ValidationError:
            return False  # as it was before a migration
        return bool(keep([_row_of(schema.model, values)]))

    return holds


def _row_of(model: type[BaseModel], values: dict[str, object]) -> BaseModel:
    """Return a row of these values alone."""
    row = model.__new__(model)
    object.__setattr__(row, "__dict__", values)
    return row


# ── callers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def identity_of(me: object) -> object:
    """Return what rows hold of their owner: the caller's `id`, or the caller itself, if that has none.

    Raises:
        Problem: 401, nothing says who calls.
    """
    identity = getattr(me, "id", me)
    if identity is None:
        raise Problem(401, "Say who you are: these rows belong to somebody.")
    return identity


def owned(table: Table[M], owner: str) -> ReadRule:
    """Return the rule that a caller sees the rows whose field `owner` holds the caller's `id`."""
    column = table.schema.columns[owner]
    return lambda me: column == identity_of(me)


# ── the rules of other tables ───────────────────────────────────────────────────────────────────────────────────────


class RuleBook:
    """What may be seen of the tables of a database, by the dependency that gives the caller of their routers."""

    def __init__(self) -> None:
        """Begin without any: nothing may be seen."""
        self._views: dict[tuple[str, object], list[View[Any]]] = {}

    def add(self, view: View[M], caller: object) -> None:
        """Add what callers may see of a table.

        Args:
            view: of the table; if there is one already for such callers, both must allow a row.
            caller: the dependency that gives the caller; None for anyone, whom rules are handed as None.
        """
        self._views.setdefault((view.table.name, caller), []).append(view)

    def of(self, name: str, caller: object) -> View[Any] | None:
        """Return what a caller may see of a table; None if no router says.

        Args:
            name: the table's.
            caller: the dependency that gives the caller. What only anyone may see is found too.
        """
        views = self._views.get((name, caller))
        if views is None and caller is not None:
            views = [_for_anyone(view) for view in self._views.get((name, None), ())]
        if not views:
            return None
        if len(views) == 1:
            return views[0]
        reads = dict.fromkeys(read for view in views for read in view.reads)
        return View(views[0].table, reads, frozenset().union(*(view.hidden for view in views)))


def _for_anyone(view: View[M]) -> View[M]:
    """Return the view whose rules are handed None, whoever the caller is: they are written for no caller."""

    def without_caller(read: ReadRule) -> ReadRule:
        """Return a rule that is handed None."""
        return lambda _me: read(None)

    return View(view.table, map(without_caller, view.reads), view.hidden)


def rule_book(database: Database) -> RuleBook:
    """Return the rules that routers gave to the tables of a database."""
    book: RuleBook | None = vars(database).get("_rule_book")
    return vars(database).setdefault("_rule_book", RuleBook()) if book is None else book


def database_of(table: Table[M]) -> Database:
    """Return the database of a table.

    Raises:
        TypeError: nothing refers to it any more.
    """
    try:
        return owner_of(table)
    except DatabaseClosed as error:  # a mistake of the code that makes a router
        raise TypeError(error.args[0]) from None
