"""From files to the state they hold: snapshot, then the journal behind it; a doubt is an error, never an empty store.

What may be found wrong without anything being wrong: the last segment's end, torn by a crash. Its bytes are kept in
the quarantine, what verifies is written anew, it is reported, and the start goes on. All else that does not verify is
refused.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from snaptable.changes import Change, Commit
from snaptable.errors import CorruptJournal, CorruptSnapshot, SchemaMismatch
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal import reader as journal_reader
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages

logger = logging.getLogger("snaptable")


class RecoveryTarget(Protocol):
    """Be what makes rows of what recovery reads: the engine's side."""

    def load(self, section: snapshot_format.Section, where: str) -> Iterable[tuple[bytes, list[Any]]]:
        """Take a table's lines; give them as pages, `(bytes, keys)` each."""

    def apply(self, change: Mapping[str, Any], where: str) -> Change:
        """Take a journalled change; return it in its usual form."""

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Take note that all rows are there: build indexes, check constraints."""


@dataclass
class TornTail:
    """Be the damaged end of the last segment."""

    first: int
    end: int
    """Where its whole frames end."""
    data: bytes


@dataclass
class RecoveryResult:
    """Be the state on the disk, and what was found on the way."""

    store: str | None = None
    sequence: int = 0
    tip: str = journal_format.GENESIS
    header: snapshot_format.SnapshotHeader | None = None
    snapshot_bytes: int = 0
    replayed: int = 0
    clean: bool = True
    torn: TornTail | None = None
    unsealed: tuple[int, bytes] | None = None
    """The last segment, where it was not closed: its first sequence, and the bytes of it that verify."""


def recover(files: Files, found: bytes | None, pages: Pages, loader: RecoveryTarget) -> RecoveryResult:
    """Load the snapshot and replay the journal behind it; change nothing on the disk.

    Args:
        files: the store's directory.
        found: content of the snapshot, None where there is none.
        pages: filled with the rows.
        loader: handed the rows.

    Raises:
        OpenError: naming file, byte offset and reason.
    """
    state = RecoveryResult()
    segments = journal_directory.segments(files)
    if found is not None:
        load_snapshot(str(files.path(names.SNAPSHOT)), found, pages, loader, state)
    elif segments:
        _begin_without_snapshot(files, segments, state)
    else:
        return state
    if segments:
        _Replay(files, pages, loader, state).run(segments)
    loader.finish(pages.numbered)
    return state


def load_snapshot(path: str, found: bytes, pages: Pages, loader: RecoveryTarget, state: RecoveryResult) -> None:
    """Verify a snapshot and load its rows; take note of its header in the state."""
    read = snapshot_format.read(path, found)
    unknown = [section.table for section in read.sections if not section.empty and section.table not in pages.tables]
    if unknown:
        raise SchemaMismatch(
            f"{path} holds rows of {', '.join(unknown)}, which the database doesn't have; nothing was changed"
        )
    for section in read.sections:
        if not section.empty:
            table = pages.tables[section.table]
            for data, keys in loader.load(section, f"{path}, byte {section.offset}"):
                table.load(data, keys)
        counted = len(pages.tables[section.table]) if section.table in pages.tables else 0
        if counted != read.header.rows[section.table]:
            raise CorruptSnapshot(
                f"{path}: {section.table} has {counted} rows, its header says {read.header.rows[section.table]}"
            )
    pages.numbered.update(read.header.numbered)
    state.header, state.snapshot_bytes = read.header, len(found)
    state.store, state.sequence, state.tip = read.header.store, read.header.sequence, read.header.tip


def _begin_without_snapshot(files: Files, segments: list[int], state: RecoveryResult) -> None:
    snapshot_path, journal_path = files.path(names.SNAPSHOT), files.path(names.JOURNAL)
    if segments[0] != 1:
        raise CorruptSnapshot(
            f"{snapshot_path} is missing, and the journal begins at sequence {segments[0]}, so it can't be rebuilt: "
            f"put a copy of the snapshot back to repair that, or see what {names.command('repair', files.root)} finds; "
            f"to start afresh, move {journal_path} away"
        )
    logger.warning("%s is missing; it is rebuilt from the journal, which reaches back to the start", snapshot_path)
    state.clean = False


class _Replay:
    """Walk the journal from the snapshot on."""

    def __init__(self, files: Files, pages: Pages, loader: RecoveryTarget, state: RecoveryResult) -> None:
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
                f"commits up, {names.command('repair', self.files.root)} sets the journal aside"
            )
        wanted = segments[segments.index(reached[-1]) :]
        tip = self.state.tip if reached[-1] == self.covered + 1 else None
        position = self.covered
        for first, following in zip(wanted, [*wanted[1:], None], strict=True):
            position, tip = self._segment(first, following, tip)
        if position < self.covered:
            # A snapshot is only ever written behind a synced frame.
            raise CorruptJournal(
                f"{self.files.path(names.JOURNAL)} ends at sequence {position}, the snapshot at {self.covered}: they "
                f"belong to different histories, or journal files were removed. Put the files that belong together "
                f"back; to go on from the snapshot alone, {names.command('repair', self.files.root)} sets the journal "
                f"aside"
            )

    def _segment(self, first: int, following: int | None, tip: str | None) -> tuple[int, str]:
        """Replay one segment up to the next one's beginning; return the sequence it reaches, and the check there."""
        file = journal_reader.begin(self.files, first, following, self.covered)
        file.check_follows(self.state.store, tip)
        self.state.store = file.header.store
        for frame in file.frames():
            self._frame(file.path, frame)
        if following is None:
            self.state.clean = file.closed
            self.state.unsealed = None if file.closed else (first, file.data[: file.end])
        if file.torn:
            self.state.torn = TornTail(first, file.end, file.data[file.end :])
        if file.reached >= self.state.sequence:
            self.state.sequence, self.state.tip = file.reached, file.tip
        return file.reached, file.tip

    def _frame(self, path: str, frame: journal_format.Frame) -> None:
        """Replay one frame, or pass over one that the snapshot covers."""
        where = f"{path}, byte {frame.offset}"
        if frame.first <= self.covered < frame.last or (
            frame.last == self.covered and frame.check != self._snapshot_tip()
        ):
            raise CorruptJournal(
                f"{where}: the snapshot of sequence {self.covered} belongs to another history than this journal"
            ).at(frame.offset)
        if frame.first > self.covered:
            for commit in frame.commits:
                apply_commit(commit, where, self.pages, self.loader)
            self.state.replayed += len(frame.commits)

    def _snapshot_tip(self) -> str:
        return self.state.header.tip if self.state.header else journal_format.GENESIS


def apply_commit(plain: Mapping[str, Any], where: str, pages: Pages, loader: RecoveryTarget) -> None:
    """Bring rows and pages up to a journalled commit."""
    changes = tuple(loader.apply(change, where) for change in plain["changes"])
    commit = Commit(plain["sequence"], changes, plain.get("numbered", {}))
    pages.apply(commit.changes)
    pages.numbered.update(commit.numbered)


def secure_tail(files: Files, state: RecoveryResult) -> None:
    """Set a torn end aside, and write what was read of a segment that was not closed anew.

    What was read may be in the page cache only: the process died before its sync, or the sync failed, after which
    another one reports success and writes nothing. So it goes to a new file, before anything is built on it.
    """
    torn = state.torn
    if torn is not None:
        name = names.segment(torn.first)
        kept = keep_bytes(files, f"{name}-torn", torn.data)
        logger.warning(
            "Journal %s ends in %d bytes of a commit that was never acknowledged; kept as %s",
            name,
            len(torn.data),
            kept,
        )
    if state.unsealed is not None:
        journal_directory.rewrite(files, *state.unsealed)
