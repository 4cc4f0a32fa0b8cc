"""Taking over a snapshot of the older stop-gap: `{table: {key: row}}` without a header, and maps derived from it.

Nothing is written until every row has found its place: the caller converts, reports what does not fit, and may set
rows aside. The original bytes are kept in the quarantine before the first file of the store's own is written.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snaptable.errors import CorruptSnapshot, SchemaMismatch, SnapshotEdited, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.values.strict_json import parse_strictly

logger = logging.getLogger("snaptable")


class LegacySnapshot:
    """Be the content of a stop-gap file on its way into the tables; what `Database.import_legacy` is handed.

    Attributes:
        tables: raw JSON rows by table and key; change them in place. Derived maps are gone already.
        directory: the store's directory.
        problems: what does not fit; if there is anything at the end, the store is not opened and nothing is changed.
        aside: rows that will be kept in the quarantine instead of becoming rows.
    """

    def __init__(self, tables: dict[str, dict[str, dict[str, Any]]], directory: Path) -> None:
        self.tables = tables
        self.directory = directory
        self.problems: list[str] = []
        self.aside: list[dict[str, Any]] = []

    def problem(self, table: str, key: str, field: str, reason: str) -> None:
        """Report a row that can't be taken over."""
        self.problems.append(f"{table}[{key!r}].{field}: {reason}")

    def set_aside(self, table: str, key: str, reason: str) -> None:
        """Keep a row in the quarantine, with the reason, instead of taking it over."""
        row = self.tables[table].pop(key)
        self.aside.append({"table": table, "key": key, "reason": reason, "row": row})
        logger.warning("%s[%r] was set aside: %s", table, key, reason)

    def aside_json(self) -> bytes:
        """Return the rows set aside as JSON lines."""
        return b"".join(
            json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" for row in self.aside
        )


def parse(path: str, data: bytes) -> dict[str, dict[str, Any]]:
    """Return the maps of a stop-gap file.

    Raises:
        CorruptSnapshot: it is not JSON.
        SnapshotEdited: it is a snapshot of this library that was laid out anew.
        UnsupportedFormat: it is JSON of another shape.
    """
    try:
        plain = parse_strictly(data)
    except (ValueError, RecursionError) as error:
        what = "is empty" if not data else f"is damaged: {error}"
        offset = error.start if isinstance(error, UnicodeDecodeError) else getattr(error, "pos", 0)
        raise CorruptSnapshot(
            f"{path} {what} (byte {offset} of {len(data)}); it was left as it is. "
            f"{names.command('repair', Path(path).parent)} says what can be saved; or put a copy back"
        ).at(offset) from None
    if isinstance(plain, dict) and "snaptable" in plain:
        raise SnapshotEdited(snapshot_format.edited(path, "it was laid out anew"))
    if not isinstance(plain, dict) or not all(isinstance(value, dict) for value in plain.values()):
        raise UnsupportedFormat(
            f"{path} is JSON, but neither a snapshot of this library nor of the form {{table: {{key: row}}}}"
        )
    return plain


def read(path: str, data: bytes, tables: Sequence[str], directory: Path) -> LegacySnapshot:
    """Return the content of a stop-gap file.

    Args:
        path: the file's path, for messages.
        data: its content.
        tables: the names of the database's tables.
        directory: the store's directory.

    Raises:
        SchemaMismatch: it holds rows of a table the database doesn't have.
        OpenError: as `parse`.
    """
    plain = parse(path, data)
    found = {name: rows for name, rows in plain.items() if name in tables or not _is_derived(name, rows)}
    foreign = [f"{name} ({len(rows)} rows)" for name, rows in found.items() if name not in tables and rows]
    if foreign:
        raise SchemaMismatch(
            f"{path} holds tables that the database doesn't have: {', '.join(foreign)}; nothing was changed"
        )
    broken = [
        f"{name}[{key!r}]" for name, rows in found.items() for key, row in rows.items() if not isinstance(row, dict)
    ]
    if broken:
        raise SchemaMismatch(f"{path}: not a row: {', '.join(broken[:20])}; nothing was changed")
    return LegacySnapshot({name: rows for name, rows in found.items() if name in tables}, directory)


def _is_derived(name: str, rows: dict[str, Any]) -> bool:
    """Return whether a map is an index that can be rebuilt: `users_by_email`, leading to an id or to lists of ids."""
    return "_by_" in name and all(isinstance(value, str) or _is_ids(value) for value in rows.values())


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, (str, int)) for item in value)
