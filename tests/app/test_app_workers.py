"""Several processes on one PostgreSQL database, real ones: what one does holds in the others.

Ensures that limits on logins, quotas and logouts are those of all processes together, that no document's bytes are lost
where one process stores what another removes, that a feed tells what another process wrote, that the link for the first
admin is good once, and that a worker that is killed loses no write that was acknowledged, and repeats none.
"""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.app.support import (
    PASSWORD,
    PATIENCE,
    Api,
    Json,
    Process,
    annotation,
    check_problem,
    make_pdf,
    run_in_process,
    wait_for,
)
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.breakdown import breaking_down
from tests.snaptable.postgres.server import running

from app.files.shared_blobs import SharedBlobs
from app.library import Library
from app.shared.blob_uses import SharedBlobUses
from app.shared.lease import Lease
from app.shared.tables import SharedTables
from snaptable import Database
from snaptable.storage.disk.files import Files

WORKERS = 3
FAILURES = 6
DOCUMENTS = 5
MONITOR = {"Authorization": "Bearer monitor"}
OPTIONS = (
    f"--workers={WORKERS}",
    f"--login-failures={FAILURES}",
    f"--quota-documents={DOCUMENTS}",
    "--keep-deleted-bytes=0",
    "--health-token=monitor",
)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the URL of an empty database."""
    made = stores.new_schema()
    yield made
    stores.drop_schemas([made])


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Process]:
    """Give a server of three workers, which at the end stops in order."""
    server = Process(tmp_path_factory.mktemp("workers") / "data", f"--database-url={url}", *OPTIONS)
    try:
        server.start()
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.output
    finally:
        server.end()


def process_of(http: httpx2.Client) -> Json:
    """Return which process answers on a client's connection."""
    process: Json = http.get("/health", headers=MONITOR).json()["process"]
    return process


@contextmanager
def connected(server: Process, number: int) -> Iterator[httpx2.Client]:
    """Give a client whose connection is to one of the workers: connections go to whoever accepts them first."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with ExitStack() as stack:
            others = [stack.enter_context(server.client(verify=False)) for _ in range(WORKERS * 2)]
            with ThreadPoolExecutor(len(others)) as threads:
                try:
                    found = list(threads.map(process_of, others))
                except httpx2.TransportError:  # of one that has just been killed
                    continue
            for http, process in zip(others, found, strict=True):
                if process["number"] == number:
                    yield http
                    return
    raise AssertionError(f"no connection to worker {number}")


@pytest.fixture
def each(backend: Process) -> Iterator[list[httpx2.Client]]:
    """Give a client of each worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(backend, number)) for number in range(1, WORKERS + 1)]


def side_by_side(calls: list[Callable[[], httpx2.Response]]) -> list[httpx2.Response]:
    """Return the answers to requests that are sent at the same time."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def user(http: httpx2.Client, name: str) -> Api:
    """Return a new user, logged in."""
    return Api(http, f"{name}@example.org").register()


def at(api: Api, http: httpx2.Client) -> Api:
    """Return a user as another connection speaks for them."""
    other = Api(http, api.email)
    other.headers = api.headers
    return other


def test_each_worker_says_which_it_is(each: list[httpx2.Client]) -> None:
    """Ensure that /health names the process, and that its metrics carry its number."""
    processes = [process_of(http) for http in each]
    assert [process["number"] for process in processes] == [1, 2, 3]
    assert len({process["pid"] for process in processes}) == WORKERS
    for number, http in enumerate(each, 1):
        assert f'process="{number}"' in http.get("/metrics", headers=MONITOR).text


def test_failed_logins_count_together(each: list[httpx2.Client]) -> None:
    """Ensure that of wrong passwords at once as many are looked at as one process would, and that all refuse then."""
    ann = user(each[0], "limited")
    wrong = {"username": ann.email, "password": "wrong password"}
    answers = side_by_side([lambda http=http: http.post("/api/auth/login", data=wrong) for http in each * 4])  # type: ignore[misc]
    assert sorted(answer.status_code for answer in answers) == [401] * FAILURES + [429] * (12 - FAILURES)
    for http in each:
        check_problem(http.post("/api/auth/login", data={**wrong, "password": PASSWORD}), 429)
        assert http.post("/api/auth/login", data={**wrong, "username": "other@example.org"}).status_code == 401


def test_a_logout_holds_everywhere_at_once(each: list[httpx2.Client]) -> None:
    """Ensure that a token that one process ended, or a changed password, is refused by the others at once."""
    ann = user(each[0], "leaving")
    assert [at(ann, http).get("/api/auth/me").status_code for http in each] == [200] * WORKERS
    assert at(ann, each[1]).post("/api/auth/logout").status_code == 204
    assert [at(ann, http).get("/api/auth/me").status_code for http in each] == [401] * WORKERS
    first, second = Api(each[0], ann.email).log_in(), Api(each[1], ann.email).log_in()
    change = {"old_password": PASSWORD, "new_password": "another long sentence"}
    assert first.post("/api/auth/password", json=change).status_code == 204
    assert at(second, each[2]).get("/api/auth/me").status_code == 401


def test_uploads_at_once_stay_within_the_quota(each: list[httpx2.Client], backend: Process) -> None:
    """Ensure that as many documents are taken as there is room for, whoever takes them, and no bytes of the others."""
    ann = user(each[0], "hoarder")
    pdfs = [make_pdf(title=f"quota {number}") for number in range(12)]

    def send(number: int) -> httpx2.Response:
        files = {"file": ("a.pdf", pdfs[number], "application/pdf")}
        return at(ann, each[number % WORKERS]).post("/api/documents", files=files)

    answers = side_by_side([lambda number=number: send(number) for number in range(12)])  # type: ignore[misc]
    assert sorted(answer.status_code for answer in answers) == [201] * DOCUMENTS + [409] * (12 - DOCUMENTS)
    rows = ann.get("/api/documents").json()["items"]
    assert len(rows) == DOCUMENTS
    folder = backend.directory / "blobs"
    stored = {path.name for path in folder.iterdir()}
    assert {row["sha256"] for row in rows} <= stored
    for row in rows:
        assert ann.delete(f"/api/documents/{row['id']}").status_code == 204
    wait_for(lambda: not {row["sha256"] for row in rows} & {path.name for path in folder.iterdir()})


def test_bytes_that_one_process_removes_and_another_stores_are_never_lost(
    each: list[httpx2.Client], backend: Process
) -> None:
    """Ensure that a document that was acknowledged has its bytes, while others delete equal ones without end."""
    pdf = make_pdf(2, title="the same")
    users = [user(http, f"same{number}") for number, http in enumerate(each)]

    def work(api: Api) -> None:
        for _ in range(12):
            document = api.upload(pdf)
            content = api.get(f"/api/documents/{document['id']}/content")
            assert (content.status_code, content.content) == (200, pdf), content.text
            assert api.delete(f"/api/documents/{document['id']}").status_code == 204

    with ThreadPoolExecutor(WORKERS) as threads:
        for future in [threads.submit(work, api) for api in users]:
            future.result()
    kept = users[0].upload(pdf)
    assert at(users[0], each[1]).get(f"/api/documents/{kept['id']}/content").content == pdf
    assert users[0].delete(f"/api/documents/{kept['id']}").status_code == 204
    wait_for(lambda: kept["sha256"] not in {path.name for path in (backend.directory / "blobs").iterdir()})


def test_no_process_removes_what_another_is_storing(tmp_path: Path) -> None:
    """Ensure that bytes stay from before they get their name until their row is committed, and go if there is none."""
    made = stores.new_schema()
    with Library(made) as db:
        tables = SharedTables(db)
        tables.make()
        first, second = (SharedBlobs(Files(tmp_path), SharedBlobUses(tables), keep_bytes=0) for _ in range(2))

        async def store() -> Path:
            with first.stage(io.BytesIO(b"bytes"), 100) as staged:
                async with first.storing(staged.sha256):
                    staged.publish()
                    for remove in (second.collect, second.release):
                        await second.aside(remove, staged.sha256)
                        assert first.path(staged.sha256).exists()
                return first.path(staged.sha256)

        path = asyncio.run(store())
        second.collect(path.name)
        assert path.exists(), "history may name it"
        second.release(path.name)
        assert not path.exists()
    stores.drop_schemas([made])


@pytest.mark.parametrize("comes_to", ["committed", "rolled back"])
def test_a_pin_that_is_taken_back_as_the_server_goes_away_takes_no_other_along(tmp_path: Path, comes_to: str) -> None:
    """Ensure that bytes stay which two processes store, where one loses its connection as it takes its pin back."""
    with running() as server, breaking_down(server) as way, Library(way.url) as db:
        tables = SharedTables(db)
        tables.make()
        first, second = (SharedBlobs(Files(tmp_path), SharedBlobUses(tables), keep_bytes=0) for _ in range(2))

        async def store() -> None:
            async with second.storing("0" * 64):
                first.path("0" * 64).write_bytes(b"bytes")
                async with first.storing("0" * 64):
                    way.next_commit = comes_to
                assert way.next_commit is None
                await first.aside(first.collect, "0" * 64)
                assert first.path("0" * 64).exists()

        asyncio.run(store())


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, Json]]:
    """Yield the kind and the data of each event of a feed."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


def test_a_feed_tells_what_another_process_wrote_and_ends_with_the_login(each: list[httpx2.Client]) -> None:
    """Ensure that commits of one process come through another, once each, and that a logout ends the stream."""
    ann = user(each[0], "follower")
    document = at(ann, each[1]).upload()
    with each[2].stream("GET", "/api/changes?tables=annotations", headers=ann.headers) as stream:
        events = events_of(stream.iter_lines())
        assert next(events)[0] == "bookmark"
        written = [at(ann, each[number % 2]).annotate(document["id"])["id"] for number in range(4)]
        told: list[str] = []
        while len(told) < len(written):
            told += [change["key"] for change in next(events)[1].get("changes", [])]
        assert told == written
        assert at(ann, each[0]).post("/api/auth/logout").status_code == 204
        assert [kind for kind, _ in events if kind != "bookmark"] == ["ended"]


def test_the_link_for_the_first_admin_is_good_once_in_all_of_them(each: list[httpx2.Client], backend: Process) -> None:
    """Ensure that whoever serves takes the link, that it is used up then everywhere, and so are admins' sessions."""
    link = re.search(r"Admin http://[^/]+(/admin/enter\?token=(\S+))", backend.output)
    assert link
    fields = {"link": link[2], "name": "root@example.org", "password": PASSWORD}
    for http in each:
        assert http.get(link[1]).status_code == 200
    entered = each[1].post("/admin/enter", data=fields, headers=SAME_ORIGIN, follow_redirects=False)
    assert entered.status_code == 303
    cookie = {"Cookie": f"snaptable_admin={each[1].cookies['snaptable_admin']}"}
    for http in each:
        assert http.get(link[1]).status_code == 401
        http.cookies.clear()
        pages = [http.get(page, headers=cookie) for page in ("/admin/", "/admin/tables/users", "/admin/history")]
        assert [page.status_code for page in pages] == [200] * 3
    token = re.search(r'data-token="([^"]+)"', each[0].get("/admin/", headers=cookie).text)
    assert token
    left = each[2].post("/admin/logout", data={"admin_token": token[1]}, headers={**SAME_ORIGIN, **cookie})
    assert left.status_code == 303
    for http in each:
        assert http.get("/admin/", headers=cookie, follow_redirects=False).status_code == 303


class Writer:
    """A user who writes without end, on whatever connection there is, and remembers what was acknowledged."""

    def __init__(self, server: Process, number: int) -> None:
        self.server, self.number = server, number
        with server.client() as http:
            self.api = user(http, f"writer{number}")
            self.document = self.api.upload()["id"]
        self.acknowledged: list[str] = []
        self.unsure: list[str] = []
        self.refused: list[int] = []

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        count = 0
        while not stop.is_set():
            with self.server.client(verify=False) as http:
                api = at(self.api, http)
                try:
                    while not stop.is_set():
                        count += 1
                        text = f"{self.number}-{count}"
                        answer = api.post("/api/annotations", json=annotation(self.document, content=text))
                        if answer.status_code == 201:
                            self.acknowledged.append(text)
                        else:
                            self.refused.append(answer.status_code)
                except httpx2.TransportError:
                    self.unsure.append(text)

    def stored(self, http: httpx2.Client) -> list[str]:
        """Return what is there."""
        api, cursor, found = at(self.api, http), "", list[str]()
        while True:
            page = api.get("/api/annotations", params={"limit": 200, **({"cursor": cursor} if cursor else {})}).json()
            found += [row["content"] for row in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                return found


def test_a_killed_worker_loses_nothing_and_is_replaced(backend: Process) -> None:
    """Ensure under load, for each of two kills: all that was acknowledged is there once, and there are three again."""
    writers = [Writer(backend, number) for number in range(4)]
    stop = threading.Event()
    threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        for number in (1, 3):
            enough = sum(len(writer.acknowledged) for writer in writers) + 30
            wait_for(lambda enough=enough: sum(len(each.acknowledged) for each in writers) >= enough)  # type: ignore[misc]
            with connected(backend, number) as http:
                pid = process_of(http)["pid"]
            os.kill(pid, signal.SIGKILL)
            with connected(backend, number) as http:  # another has its place
                assert process_of(http)["pid"] != pid
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with backend.client() as http:
        for writer in writers:
            found = writer.stored(http)
            assert len(found) == len(set(found))
            assert set(writer.acknowledged) <= set(found) <= {*writer.acknowledged, *writer.unsure}
            assert writer.refused == []


def test_a_hangup_renews_every_worker_and_refuses_nobody(backend: Process, each: list[httpx2.Client]) -> None:
    """Ensure that SIGHUP gives new processes, one after the other, while all requests on new connections succeed."""
    before = {process_of(http)["pid"] for http in each}
    stop, statuses, after = threading.Event(), list[int](), set[int]()

    def ask() -> None:
        while not stop.is_set():
            with backend.client(verify=False) as http:
                answer = http.get("/health", headers=MONITOR)
                statuses.append(answer.status_code)
                if answer.json()["process"]["pid"] not in before:
                    after.add(answer.json()["process"]["number"])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        backend.signal(signal.SIGHUP)
        wait_for(lambda: after == {1, 2, 3}, WORKERS * PATIENCE)
    finally:
        stop.set()
        thread.join()
    assert set(statuses) == {200}


# ── starts and ends ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers=2"], ["--workers", "one process writes to a directory", "snaptable move", "--database-url"]),
        (["--workers=2", "--data-dir=memory:", "--database-url=postgresql://x"], ["--workers", "--data-dir"]),
        (["--workers=0"], ["--workers"]),
        (["--backup-dir=b", "--database-url=postgresql://x"], ["backup_dir", "pg_dump"]),
    ],
)
def test_what_can_not_be_is_refused_and_explained(options: list[str], words: list[str]) -> None:
    """Ensure exit status 2, and a sentence that says why, and what to do."""
    status, output = run_in_process(options)
    assert status == 2
    assert all(word in output for word in words), output


SCRIPT = """
import os, socket, sys, time
from app.workers import Workers

def serve(place, listener, tell):
    sys.stderr.write(f"{place.number} {os.getpid()}\\n")
    if sys.argv[1] == "fails":
        return 3
    tell("all serve")
    time.sleep(60)

raise SystemExit(Workers(2, serve, socket.create_server(("127.0.0.1", 0)), stop_seconds=1).run())
"""
"""Two workers that serve nothing: what their parent does needs no backend."""


def two_workers(how: str) -> "subprocess.Popen[str]":
    """Start the script."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_an_end_that_is_seen_late_is_seen() -> None:
    """Ensure that a worker is replaced whose status can not be read yet when its end wakes its parent."""
    late = """
import app.workers

status, looks = app.workers.Worker.status, set()

def seen_late(worker):
    now = status.fget(worker)
    is_first_look = now is not None and worker.pid not in looks
    looks.update([worker.pid] if is_first_look else [])
    return None if is_first_look else now

app.workers.Worker.status = property(seen_late)
"""
    script = late + SCRIPT.replace("time.sleep(60)", "time.sleep(60 if place.number == 1 else 0.2)")
    with subprocess.Popen([sys.executable, "-c", script, "ends"], stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        begun: list[str] = []
        killer = threading.Timer(PATIENCE, parent.kill)
        killer.start()
        while begun.count("2") < 3 and (line := parent.stderr.readline()):
            begun.append(line.split()[0])
        killer.cancel()
        parent.terminate()
        parent.stderr.read()
    assert begun.count("2") == 3


def test_a_first_worker_that_can_not_start_ends_it_all() -> None:
    """Ensure its exit status, and no attempt by another, nor a second one."""
    with two_workers("fails") as parent:
        _, begun = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 3
    assert [line.split()[0] for line in begun.splitlines()] == ["1"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)])
def test_workers_end_with_their_parent(number: signal.Signals, status: int) -> None:
    """Ensure that none is left, whether the process is told to stop that looks after them, or killed."""
    with two_workers("serves") as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(9) == "all serve"
        parent.send_signal(number)
        _, begun = parent.communicate(timeout=PATIENCE)  # its output ends when that of the last worker does
    assert parent.returncode == status
    assert len(begun.splitlines()) == 2


def test_a_stop_reaches_a_worker_that_has_just_begun() -> None:
    """Ensure that a worker which the system has not let run yet, when all are told to stop, stops with them."""
    late = """
import os, time

def be_late():
    os.write(2, b"late\\n")
    time.sleep(1)

os.register_at_fork(after_in_child=be_late)
"""
    with subprocess.Popen([sys.executable, "-c", late + SCRIPT, "serves"], stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        assert parent.stderr.readline() == "late\n"
        parent.terminate()
        _, begun = parent.communicate(timeout=PATIENCE)
    assert (parent.returncode, begun) == (0, "")


def test_one_process_has_a_lease_until_it_gives_it_back_or_ends() -> None:
    """Ensure that a second one is refused meanwhile, renewals go on, and a lease that is over is taken."""
    made = stores.new_schema()
    with Database(made) as db:
        tables = SharedTables(db)
        tables.make()
        first, second = Lease(tables, "tending"), Lease(tables, "tending")
        assert [first.take(), second.take(), first.take()] == [True, False, True]
        second.give_back()
        assert not second.take()
        first.give_back()
        assert [second.take(), first.take()] == [True, False]
        tables.ask("update backend_leases set ends = now() - interval '1 second'")
        assert [first.take(), second.take()] == [True, False]
    stores.drop_schemas([made])
