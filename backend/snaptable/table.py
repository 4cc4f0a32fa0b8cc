"""Table[Model]: what users hold of a table, on whichever engine."""

from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import Any, Generic

from snaptable.conditions import (
    AllOf,
    Column,
    Condition,
    Order,
    PredicateTemplate,
    PredicateTemplates,
    as_condition,
    as_order,
    terms_of,
)
from snaptable.contract import EVERYTHING, M, Select, TableEngine
from snaptable.errors import DatabaseClosed, InvalidQuery, RowNotFound
from snaptable.progress import Progress
from snaptable.query import Query
from snaptable.schema import TableSchema


class Table(Generic[M]):
    """Hold the rows of one model by primary key.

    Reads answer from memory and see the last durable state, or the caller's open transaction. Each write is a
    transaction of its own unless one is open, and returns when it is durable; what raises left nothing behind.
    """

    def __init__(self, schema: TableSchema, database: str) -> None:
        """Take what was declared, and the name of the Database class."""
        self.schema = schema
        self.name = schema.name
        self.model: type[M] = schema.model  # type: ignore[assignment]
        self._database = database
        self._engine: TableEngine[M] | None = None
        self._known: set[PredicateTemplate | Order] = set()
        """Terms and orderings that were found to be of this table's columns: a few for each column."""

    def __repr__(self) -> str:
        return f"<Table {self.name} of {self.model.__name__}>"

    def bind(self, engine: TableEngine[M] | None) -> None:
        """Connect the table to an open engine, or to none; called by `Database`."""
        self._engine = engine
        if engine is None:
            self.__dict__.pop("get", None)
        else:
            # The engine's own method in place of this class's: one call less on the hottest path.
            self.__dict__["get"] = engine.get

    @property
    def engine(self) -> TableEngine[M]:
        """The open engine's side of this table.

        Raises:
            DatabaseClosed: the database is not open.
        """
        if self._engine is None:
            raise DatabaseClosed(
                f"the database of {self.name} is not open: use `with {self._database}(…) as db`, or db.open()"
            )
        return self._engine

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, key: object, /) -> M | None:
        """Return the row of a primary key, or None; O(1)."""
        return self.engine.get(key)

    def __getitem__(self, key: object) -> M:
        """Return the row of a primary key; O(1).

        Raises:
            RowNotFound: no row has it (a KeyError).
        """
        row = self.get(key)
        if row is None:
            raise RowNotFound(f"{self.name} has no row {key!r}")
        return row

    def __contains__(self, key: object) -> bool:
        """Return whether a row has this primary key; O(1)."""
        return self.get(key) is not None

    def __len__(self) -> int:
        """Return the number of rows; O(1)."""
        return self.count()

    def __bool__(self) -> bool:
        """Return True: a table without rows is still a table."""
        return True

    def __iter__(self) -> Iterator[M]:
        """Iterate over all rows, as of one state; later writes don't disturb it."""
        return iter(self.all())

    def all(self) -> list[M]:
        """Return every row, as of one state; O(n)."""
        return self.engine.select(EVERYTHING)

    def count(self) -> int:
        """Return the number of rows; O(1)."""
        return self.engine.count(EVERYTHING)

    def where(self, /, *conditions: bool | int, **equals: Any) -> Query[M]:
        """Return the query for rows for which all conditions hold; every row without any.

        Args:
            conditions: as in `Document.pages > 3`, combined with `&`, `|` and `~`.
            equals: values by field name, `None` included.

        Raises:
            InvalidQuery: a condition of another table, an unknown field, a value of the wrong type.
        """
        return Query(self, Select(*self.resolve(conditions, equals)))

    def order_by(self, /, *keys: object) -> Query[M]:
        """Return the query for every row, sorted; see `Query.order_by`."""
        return Query(self, Select((), (), self.orders(keys)))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: M, /) -> M:
        """Add a row and return it as stored; O(1), O(log n) for each ordered index.

        Raises:
            DuplicateKey, UniqueViolation, ForeignKeyViolation: a constraint, judged at the commit but for the key.
            InvalidRow: it does not validate, or would not come back equal after a restart.
            WriteFailed, ReadOnlyStore: it could not be made durable.
        """
        return self.engine.insert(row)

    def insert_many(self, rows: Iterable[M], /) -> list[M]:
        """Add rows, all or none, and return them as stored; says how far it is after a while; raises as `insert`."""
        with Progress(length_hint(rows), f"Inserting into {self.name}") as progress:
            return self.engine.insert_many(progress.through(rows))

    def update(self, key: object, /, **changes: Any) -> M:
        """Change fields of a row, validated whole, and return the new row; it keeps its place in the file.

        Raises:
            RowNotFound: no row has the key.
            InvalidRow: it does not validate, or the key itself would change. Otherwise as `insert`.
        """
        return self.engine.update(key, changes)

    def replace(self, row: M, /) -> M:
        """Put a row in the place of the one with the same key, and return it as stored.

        Raises:
            RowNotFound: no row has the key. Otherwise as `insert`.
        """
        return self.engine.replace(row)

    def upsert(self, row: M, /) -> M:
        """Put a row in the place of the one with the same key, or add it; return it as stored. Raises as `insert`."""
        return self.engine.upsert(row)

    def delete(self, key: object, /) -> M:
        """Remove a row, and through foreign keys what goes with it, and return the row.

        Raises:
            RowNotFound: no row has the key.
            ForeignKeyViolation: rows that stay refer to it, with `on_delete="restrict"`.
        """
        return self.engine.delete(key)

    # ── what a query asks of its table ──────────────────────────────────────────────────────────────────────────────

    def resolve(
        self, conditions: tuple[object, ...], equals: dict[str, Any]
    ) -> tuple[PredicateTemplates, tuple[Any, ...]]:
        """Return conditions and keyword equalities as forms on this table's columns, checked, and their values."""
        forms: list[PredicateTemplate] = []
        values: list[Any] = []
        for given in conditions:
            condition = given if type(given) is Condition else as_condition(given)
            form = condition.form
            if form not in self._known:
                self._check_columns(form)
            if type(form) is AllOf:
                forms += form.parts
            else:
                forms.append(form)
            values += condition.values
        for name, value in equals.items():
            column = self.schema.columns.get(name)
            if column is None:
                raise InvalidQuery(f"{self.name} has no field {name!r}; it has {', '.join(self.schema.columns)}")
            forms.append(column.equal(value))
            values.append(value)
        return tuple(forms), tuple(values)

    def orders(self, keys: tuple[object, ...]) -> tuple[Order, ...]:
        """Return columns and orderings as orderings by this table's columns, checked."""
        found = tuple(map(as_order, keys))
        for order in found:
            if order not in self._known:
                self._check_column(order.column)
                self._known.add(order)
        return found

    def _check_columns(self, form: PredicateTemplate) -> None:
        for term in terms_of(form):
            if term not in self._known:
                self._check_column(term.column)
                self._known.add(term)

    def _check_column(self, column: Column) -> None:
        if not issubclass(self.model, column.model) or column.name not in self.schema.columns:
            raise InvalidQuery(f"{column!r} is no column of {self.name}, which holds {self.model.__name__}")
