"""The feed against a real server: resumed without gap or repetition, filtered, bounded, and ended when it has to be."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

PROGRAM = Path(__file__).with_name("served_feed.py")
PATIENCE = 60.0
"""Seconds that a test waits for what is to happen at once: a busy machine may let a process wait for many."""
Event = dict[str, Any]


class Served:
    """A server process with a feed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.port = int(process.stdout.readline())
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    def do(self, *steps: list[Any]) -> int:
        """Write in one commit; return its sequence, or that of a later one."""
        response = self.http.post("/do", json=list(steps))
        assert response.status_code == 200, response.text
        return int(response.json())

    @contextmanager
    def follow(self, user: str = "ann", since: str | None = None, **parameters: str) -> Iterator[Iterator[Event]]:
        """Give the events of a stream, each with its kind, id and data."""
        headers = {"X-User": user} | ({} if since is None else {"Last-Event-ID": since})
        with (
            httpx2.Client(base_url=self.http.base_url, timeout=PATIENCE) as http,
            http.stream("GET", "/api/changes", headers=headers, params=parameters) as response,
        ):
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield events(response.iter_lines())

    def refused(self, user: str = "ann", since: str | None = None, **parameters: str) -> tuple[int, Event]:
        """Return how a stream is refused."""
        headers = {"X-User": user} | ({} if since is None else {"Last-Event-ID": since})
        response = self.http.get("/api/changes", headers=headers, params=parameters)
        assert response.headers["content-type"] == "application/problem+json"
        return response.status_code, response.json()

    def memory(self) -> int:
        """Return the bytes of memory in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def stop(self) -> str:
        """Stop in order, and return the log."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE)[0]


def events(lines: Iterator[str]) -> Iterator[Event]:
    """Yield events as a browser would."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        else:
            if "event" in fields:
                yield {"kind": fields["event"], "id": fields.get("id"), "data": json.loads(fields["data"])}
            fields = {}


@contextmanager
def serving(url: str, **chosen: Any) -> Iterator[Served]:
    """Run a server."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps({"url": url, **chosen})],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        served = Served(process)
        with served.http:
            yield served
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a server that tests share; each has users of its own."""
    with serving(
        str(tmp_path_factory.mktemp("feed") / "data"),
        bookmark_seconds=0.3,
        max_streams=16,
        limits={"reader_seconds": 10 * PATIENCE},
    ) as served:
        yield served


def commits(stream: Iterator[Event], count: int) -> list[Event]:
    """Return the data of the next commits."""
    found: list[Event] = []
    for event in stream:
        if event["kind"] == "commit":
            found.append(event["data"])
        if len(found) >= count:
            return found
    raise AssertionError(f"the stream ended after {len(found)} commits")


def shapes(data: Event) -> list[tuple[str, str]]:
    """Return what happened to which row."""
    return [(change["kind"], change["key"]) for change in data["changes"]]


def test_a_commit_is_an_event_with_its_place(served: Served) -> None:
    """Ensure the shape, the id, and that secrets are masked."""
    with served.follow("amy") as stream:
        first = next(stream)
        assert (first["kind"], list(first["data"])) == ("bookmark", ["sequence"])
        sequence = served.do(["notes", "insert", "amy1", {"owner": "amy", "text": "a\r\n\u2028é", "pin": "s3cret"}])
        event = next(event for event in stream if event["kind"] == "commit")
    assert re.fullmatch(rf"{sequence}-[0-9a-f]{{8}}", event["id"])
    data = event["data"]
    assert list(data) == ["sequence", "at", "actor", "note", "via", "changes"]
    assert data["at"].endswith("Z")
    (change,) = data["changes"]
    row = {"id": "amy1", "owner": "amy", "shared": False, "text": "a\r\n\u2028é", "pin": "••••"}
    assert change == {"table": "notes", "key": "amy1", "kind": "insert", "before": None, "after": row}


def test_nobody_sees_the_rows_of_others(served: Served) -> None:
    """Ensure that rows appear and go with the rule, and nothing of them is seen beyond, before-images too."""
    with served.follow("bob") as stream:
        next(stream)
        served.do(["notes", "insert", "x1", {"owner": "eve", "text": "hidden-1"}])
        served.do(["notes", "update", "x1", {"text": "hidden-2", "shared": True}])
        served.do(["notes", "update", "x1", {"text": "seen"}])
        served.do(["notes", "update", "x1", {"text": "hidden-3", "shared": False}])
        served.do(["notes", "update", "x1", {"text": "hidden-4"}])
        hidden = ["private", "insert", "p", {"text": "hidden-5"}]
        served.do(["notes", "update", "x1", {"owner": "bob", "text": "mine"}], hidden)
        served.do(["notes", "update", "x1", {"owner": "eve", "text": "hidden-6"}])
        served.do(["notes", "delete", "x1", {}])
        served.do(["sessions", "insert", "s", {"user": "hidden-7"}])
        served.do(["notes", "insert", "bob-end", {"owner": "bob"}])
        found = commits(stream, 6)
    assert [shapes(data) for data in found] == [
        [("insert", "x1")], [("replace", "x1")], [("delete", "x1")], [("insert", "x1")], [("delete", "x1")],
        [("insert", "bob-end")],
    ]  # fmt: skip
    rows = [(change["before"], change["after"]) for data in found for change in data["changes"]]
    texts = [tuple(row and row["text"] for row in pair) for pair in rows]
    seen = [(None, "hidden-2"), ("hidden-2", "seen"), ("seen", None), (None, "mine"), ("mine", None), (None, "")]
    assert texts == seen
    shown = json.dumps(found)
    assert not any(f"hidden-{number}" in shown for number in (1, 3, 4, 5, 6, 7))
    assert "no-pin" not in shown


def test_a_change_of_what_is_hidden_alone_is_no_event(served: Served) -> None:
    """Ensure that not even the time at which a secret changed is told."""
    with served.follow("cyd") as stream:
        next(stream)
        served.do(["notes", "insert", "cyd1", {"owner": "cyd"}])
        served.do(["notes", "update", "cyd1", {"pin": "another"}])
        served.do(["notes", "delete", "cyd1", {}])
        assert [shapes(data)[0][0] for data in commits(stream, 2)] == ["insert", "delete"]


def test_bookmarks_pass_what_others_wrote(served: Served) -> None:
    """Ensure that the place advances though nothing passes the filter, transient commits included."""
    with served.follow("dan", tables="notes") as stream:
        next(stream)
        served.do(["private", "insert", "dan-p", {}])
        sequence = served.do(["sessions", "insert", "dan-s", {"user": "dan"}])
        bookmark = next(event for event in stream if event["data"]["sequence"] >= sequence)
    assert bookmark["kind"] == "bookmark"
    with served.follow("dan", since=bookmark["id"]) as stream:
        assert next(stream)["id"] == bookmark["id"]


def test_an_unknown_table_and_a_wrong_place_are_422(served: Served) -> None:
    """Ensure that tables without rules are not told from those that there are not."""
    for tables in ("private", "sessions", "nope", "notes,private", ""):
        status, problem = served.refused(tables=tables)
        assert (status, problem["errors"][0]["pointer"]) == (422, "/tables")
    for since in ("x", "-1", "1-", "1-12", "1-1234567G", "1 2", "9" * 40):
        status, problem = served.refused(since=since)
        assert (status, problem["errors"][0]["pointer"]) == (422, "/Last-Event-ID")
        assert served.refused(since=since)[0] == 422


def test_a_place_of_another_history_is_410(served: Served) -> None:
    """Ensure that it is noticed by the mark, and by a sequence that there is not; a place without mark is taken."""
    sequence = served.do(["notes", "insert", "fay1", {"owner": "fay"}])
    for place in (f"{sequence}-00000000", f"{sequence + 1000}", f"{sequence + 1000}-12345678"):
        status, problem = served.refused("fay", since=place)
        assert status == 410
        assert "lists" in problem["detail"]
    with served.follow("fay", since=f"{sequence - 1}") as stream:
        assert shapes(commits(stream, 1)[0]) == [("insert", "fay1")]


def test_resumed_streams_have_no_gap_and_no_repetition(served: Served) -> None:
    """Ensure that under concurrent writes every commit comes once and in order, however often the client leaves."""
    random = Random(13)
    count = 120

    def write(writer: int) -> None:
        for number in range(count // 3):
            served.do(["notes", "insert", f"gus-{writer}-{number}", {"owner": "gus"}])
            served.do(["notes", "insert", f"zed-{writer}-{number}", {"owner": "zed"}])

    with served.follow("gus") as stream:
        place = next(stream)["id"]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    found: list[Event] = []
    while len(found) < count:
        with served.follow("gus", since=place) as stream:
            for _ in range(random.randrange(1, 25)):
                event = next(stream)
                place = event["id"]
                if event["kind"] == "commit":
                    found.append(event["data"])
                    if len(found) == count:
                        break
    for writer in writers:
        writer.join()
    keys = [key for data in found for _, key in shapes(data)]
    assert sorted(keys) == sorted(f"gus-{writer}-{number}" for writer in range(3) for number in range(count // 3))
    assert len(keys) == len(set(keys))
    sequences = [data["sequence"] for data in found]
    assert sequences == sorted(set(sequences))


def test_the_number_of_streams_is_bounded_and_places_come_back(served: Served) -> None:
    """Ensure 503 beyond it, and that clients who leave make room."""

    def is_free() -> bool:
        try:
            with served.follow("hal"):
                return True
        except AssertionError:
            return False

    def opened(number: int) -> socket.socket:
        """Return a connection with a stream; those that other tests left give their places back in their time."""
        end = time.monotonic() + PATIENCE
        while True:
            connection = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
            connection.sendall(b"GET /api/changes HTTP/1.1\r\nHost: x\r\nX-User: u%d\r\n\r\n" % number)
            if (begin := connection.recv(100)).startswith(b"HTTP/1.1 200"):
                return connection
            connection.close()
            assert time.monotonic() < end, begin

    sockets = [opened(number) for number in range(16)]
    status, problem = served.refused("hal")
    assert (status, problem["status"]) == (503, 503)
    for connection in sockets:
        connection.close()
    end = time.monotonic() + PATIENCE
    while not is_free():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_caller_has_few_streams_and_they_end_with_the_session(tmp_path: Path) -> None:
    """Ensure 503 for who has too many, none for others, and an end at the next bookmark after the session's."""
    with serving(str(tmp_path / "data"), sessions=True, max_streams_of_caller=1, bookmark_seconds=0.2) as served:
        served.do(["sessions", "insert", "a", {"user": "ann"}], ["sessions", "insert", "b", {"user": "bob"}])
        with served.follow("ann") as stream:
            next(stream)
            assert served.refused("ann")[0] == 503
            with served.follow("bob") as other:
                assert [next(other)["kind"] for _ in range(2)] == ["bookmark", "bookmark"]
                served.do(["sessions", "delete", "b", {}])
                assert [event["kind"] for event in other][-1] == "ended"
            assert next(stream)["kind"] == "bookmark"


def test_nothing_is_told_after_a_logout(tmp_path: Path) -> None:
    """Ensure that a stream ends soon after its session, long before a bookmark, and tells no commit behind it."""
    with serving(str(tmp_path / "data"), sessions=True, bookmark_seconds=10 * PATIENCE) as served:
        served.do(["sessions", "insert", "a", {"user": "ann"}], ["sessions", "insert", "b", {"user": "bob"}])
        with served.follow("ann") as ann, served.follow("bob") as bob:
            assert [next(stream)["kind"] for stream in (ann, bob)] == ["bookmark", "bookmark"]
            served.do(["notes", "insert", "n1", {"owner": "ann", "shared": True}])
            assert [shapes(commits(stream, 1)[0]) for stream in (ann, bob)] == [[("insert", "n1")]] * 2
            served.do(["sessions", "delete", "a", {}])
            served.do(["notes", "insert", "n2", {"owner": "ann", "shared": True}])
            assert [event["kind"] for event in ann] == ["ended"]
            assert next(bob)["kind"] == "commit"
            served.do(["sessions", "delete", "b", {}])
            assert [event["kind"] for event in bob] == ["ended"]  # else reading is given up, long before the bookmark


def test_a_stop_ends_streams_at_once_and_clients_come_back(tmp_path: Path) -> None:
    """Ensure that the server does not wait for them, tells them, and that their place is good after a restart."""
    url = str(tmp_path / "data")
    with serving(url, limits={"stop_seconds": 10 * PATIENCE}) as served, served.follow() as stream:
        served.do(["notes", "insert", "n1", {"owner": "ann"}])
        event = next(event for event in stream if event["kind"] == "commit")
        log = served.stop()  # given up, and the test with it, long before the server gives the stream up
        assert [each["kind"] for each in stream] == ["restart"]
        assert "Cancel" not in log
        assert "Traceback" not in log
    with serving(url) as served:
        served.do(["notes", "insert", "n2", {"owner": "ann"}])
        with served.follow(since=event["id"]) as stream:
            assert shapes(commits(stream, 1)[0]) == [("insert", "n2")]


def test_a_place_before_the_history_is_410(served: Served) -> None:
    """Ensure that who was away too long is told, with the first place there is."""
    with served.follow("ira") as stream:
        place = next(stream)["id"]
    sequence = served.do(["notes", "insert", "ira1", {"owner": "ira"}])
    assert served.http.post("/forget").status_code == 200
    status, problem = served.refused("ira", since=place)
    assert (status, problem["first"]) == (410, sequence)
    with served.follow("ira") as stream:
        place = next(stream)["id"]
    with served.follow("ira", since=place) as stream:
        assert next(stream)["id"] == place


def test_a_place_before_an_erased_change_is_410(served: Served) -> None:
    """Ensure that who was away while a row was purged reads the lists again, and is told nothing of the row."""
    with served.follow("kim") as stream:
        place = next(stream)["id"]
    served.do(["notes", "insert", "kim1", {"owner": "kim", "text": "personal"}])
    served.do(["notes", "insert", "kim2", {"owner": "kim"}])
    assert served.http.post("/purge/kim1").status_code == 200
    with served.follow("kim", since=place) as stream:
        assert [(event["kind"], "personal" in str(event)) for event in stream][-1] == ("gone", False)
    assert served.refused("kim", since=place)[0] == 410
    with served.follow("kim") as stream:
        next(stream)
        served.do(["notes", "delete", "kim2", {}])
        assert shapes(commits(stream, 1)[0]) == [("delete", "kim2")]


def test_slow_readers_cost_little_memory_and_miss_nothing(served: Served) -> None:
    """Ensure that readers who take nothing don't make the server keep what was written meanwhile."""
    text, writes, readers = "x" * 150_000, 60, 10
    served.do(["notes", "insert", "joy", {"owner": "joy", "text": text}])
    with served.follow("joy") as stream:
        place = next(stream)["id"]
    sockets = [slow_reader(served, place) for _ in range(readers)]
    try:
        before = served.memory()
        for number in range(writes):
            served.do(["notes", "update", "joy", {"text": f"{number}{text}"}])
        # Each event has the row before and after: 180 MB for all.
        assert served.memory() - before < 90_000_000
        with sockets[0].makefile("rb") as raw:
            lines = (line.decode().rstrip("\r\n") for line in raw)
            assert list(numbers(lines, writes)) == [*range(writes)]
    finally:
        for connection in sockets:
            connection.close()


def slow_reader(served: Served, place: str) -> socket.socket:
    """Return a connection on which a feed was asked for, and nothing is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", served.port))
    connection.settimeout(PATIENCE)
    head = f"GET /api/changes HTTP/1.1\r\nHost: x\r\nX-User: joy\r\nLast-Event-ID: {place}\r\n\r\n"
    connection.sendall(head.encode())
    return connection


def numbers(lines: Iterator[str], count: int) -> Iterator[int]:
    """Yield the numbers at which the texts of commits begin."""
    for line in lines:
        if line.startswith('data: {"sequence"') and '"changes"' in line:
            match = re.search(r'"after":\{.*?"text":"(\d+)x', line)
            assert match is not None
            yield int(match[1])
            count -= 1
            if not count:
                return
