"""The header names secrets and transient tables, so that a tool without the models does right by the rows."""

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Annotated, Any

import pytest
from tests.snaptable.support import WAYS, begun_anew

from snaptable import CorruptSnapshot, Database, Row, Secret, Table, table

HIDDEN = "hunter2-correct-horse"


class User(Row):
    id: str
    name: str = ""
    word: Annotated[str, Secret()] = ""
    code: Annotated[int | None, Secret()] = None


class Session(Row):
    id: str


class Marked(Database):
    users: Table[User]
    sessions: Table[Session] = table(transient=True)


class PlainUser(Row):
    id: str
    name: str = ""
    word: str = ""
    code: int | None = None


class Plain(Database):
    users: Table[PlainUser]
    sessions: Table[Session]


def header_of(directory: Path) -> dict[str, Any]:
    """Return the header of the snapshot in a directory."""
    header: dict[str, Any] = json.loads((directory / "db_snapshot.json").read_text())["snaptable"]
    return header


MARKS = {"secret": {"users": ["code", "word"]}, "transient": ["sessions"]}


def marks_in(directory: Path) -> dict[str, Any]:
    """Return what a snapshot's header says of the tables."""
    return {name: value for name, value in header_of(directory).items() if name in ("secret", "transient")}


def test_the_header_names_them(tmp_path: Path) -> None:
    """After every way of beginning anew; where there is nothing to say, it has no such member."""
    db = Marked(tmp_path / "data", fsync=False, banner=False).open()
    db.users.insert(User(id="1", word=HIDDEN))
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert again.directory is not None
            again.users.upsert(User(id="2"))
            again.persist()
            assert marks_in(again.directory) == MARKS
    assert marks_in(tmp_path / "data") == MARKS
    with Plain(tmp_path / "plain", fsync=False, banner=False) as plain:
        plain.users.insert(PlainUser(id="1"))
    assert marks_in(tmp_path / "plain") == {}


def test_it_says_what_the_models_say(tmp_path: Path) -> None:
    """A store that other models have opened says so after it is closed, though no row was changed."""
    for models, expected in ((Plain, {}), (Marked, MARKS), (Plain, {}), (Marked, MARKS)):
        with models(tmp_path / "data", fsync=False, banner=False) as db:
            sequence = db.status().sequence
            if not sequence:
                db.tables["users"].create(id="1")
        assert marks_in(tmp_path / "data") == expected
    before = (tmp_path / "data" / "db_snapshot.json").read_bytes()
    with Marked(tmp_path / "data", fsync=False, banner=False):
        pass
    assert (tmp_path / "data" / "db_snapshot.json").read_bytes() == before


@pytest.mark.parametrize("wrong", [{"secret": ["users"]}, {"secret": {"users": "word"}}, {"transient": {"a": 1}}])
def test_a_header_that_says_it_wrongly_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """By file and line, as any other damage of the header."""
    path = tmp_path / "data" / "db_snapshot.json"
    with Marked(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="1"))
    lines = path.read_text().splitlines(keepends=True)
    header = json.loads(lines[1].removeprefix('"snaptable": ').rstrip(",\n"))
    lines[1] = f'"snaptable": {json.dumps(header | wrong)},\n'
    body = "".join(lines[:-2]).encode()
    path.write_bytes(body + b'"checksum": "crc32:%08x"\n}\n' % zlib.crc32(body))
    with pytest.raises(CorruptSnapshot, match="its header is incomplete: `secret` or `transient`"):
        Marked(tmp_path / "data", banner=False).open()


def accept(directory: Path, *options: str) -> str:
    """Accept an edit, and return what the command said."""
    command = [sys.executable, "-m", "snaptable.cli", "accept", str(directory), "--yes", *options]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--schema", f"{__name__}:Marked")])
def test_an_edit_is_shown_without_secrets(tmp_path: Path, options: tuple[str, ...]) -> None:
    """With the models or without, the names of what changed are told; and the header keeps what it said."""
    path = tmp_path / "data" / "db_snapshot.json"
    with Marked(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert_many([User(id="1", word=HIDDEN, code=77340077340), User(id="2", word="hunter3")])
    edited = json.loads(path.read_text())
    edited["users"]["1"] |= {"word": "hunter4", "code": 77340077341, "name": "ann"}
    edited["users"]["3"] = {"id": "3", "name": "eve", "word": "hunter5", "code": None}
    path.write_text(json.dumps(edited, indent=1))
    said = accept(tmp_path / "data", *options)
    for line in ('name: "" -> "ann"', "word: •••• -> ••••", "code: •••• -> ••••", '+ "3": {"id": "3", "name": "eve"'):
        assert line in said
    assert "hunter" not in said
    assert "7734007734" not in said
    assert marks_in(tmp_path / "data") == MARKS
    with Marked(tmp_path / "data", fsync=False, banner=False) as db:
        assert db.users["1"].word == "hunter4"
