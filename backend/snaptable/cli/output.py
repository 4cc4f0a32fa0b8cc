"""What a command writes: for people on a terminal, in columns and colours; for programs as JSON or between tabs."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

SHORT_KEY = 8
"""Characters that are shown of a key which is a UUID: enough to name it."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL |= {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_CONTROL_IN_JSON = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Of JSON, which has none of the others; the ones from 128 on begin commands on some terminals."""
_UNSEEN = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would carry out, colours aside: names of tables and texts of a store are whatever it was given."""
_STYLES = {"added": "green", "changed": "yellow", "removed": "red", "dim": "bright_black", "strong": None}


@dataclass
class Output:
    """Where a command writes to, and how.

    Attributes:
        as_json: whether one JSON document is wanted, and nothing else.
        as_lines: whether a JSON document a line is wanted.
        quiet: whether only results are written, and errors.
        no_color: whether colours are refused.
    """

    as_json: bool = False
    as_lines: bool = False
    quiet: bool = False
    no_color: bool = False

    @property
    def is_terminal(self) -> bool:
        """Whether people read it."""
        return sys.stdout is not None and sys.stdout.isatty()

    @property
    def has_color(self) -> bool:
        """Whether colours are shown."""
        refused = self.no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return self.is_terminal and not refused

    # ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, text: str = "") -> None:
        """Write a line for people."""
        if not (self.quiet or self.as_json or self.as_lines):
            self.write(text)

    def write(self, text: str) -> None:
        """Write a line that is wanted in any case."""
        text = _UNSEEN.sub(_escaped, text)
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")

    def styled(self, text: str, style: str) -> str:
        """Return a text in the colour of its meaning: "added", "changed", "removed", "dim", "strong"."""
        if not self.has_color:
            return text
        import click

        return click.style(text, fg=_STYLES[style], bold=style == "strong")

    # ── for programs ────────────────────────────────────────────────────────────────────────────────────────────────

    def document(self, value: object) -> None:
        """Write the one JSON document."""
        self.write(_json(value, indent=2))

    def line(self, value: object) -> None:
        """Write a JSON document on a line of its own, at once."""
        self.write(_json(value, separators=(",", ":")))
        sys.stdout.flush()

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> int:
        """Write rows as a table; between tabs, without a head, where a program reads. Return how many there were."""
        if self.is_terminal:
            return self._draw(columns, list(rows))
        count = 0
        for row in rows:
            self.write("\t".join(plain(row.get(name)) for name in columns))
            count += 1
        return count

    def _draw(self, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> int:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
        for name in columns:
            numbers = all(isinstance(row.get(name), int | float) or row.get(name) is None for row in rows)
            table.add_column(
                plain(name), justify="right" if numbers and rows else "left", overflow="ellipsis", no_wrap=True
            )
        for row in rows:
            table.add_row(*[Text(*_cell(row.get(name))) for name in columns])
        Console(no_color=not self.has_color, highlight=False, soft_wrap=False).print(table)
        return len(rows)


def _cell(value: object) -> tuple[str, str]:
    """Return the text of a cell, and its style."""
    if value is None:
        return "null", "dim italic"
    return shown(value), "cyan" if isinstance(value, str) and _UUID.fullmatch(value) else ""


def shown(value: object) -> str:
    """Return a value as people read it: times in words, numbers with separators, keys cut."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value[:SHORT_KEY]
        if _TIME.fullmatch(value):
            return in_words(value)
        return plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return plain(value)


def in_words(text: str) -> str:
    """Return a time of JSON as it is read here: `25 Jan 2026, 23:09`."""
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return plain(text)
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def _json(value: object, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    import json  # not for help

    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).translate(_CONTROL_IN_JSON)


def plain(value: object) -> str:
    """Return a value on one line without control characters: a text as it is, None as nothing, the rest as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    return text.translate(_CONTROL)


def quoted(value: object, width: int = 60) -> str:
    """Return a value as JSON, cut, without control characters: keys and fields in the text of a change."""
    text = _json(value).translate(_CONTROL)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _escaped(match: "re.Match[str]") -> str:
    return f"\\x{ord(match[0]):02x}"


def visible(text: str) -> str:
    """Return a text of several lines with its control characters escaped: for what stands in a message."""
    return text.translate({code: word for code, word in _CONTROL.items() if code not in (9, 10)})


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the names of the fields of some rows, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def batched(items: Iterable[Mapping[str, object]], size: int) -> Iterator[list[Mapping[str, object]]]:
    """Yield items some at a time."""
    batch: list[Mapping[str, object]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
