"""The body of a Database class: `name: Table[Model]`, and `table(…)` for indexes over several fields."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast, get_args, get_origin

from pydantic import BaseModel

from snaptable.errors import SchemaError
from snaptable.schema.markers import Index, Unique
from snaptable.schema.tables import Declaration
from snaptable.table import Table

NOT_ON_THE_CLASS = ("url",)
"""Attributes of every Database that Database itself lacks."""
IN_THE_FILE = ("snaptable", "checksum")
"""Names that the snapshot uses itself, beside the tables'."""


def table(*indexes: Unique | Index, transient: bool = False) -> Table[Any]:
    """Declare the indexes of a table that span several fields, and whether its rows have a past.

    Args:
        indexes: as in `Unique("user_id", "name")`.
        transient: for sessions and the like: the rows are as durable as any, but in no history, feed and export. A past
            and a fork have none of them, and an undo or a restore leaves them as they are, but for rows that refer to
            what it removes: these go by their `on_delete`. No other table can refer to one of these.

    Raises:
        SchemaError: when the class is made, for a field that the model doesn't have, or that can't be indexed.

    >>> from snaptable import Database, Row
    >>> class Document(Row):
    ...     id: str
    ...     user_id: str
    ...     name: str
    >>> class Library(Database):
    ...     documents: Table[Document] = table(Unique("user_id", "name"), Index("name", "user_id", ordered=True))
    """
    return cast("Table[Any]", TableOptions(indexes, transient=transient))


class TableOptions:
    """What `table(…)` leaves in the class body until the class is made."""

    def __init__(self, indexes: tuple[Unique | Index, ...], *, transient: bool) -> None:
        self.indexes = indexes
        self.transient = transient


def declared_tables(cls: type, base: type, hints: Mapping[str, object]) -> dict[str, Declaration]:
    """Return what a Database class declares in its own body, by table name.

    Args:
        cls: the class that is being made.
        base: Database itself, whose attributes are no table's name.
        hints: the evaluated annotations of the class's body.

    Raises:
        SchemaError: an annotation that is not a table, or a name that a table can't have.
    """
    return {
        name: _declaration(cls, base, name, hint)
        for name, hint in hints.items()
        # A private attribute is left alone, unless it would be a table.
        if ClassVar not in (hint, get_origin(hint)) and (not name.startswith("_") or get_origin(hint) is Table)
    }


def _declaration(cls: type, base: type, name: str, hint: object) -> Declaration:
    place = f"{cls.__name__}.{name}"
    if get_origin(hint) is not Table:
        raise SchemaError(f"{place}: annotate a table as `{name}: Table[Model]`; anything else as ClassVar", table=name)
    if hasattr(base, name) or name in NOT_ON_THE_CLASS:
        raise SchemaError(f"{place}: the name is taken by an attribute of every Database; choose another", table=name)
    if name in IN_THE_FILE:
        raise SchemaError(f"{place}: the name is taken by a line of the snapshot file; choose another", table=name)
    if name.startswith("_"):
        raise SchemaError(f"{place}: a table's name doesn't begin with an underscore", table=name)
    (model,) = get_args(hint)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise SchemaError(f"{place}: {model!r} is not a model", table=name)
    default = cls.__dict__.get(name)
    if default is None:
        return Declaration(model)
    if not isinstance(default, TableOptions):
        raise SchemaError(f"{place}: the only value a table takes is table(…)", table=name)
    return Declaration(model, default.indexes, default.transient)
