"""Rows with what belongs to them in another table: a look-up by index each, or one pass over the other table."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.columns import INSERTED
from snaptable.contract import Join, Select
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.queries.aggregated_query import Prepare
from snaptable.memory.rows import TableRows


def related(
    table: TableRows,
    prepare: Prepare,
    select: Callable[[Select], list[BaseModel]],
    before: BeforeImages | None,
    join: Join,
    keys: Sequence[object],
) -> list[Any]:
    """Return what belongs to each of some rows, under the latch.

    Args:
        table: the other table.
        prepare: returns a prepared query of it.
        select: answers a query of it.
        before: the before-images that stand in place of its rows for the caller.
        join: which of its rows belong to a row.
        keys: what each row is looked up by: its key, or its value of the column `on`.
    """
    present = [key for key in keys if key is not None]
    if not present:
        return [None] * len(keys)
    column = table.schema.columns[table.schema.key] if join.kind == "one" else join.on
    wanted = join.wanted
    order = wanted.order or (() if join.kind != "many" else (INSERTED.orders[0],))
    asked = Select((column.terms["=="], *wanted.where), (None, *wanted.values), order)
    prepared = prepare(asked.where, order)
    # A look-up passes the before-images, every one of them.
    looked_at = len(keys) * (1 + len(before or ()))
    if (
        wanted.keep is None
        and looked_at <= len(table) + len(keys)
        and prepared.plan(_of(asked, present[0], join.limit)).index
    ):
        if join.kind == "count":
            return [prepared.count(_of(asked, key), before) for key in keys]
        found = ([] if key is None else prepared.run(_of(asked, key, join.limit), before) for key in keys)
        return list(found) if join.kind == "many" else [rows[0] if rows else None for rows in found]
    return _grouped(select(Select(wanted.where, wanted.values, order, keep=wanted.keep)), join, column.name, keys)


def _of(asked: Select, key: object, limit: int | None = None) -> Select:
    """Return the query for what belongs to one row, up to a limit."""
    return Select(asked.where, (key, *asked.values[1:]), asked.order, limit)


def _grouped(rows: list[BaseModel], join: Join, name: str, keys: Sequence[object]) -> list[object]:
    groups: dict[object, list[BaseModel]] = {}
    for row in rows:
        groups.setdefault(getattr(row, name), []).append(row)
    if join.kind == "many":
        return [list(groups.get(key, ())[: join.limit]) for key in keys]
    if join.kind == "count":
        return [len(groups.get(key, ())) for key in keys]
    return [groups[key][0] if key in groups else None for key in keys]
