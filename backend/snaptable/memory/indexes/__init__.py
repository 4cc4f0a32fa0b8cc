"""The indexes of one table. They hold rows, so that a lookup needs no second one by key."""

from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.schema.tables import IndexSchema, TableSchema

AnyIndex = HashIndex | OrderedIndex


def make_index(schema: IndexSchema, table: TableSchema) -> AnyIndex:
    """Return an empty index of the kind the schema names."""
    return OrderedIndex(schema, table) if schema.kind == "ordered" else HashIndex(schema, table)
