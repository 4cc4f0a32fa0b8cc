"""One table, as an engine provides it: what its rows, conditions, orders, reads and writes promise."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from snaptable.conditions.aggregates import Grouping
from snaptable.contract.questions import Join, Page, Plan, QueryObserver, Select

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


class TableEngine(Protocol[M]):
    """The operations on one table; `Table` and `Query` document them for users.

    Rows
        - A row that is handed out is equal to the one a restart would give, of the same types throughout.
        - Nothing that a caller does to a row, given or handed out, changes the store.
        - A row keeps its place in the order of insertion through updates and replacements. A deleted key that is
          inserted again goes to the end.
        - A numbered key is greater than every key the table had before. A number is never given to a second row, not
          even after the first was deleted; numbers of transactions that were rolled back may be left out.

    Conditions
        - Conditions are two-valued, as in Python: for None, `==` and `!=` answer like any value, `<`, `<=`, `>`, `>=`
          and the rest do not hold, and `~condition` holds exactly if the condition doesn't.
        - Values compare as in Python: text by code point, 1 equals 1.0 and True, a moment equals the same moment
          with another offset.
        - A column may be a part of a field's values: the field of a nested model, the value of a dict's key, the item
          at a position. What isn't there is None. Where types don't say whether values compare, those that don't are
          neither less nor greater.
        - A naive time and an aware one don't compare. `<`, `<=`, `>`, `>=` with a time of one kind while rows hold the
          other, and `==`, `!=` and the rest with a kind that no row has while rows hold the other, raise InvalidQuery:
          by every way of answering, whatever the limit, None aside.

    Order
        - None comes last in both directions. Text sorts by code point, whatever the locale; naive times before aware.
        - After the query's own order, ties are broken by the primary key, in the direction of the last order.
        - A query without an order or conditions gives the rows in the order of insertion. With conditions and without
          an order, any order may be given.

    Reading and writing
        - A read sees the last durable state or, inside a transaction, that transaction's. One read sees one state.
        - A write outside a transaction is a transaction of its own and returns once it is durable.
        - A write that raises inside a transaction leaves nothing of itself; the transaction stays open.
        - Types are checked at the write (InvalidRow), a key that is there already too (DuplicateKey); unique and
          foreign keys at the commit.
        - `delete` follows `on_delete` at once: rows with "cascade" go, fields with "set null" become None. A row that
          "restrict" protects is checked at the commit: rows that go in the same transaction do not count.
    """

    def get(self, key: object, /) -> M | None:
        """Return the row of a key; None for a key that no row has.

        Raises:
            InvalidKey: no row has it, and it is of another type than the table's keys. (None isn't a key.)
        """

    def select(self, wanted: Select) -> list[M]:
        """Return the rows of a query."""

    def count(self, wanted: Select) -> int:
        """Return how many rows `select` would give."""

    def explain(self, wanted: Select) -> Plan:
        """Return how `select` would be answered."""

    def aggregate(self, wanted: Select, grouping: Grouping) -> list[tuple[object, ...]]:
        """Return the groups of the rows that `select` would give: the values of their columns, then the aggregates.

        Equal values are one key, None too. None is left out of aggregates; of no values a sum is the zero of the
        column's type, a count is 0, the others are None. Sums of ints and timedeltas are exact, those of Decimals up
        to 1,000 digits, of floats correct to the last digit but one; means of Decimals have 16 digits at least.
        """

    def join(self, wanted: Select, other: "TableEngine[Any]", join: Join) -> list[tuple[M, Any]]:
        """Return the rows of a query, each with what belongs to it: a list of rows, a row or None, or their number.

        All of one state. The other table is one of the same database.

        Raises:
            InvalidQuery: it is not.
        """

    def explain_aggregate(self, wanted: Select, grouping: Grouping) -> Plan:
        """Return how `aggregate` would be answered."""

    def observe(self, observer: QueryObserver | None) -> None:
        """Tell an observer, in the place of an earlier one, of every slow query from now on; None ends that."""

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[M]:
        """Return up to `limit` rows of a query after a cursor, in the query's order, then by the primary key.

        Raises:
            InvalidCursor: the cursor is damaged, or was given out for another query.
        """

    def page_json(
        self, wanted: Select, limit: int, after: str | None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the rows of `page` as a JSON array, as Pydantic writes the models, and the next cursor.

        A page ends, with a cursor, before the row that would take its JSON beyond `max_bytes`; not before its first.
        """

    def insert(self, row: M) -> M:
        """Add a row, numbering its key if the table does and it is None; return it as stored."""

    def insert_values(self, values: dict[str, object]) -> M:
        """Add the row that field values make, validated once; return it as stored."""

    def insert_many(self, rows: Iterable[M]) -> list[M]:
        """Add rows, all or none; return them as stored."""

    def update(self, key: object, changes: dict[str, object]) -> M:
        """Change fields of a row, validated whole; return the new row. RowNotFound if no row has the key.

        An `Expression` among the changes is worked out of the row as it is, exactly; None stays None.
        """

    def replace(self, row: M, expected: M | None = None) -> M:
        """Put a row in the place of the one with its key; return it as stored. RowNotFound if no row has the key.

        With `expected`, StaleRow unless the stored row is equal to it.
        """

    def upsert(self, row: M, by: str | None = None) -> M:
        """Put a row in the place of the one with its key, or add it; return it as stored.

        With `by`, a unique field, in the place of the row with its value there, which keeps its key; None is none.
        """

    def get_or_insert(self, row: M, by: str | None = None) -> M:
        """Return the stored row that `upsert` would replace; without one, add this row and return it as stored."""

    def delete(self, key: object) -> M:
        """Remove a row and what `on_delete` says; return it. RowNotFound if no row has the key."""

    def update_rows(self, wanted: Select, changes: dict[str, object]) -> int:
        """Change fields of every row of a query, all or none; return how many rows the query gave."""

    def delete_rows(self, wanted: Select) -> int:
        """Remove every row of a query, all or none; return how many rows the query gave."""
