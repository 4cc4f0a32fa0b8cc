"""The rows that everybody stores: users, their documents, and marks on those; 370 bytes of JSON each.

Four in a hundred rows are users, sixteen documents, eighty annotations: a user has four documents, a document five
annotations. Every value can be changed by nobody, so that no store has to copy what it hands out.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel

from snaptable import Database, ForeignKey, Index, Row, Table, Unique, table

R = TypeVar("R", bound=BaseModel)
Kind = Literal["highlight", "note", "rectangle", "circle", "arrow", "freehand"]
KINDS: tuple[Kind, ...] = ("highlight", "note", "rectangle", "circle", "arrow", "freehand")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("the", "of", "and", "to", "in", "that", "is", "was", "for", "on", "are", "with", "as", "at", "be", "this")


class User(Row):
    """Be somebody who has documents."""

    id: str
    email: Annotated[str, Unique()]
    name: str
    password_hash: str
    created_at: datetime
    updated_at: datetime


class Document(Row):
    """Be a file of somebody's."""

    id: str
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    filename: Annotated[str, Index()]
    title: str
    sha256: str
    pages: int
    size: int
    upload_date: Annotated[datetime, Index(ordered=True)]


class Annotation(Row):
    """Be a mark on a page: the row that is inserted, got, found and scanned."""

    id: str
    document_id: Annotated[str, ForeignKey(Document, on_delete="cascade")]
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    page: int
    kind: Kind
    x: float
    y: float
    width: float
    height: float
    content: str
    color: str | None
    created_at: Annotated[datetime, Index(ordered=True)]


class Library(Database):
    """Be our side: the design's example."""

    users: Table[User]
    documents: Table[Document] = table(Unique("user_id", "filename"), Index("user_id", "upload_date", ordered=True))
    annotations: Table[Annotation]


MODELS: dict[str, type[Row]] = {"users": User, "documents": Document, "annotations": Annotation}


class Rows:
    """Be a set of rows that is the same each time it is made; `more()` gives further annotations, never one twice."""

    def __init__(self, total: int) -> None:
        """Make `total` rows (a multiple of 100); O(total)."""
        self.total = total
        self._random = random.Random(total)
        self.users = [self._user() for _ in range(total * 4 // 100)]
        self.documents = [self._document(number) for number in range(total * 16 // 100)]
        self.annotations = self.more(total * 80 // 100)

    def tables(self) -> dict[str, Sequence[Row]]:
        """Return the rows by the name of their table, the referenced before those that refer to them."""
        return {"users": self.users, "documents": self.documents, "annotations": self.annotations}

    def more(self, count: int) -> list[Annotation]:
        """Return new annotations, on documents in turn."""
        documents, made = self.documents, self._random
        found = []
        for number in range(count):
            document = documents[number % len(documents)]
            found.append(
                Annotation(
                    id=self._id(),
                    document_id=document.id,
                    user_id=document.user_id,
                    page=made.randrange(1, 400),
                    kind=KINDS[number % len(KINDS)],
                    x=made.random(),
                    y=made.random(),
                    width=0.25,
                    height=0.125,
                    content=self._text(16),
                    color=None if number % 4 else "#ffcc00",
                    created_at=self._time(),
                )
            )
        return found

    def keys(self, count: int) -> list[str]:
        """Return keys of stored annotations, at random."""
        return [row.id for row in self._random.choices(self.annotations, k=count)]

    def parents(self, count: int) -> list[str]:
        """Return keys of documents, at random."""
        return [row.id for row in self._random.choices(self.documents, k=count)]

    def moments(self, count: int) -> list[datetime]:
        """Return times with at least a hundred annotations behind them, at random."""
        ordered = sorted(row.created_at for row in self.annotations)[: -100 or None]
        return self._random.choices(ordered, k=count)

    def _user(self) -> User:
        name, when = self._id(), self._time()
        return User(
            id=self._id(),
            email=f"{name}@example.org",
            name=self._text(4),
            password_hash=f"$argon2id$v=19$m=65536,t=3,p=4${name}${name}{name}",
            created_at=when,
            updated_at=when + timedelta(days=1),
        )

    def _document(self, number: int) -> Document:
        return Document(
            id=self._id(),
            user_id=self.users[number % len(self.users)].id,
            filename=f"report-{number}.pdf",
            title=self._text(8),
            sha256=f"{self._random.getrandbits(256):064x}",
            pages=self._random.randrange(1, 400),
            size=self._random.randrange(10_000, 10_000_000),
            upload_date=self._time(),
        )

    def _id(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(WORDS, k=words))

    def _time(self) -> datetime:
        return BEGINNING + timedelta(microseconds=self._random.getrandbits(44))


# ── typed rows out of stores that keep something else ───────────────────────────────────────────────────────────────

_new, _time = object.__new__, datetime.fromisoformat
_slots = BaseModel.__dict__
_put_values, _put_names = _slots["__dict__"].__set__, _slots["__pydantic_fields_set__"].__set__
_put_extra, _put_private = _slots["__pydantic_extra__"].__set__, _slots["__pydantic_private__"].__set__
_NAMES: dict[type[BaseModel], set[str]] = {model: set(model.model_fields) for model in MODELS.values()}


def trusted(model: type[R], values: dict[str, Any]) -> R:
    """Return a row made of values that are known to be right, at a ninth of the cost of `model_construct`.

    The fastest honest way to a real Pydantic object from Python; every peer that keeps something else gets it.
    """
    row = _new(model)
    _put_values(row, values)
    _put_names(row, _NAMES[model])
    _put_extra(row, None)
    _put_private(row, None)
    return row


def user_of(record: Sequence[Any]) -> User:
    """Return the user of a record."""
    key, email, name, password, created, updated = record
    values = {"id": key, "email": email, "name": name, "password_hash": password}
    values["created_at"] = _time(created)
    values["updated_at"] = _time(updated)
    return trusted(User, values)


def document_of(record: Sequence[Any]) -> Document:
    """Return the document of a record."""
    key, user, filename, title, sha256, pages, size, uploaded = record
    return trusted(
        Document,
        {
            "id": key, "user_id": user, "filename": filename, "title": title,
            "sha256": sha256, "pages": pages, "size": size, "upload_date": _time(uploaded),
        },
    )  # fmt: skip


def annotation_of(record: Sequence[Any]) -> Annotation:
    """Return the annotation of a record."""
    key, document, user, page, kind, x, y, width, height, content, color, created = record
    return trusted(
        Annotation,
        {
            "id": key, "document_id": document, "user_id": user, "page": page, "kind": kind, "x": x, "y": y,
            "width": width, "height": height, "content": content, "color": color, "created_at": _time(created),
        },
    )  # fmt: skip


FROM_RECORD: dict[str, Callable[[Sequence[Any]], Row]] = {
    "users": user_of, "documents": document_of, "annotations": annotation_of,
}  # fmt: skip


def record_of(row: Row) -> tuple[Any, ...]:
    """Return a row as a record: its values in the order of its fields, times as ISO text, which sorts as they do."""
    return tuple(value.isoformat() if isinstance(value, datetime) else value for value in row.__dict__.values())
