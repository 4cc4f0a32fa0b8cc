"""Bulk, Idempotency-Key, history and restore: one commit, once, and nothing of what the caller may not see."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.testclient import TestClient
from tests.snaptable.web.crud.shelf import BEN, Document, Shelf, routed, shelf

from snaptable import Database, Row, Table, utc_now
from snaptable.web import IdempotencyKey, Problem, Rules, crud_router, install_problems
from snaptable.web.crud.idempotency import Idempotency, Kept

# ── bulk ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_changes_are_one_commit() -> None:
    """Ensure that all are done, in order, answered by rows and keys, and one commit of the caller."""
    with shelf() as (db, client):
        for key in ("d1", "d2"):
            client.post("/documents", json={"id": key, "title": key})
        before = db.history.sequence
        answer = client.post(
            "/documents/bulk",
            json={
                "insert": [{"id": "d3", "title": "Three"}, {"title": "Four", "pin": "1"}],
                "update": [{"id": "d1", "pages": 7, "meta": {"a": 1}}],
                "delete": ["d2"],
            },
        )
        assert answer.status_code == 200, answer.text
        done = answer.json()
        assert [row["title"] for row in done["inserted"]] == ["Three", "Four"]
        assert [(row["id"], row["pages"]) for row in done["updated"]] == [("d1", 7)]
        assert done["deleted"] == ["d2"]
        assert "pin" not in done["inserted"][1]
        assert db.history.sequence == before + 1
        assert next(iter(db.history)).actor == "ann"


def test_the_document_says_what_a_change_of_many_may_hold() -> None:
    """Ensure that each change is documented as its key and what a PATCH takes, from a model of one's own too."""

    class Changes(BaseModel):
        pages: int = 1
        title: str = "x"

    for given, fields in (
        (None, {"title", "pages", "tags", "box", "meta", "pin", "created_at"}),
        (Changes, {"pages", "title"}),
    ):
        with shelf(**({"update": given} if given else {})) as (_, client):
            schemas = client.get("/openapi.json").json()["components"]["schemas"]
        bulk, update = schemas["DocumentBulk"]["properties"], schemas["DocumentBulkUpdate"]
        assert bulk["update"]["items"] == {"$ref": "#/components/schemas/DocumentBulkUpdate"}
        assert update["required"] == ["id"]
        assert update["properties"].keys() == {"id"} | fields
        assert update["properties"]["id"]["type"] == bulk["delete"]["items"]["type"] == "string"
        patch = schemas["Changes" if given else "DocumentUpdate"]["properties"]
        assert {name: update["properties"][name] for name in fields} == patch


FAULTS: list[tuple[dict[str, Any], int, str]] = [
    ({"insert": [{"title": "a"}, {"title": 1}]}, 422, "/insert/1/title"),
    ({"insert": [{"title": "a", "user_id": "ben"}]}, 422, "/insert/0/user_id"),
    ({"insert": [{"title": "a"}, 7]}, 422, "/insert/1"),
    ({"insert": [{"title": "a"}, {"title": "a"}]}, 409, "/insert/1/user_id"),
    ({"insert": [{"id": "mine", "title": "a"}]}, 409, "/insert/0/id"),
    ({"insert": [{"title": "a", "id": "x/y"}]}, 422, "/insert/0/id"),
    ({"update": [{"id": "mine", "pages": -1}]}, 422, "/update/0/pages"),
    ({"update": [{"id": "mine", "score": 1}]}, 422, "/update/0/score"),
    ({"update": [{"id": "mine"}, {"id": "theirs", "pages": 2}]}, 404, "/update/1"),
    ({"update": [{"pages": 2}]}, 404, "/update/0"),
    ({"update": [{"id": ["mine"]}]}, 404, "/update/0"),
    ({"delete": ["mine", "theirs"]}, 404, "/delete/1"),
    ({"delete": ["mine", "mine"]}, 404, "/delete/1"),
    ({"delete": [{"id": "mine"}]}, 404, "/delete/0"),
    ({"delete": ["lent"]}, 409, "/delete/0"),
    ({"remove": []}, 422, "/remove"),
    ({"insert": {}}, 422, "/insert"),
    ({"delete": ["x"] * 1_001}, 422, ""),
]


@pytest.mark.parametrize(("body", "status", "pointer"), FAULTS, ids=[str(n) for n in range(len(FAULTS))])
def test_a_fault_is_pointed_at_and_nothing_is_done(body: dict[str, Any], status: int, pointer: str) -> None:
    """Ensure that one change that can't be made undoes all, whatever the kind, and that its place is named."""
    with shelf() as (db, client):
        for key, headers in (("mine", {}), ("lent", {}), ("theirs", BEN)):
            client.post("/documents", json={"id": key, "title": key}, headers=headers)
        db.loans.create(id="l1", document_id="lent")
        before = db.history.sequence
        answer = client.post("/documents/bulk", json=body)
        assert answer.status_code == status, answer.text
        errors = answer.json().get("errors", [])
        assert pointer in [error["pointer"] for error in errors] or (pointer == "/delete/0" and not errors), answer.text
        assert db.history.sequence == before


def test_rows_of_one_request_may_refer_to_each_other() -> None:
    """Ensure that a reference to a row that comes later is no reference to nothing, and one to another's is."""
    with shelf() as (_, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        theirs = {"title": "Two", "id": "d2"}
        client.post("/documents", json=theirs, headers=BEN)
        rows: list[dict[str, Any]] = [
            {"document_id": "d1", "text": "first", "reply_to": 2},
            {"document_id": "d1", "text": "second"},
        ]
        assert client.post("/annotations/bulk", json={"insert": rows}).status_code == 200
        refused = client.post("/annotations/bulk", json={"insert": [rows[1] | {"text": "x"}, {"document_id": "d2"}]})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "/insert/1/document_id")


def test_bulk_does_only_what_is_allowed_for_one_row() -> None:
    """Ensure that it is no way around a verb that isn't allowed, nor around If-Match."""
    bodies: dict[str, Any] = {"insert": [{"title": "a"}], "update": [{"id": "d1", "pages": 2}], "delete": ["d1"]}
    with shelf(allow={"bulk"}) as (db, client):
        for name, items in bodies.items():
            assert client.post("/documents/bulk", json={name: items}).status_code == 403
        assert db.documents.count() == 0
    with shelf(require_if_match=True) as (_, client):
        statuses = [client.post("/documents/bulk", json={name: bodies[name]}).status_code for name in bodies]
        assert statuses == [200, 428, 428]


# ── Idempotency-Key ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_write_that_is_sent_again_is_answered_again() -> None:
    """Ensure for POST, PATCH, bulk and restore that the same key gives the same answer, and one commit."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"})
        sent: list[tuple[str, str, Any]] = [
            ("POST", "/documents", {"title": "Two"}),
            ("PATCH", "/documents/d1", {"pages": 9}),
            ("POST", "/documents/bulk", {"insert": [{"title": "Three"}]}),
            ("POST", "/documents/d1/restore", {"at": db.history.sequence}),
        ]
        for number, (method, path, body) in enumerate(sent):
            headers = {"Idempotency-Key": f'"key-{number}"'}
            first, commits = client.request(method, path, json=body, headers=headers), db.history.sequence
            again = client.request(method, path, json=body, headers=headers)
            assert first.status_code == again.status_code < 300, first.text
            assert again.content == first.content
            for name in ("etag", "location"):
                assert again.headers.get(name) == first.headers.get(name)
            assert again.headers["idempotency-replayed"] == "true"
            assert db.history.sequence == commits
            other = client.request(method, path, json={**body, "x": 1}, headers=headers)
            assert other.status_code == 422
        assert not [change for commit in db.history for change in commit.changes if change.table == "idempotency"]


def test_a_key_is_its_callers_own_and_a_refused_write_is_not_kept() -> None:
    """Ensure that nobody is answered with another's row, and that what failed may be tried again."""
    with shelf() as (db, client):
        headers = {"Idempotency-Key": "k"}
        mine = client.post("/documents", json={"title": "One"}, headers=headers).json()
        theirs = client.post("/documents", json={"title": "One"}, headers={**headers, **BEN}).json()
        assert (mine["user_id"], theirs["user_id"]) == ("ann", "ben")
        retried = {"Idempotency-Key": "again"}
        assert client.post("/documents", json={"title": "One"}, headers=retried).status_code == 409
        db.documents.delete(mine["id"])
        assert client.post("/documents", json={"title": "One"}, headers=retried).status_code == 201


@pytest.mark.parametrize("key", [b"", b'""', b"a b", b"x" * 256, "é".encode()])
def test_keys_that_are_refused(key: bytes) -> None:
    """Ensure 400 for a header that is no key."""
    with shelf() as (db, client):
        answer = client.post("/documents", json={"title": "One"}, headers={b"Idempotency-Key": key})
        assert answer.status_code == 400
        assert db.documents.count() == 0


def test_the_same_request_at_the_same_time_is_a_conflict() -> None:
    """Ensure 409 while the first is being answered: its write may not be durable yet."""
    with shelf() as (db, _):
        kept, begun = Idempotency(db), asyncio.Event()

        async def write(once: Kept) -> Response:
            """Write, after the other request came."""
            await begun.wait()
            return once(lambda: Response("done"))

        async def both() -> Response:
            """Send the same twice."""
            scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "server": ("s", 80)}
            scope["headers"] = [(b"idempotency-key", b"k")]
            request = Request(scope, receive=empty)
            first = asyncio.create_task(kept.answer(request, "ann", write))
            await asyncio.sleep(0)
            with pytest.raises(Problem) as raised:
                await kept.answer(request, "ann", write)
            assert raised.value.status_code == 409
            begun.set()
            return await first

        assert asyncio.run(both()).body == b"done"
        assert db.idempotency.count() == 1


async def empty() -> dict[str, Any]:
    """Give an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def test_answers_survive_a_restart(tmp_path: Path) -> None:
    """Ensure that a retry after a restart is answered from what was kept with the write, and old answers go."""
    headers = {"X-User": "ann", "Idempotency-Key": "k"}
    with Shelf(tmp_path, banner=False) as db:
        db.users.create(id="ann", name="Ann")
        first = TestClient(routed(db)).post("/documents", json={"title": "One"}, headers=headers)
    with Shelf(tmp_path, banner=False) as db:
        client = TestClient(routed(db))
        assert client.post("/documents", json={"title": "One"}, headers=headers).content == first.content
        assert db.documents.count() == 1
        (kept,) = db.idempotency
        db.idempotency.update(kept.id, created_at=kept.created_at.replace(year=2025))
        assert client.post("/documents", json={"title": "One"}, headers=headers).status_code == 409  # a new attempt
        client.post("/documents", json={"title": "Two"}, headers=headers)
        assert [row.created_at.year > 2025 for row in db.idempotency] == [True]


class Note(Row):
    id: str


class Bare(Database):
    notes: Table[Note]


class Wrong(Bare):
    idempotency: Table[IdempotencyKey]


def test_without_a_table_the_header_is_refused() -> None:
    """Ensure that a header that would promise nothing is a 400, and that answers are in no history."""
    with Bare("memory:") as db:
        app = FastAPI()
        install_problems(app)
        app.include_router(crud_router(db.notes))
        answer = TestClient(app).post("/notes", json={"id": "1"}, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, "IdempotencyKey" in answer.json()["detail"]) == (400, True)
    kept = Wrong("memory:")
    with pytest.raises(TypeError, match="transient"):
        crud_router(kept.notes)


# ── history and restore ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_history_of_a_row() -> None:
    """Ensure that it shows the row in each commit, newest first, by whom, without secrets and hidden fields."""
    with shelf() as (db, client):
        client.post("/documents/bulk", json={"insert": [{"id": "d1", "title": "One", "pin": "1"}, {"title": "x"}]})
        client.patch("/documents/d1", json={"title": "Two"})
        client.delete("/documents/d1")
        shown = client.get("/documents/d1/history")
        assert shown.status_code == 200, shown.text
        items = shown.json()["items"]
        kinds = [(commit["actor"], *[(each["kind"], each["key"]) for each in commit["changes"]]) for commit in items]
        assert kinds == [("ann", ("delete", "d1")), ("ann", ("replace", "d1")), ("ann", ("insert", "d1"))]
        assert items[1]["changes"][0]["before"]["title"] == "One"
        assert items[1]["changes"][0]["after"]["title"] == "Two"
        for name in ("pin", "score", "••"):
            assert f'"{name}' not in shown.text
        assert client.get(f"/documents/d1/history?until={items[1]['sequence']}").json()["items"] == items[1:]
        assert client.get("/documents/d1/history", headers=BEN).status_code == 404
        assert client.get("/documents/none/history").status_code == 404
        assert client.get("/documents/d1/history?until=x").status_code == 422
        assert client.get("/documents/d1/history?since=1").status_code == 422
        for n in range(60):
            client.put("/documents/d2", json={"title": str(n)})
        first = client.get("/documents/d2/history").json()
        rest = client.get(f"/documents/d2/history?until={first['next']}").json()
        assert (len(first["items"]), len(rest["items"]), rest["next"]) == (50, 10, None)
        assert db.check() == []


def test_another_owners_time_is_not_shown() -> None:
    """Ensure that a row that changed hands shows nobody the time of the other, and is restored to none of it."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "Mine"})
        then = db.history.sequence
        db.documents.update("d1", user_id="ben", title="Theirs")
        assert client.get("/documents/d1/history").status_code == 404
        assert client.post("/documents/d1/restore", json={"at": then}).status_code == 404
        (only,) = client.get("/documents/d1/history", headers=BEN).json()["items"]
        assert (only["changes"][0]["kind"], only["changes"][0]["before"]) == ("insert", None)
        assert client.post("/documents/d1/restore", json={"at": then}, headers=BEN).status_code == 404
        db.documents.delete("d1")
        assert client.post("/documents/d1/restore", json={"at": then}, headers=BEN).status_code == 404
        assert client.post("/documents/d1/restore", json={"at": then}).status_code == 200
        assert db.documents["d1"].title == "Mine"


def test_a_row_can_be_restored() -> None:
    """Ensure that it becomes what it was, comes back when it was deleted, and goes when it wasn't there."""
    with shelf() as (db, client):
        first = client.post("/documents", json={"id": "d1", "title": "One"}).json()
        then = db.history.sequence
        changed = client.patch("/documents/d1", json={"title": "Two"})
        stale = {"If-Match": '"another"'}
        assert client.post("/documents/d1/restore", json={"at": then}, headers=stale).status_code == 412
        restored = client.post(
            "/documents/d1/restore", json={"at": then}, headers={"If-Match": changed.headers["etag"]}
        )
        assert restored.json()["title"] == "One"
        commit = next(iter(db.history))
        assert (commit.actor, commit.via) == ("ann", "POST /documents/d1/restore")
        client.delete("/documents/d1")
        assert client.post("/documents/d1/restore", json={"at": then}).json()["id"] == first["id"]
        assert client.post("/documents/d1/restore", json={"at": then - 1}).status_code == 204
        assert client.get("/documents/d1").status_code == 404
        assert client.post("/documents/none/restore", json={"at": then}).status_code == 404
        client.post("/documents", json={"title": "One"})
        taken = client.post("/documents/d1/restore", json={"at": then})
        assert (taken.status_code, taken.json()["conflicts"]) == (409, ["documents: unique"])
        wrong: list[Any] = [
            {},
            {"at": "x"},
            {"at": None},
            {"at": 1.5},
            {"at": 10**9},
            {"at": -1},
            {"at": 1, "x": 1},
            [],
        ]
        for body in wrong:
            assert client.post("/documents/d1/restore", json=body).status_code == 422, body
        db.history.forget(db.history.sequence)
        assert client.post("/documents/d1/restore", json={"at": then}).status_code == 410


def test_a_conflict_tells_nobody_of_anothers_row() -> None:
    """Ensure that a row which is gone and was another's is as one that never was, though it could not come back."""
    with shelf() as (db, client):
        client.post("/documents", json={"id": "d1", "title": "One"}, headers=BEN)
        annotation = {"document_id": "d1", "text": "Mark"}
        db.annotations.create(user_id="ben", **annotation)
        then = db.history.sequence
        db.documents.delete("d1")
        db.documents.create(id="d2", user_id="ben", title="One", updated_at=utc_now())
        body = {"at": then}
        assert client.post("/documents/d1/restore", json=body, headers=BEN).status_code == 409
        never = client.post("/documents/none/restore", json=body)
        answer = client.post("/documents/d1/restore", json=body)
        assert (answer.status_code, answer.json()) == (404, never.json())


def test_a_row_that_is_gone_matches_nothing() -> None:
    """Ensure 412 for a restore on condition of a state that is no longer there, and that nothing comes back."""
    with shelf() as (db, client):
        made = client.post("/documents", json={"id": "d1", "title": "One"})
        then = db.history.sequence
        client.delete("/documents/d1")
        known = {"If-Match": made.headers["etag"]}
        assert client.post("/documents/d1/restore", json={"at": then}, headers=known).status_code == 412
        assert "d1" not in db.documents
        assert client.post("/documents/d1/restore", json={"at": then}).status_code == 200


def test_a_restore_asks_the_rules() -> None:
    """Ensure that a row that comes back is asked for as a new one, and one that goes as one that is deleted."""
    refused = Rules(create=lambda me, new: False, update=lambda me, old, new: False, delete=lambda me, old: False)
    with shelf(rules=refused) as (db, client):
        db.documents.insert(Document(id="d1", user_id="ann", title="One", updated_at=utc_now()))
        then = db.history.sequence
        db.documents.update("d1", title="Two")
        for at in (then, then - 1):
            assert client.post("/documents/d1/restore", json={"at": at}).status_code == 403
        db.documents.delete("d1")
        assert client.post("/documents/d1/restore", json={"at": then}).status_code == 403
        assert db.documents.count() == 0
