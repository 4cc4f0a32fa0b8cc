"""The move: every row there, compared, or nothing; refused before anything is sent; and the way back."""

import itertools
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from pydantic import AwareDatetime, BaseModel, Field, create_model
from tests.snaptable.cli.support import command
from tests.snaptable.contract.plain_model import Document, Library, User
from tests.snaptable.contract.test_types import CASES
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.moves import change, fill, images
from tests.snaptable.postgres.shared import ROOT

from snaptable import Database, OpenError, Row, StoreLocked, Table, UniqueViolation
from snaptable.codec import Codec
from snaptable.maintenance.moving import MoveRefused, Report, move
from snaptable.maintenance.moving.steps import NotProved
from snaptable.maintenance.moving.target import Target
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.comparing import comparison_of
from snaptable.postgres.layout.packing import Packer
from snaptable.postgres.server.dialect import DIALECTS

SCHEMA = "tests.snaptable.contract.plain_model:Library"


@pytest.fixture
def url() -> Iterator[str]:
    """Give an empty database."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give a store that was written by random transactions, and closed."""
    fill(tmp_path / "data")
    return tmp_path / "data"


def test_there_and_back(data: Path, url: str, tmp_path: Path) -> None:
    """Ensure every row is there in order, goes on from there with its numbers and constraints, and comes back."""
    moved = move(str(data), url, schema=Library)
    with Library(data, read_only=True) as source, Library(url) as db:
        assert images(db) == images(source)
        assert dict(moved.rows) == source.status().rows
        assert db.check() == []
        last = max((row.id or 0 for row in source.documents), default=0)
        user = source.users.where(User.email != None).first()  # noqa: E711
        assert user is not None
        assert (db.documents.insert(Document(user=user.id)).id or 0) > last
        with pytest.raises(UniqueViolation):
            db.users.insert(User(id="another", email=user.email))
        assert db.users.delete(user.id) == user
        assert db.status().sequence > source.status().sequence
        now = images(db)
    back = move(url, str(tmp_path / "back"), schema=Library)
    with Library(tmp_path / "back", fsync=False, banner=False) as db:
        assert images(db) == now
        assert (db.check(), db.status().sequence) == ([], back.sequence)
        for _ in range(20):
            change(db, random.Random(2))
    assert [path.name for path in tmp_path.iterdir()] == ["data", "back"] or len(list(tmp_path.iterdir())) == 2


BY_TWO = """
import os, sys
from snaptable.maintenance.moving import MoveRefused, move, packed
from tests.snaptable.contract.plain_model import Library
packed.FORKED_ROWS, packed._may_fork = 1, lambda: True
parent, work = os.getpid(), packed.Packing._pack_halves

def checked(self, halves, files, given):
    assert os.getpid() != given == parent
    if len(sys.argv) > 3:
        sys.argv[3] == "killed" and os.kill(os.getpid(), 9)
        sys.argv[3] == "orphaned" and work(self, halves, files, given + 1)
    work(self, halves, files, given)
    print("packed", flush=True)

packed.Packing._pack_halves = checked
try:
    move(sys.argv[1], sys.argv[2], schema=Library)
except MoveRefused as error:
    print(error)
assert not os.path.exists(f"/proc/{parent}/task/{parent}/children") or not open(
    f"/proc/{parent}/task/{parent}/children"
).read()
"""


def by_two(data: Path, url: str, *how: str) -> str:
    """Move a store whose rows are packed by a process and its fork, and return what they print."""
    command = [sys.executable, "-c", BY_TWO, str(data), url, *how]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_packed_by_two(data: Path) -> None:
    """Ensure that a fork packs its half, that what it can't do is done without it, and that all refusals are named."""
    with Library(data, fsync=False, banner=False) as db:
        wanted, first = images(db), next(iter(db.users)).id
    urls = [stores.new_schema() for _ in range(4)]
    try:
        for url, how in zip(urls, (["killed"], ["orphaned"], []), strict=False):
            assert by_two(data, url, *how) == ("" if how else "packed\n")
            with Library(url) as moved:
                assert images(moved) == wanted
        with Library(data, fsync=False, banner=False) as db:
            db.users.update(first, email="\0")
            last = db.users.insert(User(id="last", email="x\0")).id
        told = by_two(data, urls[-1])
        assert stores.content(urls[-1]) == {}
    finally:
        stores.drop_schemas(urls)
    assert told.startswith(f"rows that can't go to PostgreSQL: users['{first}'].email: a NUL")
    assert f"; users['{last}'].email: a NUL" in told


REFUSED = ["a NUL", "beyond 64 bits", "an offset"]
"""What the values say that PostgreSQL has no place for."""


def without_order(db: Database) -> dict[str, list[Any]]:
    """Return the JSON of every row, by table, in order; of tables with sets, which have none, the rows themselves."""
    with_sets = {f"t{number}" for number, (_, annotation, _) in enumerate(CASES) if "set[" in str(annotation)}
    return {name: list(db.tables[name]) if name in with_sets else rows for name, rows in images(db).items()}


def test_every_type(url: str, tmp_path: Path) -> None:
    """Ensure that values of all types of fields go there and back as they are, or are refused by table, key, field."""
    models: dict[str, Any] = {
        f"t{number}": create_model("Item", __base__=Row, id=int, value=annotation)
        for number, (_, annotation, _) in enumerate(CASES)
    }
    tables: dict[str, Any] = {name: cast(Any, Table)[model] for name, model in models.items()}
    store: Any = type("Store", (Database,), {"__annotations__": tables})
    with store(tmp_path / "data", fsync=False, banner=False) as db:
        for (_, _, values), (name, model) in zip(CASES, models.items(), strict=True):
            db.tables[name].insert_many([model(id=number, value=value) for number, value in enumerate(values)])
    before = stores.content(url)
    with pytest.raises(MoveRefused) as refused:
        move(str(tmp_path / "data"), url, schema=store)
    assert stores.content(url) == before == {}
    rows = str(refused.value).partition(": ")[2].split("; ")
    with store(tmp_path / "data", fsync=False, banner=False) as db:
        for line in rows:
            place, reason = line.split(".value: ")
            assert any(word in reason for word in REFUSED), line
            name, key = place.rstrip("]").split("[")
            db.tables[name].delete(int(key))
        wanted = without_order(db)
    move(str(tmp_path / "data"), url, schema=store)
    with store(url) as db:
        assert without_order(db) == wanted
        assert db.check() == []
    move(url, str(tmp_path / "back"), schema=store)
    with store(tmp_path / "back", fsync=False, banner=False) as db:
        assert without_order(db) == wanted


class Tags(Row):
    id: int
    numbers: set[int]
    nested: dict[str, frozenset[int]]


class Tagged(Database):
    rows: Table[Tags]


def test_a_set_that_is_written_in_another_order_is_the_same(url: str, tmp_path: Path) -> None:
    """Ensure rows go there and back whose sets turn round whenever they are read: they say the same."""
    turning = {7, 15}
    assert list(turning) != list({*list(turning)})
    with Tagged(tmp_path / "data", fsync=False, banner=False) as db:
        db.rows.insert_many(Tags(id=number, numbers=turning, nested={"a": frozenset(turning)}) for number in range(3))
        wanted = list(db.rows)
    move(str(tmp_path / "data"), url, schema=Tagged)
    move(url, str(tmp_path / "back"), schema=Tagged)
    with Tagged(tmp_path / "back", fsync=False, banner=False) as db:
        assert list(db.rows) == wanted


def test_refuses_what_is_not_empty(data: Path, url: str, tmp_path: Path) -> None:
    """Ensure that nothing is overwritten: rows, a former move, tables of others, a directory with something in it."""
    with Library(url):
        pass  # tables without rows are no obstacle
    move(str(data), url, schema=Library)
    kept = stores.content(url)
    with pytest.raises(MoveRefused, match="not empty"):
        move(str(data), url, schema=Library)
    assert stores.content(url) == kept
    with pytest.raises(MoveRefused, match="not an empty directory"):
        move(url, str(data), schema=Library)
    other = stores.new_schema()
    try:
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("create table users (name text)")
        with pytest.raises(MoveRefused, match="users of another program"):
            move(str(data), other, schema=Library)
        assert stores.content(other) == {"users": []}
    finally:
        stores.drop_schemas([other])
    with pytest.raises(MoveRefused, match="from a directory"):
        move(str(data), str(tmp_path / "other"), schema=Library)


def test_what_is_written_to_the_target_meanwhile_is_not_lost(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a row which another process commits behind the look for rows is there, or keeps the move away."""
    look, looks, written = Target._look_for_rows, itertools.count(1), list[Future[User]]()

    def look_and_have_it_written(target: Target) -> None:
        """Look; behind the last time, a write is done, or waits for the move."""
        look(target)
        if next(looks) == 2:
            written.append(threads.submit(db.users.insert, User(id="meanwhile")))
            while not written[0].done() and not stores.waiting(url):
                time.sleep(0.001)

    monkeypatch.setattr(Target, "_look_for_rows", look_and_have_it_written)
    with Library(url) as db, ThreadPoolExecutor(1) as threads:
        with suppress(MoveRefused):
            move(str(data), url, schema=Library)
        assert written[0].result() in list(db.users)


def test_refuses_an_open_store(data: Path, url: str) -> None:
    """Ensure that a store that a process writes to is refused: what it writes meanwhile would be left behind."""
    with Library(data, fsync=False, banner=False), pytest.raises(StoreLocked):
        move(str(data), url, schema=Library)
    assert stores.content(url) == {}


class Interrupted(Exception):
    """Raised in the middle of a move."""


class Interrupts(Report):
    """Raises at one of the steps."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.reached = ""

    def step(self, doing: str, rows: int = 0) -> None:
        """Raise, or count."""
        self.reached = doing
        if self.left == 0:
            raise Interrupted
        self.left -= 1


def test_whatever_interrupts_it_nothing_is_there(data: Path, url: str, tmp_path: Path) -> None:
    """Ensure that a move that ends at any of its steps leaves an empty database, or nothing in the way back."""
    reached = []
    for at in range(100):
        report = Interrupts(at)
        try:
            move(str(data), url, schema=Library, report=report)
            break
        except Interrupted:
            reached.append(report.reached.partition(" ")[0])
            assert stores.content(url) == {}
    assert {"packing", "copying", "making", "comparing", "gathering"} <= set(reached)
    for at in range(8):
        with pytest.raises(Interrupted):
            move(url, str(tmp_path / "back"), schema=Library, report=Interrupts(at))
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
    move(url, str(tmp_path / "back"), schema=Library)


def test_what_comes_back_otherwise_is_not_kept(data: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a difference between what was sent and what the server gives back undoes everything."""
    pages = Target.pages

    def without_one(self: Target, session: Any, name: str, rows: int, size: int, part: int) -> Iterator[Any]:
        for page in pages(self, session, name, rows, size, part):
            found = list(page())
            yield lambda found=found: [each[:-1] for each in found]

    monkeypatch.setattr(Target, "pages", without_one)
    with pytest.raises(NotProved, match="nothing was moved"):
        move(str(data), url, schema=Library)
    assert stores.content(url) == {}


class Exact(Row):
    id: int
    real: float = 1.0
    at: AwareDatetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    price: Decimal = Decimal("1.10")
    data: dict[str, Any] = Field(default_factory=lambda: {"a": 1, "b": 2})
    text: str | None = "x"


class Exacts(Database):
    rows: Table[Exact]


@pytest.mark.parametrize(
    ("field", "sent", "packed"),
    [
        ("real", -0.0, 0.0),
        ("at", Exact(id=0).at, Exact(id=0).at.astimezone(timezone(timedelta(hours=1)))),
        ("price", Decimal("1.10"), Decimal("1.1")),
        ("data", {"a": 1}, {"a": 1.0}),
        ("data", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("text", "", None),
    ],
)
def test_a_value_that_is_equal_and_not_the_same_is_not_proved(
    field: str, sent: Any, packed: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a fault of what packs rows is found, however small, and names the row, and that nothing is there."""
    with Exacts(tmp_path / "data", fsync=False, banner=False) as db:
        db.rows.insert_many(Exact(id=number, **{field: sent}) for number in range(3))
    pack = Packer.pack

    def pack_one_otherwise(self: Packer, row: BaseModel, place: int) -> bytes:
        return pack(self, row.model_copy(update={field: packed} if place == 2 else {}), place)

    monkeypatch.setattr(Packer, "pack", pack_one_otherwise)
    with pytest.raises(NotProved, match=r"rows\[1\] came back otherwise"):
        move(str(tmp_path / "data"), url, schema=Exacts)
    assert stores.content(url) == {}
    monkeypatch.undo()
    move(str(tmp_path / "data"), url, schema=Exacts)


def test_values_that_say_the_same_are_written_alike() -> None:
    """Ensure, for all pairs of values of each kind of fields, that quick comparison never takes one for the other."""
    taken = 0
    for number, (_, annotation, values) in enumerate(CASES):
        model = create_model("Item", __base__=Row, id=int, value=annotation)
        store: Any = type("Store", (Database,), {"__annotations__": {f"t{number}": cast(Any, Table)[model]}})
        codec = store.__schemas__[f"t{number}"].derive(Codec)
        columns = StoredColumns(codec, DIALECTS["postgresql"], {})
        if columns.keeps_image:
            continue
        say_the_same = comparison_of(columns)
        rows = [codec.store({"id": 1, "value": value})[0] for value in values]
        for one, other in itertools.product(rows, rows):
            alike = codec.is_same_row(one, other, codec.dump(other))
            assert alike or not say_the_same(one.__dict__, other.__dict__), (one, other)
            taken += say_the_same(one.__dict__, other.__dict__)
        assert all(
            say_the_same(row.__dict__, codec.decode(codec.dump(row)).__dict__) for row in rows if not _has_set(row)
        )
    assert taken > 100


def _has_set(row: Any) -> bool:
    return "{" in repr(row.value) or "set" in repr(row.value)


def test_folders_beside_the_store(url: str, tmp_path: Path) -> None:
    """Ensure that the files of a store stay, or are copied to where they are told to."""

    class Filed(Library):
        backup_folders = ("blobs",)

    fill(tmp_path / "data", changes=3)
    (tmp_path / "data" / "blobs").mkdir(mode=0o700)
    (tmp_path / "data" / "blobs" / "a").write_bytes(b"content")
    moved = move(str(tmp_path / "data"), url, schema=Filed, folders=tmp_path / "new")
    assert moved.files == 1
    assert (tmp_path / "new" / "blobs" / "a").read_bytes() == b"content"
    assert (tmp_path / "data" / "blobs" / "a").exists()


def test_the_command(data: Path, url: str, tmp_path: Path) -> None:
    """Ensure that the command moves there and back, says so, and tells what it can't do in one line."""
    command("move", data, url, "--schema", SCHEMA).says("Moved:", "read back and compared")
    assert command("move", data, url, "--schema", SCHEMA).says("not empty").status == 1
    assert command("move", url, tmp_path / "back", "--schema", SCHEMA, "--json").says('"sequence"').status == 0
    assert command("check", tmp_path / "back").says("sound").status == 0
    gone = "postgresql://nobody@127.0.0.1:9/none?connect_timeout=1"
    failed = command("move", data, gone, "--schema", SCHEMA)
    assert failed.says("can't be reached").status == 1
    with pytest.raises(OpenError, match="can't be reached"):
        move(str(data), gone, schema=Library)
