"""A source's rows as COPY takes them: packed by this process and by a fork of it, half of each table each.

Packing is work of the processor alone, and Python does it on one at a time. The fork has the rows already; it writes
what it packs into files that both have open, and ends. Whatever it can't do (a row that can't go, a full disk) this
process does again by itself, and says why.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import IO

from pydantic import BaseModel

from snaptable.changes.records import Key
from snaptable.maintenance.moving.source import SourceTable
from snaptable.maintenance.moving.steps import MOST_NAMED, MoveRefused, Report
from snaptable.postgres.layout.column import Unstorable
from snaptable.postgres.layout.packing import SIGNATURE, TRAILER, Packer, joined

FORKED_ROWS = 20_000
"""From how many rows on a fork packs half of them; of fewer it would take longer than they do."""
SPOOL_BYTES = 256 << 20
"""Packed rows that are kept in memory until all of them are packed; more go to a temporary file."""
READ_BYTES = 1 << 18


class PackedTable:
    """The packed rows of one table, in parts that follow each other."""

    def __init__(self, parts: "list[IO[bytes]]") -> None:
        self._parts = parts

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return sum(part.seek(0, os.SEEK_END) for part in self._parts)

    def data(self) -> Iterator[bytes]:
        """Yield what COPY reads."""
        yield SIGNATURE
        for part in self._parts:
            part.seek(0)
            while data := part.read(READ_BYTES):
                yield data
        yield TRAILER


class Packing:
    """The packing of all tables; its files are there until its stack is closed."""

    def __init__(
        self, tables: Mapping[str, SourceTable], packers: Mapping[str, Packer], stack: ExitStack, report: Report
    ) -> None:
        self._tables, self._packers, self._stack, self._report = tables, packers, stack, report
        self._refused: list[str] = []

    def run(self) -> Mapping[str, PackedTable]:
        """Pack every row.

        Raises:
            MoveRefused: PostgreSQL has no place for some values; names table, key and field of the first ones.
        """
        rows = sum(len(table.rows) for table in self._tables.values())
        packed = self._by_two() if rows >= FORKED_ROWS and _may_fork() else None
        if packed is None:
            packed = {name: PackedTable([self._spool(name)]) for name in self._tables}
        if self._refused:
            count = len(self._refused)
            more = f"; and {count - MOST_NAMED:,} more" if count > MOST_NAMED else ""
            raise MoveRefused(f"rows that can't go to PostgreSQL: {'; '.join(self._refused[:MOST_NAMED])}{more}")
        return packed

    def _by_two(self) -> Mapping[str, PackedTable] | None:
        """Return the packed tables, whose first halves a fork packed; None if it could not."""
        halves = {name: len(table.rows) // 2 for name, table in self._tables.items()}
        files: dict[str, IO[bytes]] = {
            name: self._stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
            for name in self._tables
        }
        with _forked(lambda parent: self._pack_halves(halves, files, parent)) as fork:
            packed = {name: PackedTable([files[name], self._spool(name, halves[name])]) for name in self._tables}
            if not fork.succeeded():
                self._refused.clear()
                return None
        return packed

    def _spool(self, name: str, first: int = 0) -> "IO[bytes]":
        """Pack the rows of a table from a place on."""
        rows = self._tables[name].rows
        self._report.step(f"packing {name}", len(rows))
        self._report.done(first)  # by the fork
        spool = self._stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
        some = islice(rows.items(), first, None)
        for block in joined(self._packed_rows(name, self._report.through(some), first)):
            spool.write(block)
        return spool

    def _packed_rows(self, name: str, rows: Iterable[tuple[Key, BaseModel]], first: int) -> Iterator[bytes]:
        pack = self._packers[name].pack
        for place, (key, row) in enumerate(rows, first + 1):
            try:
                yield pack(row, place)
            except Unstorable as error:
                self._refused.append(f"{name}[{key!r}].{error.args[1]}: {error.args[0]}")

    def _pack_halves(self, halves: Mapping[str, int], files: "Mapping[str, IO[bytes]]", parent: int) -> None:
        """In the fork: pack the first halves, as long as the parent is there."""
        for name, half in halves.items():
            for block in joined(self._packed_rows(name, islice(self._tables[name].rows.items(), half), 0)):
                view = memoryview(block)
                while view:
                    view = view[files[name].write(view) :]
                if self._refused or os.getppid() != parent:
                    raise ForkEnded
        if self._refused:
            raise ForkEnded


class ForkEnded(Exception):
    """A fork that leaves its work to its parent."""


class _Fork:
    """A fork of this process."""

    def __init__(self, pid: int) -> None:
        self._pid: int | None = pid

    def succeeded(self) -> bool:
        """Wait for its end, and return whether it did all its work."""
        assert self._pid is not None
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        return os.waitstatus_to_exitcode(status) == 0

    def end(self) -> None:
        """End it, if it works still."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None


@contextmanager
def _forked(work: Callable[[int], None]) -> Iterator[_Fork]:
    """Give a fork that calls a function with the process id of its parent, and ends; it ends with the block."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(parent)
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's is flushed, closed or told twice
    fork = _Fork(pid)
    try:
        yield fork
    finally:
        fork.end()


def _may_fork() -> bool:
    """Return whether there is a second processor, and a fork has all that it needs: no other thread may hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1
