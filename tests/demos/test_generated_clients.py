"""Clients that openapi-python-client generates from what the backend and the demos say of themselves.

The generator is not among the tools that are locked: `uv run --with` brings it. Where it can't be had, these are
skipped; never where CI is true.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pytest
import uvicorn
from fastapi import FastAPI
from tests.app.support import CHEAP_HASHING, PASSWORD, make_pdf
from tests.demos.support import running

from app.api.application import create_app
from app.settings import Settings
from demos.chat.application import create_app as create_chat
from demos.lesson.application import create_app as create_lesson
from demos.tracker.application import create_app as create_tracker
from snaptable import Database, ForeignKey, Index, Row, Secret, Table, Unique, numbered, table
from snaptable.web import ALL, IdempotencyKey, crud_router, feed_router, install_problems, monitoring_router

ROOT = Path(__file__).parents[2]
GENERATOR = "openapi-python-client==0.29.1"
UNKNOWN_TO_IT = "application/pdf"
"""What the generator leaves out of a client, and says so."""
USE_TRACKER = """
from generated_tracker import Client
from generated_tracker.api.tracks import tracks_get, tracks_list
from generated_tracker.api.users import users_create
from generated_tracker.models import ExpandedRows, Problem, TrackPage, User, UserCreate
from generated_tracker.models import TracksListExpandItem, TracksListSortItem

client = Client(BASE)
page = tracks_list.sync(client=client, sort=[TracksListSortItem.DIFFICULTY, TracksListSortItem.VALUE_6], limit=200)
assert isinstance(page, TrackPage)
keys = [track.id for track in page.items if isinstance(track.id, str)]
some = tracks_list.sync(client=client, id_in=keys[:2], expand=[TracksListExpandItem.LESSONS])
assert isinstance(some, TrackPage)
assert {track.id for track in some.items} == set(keys[:2])
for track in some.items:
    assert isinstance(track.lessons, ExpandedRows)
    assert "order" in track.lessons.items[0].additional_properties
new = users_create.sync(client=client, body=UserCreate(name="Kay", email="kay@example.org"))
assert isinstance(new, User), new
again = users_create.sync(client=client, body=UserCreate(name="Kay", email="kay@example.org"))
assert isinstance(again, Problem)
assert again.status == 409
missing = tracks_get.sync("nowhere", client=client)
assert isinstance(missing, Problem)
print("used", len(keys))
"""
USE_WHOLE = """
from http import HTTPStatus

from generated_whole import AuthenticatedClient, Client
from generated_whole.api.authors import authors_create, authors_delete, authors_get
from generated_whole.api.books import books_bulk, books_create, books_delete, books_get, books_history, books_list
from generated_whole.api.books import books_replace, books_restore, books_update
from generated_whole.api.changes import follow_changes
from generated_whole.api.health import get_database_health, get_health, get_performance
from generated_whole.models import Author, AuthorCreate, Book, BookBulk, BookBulkAnswer, BookBulkUpdate, BookCreate
from generated_whole.models import BookExpanded, BookExpandedAuthorType0, BookPage, BooksGetExpandItem
from generated_whole.models import BooksListCount, BooksListSortItem, BookUpdate, DatabaseHealth, DatabaseStatus
from generated_whole.models import HistoryPage, Performance, Problem, RestoreTo
from generated_whole.types import UNSET, Unset


def problem(answer: object, status: int) -> Problem:
    assert isinstance(answer, Problem), answer
    assert answer.status == status
    return answer


client = Client(BASE)
ada = authors_create.sync(client=client, body=AuthorCreate(email="ada@example.org", token="t"))
assert isinstance(ada, Author), ada
assert "token" not in ada.to_dict()
bulk = BookBulk(insert=[BookCreate(author_id=ada.id, title=f"Book {n}", pages=n) for n in range(1, 8)])
made = books_bulk.sync(client=client, body=bulk, idempotency_key="once")
assert isinstance(made, BookBulkAnswer), made
assert [book.pages for book in made.inserted] == list(range(1, 8))
again = books_bulk.sync(client=client, body=bulk, idempotency_key="once")
assert isinstance(again, BookBulkAnswer)
assert again.to_dict() == made.to_dict()

# a filter, an order, a count, and pages by their cursor
seen: list[int] = []
cursor: str | Unset = UNSET
while True:
    page = books_list.sync(
        client=client, pages_gte=3, sort=[BooksListSortItem.VALUE_3], limit=2, cursor=cursor,
        count=BooksListCount.EXACT,
    )
    assert isinstance(page, BookPage), page
    assert page.total == 5
    seen += [book.pages for book in page.items if isinstance(book.pages, int)]
    if not isinstance(page.next_cursor, str):
        break
    cursor = page.next_cursor
assert sorted(seen) == [3, 4, 5, 6, 7], seen
problem(books_list.sync(client=client, cursor="nonsense"), 422)

# what was read before somebody else's change is not written
key = str(made.inserted[0].id)
read = books_get.sync_detailed(key, client=client)
etag = read.headers["etag"]
changed = books_update.sync(key, client=client, body=BookUpdate(pages=70), if_match=etag)
assert isinstance(changed, Book), changed
stale = books_update.sync_detailed(key, client=client, body=BookUpdate(pages=71), if_match=etag)
assert stale.status_code == HTTPStatus.PRECONDITION_FAILED
current = problem(stale.parsed, 412).additional_properties["current"]
assert current["pages"] == 70
problem(books_replace.sync(key, client=client, body=BookCreate(author_id=ada.id, title="x"), if_match=etag), 412)
problem(books_delete.sync(key, client=client, if_match=etag), 412)

# many rows at once: all, or nothing with a fault's place
second, third = made.inserted[1].id, made.inserted[2].id
assert isinstance(second, int)
assert isinstance(third, int)
update = BookBulkUpdate(id=second, title="Second")
mixed = books_bulk.sync(client=client, body=BookBulk(update=[update], delete=[third]))
assert isinstance(mixed, BookBulkAnswer), mixed
assert [book.title for book in mixed.updated] == ["Second"]
assert mixed.deleted == [made.inserted[2].id]
wrong = problem(books_bulk.sync(client=client, body=BookBulk(insert=[BookCreate(author_id=99, title="x")])), 409)
assert wrong.title
problem(authors_create.sync(client=client, body=AuthorCreate(email="ada@example.org", token="t")), 409)
problem(books_create.sync(client=client, body=BookCreate(author_id=98, title="x")), 409)
problem(authors_get.sync("12345", client=client), 404)

# what a row refers to, how it was, and the way back
expanded = books_get.sync(key, client=client, expand=[BooksGetExpandItem.AUTHOR])
assert isinstance(expanded, BookExpanded), expanded
assert isinstance(expanded.author, BookExpandedAuthorType0)
assert expanded.author.to_dict()["email"] == "ada@example.org"
history = books_history.sync(key, client=client)
assert isinstance(history, HistoryPage), history
assert [commit.sequence for commit in history.items] == sorted((c.sequence for c in history.items), reverse=True)
back = books_restore.sync(key, client=client, body=RestoreTo(at=history.items[-1].sequence))
assert isinstance(back, Book), back
assert back.pages == 1
then = books_list.sync(client=client, at="1")
assert isinstance(then, BookPage)
assert then.items == []

assert get_health.sync(client=client) is not None
health = get_database_health.sync(client=client)
assert isinstance(health, DatabaseStatus), health
assert health.status == "ok"
monitor = AuthenticatedClient(BASE, "monitor")
whole = get_database_health.sync(client=monitor)
assert isinstance(whole, DatabaseHealth), whole
problem(get_performance.sync(client=client), 401)
performance = get_performance.sync(client=monitor)
assert isinstance(performance, Performance), performance
problem(follow_changes.sync(client=client, since="123456"), 410)
gone = authors_delete.sync_detailed(str(ada.id), client=client)
assert gone.status_code == HTTPStatus.NO_CONTENT
print("used", len(seen))
"""
USE_APP = """
import base64
import io
from http import HTTPStatus

from generated_app import AuthenticatedClient, Client
from generated_app.api.annotations import change_annotation, create_annotation, get_annotation
from generated_app.api.auth import get_me, login, register
from generated_app.api.documents import list_documents, upload_document
from generated_app.models import AnnotationChanges, AnnotationIn, AnnotationInCoordinates, AnnotationInType
from generated_app.models import AnnotationOut, BodyLogin, DocumentOut, PageOutDocumentOut, Problem, Registration
from generated_app.models import TokenOut, UploadDocumentBody, UserOut
from generated_app.types import File, UNSET, Unset

stranger = Client(BASE)
for name in ("ada", "ben"):
    user = register.sync(client=stranger, body=Registration(email=f"{name}@example.org", password=PASSWORD))
    assert isinstance(user, UserOut), user
refused = login.sync(client=stranger, body=BodyLogin(username="ada@example.org", password="no"))
assert isinstance(refused, Problem)
assert refused.status == 401
token = login.sync(client=stranger, body=BodyLogin(username="ada@example.org", password=PASSWORD))
assert isinstance(token, TokenOut), token
client = AuthenticatedClient(BASE, token.access_token)
me = get_me.sync(client=client)
assert isinstance(me, UserOut), me
documents: list[DocumentOut] = []
for n in range(3):
    file = File(io.BytesIO(base64.b64decode(PDFS[n])), f"paper-{n}.pdf", "application/pdf")
    document = upload_document.sync(client=client, body=UploadDocumentBody(file=file))
    assert isinstance(document, DocumentOut), document
    documents.append(document)
names: list[str] = []
cursor: str | Unset = UNSET
while True:
    page = list_documents.sync(client=client, limit=1, filename_starts_with="paper-", total_pages_gte=2, cursor=cursor)
    assert isinstance(page, PageOutDocumentOut), page
    names += [document.filename for document in page.items]
    if not isinstance(page.next_cursor, str):
        break
    cursor = page.next_cursor
assert sorted(names) == ["paper-1.pdf", "paper-2.pdf"], names
place = AnnotationInCoordinates.from_dict({"x": 0.1, "y": 0.2})
body = AnnotationIn(document_id=documents[2].id, page_num=1, type_=AnnotationInType.NOTE, coordinates=place)
mark = create_annotation.sync(client=client, body=body)
assert isinstance(mark, AnnotationOut), mark
etag = get_annotation.sync_detailed(mark.id, client=client).headers["etag"]
changed = change_annotation.sync(mark.id, client=client, body=AnnotationChanges(content="seen"), if_match=etag)
assert isinstance(changed, AnnotationOut), changed
stale = change_annotation.sync(mark.id, client=client, body=AnnotationChanges(content="no"), if_match=etag)
assert isinstance(stale, Problem), stale
assert stale.status == 412
print("used", len(names))
"""


class Author(Row):
    id: int = numbered()
    email: Annotated[str, Unique()]
    token: Annotated[str, Secret()] = "none"


class Book(Row):
    id: int = numbered()
    author_id: Annotated[int, ForeignKey(Author, on_delete="cascade")]
    title: str
    pages: Annotated[int, Index(ordered=True)] = 1
    tags: tuple[str, ...] = ()


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book]
    keys: Table[IdempotencyKey] = table(transient=True)


def create_whole() -> FastAPI:
    """Return an application of all that the routers offer: tables, feed, monitoring."""
    db = Shelf("memory:", banner=False)
    db.open()
    app = FastAPI()
    install_problems(app)
    everything = ALL | {"history", "restore"}
    for each in (
        crud_router(db.authors, allow=everything), crud_router(db.books, allow=everything, expand=["author"]),
        feed_router(db), monitoring_router(db, token="monitor"),
    ):  # fmt: skip
        app.include_router(each)
    return app


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application in a thread, and give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def run(folder: Path, *command: str) -> str:
    """Run a program of the generator's environment in a folder, and return its output."""
    uv = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    tools = ["--no-project", "--python", sys.executable, "--with", GENERATOR, "--with", "mypy"]
    found = subprocess.run(
        [uv, "run", "--quiet", *tools, *command],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return f"exit {found.returncode}\n{found.stdout}{found.stderr}"


def generate(folder: Path) -> dict[str, FastAPI]:
    """Generate the clients in a folder, and return the applications by name; skip, or fail, without the generator."""
    said = run(folder, "openapi-python-client", "--version")
    if not said.startswith("exit 0"):
        message = f"{GENERATOR} can't be had: {said[:300]}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    options: dict[str, object] = {"data_dir": "memory:", **CHEAP_HASHING}
    apps = {
        "app": create_app(Settings(_env_file=None, **options)),  # type: ignore[arg-type]
        "lesson": create_lesson(folder / "lesson"),
        "chat": create_chat("memory:"),
        "tracker": create_tracker("memory:"),
        "whole": create_whole(),
    }
    for name, app in apps.items():
        document = folder / f"{name}.json"
        document.write_text(json.dumps(app.openapi()), encoding="utf-8")
        generated = folder / f"generated_{name}"
        said = run(
            folder, "openapi-python-client", "generate", "--path", str(document), "--output-path", str(generated),
            "--meta", "none",
        )  # fmt: skip
        assert said.startswith("exit 0"), said
        warnings = [line for line in said.splitlines() if line.startswith(("Unable", "Could not", "Cannot", "WARNING"))]
        assert all(UNKNOWN_TO_IT in line or "/content" in line for line in warnings), said
    return apps


def test_generated_clients_are_strictly_typed_and_work(tmp_path: Path) -> None:
    """Ensure that mypy --strict finds nothing in any client, nor in programs that use three of them.

    But in `client.py`, which is the generator's own. And that these programs work against servers: lists with filters,
    orders and pages, expansions, changes by ETag with their 412, bulk, history, problems, monitoring; login and upload.
    """
    folder = tmp_path / "clients"
    folder.mkdir()
    apps = generate(folder)
    names = [f"generated_{name}" for name in sorted(apps)]
    ignored = "".join(f"[mypy-{name}.client]\nignore_errors = True\n" for name in names)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = True\n{ignored}", encoding="utf-8")
    assert len({(folder / name / "client.py").read_bytes() for name in names}) == 1
    pdfs = [base64.b64encode(make_pdf(number)).decode() for number in (1, 2, 3)]
    values = f"PASSWORD, PDFS = {PASSWORD!r}, {pdfs!r}\n"
    with (
        running("tracker", "--data-dir", tmp_path / "data") as tracker,
        served(apps["whole"]) as whole,
        served(apps["app"]) as backend,
    ):
        uses = {"tracker": (USE_TRACKER, tracker), "whole": (USE_WHOLE, whole), "app": (USE_APP, backend)}
        for name, (text, address) in uses.items():
            program = f"BASE = {address!r}\n{values}{text}"
            (folder / f"use_{name}.py").write_text(program, encoding="utf-8")
        said = run(folder, "mypy", "--config-file", "mypy.ini", *names, *(f"use_{name}.py" for name in uses))
        assert said.startswith("exit 0\nSuccess"), said
        assert run(folder, "python", "use_tracker.py") == "exit 0\nused 5\n"
        assert run(folder, "python", "use_whole.py") == "exit 0\nused 5\n"
        assert run(folder, "python", "use_app.py") == "exit 0\nused 2\n"
