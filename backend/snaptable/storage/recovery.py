"""Recovery: from files to the state they hold, the snapshot first, then the journal behind it.

Whatever does not verify is an error, never an empty store. There is one exception: the end of the last segment, torn by
a crash. Its bytes are kept in the quarantine, the frames before it are written anew, it is reported, and the start
continues.
"""

import json
import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from snaptable.changes.records import ChangeRecord, CommitRecord, Insert, Key, PurgedChange
from snaptable.errors import CorruptJournal, CorruptSnapshot, SchemaMismatch
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import GENESIS, Frame
from snaptable.storage.journal.reader import Ending, JournalReader, SegmentReader
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.format import Section, SnapshotHeader
from snaptable.storage.snapshot.pages import Pages

logger = logging.getLogger("snaptable")


class RecoveryTarget(Protocol):
    """What makes rows of what recovery reads: the engine's side."""

    def load(self, section: Section, /) -> Iterable[tuple[bytes, list[Key]]]:
        """Load a table's lines; yield them as pages, bytes and keys of each.

        Raises:
            CorruptSnapshot: a line is not a row.
            SchemaMismatch: rows do not fit their model.
        """

    def parse_key(self, table: str, text: str, where: str) -> Key:
        """Return the key that a journalled text stands for; `where` is for messages.

        Raises:
            SchemaMismatch: the table is unknown.
        """

    def apply(self, change: ChangeRecord, key: Key, where: str) -> ChangeRecord:
        """Apply a journalled change, and return it as it would be written today.

        Args:
            change: as the journal has it, with the key's text and the row's JSON.
            key: the key. A row has it, unless the change is an insertion.
            where: file and offset, for messages.

        Raises:
            SchemaMismatch: the row does not fit its model.
        """

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Build indexes and check constraints, now that all rows are there.

        Args:
            numbered: the last number given out, by table.

        Raises:
            SchemaMismatch: a constraint does not hold.
        """


@dataclass(frozen=True)
class RecoveryResult:
    """The state on the disk, and where it was read from.

    Attributes:
        store: id of the store; None if there is none yet.
        sequence: the last commit.
        head_digest: digest of the frame that holds it.
        at: the time of that frame, or of the snapshot; "" if there is neither.
        header: header of the snapshot; None if there is none.
        snapshot_bytes: size of the snapshot.
        replayed: how many commits only the journal held.
        ending: how the journal ends.
        unclosed_segment: the last segment, unless it was closed cleanly.
    """

    store: str | None = None
    sequence: int = 0
    head_digest: str = GENESIS
    at: str = ""
    header: SnapshotHeader | None = None
    snapshot_bytes: int = 0
    replayed: int = 0
    ending: Ending = Ending.CLOSED
    unclosed_segment: SegmentReader | None = None

    @classmethod
    def of_snapshot(cls, header: SnapshotHeader, size: int) -> "RecoveryResult":
        """Return the state of a snapshot of `size` bytes, without a journal."""
        return cls(header.store, header.sequence, header.head_digest, header.saved_at, header, size)

    @property
    def closed_cleanly(self) -> bool:
        """Whether the process before closed the store."""
        return self.ending is Ending.CLOSED


def recover(files: Files, snapshot: bytes | None, pages: Pages, target: RecoveryTarget) -> RecoveryResult:
    """Load the snapshot and replay the journal behind it; nothing on the disk is changed. O(n).

    Args:
        files: the store's directory.
        snapshot: content of the snapshot, None if there is none.
        pages: empty; filled with the rows.
        target: loaded with the rows.

    Raises:
        OpenError: naming file, byte offset and reason.
    """
    has_journal = bool(journal_directory.segments(files))
    if snapshot is None and not has_journal:
        return RecoveryResult()
    # 1. The snapshot; without it, the journal from its start.
    if snapshot is not None:
        header = load_snapshot(str(files.path(names.SNAPSHOT)), snapshot, pages, target)
        result = RecoveryResult.of_snapshot(header, len(snapshot))
    else:
        _check_reaches_start(files)
        result = RecoveryResult()
    # 2. What only the journal holds.
    if has_journal:
        result = _Replay(files, pages, target, result).run()
    # 3. What needs all rows: indexes, constraints.
    try:
        target.finish(pages.numbered)
    except SchemaMismatch as error:
        error.path = str(files.path(names.SNAPSHOT))
        raise
    return result


# ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────────


def load_snapshot(path: str, data: bytes, pages: Pages, target: RecoveryTarget) -> SnapshotHeader:
    """Verify a snapshot, load its rows into pages and target, and return its header; O(n).

    Raises:
        CorruptSnapshot, SnapshotEdited, UnsupportedFormat: it does not verify.
        SchemaMismatch: it holds rows that the target has no table or model for.
    """
    snapshot = snapshot_format.read(path, data)
    _check_tables_known(path, snapshot, pages)
    for section in snapshot.sections:
        table = pages.tables.get(section.table)
        if table is not None and not section.empty:
            table.load(target.load(section))
        count = len(table) if table is not None else 0
        expected = snapshot.header.rows[section.table]
        if count != expected:
            raise CorruptSnapshot(
                f"{path}: {section.table} has {count} row{'s' * (count != 1)}, its header says {expected}",
                path=path,
                line=section.line,
                offset=section.offset,
            )
    pages.numbered.update(snapshot.header.numbered)
    pages.take_note(snapshot.header.migrations)
    pages.take_note_of_erased(snapshot.header.erased)
    if pages.marks is None:
        pages.marks = snapshot.header.marks
    return snapshot.header


def _check_tables_known(path: str, snapshot: snapshot_format.Snapshot, pages: Pages) -> None:
    unknown = [section for section in snapshot.sections if not section.empty and section.table not in pages.tables]
    if unknown:
        tables = [section.table for section in unknown]
        raise SchemaMismatch(
            f"{path} holds rows of {', '.join(tables)}, which the database doesn't have; nothing was changed. "
            f"Is this another program's directory? {advice_for_unknown_tables(path, tables)}, then "
            f"{names.command('accept', path.rpartition('/')[0])}",
            path=path,
            line=unknown[0].line,
            offset=unknown[0].offset,
        )


def advice_for_unknown_tables(path: str, tables: Iterable[str]) -> str:
    """Return what to do about tables that a file holds and the database doesn't."""
    paths = [f".{table}" if table.isascii() and table.isidentifier() else f".[{json.dumps(table)}]" for table in tables]
    filters, file = shlex.quote(f"del({', '.join(paths)})"), shlex.quote(path)
    return (
        f"If not, add them to the database; or take them out: jq {filters} {file} > edited.json && "
        f"mv edited.json {file}"
    )


def _check_reaches_start(files: Files) -> None:
    """Check that the journal can rebuild a snapshot that is missing."""
    path, first = files.path(names.SNAPSHOT), journal_directory.segments(files)[0]
    if first != 1:
        raise CorruptSnapshot(
            f"{path} is missing, and the journal begins at sequence {first}, so it can't be rebuilt: put a copy of the "
            f"snapshot back to repair that, or see what {names.command('repair', files.root)} finds; to start afresh, "
            f"move {files.path(names.JOURNAL)} away",
            path=path,
        )
    logger.warning("%s is missing; it is rebuilt from the journal, which reaches back to the start", path)


# ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Replay:
    """The replay of the commits that the snapshot does not hold."""

    def __init__(self, files: Files, pages: Pages, target: RecoveryTarget, start: RecoveryResult) -> None:
        self._pages, self._target, self._start = pages, target, start
        self._path, self._directory = files.path(names.JOURNAL), files.root
        self._snapshot_path = str(files.path(names.SNAPSHOT))
        self._journal = JournalReader(files, after=start.sequence, store=start.store, head_digest=start.head_digest)
        self._replayed = 0
        self._close: Frame | None = None
        """The mark of the last clean close."""

    def run(self) -> RecoveryResult:
        """Replay, and return the state at the journal's end."""
        self._check_begins_in_time()
        for each in self._journal.segments():
            self._pages.take_note(each.header.migrations or ())
            for frame in each.frames():
                self._replay_frame(frame)
            self._close = each.clean_close or self._close
        segment = self._journal.segment
        assert segment is not None
        self._check_not_put_back()
        self._check_reaches_snapshot(segment)
        ending = segment.ending or Ending.OPEN
        return RecoveryResult(
            store=segment.header.store,
            sequence=segment.last_sequence,
            head_digest=segment.head_digest,
            at=max(self._start.at, segment.last_at),
            header=self._start.header,
            snapshot_bytes=self._start.snapshot_bytes,
            replayed=self._replayed,
            ending=ending,
            unclosed_segment=None if ending is Ending.CLOSED else segment,
        )

    def _check_begins_in_time(self) -> None:
        checkpoint, first = self._start.sequence, self._journal.first
        assert first is not None
        missing = first - checkpoint - 1
        if missing > 0:
            raise CorruptJournal(
                f"{self._path} begins at sequence {first}, the snapshot ends at {checkpoint}: "
                f"{missing} {'commit is' if missing == 1 else 'commits are'} missing between. The snapshot is an older "
                f"copy, or files of it are gone. Put the files that belong together back; to give the newer commits "
                f"up, {names.command('repair', self._directory)} sets the journal aside",
                path=self._path,
            )

    def _check_not_put_back(self) -> None:
        # The mark of a clean close is written behind a snapshot of that very sequence, whose name is durable.
        header, close = self._start.header, self._close
        if header is not None and close is not None and header.sequence < close.last:
            raise damage.put_back(self._snapshot_path, header.sequence, header.saved_at, close.last, close.at)

    def _check_reaches_snapshot(self, segment: SegmentReader) -> None:
        # A snapshot is only ever written behind a synced frame.
        if segment.last_sequence < self._start.sequence:
            raise CorruptJournal(
                f"{self._path} ends at sequence {segment.last_sequence}, the snapshot at {self._start.sequence}: the "
                f"journal was copied before the snapshot while the store was open, or journal files were removed, or "
                f"they belong to different histories. The snapshot is whole by itself: "
                f"{names.command('repair', self._directory)} continues from it and sets the journal aside; or put the "
                f"files that belong together back",
                path=self._path,
            )

    def _replay_frame(self, frame: Frame) -> None:
        """Replay one frame, or pass over one that the snapshot covers."""
        checkpoint, segment = self._start.sequence, self._journal.segment
        assert segment is not None
        if frame.first <= checkpoint < frame.last or (
            frame.last == checkpoint and frame.digest != self._start.head_digest
        ):
            raise segment.damage(
                frame.offset, f"the snapshot of sequence {checkpoint} belongs to another history than this journal"
            )
        if frame.first > checkpoint:
            where = f"{segment.path}, byte {frame.offset}"
            try:
                for commit in frame.commits:
                    replay_commit(commit, where, self._pages, self._target)
            except InapplicableChange as error:
                raise segment.damage(frame.offset, str(error)) from None
            except SchemaMismatch as error:
                error.path, error.offset = segment.path, frame.offset
                raise
            self._replayed += len(frame.commits)


class InapplicableChange(ValueError):
    """A journalled change that does not fit the rows: an insertion of a row that is there, or a change of none."""


def replay_commit(
    commit: CommitRecord, where: str, pages: Pages, target: RecoveryTarget, *, rebuilds: bool = False
) -> None:
    """Apply a journalled commit to rows and pages.

    Args:
        commit: as the journal has it.
        where: file and offset, for messages.
        pages: the rows before it.
        target: likewise.
        rebuilds: take purged changes for deletions: a row that was purged is in the end in no state. Whoever asks for
            that knows that the states between are not what they were.

    Raises:
        InapplicableChange: a change does not fit the rows, or was purged.
        SchemaMismatch: a row does not fit its model, or the table is unknown.
    """
    purged = [change for change in commit.changes if isinstance(change, PurgedChange)]
    if purged and not rebuilds:
        raise InapplicableChange(
            f"commit {commit.sequence} was purged, and is needed: the snapshot that came after it is missing, or was "
            f"replaced by an older one. Put it back; or let the command repair rebuild the rows that were not purged"
        )
    wanted = [change for change in commit.changes if not isinstance(change, PurgedChange) or _exists(change, pages)]
    changes = tuple(_replay_change(change, where, pages, target) for change in wanted)
    pages.apply(replace(commit, changes=changes))


def _exists(change: PurgedChange, pages: Pages) -> bool:
    return change.table in pages.tables and change.key in pages.tables[change.table]


def _replay_change(change: ChangeRecord, where: str, pages: Pages, target: RecoveryTarget) -> ChangeRecord:
    key = target.parse_key(change.table, change.key, where)
    exists = key in pages.tables[change.table]
    if isinstance(change, Insert) == exists:
        verb, state = type(change).__name__.lower(), "is there already" if exists else "isn't there"
        raise InapplicableChange(f"{verb} of {change.table}[{change.key!r}], which {state}")
    return target.apply(change, key, where)


def secure_tail(files: Files, result: RecoveryResult) -> None:
    """Set a torn tail aside, and write the whole frames of a segment that was not closed anew.

    These may be in the page cache only: the process died before its sync, or the sync failed, after which another one
    reports success and writes nothing. So they go to a new file, before anything is built on them.

    Raises:
        OSError: the store can't be opened; nothing is lost.
    """
    segment = result.unclosed_segment
    if segment is None:
        return
    if result.ending is Ending.TORN:
        name, torn = names.segment(segment.first), segment.torn_bytes
        kept = keep_bytes(files, f"{name}-torn", torn)
        logger.warning(
            "Journal %s ends in %d bytes of a commit that was never acknowledged; kept as %s", name, len(torn), kept
        )
    journal_directory.rewrite(files, segment.first, segment.data[: segment.end])
