"""Whether two rows say the same, told from their values: a function for each table, made of its columns once.

To write both as JSON and compare that takes longer. Equal is not enough: 1 and 1.0, -0.0 and 0.0, and one instant with
two offsets are equal, and written otherwise.
"""

from collections.abc import Callable

from snaptable.codec import FieldValues
from snaptable.postgres.layout.column import Family, StoredColumn
from snaptable.postgres.layout.columns import StoredColumns

SayTheSame = Callable[[FieldValues, FieldValues], bool]
"""True if two rows are written alike, but for the order of sets; False for those of which it can't tell, too."""
_TIME = (
    "({one} == {other} and "
    "({one} is None or {one}.tzinfo is {other}.tzinfo or {one}.utcoffset() == {other}.utcoffset()))"
)
_TESTS: dict[Family, str] = {
    "float": "({one} == {other} and ({one} != 0 or repr({one}) == repr({other})))",
    "decimal": "str({one}) == str({other})",
    "aware": _TIME, "naive": _TIME, "moment": _TIME,
    "json": "json{number}({one}) == json{number}({other})",
}  # fmt: skip
"""Families whose equal values may be written otherwise."""


def comparison_of(columns: StoredColumns) -> SayTheSame:
    """Return what compares two rows of a table, by the values of their fields, whose model has no code of its own."""
    scope: dict[str, object] = {}
    parts = []
    for number, (name, column) in enumerate(columns.by_name.items()):
        scope[f"json{number}"] = column.to_json
        parts.append(_test_of(column).format(number=number, one=f"one[{name!r}]", other=f"other[{name!r}]"))
    same: SayTheSame = eval(f"lambda one, other: {' and '.join(parts)}", scope)  # noqa: S307 - of fields' names alone
    return same


def _test_of(column: StoredColumn) -> str:
    return _TESTS.get(column.family, "{one} == {other}")
