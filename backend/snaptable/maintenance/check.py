"""Everything in a directory verified, without the lock, without the models, and without changing a byte.

Whether the store would open is judged by opening's own code. Beyond that every journal file is walked, history too,
and every file that is damaged is named, not just the first.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from snaptable.errors import CorruptJournal, OpenError, UnsafeDirectory
from snaptable.maintenance.untyped import UntypedStore, recover_untyped
from snaptable.storage import legacy
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, Identity
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal import reader as journal_reader
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.store import read_snapshot

PAUSES = (0.02, 0.1, 0.5)
"""Seconds before reading again, where a writer has moved on while we read."""
MOST_ROWS = 50
"""Damaged rows that are named one by one."""

Progress = Callable[[int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """Be something that was found, and where.

    A problem keeps the store from opening, or is damage or loss; a notice is neither.
    """

    severity: Literal["problem", "notice"]
    file: str
    """Name below the store's directory, "" for the directory itself."""
    reason: str
    byte: int | None = None
    line: int | None = None
    table: str | None = None
    key: str | None = None

    def json(self) -> dict[str, Any]:
        """Return what is known of it, for machines."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class Report:
    """Be what was found in a directory.

    Attributes:
        findings: problems and notices.
        raw: the state that opening would begin with, None where it would be refused.
        bytes: size of the snapshot, None where there is none.
        files: journal files.
        history: the first and the last sequence they hold.
    """

    findings: list[Finding] = field(default_factory=list)
    raw: UntypedStore | None = None
    bytes: int | None = None
    files: int = 0
    history: tuple[int, int] | None = None

    @property
    def torn(self) -> bool:
        """Whether the journal ends in no whole frame."""
        return self.raw is not None and self.raw.state.torn is not None

    @property
    def problems(self) -> list[Finding]:
        """What makes the store unsound."""
        return [found for found in self.findings if found.severity == "problem"]

    @property
    def notices(self) -> list[Finding]:
        """What somebody may want to know."""
        return [found for found in self.findings if found.severity == "notice"]


def check_store(files: Files, progress: Progress = lambda _: None) -> Report:
    """Return what is found in a store's directory; reads again where a writer moved on meanwhile."""
    return read_until_stable(
        files, lambda: _StoreCheck(files, progress).run(), lambda report: bool(report.problems) or report.torn
    )


def read_until_stable(files: Files, look: Callable[[], T], doubtful: Callable[[T], bool]) -> T:
    """Return what a look at the files gives; looks again where that is doubtful and a writer moved on meanwhile."""
    for pause in PAUSES:
        before = fingerprint(files)
        found = look()
        if not doubtful(found) or fingerprint(files) == before:
            return found
        time.sleep(pause)
    return look()


def fingerprint(files: Files) -> list[Identity | None]:
    """Return what changes whenever a writer goes on."""
    try:
        segments = journal_directory.segments(files)
    except OSError:
        return []
    return [files.identity(name) for name in (names.SNAPSHOT, *map(journal_directory.path_of, segments))]


class _StoreCheck:
    """Go through a directory once."""

    def __init__(self, files: Files, progress: Progress) -> None:
        self.files, self.progress, self.report = files, progress, Report()
        self.found: bytes | None = None
        self.header: snapshot_format.SnapshotHeader | None = None
        self.known: set[str] = set()
        """Why journal files were refused, to the letter."""

    def run(self) -> Report:
        """Look at everything."""
        try:
            self._permissions()
            old = self._snapshot()
            self._journal()
            if not old:
                self._opening()
            self._leftovers()
            self._quarantine()
        except OSError as error:  # a folder that is none, or may not be read
            self._add("problem", "", str(error))
        return self.report

    def _add(self, severity: Literal["problem", "notice"], file: str, reason: str, byte: int | None = None) -> None:
        place = {"byte": byte, "line": None, "table": None, "key": None}
        if byte is not None and file == names.SNAPSHOT and self.found is not None:
            place |= vars(snapshot_format.locate(self.found, byte))
        for said in (f"{self.files.path(file)}, byte {byte}: ", f"{self.files.path(file)}: "):
            reason = reason.removeprefix(said)
        if all((found.file, found.reason) != (file, reason) for found in self.report.findings):
            self.report.findings.append(Finding(severity, file, reason, **place))  # type: ignore[arg-type]

    def _permissions(self) -> None:
        for name in ("", *(known for known in (names.JOURNAL, names.QUARANTINE) if self.files.identity(known))):
            try:
                warning = self.files.check_directory(name)
            except UnsafeDirectory as error:
                self._add("problem", name, str(error))
                continue
            if warning:
                self._add("notice", name, warning)
        for name in (
            names.SNAPSHOT,
            names.LOCK,
            *map(journal_directory.path_of, journal_directory.segments(self.files)),
        ):
            try:
                self.files.inspect(name)
            except UnsafeDirectory as error:
                self._add("problem", name, str(error))
            exposed = self.files.exposed(name)
            if exposed:
                self._add("notice", name, exposed)

    # ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────

    def _snapshot(self) -> bool:
        """Look at the snapshot by itself; return whether it is one of the older stop-gap."""
        path = str(self.files.path(names.SNAPSHOT))
        try:
            self.found = read_snapshot(self.files)
            if self.found is None:
                return False
            self.report.bytes = len(self.found)
            if not snapshot_format.is_ours(self.found):
                maps = legacy.parse(path, self.found)
                self._add("notice", names.SNAPSHOT, _stopgap_notice(maps))
                return True
            self.header = snapshot_format.read(path, self.found).header
        except (OpenError, OSError) as error:
            self._add("problem", names.SNAPSHOT, str(error), getattr(error, "offset", None))
            self._rows()
        return False

    def _rows(self) -> None:
        """Name each line that is no row, where the file as a whole is damaged."""
        named = {found.line for found in self.report.findings if found.key is not None}
        for count, (offset, reason) in enumerate(snapshot_format.damaged_rows(self.found or b"")):
            if snapshot_format.locate(self.found or b"", offset).line in named:
                continue
            if count == MOST_ROWS:
                self._add("problem", names.SNAPSHOT, "… and more lines like these")
                return
            self._add("problem", names.SNAPSHOT, f"this line is no row: {reason}", offset)

    # ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _journal(self) -> None:
        """Walk every file, history too; one that is damaged does not keep the others from being looked at."""
        spans = journal_directory.spans(self.files)
        self.report.files = len(spans)
        store = self.header.store if self.header else None
        tip = journal_format.GENESIS if spans and spans[0][0] == 1 else None
        for first, following in spans:
            name = journal_directory.path_of(first)
            try:
                file = journal_reader.begin(self.files, first, following)
                tip = self._walk(file, store, tip)
                store = store or file.header.store
                self.report.history = (spans[0][0], file.reached)
            except (OpenError, OSError) as error:
                self.known.add(str(error))
                self._add("problem", name, self._advised(error, following), getattr(error, "offset", None))
                tip = None

    def _walk(self, file: journal_reader.SegmentReader, store: str | None, tip: str | None) -> str:
        file.check_follows(store, tip)
        for frame in file.frames():
            self.progress(frame.end - frame.offset)
        if file.torn:
            size = len(file.data) - file.end
            self._add(
                "notice",
                journal_directory.path_of(file.first),
                f"the last {size} bytes are no whole frame: a write torn by a crash, never acknowledged, or one that "
                f"is on its way right now; the next start sets them aside",
                file.end,
            )
        return file.tip

    def _advised(self, error: Exception, following: int | None) -> str:
        repair = names.command("repair", self.files.root)
        covered = self.header is not None and following is not None and following - 1 <= self.header.sequence
        if isinstance(error, CorruptJournal) and covered:
            return f"{error}. It is history: the snapshot holds all of it, and the store opens; {repair} sets it aside"
        return f"{error}; {repair} says what can be saved" if isinstance(error, CorruptJournal) else str(error)

    # ── together ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _opening(self) -> None:
        """Do what opening does, and take note of why it would be refused, unless that is known by now."""
        if self.found is not None and self.header is None:
            return
        try:
            self.report.raw = recover_untyped(self.files, self.found, self.progress)
        except (OpenError, OSError) as error:
            if str(error) not in self.known:
                file = names.JOURNAL if isinstance(error, CorruptJournal) else names.SNAPSHOT
                self._add("problem", file, str(error), getattr(error, "offset", None))
            return
        if self.found is None and self.report.files:
            self._add(
                "notice",
                names.SNAPSHOT,
                "it is missing; the journal reaches back to the start, and the next start rebuilds it",
            )

    # ── what else lies there ────────────────────────────────────────────────────────────────────────────────────────

    def _leftovers(self) -> None:
        for name in leftovers(self.files):
            self._add("notice", name, "a file that was never finished; the next start removes it")

    def _quarantine(self) -> None:
        for name in self.files.list(names.QUARANTINE):
            path = f"{names.QUARANTINE}/{name}"
            whole = whole_snapshot(self.files, path)
            size = (self.files.identity(path) or (0, 0, 0, 0))[2]
            what = f"; a whole snapshot of sequence {whole.header.sequence}" if whole else ""
            self._add("notice", path, f"kept aside, {size:,} bytes{what}; nothing reads it, remove it when you like")


def leftovers(files: Files) -> Iterator[str]:
    """Yield the names of files that a crash kept from being finished."""
    for folder in ("", f"{names.JOURNAL}/"):
        for name in filter(names.is_temporary, files.list(folder)):
            yield folder + name


def whole_snapshot(files: Files, name: str) -> snapshot_format.Snapshot | None:
    """Return the snapshot that a file holds, None where it isn't a whole one."""
    try:
        data = files.read(name)
        return snapshot_format.read(os.fspath(files.path(name)), data) if snapshot_format.is_ours(data) else None
    except (OpenError, OSError):
        return None


def _stopgap_notice(maps: dict[str, dict[str, Any]]) -> str:
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in maps.items())
    return f"a file of the older format ({counts}); the next start takes it over and keeps its bytes"
