"""Stores of every kind are migrated: odd keys and values, many rows, torn ends, the older format, keys that move."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel
from tests.snaptable.migrations.support import fill as fill_store
from tests.snaptable.migrations.support import library, rows_in

from snaptable import Database, ForeignKey, PrimaryKey, Row, Table, Unique
from snaptable.errors import MigrationFailed
from snaptable.migrations import Migration, Step, add, each, fill, rekey, rename, rename_table, retype, run
from snaptable.storage.snapshot import checkpointer

ODD_KEYS = [
    'a": b',
    "back\\slash",
    "line\nbreak",
    "ünï ☃ 𝄞",
    ",\n",
    "",
    '"',
    "\\",
    '\\": ',
    "\u2028",
    "x" * 300,
    "{",
    "'",
]


class Word(Row):
    id: str
    text: str


class Words(Database):
    words: Table[Word]


class Name(Row):
    id: str
    name: str
    size: int


class Names(Database):
    words: Table[Name]
    migrations = [Migration('ünï "quoted" \n', rename("words.text", to="name"), add("words.size", 1))]  # noqa: RUF012


@pytest.mark.parametrize("way", ["closed", "killed"])
def test_odd_keys_and_many_rows(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are found whatever their keys hold, over many pages, changed in the journal too."""
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)  # no file comes or goes while they are copied
    db = Words(tmp_path / "s", banner=False, fsync=False, snapshot="background").open()
    db.words.insert_many(Word(id=key, text=key) for key in ODD_KEYS)
    db.words.insert_many(Word(id=f"key {number}", text=f"{number}\n" * (number % 40)) for number in range(500))
    db.persist()
    db.words.delete("key 7")
    db.words.update("back\\slash", text="new")
    db.words.insert(Word(id="late", text="late"))
    rows = [(row.id, row.text) for row in db.words]
    directory = tmp_path / "s"
    if way == "killed":
        directory = Path(shutil.copytree(directory, tmp_path / "copy"))
    db.close()
    for _ in range(2):
        with Names(directory, banner=False, fsync=False) as new:
            assert [(row.id, row.name) for row in new.words] == rows
            assert new.check() == []
            with new.history.at(2) as past:
                assert past.words["key 7"].size == 1
                assert past.raw("words")['a": b'] == {"id": 'a": b', "text": 'a": b'}


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    at: datetime
    parts: tuple[int, ...] = ()


class Everything(Row):
    id: UUID
    number: float
    price: Decimal
    day: date
    wait: timedelta
    colour: Colour
    data: bytes
    inner: Inner
    tags: frozenset[str]
    note: str | None = None


class Old(Database):
    things: Table[Everything]


class More(Everything):
    added: Decimal = Decimal(0)
    when: datetime
    blob: bytes
    who: UUID


KEY = uuid4()


class New(Database):
    things: Table[More]
    migrations = [  # noqa: RUF012
        Migration(
            "more",
            add("things.when", datetime(2026, 1, 1, tzinfo=UTC)),
            add("things.blob", lambda row: row["data"]),
            add("things.who", lambda _: KEY),
            fill("things.note", "none"),
        )
    ]


def test_values_of_every_type_come_through(tmp_path: Path) -> None:
    """What no step touches is the same as before; a step may give dates, UUIDs and the like."""
    row = Everything(
        id=uuid4(),
        number=1e22,
        price=Decimal("1.10"),
        day=date(2026, 2, 3),
        wait=timedelta(seconds=1, microseconds=1),
        colour=Colour.RED,
        data=b"\x00\xff",
        inner=Inner(at=datetime(2026, 1, 1, tzinfo=UTC), parts=(1, 2)),
        tags=frozenset({"b", "a", "c"}),
    )
    with Old(tmp_path / "s", banner=False) as db:
        db.things.insert(row)
    for _ in range(2):
        with New(tmp_path / "s", banner=False) as new:
            found = new.things[row.id]
            expected = {**dict(row), "note": "none", "when": datetime(2026, 1, 1, tzinfo=UTC)}
            assert dict(found) == {**expected, "blob": row.data, "who": KEY, "added": Decimal(0)}
            assert new.history.sequence == 2


def test_the_key_is_renamed_and_changes_its_type(tmp_path: Path) -> None:
    """References are changed with it."""

    class User(Row):
        id: int
        friend: Annotated[int | None, ForeignKey("users")] = None

    class Before(Database):
        users: Table[User]

    class Person(Row):
        code: Annotated[str, PrimaryKey()]
        friend: Annotated[str | None, ForeignKey("users")] = None

    class After(Database):
        users: Table[Person]
        migrations = [  # noqa: RUF012
            Migration("code", rename("users.id", to="code"), retype("users.code", using=str)),
            Migration("friend", retype("users.friend", using=str)),
        ]

    class Again(Database):
        users: Table[Person]
        migrations = [*After.migrations, Migration("prefix", rekey("users", lambda row: f"u{row['code']}"))]  # noqa: RUF012

    with Before(tmp_path / "s", banner=False) as db:
        db.users.insert_many([User(id=1), User(id=2, friend=1)])
    with After(tmp_path / "s", banner=False) as new:
        assert new.users["2"].friend == "1"
    with Again(tmp_path / "s", banner=False) as again:
        assert [(user.code, user.friend) for user in again.users] == [("u1", None), ("u2", "u1")]
        with again.history.at(1) as past:
            assert past.users["u2"].friend == "u1"
            assert past.raw("users")["2"] == {"id": 2, "friend": 1}


def test_a_torn_end_is_kept_and_the_rest_is_migrated(tmp_path: Path) -> None:
    """As at any opening."""
    old = library(docs={"title": (str, ...)})
    db = old(tmp_path / "live", banner=False, fsync=False).open()
    db.tables["docs"].create(id=1, title="a")
    shutil.copytree(tmp_path / "live", tmp_path / "s")
    db.close()
    journal = tmp_path / "s" / "db_journal" / "1.jsonl"
    journal.write_bytes(journal.read_bytes().rstrip(b"\0") + b'{"frame":[2,2],"at"')
    new = library([Migration("x", rename("docs.title", to="name"))], docs={"name": (str, ...)})
    assert rows_in(tmp_path / "s", new) == {"docs": [{"id": 1, "name": "a"}]}
    assert len(list((tmp_path / "s" / "quarantine").iterdir())) == 1
    assert rows_in(tmp_path / "s", new, migrate="manual") == {"docs": [{"id": 1, "name": "a"}]}


def test_a_file_of_the_older_format_has_seen_every_migration(tmp_path: Path) -> None:
    """The application converts it to today's shape itself."""
    path = tmp_path / "s" / "db_snapshot.json"
    path.parent.mkdir(mode=0o700)
    path.write_text(json.dumps({"docs": {"1": {"id": 1, "name": "a"}}}))
    path.chmod(0o600)
    new = library([Migration("x", rename("docs.title", to="name"))], docs={"name": (str, ...)})
    for _ in range(2):
        assert rows_in(tmp_path / "s", new) == {"docs": [{"id": 1, "name": "a"}]}
    assert json.loads(path.read_bytes())["snaptable"]["migrations"] == ["x"]


def test_versions_may_be_skipped(tmp_path: Path) -> None:
    """Steps over a table that came after the store was written, and was renamed or filled since, pass."""
    fill_store(tmp_path / "s", library(docs={"title": (str, ...)}), docs=[{"id": 1, "title": "a"}])
    new = library(
        [
            Migration("notes filled", fill("notes.text", ""), rename("notes.text", to="body")),
            Migration("notes are memos", rename_table("notes", to="memos"), each("memos", lambda row: row)),
        ],
        docs={"title": (str, ...)},
        memos={"body": (str, ...)},
    )
    assert rows_in(tmp_path / "s", new) == {"docs": [{"id": 1, "title": "a"}], "memos": []}


@pytest.mark.parametrize("name", [1, None, ("a",)])
def test_a_table_of_no_name_is_refused(tmp_path: Path, name: Any) -> None:
    """As any other mistake of a function."""
    fill_store(tmp_path / "s", library(docs={"title": (str, ...)}), docs=[{"id": 1, "title": "a"}])
    wrong = library([Migration("x", run(lambda db: db.__setitem__(name, {})))], docs={"title": (str, ...)})
    with pytest.raises(MigrationFailed):
        wrong(tmp_path / "s", banner=False).open()


def test_a_name_that_is_free_again_is_taken(tmp_path: Path) -> None:
    """Two fields, and two tables, change places; a unique field is renamed."""
    unique = Annotated[str, Unique()]
    fill_store(
        tmp_path / "s",
        library(one={"a": (unique, ...), "b": (int, ...)}, two={"c": (str, ...)}),
        one=[{"id": 1, "a": "x", "b": 2}],
        two=[{"id": 5, "c": "y"}],
    )
    steps = [rename("one.a", to="z"), rename("one.b", to="a"), rename("one.z", to="b")]
    tables = [rename_table("one", to="three"), rename_table("two", to="one"), rename_table("three", to="two")]
    new = library(
        [Migration("swap", *steps, *tables)], one={"c": (str, ...)}, two={"a": (int, ...), "b": (unique, ...)}
    )
    wanted = {"one": [{"id": 5, "c": "y"}], "two": [{"id": 1, "a": 2, "b": "x"}]}
    for _ in range(2):
        assert rows_in(tmp_path / "s", new) == wanted
    with new(tmp_path / "s", banner=False) as db, db.history.at(2) as past:
        assert {name: [dict(row) for row in table] for name, table in past.tables.items()} == wanted
        assert past.raw("two") == {"5": {"id": 5, "c": "y"}}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (retype("docs.n", using=lambda n: 1 // (n - 3)), "the function raised ZeroDivisionError"),
        (retype("docs.n", using=lambda n: float("nan") if n == 3 else n), "type float can't be written as JSON"),
        (retype("docs.n", using=lambda n: [n, object()] if n >= 3 else n), "type list can't be written as JSON"),
        (add("docs.new", lambda row: "\ud800" if row["n"] >= 3 else row["n"]), "type str can't be written as JSON"),
        (fill("docs.old", lambda row: {1: 2}[row["n"] - 2]), "the function raised KeyError"),
    ],
)
def test_a_value_among_many_is_named(tmp_path: Path, step: Step, reason: str) -> None:
    """Ensure that the first row whose value can't be had is named, though values are brought into JSON together."""
    old, new = library(docs={"n": (int, ...)}), library([Migration("it", step)], docs={"n": (Any, ...)})
    fill_store(tmp_path / "s", old, docs=[{"id": key, "n": 3 if key in (7, 8) else 2} for key in range(200)])
    with pytest.raises(MigrationFailed, match=reason) as caught:
        new(tmp_path / "s", banner=False, fsync=False).open()
    assert (caught.value.table, caught.value.key) == ("docs", "0" if "KeyError" in reason else "7")


def test_each_row_has_a_value_of_its_own(tmp_path: Path) -> None:
    """Ensure that a list given to every row is not one list: a later step changes one row's alone."""

    def change_one(db: Any) -> None:
        db["docs"]["1"]["tags"].append("mine")

    steps = (add("docs.tags", []), fill("docs.more", {"a": 1}), run(change_one))
    old, new = library(docs={}), library([Migration("it", *steps)], docs={"tags": (list, ...), "more": (dict, ...)})
    fill_store(tmp_path / "s", old, docs=[{"id": 1}, {"id": 2}])
    assert [row["tags"] for row in rows_in(tmp_path / "s", new)["docs"]] == [["mine"], []]
