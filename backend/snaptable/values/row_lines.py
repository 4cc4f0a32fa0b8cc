"""The lines of rows, `"<key>": {…}`: how a row stands in a snapshot."""

import re

from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

_LINE = re.compile(rb'("(?:[^"\\]|\\.)*"): ?(\{.*\})', re.DOTALL)


def parse_line(table: str, line: bytes) -> tuple[str, bytes]:
    """Return the key of a snapshot's line `"<key>": {…}`, and its row's JSON, after parsing both strictly.

    Raises:
        ValueError: naming the table and the key, and what is wrong.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"a line of {table} is no row: {_excerpt(line)}")
    try:
        text, plain = parse_strictly(match[1]), parse_strictly(match[2])
        if depth_of(plain) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{table}[{_excerpt(match[1])}]: {error}") from None
    return text, match[2]


def _excerpt(data: bytes) -> str:
    text = data[:40].decode("utf-8", "backslashreplace")
    return text + "…" * (len(data) > 40)
