"""An older snapshot that was put back beside a newer, cleanly closed journal: what going back to its rows changes."""

from snaptable.errors import CorruptJournal, SchemaMismatch
from snaptable.maintenance.differences import compare
from snaptable.maintenance.edit import Edit, Validate, commit_between, last_numbers, validated_rows
from snaptable.maintenance.edited_snapshot import EditedSnapshot
from snaptable.maintenance.journal_contents import frames_after, newest_close, read_segments
from snaptable.maintenance.untyped import Rows, UntypedStore, rows_of
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.format import Frame


def examine_put_back(
    files: Files, edited: EditedSnapshot, store: UntypedStore, rows: Rows, validate: Validate | None
) -> Edit | None:
    """Return the edit that goes back to the rows of an older snapshot; None if the snapshot is not older.

    Args:
        files: the store's directory.
        edited: the content of the file.
        store: the state of the file; the journal behind it is applied.
        rows: the rows of this state.
        validate: checks the rows against the models, None if there are none.

    Raises:
        CorruptJournal: the journal doesn't lead from the file to its last clean close.
        SchemaMismatch: the rows don't fit the models, or are from before a migration.
    """
    header, before = edited.header, store.sequence
    close = apply_journal(files, store)
    if close is None or close.last <= before:
        return None
    later = [name for name in store.pages.migrations if name not in header.migrations]
    if later:
        raise SchemaMismatch(
            f"{edited.path} was saved before the migrations {', '.join(map(repr, later))}; nothing was changed. To go "
            f"back there with the program of that time, move {files.path(names.JOURNAL)} away",
            path=edited.path,
        )
    erased = store.pages.erased_since(header.store, before)
    present = rows_of(store.pages)
    target = {
        table: {key: row for key, row in by_key.items() if not erased(table, key)} for table, by_key in rows.items()
    }
    if validate:
        numbers = last_numbers(header, store.pages.numbered, target)
        target = validated_rows(edited, present, target, numbers, validate)
    return Edit(
        edited.data,
        store,
        list(compare(present, target)),
        commit_between(store, present, target, header),
        store.sequence - before,
        put_back=(before, header.saved_at),
    )


def apply_journal(files: Files, store: UntypedStore) -> Frame | None:
    """Apply the journal behind a state, and return the mark of its last clean close.

    Raises:
        CorruptJournal: it holds commits that the state doesn't lead to.
    """
    segments = read_segments(files)
    for frame in frames_after(store, segments):
        store.apply_frame(frame)
    close = newest_close(segments)
    newest = max((frame.last for segment in segments for frame in segment.whole_frames), default=0)
    if close is not None and max(newest, close.last) > store.sequence:
        raise CorruptJournal(
            f"{files.path(names.JOURNAL)} holds commits up to sequence {max(newest, close.last)}, and doesn't lead "
            f"there from the snapshot of sequence {store.sequence}; {names.command('repair', files.root)} says what "
            f"can be saved",
            path=files.path(names.JOURNAL),
        )
    return close
