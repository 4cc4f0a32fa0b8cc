"""The schemas of tables: what models and markers say, in the form that engines work with.

`builder` makes them, and checks them whole before there is any data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from snaptable.conditions.columns import Column
from snaptable.schema.markers import Index, OnDelete, Unique
from snaptable.values.row_lines import Key

T = TypeVar("T")

IndexKind = Literal["unique", "hash", "ordered", "each"]


@dataclass(frozen=True)
class IndexSchema:
    """One index of a table."""

    name: str
    """Its fields, joined by commas; then its kind, if another index of the table has the same fields."""
    kind: IndexKind
    names: tuple[str, ...]
    """Its fields."""


@dataclass(frozen=True)
class ReferenceSchema:
    """One foreign key: `table.field` holds keys of `target`."""

    table: str
    field: str
    target: str
    on_delete: OnDelete


@dataclass(frozen=True)
class Declaration:
    """What a Database class says of a table."""

    model: type[BaseModel]
    indexes: tuple[Unique | Index, ...] = ()
    """Those over several fields."""
    transient: bool = False


def defined_again(model: type, given: type) -> str:
    """Return what explains that one of two classes is not the other, though it has its name; "" if it has not."""
    if model is given or (model.__module__, model.__qualname__) != (given.__module__, given.__qualname__):
        return ""
    return (
        f": {model.__name__} was defined again (a notebook's cell was run again, or a module reloaded), and this is "
        f"the other class of that name; use the new one, also in the classes that refer to it and in the Database"
    )


@dataclass
class TableSchema:
    """One table: its model, its key, its indexes, its foreign keys, and those that refer to it."""

    name: str
    model: type[BaseModel]
    key: str
    """Name of the field that is the primary key."""
    key_type: type[str] | type[int] | type[UUID]
    numbered: bool
    """Whether a key left out (None) is numbered by the table."""
    indexes: tuple[IndexSchema, ...] = ()
    references: tuple[ReferenceSchema, ...] = ()
    referenced_by: tuple[ReferenceSchema, ...] = ()
    columns: dict[str, Column] = field(default_factory=dict)
    """By name, in the order of the model's fields."""
    secrets: frozenset[str] = frozenset()
    """The fields that are never shown."""
    on_update: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    """The fields that move with every change of their row, and what gives their new values."""
    transient: bool = False
    """Whether its rows are durable, but have no past."""
    _derived: dict[Callable[..., object], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derive(self, make: Callable[["TableSchema"], T]) -> T:
        """Return what a function, or a class, makes of this schema: made at the first call, the same one afterwards.

        Every opening, fork and past of a database needs it again. A schema no longer changes once its class is there.
        """
        if make not in self._derived:
            self._derived[make] = make(self)
        made: T = self._derived[make]
        return made

    def parse_key(self, text: str) -> Key:
        """Return the key that a snapshot or journal spells as text.

        Raises:
            ValueError: the text is not a key of this table, or not how that key is spelled.
        """
        key: Key = text if self.key_type is str else int(text) if self.key_type is int else UUID(text)
        if str(key) != text:
            raise ValueError(f"{text!r} is not how the key {key} is written")
        return key
