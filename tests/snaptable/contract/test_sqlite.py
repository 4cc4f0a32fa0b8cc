"""SQLite as a second opinion: the same random transactions on both give the same rows, or are refused by both."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.contract.stores import Stores

from snaptable import ConstraintError, Database, ForeignKey, Index, Row, RowNotFound, Table, desc

# RESTRICT is judged at once by SQLite, at the commit by us: deferred NO ACTION is the same promise.
SCHEMA = """
PRAGMA foreign_keys = ON;
CREATE TABLE owners (id TEXT PRIMARY KEY, rank INTEGER, word TEXT);
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    owner TEXT REFERENCES owners ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    above INTEGER REFERENCES items ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    needs INTEGER REFERENCES items ON DELETE NO ACTION DEFERRABLE INITIALLY DEFERRED,
    price REAL
);
"""


class Owner(Row):
    id: str
    rank: Annotated[int | None, Index(ordered=True)] = None
    word: Annotated[str | None, Index()] = None


class Item(Row):
    id: int
    owner: Annotated[str | None, ForeignKey(Owner, on_delete="cascade")] = None
    above: Annotated[int | None, ForeignKey("items", on_delete="set null")] = None
    needs: Annotated[int | None, ForeignKey("items")] = None
    price: float | None = None


class Store(Database):
    owners: Table[Owner]
    items: Table[Item]


OWNER = st.sampled_from(["a", "b", "é"])
ITEM = st.integers(1, 5)
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "owners": {"rank": st.sampled_from([None, 1, 2]), "word": st.sampled_from([None, "", "x"])},
    "items": {
        "owner": st.none() | OWNER,
        "above": st.none() | ITEM,
        "needs": st.sampled_from([None, None, 1, 2]),
        "price": st.sampled_from([None, 0.1, -2.0]),
    },
}
KEYS = {"owners": OWNER, "items": ITEM}


@st.composite
def operations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw one operation: its verb, its table and what it needs."""
    name = draw(st.sampled_from(["owners", "items", "items"]))
    verb = draw(st.sampled_from(["insert", "insert", "update", "delete", "update where", "delete where"]))
    fields = FIELDS[name]
    key = draw(KEYS[name])
    if verb == "insert":
        return verb, name, {"id": key, **{field: draw(values) for field, values in fields.items()}}
    field, changed = draw(st.sampled_from([*fields])), draw(st.sampled_from([*fields]))
    return verb, name, key, field, draw(fields[field]), {changed: draw(fields[changed])}


class Refused(Exception):
    """Be raised where either of the two refuses an operation, or a transaction at its end."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what either of the two raises into Refused."""
    try:
        yield
    except (sqlite3.IntegrityError, ConstraintError, RowNotFound) as error:
        raise Refused from error


def on_sqlite(other: sqlite3.Connection, operation: tuple[Any, ...]) -> int:
    """Do an operation in SQLite; return how many rows it touched."""
    verb, name, *rest = operation
    if verb == "insert":
        (row,) = rest
        marks = ", ".join("?" * len(row))
        return other.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", [*row.values()]).rowcount
    key, field, value, changes = rest
    ((column, new),) = changes.items()
    where, argument = (f"{field} IS ?", value) if "where" in verb else ("id = ?", key)
    if verb.startswith("update"):
        count = other.execute(f"UPDATE {name} SET {column} = ? WHERE {where}", (new, argument)).rowcount
    else:
        count = other.execute(f"DELETE FROM {name} WHERE {where}", (argument,)).rowcount
    if "where" not in verb and count == 0:
        raise RowNotFound
    return count


def on_snaptable(db: Store, operation: tuple[Any, ...]) -> int:
    """Do an operation in a store; return how many rows it touched."""
    verb, name, *rest = operation
    table: Table[Any] = db.tables[name]
    if verb == "insert":
        table.insert(table.model(**rest[0]))
        return 1
    key, field, value, changes = rest
    query = table.where(**{field: value})
    if verb == "update where":
        return query.update(**changes)
    if verb == "delete where":
        return query.delete()
    table.update(key, **changes) if verb == "update" else table.delete(key)
    return 1


def both(db: Store, other: sqlite3.Connection, operation: tuple[Any, ...]) -> None:
    """Do an operation in both; neither or both refuse it, and they touch as many rows."""
    counts: list[int | None] = []
    works: list[Callable[[], int]] = [lambda: on_snaptable(db, operation), lambda: on_sqlite(other, operation)]
    for work in works:
        try:
            with refusals():
                counts.append(work())
        except Refused:
            counts.append(None)
    assert counts[0] == counts[1], operation


def check_same(db: Store, other: sqlite3.Connection) -> None:
    """Check that both hold the same rows, and sort them alike."""
    for name, model in (("owners", Owner), ("items", Item)):
        table: Table[Any] = db.tables[name]
        columns = ", ".join(model.model_fields)
        found = other.execute(f"SELECT {columns} FROM {name} ORDER BY id").fetchall()
        assert [tuple(dict(row).values()) for row in table.order_by(getattr(model, "id"))] == found  # noqa: B009
    ranked = other.execute("SELECT id FROM owners ORDER BY rank DESC NULLS LAST, id DESC").fetchall()
    assert [(row.id,) for row in db.owners.order_by(desc(Owner.rank), desc(Owner.id))] == ranked
    words = other.execute("SELECT count(*) FROM owners WHERE word = 'x' AND rank >= 1").fetchone()
    assert (db.owners.where(Owner.rank >= 1, word="x").count(),) == words  # type: ignore[operator]


@given(st.lists(st.tuples(st.lists(operations(), min_size=1, max_size=6), st.booleans()), max_size=8))
def test_agrees_with_sqlite(stores: Stores, transactions: list[tuple[list[tuple[Any, ...]], bool]]) -> None:
    """Ensure that random transactions, some given up, leave the same rows as in SQLite with the same constraints."""
    other = sqlite3.connect(":memory:", isolation_level=None)
    try:
        other.executescript(SCHEMA)
        with stores.new(Store) as db:
            for transaction, gives_up in transactions:
                other.execute("BEGIN")
                ends: list[bool] = []
                try:
                    with refusals(), db.transaction():
                        for operation in transaction:
                            both(db, other, operation)
                        check_same(db, other)
                        if gives_up:
                            raise Refused
                    ends.append(True)
                except Refused:
                    ends.append(False)
                try:
                    with refusals():
                        other.execute("ROLLBACK" if gives_up else "COMMIT")
                    ends.append(not gives_up)
                except Refused:
                    other.execute("ROLLBACK")
                    ends.append(False)
                assert ends[0] == ends[1]
                check_same(db, other)
                assert db.check() == []
    finally:
        other.close()
