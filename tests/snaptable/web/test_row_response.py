"""Stored rows as responses: no other JSON than is documented, and the very bytes that the model gives."""

import json
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from snaptable import Database, Row, Table
from snaptable.web import RowResponder


class Mark(Row):
    """A row that holds a bit of everything."""

    id: str
    text: str | None
    at: datetime
    box: dict[str, Any]


class Marks(Database):
    """A database of marks."""

    marks: Table[Mark]


class MarkOut(BaseModel):
    """What is documented of a mark."""

    id: str
    text: str | None
    at: datetime
    box: dict[str, Any]


def test_a_row_that_is_not_what_is_documented_is_refused() -> None:
    """Ensure that a field too many, too few, or of another type can't be sent: it could be a secret."""

    class Fewer(BaseModel):
        id: str
        text: str | None
        at: datetime

    class More(MarkOut):
        user: str

    class Other(MarkOut):
        text: str

    for documented in (Fewer, More, Other):
        with pytest.raises(TypeError, match=rf"rows of Mark are not sent as {documented.__name__} says"):
            RowResponder(Mark, documented)


def test_a_type_within_itself_has_a_shape() -> None:
    """Ensure that rows with such a field can be sent, and that it is compared."""

    class Tree(Row):
        id: str
        parts: "dict[str, Tree]"

    class Branch(BaseModel):
        id: str
        parts: "dict[str, Branch]"

    class Leaf(BaseModel):
        id: str
        parts: dict[str, str]

    RowResponder(Tree, Branch)
    with pytest.raises(TypeError):
        RowResponder(Tree, Leaf)


def test_rows_are_sent_as_the_documented_model_would_be() -> None:
    """Ensure the same bytes, for one row and for a page, with the status and the cursor."""
    respond = RowResponder(Mark, MarkOut)
    with Marks("memory:") as db:
        rows = [
            db.marks.insert(Mark(id=key, text="é\u2028\n", at=datetime(2026, 1, 2, 3, 4), box={"x": [1, None, 2.5]}))  # noqa: DTZ001
            for key in ("a", "b", "c")
        ]
        one = respond.one(rows[0], 201)
        page = respond.page(db.marks.where().page_json(limit=2))
        last = respond.page(db.marks.where().page_json(limit=3))
    documented = [MarkOut.model_validate(row, from_attributes=True).model_dump_json() for row in rows]
    assert (one.status_code, one.media_type, one.body) == (201, "application/json", documented[0].encode())
    content = json.loads(bytes(page.body))
    assert content["items"] == [json.loads(text) for text in documented[:2]]
    assert isinstance(content["next_cursor"], str)
    assert bytes(last.body) == b'{"items":[%b],"next_cursor":null}' % ",".join(documented).encode()


def test_a_set_has_one_tag() -> None:
    """Ensure that a row's tag and JSON don't depend on how its set was made, or in which process."""

    class Bag(Row):
        id: str
        numbers: set[int]

    class BagOut(BaseModel):
        id: str
        numbers: set[int]

    responder = RowResponder(Bag, BagOut)
    rows = [Bag(id="a", numbers=numbers) for numbers in ({7, 15}, {15, 7})]
    assert len({tuple(row.numbers) for row in rows}) == 2  # they collide, so the first one in comes out first
    answers = [responder.one(row) for row in rows]
    assert {answer.body for answer in answers} == {b'{"id":"a","numbers":[7,15]}'}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
