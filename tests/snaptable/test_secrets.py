"""Secrets are stored, compared and indexed, and shown to nobody: in no repr, no error, no history, no page."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from tests.snaptable.support import refuses
from typing_extensions import TypeAliasType, TypedDict

from snaptable import (
    Count,
    Database,
    ForeignKey,
    ForeignKeyViolation,
    Index,
    InvalidQuery,
    InvalidRow,
    Max,
    Row,
    SchemaError,
    Secret,
    StaleRow,
    Table,
    UndoConflict,
    Unique,
    UniqueViolation,
    desc,
    table,
)
from snaptable.secrets import MASK, masked, secret_fields
from snaptable.web import ListParams, RowResponder

HIDDEN = "hunter2-correct-horse"
OTHER = "hunter3-correct-horse"


class User(Row):
    id: str
    name: str = ""
    token: Annotated[str | None, Unique(), Secret()] = None
    word: Annotated[str, Secret(), Field(min_length=2)] = "none"
    code: Annotated[int, Secret()] = 0
    friend: Annotated[str | None, ForeignKey("users"), Secret()] = None


class Store(Database):
    users: Table[User] = table(Unique("name", "word"), Index("word", "id", ordered=True))


@pytest.fixture(name="db", params=["memory:", "file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open store of either engine."""
    with Store("memory:" if request.param == "memory:" else tmp_path / "data", fsync=False, banner=False) as db:
        yield db


def shown(error: BaseException) -> str:
    """Return all that a log would show of an error, its causes and attributes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def test_a_row_does_not_show_its_secrets() -> None:
    """Neither `repr` nor `str` nor an f-string does; that there is none is no secret; the attribute is the value."""
    user = User(id="1", token=HIDDEN, word=OTHER, code=7734)
    for text in (repr(user), str(user), f"{user}", f"{user!r}", repr([user]), repr({"a": user})):
        assert HIDDEN not in text
        assert OTHER not in text
        assert "7734" not in text
    assert repr(user) == "User(id='1', name='', token=••••, word=••••, code=••••, friend=None)"
    assert user.token == HIDDEN
    assert user.model_dump()["word"] == OTHER


class Inner(BaseModel, frozen=True):
    open: str = "o"
    closed: Annotated[str, Secret()] = "c"


@dataclass(frozen=True)
class Data:
    closed: Annotated[str, Secret()] = "c"


class Typed(TypedDict):
    closed: Annotated[str, Secret()]


class Named(NamedTuple):
    closed: Annotated[str, Secret()] = "c"


class Node(BaseModel, frozen=True):
    inner: "tuple[Node, ...]" = ()
    closed: Annotated[str, Secret()] = "c"


Password = Annotated[str, Secret()]
Alias = TypeAliasType("Alias", Annotated[str, Secret()])
KINDS: list[tuple[str, Any]] = [
    ("a field", Annotated[str, Secret()]),
    ("without parentheses", Annotated[str, Secret]),
    ("an alias", Password),
    ("a named alias", Alias),
    ("twice annotated", Annotated[Password, Field(max_length=9)]),
    ("an alternative", Password | None),
    ("another alternative", int | Password),
    ("an item", list[Password]),
    ("a value of a dict", dict[str, Password]),
    ("an item of an item", list[dict[str, tuple[Password, ...]]]),
    ("inside a model", Inner),
    ("inside a model that may be missing", Inner | None),
    ("inside a list of models", list[Inner]),
    ("inside a dataclass", Data),
    ("inside a typed dict", Typed),
    ("inside a named tuple", Named),
    ("inside a model that holds itself", Node),
]


@pytest.mark.parametrize("kind", [kind for _, kind in KINDS], ids=[name for name, _ in KINDS])
def test_the_mark_counts_wherever_it_stands(kind: Any) -> None:
    """A field that holds a secret anywhere in its type is masked whole."""
    model: Any = type("Holder", (Row,), {"__annotations__": {"id": str, "held": kind}, "__module__": __name__})
    assert secret_fields(model) == {"held"}
    assert repr(model.model_construct(id="1", held="value")) == "Holder(id='1', held=••••)"


def test_a_model_without_secrets_has_none() -> None:
    """And a subclass has those of its base, and its own."""

    class Plain(Row):
        id: str
        inner: list[dict[str, int | None]] = []

    class Further(User):
        pin: Annotated[str, Secret()] = ""

    assert secret_fields(Plain) == set()
    assert secret_fields(User) == {"token", "word", "code", "friend"}
    assert secret_fields(Further) == {"token", "word", "code", "friend", "pin"}


def test_a_schema_names_its_secrets() -> None:
    """So that whatever shows rows can ask."""
    assert Store.__schemas__["users"].secrets == {"token", "word", "code", "friend"}
    assert masked({"id": "1", "word": HIDDEN, "token": None}, Store.__schemas__["users"].secrets) == {
        "id": "1",
        "word": MASK,
        "token": None,
    }


def test_a_key_is_no_secret() -> None:
    """It names its row in every message, so such a class is refused."""

    class Keyed(Row):
        id: Annotated[str, Secret()]

    with pytest.raises(SchemaError, match=r"^keyed\.id: a primary key can't be Secret"):

        class _(Database):
            keyed: Table[Keyed]


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Strict(Row):
    id: str
    word: Annotated[str, Secret()] = ""
    other: int = 0
    forms: Annotated[dict[str, int], Secret()] = {}

    @field_validator("word")
    @classmethod
    def _speaks(cls, value: str) -> str:
        if value == HIDDEN:
            raise ValueError(f"{value} is too easily guessed")
        return value

    @model_validator(mode="after")
    def _speaks_too(self) -> "Strict":
        if self.other == 9:
            raise ValueError(f"{self.word} can't be with 9")
        return self


class StrictStore(Database):
    rows: Table[Strict]


def test_a_row_that_does_not_validate_does_not_repeat_its_input() -> None:
    """Pydantic's own errors quote what they were given, up to the whole row; those of a model with secrets don't."""
    wrong: list[dict[str, Any]] = [
        {"id": "1", "word": [HIDDEN]},
        {"word": HIDDEN[:-1] + "3"},
        {"id": "1", "code": HIDDEN},
        {"id": "1", "word": HIDDEN[:-1] + "3", "unknown": 3},
    ]
    for values in wrong:
        with pytest.raises(ValidationError) as raised:
            Strict(**values) if "code" not in values else User(**values)
        assert "hunter" not in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        {"word": HIDDEN},
        {"word": [HIDDEN]},
        {"word": OTHER, "other": 9},
        {"word": OTHER, "other": "hunter"},
        {"word": f"{OTHER}\ud800"},
        {"word": OTHER, "forms": {HIDDEN: "x"}},
        {"word": OTHER, "unknown": 1},
    ],
)
def test_invalid_rows_do_not_show_secrets(values: dict[str, Any]) -> None:
    """No InvalidRow does, in its message, its attributes or its causes; it names table, key and field."""
    with StrictStore("memory:") as db:
        writes: list[Callable[..., object]] = [db.rows.create]
        if "unknown" not in values:
            writes.append(lambda **values: db.rows.insert(Strict.model_construct(**values)))
        for write in writes:
            with pytest.raises(InvalidRow) as raised:
                write(**{"id": "1", "word": "", "other": 0, "forms": {}, **values})
            assert raised.value.table == "rows"
            for line in shown(raised.value).splitlines():
                assert HIDDEN not in line.partition("write(**")[2] or "pytest" in line, line
            assert HIDDEN not in str(raised.value)
            assert OTHER not in str(raised.value)
            assert raised.value.__cause__ is None


def test_constraint_errors_do_not_show_secrets(db: Store) -> None:
    """Neither their messages nor `value` do; a tuple of several fields keeps what is no secret."""
    db.users.insert(User(id="1", name="ann", token=HIDDEN, word=HIDDEN))
    cases: list[tuple[type[Any], Callable[[], object], object]] = [
        (UniqueViolation, lambda: db.users.insert(User(id="2", token=HIDDEN)), MASK),
        (UniqueViolation, lambda: db.users.insert(User(id="2", name="ann", word=HIDDEN)), ("ann", MASK)),
        (ForeignKeyViolation, lambda: db.users.insert(User(id="2", friend=HIDDEN)), MASK),
        (StaleRow, lambda: db.users.replace(User(id="1"), expected=User(id="1", word=OTHER)), None),
    ]
    for error, write, value in cases:
        with pytest.raises(error) as raised:
            write()
        assert raised.value.value == value
        assert HIDDEN not in shown(raised.value)
        assert OTHER not in shown(raised.value)
    assert db.check() == []


def test_questions_do_not_show_secrets(db: Store) -> None:
    """Neither a condition, nor a query, nor an error about one."""
    word: Any = User.word
    condition = (word == HIDDEN) | (User.token == OTHER)
    assert "hunter" not in repr(condition)
    assert "hunter" not in repr(db.users.where(condition))
    assert "hunter" not in refuses(InvalidQuery, lambda: word == condition)
    assert "hunter" not in refuses(InvalidQuery, lambda: word > User(id="1", word=HIDDEN))
    assert "hunter" not in refuses(InvalidQuery, lambda: db.users.where(code=HIDDEN))


def test_groups_do_not_show_secrets(db: Store) -> None:
    """Neither by what they are grouped, nor the greatest of them; their number is none, and attributes are values."""
    db.users.insert(User(id="1", name="Ann", word=HIDDEN, token=OTHER))
    [by_word] = db.users.group_by(User.word).aggregate(n=Count(), token=Max(User.token), tokens=Count(User.token))
    assert repr(by_word) == f"Group({MASK}, n=1, token={MASK}, tokens=1)"
    assert (by_word.key, by_word.token) == (HIDDEN, OTHER)
    [by_both] = db.users.group_by(User.name, User.word).aggregate(n=Count())
    assert repr(by_both) == f"Group(('Ann', {MASK}), n=1)"


def test_a_secret_is_found_like_any_value(db: Store) -> None:
    """By its index too; `get` and `where` give the value."""
    db.users.insert(User(id="1", token=HIDDEN, word=OTHER))
    plan = db.users.where(User.token == HIDDEN).explain()
    assert plan.index == "token"
    assert db.users.where(User.token == HIDDEN).one().word == OTHER
    assert db.users.update("1", word=HIDDEN).word == HIDDEN


# ── what is handed out ──────────────────────────────────────────────────────────────────────────────────────────────


def test_history_does_not_show_secrets(db: Store) -> None:
    """Commits, differences and the feed say that a secret changed, and not from what to what."""
    db.users.insert(User(id="1", token=HIDDEN, word=HIDDEN))
    db.users.update("1", word=OTHER, name="ann")
    db.users.delete("1")
    with db.history.follow(since=0) as feed:
        followed = list(islice(feed, 3))
    commits = list(db.history.commits(oldest_first=True))
    for changes in (commits, followed, [db.history.diff(0, 2)], [db.history.diff(2, 0)], [db.history.diff(1, 2)]):
        text = repr(changes) + "".join(map(str, changes))
        text += json.dumps([(change.before, change.after, change.fields) for each in changes for change in _of(each)])
        assert "hunter" not in text
    replaced = commits[1].changes[0]
    assert (replaced.before or {})["word"] == (replaced.after or {})["word"] == MASK
    assert replaced.fields == {"word": (MASK, MASK), "name": ("", "ann")}
    assert replaced.changed == ("name", "word")
    assert str(replaced) == '~ users 1   name "" → "ann"   word "••••" → "••••"'
    assert commits[0].changes[0].fields["token"] == (None, MASK)
    assert db.history.diff(1, 2).changes[0].fields == replaced.fields
    assert db.history.diff(2, 1).changes[0].fields["name"] == ("ann", "")


def _of(each: Any) -> tuple[Any, ...]:
    return each.changes  # type: ignore[no-any-return]


def test_differences_of_whole_states_do_not_show_secrets(tmp_path: Path) -> None:
    """Nor of a snapshot file, a past or a fork."""
    with Store(tmp_path / "data", fsync=False, banner=False, snapshot="always") as db:
        db.users.insert(User(id="1", token=HIDDEN, word=HIDDEN))
        kept = tmp_path / "kept.json"
        kept.write_bytes((tmp_path / "data" / "db_snapshot.json").read_bytes())
        assert HIDDEN in kept.read_text()
        db.users.update("1", word=OTHER)
        with db.history.at(1) as past, db.history.fork() as fork:
            fork.users.update("1", word="third")
            for diff in (db.history.diff(kept), db.history.diff(past), db.history.diff(fork)):
                (change,) = diff
                assert change.fields == {"word": (MASK, MASK)}
                assert "hunter" not in repr(diff) + str(diff)
            assert past.users["1"].word == HIDDEN
            assert fork.users["1"].token == HIDDEN


def test_undo_brings_secrets_back_and_does_not_show_them(db: Store) -> None:
    """What it reports, conflicts included, has none of their values."""
    db.users.insert(User(id="1", word=HIDDEN))
    db.users.update("1", word=OTHER)
    revert = db.history.undo(2)
    assert db.users["1"].word == HIDDEN
    assert "hunter" not in repr(revert)
    db.users.update("1", word="third-hunter")
    with pytest.raises(UndoConflict) as raised:
        db.history.undo(3)
    assert raised.value.conflicts[0].field == "word"
    assert (raised.value.conflicts[0].then, raised.value.conflicts[0].now) == (MASK, MASK)
    assert "hunter" not in shown(raised.value)
    db.users.delete("1")
    db.users.insert(User(id="1", name="new", word="fourth-hunter"))
    dry = db.history.undo(5, dry_run=True)
    assert dry.conflicts
    assert "hunter" not in repr(dry)
    db.users.insert(User(id="2", name="two", word=OTHER))
    db.users.update("2", name="new", word="fifth")
    db.users.update("1", word=OTHER, name="two")
    unique = db.history.undo(8, dry_run=True)
    assert [conflict.kind for conflict in unique.conflicts] == ["unique"]
    assert unique.conflicts[0].now == ("two", MASK)
    assert "hunter" not in repr(unique)


def test_pages_and_responses_leave_secrets_out(db: Store) -> None:
    """`page_json` is for readers outside; a responder refuses a model with secrets by name."""
    db.users.insert(User(id="1", name="ann", token=HIDDEN, word=OTHER))
    for array, _ in (
        db.users.order_by(User.id).page_json(limit=5),
        db.users.order_by(User.id).page_json(limit=5, max_bytes=10),
    ):
        assert json.loads(array) == [{"id": "1", "name": "ann"}]
    with pytest.raises(TypeError, match=r"^User\.code is secret"):
        RowResponder(User, User)


def test_nobody_can_ask_a_list_for_secrets(db: Store) -> None:
    """A cursor holds the values that it stands behind, a filter tells by its answers: a secret has neither."""
    for ordered in (db.users.order_by(User.word), db.users.order_by(User.name, desc(User.code))):
        for ask in (ordered.page, ordered.page_json):
            message = refuses(InvalidQuery, ask, "secret", "cursor")
            assert "User.word" in message or "User.code" in message
        assert ordered.all() == []
    with pytest.raises(TypeError, match=r"^User\.word is secret"):
        ListParams(User, ["name", "word"], "name")
    assert list(ListParams(User, ["name"], "name").fields) == ["name"]


def test_the_log_does_not_show_secrets(db: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails on the way."""
    caplog.set_level(logging.DEBUG)

    def fail(db: Store) -> None:
        db.users.insert(User(id="1", token=HIDDEN))
        db.users.insert(User(id="2", token=HIDDEN))

    with pytest.raises(UniqueViolation):
        asyncio.run(db.run(fail))
    assert "hunter" not in caplog.text
