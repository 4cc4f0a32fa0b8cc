"""A store's state at one commit, captured as files while commits go on: what a backup holds.

The snapshot is composed of what it is handed, so it is of one commit, and complete. The journal is cut behind that very
commit. It is read from the newest file to the oldest, because old files are pruned meanwhile: what is gone then, or
damaged, ends the history of the copy, and leaves no gap in it.

Files in folders beside the store are listed before and after the state is taken, so that a file is among them that was
written before a row names it, and is removed after the last row that does.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from snaptable.changes.captures import Capture, CapturedFile
from snaptable.errors import CorruptJournal, UnsafeDirectory, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, decode_frames
from snaptable.storage.journal.reader import SegmentReader
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.format import SnapshotHeader

logger = logging.getLogger("snaptable")

READ_BYTES = 1 << 20
"""Bytes of a file that are read at a time."""

Content = tuple[SnapshotHeader, Mapping[str, Sequence[ChecksummedBytes]]]
"""A snapshot's header, and the lines of each table."""


def capture(files: Files | None, folders: Sequence[str], take: Callable[[], Content]) -> Capture:
    """Return a state as files; what they hold is read when they are.

    Args:
        files: the store's directory; None for a state without one.
        folders: names of folders in it.
        take: gives the state.

    Raises:
        OSError, UnsafeDirectory: the folders can't be read.
    """
    before = _listed(files, folders)
    header, tables = take()
    beside = dict.fromkeys((*before, *_listed(files, folders)))
    return Capture(
        header.store, header.sequence, header.saved_at, dict(header.rows), _files(files, header, tables, beside)
    )


def _listed(files: Files | None, folders: Sequence[str]) -> list[str]:
    return [] if files is None else [name for folder in folders for name in files.walk(folder)]


def _files(
    files: Files | None,
    header: SnapshotHeader,
    tables: Mapping[str, Sequence[ChecksummedBytes]],
    beside: Mapping[str, None],
) -> Iterator[CapturedFile]:
    size = sum(part.size for parts in tables.values() for part in parts)
    yield CapturedFile(names.SNAPSHOT, size, lambda: _snapshot(header, tables))
    if files is None:
        return
    yield from _journal(files, header)
    for name in beside:
        identity = files.identity(name)
        yield CapturedFile(name, identity.size if identity else 0, partial(_content, files, name))


def _snapshot(header: SnapshotHeader, tables: Mapping[str, Sequence[ChecksummedBytes]]) -> Iterator[bytes]:
    return (b"".join(buffers) for buffers in snapshot_format.chunks(header, tables))


def _content(files: Files, name: str) -> Iterator[bytes]:
    with files.open(name) as file:
        while data := file.read(READ_BYTES):
            yield data


def _journal(files: Files, header: SnapshotHeader) -> Iterator[CapturedFile]:
    """Yield the segments up to a snapshot's commit, the newest first; the history ends at one that is gone or damaged.

    The newest must lead to that very commit: without it the journal is left out, and the snapshot is whole by itself.
    """
    last, digest = header.sequence, header.head_digest
    for first, following in reversed(journal_directory.spans(files)):
        if first > last:
            continue  # what was committed since, or nothing at all
        try:
            data, previous_digest = _segment_up_to(files, header.store, first, following, last, digest)
        except FileNotFoundError:
            return  # pruned meanwhile
        except (CorruptJournal, UnsupportedFormat, UnsafeDirectory) as error:
            logger.warning("A copy of the store has no history before commit %d: %s", last, error)
            return
        yield CapturedFile(journal_directory.path_of(first), len(data), partial(iter, (data,)))
        last, digest = first - 1, previous_digest


def _segment_up_to(
    files: Files, store: str, first: int, following: int | None, last: int, digest: str
) -> tuple[bytes, str]:
    """Return a segment's bytes up to a commit, verified, and the digest that it continues from.

    Args:
        files: the store's directory.
        store: the store's id.
        first: the segment's first commit.
        following: that of the next segment.
        last: the commit.
        digest: that of the frame that ends there.

    Raises:
        CorruptJournal: it doesn't lead there.
        FileNotFoundError: it was removed.
    """
    path = files.path(journal_directory.path_of(first))
    data = journal_directory.read(files, first)
    segment = SegmentReader(str(path), data, first, following, checkpoint_sequence=last)
    segment.check_follows(store, None)
    for frame in segment.frames():
        if frame.last == last and frame.digest == digest:
            return data[: _end_of_close(segment, frame)], segment.header.previous_digest
    raise segment.damage(segment.end, f"it doesn't lead to commit {last} as it was captured")


def _end_of_close(segment: SegmentReader, frame: Frame) -> int:
    """Return where the mark of a clean close behind a frame ends; where the frame does, if there is none."""
    following = next(decode_frames(segment.data, segment.header, frame.end), None)
    return following.end if following is not None and following.closed else frame.end
