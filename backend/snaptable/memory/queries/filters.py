"""Forms as compiled list comprehensions: one Python frame a scan, not one a row.

`pages > 3 and user_id == x` becomes `[r for r in rows if (r.pages > v0) and (r.user_id == v1)]`, or, over columns that
lie beside the rows, `[r for r, c_pages, c_user_id in zip(rows, c_pages, c_user_id) if …]`. Only field names, which were
checked to be identifiers when the schema was made, are ever part of the source; values are always arguments.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache
from typing import Any

from snaptable.conditions import AllOf, Not, PredicateTemplate, Term, terms_of
from snaptable.values import value_types

Filter = Callable[..., list[Any]]
"""Takes rows, and where it is over columns these as well; returns the rows that it keeps."""
Values = Sequence[Any]


class ResidualFilter:
    """Be what is left of a query's conditions to be checked row by row: a filter but for the values."""

    def __init__(self, forms: Sequence[tuple[PredicateTemplate, int]]) -> None:
        """Take each form with the place at which its values begin among the query's."""
        self.forms = forms
        self.names = tuple(dict.fromkeys(term.column.name for form, _ in forms for term in terms_of(form)))
        """The columns that are looked at."""

    def over_rows(self, values: Values) -> Filter:
        """Return the filter of these values; it takes rows."""
        return self._filter(values, self._rows, ())

    def over_columns(self, values: Values) -> Filter:
        """Return the filter of these values; it takes rows and then, parallel to them, the columns `names`."""
        return self._filter(values, self._columns, self.names)

    def _filter(self, values: Values, prepared: "_Prepared", columns: tuple[str, ...]) -> Filter:
        quick = prepared(values)

        def keep(rows: Collection[Any], *beside: Sequence[Any]) -> list[Any]:
            try:
                return quick(rows, *beside)
            except TypeError:
                # Some values don't compare (a naive time with an aware one): go by their places in the order instead.
                return _Source(columns, keyed=True).prepare(self.forms)(values)(rows, *beside)

        return keep

    @cached_property
    def _rows(self) -> "_Prepared":
        return _Source((), keyed=False).prepare(self.forms)

    @cached_property
    def _columns(self) -> "_Prepared":
        return _Source(self.names, keyed=False).prepare(self.forms)


_Prepared = Callable[[Values], Filter]


class _Source:
    """Write the comprehension of some forms, noting what their values become before they are compared."""

    def __init__(self, columns: tuple[str, ...], *, keyed: bool) -> None:
        self.columns = columns
        self.keyed = keyed
        self.place = 0
        self.used: list[int] = []
        self.become: list[tuple[int, Callable[[Any], Any]]] = []
        self.functions: list[value_types.SortKey] = []

    def prepare(self, forms: Sequence[tuple[PredicateTemplate, int]]) -> _Prepared:
        tests = []
        for form, place in forms:
            self.place = place
            tests.append(self.of(form))
        arguments = [f"v{place}" for place in self.used] + [f"k{number}" for number in range(len(self.functions))]
        make = _compiled(" and ".join(tests), ", ".join(arguments), self.columns)
        used, become, functions = self.used, dict(self.become), self.functions

        def prepared(values: Values) -> Filter:
            if become:
                return make(*(become[at](values[at]) if at in become else values[at] for at in used), *functions)
            return make(*[values[at] for at in used])

        return prepared

    def of(self, form: PredicateTemplate) -> str:
        if isinstance(form, Term):
            test = self.term(form)
            self.place += 1
            return f"({test})"
        if isinstance(form, Not):
            return f"(not {self.of(form.part)})"
        word = " and " if isinstance(form, AllOf) else " or "
        return f"({word.join(map(self.of, form.parts))})"

    def value(self, become: Callable[[Any], Any] | None = None) -> str:
        self.used.append(self.place)
        if become is not None:
            self.become.append((self.place, become))
        return f"v{self.place}"

    def term(self, term: Term) -> str:
        column = term.column
        name = f"c_{column.name}" if self.columns else f"r.{column.name}"
        match term.verb:
            case "is" | "is not":
                return f"{name} {term.verb} None"
            case "==" | "!=":
                return f"{name} {term.verb} {self.value()}"
            case "in":
                return f"{name} in {self.value(frozenset if value_types.is_hashable(column.annotation) else None)}"
            case "contains":
                return f"contains({name}, {self.value()})"
            case "starts with":
                return f"isinstance({name}, str) and {name}.startswith({self.value()})"
        guard = f"{name} is not None and " if value_types.is_optional(column.annotation) else ""
        sort_key = column.sort_key
        # Plain enums don't compare at all, so they always go by their place; times only when they fail to.
        if sort_key is None or (sort_key is value_types.microseconds and not self.keyed):
            return f"{guard}{name} {term.verb} {self.value()}"
        self.functions.append(sort_key)
        return f"{guard}k{len(self.functions) - 1}({name}) {term.verb} {self.value(sort_key)}"


def _contains(value: Any, item: Any) -> bool:
    if isinstance(value, str):
        return isinstance(item, str) and item in value
    try:
        return isinstance(value, (list, tuple, set, frozenset, dict)) and item in value
    except TypeError:
        return False  # an unhashable item is in no set


@lru_cache(maxsize=512)
def _compiled(test: str, arguments: str, columns: tuple[str, ...]) -> Callable[..., Filter]:
    beside = "".join(f", c_{name}" for name in columns)
    walk = f"r{beside} in zip(rows{beside})" if columns else "r in rows"
    source = f"lambda {arguments}: lambda rows{beside}: [r for {walk} if {test}]"
    make: Callable[..., Filter] = eval(compile(source, "<condition>", "eval"), {"contains": _contains})  # noqa: S307 - see the module's head
    return make
