"""A directory's rows to PostgreSQL, in one transaction: all of them there, compared, or nothing.

1. Read the directory with its models, and pack every row; one that PostgreSQL has no place for ends it here.
2. In one transaction, the target empty: tables → COPY → numbers → the place in the source.
3. Read every row back, as the engine does, and compare what it says with the source's; meanwhile the server makes
   indexes and foreign keys.
4. Commit.

Whatever ends it before step 4 leaves nothing: it is begun again from the start.
"""

import gc
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path

from psycopg import Error

from snaptable.database.database import Database
from snaptable.maintenance.moving.beside import Beside
from snaptable.maintenance.moving.packed import PackedTable, Packing
from snaptable.maintenance.moving.proof import Proof
from snaptable.maintenance.moving.source import Source, SourceTable, opened_source
from snaptable.maintenance.moving.steps import Moved, MoveRefused, NotProved, Report
from snaptable.maintenance.moving.target import Target
from snaptable.postgres.server.connections import Session

MOST_FETCHED = 20_000
FETCHED_BYTES = 32 << 20
"""Rows that are read back at a time: at most, and of about so many bytes together."""
COMPARED = 1000
"""Rows that are read and compared together: what they take stays where the processor is quick."""


def to_postgres(
    path: str | os.PathLike[str],
    url: str,
    models: type[Database],
    *,
    folders: str | os.PathLike[str] | None,
    running: bool,
    report: Report,
) -> Moved:
    """Move a directory's rows to the database of a URL; see `move`."""
    with (
        opened_source(path, models, running=running) as source,
        _out_of_the_collectors_sight(),
        Target(url, models) as target,
        ExitStack() as stack,
    ):
        # 1. Nothing is sent before it is known that everything can go.
        target.check_empty()
        packers = {name: target.packer(name) for name in source.tables}
        packed = Packing(source.tables, packers, stack, report).run()
        files = 0 if folders is None else _copy_folders(source, Path(folders), models.backup_folders, report)
        # 2. to 4.
        try:
            _carry_over(source, target, packed, report)
        except Error as error:
            raise target.own(error) from None
    return Moved(source.counts, source.sequence, source.store, files)


@contextmanager
def _out_of_the_collectors_sight() -> Iterator[None]:
    """Keep the collector of cycles from going through the source's rows, which stay: a third of the time of packing."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _carry_over(source: Source, target: Target, packed: Mapping[str, PackedTable], report: Report) -> None:
    with target.transaction() as session:
        # 2. Everything there.
        _fill(session, source, target, packed, report)
        # 3. And as it was.
        report.step("making indexes and foreign keys")
        target.make_orders()
        with Beside(session, chain(target.other_indexes(), target.statistics())) as beside:
            for name, table in source.tables.items():
                report.step(f"comparing {name}", len(table.rows))
                size = max(1, min(MOST_FETCHED, FETCHED_BYTES * len(table.rows) // max(1, packed[name].size)))
                _prove(beside, target, name, table, size, report)
            report.step("gathering statistics")
            beside.finish()


def _fill(session: Session, source: Source, target: Target, packed: Mapping[str, PackedTable], report: Report) -> None:
    target.lock_empty()
    target.make_tables()
    for name, rows in packed.items():
        report.step(f"copying {name}", len(source.tables[name].rows))
        _copy(session, target, name, rows)
        report.done(len(source.tables[name].rows))
    target.set_numbers({name: table.last_number for name, table in source.tables.items()}, source.counts)
    target.write_state(source)


def _copy(session: Session, target: Target, name: str, packed: PackedTable) -> None:
    with session.cursor().copy(target.copy_statement(name)) as copy:
        for data in packed.data():
            copy.write(data)


def _prove(beside: Beside, target: Target, name: str, table: SourceTable, size: int, report: Report) -> None:
    """Compare every row as the server gives it back with the source's, in order.

    Raises:
        NotProved: one differs, is missing, or too many.
    """
    rows, count = iter(table.rows.values()), 0
    proof = Proof(table.codec, target.columns[name])
    for page in target.pages(beside.session, name, len(table.rows), size, COMPARED):
        with beside.going_on():
            for records in page():
                proof.compare(records, list(islice(rows, len(records))))
                report.done(len(records))
                count += len(records)
    if count != len(table.rows):
        raise NotProved(f"{len(table.rows):,} rows of {name} were sent and {count:,} came back; nothing was moved")


def _copy_folders(source: Source, target: Path, names: tuple[str, ...], report: Report) -> int:
    """Copy the folders beside a store, each file synced; one that is there with the same size is left; return how many.

    Raises:
        MoveRefused: a file is there with another size.
    """
    count = 0
    for folder in names:
        report.step(f"copying the folder {folder}")
        for name in source.files.walk(folder):
            _copy_file(source.files.path(name), target / name)
            count += 1
    return count


def _copy_file(source: Path, target: Path) -> None:
    if target.exists():
        if target.stat().st_size == source.stat().st_size:
            return
        raise MoveRefused(f"{target} is there already, and differs from {source}")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f"{target.name}.moving")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
