r"""The snapshot's rows as bytes, in pages of some 64 lines: renewing it costs the pages that changed, not every row.

A page is immutable bytes, lines joined, and the lines that take the place of others since. Because a line is found by
its key alone (see `row_lines.py`), neither offsets nor the rows themselves are kept: the pages are the whole cost in
memory.

Pages lie in groups. A group that did not change is written again as it is, and its checksum is known. Taking a
snapshot only marks the groups; it is copy on write: a group that changes before it was written keeps its old bytes.
Of a small store the bytes are taken at once, which costs less than marking them and asking for each group later.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, ErasedKeys, Key, key_digest
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.values.row_lines import COLON, SEPARATOR, find_line, key_json

PAGE_ROWS = 64
PAGE_BYTES = 1 << 15
GROUP_PAGES = 16
SMALL_GROUP_PAGES = 4
SMALL_GROUPS = 16
"""A table's first groups are small: in a small file the bytes of the changed group are what a snapshot costs, in a
large one the number of the other groups."""


class RowPage:
    """Some lines of a table, joined.

    Lines that were added or replaced since are gathered, and put in their places when the page is wanted: a page that
    changes ten times between two snapshots is copied once.

    Attributes:
        group: the group it lies in.
        rows: number of lines.
        size: bytes of the lines, with the separators between them.
    """

    __slots__ = ("_added", "_joined", "_replaced", "group", "rows", "size")

    def __init__(self, data: bytes = b"", rows: int = 0) -> None:
        """Begin with lines that are joined already; without any, empty."""
        self.group: PageGroup
        self._joined = data
        self._added: list[bytes] = []
        self._replaced: dict[int, tuple[int, bytes]] = {}
        """By the place in `_joined` where a line begins: where it ends, and the line that takes its place."""
        self.rows = rows
        self.size = len(data)

    def render(self) -> bytes:
        """Return the lines joined; O(size), O(1) until the page changes."""
        if self._added or self._replaced:
            self._joined, self._added, self._replaced = self._join(), [], {}
        return self._joined

    def _join(self) -> bytes:
        data = self._joined
        if self._replaced:
            pieces, view, position = list[bytes | memoryview](), memoryview(data), 0
            for begin, (end, line) in sorted(self._replaced.items()):
                pieces += (view[position:begin], line)
                position = end
            data = b"".join((*pieces, view[position:]))
        if self._added:
            data = SEPARATOR.join((data, *self._added) if data else self._added)
        return data

    def append(self, line: bytes) -> int:
        """Add a line at the end; O(1). Return how many bytes the page grew."""
        self._added.append(line)
        grown = len(line) + (len(SEPARATOR) if self.rows else 0)
        self.size += grown
        self.rows += 1
        return grown

    def replace(self, start: bytes, line: bytes) -> int:
        """Put a line in the place of the one that begins with `start`; O(size) to find it, nothing is copied.

        Return how many bytes the page grew.
        """
        begin, end = find_line(self._joined, start) or self._find(start)
        _, former = self._replaced.get(begin, (end, None))
        self._replaced[begin] = (end, line)
        grown = len(line) - (end - begin if former is None else len(former))
        self.size += grown
        return grown

    def remove(self, start: bytes) -> None:
        """Take out the line that begins with `start`, and one separator; O(size)."""
        begin, end = self._find(start)
        data = self._joined
        self._joined = data[: begin - len(SEPARATOR)] + data[end:] if begin else data[end + len(SEPARATOR) :]
        self.size = len(self._joined)
        self.rows -= 1

    def _find(self, start: bytes) -> tuple[int, int]:
        """Return where the line that begins with `start` lies, once all lines are joined."""
        place = find_line(self.render(), start)
        assert place is not None
        return place


class PageGroup:
    """Some pages that follow each other, and their bytes in the file until one of them changes."""

    __slots__ = ("_bytes", "_kept", "_marked", "pages")

    def __init__(self) -> None:
        self.pages: dict[RowPage, None] = {}
        self._bytes: ChecksummedBytes | None = None
        self._marked = False
        self._kept: ChecksummedBytes | None = None

    def is_full(self, pages: int) -> bool:
        """Return whether it holds that many pages, or as many bytes as these would."""
        return len(self.pages) >= pages or sum(page.size for page in self.pages) >= pages * PAGE_BYTES

    def mark(self) -> None:
        """Make its present content part of a snapshot; O(1)."""
        self._marked, self._kept = True, None

    def before_write(self) -> None:
        """Prepare for a change of a page: keep the bytes that the snapshot being written still needs; O(pages)."""
        if self._bytes is not None or self._marked:
            if self._marked:
                self._kept = self.render()
                self._marked = False
            self._bytes = None

    def collect(self) -> ChecksummedBytes:
        """Return the content it had when it was marked, once."""
        if self._marked:
            self._marked = False
            return self.render()
        kept, self._kept = self._kept, None
        assert kept is not None
        return kept

    def render(self) -> ChecksummedBytes:
        """Return its pages as they stand in the file; O(pages), O(1) until one changes."""
        if self._bytes is None:
            buffers = [SEPARATOR] * (2 * len(self.pages) - 1)
            buffers[::2] = [page.render() for page in self.pages]
            self._bytes = ChecksummedBytes(buffers)
        return self._bytes


class TablePages:
    """One table's rows, in file order, as pages.

    Attributes:
        groups: its groups, in order.
        size: bytes of all pages.
    """

    def __init__(self) -> None:
        self.groups: dict[PageGroup, None] = {}
        self.size = 0
        self._open: PageGroup | None = None
        self._page_of: dict[Key, RowPage] = {}
        self._last: RowPage | None = None

    def __len__(self) -> int:
        return len(self._page_of)

    def __contains__(self, key: Key) -> bool:
        return key in self._page_of

    def __iter__(self) -> Iterator[RowPage]:
        """Return the pages, in order."""
        return (page for group in self.groups for page in group.pages)

    def keys(self) -> Iterable[Key]:
        """Return the keys of its rows."""
        return self._page_of.keys()

    def load(self, pages: Iterable[tuple[bytes, Sequence[Key]]]) -> None:
        """Add pages as they were read from a file, each with the keys of its lines; O(lines)."""
        loaded, keys, page_of = self._last, list[Key](), list[RowPage]()
        for data, page_keys in pages:
            loaded = RowPage(data, len(page_keys))
            self._add(loaded)
            self.size += loaded.size
            keys += page_keys
            page_of += repeat(loaded, len(page_keys))
        self._last = loaded
        # All at once, as `TableLoader.load` does it with the rows.
        self._page_of.update(zip(keys, page_of, strict=True))

    def apply(self, change: ChangeRecord) -> None:
        """Apply a change of one row; O(page)."""
        key = change.key
        start = key_json(key) + COLON  # as `line_start`
        page = self._page_of.get(key)
        if isinstance(change, Delete):
            assert page is not None
            self._remove(page, key, start)
        elif page is None:
            self._append(key, start + change.row)
        else:
            page.group.before_write()
            self.size += page.replace(start, start + change.row)

    def _append(self, key: Key, line: bytes) -> None:
        page = self._last
        if page is None or page.rows >= PAGE_ROWS or page.size >= PAGE_BYTES:
            page = self._last = RowPage()
            self._add(page)
        else:
            page.group.before_write()
        self.size += page.append(line)
        self._page_of[key] = page

    def _add(self, page: RowPage) -> None:
        """Add a page at the end."""
        group = self._open
        if group is None or group.is_full(SMALL_GROUP_PAGES if len(self.groups) <= SMALL_GROUPS else GROUP_PAGES):
            group = self._open = PageGroup()
            self.groups[group] = None
        group.before_write()
        group.pages[page] = None
        page.group = group

    def _remove(self, page: RowPage, key: Key, start: bytes) -> None:
        before = page.size
        group = page.group
        group.before_write()
        del self._page_of[key]
        if page.rows > 1:
            page.remove(start)
            self.size += page.size - before
            return
        del group.pages[page]
        self.size -= before
        self._last = None if page is self._last else self._last
        if not group.pages:
            del self.groups[group]
            self._open = None if group is self._open else self._open

    def render(self) -> list[bytes]:
        """Return the pages' bytes, in order."""
        return [page.render() for page in self]


class Pages:
    """The rows of every table, as a snapshot holds them.

    Attributes:
        tables: the pages of each table, in the order of the file.
        numbered: the last number given out, by table that numbers its keys.
        migrations: the names of those that were applied, in order.
        erased: by table, the digest of each key whose content was erased, and up to which commit.
        marks: what the models say of the tables; None before they were asked.
        speller: what writes the rows, all of them; "" if they may have been written otherwise.
    """

    def __init__(self, tables: Sequence[str]) -> None:
        self.tables = {name: TablePages() for name in tables}
        self.numbered: dict[str, int] = {}
        self.migrations: dict[str, None] = {}
        self.erased: dict[str, dict[str, int]] = {}
        self.marks: TableMarks | None = None
        self.speller = ""

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return sum(table.size for table in self.tables.values())

    def apply(self, commit: CommitRecord) -> None:
        """Apply a commit; O(page) a change."""
        for change in commit.changes:
            self.tables[change.table].apply(change)
        if commit.numbered:
            self.numbered.update(commit.numbered)
        if commit.migrations:
            self.take_note(commit.named_migrations)
        if commit.erased:
            self.take_note_of_erased(commit.erased)

    def take_note_of_erased(self, erased: ErasedKeys) -> None:
        """Take note of keys whose content was erased; O(keys)."""
        # In new dictionaries: a snapshot that is being written may hold the old ones.
        self.erased = {
            table: {**self.erased.get(table, {}), **erased.get(table, {})} for table in {**self.erased, **erased}
        }

    def take_note(self, migrations: Iterable[str]) -> None:
        """Take note of migrations that were applied."""
        self.migrations.update(dict.fromkeys(migrations))

    def erased_since(self, store: str, sequence: int) -> Callable[[str, Key], bool]:
        """Return what tells whether the row that a key had at a commit, by table, was purged since; O(1) a key."""
        by_table = {
            table: {digest for digest, last in keys.items() if last > sequence} for table, keys in self.erased.items()
        }
        return lambda table, key: bool(by_table.get(table)) and key_digest(store, table, key) in by_table[table]

    def apply_changes(self, changes: Iterable[ChangeRecord]) -> None:
        """Apply changes of rows, in order."""
        for change in changes:
            self.tables[change.table].apply(change)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return {name: len(table) for name, table in self.tables.items()}

    def mark(self) -> dict[str, list[PageGroup]]:
        """Make the present rows a snapshot, and return the groups of each table; O(groups), some n / 1,000.

        `collect` of each group returns its content of this moment, whenever it is called; a change of a group before
        that costs the keeping of its old bytes.
        """
        for table in self.tables.values():
            for group in table.groups:
                group.mark()
        return {name: list(table.groups) for name, table in self.tables.items()}

    def parts(self) -> dict[str, list[ChecksummedBytes]]:
        """Return the present rows of each table as a snapshot holds them; O(groups), and O(bytes) of what changed."""
        return {name: [group.render() for group in table.groups] for name, table in self.tables.items()}

    def render(self) -> dict[str, list[bytes]]:
        """Return the present bytes of every table's pages."""
        return {name: table.render() for name, table in self.tables.items()}

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name of a table and the joined lines of a page, for every page in order."""
        for name, table in self.tables.items():
            for page in table:
                yield name, page.render()
