"""Turn a file of the older stop-gap into rows: bytes out of the JSON, times in UTC, nothing lost in silence."""

import base64
import binascii
import hashlib
import io
import re
from datetime import UTC, datetime
from typing import Any

from app.files.blobs import Blobs, StagedBlob
from app.files.pdf_pages import NotAPdf, count_pages
from app.security.emails import canonical_email
from snaptable import LegacySnapshot

StopgapRow = dict[str, Any]

BLOB_DIRECTORY = "blobs"
DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)

_TIMES = {
    "users": ("created_at", "updated_at"),
    "documents": ("upload_date",),
    "extractions": ("timestamp",),
    "annotations": ("created_at", "updated_at"),
}


def take_over(old: LegacySnapshot) -> None:
    """Convert every row in place; set aside what belongs to nobody, report what does not fit.

    Bytes are stored last, and only when nothing was reported so far.
    """
    _add_keys(old)
    _take_over_users(old)
    _set_aside_dangling(old)
    _fill_gaps(old)
    _convert_times(old)
    contents = _take_over_documents(old)
    if not old.problems:
        _store(old, contents)


def _rows(old: LegacySnapshot, table: str) -> list[tuple[str, StopgapRow]]:
    """Return a table's rows by key; those that are no objects are the library's to report."""
    return [(key, row) for key, row in old.tables.get(table, {}).items() if isinstance(row, dict)]


def _add_keys(old: LegacySnapshot) -> None:
    """Give a row without `id` the key it stands under."""
    for table in _TIMES:
        for key, row in _rows(old, table):
            row.setdefault("id", key)


def _take_over_users(old: LegacySnapshot) -> None:
    """Bring addresses into canonical form, and report those that are then the same."""
    seen: dict[str, str] = {}
    for key, row in _rows(old, "users"):
        if not isinstance(row.get("email"), str):
            continue
        row["email"] = canonical_email(row["email"])
        other = seen.setdefault(row["email"], key)
        if other != key:
            reason = f"is the same address as that of user {other}, but for case; change or remove one of the two"
            old.problem("users", key, "email", reason)


def _set_aside_dangling(old: LegacySnapshot) -> None:
    """Set aside rows whose user or document is gone; a document that goes takes its rows with it."""
    users = old.tables.get("users", {})
    for table in ("documents", "extractions", "annotations"):
        for key, row in _rows(old, table):
            reason = _missing(row, "user_id", users, "user")
            if table != "documents":
                reason = reason or _missing(row, "document_id", old.tables.get("documents", {}), "document")
            if reason:
                old.set_aside(table, key, reason)


def _missing(row: StopgapRow, field: str, targets: dict[str, Any], what: str) -> str | None:
    """Return why a row dangles, or None; a reference that is no text is the library's to report."""
    key = row.get(field)
    return f"its {what} {key} does not exist" if isinstance(key, str) and key not in targets else None


def _fill_gaps(old: LegacySnapshot) -> None:
    """Add the fields that older files lack, where something true can be said; the rest is the library's to report."""
    defaults: dict[str, StopgapRow] = {
        "documents": {"metadata": {}},
        "extractions": {"method": "manual"},
        "annotations": {"content": None, "color": None},
    }
    known_since = _written(old)
    for table, times in _TIMES.items():
        for _, row in _rows(old, table):
            for field, value in defaults.get(table, {}).items():
                row[field] = value if row.get(field) is None else row[field]
            for field in times:
                # An update is no earlier than the creation, and a row is no younger than the file it stands in.
                row[field] = row.get(times[0]) or known_since if row.get(field) is None else row[field]


def _written(old: LegacySnapshot) -> str:
    """Return when the old file was written, as ISO 8601."""
    path = old.directory / "db_snapshot.json"
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()


def _convert_times(old: LegacySnapshot) -> None:
    """Write every time with an offset; one without means UTC."""
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


def _take_over_documents(old: LegacySnapshot) -> list[bytes]:
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


def _decode(data: Any) -> bytes | None:
    """Decode base64, with or without the prefix of a data URL; None when it is neither."""
    if not isinstance(data, str) or not data:
        return None
    prefix = DATA_URL.match(data)
    encoded = "".join(data[prefix.end() if prefix else 0 :].split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _count(old: LegacySnapshot, key: str, data: bytes) -> int:
    """Count the pages of a document whose row does not say."""
    try:
        return count_pages(io.BytesIO(data))
    except NotAPdf as error:
        old.problem("documents", key, "total_pages", f"is missing, and pdf_data does not tell: {error}")
        return 1


def _store(old: LegacySnapshot, contents: list[bytes]) -> None:
    """Write the bytes as blobs, synced, before any row names them."""
    blobs = Blobs(old.directory / BLOB_DIRECTORY, lambda _: True)
    for data in contents:
        with StagedBlob(blobs) as incoming:
            incoming.fill(io.BytesIO(data), len(data))
            incoming.publish()
