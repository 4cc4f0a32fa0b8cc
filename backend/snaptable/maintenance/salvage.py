"""What can be saved of a damaged store, worked out without changing a byte.

Every frame that is whole proves itself, wherever it lies, and names the one before it. So the state to go on from is
the best whole snapshot, or the empty store before the first commit, followed by the frames that continue it without a
gap. Frames that were given up (a later file begins with their sequence) are never followed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from snaptable.errors import CorruptJournal, CorruptSnapshot, OpenError, SnapshotEdited, UnsupportedFormat
from snaptable.maintenance.check import leftovers
from snaptable.maintenance.untyped import UntypedStore, empty_store, load_untyped
from snaptable.storage import legacy
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal import reader as journal_reader
from snaptable.storage.journal.reader import CommitSummary
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.store import read_snapshot


@dataclass(eq=False)
class SegmentContents:
    """Be one journal file, and everything in it that is whole.

    Attributes:
        walked: the walk as far as it got, None where not even the header verifies.
        frames: the frames up to the first damage.
        later: whole frames behind it.
        broken: what is wrong with it, None where nothing is.
    """

    first: int
    data: bytes
    walked: journal_reader.SegmentReader | None = None
    frames: list[journal_format.Frame] = field(default_factory=list)
    later: list[journal_format.Frame] = field(default_factory=list)
    broken: str | None = None

    @property
    def name(self) -> str:
        """Its name below the store's directory."""
        return journal_directory.path_of(self.first)

    @property
    def whole(self) -> list[journal_format.Frame]:
        """Every frame in it that verifies."""
        return self.frames + self.later

    @property
    def store(self) -> str | None:
        """The store it belongs to, None where that can't be read."""
        return self.walked.header.store if self.walked else None


@dataclass
class RepairPlan:
    """Be what a repair would leave, and what it would do for that.

    Attributes:
        raw: the state the store will have, None where nothing is safe.
        refusal: why nothing is safe.
        origin: where that state comes from, in words.
        replace: whether a new snapshot is written.
        former: the present snapshot's bytes, where a new one takes its place.
        damaged: whether they are not whole.
        aside: journal files that are set aside whole, oldest first.
        cut: the journal file that is cut, and where, None where none is.
        leftovers: files that were never finished.
        lost: commits that are whole in the journal and can't be applied any more, by sequence.
        unreadable: commits of which only the damaged text is left; what it says may be wrong.
        missing: first and last of the sequences nothing is left of.
    """

    raw: UntypedStore | None = None
    refusal: str = ""
    origin: str = ""
    replace: bool = False
    former: bytes | None = None
    damaged: bool = False
    aside: list[SegmentContents] = field(default_factory=list)
    cut: tuple[SegmentContents, int] | None = None
    leftovers: list[str] = field(default_factory=list)
    lost: list[CommitSummary] = field(default_factory=list)
    unreadable: list[CommitSummary] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)

    def why(self, piece: SegmentContents) -> str:
        """Return why a journal file is set aside."""
        assert self.raw is not None
        if piece.store not in (None, self.raw.state.store):
            return "it belongs to another store"
        if piece.broken:
            return piece.broken
        if piece.first > self.raw.state.sequence:
            return "its commits can't be applied any more"
        return "history that leads to the state no more: damage, or a gap, lies between"

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.replace or self.aside or self.cut or self.leftovers)


def plan(files: Files, *, discard_edit: bool = False) -> RepairPlan:
    """Return what a repair of a directory would do.

    Args:
        files: the store's directory.
        discard_edit: take a snapshot that was edited by hand for a damaged one.

    Raises:
        OpenError: it is nothing a repair could mend: a newer format, an edit, unsafe files.
    """
    path = str(files.path(names.SNAPSHOT))
    found = read_snapshot(files)
    current, reason = _current(path, found, discard_edit=discard_edit)
    pieces = pieces_of(files)
    made = RepairPlan(leftovers=list(leftovers(files)))
    base, made.origin = (current, "the snapshot") if current else _older(files, pieces, found)
    claimed = snapshot_format.claimed(found)[1] if found is not None and current is None else 0
    if base is None:
        made.refusal = reason or f"{path} is missing"
        return made
    made.damaged = current is None
    _go_on(made, base, pieces, found, claimed)
    return made


def _go_on(
    made: RepairPlan, base: UntypedStore, pieces: Sequence[SegmentContents], found: bytes | None, claimed: int
) -> None:
    """Follow the journal from a state, and decide what stays and what goes."""
    began, tip = base.state.sequence, base.state.tip
    chain = _extend(base, pieces)
    if chain:
        made.origin += f", and the commits {began + 1} to {base.state.sequence} of the journal"
    made.raw = base
    kept = _kept(pieces, base)
    made.aside = [piece for piece in pieces if piece not in kept]
    if kept:
        # The last file speaks for what comes next: what lies behind its end would come to life.
        last = kept[-1]
        if last.walked and last.walked.end < len(last.data):
            made.cut = (last, last.walked.end)
    made.replace = made.damaged or (base.state.sequence > began and bool(made.aside or made.cut))
    made.former = found if made.replace else None
    _name_lost(made, pieces, _contained(pieces, began, tip), {frame.check for frame in chain}, claimed)


# ── what there is ───────────────────────────────────────────────────────────────────────────────────────────────────


def _current(path: str, found: bytes | None, *, discard_edit: bool) -> tuple[UntypedStore | None, str]:
    """Return the state that the snapshot holds, or None and what is wrong with it."""
    if found is None:
        return None, ""
    try:
        if not snapshot_format.is_ours(found):
            legacy.parse(path, found)
            raise UnsupportedFormat(f"{path} is of the older format; there is nothing to repair: open the store")
        return load_untyped(path, found), ""
    except CorruptSnapshot as error:
        return None, str(error)
    except SnapshotEdited as error:
        if discard_edit:
            return None, str(error)
        raise


def pieces_of(files: Files) -> list[SegmentContents]:
    """Return the journal's files, and what is whole in them."""
    return [_piece(files, first, following) for first, following in journal_directory.spans(files)]


def _piece(files: Files, first: int, following: int | None) -> SegmentContents:
    """Return what is whole in a journal file, wherever in it."""
    piece = SegmentContents(first, journal_directory.read(files, first))
    try:
        piece.walked = journal_reader.SegmentReader(str(files.path(piece.name)), piece.data, first, following)
        piece.frames.extend(piece.walked.frames())
    except CorruptJournal as error:
        piece.broken = str(error)
    if piece.walked and piece.broken:
        start = piece.walked.end
        while frame := journal_format.frame_after(piece.data, piece.walked.header, start):
            start = frame.end
            if not frame.closed and (following is None or frame.first < following):
                piece.later.append(frame)
    return piece


def _older(files: Files, pieces: Sequence[SegmentContents], found: bytes | None) -> tuple[UntypedStore | None, str]:
    """Return the best state that does without the snapshot: one that was never renamed, or none and every commit."""
    store = snapshot_format.claimed(found)[0] if found else None
    candidates = []
    if pieces and pieces[0].first == 1 and pieces[0].store and store in (None, pieces[0].store):
        candidates.append((empty_store(pieces[0].store), "the empty store before the first commit"))
    known = {piece.store for piece in pieces} | {store}
    for name in leftovers(files):
        try:
            raw = load_untyped(str(files.path(name)), files.read(name))
        except (OpenError, OSError):
            continue
        if raw.state.store in known:
            candidates.append((raw, f"{name}, a whole snapshot of sequence {raw.state.sequence} that a crash left"))
    reached = [(_reach(raw, pieces), raw, origin) for raw, origin in candidates]
    best = max(reached, key=lambda candidate: candidate[0], default=None)
    # A store without any commit is never what is left of a damaged one.
    return (best[1], best[2]) if best and best[0] > 0 else (None, "")


def _reach(raw: UntypedStore, pieces: Sequence[SegmentContents]) -> int:
    chain = chain_of(raw, pieces)
    return chain[-1].last if chain else raw.state.sequence


def chain_of(raw: UntypedStore, pieces: Sequence[SegmentContents]) -> list[journal_format.Frame]:
    """Return the frames that continue a state, each naming the one before it."""
    following = {
        (frame.first, frame.previous): frame
        for piece in pieces
        if piece.store == raw.state.store
        for frame in piece.whole
    }
    chain, sequence, tip = [], raw.state.sequence, raw.state.tip
    while frame := following.get((sequence + 1, tip)):
        chain.append(frame)
        sequence, tip = frame.last, frame.check
    return chain


def _extend(raw: UntypedStore, pieces: Sequence[SegmentContents]) -> list[journal_format.Frame]:
    chain = chain_of(raw, pieces)
    for frame in chain:
        raw.apply(frame)
    return chain


# ── what stays ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _kept(pieces: Sequence[SegmentContents], raw: UntypedStore) -> list[SegmentContents]:
    """Return the journal files that lead, without a gap or damage, to exactly the state: history that stays."""
    end = (raw.state.sequence, raw.state.tip)
    kept: list[SegmentContents] = []
    at: tuple[int, str] | None = None
    for piece in pieces:
        if piece.first > end[0] + 1:
            break
        reached = _reached(piece, raw)
        follows = at == (piece.first - 1, piece.walked.header.previous if piece.walked else "")
        if at == end and not (reached and follows):
            break
        kept = [*(kept if follows else []), piece] if reached else []
        at = reached
    return kept if at == end else []


def _reached(piece: SegmentContents, raw: UntypedStore) -> tuple[int, str] | None:
    """Return where a journal file leads, at the most to the state; None where it is damaged before that."""
    if piece.walked is None or piece.store != raw.state.store:
        return None
    frames = [frame for frame in piece.frames if frame.last <= raw.state.sequence]
    reached = (frames[-1].last, frames[-1].check) if frames else (piece.first - 1, piece.walked.header.previous)
    if len(frames) < len(piece.frames) or (piece.broken and reached[0] != raw.state.sequence):
        return None
    return reached


# ── what goes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _contained(pieces: Sequence[SegmentContents], sequence: int, tip: str) -> int:
    """Return up to where the journal's commits are in a snapshot: its sequence, or 0 if it is of another history."""
    ends = [frame.check for piece in pieces for frame in piece.whole if frame.last == sequence]
    return sequence if not ends or tip in ends else 0


def _name_lost(
    made: RepairPlan, pieces: Sequence[SegmentContents], contained: int, applied: set[str], claimed: int
) -> None:
    """Name every commit that is not in the state any more."""
    store = made.raw.state.store if made.raw else None
    reached = made.raw.state.sequence if made.raw else 0
    for piece in pieces:
        foreign = store is not None and piece.store not in (None, store)
        for frame in piece.whole:
            if frame.check not in applied and (foreign or frame.last > contained):
                made.lost.extend(journal_reader.summaries_of(frame))
        if piece.broken:
            made.unreadable.extend(found for found in _damaged_frames(piece) if foreign or found.sequence > reached)
    named = {found.sequence for found in (*made.lost, *made.unreadable)}
    made.missing = list(_gaps(reached, sorted(found for found in named if found > reached), claimed))


def _damaged_frames(piece: SegmentContents) -> Iterator[CommitSummary]:
    """Yield what lines that don't verify say, where they can still be read."""
    whole = {frame.offset for frame in piece.whole}
    offset = 0
    for line in piece.data.splitlines(keepends=True):
        if offset not in whole and line.startswith(b'{"frame":['):
            try:
                plain = json.loads(line)
                for commit in plain["commits"]:
                    yield CommitSummary(
                        int(commit["sequence"]), str(plain["at"]), journal_reader.rows_of(commit["changes"])
                    )
            except (ValueError, KeyError, TypeError, StopIteration, AttributeError, RecursionError):
                pass
        offset += len(line)


def _gaps(reached: int, named: Sequence[int], claimed: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of sequences, behind what is reached, that nothing names."""
    for sequence in (*named, max(claimed, *named, reached) + 1):
        if sequence > reached + 1:
            yield reached + 1, sequence - 1
        reached = max(reached, sequence)
