"""Raw rows: what migrations work on. A row is its JSON object, a table its rows by the text of their keys.

Never today's models: those change with the code, and a migration must mean the same in a year.
"""

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, cast

from pydantic_core import from_json, to_json, to_jsonable_python

RawRow = dict[str, Any]
RawTable = dict[str, RawRow]
RawDatabase = MutableMapping[str, RawTable]
"""Tables by name; `db["users"]` is a `dict[str, dict[str, Any]]`."""

_ATOMS = frozenset((int, bool, type(None)))


class StepError(Exception):
    """What keeps a step from being carried out; it becomes a MigrationFailed, which names the step too.

    Attributes:
        table, key: the row it is about, None if it is about no single row.
    """

    def __init__(self, reason: str, table: str | None = None, key: str | None = None) -> None:
        super().__init__(reason)
        self.table, self.key = table, key


def called(function: Callable[[RawRow], object], row: RawRow, table: str, key: str) -> Any:
    """Return what the application's function makes of a row, as plain JSON.

    Raises:
        StepError: it raised something, of which only the type is told: its message may repeat a value.
    """
    try:
        result = function(row)
    except Exception as error:
        raise StepError(f"the function raised {type(error).__name__}", table, key) from error
    return plain(result, table, key)


def plain(value: object, table: str, key: str | None) -> object:
    """Return a value as JSON has it, of parts that nothing else refers to; dates, UUIDs and sets become what rows hold.

    Raises:
        StepError: it can't be written as JSON.
    """
    if type(value) in _ATOMS or (type(value) is str and value.isascii()):
        return value
    try:
        data = to_json(value, bytes_mode="base64", by_alias=False, round_trip=True)
        if b"NaN" in data or b"Infinity" in data:
            json.dumps(to_jsonable_python(value), allow_nan=False)
        made = from_json(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise StepError(f"a value of type {type(value).__name__} can't be written as JSON", table, key) from error
    return made


def called_for_all(function: Callable[[object], object], arguments: Mapping[str, object], table: str) -> list[object]:
    """Return what the application's function makes of each argument, as `called`; they are by the keys of their rows.

    All results are brought into plain JSON in one go, which costs a fraction of one by one.

    Raises:
        StepError: naming the first row for which it raised something, or gave what is none of JSON's.
    """
    results: list[object] = []
    for key, argument in arguments.items():
        try:
            results.append(function(argument))
        except Exception as error:
            for done, result in zip(arguments, results, strict=False):
                plain(result, table, done)  # what was wrong before that is told first
            raise StepError(f"the function raised {type(error).__name__}", table, key) from error
    try:
        data = to_json(results, bytes_mode="base64", by_alias=False, round_trip=True)
        if b"NaN" not in data and b"Infinity" not in data:
            return cast("list[Any]", from_json(data))
    except (ValueError, TypeError, RecursionError):
        pass  # one of them; which one is found below
    return [plain(result, table, key) for key, result in zip(arguments, results, strict=True)]


def holders(row: RawRow, path: tuple[str, ...]) -> Iterator[RawRow]:
    """Yield the objects that have, or may have, the field that a path ends in; through lists, every item's."""
    if len(path) == 1:
        yield row
        return
    level: list[object] = [row]
    for name in path[:-1]:
        level = [inner for item in level for inner in _items(item.get(name) if isinstance(item, dict) else None)]
    for item in level:
        if isinstance(item, dict):
            yield item


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def key_field(rows: Mapping[str, RawRow], expected: str | None) -> str | None:
    """Return the field that holds the key of every row: the one expected if it does, else the first that does."""
    first = next(iter(rows.values()), {})
    candidates: dict[str, None] = dict.fromkeys((*([expected] if expected else ()), *first))
    for name in candidates:
        if all(name in row and str(row[name]) == key for key, row in rows.items()):
            return name
    return None
