"""The backend under a power cut and a full disk, with the library's own test plugin."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.app.support import CHEAP_HASHING, Api, annotation, check_problem, make_pdf

from app.api.application import create_app
from app.library import Library
from app.resources import Resources
from app.services.documents import named_in_history
from app.settings import Settings
from snaptable.engines.observers import observed_filesystem
from snaptable.storage.disk.files import Files
from snaptable.testing import AppFixture, AppHandle


@pytest.fixture
def app(snaptable_app: AppFixture) -> AppHandle:
    """Give the running backend, whose blobs lie on the same simulated disk as its store."""

    def make(directory: Path) -> FastAPI:
        def disk(path: Path, /, *, fsync: bool) -> Files:
            filesystem = observed_filesystem(resources.db, path)
            assert filesystem is not None
            return filesystem(path, fsync=fsync)

        options: dict[str, Any] = {"data_dir": str(directory), **CHEAP_HASHING}
        resources = Resources(Settings(_env_file=None, **options), disk)
        return create_app(resources=resources)

    return snaptable_app(make, raise_server_exceptions=False)


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_takes_nothing_that_was_answered(app: AppHandle, seed: int) -> None:
    """Cut off amid a request, the backend starts again with every row it had answered for; the login holds, too."""
    ann = Api(app.client).register()
    document = ann.upload()
    kept = ann.annotate(document["id"])
    ann.http = app.power_loss(
        during=lambda: ann.post("/api/annotations", json=annotation(document["id"], content="cut off")), seed=seed
    )
    marks = ann.get(f"/api/annotations?document_id={document['id']}").json()["items"]
    assert marks[0] == kept
    assert [mark["content"] for mark in marks[1:]] in ([], ["cut off"])
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 200
    assert app.db.check() == []
    app.assert_survives_restart()


def test_a_full_disk_is_answered_503_and_goes(app: AppHandle) -> None:
    """While there is no room, a write is refused as a problem and leaves nothing; then it works again."""
    ann = Api(app.client).register()
    document = ann.upload()
    with app.disk.full():
        check_problem(ann.post("/api/annotations", json=annotation(document["id"])), 503)
    mark = ann.annotate(document["id"])
    ann.http = app.restart()
    assert ann.get(f"/api/annotations?document_id={document['id']}").json()["items"] == [mark]


def check_documents(app: AppHandle, ann: Api) -> list[str]:
    """Ensure that each document has its bytes, whole, and no other blob is there; return the names of the documents."""
    documents = ann.get("/api/documents?sort=upload_date").json()["items"]
    for document in documents:
        content = ann.get(f"/api/documents/{document['id']}/content")
        assert content.status_code == 200
        assert hashlib.sha256(content.content).hexdigest() == document["sha256"]
    blobs = {path.name for path in (app.directory / "blobs").iterdir()}
    named = {document["sha256"] for document in documents}
    assert isinstance(app.db, Library)
    assert blobs - named == named_in_history(app.db, blobs - named)
    assert named <= blobs
    return [document["filename"] for document in documents]


@pytest.mark.parametrize("seed", range(16))
def test_a_power_cut_amid_an_upload_leaves_no_document_without_its_bytes(app: AppHandle, seed: int) -> None:
    """Cut off at any file operation of an upload or a delete, each row that is there afterwards has its blob."""
    ann = Api(app.client).register()
    gone = ann.upload(make_pdf(1), name="gone.pdf")["id"]
    ann.upload(make_pdf(2), name="kept.pdf")

    def upload_and_delete() -> None:
        ann.upload(make_pdf(3), name="new.pdf")
        assert ann.delete(f"/api/documents/{gone}").status_code == 204

    ann.http = app.power_loss(during=upload_and_delete, seed=seed)
    names = check_documents(app, ann)
    assert names in (["gone.pdf", "kept.pdf"], ["gone.pdf", "kept.pdf", "new.pdf"], ["kept.pdf", "new.pdf"])
    assert app.db.check() == []
    ann.http = app.restart()
    assert check_documents(app, ann) == names


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "syncdir"])
def test_an_upload_that_the_disk_refuses_leaves_nothing(app: AppHandle, operation: str) -> None:
    """Ensure 503, neither row nor bytes, and an upload as ever once the disk is well."""
    ann = Api(app.client).register()
    ann.upload(make_pdf(2), name="kept.pdf")
    files = {"file": ("new.pdf", make_pdf(3), "application/pdf")}
    with app.disk.fail(operation, name="blobs", times=1) as fault:
        check_problem(ann.post("/api/documents", files=files), 503)
        assert fault.trigger_count == 1
    assert check_documents(app, ann) == ["kept.pdf"]
    with app.disk.full(room=100):
        check_problem(ann.post("/api/documents", files=files), 503)
    assert check_documents(app, ann) == ["kept.pdf"]
    ann.upload(make_pdf(3), name="new.pdf")
    ann.http = app.restart()
    assert check_documents(app, ann) == ["kept.pdf", "new.pdf"]
