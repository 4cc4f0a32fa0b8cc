"""From files to the state they hold: snapshot, then the journal behind it; a doubt is an error, never an empty store.

What may be found wrong without anything being wrong: the last segment's end, torn by a crash. Its bytes are kept in
the quarantine, it is cut, synced, reported, and the start goes on. All else that does not verify is refused.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from snaptable.changes import Change, Commit
from snaptable.errors import CorruptJournal, CorruptSnapshot, SchemaMismatch, UnsupportedFormat
from snaptable.storage import history, journal, names, snapshot
from snaptable.storage.files import Files
from snaptable.storage.pages import Pages

logger = logging.getLogger("snaptable")


class Loader(Protocol):
    """Be what makes rows of what recovery reads: the engine's side."""

    def load(self, table: str, data: bytes, where: str) -> list[tuple[bytes, list[Any]]]:
        """Take a table's lines; return them as pages, `(bytes, keys)` each."""

    def apply(self, change: Mapping[str, Any], where: str) -> Change:
        """Take a journalled change; return it in its usual form."""

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Take note that all rows are there: build indexes, check constraints."""


@dataclass
class Torn:
    """Be the damaged end of the last segment."""

    first: int
    end: int
    """Where its whole frames end."""
    data: bytes


@dataclass
class Recovered:
    """Be the state on the disk, and what was found on the way."""

    store: str | None = None
    sequence: int = 0
    tip: str = journal.GENESIS
    header: snapshot.Header | None = None
    snapshot_bytes: int = 0
    replayed: int = 0
    clean: bool = True
    torn: Torn | None = None


def recover(files: Files, found: bytes | None, pages: Pages, loader: Loader) -> Recovered:
    """Load the snapshot and replay the journal behind it; change nothing on the disk.

    Args:
        files: the store's directory.
        found: content of the snapshot, None where there is none.
        pages: filled with the rows.
        loader: handed the rows.

    Raises:
        OpenError: naming file, byte offset and reason.
    """
    state = Recovered()
    segments = history.segments(files)
    if found is not None:
        _load_snapshot(files, found, pages, loader, state)
    elif segments:
        _begin_without_snapshot(files, segments, state)
    else:
        return state
    if segments:
        _Replay(files, pages, loader, state).run(segments)
    loader.finish(pages.numbered)
    return state


def _load_snapshot(files: Files, found: bytes, pages: Pages, loader: Loader, state: Recovered) -> None:
    path = str(files.path(names.SNAPSHOT))
    read = snapshot.read(path, found)
    unknown = [section.table for section in read.sections if section.data and section.table not in pages.tables]
    if unknown:
        raise SchemaMismatch(
            f"{path} holds rows of {', '.join(unknown)}, which the database doesn't have; nothing was changed"
        )
    for section in read.sections:
        if section.data:
            table = pages.tables[section.table]
            for data, keys in loader.load(section.table, section.data, f"{path}, byte {section.offset}"):
                table.load(data, keys)
        counted = len(pages.tables[section.table]) if section.table in pages.tables else 0
        if counted != read.header.rows[section.table]:
            raise CorruptSnapshot(
                f"{path}: {section.table} has {counted} rows, its header says {read.header.rows[section.table]}"
            )
    pages.numbered.update(read.header.numbered)
    state.header, state.snapshot_bytes = read.header, len(found)
    state.store, state.sequence, state.tip = read.header.store, read.header.sequence, read.header.tip


def _begin_without_snapshot(files: Files, segments: list[int], state: Recovered) -> None:
    snapshot_path, journal_path = files.path(names.SNAPSHOT), files.path(names.JOURNAL)
    if segments[0] != 1:
        raise CorruptSnapshot(
            f"{snapshot_path} is missing, and the journal begins at sequence {segments[0]}, so it can't be rebuilt: "
            f"put a copy of the snapshot back to repair that; to start afresh, move {journal_path} away"
        )
    logger.warning("%s is missing; it is rebuilt from the journal, which reaches back to the start", snapshot_path)
    state.clean = False


class _Replay:
    """Walk the journal from the snapshot on."""

    def __init__(self, files: Files, pages: Pages, loader: Loader, state: Recovered) -> None:
        self.files, self.pages, self.loader, self.state = files, pages, loader, state
        self.covered = state.sequence

    def run(self, segments: list[int]) -> None:
        """Replay what is newer than the snapshot."""
        reached = [first for first in segments if first <= self.covered + 1]
        if not reached:
            raise CorruptJournal(
                f"{self.files.path(names.JOURNAL)} begins at sequence {segments[0]}, the snapshot ends at "
                f"{self.covered}: {segments[0] - self.covered - 1} commits are missing between. The snapshot is an "
                f"older copy, or files of it are gone. Put the files that belong together back; to give the newer "
                f"commits up, move the journal away"
            )
        wanted = segments[segments.index(reached[-1]) :]
        position = self.covered if reached[-1] == self.covered + 1 else None
        for first, following in zip(wanted, [*wanted[1:], None], strict=True):
            position = self._segment(first, following, position)
        if position is not None and position < self.covered:
            # A snapshot is only ever written behind a synced frame.
            raise CorruptJournal(
                f"{self.files.path(names.JOURNAL)} ends at sequence {position}, the snapshot at {self.covered}: they "
                f"belong to different histories, or journal files were removed. Put the files that belong together "
                f"back; to go on from the snapshot alone, move the journal away"
            )

    def _segment(self, first: int, following: int | None, position: int | None) -> int:
        """Replay one segment up to the next one's beginning; return the sequence it reaches."""
        path = str(self.files.path(history.path_of(first)))
        data = self.files.read(history.path_of(first))
        found = journal.read_header(data)
        if found is None:
            # The header is synced before the file gets its name: no crash leaves this behind.
            raise CorruptJournal(f"{path}, byte 0: its first line is damaged; it was left as it is")
        header, end = found
        self._check_header(path, header, first, position)
        reached, chain, closed, tip = first - 1, header.previous, False, header.previous
        for frame in journal.read_frames(data, header, end):
            if frame.previous != chain or closed:
                raise CorruptJournal(f"{path}, byte {frame.offset}: a frame does not follow the one before it")
            if not frame.closed:
                if following is not None and frame.first >= following:
                    break  # given up when the next segment was begun: its sync had failed
                reached = self._frame(path, frame, reached)
                tip = frame.check
            chain, closed, end = frame.check, frame.closed, frame.end
        if following is None:
            self._check_end(path, first, data, header, end, closed=closed)
        elif reached != following - 1:
            raise CorruptJournal(
                f"{path}, byte {end}: sequence {reached + 1} is damaged or missing; the next file begins at {following}"
            )
        if reached >= self.state.sequence:
            self.state.sequence, self.state.tip = reached, tip
        return reached

    def _check_header(self, path: str, header: journal.Header, first: int, position: int | None) -> None:
        if header.format != names.FORMAT:
            raise UnsupportedFormat(f"{path} has format {header.format}; this version reads format {names.FORMAT}")
        if self.state.store is None:
            self.state.store = header.store
        if header.store != self.state.store:
            raise CorruptJournal(f"{path} belongs to another store ({header.store}); this one is {self.state.store}")
        if header.first != first:
            raise CorruptJournal(f"{path} says it begins at sequence {header.first}: it was renamed")
        if position is not None and header.previous != self.state.tip:
            raise CorruptJournal(f"{path} continues another history than that of sequence {position}")

    def _frame(self, path: str, frame: journal.Frame, reached: int) -> int:
        """Replay one frame, or pass over one that the snapshot covers; return its last sequence."""
        where = f"{path}, byte {frame.offset}"
        if frame.first != reached + 1 or frame.last - frame.first + 1 != len(frame.commits):
            raise CorruptJournal(
                f"{where}: sequence {reached + 1} is missing; the frame holds {frame.first} to {frame.last}"
            )
        if frame.first <= self.covered < frame.last or (
            frame.last == self.covered and frame.check != self._snapshot_tip()
        ):
            raise CorruptJournal(
                f"{where}: the snapshot of sequence {self.covered} belongs to another history than this journal"
            )
        if frame.first > self.covered:
            for commit in frame.commits:
                self._commit(commit, where)
            self.state.replayed += len(frame.commits)
        return frame.last

    def _snapshot_tip(self) -> str:
        return self.state.header.tip if self.state.header else journal.GENESIS

    def _commit(self, plain: Mapping[str, Any], where: str) -> None:
        changes = tuple(self.loader.apply(change, where) for change in plain["changes"])
        commit = Commit(plain["sequence"], changes, plain.get("numbered", {}))
        self.pages.apply(commit.changes)
        self.pages.numbered.update(commit.numbered)

    def _check_end(self, path: str, first: int, data: bytes, header: journal.Header, end: int, *, closed: bool) -> None:
        """Tell a torn end from damage; take note of it, and of whether the store was closed cleanly."""
        self.state.clean = closed
        if end == len(data):
            return
        if closed:
            raise CorruptJournal(
                f"{path}, byte {end}: {len(data) - end} bytes behind a clean close; it was left as it is"
            )
        later = journal.frame_after(data, header, end)
        if later is not None:
            raise CorruptJournal(
                f"{path}, byte {end}: damaged, and a whole frame (sequence {later.first}) follows at byte "
                f"{later.offset}: no torn end, but lost commits; it was left as it is"
            )
        self.state.torn = Torn(first, end, data[end:])


def mend(files: Files, state: Recovered) -> None:
    """Set a torn end aside, then cut it off; each step survives a crash behind it."""
    torn = state.torn
    if torn is None:
        return
    name = names.segment(torn.first)
    kept = history.keep_bytes(files, f"{name}-torn", torn.data)
    logger.warning(
        "Journal %s ends in %d bytes of a commit that was never acknowledged; kept as %s", name, len(torn.data), kept
    )
    file = files.append(history.path_of(torn.first))
    try:
        file.truncate(torn.end)
        file.sync()
    finally:
        file.close()
