"""Broken storage layers, each with one promise's mechanism taken out; the searches must notice every one.

`python -m tests.snaptable.crash.mutants` prints which search noticed which.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from tests.snaptable.crash import faults, search

from snaptable.backup import making
from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Replace
from snaptable.history import rewind
from snaptable.history.lives import Life, Lives
from snaptable.history.purge import Purge
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.transaction import Transaction
from snaptable.runtime.clock import timestamp
from snaptable.storage import past as past_module
from snaptable.storage import recovery, store
from snaptable.storage.commit_batch import CommitBatch
from snaptable.storage.disk import atomic_write, files, names, open_file
from snaptable.storage.disk.files import Files, Identity
from snaptable.storage.group_commit import GroupCommit
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal import rewriting
from snaptable.storage.journal import segment as segment_module
from snaptable.storage.journal.reader import Ending
from snaptable.storage.journal.segment import Segment
from snaptable.storage.journal.writer import JournalWriter
from snaptable.storage.past import StorePast
from snaptable.storage.snapshot import checkpointer
from snaptable.storage.snapshot.checkpointer import Checkpointer
from snaptable.testing.disk import SimulatedFile

Patch = pytest.MonkeyPatch
SEED = 20261120


@dataclass(frozen=True)
class Mutant:
    """A broken storage layer.

    Attributes:
        break_it: takes the mechanism out.
        where: the workloads, or names of failing, that are searched, in this order.
        nested: whether to crash again in recovery.
        every: the distance between the operations that are followed by a crash.
    """

    name: str
    break_it: Callable[[Patch], None]
    where: tuple[str, ...]
    nested: int = 0
    every: int = 1


def _broken_replace(*, file_synced: str | None = "first") -> Callable[..., Identity]:
    """Return a `replace` that leaves out the sync, or does it after the rename."""

    def replace(files: Files, temporary: str, name: str, chunks: Iterable[Sequence[bytes]], **_: Any) -> Identity:
        file = files.create(temporary)
        for chunk in chunks:
            file.write(chunk)
        if file_synced == "first":
            file.sync()
        files.replace(temporary, name)
        if file_synced == "late":
            file.sync()
        identity = file.identity()
        file.close()
        return identity

    return replace


# ── the journal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def frame_not_synced(patch: Patch) -> None:
    """Write frames without a sync."""

    def write(segment: Segment, line: bytes, digest: str, *, last: bool = False) -> None:
        if segment._file is None:
            segment.begin()
        assert segment._file is not None
        segment._file.write([line])
        segment.size += len(line)
        segment.head_digest = digest

    patch.setattr(Segment, "_write", write)


def failed_sync_retried(patch: Patch) -> None:
    """Sync again after a sync that failed, and take its word."""

    def sync(step: Callable[..., None], *arguments: str) -> None:
        try:
            step(*arguments)
        except OSError:
            step(*arguments)

    patch.setattr(segment_module, "sync", sync)
    patch.setattr(open_file, "sync", sync)


def frames_one_by_one(patch: Patch) -> None:
    """Write a frame for each commit, and sync them together."""

    def append(segment: Segment, commits: Sequence[CommitRecord]) -> None:
        with Patch.context() as inner:
            inner.setattr(segment_module, "sync", lambda *_: None)
            inner.setattr(open_file, "sync", lambda *_: None)
            for commit in commits[:-1]:
                write_frame(segment, commit)
        write_frame(segment, commits[-1])

    def write_frame(segment: Segment, commit: CommitRecord) -> None:
        segment._write(*journal_format.encode_frame([commit], timestamp(), segment.head_digest, segment._salt))

    patch.setattr(Segment, "append", append)


def frames_unsalted(patch: Patch) -> None:
    """Give every segment the same salt."""
    patch.setattr("snaptable.storage.journal.segment.secrets.token_bytes", bytes)


def seal_not_verified(patch: Patch) -> None:
    """Take a line for a frame by its form alone."""

    def verify(line: bytes, salt: bytes) -> str | None:
        _, mark, rest = line.rpartition(journal_format.DIGEST_MARK)
        return (
            rest[: -len(journal_format.LINE_END)].decode() if mark and rest.endswith(journal_format.LINE_END) else None
        )

    patch.setattr(journal_format, "verify", verify)


def segment_named_before_its_header(patch: Patch) -> None:
    """Rename a segment into place before its header is synced; that is done with the first frame."""
    patch.setattr(atomic_write, "replace", _broken_replace(file_synced=None))


def segment_name_not_synced(patch: Patch) -> None:
    """Create a segment without syncing the directory."""

    def replace(files: Files, temporary: str, name: str, buffers: Sequence[bytes]) -> None:
        atomic_write.replace(files, temporary, name, [buffers])

    patch.setattr(segment_module, "replace_durably", replace)


def empty_segment_removed_first(patch: Patch) -> None:
    """Remove a segment that has no commit before the one of its name is there."""
    original = Segment.begin

    def begin(segment: Segment) -> None:
        if segment._files.identity(segment._name) is not None:
            segment._files.remove(segment._name)
            segment._files.sync_directory(names.JOURNAL)
        original(segment)

    patch.setattr(Segment, "begin", begin)


def segment_removed_too_early(patch: Patch) -> None:
    """Remove history that no snapshot covers."""
    original = journal_directory.prune
    search.keep_history(patch, 0)
    patch.setattr(journal_directory, "prune", lambda files, _, retention: original(files, 10**18, retention))


def half_frame_left(patch: Patch) -> None:
    """Leave what a failed write wrote, and write behind it."""
    patch.setattr(Segment, "truncate_to_last_frame", lambda _: True)


def frames_behind_the_zeros(patch: Patch) -> None:
    """Write each frame where the zeros end, as a write at the end of the file does."""

    def write_synced(file: SimulatedFile, data: bytes, _: int) -> None:
        file._write_then_sync(data, file.identity().size)

    patch.setattr(SimulatedFile, "write_synced", write_synced)


def half_the_zeros_left(patch: Patch) -> None:
    """Take zeros that found no room for all that was asked for, and write behind them."""

    def make_room(segment: Segment, file: files.File, count: int) -> bool:
        start = segment._end_of_room
        with suppress(OSError):
            file.write_zeros(start, count)
        segment._end_of_room = segment.size = start + count
        return True

    patch.setattr(Segment, "_make_room", make_room)


def zeros_over_frames(patch: Patch) -> None:
    """Write zeros from where they ended before frames were written without them."""
    original = Segment._make_room

    def make_room(segment: Segment, file: files.File, count: int) -> bool:
        segment._end_of_room = segment.__dict__.setdefault("stale", segment._end_of_room)
        return original(segment, file, count)

    patch.setattr(Segment, "_make_room", make_room)


def cut_not_synced_before_the_mark(patch: Patch) -> None:
    """Sync the cut of the room together with the mark of a clean close."""
    original = Segment.close

    def close(segment: Segment, sequence: int) -> None:
        segment.truncate_to_last_frame()
        segment._has_unsynced_cut = False
        original(segment, sequence)

    patch.setattr(Segment, "close", close)


def write_errors_swallowed(patch: Patch) -> None:
    """Take a write that failed for one that did not."""
    original = Segment.append

    def append(segment: Segment, commits: Sequence[CommitRecord]) -> None:
        with suppress(OSError):
            original(segment, commits)

    patch.setattr(Segment, "append", append)


# ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────────


def snapshot_not_synced(patch: Patch) -> None:
    """Rename a snapshot that was not synced."""
    patch.setattr(checkpointer, "replace", _broken_replace(file_synced=None))


def snapshot_renamed_before_its_sync(patch: Patch) -> None:
    """Rename a snapshot first, and sync it then."""
    patch.setattr(checkpointer, "replace", _broken_replace(file_synced="late"))


def snapshot_name_not_synced(patch: Patch) -> None:
    """Never sync a snapshot's name; what it covers goes all the same."""
    patch.setattr(Checkpointer, "_sync_name", lambda _: None)
    patch.setattr(journal_directory, "sync", lambda *_: None)


def pruned_before_the_name_is_synced(patch: Patch) -> None:
    """Remove what a snapshot covers whose name is not on the disk yet, as it is behind a write that waited for it."""
    patch.setattr(journal_directory, "sync", lambda *_: None)


def snapshot_in_place(patch: Patch) -> None:
    """Write a snapshot over the old one."""

    def replace(files: Files, _: str, name: str, chunks: Iterable[Sequence[bytes]], **__: Any) -> Identity:
        if files.identity(name) is None:
            files.create(name).close()
        file = files.append(name)
        file.truncate(0)
        for chunk in chunks:
            file.write(chunk)
        file.sync()
        return file.identity()

    patch.setattr(checkpointer, "replace", replace)


def older_snapshot_wins(patch: Patch) -> None:
    """Let a snapshot that was composed earlier be renamed last, as two checkpointers at once would."""

    def replace(files: Files, temporary: str, name: str, chunks: Iterable[Sequence[bytes]], **_: Any) -> Identity:
        content = list(chunks)
        written = atomic_write.replace(files, temporary, name, content)
        earlier, files.__dict__["earlier"] = files.__dict__.get("earlier"), content
        return atomic_write.replace(files, f"{temporary}2", name, earlier) if earlier is not None else written

    patch.setattr(checkpointer, "replace", replace)


# ── the order of things ─────────────────────────────────────────────────────────────────────────────────────────────


def acknowledged_before_durable(patch: Patch) -> None:
    """Answer a write before its frame is written: that is done with the next one."""
    append, close = Segment.append, Segment.close

    def late_append(segment: Segment, commits: Sequence[CommitRecord]) -> None:
        earlier, segment.__dict__["late"] = segment.__dict__.get("late"), commits
        if earlier:
            append(segment, earlier)

    def late_close(segment: Segment, sequence: int) -> None:
        late_append(segment, ())
        close(segment, sequence)

    patch.setattr(Segment, "append", late_append)
    patch.setattr(Segment, "close", late_close)


def shown_before_durable(patch: Patch) -> None:
    """Show a batch before the frame is written."""
    original = GroupCommit._write_batch

    def write_batch(log: GroupCommit[Any], batch: CommitBatch[Any]) -> None:
        if not batch.done:
            log._callbacks.durable(batch)
        original(log, batch)

    patch.setattr(GroupCommit, "_write_batch", write_batch)


def failed_write_not_rolled_back(patch: Patch) -> None:
    """Keep in memory what could not be made durable."""

    def failed(engine: MemoryEngine, batches: Any, sequence: int, error: Exception) -> None:
        engine.sequence = sequence
        for batch in batches:
            engine.became_durable(batch)

    patch.setattr(MemoryEngine, "failed", failed)


def full_disk_final(patch: Patch) -> None:
    """Refuse writes for good once the disk was full."""
    original = GroupCommit._refusal_after

    def refusal_after(log: GroupCommit[Any], error: BaseException) -> Exception | None:
        original(log, error)
        return log.refusal or RuntimeError("never")

    patch.setattr(GroupCommit, "_refusal_after", refusal_after)
    patch.setattr(GroupCommit, "try_resume", lambda _: None)


def segment_not_written_anew(patch: Patch) -> None:
    """Leave the last segment as it was found after a kill, and write a snapshot that may outlive its end."""
    patch.setattr(journal_directory, "rewrite", lambda *_: None)


def written_on_in_doubt(patch: Patch) -> None:
    """Begin the segment whose end is in doubt once more, in the place of the next one."""
    patch.setattr(JournalWriter, "replace_doubtful", lambda writer, _: writer.segment.begin())


# ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────────


def before_image_of_after(patch: Patch) -> None:
    """Say of a replaced row that it was before what it is now."""
    original = Transaction.as_change

    def as_change(transaction: Transaction, *change: Any) -> ChangeRecord:
        record = original(transaction, *change)
        return replace(record, before=record.row) if isinstance(record, Replace) else record

    patch.setattr(Transaction, "as_change", as_change)


def newest_change_counts(patch: Patch) -> None:
    """Go back to what there was before the newest change of a row, not the oldest."""
    original = rewind.touched

    def touched(*arguments: Any, **named: Any) -> Any:
        return {place: (newest, newest) for place, (_, newest) in original(*arguments, **named).items()}

    patch.setattr("snaptable.history.timeline.touched", touched)


def forgotten_before_the_snapshot(patch: Patch) -> None:
    """Forget commits that no snapshot on the disk covers."""
    original = StorePast.forget

    def forget(past: StorePast[Any], moment: int) -> None:
        checkpointer = past._log.checkpointer
        with Patch.context() as inner:
            inner.setattr(checkpointer, "checkpoint", lambda: None)
            inner.setattr(checkpointer, "saved", checkpointer.saved._replace(sequence=10**18))
            original(past, moment)

    patch.setattr(StorePast, "forget", forget)


def forgotten_newest_first(patch: Patch) -> None:
    """Remove the newest of the files first, so that a crash leaves a gap."""

    def remove(files: Files, firsts: Sequence[int]) -> None:
        for first in sorted(firsts, reverse=True):
            files.remove(journal_directory.path_of(first))
            files.sync_directory(names.JOURNAL)

    patch.setattr(journal_directory, "remove", remove)


def purged_before_the_snapshot(patch: Patch) -> None:
    """Purge commits that no snapshot on the disk covers."""
    original = StorePast.rewrite

    def rewrite(past: StorePast[Any], *arguments: Any) -> int:
        with Patch.context() as inner:
            inner.setattr(past._log.checkpointer, "checkpoint", lambda: None)
            return original(past, *arguments)

    patch.setattr(StorePast, "rewrite", rewrite)


def present_segment_not_purged(patch: Patch) -> None:
    """Leave the segment that is being written as it is."""
    patch.setattr(GroupCommit, "begin_segment", lambda _: None)


def rewritten(how: Callable[[Files, int, bytes], None]) -> Callable[[Patch], None]:
    """Return a mutant that replaces the segments of a purge in another way."""

    def break_it(patch: Patch) -> None:
        directory = SimpleNamespace(**{**vars(journal_directory), "rewrite": how})
        patch.setattr(rewriting, "journal_directory", directory)

    return break_it


def _unsynced(files: Files, first: int, data: bytes) -> None:
    _broken_replace(file_synced=None)(files, names.temporary_segment(), journal_directory.path_of(first), [[data]])
    files.sync_directory(names.JOURNAL)


def _in_place(files: Files, first: int, data: bytes) -> None:
    file = files.append(journal_directory.path_of(first))
    file.truncate(0)
    file.write([data])
    file.sync()
    file.close()


def _name_not_synced(files: Files, first: int, data: bytes) -> None:
    atomic_write.replace(files, names.temporary_segment(), journal_directory.path_of(first), [[data]])


def _removed_first(files: Files, first: int, data: bytes) -> None:
    journal_directory.remove(files, [first])
    journal_directory.rewrite(files, first, data)


def chain_broken(patch: Patch) -> None:
    """Give a purged line a digest of what it holds now, as if it had been written so."""

    def encode_purged(frame: journal_format.Frame, commits: Sequence[CommitRecord], salt: bytes) -> bytes:
        return journal_format.encode_frame(commits, frame.at, frame.previous_digest, salt)[0]

    patch.setattr(rewriting, "encode_purged", encode_purged)


def recorded_before_it_is_done(patch: Patch) -> None:
    """Say that a row was purged, and purge it then."""
    original = Purge._record

    def delete(purge: Purge, table: str, key: object) -> int:
        until = _delete(purge, table, key)
        purge._going = {purge._root: [Life(purge._root, 1, until)]}
        original(purge, until, 1)
        return until

    _delete = Purge._delete
    patch.setattr(Purge, "_delete", delete)
    patch.setattr(Purge, "_record", lambda *_: None)


def deletions_not_purged(patch: Patch) -> None:
    """Leave in a deletion what the row was."""
    original = Purge._kept_change

    def kept(purge: Purge, sequence: int, change: ChangeRecord) -> ChangeRecord:
        return change if isinstance(change, Delete) else original(purge, sequence, change)

    patch.setattr(Purge, "_kept_change", kept)


def what_went_with_it_not_purged(patch: Patch) -> None:
    """Purge the row alone."""
    patch.setattr(Lives, "_dependents", lambda _: {})


def oldest_purged_first(patch: Patch) -> None:
    """Purge the oldest file first, so that after a crash a row lacks its insertion alone."""
    patch.setattr(past_module, "reversed", sorted, raising=False)


def purge_begun_not_seen(patch: Patch) -> None:
    """Take no note of what an interrupted purge left undone."""
    patch.setattr(Purge, "_was_begun", lambda *_, **__: False)


# ── what makes no difference ────────────────────────────────────────────────────────────────────────────────────────


def started_without_fresh_snapshot(patch: Patch) -> None:
    """Go on from what the page cache shows after a kill, as if it were on the disk."""
    original = store.Store._begin

    def begin(opened: store.Store[Any], *arguments: Any) -> GroupCommit[Any]:
        if opened.recovery.header is not None:
            opened.recovery = replace(opened.recovery, replayed=0, ending=Ending.CLOSED)
        return original(opened, *arguments)

    patch.setattr(store.Store, "_begin", begin)


def torn_end_not_kept(patch: Patch) -> None:
    """Cut a torn end without keeping a copy of it."""
    patch.setattr(recovery, "keep_bytes", lambda *_: "")


def backup_not_synced(patch: Patch) -> None:
    """Give a backup its name before its bytes are on the disk."""

    class Unsynced(atomic_write.PendingFile):
        def rename(self, name: str, *, new: bool = False) -> Identity:
            identity = self.file.identity()
            self.file.close()
            (self._files.rename_new if new else self._files.replace)(self._temporary, name)
            self._pending = False
            return identity

    patch.setattr(making, "PendingFile", Unsynced)
    patch.setattr(making, "sync", lambda *_: None)


def names_of_migrations_forgotten(patch: Patch) -> None:
    """Commit what migrations changed without their names."""
    original = Segment.begin

    def begin(segment: Segment, commits: Sequence[CommitRecord] = ()) -> None:
        original(segment, [replace(commit, migrations=()) for commit in commits])

    patch.setattr(Segment, "begin", begin)


MUTANTS = (
    Mutant("no sync of a frame", frame_not_synced, ("journal only",)),
    Mutant("backup named before it is synced", backup_not_synced, ("backed up",), every=8),
    Mutant("names of migrations forgotten", names_of_migrations_forgotten, ("migrated",), every=6),
    Mutant("retry of a failed sync", failed_sync_retried, ("failing sync",)),
    Mutant("frames synced together, one for each commit", frames_one_by_one, ("gathered",)),
    Mutant("unsalted frames", frames_unsalted, ("pruned",)),
    Mutant("seals not verified", seal_not_verified, ("journal only",)),
    Mutant("segment named before its header is synced", segment_named_before_its_header, ("rolling journal",)),
    Mutant("segment's name not synced", segment_name_not_synced, ("rolling journal",)),
    Mutant("empty segment removed first", empty_segment_removed_first, ("given up",)),
    Mutant("segment removed before a snapshot covers it", segment_removed_too_early, ("rolling journal",)),
    Mutant("half a frame left after a failed write", half_frame_left, ("short write",)),
    Mutant("frames written behind the zeros", frames_behind_the_zeros, ("journal only",)),
    Mutant("zeros written over frames", zeros_over_frames, ("without zeros",)),
    Mutant("half the zeros taken for all", half_the_zeros_left, ("without zeros",)),
    Mutant("cut not synced before the mark of a close", cut_not_synced_before_the_mark, ("restarts",)),
    Mutant("errors of a write swallowed", write_errors_swallowed, ("short write", "ENOSPC")),
    Mutant("snapshot not synced", snapshot_not_synced, ("small commits",)),
    Mutant("snapshot renamed before its sync", snapshot_renamed_before_its_sync, ("small commits",)),
    Mutant("snapshot's name not synced", snapshot_name_not_synced, ("pruned",)),
    Mutant("pruned before the snapshot's name is synced", pruned_before_the_name_is_synced, ("rolled away",)),
    Mutant("snapshot written in place", snapshot_in_place, ("small commits",)),
    Mutant("an older snapshot replaces a newer", older_snapshot_wins, ("pruned",)),
    Mutant("acknowledged before durable", acknowledged_before_durable, ("journal only",)),
    Mutant("shown before durable", shown_before_durable, ("small commits",)),
    Mutant("a failed write stays in memory", failed_write_not_rolled_back, ("ENOSPC",)),
    Mutant("a full disk is final", full_disk_final, ("ENOSPC",)),
    Mutant("written on where the end is in doubt", written_on_in_doubt, ("failing sync",)),
    Mutant("last segment not written anew", segment_not_written_anew, ("journal only",), nested=1, every=4),
    Mutant("before-image of what is there after", before_image_of_after, ("undone",)),
    Mutant("the newest change counts, not the oldest", newest_change_counts, ("undone",)),
    Mutant("forgotten before a snapshot covers it", forgotten_before_the_snapshot, ("forgotten",)),
    Mutant("the newest forgotten first", forgotten_newest_first, ("forgotten",)),
    Mutant("purged before a snapshot covers it", purged_before_the_snapshot, ("erased",), every=5),
    Mutant("the present segment not purged", present_segment_not_purged, ("erased",), every=5),
    Mutant("purged segment not synced", rewritten(_unsynced), ("erased",), every=5),
    Mutant("purged segment written in place", rewritten(_in_place), ("erased",), every=5),
    Mutant("purged segment's name not synced", rewritten(_name_not_synced), ("erased",), every=5),
    Mutant("segment removed before it is purged", rewritten(_removed_first), ("erased",), every=5),
    Mutant("purged line breaks the chain", chain_broken, ("erased",), every=5),
    Mutant("purge recorded before it is done", recorded_before_it_is_done, ("erased",), every=5),
    Mutant("deletions not purged", deletions_not_purged, ("erased",), every=5),
    Mutant("what went with a purged row is left", what_went_with_it_not_purged, ("erased",), every=5),
    Mutant("the oldest purged first", oldest_purged_first, ("erased",), every=5),
    Mutant("a purge that was begun is not ended", purge_begun_not_seen, ("erased",), every=5),
)
EQUIVALENT = {
    "started without a fresh snapshot": (
        started_without_fresh_snapshot,
        "the last segment was written anew, so the journal alone is durable; the snapshot is for whoever reads it",
    ),
    "torn end not kept": (
        torn_end_not_kept,
        "no acknowledged commit was ever in it; the copy is for people, and storage/test_recovery.py asks for it",
    ),
}


def caught(mutant: Mutant) -> str | None:
    """Return what the searches, in their quick form, have to say against a mutant; None where nothing."""
    with Patch.context() as patch:
        mutant.break_it(patch)
        for where in mutant.where:
            problem = (
                _by_faults(where, mutant.every)
                if where in faults.FAILURES
                else _by_crashes(where, mutant.nested, mutant.every)
            )
            if problem is not None:
                return problem
    return None


def _by_crashes(name: str, nested: int, every: int) -> str | None:
    tally = search.CrashReport()
    with search.configured(name) as workload:
        try:
            run = search.record(workload)
        except Exception as error:
            return f"{name}, undisturbed: {error}"
        # A crash in a recovery tells most where the first was a kill, and the second a power cut. What a kill shows,
        # shows soon: it leaves one state an operation; of the others, the weak disk shows most.
        models: tuple[search.Model, ...] = ("kill",) if nested else ("kill", "weak", "ordered")
        for model in models:
            search.search(run, model, tally, seed=SEED, most=12, nested=nested, every=every + nested, max_failures=1)
            if tally.failures:
                return f"{name}: {tally.failures[0]}"
    return None


def _by_faults(name: str, every: int) -> str | None:
    report = faults.FaultReport()
    with search.configured(name):
        for plan in faults.plans(max(3, every), (name,)):
            faults.inject(report, *plan)
            if report.failures:
                return report.failures[0]
    return None


def main() -> int:
    """Print what caught each mutant, and return 1 where one was missed."""
    missed, say = 0, partial(print, flush=True)
    for mutant in MUTANTS:
        what = caught(mutant)
        missed += what is None
        say(f"{'caught' if what else 'MISSED'}: {mutant.name}: {(what or '')[:200]}")
    say(f"{len(MUTANTS) - missed} of {len(MUTANTS)} caught; {len(EQUIVALENT)} equivalent")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
