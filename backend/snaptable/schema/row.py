"""Row: the base of every model, whose fields are columns on the class.

Pydantic takes what it finds under a field's name, in a base class too, for the field's default. So columns hide while
a class is made, from the thread that makes it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from snaptable.conditions.columns import Column
from snaptable.schema.on_update import without_default
from snaptable.secrets import MASKED, secret_fields

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


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
