"""A query as the program itself would ask it: its plan, and how long it takes."""

import json
import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from snaptable import Query, Row, Table, asc, contains, desc, one_of, starts_with
from snaptable.cli.common import UsageError
from snaptable.cli.filters import COMPARISONS, Filter, JsonRow
from snaptable.cli.schema_option import load_schema
from snaptable.errors import InvalidQuery
from snaptable.secrets import masked

DEFAULT_LIMIT = 50
_OPERATORS: dict[str, Callable[..., Any]] = {**COMPARISONS, "starts_with": starts_with}


@dataclass
class Explained:
    """The answer to a query.

    Attributes:
        plan: how it was answered.
        ms: milliseconds that it took.
        items: the rows, as JSON objects, secrets masked.
    """

    plan: str
    ms: float
    items: list[JsonRow]


def explained(
    place: str, schema: str, table: str, wanted: Sequence[Filter], sort: str | None, limit: int | None
) -> Explained:
    """Ask a query of the program's models; O(n), for the database is opened to read.

    Raises:
        UsageError: a field that isn't there, or a value of another type.
    """
    models = load_schema(schema)
    assert models is not None
    with models(place, read_only=True, banner=False) as db:
        if table not in db.tables:
            raise UsageError(f"{models.__name__} has no table {table!r}; it has {', '.join(db.tables)}")
        try:
            query = _query(db.tables[table], wanted, sort)
        except (AttributeError, InvalidQuery) as error:
            raise UsageError(str(error)) from error
        query = query.limit(DEFAULT_LIMIT if limit is None else limit) if limit != 0 else query
        query.all()  # what the first query prepares is not what it costs
        begin = time.perf_counter()
        rows = query.all()
        seconds = time.perf_counter() - begin
        secrets = db.tables[table].schema.secrets
        items = [masked(json.loads(row.model_dump_json()), secrets) for row in rows]
        return Explained(str(query.explain()), round(1000 * seconds, 3), list(items))


def _query(table: Table[Row], wanted: Sequence[Filter], sort: str | None) -> Query[Row]:
    query = table.where(*[_condition(table, each) for each in wanted])
    names = [part.strip() for part in (sort or "").split(",") if part.strip()]
    orders = [
        (desc if name.startswith("-") else asc)(_column(table, name.removeprefix("-").split("."))) for name in names
    ]
    return query.order_by(*orders) if orders else query


def _column(table: Table[Row], path: Sequence[str]) -> Any:
    column: Any = getattr(table.model, path[0])
    for part in path[1:]:
        try:
            column = getattr(column, part)
        except AttributeError:
            column = column[part]
    return column


def _condition(table: Table[Row], wanted: Filter) -> bool:
    if wanted.operator == "text":
        columns = [_column(table, [name]) for name, info in table.model.model_fields.items() if info.annotation is str]
        searched = [column for column in columns if column.name not in table.schema.secrets]
        return reduce(operator.or_, [contains(column, wanted.text, ignore_case=True) for column in searched])
    column = _column(table, wanted.path)
    if wanted.operator == "null":
        is_null: bool = (column == None) if wanted.text == "true" else (column != None)  # noqa: E711 - a column
        return is_null
    if wanted.operator == "contains":
        return contains(column, wanted.values[0], ignore_case=True)
    annotation = table.model.model_fields[wanted.path[0]].annotation if len(wanted.path) == 1 else None
    if wanted.operator == "has":
        items = get_args(_without_null(annotation))
        return contains(column, _parsed(wanted, items[0] if items else str, wanted.values[0]))
    values = [_parsed(wanted, annotation, text) for text in wanted.values]
    return one_of(column, values) if wanted.operator == "in" else _OPERATORS[wanted.operator](column, values[0])


def _parsed(wanted: Filter, annotation: Any, text: str) -> object:
    """Return a value of the field's type; of what is inside of a field, as JSON has it."""
    if annotation is None:
        try:
            return json.loads(text)
        except ValueError:
            return text
    try:
        return TypeAdapter(_without_null(annotation)).validate_strings(text)
    except ValidationError as error:
        reason = error.errors(include_input=False, include_url=False)[0]["msg"]
        raise UsageError(f"{wanted}: {reason}") from None


def _without_null(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return Union[tuple(part for part in get_args(annotation) if part is not NoneType)]  # noqa: UP007 - of a tuple
