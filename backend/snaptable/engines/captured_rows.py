"""The rows in memory as the content of a snapshot, for a copy of a database that has no pages of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snaptable.changes.captures import Capture
from snaptable.changes.records import ErasedKeys
from snaptable.engines.header_marks import marks_of
from snaptable.memory.engine import MemoryEngine
from snaptable.runtime.clock import timestamp
from snaptable.values.row_lines import encode_line, join_lines

if TYPE_CHECKING:
    from snaptable.storage.capture import Content
    from snaptable.storage.disk.files import Files


def captured_rows(
    memory: MemoryEngine,
    migrations: Sequence[str],
    files: "Files | None",
    store: str,
    digest: str = "",
    folders: Sequence[str] = (),
    *,
    erased: ErasedKeys | None = None,
) -> Capture:
    """Return the rows that every reader sees as a copy; O(n).

    Args:
        memory: holds them.
        migrations: the names of those that the models know: the rows have seen all of them.
        files: the store's directory, with the journal behind them; None if there is none.
        store: the store's id.
        digest: that of the frame that ends at their commit; "" if there is none.
        folders: names of folders in the directory.
        erased: the keys whose content was erased.
    """
    from snaptable.storage.capture import capture  # "memory:" needs nothing of a store until then
    from snaptable.storage.journal.format import GENESIS
    from snaptable.storage.snapshot.checksum import ChecksummedBytes
    from snaptable.storage.snapshot.format import SnapshotHeader

    def take() -> "Content":
        """Capture the rows that every reader sees."""
        with memory.latch:
            sequence = memory.durable_sequence
            tables = [(table, table.durable_rows()) for table in memory.tables.values()]
            numbered = {table.name: table.last_number for table, _ in tables if table.schema.numbered}
        texts = {
            table.name: join_lines(encode_line(key, table.codec.dump(row)) for key, row in rows.items())
            for table, rows in tables
        }
        lines = {name: [ChecksummedBytes([text])] if text else [] for name, text in texts.items()}
        counts = {table.name: len(rows) for table, rows in tables}
        header = SnapshotHeader(
            store, sequence, timestamp(), counts, digest or GENESIS, numbered, tuple(migrations), erased or {},
            marks_of({name: table.schema for name, table in memory.tables.items()}),
        )  # fmt: skip
        return header, lines

    return capture(files, folders, take)
