"""Random transactions, restarts and kills against plain dictionaries: after each step the same rows, in order."""
# ruff: noqa: PT017 - which error is allowed depends on the model

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.snaptable.contract.plain_model import MODELS, Library, Values, World, in_order
from tests.snaptable.contract.stores import MemoryStores, PostgresStores, Stores, has_no_place
from tests.snaptable.support import WAYS, Way, begin_anew

from snaptable import ConstraintError, InvalidRow, RowNotFound

KEYS: dict[str, st.SearchStrategy[Any]] = {
    "users": st.sampled_from(["ann", "bob", "cy"]),
    "documents": st.integers(1, 5),
    "notes": st.sampled_from(["n1", "n2", "n3", "n4"]),
    "holds": st.sampled_from(["h1", "h2"]),
}
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "users": {
        "email": st.sampled_from([None, "a@b.org", "c@d.org"]),
        "age": st.sampled_from([None, 0, 7, 2**70]),
        "boss": st.none() | KEYS["users"],
    },
    "documents": {
        "user": KEYS["users"],
        "name": st.sampled_from([None, "x", "y"]),
        "status": st.sampled_from(["", "new"]),
        "tags": st.lists(st.sampled_from(["t", "u"]), max_size=3),
    },
    "notes": {
        "document": st.none() | KEYS["documents"],
        "above": st.none() | KEYS["notes"],
        "by": st.none() | KEYS["users"],
    },
    "holds": {"note": st.none() | KEYS["notes"], "user": st.none() | KEYS["users"]},
}
ROWS = {name: st.fixed_dictionaries({"id": KEYS[name], **FIELDS[name]}) for name in MODELS}
NAMES = st.sampled_from(list(MODELS))
BAD: list[tuple[str, Values]] = [
    ("users", {"age": "old"}),
    ("users", {"age": 10**5000}),
    ("users", {"email": "\ud800"}),
    ("documents", {"tags": [None]}),
    ("notes", {"colour": "red"}),
    ("holds", {"note": 5}),
]


class Stop(Exception):
    """Be raised to end a transaction."""


class Machine(RuleBasedStateMachine):
    """Do the same to a database and to a world of dictionaries."""

    make_stores: Callable[[Path], Stores] = staticmethod(MemoryStores)

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.stores = self.make_stores(self.root)
        self.db = self.stores.lasting(Library).open()
        self.world = World()
        self.saved: list[World] = []
        self.scopes: list[AbstractContextManager[None]] = []
        self.reader = ThreadPoolExecutor(1)
        self.greatest = 0
        """The greatest number of a document that was ever committed."""

    def teardown(self) -> None:
        """End what is open and remove the files."""
        self.leave_scopes()
        self.db.close()
        self.reader.shutdown()
        self.stores.remove()
        shutil.rmtree(self.root)

    def leave_scopes(self) -> None:
        """Roll back every open transaction."""
        while self.scopes:
            self.scopes.pop().__exit__(Stop, Stop(), None)

    # ── one operation on both ───────────────────────────────────────────────────────────────────────────────────────

    def both(self, real: Callable[[], Any], plain: Callable[[World], Any]) -> Any:
        """Do an operation to both; check that both refuse it or neither, and for the same kind of reason."""
        after = self.world.copy()
        reasons: set[type[Exception]] = set()
        try:
            plain(after)
        except (ConstraintError, RowNotFound, InvalidRow) as error:
            reasons = {type(error)}
        if not reasons and not self.scopes:
            reasons = set(after.violations())
            after.settle()
        try:
            result = real()
        except (ConstraintError, RowNotFound, InvalidRow) as error:
            if isinstance(error, InvalidRow) and has_no_place(error):
                return None  # nothing of it was done
            assert type(error) in reasons, (error, reasons)
            return None
        assert not reasons, reasons
        self.world = after
        self.note_numbers()
        return result

    def note_numbers(self) -> None:
        """Remember the greatest number committed."""
        if not self.scopes:
            self.greatest = max([self.greatest, *self.world.rows("documents")])

    @rule(name=NAMES, data=st.data())
    def insert(self, name: str, data: st.DataObject) -> None:
        """Insert a row."""
        values = data.draw(ROWS[name])
        table: Any = self.db.tables[name]
        stored = self.both(
            lambda: table.insert(MODELS[name](**values)),
            lambda world: world.put(name, values, add=True, change=False),
        )
        assert stored is None or dict(stored) == values

    @rule(data=st.data())
    def insert_numbered(self, data: st.DataObject) -> None:
        """Insert a document that the table numbers; its number was never a committed row's."""
        values = data.draw(ROWS["documents"]) | {"id": None}
        given: list[int] = []

        def real() -> None:
            stored = self.db.documents.insert(MODELS["documents"](**values))  # type: ignore[arg-type]
            assert stored.id is not None
            given.append(stored.id)

        # The number isn't known before: any key that is free stands for it while the plain side judges.
        self.both(real, lambda world: world.put("documents", values | {"id": -1}, add=True, change=False))
        if given:
            assert given[0] > max([self.greatest, *self.world.tables["documents"]])
            row = self.world.tables["documents"].pop(-1)
            assert row is not None
            self.world.tables["documents"][given[0]] = row | {"id": given[0]}
            self.note_numbers()

    @rule(name=NAMES, data=st.data())
    def insert_many(self, name: str, data: st.DataObject) -> None:
        """Insert several rows, all or none."""
        rows = data.draw(st.lists(ROWS[name], max_size=4))
        table: Any = self.db.tables[name]

        def plain(world: World) -> None:
            for values in rows:
                world.put(name, values, add=True, change=False)

        self.both(lambda: table.insert_many([MODELS[name](**values) for values in rows]), plain)

    @rule(name=NAMES, upsert=st.booleans(), data=st.data())
    def replace(self, name: str, *, upsert: bool, data: st.DataObject) -> None:
        """Replace or upsert a row."""
        values = data.draw(ROWS[name])
        table: Any = self.db.tables[name]
        row = MODELS[name](**values)
        self.both(
            lambda: table.upsert(row) if upsert else table.replace(row),
            lambda world: world.put(name, values, add=upsert, change=True),
        )

    @rule(name=NAMES, data=st.data())
    def update(self, name: str, data: st.DataObject) -> None:
        """Update a row."""
        key = data.draw(KEYS[name])
        changes = {
            field: data.draw(FIELDS[name][field]) for field in data.draw(st.sets(st.sampled_from([*FIELDS[name]])))
        }
        table: Any = self.db.tables[name]
        self.both(lambda: table.update(key, **changes), lambda world: world.update(name, key, changes))

    @rule(name=NAMES, data=st.data())
    def delete(self, name: str, data: st.DataObject) -> None:
        """Delete a row and what goes with it."""
        key = data.draw(KEYS[name])
        table: Any = self.db.tables[name]
        before = self.world.tables[name].get(key)
        removed = self.both(lambda: table.delete(key), lambda world: world.delete(name, key))
        assert removed is None or dict(removed) == before

    @rule(name=NAMES, data=st.data())
    def update_in_bulk(self, name: str, data: st.DataObject) -> None:
        """Update every row with a value."""
        field, changed = (data.draw(st.sampled_from([*FIELDS[name]])) for _ in range(2))
        value, new = data.draw(FIELDS[name][field]), data.draw(FIELDS[name][changed])
        table: Any = self.db.tables[name]
        keys = self.world.matching(name, field, value)

        def plain(world: World) -> None:
            for key in keys:
                world.update(name, key, {changed: new})

        count = self.both(lambda: table.where(**{field: value}).update(**{changed: new}), plain)
        assert count in (None, len(keys))

    @rule(name=NAMES, data=st.data())
    def delete_in_bulk(self, name: str, data: st.DataObject) -> None:
        """Delete every row with a value, cascades included."""
        field = data.draw(st.sampled_from([*FIELDS[name]]))
        value = data.draw(FIELDS[name][field])
        table: Any = self.db.tables[name]
        keys = self.world.matching(name, field, value)

        def plain(world: World) -> None:
            for key in keys:
                if world.tables[name].get(key) is not None:
                    world.delete(name, key)

        count = self.both(lambda: table.where(**{field: value}).delete(), plain)
        assert count in (None, len(keys))

    @rule(bad=st.integers(0, len(BAD) - 1), data=st.data())
    def update_badly(self, bad: int, data: st.DataObject) -> None:
        """Try to write a value that is refused."""
        name, changes = BAD[bad]
        table: Any = self.db.tables[name]
        key = data.draw(KEYS[name])

        def plain(world: World) -> None:
            world.update(name, key, {})
            raise InvalidRow

        self.both(lambda: table.update(key, **changes), plain)

    # ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: len(self.scopes) < 3)
    @rule()
    def begin(self) -> None:
        """Begin a transaction, or a savepoint in it."""
        self.saved.append(self.world.copy())
        scope = self.db.transaction()
        scope.__enter__()
        self.scopes.append(scope)

    @precondition(lambda self: self.scopes)
    @rule(fails=st.integers(0, 3).map(lambda number: number == 0))
    def end(self, *, fails: bool) -> None:
        """End the innermost transaction, well or by an exception."""
        scope, before = self.scopes.pop(), self.saved.pop()
        if fails:
            scope.__exit__(Stop, Stop(), None)
            self.world = before
            return
        reasons: set[Any] = set() if self.scopes else self.world.violations()
        try:
            scope.__exit__(None, None, None)
        except ConstraintError as error:
            assert type(error) in reasons, (error, reasons)
            self.world = before
            return
        assert not reasons, reasons
        if not self.scopes:
            self.world.settle()
        self.note_numbers()

    # ── beginning anew ──────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: not self.scopes)
    @rule()
    def restart(self) -> None:
        """Close cleanly and open again."""
        self.db = begin_anew(self.db, "restart")

    @rule(way=st.sampled_from([way for way in WAYS if way != "restart"]))
    def kill(self, way: Way) -> None:
        """Go on with the files as they lie there, whatever is open."""
        old = self.db
        self.db = begin_anew(old, way)
        self.leave_scopes()
        old.close()
        if old.directory is not None:
            shutil.rmtree(old.directory)
        self.world = self.saved[0] if self.saved else self.world
        self.saved = []

    # ── what always holds ───────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def rows_are_the_same(self) -> None:
        """Ensure that the writer sees the world, in order, and any other thread the one before the open transaction."""
        committed = self.saved[0] if self.saved else self.world
        for name, table in self.db.tables.items():
            assert in_order(table) == list(self.world.rows(name).values())
            outside = self.reader.submit(in_order, table).result()
            assert {row["id"]: row for row in outside} == committed.rows(name)
            if not self.saved:
                assert outside == list(committed.rows(name).values())

    @invariant()
    def indexes_agree(self) -> None:
        """Ensure that the database finds nothing wrong with itself between transactions."""
        if not self.scopes:
            assert self.db.check() == []

    @rule(name=NAMES, data=st.data())
    def ask(self, name: str, data: st.DataObject) -> None:
        """Ensure that a lookup by a field, indexed or not, finds what is there, within a transaction too."""
        field = data.draw(st.sampled_from([*FIELDS[name]]))
        value = data.draw(FIELDS[name][field])
        found = self.db.tables[name].where(**{field: value})
        wanted = self.world.matching(name, field, value)
        assert sorted(row.id for row in found) == sorted(wanted)
        assert found.count() == len(wanted)


Machine.TestCase.settings = settings(
    max_examples=max(120, settings().max_examples),
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase


class OnPostgres(Machine):
    """Do the same on PostgreSQL."""

    make_stores = staticmethod(lambda _: PostgresStores())


OnPostgres.TestCase.settings = settings(
    max_examples=max(6, settings().max_examples // 60), stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
TestOnPostgres = OnPostgres.TestCase
