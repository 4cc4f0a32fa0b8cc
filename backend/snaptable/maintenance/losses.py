"""The commits that a repair can't save, each named as far as anything is left of it."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from snaptable.maintenance.journal_contents import Position, SegmentContents
from snaptable.maintenance.untyped import UntypedStore
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal import reader as journal_reader
from snaptable.storage.journal.reader import CommitSummary

__all__ = ["CommitSummary", "Losses", "find_losses"]


@dataclass(frozen=True)
class Losses:
    """The commits that are not in the state a repair leaves.

    Attributes:
        whole: commits that are whole in the journal, but can't be applied any more.
        damaged: commits of which only damaged text is left; what it says may be wrong.
        gaps: first and last of the sequences nothing is left of.
    """

    whole: tuple[CommitSummary, ...] = ()
    damaged: tuple[CommitSummary, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is lost."""
        return bool(self.whole or self.damaged or self.gaps)


def find_losses(
    segments: Sequence[SegmentContents],
    store: UntypedStore,
    *,
    base: Position,
    applied: Collection[str],
    claimed_sequence: int,
) -> Losses:
    """Return the commits that are in no part of a repaired state; O(n).

    Args:
        segments: the journal.
        store: the repaired state.
        base: the snapshot that it was built on.
        applied: digests of the frames that were applied to that.
        claimed_sequence: the sequence that the header of a damaged snapshot speaks of, else 0.
    """
    covered = _covered_sequence(segments, base)
    whole: list[CommitSummary] = []
    damaged: list[CommitSummary] = []
    for segment in segments:
        is_foreign = segment.store not in (None, store.id)
        for frame in segment.whole_frames:
            if frame.digest not in applied and (is_foreign or frame.last > covered):
                whole.extend(journal_reader.summaries_of(frame))
        if segment.damage:
            readable = _read_damaged_frames(segment)
            damaged.extend(commit for commit in readable if is_foreign or commit.sequence > store.sequence)
    named = sorted({commit.sequence for commit in (*whole, *damaged) if commit.sequence > store.sequence})
    return Losses(tuple(whole), tuple(damaged), tuple(_gaps(store.sequence, named, claimed_sequence)))


def _covered_sequence(segments: Sequence[SegmentContents], base: Position) -> int:
    """Return up to which sequence a snapshot holds the journal's commits: its own, or 0 if it is of another history."""
    digests = [frame.digest for segment in segments for frame in segment.whole_frames if frame.last == base.sequence]
    return base.sequence if not digests or base.digest in digests else 0


def _read_damaged_frames(segment: SegmentContents) -> Iterator[CommitSummary]:
    """Yield what the lines that don't verify say, if they can still be read."""
    whole = {frame.offset for frame in segment.whole_frames}
    offset = 0
    for line in segment.data.splitlines(keepends=True):
        if offset not in whole and line.startswith(b'{"frame":['):
            try:
                plain = json.loads(line)
                for commit in plain["commits"]:
                    yield CommitSummary.of(journal_format.decode_commit(commit), str(plain["at"]))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                pass  # nothing readable is left of the rest of the line
        offset += len(line)


def _gaps(reached: int, named: Sequence[int], claimed: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of sequences, after what is reached, that no commit names."""
    for sequence in (*named, max(claimed, *named, reached) + 1):
        if sequence > reached + 1:
            yield reached + 1, sequence - 1
        reached = max(reached, sequence)
