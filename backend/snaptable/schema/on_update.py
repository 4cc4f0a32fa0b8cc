"""OnUpdate: fields that move with every change of their row, such as `updated_at`."""

from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

from snaptable.errors import SchemaError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


class OnUpdate:
    """Mark of a field that gets a new value at every write that changes its row: the time of the last change.

    The function is called by `update`, `replace`, `upsert`, the `update` of a query, and where a reference becomes None
    because its row was deleted. A write that changes no other field is none, and leaves the field as it is; a value
    that `update` is given for the field itself stands. At the insert it is an ordinary field, and the function gives
    its default if it has none. `Database.history` brings back what was there, these fields included; that one has moved
    on since isn't a conflict of an undo.

    >>> from datetime import datetime
    >>> from typing import Annotated
    >>> from pydantic import Field
    >>> from snaptable import Row, utc_now
    >>> class Page(Row):
    ...     id: str
    ...     text: str = ""
    ...     updated_at: Annotated[datetime, OnUpdate(utc_now)] = Field(default_factory=utc_now)
    """

    def __init__(self, function: Callable[[], object]) -> None:
        """Take what gives the new value: a function without arguments, such as `utc_now`.

        Raises:
            SchemaError: it is not a function, or a coroutine function.
        """
        if not callable(function) or iscoroutinefunction(function):
            raise SchemaError("OnUpdate takes a function that gives the new value, as in OnUpdate(utc_now)")
        self.function = function

    def __repr__(self) -> str:
        return f"OnUpdate({getattr(self.function, '__name__', self.function)})"


def marks_of(info: "FieldInfo") -> list[OnUpdate]:
    """Return the marks of this kind on a field."""
    return [item for item in info.metadata if isinstance(item, OnUpdate)]


def without_default(model: "type[BaseModel]") -> Iterator[tuple["FieldInfo", Callable[[], object]]]:
    """Yield the fields that move and have no default, each with the function that gives one."""
    for info in model.model_fields.values():
        marks = marks_of(info)
        if marks and info.is_required():
            yield info, marks[0].function
