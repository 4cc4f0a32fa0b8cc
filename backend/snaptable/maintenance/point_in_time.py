"""A closed store taken back to a moment: its snapshot written as of then, and its journal cut behind that commit.

For a copy that isn't open: a crash half-way leaves files that don't belong together. Rows are led back by what
each change says was there before it. Numbers that were given out since are not given out again.
"""

from collections.abc import Collection
from dataclasses import dataclass

from snaptable.changes.records import CommitRecord
from snaptable.history.moments import Moment, sequence_of
from snaptable.history.rewind import former_json, touched
from snaptable.maintenance.shared_steps import write_snapshot
from snaptable.maintenance.untyped import UntypedStore, pages_of, rows_of
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.commits import JournalCommits
from snaptable.storage.journal.format import Frame, encode_frame
from snaptable.storage.journal.reader import SegmentReader


@dataclass(frozen=True)
class CommitsAgo:
    """A moment that is counted back from the last commit."""

    count: int


def rewind(files: Files, store: UntypedStore, moment: Moment | CommitsAgo) -> UntypedStore:
    """Take a store back to a moment, and return its state there; O(n), and O(commits since).

    Args:
        files: its directory.
        store: its present state.
        moment: a sequence, an aware time, or some commits ago.

    Raises:
        ValueError, HistoryGone: as `History.at`.
        OSError: the files could not be written.
    """
    commits = JournalCommits(files, lambda: store.sequence)
    sequence = sequence_of(store.sequence - moment.count if isinstance(moment, CommitsAgo) else moment, commits)
    if sequence == store.sequence:
        return store
    # 1. The rows as of then.
    rows = rows_of(store.pages)
    for (table, key), (oldest, _) in touched(commits, sequence, store.sequence, as_written=True).items():
        former, of_table = former_json(oldest), rows.setdefault(table, {})
        if former is None:
            of_table.pop(str(key), None)
        else:
            of_table[str(key)] = former
    later = {name for timed in commits.newest_first(sequence, store.sequence) for name in timed.record.named_migrations}
    migrations = [name for name in store.pages.migrations if name not in later]
    # 2. The journal up to there.
    digest, at = _cut(files, sequence)
    # 3. The snapshot.
    pages = pages_of(rows, store.pages.numbered, migrations)
    pages.marks = store.pages.marks
    pages.take_note_of_erased(store.pages.erased)
    there = UntypedStore(pages, store.id, sequence, digest, at or store.at)
    write_snapshot(files, there)
    return there


def without_rows(files: Files, store: UntypedStore, tables: Collection[str]) -> UntypedStore:
    """Empty tables that have no past, and return the state without their rows; O(n), nothing if they have none."""
    filled = [name for name in tables if name in store.pages.tables and len(store.pages.tables[name])]
    if not filled:
        return store
    rows = {name: {} if name in filled else by_key for name, by_key in rows_of(store.pages).items()}
    pages = pages_of(rows, store.pages.numbered, store.pages.migrations)
    pages.take_note_of_erased(store.pages.erased)
    pages.marks = store.pages.marks
    emptied = UntypedStore(pages, store.id, store.sequence, store.head_digest, store.at)
    write_snapshot(files, emptied)
    return emptied


def _cut(files: Files, sequence: int) -> tuple[str, str]:
    """Cut the journal behind a commit, and return the digest and the time of the frame that ends there then."""
    spans = journal_directory.spans(files)
    later = [first for first, _ in spans if first > sequence]
    holding = [span for span in spans if span[0] <= sequence]
    if holding:
        digest, at = _cut_segment(files, *holding[-1], sequence)
    else:
        # The moment before the first commit that is kept: the first segment says what it continues.
        digest, at = _segment(files, later[0], None).header.previous_digest, ""
    journal_directory.remove(files, later)
    return digest, at


def _cut_segment(files: Files, first: int, following: int | None, sequence: int) -> tuple[str, str]:
    segment = _segment(files, first, following)
    frame = next(frame for frame in segment.frames() if frame.last >= sequence)
    if frame.last == sequence:
        journal_directory.rewrite(files, first, segment.data[: frame.end])
        return frame.digest, frame.at
    # A frame holds what one sync made durable, which may be several commits: the first of them become a frame.
    line, digest = _shortened(frame, segment, sequence)
    journal_directory.rewrite(files, first, segment.data[: frame.offset] + line)
    return digest, frame.at


def _shortened(frame: Frame, segment: SegmentReader, sequence: int) -> tuple[bytes, str]:
    kept: list[CommitRecord] = [commit for commit in frame.commits if commit.sequence <= sequence]
    return encode_frame(kept, frame.at, frame.previous_digest, segment.header.salt)


def _segment(files: Files, first: int, following: int | None) -> SegmentReader:
    path = str(files.path(journal_directory.path_of(first)))
    return SegmentReader(path, journal_directory.read(files, first), first, following)
