"""A snapshot that was edited by hand while the store was closed: what was changed, and taking it over as a commit.

The edit is compared with the state that the file was made from, rebuilt from the journal, and becomes a commit like
any other. Where the journal doesn't reach back so far, nobody can say what was changed: the content is taken as it is,
a new journal begins, and the old one is set aside whole.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snaptable.changes import Change, Commit, Delete, Insert, Replace
from snaptable.errors import CorruptSnapshot, SchemaMismatch, SnapshotEdited, UnsupportedFormat
from snaptable.maintenance.repair import keep, prove, save
from snaptable.maintenance.salvage import chain_of, pieces_of
from snaptable.maintenance.untyped import Rows, UntypedStore, dump, empty_store, highest_number, pages_of, rows_of
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal.segment import Segment
from snaptable.storage.recovery import RecoveryResult
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import TablePages
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

Judge = Callable[[bytes], Rows]
"""Takes a snapshot's bytes, returns its rows as the models write them, or raises SchemaMismatch."""
MOST_PROBLEMS = 50


@dataclass(frozen=True)
class Difference:
    """Be one row that is not as it was: its JSON before and after, None where it wasn't or isn't there."""

    table: str
    key: str
    before: bytes | None
    after: bytes | None

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The fields that differ, each before and after; a field that isn't there is None."""
        old: dict[str, Any] = json.loads(self.before) if self.before else {}
        new: dict[str, Any] = json.loads(self.after) if self.after else {}
        return {
            name: (old.get(name), new.get(name))
            for name in (*old, *(name for name in new if name not in old))
            if (name in old) != (name in new) or _spelled(old[name]) != _spelled(new[name])
        }


@dataclass
class Edit:
    """Be an edit that can be taken over.

    Attributes:
        found: the bytes of the edited file.
        raw: the state to go on from; where the state before is known, that of the journal's end.
        known: whether the state before the edit is known.
        differences: the rows that were changed, where that is known.
        commit: what is added to it, None where no row was changed.
        newer: commits that the journal holds beyond the edited file; they stay.
    """

    found: bytes
    raw: UntypedStore
    known: bool
    differences: list[Difference] = field(default_factory=list)
    commit: Commit | None = None
    newer: int = 0


@dataclass
class _Content:
    """Be what an edited file says."""

    header: snapshot_format.SnapshotHeader
    rows: Rows


def examine(files: Files, found: bytes, judge: Judge | None = None) -> Edit | None:
    """Return what taking an edited snapshot over would do; None where it is as the library wrote it.

    Args:
        files: the store's directory.
        found: the snapshot's bytes.
        judge: checks the result against the models, None where there are none.

    Raises:
        OpenError: it can't be taken over; the message names row and reason.
    """
    path = str(files.path(names.SNAPSHOT))
    if snapshot_format.is_ours(found):
        try:
            snapshot_format.read(path, found)
        except SnapshotEdited:
            pass
        else:
            return None
    content = _read(path, found)
    base = _state_before(files, content.header)
    if base is None:
        return _unknown(files, found, content, judge)
    before, raw, newer = base
    differences = list(compare(before, content.rows))
    now = rows_of(raw.pages) if newer else before
    _order_tables(raw, content.rows)
    _check_keys(before, differences)
    wanted = _merge(now, differences)
    if judge:
        wanted = _judged(raw, now, wanted, content.header, judge)
    commit = _commit(raw, now, wanted, content.header)
    return Edit(found, raw, known=True, differences=differences, commit=commit, newer=newer)


# ── what the file says ──────────────────────────────────────────────────────────────────────────────────────────────


def _read(path: str, found: bytes) -> _Content:
    try:
        plain = parse_strictly(found)
    except (ValueError, RecursionError):
        # It says where, and which line.
        snapshot_format.read(path, found)
        raise
    if not isinstance(plain, dict) or not isinstance(plain.get("snaptable"), dict):
        raise UnsupportedFormat(f"{path} is no snapshot of this library: it doesn't begin with its header")
    head = plain.pop("snaptable")
    plain.pop("checksum", None)
    if head.get("format") != names.FORMAT:
        raise UnsupportedFormat(f"{path} has format {head.get('format')}; this version reads format {names.FORMAT}")
    problems: list[str] = []
    content = _Content(
        snapshot_format.header_of(path, head),
        {table: dict(_rows(table, rows, problems)) for table, rows in plain.items()},
    )
    _refuse(problems)
    return content


def _rows(table: str, rows: Any, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    if not isinstance(rows, dict):
        problems.append(f"{table}: no table, which is an object of rows by key")
        return
    for key, row in rows.items():
        if not isinstance(row, dict):
            problems.append(f"{table}[{key!r}]: no row, which is an object of fields")
        elif depth_of(row) > MAX_DEPTH:
            problems.append(f"{table}[{key!r}]: nested deeper than {MAX_DEPTH}")
        else:
            yield key, dump(row)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        shown = "\n  ".join(problems[:MOST_PROBLEMS])
        more = f"\n  … and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise SchemaMismatch(f"the edit can't be taken over; nothing was changed:\n  {shown}{more}")


# ── what was changed ────────────────────────────────────────────────────────────────────────────────────────────────


def _state_before(files: Files, header: snapshot_format.SnapshotHeader) -> tuple[Rows, UntypedStore, int] | None:
    """Return the rows the file was made from, the state at the journal's end, and how many commits lie between."""
    pieces = pieces_of(files)
    if not pieces or pieces[0].first != 1 or pieces[0].store != header.store:
        return None
    raw = empty_store(header.store)
    chain = chain_of(raw, pieces)
    ends = {frame.last: frame.check for frame in chain} | {0: journal_format.GENESIS}
    beyond = any(frame.last > max(ends) for piece in pieces for frame in piece.whole)
    if ends.get(header.sequence) != header.tip or beyond:
        return None
    before: Rows = {}
    for frame in chain:
        if frame.first == header.sequence + 1:
            before = rows_of(raw.pages)
        raw.apply(frame)
    newer = raw.state.sequence - header.sequence
    return before if newer else rows_of(raw.pages), raw, newer


def _order_tables(raw: UntypedStore, rows: Rows) -> None:
    """Put the tables in the order of the edited file: the journal knows only in which order they were written to."""
    known = raw.pages.tables
    ordered = {name: known.get(name, TablePages()) for name in rows}
    raw.pages.tables = ordered | {name: pages for name, pages in known.items() if name not in ordered}


def compare(before: Rows, after: Rows) -> Iterator[Difference]:
    """Yield the rows that differ; the order of rows and of fields, and how values are spelled, don't count."""
    for table in (*before, *(name for name in after if name not in before)):
        old, new = before.get(table, {}), after.get(table, {})
        for key in (*old, *(key for key in new if key not in old)):
            if not _same(old.get(key), new.get(key)):
                yield Difference(table, key, old.get(key), new.get(key))


def _same(one: bytes | None, other: bytes | None) -> bool:
    if one == other or one is None or other is None:
        return one == other
    return _spelled(json.loads(one)) == _spelled(json.loads(other))


def _spelled(value: Any) -> str:
    """Return a value as text that tells 1 from 1.0 and from true."""
    return json.dumps(value, sort_keys=True)


def _check_keys(before: Rows, differences: Sequence[Difference]) -> None:
    """Refuse a row that holds another key than its line, where the rows before tell which field is the key."""
    problems = []
    fields = {table: _key_fields(before.get(table, {})) for table in {found.table for found in differences}}
    for found in differences:
        known = fields[found.table]
        if found.after and len(known) == 1 and str(json.loads(found.after).get(known[0])) != found.key:
            problems.append(f"{found.table}[{found.key!r}].{known[0]}: the row holds another key than its line")
    _refuse(problems)


def _key_fields(rows: Mapping[str, bytes]) -> list[str]:
    """Return the fields that hold the row's own key in every row."""
    found: list[str] | None = None
    for key, data in rows.items():
        row = json.loads(data)
        found = [name for name in (row if found is None else found) if str(row.get(name)) == key]
    return found or []


def _merge(now: Rows, differences: Sequence[Difference]) -> Rows:
    """Return the present rows with the edit applied.

    Raises:
        SchemaMismatch: a later commit changed a row that was edited as well.
    """
    wanted = {table: dict(rows) for table, rows in now.items()}
    problems = []
    for found in differences:
        rows = wanted.setdefault(found.table, {})
        present = rows.get(found.key)
        if not _same(present, found.before) and not _same(present, found.after):
            problems.append(
                f"{found.table}[{found.key!r}]: a commit that the edited file doesn't have changed the row as well"
            )
        elif found.after is None:
            rows.pop(found.key, None)
        else:
            rows[found.key] = found.after
    _refuse(problems)
    return wanted


def _judged(raw: UntypedStore, now: Rows, wanted: Rows, header: snapshot_format.SnapshotHeader, judge: Judge) -> Rows:
    """Return the wanted rows as the models write them, as far as they were changed; raises SchemaMismatch."""
    numbered = _numbered(raw, wanted, header)
    made = judge(b"".join(_compose(header, wanted, numbered)))
    return {
        table: {key: row if row == now.get(table, {}).get(key) else made[table][key] for key, row in rows.items()}
        for table, rows in wanted.items()
        if rows or table in made
    }


def _compose(header: snapshot_format.SnapshotHeader, rows: Rows, numbered: Mapping[str, int]) -> list[bytes]:
    pages = pages_of(rows, numbered)
    head = snapshot_format.SnapshotHeader(
        header.store, header.sequence, header.saved_at, pages.counts(), header.tip, numbered
    )
    return snapshot_format.compose(head, pages.render())


def _numbered(raw: UntypedStore, rows: Rows, header: snapshot_format.SnapshotHeader) -> dict[str, int]:
    """Return the last number given out in each table that numbers its keys: never below a key that is there."""
    pages = pages_of(rows, {})
    known = {**header.numbered, **raw.pages.numbered}
    return {
        table: max(last, header.numbered.get(table, 0), highest_number(pages, table)) for table, last in known.items()
    }


def _commit(raw: UntypedStore, now: Rows, wanted: Rows, header: snapshot_format.SnapshotHeader) -> Commit | None:
    changes = tuple(_change(now, found) for found in compare(now, wanted))
    if not changes:
        return None
    numbered = _numbered(raw, wanted, header)
    moved = {table: last for table, last in numbered.items() if raw.pages.numbered.get(table) != last}
    return Commit(raw.state.sequence + 1, changes, moved)


def _change(now: Rows, found: Difference) -> Change:
    if found.after is None:
        return Delete(found.table, found.key)
    kind = Replace if found.key in now.get(found.table, {}) else Insert
    return kind(found.table, found.key, found.after)


def _unknown(files: Files, found: bytes, content: _Content, judge: Judge | None) -> Edit:
    """Return the edit of a file whose former content nobody knows: a state of its own, one sequence further."""
    header = content.header
    newer = [frame for piece in pieces_of(files) for frame in piece.whole if frame.last > header.sequence]
    if newer:
        raise CorruptSnapshot(
            f"{files.path(names.SNAPSHOT)} was edited at sequence {header.sequence}, and the journal, which doesn't "
            f"lead there from the start, holds commits {newer[0].first} to {newer[-1].last}: they would be lost. Put "
            f"the copy from before the edit back; to give them up, move {files.path(names.JOURNAL)} away"
        )
    state = RecoveryResult(store=header.store, sequence=header.sequence + 1, tip=secrets.token_hex(16))
    raw = UntypedStore(pages_of(content.rows, {}), state)
    raw.pages.numbered.update(_numbered(raw, content.rows, header))
    if judge:
        rows = judge(b"".join(_compose(header, content.rows, raw.pages.numbered)))
        raw = UntypedStore(pages_of(rows, raw.pages.numbered), state)
    return Edit(found, raw, known=False)


# ── taking it over ──────────────────────────────────────────────────────────────────────────────────────────────────


def take_over(files: Files, edit: Edit) -> list[str]:
    """Make an edit part of the store, with the lock held; return the names under which bytes were kept.

    Each step survives a crash behind it: until the last one the snapshot is refused as edited, and doing it again
    ends the same.

    Raises:
        OSError: a step failed.
    """
    # 1. The edited file, as it is.
    kept = [keep(files, f"edited-{names.SNAPSHOT}", edit.found)]
    # 2. The commit in the journal, or the journal out of the way.
    segment = None
    if edit.commit:
        segment = _append(files, edit.raw, edit.commit, kept)
    elif not edit.known:
        kept += _set_journal_aside(files)
    # 3. The snapshot.
    save(files, edit.raw)
    # 4. The mark of a clean close: what is damaged later is no torn end.
    if segment is not None:
        segment.close(edit.raw.state.sequence)
    # 5. The proof.
    prove(files, edit.raw)
    return kept


def _append(files: Files, raw: UntypedStore, commit: Commit, kept: list[str]) -> Segment:
    """Add a commit to the journal, in a file of its own, and to the state."""
    store = raw.state.store
    assert store is not None
    segment = Segment(files, store, commit.sequence, raw.state.tip)
    path = journal_directory.path_of(commit.sequence)
    if files.identity(path) is not None:
        kept.append(keep(files, names.segment(commit.sequence), files.read(path)))
    segment.begin()
    segment.append([commit])
    for change in commit.changes:
        raw.pages.tables.setdefault(change.table, TablePages())
    raw.pages.apply(commit.changes)
    raw.pages.numbered.update(commit.numbered)
    raw.state.sequence, raw.state.tip = commit.sequence, segment.tip
    return segment


def _set_journal_aside(files: Files) -> list[str]:
    firsts = journal_directory.segments(files)
    kept = [keep(files, names.segment(first), journal_directory.read(files, first)) for first in firsts]
    journal_directory.remove(files, firsts)
    return kept
