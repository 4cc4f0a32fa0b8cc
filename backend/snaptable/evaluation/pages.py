"""Pages of a query's rows: in a total order, up to a limit, each with the cursor of the next one."""

from collections.abc import Callable
from functools import lru_cache

from pydantic import BaseModel

from snaptable.codec import Codec
from snaptable.conditions.cursor import Cursors
from snaptable.conditions.predicates import Order, PredicateTemplates
from snaptable.contract import Select
from snaptable.evaluation.ordering import complete
from snaptable.evaluation.row_texts import RowTexts

MOST_SHAPES = 512
"""Shapes of queries whose cursors are remembered: a program asks few."""


class Pages:
    """The pages of the queries of one table."""

    def __init__(self, codec: Codec, select: Callable[[Select], list[BaseModel]], *, keeps_texts: bool = False) -> None:
        """Take what knows the table's rows, and what gives those of a query as they are stored.

        Args:
            codec: of the table.
            select: gives the rows of a query.
            keeps_texts: whether a row that did not change is the same object each time, so that its JSON can be kept.
        """
        self._codec, self._schema, self._select = codec, codec.schema, select
        self._texts = RowTexts(codec) if keeps_texts and RowTexts.may_keep(codec) else None
        self._cursors = lru_cache(maxsize=MOST_SHAPES)(self._make_cursors)

    def rows(self, wanted: Select, limit: int, after: str | None) -> tuple[list[BaseModel], str | None]:
        """Return up to `limit` rows of a query behind a cursor, and the next cursor; None at the end.

        Raises:
            InvalidCursor: the cursor is damaged, or was given out for another query.
        """
        cursors = self._cursors(wanted.where, wanted.order)
        position = None if after is None else cursors.decode(wanted.values, after)
        rows = self._select(Select(wanted.where, wanted.values, cursors.order, limit + 1, 0, position, wanted.keep))
        next_cursor = None
        if len(rows) > limit:
            del rows[limit:]
            next_cursor = cursors.encode(wanted.values, rows[-1])
        return rows, next_cursor

    def json(
        self, wanted: Select, limit: int, after: str | None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the same page as a JSON array of its rows: no copies, for bytes can't change the store."""
        rows, next_cursor = self.rows(wanted, limit, after)
        if self._texts is not None and (text := self._texts.array(rows, max_bytes)) is not None:
            return text, next_cursor
        if max_bytes is None:
            return self._codec.array_json(rows), next_cursor
        array, count = self._codec.array_json_within(rows, max_bytes)
        if count < len(rows):
            next_cursor = self._cursors(wanted.where, wanted.order).encode(wanted.values, rows[count - 1])
        return array, next_cursor

    def _make_cursors(self, where: PredicateTemplates, order: tuple[Order, ...]) -> Cursors:
        return Cursors(self._schema.name, where, complete(order, self._schema.columns[self._schema.key]))
