"""The proof of a move: a row that the engine reads from the server's record says what the source's row says."""

from collections.abc import Sequence
from itertools import zip_longest

from pydantic import BaseModel

from snaptable.codec import Codec
from snaptable.maintenance.moving.steps import NotProved
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.comparing import comparison_of
from snaptable.postgres.server.adapt import Record
from snaptable.postgres.server.connections import Records


class Proof:
    """The comparison of one table's records with the rows that were sent.

    Records become values by the very functions that the engine reads them with. The values are compared with those of
    the source's row, of which its line in the file is made; where that finds a difference, the JSON of both decides: a
    set that is read again may be written in another order. A model with code of its own is read whole from its image.
    """

    def __init__(self, codec: Codec, columns: StoredColumns) -> None:
        """Take the table."""
        self._codec, self._columns = codec, columns
        self._say_the_same = None if columns.keeps_image else comparison_of(columns)

    def compare(self, records: Records, sent: Sequence[BaseModel]) -> None:
        """Compare records with the rows that were sent, in order.

        Raises:
            NotProved: one says something else, or there are more of one than of the other.
        """
        if self._say_the_same is not None:
            values_of, say_the_same = self._columns.values, self._say_the_same
            for record, row in zip_longest(records, sent):
                if record is None or row is None or not say_the_same(values_of(record), row.__dict__):
                    self._compare_closely(record, row)
            return
        read_back = list(map(self._columns.row, records))
        if len(read_back) == len(sent) and self._codec.dump_all(read_back) == self._codec.dump_all(sent):
            return
        for record, row in zip_longest(records, sent):
            self._compare_closely(record, row)

    def _compare_closely(self, record: Record | None, sent: BaseModel | None) -> None:
        codec = self._codec
        read = None if record is None else self._columns.row(record)
        if read is None or sent is None or not codec.is_same_row(sent, read, codec.dump(read)):
            key = getattr(sent or read, codec.key)
            raise NotProved(f"{codec.table}[{key!r}] came back otherwise than it was sent; nothing was moved")
