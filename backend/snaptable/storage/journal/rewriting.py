"""The journal written anew where history is to keep less than was committed: the segments that hold it, one by one.

Rewriting the line of a frame would break the chain behind it, by which damage and gaps are noticed. So a purged line
keeps its place in the chain: it has the digest that it was given when it was written, and a seal of what it holds now
(`format.encode_purged`). The header of its file says format 2: an older version refuses the file instead of taking it
for damaged.

A purge, step by step. A crash between any two of them leaves a store that opens with the present rows, and a journal
in which each segment is as it was or as it will be, whole, each frame following the one before it; the same call does
the rest. Until the last step nothing says that anything was purged.

1. The row that is to go is deleted, with what goes with it: an ordinary commit (`history/purge`).
2. A snapshot is written and synced, renamed, and its directory synced (`Checkpointer.checkpoint`). From here on no
   commit up to this one is needed to recover the present, so none that is purged is. It doesn't hold the row.
3. A new segment is begun: its header is written to a temporary file, synced, renamed, and the directory of the journal
   synced; then the room behind the last frame of the present segment is cut off. Its bytes needn't be
   synced: frames are, and the new segment bounds what counts of it. From here on all segments that hold
   commits to be purged aren't written to any more (`GroupCommit.begin_segment`).
4. Each segment that holds such commits is written anew, without what lies behind its last frame: to a temporary file,
   which is synced, then renamed over the old one, then the directory is synced, before the next segment is begun. The
   newest is the first: where keys are erased as well, a row whose insertion is gone, but not its deletion, would seem
   to have been there for ever.
   Between two of them commits go on; while one is written no segment is pruned, which the rename would bring back.
5. Temporary files that are left of writes that failed are removed: they may hold the row.
6. A commit that changes no row records which keys were purged, by digests, and up to which commit. Snapshots list them
   from then on, so that a backup from before can be restored without them.

Whoever purges at the same time, or deletes history, waits between two segments, and finds either the old file or the
new one.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from snaptable.changes.records import CommitRecord
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, SegmentHeader, encode_header, encode_purged
from snaptable.storage.journal.reader import SegmentReader

Rewritten = Callable[[CommitRecord], CommitRecord]
"""Returns what is to be kept of a commit: the commit itself, where that is all of it."""


def rewrite_segment(files: Files, first: int, following: int, until: int, rewritten: Rewritten) -> int:
    """Write a segment anew, if what is to be kept of its commits differs, and return how many frames do; O(size).

    Args:
        files: the store's directory.
        first: the first sequence of the segment.
        following: that of the next one: the segment is not the one that is being written.
        until: commits behind this one stay as they are.
        rewritten: what is to be kept of a commit.

    Raises:
        CorruptJournal: it is damaged.
        OSError, SyncFailed: the old or the new file is there, whole.
    """
    try:
        data = journal_directory.read(files, first)
    except FileNotFoundError:
        return 0  # it was pruned
    path = str(files.path(journal_directory.path_of(first)))
    reader = SegmentReader(path, data, first, following)
    frames = list(reader.frames())
    lines = {frame.offset: line for frame in frames if (line := _rewritten(reader.header, frame, until, rewritten))}
    # Behind the last frame lie commits that were given up: taken back, and told so. They may hold the row as well.
    if lines or len(data) > reader.end:
        journal_directory.rewrite(files, first, _composed(reader, lines, frames))
    return len(lines)


def _rewritten(header: SegmentHeader, frame: Frame, until: int, rewritten: Rewritten) -> bytes | None:
    """Return the new line of a frame; None if it stays as it is."""
    if frame.first > until:
        return None
    kept = tuple(rewritten(commit) if commit.sequence <= until else commit for commit in frame.commits)
    if all(one is other for one, other in zip(kept, frame.commits, strict=True)):
        return None
    return encode_purged(frame, kept, header.salt)


def _composed(reader: SegmentReader, lines: dict[int, bytes], frames: Iterable[Frame]) -> bytes:
    header, data = reader.header, reader.data
    if lines:
        header = replace(header, format=names.FORMAT_WITH_PAST, purged=True)
    start = data.index(b"\n") + 1
    parts = [encode_header(header)]
    for frame in frames:
        if frame.offset in lines:
            parts += [data[start : frame.offset], lines[frame.offset]]
            start = frame.end
    return b"".join([*parts, data[start : reader.end]])
