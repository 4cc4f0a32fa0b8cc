"""The routes of crud_router: what each does, for whom, and what a stranger can send."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI, Header
from pydantic import BaseModel
from starlette.testclient import TestClient
from tests.snaptable.web.crud.shelf import BEN, Document, Shelf, User, caller, routed, shelf

from snaptable import Database, ForeignKey, Row, Table
from snaptable.web import Hooks, Problem, Rules, crud_router, install_problems

PROBLEM = "application/problem+json"


def test_the_life_of_a_row() -> None:
    """Ensure that a row can be added, shown, listed, changed, replaced and deleted, with its tag and its address."""
    with shelf() as (db, client):
        made = client.post("/documents", json={"title": "One", "pages": 3, "tags": ["x"], "pin": "1234"})
        assert made.status_code == 201, made.text
        row = made.json()
        path = f"/documents/{row['id']}"
        assert made.headers["location"] == path
        assert row["user_id"] == "ann"
        assert set(row) == set(Document.model_fields) - {"pin", "score"}
        assert db.documents[row["id"]].pin == "1234"

        shown = client.get(path)
        assert shown.json() == row
        assert shown.headers["etag"] == made.headers["etag"]
        assert client.get(path, headers={"If-None-Match": shown.headers["etag"]}).status_code == 304

        changed = client.patch(path, json={"pages": 4, "box": {"x": 1}})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["pages"], changed.json()["box"]) == (4, {"x": 1, "y": 0})
        assert changed.json()["updated_at"] > row["updated_at"]
        assert client.get("/documents").json() == {"items": [changed.json()], "next_cursor": None}

        replaced = client.put(path, json={"title": "Two"})
        assert replaced.status_code == 200, replaced.text
        assert replaced.json() == {
            **row, "title": "Two", "pages": 1, "tags": [], "updated_at": replaced.json()["updated_at"],
        }  # fmt: skip
        assert db.documents[row["id"]].pin == "1234"

        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
        commits = list(db.history.commits("documents"))
        assert [commit.actor for commit in commits] == ["ann"] * 4
        assert [commit.via for commit in commits] == [
            f"DELETE {path}", f"PUT {path}", f"PATCH {path}", "POST /documents",
        ]  # fmt: skip


def test_a_row_may_be_sent_as_it_was_read() -> None:
    """Ensure that PUT of what GET showed changes nothing, secrets and hidden fields included."""
    with shelf() as (db, client):
        path = client.post("/documents", json={"title": "One", "meta": {"a": 1}, "pin": "1"}).headers["location"]
        before = db.history.sequence
        assert client.put(path, json=client.get(path).json()).status_code == 200
        assert db.history.sequence == before


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PATCH", {"pages": 2}), ("PUT", {"title": "Mine"}), ("DELETE", None)]
)
def test_anothers_row_is_the_same_404_as_none(method: str, body: Any) -> None:
    """Ensure on every verb that who may not see a row can't tell it from one that isn't there, nor change it."""
    with shelf(allow={"get", "create", "update", "replace", "delete"}) as (db, client):
        made = client.post("/documents", json={"id": "d1", "title": "One"})
        before = db.history.sequence
        for query in ("", "?dry_run=true") if method == "DELETE" else ("",):
            others = client.request(method, f"/documents/d1{query}", json=body, headers=BEN)
            assert (others.status_code, others.headers["content-type"]) == (404, PROBLEM)
            if method != "PUT":  # which would add it
                none = client.request(method, f"/documents/d2{query}", json=body, headers=BEN)
                assert others.json() == none.json()
        assert client.get("/documents/d1", headers={**BEN, "If-None-Match": "*"}).status_code == 404
        assert client.get("/documents/d1").json() == made.json()
        assert db.history.sequence == before


def test_lists_counts_and_expansions_show_own_rows_alone() -> None:
    """Ensure that another's rows are neither listed, counted, found by a filter, nor shown inside of one's own."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        client.post("/documents", json={"id": "d2", "title": "Two"}, headers=BEN)
        db.annotations.create(user_id="ben", document_id="d1", text="hidden")
        db.annotations.create(user_id="ann", document_id="d1", text="seen")
        for query in ("", "?id__in=d1,d2", "?title__ne=x", "?q=o", "?sort=-pages&limit=1"):
            listed = client.get(f"/documents{query}{'&' if query else '?'}count=exact").json()
            assert [item["id"] for item in listed["items"]] == ["d1"], query
            assert (listed["total"], listed["next_cursor"]) == (1, None)
        (item,) = client.get("/documents?expand=annotations,user&fields=id,annotations.text,user").json()["items"]
        assert item == {
            "id": "d1",
            "annotations": {"items": [{"text": "seen"}], "next_cursor": None},
            "user": {"id": "ann", "name": "Ann"},
        }


def test_a_reference_to_what_may_not_be_seen_is_one_to_nothing() -> None:
    """Ensure that nobody attaches a row to another's, nor learns so that there is one; by POST, PATCH and PUT."""
    with shelf() as (_, client):
        client.post("/documents", json={"id": "d1", "title": "One"}, headers=BEN)
        client.post("/documents", json={"id": "d2", "title": "Two"})
        refused = [client.post("/annotations", json={"document_id": key}) for key in ("d1", "nowhere")]
        assert [answer.status_code for answer in refused] == [409, 409]
        assert refused[0].json() == refused[1].json()
        theirs = client.post("/annotations", json={"document_id": "d1"}, headers=BEN).json()["id"]
        path = client.post("/annotations", json={"document_id": "d2"}).headers["location"]
        assert client.patch(path, json={"reply_to": theirs}).status_code == 409
        assert client.put(path, json={"document_id": "d2", "reply_to": theirs}).status_code == 409
        assert client.patch(path, json={"document_id": "d1"}).status_code == 422  # fixed
        assert client.put(path, json={"document_id": "d1"}).json()["errors"][0]["pointer"] == "/document_id"


def test_rules_hold_on_every_verb() -> None:
    """Ensure that each rule is asked with what was and what would be, inside the transaction that it can refuse."""
    asked: list[Any] = []

    def record(answer: bool) -> Any:
        def rule(me: User, *rows: Document) -> bool:
            asked.append((me.id, *(row.title for row in rows)))
            return answer

        return rule

    read = lambda me: (Document.user_id == me.id) | (Document.title == "Public")  # noqa: E731
    for allowed in (True, False):
        answers = record(allowed)
        rules = Rules(read=read, create=answers, update=answers, delete=answers)
        with shelf(owner=None, rules=rules) as (db, client):
            db.documents.insert(Document(id="d1", user_id="ann", title="One", updated_at=datetime.now(UTC)))
            asked.clear()
            statuses = [
                client.post("/documents", json={"title": "New", "user_id": "ann"}).status_code,
                client.patch("/documents/d1", json={"title": "Two"}).status_code,
                client.put("/documents/d1", json={"title": "Three", "user_id": "ann"}).status_code,
                client.delete("/documents/d1").status_code,
                client.patch("/documents/d1", json={"title": "Four"}, headers=BEN).status_code,
            ]
            assert statuses == ([201, 200, 200, 204, 404] if allowed else [403, 403, 403, 403, 404])
            second = "Two" if allowed else "One"
            third = "Three" if allowed else "One"
            assert asked == [("ann", "New"), ("ann", "One", "Two"), ("ann", second, "Three"), ("ann", third)]
            if not allowed:
                assert [row.title for row in db.documents] == ["One"]


def test_without_a_rule_a_row_must_stay_visible() -> None:
    """Ensure that nobody adds or changes a row out of their own sight, if nothing else was said."""
    rules = Rules(read=lambda me: Document.user_id == me.id)
    with shelf(owner=None, rules=rules) as (db, client):
        assert client.post("/documents", json={"title": "For ben", "user_id": "ben"}).status_code == 403
        path = client.post("/documents", json={"title": "One", "user_id": "ann"}).headers["location"]
        assert client.patch(path, json={"user_id": "ben"}).status_code in (403, 409)
        assert client.patch(path, json={"user_id": "zoe"}).status_code == 403
        assert [row.user_id for row in db.documents] == ["ann"]


ROUTES = [
    ("GET", ""), ("POST", ""), ("GET", "/1"), ("PATCH", "/1"), ("PUT", "/1"), ("DELETE", "/1"), ("POST", "/bulk"),
    ("GET", "/1/history"), ("POST", "/1/restore"),
]  # fmt: skip


def test_who_is_not_known_is_asked_who_they_are() -> None:
    """Ensure 401 on every route, from the caller's dependency."""
    with shelf() as (_, client):
        del client.headers["X-User"]
        for method, path in ROUTES:
            body = {"title": "One"} if method in ("POST", "PATCH", "PUT") else None
            assert client.request(method, f"/documents{path}", json=body).status_code == 401


# ── what a stranger can send ────────────────────────────────────────────────────────────────────────────────────────

UNKNOWN = [
    {"title": "x", "user_id": "ben"}, {"title": "x", "score": 9}, {"title": "x", "updated_at": "2026-01-01T00:00:00Z"},
    {"title": "x", "nonsense": 1}, {"title": "x", "__class__": {}},
]  # fmt: skip
WRONG = [
    {}, {"title": None}, {"title": 1}, {"title": "x", "pages": "3"}, {"title": "x", "pages": -1},
    {"title": "x", "pages": 1.5}, {"title": "x", "pages": True}, {"title": "x", "tags": "x"},
    {"title": "x", "tags": [1]}, {"title": "x", "box": {"x": "1"}}, {"title": "x", "box": []},
    {"title": "x", "meta": []}, {"title": "x", "created_at": 17}, {"title": "x", "created_at": "yesterday"},
    {"title": "x", "id": ""}, {"title": "x", "id": "a/b"}, {"title": "x", "id": ".."}, {"title": "x", "id": 1},
    [], "text", 1, None, True,
]  # fmt: skip


@pytest.mark.parametrize("body", UNKNOWN + WRONG, ids=str)
def test_bodies_that_are_refused(body: Any) -> None:
    """Ensure 422 with a pointer, for POST and PUT, and that nothing is written: not the owner, nor what is hidden."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        before = db.history.sequence
        for method, path in (("POST", "/documents"), ("PUT", "/documents/d1"), ("PUT", "/documents/d2")):
            answer = client.request(method, path, json=body)
            assert answer.status_code in (404, 422), (method, answer.text)
            assert answer.status_code == 422 or (method == "PUT" and "id" in body)
            if answer.status_code == 422:
                assert all(error["in"] == "body" for error in answer.json()["errors"])
        if isinstance(body, dict) and body:
            patch = {name: value for name, value in body.items() if name != "title" or value != "x"}
            assert client.patch("/documents/d1", json=patch).status_code == 422
        assert db.history.sequence == before


DEEP = "[" * 5_000 + "]" * 5_000
RAW = [
    (b"", 422), (b"{", 422), (b'{"title":"x","title":"y"}', 422), (b'{"title":"\\ud800"}', 422),
    (b'{"title":"x","meta":{"n":NaN}}', 422), (b'{"title":"x","meta":{"n":1e999}}', 422),
    (b'{"title":"x","meta":{"d":%s}}' % DEEP.encode(), 422), (b'{"title":"\xff"}', 422),
    (b'{"title":"x","meta":{"n":%s}}' % (b"9" * 5000), 422), (b'{"title":"%s"}' % (b"x" * 200_000), 413),
    (b'{"title":"x",%s}' % b",".join(b'"f%d":1' % n for n in range(5_000)), 422),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), RAW, ids=[str(n) for n in range(len(RAW))])
def test_texts_that_are_refused(data: bytes, status: int) -> None:
    """Ensure that what is no strict JSON, too deep, too large or of too many errors is answered, and not stored."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        for method, path in (("POST", "/documents"), ("PATCH", "/documents/d1"), ("PUT", "/documents/d1")):
            answer = client.request(method, path, content=data, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text[:200]
            assert len(answer.content) < 20_000
        assert [row.title for row in db.documents] == ["One"]


@pytest.mark.parametrize(
    "query",
    ["nonsense=1", "pin=1", "score=1", "sort=pin", "sort=score", "sort=meta", "fields=pin", "fields=score", "fields=,",
     "fields=user.password_hash&expand=user", "expand=loans", "expand=user.documents", "expand=pages", "expand=",
     "count=all", "limit=0", "limit=201", "cursor=x", "at=x", "at=-1", "at=99999", "at=2026-01-01T00:00:00", "at=",
     f"at={'9' * 30}", f"q={'x' * 201}", "q=", "title__has=x", "tags=x", "pages__contains=1", "fields=a&fields=b"],
)  # fmt: skip
def test_queries_that_are_refused(query: str) -> None:
    """Ensure 422 rather than a list that ignores what was asked, or tells of what is hidden."""
    with shelf() as (_, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        answer = client.get(f"/documents?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), answer.text
        if query.split("=")[0] in ("nonsense", "fields", "expand", "at"):
            assert client.get(f"/documents/d1?{query}").status_code == 422


@pytest.mark.parametrize("key", ["x", "1.0", "01", "9" * 6000, "%F0%9F", "-0", "1%00"])
def test_keys_that_are_none(key: str) -> None:
    """Ensure that an address with what can't be a key is that of no row."""
    with shelf() as (_, client):
        assert client.get(f"/annotations/{key}").status_code == 404
        assert client.put(f"/annotations/{key}", json={"document_id": "d1"}).status_code == 404


# ── changes that others made ────────────────────────────────────────────────────────────────────────────────────────


def test_a_stale_change_shows_the_present_row() -> None:
    """Ensure 412 for PATCH, PUT and DELETE with another tag, with the row as it is, and success with its own."""
    with shelf() as (_, client):
        first = client.post("/documents", json={"id": "d1", "title": "One", "pin": "1"})
        second = client.patch("/documents/d1", json={"pages": 2})
        stale = {"If-Match": first.headers["etag"]}
        for method, body in (("PATCH", {"pages": 3}), ("PUT", {"title": "x"}), ("DELETE", None)):
            answer = client.request(method, "/documents/d1", json=body, headers=stale)
            assert answer.status_code == 412
            assert answer.json()["current"] == second.json()
            assert answer.headers["etag"] == second.headers["etag"]
        assert client.put("/documents/new", json={"title": "New"}, headers=stale).status_code == 412
        only_new = {"If-None-Match": "*"}
        assert client.put("/documents/d1", json={"title": "x"}, headers=only_new).status_code == 412
        assert client.put("/documents/new", json={"title": "New"}, headers=only_new).status_code == 201
        fresh = {"If-Match": second.headers["etag"]}
        assert client.delete("/documents/d1", headers=fresh).status_code == 204


def test_changes_may_have_to_say_of_which_state() -> None:
    """Ensure 428 without If-Match where it is required, but not for a row that is new."""
    with shelf(require_if_match=True) as (_, client):
        tag = client.put("/documents/d1", json={"title": "One"}).headers["etag"]
        for method, body in (("PATCH", {"pages": 3}), ("PUT", {"title": "x"}), ("DELETE", None)):
            assert client.request(method, "/documents/d1", json=body).status_code == 428
        assert client.patch("/documents/d1", json={"pages": 3}, headers={"If-Match": tag}).status_code == 200


def test_a_merge_patch_merges() -> None:
    """Ensure RFC 7396: objects are merged, null removes what is inside of one, and is None or refused for a field."""
    with shelf() as (_, client):
        client.post("/documents", json={"id": "d1", "title": "One", "meta": {"a": {"b": 1, "c": 2}}, "box": {"x": 1}})
        steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"meta": {"a": {"b": None, "d": 3}}}, {"meta": {"a": {"c": 2, "d": 3}}}),
            ({"meta": {"a": [None, 1]}}, {"meta": {"a": [None, 1]}}),
            ({"box": {"y": 5}}, {"box": {"x": 1, "y": 5}}),
            ({"box": None}, {"box": None}),
            ({}, {}),
        ]
        for patch, expected in steps:
            answer = client.patch("/documents/d1", json=patch)
            assert answer.status_code == 200, answer.text
            assert expected.items() <= answer.json().items()
        for patch in ({"title": None}, {"meta": None}, {"box": {"y": 1}}):
            assert client.patch("/documents/d1", json=patch).status_code == 422


def test_what_would_be_deleted() -> None:
    """Ensure that a dry run counts what goes and what changes, of the caller's own, and is refused as the deletion."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        for user in ("ann", "ann", "ben"):
            db.annotations.create(user_id=user, document_id="d1")
        client.post("/documents", json={"id": "d2", "title": "Two"})
        db.annotations.create(user_id="ann", document_id="d2", reply_to=1)
        before = db.history.sequence
        counted = client.delete("/documents/d1?dry_run=true")
        assert counted.json() == {
            "would_delete": {"documents": 1, "annotations": 2},
            "would_change": {"annotations": 1},
        }
        assert client.delete("/documents/d1?dry_run=yes").status_code == 422
        assert db.history.sequence == before
        db.loans.create(id="l1", document_id="d1")
        dry, real = client.delete("/documents/d1?dry_run=true"), client.delete("/documents/d1")
        assert dry.status_code == real.status_code == 409
        assert dry.json() == real.json()


def test_conflicts_name_fields() -> None:
    """Ensure 409 for a key that is there and a unique value, without a word of the row in the way."""
    with shelf() as (_, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        again = client.post("/documents", json={"id": "d1", "title": "Two"}, headers=BEN)
        assert (again.status_code, again.json()["fields"]) == (409, ["id"])
        assert client.post("/documents", json={"title": "One"}).json()["fields"] == ["user_id", "title"]


def test_the_past_of_rows() -> None:
    """Ensure that `at` shows lists, rows and related rows as they were, one's own alone."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        then = db.history.sequence
        client.patch("/documents/d1", json={"title": "Two"})
        db.annotations.create(user_id="ann", document_id="d1")
        (item,) = client.get(f"/documents?at={then}&expand=annotations").json()["items"]
        assert (item["title"], item["annotations"]["items"]) == ("One", [])
        assert client.get(f"/documents/d1?at={then}").json()["title"] == "One"
        assert client.get(f"/documents/d1?at={then}", headers=BEN).status_code == 404
        assert client.get(f"/documents/d1?at={then - 1}").status_code == 404
        client.delete("/documents/d1")
        assert client.get(f"/documents/d1?at={then}").status_code == 200
        db.history.forget(db.history.sequence)
        gone = client.get(f"/documents?at={then}")
        assert (gone.status_code, gone.json()["first"]) == (410, db.history.sequence)


@pytest.mark.parametrize("key", ["€", "é", "a b", "100%", "a\r\nX-Evil: 1", "\0", "\x85"])
def test_any_key_stands_in_an_address(key: str) -> None:
    """Ensure that the address of a row that was put is escaped as that of one that was added, and leads to it."""
    with shelf() as (db, client):
        made = client.put(f"/documents/{quote(key, '')}", json={"title": "One"})
        assert (made.status_code, made.headers["location"]) == (201, f"/documents/{quote(key, '')}")
        assert "x-evil" not in made.headers
        assert client.get(made.headers["location"]).json()["id"] == key
        assert db.documents[key].title == "One"


def test_the_next_page_of_any_path_has_an_address() -> None:
    """Ensure that a part of the path before a list is escaped in the address of its next page."""
    with shelf() as (db, _):
        app = FastAPI()
        app.include_router(crud_router(db.users), prefix="/{tenant}")
        client = TestClient(app)
        first = client.get("/€%0d%0aX-Evil: 1/users?limit=1")
        assert "x-evil" not in first.headers
        following = client.get(first.links["next"]["url"])
        assert [item["id"] for item in following.json()["items"]] == ["ben"]


def test_a_list_is_known_until_something_is_committed() -> None:
    """Ensure 304 for a list that nothing can have changed, to the same caller alone; its place; and the next page."""
    with shelf() as (db, client):
        for n in range(3):
            client.post("/documents", json={"id": f"d{n}", "title": str(n)})
        first = client.get("/documents?limit=2")
        assert first.headers["snaptable-place"].split("-")[0] == str(db.history.sequence)
        known = {"If-None-Match": first.headers["etag"]}
        assert client.get("/documents?limit=2", headers=known).status_code == 304
        assert client.get("/documents?limit=2", headers={**known, **BEN}).status_code == 200
        following = client.get(first.links["next"]["url"])
        assert [item["id"] for item in following.json()["items"]] == ["d2"]
        client.delete("/documents/d0")
        assert client.get("/documents?limit=2", headers=known).status_code == 200


def test_long_lists_inside_of_rows_have_a_cursor() -> None:
    """Ensure that at most 50 are shown inside of a row, and the cursor goes on in their own list."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        made = [db.annotations.create(user_id="ann", document_id="d1").id for _ in range(60)]
        inside = client.get("/documents/d1?expand=annotations,annotations.user").json()["annotations"]
        assert inside["items"][0]["user"] == {"id": "ann", "name": "Ann"}
        query = {"document_id": "d1", "cursor": inside["next_cursor"]}
        rest = client.get("/annotations", params=query).json()["items"]
        assert [item["id"] for item in inside["items"] + rest] == made
        db.annotations.delete(made[-1])
        for number in made[50:-1]:
            db.annotations.delete(number)
        assert client.get("/documents/d1?expand=annotations").json()["annotations"]["next_cursor"] is None


# ── what an application says ────────────────────────────────────────────────────────────────────────────────────────


def test_what_an_application_says_is_checked() -> None:
    """Ensure that a slip is told when the router is made, not when somebody asks."""
    wrong: list[dict[str, Any]] = [
        {"owner": "nobody"}, {"owner": "user_id", "caller": None}, {"hidden": ["x"]}, {"hidden": ["id"]},
        {"fixed": ["x"]}, {"filters": ["pin"]}, {"filters": ["score"]}, {"filters": ["x"]}, {"sorts": ["pin"]},
        {"expand": ["x"]}, {"expand": ["annotations.document.user"]}, {"allow": {"everything"}},
        {"hidden": ["title"]},
    ]  # fmt: skip
    with Shelf("memory:") as db:
        for options in wrong:
            with pytest.raises(TypeError):
                routed(db, **options)
        with pytest.raises(ValueError, match="max_limit"):
            routed(db, max_limit=201)


def test_only_what_is_allowed_has_a_route() -> None:
    """Ensure that what isn't named can't be done."""
    with shelf(allow={"list"}) as (_, client):
        assert client.get("/documents").status_code == 200
        assert client.post("/documents", json={"title": "One"}).status_code == 405
        assert client.get("/documents/d1").status_code == 404
        assert client.put("/documents/d1", json={"title": "One"}).status_code in (404, 405)


class Temperature(Row):
    id: int
    value: float
    at: datetime


class NewTemperature(BaseModel):
    id: int
    value: float
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class Station(Database):
    temperatures: Table[Temperature]


def test_bodies_of_the_applications_own() -> None:
    """Ensure that given models are used, their defaults included; and that no number is not a number."""
    with Station("memory:") as db:
        app = FastAPI()
        install_problems(app)
        app.include_router(crud_router(db.temperatures, create=NewTemperature, prefix="/t", actor=lambda me: "sensor"))
        client = TestClient(app)
        assert client.post("/t", json={"id": 1, "value": 1}).json()["at"] == "2026-01-01T00:00:00Z"
        assert next(iter(db.history)).actor == "sensor"
        for value in (math.nan, math.inf):
            body = f'{{"id":2,"value":{str(value).replace("nan", "NaN")}}}'
            sent = client.post("/t", content=body, headers={"Content-Type": "application/json"})
            assert sent.status_code == 422
        assert client.get("/t?value=nan").status_code == 422
        assert client.put("/t/7", json={"value": 2.5}).status_code in (201, 422)
        assert client.patch("/t/1", json={"value": 3, "at": "2026-02-01T00:00:00Z"}).json()["value"] == 3


def test_openapi_has_names_that_generators_like() -> None:
    """Ensure operation ids, components without suffixes, secrets that are only written, and every filter."""
    with shelf() as (_, client):
        document = client.get("/openapi.json").json()
        schemas = document["components"]["schemas"]
        assert {"Document", "DocumentCreate", "DocumentUpdate", "DocumentPage", "Problem"} <= set(schemas)
        assert not [name for name in schemas if name.startswith("Document-")]
        listing = document["paths"]["/documents"]["get"]
        assert listing["operationId"] == "documents_list"
        names = {parameter["name"] for parameter in listing["parameters"]}
        assert {"pages__gte", "title__contains", "tags__has", "expand", "fields", "count", "at", "q"} <= names
        assert schemas["DocumentCreate"]["properties"]["pin"]["writeOnly"] is True
        assert schemas["DocumentCreate"]["required"] == ["title"]
        assert "required" not in schemas["DocumentUpdate"]
        assert not {"pin", "score"} & set(schemas["Document"]["properties"])
        assert "password_hash" not in schemas["User"]["properties"]


def test_the_caller_is_asked_once() -> None:
    """Ensure that the dependency that the tests use refuses who says nothing."""
    assert caller("ann").id == "ann"


# ── what is in the way ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_conflict_shows_the_row_in_the_way() -> None:
    """Ensure for a key and a unique value that the other row is in the 409, without what is hidden or secret."""
    with shelf() as (_, client):
        made = client.post("/documents", json={"id": "d1", "title": "One", "pin": "1234"}).json()
        for body in ({"title": "One"}, {"id": "d1", "title": "Two"}):
            refused = client.post("/documents", json=body)
            assert refused.status_code == 409
            assert refused.json()["other"] == {"table": "documents", "row": made}
            assert '"1234"' not in refused.text
        bulk = client.post("/documents/bulk", json={"insert": [{"title": "Two"}, {"title": "One"}]}).json()
        assert (bulk["other"]["row"], bulk["errors"][0]["pointer"]) == (made, "/insert/1/user_id")


def test_a_conflict_shows_nothing_that_may_not_be_seen() -> None:
    """Ensure that another's row in the way is not shown, by whatever constraint."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"}, headers=BEN)
        theirs = client.post("/annotations", json={"document_id": "d1", "text": "same"}, headers=BEN)
        assert theirs.status_code == 201
        client.post("/documents", json={"id": "d2", "title": "Two"})
        answers = [
            client.post("/documents", json={"id": "d1", "title": "Mine"}),
            client.post("/annotations", json={"document_id": "d2", "text": "same"}),
        ]
        db.loans.create(id="l1", document_id="d2")
        answers.append(client.delete("/documents/d2"))
        for answer in answers:
            assert answer.status_code == 409
            assert "other" not in answer.json()


class Author(Row):
    """What books refer to."""

    id: str


class Book(Row):
    """What is in the way of an author's deletion."""

    id: str
    author: Annotated[str, ForeignKey(Author)]


class Books(Database):
    """Authors and their books."""

    authors: Table[Author]
    books: Table[Book]


def test_a_deletion_that_rows_are_in_the_way_of_counts_them() -> None:
    """Ensure that one of the rows that refer to it is shown, and their number."""
    with Books("memory:") as db:
        app = FastAPI()
        install_problems(app)
        for table in db.tables.values():
            app.include_router(crud_router(table))
        db.authors.create(id="ann")
        for key in ("a", "b", "c"):
            db.books.create(id=key, author="ann")
        refused = TestClient(app).delete("/authors/ann")
        assert refused.status_code == 409
        other = refused.json()["other"]
        assert (other["table"], other["count"], other["row"]["author"]) == ("books", 3, "ann")


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Note(Row):
    """What a quota holds for."""

    id: int | None = None
    author: str
    text: str = ""


class Notes(Database):
    """Notes."""

    notes: Table[Note]


class Quota:
    """At most two notes of each author, each of ten characters."""

    def __init__(self) -> None:
        self.db = Notes("memory:")
        self.prepared: list[str] = []
        self.changed: list[tuple[str, ...]] = []

    async def prepare(self, me: str) -> None:
        """Take note of who is going to write."""
        self.prepared.append(me)

    def create(self, me: str, values: dict[str, object]) -> Note:
        """Add a note, if there is room."""
        if self.db.notes.where(author=me).count() >= 2:
            raise Problem(507, "You have two notes.")
        return self.db.notes.create(**values)

    def update(self, me: str, old: Note, changes: dict[str, object]) -> Note:
        """Change a note, if it does not get too long."""
        self.changed.append((me, old.text, *changes))
        if len(str(changes.get("text", ""))) > 10:
            raise Problem(507, "This is too long.")
        return self.db.notes.update(old.id, **changes)

    def delete(self, me: str, old: Note) -> Note:
        """Delete a note, and leave another one in its place."""
        self.db.notes.create(author=me, text=f"{old.text} went")
        return self.db.notes.delete(old.id)


def author(x_user: Annotated[str, Header()]) -> str:
    """Give who asks."""
    return x_user


def test_hooks_are_called_where_the_router_writes() -> None:
    """Ensure that each verb, bulk and PUT too, goes by them, and that what they raise is answered and undone."""
    quota = Quota()
    db = quota.db
    hooks = Hooks(prepare=quota.prepare, create=quota.create, update=quota.update, delete=quota.delete)
    with db:
        app = FastAPI()
        install_problems(app)
        app.include_router(crud_router(db.notes, caller=author, owner="author", hooks=hooks))
        client = TestClient(app, headers={"X-User": "ann"})
        assert [client.post("/notes", json={"text": text}).status_code for text in "abc"] == [201, 201, 507]
        assert client.post("/notes", json={"text": "d"}, headers=BEN).status_code == 201
        assert client.patch("/notes/1", json={"text": "b" * 11}).status_code == 507
        assert client.put("/notes/1", json={"text": "b" * 11}).status_code == 507
        assert client.patch("/notes/1", json={"text": "short"}).json()["text"] == "short"
        before = db.history.sequence
        both = {"update": [{"id": 1, "text": "gone"}], "insert": [{"text": "x"}]}
        assert client.post("/notes/bulk", json=both).status_code == 507
        assert client.delete("/notes/3").status_code == 404  # of another, and the hook is not called
        assert db.history.sequence == before
        assert client.delete("/notes/1").status_code == 204
        assert [note.text for note in db.notes.where(author="ann")] == ["b", "short went"]
        assert quota.prepared.count("ben") == 1
        assert quota.changed[0] == ("ann", "a", "text")


def test_a_restore_is_no_way_around_hooks() -> None:
    """Ensure that a router with hooks refuses to allow it."""
    with pytest.raises(TypeError, match="past the hooks"):
        crud_router(Notes("memory:").notes, allow={"restore"}, hooks=Hooks())
