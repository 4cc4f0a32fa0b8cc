"""The backend under a power cut and a full disk, with the library's own test plugin."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.app.support import CHEAP_HASHING, Api, annotation, problem

from app.main import create_app
from app.settings import Settings
from snaptable.testing import AppFixture, AppHandle


@pytest.fixture
def app(snaptable_app: AppFixture) -> AppHandle:
    """Give the running backend."""

    def make(directory: Path) -> FastAPI:
        options: dict[str, Any] = {"data_dir": str(directory), **CHEAP_HASHING}
        return create_app(Settings(_env_file=None, **options))

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
    found = ann.get(f"/api/annotations?document_id={document['id']}").json()["items"]
    assert found[0] == kept
    assert [mark["content"] for mark in found[1:]] in ([], ["cut off"])
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 200
    assert app.db.check() == []
    app.assert_survives_restart()


def test_a_full_disk_is_answered_503_and_goes(app: AppHandle) -> None:
    """While there is no room, a write is refused as a problem and leaves nothing; then it works again."""
    ann = Api(app.client).register()
    document = ann.upload()
    with app.disk.full():
        problem(ann.post("/api/annotations", json=annotation(document["id"])), 503)
    mark = ann.annotate(document["id"])
    ann.http = app.restart()
    assert ann.get(f"/api/annotations?document_id={document['id']}").json()["items"] == [mark]
