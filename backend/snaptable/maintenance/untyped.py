"""Rows without their models: what the commands for the admin read, change and write again.

A row is its JSON and a key is its text, as they stand in the files. Only what needs no models is checked: strict JSON,
no key twice, no change of a row that isn't there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snaptable.changes import Change, Delete, Insert, Replace
from snaptable.errors import CorruptJournal, CorruptSnapshot
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.format import Frame
from snaptable.storage.recovery import RecoveryResult, apply_commit, load_snapshot, recover
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import PAGE_ROWS, SEPARATOR, Pages, TablePages
from snaptable.values.row_lines import parse_line

Rows = dict[str, dict[str, bytes]]
"""Each row's JSON, by table and key."""


def dump(value: Any) -> bytes:
    """Return a value's JSON on one line, as rows are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


class UntypedLoader:
    """Be the loader of somebody who has no models."""

    def __init__(self, pages: Pages, progress: Callable[[int], None]) -> None:
        """Begin.

        Args:
            pages: filled by recovery; tables that only the journal knows are added to it.
            progress: told the number of bytes done, now and then.
        """
        self._pages, self._progress = pages, progress

    def load(self, section: snapshot_format.Section, where: str) -> list[tuple[bytes, list[Any]]]:
        """Take a table's lines; return them as pages, `(bytes, keys)` each; O(n)."""
        table = section.table
        seen: set[str] = set()
        found, size = [], 0
        lines: list[bytes] = []
        keys: list[str] = []
        for offset, line in lines_of(section.data, section.offset):
            try:
                key, _ = parse_line(table, line)
                if key in seen:
                    raise ValueError(f"the key {key!r} stands twice in {table}")
            except ValueError as error:
                raise CorruptSnapshot(f"{where.partition(', byte')[0]}, byte {offset}: {error}").at(offset) from None
            seen.add(key)
            lines.append(line)
            keys.append(key)
            size += len(line)
            if len(lines) == PAGE_ROWS:
                found.append((SEPARATOR.join(lines), keys))
                self._progress(size)
                lines, keys, size = [], [], 0
        return [*found, (SEPARATOR.join(lines), keys)] if lines else found

    def apply(self, change: Mapping[str, Any], where: str) -> Change:
        """Take a journalled change; return it in its usual form."""
        verb, table = next((verb, change[verb]) for verb in ("insert", "replace", "delete") if verb in change)
        rows, key = self._pages.tables.setdefault(table, TablePages()), change["key"]
        if (verb == "insert") == (key in rows):
            known = "is there already" if verb == "insert" else "isn't there"
            raise CorruptJournal(f"{where}: {verb} of {table}[{key!r}], which {known}")
        if verb == "delete":
            return Delete(table, key)
        return (Insert if verb == "insert" else Replace)(table, key, dump(change["row"]))

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Check that no key is above the last number that was given out.

        Raises:
            CorruptSnapshot: one is.
        """
        for table, last in numbered.items():
            highest = highest_number(self._pages, table)
            if highest > last:
                raise CorruptSnapshot(
                    f"{table}: the last number given out is {last}, but there is a row {highest}; the header is damaged"
                )


def lines_of(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a table, without the separators, and where it begins in the file."""
    for line in data.split(SEPARATOR):
        yield offset, line
        offset += len(line) + len(SEPARATOR)


def highest_number(pages: Pages, table: str) -> int:
    """Return the highest key of a table that numbers its keys, 0 where it has no rows."""
    keys = pages.tables[table].keys() if table in pages.tables else ()
    return max((int(key) for key in keys if key.isdecimal()), default=0)


@dataclass(frozen=True)
class UntypedStore:
    """Be what a directory holds, without models."""

    pages: Pages
    state: RecoveryResult

    def apply(self, frame: Frame) -> None:
        """Go on by a frame that follows."""
        loader = UntypedLoader(self.pages, lambda _: None)
        for commit in frame.commits:
            apply_commit(commit, f"sequence {commit['sequence']}", self.pages, loader)
        self.state.sequence, self.state.tip = frame.last, frame.check


def empty_store(store: str) -> UntypedStore:
    """Return the state of a store before its first commit."""
    return UntypedStore(Pages(()), RecoveryResult(store=store))


def load_untyped(path: str, found: bytes) -> UntypedStore:
    """Return the state that a snapshot holds by itself; raises as `snapshot.read`."""
    sections = snapshot_format.read(path, found).sections
    pages, state = Pages([section.table for section in sections]), RecoveryResult()
    loader = UntypedLoader(pages, lambda _: None)
    load_snapshot(path, found, pages, loader, state)
    loader.finish(pages.numbered)
    return UntypedStore(pages, state)


def recover_untyped(
    files: Files, found: bytes | None, progress: Callable[[int], None] = lambda _: None
) -> UntypedStore:
    """Return the state that opening the directory would begin with; raises as `recover`, and changes nothing."""
    sections = snapshot_format.read(str(files.path(names.SNAPSHOT)), found).sections if found is not None else ()
    pages = Pages([section.table for section in sections])
    loader = UntypedLoader(pages, progress)
    return UntypedStore(pages, recover(files, found, pages, loader))


def rows_of(pages: Pages) -> Rows:
    """Return every row's JSON by table and key, in file order."""
    rows: Rows = {name: {} for name in pages.tables}
    for table, page in pages.lines():
        rows[table].update(parse_line(table, line) for line in page.split(SEPARATOR))
    return rows


def pages_of(rows: Rows, numbered: Mapping[str, int]) -> Pages:
    """Return rows as the pages of a snapshot."""
    pages = Pages(list(rows))
    for table, found in rows.items():
        pages.apply([Insert(table, key, row) for key, row in found.items()])
    pages.numbered.update(numbered)
    return pages
