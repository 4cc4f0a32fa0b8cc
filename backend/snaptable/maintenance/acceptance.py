"""An edit accepted: the commit appended, the snapshot written anew, the edited file kept."""

from snaptable.changes.records import CommitRecord
from snaptable.maintenance.edit import Edit
from snaptable.maintenance.shared_steps import quarantine_once, verify_result, write_snapshot
from snaptable.maintenance.untyped import UntypedStore
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.segment import Segment


def accept_edit(files: Files, edit: Edit) -> list[str]:
    """Make an edit part of the store, with the lock held; return the names under which bytes were kept.

    Each step survives a crash behind it: until the last one the snapshot is refused as edited or put back, or the store
    opens with the state that was aimed at, and accepting it again ends the same.

    Raises:
        OSError: a step failed.
    """
    # 1. Keep the file as it is.
    kept = [quarantine_once(files, f"{'put-back' if edit.put_back else 'edited'}-{names.SNAPSHOT}", edit.data)]
    # 2. Append the commit to the journal, or move a journal that doesn't lead to the edit out of the way.
    segment = None
    if edit.commit:
        segment = _append_commit(files, edit.store, edit.commit, kept)
    elif not edit.is_base_known:
        kept += _quarantine_journal(files)
    # 3. Write the snapshot.
    write_snapshot(files, edit.store)
    # 4. Mark the journal as cleanly closed: damage that comes later is not a torn tail.
    if segment is not None:
        segment.close(edit.store.sequence)
    # 5. Verify that the store opens with this state.
    verify_result(files, edit.store)
    return kept


def discard_edit(files: Files, data: bytes, store: UntypedStore) -> list[str]:
    """Write a state in the place of a snapshot that was edited or put back, with the lock held; return what was kept.

    Args:
        files: the store's directory.
        data: the snapshot's bytes; they are kept.
        store: the state, of `examine_discarding`.

    Raises:
        OSError: a step failed; the snapshot is refused as before.
    """
    # 1. Keep the file as it is.
    kept = [quarantine_once(files, f"discarded-{names.SNAPSHOT}", data)]
    # 2. Write the snapshot.
    write_snapshot(files, store)
    # 3. Verify that the store opens with this state.
    verify_result(files, store)
    return kept


def _append_commit(files: Files, store: UntypedStore, commit: CommitRecord, kept: list[str]) -> Segment:
    """Append a commit to the journal, in a file of its own, and apply it to the state."""
    assert store.id is not None
    segment = Segment(files, store.id, commit.sequence, store.head_digest, store.clock(), store.pages.migrations)
    path = journal_directory.path_of(commit.sequence)
    if files.identity(path) is not None:
        kept.append(quarantine_once(files, names.segment(commit.sequence), files.read(path)))
    # With its file in one step: a file without it could take the place of the last mark of a clean close.
    segment.begin([commit])
    store.apply_commit(commit, segment.head_digest)
    return segment


def _quarantine_journal(files: Files) -> list[str]:
    firsts = journal_directory.segments(files)
    kept = [quarantine_once(files, names.segment(first), journal_directory.read(files, first)) for first in firsts]
    journal_directory.remove(files, firsts)
    return kept
