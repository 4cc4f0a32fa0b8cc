"""Stores read without their models: a row is its JSON and a key is its text, as they stand in the files.

Only what needs no models is checked: strict JSON, no key twice, no change of a row that isn't there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from snaptable.changes.records import CommitRecord, Insert
from snaptable.errors import CorruptJournal, CorruptSnapshot
from snaptable.runtime.clock import StoreClock
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.format import GENESIS, Frame
from snaptable.storage.journal.reader import Ending
from snaptable.storage.raw_rows import RawTarget
from snaptable.storage.recovery import InapplicableChange, RecoveryResult, load_snapshot, recover, replay_commit
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import PAGE_ROWS, Pages, TablePages
from snaptable.values.row_lines import join_lines, lines_with_offsets, parse_line, split_lines

Rows = dict[str, dict[str, bytes]]
"""Each row's JSON, by table and key."""
OnProgress = Callable[[int], None]
"""Told the number of bytes read since the last call."""


def ignore_progress(_: int) -> None:
    """Do nothing: for reads whose progress is not shown."""


# ── a store without models ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class UntypedStore:
    """The state of a store, without models.

    Attributes:
        pages: its rows.
        id: the store's id, None before its first commit.
        sequence: sequence of its last commit.
        head_digest: digest of the journal frame that holds this commit.
        at: the time of that frame, or of the snapshot; "" if there is neither.
        header: header of the snapshot that was read, None if there was none.
        is_closed: whether the last process closed the store cleanly.
        is_torn: whether the journal ends in bytes that are not a whole frame.
    """

    pages: Pages
    id: str | None
    sequence: int = 0
    head_digest: str = GENESIS
    at: str = ""
    header: snapshot_format.SnapshotHeader | None = None
    is_closed: bool = True
    is_torn: bool = False

    @classmethod
    def of(cls, pages: Pages, state: RecoveryResult) -> "UntypedStore":
        """Return what recovery gave."""
        return cls(
            pages,
            state.store,
            state.sequence,
            state.head_digest,
            state.at,
            state.header,
            is_closed=state.ending is Ending.CLOSED,
            is_torn=state.ending is Ending.TORN,
        )

    def clock(self) -> StoreClock:
        """Return what gives the times of files that are written from here on."""
        return StoreClock(self.at)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return self.pages.counts()

    def apply_frame(self, frame: Frame) -> None:
        """Apply the commits of the journal frame that follows.

        Raises:
            CorruptJournal: a change doesn't fit the rows.
        """
        loader = UntypedLoader(self.pages, ignore_progress)
        for commit in frame.commits:
            where = f"sequence {commit.sequence}"
            try:
                replay_commit(commit, where, self.pages, loader, rebuilds=True)
            except InapplicableChange as error:
                raise CorruptJournal(f"{where}: {error}") from None
        self.sequence, self.head_digest, self.at = frame.last, frame.digest, frame.at

    def apply_commit(self, commit: CommitRecord, digest: str) -> None:
        """Apply the commit that follows, and take the digest of its frame."""
        for change in commit.changes:
            self.pages.tables.setdefault(change.table, TablePages())
        self.pages.apply(commit)
        self.sequence, self.head_digest = commit.sequence, digest


def empty_store(store: str, migrations: Iterable[str] = ()) -> UntypedStore:
    """Return the state of a store before its first commit, and before that of all but some migrations."""
    pages = Pages(())
    pages.take_note(migrations)
    return UntypedStore(pages, store)


def load_untyped(path: str, data: bytes) -> UntypedStore:
    """Return the state that a snapshot holds by itself; raises as `snapshot.format.read`."""
    pages = _empty_pages(path, data)
    loader = UntypedLoader(pages, ignore_progress)
    header = load_snapshot(path, data, pages, loader)
    loader.finish(pages.numbered)
    return UntypedStore.of(pages, RecoveryResult.of_snapshot(header, len(data)))


def recover_untyped(files: Files, snapshot: bytes | None, progress: OnProgress = ignore_progress) -> UntypedStore:
    """Return the state that opening the directory would begin with; raises as `recover`, and changes nothing."""
    pages = Pages(()) if snapshot is None else _empty_pages(str(files.path(names.SNAPSHOT)), snapshot)
    return UntypedStore.of(pages, recover(files, snapshot, pages, UntypedLoader(pages, progress)))


def _empty_pages(path: str, data: bytes) -> Pages:
    return Pages([section.table for section in snapshot_format.read(path, data).sections])


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class UntypedLoader(RawTarget):
    """The target of a recovery that has no models and trusts no line."""

    def __init__(self, pages: Pages, progress: OnProgress) -> None:
        """Begin.

        Args:
            pages: filled by recovery; tables that only the journal knows are added to it.
            progress: told the number of bytes done, now and then.
        """
        super().__init__(pages)
        self._progress = progress

    def load(self, section: snapshot_format.Section) -> list[tuple[bytes, list[str]]]:
        """Return a table's lines as pages, `(bytes, keys)` each; O(n).

        Raises:
            CorruptSnapshot: a line is not a row in strict JSON, or a key stands twice.
        """
        lines = _parse_lines(section)
        pages = []
        while page_lines := list(islice(lines, PAGE_ROWS)):
            page = join_lines(line for _, line in page_lines)
            pages.append((page, [key for key, _ in page_lines]))
            self._progress(len(page))
        return pages

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Check that no key is above the last number that was given out.

        Raises:
            CorruptSnapshot: one is.
        """
        for table, last in numbered.items():
            highest = highest_number(self._pages, table)
            if highest > last:
                raise CorruptSnapshot(
                    f"{table}: the last number given out is {last}, but there is a row {highest}; the header is damaged"
                )


def _parse_lines(section: snapshot_format.Section) -> Iterator[tuple[str, bytes]]:
    """Yield key and line of each row of a table."""
    keys: set[str] = set()
    for offset, line in lines_with_offsets(section.data, section.offset):
        try:
            key, _ = parse_line(section.table, line)
            if key in keys:
                raise ValueError(f"the key {key!r} stands twice in {section.table}")
        except ValueError as error:
            raise CorruptSnapshot(
                f"{section.path}, byte {offset}: {error}",
                path=section.path,
                line=section.line_at(offset),
                offset=offset,
            ) from None
        keys.add(key)
        yield key, line


def highest_number(pages: Pages, table: str) -> int:
    """Return the highest key of a table that numbers its keys, 0 if it has no rows."""
    keys = pages.tables[table].keys() if table in pages.tables else ()
    return max((int(key) for key in keys if key.isdecimal()), default=0)


# ── rows and pages ──────────────────────────────────────────────────────────────────────────────────────────────────


def rows_of(pages: Pages) -> Rows:
    """Return every row's JSON by table and key, in file order."""
    rows: Rows = {name: {} for name in pages.tables}
    for table, page in pages.lines():
        rows[table].update(parse_line(table, line) for line in split_lines(page))
    return rows


def pages_of(rows: Rows, numbered: Mapping[str, int], migrations: Iterable[str] = ()) -> Pages:
    """Return rows as the pages of a snapshot."""
    pages = Pages(list(rows))
    for table, by_key in rows.items():
        pages.apply_changes([Insert(table, key, row) for key, row in by_key.items()])
    pages.numbered.update(numbered)
    pages.take_note(migrations)
    return pages
