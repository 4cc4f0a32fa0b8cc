"""Query: what users ask of a table. Immutable and lazy; nothing is evaluated here."""

from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction
from typing import NoReturn

from snaptable.conditions.aggregates import Aggregate, Grouping
from snaptable.conditions.columns import INSERTED
from snaptable.conditions.cursor import Cursors
from snaptable.conditions.predicates import AllOf, AnyOf, Not, PredicateTemplate
from snaptable.contract import M, Page, Plan, Select
from snaptable.errors import InvalidQuery, MultipleRows, RowNotFound
from snaptable.evaluation.ordering import complete
from snaptable.query.grouped import check_aggregates, natural
from snaptable.query.questions import Questions
from snaptable.query.source import QuerySource


class Query(Questions[M]):
    """A question to a table. Immutable: each method that narrows it returns a new one; nothing runs until asked for.

    Without `order_by` the order is not promised. With it, ties are broken by the primary key, in the last direction.
    An answer is of one state of the database: the last durable one, or that of the caller's open transaction. What it
    costs depends on the indexes: `explain()` says which is used, and how many rows will be looked at.

    The examples are of the database that `Table` describes.
    """

    __slots__ = ("_select", "_source")

    def __init__(self, source: QuerySource[M], select: Select) -> None:
        """Take a table and what is asked of it; `Table.where` and `Table.order_by` do this."""
        self._source = source
        self._select = select

    def __repr__(self) -> str:
        asked = self._select
        steps = [f"where {' & '.join(map(_described, asked.where))}"] if asked.where else []
        steps += ["filter by a function"] if asked.keep is not None else []
        if asked.order:
            names = (f"{order.column.name}{' descending' * order.descending}" for order in asked.order)
            steps.append(f"order by {', '.join(names)}")
        steps += [f"limit {asked.limit}"] if asked.limit is not None else []
        steps += [f"offset {asked.offset}"] if asked.offset else []
        return f"<Query {self._source.schema.name}: {', '.join(steps) or 'every row'}>"

    def _asked(self) -> tuple[QuerySource[M], Select]:
        return self._source, self._select

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: it would be true, whatever the answer."""
        raise InvalidQuery(
            f"a query is neither true nor false: write .exists(), or .first() is not None ({self._source.schema.name})"
        )

    # ── narrowing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def where(self, /, *conditions: bool | int, **equals: object) -> "Query[M]":
        """Return the query narrowed to rows for which all the conditions hold as well; see `Table.where`.

        Raises:
            InvalidQuery: a condition of another table, an unknown field, a value of the wrong type.

        >>> db.users.where(User.age > 20).where(User.age < 30).all()
        [User(id='ben', age=25)]
        """
        templates, values = self._source.resolve(conditions, equals)
        asked = self._select
        return Query(
            self._source,
            Select(
                asked.where + templates, asked.values + values, asked.order, asked.limit, asked.offset, None, asked.keep
            ),
        )

    def order_by(self, /, *keys: object) -> "Query[M]":
        """Return the query sorted by columns, `desc(column)` for the other direction; further keys break ties.

        None comes last in both directions; text sorts by code point. Without an index that has the order, sorting
        costs O(rows log rows) of those that match.

        Raises:
            InvalidQuery: a column of another table, or one whose values have no order.

        >>> db.users.where(User.age > 20).order_by(desc(User.age), User.id).first()
        User(id='ann', age=31)
        """
        asked = self._select
        order = asked.order + self._source.orders(keys)
        return Query(
            self._source, Select(asked.where, asked.values, order, asked.limit, asked.offset, None, asked.keep)
        )

    def filter(self, keep: Callable[[M], object], /) -> "Query[M]":
        """Return the query narrowed to rows for which a function returns something true: the last resort.

        It is called with each row that the conditions leave, in Python, before any limit, and must only look at it.
        The query counts, sorts and pages as ever; a page calls it for all rows behind its cursor at the most.

        Raises:
            InvalidQuery: it is not a function, or a coroutine function. What it raises itself comes out of the query.

        >>> db.users.where(User.age > 20).filter(lambda user: user.age % 5 == 0).count()
        1
        """
        if not callable(keep) or iscoroutinefunction(keep):
            raise InvalidQuery(
                "filter() takes a function from a row to whether it is kept, as in lambda user: user.age > 3"
            )
        asked, first = self._select, self._select.keep
        both = keep if first is None else lambda row: first(row) and keep(row)
        return Query(
            self._source, Select(asked.where, asked.values, asked.order, asked.limit, asked.offset, None, both)
        )

    def limit(self, count: int, /) -> "Query[M]":
        """Return the query cut to at most `count` rows.

        Raises:
            ValueError: `count` is negative.
            InvalidQuery: it is not an int.

        >>> db.users.order_by(User.age).limit(1).all()
        [User(id='ben', age=25)]
        """
        asked = self._select
        limit = natural("limit", count)
        return Query(
            self._source, Select(asked.where, asked.values, asked.order, limit, asked.offset, None, asked.keep)
        )

    def offset(self, count: int, /) -> "Query[M]":
        """Return the query without its first `count` rows, which are looked at all the same; see `page` for many rows.

        Raises:
            ValueError: `count` is negative.
            InvalidQuery: it is not an int.

        >>> db.users.order_by(User.age).offset(1).all()
        [User(id='ann', age=31)]
        """
        asked = self._select
        offset = natural("offset", count)
        return Query(
            self._source, Select(asked.where, asked.values, asked.order, asked.limit, offset, None, asked.keep)
        )

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[M]:
        """Return every row, as of one state of the database; O(rows looked at).

        >>> db.users.where(age=25).all()
        [User(id='ben', age=25)]
        """
        return self._source.engine.select(self._select)

    def __iter__(self) -> Iterator[M]:
        """Iterate over `all()`: later writes don't disturb it; O(rows looked at)."""
        return iter(self.all())

    def first(self) -> M | None:
        """Return the first row, or None; O(1) by an index that has the order, else O(rows looked at).

        >>> db.users.where(age=25).first()
        User(id='ben', age=25)
        """
        rows = self._source.engine.select(self._at_most(1))
        return rows[0] if rows else None

    def _at_most(self, count: int) -> Select:
        asked = self._select
        limit = count if asked.limit is None else min(count, asked.limit)
        return Select(asked.where, asked.values, asked.order, limit, asked.offset, None, asked.keep)

    def one(self) -> M:
        """Return the only row; costs as `first`.

        Raises:
            RowNotFound: there is none.
            MultipleRows: there are several.

        >>> db.users.where(age=25).one()
        User(id='ben', age=25)
        """
        rows = self._source.engine.select(self._at_most(2))
        table = self._source.schema.name
        if not rows:
            raise RowNotFound(f"no row of {table} matches", table=table)
        if len(rows) > 1:
            raise MultipleRows(f"more than one row of {table} matches; use first() or all()")
        return rows[0]

    def count(self) -> int:
        """Return how many rows `all()` would give; O(1) for a whole table or index entry, else O(rows looked at).

        >>> db.users.where(User.age > 20).count()
        2
        """
        return self._source.engine.count(self._select)

    def exists(self) -> bool:
        """Return whether there is any row; costs as `first`.

        >>> db.users.where(User.age > 40).exists()
        False
        """
        return self.first() is not None

    def page(self, *, limit: int = 50, after: str | None = None) -> Page[M]:
        """Return up to `limit` rows after a cursor, and the cursor of the next page.

        The order is the query's, then the primary key: rows added or removed meanwhile neither repeat nor hide others.
        By an ordered index of the query's order a page costs O(log n + limit), wherever it is.

        Args:
            limit: at least 1.
            after: `next_cursor` of the page before; None for the first page.

        Raises:
            InvalidCursor: `after` is damaged, or comes from another query.
            InvalidQuery: the query has a limit or an offset of its own, or is sorted by a secret.
            ValueError: `limit` is less than 1.

        >>> page = db.users.order_by(User.age).page(limit=1)
        >>> page
        <Page: 1 row, more follow>
        >>> db.users.order_by(User.age).page(limit=1, after=page.next_cursor).items
        [User(id='ann', age=31)]
        """
        self._check_pages(limit)
        return self._source.engine.page(self._select, limit, after)

    def page_json(
        self, *, limit: int = 50, after: str | None = None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the rows of `page` as a JSON array, and the next cursor: what an API sends, without a copy of a row.

        With `max_bytes` a page also ends, with a cursor, before the row that would take its JSON beyond that; it holds
        at least one row. Costs and raises as `page`.

        >>> db.users.where(age=25).page_json()
        (b'[{"id":"ben","age":25}]', None)
        """
        self._check_pages(limit)
        return self._source.engine.page_json(self._select, limit, after, max_bytes)

    def _cursor_after(self, row: M) -> str:
        """Return the cursor of the page that begins behind a row of the query, which is sorted; nothing is read."""
        asked, key = self._select, self._source.schema.columns[self._source.schema.key]
        return Cursors(self._source.schema.name, asked.where, complete(asked.order, key)).encode(asked.values, row)

    def _check_pages(self, limit: int) -> None:
        if self._select.offset or self._select.limit is not None:
            raise InvalidQuery("page() takes its own limit and a cursor; leave limit() and offset() out")
        if any(order.column is INSERTED for order in self._select.order):
            raise InvalidQuery("pages are sorted by columns: a cursor can't name a place in the order of insertion")
        for order in self._select.order:
            if order.column.root in self._source.schema.secrets:
                raise InvalidQuery(f"pages are not sorted by a secret: a cursor would tell it ({order.column!r})")
        if natural("limit", limit) == 0:
            raise ValueError("a page holds at least one row: limit can't be 0")

    def explain(self, *aggregates: Aggregate[object]) -> Plan:
        """Return how the query would be answered: the index, and the rows it expects to look at; O(1) or O(log n).

        Args:
            aggregates: asked for in place of the rows.

        >>> print(db.users.where(id="ann").explain())
        users by index primary key, about 1 row expected
        >>> print(db.users.where(User.age > 3).explain(Max(User.id)))
        scan of users, about 2 rows expected; filter on 1 condition
        """
        if not aggregates:
            return self._source.engine.explain(self._select)
        check_aggregates(self._source, {str(place): one for place, one in enumerate(aggregates)})
        return self._source.engine.explain_aggregate(self._select, Grouping((), aggregates))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def update(self, /, **changes: object) -> int:
        """Update every row of the query in one transaction, each validated whole; return how many there were.

        O(rows looked at), O(log n) for each row changed and each ordered index, and one sync of the disk. A numeric
        column may be set to `column + number`, as in `Table.update`.

        Raises:
            InvalidRow: a row does not validate, or its key would change; nothing was changed.
            UniqueViolation, ForeignKeyViolation, WriteFailed, ReadOnlyStore: as `Table.insert`; nothing was changed.

        >>> db.users.where(User.age > 20).update(age=0)
        2
        """
        return self._source.engine.update_rows(self._select, self._source.changes(changes))

    def delete(self) -> int:
        """Delete every row of the query in one transaction, cascades included; return how many of them there were.

        Costs as `update`, and what goes with the rows.

        Raises:
            ForeignKeyViolation: rows that stay refer to one, with `on_delete="restrict"`; nothing was deleted.
            WriteFailed, ReadOnlyStore: as `Table.insert`; nothing was deleted.

        >>> db.users.where(User.age < 30).delete()
        1
        """
        return self._source.engine.delete_rows(self._select)


_AS_WRITTEN = {
    "is": "{} == None",
    "is not": "{} != None",
    "in": "one_of({}, …)",
    "contains": "contains({}, …)",
    "starts with": "starts_with({}, …)",
    "contains ignoring case": "contains({}, …, ignore_case=True)",
    "starts with ignoring case": "starts_with({}, …, ignore_case=True)",
}


def _described(template: PredicateTemplate) -> str:
    """Return a condition as it was written, without the values: they may be secrets."""
    if isinstance(template, Not):
        return f"~({_described(template.part)})"
    if isinstance(template, (AllOf, AnyOf)):
        joint = " & " if isinstance(template, AllOf) else " | "
        return f"({joint.join(map(_described, template.parts))})"
    form = _AS_WRITTEN.get(template.operator, "{} " + template.operator + " …")
    return form.format(template.column.name)
