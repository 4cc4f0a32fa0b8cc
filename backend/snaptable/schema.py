"""Row, Unique, Index, ForeignKey, PrimaryKey: what models are written with, and the table schemas they make.

`schema_builder` makes the schemas, and checks them whole before there is any data.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast, dataclass_transform, get_args
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from snaptable.columns import Column
from snaptable.errors import SchemaError
from snaptable.on_update import OnUpdate, without_default
from snaptable.secrets import MASKED, Secret, secret_fields
from snaptable.table_marks import TableMarks
from snaptable.values.row_lines import Key

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

T = TypeVar("T")

OnDelete = Literal["cascade", "restrict", "set null"]


def new_id() -> str:
    """Return a new random UUID (version 4) as text, 36 characters: the usual default of a key.

    >>> class User(Row):
    ...     id: str = Field(default_factory=new_id)
    >>> len(User().id)
    36
    """
    return str(uuid4())


def utc_now() -> datetime:
    """Return the present time, aware, in UTC, to the microsecond.

    >>> class User(Row):
    ...     id: str
    ...     created_at: datetime = Field(default_factory=utc_now)
    >>> User(id="ann").created_at.tzinfo
    datetime.timezone.utc
    """
    return datetime.now(UTC)


def apply_marks(model: type[BaseModel]) -> None:
    """Have Pydantic do what a model's marks ask for, once the model is complete; nothing the second time.

    A field with `OnUpdate` that has no default gets one; an error about a model with secrets doesn't repeat its input.
    """
    if not model.__pydantic_complete__:
        return
    changed = False
    for info, function in without_default(model):
        info.default_factory, changed = function, True
    if secret_fields(model) and not model.model_config.get("hide_input_in_errors"):
        model.model_config["hide_input_in_errors"] = changed = True
    if changed:
        model.model_rebuild(force=True)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr))
class _RowMeta(ModelMetaclass):
    """The class of row classes: `User.email` is a Column. Pydantic keeps fields off the class, so the name is free."""

    def __new__(mcs, name: str, bases: tuple[type, ...], *args: Any, **kwargs: Any) -> type:
        # Pydantic takes what it finds under a field's name, in a base too, for its default: columns hide meanwhile.
        with _builders.building(bases):
            made = super().__new__(mcs, name, bases, *args, **kwargs)
        # Each class has its own, so that it never gets its base's columns.
        type.__setattr__(made, "__columns__", {})
        apply_marks(made)
        return made

    if not TYPE_CHECKING:  # to a type checker the attribute is the field's own type

        def __getattr__(cls, name: str) -> object:  # noqa: N805 - the instances of a metaclass are classes
            if not _builders.is_hidden():
                fields = cls.__dict__.get("__pydantic_fields__")
                if fields and name in fields:
                    return _column_of(cls, name)
            try:
                return super().__getattr__(name)
            except AttributeError:
                names = ", ".join(cls.__dict__.get("__pydantic_fields__") or ())
                raise AttributeError(
                    f"{cls.__name__} has no field or attribute {name!r}; its fields: {names}"
                ) from None


def _column_of(model: type[BaseModel], name: str) -> object:
    """Return the column of a field, and make it an attribute of the class, which is found five times as quickly.

    Subclasses have columns of their own, which become attributes of theirs: else they would find their base's.
    """
    if not _is_complete(model):
        return Column(model, name)  # the types of its values are not known yet
    family = list(_with_subclasses(model))
    if all(map(_is_complete, family)):
        _builders.show(name, {each: _seen_column(each, name) for each in family if name in each.__pydantic_fields__})
    return _seen_column(model, name)


def _seen_column(model: type[BaseModel], name: str) -> object:
    seen = model.__dict__["__columns__"].get(name)
    return model.__dict__["__columns__"].setdefault(name, Column(model, name).as_seen()) if seen is None else seen


def _is_complete(model: type[BaseModel]) -> bool:
    """Return whether a class is made, and the types of all its fields are known."""
    return "__columns__" in model.__dict__ and bool(model.__dict__.get("__pydantic_complete__"))


def _with_subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a class and all its subclasses, those of several bases more than once."""
    yield model
    for each in type.__subclasses__(model):
        yield from _with_subclasses(each)


class _Builders:
    """The threads that make row classes, and the columns that hide from Pydantic meanwhile."""

    def __init__(self) -> None:
        """Begin without any, in a forked process too."""
        self._lock = RLock()
        self._threads: set[int] = set()

    @contextmanager
    def building(self, bases: tuple[type, ...]) -> Iterator[None]:
        """Hide all columns from the calling thread, and those of some classes and their bases from the others too."""
        thread = get_ident()
        with self._lock:
            outermost = thread not in self._threads
            self._threads.add(thread)
            for base in {each: None for given in bases for each in given.__mro__}:
                for name in base.__dict__.get("__columns__", ()):
                    if name in base.__dict__:
                        type.__delattr__(base, name)
        try:
            yield
        finally:
            if outermost:
                self._threads.discard(thread)

    def is_hidden(self) -> bool:
        """Return whether the calling thread sees no columns."""
        return bool(self._threads) and get_ident() in self._threads

    def show(self, name: str, columns: Mapping[type[BaseModel], object]) -> None:
        """Make the columns of a name attributes of their classes, unless any thread makes a class: then another time.

        A class that has something else of its own there keeps that.
        """
        with self._lock:
            if self._threads:
                return
            for model, column in columns.items():
                if name not in model.__dict__:
                    type.__setattr__(model, name, column)


_builders = _Builders()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_builders.__init__)  # type: ignore[misc]  # the threads are the parent's


class Row(BaseModel, metaclass=_RowMeta):
    """Base of every row: a frozen Pydantic model that refuses unknown fields.

    Its fields are those of any Pydantic model. On the class they are columns: `User.age > 17` is a condition, for
    `where`; on a row they are values. A row never changes; `Table.update` puts another in its place.

    >>> class User(Row):
    ...     id: str
    ...     age: int = 0
    >>> User(id="ann").age
    0
    >>> User.age
    User.age
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )

    def __repr_args__(self) -> "Iterator[tuple[str | None, Any]]":
        """Yield the fields as `repr` shows them; Pydantic's hook."""
        secrets = secret_fields(type(self))
        for name, value in super().__repr_args__():
            yield name, MASKED if name in secrets and value is not None else value


def numbered() -> int:
    """Return the default of a primary key that the table numbers: 1, 2, 3, …; a number is never given out twice.

    The number is given at the insert; until then the field is None, whatever its type says. `id: int | None = None`
    says the same to the table, and the whole truth to a type checker.

    >>> from snaptable import Database, Table
    >>> class Note(Row):
    ...     id: int = numbered()
    ...     text: str
    >>> class Notes(Database):
    ...     notes: Table[Note]
    >>> with Notes("memory:") as db:
    ...     db.notes.insert(Note(text="milk"))
    Note(id=1, text='milk')
    """
    return cast("int", Field(default_factory=not_numbered))


def not_numbered() -> None:
    """Return what a numbered key is before its row is inserted. A field with this default is one of `numbered()`."""


@dataclass(frozen=True)
class PrimaryKey:
    """Mark of the field that is the primary key, if it is not called `id`: a str, an int or a UUID.

    >>> from typing import Annotated
    >>> class Country(Row):
    ...     code: Annotated[str, PrimaryKey()]
    """


class Unique:
    """Mark of a value that each row has for itself: on a field, or over several in `table(Unique("a", "b"))`.

    None clashes with nothing, as in SQL. A violation raises UniqueViolation at the commit. Getting a row by a unique
    value is O(1).

    >>> from typing import Annotated
    >>> class User(Row):
    ...     id: str
    ...     email: Annotated[str, Unique()]
    """

    def __init__(self, *names: str) -> None:
        """Name the fields in `table(…)`; none on a field."""
        self.names = names


class Index:
    """Mark of a field that queries ask for: answering them costs O(log n) or less, plus the rows given.

    `Index()` is for equality, `Index(ordered=True)` for ranges and sorting too, `Index(each=True)` for the items of a
    list, set or tuple (`contains`). Over several fields it stands in `table(Index("a", "b", ordered=True))`. An index
    costs memory, and O(log n) or less at each write.

    >>> from typing import Annotated
    >>> class Document(Row):
    ...     id: str
    ...     pages: Annotated[int, Index(ordered=True)]
    ...     tags: Annotated[tuple[str, ...], Index(each=True)] = ()
    """

    def __init__(self, *names: str, ordered: bool = False, each: bool = False) -> None:
        """Name the fields in `table(…)`; none on a field.

        Raises:
            SchemaError: both `ordered` and `each`.
        """
        if ordered and each:
            raise SchemaError("an index is either ordered or has an entry for each item, not both")
        self.names = names
        self.ordered = ordered
        self.each = each


class ForeignKey:
    """Mark of a field that holds the primary key of a row of another table, or None; it has an index by itself.

    A key that no row has raises ForeignKeyViolation at the commit. Deleting a row costs O(rows that refer to it).

    >>> from typing import Annotated
    >>> class User(Row):
    ...     id: str
    >>> class Document(Row):
    ...     id: str
    ...     user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    ...     parent_id: Annotated[str | None, ForeignKey("documents", on_delete="set null")] = None
    """

    def __init__(self, target: "type[BaseModel] | str", on_delete: OnDelete = "restrict") -> None:
        """Name the other table.

        Args:
            target: the model, or the table's name as text (for a table declared later, the same table, or a model that
                two tables hold).
            on_delete: what happens to this row when the other is deleted: "restrict" refuses that at the commit,
                "cascade" deletes this row too, "set null" makes the field None.

        Raises:
            SchemaError: another `on_delete`.
        """
        if on_delete not in get_args(OnDelete):
            raise SchemaError(f"on_delete is one of {', '.join(get_args(OnDelete))}; not {on_delete!r}")
        self.target = target
        self.on_delete = on_delete


Marker = Unique | Index | ForeignKey | PrimaryKey | OnUpdate | Secret
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
    _derived: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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


def marks_of(schemas: Mapping[str, TableSchema]) -> TableMarks:
    """Return what schemas say of their tables, for the header of a snapshot."""
    secret = {name: tuple(sorted(schema.secrets)) for name, schema in schemas.items() if schema.secrets}
    references = {
        name: {each.field: (each.target, str(each.on_delete)) for each in schema.references}
        for name, schema in schemas.items()
        if schema.references
    }
    return TableMarks(secret, tuple(name for name, schema in schemas.items() if schema.transient), references)
