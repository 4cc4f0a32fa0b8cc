"""Deleting a document with many rows on it: gone at once for everybody, removed in slices that nobody waits for.

Ensures that the longest pause of the event loop does not grow with what a user stored, that what is being removed shows
nowhere, that quotas come out right, and that a restart goes on with it.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import CHEAP_HASHING, Api, Json, annotation, check_problem, make_pdf, wait_for

from app.api.application import create_app
from app.files.blobs import Blobs
from app.library import Library
from app.resources import Resources
from app.services import documents, quotas, uploads
from app.services.documents import AT_ONCE
from app.services.erasure import Erasure
from app.settings import Settings
from app.tables import Annotation, Document, Extraction, User
from app.usage import Usage
from snaptable.engines.observers import observed_filesystem
from snaptable.storage.disk.files import Files
from snaptable.testing import AppFixture

MARK: Json = {"page_num": 1, "type": "note", "coordinates": {}, "content": "here", "color": None}
BOX: Json = {"x": 1, "y": 2, "width": 3, "height": 4}


def db_of(client: TestClient) -> Library:
    """Return the database of the application in this process."""
    db: Library = client.app.state.db  # type: ignore[attr-defined]
    return db


def mark(db: Library, user_id: str, document_id: str, number: int) -> None:
    """Put annotations and extractions on a document, in equal numbers."""
    owned: Json = {"user_id": user_id, "document_id": document_id}
    text: Json = {"field_name": "total", "text": "42", "page": 1, "coordinates": BOX, "method": "manual"}
    db.annotations.insert_many(Annotation(**owned, **MARK) for _ in range(number // 2))
    db.extractions.insert_many(Extraction(**owned, **text) for _ in range(number // 2))


@contextlib.contextmanager
def nothing_removed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keep what is to be removed, within the block."""

    async def never(_: Erasure) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Erasure, "run", never)
        yield


# ── the event loop ──────────────────────────────────────────────────────────────────────────────────────────────────


async def longest_pause(work: Awaitable[object]) -> float:
    """Return the longest time in seconds for which the loop ran nothing else, while something was done.

    In CPU time: other processes don't count.
    """
    longest, task = 0.0, asyncio.ensure_future(work)
    while not task.done():
        begin = time.process_time()
        await asyncio.sleep(0)
        longest = max(longest, time.process_time() - begin)
    await task
    return longest


async def pause_of_a_delete(tmp_path: Path, rows: int, known: bool) -> float:
    """Return the longest pause while a document with many rows is deleted; `known` tells whether the sums are."""
    with Library("memory:", banner=False) as db:
        user = db.users.create(email="many@example.org", password_hash="!")
        fields: Json = {"filename": "a.pdf", "total_pages": 3, "size": 1, "sha256": "0" * 64, "metadata": {}}
        document = db.documents.insert(Document(user_id=user.id, **fields))
        mark(db, user.id, document.id, rows)
        if known:
            quotas.current(db, user)
        blobs = Blobs(Files(tmp_path), lambda sha256: documents.is_referenced(db, sha256))
        erasure = Erasure(db, blobs)
        resources = uploads.UploadResources(blobs, None, 1)  # type: ignore[arg-type]  # no page is counted

        async def delete() -> None:
            await quotas.prepare(db, user)
            await uploads.remove(db, resources, user, document.id, lambda _: None, erasure.begin)
            await erasure.finish()

        gc.disable()
        try:
            pause = await longest_pause(delete())
        finally:
            gc.enable()
        assert db.annotations.count() + db.extractions.count() + db.documents.count() == 0
        assert db.users.where().all() == [user]
        assert quotas.current(db, user) == Usage()
    return pause


@pytest.mark.parametrize("known", [True, False])
def test_no_pause_grows_with_what_is_deleted(tmp_path: Path, known: bool) -> None:
    """Ensure that four times the rows on a document are four times the slices, each of them as short."""
    few, many = 1_500, 6_000
    least = {few: 1.0, many: 1.0}
    for _ in range(8):
        for rows in least:
            least[rows] = min(least[rows], asyncio.run(pause_of_a_delete(tmp_path, rows, known)))
        if least[many] < 2 * least[few]:
            return
    raise AssertionError(f"longest pauses in seconds: {least}")


# ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────────────


def items(api: Api, path: str, **params: str) -> list[Json]:
    """Return the rows of all pages of a list."""
    found: list[Json] = []
    cursor = ""
    while True:
        body = api.get(path, params={"limit": 200} | params | ({"cursor": cursor} if cursor else {})).json()
        found += body["items"]
        cursor = body["next_cursor"]
        if not cursor:
            return found


def test_what_is_being_removed_shows_nowhere(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure 404 on every verb, and that lists hold the other rows only, cursors from before included."""
    with nothing_removed(monkeypatch):
        client = start()
    db, ann = db_of(client), Api(client).register()
    kept, gone = ann.upload(), ann.upload(make_pdf(2))
    mine = [ann.annotate(kept["id"])["id"] for _ in range(3)]
    mark(db, kept["user_id"], gone["id"], 2 * AT_ONCE)
    mine += [ann.annotate(kept["id"])["id"] for _ in range(3)]
    first = ann.get("/api/annotations", params={"limit": 2}).json()
    assert ann.delete(f"/api/documents/{gone['id']}").status_code == 204
    assert db.annotations.count() == AT_ONCE + 6
    one = db.annotations.where(Annotation.document_id == gone["id"]).first()
    other = db.extractions.where(Extraction.document_id == gone["id"]).first()
    assert one is not None
    assert other is not None
    for method, path in [
        ("GET", f"/api/documents/{gone['id']}"),
        ("GET", f"/api/documents/{gone['id']}/content"),
        ("DELETE", f"/api/documents/{gone['id']}"),
        ("GET", f"/api/annotations/{one.id}"),
        ("DELETE", f"/api/annotations/{one.id}"),
        ("GET", f"/api/annotations?document_id={gone['id']}"),
        ("GET", f"/api/extractions/{other.id}"),
        ("DELETE", f"/api/extractions/{other.id}"),
        ("GET", f"/api/extractions?document_id={gone['id']}"),
    ]:
        check_problem(ann.request(method, path), 404)
    check_problem(ann.patch(f"/api/annotations/{one.id}", json={"content": "x"}), 404)
    check_problem(ann.post("/api/annotations", json=annotation(gone["id"])), 404)
    assert [row["id"] for row in items(ann, "/api/annotations")] == mine
    assert [row["id"] for row in items(ann, "/api/annotations", sort="-type,-created_at")] == mine[::-1]
    rest = ann.get("/api/annotations", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in rest["items"]] == mine[2:4]
    assert items(ann, "/api/extractions") == []
    assert [row["id"] for row in items(ann, "/api/documents")] == [kept["id"]]


def test_it_goes_with_its_bytes_and_nothing_else_does(ann: Api, bob: Api, client: TestClient, tmp_path: Path) -> None:
    """Ensure that the removal runs by itself, of several documents, and leaves no account of its own behind."""
    db = db_of(client)
    kept, *gone = [ann.upload(make_pdf(pages)) for pages in (1, 2, 3)]
    others = bob.upload(make_pdf(2))
    bob.annotate(others["id"])
    ann.annotate(kept["id"], page_num=1)
    for document in gone:
        mark(db, kept["user_id"], document["id"], 3 * AT_ONCE)
    for document in gone:
        assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
    wait_for(lambda: db.users.count() == 2 and not list(db.users.where(User.deleted_at != None)))  # noqa: E711
    assert {row.id for row in db.documents.where().all()} == {kept["id"], others["id"]}
    assert (db.annotations.count(), db.extractions.count()) == (2, 0)
    stored = {path.name for path in (tmp_path / "data" / "blobs").iterdir()}
    assert len(stored) == 3  # two of the four had the same bytes; history names those of what was deleted
    db.history.forget(db.history.sequence)
    assert documents.named_in_history(db, stored) == set()
    assert db.check() == []


def test_room_is_free_once_it_is_gone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that who is refused for what is still being removed is told to come back, and finds room then."""
    client = start(quota_marks=2 * AT_ONCE)
    ann = Api(client).register()
    kept, gone = ann.upload(), ann.upload()
    mark(db_of(client), kept["user_id"], gone["id"], 2 * AT_ONCE)
    check_problem(ann.post("/api/annotations", json=annotation(kept["id"])), 409)
    with nothing_removed(monkeypatch):
        client = start(quota_marks=2 * AT_ONCE)
        ann.http = client
        assert ann.delete(f"/api/documents/{gone['id']}").status_code == 204
        response = ann.post("/api/annotations", json=annotation(kept["id"]))
        check_problem(response, 503)
        assert response.headers["retry-after"]
    client = start(quota_marks=2 * AT_ONCE)
    ann.http = client
    db = db_of(client)
    wait_for(lambda: db.users.count() == 1)
    ann.annotate(kept["id"])
    user = db.users.where().first()
    assert user is not None
    with db.transaction():
        kept_usage, measured = quotas.current(db, user), quotas.measure(db, user)
    assert (kept_usage.marks, kept_usage.row_bytes) == (measured.marks, measured.row_bytes)


def test_an_account_may_be_deleted_while_its_document_is(ann: Api, client: TestClient) -> None:
    """Ensure that both removals come to their end."""
    db = db_of(client)
    document = ann.upload()
    mark(db, document["user_id"], document["id"], 6 * AT_ONCE)
    assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
    assert ann.request("DELETE", "/api/auth/me", json={"password": "correct horse battery"}).status_code == 204
    wait_for(lambda: db.users.count() == 0)
    assert (db.documents.count(), db.annotations.count(), db.extractions.count()) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(2))
def test_a_crash_leaves_the_document_whole_or_gone(snaptable_app: AppFixture, seed: int) -> None:
    """Ensure, at sampled file operations, that what was answered holds, and the next start removes the rest."""

    def make(directory: Path) -> FastAPI:
        def disk(path: Path, /, *, fsync: bool) -> Files:
            filesystem = observed_filesystem(resources.db, path)
            assert filesystem is not None
            return filesystem(path, fsync=fsync)

        options: dict[str, Any] = {"data_dir": str(directory), **CHEAP_HASHING}
        resources = Resources(Settings(_env_file=None, **options), disk)
        return create_app(resources=resources)

    app = snaptable_app(make, raise_server_exceptions=False)
    ann = Api(app.client).register()
    document = ann.upload()
    assert isinstance(app.db, Library)
    mark(app.db, document["user_id"], document["id"], 2 * AT_ONCE + 2)
    answers: list[int] = []
    ann.http = app.power_loss(
        during=lambda: answers.append(ann.delete(f"/api/documents/{document['id']}").status_code), seed=seed
    )
    db = app.db
    assert isinstance(db, Library)
    is_there = ann.get(f"/api/documents/{document['id']}").status_code == 200
    assert not (is_there and answers == [204])
    if is_there:
        assert len(items(ann, "/api/annotations")) == AT_ONCE + 1
    else:
        wait_for(lambda: db.users.count() == 1 and db.documents.count() == 0)
        assert (db.annotations.count(), db.extractions.count()) == (0, 0)
    assert db.check() == []
