"""What schemas say of their tables, as the header of a snapshot has it."""

from collections.abc import Mapping

from snaptable.schema.tables import TableSchema
from snaptable.storage.snapshot.table_marks import TableMarks


def marks_of(schemas: Mapping[str, TableSchema]) -> TableMarks:
    """Return what schemas say of their tables, for the header of a snapshot."""
    secret = {name: tuple(sorted(schema.secrets)) for name, schema in schemas.items() if schema.secrets}
    references = {
        name: {each.field: (each.target, str(each.on_delete)) for each in schema.references}
        for name, schema in schemas.items()
        if schema.references
    }
    return TableMarks(secret, tuple(name for name, schema in schemas.items() if schema.transient), references)
