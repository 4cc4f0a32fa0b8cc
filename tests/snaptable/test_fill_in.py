"""What loading fills in is validated as a write is, and durable before anybody is given it; whatever a file or a model
holds, `open` raises OpenErrors only, and a file that the store wrote opens again.
"""

import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model, field_validator, model_validator
from tests.snaptable.support import files_of, refuses

from snaptable import Database, OpenError, Row, SchemaError, SchemaMismatch, Table, Unique, new_id, utc_now
from snaptable.cli.main import main

numbers = count()


class User(Row):
    id: int


class Users(Database):
    users: Table[User]


def users_of(model: type[BaseModel]) -> type[Database]:
    """Make a Database class with a table `users` of a model."""
    return type("Users", (Database,), {"__module__": __name__, "__annotations__": {"users": Table[model]}})  # type: ignore[valid-type]


def with_fields(**fields: Any) -> type[Database]:
    """Make a Database class with a table `users` of rows with a key and some fields."""
    return users_of(create_model("User", __base__=Row, id=(int, ...), **fields))


def rows_of(database: type[Database], directory: Path, **options: Any) -> list[dict[str, Any]]:
    """Open, and return every row."""
    with database(directory, banner=False, **options) as db:
        return [row.model_dump() for row in db.tables["users"].where()]


@pytest.fixture(params=["closed", "killed", "journal"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a directory that an older program left with two rows: closed, killed, or all in the journal."""
    directory = tmp_path / "data"
    db = Users(tmp_path / "live", banner=False).open()
    db.users.insert(User(id=1))
    db.users.insert(User(id=2))
    if request.param == "closed":
        db.close()
    shutil.copytree(tmp_path / "live", directory)
    if request.param == "journal":
        (directory / "db_snapshot.json").unlink()
    db.close()
    return directory


def token() -> str:
    """Return a text that was never returned before."""
    return f"token {next(numbers)}"


def test_what_a_factory_gives_is_evaluated_once_and_saved(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One commit, durable before `open` returns: a kill right after it finds the same values."""
    new = with_fields(token=(str, Field(default_factory=new_id)), city=(str, "Bern"))
    with caplog.at_level(logging.INFO, "snaptable"):
        db = new(old, banner=False).open()
    first = [row.model_dump() for row in db.tables["users"].where()]
    sequence = db.status().sequence
    shutil.copytree(old, old.parent / "copy")
    db.close()
    assert (
        "Filled in users.token, users.city of 2 rows: fields that the models have and the file did not" in caplog.text
    )
    assert sequence == 3
    assert first[0]["token"] != first[1]["token"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "snaptable"):
        assert rows_of(new, old) == rows_of(new, old.parent / "copy") == first
    assert "Filled in" not in caplog.text
    text = (old / "db_snapshot.json").read_text()
    assert text.count('"city":"Bern"') == 2


def test_a_filled_in_store_is_written_to_and_opened_again(old: Path) -> None:
    """Commits follow the one that filled in, with no gap."""
    new = with_fields(token=(str, Field(default_factory=new_id)))
    with new(old, banner=False) as db:
        table = db.tables["users"]
        table.create(id=3)
        table.update(1, token="mine")
        rows = [row.model_dump() for row in table.where()]
        assert db.status().sequence == 5
        assert db.check() == []
    assert rows_of(new, old) == rows


def test_nested_factories_and_validators_that_invent_are_saved_too(tmp_path: Path) -> None:
    """Whatever the row is after loading is what the file holds, however it came about."""

    class Part(BaseModel):
        name: str

    class FullPart(Part):
        token: str = Field(default_factory=new_id)

    before, after = with_fields(part=(Part, ...)), with_fields(part=(FullPart, ...))
    with before(tmp_path, banner=False) as db:
        db.tables["users"].create(id=1, part=Part(name="a"))
    assert refuses(SchemaMismatch, after(tmp_path, banner=False, read_only=True).open, "users.part", "read_only")
    first = rows_of(after, tmp_path)
    assert rows_of(after, tmp_path) == first

    class Validated(Row):
        id: int
        part: FullPart
        seen: str | None = None

        @model_validator(mode="before")
        @classmethod
        def invent(cls, values: Any) -> Any:
            return {"seen": token(), **values}

    assert refuses(SchemaMismatch, users_of(Validated)(tmp_path, banner=False, read_only=True).open, "users.seen")
    first = rows_of(users_of(Validated), tmp_path)
    assert rows_of(users_of(Validated), tmp_path) == first


BAD_FACTORIES: list[Any] = [
    (str, Field(default_factory=lambda: None)),
    (int, Field(default_factory=lambda: 0, gt=0)),
    (list[int], Field(default_factory=lambda: ["x"])),
    (datetime, Field(default_factory=lambda: "soon")),
    (float, Field(default_factory=lambda: float("nan"))),
    (str, Field(default_factory=lambda: "\ud800")),
    (Annotated[str, Unique()], "same"),
    (str, Field(default_factory=lambda: 1 // 0)),
]


@pytest.mark.parametrize("field", BAD_FACTORIES, ids=map(str, range(len(BAD_FACTORIES))))
def test_what_does_not_validate_is_refused_before_anything_is_saved(old: Path, field: Any) -> None:
    """By table and field, at the first start that would fill it in; the files stay as they are."""
    files = files_of(old)
    assert refuses(SchemaMismatch, with_fields(nick=field)(old, banner=False).open, "users")
    assert refuses(SchemaMismatch, with_fields(nick=field)(old, banner=False, read_only=True).open, "users")
    assert files_of(old) == files
    assert rows_of(Users, old) == [{"id": 1}, {"id": 2}]


def test_the_message_names_row_and_field(old: Path) -> None:
    """Table, key and field, as of any row that does not fit."""
    assert refuses(
        SchemaMismatch, with_fields(nick=BAD_FACTORIES[0])(old, banner=False).open, "users[1].nick", "string"
    )


def test_the_reproducer_is_refused_with_the_schema() -> None:
    """`nick: str = None` is no field that a row can be filled in with."""
    assert refuses(SchemaError, lambda: with_fields(nick=(str, None)), "users.nick")


def test_a_read_only_opening_invents_nothing(old: Path) -> None:
    """It says which fields, and to open the store once for writing; constants are the same each time."""
    new = with_fields(token=(str, Field(default_factory=token)), at=(datetime, Field(default_factory=utc_now)))
    files = files_of(old)
    assert refuses(
        SchemaMismatch, new(old, read_only=True).open, "users.token", "users.at", "for writing", "read_only=True"
    )
    constant = with_fields(city=(str, "Bern"), tags=(list[str], Field(default_factory=list)), nick=(str | None, None))
    expected: list[dict[str, Any]] = [{"id": key, "city": "Bern", "tags": [], "nick": None} for key in (1, 2)]
    assert rows_of(constant, old, read_only=True) == expected
    assert files_of(old) == files
    first = rows_of(new, old)
    assert rows_of(new, old, read_only=True) == first


class Tagged(Row):
    id: int
    token: str = Field(default_factory=new_id)
    city: str = "Bern"


class TaggedUsers(Database):
    users: Table[Tagged]


def test_check_says_what_would_be_filled_in(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no problem, and `check` changes nothing."""
    files = files_of(old)
    assert main(["check", str(old), "--schema", f"{__name__}:TaggedUsers"]) == 0
    told = capsys.readouterr().out
    assert "notice: db_snapshot.json: opening would fill in users.token, users.city of 2 rows" in told
    assert files_of(old) == files
    with TaggedUsers(old, banner=False) as db:
        db.users.count()
    assert main(["check", str(old), "--schema", f"{__name__}:TaggedUsers"]) == 0
    assert "fill in" not in capsys.readouterr().out


def test_a_stop_gap_file_is_filled_in_and_saved_too(tmp_path: Path) -> None:
    """Once, and only if all of it fits."""
    path = tmp_path / "db_snapshot.json"
    content = json.dumps({"users": {"1": {"id": 1}, "2": {"id": 2}}})
    path.write_text(content)
    tmp_path.chmod(0o700)
    path.chmod(0o600)
    assert refuses(SchemaMismatch, with_fields(nick=BAD_FACTORIES[0])(tmp_path, banner=False).open, "users[1].nick")
    assert path.read_text() == content
    new = with_fields(token=(str, Field(default_factory=new_id)))
    db = new(tmp_path, banner=False).open()
    first = [row.model_dump() for row in db.tables["users"].where()]
    copy = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy")
    db.close()
    assert rows_of(new, tmp_path) == rows_of(new, copy) == first


class OwnError(Exception):
    """An error of a model's own, which is no ValueError."""


RAISED: list[Callable[[], Exception]] = [
    lambda: KeyError("secret"),
    lambda: ZeroDivisionError("secret"),
    lambda: RecursionError("secret"),
    lambda: OwnError("secret"),
    lambda: OSError("secret"),
    lambda: AttributeError("secret"),
    lambda: UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("place", ["field", "before", "after", "post_init", "init"])
def test_what_a_models_own_code_raises_becomes_an_open_error(
    old: Path, raised: Callable[[], Exception], place: str
) -> None:
    """It names the row, and no value."""

    class Raising(Row):
        id: int

        if place == "field":

            @field_validator("id")
            @classmethod
            def check_field(cls, _: int) -> int:
                raise raised()

        if place in ("before", "after"):

            @model_validator(mode=place)  # type: ignore[call-overload, untyped-decorator]
            def check(self: Any) -> Any:
                raise raised()

        if place == "post_init":

            def model_post_init(self, _: Any) -> None:
                raise raised()

        if place == "init":

            def __init__(self, **_: Any) -> None:
                raise raised()

    files = files_of(old)
    for read_only in (False, True):
        message = refuses(SchemaMismatch, users_of(Raising)(old, banner=False, read_only=read_only).open, "users['1']")
        assert place == "field" or "secret" not in message or issubclass(type(raised()), ValueError)
    assert files_of(old) == files


def test_urls_that_are_no_paths_are_open_errors() -> None:
    """A path may hold what no file system takes."""
    for url in ("a\0b", "a" * 5000, "\ud800/x", "~nobody-is-called-this/x\0"):
        with pytest.raises(OpenError):
            Users(url, banner=False).open()


def mutations(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield some damaged forms of a file."""
    for _ in range(25):
        mutated = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutated) + 1)
            piece = chance.choice([b"", b"\0", b"{", b"]", b'"', b"\xff", b"9" * 5000, b"[" * 3000, b'"a":', b"null"])
            mutated[place : place + chance.randint(0, 5)] = piece
        yield bytes(mutated)


@pytest.mark.parametrize("name", ["db_snapshot.json", "db_journal"])
def test_files_of_any_bytes_raise_open_errors_only(tmp_path: Path, name: str) -> None:
    """Mutated and random files, of snapshot and journal, open or raise an OpenError; as they were they open."""
    outcomes: set[str] = set()
    db = Users(tmp_path / "live", banner=False, fsync=False).open()
    for key in range(4):
        db.users.insert(User(id=key))
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    db.close()
    chance = random.Random(9)
    directory = tmp_path / "killed"
    kept = files_of(directory)
    path = next(path for path in sorted(directory.rglob("*")) if path.is_file() and name in str(path))
    data = path.read_bytes()
    for content in [
        data,
        b"",
        b"\0" * 64,
        b"[]",
        b"{}",
        b"null",
        b"\xef\xbb\xbf{}",
        chance.randbytes(99),
        *mutations(data, chance),
    ]:
        for relative, original in kept.items():
            (directory / relative).write_bytes(original)
        path.write_bytes(content)
        for read_only in (True, False):
            try:
                Users(directory, banner=False, fsync=False, read_only=read_only).open().close()
                outcomes.add("opened")
            except OpenError:
                outcomes.add("refused")
        shutil.rmtree(directory)
        shutil.copytree(tmp_path / "live", directory)
        for relative in files_of(directory):
            (directory / relative).unlink()
        for relative in kept:
            (directory / relative).parent.mkdir(exist_ok=True, mode=0o700)
    assert outcomes == {"opened", "refused"}


# ── any old program, any new one ────────────────────────────────────────────────────────────────────────────────────

OLD_TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, st.integers(-5, 5)),
    "float": (float, st.floats(-2, 2).map(lambda number: round(number, 1))),
    "str": (str, st.sampled_from(["", "a", "bb", "1"])),
    "optional": (str | None, st.sampled_from([None, "", "a"])),
    "list": (list[int], st.lists(st.integers(0, 2), max_size=2)),
    "bool": (bool, st.booleans()),
}
NEW_TYPES: list[Any] = [
    int, float, str, bool, str | None, int | str, float | None, list[int], list[float], tuple[int, ...], Any,
    Annotated[int, Field(gt=0)], Annotated[str, Field(min_length=1)], Annotated[str, Unique()],
    Annotated[int, Unique()], dict[str, int],
]  # fmt: skip
DEFAULTS: list[Any] = [
    0, 1, -1, 1.5, "", "a", None, True, [], [1], (1,), {},
    Field(default_factory=new_id), Field(default_factory=token), Field(default_factory=lambda: next(numbers)),
    Field(default_factory=list), Field(default_factory=lambda: None), Field(default_factory=lambda: 1.5), ...,
]  # fmt: skip


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_new_program_opens_an_old_file_for_good_or_leaves_it(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Random model pairs × rows: the new one is refused, the files untouched, or opens again and again alike."""
    directory = tmp_path_factory.mktemp("pair") / "data"
    kinds = data.draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(sorted(OLD_TYPES)), max_size=3))
    before = with_fields(**{name: (OLD_TYPES[kind][0], ...) for name, kind in kinds.items()})
    with before(directory, banner=False, fsync=False) as db:
        for key in range(data.draw(st.integers(0, 3))):
            db.tables["users"].create(id=key, **{name: data.draw(OLD_TYPES[kind][1]) for name, kind in kinds.items()})
    added = data.draw(st.lists(st.sampled_from(["d", "e"]), unique=True, max_size=2))
    fields = {
        name: (data.draw(st.one_of(st.just(OLD_TYPES[kind][0]), st.sampled_from(NEW_TYPES))), ...)
        for name, kind in kinds.items()
    } | {name: (data.draw(st.sampled_from(NEW_TYPES)), data.draw(st.sampled_from(DEFAULTS))) for name in added}
    files = files_of(directory)
    try:
        after = with_fields(**fields)
    except SchemaError:
        return
    first, refusal = [], ""
    try:
        first = rows_of(after, directory, fsync=False)
    except OpenError as error:
        refusal = str(error)
    if refusal:
        assert "users" in refusal
        assert files_of(directory) == files
        return
    for _ in range(2):
        again = rows_of(after, directory, fsync=False)
        assert repr(again) == repr(first)
