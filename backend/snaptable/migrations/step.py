"""A step of a migration, and what steps of every kind need: names checked, tables found, values shown.

A step that names a table or a field that doesn't exist is an error, so that a slip of the pen does not pass for a step
that was carried out; a table without rows may lack the field.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from snaptable.errors import SchemaError
from snaptable.migrations.raw import RawDatabase, RawTable, StepError
from snaptable.migrations.shape import Shape

MOST_SHOWN = 40
"""Characters of a value in the name of a step."""


class Step(ABC):
    """One change of raw rows."""

    @abstractmethod
    def apply(self, db: RawDatabase, shape: Shape) -> None:
        """Change the rows.

        Args:
            db: the rows, as the step before it left them.
            shape: what is known of the tables at this step.

        Raises:
            StepError: it can't be done; the rows are as they may be, and are given up.
        """

    def shape_before(self, shape: Shape) -> Shape:
        """Return the shape before the step, from the one after it."""
        return shape

    @abstractmethod
    def __str__(self) -> str:
        """Return the step as it is written in code."""


def table_of(db: RawDatabase, shape: Shape, name: str) -> RawTable:
    """Return the rows of a table; none if only the models, or later steps, know it: the file is older than the table.

    Raises:
        StepError: it is not known.
    """
    if name in db:
        return db[name]
    if name in shape.keys:
        return {}
    raise StepError(f"there is no table {name}; there are {', '.join(db) or 'none'}", name)


def table_name(name: str) -> str:
    """Return a table's name; raises SchemaError if it can't be one."""
    if not isinstance(name, str) or not name or "." in name:
        raise SchemaError(f"a migration names a table by its name alone; not {name!r}")
    return name


def function_of(step: str, function: Callable[..., object]) -> Callable[..., object]:
    """Return what a step calls; raises SchemaError if it can't be called."""
    if not callable(function):
        raise SchemaError(f"{step}(…) takes a function; not {type(function).__name__}")
    return function


def shown(value: object) -> str:
    """Return a step's value, or the name of its function, as a message shows it."""
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    text = repr(value).replace("'", '"') if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
