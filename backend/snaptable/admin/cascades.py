"""What goes with rows that are deleted, and what refers to a row: counted before anything is done."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from snaptable import Database, ReferenceSchema, one_of


@dataclass
class Deletion:
    """What a deletion does.

    Attributes:
        deleted: the keys of the rows that go, by table.
        changed: the keys of rows of which a field becomes null, by table.
        restricted: how many rows that stay forbid it, by table and field.
    """

    deleted: dict[str, set[object]]
    changed: dict[str, set[object]] = field(default_factory=dict)
    restricted: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def with_it(self) -> dict[str, int]:
        """How many rows go, by table."""
        return {name: len(keys) for name, keys in self.deleted.items() if keys}

    @property
    def without_link(self) -> dict[str, int]:
        """How many rows that stay lose what they refer to, by table."""
        left = {name: len(keys - self.deleted.get(name, set())) for name, keys in self.changed.items()}
        return {name: count for name, count in left.items() if count}


def deletion_of(db: Database, table: str, keys: Iterable[object]) -> Deletion:
    """Return what the deletion of rows would do; one look-up by index for each reference and each step of a cascade."""
    first = set(keys)
    deletion = Deletion({table: first})
    restricting: dict[tuple[str, str], set[object]] = {}
    steps = [(table, first)]
    while steps:
        name, gone = steps.pop()
        for reference in db.tables[name].schema.referenced_by:
            rows = _referring(db, reference, gone)
            if reference.on_delete == "cascade":
                new = rows - deletion.deleted.setdefault(reference.table, set())
                deletion.deleted[reference.table] |= new
                steps += [(reference.table, new)] if new else []
            elif reference.on_delete == "set null":
                deletion.changed.setdefault(reference.table, set()).update(rows)
            else:
                restricting.setdefault((reference.table, reference.field), set()).update(rows)
    for (name, column), rows in restricting.items():
        if stays := rows - deletion.deleted.get(name, set()):
            deletion.restricted[name, column] = len(stays)
    return deletion


def _referring(db: Database, reference: ReferenceSchema, keys: set[object]) -> set[object]:
    other = db.tables[reference.table]
    column: object = other.schema.columns[reference.field]
    return {getattr(row, other.schema.key) for row in other.where(one_of(column, keys)).all()}


def referring(db: Database, table: str, key: object, shown: Iterable[str]) -> list[tuple[ReferenceSchema, int]]:
    """Return the references to a row, each with how many rows have it; of tables that are shown, and only such."""
    names, counts = set(shown), []
    for reference in db.tables[table].schema.referenced_by:
        if reference.table in names:
            column: object = db.tables[reference.table].schema.columns[reference.field]
            count = db.tables[reference.table].where(column == key).count()
            if count:
                counts.append((reference, count))
    return counts
