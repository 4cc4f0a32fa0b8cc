r"""The snapshot's rows as bytes, in pages of some 64 lines: renewing it costs the pages that changed, not every row.

A page is immutable bytes, lines joined; changing a row splices its page. Because content never holds a raw line break,
`\n"<key>": ` stands in a page exactly once, so neither offsets nor the rows themselves are kept: the pages are the
whole cost in memory.

Pages lie in bundles. A bundle that did not change is written again as it is, and its checksum is known.
Taking a snapshot marks the bundles and no more: one that changes before it was written keeps what it was.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from snaptable.changes import Change, Delete, Key, key_json
from snaptable.storage.snapshot.checksum import ChecksummedBytes

PAGE_ROWS = 64
PAGE_BYTES = 1 << 15
GROUP_PAGES = 16
SMALL_GROUP_PAGES = 4
SMALL_GROUPS = 16
"""A table's first bundles are small: in a small file the bytes of the one that changed are what counts, in a large one
the number of the others."""
SEPARATOR = b",\n"


class RowPage:
    """Hold some lines of a table: `"<key>": {…}`, without the separators at either end."""

    __slots__ = ("_parts", "bundle", "rows", "size")

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.bundle: PageGroup
        self._parts = list(lines)
        self.rows = len(lines)
        self.size = sum(map(len, lines)) + len(SEPARATOR) * max(0, len(lines) - 1)

    @classmethod
    def whole(cls, data: bytes, rows: int) -> "RowPage":
        """Return a page of lines that are joined already."""
        page = cls(())
        page._parts, page.rows, page.size = [data], rows, len(data)
        return page

    def render(self) -> bytes:
        """Return the lines joined; O(1) until the page changes."""
        if len(self._parts) != 1:
            # Lines added since the last time are joined once, not once each.
            self._parts = [SEPARATOR.join(self._parts)]
        return self._parts[0]

    def append(self, line: bytes) -> None:
        """Add a line at the end."""
        self._parts.append(line)
        self.size += len(line) + (len(SEPARATOR) if self.rows else 0)
        self.rows += 1

    def replace(self, head: bytes, line: bytes) -> None:
        """Put a line in the place of the one that begins with `head`."""
        data = self.render()
        start, end = self._find(data, head)
        view = memoryview(data)
        self._set(b"".join((view[:start], line, view[end:])))

    def remove(self, head: bytes) -> None:
        """Take out the line that begins with `head`, and one separator."""
        data = self.render()
        start, end = self._find(data, head)
        self._set(data[: start - len(SEPARATOR)] + data[end:] if start else data[end + len(SEPARATOR) :])
        self.rows -= 1

    def _set(self, data: bytes) -> None:
        self._parts, self.size = [data], len(data)

    @staticmethod
    def _find(data: bytes, head: bytes) -> tuple[int, int]:
        start = 0 if data.startswith(head) else data.index(b"\n" + head) + 1
        end = data.find(b",\n", start)
        # A line's own JSON has no raw line break, so the next ",\n" is the separator.
        return start, len(data) if end < 0 else end


class PageGroup:
    """Hold some pages that follow each other, and what they look like in the file until one of them changes."""

    __slots__ = ("_kept", "_stretch", "_wanted", "pages")

    def __init__(self) -> None:
        self.pages: dict[RowPage, None] = {}
        self._stretch: ChecksummedBytes | None = None
        self._wanted = False
        self._kept: ChecksummedBytes | None = None

    def is_full(self, most: int) -> bool:
        """Return whether so many pages are in it, or as many bytes as would be."""
        return len(self.pages) >= most or sum(page.size for page in self.pages) >= most * PAGE_BYTES

    def touch(self) -> None:
        """Be told that a page is about to change; what the snapshot in the making still wants is kept; O(pages)."""
        if self._wanted:
            self._kept = self.stretch()
            self._wanted = False
        self._stretch = None

    def want(self) -> None:
        """Mark what it holds now as part of a snapshot."""
        self._wanted, self._kept = True, None

    def take(self) -> ChecksummedBytes | None:
        """Return what it held when it was marked, once; None where it has been let go."""
        if not self._wanted:
            kept, self._kept = self._kept, None
            return kept
        self._wanted = False
        return self.stretch()

    def stretch(self) -> ChecksummedBytes:
        """Return its pages as they stand in the file; O(pages), O(1) until one changes."""
        if self._stretch is None:
            buffers = [SEPARATOR] * (2 * len(self.pages) - 1)
            buffers[::2] = [page.render() for page in self.pages]
            self._stretch = ChecksummedBytes(buffers)
        return self._stretch


class TablePages:
    """Keep one table's rows, in file order, as pages."""

    def __init__(self) -> None:
        self.bundles: dict[PageGroup, None] = {}
        self.size = 0
        self._open: PageGroup | None = None
        self._page_of: dict[Key, RowPage] = {}
        self._last: RowPage | None = None

    def __len__(self) -> int:
        return len(self._page_of)

    def __contains__(self, key: Key) -> bool:
        return key in self._page_of

    def keys(self) -> Iterable[Key]:
        """Return the keys of its rows."""
        return self._page_of.keys()

    def load(self, data: bytes, keys: Sequence[Key]) -> None:
        """Add a page as it was read from a file, with the keys of its lines."""
        page = RowPage.whole(data, len(keys))
        self._add(page)
        self._page_of.update(zip(keys, repeat(page)))
        self.size += page.size
        self._last = page

    def apply(self, change: Change) -> None:
        """Bring a table's pages up to a change; O(page)."""
        head = key_json(change.key) + b": "
        page = self._page_of.get(change.key)
        if isinstance(change, Delete):
            assert page is not None
            self._remove(page, change.key, head)
        elif page is None:
            self._append(change.key, head + change.row)
        else:
            before = page.size
            page.bundle.touch()
            page.replace(head, head + change.row)
            self.size += page.size - before

    def _append(self, key: Key, line: bytes) -> None:
        page = self._last
        if page is None or page.rows >= PAGE_ROWS or page.size >= PAGE_BYTES:
            page = self._last = RowPage(())
            self._add(page)
        else:
            page.bundle.touch()
        before = page.size
        page.append(line)
        self.size += page.size - before
        self._page_of[key] = page

    def _add(self, page: RowPage) -> None:
        """Add a page at the end."""
        bundle = self._open
        if bundle is None or bundle.is_full(SMALL_GROUP_PAGES if len(self.bundles) <= SMALL_GROUPS else GROUP_PAGES):
            bundle = self._open = PageGroup()
            self.bundles[bundle] = None
        bundle.touch()
        bundle.pages[page] = None
        page.bundle = bundle

    def _remove(self, page: RowPage, key: Key, head: bytes) -> None:
        before = page.size
        bundle = page.bundle
        bundle.touch()
        del self._page_of[key]
        if page.rows == 1:
            del bundle.pages[page]
            if not bundle.pages:
                del self.bundles[bundle]
                self._open = None if bundle is self._open else self._open
            self.size -= before
            self._last = None if page is self._last else self._last
            return
        page.remove(head)
        self.size += page.size - before

    def __iter__(self) -> Iterator[RowPage]:
        """Return the pages, in order."""
        return (page for bundle in self.bundles for page in bundle.pages)

    def render(self) -> list[bytes]:
        """Return the pages' bytes, in order."""
        return [page.render() for page in self]


class Pages:
    """Keep every table's pages."""

    def __init__(self, tables: Sequence[str]) -> None:
        self.tables = {name: TablePages() for name in tables}
        self.numbered: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return sum(table.size for table in self.tables.values())

    def apply(self, changes: Sequence[Change]) -> None:
        """Bring the pages up to the changes of a commit."""
        for change in changes:
            self.tables[change.table].apply(change)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return {name: len(table) for name, table in self.tables.items()}

    def want(self) -> dict[str, list[PageGroup]]:
        """Mark every table's rows, as they are now, as part of a snapshot; O(n / 512).

        Each bundle gives what it held at this moment, whenever it is taken; changing it meanwhile costs the keeping
        of its old pages.
        """
        for table in self.tables.values():
            for bundle in table.bundles:
                bundle.want()
        return {name: list(table.bundles) for name, table in self.tables.items()}

    def render(self) -> dict[str, list[bytes]]:
        """Return every table's pages, as of now."""
        return {name: table.render() for name, table in self.tables.items()}

    def lines(self) -> Iterator[tuple[str, Any]]:
        """Yield each table's name and page bytes, for checks."""
        for name, table in self.tables.items():
            for page in table:
                yield name, page.render()
