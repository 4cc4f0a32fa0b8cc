"""An import says everything that is wrong before it writes, writes all or nothing, and takes types from the models."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, field_validator

from snaptable import Database, ForeignKey, Row, Secret, Table, Unique, table
from snaptable.errors import ImportRefused, UnreadableFile
from snaptable.interchange import ImportPlan, plan_import, read_bytes, read_file


class User(Row):
    id: str
    email: Annotated[str, Unique()]
    age: int = 0
    nick: str | None = None
    born: date | None = None
    price: Decimal | None = None
    tags: tuple[str, ...] = ()
    active: bool = True
    password_hash: Annotated[str | None, Secret()] = None

    @field_validator("email")
    @classmethod
    def has_at(cls, value: str) -> str:
        """Lower an address."""
        if "@" not in value:
            raise ValueError("no @ in it")
        return value.lower()


class Note(Row):
    id: int | None = None
    user_id: Annotated[str, ForeignKey(User)]
    page: int = Field(default=1, ge=1)
    parent_id: Annotated[int | None, ForeignKey("notes")] = None


class Store(Database):
    users: Table[User]
    notes: Table[Note] = table(Unique("user_id", "page"))


@pytest.fixture
def db() -> Iterator[Store]:
    """Return a store with a user."""
    with Store("memory:", banner=False) as store:
        store.users.insert(User(id="ann", email="ann@x.org", age=31, password_hash="hash", nick="a"))
        yield store


def plan_of(target: Table[Any], text: str, name: str = "rows.csv", **options: Any) -> ImportPlan:
    """Plan an import of a file with a text."""
    return plan_import(target, read_bytes(text.encode(), name).records(), **options)


def told(plan: ImportPlan) -> list[tuple[int, str | None]]:
    """Return where the faults are."""
    return [(fault.line, fault.field) for fault in plan.faults]


def test_texts_stay_texts(db: Store) -> None:
    """Ensure that a text field gets a cell as it stands, and other fields what their types make of it."""
    text = "id,email,age,nick,born,price,tags,active\n"
    text += '01234,A@x,042,,2026-11-28,1.10,"[""a"",""01""]",false\n1e3,b@x,7,"",,,[],1\n'
    plan_of(db.users, text).apply()
    first, second = db.users["01234"], db.users["1e3"]
    assert (first.email, first.age, first.nick, first.born) == ("a@x", 42, None, date(2026, 11, 28))
    assert (str(first.price), first.tags, first.active) == ("1.10", ("a", "01"), False)
    assert (second.nick, second.born, second.price, second.active) == ("", None, None, True)


def test_empty_cells_are_null_only_where_that_is_a_value(db: Store) -> None:
    """Ensure that an empty cell is null for optional fields, and told by line and field for others."""
    plan = plan_of(db.users, "id,email,age,nick,tags\nben,b@x,,,\n,c@x,1,,[]\n")
    assert told(plan) == [(2, "age"), (2, "tags")]
    assert "is empty" in plan.faults[0].reason
    assert plan.inserts == 1, "an empty text is a key like any"


def test_where_all_is_quoted_quotes_say_nothing(db: Store) -> None:
    """Ensure that an empty cell is null in a file that quotes every cell."""
    plan_of(db.users, '"id","email","nick"\n"ben","b@x",""\n').apply()
    assert db.users["ben"].nick is None


def test_everything_wrong_is_told_at_once(db: Store) -> None:
    """Ensure that faults of fields, keys, uniques and references are all found, by line, and nothing is written."""
    plan = plan_of(
        db.users,
        '[{"id": "ann", "email": "x@x"},\n {"id": "b", "email": "ANN@x.org"},\n {"id": "c", "email": "c"},\n'
        ' {"id": "d", "email": "d@x", "age": "old", "born": "1.2.2026"},\n {"id": "e", "email": "e@x"},\n'
        ' {"id": "e", "email": "f@x"}, {"id": "g", "email": "E@x"}, 7]',
        "rows.json",
    )
    assert told(plan) == [
        (1, "id"),
        (2, "email"),
        (3, "email"),
        (4, "age"),
        (4, "born"),
        (6, "id"),
        (6, "email"),
        (6, None),
    ]
    assert (plan.wrong, plan.inserts) == (7, 1)
    with pytest.raises(ImportRefused, match="7 wrong") as caught:
        plan.apply()
    assert caught.value.faults == plan.faults
    assert len(db.users) == 1
    assert "old" not in str(plan)

    plan = plan_of(db.notes, "user_id,page,parent_id\nann,1,\nann,1,\neve,2,\nann,0,\nann,3,9\n")
    assert told(plan) == [(3, "user_id, page"), (4, "user_id"), (5, "page"), (6, "parent_id")]


def test_rows_may_refer_to_one_another(db: Store) -> None:
    """Ensure that a row may come before the one that it refers to."""
    plan_of(db.notes, "id,user_id,page,parent_id\n5,ann,1,6\n6,ann,2,\n").apply()
    assert db.notes[5].parent_id == 6


def test_unique_values_may_change_hands(db: Store) -> None:
    """Ensure that a unique value which a row of the file gives up may be taken by another row of it."""
    text = '[{"id": "ann", "email": "new@x.org"}, {"id": "ben", "email": "ann@x.org"}]'
    done = plan_of(db.users, text, "rows.json", update=True).apply(note="swap")
    assert (done.inserted, done.updated) == (1, 1)
    assert (db.users["ann"].email, db.users["ben"].email) == ("new@x.org", "ann@x.org")


def test_one_commit_one_undo(db: Store) -> None:
    """Ensure that an import is one commit with note and way, and that its undo takes all of it back."""
    done = plan_of(db.users, "id,email\nb,b@x\nc,c@x\n").apply(note="spring batch")
    assert done.commit == db.history.sequence
    (commit,) = db.history.commits(limit=1)
    assert (commit.note, commit.via, len(commit.changes)) == ("spring batch", "import", 2)
    db.history.undo(commit.sequence)
    assert [user.id for user in db.users] == ["ann"]


def test_update_changes_the_fields_of_the_file_only(db: Store) -> None:
    """Ensure that an update leaves other fields, masked secrets and equal rows alone."""
    plan = plan_of(db.users, "id,age,password_hash\nann,31,••••\n", update=True)
    assert (plan.unchanged, plan.updates) == (1, 0)
    assert plan.apply().commit is None
    plan = plan_of(db.users, "id,age,password_hash\nann,32,••••\n", update=True)
    assert [str(change) for change in plan.examples] == ["~ users ann   age 31 → 32"]
    plan.apply()
    assert (db.users["ann"].age, db.users["ann"].nick, db.users["ann"].password_hash) == (32, "a", "hash")


def test_masked_secrets_make_no_new_row(db: Store) -> None:
    """Ensure that a row that isn't there is refused if its secret is masked."""
    assert told(plan_of(db.users, "id,email,password_hash\nben,b@x,••••\n", update=True)) == [(2, "password_hash")]


def test_secrets_are_in_no_message(db: Store) -> None:
    """Ensure that neither plan, faults nor examples show a secret."""
    plan = plan_of(db.users, '[{"id": "b", "email": "b@x", "password_hash": "s3cret"}]', "rows.json")
    assert "s3cret" not in f"{plan} {plan.examples}"
    plan = plan_of(db.users, '[{"id": "b", "email": "b@x", "password_hash": ["s3cret"]}]', "rows.json")
    assert told(plan) == [(1, "password_hash")]
    assert "s3cret" not in f"{plan} {plan!r}"


def test_mapping(db: Store) -> None:
    """Ensure that names are mapped, left out, suggested, and refused where they mean no field."""
    text = "ID,eMail,colour\nben,b@x,red\n"
    plan = plan_of(db.users, text)
    assert list(plan.unknown) == ["ID", "eMail", "colour"]
    assert plan.suggestions == {"ID": "id", "eMail": "email"}
    assert "ID=id" in str(plan)
    with pytest.raises(ImportRefused):
        plan.apply()
    plan_of(db.users, text, mapping={"ID": "id", "eMail": "email", "colour": ""}).apply()
    assert db.users["ben"].email == "b@x"
    with pytest.raises(ValueError, match="no field 'color'"):
        plan_of(db.users, text, mapping={"colour": "color"})
    assert told(plan_of(db.users, "id,email,mail\nz,z@x,y@x\n", mapping={"mail": "email"})) == [(2, "email")]


def test_what_changed_since_the_plan_is_refused(db: Store) -> None:
    """Ensure that a plan that no longer fits writes nothing, and says which line."""
    inserting = plan_of(db.users, "id,email\nb,b@x\nc,c@x\n")
    updating = plan_of(db.users, "id,age\nann,5\n", update=True)
    db.users.insert(User(id="c", email="other@x"))
    db.users.update("ann", age=6)
    for plan, line in ((inserting, 3), (updating, 2)):
        with pytest.raises(ImportRefused) as caught:
            plan.apply()
        assert caught.value.faults[0].line == line
    assert "b" not in db.users
    assert db.users["ann"].age == 6


def test_rejects(db: Store, tmp_path: Path) -> None:
    """Ensure that the rows that are wrong can be written to a file of their own, with reasons, for its owner alone."""
    plan = plan_of(db.users, "id,email,age\nb,b@x,x\nc,c@x,1\nd,d\n")
    assert plan.write_rejects(tmp_path / "rejects.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines())
    assert (first["line"], first["faults"][0]["field"], first["record"]["age"]) == (2, "age", "x")
    assert (second["line"], second["record"]) == (4, {})
    assert (tmp_path / "rejects.jsonl").stat().st_mode & 0o777 == 0o600


def test_faults_are_bounded_and_counted(db: Store) -> None:
    """Ensure that a thousand wrong rows are counted, the first hundred told."""
    plan = plan_of(db.users, "id,email,age\n" + "x,x,x\n" * 1000)
    assert (len(plan.faults), plan.wrong) == (100, 1000)


def test_progress(db: Store) -> None:
    """Ensure that progress ends with all rows."""
    seen: list[tuple[int, int]] = []
    text = "id,email\n" + "".join(f"u{n},u{n}@x\n" for n in range(600))
    plan = plan_of(db.users, text, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 600), (512, 600), (600, 600)]
    seen.clear()
    plan.apply(on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (600, 600)


def test_json_server_and_lowdb(db: Store) -> None:
    """Ensure that tables are found beside what is none."""
    text = '{"users": [{"id": "b", "email": "b@x"}], "profile": {"name": "typicode"}, "count": 3, "notes": []}'
    parsed = read_bytes(text.encode(), "db.json")
    assert (parsed.format, set(parsed.tables), set(parsed.ignored)) == (
        "json-server",
        {"users", "notes"},
        {"profile", "count"},
    )
    plan_import(db.users, parsed.records("users")).apply()
    assert "b" in db.users
    with pytest.raises(UnreadableFile, match="'notes', 'users'"):
        parsed.records("posts")


def test_tinydb_numbers_are_keys(db: Store) -> None:
    """Ensure that a document's number is its key, where it has none in itself."""
    text = '{"_default": {"3": {"user_id": "ann", "page": 1}, "7": {"user_id": "ann", "page": 2}}}'
    parsed = read_bytes(text.encode(), "db.json")
    assert parsed.format == "tinydb"
    plan_import(db.notes, parsed.records("notes")).apply()
    assert [note.id for note in db.notes] == [3, 7]


def test_maps_of_rows(db: Store, tmp_path: Path) -> None:
    """Ensure that rows by key are taken: one table of them, and those of a snapshot."""
    plan_of(db.users, '{"b": {"email": "b@x"}, "c": {"email": "c@x"}}', "users.json").apply()
    assert db.users["b"].email == "b@x"
    with Store(tmp_path, banner=False) as other:
        other.users.insert(User(id="z", email="z@x"))
    parsed = read_file(tmp_path / "db_snapshot.json")
    assert parsed.format == "snapshot"
    plan_import(db.users, parsed.records("users")).apply()
    assert "z" in db.users


def test_sqlite(db: Store, tmp_path: Path) -> None:
    """Ensure that values of sqlite get the models' types, in tables and columns of any name, and no view is asked."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    odd = 'a"; DROP TABLE x; --'
    connection.execute(
        f'CREATE TABLE "{odd.replace(chr(34), chr(34) * 2)}" ("id" TEXT, "e mail" TEXT, active INT, tags, price REAL)'
    )
    connection.execute(
        f'INSERT INTO "{odd.replace(chr(34), chr(34) * 2)}" VALUES (?, ?, ?, ?, ?)', ("01", "b@x", 1, '["x"]', 0.1)
    )
    connection.execute(
        "CREATE VIEW bomb AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    )
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.commit()
    connection.close()
    before = sorted(tmp_path.iterdir())
    parsed = read_file(path)
    assert (list(parsed.tables), sorted(tmp_path.iterdir())) == ([odd], before)
    plan_import(db.users, parsed.records(), mapping={"e mail": "email"}).apply()
    user = db.users["01"]
    assert (user.active, user.tags, user.price) == (True, ("x",), Decimal("0.1"))

    numbers = read_bytes(b"", "x", "jsonl").records()
    assert list(numbers) == []
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id, email)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", [(7, "c@x"), ("d", b"d@x"), ("e", None)])
        connection.execute("INSERT INTO users VALUES ('f', CAST(x'ff40' AS TEXT))")
    connection.close()
    plan = plan_import(db.users, read_file(path).records("users"))
    assert told(plan) == [(1, "id"), (2, "email"), (3, "email"), (4, None)]


def test_numbers_lose_nothing(db: Store) -> None:
    """Ensure that a Decimal gets each digit of a JSON number."""
    plan_of(db.users, '[{"id": "b", "email": "b@x", "price": 0.1000000000000000000000000000001}]', "x.json").apply()
    assert db.users["b"].price == Decimal("0.1000000000000000000000000000001")


class Visit(Row):
    id: str
    at: datetime


class Visits(Database):
    visits: Table[Visit]


def test_growth_of_a_plan() -> None:
    """Ensure that rows are looked up, not searched: the checks of a row don't grow with the file."""
    with Visits("memory:", banner=False) as db:
        text = "id,at\n" + "".join(f"{n},2026-11-28T10:00:00Z\n" for n in range(5_000))
        assert plan_of(db.visits, text).apply().inserted == 5_000
        assert plan_of(db.visits, text, update=True).unchanged == 5_000
