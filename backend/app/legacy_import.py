"""A file of the older stop-gap, turned into rows: bytes out of the JSON, times in UTC, nothing lost in silence."""

import base64
import binascii
import hashlib
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.files.blobs import Blobs
from app.files.pdf_pages import NotAPdf, count_pages
from app.security.emails import canonical_email
from snaptable import LegacySnapshot
from snaptable.storage.disk.files import Files

LegacyRow = dict[str, Any]

DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)

_TIMES = {
    "users": ("created_at", "updated_at"),
    "documents": ("upload_date",),
    "extractions": ("timestamp",),
    "annotations": ("created_at", "updated_at"),
}


def import_rows(old: LegacySnapshot) -> None:
    """Convert every row in place; set aside rows without an owner, report what does not fit.

    Bytes are stored once every row fits, what the tables demand included.
    """
    _add_keys(old)
    _convert_users(old)
    _set_aside_dangling(old)
    _fill_gaps(old)
    _convert_times(old)
    contents = _extract_contents(old)
    old.before_saving(lambda: _store_blobs(old.directory, contents))


def _rows(old: LegacySnapshot, table: str) -> list[tuple[str, LegacyRow]]:
    """Return a table's rows by key; the library reports those that are not objects."""
    return [(key, row) for key, row in old.tables.get(table, {}).items() if isinstance(row, dict)]


def _add_keys(old: LegacySnapshot) -> None:
    """Give a row without `id` the key it stands under."""
    for table in _TIMES:
        for key, row in _rows(old, table):
            row.setdefault("id", key)


def _convert_users(old: LegacySnapshot) -> None:
    """Bring addresses into canonical form, and report those that are then the same."""
    owners: dict[str, str] = {}
    for key, row in _rows(old, "users"):
        if not isinstance(row.get("email"), str):
            continue
        row["email"] = canonical_email(row["email"])
        first = owners.setdefault(row["email"], key)
        if first != key:
            reason = f"is the same address as that of user {first}, but for case; change or remove one of the two"
            old.problem("users", key, "email", reason)


def _set_aside_dangling(old: LegacySnapshot) -> None:
    """Set aside rows whose user or document is gone; a document that is set aside takes its rows with it."""
    users = old.tables.get("users", {})
    for table in ("documents", "extractions", "annotations"):
        for key, row in _rows(old, table):
            reason = _dangles(row, "user_id", users, "user")
            if table != "documents":
                reason = reason or _dangles(row, "document_id", old.tables.get("documents", {}), "document")
            if reason:
                old.set_aside(table, key, reason)


def _dangles(row: LegacyRow, field: str, targets: dict[str, Any], kind: str) -> str | None:
    """Return why a row dangles, or None; the library reports a reference that is not a text."""
    key = row.get(field)
    return f"its {kind} {key} does not exist" if isinstance(key, str) and key not in targets else None


def _fill_gaps(old: LegacySnapshot) -> None:
    """Add the fields that older files lack, if something true can be said; the library reports the others."""
    defaults: dict[str, LegacyRow] = {
        "documents": {"metadata": {}},
        "extractions": {"method": "manual"},
        "annotations": {"content": None, "color": None},
    }
    written = _modified(old)
    for table, times in _TIMES.items():
        for _, row in _rows(old, table):
            for field, value in defaults.get(table, {}).items():
                row[field] = value if row.get(field) is None else row[field]
            for field in times:
                # An update is not before the creation, and a row is not younger than its file.
                row[field] = row.get(times[0]) or written if row.get(field) is None else row[field]


def _modified(old: LegacySnapshot) -> str:
    """Return when the old file was modified, as ISO 8601."""
    path = old.directory / "db_snapshot.json"
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()


def _convert_times(old: LegacySnapshot) -> None:
    """Write every time in UTC; one without an offset is in UTC already."""
    for table, fields in _TIMES.items():
        for key, row in _rows(old, table):
            for field in fields:
                if isinstance(row.get(field), str):
                    row[field] = _utc(old, table, key, field, row[field])


def _utc(old: LegacySnapshot, table: str, key: str, field: str, text: str) -> str:
    """Return the time in UTC, as ISO 8601."""
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        old.problem(table, key, field, "is not a time in ISO 8601")
        return text
    return time.isoformat()


def _extract_contents(old: LegacySnapshot) -> list[bytes]:
    """Take the bytes out of the rows, leaving size, hash and page count."""
    contents: list[bytes] = []
    for key, row in _rows(old, "documents"):
        data = _decode(row.pop("pdf_data", None))
        if data is None:
            old.problem("documents", key, "pdf_data", "is missing, or is not base64")
            continue
        contents.append(data)
        row["size"] = len(data)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        if row.get("total_pages") in (None, 0):
            row["total_pages"] = _count(old, key, data)
    return contents


def _decode(data: object) -> bytes | None:
    """Return the bytes of base64, with or without the prefix of a data URL; None if it is neither."""
    if not isinstance(data, str) or not data:
        return None
    prefix = DATA_URL.match(data)
    encoded = "".join(data[prefix.end() if prefix else 0 :].split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _count(old: LegacySnapshot, key: str, data: bytes) -> int:
    """Return the number of pages of a document whose row does not say."""
    try:
        return count_pages(io.BytesIO(data))
    except NotAPdf as error:
        old.problem("documents", key, "total_pages", f"is missing, and pdf_data does not tell: {error}")
        return 1


def _store_blobs(directory: Path, contents: list[bytes]) -> None:
    """Write the bytes as blobs, synced, before any row refers to them; if that fails, remove them again.

    Raises:
        OSError: not all of them could be written.
    """
    blobs = Blobs(Files(directory), lambda _: False)
    added: list[str] = []
    try:
        for data in contents:
            with blobs.stage(io.BytesIO(data), len(data)) as staged:
                if not blobs.path(staged.sha256).exists():
                    added.append(staged.sha256)
                staged.publish()
    except BaseException:
        for sha256 in added:
            blobs.collect(sha256)
        raise
