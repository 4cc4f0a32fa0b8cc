"""What a delete takes with it: exactly the closure, not a row more, over cycles, self references and several tables."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses

from snaptable import Database, ForeignKey, ForeignKeyViolation, Index, InvalidRow, Row, Table, Unique

KEYS = range(8)


class Node(Row):
    id: int
    parent: Annotated[int | None, ForeignKey("nodes", on_delete="cascade")] = None
    friend: Annotated[int | None, ForeignKey("nodes", on_delete="set null"), Index(ordered=True)] = None
    guard: Annotated[int | None, ForeignKey("nodes", on_delete="restrict")] = None
    owner: Annotated[str | None, ForeignKey("links", on_delete="cascade")] = None


class Link(Row):
    id: str
    near: Annotated[int | None, ForeignKey(Node, on_delete="set null"), Unique()] = None
    far: Annotated[int | None, ForeignKey(Node, on_delete="cascade")] = None
    held: Annotated[int | None, ForeignKey(Node, on_delete="restrict")] = None


class Graph(Database):
    nodes: Table[Node]
    links: Table[Link]


Cell = tuple[str, Any]
REFERENCES = {
    "nodes": {
        "parent": ("nodes", "cascade"),
        "friend": ("nodes", "set null"),
        "guard": ("nodes", "restrict"),
        "owner": ("links", "cascade"),
    },
    "links": {"near": ("nodes", "set null"), "far": ("nodes", "cascade"), "held": ("nodes", "restrict")},
}
World = dict[Cell, Row]


def referrers(world: World, cell: Cell, on_delete: str) -> list[tuple[Cell, str]]:
    """Return the rows and fields that refer to a row with an on_delete."""
    return [
        (other, field)
        for other, row in world.items()
        for field, (target, mode) in REFERENCES[other[0]].items()
        if (target, mode) == (cell[0], on_delete) and getattr(row, field) == cell[1]
    ]


def delete(world: World, cell: Cell) -> World:
    """Return the world after a row is deleted, by plain search: what cascades goes, what sets null loses its value."""
    gone = {cell}
    while more := {other for one in gone for other, _ in referrers(world, one, "cascade")} - gone:
        gone |= more
    left = {other: row for other, row in world.items() if other not in gone}
    for one in gone:
        for other, field in referrers(left, one, "set null"):
            left[other] = left[other].model_copy(update={field: None})
    return left


def is_sound(world: World) -> bool:
    """Return whether every reference has its row."""
    return all(
        getattr(row, field) is None or (target, getattr(row, field)) in world
        for (table, _), row in world.items()
        for field, (target, _) in REFERENCES[table].items()
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw nodes and links that refer to one another in any way."""
    nodes = sorted(draw(st.sets(st.sampled_from(KEYS), min_size=1)))
    links = [f"l{number}" for number in sorted(draw(st.sets(st.integers(0, 3))))]
    node, link = st.sampled_from([None, *nodes]), st.sampled_from([None, *links])
    rare = st.sampled_from([None, None, None, *nodes[:2]])
    near = iter(draw(st.permutations(nodes)))
    world: World = {
        ("nodes", key): Node(id=key, parent=draw(node), friend=draw(node), guard=draw(rare), owner=draw(link))
        for key in nodes
    }
    for key in links:
        world["links", key] = Link(id=key, near=next(near, None), far=draw(node), held=draw(rare))
    return world


def fill(db: Graph, world: World) -> None:
    """Insert a world in one transaction, rows before those they refer to."""
    with db.transaction():
        for (table, _), row in world.items():
            found: Table[Any] = db.tables[table]
            found.insert(row)


def content(db: Graph) -> World:
    """Return every row by table and key."""
    rows: list[Row] = [*db.nodes, *db.links]
    return {("nodes" if isinstance(row, Node) else "links", row.id): row for row in rows}  # type: ignore[attr-defined]


@given(worlds(), st.data())
def test_takes_exactly_the_closure(stores: Stores, world: World, data: st.DataObject) -> None:
    """Ensure that deletes, one or several in a transaction, take what plain search says, or are refused whole."""
    victims = data.draw(st.lists(st.sampled_from(sorted(world)), min_size=1, max_size=4))
    after = dict(world)
    with stores.new(Graph) as db:
        fill(db, world)
        refused = False
        try:
            with db.transaction():
                for table, key in victims:
                    if (table, key) in after:
                        assert db.tables[table].delete(key) == after[table, key]
                        after = delete(after, (table, key))
                    else:
                        assert db.tables[table].get(key) is None
                assert content(db) == after
        except ForeignKeyViolation:
            refused = True
        assert refused == (not is_sound(after))
        assert content(db) == (world if refused else after)
        assert db.check() == []


@given(worlds(), st.data())
def test_takes_the_closure_of_a_query(stores: Stores, world: World, data: st.DataObject) -> None:
    """Ensure that a bulk delete does what deleting each of its rows in one transaction would."""
    limit = data.draw(st.integers(0, 8))
    keys = sorted(key for table, key in world if table == "nodes" and key <= limit)
    after = dict(world)
    for key in keys:
        after = delete(after, ("nodes", key)) if ("nodes", key) in after else after
    with stores.new(Graph) as db:
        fill(db, world)
        query = db.nodes.where(Node.id <= limit)
        if is_sound(after):
            assert query.delete() == len(keys)
            assert content(db) == after
        else:
            assert refuses(ForeignKeyViolation, query.delete)
            assert content(db) == world
        assert db.check() == []


@given(worlds(), st.data())
def test_rolls_a_closure_back(stores: Stores, world: World, data: st.DataObject) -> None:
    """Ensure that a savepoint rolled back brings back everything a delete took with it, in its place."""
    with stores.new(Graph) as db:
        fill(db, world)
        order = list(db.nodes), list(db.links)
        with db.transaction():
            try:
                with db.transaction():
                    for table, key in data.draw(st.lists(st.sampled_from(sorted(world)), min_size=1, max_size=3)):
                        if key in db.tables[table]:
                            db.tables[table].delete(key)
                    raise InterruptedError
            except InterruptedError:
                assert (list(db.nodes), list(db.links)) == order
        assert (list(db.nodes), list(db.links)) == order
        assert db.check() == []


def test_takes_a_long_chain(stores: Stores) -> None:
    """Ensure that a cascade over thousands of rows in a chain needs no recursion of Python's."""
    with stores.new(Graph) as db:
        db.nodes.insert_many([Node(id=key, parent=key - 1 if key else None) for key in range(5_000)])
        db.nodes.delete(2_500)
        assert len(db.nodes) == 2_500
        db.nodes.delete(0)
        assert (len(db.nodes), db.check()) == (0, [])


def test_refuses_set_null_that_its_model_refuses(stores: Stores) -> None:
    """Ensure that where a model doesn't take the None that set null would write, the delete is refused."""

    class Owner(Row):
        id: str

    class Pet(Row):
        id: str
        owner: Annotated[str | None, ForeignKey(Owner, on_delete="set null")] = None

        @model_validator(mode="after")
        def has_an_owner(self) -> "Pet":
            if self.owner is None:
                raise ValueError("a pet has an owner")
            return self

    class Home(Database):
        owners: Table[Owner]
        pets: Table[Pet]

    with stores.new(Home) as db:
        db.owners.insert(Owner(id="ann"))
        db.pets.insert(Pet(id="rex", owner="ann"))
        assert refuses(InvalidRow, lambda: db.owners.delete("ann"), "pets", "'rex'")
        assert (len(db.owners), db.pets["rex"].owner, db.check()) == (1, "ann", [])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_takes_a_ring(stores: Stores, count: int) -> None:
    """Ensure that rows that refer to one another in a ring go together."""
    with stores.new(Graph) as db:
        with db.transaction():
            for key in range(count):
                db.nodes.insert(Node(id=key, parent=(key + 1) % count, friend=(key + 2) % count))
        db.nodes.insert(Node(id=99, friend=0))
        db.nodes.delete(0)
        assert db.nodes.all() == [Node(id=99)]
        assert db.check() == []
