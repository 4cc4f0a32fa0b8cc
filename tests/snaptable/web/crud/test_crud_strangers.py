"""What a caller of a router may send without getting another's rows, or an error of ours: every text of an address."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import pytest
from fastapi import FastAPI, Header
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from starlette.testclient import TestClient
from tests.growth import assert_proportional

from snaptable import Database, ForeignKey, Index, Row, Secret, Table, new_id, table, utc_now
from snaptable.web import ALL, IdempotencyKey, crud_router, feed_router, install_problems
from snaptable.web.cookies import cookie_of

SECRET = "hush-hush"


class User(Row):
    id: str
    pin: Annotated[str, Secret()] = SECRET
    shadow: Annotated[str, Index()] = "hidden-words"


class Note(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    text: Annotated[str, Index(ordered=True)] = ""
    at: Annotated[datetime, Index(ordered=True)] = Field(default_factory=utc_now)


class Notes(Database):
    users: Table[User]
    notes: Table[Note]
    answers: Table[IdempotencyKey] = table(transient=True)


class Caller:
    """Who calls; what tells one from another is the id alone."""

    def __init__(self, key: str) -> None:
        self.id = key


def caller(x_user: Annotated[str, Header()]) -> Caller:
    """Return who the header says."""
    return Caller(x_user)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Give a client of an application in which ann and bob have notes, and all commits the same actor."""
    with Notes("memory:") as db:
        for key in ("ann", "bob"):
            db.users.create(id=key)
            db.notes.create(id=f"{key}-1", user_id=key, text=f"of {key}")
        app = FastAPI()
        install_problems(app)
        app.include_router(crud_router(db.users, caller=caller, hidden=["shadow"], expand=["notes"]))
        options = {"caller": caller, "owner": "user_id", "expand": ["user", "user.notes"]}
        app.include_router(
            crud_router(db.notes, allow=ALL | {"history", "restore"}, actor=lambda _me: "the service", **options)  # type: ignore[arg-type]
        )
        app.include_router(feed_router(db, caller=caller))
        with TestClient(app, raise_server_exceptions=False) as made:
            yield made


def as_(key: str, **headers: str) -> dict[str, str]:
    """Return the headers of a caller."""
    return {"X-User": key, **headers}


def test_a_kept_answer_is_of_its_caller_alone(client: TestClient) -> None:
    """Ensure two callers with the same Idempotency-Key and body get rows of their own, though the history names one."""
    sent = {"json": {"text": "the same"}, "headers": {"Idempotency-Key": "1"}}
    first, again, other = (
        client.post("/notes", json=sent["json"], headers=as_(key, **sent["headers"])) for key in ("ann", "ann", "bob")
    )
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["user_id"]) == (201, "bob")


EDGES = ["0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00-23:59", "0001-01-01", "9999-12-31T23:59:59.999999-23:59",
         "9999-12-31", "0", "-1", "9" * 18, "9" * 19, "٣", "NaT"]  # fmt: skip


@pytest.mark.parametrize("text", EDGES)
def test_every_moment_is_one_or_is_refused(client: TestClient, text: str) -> None:
    """Ensure the ends of the calendar, and of numbers, are moments or 422, wherever a request names one."""
    asked = [
        client.get("/notes", params={"at": text}, headers=as_("ann")),
        client.get("/notes", params={"at__gte": text}, headers=as_("ann")),
        client.get("/notes/ann-1", params={"at": text}, headers=as_("ann")),
        client.get("/notes/ann-1/history", params={"until": text}, headers=as_("ann")),
        client.post("/notes/ann-2/restore", json={"at": text}, headers=as_("ann")),
    ]
    assert not {answer.status_code for answer in asked} - {200, 204, 404, 410, 422}


NAMES = st.sampled_from(
    ["id", "user", "user.notes", "notes", "pin", "shadow", "user.pin", "user.shadow", "user_id", "", "a"]
)
PATHS = st.lists(NAMES, max_size=4).map(".".join) | st.integers(1, 20_000).map(lambda n: ".".join("a" * n))
TEXTS = st.text(max_size=20) | st.sampled_from(["%00", "\0", "\ud800", "1e999999", "-0", "true", "ann-1,bob-1"])
ASKED = st.dictionaries(
    st.sampled_from([
        "fields", "expand", "sort", "limit", "cursor", "count", "at", "q", "id", "id__in", "text__contains", "pin",
        "pin__starts_with", "shadow", "shadow__ne", "user_id", "user_id__ne", "__class__", "at__isnull", "text__",
    ]),
    PATHS | TEXTS,
    max_size=4,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(path=st.sampled_from(["/notes", "/notes/bob-1", "/notes/ann-1", "/users", "/users/bob"]), asked=ASKED)
def test_no_address_shows_what_is_anothers(client: TestClient, path: str, asked: dict[str, str]) -> None:
    """Ensure that whatever ann asks for, nothing of bob's notes, no secret and no hidden field comes, and no 500."""
    params = {name: text.encode("utf-8", "surrogatepass") for name, text in asked.items()}
    answer = client.get(path, params=params, headers=as_("ann"))
    assert answer.status_code in (200, 404, 410, 422), (answer.status_code, asked)
    assert not any(word in answer.text for word in ("of bob", SECRET, "hidden-words"))


def test_nobody_filters_by_what_is_not_shown(client: TestClient) -> None:
    """Ensure filters, sorts and selections of secrets and hidden fields are 422: their answers would tell them."""
    for params in ({"pin": SECRET}, {"pin__starts_with": "h"}, {"shadow": "x"}, {"sort": "pin"}, {"fields": "shadow"},
                   {"fields": "notes.user.pin", "expand": "notes"}):  # fmt: skip
        assert client.get("/users", params=params, headers=as_("ann")).status_code == 422, params


def test_a_cursor_leads_nowhere_else(client: TestClient) -> None:
    """Ensure the cursor of one caller's list gives another caller their own rows, or is refused."""
    for _ in range(3):
        client.post("/notes", json={"text": "more"}, headers=as_("bob"))
    cursor = client.get("/notes", params={"limit": 1}, headers=as_("bob")).json()["next_cursor"]
    answer = client.get("/notes", params={"limit": 200, "cursor": cursor}, headers=as_("ann"))
    assert answer.status_code == 422 or {row["user_id"] for row in answer.json()["items"]} <= {"ann"}


@pytest.mark.parametrize("write", ["PATCH", "PUT", "POST", "bulk"])
def test_no_body_sets_what_it_may_not(client: TestClient, write: str) -> None:
    """Ensure the owner, hidden fields and the key of a row are set by no verb."""
    before = client.get("/notes/ann-1", headers=as_("ann")).json()
    for extra in ({"user_id": "bob"}, {"id": "bob-1"}, {"__class__": "x"}):
        body = {"text": before["text"], **extra}
        match write:
            case "POST" if "id" not in extra:
                answer = client.post("/notes", json=body, headers=as_("ann"))
            case "POST":
                answer = client.post("/notes", json=body, headers=as_("ann"))
                assert answer.status_code == 409, answer.text  # a key that is taken, which tells no more
                continue
            case "bulk":
                update = {"update": [{"id": "ann-1", **{name: value for name, value in body.items() if name != "id"}}]}
                answer = client.post("/notes/bulk", json=update, headers=as_("ann"))
                if "id" in extra:
                    continue
            case _:
                answer = client.request(write, "/notes/ann-1", json=body, headers=as_("ann"))
        assert answer.status_code in (404, 422), (write, extra, answer.status_code)
    assert client.get("/notes/ann-1", headers=as_("ann")).json() == before


def test_a_cookie_is_read_in_proportion_to_its_size() -> None:
    """Ensure a cookie full of escapes costs what it weighs; Python's own parser takes the square of it."""

    def head(size: int) -> dict[str, object]:
        """Return the scope of a request with such a cookie."""
        return {"headers": [(b"cookie", b'x="%b"; y=1' % (b"\\1" * size))]}

    assert cookie_of(head(3), "y") == "1"
    assert cookie_of(head(3), "z") is None
    assert_proportional(lambda scope: [cookie_of(scope, "y") for _ in range(20)], head, 100_000)
