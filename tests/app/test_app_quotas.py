"""What one user can take: pages end by bytes, fields and rows are bounded, and so is what a user stores."""

import asyncio
import io
import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.app.conftest import Start
from tests.app.support import Api, Json, annotation, extraction, make_pdf
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import engine_of
from tests.snaptable.storage.faults import Disk, FaultyFiles

from app.errors import QuotaExceeded, TooManyRows
from app.library import Library
from app.resources import Resources
from app.services import annotations, documents, extractions, quotas, uploads
from app.settings import Settings
from app.tables import Document, User
from app.usage import Usage
from snaptable import WriteFailed
from snaptable.postgres import contention_lock


def pages(api: Api, path: str, **params: Any) -> list[list[Json]]:
    """Return the pages of a list, from the first to the last."""
    found, cursor = [], None
    while True:
        response = api.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        assert response.status_code == 200, response.text
        found.append(response.json()["items"])
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return found


def test_a_page_ends_by_bytes(start: Start) -> None:
    """Ensure large rows make short pages, with a cursor to the next, and small ones don't."""
    ann = Api(start(page_bytes=20_000)).register()
    document = ann.upload()
    texts = ["x" * size for size in (10, 9_000, 9_000, 30_000, 10, 10)]
    for text in texts:
        ann.extract(document["id"], text=text)
    found = pages(ann, "/api/extractions", limit=200)
    assert [len(page) for page in found] == [3, 1, 2]
    assert [row["text"] for page in found for row in page] == texts
    assert [len(page) for page in pages(ann, "/api/documents")] == [1]


def refused(response: httpx2.Response, status: int, *words: str) -> None:
    """Check that a response is a problem with a sentence that holds these words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    for word in words:
        assert word in response.json()["detail"]


def test_an_object_within_a_row_is_bounded(start: Start) -> None:
    """Ensure coordinates and metadata of too many bytes are 422, pointing at the field, when made and when changed."""
    ann = Api(start(json_bytes=100)).register()
    fits, too_large = {"a": "é" * 45}, {"a": "é" * 47}
    document = ann.upload(metadata=json.dumps(fits))
    mark = ann.annotate(document["id"], coordinates=fits)
    path = f"/api/annotations/{mark['id']}"
    files = {"file": ("a.pdf", make_pdf(), "application/pdf")}
    for response, field in [
        (ann.post("/api/documents", files=files, data={"metadata": json.dumps(too_large)}), "/metadata"),
        (ann.post("/api/annotations", json=annotation(document["id"], coordinates=too_large)), "/coordinates"),
        (ann.patch(path, json={"coordinates": too_large}), "/coordinates"),
    ]:
        assert response.status_code == 422
        assert [error["pointer"] for error in response.json()["errors"]] == [field]
        assert "102 bytes" in response.json()["errors"][0]["detail"]
    assert ann.patch(path, json={"coordinates": fits, "content": None}).status_code == 200


def test_documents_are_bounded_in_number_and_bytes(start: Start) -> None:
    """Ensure one document too many is 409 and bytes too many are 507, in words, until something is deleted."""
    pdf = make_pdf()
    ann = Api(start(quota_documents=2, quota_document_bytes=10_000)).register()
    first, _ = ann.upload(), ann.upload()
    files = {"file": ("a.pdf", pdf, "application/pdf")}
    refused(ann.post("/api/documents", files=files), 409, "2 documents", "Delete")
    assert ann.delete(f"/api/documents/{first['id']}").status_code == 204
    ann.upload()

    ann = Api(start(quota_document_bytes=3 * len(pdf))).log_in()
    ann.upload()
    refused(ann.post("/api/documents", files=files), 507, f"{3 * len(pdf):,} bytes", f"{len(pdf):,} more", "Delete")
    assert len(ann.get("/api/documents").json()["items"]) == 3
    bob = Api(ann.http, "bob@example.org").register()
    bob.upload()


def test_marks_are_bounded_in_number(start: Start) -> None:
    """Ensure extractions and annotations count together, and go with their document."""
    ann = Api(start(quota_marks=3)).register()
    document, other = ann.upload(), ann.upload()
    ann.annotate(document["id"])
    ann.extract(document["id"])
    ann.extract(other["id"])
    refused(ann.post("/api/annotations", json=annotation(other["id"])), 409, "3 extractions and annotations")
    refused(ann.post("/api/extractions", json=extraction(other["id"])), 409, "3 extractions and annotations")
    assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
    ann.annotate(other["id"])
    mark = ann.annotate(other["id"])
    refused(ann.post("/api/annotations", json=annotation(other["id"])), 409)
    assert ann.patch(f"/api/annotations/{mark['id']}", json={"content": "longer than it was"}).status_code == 200


def test_rows_are_bounded_in_bytes(start: Start) -> None:
    """Ensure bytes count as rows are added and grow, also right after a restart; what is smaller is always taken."""
    limits = {"quota_row_bytes": 4_000}
    ann = Api(start(**limits)).register()
    document = ann.upload()
    mark = ann.annotate(document["id"], content="x" * 2_500)
    path = f"/api/annotations/{mark['id']}"
    for restart in (False, True):
        client = Api(start(**limits)).log_in() if restart else ann
        refused(
            client.post("/api/extractions", json=extraction(document["id"], text="x" * 1_000)), 507, "4,000", "rows"
        )
        refused(client.patch(path, json={"content": "x" * 4_000}), 507)
        assert client.get(path).json()["content"] == "x" * 2_500
    assert client.patch(path, json={"content": "x"}).status_code == 200
    client.extract(document["id"], text="x" * 1_000)
    lowered = Api(start(quota_row_bytes=100)).log_in()
    assert lowered.patch(path, json={"content": ""}).status_code == 200
    assert lowered.delete(path).status_code == 204


def test_uploads_side_by_side_do_not_overshoot(tmp_path: Path) -> None:
    """Ensure of uploads at the same time as many are taken as there is room for, and no bytes of the others stay."""
    pdfs = [make_pdf(title=str(number)) for number in range(8)]
    options: dict[str, Any] = {"data_dir": str(tmp_path / "data"), "quota_document_bytes": 3 * len(pdfs[0]) + 10}
    resources = Resources(Settings(_env_file=None, **options))

    async def run() -> list[object]:
        resources.open()
        user = resources.db.users.create(email="ann@example.org", password_hash="!")
        receive = (uploads.receive(resources.db, resources.uploads, user, "a.pdf", io.BytesIO(pdf), {}) for pdf in pdfs)
        results = await asyncio.gather(*receive, return_exceptions=True)
        assert resources.uploads.waiting == {}
        await resources.close()
        return list(results)

    results = asyncio.run(run())
    assert [type(result) for result in results].count(Document) == 3
    assert [type(result) for result in results].count(QuotaExceeded) == 5
    assert len(list((tmp_path / "data" / "blobs").iterdir())) == 3


# ── the sums ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Broken(Exception):
    """What ends a transaction that is rolled back."""


Step = tuple[str, int, int, bool]
STEPS = st.tuples(
    st.sampled_from(["document", "extraction", "annotation", "change", "delete", "delete document", "behind", "fail"]),
    st.integers(0, 9), st.integers(0, 200), st.booleans(),
)  # fmt: skip


class World:
    """A library with two users, and the steps on what the first of them stores."""

    def __init__(self, db: Library) -> None:
        self.db = db
        self.ann, self.bob = (db.users.create(email=name, password_hash="!") for name in ("ann", "bob"))
        self.document(0, 10)

    def document(self, which: int, size: int) -> None:
        document = {"filename": "é", "total_pages": 3, "sha256": f"{which}", "metadata": {"a": "é" * size}}
        documents.create(self.db, self.ann, size=size, **document)

    def marked(self, which: int) -> str | None:
        rows = documents.owned_by(self.db, self.ann).all()
        return rows[which % len(rows)].id if rows else None

    def step(self, what: str, which: int, size: int) -> None:
        """Do something; nothing if there is no row to do it to."""
        db, ann, document = self.db, self.ann, self.marked(which)
        if what == "document" or document is None:
            self.document(which, size)
        elif what == "delete document":
            documents.delete(db, ann, document)
        elif what == "extraction":
            box = {"x": 1, "y": 2.5, "width": 3, "height": 4}
            extractions.create(db, ann, document, 1, field_name="f", text="é" * size, coordinates=box, method="manual")
        else:
            self.step_on_annotation(what, document, which, size)

    def step_on_annotation(self, what: str, document: str, which: int, size: int) -> None:
        db, ann = self.db, self.ann
        rows = db.annotations.where(user_id=ann.id).all()
        if what == "annotation" or not rows:
            fields: Json = {"type": "note", "coordinates": {"x": [1] * size}, "content": "é", "color": None}
            annotations.create(db, ann, document, 1, **fields)
        elif what == "change":
            annotations.change(db, ann, rows[which % len(rows)], content="é" * size)
        elif what == "delete":
            quotas.delete(db, ann, db.annotations, rows[which % len(rows)])
        else:
            db.annotations.delete(rows[which % len(rows)].id)  # behind the back of what counts


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_sums_are_those_of_the_rows(steps: list[Step]) -> None:
    """Ensure what is kept is what is there, whatever was added, changed, deleted, rolled back or done another way."""
    with Library("memory:", banner=False) as db:
        world = World(db)
        for what, which, size, rolled_back in steps:
            with suppress(Broken), db.transaction():
                world.step(what, which, size)
                if rolled_back:
                    raise Broken
            with db.transaction():
                assert quotas.current(db, world.ann) == replace_change(quotas.measure(db, world.ann), db, world.ann)
                assert quotas.current(db, world.bob) == Usage()


def replace_change(usage: Usage, db: Library, user: User) -> Usage:
    """Return sums with the note of the last change, which is no sum, taken over."""
    return replace(usage, last_change=db.usages[user.id].last_change)


def test_the_sums_survive_a_commit_that_fails(tmp_path: Path) -> None:
    """Ensure that what the disk did not take is not counted, nor is a change that it did not take."""
    disk = Disk()
    with Library(tmp_path / "data", banner=False, filesystem=partial(FaultyFiles, disk=disk)) as db:
        world = World(db)
        world.step("annotation", 0, 10)

        def step(_: Library, what: str) -> None:
            world.step(what, 0, 50)

        for what in ("annotation", "change", "document", "delete", "delete document"):
            disk.fail("sync")
            with pytest.raises(WriteFailed):
                asyncio.run(db.run(step, what))
            db.persist()
            with db.transaction():
                kept = quotas.current(db, world.ann)
                assert kept == replace_change(quotas.measure(db, world.ann), db, world.ann)


def test_a_write_does_not_sum_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that after the first write nothing looks at a user's other rows."""
    with Library("memory:", banner=False) as db:
        world = World(db)
        for what in ("annotation", "extraction", "change", "delete"):
            world.step(what, 0, 10)
        measured: list[object] = []
        monkeypatch.setattr(quotas, "measure", lambda *of: measured.append(of))
        for what in ("annotation", "annotation", "change", "document", "extraction", "delete", "delete document"):
            world.step(what, 0, 10)
        assert not measured


def _lose(db: Library, user: User) -> None:
    """Have a process know that a write of a user's has lost against another process's."""
    assert db.shared is not None
    with db.shared.user_locks.of(user.id):
        contention_lock.lost()


def test_writes_of_one_user_on_a_server_follow_each_other_and_stay_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ensure none of one process is done twice, nor of two that lost; and that they take what there is room for."""
    url = stores.new_schema()
    try:
        with Library(url) as first, Library(url) as second:
            assert first.shared is not None
            first.shared.make()
            user = first.users.create(email="ann@example.org", password_hash="!")
            fields: dict[str, Any] = {"filename": "f", "total_pages": 9, "size": 1, "sha256": "0" * 64, "metadata": {}}
            document = first.documents.create(user_id=user.id, **fields)
            core = engine_of(first).core
            begin, begun = core.begin, list[bool]()
            core.begin = lambda *args, **options: begun.append(True) or begin(*args, **options)  # type: ignore[method-assign, func-returns-value]

            async def mark(db: Library) -> bool:
                body = annotation(document.id)
                try:
                    async with quotas.write_lock(db, user):
                        await db.run(annotations.create, user, **body)
                except TooManyRows:
                    return False
                return True

            async def side_by_side(*dbs: Library) -> list[bool]:
                return await asyncio.gather(*(mark(db) for _ in range(12) for db in dbs))

            assert asyncio.run(side_by_side(first)) == [True] * 12
            assert (len(begun), len(first.writing)) == (12, 0)
            monkeypatch.setattr(contention_lock, "WAITS_SECONDS", 600.0)
            for db in (first, second):
                _lose(db, user)
            begun.clear()
            other = engine_of(second).core
            begin_other = other.begin
            other.begin = lambda *args, **options: begun.append(True) or begin_other(*args, **options)  # type: ignore[method-assign, func-returns-value]
            assert asyncio.run(side_by_side(first, second)) == [True] * 24
            assert len(begun) == 24
            first.limits = second.limits = replace(first.limits, marks=44)
            assert sorted(asyncio.run(side_by_side(first, second))) == [False] * 16 + [True] * 8
            assert first.annotations.count() == 44
    finally:
        stores.drop_schemas([url])
