"""Everything in a directory verified, without the lock, without the models, and without changing a byte.

Whether the store would open is decided by the code that opens it. Beyond that every journal file is read, history too,
and every damaged file is named, not only the first.
"""

import os

from snaptable.errors import CorruptJournal, OpenError, UnsafeDirectory
from snaptable.maintenance.findings import CheckReport, Finding, Severity
from snaptable.maintenance.stable_read import read_until_stable
from snaptable.maintenance.untyped import OnProgress, ignore_progress, recover_untyped
from snaptable.storage import legacy
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal.reader import Ending, JournalReader, SegmentReader
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.store import directories, leftovers, read_snapshot

MAX_DAMAGED_ROWS = 50
"""Damaged rows that are named one by one."""


def check_store(files: Files, progress: OnProgress = ignore_progress) -> CheckReport:
    """Return the findings in a store's directory, read again if a writer changed the files meanwhile; O(n).

    Args:
        files: the store's directory; nothing in it is changed.
        progress: told the number of bytes read, now and then.
    """
    return read_until_stable(
        files,
        lambda: _StoreCheck(files, progress).run(),
        lambda report: bool(report.problems) or report.is_torn,
    )


class _StoreCheck:
    """One pass over a directory."""

    def __init__(self, files: Files, progress: OnProgress) -> None:
        self.files, self.progress, self.report = files, progress, CheckReport()
        self.snapshot: bytes | None = None
        self.header: snapshot_format.SnapshotHeader | None = None
        self.journal_errors: set[str] = set()
        """Why journal files were refused, to the letter: opening says the same."""
        self._known: set[tuple[str, str]] = set()
        """File and reason of each finding."""

    def run(self) -> CheckReport:
        """Check everything."""
        try:
            # 1. Who else can read or write the files.
            self._check_permissions()
            # 2. The snapshot by itself.
            is_legacy = self._check_snapshot()
            # 3. Every journal file by itself, and that each follows the one before it.
            self._check_journal()
            # 4. Both together, as opening reads them.
            if not is_legacy:
                self._check_opening()
            # 5. What else lies in the directory.
            self._list_leftovers()
            self._list_quarantine()
        except OSError as error:  # a file in place of a folder, or a folder that may not be read
            self._add("problem", "", str(error))
        return self.report

    def _add(
        self, severity: Severity, file: str, reason: str, offset: int | None = None, line: int | None = None
    ) -> None:
        """Add a finding, unless the same is there."""
        path = self.files.path(file)
        for prefix in (f"{path}, byte {offset}: ", f"{path}: ", f"{path} "):
            reason = reason.removeprefix(prefix)
        if (file, reason) in self._known:
            return
        self._known.add((file, reason))
        if offset is None or file != names.SNAPSHOT or self.snapshot is None:
            self.report.findings.append(Finding(severity, file, reason, offset, line))
            return
        place = damage.locate(self.snapshot, offset)
        self.report.findings.append(Finding(severity, file, reason, offset, place.line, place.table, place.key))

    def _add_error(self, file: str, error: OpenError | OSError, reason: str | None = None) -> None:
        offset, line = (error.offset, error.line) if isinstance(error, OpenError) else (None, None)
        self._add("problem", file, reason or str(error), offset, line)

    # ── permissions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_permissions(self) -> None:
        for folder in directories(self.files):
            try:
                warning = self.files.check_directory(folder)
            except UnsafeDirectory as error:
                self._add_error(folder, error)
            else:
                self._add_warning(folder, warning)
        segments = map(journal_directory.path_of, journal_directory.segments(self.files))
        for file in (names.SNAPSHOT, names.LOCK, *segments):
            try:
                self.files.inspect(file)
            except UnsafeDirectory as error:
                self._add_error(file, error)
            self._add_warning(file, self.files.exposed(file))

    def _add_warning(self, file: str, warning: str | None) -> None:
        if warning:
            self._add("notice", file, warning)

    # ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_snapshot(self) -> bool:
        """Check the snapshot by itself; return whether it is one of the older format."""
        path = str(self.files.path(names.SNAPSHOT))
        try:
            self.snapshot = read_snapshot(self.files)
            if self.snapshot is None:
                return False
            self.report.snapshot_bytes = len(self.snapshot)
            if not snapshot_format.is_ours(self.snapshot):
                maps = legacy.parse(path, self.snapshot)
                self._add("notice", names.SNAPSHOT, _legacy_notice({name: len(rows) for name, rows in maps.items()}))
                return True
            self.header = snapshot_format.read(path, self.snapshot).header
        except (OpenError, OSError) as error:
            self._add_error(names.SNAPSHOT, error)
            self._add_damaged_rows(self.snapshot or b"")
        return False

    def _add_damaged_rows(self, snapshot: bytes) -> None:
        """Name each line that is not a row, when the file as a whole is damaged."""
        named = {finding.line for finding in self.report.findings if finding.key is not None}
        for count, (offset, reason) in enumerate(damage.damaged_rows(snapshot)):
            if damage.locate(snapshot, offset).line in named:
                continue
            if count == MAX_DAMAGED_ROWS:
                self._add("problem", names.SNAPSHOT, "… and more lines like these")
                return
            self._add("problem", names.SNAPSHOT, f"this line is not a row: {reason}", offset)

    # ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_journal(self) -> None:
        """Read every file, history too; a damaged one does not keep the others from being read."""
        spans = journal_directory.spans(self.files)
        self.report.segments = len(spans)
        store = self.header.store if self.header else None
        journal = JournalReader(self.files, store=store, head_digest=journal_format.GENESIS)
        followers = dict(spans)

        def add_damage(first: int, error: OpenError | OSError) -> None:
            """Add why a segment can't be read."""
            self.journal_errors.add(str(error))
            self._add_error(journal_directory.path_of(first), error, self._with_advice(error, followers.get(first)))

        for reader in journal.segments(add_damage):
            try:
                self._check_segment(reader)
                self.report.sequences = (spans[0][0], reader.last_sequence)
            except CorruptJournal as error:
                add_damage(reader.first, error)

    def _check_segment(self, reader: SegmentReader) -> None:
        """Check one file from its header to its end."""
        for frame in reader.frames():
            self.progress(frame.end - frame.offset)
        if reader.ending is Ending.TORN:
            self._add(
                "notice",
                journal_directory.path_of(reader.first),
                f"the last {len(reader.torn_bytes)} bytes are not a whole frame: a write torn by a crash, never "
                f"acknowledged, or one that is on its way right now; the next start sets them aside",
                reader.end,
            )

    def _with_advice(self, error: Exception, following: int | None) -> str:
        """Return an error's message, and what to do about a damaged file."""
        if not isinstance(error, CorruptJournal):
            return str(error)
        repair = names.command("repair", self.files.root)
        if self.header is not None and following is not None and following - 1 <= self.header.sequence:
            return f"{error}. It is history: the snapshot holds all of it, and the store opens; {repair} sets it aside"
        return f"{error}; {repair} says what can be saved"

    # ── both together ───────────────────────────────────────────────────────────────────────────────────────────────

    def _check_opening(self) -> None:
        """Recover the store as opening does; add why that is refused, unless a file was named for it already."""
        if self.snapshot is not None and self.header is None:
            return
        try:
            self.report.store = recover_untyped(self.files, self.snapshot, self.progress)
        except (OpenError, OSError) as error:
            if str(error) not in self.journal_errors:
                self._add_error(names.JOURNAL if isinstance(error, CorruptJournal) else names.SNAPSHOT, error)
            return
        if self.snapshot is None and self.report.segments:
            self._add(
                "notice",
                names.SNAPSHOT,
                "it is missing; the journal reaches back to the start, and the next start rebuilds it",
            )

    # ── what else lies there ────────────────────────────────────────────────────────────────────────────────────────

    def _list_leftovers(self) -> None:
        for name in leftovers(self.files):
            self._add("notice", name, "a file that was never finished; the next start removes it")

    def _list_quarantine(self) -> None:
        for name in self.files.list(names.QUARANTINE):
            file = f"{names.QUARANTINE}/{name}"
            size = (self.files.identity(file) or (0, 0, 0, 0))[2]
            sequence = _snapshot_sequence(self.files, file)
            what = "" if sequence is None else f"; a whole snapshot of sequence {sequence}"
            self._add("notice", file, f"kept aside, {size:,} bytes{what}; nothing reads it, remove it when you like")


def _snapshot_sequence(files: Files, name: str) -> int | None:
    """Return the sequence of the snapshot that a file holds, None if it is not a whole snapshot."""
    try:
        data = files.read(name)
        if not snapshot_format.is_ours(data):
            return None
        return snapshot_format.read(os.fspath(files.path(name)), data).header.sequence
    except (OpenError, OSError):
        return None


def _legacy_notice(counts: dict[str, int]) -> str:
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"a file of the older format ({listed}); the next start takes it over and keeps its bytes"
