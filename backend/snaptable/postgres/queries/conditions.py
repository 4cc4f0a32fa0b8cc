"""Conditions as SQL that is never NULL where it stands.

`not` is pushed down to the terms, each of which says what it makes of NULL: conditions are two-valued, as in Python.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from snaptable.conditions.predicates import AllOf, Not, PredicateTemplate, PredicateTemplates, Term, terms_of
from snaptable.evaluation.filters import Conditions
from snaptable.postgres.layout import comparands
from snaptable.postgres.layout.column import StoredColumn
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.comparands import OnlyInPython

Test = str | bool
"""SQL that is NULL for NULL alone; or what holds for every value but that."""


class Statement:
    """The parameters of a statement that is being written."""

    def __init__(self) -> None:
        self.params: dict[str, object] = {}

    def add(self, value: object, sql: str) -> str:
        """Return the placeholder of a value, which says its type."""
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f"%({name})b::{sql}"


class Where:
    """The conditions of a query: those that SQL answers, and those that Python judges over the rows left.

    Attributes:
        tests: in SQL; all must hold.
        residual: the others, each with the position of its first value.
    """

    def __init__(self, columns: StoredColumns, statement: Statement) -> None:
        self._columns, self._statement = columns, statement
        self.tests: list[str] = []
        self.residual: list[tuple[PredicateTemplate, int]] = []

    def add(self, where: PredicateTemplates, values: tuple[object, ...]) -> "Where":
        """Take the conditions of a query, and return this."""
        position = 0
        for template in where:
            count = sum(1 for _ in terms_of(template))
            given = iter(values[position : position + count])
            try:
                test = self.condition(template, given, negated=False)
            except OnlyInPython:
                self.residual.append((template, position))
            else:
                if test != "true":
                    self.tests.append(test)
            position += count
        return self

    @property
    def conditions(self) -> Conditions:
        """Those that Python judges."""
        return self.residual

    @property
    def sql(self) -> str:
        """The clause, "" for none."""
        return f" where {' and '.join(self.tests)}" if self.tests else ""

    def condition(self, template: PredicateTemplate, values: Iterator[object], *, negated: bool) -> str:
        """Return a condition, or its opposite, taking its values.

        Raises:
            OnlyInPython: SQL has no exact answer.
        """
        if isinstance(template, Term):
            return self.term(template, next(values), negated=negated)
        if isinstance(template, Not):
            return self.condition(template.part, values, negated=not negated)
        parts = [self.condition(part, values, negated=negated) for part in template.parts]
        is_all = isinstance(template, AllOf) != negated
        nothing, decides = ("true", "false") if is_all else ("false", "true")
        if decides in parts:
            return decides
        kept = [part for part in parts if part != nothing]
        return f"({(' and ' if is_all else ' or ').join(kept)})" if kept else nothing

    def term(self, term: Term, value: Any, *, negated: bool) -> str:
        """Return the comparison of a column with a value."""
        column = None if term.column.is_part else self._columns.by_name[term.column.name]
        if column is None:
            raise OnlyInPython
        operator = term.operator
        if operator in ("is", "is not"):
            return _null_test(column, is_null=(operator == "is") != negated)
        if operator == "!=":
            operator, negated = "==", not negated
        if operator == "in":
            return self._one_of(column, value, negated=negated)
        return two_valued(column, self._test(column, operator, value), negated=negated)

    def _test(self, column: StoredColumn, operator: str, value: Any) -> Test:
        if column.family == "json" or operator.endswith("ignoring case"):
            raise OnlyInPython
        if operator == "contains":
            return self._contains(column, value)
        if operator == "starts with":
            return self._starts_with(column, value)
        return self.compare(column, operator, value)

    def compare(self, column: StoredColumn, operator: str, value: Any) -> Test:
        """Return a comparison."""
        if value != value:  # NaN
            return False
        match column.family:
            case "enum" | "bool":
                return self._any_of(column, comparands.among(column, operator, value))
            case "array":
                return self._array(column, operator, value)
            case "moment":
                return self._moment(column, operator, value)
        if operator == "==":
            own = comparands.equal(column, value)
            return False if own is None else f"{column.quoted} = {self.param(column, own)}"
        bound = comparands.bound(column, operator, value)
        if isinstance(bound, bool):
            return bound
        return f"{column.quoted} {bound[0]} {self.param(column, bound[1])}"

    def param(self, column: StoredColumn, value: object) -> str:
        """Return the placeholder of a value of a column."""
        return self._statement.add(value, column.sql)

    def _any_of(self, column: StoredColumn, chosen: set[Any]) -> Test:
        every = 2 if column.family == "bool" else len({member.value for member in column.choices})
        if len(chosen) == every:
            return True
        if not chosen:
            return False
        if len(chosen) == 1:
            return f"{column.quoted} = {self.param(column, *chosen)}"
        return f"{column.quoted} = any({self._statement.add(sorted(chosen), f'{column.sql}[]')})"

    def _array(self, column: StoredColumn, operator: str, value: object) -> Test:
        if operator != "==":
            raise OnlyInPython
        own = comparands.items(column, value)
        if own is None:
            return False
        array = self._statement.add(own, column.sql)
        if column.collection in (set, frozenset):
            return f"({column.quoted} @> {array} and {column.quoted} <@ {array})"
        return f"{column.quoted} = {array}"

    def _moment(self, column: StoredColumn, operator: str, value: datetime) -> Test:
        is_aware = value.tzinfo is not None
        twin = "true" if is_aware else "false"
        moment = self.param(column, value if is_aware else value.replace(tzinfo=UTC))
        if operator == "==":
            return f"({column.twin} = {twin} and {column.quoted} = {moment})"
        return f"({column.twin}, {column.quoted}) {operator} ({twin}, {moment})"

    def _one_of(self, column: StoredColumn, chosen: tuple[object, ...], *, negated: bool) -> str:
        if column.family == "json":
            raise OnlyInPython
        test = self._equals_any(column, [value for value in chosen if value is not None])
        if None not in chosen or not column.nullable:
            return two_valued(column, test, negated=negated)
        if test is False:
            return _null_test(column, is_null=not negated)
        if test is True:
            return "false" if negated else "true"
        if negated:
            return f"({column.quoted} is not null and not {test})"
        return f"({column.quoted} is null or {test})"

    def _equals_any(self, column: StoredColumn, values: list[object]) -> Test:
        if column.family in ("array", "moment"):
            tests = [self.compare(column, "==", value) for value in values]
            kept = [test for test in tests if isinstance(test, str)]
            return f"({' or '.join(kept)})" if kept else False
        if column.family in ("enum", "bool"):
            return self._any_of(column, {own for value in values for own in comparands.among(column, "==", value)})
        own = list(dict.fromkeys(own for value in values if (own := comparands.equal(column, value)) is not None))
        return f"{column.quoted} = any({self._statement.add(own, f'{column.sql}[]')})" if own else False

    def _contains(self, column: StoredColumn, item: object) -> Test:
        if column.family == "text":
            if not isinstance(item, str) or not comparands.is_storable(item):
                return False
            return f"strpos({column.quoted}, {self._statement.add(str.__str__(item), 'text')}) > 0"
        if column.family == "enum":
            # A text's member is a text, which contains others; any other enum's contains nothing.
            texts = [member for member in column.choices if isinstance(member, str)]
            held = {member.value for member in texts if isinstance(item, str) and item in member}
            return self._any_of(column, held)
        if column.family != "array":
            raise OnlyInPython
        own = comparands.equal_item(column, item)
        return False if own is None else f"{column.quoted} @> {self._statement.add([own], column.sql)}"

    def _starts_with(self, column: StoredColumn, text: str) -> Test:
        if column.family == "enum":
            held = {member.value for member in column.choices if isinstance(member, str) and member.startswith(text)}
            return self._any_of(column, held)
        if column.family != "text" or not comparands.is_storable(text):
            return False
        text = str.__str__(text)
        if not text:
            return True
        low = f"{column.quoted} >= {self.param(column, text)}"
        above = comparands.successor(text)
        return f"({low} and {column.quoted} < {self.param(column, above)})" if above else low


def _null_test(column: StoredColumn, *, is_null: bool) -> str:
    if not column.nullable:
        return "false" if is_null else "true"
    return f"{column.quoted} is {'' if is_null else 'not '}null"


def two_valued(column: StoredColumn, test: Test, *, negated: bool) -> str:
    """Return what a test says of every value, NULL among them: false; or true, negated."""
    if test is True:
        return _null_test(column, is_null=negated)
    if test is False:
        return "true" if negated else "false"
    if not negated:
        return test
    return f"(not {test} or {column.quoted} is null)" if column.nullable else f"(not {test})"
