"""Migrations at an opening: what is pending is applied in the order of the list, once, in one commit; or nothing is."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from pydantic import Field
from tests.snaptable.migrations.support import fill as fill_store
from tests.snaptable.migrations.support import library, names_in, rows_in
from tests.snaptable.support import files_of, refuses

from snaptable import Database, ForeignKey, Row, SchemaError, SchemaMismatch, Table, Unique, UnsupportedFormat, numbered
from snaptable.errors import MigrationError, MigrationFailed, MigrationNeeded, OpenError, StoreNewer
from snaptable.migrations import (
    Migration,
    RawDatabase,
    add,
    drop,
    drop_table,
    each,
    fill,
    rekey,
    rename,
    rename_table,
    retype,
    run,
)

OLD = library(documents={"title": (str, ...), "tags": (str, "")})
RENAME = Migration("documents: title becomes name", rename("documents.title", to="name"))
TAGS = Migration("tags from text", retype("documents.tags", using=lambda text: text.split(",")))
FIELDS: dict[str, Any] = {"name": (str, ...), "tags": (list[str], ...)}
NEW = library([RENAME, TAGS], documents=FIELDS)
WANTED = [{"id": key, "name": f"n{key}", "tags": ["a", "b"]} for key in range(4)]


@pytest.fixture(params=["closed", "killed", "journal"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a directory that an older program left with four rows: closed, killed, or all of it in the journal."""
    directory = tmp_path / "data"
    db = OLD(tmp_path / "live", banner=False).open()
    for key in range(4):
        db.tables["documents"].create(id=key, title=f"t{key}", tags="a,b")
        db.tables["documents"].update(key, title=f"n{key}")
    if request.param == "closed":
        db.close()
    shutil.copytree(tmp_path / "live", directory)
    if request.param == "journal":
        (directory / "db_snapshot.json").unlink()
    db.close()
    return directory


def header(directory: Path) -> dict[str, Any]:
    """Return the header of a snapshot."""
    content: dict[str, dict[str, Any]] = json.loads((directory / "db_snapshot.json").read_bytes())
    return content["snaptable"]


def test_what_is_pending_is_one_commit_and_a_second_opening_does_nothing(old: Path) -> None:
    """The names are in the header, which is of another format from then on; the file before stays."""
    assert rows_in(old, NEW) == {"documents": WANTED}
    assert header(old)["migrations"] == [RENAME.name, TAGS.name]
    assert (header(old)["format"], header(old)["sequence"]) == (2, 9)
    kept = json.loads((old / "db_before" / "8.json").read_bytes())
    assert kept["documents"]["0"] == {"id": 0, "title": "n0", "tags": "a,b"}
    assert (old / "db_before").stat().st_mode & 0o777 == 0o700
    assert (old / "db_before" / "8.json").stat().st_mode & 0o777 == 0o600
    assert names_in(old, NEW) == [(RENAME.name, TAGS.name)]
    before = files_of(old)
    for _ in range(2):
        assert rows_in(old, NEW) == {"documents": WANTED}
    assert files_of(old)["db_snapshot.json"] == before["db_snapshot.json"]
    assert header(old)["sequence"] == 9


def test_rows_keep_their_places_and_are_written_to_after(old: Path) -> None:
    """Commits follow the one of the migration, over restarts and kills."""
    db = NEW(old, banner=False, fsync=False).open()
    table = db.tables["documents"]
    table.update(1, name="one")
    table.create(id=9, name="nine", tags=[])
    rows = [row.model_dump() for row in table.where()]
    copy = shutil.copytree(old, old.parent / "copy")
    db.close()
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 9]
    assert rows_in(old, NEW)["documents"] == rows_in(copy, NEW)["documents"] == rows
    for directory in (old, copy):
        (directory / "db_snapshot.json").unlink()
        if (directory / "db_journal" / "1.jsonl").exists():
            assert rows_in(directory, NEW)["documents"] == rows


def test_names_are_a_set_so_branches_merge(old: Path) -> None:
    """What another branch put before those that were applied is still applied, and once."""
    one, other = library([RENAME], documents={**FIELDS, "tags": (str, "")}), NEW
    rows_in(old, one)
    first = Migration("size", add("documents.size", lambda row: len(row["name"])))
    both = library([first, RENAME, TAGS], documents={**FIELDS, "size": (int, ...)})
    assert rows_in(old, both)["documents"] == [{**row, "size": 2} for row in WANTED]
    assert names_in(old, both) == [(RENAME.name,), (first.name, TAGS.name)]
    assert refuses(StoreNewer, other(old, banner=False).open, "'size'", "newer version")


def test_an_older_program_refuses_the_store(old: Path) -> None:
    """By the names of what it doesn't know, with nothing changed: in the snapshot, and in the journal alone."""
    rows_in(old, NEW)
    (old / "db_before" / "8.json").unlink()
    snapshot = (old / "db_snapshot.json").read_bytes()
    for lost in (False, True):
        if lost:
            (old / "db_snapshot.json").unlink()
        before = files_of(old)
        for program in (OLD, library(documents=FIELDS), library([TAGS], documents=FIELDS)):
            for read_only in (False, True):
                with pytest.raises(StoreNewer) as raised:
                    program(old, banner=False, read_only=read_only).open()
                assert RENAME.name in raised.value.unknown
                assert isinstance(raised.value, (OpenError, MigrationError))
        assert files_of(old) == before
    (old / "db_snapshot.json").write_bytes(snapshot)
    assert rows_in(old, NEW)["documents"] == WANTED


def test_a_store_without_migrations_is_of_the_first_format(tmp_path: Path) -> None:
    """Nothing changes for those who have none; a format 2 without a list of names is unknown."""
    fill_store(tmp_path / "s", OLD, documents=[{"id": 1, "title": "a"}])
    data = (tmp_path / "s" / "db_snapshot.json").read_text()
    assert '"format": 1' in data
    assert "migrations" not in data
    assert '"format":1' in (tmp_path / "s" / "db_journal" / "1.jsonl").read_text()
    (tmp_path / "s" / "db_snapshot.json").write_text(data.replace('"format": 1', '"format": 2'))
    assert refuses(UnsupportedFormat, OLD(tmp_path / "s", banner=False).open, "format 2")


def test_a_fresh_store_has_seen_every_migration(tmp_path: Path) -> None:
    """Its rows are of today's shape; so are they if the snapshot is lost."""
    rows = [{"id": 1, "name": "a", "tags": ["x,y"]}]
    fill_store(tmp_path / "s", NEW, documents=rows)
    assert header(tmp_path / "s")["migrations"] == [RENAME.name, TAGS.name]
    assert rows_in(tmp_path / "s", NEW)["documents"] == rows
    (tmp_path / "s" / "db_snapshot.json").unlink()
    assert rows_in(tmp_path / "s", NEW)["documents"] == rows
    assert names_in(tmp_path / "s", NEW) == []
    assert refuses(StoreNewer, OLD(tmp_path / "s", banner=False).open, RENAME.name)


def test_an_empty_old_store_takes_note_of_the_names(tmp_path: Path) -> None:
    """Steps over tables without rows pass; the names are durable, so that they never meet later rows."""
    fill_store(tmp_path / "s", OLD)
    assert rows_in(tmp_path / "s", NEW) == {"documents": []}
    assert header(tmp_path / "s")["migrations"] == [RENAME.name, TAGS.name]
    fill_store(tmp_path / "s", NEW, documents=[WANTED[0]])
    assert rows_in(tmp_path / "s", NEW)["documents"] == [WANTED[0]]


MAY_NOT: list[dict[str, Any]] = [{"migrate": "manual"}, {"read_only": True}]


def test_manual_and_read_only_openings_say_what_is_needed(old: Path) -> None:
    """And change nothing."""
    before = files_of(old)
    for options in MAY_NOT:
        with pytest.raises(MigrationNeeded) as raised:
            NEW(old, banner=False, **options).open()
        assert raised.value.pending == (RENAME.name, TAGS.name)
        assert TAGS.name in str(raised.value)
        assert isinstance(raised.value, (OpenError, MigrationError))
    assert files_of(old) == before
    rows_in(old, NEW)
    for options in MAY_NOT:
        assert rows_in(old, NEW, **options)["documents"] == WANTED
    with pytest.raises(ValueError, match="migrate is one of open, manual"):
        NEW(old, migrate="never")  # type: ignore[arg-type]


def test_manual_holds_back_what_would_be_filled_in_too(tmp_path: Path) -> None:
    """A new field with a default is a commit of its own, which says that it was automatic."""
    fill_store(tmp_path / "s", OLD, documents=[{"id": 1, "title": "a"}])
    new = library(documents={"title": (str, ...), "tags": (str, ""), "city": (str, "Bern")})
    before = files_of(tmp_path / "s")
    with pytest.raises(MigrationNeeded) as raised:
        new(tmp_path / "s", banner=False, migrate="manual").open()
    assert "documents.city" in raised.value.pending[0]
    assert files_of(tmp_path / "s") == before
    assert rows_in(tmp_path / "s", new)["documents"][0]["city"] == "Bern"
    (names,) = names_in(tmp_path / "s", new)
    assert names[0].startswith("automatic: ")
    assert "documents.city" in names[0]
    assert '"format": 1' in (tmp_path / "s" / "db_snapshot.json").read_text()
    with new(tmp_path / "s", banner=False) as db:
        commit = next(iter(db.history))
        assert commit.via == "migration"
        assert [change.fields for change in commit.changes] == [{"city": (None, "Bern")}]


def test_a_type_under_which_rows_change_is_refused_with_what_to_write(tmp_path: Path) -> None:
    """Never rewritten silently: a value that only gains a nested default stays, another one takes a `retype`."""
    fill_store(tmp_path / "s", library(users={"age": (str, ...)}), users=[{"id": 1, "age": "7"}])
    before = files_of(tmp_path / "s")
    number = library(users={"age": (int, ...)})
    for read_only in (False, True):
        assert refuses(
            SchemaMismatch, number(tmp_path / "s", banner=False, read_only=read_only).open, 'retype("users.age"'
        )
    assert files_of(tmp_path / "s") == before
    number = library([Migration("age", retype("users.age", using=int))], users={"age": (int, ...)})
    assert rows_in(tmp_path / "s", number)["users"] == [{"id": 1, "age": 7}]


# ── each step ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Author(Row):
    code: str = Field(default="")
    id: str = ""
    name: str


def split(db: RawDatabase) -> None:
    """Put cities into a table of their own."""
    for key, row in db["people"].items():
        city = row.pop("city")
        if city not in (known := {each["name"] for each in db["cities"].values()}):
            db["cities"][str(len(known))] = {"id": len(known), "name": city}
        row["city_id"] = next(each["id"] for each in db["cities"].values() if each["name"] == city)
        assert str(row["id"]) == key


PEOPLE: list[dict[str, Any]] = [
    {"id": 1, "name": "Ann", "city": "Bern"},
    {"id": 2, "name": "Ben", "city": "Ulm"},
    {"id": 3, "name": "Cy", "city": "Bern"},
]
OLD_PEOPLE: dict[str, Any] = {"name": (str, ...), "city": (str | None, None)}
STEPS: dict[str, tuple[list[Any], dict[str, Any], list[dict[str, Any]]]] = {
    "add a value": (
        [add("people.vip", False)],
        {**OLD_PEOPLE, "vip": (bool, ...)},
        [{**row, "vip": False} for row in PEOPLE],
    ),
    "add in the middle": (
        [add("people.vip", lambda row: row["id"] > 1)],
        {"vip": (bool, ...), **OLD_PEOPLE},
        [{**row, "vip": row["id"] != 1} for row in PEOPLE],
    ),
    "fill": ([fill("people.nick", "x")], {**OLD_PEOPLE, "nick": (str, ...)}, [{**row, "nick": "x"} for row in PEOPLE]),
    "rename": (
        [rename("people.city", to="town")],
        {"name": (str, ...), "town": (str, ...)},
        [{"id": row["id"], "name": row["name"], "town": row["city"]} for row in PEOPLE],
    ),
    "retype": (
        [retype("people.city", using=lambda city: [city])],
        {"name": (str, ...), "city": (list[str], ...)},
        [{**row, "city": [row["city"]]} for row in PEOPLE],
    ),
    "drop": (
        [drop("people.city")],
        {"name": (str, ...)},
        [{"id": row["id"], "name": row["name"]} for row in PEOPLE],
    ),
    "each": (
        [each("people", lambda row: None if row["id"] == 1 else [row, {**row, "id": row["id"] + 10}])],
        OLD_PEOPLE,
        [PEOPLE[1], PEOPLE[2], {**PEOPLE[1], "id": 12}, {**PEOPLE[2], "id": 13}],
    ),
    "rekey": (
        [rekey("people", lambda row: row["id"] + 100)],
        OLD_PEOPLE,
        [{**row, "id": row["id"] + 100} for row in PEOPLE],
    ),
    "several": (
        [rename("people.city", to="town"), drop("people.town"), add("people.city", None), fill("people.city", "Rom")],
        OLD_PEOPLE,
        [{**row, "city": "Rom"} for row in PEOPLE],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_step_does_what_it_says(tmp_path: Path, name: str) -> None:
    """Against the rows that plain Python gives; and a second opening changes nothing."""
    steps, fields, wanted = STEPS[name]
    fill_store(tmp_path / "s", library(people=OLD_PEOPLE), people=PEOPLE)
    new = library([Migration(name, *steps)], people=fields)
    assert rows_in(tmp_path / "s", new)["people"] == wanted
    assert rows_in(tmp_path / "s", new)["people"] == wanted
    assert header(tmp_path / "s")["sequence"] == 4


def test_run_works_across_tables_and_may_fill_new_ones(tmp_path: Path) -> None:
    """A table that only the models know is empty at first."""
    fill_store(tmp_path / "s", library(people=OLD_PEOPLE), people=PEOPLE)
    new = library(
        [Migration("cities apart", run(split))],
        people={"name": (str, ...), "city_id": (int, ...)},
        cities={"name": (str, ...)},
    )
    rows = rows_in(tmp_path / "s", new)
    assert rows["cities"] == [{"id": 0, "name": "Bern"}, {"id": 1, "name": "Ulm"}]
    assert [row["city_id"] for row in rows["people"]] == [0, 1, 0]


def test_tables_are_renamed_and_dropped(tmp_path: Path) -> None:
    """Rows, their order and the last number given out go along."""

    class Note(Row):
        id: int = numbered()
        text: str

    class Old(Database):
        notes: Table[Note]
        trash: Table[Note]

    class New(Database):
        memos: Table[Note]
        migrations = [Migration("memos", rename_table("notes", to="memos"), drop_table("trash"))]  # noqa: RUF012

    with Old(tmp_path / "s", banner=False) as db:
        for text in "abc":
            db.notes.insert(Note(text=text))
        db.notes.delete(3)
        db.trash.insert(Note(text="gone"))
    with New(tmp_path / "s", banner=False) as new:
        assert [(note.id, note.text) for note in new.memos] == [(1, "a"), (2, "b")]
        assert new.memos.insert(Note(text="d")).id == 4
    with New(tmp_path / "s", banner=False) as new:
        assert [note.id for note in new.memos] == [1, 2, 4]


def test_references_follow_new_keys(tmp_path: Path) -> None:
    """Of other tables and of the same, whatever later steps call the field and the table."""

    class User(Row):
        id: int
        boss: int | None = None
        email: Annotated[str, Unique()]

    class Post(Row):
        id: int
        author: Annotated[int, ForeignKey(User)]

    class Old(Database):
        users: Table[User]
        posts: Table[Post]

    class Member(Row):
        id: str
        boss_id: Annotated[str | None, ForeignKey("members")] = None
        email: Annotated[str, Unique()]

    class Article(Row):
        id: int
        author_id: Annotated[str, ForeignKey(Member)]

    class New(Database):
        members: Table[Member]
        posts: Table[Article]
        migrations = [  # noqa: RUF012
            Migration("mail is the key", rekey("users", lambda row: row["email"])),
            Migration("members", rename_table("users", to="members"), rename("members.boss", to="boss_id")),
            Migration("author_id", rename("posts.author", to="author_id")),
        ]

    with Old(tmp_path / "s", banner=False) as db:
        db.users.insert(User(id=1, email="a@x"))
        db.users.insert(User(id=2, email="b@x", boss=1))
        db.posts.insert(Post(id=1, author=2))
    with New(tmp_path / "s", banner=False) as new:
        assert [(member.id, member.boss_id) for member in new.members] == [("a@x", None), ("b@x", "a@x")]
        assert [post.author_id for post in new.posts] == ["b@x"]
        assert new.check() == []


def test_deeper_paths_reach_into_dicts_and_lists(tmp_path: Path) -> None:
    """`documents.metadata.lang`, and every item of a list on the way."""
    rows = [{"id": 1, "meta": {"lang": "de", "pages": [{"no": 1}, {"no": 2}]}}, {"id": 2, "meta": {"pages": []}}]
    fill_store(tmp_path / "s", library(docs={"meta": (dict[str, Any], ...)}), docs=rows)
    steps = [
        rename("docs.meta.lang", to="language"),
        fill("docs.meta.language", "en"),
        retype("docs.meta.pages.no", using=str),
        add("docs.meta.pages.size", 1),
    ]
    new = library([Migration("deep", *steps)], docs={"meta": (dict[str, Any], ...)})
    assert rows_in(tmp_path / "s", new)["docs"] == [
        {"id": 1, "meta": {"language": "de", "pages": [{"no": "1", "size": 1}, {"no": "2", "size": 1}]}},
        {"id": 2, "meta": {"pages": [], "language": "en"}},
    ]


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────

SECRET = "a value that no message repeats"


def raising(_: Any) -> Any:
    """Fail, with a value in the message."""
    raise KeyError(SECRET)


FAILING: dict[str, tuple[Any, str | None, str | None]] = {
    "no such table": (rename("nobody.title", to="x"), "nobody", None),
    "no such table to fill": (fill("nobody.title", 1), "nobody", None),
    "no such table to add to": (add("nobody.title", 1), "nobody", None),
    "no such table to go through": (each("nobody", dict), "nobody", None),
    "no such table to rekey": (rekey("nobody", len), "nobody", None),
    "no such table to rename": (rename_table("nobody", to="x"), "nobody", None),
    "no such table to drop": (drop_table("nobody"), "nobody", None),
    "no such field": (rename("documents.nobody", to="x"), "documents", None),
    "no such field to drop": (drop("documents.nobody"), "documents", None),
    "no such field to retype": (retype("documents.nobody", using=str), "documents", None),
    "no such deeper field": (drop("documents.title.lang"), "documents", None),
    "a field that is there": (add("documents.title", "x"), "documents", "0"),
    "a name that is taken": (rename("documents.title", to="tags"), "documents", "0"),
    "a function that raises": (retype("documents.title", using=raising), "documents", "0"),
    "a row function that raises": (each("documents", raising), "documents", "0"),
    "a database function that raises": (run(raising), None, None),
    "a key twice": (rekey("documents", lambda _: 1), "documents", "1"),
    "no key": (rekey("documents", lambda _: None), "documents", "0"),
    "two rows of one key": (each("documents", lambda row: [row, dict(row)]), "documents", "0"),
    "no row": (each("documents", lambda _: "row"), "documents", "0"),
    "a row in the way": (rename_table("documents", to="others"), "others", None),
    "not JSON": (add("documents.x", lambda _: object()), "documents", "0"),
    "a NaN": (retype("documents.title", using=lambda _: float("nan")), "documents", "0"),
    "half a pair": (retype("documents.title", using=lambda _: ["\ud800"]), "documents", "0"),
    "no table any more": (run(lambda db: db.__setitem__("documents", cast("Any", []))), "documents", None),
    "no row any more": (run(lambda db: db["documents"].__setitem__("9", cast("Any", SECRET))), "documents", "9"),
    "NaN in a row": (run(lambda db: db["documents"]["1"].__setitem__("title", float("nan"))), "documents", "1"),
    "half a pair in a row": (run(lambda db: db["documents"]["1"].__setitem__("title", "\udc00")), "documents", "1"),
    "not JSON in a row": (run(lambda db: db["documents"]["1"].__setitem__("title", {1, 2})), "documents", "1"),
    "a wrong type": (retype("documents.title", using=len), "documents", "0"),
    "a field too many": (add("documents.x", 1), "documents", "0"),
    "a field too few": (drop("documents.title"), "documents", "0"),
    "another key": (run(lambda db: db["documents"]["1"].__setitem__("id", 7)), "documents", "1"),
    "too deep": (run(lambda db: db["documents"]["1"].__setitem__("title", deep())), None, None),
    "a broken constraint": (retype("others.document", using=lambda _: 77), "others", "5"),
    "a value that was unique": (retype("documents.title", using=lambda _: "same"), "documents", "1"),
}


def deep() -> Any:
    """Return a value that is nested too deeply."""
    value: Any = SECRET
    for _ in range(150):
        value = [value]
    return value


@pytest.mark.parametrize("name", FAILING)
def test_a_step_that_fails_names_its_place_and_changes_nothing(tmp_path: Path, name: str) -> None:
    """Migration, step, table and key; never a row's values; every byte is as it was."""
    step, table, key = FAILING[name]
    unique = Annotated[str, Unique()]
    old = library(documents={"title": (unique, ...), "tags": (str, "")}, others={"document": (int, ...)})
    rows = [{"id": number, "title": f"{SECRET} {number}"} for number in range(3)]
    fill_store(tmp_path / "s", old, documents=rows, others=[{"id": 5, "document": 1}])
    before = files_of(tmp_path / "s")
    first = Migration("first", add("others.note", ""))
    new = library(
        [first, Migration("second", fill("others.note", "x"), step)],
        documents={"title": (unique, ...), "tags": (str, "")},
        others={"document": (Annotated[int, ForeignKey("documents")], ...), "note": (str, ...)},
    )
    for _ in range(2):
        with pytest.raises(MigrationFailed) as raised:
            new(tmp_path / "s", banner=False).open()
        error = raised.value
        assert error.migration == "second"
        assert "second" in str(error)
        assert SECRET not in str(error)
        assert (error.table, error.key) == (table, key) or name == "too deep"
        assert error.step == str(step) or "can't be stored" in str(error)
        assert isinstance(error, (OpenError, MigrationError))
        assert files_of(tmp_path / "s") == before
    assert rows_in(tmp_path / "s", old)["documents"][0]["title"] == f"{SECRET} 0"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Migration(""),
        lambda: Migration("x"),
        lambda: Migration("x", "drop"),  # type: ignore[arg-type]
        lambda: Migration("automatic: x", drop("a.b")),
        lambda: Migration("\ud800", drop("a.b")),
        lambda: Migration(1, drop("a.b")),  # type: ignore[arg-type]
        lambda: drop("documents"),
        lambda: drop("documents."),
        lambda: rename("a.b", to="c.d"),
        lambda: rename("a.b", to="b"),
        lambda: rename("a.b", to=""),
        lambda: retype("a.b", using=3),  # type: ignore[arg-type]
        lambda: each("a", 3),  # type: ignore[arg-type]
        lambda: rename_table("a.b", to="c"),
        lambda: rename_table("a", to="a"),
        lambda: drop_table(""),
        lambda: run(None),  # type: ignore[arg-type]
        lambda: library([RENAME, RENAME], documents=FIELDS),
        lambda: library(RENAME, documents=FIELDS),
        lambda: library([RENAME.name], documents=FIELDS),
    ],
)
def test_a_list_that_means_nothing_is_refused_when_it_is_written(wrong: Any) -> None:
    """Before any store is opened."""
    with pytest.raises(SchemaError):
        wrong()


# ── what is suggested ───────────────────────────────────────────────────────────────────────────────────────────────


def advice(directory: Path, new: type[Database]) -> str:
    """Return the message of an opening that is refused, with nothing changed."""
    before = files_of(directory)
    for read_only in (True, False):
        with pytest.raises(SchemaMismatch) as raised:
            new(directory, banner=False, read_only=read_only).open()
    assert files_of(directory) == before
    return str(raised.value)


def test_a_rename_is_suggested_with_the_line_to_paste(old: Path) -> None:
    """Never guessed, though a default would make a guess open."""
    message = advice(old, library(documents={"name": (str, "x"), "tags": (str, "")}))
    assert "documents: title is gone and name is new (both str, 4 rows). Renamed?" in message
    assert 'rename("documents.title", to="name")' in message
    assert 'Dropped?  drop("documents.title"), add("documents.name", "")' in message
    assert 'drop("documents.title")' in advice(old, library(documents={"tags": (str, "")}))
    assert 'add("documents.size", 0)' in advice(
        old, library(documents={"title": (str, ...), "tags": (str, ""), "size": (int, ...)})
    )
    assert 'retype("documents.title", using=int)' in advice(
        old, library(documents={"title": (int, ...), "tags": (str, "")})
    )
    message = advice(old, library(papers={"title": (str, ...), "tags": (str, "")}))
    assert 'rename_table("documents", to="papers")' in message
    assert 'drop_table("documents")' in message
    assert 'drop_table("documents")' in advice(old, library(users={"name": (str, ...)}))


def test_the_lines_that_are_suggested_work(tmp_path: Path) -> None:
    """Pasted as they stand."""
    fill_store(tmp_path / "s", OLD, documents=[{"id": 1, "title": "a"}])
    fields: dict[str, Any] = {"name": (str, ...), "tags": (str, "")}
    message = advice(tmp_path / "s", library(documents=fields))
    line = message.partition("Renamed?  ")[2].partition("   Dropped?  ")
    for steps, name in ((line[0], "a"), (line[2].splitlines()[0], "")):
        copy = shutil.copytree(tmp_path / "s", tmp_path / f"copy {name}")
        made = eval(f"[{steps}]")
        assert rows_in(copy, library([Migration("x", *made)], documents=fields))["documents"][0]["name"] == name


def test_an_empty_table_may_go(tmp_path: Path) -> None:
    """Nothing is lost, so nothing has to be written."""
    fill_store(tmp_path / "s", library(a={"x": (int, ...)}, b={"x": (int, ...)}), a=[{"id": 1, "x": 1}])
    assert rows_in(tmp_path / "s", library(a={"x": (int, ...)})) == {"a": [{"id": 1, "x": 1}]}


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """A directory in the way of the copy stands for any error of the disk."""
    fill_store(tmp_path / "s", OLD, documents=[{"id": 1, "title": "a", "tags": "x"}])
    before = files_of(tmp_path / "s")
    (tmp_path / "s" / "db_before").write_text("in the way")
    (tmp_path / "s" / "db_before").chmod(0o600)
    with pytest.raises(OpenError):
        NEW(tmp_path / "s", banner=False).open()
    (tmp_path / "s" / "db_before").unlink()
    assert files_of(tmp_path / "s") == before
    assert rows_in(tmp_path / "s", NEW)["documents"] == [{"id": 1, "name": "a", "tags": ["x"]}]
