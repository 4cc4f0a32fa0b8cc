"""A snapshot that was edited, or put back, while the store was closed: what changed, and the commit that accepts it.

Nothing is written here; `acceptance` does that.

The edit is compared with the state that the file was made from, rebuilt from the journal, and becomes a commit like
any other. If the journal doesn't reach back so far, the changes can't be known: the content is taken as it is, a new
journal begins, and the old one is moved to the quarantine whole.

A whole snapshot that is older than the journal's last clean close was put back: the commit leads from the state that
the journal ends with back to the file's rows. So does one of a file that was put back and only laid out anew.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snaptable.errors import CorruptSnapshot
from snaptable.maintenance.differences import Difference, compare, is_same
from snaptable.maintenance.edit import Edit, Validate, commit_between, compose, last_numbers, validated_rows
from snaptable.maintenance.edited_snapshot import EditedSnapshot, is_as_written, read_edited, refuse_edit
from snaptable.maintenance.journal_contents import frames_after, read_segments
from snaptable.maintenance.put_back import apply_journal, examine_put_back
from snaptable.maintenance.row_problems import RowProblem
from snaptable.maintenance.untyped import (
    Rows,
    UntypedStore,
    empty_store,
    load_untyped,
    pages_of,
    rows_of,
)
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import format as journal_format
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.storage.snapshot.pages import TablePages


@dataclass(frozen=True)
class _Base:
    """The rows that a file was made from, and the state that the journal ends with."""

    rows: Rows
    store: UntypedStore
    newer_commits: int


def examine(files: Files, data: bytes, validate: Validate | None = None) -> Edit | None:
    """Return what accepting a snapshot would do; None if it is the one that the library wrote last. O(n).

    Args:
        files: the store's directory; nothing in it is changed.
        data: the snapshot's bytes.
        validate: checks the result against the models, None if there are none.

    Raises:
        OpenError: it can't be accepted; the message names rows, lines and reasons.
    """
    # 1. What the file says, unless it is as it was written.
    path = str(files.path(names.SNAPSHOT))
    if is_as_written(path, data):
        store = load_untyped(path, data)
        return examine_put_back(files, read_edited(path, data), store, rows_of(store.pages), validate)
    edited = read_edited(path, data)
    # 2. The state it was made from.
    base = _rebuild_base(files, edited.header)
    if base is None:
        return _examine_without_base(files, edited, validate)
    # 3. What was changed.
    differences = list(compare(base.rows, edited.rows))
    if base.newer_commits and not differences:
        store = UntypedStore(
            pages_of(base.rows, {}, edited.header.migrations), edited.header.store, edited.header.sequence
        )
        store.head_digest, store.pages.marks = edited.header.head_digest, edited.header.marks
        put_back = examine_put_back(files, edited, store, base.rows, validate)
        if put_back is not None:
            return put_back
    _check_keys(edited, base.rows, differences)
    # 4. The same changes to the state that the journal ends with, which may be newer.
    present = rows_of(base.store.pages) if base.newer_commits else base.rows
    _order_tables(base.store, edited.rows)
    target = _apply_differences(edited, present, differences)
    # 5. The result, as the models write it.
    if validate:
        numbers = last_numbers(edited.header, base.store.pages.numbered, target)
        target = validated_rows(edited, present, target, numbers, validate)
    # 6. The commit that leads there.
    commit = commit_between(base.store, present, target, edited.header)
    return Edit(data, base.store, differences, commit, base.newer_commits)


# ── the state before ────────────────────────────────────────────────────────────────────────────────────────────────


def _rebuild_base(files: Files, header: SnapshotHeader) -> _Base | None:
    """Return the state that a file was made from, rebuilt from the journal; None if that doesn't lead there."""
    segments = read_segments(files)
    if not segments or segments[0].first != 1 or segments[0].store != header.store:
        return None
    store = empty_store(header.store, segments[0].migrations)
    store.pages.marks = header.marks
    frames = frames_after(store, segments)
    digests = {0: journal_format.GENESIS} | {frame.last: frame.digest for frame in frames}
    reached = max(digests)
    is_complete = all(frame.last <= reached for segment in segments for frame in segment.whole_frames)
    if digests.get(header.sequence) != header.head_digest or not is_complete:
        return None
    rows: Rows = {}
    for frame in frames:
        if frame.first == header.sequence + 1:
            rows = rows_of(store.pages)
        store.apply_frame(frame)
    newer_commits = store.sequence - header.sequence
    return _Base(rows if newer_commits else rows_of(store.pages), store, newer_commits)


def _order_tables(store: UntypedStore, rows: Rows) -> None:
    """Put the tables in the order of the edited file: the journal knows only in which order they were written to."""
    known = store.pages.tables
    ordered = {name: known.get(name, TablePages()) for name in rows}
    store.pages.tables = ordered | {name: pages for name, pages in known.items() if name not in ordered}


# ── the state after ─────────────────────────────────────────────────────────────────────────────────────────────────


def _check_keys(edited: EditedSnapshot, before: Rows, differences: Sequence[Difference]) -> None:
    """Refuse a row that holds another key than its line, if the rows before tell which field is the key."""
    fields = {table: _key_field(before.get(table, {})) for table in {difference.table for difference in differences}}
    problems = []
    for difference in differences:
        field_name = fields[difference.table]
        if difference.after and field_name and str(json.loads(difference.after).get(field_name)) != difference.key:
            reason = "the row holds another key than its line"
            problems.append(RowProblem.of(difference.table, difference.key, reason, field_name))
    refuse_edit(edited.path, edited.data, problems)


def _key_field(rows: Mapping[str, bytes]) -> str | None:
    """Return the field that holds the row's own key in every row, None if that is not exactly one."""
    names_left: list[str] | None = None
    for key, data in rows.items():
        row = json.loads(data)
        names_left = [name for name in (row if names_left is None else names_left) if str(row.get(name)) == key]
    return names_left[0] if names_left and len(names_left) == 1 else None


def _apply_differences(edited: EditedSnapshot, present: Rows, differences: Sequence[Difference]) -> Rows:
    """Return the present rows with the edit applied.

    Raises:
        SchemaMismatch: a later commit changed a row that was edited as well.
    """
    target = {table: dict(rows) for table, rows in present.items()}
    problems = []
    for difference in differences:
        rows = target.setdefault(difference.table, {})
        current = rows.get(difference.key)
        if not is_same(current, difference.before) and not is_same(current, difference.after):
            reason = "a commit that the edited file doesn't have changed the row as well"
            problems.append(RowProblem.of(difference.table, difference.key, reason))
        elif difference.after is None:
            rows.pop(difference.key, None)
        else:
            rows[difference.key] = difference.after
    refuse_edit(edited.path, edited.data, problems)
    return target


# ── discarded ───────────────────────────────────────────────────────────────────────────────────────────────────────


def examine_discarding(files: Files, data: bytes) -> UntypedStore | None:
    """Return the state to continue with if a snapshot that was edited or put back is discarded; O(n).

    Args:
        files: the store's directory; nothing in it is changed.
        data: the snapshot's bytes.

    Returns:
        The state that the journal ends with; None if the snapshot is the one that the library wrote last.

    Raises:
        OpenError: the journal doesn't lead to a state, or the file is neither.
    """
    path = str(files.path(names.SNAPSHOT))
    # 1. A whole snapshot: the journal behind it, if that was closed later.
    if is_as_written(path, data):
        store = load_untyped(path, data)
        before, close = store.sequence, apply_journal(files, store)
        return store if close is not None and close.last > before else None
    # 2. An edited one: the journal from its start.
    edited = read_edited(path, data, strictly=False)
    base = _rebuild_base(files, edited.header)
    if base is None:
        raise CorruptSnapshot(
            f"{path} was edited, and the journal doesn't lead to its sequence {edited.header.sequence} from the start, "
            f"so what was there before can't be written again: put the copy from before the edit back",
            path=path,
        )
    _order_tables(base.store, edited.rows)
    return base.store


# ── without the state before ────────────────────────────────────────────────────────────────────────────────────────


def _examine_without_base(files: Files, edited: EditedSnapshot, validate: Validate | None) -> Edit:
    """Return the edit of a file whose former content can't be known: a state of its own, one sequence further.

    Raises:
        CorruptSnapshot: the journal holds newer commits, which would be lost.
        SchemaMismatch: the rows don't fit the models.
    """
    header = edited.header
    newer = [
        frame for segment in read_segments(files) for frame in segment.whole_frames if frame.last > header.sequence
    ]
    if newer:
        raise CorruptSnapshot(
            f"{edited.path} was edited at sequence {header.sequence}, and the journal, which doesn't lead there from "
            f"the start, holds commits {newer[0].first} to {newer[-1].last}: they would be lost. Put the copy from "
            f"before the edit back; to give them up, move {files.path(names.JOURNAL)} away",
            path=edited.path,
        )
    rows, numbers = edited.rows, last_numbers(header, {}, edited.rows)
    if validate:
        validation = validate(compose(header, rows, numbers))
        refuse_edit(edited.path, edited.data, validation.problems)
        rows = validation.rows
    digest = secrets.token_hex(16)  # of no frame: a journal of the former history can't follow it
    pages = pages_of(rows, numbers, header.migrations)
    pages.take_note_of_erased(header.erased)
    pages.marks = header.marks
    store = UntypedStore(pages, header.store, header.sequence + 1, digest)
    return Edit(edited.data, store, is_base_known=False)
