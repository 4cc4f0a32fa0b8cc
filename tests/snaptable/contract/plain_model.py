"""A database as plain dictionaries: what the state machine expects of the real one."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Annotated, Any

from snaptable import (
    ConstraintError,
    Database,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    Index,
    Row,
    RowNotFound,
    Table,
    Unique,
    UniqueViolation,
    table,
)


class User(Row):
    id: str
    email: Annotated[str | None, Unique()] = None
    age: Annotated[int | None, Index(ordered=True)] = None
    boss: Annotated[str | None, ForeignKey("users", on_delete="set null")] = None


class Document(Row):
    id: int | None = None
    user: Annotated[str, ForeignKey(User, on_delete="cascade")]
    name: str | None = None
    status: Annotated[str, Index()] = ""
    tags: Annotated[list[str], Index(each=True)] = []


class Note(Row):
    id: str
    document: Annotated[int | None, ForeignKey(Document, on_delete="cascade")] = None
    above: Annotated[str | None, ForeignKey("notes", on_delete="cascade")] = None
    by: Annotated[str | None, ForeignKey(User, on_delete="set null")] = None


class Hold(Row):
    id: str
    note: Annotated[str | None, ForeignKey(Note)] = None
    user: Annotated[str | None, ForeignKey(User), Unique()] = None


class Library(Database):
    users: Table[User]
    documents: Table[Document] = table(
        Unique("user", "name"), Index("status", "name"), Index("user", "status", ordered=True)
    )
    notes: Table[Note]
    holds: Table[Hold]


MODELS: dict[str, type[Row]] = {"users": User, "documents": Document, "notes": Note, "holds": Hold}
REFERENCES: list[tuple[str, str, str, str]] = [
    ("users", "boss", "users", "set null"),
    ("documents", "user", "users", "cascade"),
    ("notes", "document", "documents", "cascade"),
    ("notes", "above", "notes", "cascade"),
    ("notes", "by", "users", "set null"),
    ("holds", "note", "notes", "restrict"),
    ("holds", "user", "users", "restrict"),
]
UNIQUES: list[tuple[str, tuple[str, ...]]] = [
    ("users", ("email",)),
    ("documents", ("user", "name")),
    ("holds", ("user",)),
]
Values = dict[str, Any]


class World:
    """Hold rows as dictionaries, by table and key, in the order of the file.

    A row deleted in the open transaction leaves its key with None: inserted again before the end, it keeps its place.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, Values | None]] = {name: {} for name in MODELS}

    def copy(self) -> "World":
        """Return a world that shares nothing with this one."""
        return deepcopy(self)

    def rows(self, name: str) -> dict[Any, Values]:
        """Return the rows of a table, in order."""
        return {key: row for key, row in self.tables[name].items() if row is not None}

    def settle(self) -> None:
        """End a transaction: the places of deleted rows are given up."""
        self.tables = {name: dict(self.rows(name)) for name in self.tables}

    def put(self, name: str, values: Values, *, add: bool, change: bool) -> None:
        """Insert, replace or upsert a row."""
        key = values["id"]
        there = self.tables[name].get(key) is not None
        if there and not change:
            raise DuplicateKey
        if not there and not add:
            raise RowNotFound
        self.tables[name][key] = values

    def update(self, name: str, key: Any, changes: Values) -> None:
        """Change fields of a row."""
        row = self.tables[name].get(key)
        if row is None:
            raise RowNotFound
        self.tables[name][key] = {**row, **changes}

    def delete(self, name: str, key: Any) -> None:
        """Delete a row, what cascades from it, and the references that set null."""
        if self.tables[name].get(key) is None:
            raise RowNotFound
        self.tables[name][key] = None
        for child, field, target, mode in REFERENCES:
            if target != name or mode == "restrict":
                continue
            for other, row in self.rows(child).items():
                if row[field] == key and self.tables[child].get(other) is not None:
                    if mode == "cascade":
                        self.delete(child, other)
                    else:
                        self.update(child, other, {field: None})

    def matching(self, name: str, field: str, value: Any) -> list[Any]:
        """Return the keys of the rows with a value in a field."""
        return [key for key, row in self.rows(name).items() if row[field] == value]

    def violations(self) -> set[type[ConstraintError]]:
        """Return the kinds of constraints that don't hold."""
        found: set[type[ConstraintError]] = set()
        for name, fields in UNIQUES:
            values = [tuple(row[field] for field in fields) for row in self.rows(name).values()]
            taken = [value for value in values if None not in value]
            if len(set(taken)) != len(taken):
                found.add(UniqueViolation)
        for name, field, target, _ in REFERENCES:
            present = {None, *self.rows(target)}
            if any(row[field] not in present for row in self.rows(name).values()):
                found.add(ForeignKeyViolation)
        return found


def in_order(rows: Iterable[Row]) -> list[Values]:
    """Return rows as dictionaries, in order."""
    return [dict(row) for row in rows]


Work = Callable[[], object]
