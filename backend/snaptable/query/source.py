"""A table as its queries see it: the columns they may name, and the engine that answers."""

from collections.abc import Mapping
from typing import Generic, NoReturn, cast

from snaptable.conditions.columns import INSERTED, Column, column_of
from snaptable.conditions.constructors import as_order
from snaptable.conditions.expressions import Expression
from snaptable.conditions.predicates import (
    AllOf,
    Condition,
    Order,
    PredicateTemplate,
    PredicateTemplates,
    Term,
    as_condition,
    terms_of,
)
from snaptable.contract import M, TableEngine
from snaptable.errors import DatabaseClosed, InvalidQuery
from snaptable.schema.tables import TableSchema, defined_again


class _Closed:
    """What a table has in the place of an engine while its database is closed."""

    def __init__(self, table: str, database: str) -> None:
        self._table, self._database = table, database

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse every operation."""
        raise DatabaseClosed(
            f"the database of {self._table} is not open: use `with {self._database}(…) as db`, or db.open()"
        )


class QuerySource(Generic[M]):
    """The columns of one table, and the operations of the open engine on it.

    Attributes:
        schema: the table's schema.
        engine: the open engine's operations; each raises DatabaseClosed while the database is closed.
    """

    __slots__ = ("_checked", "_closed", "_opening", "engine", "schema")

    def __init__(self, schema: TableSchema, database: str) -> None:
        """Begin closed; `database` is the class's name, for messages."""
        self.schema = schema
        # An object that refuses everything, rather than None: no operation has to look first.
        self._closed = cast("TableEngine[M]", _Closed(schema.name, database))
        self.engine: TableEngine[M] = self._closed
        self._opening: object = None
        """Keeps the engine from being closed while a table or a query is referred to, though its Database is not."""
        self._checked: set[PredicateTemplate | Order] = set()
        """Terms and orderings that are known to be of this table's columns: a few for each column."""

    def bind(self, engine: TableEngine[M] | None, opening: object) -> None:
        """Connect the table to an open engine, or to none; the engine is closed when nothing refers to `opening`."""
        self.engine, self._opening = self._closed if engine is None else engine, opening

    def resolve(
        self, conditions: tuple[object, ...], equals: Mapping[str, object]
    ) -> tuple[PredicateTemplates, tuple[object, ...]]:
        """Return conditions and keyword equalities as templates on this table's columns, checked, and their values.

        Raises:
            InvalidQuery: a condition of another table, an unknown field, a value of the wrong type.
        """
        if len(conditions) == 1 and not equals:  # the commonest by far
            (only,) = conditions
            if type(only) is Condition and type(only.template) is Term and only.template in self._checked:
                return (only.template,), only.values
        templates: list[PredicateTemplate] = []
        values: list[object] = []
        for given in conditions:
            condition = given if type(given) is Condition else as_condition(given)
            template = condition.template
            if template not in self._checked:
                self._check_columns(template)
            if type(template) is AllOf:
                templates += template.parts
            else:
                templates.append(template)
            values += condition.values
        for name, value in equals.items():
            templates.append(self._column(name).equal(value))
            values.append(value)
        return tuple(templates), tuple(values)

    def orders(self, keys: tuple[object, ...]) -> tuple[Order, ...]:
        """Return columns and orderings as orderings by this table's columns, checked.

        Raises:
            InvalidQuery: a column of another table, or one whose values have no order.
        """
        orders = tuple(map(as_order, keys))
        for order in orders:
            if order not in self._checked:
                self._check_column(order.column)
                self._note(order, order.column)
        return orders

    def changes(self, changes: dict[str, object]) -> dict[str, object]:
        """Return what fields are set to as it is, after checking that expressions are of this table's columns.

        Raises:
            InvalidQuery: one is of another table's.
        """
        for value in changes.values():
            if type(value) is Expression:
                self._check_column(value.column)
        return changes

    def unique_column(self, given: object) -> str:
        """Return the name of a column of this table that no two rows share a value of.

        Raises:
            InvalidQuery: it is none: it is not marked `Unique()`, nor the primary key.
        """
        name = self.column(given).name
        schema = self.schema
        if name != schema.key and all(index.kind != "unique" or index.names != (name,) for index in schema.indexes):
            raise InvalidQuery(
                f"{schema.name}: several rows may have the same {name}: mark it Unique(), or use the key"
            )
        return name

    def column(self, given: object) -> Column:
        """Return a column of this table as it is.

        Raises:
            InvalidQuery: it is none.
        """
        column = column_of(given)
        if column is None:
            raise InvalidQuery(
                f"{self.schema.name}: expected a column, as in {self.schema.model.__name__}.{self.schema.key}; "
                f"got a {type(given).__name__}"
            )
        self._check_column(column)
        return column

    def _column(self, name: str) -> Column:
        column = self.schema.columns.get(name)
        if column is None:
            raise InvalidQuery(f"{self.schema.name} has no field {name!r}; it has {', '.join(self.schema.columns)}")
        return column

    def _check_columns(self, template: PredicateTemplate) -> None:
        for term in terms_of(template):
            if term not in self._checked:
                self._check_column(term.column)
                self._note(term, term.column)

    def _note(self, checked: PredicateTemplate | Order, column: Column) -> None:
        """Take note that a column was checked, unless it is one of any number: of a part of a field's values."""
        if not column.is_part:
            self._checked.add(checked)

    def _check_column(self, column: Column) -> None:
        schema = self.schema
        if column is INSERTED:
            return
        if not isinstance(column, Column):
            raise InvalidQuery(f"{schema.name}: {column!r} is of many rows: compare it in having() of a group_by()")
        if not issubclass(schema.model, column.model) or column.root not in schema.columns:
            raise InvalidQuery(
                f"{column!r} is not a column of {schema.name}, which holds {schema.model.__name__}"
                f"{defined_again(schema.model, column.model)}"
            )
