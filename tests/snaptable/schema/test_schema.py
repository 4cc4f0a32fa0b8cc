"""Models become tables: keys, numbering, references ahead and to itself, inheritance, names that could clash."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import RFC_4122, UUID, uuid4

import pytest
from pydantic import Field, create_model
from tests.snaptable.support import WAYS, Way, begun_anew, refuses

from snaptable import (
    Database,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    Index,
    InvalidKey,
    InvalidRow,
    PrimaryKey,
    Row,
    RowNotFound,
    Table,
    Unique,
    desc,
    new_id,
    table,
    utc_now,
)


class Node(Row):
    id: str
    parent_id: Annotated[str | None, ForeignKey("nodes", on_delete="cascade")] = None
    leaf_id: Annotated[str | None, ForeignKey("leaves", on_delete="set null")] = None


class Leaf(Row):
    id: str
    node_id: Annotated[str | None, ForeignKey(Node)] = None


class Tree(Database):
    nodes: Table[Node]
    leaves: Table[Leaf]


class Counted(Row):
    id: int | None = None
    text: Annotated[str, Unique()] = Field(default_factory=new_id)


class Marked(Row):
    id: str = "not the key"
    code: Annotated[int, PrimaryKey()]


class Universal(Row):
    id: UUID = Field(default_factory=uuid4)


class Keys(Database):
    counted: Table[Counted]
    marked: Table[Marked]
    universal: Table[Universal]


def test_references_itself_and_later_tables() -> None:
    """Ensure that a foreign key by name reaches its own table and one declared later, and is enforced."""
    with Tree("memory:") as db:
        with db.transaction():
            db.nodes.insert(Node(id="child", parent_id="root", leaf_id="leaf"))
            db.nodes.insert(Node(id="root"))
            db.leaves.insert(Leaf(id="leaf"))
        assert refuses(
            ForeignKeyViolation, lambda: db.nodes.insert(Node(id="x", parent_id="none")), "nodes", "parent_id"
        )
        assert refuses(ForeignKeyViolation, lambda: db.nodes.insert(Node(id="x", leaf_id="none")), "nodes", "leaf_id")
        db.leaves.delete("leaf")
        assert db.nodes["child"] == Node(id="child", parent_id="root")


def test_makes_classes_inside_a_function() -> None:
    """Ensure that models and a database made in a function find each other, by class and by name."""

    class Team(Row):
        id: str

    class Member(Row):
        id: str
        team_id: Annotated[str, ForeignKey(Team)]
        boss_id: Annotated[str | None, ForeignKey("members")] = None
        home: "Team | None" = None

    class Club(Database):
        teams: Table[Team]
        members: "Table[Member]" = table(Index("team_id", "boss_id"))

    with Club("memory:") as db:
        db.teams.insert(Team(id="t"))
        ann = db.members.insert(Member(id="ann", team_id="t", home=Team(id="home")))
        db.members.insert(Member(id="bob", team_id="t", boss_id="ann"))
        assert db.members.where(Member.team_id == "t", boss_id=None).all() == [ann]


def test_names_tables_in_declared_order(tmp_path: Path) -> None:
    """Ensure that the attribute's name is the table's, and that tables keep the order of their declaration."""
    with Keys(tmp_path / "data") as db:
        assert list(db.tables) == ["counted", "marked", "universal"]
        assert [found.name for found in db.tables.values()] == list(db.tables)
        assert db.tables["marked"] is db.marked


@pytest.mark.parametrize("way", WAYS)
def test_keeps_keys_of_every_type(tmp_path: Path, way: Way) -> None:
    """Ensure that str, int and UUID keys find their rows after the store began anew, and are what they were."""
    odd = ['"', "\\", "a\nb", "", " ", "é", "\u2028", "\x7f", "\x00", "😀", '{"id":1}', "a,\nb"]
    with Keys(tmp_path / "data", fsync=False) as db:
        universal = db.universal.insert(Universal())
        for code in (0, -1, 2**70):
            db.marked.insert(Marked(code=code))
        with begun_anew(db, way) as again:
            assert again.universal[universal.id] == universal
            assert [row.code for row in again.marked.order_by(Marked.code)] == [-1, 0, 2**70]
            assert all(type(row.code) is int for row in again.marked)
    with Tree(tmp_path / "odd", fsync=False) as tree:
        for text in odd:
            tree.nodes.insert(Node(id=text))
        with begun_anew(tree, way) as grown:
            assert [grown.nodes[text].id for text in odd] == odd
            assert grown.check() == []


def test_marks_another_field_as_the_key() -> None:
    """Ensure that PrimaryKey() makes a field the key, and that a field `id` beside it is a field like any other."""
    with Keys("memory:") as db:
        db.marked.insert(Marked(code=1))
        db.marked.insert(Marked(code=2))
        assert db.marked[2].id == "not the key"
        assert refuses(DuplicateKey, lambda: db.marked.insert(Marked(id="other", code=1)), "marked", "1")
        assert refuses(InvalidKey, lambda: db.marked["not the key"], "marked", "code", "str")
        assert refuses(RowNotFound, lambda: db.marked[3], "marked", "3")


@pytest.mark.parametrize("way", WAYS)
def test_never_gives_a_number_twice(tmp_path: Path, way: Way) -> None:
    """Ensure that a deleted row's number isn't given out again, neither at once nor after the store began anew."""
    with Keys(tmp_path / "data", fsync=False) as db:
        numbers = [row.id for row in db.counted.insert_many([Counted(), Counted(), Counted()])]
        assert numbers == [1, 2, 3]
        db.counted.delete(3)
        assert db.counted.insert(Counted()).id == 4
        db.counted.delete(4)
        with begun_anew(db, way) as again:
            assert again.counted.insert(Counted()).id == 5
            assert again.counted.upsert(Counted()).id == 6


def test_numbers_above_keys_that_were_given() -> None:
    """Ensure that numbering goes on above the greatest key a caller chose, and leaves lower gaps alone."""
    with Keys("memory:") as db:
        db.counted.insert(Counted(id=10))
        assert db.counted.insert(Counted()).id == 11
        db.counted.insert(Counted(id=5))
        assert db.counted.insert(Counted()).id == 12


def test_refuses_a_missing_key_where_none_is_numbered() -> None:
    """Ensure that None is no key for update, replace, get or delete of a numbered table."""
    with Keys("memory:") as db:
        assert refuses(RowNotFound, lambda: db.counted.replace(Counted()), "counted")
        assert refuses(RowNotFound, lambda: db.counted.delete(None), "counted")
        assert db.counted.get(None) is None
        assert db.counted.count() == 0


class Shared(Row):
    id: str = Field(default_factory=new_id)
    created_at: Annotated[datetime, Index(ordered=True)] = Field(default_factory=utc_now)


class Person(Shared):
    name: Annotated[str, Unique()]


class Small(Database):
    people: Table[Person]


class Large(Small):
    limit: ClassVar[int] = 3
    others: Table[Shared]


class Beside(Database):
    nodes: Table[Node]
    leaves: Table[Leaf]


class Both(Large, Beside):
    """Be a database of two others' tables."""


def test_inherits_fields_and_indexes() -> None:
    """Ensure that a row class inherits fields with their indexes, and that an inherited column works in a condition."""
    with Large("memory:") as db:
        ann = db.people.insert(Person(name="ann"))
        db.others.insert(Shared())
        assert db.people.where(Shared.created_at == ann.created_at, Person.name == "ann").one() == ann
        assert db.people.order_by(desc(Shared.created_at)).explain().index == "created_at"


def test_inherits_tables() -> None:
    """Ensure that a subclass of a Database has its parent's tables first, while the parent keeps just its own."""
    assert list(Large("memory:").tables) == ["people", "others"]
    assert list(Small("memory:").tables) == ["people"]


def test_inherits_tables_of_several_databases() -> None:
    """Ensure that a database made of two others has the tables of both: none is lost without a word."""
    with Both("memory:") as db:
        assert set(db.tables) == {"people", "others", "nodes", "leaves"}
        db.people.insert(Person(name="ann"))
        db.nodes.insert(Node(id="n"))


class Clash(Row):
    key: str
    id: Annotated[int, PrimaryKey()]
    table: Annotated[str, Index()] = "t"
    type: Annotated[int, Index(ordered=True)] = 0
    value: Annotated[str | None, Unique()] = None
    self: int = 0
    name: list[str] = []
    where: int = 0
    row: int = 0
    rows: int = 0
    r: int = 0
    v0: int = 0
    after: int = 0
    limit: int = 0
    model: Annotated[int, Index()] = 0
    kind: int = 0


class Clashing(Database):
    items: Table[Clash] = table(Index("key", "type", ordered=True), Unique("key", "self"))


NAMES = [name for name in Clash.model_fields if name not in ("name", "id")]


@pytest.mark.parametrize("name", NAMES)
def test_takes_any_field_name(name: str) -> None:
    """Ensure that a field may be called anything: in conditions, keywords, orderings, updates and pages."""
    column: Any = getattr(Clash, name)
    text = name in ("key", "table", "value")
    old, new = ("old", "new") if text else (1, 2)
    start: dict[str, Any] = {"key": "k", name: old}
    with Clashing("memory:") as db:
        first = db.items.insert(Clash.model_validate({**start, "id": 1}))
        assert db.items.where(column == old).all() == [first]
        assert db.items.where(**{name: old}).order_by(desc(column)).all() == [first]
        assert db.items.where(column >= old).page(limit=1).items == [first]
        changed = db.items.update(1, **{name: new})
        assert getattr(changed, name) == new
        assert db.items.where(**{name: new}).update(**{name: old}) == 1
        assert db.items[1] == first
        assert db.check() == []


@pytest.mark.filterwarnings("ignore:Field name")
@pytest.mark.parametrize("name", ["register", "mro", "json", "copy", "schema", "dict"])
def test_takes_names_of_python_and_pydantic(name: str) -> None:
    """Ensure that a field named like something every class has is a column all the same, not that something."""
    fields: dict[str, Any] = {"id": str, name: (int, 0)}
    make: Any = create_model
    model: Any = make("Item", __base__=Row, **fields)
    store: Any = type("Store", (Database,), {"__annotations__": {"items": Table[model]}})
    with store("memory:") as db:
        row = db.items.insert(model(id="1", **{name: 3}))
        assert db.items.where(getattr(model, name) == 3).all() == [row]
        assert db.items.where(**{name: 3}).all() == [row]


def test_takes_a_model_in_two_tables() -> None:
    """Ensure that one model can be in two tables, each with its own rows, and a foreign key then names its table."""

    class Note(Row):
        id: str
        about: Annotated[str | None, ForeignKey("kept")] = None

    class Notes(Database):
        kept: Table[Note]
        dropped: Table[Note]

    with Notes("memory:") as db:
        db.kept.insert(Note(id="1"))
        db.dropped.insert(Note(id="1", about="1"))
        db.dropped.insert(Note(id="2"))
        assert (len(db.kept), len(db.dropped)) == (1, 2)
        assert [row.id for row in db.dropped.where(Note.about == "1")] == ["1"]
        assert refuses(ForeignKeyViolation, lambda: db.dropped.insert(Note(id="3", about="2")), "dropped", "about")


def test_takes_a_marker_without_parentheses() -> None:
    """Ensure that `Unique` and `Index` written without parentheses mean the same, rather than nothing."""

    class Slip(Row):
        id: str
        code: Annotated[str, Unique]

    class Slips(Database):
        slips: Table[Slip]

    with Slips("memory:") as db:
        db.slips.insert(Slip(id="1", code="a"))
        assert db.slips.where(code="a").explain().index == "code"


def test_refuses_rows_of_another_class() -> None:
    """Ensure that a table takes rows of its own model only: no parent's, no subclass's, no dictionary."""
    with Large("memory:") as db:
        wrong: list[Any] = [Shared(), Leaf(id="1"), {"name": "ann"}, None]
        for row in wrong:
            assert refuses(InvalidRow, partial(db.people.insert, row), "people", "Person")
        assert db.people.count() == 0


def test_rows_are_frozen_and_strict_about_names() -> None:
    """Ensure that a row can't be assigned to, and that an unknown field is refused where the row is made."""
    row = Counted(id=1)
    with pytest.raises(ValueError, match="frozen"):
        row.text = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="extra"):
        Counted(id=1, colour="red")  # type: ignore[call-arg]


def test_a_new_id_is_a_random_uuid_as_text() -> None:
    """Of version 4 and the usual variant, spelled as everybody does; every digit that is left is random."""
    made = [new_id() for _ in range(500)]
    for key in made:
        parsed = UUID(key)
        assert (str(parsed), parsed.version, parsed.variant) == (key, 4, RFC_4122)
    digits = ["".join(each) for each in zip(*made, strict=True)]
    fewer = {8: "-", 13: "-", 14: "4", 18: "-", 19: "89ab", 23: "-"}
    assert [set(each) for each in digits] == [set(fewer.get(at, "0123456789abcdef")) for at in range(36)]
    assert len(set(made)) == len(made)
