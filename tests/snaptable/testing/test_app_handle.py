"""An application of a test: any that a TestClient runs, with a store that restarts, dies and is cut off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from snaptable import Database, Row, Table, WriteFailed
from snaptable.testing import AppFixture, AppHandle


class Note(Row):
    id: int | None = None
    text: str = ""


class Notes(Database):
    notes: Table[Note]


def application(db: Notes) -> FastAPI:
    """Return an application on a database that it opens when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with db:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/notes", status_code=201)
    async def create(text: str) -> Note:
        return await db.run(lambda db: db.notes.insert(Note(text=text)))

    @app.get("/notes")
    async def read() -> list[str]:
        return [note.text for note in db.notes.where()]

    return app


@pytest.fixture
def app(snaptable_app: AppFixture[Notes]) -> AppHandle[Notes]:
    """Give a running application with one note."""
    app = snaptable_app(lambda directory: application(Notes(directory)))
    assert app.client.post("/notes?text=first").status_code == 201
    return app


@pytest.mark.parametrize("end", ["restart", "kill", "power_loss"])
def test_what_was_answered_is_there(app: AppHandle[Notes], end: str) -> None:
    """After each kind of end, the application that starts again has the note."""
    client = getattr(app, end)()
    assert client is app.client
    assert client.get("/notes").json() == ["first"]
    assert app.db.check() == []
    app.assert_survives_restart()


def test_a_request_that_is_cut_off_leaves_all_or_nothing(snaptable_app: AppFixture[Notes]) -> None:
    """Wherever power goes during a request, its note is there or not, and the others are."""
    seen = set()

    def make(directory: Path) -> FastAPI:
        return application(Notes(directory))

    for seed in range(12):
        app = snaptable_app(make)
        app.client.post("/notes?text=first")
        app.power_loss(during=partial(app.client.post, "/notes?text=second"), seed=seed)
        seen.add(tuple(app.client.get("/notes").json()))
    assert seen == {("first",), ("first", "second")}


def test_every_crash_of_a_workload_by_http(app: AppHandle[Notes]) -> None:
    """The workload is called with a client of a copy; every state a crash may leave its store in is verified."""

    def workload(client: TestClient) -> None:
        assert client.get("/notes").json() == ["first"]
        for text in ("second", "third"):
            assert client.post(f"/notes?text={text}").status_code == 201

    report = app.crash_everywhere(workload, max_states=10)
    assert report.states.total() > 80
    assert app.client.get("/notes").json() == ["first"]


def test_a_full_disk_shows_in_the_answer(app: AppHandle[Notes]) -> None:
    """The store's error reaches the application, and goes when there is room."""
    with app.disk.full(), pytest.raises(WriteFailed):
        app.client.post("/notes?text=second")
    assert app.client.post("/notes?text=third").status_code == 201
    assert app.client.get("/notes").json() == ["first", "third"]


def test_an_application_of_a_module_uses_the_directory_of_the_test(
    snaptable_app: AppFixture[Notes], tmp_path: Path
) -> None:
    """Where the application and its database exist already, both are used as they are."""
    db = Notes(tmp_path / "never made")
    module_app = application(db)
    app = snaptable_app(module_app, db)
    app.client.post("/notes?text=first")
    app.kill()
    assert app.db is db
    assert app.client.get("/notes").json() == ["first"]
    assert not (tmp_path / "never made").exists()


@pytest.mark.parametrize("running", [True, False])
def test_every_crash_for_an_application_of_a_module(
    snaptable_app: AppFixture[Notes], tmp_path: Path, *, running: bool
) -> None:
    """The one application runs on the copy meanwhile; afterwards it is what it was, running or stopped."""
    db = Notes(tmp_path / "never made")
    app = snaptable_app(application(db), db)
    app.client.post("/notes?text=first")
    if not running:
        app.stop()

    def ask(client: TestClient) -> None:
        client.post("/notes?text=question")
        client.post("/notes?text=answer")

    def every_question_has_its_answer(db: Notes) -> None:
        texts = [note.text for note in db.notes.where()]
        assert texts.count("question") == texts.count("answer")

    assert app.crash_everywhere(ask).states.total() > 100
    with pytest.raises(AssertionError, match="every_question_has_its_answer"):
        app.crash_everywhere(ask, check=every_question_has_its_answer)
    with pytest.raises(ZeroDivisionError):
        app.crash_everywhere(lambda client: 1 // 0)
    assert app.is_running is db.is_open is running
    client = app.client if running else app.start()
    assert client.get("/notes").json() == ["first"]


def test_an_application_that_opens_no_store_is_told(snaptable_app: AppFixture[Notes]) -> None:
    """An application that ignores the directory would be tested in vain."""
    app = snaptable_app(lambda _: FastAPI())
    with pytest.raises(RuntimeError, match="has opened no Database in"):
        app.db.check()
    with pytest.raises(RuntimeError, match="has opened no Database in"):
        app.crash_everywhere(lambda client: client.get("/"))
    with pytest.raises(RuntimeError, match="never opened"):
        app.kill()


def test_the_client_is_made_as_told(snaptable_app: AppFixture[Notes]) -> None:
    """Options are the TestClient's own."""
    app = snaptable_app(lambda directory: application(Notes(directory)), base_url="http://example.org")
    assert str(app.client.base_url) == "http://example.org"
    assert str(app.restart().base_url) == "http://example.org"
