"""The import of a legacy snapshot: `{table: {key: row}}` without a header, and maps derived from it.

Nothing is written until every row has found its place: the application converts rows, reports what does not fit, and
may set rows aside. The original bytes are kept in the quarantine before the first file of the store is written.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from snaptable.changes.records import FillIn, Insert, Key
from snaptable.errors import CorruptSnapshot, OpenError, SchemaMismatch, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.recovery import RecoveryResult, RecoveryTarget, advice_for_unknown_tables
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot.pages import Pages

logger = logging.getLogger("snaptable")

MAX_SHOWN = 20
"""Entries that are not rows and are named one by one."""


class LegacySnapshot:
    """The content of a legacy file on its way into the tables; what `Database.import_legacy` is called with.

    Attributes:
        tables: raw JSON rows by table and key; change them in place. Derived maps are gone already.
        directory: the store's directory.
        problems: what does not fit. If there is any at the end, the store is not opened and nothing is changed.
        quarantined: rows that will be kept in the quarantine instead of becoming rows of a table.
    """

    def __init__(self, tables: dict[str, dict[str, dict[str, Any]]], directory: Path) -> None:
        self.tables = tables
        self.directory = directory
        self.problems: list[str] = []
        self.quarantined: list[dict[str, object]] = []
        self._deferred: list[Callable[[], object]] = []

    def problem(self, table: str, key: str, field: str, reason: str) -> None:
        """Report a row that can't be imported."""
        self.problems.append(f"{table}[{key!r}].{field}: {reason}")

    def set_aside(self, table: str, key: str, reason: str) -> None:
        """Keep a row in the quarantine, with the reason, instead of importing it."""
        row = self.tables[table].pop(key)
        self.quarantined.append({"table": table, "key": key, "reason": reason, "row": row})
        logger.warning("%s[%r] was set aside: %s", table, key, reason)

    def before_saving(self, write: Callable[[], object]) -> None:
        """Have `write` called once every row fits, before the first file of the store is written.

        It writes what the application keeps beside the rows, such as files that the rows name. An OSError that it
        raises is raised by `open` as an OpenError; nothing was taken over then.
        """
        self._deferred.append(write)

    def run_deferred(self) -> None:
        """Call what was given to `before_saving`, in that order."""
        for write in self._deferred:
            write()

    def quarantined_json(self) -> bytes:
        """Return the rows set aside as JSON lines."""
        return b"".join(
            json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" for row in self.quarantined
        )


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def parse(path: str, data: bytes) -> dict[str, dict[str, Any]]:
    """Return the maps of a legacy file.

    Raises:
        CorruptSnapshot: it is not JSON.
        SnapshotEdited: it is a snapshot of this library that was laid out anew.
        UnsupportedFormat: it is JSON of another shape.
    """
    try:
        plain = damage.parse_file(data)
    except (ValueError, RecursionError) as error:
        if damage.seems_ours(data):
            raise damage.explain(path, data, has_header=False) from None
        raise _damaged(path, data, error) from None
    if isinstance(plain, dict) and "snaptable" in plain:
        raise damage.explain(path, data, has_header=False)
    misfits = _not_tables(plain)
    if misfits:
        raise UnsupportedFormat(
            f"{path} is JSON, but neither a snapshot of this library nor of the form {{table: {{key: row}}}}: "
            f"{misfits}; nothing was changed",
            path=path,
        )
    assert isinstance(plain, dict)  # which `_not_tables` would have reported
    return plain


def _not_tables(plain: object) -> str:
    """Return which parts of a file are not tables, in words; empty if all are."""
    if not isinstance(plain, dict):
        return f"it is {_KINDS[type(plain)]}"
    misfits = [
        f"{json.dumps(name)} is {_KINDS[type(value)]}" for name, value in plain.items() if type(value) is not dict
    ]
    more = [f"{len(misfits) - MAX_SHOWN} more"] if len(misfits) > MAX_SHOWN else []
    return ", ".join(misfits[:MAX_SHOWN] + more)


_KINDS = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a truth value",
    type(None): "null",
}
"""What a JSON value that is not an object is called."""


def _damaged(path: str, data: bytes, error: Exception) -> CorruptSnapshot:
    offset = error.start if isinstance(error, UnicodeDecodeError) else getattr(error, "pos", 0)
    reason = "is empty" if not data else f"is damaged: {error}"
    return CorruptSnapshot(
        f"{path} {reason} (byte {offset} of {len(data)}); it was left as it is. "
        f"{names.command('repair', Path(path).parent)} says what can be saved; or put a copy back",
        path=path,
        line=damage.line_at(data, offset),
        offset=offset,
    )


def read(path: str, data: bytes, tables: Sequence[str], directory: Path) -> LegacySnapshot:
    """Return the content of a legacy file.

    Args:
        path: the file's path, for messages.
        data: its content.
        tables: the names of the database's tables.
        directory: the store's directory.

    Raises:
        SchemaMismatch: it holds rows of a table the database doesn't have, or entries that are not rows.
        OpenError: as `parse`.
    """
    maps = {name: rows for name, rows in parse(path, data).items() if name in tables or not _is_derived(name, rows)}
    unknown = {name: len(rows) for name, rows in maps.items() if name not in tables and rows}
    if unknown:
        listed = ", ".join(f"{name} ({count} row{'s' * (count != 1)})" for name, count in unknown.items())
        raise SchemaMismatch(
            f"{path} holds tables that the database doesn't have: {listed}; nothing was changed. Is this another "
            f"program's file? {advice_for_unknown_tables(path, unknown)}",
            path=path,
        )
    broken = [
        f"{name}[{key!r}]" for name, rows in maps.items() for key, row in rows.items() if not isinstance(row, dict)
    ]
    if broken:
        raise SchemaMismatch(f"{path}: not a row: {', '.join(broken[:MAX_SHOWN])}; nothing was changed", path=path)
    return LegacySnapshot({name: rows for name, rows in maps.items() if name in tables}, directory)


def _is_derived(name: str, rows: Mapping[str, object]) -> bool:
    """Return whether a map is an index that can be rebuilt: `users_by_email`, from a value to one id or several."""
    return "_by_" in name and all(isinstance(value, str) or _is_ids(value) for value in rows.values())


def _is_ids(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, (str, int)) for item in value)


# ── importing ───────────────────────────────────────────────────────────────────────────────────────────────────────


class LegacyImportTarget(RecoveryTarget, Protocol):
    """A recovery target that also takes raw rows of a legacy file."""

    problems: list[str]

    @property
    def fill_ins(self) -> Mapping[tuple[str, Key], FillIn]:
        """The rows that are not what their files say, by table and key."""

    def add_raw(self, table: str, key: str, row: Mapping[str, object]) -> Insert | None:
        """Take a raw row and return its insertion; if it does not fit its model, report that and return None."""


def import_legacy(
    files: Files,
    data: bytes,
    pages: Pages,
    target: LegacyImportTarget,
    convert: Callable[[LegacySnapshot], None],
) -> RecoveryResult:
    """Import a legacy file: every row that was not set aside, or nothing.

    Args:
        files: the store's directory.
        data: the file's content.
        pages: empty; filled with the rows.
        target: loaded with the rows.
        convert: the application's conversion of the raw rows.

    Raises:
        SchemaMismatch: listing the rows that do not fit, by table, key and field.
        OpenError: there is a journal beside the file; what the application keeps beside the rows could not be
            written; or as `parse`.
    """
    # 1. What the file holds.
    path = str(files.path(names.SNAPSHOT))
    legacy = read(path, data, tuple(pages.tables), files.root)
    if journal_directory.segments(files):
        raise OpenError(
            f"{path} is of the older format, but there is a journal beside it: move {names.JOURNAL} away first",
            path=path,
        )
    # 2. What the application changes: rows converted, reported, set aside.
    convert(legacy)
    # 3. Each row into its table.
    _import_rows(legacy, pages, target)
    # 4. What the application keeps beside the rows.
    try:
        legacy.run_deferred()
    except OSError as error:
        raise OpenError(f"{path} could not be taken over: {error}; it was left as it is", path=path) from error
    # 5. The old bytes, and what was set aside, kept before the store's own files are written.
    _keep_originals(files, data, legacy)
    return RecoveryResult()


def _import_rows(legacy: LegacySnapshot, pages: Pages, target: LegacyImportTarget) -> None:
    for table in pages.tables:
        for key, row in legacy.tables.get(table, {}).items():
            insert = target.add_raw(table, key, row)
            if insert is not None:
                pages.apply_changes([insert])
    target.problems[:0] = legacy.problems
    target.finish({})


def _keep_originals(files: Files, data: bytes, legacy: LegacySnapshot) -> None:
    kept = keep_bytes(files, "stopgap-db_snapshot.json", data)
    path = files.path(names.SNAPSHOT)
    logger.warning("%s is of the older format; it is taken over, its bytes are kept as %s", path, kept)
    if legacy.quarantined:
        kept = keep_bytes(files, "stopgap-rows-set-aside.jsonl", legacy.quarantined_json())
        logger.warning("%d rows that could not be taken over are kept as %s", len(legacy.quarantined), kept)
