"""What is done to the past of an open store: forgotten, rewritten, and searched for what is left of it.

The protocol of a purge is described in `journal/rewriting`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Generic

from snaptable.changes.records import CommitRecord
from snaptable.changes.retention import FoundText
from snaptable.errors import UnsafeDirectory
from snaptable.storage.commit_batch import U
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.group_commit import GroupCommit
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.rewriting import rewrite_segment
from snaptable.storage.store import remove_leftovers


class StorePast(Generic[U]):
    """The past of a store that is open to be written."""

    def __init__(self, files: Files, group_commit: GroupCommit[U]) -> None:
        self._files, self._log = files, group_commit

    def forget(self, moment: int) -> None:
        """Remove the segments that hold nothing but commits up to a moment, the oldest first.

        Raises:
            OSError: not all of them were removed; nothing else is lost.
            ReadOnlyStore, WriteFailed: writes are refused.
        """
        # 1. A snapshot, under a synced name, that covers all of them.
        self._log.checkpointer.checkpoint()
        with self._log.leader_lock:
            self._log.check_writable()
            # 2. The present segment goes as well if it holds nothing newer: another one follows it.
            if self._log.sequence <= moment:
                self._log.begin_segment()
            # 3. Each is gone for certain before the next one goes, so that no gap is left.
            covered = min(moment, self._log.checkpointer.saved.sequence)
            spans = journal_directory.spans(self._files)
            journal_directory.remove(
                self._files, [first for first, following in spans if following and following - 1 <= covered]
            )

    def rewrite(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Keep of the commits up to one what a function returns, and return how many frames that changed; O(journal).

        Raises:
            CorruptJournal: a segment is damaged; those behind it are rewritten.
            OSError: not all of them were rewritten; the same call does the rest.
            ReadOnlyStore, WriteFailed: writes are refused.
        """
        # The steps 2 to 5 of a purge.
        self._log.checkpointer.checkpoint()
        with self._log.leader_lock:
            self._log.check_writable()
            self._log.begin_segment()
        count = 0
        # The newest first: where keys go too, a row must not lose its insertion before its deletion.
        for first in reversed(journal_directory.segments(self._files)):
            with self._log.leader_lock:
                self._log.check_writable()
                following = dict(journal_directory.spans(self._files)).get(first)
                if first <= until and following is not None:
                    count += rewrite_segment(self._files, first, following, until, rewritten)
        with self._log.leader_lock, self._log.checkpointer.paused():
            self._log.check_writable()
            remove_leftovers(self._files)
        return count


# ── what is left ────────────────────────────────────────────────────────────────────────────────────────────────────

MOST_TEXTS = 100
"""Texts that are looked for within longer ones; of more, the shorter ones are found as whole JSON strings only."""
MOST_PLACES = 1000
"""Places that are listed."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_UNSEARCHED = (names.LOCK, names.SOCKET)
_UNREADABLE = (".zip", ".age", ".gz")


def search(files: Files, texts: Collection[bytes]) -> list[FoundText]:
    """Return where texts stand in any file below a store's directory; at most `MOST_PLACES`. O(bytes · texts), in C.

    Args:
        files: the store's directory.
        texts: as JSON spells them, without quotes.
    """
    ordered = sorted(set(texts), key=len, reverse=True)
    within, whole = ordered[:MOST_TEXTS], {b'"%b"' % text: text for text in ordered[MOST_TEXTS:]}
    return list(islice(_places(files, within, whole), MOST_PLACES))


def _places(files: Files, within: list[bytes], whole: Mapping[bytes, bytes]) -> Iterator[FoundText]:
    for name in _files_below(files, ""):
        try:
            data = None if name.endswith(_UNREADABLE) else files.read(name)
        except (OSError, UnsafeDirectory):
            data = None
        if data is None:
            yield FoundText(name, None, b"")
            continue
        present = {text: text for text in within if text in data}
        if whole:
            present |= {quoted: whole[quoted] for quoted in whole.keys() & set(_STRING.findall(data))}
        yield from (FoundText(name, line, present[needle]) for line, needle in _lines_with(data, present))


def _lines_with(data: bytes, needles: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each line that has any of some texts, and the first of them that stands there."""
    hits = sorted((position, needle) for needle in needles for position in islice(_lines_of(data, needle), MOST_PLACES))
    number, counted, last = 1, 0, 0
    for position, needle in hits:
        number, counted = number + data.count(b"\n", counted, position), position
        if number != last:
            last = number
            yield number, needle


def _lines_of(data: bytes, needle: bytes) -> Iterator[int]:
    """Yield where a text first stands in each line that has it."""
    position = data.find(needle)
    while position >= 0:
        yield position
        end = data.find(b"\n", position)
        position = data.find(needle, end) if end >= 0 else -1


def _files_below(files: Files, folder: str) -> Iterator[str]:
    """Yield the names of all files below a folder."""
    listed = [f"{folder}{name}" for name in files.list(folder)]
    if not folder:
        listed = list(dict.fromkeys([*listed, names.JOURNAL, names.QUARANTINE, names.BEFORE]))
    for name in listed:
        if files.path(name).is_symlink():
            continue  # nothing of the store's own is one
        try:
            inside = files.list(f"{name}/")
        except NotADirectoryError:
            inside = []
        if inside:
            yield from _files_below(files, f"{name}/")
        elif files.identity(name) is not None and name not in _UNSEARCHED and not files.path(name).is_dir():
            yield name
