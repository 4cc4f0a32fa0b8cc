"""What is in a database: tables and the types of their columns, indexes, the engine's own state."""

import json
from dataclasses import dataclass, field

from snaptable.postgres.layout.names import STATE
from snaptable.postgres.server.connections import Fetch

_COLUMNS = """
select c.relname::text, a.attname::text, t.typname::text, a.attnotnull
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
where c.relnamespace = (select oid from pg_namespace where nspname = current_schema())
and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
order by c.relname, a.attnum
"""
_INDEXES = "select tablename::text, indexname::text from pg_indexes where schemaname = current_schema()"
_STATE = f"select store, format, migrations::text, made::text, first, purged, erased::text from {STATE}"

_ALIKE = {"varchar": "text", "bpchar": "text", "int4": "int8", "int2": "int8", "float4": "float8", "jsonb": "json"}
"""Types that people may have given a column, and whose values are read and written as those of another."""
FORMAT = 1
"""Of the engine's own tables."""


@dataclass(frozen=True)
class FoundColumn:
    """A column that there is."""

    type: str
    is_required: bool


@dataclass(frozen=True)
class MadeTable:
    """What the engine made of a table: all else there is of other makers.

    Attributes:
        columns: the fields' columns, each with the family of its values.
        indexes: the names of its indexes and unique keys.
    """

    columns: dict[str, str]
    indexes: list[str]


@dataclass
class State:
    """The engine's own row.

    Attributes:
        store: an id of what the commits are the commits of.
        format: of the engine's tables.
        migrations: the names of those that were applied.
        made: what the engine made, by table.
        first: the earliest moment that can be reached.
        purged: the last commit from which something was purged.
        erased: the keys whose content was erased.
    """

    store: str
    format: int
    migrations: tuple[str, ...]
    made: dict[str, MadeTable]
    first: int = 0
    purged: int = 0
    erased: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Catalog:
    """What is in a database.

    Attributes:
        tables: by name, the columns by name.
        indexes: by table, their names.
        state: the engine's own; None if it has never been here.
        schema: the schema that all this is in, and where new tables go; others may follow it in the search path.
    """

    tables: dict[str, dict[str, FoundColumn]]
    indexes: dict[str, set[str]]
    state: State | None
    schema: str = "public"

    def types(self, table: str) -> dict[str, str]:
        """Return the types of a table's columns; empty if no such table exists."""
        return {name: column.type for name, column in self.tables.get(table, {}).items()}


def read_catalog(fetch: Fetch) -> Catalog:
    """Return what is in the database, in the schema that new tables would go to."""
    tables: dict[str, dict[str, FoundColumn]] = {}
    for table, column, kind, is_required in fetch(_COLUMNS):
        tables.setdefault(table, {})[column] = FoundColumn(_own_type(kind), is_required)
    indexes: dict[str, set[str]] = {}
    for table, index in fetch(_INDEXES):
        indexes.setdefault(table, set()).add(index)
    ((schema,),) = fetch("select current_schema()::text")
    return Catalog(tables, indexes, read_state(fetch) if STATE in tables else None, schema)


def read_state(fetch: Fetch) -> State | None:
    """Return the engine's own row; None if there is none."""
    records = fetch(_STATE)
    if not records:
        return None
    store, number, migrations, made, first, purged, erased = records[0]
    tables = {name: MadeTable(each["columns"], each["indexes"]) for name, each in json.loads(made).items()}
    return State(store, number, tuple(json.loads(migrations)), tables, first, purged, json.loads(erased))


def _own_type(kind: str) -> str:
    item = kind.removeprefix("_")
    own = _ALIKE.get(item, item)
    return f"{own}[]" if kind.startswith("_") else own
