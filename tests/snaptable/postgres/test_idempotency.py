"""An Idempotency-Key that two processes are sent at once: one write, and one answer for both.

Two applications stand for the processes: each has a `Database` of its own on the same server, and nothing else.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from fastapi import FastAPI
from pydantic import Field
from starlette.testclient import TestClient
from tests.snaptable.postgres import stores

from snaptable import Database, Row, Table, new_id, table
from snaptable.web import IdempotencyKey, crud_router, install_problems

KEYS = 4


class Note(Row):
    id: str = Field(default_factory=new_id)
    text: str


class Notes(Database):
    notes: Table[Note]
    idempotency: Table[IdempotencyKey] = table(transient=True)


def application(db: Notes) -> FastAPI:
    """Return an application of its own."""
    app = FastAPI()
    install_problems(app)
    app.include_router(crud_router(db.notes, allow={"create"}))
    return app


def test_a_key_sent_to_two_processes_at_once_gives_one_write() -> None:
    """Ensure that each answer is 201 with the same row, and that there is one row for each key."""
    url = stores.new_schema()
    with ExitStack() as stack:
        opened = [stack.enter_context(Notes(url)) for _ in range(2)]
        clients = [stack.enter_context(TestClient(application(db))) for db in opened]
        begin = threading.Barrier(4)

        def send(client: TestClient, key: str) -> dict[str, str]:
            begin.wait(90)
            while (
                answer := client.post("/notes", json={"text": key}, headers={"Idempotency-Key": key})
            ).status_code == 409:  # the same process is answering it
                assert answer.headers["retry-after"]
            assert answer.status_code == 201, answer.text
            row: dict[str, str] = answer.json()
            return row

        with ThreadPoolExecutor(4) as threads:
            for key in map(str, range(KEYS)):
                answers = list(threads.map(send, clients * 2, [key] * 4))
                assert len({answer["id"] for answer in answers}) == 1
        assert sorted(note.text for note in opened[0].notes) == [str(key) for key in range(KEYS)]
    stores.drop_schemas([url])
