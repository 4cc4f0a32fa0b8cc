"""A query as SQL, and what is left of it for Python."""

from itertools import islice

from pydantic import BaseModel

from snaptable.contract import Select
from snaptable.evaluation.filters import ResidualFilter
from snaptable.evaluation.ordering import complete, rows_after, sort_rows
from snaptable.postgres.layout.comparands import OnlyInPython
from snaptable.postgres.layout.names import PLACE, quoted
from snaptable.postgres.queries import ordering
from snaptable.postgres.queries.conditions import Statement, Where
from snaptable.postgres.rows import TableRows

_PLACE = quoted(PLACE)


class Question:
    """One query as SQL, and what is left of it for Python.

    Attributes:
        where: its conditions.
        order: its order, complete; empty for that of insertion.
        sorts: whether Python sorts.
        sql: the clauses behind the table's name, without limit and offset.
        is_cut: whether SQL cuts it.
    """

    def __init__(self, rows: TableRows, wanted: Select) -> None:
        self.rows, self.wanted = rows, wanted
        self.statement = Statement()
        self.where = Where(rows.columns, self.statement).add(wanted.where, wanted.values)
        key = rows.schema.columns[rows.schema.key]
        self.order = complete(wanted.order, key) if wanted.order else ()
        self.sorts = False
        try:
            self._order_by = ordering.order_by(rows.columns, self.order)
            if wanted.after is not None:
                test = ordering.after(self.where, rows.columns, self.order, wanted.after)
                self.where.tests.append(test)
        except OnlyInPython:
            self.sorts, self._order_by = True, f" order by {_PLACE}"
        self.is_cut = not self.sorts and not self.where.residual and wanted.keep is None

    @property
    def sql(self) -> str:
        """The clauses behind the table's name, without limit and offset."""
        return f" from {self.rows.sql}{self.where.sql}"

    def select(self, what: str) -> str:
        """Return the statement that gives the rows in order."""
        return f"select {what}{self.sql}{self._order_by}{self._cut()}"

    def _cut(self) -> str:
        wanted, cut = self.wanted, ""
        if self.is_cut and wanted.limit is not None:
            cut += f" limit {self.statement.add(wanted.limit, 'int8')}"
        if self.is_cut and wanted.offset:
            cut += f" offset {self.statement.add(wanted.offset, 'int8')}"
        return cut

    def finished(self, rows: list[BaseModel]) -> list[BaseModel]:
        """Return the rows that the statement gave, as the rest of the query has them."""
        if self.is_cut:
            return rows
        wanted, places = self.wanted, {id(row): place for place, row in enumerate(rows)}
        if self.where.residual:
            rows = ResidualFilter(self.where.conditions).over_rows(wanted.values)(rows)
        if self.sorts:
            rows = sort_rows(rows, self.order, lambda: lambda row: places[id(row)])
            if wanted.after is not None:
                rows = rows_after(rows, self.order, wanted.after)
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        if wanted.keep is None:
            return rows[wanted.offset : end]
        share, keep = self.rows.codec.share, wanted.keep
        return list(islice((row for row in rows if keep(share(row))), wanted.offset, end)) if end != 0 else []
