"""`id: int = numbered()`: a key that the table numbers, and an int to a type checker."""

from pathlib import Path
from typing import Annotated

import pytest

from snaptable import Database, ForeignKey, PrimaryKey, Row, SchemaError, Table, numbered


class Note(Row):
    id: int = numbered()
    text: str = ""


class Reply(Row):
    no: Annotated[int, PrimaryKey()] = numbered()
    note_id: Annotated[int, ForeignKey(Note)]
    tags: list[str] = []  # noqa: RUF012 - a model's default is copied by Pydantic


class Board(Database):
    notes: Table[Note]
    replies: Table[Reply]


def test_the_table_gives_the_numbers(tmp_path: Path) -> None:
    """Each is greater than all before, across a restart and a deletion, whether the field is called `id` or marked."""
    with Board(tmp_path / "data") as db:
        first = db.notes.insert(Note(text="a"))
        assert db.replies.insert(Reply(note_id=first.id)).no == 1
        assert [row.id for row in db.notes.insert_many([Note(id=7), Note()])] == [7, 8]
        db.notes.delete(8)
    with Board(tmp_path / "data") as db:
        assert [row.id for row in db.notes] == [1, 7]
        assert db.notes.insert(Note()).id == 9
        assert db.notes.upsert(Note(text="b")).id == 10
        assert db.notes.schema.numbered
        assert db.replies.insert(Reply(note_id=7)).no == 2
        assert db.check() == []


def test_only_a_key_is_numbered() -> None:
    """Another field, or a key of another type, is refused by name."""

    class Wrong(Row):
        id: str
        number: int = numbered()

    class Text(Row):
        id: str = numbered()  # type: ignore[assignment]

    with pytest.raises(SchemaError, match=r"wrongs\.number: numbered\(\) is for a primary key that is an int"):

        class First(Database):
            wrongs: Table[Wrong]

    with pytest.raises(SchemaError, match=r"texts\.id: numbered\(\) is for a primary key that is an int"):

        class Second(Database):
            texts: Table[Text]
