"""The plan of a repair: what can be saved of a damaged store, worked out without changing a byte.

The state to go on from is the best whole snapshot, or the empty store before the first commit, followed by the frames
that continue it without a gap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snaptable.errors import CorruptSnapshot, OpenError, SnapshotEdited, UnsupportedFormat
from snaptable.maintenance.journal_contents import (
    Position,
    SegmentContents,
    frames_after,
    newest_close,
    read_segments,
)
from snaptable.maintenance.losses import Losses, find_losses
from snaptable.maintenance.untyped import UntypedStore, empty_store, load_untyped, recover_untyped
from snaptable.storage import legacy
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.format import Frame
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.store import leftovers, read_snapshot


class Unrepairable(OpenError):
    """A store of which nothing can be saved safely; its files were left as they are."""


@dataclass(frozen=True)
class RepairPlan:
    """What a repair would leave, and what it would do for that.

    Attributes:
        store: the state that the repair leaves.
        origin: where this state comes from, in words.
        is_snapshot_damaged: whether the present snapshot is missing or not whole.
        damaged_line: the line of it, counted from 1, that is not what it should be; None if unknown.
        writes_snapshot: whether a new snapshot is written.
        replaced: the present snapshot's bytes, if a new one takes its place.
        quarantined: journal files that are moved to the quarantine, oldest first.
        cut: the journal file that is cut, and the byte where; None if none is.
        leftovers: files that were never finished; they are moved to the quarantine.
        losses: the commits that can't be saved.
    """

    store: UntypedStore
    origin: str
    is_snapshot_damaged: bool
    damaged_line: int | None
    writes_snapshot: bool
    replaced: bytes | None
    quarantined: tuple[SegmentContents, ...]
    cut: tuple[SegmentContents, int] | None
    leftovers: tuple[str, ...]
    losses: Losses

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.writes_snapshot or self.quarantined or self.cut or self.leftovers)

    def why_quarantined(self, segment: SegmentContents) -> str:
        """Return why a journal file is moved to the quarantine."""
        if segment.store not in (None, self.store.id):
            return "it belongs to another store"
        if segment.damage:
            return segment.damage
        if segment.first > self.store.sequence:
            return "its commits can't be applied any more"
        return "history that damage, or a gap, separates from the state"


def plan_repair(files: Files, *, discard_edit: bool = False) -> RepairPlan:
    """Return what a repair of a directory would do; nothing is changed. O(n).

    Args:
        files: the store's directory.
        discard_edit: treat a snapshot that was edited by hand as a damaged one.

    Raises:
        Unrepairable: nothing that could be done is safe.
        OpenError: a repair is not for this: a newer format, an edit, unsafe files.
    """
    # 1. The snapshot's state, if it is whole.
    snapshot = read_snapshot(files)
    store, error = _load_snapshot(files, snapshot, discard_edit=discard_edit)
    # 2. Everything that is whole in the journal, and the files that were never finished.
    segments, unfinished = read_segments(files), tuple(leftovers(files))
    # 3. The state to start from: the snapshot's, or the best that does without it.
    start = _Start(store, "the snapshot") if store else _find_substitute(files, snapshot, segments, unfinished, error)
    store, base = start.store, Position(start.store.sequence, start.store.head_digest)
    # 4. The state that the journal leads to from there.
    frames = _replay(store, segments)
    is_put_back = _is_put_back(base, store, segments) and error is None
    if is_put_back and not discard_edit:
        recover_untyped(files, snapshot)  # raises SnapshotEdited, with the times: it is for `accept` to decide
    # 5. What stays of the journal: files that lead to exactly this state, cut where it ends. All others go.
    kept = _leading_to(store, segments)
    quarantined, cut = tuple(segment for segment in segments if segment not in kept), _cut_of(kept)
    # 6. A new snapshot, if the present one is damaged or holds less than the files that go.
    writes = error is not None or is_put_back or (store.sequence > base.sequence and bool(quarantined or cut))
    # 7. The commits that are lost.
    applied = {frame.digest for frame in frames}
    losses = find_losses(segments, store, base=base, applied=applied, claimed_sequence=start.claimed_sequence)
    return RepairPlan(
        store=store,
        origin=start.origin + _describe_frames(frames),
        is_snapshot_damaged=error is not None,
        damaged_line=_line_of(error, snapshot),
        writes_snapshot=writes,
        replaced=snapshot if writes else None,
        quarantined=quarantined,
        cut=cut,
        leftovers=unfinished,
        losses=losses,
    )


def _replay(store: UntypedStore, segments: Sequence[SegmentContents]) -> list[Frame]:
    """Apply to a state the frames that continue it, and return them."""
    frames = frames_after(store, segments)
    for frame in frames:
        store.apply_frame(frame)
    return frames


def _describe_frames(frames: Sequence[Frame]) -> str:
    return f", and the commits {frames[0].first} to {frames[-1].last} of the journal" if frames else ""


def _is_put_back(base: Position, store: UntypedStore, segments: Sequence[SegmentContents]) -> bool:
    """Return whether the journal was closed cleanly after a snapshot, and leads there: the snapshot was put back."""
    close = newest_close(segments)
    return close is not None and base.sequence < close.last <= store.sequence


def verify_opens(files: Files) -> None:
    """Verify that a store which needs no repair opens; raises as `recover`."""
    recover_untyped(files, read_snapshot(files))


@dataclass(frozen=True)
class _Start:
    """The state that a repair starts from, its origin in words, and the sequence that a damaged snapshot claims."""

    store: UntypedStore
    origin: str
    claimed_sequence: int = 0


# ── the state to start from ─────────────────────────────────────────────────────────────────────────────────────────


def _load_snapshot(
    files: Files, snapshot: bytes | None, *, discard_edit: bool
) -> tuple[UntypedStore | None, OpenError | None]:
    """Return the state that the snapshot holds, or what is wrong with it."""
    path = str(files.path(names.SNAPSHOT))
    if snapshot is None:
        return None, CorruptSnapshot(f"{path} is missing", path=path)
    try:
        if snapshot_format.is_ours(snapshot):
            return load_untyped(path, snapshot), None
        legacy.parse(path, snapshot)
    except CorruptSnapshot as error:
        return None, error
    except SnapshotEdited as error:
        if discard_edit:
            return None, error
        raise
    raise UnsupportedFormat(f"{path} is of the older format; there is nothing to repair: open the store", path=path)


def _line_of(error: OpenError | None, snapshot: bytes | None) -> int | None:
    """Return the line of a snapshot that an error is about, if the file begins as one."""
    if error is None or error.offset is None or snapshot is None or not snapshot_format.is_ours(snapshot):
        return None
    return damage.locate(snapshot, error.offset).line


def _find_substitute(
    files: Files,
    snapshot: bytes | None,
    segments: Sequence[SegmentContents],
    unfinished: Sequence[str],
    error: OpenError | None,
) -> _Start:
    """Return the state that reaches furthest without the snapshot.

    Raises:
        Unrepairable: no state reaches even the first commit: a store without one is never what is left of a store.
    """
    claimed_store, claimed_sequence = snapshot_format.claimed(snapshot or b"")
    candidates = [
        *_empty_start(segments, claimed_store),
        *_unfinished_snapshots(files, unfinished, {segment.store for segment in segments} | {claimed_store}),
    ]
    reached = [_reachable_sequence(store, segments) for store, _ in candidates]
    if not any(reached):
        raise Unrepairable(str(error), path=files.path(names.SNAPSHOT))
    store, origin = candidates[reached.index(max(reached))]
    return _Start(store, origin, claimed_sequence)


def _empty_start(segments: Sequence[SegmentContents], claimed_store: str | None) -> Iterator[tuple[UntypedStore, str]]:
    """Yield the empty store, if the journal reaches back to the first commit."""
    if segments and segments[0].first == 1 and segments[0].store and claimed_store in (None, segments[0].store):
        yield empty_store(segments[0].store, segments[0].migrations), "the empty store before the first commit"


def _unfinished_snapshots(
    files: Files, unfinished: Sequence[str], stores: set[str | None]
) -> Iterator[tuple[UntypedStore, str]]:
    """Yield the snapshots that are whole, but were never renamed to the snapshot's name."""
    for name in unfinished:
        try:
            store = load_untyped(str(files.path(name)), files.read(name))
        except (OpenError, OSError):
            continue
        if store.id in stores:
            yield store, f"{name}, a whole snapshot of sequence {store.sequence} that a crash left"


def _reachable_sequence(store: UntypedStore, segments: Sequence[SegmentContents]) -> int:
    frames = frames_after(store, segments)
    return frames[-1].last if frames else store.sequence


# ── what stays of the journal ───────────────────────────────────────────────────────────────────────────────────────


def _leading_to(store: UntypedStore, segments: Sequence[SegmentContents]) -> list[SegmentContents]:
    """Return the journal files that lead, without a gap or damage, to exactly a state: the history that stays."""
    target = Position(store.sequence, store.head_digest)
    kept: list[SegmentContents] = []
    position: Position | None = None
    for segment in segments:
        if segment.first > target.sequence + 1:
            break
        end = segment.end_within(store)
        follows = position is not None and position == segment.start
        if position == target and not (end and follows):
            break
        kept = [*(kept if follows else []), segment] if end else []
        position = end
    return kept if position == target else []


def _cut_of(kept: Sequence[SegmentContents]) -> tuple[SegmentContents, int] | None:
    """Return the last of the files that stay and where its frames end, if there are bytes behind.

    No later file bounds it: whole frames behind that place would be replayed.
    """
    if not kept or kept[-1].reader is None:
        return None
    end = kept[-1].reader.end
    return (kept[-1], end) if end < len(kept[-1].data) else None
