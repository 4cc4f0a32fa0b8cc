"""What one user may store, and what one does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """What one user may store.

    Attributes:
        documents: number of documents.
        document_bytes: bytes of all their files; equal files count as often as they were uploaded.
        marks: number of extractions and annotations.
        row_bytes: bytes of the JSON of all these rows.
        json_bytes: bytes of one JSON object within a row: `metadata`, `coordinates`.
    """

    documents: int = 2_000
    document_bytes: int = 1024 * MIB
    marks: int = 50_000
    row_bytes: int = 64 * MIB
    json_bytes: int = 64 * KIB


@dataclass
class Usage:
    """What one user stores.

    Attributes:
        documents: number of documents.
        marks: number of extractions and annotations.
        document_bytes: bytes of the documents' files.
        row_bytes: bytes of the rows' JSON.
        last_change: key and time of the annotation that was changed last, unless a row was added or removed since.
        numbers: gives the numbers of documents and of marks as the indexes have them.
    """

    documents: int = 0
    marks: int = 0
    document_bytes: int = 0
    row_bytes: int = 0
    last_change: tuple[str, datetime] | None = None
    numbers: Callable[[], tuple[int, int]] = field(default=lambda: (0, 0), compare=False, repr=False)
