r"""CSV as RFC 4180 has it, with a distinction of PostgreSQL's: `,,` is an empty cell, `,"",` one with an empty text.

Python's own reader doesn't tell the two apart, and bounds a cell to 128 KiB by a setting of the whole process. Cells
that look like formulas are left as they are: they are text.
"""

import re
from collections.abc import Iterable, Iterator

from snaptable.errors import UnreadableFile
from snaptable.interchange.parsed import ParsedFile, Record
from snaptable.interchange.text import MAX_RECORD_BYTES, TOO_LONG, text_of

DELIMITERS = ",;\t|"
Cell = str | None
"""The text of a cell; None for an empty one without quotes."""

_NEEDS_QUOTES = re.compile(r'[",\r\n\0]')


def read_csv(data: bytes, name: str) -> ParsedFile:
    """Return the rows of a CSV file with a header; the delimiter is the one of , ; tab | that the header has most.

    Raises:
        UnreadableFile: it is not CSV, or in another encoding; with the line.
    """
    text = text_of(data, name)
    parser = _Parser(text, name, _delimiter_of(text))
    lines = parser.rows()
    line, header = next(lines, (1, []))
    if not header:
        raise UnreadableFile(f"{name} is empty: the first line names the columns", path=name, line=1)
    names = ["" if cell is None else cell for cell in header]
    seen: set[str] = set()
    twice = next((each for each in names if each in seen or seen.add(each)), None)  # type: ignore[func-returns-value]
    if twice is not None:
        raise UnreadableFile(f"{name}, line {line}: two columns are called {twice[:80]!r}", path=name, line=line)
    # Where even the header is in quotes, quotes say nothing.
    parser.quotes_say = not parser.all_quoted
    return ParsedFile(name, "csv", {"": [_record_of(names, cells, line) for line, cells in lines]})


def _record_of(names: list[str], cells: list[Cell], line: int) -> Record:
    if len(cells) != len(names):
        return Record({}, line, fault=f"has {len(cells)} cells, and the header has {len(names)}")
    if sum(map(len, filter(None, cells))) > MAX_RECORD_BYTES:
        return Record({}, line, fault=f"is {TOO_LONG}")
    return Record(dict(zip(names, cells, strict=True)), line, "text")


def _delimiter_of(text: str) -> str:
    first = re.sub(r'"[^"]*"?', "", re.split(r"[\r\n]", text[:100_000].lstrip("\r\n"), maxsplit=1)[0])
    return max(DELIMITERS, key=first.count)


class _Parser:
    """A CSV text that is read row by row."""

    def __init__(self, text: str, name: str, delimiter: str) -> None:
        self._text, self._name, self._delimiter = text, name, delimiter
        between = re.escape(delimiter)
        self._cell = re.compile(rf'"((?:[^"]++|"")*+)"|([^"{between}\r\n][^{between}\r\n]*+)?')
        self.all_quoted = True
        """Whether every cell of the first row was in quotes."""
        self.quotes_say = True
        """Whether an empty cell in quotes is an empty text."""

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Yield the line and the cells of each row; empty lines are left out."""
        text, position, line, first = self._text, 0, 1, True
        while position < len(text):
            cells, end, lines = self._row(position, line)
            if cells != [None]:
                yield line, cells
                if first:
                    first = False
            line += lines
            position = end

    def _row(self, position: int, line: int) -> tuple[list[Cell], int, int]:
        """Return the cells of the row at a position, where the next one begins, and the lines it takes."""
        text, size, delimiter, match_cell = self._text, len(self._text), self._delimiter, self._cell.match
        cells: list[Cell] = []
        lines = 1
        while True:
            match = match_cell(text, position)
            assert match is not None
            quoted, plain = match.groups()
            end = match.end()
            if quoted is not None:
                lines += quoted.count("\n") if "\n" in quoted else quoted.count("\r")
                cells.append(quoted.replace('""', '"') or ("" if self.quotes_say else None))
            elif plain is None and text[position : position + 1] == '"':
                raise self._refused(line + lines - 1, "a quote is opened and never closed")
            else:
                self.all_quoted = False
                if plain is not None and "\0" in plain:
                    raise self._refused(line + lines - 1, "it holds a NUL, so it is not text")
                cells.append(plain)
            if end == size:
                return cells, end, lines
            mark = text[end]
            if mark == delimiter:
                position = end + 1
            elif mark in "\r\n":
                return cells, end + (2 if text.startswith("\r\n", end) else 1), lines
            else:
                raise self._refused(line + lines - 1, "something follows the closing quote of a cell")

    def _refused(self, line: int, reason: str) -> UnreadableFile:
        return UnreadableFile(f"{self._name}, line {line}: {reason}", path=self._name, line=line)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def csv_lines(names: Iterable[str], rows: Iterable[Iterable[Cell]]) -> Iterator[bytes]:
    """Yield the lines of a CSV file: names, then rows."""
    yield _line(names)
    yield from map(_line, rows)


def _line(cells: Iterable[Cell]) -> bytes:
    return (",".join(map(_written, cells)) + "\n").encode()


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if not cell or cell[0] == "\ufeff" or _NEEDS_QUOTES.search(cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
