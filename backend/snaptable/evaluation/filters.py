"""Conditions as compiled list comprehensions: one Python frame a scan, not one a row.

`pages > 3 and user_id == x` becomes `[r for r in rows if (r.pages > v0) and (r.user_id == v1)]`, or, over columns that
lie beside the rows, `[r for r, c_pages, c_user_id in zip(rows, c_pages, c_user_id) if …]`, or only which rows they are,
`[True if … else False for c_pages, c_user_id in zip(c_pages, c_user_id)]`. A part of a field's values
is `r.box.x` where it is always there, else what an argument reads off the row. Only names of fields, which were checked
to be identifiers, are ever part of the source; values, and the keys of dicts, are always arguments.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache
from operator import ge, gt, le, lt
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import AllOf, Not, PredicateTemplate, Term, terms_of
from snaptable.values import value_types

Values = Sequence[object]
"""The values of a query's conditions, in the order of its terms."""
Conditions = Sequence[tuple[PredicateTemplate, int]]
"""Conditions without their values, each with the position of its first value."""
Filter = Callable[..., list[BaseModel]]
"""Takes rows and, if it is over columns, these as well; returns the rows that it keeps."""
PreparedFilter = Callable[[Values], Filter]
Mask = Callable[..., list[bool]]
"""Takes columns; returns for each row whether it is kept."""
Compiler = Callable[[str, str, tuple[str, ...]], Callable[..., object]]
"""Takes the source of conditions, the names of their arguments, and those of the columns beside the rows."""


def placed(where: Sequence[PredicateTemplate]) -> list[tuple[PredicateTemplate, int]]:
    """Return a query's conditions, each with the position of its first value."""
    conditions, position = [], 0
    for template in where:
        conditions.append((template, position))
        position += sum(1 for _ in terms_of(template))
    return conditions


class ResidualFilter:
    """Conditions that are checked row by row: a filter but for the values."""

    def __init__(self, conditions: Conditions) -> None:
        """Take the conditions that all must hold; compiled when they are first needed."""
        self.conditions = conditions
        self.names = tuple(dict.fromkeys(term.column.name for template, _ in conditions for term in terms_of(template)))
        """The columns that are looked at."""
        terms = [term for template, _ in conditions for term in terms_of(template)]
        self.is_over_fields = not any(term.column.is_part for term in terms)
        """Whether it looks at whole fields only: `over_columns` is for these."""

    def over_rows(self, values: Values) -> Filter:
        """Return the filter of these values; it takes rows."""
        return self._filter(values, self._rows, ())

    def over_columns(self, values: Values) -> Filter:
        """Return the filter of these values; it takes rows and then, parallel to them, the columns `names`."""
        return self._filter(values, self._columns, self.names)

    def mask(self, values: Values) -> Mask:
        """Return what takes the columns `names`, and gives for each of their rows whether all conditions hold."""
        quick = self._masks(values)

        def mask(*columns: Sequence[object]) -> list[bool]:
            """Return for each row whether all conditions hold."""
            try:
                return quick(*columns)
            except TypeError:
                keyed: Mask = _FilterSource(self.names, keyed=True).prepare(self.conditions, _compiled_mask)(values)
                return keyed(*columns)

        return mask

    def _filter(self, values: Values, prepared: PreparedFilter, columns: tuple[str, ...]) -> Filter:
        quick = prepared(values)

        def keep(rows: Collection[BaseModel], *beside: Sequence[object]) -> list[BaseModel]:
            """Return the rows for which all conditions hold."""
            try:
                return quick(rows, *beside)
            except TypeError:
                # Some values don't compare (a naive time with an aware one): compare their sort keys instead.
                keyed: Filter = _FilterSource(columns, keyed=True).prepare(self.conditions)(values)
                return keyed(rows, *beside)

        return keep

    @cached_property
    def _rows(self) -> PreparedFilter:
        return _FilterSource((), keyed=False).prepare(self.conditions)

    @cached_property
    def _masks(self) -> Callable[[Values], Mask]:
        return _FilterSource(self.names, keyed=False).prepare(self.conditions, _compiled_mask)

    @cached_property
    def _columns(self) -> PreparedFilter:
        return _FilterSource(self.names, keyed=False).prepare(self.conditions)


class _FilterSource:
    """The source of a comprehension, and what its values are converted by before they are compared."""

    def __init__(self, columns: tuple[str, ...], *, keyed: bool) -> None:
        """Begin.

        Args:
            columns: the columns beside the rows; empty if fields are read off the rows.
            keyed: whether times are compared by their sort keys.
        """
        self.columns = columns
        self.keyed = keyed
        self.position = 0
        self.used: list[int] = []
        """The positions of the values that become arguments, in order."""
        self.converters: dict[int, Callable[[object], object]] = {}
        self.sort_keys: list[value_types.SortKey] = []
        self.readers: list[Callable[[BaseModel], object]] = []
        """What reads parts of fields off the rows."""

    def prepare(self, conditions: Conditions, compiled: "Compiler | None" = None) -> Callable[[Values], Any]:
        """Return what conditions that all must hold are compiled to: a filter, unless another compiler is given."""
        tests = []
        for template, position in conditions:
            self.position = position
            tests.append(self.test(template))
        arguments = [f"v{position}" for position in self.used] + [f"k{number}" for number in range(len(self.sort_keys))]
        arguments += [f"p{number}" for number in range(len(self.readers))]
        make = (compiled or _compiled)(" and ".join(tests), ", ".join(arguments), self.columns)
        used, converters, others = self.used, self.converters, (*self.sort_keys, *self.readers)

        def prepared(values: Values) -> object:
            """Return what is compiled, for a query's values."""
            if converters or others:
                return make(*(converters[at](values[at]) if at in converters else values[at] for at in used), *others)
            return make(*[values[at] for at in used])

        return prepared

    def test(self, template: PredicateTemplate) -> str:
        """Return the source of a condition, advancing behind its values."""
        if isinstance(template, Term):
            test = self.term(template)
            self.position += 1
            return f"({test})"
        if isinstance(template, Not):
            return f"(not {self.test(template.part)})"
        word = " and " if isinstance(template, AllOf) else " or "
        return f"({word.join(map(self.test, template.parts))})"

    def value(self, convert: Callable[..., object] | None = None) -> str:
        """Return the name of the argument at the present position, whose value is converted first."""
        self.used.append(self.position)
        if convert is not None:
            self.converters[self.position] = convert
        return f"v{self.position}"

    def term(self, term: Term) -> str:
        """Return the source of a comparison of a column with the value at the present position."""
        column = term.column
        first, name = self.read(column)
        match term.operator:
            case "is" | "is not":
                return f"{first} {term.operator} None"
            case "==" | "!=":
                return f"{first} {term.operator} {self.value()}"
            case "in":
                return f"{first} in {self.value(frozenset if value_types.is_hashable(column.annotation) else None)}"
            case "contains":
                return f"contains({first}, {self.value()})"
            case "starts with":
                return f"isinstance({first}, str) and {name}.startswith({self.value()})"
            case "contains ignoring case":
                return f"isinstance({first}, str) and {self.value(str.casefold)} in {name}.casefold()"
            case "starts with ignoring case":
                return f"isinstance({first}, str) and {name}.casefold().startswith({self.value(str.casefold)})"
        if column.is_mixed:
            return f"mixed({first}, {term.operator!r}, {self.value()})"
        guard = f"{first} is not None and " if value_types.is_optional(column.annotation) else ""
        name = name if guard else first
        sort_key = column.sort_key
        # Plain enums don't compare at all, so they always go by their sort keys; times only if they fail to compare.
        if sort_key is None or (sort_key is value_types.microseconds and not self.keyed):
            return f"{guard}{name} {term.operator} {self.value()}"
        self.sort_keys.append(sort_key)
        return f"{guard}k{len(self.sort_keys) - 1}({name}) {term.operator} {self.value(sort_key)}"

    def read(self, column: Column) -> tuple[str, str]:
        """Return the source of a column's value where a test first asks for it, and where it does again."""
        if self.columns or column.is_plain_path:
            name = f"c_{column.name}" if self.columns else f"r.{column.name}"
            return name, name
        self.readers.append(column.read)
        number = len(self.readers) - 1
        return f"(x{number} := p{number}(r))", f"x{number}"


def compare_mixed(mine: object, operator: str, value: object) -> bool:
    """Return whether a value is less, or greater, than another; False if they are of kinds that don't compare."""
    try:
        return bool(_COMPARISONS[operator](mine, value))
    except (TypeError, ArithmeticError):
        return False


_COMPARISONS: dict[str, Callable[[Any, Any], object]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _contains(value: object, item: object) -> bool:
    if isinstance(value, str):
        return isinstance(item, str) and item in value
    try:
        return isinstance(value, (list, tuple, set, frozenset, dict)) and item in value
    except TypeError:
        return False  # an unhashable item is in no set


@lru_cache(maxsize=512)
def _compiled(test: str, arguments: str, columns: tuple[str, ...]) -> Callable[..., Filter]:
    beside = "".join(f", c_{name}" for name in columns)
    loop = f"r{beside} in zip(rows{beside})" if columns else "r in rows"
    source = f"lambda {arguments}: lambda rows{beside}: [r for {loop} if {test}]"
    return _evaluated(source)


@lru_cache(maxsize=512)
def _compiled_mask(test: str, arguments: str, columns: tuple[str, ...]) -> Callable[..., Mask]:
    names = ", ".join(f"c_{name}" for name in columns)
    loop = f"{names} in zip({names})" if len(columns) > 1 else f"{names} in {names}"
    return _evaluated(f"lambda {arguments}: lambda {names}: [True if {test} else False for {loop}]")


def _evaluated(source: str) -> Callable[..., Any]:
    names = {"contains": _contains, "mixed": compare_mixed}
    make: Callable[..., Any] = eval(compile(source, "<condition>", "eval"), names)  # noqa: S307 - see the module's head
    return make
