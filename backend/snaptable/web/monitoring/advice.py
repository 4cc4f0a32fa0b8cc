"""The index that a query wants: read off its conditions and its order, as one would write it."""

from snaptable.conditions.columns import INSERTED
from snaptable.contract import Plan, Select
from snaptable.evaluation.filters import placed
from snaptable.memory.queries.access_paths import IndexableTerms
from snaptable.schema.tables import TableSchema


def index_to_write(schema: TableSchema, wanted: Select, plan: Plan) -> str | None:
    """Return the `Index(…)` to write into `table(…)`; None if none would help, or the table has it already.

    Columns that are equal to something come first, then the one that is sorted by, or of which a range is wanted: so
    one index answers both. Of a query that an index answers in order there is nothing to say.
    """
    if plan.index is not None and not (plan.sorts or plan.filters):
        return None
    terms = IndexableTerms.of(placed(wanted.where), ())
    equal = [name for name in terms.equal if name in schema.columns]
    if schema.key in equal:
        return None
    order = _sorted_by(schema, wanted, equal)
    ranges = [name for name in (*terms.low, *terms.high, *terms.prefix) if name in schema.columns and name not in equal]
    if order and (equal or not ranges or order[0] in ranges):
        return _written(schema, [*equal, *order], "ordered")
    if ranges:
        return _written(schema, [*equal, ranges[0]], "ordered")
    if equal:
        return _written(schema, equal, "hash")
    listed = [name for name in terms.one_of if name in schema.columns and name != schema.key]
    if listed:
        return _written(schema, listed[:1], "hash")
    held = [name for name in terms.contains if name in schema.columns and str not in (schema.columns[name].types or ())]
    return _written(schema, held[:1], "each") if held else None


def _sorted_by(schema: TableSchema, wanted: Select, equal: list[str]) -> list[str]:
    """Return the columns that an ordered index would give the rows sorted by; none if it can't."""
    order = [each for each in wanted.order if each.column is INSERTED or each.column.name not in equal]
    if order and order[-1].column.name == schema.key:
        order.pop()  # every index ends in the key
    names = [each.column.name for each in order]
    one_way = len({each.descending for each in wanted.order}) <= 1
    return names if one_way and all(name in schema.columns for name in names) else []


def _written(schema: TableSchema, names: list[str], kind: str) -> str | None:
    kinds = ("ordered",) if kind == "ordered" else ("each",) if kind == "each" else ("hash", "unique", "ordered")
    if any(list(index.names) == names and index.kind in kinds for index in schema.indexes):
        return None
    options = "" if kind == "hash" else f", {kind}=True"
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"Index({quoted}{options})"
