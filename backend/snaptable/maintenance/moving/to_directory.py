"""PostgreSQL's rows to a directory: a readable snapshot, compared with the server's rows before it gets its name.

1. Begin to read the server, as of one state.
2. Write the snapshot in a new folder beside the place, synced.
3. Open it with the models, and compare every row with the server's, of the same state.
4. Rename the folder.

A crash before step 4 leaves a folder `….moving-…` that nothing reads.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel

from snaptable.database.database import Database
from snaptable.engines.durable import DurableEngine
from snaptable.engines.header_marks import marks_of
from snaptable.engines.postgresql import PostgresEngine
from snaptable.maintenance.moving.steps import Moved, MoveRefused, NotProved, Report
from snaptable.postgres.engine import PostgresCore
from snaptable.postgres.layout import catalog
from snaptable.postgres.layout.names import PLACE, quoted
from snaptable.postgres.rows import TableRows
from snaptable.runtime.clock import timestamp
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import Files, resolve
from snaptable.storage.journal.format import GENESIS
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.values.row_lines import encode_line, join_lines

FETCH_ROWS = 5000
PAGE_ROWS = 1000
"""Lines that are joined to a page of the snapshot."""


def to_directory(url: str, path: str | os.PathLike[str], models: type[Database], *, report: Report) -> Moved:
    """Write the rows of the database of a URL to a new directory; see `move`."""
    target = resolve(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise MoveRefused(f"{target} is not an empty directory")
    draft = target.with_name(f"{target.name}.moving-{uuid4().hex[:8]}")
    try:
        with models(url, read_only=True) as db:
            engine = db._engine
            assert isinstance(engine, PostgresEngine)
            moved = engine.core.as_of_one_state(lambda: _write_and_compare(engine.core, draft, models, report))
        # 4. There, and whole.
        _take_place(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return moved


def _write_and_compare(core: PostgresCore, draft: Path, models: type[Database], report: Report) -> Moved:
    shutil.rmtree(draft, ignore_errors=True)  # what an attempt left that lost its connection
    moved = _write(core, draft, report)
    with models(draft, read_only=True, banner=False, migrate="manual") as copy:
        engine = copy._engine
        assert isinstance(engine, DurableEngine)
        for name, rows in core.rows.items():
            written = engine.memory.tables[name].durable_rows()
            report.step(f"comparing {name}", len(written))
            _compare(core, rows, written.values(), report)
    return moved


def _write(core: PostgresCore, draft: Path, report: Report) -> Moved:
    state = catalog.read_state(core.fetch)
    assert state is not None
    sequence = 0 if core.commits is None else max(core.commits.last(core.fetch), state.first)
    pages: dict[str, list[bytes]] = {}
    counts: dict[str, int] = {}
    for name, rows in core.rows.items():
        counts[name] = rows.count(core.fetch)
        report.step(f"writing {name}", counts[name])
        pages[name] = list(_pages(core, rows, report))
    header = SnapshotHeader(
        state.store, max(sequence, 1), timestamp(), counts, GENESIS, _numbers(core), state.migrations, state.erased,
        marks_of({name: rows.schema for name, rows in core.rows.items()}),
    )  # fmt: skip
    files = Files(draft, fsync=True)
    files.make_directory()
    temporary = f"{names.SNAPSHOT}.{uuid4().hex}.tmp"
    replace_durably(files, temporary, names.SNAPSHOT, snapshot_format.compose(header, pages))
    return Moved(counts, header.sequence, state.store)


def _pages(core: PostgresCore, rows: TableRows, report: Report) -> Iterator[bytes]:
    lines: list[bytes] = []
    for row in report.through(_rows(core, rows)):
        lines.append(encode_line(rows.key_of(row), rows.codec.dump(row)))
        if len(lines) == PAGE_ROWS:
            yield join_lines(lines)
            lines = []
    if lines:
        yield join_lines(lines)


def _rows(core: PostgresCore, rows: TableRows) -> Iterator[BaseModel]:
    """Yield the rows of a table in order, some thousand at a time."""
    transaction = core.current
    assert transaction is not None
    columns = rows.columns
    with transaction.session.cursor(f"move_{uuid4().hex}", binary=True) as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute(f"select {columns.select_list} from {rows.sql} order by {quoted(PLACE)}".encode())
        for record in cursor:
            yield columns.row(record)


def _numbers(core: PostgresCore) -> dict[str, int]:
    """Return the last number given out, by table that numbers its keys."""
    numbers = {}
    for name, rows in core.rows.items():
        if rows.schema.numbered:
            ((last, is_called),) = core.fetch(f"select last_value, is_called from {rows.ddl.numbers}")
            numbers[name] = last if is_called else last - 1
    return numbers


def _compare(core: PostgresCore, rows: TableRows, written: Iterable[BaseModel], report: Report) -> None:
    """Compare what the directory holds with what the server does, row by row, in order.

    Raises:
        NotProved: a row differs, is missing, or too many.
    """
    codec, count, expected = rows.codec, 0, list(written)
    for row in report.through(_rows(core, rows)):
        if count == len(expected) or not codec.is_same_row(expected[count], row, codec.dump(row)):
            raise NotProved(f"{rows.name}[{rows.key_of(row)!r}] is not in the snapshot as it was read")
        count += 1
    if count != len(expected):
        raise NotProved(f"{rows.name}: {count:,} rows were read, and {len(expected):,} written")


def _take_place(draft: Path, target: Path) -> None:
    if target.exists():
        target.rmdir()  # empty, as it was at the beginning
    draft.rename(target)
    Files(target.parent, fsync=True).sync_directory()
