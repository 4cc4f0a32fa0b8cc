"""What the values of a column are, by their type: what they can equal, how they compare, how they are sorted."""

from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from snaptable.errors import InvalidQuery
from snaptable.values import value_types

if TYPE_CHECKING:
    from pydantic import BaseModel


class ColumnValues:
    """The values of a field of a model.

    Attributes:
        model: the class that has the field.
        name: the field's name; of a part of its values also the way there: `box.x`, `metadata['lang']`.
    """

    def __init__(self, model: "type[BaseModel]", name: str) -> None:
        self.model, self.name = model, name

    def __repr__(self) -> str:
        return f"{self.model.__name__}.{self.name}"

    @cached_property
    def annotation(self) -> Any:
        """The field's type, without the metadata of its outermost Annotated."""
        return self.model.model_fields[self.name].annotation

    @cached_property
    def types(self) -> tuple[type, ...] | None:
        """The classes a value of the field may have; None if it can be anything."""
        return value_types.value_types(self.annotation)

    @cached_property
    def sort_key(self) -> value_types.SortKey | None:
        """The function from a value to what it is sorted by; None if that is the value itself.

        Raises:
            TypeError: the field's values have no order.
        """
        return value_types.sort_key(self.annotation)

    @cached_property
    def choices(self) -> tuple[object, ...] | None:
        """Every value of a field of enums and literals; None of any other field."""
        return value_types.choices(self.annotation)

    @cached_property
    def time_kind(self) -> str | None:
        """Whether the field's times are all "aware" or all "naive"; None if they may be either, or it holds none."""
        return value_types.time_kind(self.annotation)

    @cached_property
    def exact_types(self) -> frozenset[type]:
        """Classes whose instances, not those of subclasses, need no `check` before the field is compared with them."""
        kinds = frozenset(self.types or ()) - {Decimal}
        if self.time_kind is not None:
            kinds -= {datetime}
        if self.choices is not None:
            kinds = frozenset(kind for kind in kinds if issubclass(kind, Enum) or kind is type(None))
        return kinds

    @cached_property
    def orderable_types(self) -> frozenset[type]:
        """Those of the `exact_types` whose instances the field's values can be less or greater than."""
        try:
            _ = self.sort_key
        except TypeError:
            return frozenset()
        return self.exact_types - {type(None)}

    def kinds_in_words(self) -> str:
        """Return the names of the classes of the values, for messages."""
        return " or ".join(kind.__name__ for kind in self.types or () if kind is not type(None)) or "nothing but None"


def time_kind_of(value: datetime | time) -> str:
    """Return whether a time is "aware" or "naive", as Python compares it."""
    return "naive" if value.tzinfo is None or value.utcoffset() is None else "aware"


def wrong_time(column: ColumnValues, held: str, kind: str) -> InvalidQuery:
    """Return the error of comparing a column's times, all of a kind as `held` says, with one of the other kind."""
    advice = "an aware one: write a time without an offset, value.replace(tzinfo=None)"
    if kind == "aware":
        advice = "a naive one: write utc_now(), or datetime.now(UTC)"
    error = InvalidQuery(f"{held}, and is compared with {advice}")
    error.times = (column.name, kind)
    return error
