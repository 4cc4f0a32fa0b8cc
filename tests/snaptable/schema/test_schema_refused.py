"""Every schema that can't work is refused when its class is made, by table and field."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretBytes, SecretStr, create_model
from tests.snaptable.support import refuses

from snaptable import Database, ForeignKey, Index, PrimaryKey, Row, SchemaError, Table, Unique, table


class Owner(Row):
    id: str


class Opaque:
    """Be a class that Pydantic knows nothing of."""


class Credentials(BaseModel):
    password: SecretStr


def made_with(annotation: Any, name: str = "field", **config: Any) -> Callable[[], object]:
    """Return the making of a database with a table `items` whose model has one field of an annotation."""

    def make() -> object:
        settings = (
            {
                "model_config": ConfigDict(**config)  # type: ignore[typeddict-item]
            }
            if config
            else {}
        )
        model = type(
            "Item", (Row,), {"__module__": __name__, "__annotations__": {"id": str, name: annotation}, **settings}
        )
        return database(items=model)

    return make


def made_over(model: type[BaseModel], *indexes: Unique | Index) -> Callable[[], object]:
    """Return the making of a database with a table `items` of a model and indexes."""
    return lambda: database({"items": indexes}, items=model)


def database(indexes: dict[str, tuple[Unique | Index, ...]] | None = None, /, **models: Any) -> type[Database]:
    """Make a Database class with a table of each model."""
    annotations = {name: Table[model] for name, model in models.items()}  # type: ignore[valid-type]
    declared = {name: table(*found) for name, found in (indexes or {}).items()}
    return type("Store", (Database,), {"__module__": __name__, "__annotations__": annotations, **declared})


class Plain(BaseModel):
    id: str


class Mutable(Row):
    model_config = ConfigDict(frozen=False)
    id: str


class Open(Row):
    model_config = ConfigDict(extra="allow")
    id: str


class Lax(Row):
    model_config = ConfigDict(extra="ignore")
    id: str


class Private(Row):
    id: str
    _secret: int = PrivateAttr(default=0)


class Keyless(Row):
    name: str


class TwoKeys(Row):
    first: Annotated[str, PrimaryKey()]
    second: Annotated[str, PrimaryKey()]


class FloatKey(Row):
    id: float


class OptionalTextKey(Row):
    id: str | None = None


class Incomplete(Row):
    id: str
    other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - that it is nowhere is the point


class Excluded(Row):
    id: str
    hidden: Annotated[int, Field(exclude=True)] = 0


class Doubled(Row):
    id: str
    name: Annotated[str, Index(), Index()]


class Misplaced(Row):
    id: str
    name: Annotated[str, Index("id", "name")]


class Goods(Row):
    id: str
    name: str
    tags: list[str]
    sizes: dict[str, int]
    either: str | int
    nested: list[list[str]]


class KeyIsReference(Row):
    id: Annotated[str, ForeignKey(Owner, on_delete="set null")]


MODELS: list[tuple[type[BaseModel], tuple[Unique | Index, ...], str]] = [
    (Plain, (), "Plain"),
    (Mutable, (), "Mutable"),
    (Open, (), "Open"),
    (Lax, (), "Lax"),
    (Private, (), "_secret"),
    (Keyless, (), "Keyless"),
    (TwoKeys, (), "first"),
    (TwoKeys, (), "second"),
    (FloatKey, (), "id"),
    (OptionalTextKey, (), "id"),
    (Incomplete, (), "Incomplete"),
    (Excluded, (), "hidden"),
    (Doubled, (), "name"),
    (Misplaced, (), "name"),
    (Goods, (Index("colour"),), "colour"),
    (Goods, (Unique("name", "colour"),), "colour"),
    (Goods, (Index("name", "name"),), "name"),
    (Goods, (Index(),), "items"),
    (Goods, (Index("name"), Index("name")), "name"),
    (Goods, (Unique("tags"),), "tags"),
    (Goods, (Index("name", "sizes"),), "sizes"),
    (Goods, (Index("tags", ordered=True),), "tags"),
    (Goods, (Index("either", ordered=True),), "either"),
    (Goods, (Index("name", each=True),), "name"),
    (Goods, (Index("sizes", each=True),), "sizes"),
    (Goods, (Index("nested", each=True),), "nested"),
    (Goods, (Index("tags", "name", each=True),), "tags"),
]


@pytest.mark.parametrize(("model", "indexes", "word"), MODELS, ids=[f"{m.__name__}-{w}" for m, _, w in MODELS])
def test_refuses_a_model(model: type[BaseModel], indexes: tuple[Unique | Index, ...], word: str) -> None:
    """Ensure that a model or an index that can't work is a SchemaError naming the table and what is wrong in it."""
    assert refuses(SchemaError, made_over(model, *indexes), "items", word)


@pytest.mark.parametrize("model", [Lax, Open])
def test_says_how_to_drop_a_column(model: type[BaseModel]) -> None:
    """Ensure that whoever takes unknown fields to get rid of one is told how that is done."""
    assert "jq" in (message := refuses(SchemaError, made_over(model)))
    assert ".items |= map_values(del(.column))" in message
    assert "snaptable accept" in message


@pytest.mark.parametrize(
    ("make", "table", "fields"),
    [
        (made_over(Plain), "items", ()),
        (made_over(FloatKey), "items", ("id",)),
        (made_over(Goods, Index("colour")), "items", ("colour",)),
        (made_with(Annotated[int, ForeignKey(Owner)]), "items", ("field",)),
        (lambda: database(None, open=Owner), "open", ()),
    ],
)
def test_the_place_is_an_attribute(make: Callable[[], object], table: str, fields: tuple[str, ...]) -> None:
    """Ensure that a program need not read the message to know where the schema is wrong."""
    with pytest.raises(SchemaError) as raised:
        make()
    assert (raised.value.table, raised.value.fields) == (table, fields)


UNSTORABLE: list[tuple[str, Any]] = [
    ("callable", Callable[[int], int]),
    ("callables", list[Callable[[], None]]),
    ("secret", SecretStr),
    ("optional secret", SecretStr | None),
    ("secret bytes", SecretBytes),
    ("secrets", dict[str, SecretStr]),
    ("nested secret", Credentials),
    ("secrets in a list of models", list[Credentials]),
    ("iterable", Iterable[int]),
    ("class", type[Owner]),
]


@pytest.mark.parametrize("annotation", [a for _, a in UNSTORABLE], ids=[name for name, _ in UNSTORABLE])
def test_refuses_a_type_that_cannot_come_back(annotation: Any) -> None:
    """Ensure that a field type of which nothing comes back from JSON is a SchemaError naming table and field."""
    assert refuses(SchemaError, made_with(annotation), "items", "field")


@pytest.mark.parametrize("annotation", [Opaque, list[Opaque], Opaque | None])
def test_refuses_arbitrary_classes(annotation: Any) -> None:
    """Ensure that a class Pydantic was told to take as it is can't be a field: nothing in JSON becomes it."""
    assert refuses(SchemaError, made_with(annotation, arbitrary_types_allowed=True), "items", "field")


@pytest.mark.parametrize("name", ["class", "a-b", "with space"])
def test_refuses_a_field_that_cannot_follow_a_dot(name: str) -> None:
    """Ensure that a field name that can't be written in a condition is refused, with the name."""
    fields: dict[str, Any] = {"id": str, name: (int, 0)}
    assert refuses(SchemaError, made_over(create_model("Item", __base__=Row, **fields)), "items", name)


REFERENCES: list[tuple[str, Any, str]] = [
    ("a model in no table", Annotated[str, ForeignKey(Plain)], "Plain"),
    ("a table that isn't there", Annotated[str, ForeignKey("nowhere")], "nowhere"),
    ("int for a str key", Annotated[int, ForeignKey(Owner)], "str"),
    ("UUID for a str key", Annotated[UUID, ForeignKey(Owner)], "str"),
    ("several kinds", Annotated[str | int, ForeignKey(Owner)], "str"),
    ("anything", Annotated[Any, ForeignKey(Owner)], ""),
    ("set null on a field that is required", Annotated[str, ForeignKey(Owner, on_delete="set null")], "None"),
    ("two foreign keys", Annotated[str, ForeignKey(Owner), ForeignKey("items")], "one foreign key"),
    ("a list of keys", Annotated[list[str], ForeignKey(Owner)], ""),
]


@pytest.mark.parametrize(("annotation", "word"), [(a, w) for _, a, w in REFERENCES], ids=[n for n, _, _ in REFERENCES])
def test_refuses_a_foreign_key(annotation: Any, word: str) -> None:
    """Ensure that a foreign key that can't hold is a SchemaError naming table, field and the reason."""

    def make() -> object:
        model = type("Item", (Row,), {"__module__": __name__, "__annotations__": {"id": str, "owner_id": annotation}})
        return database(owners=Owner, items=model)

    assert refuses(SchemaError, make, "items", "owner_id", word)


def test_refuses_set_null_on_the_primary_key() -> None:
    """Ensure that a primary key that is a foreign key can't be set to None."""
    assert refuses(SchemaError, lambda: database(owners=Owner, items=KeyIsReference), "items", "id")


def test_refuses_an_ambiguous_model() -> None:
    """Ensure that a foreign key by class to a model that is in two tables asks for the table's name."""
    item = create_model("Item", __base__=Row, id=str, owner_id=Annotated[str, ForeignKey(Owner)])
    make = lambda: database(owners=Owner, tenants=Owner, items=item)  # noqa: E731 - named for the line's length
    assert refuses(SchemaError, make, "items", "owner_id", "owners", "tenants")


def test_refuses_an_unknown_on_delete() -> None:
    """Ensure that a misspelt on_delete is refused, with the three there are."""
    message = refuses(SchemaError, lambda: ForeignKey(Owner, on_delete="set_null"))  # type: ignore[arg-type]
    assert all(word in message for word in ("cascade", "restrict", "set null"))


def test_refuses_an_index_both_ordered_and_each() -> None:
    """Ensure that an index can't be ordered and have an entry for each item."""
    assert refuses(SchemaError, lambda: Index("tags", ordered=True, each=True))


TAKEN = [
    "open",
    "close",
    "transaction",
    "run",
    "persist",
    "check",
    "tables",
    "status",
    "url",
    "directory",
    "is_open",
    "read_only",
]


@pytest.mark.parametrize("name", [*TAKEN, "snaptable", "checksum", "_hidden"])
def test_refuses_a_table_name(name: str) -> None:
    """Ensure that a table named like an attribute of Database, or like a line of the file, is refused by name."""
    assert refuses(SchemaError, lambda: database(None, **{name: Owner}), name)


@pytest.mark.parametrize(
    "annotation",
    [Owner, int, list[Owner], Table[int]],  # type: ignore[type-var]
)
def test_refuses_an_annotation_that_is_no_table(annotation: Any) -> None:
    """Ensure that an attribute of a Database that is no Table of a model is refused by name, not passed over."""
    make = lambda: type("Store", (Database,), {"__annotations__": {"items": annotation}})  # noqa: E731
    assert refuses(SchemaError, make, "Store", "items")


def test_refuses_a_table_with_another_value() -> None:
    """Ensure that the only value a table takes in the class body is table(…)."""
    make = lambda: type("Store", (Database,), {"__annotations__": {"items": Table[Owner]}, "items": 3})  # noqa: E731
    assert refuses(SchemaError, make, "items")


def test_says_one_line_and_no_value() -> None:
    """Ensure that a schema's refusal is one readable sentence or two, not a traceback of another library."""
    message = refuses(SchemaError, made_over(Goods, Index("colour")))
    assert re.fullmatch(r"items\.colour: .+", message)
