"""The first rows of a query for each of several values of one column, by one statement that reads no others."""

from snaptable.contract import Select
from snaptable.postgres.layout.column import StoredColumn
from snaptable.postgres.layout.comparands import OnlyInPython, equal
from snaptable.postgres.layout.names import quoted
from snaptable.postgres.queries.question import Question
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Params

_WANTED, _VALUE, _NUMBER = map(quoted, ("wanted of each", "value of each", "number of each"))
"""Where the values stand, by names that no table or column can have."""
_FIRST, _POSITION = map(quoted, ("first of each", "position of each"))
_PLAIN = ("text", "int", "uuid")
"""Families of columns that hold the keys of rows as they are."""


class FirstOfEach:
    """A lateral join: for each value a query of its own, cut, by an index that has its order if there is one.

    Attributes:
        sql: the statement; it gives the rows of a value together, in the order of the query.
        params: its parameters.
    """

    def __init__(self, rows: TableRows, column: StoredColumn, chosen: tuple[object, ...], wanted: Select) -> None:
        """Write the statement.

        Args:
            rows: of the table.
            column: whose values are chosen.
            chosen: the values, each once.
            wanted: the query of each value: its limit is that of one.

        Raises:
            OnlyInPython: SQL can't tell which rows come first.
        """
        question = Question(rows, wanted)
        if not question.is_cut or column.family not in _PLAIN:
            raise OnlyInPython
        own = [value for each in chosen if (value := equal(column, each)) is not None]
        values = question.statement.add(own, f"{column.sql}[]")
        question.where.tests.append(f"{column.quoted} = {_VALUE}")
        names = rows.columns.select_list
        # Numbered as they come: what joins the parts may not keep their order.
        numbered = f"select {names}, row_number() over () as {_POSITION} from ({question.select(names)}) as {_FIRST}"
        self.sql = (
            f"select {names} from unnest({values}) with ordinality as {_WANTED}({_VALUE}, {_NUMBER}) "
            f"cross join lateral ({numbered}) as {_FIRST} order by {_NUMBER}, {_POSITION}"
        )
        self.params: Params = question.statement.params
