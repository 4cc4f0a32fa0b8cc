"""The filter bar: `pages >= 10`, `role in user,admin`, `tags has urgent`, any text; the same words as the REST lists.

A filter is a parameter of the address, as a router's list takes it: `pages__gte=10`. So what the bar says can be sent
in a letter, and asked of the API.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request

from snaptable import Row, contains
from snaptable.admin.rows import FieldView, ShownTable
from snaptable.web.listing import Listing, ListParams
from snaptable.web.problems import FieldError, Problem

SEARCH = "q"
"""The parameter of a text that is searched for."""
MAX_SEARCH = 200
MAX_TYPED = 2_000
"""Characters of what was typed that are read: blanks without end would take the square of their number."""
SIGNS = {"": "=", "ne": "≠", "gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "in": "in", "contains": "contains",
         "starts_with": "starts with", "has": "has"}  # fmt: skip
"""How each operator is shown."""
_TYPED = {"=": "", "==": "", ":": "", "!=": "ne", "<>": "ne", "≠": "ne", ">=": "gte", "≥": "gte", ">": "gt",
          "<=": "lte", "≤": "lte", "<": "lt", "~": "contains"}  # fmt: skip
_SIGN = re.compile(r"^\s*(\w+)\s*(>=|<=|!=|<>|==|=|:|>|<|≥|≤|≠|~)\s*(.*?)\s*$", re.DOTALL)
_WORD = re.compile(r"^\s*(\w+)\s+(in|has|contains|starts with|starts_with)\s+(.*?)\s*$", re.DOTALL | re.IGNORECASE)
_NULL = re.compile(r"^\s*(\w+)\s+is\s+(not\s+)?(?:null|none|empty)\s*$", re.IGNORECASE)
_REST = re.compile(r"^\s*(\w+?)__(\w+)\s*=\s*(.*?)\s*$", re.DOTALL)


@dataclass(frozen=True)
class Chip:
    """A filter as the bar shows it.

    Attributes:
        parameter, value: as in the address.
        name, sign, text: as people read it.
        error: what is wrong with it; "" for nothing.
    """

    parameter: str
    value: str
    name: str
    sign: str
    text: str
    error: str = ""


def parse(text: str, names: Iterable[str]) -> tuple[str, str]:
    """Return the parameter and the value of a filter as it was typed; what is none is searched for as a text.

    >>> parse("pages >= 10", ["pages"]), parse("note is null", ["note"]), parse("old letters", ["pages"])
    (('pages__gte', '10'), ('note__isnull', 'true'), ('q', 'old letters'))
    """
    known = set(names)
    if (match := _REST.match(text)) and match[1] in known:
        return f"{match[1]}__{match[2]}", match[3]
    if (match := _NULL.match(text)) and match[1] in known:
        return f"{match[1]}__isnull", "false" if match[2] else "true"
    if (match := _SIGN.match(text)) and match[1] in known:
        return _parameter(match[1], _TYPED[match[2]]), _unquoted(match[3])
    if (match := _WORD.match(text)) and match[1] in known:
        suffix = match[2].lower().replace(" ", "_")
        return f"{match[1]}__{suffix}", _unquoted(match[3])
    return SEARCH, text.strip()


def parse_all(text: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the filters of a text that has several, with commas or `and` between them.

    >>> parse_all("pages in 1,2, note is null and size > 3", ["pages", "note", "size"])
    [('pages__in', '1,2'), ('note__isnull', 'true'), ('size__gt', '3')]
    """
    known, text = list(names), text[:MAX_TYPED]
    signs = r">=|<=|!=|<>|=|:|>|<|≥|≤|≠|~|\b(?:in|has|contains|starts with|is)\s"
    begin = rf"(?:{'|'.join(map(re.escape, known))})\s*(?:{signs})"
    parts = re.split(rf"\s*(?:,|\band\b)\s*(?={begin})", text) if known else [text]
    return [parse(part, known) for part in parts if part.strip()]


def _parameter(name: str, suffix: str) -> str:
    return f"{name}__{suffix}" if suffix else name


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def typed(field: FieldView, parameter: str, value: str) -> tuple[str, str]:
    """Return a filter with the operator that suits the field: `tags = urgent` is meant as `tags has urgent`."""
    if field.kind == "list" and parameter == field.name:
        return f"{field.name}__has", value
    if value == "null" and parameter == field.name and field.nullable and field.kind not in ("text", "choice"):
        return f"{field.name}__isnull", "true"
    return parameter, value


class TableFilters:
    """The filters that a table takes."""

    def __init__(self, table: ShownTable) -> None:
        """Work out the parameters; secrets are none."""
        self.table = table
        names = [field.name for field in table.fields if field.kind != "secret" and _takes_filters(table, field.name)]
        self.names = names
        sorts = [field.name for field in table.fields if field.sortable]
        key = table.schema.key
        self.params: ListParams[Row] = ListParams(
            table.table.model, names, key, sorts=sorts, others=(), ignore_case=True
        )
        self._searched = [
            table.schema.columns[field.name] for field in table.fields if field.kind == "text" and field.target is None
            and str in (table.schema.columns[field.name].types or ())
        ]  # fmt: skip

    @property
    def example(self) -> str:
        """Filters of this table, as one might type them."""
        parts = []
        for kind, form in (("int", "{} >= 10"), ("choice", "{} = {}"), ("time", "{} >= 2026-01-01")):
            field = next((each for each in self.table.fields if each.kind == kind and each.name in self.names
                          and not each.is_key), None)  # fmt: skip
            if field is not None:
                parts.append(form.format(field.name, *field.choices[:1]))
        return ", ".join([*parts[:2], "or any text"]) if parts else "any text"

    @property
    def required(self) -> str:
        """What a new row needs, as the arguments of a call."""
        return ", ".join(f"{field.name}=…" for field in self.table.fields if field.required)

    def given(self, query: QueryParams) -> list[tuple[str, str]]:
        """Return the filters of an address, in their order."""
        return [pair for pair in query.multi_items() if self.is_filter(pair[0])]

    def is_filter(self, parameter: str) -> bool:
        """Return whether a parameter is a filter of this table: the name of a field, and maybe an operator."""
        return parameter == SEARCH or parameter.partition("__")[0] in self.names

    def chips(self, given: Iterable[tuple[str, str]], errors: Mapping[str, str]) -> list[Chip]:
        """Return filters as the bar shows them."""
        return [self._chip(parameter, value, errors.get(parameter, "")) for parameter, value in given]

    def _chip(self, parameter: str, value: str, error: str) -> Chip:
        name, _, suffix = parameter.partition("__")
        if parameter == SEARCH:
            return Chip(parameter, value, "", "", f"“{value}”", error)
        if suffix == "isnull":
            return Chip(parameter, value, name, "is" if value == "true" else "is not", "null", error)
        return Chip(parameter, value, name, SIGNS.get(suffix, suffix), value, error)

    def read(self, given: Iterable[tuple[str, str]], sort: str) -> "tuple[Listing[Row] | None, dict[str, str]]":
        """Return what filters and a sort ask for, or None, and what is wrong with which parameter."""
        pairs = [pair for pair in given if pair[0] != SEARCH]
        asked = [*pairs, *([("sort", sort)] if sort else [])]
        request = Request({"type": "http", "query_string": urlencode(asked).encode(), "headers": []})
        try:
            return self.params.read(request), {}
        except Problem as problem:
            return None, dict(_faults(problem.errors))

    def search(self, text: str) -> bool | None:
        """Return the condition that a text field contains a text, whatever its case; None if there is none."""
        columns: list[Any] = self._searched
        conditions = [contains(column, text[:MAX_SEARCH], ignore_case=True) for column in columns]
        return reduce(or_, conditions) if conditions else None


def _faults(errors: Iterable[FieldError]) -> Iterator[tuple[str, str]]:
    for error in errors:
        yield error.pointer.removeprefix("/"), error.detail


def _takes_filters(table: ShownTable, name: str) -> bool:
    try:
        ListParams(table.table.model, [name], table.schema.key, sorts=[table.schema.key])
    except Exception:  # noqa: BLE001  # whatever Pydantic says of a type that it can't parse from a text
        return False
    return True
