"""Hot reads in a real Redis or Valkey over a real PostgreSQL: right at once for every server, and when the cache dies.

Ensures it over two servers of one database, for writes of every kind, for a cache that is killed, hangs, is gone or
holds what others put there; and that it holds no secrets.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError
from redis import Redis
from starlette.testclient import TestClient
from tests.app.redis_server import RedisServer, redis_server
from tests.app.support import CHEAP_HASHING, PASSWORD, PATIENCE, Api, Json, check_problem, run_in_process, wait_for
from tests.snaptable.postgres import stores

from app import cache
from app.api.application import create_app
from app.cache import Cache, RedisStore
from app.library import Library
from app.settings import Settings
from app.tables import Annotation


class HandClock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Backend:
    """A server of the application in this process."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        app: Any = client.app
        self.db: Library = app.state.db
        self.cache: Cache = app.state.resources.cache


@contextmanager
def backends(number: int, url: str, cache_url: str, data_dir: str) -> Iterator[list[Backend]]:
    """Give servers of one database."""
    with ExitStack() as stack:
        options: Json = {"data_dir": data_dir, "database_url": url, "cache_url": cache_url, **CHEAP_HASHING}
        yield [
            Backend(
                stack.enter_context(
                    TestClient(create_app(Settings(_env_file=None, **options)), raise_server_exceptions=False)
                )
            )
            for _ in range(number)
        ]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Give the module's cache server."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the module's database."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@pytest.fixture(scope="module")
def both(redis: RedisServer, url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Backend]]:
    """Give two servers; on a busy machine they wait longer for the cache than in service, so that it is used."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for these alone: `impatient` waits as long as in service
            patch.setattr(cache, "TIMEOUT", PATIENCE)
            folder = str(tmp_path_factory.mktemp("files"))
            servers = stack.enter_context(backends(2, url, redis.url, folder))
        yield servers


@pytest.fixture(scope="module")
def ann(both: list[Backend]) -> Api:
    """Give a user of the first."""
    return Api(both[0].client).register()


def at(server: Backend, user: Api) -> Api:
    """Return a user as another server sees them."""
    other = Api(server.client, user.email)
    other.headers = user.headers
    return other


def test_a_read_is_answered_from_the_cache_and_right_at_once_after_a_write(both: list[Backend], ann: Api) -> None:
    """Ensure hits, on both servers, with the same headers; and after each write of each server the new row and list."""
    document = ann.upload()
    mark = ann.annotate(document["id"], content="one")
    paths = [f"/api/annotations/{mark['id']}", f"/api/documents/{document['id']}", "/api/annotations?limit=1"]
    users = [ann, at(both[1], ann)]
    first = [[user.get(path) for path in paths] for user in users]
    hits = sum(server.cache.counts.hits for server in both)
    again = [[user.get(path) for path in paths] for user in users]
    assert sum(server.cache.counts.hits for server in both) == hits + 6
    assert f"backend_cache_hits_total {float(both[0].cache.counts.hits)}" in ann.get("/metrics").text
    for one, other in zip(first[0] + first[1], again[1] + again[0], strict=True):
        assert (one.status_code, one.content) == (200, other.content)
        assert one.headers.get("etag") == other.headers.get("etag")
    for number in range(6):
        changed = users[number % 2].patch(paths[0], json={"content": f"no {number}"})
        assert changed.status_code == 200
        for user in users:
            assert user.get(paths[0]).json() == changed.json()
            assert user.get(paths[2]).json()["items"] == [changed.json()]
            known = user.get(paths[0], headers={"If-None-Match": changed.headers["etag"]})
            assert known.status_code == 304
    assert users[1].delete(paths[0]).status_code == 204
    for user in users:
        check_problem(user.get(paths[0]), 404)
        assert user.get(paths[2]).json()["items"] == []


def test_another_user_sees_nothing_of_it(both: list[Backend], ann: Api) -> None:
    """Ensure that a row in the cache is still a 404 to others, and their lists their own."""
    bob = Api(both[0].client, "bob@example.org").register()
    document = ann.upload()
    for _ in range(2):
        assert ann.get(f"/api/documents/{document['id']}").status_code == 200
        check_problem(bob.get(f"/api/documents/{document['id']}"), 404)
        assert bob.get("/api/documents").json()["items"] == []
        assert ann.get("/api/documents").json()["items"] != []


def test_writes_that_are_no_request_are_seen_at_once(both: list[Backend], ann: Api, url: str) -> None:
    """Ensure it for an admin's change, a bulk change, an undo, and a program that knows of no cache."""
    mark = ann.annotate(ann.upload()["id"], content="one")
    path, other = f"/api/annotations/{mark['id']}", at(both[1], ann)

    def seen() -> set[str]:
        return {user.get(path).json()["content"] for _ in range(2) for user in (ann, other)}

    assert seen() == {"one"}
    both[0].db.annotations.update(mark["id"], content="two")
    assert seen() == {"two"}
    both[0].db.annotations.where(Annotation.id == mark["id"]).update(content="three")
    assert seen() == {"three"}
    (last,) = both[0].db.history.commits(limit=1)
    both[1].db.history.undo(last.sequence)
    assert seen() == {"two"}
    with Library(url, banner=False) as elsewhere:
        elsewhere.annotations.update(mark["id"], content="four")
    assert seen() == {"four"}


def test_psql_is_seen_late_and_ownership_by_nobody_else(both: list[Backend], ann: Api, url: str) -> None:
    """Ensure what the settings say of changes that no program of ours makes: late, until another write or the time."""
    mark = ann.annotate(ann.upload()["id"], content="one")
    path = f"/api/annotations/{mark['id']}"
    assert ann.get(path).json()["content"] == "one"
    with psycopg.connect(url) as connection:
        connection.execute("update annotations set content = 'psql' where id = %s", [mark["id"]])
    assert ann.get(path).json()["content"] == "one"
    ann.patch(path, json={"color": "#000000"})
    assert ann.get(path).json()["content"] == "psql"


def test_the_cache_holds_no_secrets_and_names_nobody(both: list[Backend], ann: Api, redis: RedisServer) -> None:
    """Ensure that keys are digests below the database's name, bounded in time, and values rows as their owner sees."""
    document = ann.upload(name="known.pdf")
    ann.get(f"/api/documents/{document['id']}")
    ann.get("/api/auth/me")
    ann.get("/api/auth/sessions")
    user = both[0].db.users.where(email=ann.email).one()
    secrets = [PASSWORD, ann.email, user.password_hash, ann.headers["Authorization"].split()[1], both[0].db.url]
    secrets += [session.token_sha256 for session in both[0].db.sessions] + [str(both[0].db.cache_secret)]
    with Redis(unix_socket_path=str(redis.socket)) as client:
        content = {key: client.get(key) or b"" for key in client.scan_iter()}
        assert all(0 < client.pttl(key) <= 60_000 for key in content)
    assert any(b"known.pdf" in value for value in content.values())
    for key, value in content.items():
        prefix, name, digest = key.decode().split(":")
        assert (prefix, len(name), len(digest)) == ("snaptable", 12, 48)
        assert not [secret for secret in secrets if secret.encode() in key + value]


def test_what_others_put_into_the_cache_is_refused(both: list[Backend], ann: Api, redis: RedisServer) -> None:
    """Ensure that entries that were moved, altered or made by hand are not served, and counted."""
    marks = [ann.annotate(ann.upload()["id"], content=text) for text in ("one", "two")]
    paths = [f"/api/annotations/{mark['id']}" for mark in marks]
    with Redis(unix_socket_path=str(redis.socket)) as client:
        client.flushall()
        for path in paths:
            ann.get(path)
        first, second = client.scan_iter()
        for forged in ((client.get(second), client.get(first)), (b"1" + bytes(400), b""), (b"{}", b"\xff" * 10**6)):
            for key, value in zip((first, second), forged, strict=True):
                client.set(key, value)
            assert [ann.get(path).json()["content"] for path in paths] == ["one", "two"]
    assert both[0].cache.counts.refused >= 5


def test_a_cache_that_is_killed_under_load_gives_no_wrong_answer(
    both: list[Backend], ann: Api, redis: RedisServer
) -> None:
    """Ensure, while it is killed and started again, that no read is older than what its user was answered."""
    mark = ann.annotate(ann.upload()["id"], content="0")
    path, other = f"/api/annotations/{mark['id']}", at(both[1], ann)
    acknowledged, wrong, reads, ends = [0], list[str](), [0], threading.Event()

    def read(user: Api) -> None:
        while not ends.is_set():
            least = acknowledged[0]
            response = user.get(path)
            reads[0] += 1
            if response.status_code != 200 or int(response.json()["content"]) < least:
                wrong.append(f"{response.status_code} {response.text} after {least}")

    threads = [threading.Thread(target=read, args=(user,)) for user in (ann, other)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 37):
            if number % 12 == 4:
                redis.kill()
            if number % 12 == 7:
                redis.start()
            changed = (ann, other)[number % 2].patch(path, json={"content": str(number)})
            assert changed.status_code == 200
            acknowledged[0] = number
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert reads[0] > 10
    assert sum(server.cache.counts.errors for server in both) > 0


@pytest.fixture
def impatient(both: list[Backend], redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandClock]:
    """Let the first server wait for the cache as in service, and give the clock of its pauses, which a test moves."""
    server, clock = both[0], HandClock()
    store, app = RedisStore(redis.url), server.cache
    with monkeypatch.context() as patch:
        patch.setattr(app, "_store", store)
        patch.setattr(app, "_monotonic", clock)
        app._failures, app._pause, app._open_until = 0, cache.FIRST_PAUSE, 0.0  # whatever was before
        yield clock
        assert server.client.portal is not None
        server.client.portal.call(store.close)


def test_a_cache_that_hangs_is_left_alone_and_used_again(
    both: list[Backend], ann: Api, redis: RedisServer, impatient: HandClock
) -> None:
    """Ensure that it costs a bounded number of reads their patience, and that it is used when it goes on."""
    path, used = f"/api/documents/{ann.upload()['id']}", both[0].cache
    redis.signal(signal.SIGSTOP)
    try:
        errors = used.counts.errors
        for _ in range(10):
            assert ann.get(path).status_code == 200
        assert used.is_open
        assert 3 <= used.counts.errors - errors <= 5
    finally:
        redis.signal(signal.SIGCONT)
    hits = used.counts.hits

    def is_used_again() -> bool:
        impatient.now += cache.LONGEST_PAUSE
        assert ann.get(path).status_code == 200
        return not used.is_open and used.counts.hits > hits

    wait_for(is_used_again)


def test_a_server_starts_and_serves_without_its_cache(url: str, tmp_path: Any) -> None:
    """Ensure that a cache that isn't there keeps nobody from starting."""
    with backends(1, url, f"unix://{tmp_path}/none", str(tmp_path / "files")) as (server,):
        user = Api(server.client, "eve@example.org").register()
        document = user.upload()
        assert user.get(f"/api/documents/{document['id']}").json() == document
        assert server.cache.counts.errors > 0


def test_a_cache_without_a_server_or_of_another_kind_is_refused(tmp_path: Any) -> None:
    """Ensure that the message names the setting and what to do, and never the URL, which may hold a password."""
    secret = "redis://:s3cret@cache.example/0"
    for options, words in (
        ([f"--cache-url={secret}", f"--data-dir={tmp_path}"], "cache_url is for database_url alone"),
        (["--cache-url=http://:s3cret@x", "--database-url=postgresql://x/y"], "begins with redis://"),
        ([f"--cache-url={secret}", "--database-url=postgresql://x/y", "--cache-seconds=0"], "greater than 0"),
    ):
        status, output = run_in_process(options)
        assert (status, words in output, "s3cret" in output) == (2, True, False), output
    with pytest.raises(ValidationError):
        Settings(_env_file=None, cache_url=secret)
    assert "s3cret" not in repr(Settings(_env_file=None, cache_url=secret, database_url="postgresql://x/y"))
