"""The shape of a database at some step: today's models, followed backward through the steps behind it.

A step works on rows as they were when it was written. Which field is a table's key, and which fields refer to it, only
today's models say; a later step may have renamed them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from snaptable.schema.tables import TableSchema
from snaptable.values.value_types import is_optional


@dataclass(frozen=True)
class Reference:
    """A foreign key: `table.field` holds keys of `target`, or None if it is optional; its row may go with that row."""

    table: str
    field: str
    target: str
    cascades: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Shape:
    """What is known of tables without looking at their rows.

    Attributes:
        keys: the field that is the primary key, by table; None if it isn't known.
        references: the foreign keys.
        is_past: whether the rows are of a past, in which those that were purged are missing.
    """

    keys: Mapping[str, str | None] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    is_past: bool = False

    @classmethod
    def of(cls, schemas: Mapping[str, TableSchema]) -> "Shape":
        """Return the shape of today's models."""
        references = tuple(
            Reference(
                each.table,
                each.field,
                each.target,
                cascades=each.on_delete == "cascade",
                optional=is_optional(schema.columns[each.field].annotation),
            )
            for schema in schemas.values()
            for each in schema.references
        )
        return cls({name: schema.key for name, schema in schemas.items()}, references)

    def with_field_called(self, table: str, now: str, then: str) -> "Shape":
        """Return the shape in which a field had another name."""
        keys = {name: then if (name, key) == (table, now) else key for name, key in self.keys.items()}
        references = [
            replace(each, field=then) if (each.table, each.field) == (table, now) else each for each in self.references
        ]
        return Shape(keys, tuple(references))

    def with_table_called(self, now: str, then: str) -> "Shape":
        """Return the shape in which a table had another name."""
        keys = {then if name == now else name: key for name, key in self.keys.items()}
        references = [
            replace(
                each,
                table=then if each.table == now else each.table,
                target=then if each.target == now else each.target,
            )
            for each in self.references
        ]
        return Shape(keys, tuple(references))

    def references_of(self, table: str) -> tuple[Reference, ...]:
        """Return the foreign keys of a table; O(references)."""
        return tuple(each for each in self.references if each.table == table)

    def going_with(self, table: str) -> set[str]:
        """Return a table and all those whose rows may go with its rows; O(references²)."""
        family, pending = {table}, [table]
        while pending:
            target = pending.pop()
            referring = {each.table for each in self.references if each.cascades and each.target == target}
            pending += referring - family
            family |= referring
        return family

    def with_table(self, table: str) -> "Shape":
        """Return the shape in which there was one table more."""
        return Shape({table: None, **self.keys}, self.references)
