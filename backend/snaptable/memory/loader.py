"""Rows from snapshot lines and journalled changes, each validated, each proven to be what would be written again.

Lines are decoded a page at a time (`page_decoder`). A page that is not as it would be written (edited by hand, or by
another version) is read line by line by the strict parser, which says what is wrong with which row.
"""

import gc
import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from typing import NoReturn, cast

from pydantic import BaseModel

from snaptable.changes.records import ChangeRecord, Delete, FillIn, Insert
from snaptable.codec import Codec
from snaptable.errors import CorruptSnapshot, InvalidRow, SchemaMismatch, listed
from snaptable.memory import constraints
from snaptable.memory.page_decoder import PageDecoder
from snaptable.memory.rows import TableRows
from snaptable.values import core_schemas
from snaptable.values.bulk_validator import Intern
from snaptable.values.row_lines import (
    Key,
    Lines,
    encode_line,
    find_line,
    join_lines,
    line_start,
    lines_with_offsets,
    parse_line,
)
from snaptable.values.row_lines import row_json as encode_json

MOST_PROBLEMS = 50
"""Problems that a message lists."""
READING_SHARE = 0.8
"""What reading is of the time of loading, for the progress bar; the rest is building indexes."""
Page = tuple[bytes, list[Key]]
"""Some lines of a table, joined, and their keys."""


class Interned(dict[str, str]):
    """One object for all texts that are equal: a foreign key is the very key it names, not a copy of it."""

    def __missing__(self, text: str) -> str:
        """Return a text that is new, and keep it."""
        self[text] = text
        return text


class _LoadedPages:
    """The rows of a table's pages, in order, and where each page lies."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.rows: list[BaseModel] = []
        self._pages: list[tuple[int, int, bytes]] = []
        """Of each page: how many rows come before it, its offset, its lines."""

    def add(self, offset: int, page: bytes, keys: Collection[Key], rows: Collection[BaseModel]) -> None:
        """Add a page, with the keys and the rows of its lines."""
        self._pages.append((len(self.keys), offset, page))
        self.keys += keys
        self.rows += rows

    def first_repeated(self) -> tuple[int, Key]:
        """Return the first key that stands twice, and the offset of the line that repeats it; O(n)."""
        first = dict(zip(reversed(self.keys), reversed(range(len(self.keys))), strict=True))
        number, key = next((number, key) for number, key in enumerate(self.keys) if first[key] < number)
        _, offset, page = self._pages[bisect_right(self._pages, number, key=itemgetter(0)) - 1]
        place = find_line(page, line_start(key)) or (0, 0)
        return offset + place[0], key


class TableLoader:
    """What fills the tables of an engine: rows first, the indexes once, at the end."""

    def __init__(
        self,
        tables: Mapping[str, TableRows],
        progress: Callable[[int], None],
        speller: str = "",
        *,
        indexes: bool = True,
    ) -> None:
        """Begin with empty tables.

        Args:
            tables: the tables.
            progress: is told the number of bytes done, now and then.
            speller: what writes their rows (see `spelling`), to believe a seal; "" to believe none.
            indexes: whether all are built; False for those alone that the constraints need.
        """
        self.tables = tables
        self._speller = speller
        self._builds_all = indexes
        self.problems: list[str] = []
        """What does not fit the models, each naming table, key and field."""
        self._lines: dict[str, int] = {}
        """The line in the file that a problem is about."""
        self.fill_ins: dict[tuple[str, Key], FillIn] = {}
        """The rows that are not what their files say, by table and key."""
        self._progress = progress
        self._to_index = 0
        """How many bytes of progress are left for building indexes."""
        self._interned: dict[str, Interned] = {}
        for table in tables.values():
            table.clear()  # another loader may have tried

    # ── the snapshot ────────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, lines: Lines) -> Iterator[Page]:
        """Load a table's lines; yield them as pages of bytes, as they would be written, and keys. O(n).

        Raises:
            CorruptSnapshot: a line is not a row, or a key stands twice.
            SchemaMismatch: rows do not fit the model; listing them.
        """
        table = self.tables[lines.table]
        decoder = PageDecoder(table.codec, self._interns(table))
        sealed = table.codec.trusted and bool(self._speller) and lines.speller == self._speller
        loaded = _LoadedPages()
        for offset, page in lines.pages():
            decoded = decoder.decode(page, sealed=sealed)
            if decoded is None:
                rows = self._line_by_line(table.codec, lines, page, offset)
                decoded = list(rows), [row for row, _ in rows.values()]
                written = join_lines(encode_line(key, row_json) for key, (_, row_json) in rows.items())
            else:
                written = page
            loaded.add(offset, page, *decoded)
            yield written, decoded[0]
            self._advance(len(page))
        # All at once: a page's keys at a time, the table's dictionary would leave the processor's caches in between.
        if not table.load(loaded.keys, loaded.rows):
            offset, key = loaded.first_repeated()
            raise _corrupt(lines, offset, f"the key {key!r} stands twice in {table.name}")
        if self.problems:
            # Rows are missing from what was loaded: whatever else is wrong may follow from that.
            self._refuse(lines.path, path=lines.path)

    def _interns(self, table: TableRows) -> dict[str, Intern]:
        """Return, for each foreign key that is text, the function that gives the text it has in common with others."""
        interns: dict[str, Intern] = {}
        for reference in table.schema.references:
            target = self.tables[reference.target]
            if target.schema.key_type is str:
                if target.name not in self._interned:
                    keys = cast("Collection[str]", target.rows)
                    self._interned[target.name] = Interned(zip(keys, keys, strict=True))
                interns[reference.field] = self._interned[target.name].__getitem__
        return interns

    def _line_by_line(self, codec: Codec, lines: Lines, page: bytes, start: int) -> dict[Key, tuple[BaseModel, bytes]]:
        """Return rows and their JSON by key, without those that do not fit the model: they are reported."""
        rows: dict[Key, tuple[BaseModel, bytes]] = {}
        for offset, line in lines_with_offsets(page, start):
            try:
                text, data = parse_line(codec.table, line)
            except ValueError as error:
                raise _corrupt(lines, offset, str(error)) from None
            completed = self._row(codec, text, data)
            if completed is None:
                if len(self.problems) <= MOST_PROBLEMS:
                    self._lines[self.problems[-1]] = lines.line_at(offset)
                continue
            key = getattr(completed[0], codec.key)
            if key in rows:
                raise _corrupt(lines, offset, f"the key {key!r} stands twice in {codec.table}")
            rows[key] = completed
        return rows

    def _row(self, codec: Codec, key: str, data: bytes) -> tuple[BaseModel, bytes] | None:
        """Return the row of a key's text and a row's JSON, completed, and its JSON now; None if it does not fit.

        What does not fit is reported. Of an error of the model's own code only the type is told: its message may
        repeat a value.
        """
        try:
            row, row_json = codec.complete(data, key)
            if str(getattr(row, codec.key)) != key:
                self.problems.append(f"{codec.table}[{key!r}].{codec.key}: the row holds another key than its line")
                return None
            self._note_fill_in(codec, row, data, row_json)
        except InvalidRow as error:
            self.problems.append(str(error))
            return None
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a validator may raise anything
            self.problems.append(f"{codec.table}[{key!r}]: its validation raised {type(error).__name__}")
            return None
        return row, row_json

    def _note_fill_in(self, codec: Codec, row: BaseModel, data: bytes, row_json: bytes) -> None:
        """Take note if a row is not what its file says: that is saved before anybody is given it."""
        key = getattr(row, codec.key)
        self.fill_ins.pop((codec.table, key), None)  # the journal may change a row again
        if data == row_json:
            return
        before, after = json.loads(data), json.loads(row_json)
        added = tuple(name for name in after if name not in before)
        changed = tuple(
            name for name in after if name in before and not codec.is_written_alike(name, before[name], after[name])
        )
        if added or changed:
            invented = [name for name in (*added, *changed) if core_schemas.invents(codec.model, name)]
            if not codec.plain:
                again = json.loads(codec.complete(data)[1])
                invented += [name for name in after if again.get(name) != after[name] and name not in invented]
            former = encode_json({name: before[name] for name in changed})
            self.fill_ins[codec.table, key] = FillIn(
                codec.table, key, row_json, former, added, changed, tuple(invented)
            )

    def _advance(self, size: int) -> None:
        """Report bytes that were read, and set some aside for building indexes."""
        done = int(size * READING_SHARE)
        self._to_index += size - done
        self._progress(done)

    # ── the journal, and snapshots of the older format ──────────────────────────────────────────────────────────────

    def parse_key(self, table: str, text: str, where: str) -> Key:
        """Return the key that a journalled text stands for.

        Raises:
            SchemaMismatch: the database doesn't have the table.
        """
        if table not in self.tables:
            raise SchemaMismatch(
                f"{where}: the journal holds rows of {table}, which the database doesn't have; nothing was changed. "
                f"Is this another program's directory? If not, add the table; to drop it, open and close the store "
                f"once with the classes that have it, and then take it out of the snapshot"
            )
        return self.tables[table].schema.parse_key(text)

    def apply(self, change: ChangeRecord, key: Key, where: str) -> ChangeRecord:
        """Apply a journalled change, and return it as it would be written today.

        Raises:
            SchemaMismatch: the row doesn't fit its model.
        """
        table = self.tables[change.table]
        if isinstance(change, Delete):
            table.load_change(key, None)
            self.fill_ins.pop((table.name, key), None)
            return Delete(change.table, key)
        completed = self._row(table.codec, str(change.key), change.row)
        if completed is None:
            self._refuse(where)
        row, row_json = completed
        table.load_change(key, row)
        return type(change)(change.table, key, row_json)

    def add_raw(self, table: str, key: str, row: Mapping[str, object]) -> Insert | None:
        """Add a row of a snapshot of the older format; return its insertion, or report it and return None."""
        state = self.tables[table]
        completed = self._row(state.codec, key, json.dumps(row).encode())
        if completed is None:
            return None
        validated, row_json = completed
        primary = state.key_of(validated)
        state.load_change(primary, validated)
        return Insert(table, primary, row_json)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Build the indexes, check the constraints, set the counters; O(n log n).

        Args:
            numbered: the last key given out, by table that numbers its keys.

        Raises:
            SchemaMismatch: listing what does not hold.
        """
        self._interned.clear()
        self._build_indexes()
        for name, table in self.tables.items():
            last, highest = numbered.get(name), table.restore_last_number(numbered.get(name))
            if last is not None and last < highest:
                self.problems.append(f"{name}: the last number given out is {last}, but there is a row {highest}")
        self.problems += constraints.problems(self.tables)
        if self.problems:
            self._refuse("the rows")

    def _build_indexes(self) -> None:
        """Build every index, and report the progress."""
        total, reported = sum(len(table.indexes) * len(table) for table in self.tables.values()), 0
        for table in self.tables.values():
            if not self._builds_all:
                table.build_when_asked()
                table.build(table.unique)
                continue
            for rows in table.build_indexes():
                part = self._to_index * rows // max(1, total)
                reported += part
                self._progress(part)
        self._progress(self._to_index - reported)

    def _refuse(self, where: str, *, path: str | None = None) -> NoReturn:
        lines = [self._lines.get(problem) for problem in self.problems]
        texts = [f"line {line}: {text}" if line else text for line, text in zip(lines, self.problems, strict=True)]
        heading = f"{where}: what is stored does not fit the models; nothing was changed:"
        raise SchemaMismatch(
            "\n  ".join([heading, *listed(texts, MOST_PROBLEMS)]),
            path=path,
            line=next(filter(None, lines), None),
        )


def _corrupt(lines: Lines, offset: int, reason: str) -> CorruptSnapshot:
    path = lines.path
    return CorruptSnapshot(f"{path}, byte {offset}: {reason}", path=path, line=lines.line_at(offset), offset=offset)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep the collector from scanning the growing heap again and again while rows are made: it would free nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
