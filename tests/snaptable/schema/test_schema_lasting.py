"""A schema that would make the store refuse its own file is refused itself: values that expire, defaults that are none.

Wherever a type or a default stands: Pydantic's core schema is walked, not the annotations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union
from uuid import UUID

import pytest
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    FutureDate,
    FutureDatetime,
    ImportString,
    Json,
    NewPath,
    PastDate,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic import dataclasses as pydantic_dataclasses
from tests.snaptable.support import refuses
from typing_extensions import TypeAliasType, TypedDict

from snaptable import Database, Row, SchemaError, Table, numbered

SHORT_LIVED: list[Any] = [FutureDate, FutureDatetime, FilePath, DirectoryPath, NewPath, ImportString]


NESTED: dict[str, Callable[[Any], Any]] = {
    "model": lambda kind: create_model("Nested", value=(kind, ...)),
    "default of a model": lambda kind: create_model("Nested", value=(kind | None, None)),
    "dataclass": lambda kind: dataclass(type("Nested", (), {"__annotations__": {"value": kind}})),
    "pydantic dataclass": lambda kind: pydantic_dataclasses.dataclass(
        type("Nested", (), {"__annotations__": {"value": kind}})
    ),
    "typed dict": lambda kind: TypedDict("Nested", {"value": kind}),  # type: ignore[operator]
    "named tuple": lambda kind: NamedTuple("Nested", [("value", kind)]),
}
"""Classes with a field of a type, by kind of class."""
PLACES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda kind: kind,
    "optional": lambda kind: union(kind, None),
    "annotated": lambda kind: Annotated.__class_getitem__((kind, Field(description="a path"))),  # type: ignore[attr-defined]
    "list": lambda kind: generic(list, kind),
    "dict": lambda kind: generic(dict, str, kind),
    "tuple": lambda kind: generic(tuple, kind, ...),
    "tuple in list in dict": lambda kind: generic(dict, str, generic(list, generic(tuple, int, kind))),
    "union of containers": lambda kind: union(int, generic(list, kind), None),
    "alias": lambda kind: TypeAliasType("Alias", generic(list, kind)),
    **NESTED,
    "list of models": lambda kind: generic(list, NESTED["model"](kind)),
    "dataclass in typed dict": lambda kind: generic(dict, str, NESTED["typed dict"](NESTED["dataclass"](kind))),
    "model in named tuple": lambda kind: union(NESTED["named tuple"](union(NESTED["model"](kind), None)), None),
}
"""Annotations with a type somewhere in them."""


def generic(origin: Any, *args: Any) -> Any:
    """Return `origin[args]`, for types that are known only when the test runs."""
    return origin[args]


def union(*members: Any) -> Any:
    """Return the union of types that are known only when the test runs."""
    return Union.__getitem__(members)


def store_of(**fields: Any) -> type[Database]:
    """Make a Database class with a table `items` whose rows have a key and some fields."""
    return store_with(create_model("Item", __base__=Row, id=(int, ...), **fields))


def store_with(model: type[BaseModel]) -> type[Database]:
    """Make a Database class with a table `items` of a model."""
    return type("Store", (Database,), {"__module__": __name__, "__annotations__": {"items": Table[model]}})  # type: ignore[valid-type]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", SHORT_LIVED, ids=str)
def test_types_whose_values_expire_are_refused_wherever_they_stand(kind: Any, place: str) -> None:
    """What hangs on clock, disk or importability would make the store refuse its own rows, one day."""
    made = PLACES[place](kind)
    assert refuses(SchemaError, lambda: store_of(field=(made, ...)), "items.field", "only valid")


class Tree(BaseModel):
    due: FutureDate | None = None
    branches: list["Tree"] = []


class Chain(BaseModel):
    following: Optional["Link"] = None


class Link(BaseModel):
    file: FilePath


def test_expiring_types_behind_forward_references_are_refused() -> None:
    """A model that refers to itself, and one that is declared later."""
    assert refuses(SchemaError, lambda: store_of(first=(int, 0), tree=(Tree, ...)), "items.tree", "due", "only valid")
    assert refuses(SchemaError, lambda: store_of(chain=(Chain, ...)), "items.chain", "file", "only valid")


class Color(BaseModel):
    name: Literal["red", "blue"] = "red"


GOOD_DEFAULTS: list[tuple[Any, Any]] = [
    (int, 0),
    (float, 1),
    (str | None, None),
    (datetime | None, None),
    (date, date(2026, 1, 1)),
    (PastDate, date(2020, 1, 1)),
    (UUID, UUID(int=1)),
    (Path, Path("a")),
    (list[int], []),
    (dict[str, list[int]], {"now_op": [1]}),
    (dict[str, str], {"now_op": "future", "type": "default"}),
    (Json[dict[str, int]], {"a": 1}),
    (Base64Bytes, b"bytes"),
    (Color, Color()),
    (list[Color], [Color()]),
    (tuple[int, str], (1, "a")),
    (frozenset[str], frozenset({"a"})),
    (Literal["now_op", "future"], "future"),
]


@pytest.mark.parametrize(("kind", "default"), GOOD_DEFAULTS, ids=str)
def test_a_default_that_is_a_value_of_its_field_is_fine(kind: Any, default: Any) -> None:
    """As Python has it, or as it comes back from JSON."""
    with store_of(field=(kind, default))("memory:") as db:
        assert db.tables["items"].count() == 0


BAD_DEFAULTS: list[tuple[Any, Any]] = [
    (str, None),
    (Annotated[int, Field(gt=0)], 0),
    (Annotated[str, Field(min_length=1)], ""),
    (list[int], ["x"]),
    (dict[str, int], {"a": None}),
    (Literal["a", "b"], "c"),
    (UUID, "no uuid"),
    (datetime, "soon"),
    (Color, {"name": "green"}),
    (Color, None),
    (list[Color], None),
    (tuple[int, str], (1,)),
    (NESTED["dataclass"](int), {"value": "x"}),
]


@pytest.mark.parametrize(("kind", "default"), BAD_DEFAULTS, ids=str)
def test_a_default_that_is_no_value_of_its_field_is_refused(kind: Any, default: Any) -> None:
    """The rows that it would be filled into could be written nowhere, and the next start would refuse them."""
    message = refuses(SchemaError, lambda: store_of(field=(kind, default)), "items.field", "default")
    assert "no uuid" not in message
    nested = create_model("Nested", field=(kind, default))
    for outer in (nested, generic(list, nested), union(nested, None)):
        assert refuses(SchemaError, partial(store_of, nested=(outer, ...)), "items.nested", "field", "default")


def test_the_error_names_the_place_as_attributes() -> None:
    """Table and field are attributes, as of every error."""
    with pytest.raises(SchemaError) as raised:
        store_of(field=(str, None))
    assert (raised.value.table, raised.value.fields) == ("items", ("field",))


def test_field_validators_see_the_default() -> None:
    """A rule of one's own counts like one of Pydantic's; one over several fields is not asked about one of them."""

    class Even(Row):
        id: int
        number: int = 3

        @field_validator("number")
        @classmethod
        def check(cls, value: int) -> int:
            if value % 2:
                raise ValueError("not even")
            return value

    class Span(Row):
        id: int
        start: int
        end: int = 10

        @field_validator("end")
        @classmethod
        def check(cls, value: int, info: ValidationInfo) -> int:
            if value < info.data["start"]:
                raise ValueError("ends before it starts")
            return value

        @model_validator(mode="before")
        @classmethod
        def look(cls, values: Any) -> Any:
            return {**values, "start": values["start"]}

    assert refuses(SchemaError, lambda: store_with(Even), "items.number", "default", "not even")
    assert store_with(Span)


def test_factories_are_not_called_when_the_class_is_made() -> None:
    """Neither is the one that stands for a number to come."""

    def explode() -> str:
        raise AssertionError

    class Item(Row):
        id: int = numbered()
        token: str = Field(default_factory=explode)

    assert store_with(Item)


def test_a_strict_model_judges_its_defaults_strictly() -> None:
    """The configuration of the model, and of a nested one, holds for its defaults."""

    class Strict(Row):
        model_config = ConfigDict(strict=True)
        id: int
        day: date = "2026-01-01"  # type: ignore[assignment]

    class Names(BaseModel):
        model_config = ConfigDict(str_max_length=2)
        name: str = "long"

    assert refuses(SchemaError, lambda: store_of(names=(Names, ...)), "items.names.name", "default")
    assert refuses(SchemaError, lambda: store_with(Strict), "items.day", "default")
