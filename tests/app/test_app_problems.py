"""What goes wrong, and how it is told: one shape for every error."""

import errno
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import PASSWORD, Api, Json, annotation, check_problem, pointers, wait_for

from app import resources
from app.library import Library
from snaptable import DatabaseClosed, InvalidRow, ReadOnlyStore, SnaptableError, UniqueViolation, WriteFailed

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/", "/api", "/api/nothing", "/api/documents/x/y", "/static-offline-docs/none.js"])
def test_unknown_paths_are_problems(shared: Api, path: str) -> None:
    """Ensure that a 404 of the router has the same shape as ours."""
    check_problem(shared.http.get(path), 404)


def test_a_wrong_method_names_the_right_ones(client: TestClient) -> None:
    """Ensure 405 with Allow."""
    for path, methods in (("/api/auth/me", "DELETE, GET"), ("/api/annotations/x", "DELETE, GET, PATCH")):
        response = client.put(path)
        check_problem(response, 405)
        assert response.headers["allow"] == methods


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"email": "a@b.org", "password": "one password", "password": "another one"}',
        b'{"email": "a@b.org", "password": NaN}',
        b'{"email": "a@b.org", "password": -Infinity}',
        b'{"email": "a@b.org", "password": 1e999}',
        b'{"email": "a@b.org", "password": "\\ud800 and more"}',
        b'{"email": "a@b.org", "password": "one password", "\\udfff": 1}',
        b'{"email": "a@b.org", "password": "\xff\xfe one password"}',
        b'{"email": "a@b.org", "password": "\xed\xa0\x80 one password"}',
        b'\xef\xbb\xbf{"email": "a@b.org", "password": "one password"}',
        '{"email": "a@b.org", "password": "one password"}'.encode("utf-16"),
        b'{"email": "a@b.org", "password": ' + b"[" * 16_000,
        b'{"email": "a@b.org", "password": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"email": "a@b.org", "password": ' + b"9" * 5000 + b"}",
        b'{"email": "a@b.org", "password": "one password"} {}',
    ],
)
def test_json_that_others_could_read_differently_is_422(shared: Api, body: bytes) -> None:
    """Ensure that no body is a server error, and none is stored half understood."""
    check_problem(shared.http.post("/api/auth/register", content=body, headers=JSON), 422)
    assert shared.get("/health").json()["rows"]["users"] == 1


def test_a_pair_of_surrogates_is_a_character(ann: Api) -> None:
    """Ensure that strictness does not cost what is valid."""
    body = json.dumps(annotation(ann.upload()["id"], content='🎉 {[\\"')).encode()
    response = ann.post("/api/annotations", content=body, headers=JSON)
    assert ann.created(response)["content"] == '🎉 {[\\"'


def test_a_body_that_says_it_is_no_json_is_422(client: TestClient) -> None:
    """Ensure that the content type counts."""
    body = json.dumps({"email": "a@b.org", "password": PASSWORD})
    assert pointers(client.post("/api/auth/register", content=body, headers={"Content-Type": "text/plain"})) == [""]


def test_an_answer_to_thousands_of_faults_is_short(shared: Api) -> None:
    """Ensure that a body of unknown fields does not earn an answer of the same size."""
    response = shared.post("/api/annotations", json={f"field{number}": 1 for number in range(5000)})
    assert len(check_problem(response, 422)["errors"]) == 50


def test_a_body_over_the_limit_is_413(start: Start) -> None:
    """Ensure that the limit holds for declared and for streamed bodies, JSON and forms alike."""
    client = start(max_body=1000)

    def stream() -> Iterator[bytes]:
        yield b'{"email": "'
        for _ in range(100):
            yield b"x" * 100

    check_problem(client.post("/api/auth/register", content=b"x" * 1001, headers=JSON), 413)
    check_problem(client.post("/api/auth/register", content=stream(), headers=JSON), 413)
    check_problem(client.post("/api/auth/login", data={"username": "x" * 1000, "password": "y"}), 413)
    check_problem(client.post("/api/nothing", content=b"x" * 1001), 413)


def test_deep_coordinates_can_be_stored(ann: Api) -> None:
    """Ensure that what passes the parser's limit on nesting passes the store's too."""
    deep: Any = 1
    for _ in range(60):
        deep = {"a": [deep]} if isinstance(deep, int) else {"a": deep}
    document = ann.upload()["id"]
    assert ann.annotate(document, coordinates=deep)["coordinates"] == deep


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReadOnlyStore("secret path"), 503),
        (WriteFailed("secret path"), 503),
        (DatabaseClosed("secret path"), 503),
        (UniqueViolation("secret path"), 409),
        (InvalidRow("secret path"), 422),
        (SnaptableError("secret path"), 500),
        (RuntimeError("secret path"), 500),
    ],
)
def test_errors_of_the_store_are_told_without_details(
    shared: Api, paper: Json, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """Ensure the status that fits, Retry-After where trying again helps, and no inner message."""

    async def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Library, "run", fail)
    response = shared.post("/api/annotations", json=annotation(paper["id"]))
    check_problem(response, status)
    assert "secret" not in response.text
    assert ("retry-after" in response.headers) == (status == 503)


def test_health_tells_what_the_store_holds(ann: Api, engine: str) -> None:
    """Ensure the members a probe and a person look for."""
    ann.upload()
    body = ann.get("/health").json()
    assert (body["status"], body["engine"]) == ("ok", {"memory": "memory", "postgres": "postgresql"}[engine])
    assert body["rows"] == {"users": 1, "sessions": 1, "documents": 1, "extractions": 0, "annotations": 0}
    assert {"sequence", "saved_at", "bytes"} <= set(body["snapshot"])
    if engine == "memory":
        assert body["snapshot"]["sequence"] <= body["sequence"] == 3
    else:  # sessions have no past, and there no number either
        assert body["sequence"] == 2


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer \xe9", "Basic monitor-1", "monitor-1"])
@pytest.mark.parametrize("token", ["", "monitor-1"])
def test_strangers_see_the_status_of_health_only(start: Start, header: str | None, token: str) -> None:
    """Ensure that neither numbers of rows nor times are told without a token, be one set or not."""
    client = start(health_token=token)
    headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
    response = client.get("/health", headers=headers)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_token_shows_the_details_of_health(start: Start) -> None:
    """Ensure that a monitor's token and a login do, and one that was logged out does not."""
    client = start(health_token="monitor-1")  # of this test
    ann = Api(client).register()
    monitored = client.get("/health", headers={"Authorization": "Bearer monitor-1"}).json()
    assert monitored == ann.get("/health").json()
    assert monitored["rows"]["users"] == 1
    check_problem(client.get("/api/auth/me", headers={"Authorization": "Bearer monitor-1"}), 401)
    assert ann.post("/api/auth/logout").status_code == 204
    assert ann.get("/health").json() == {"status": "ok"}


def test_health_is_503_when_writes_are_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a probe notices, and a person with the token reads why."""
    client = start(health_token="monitor-1")  # of this test
    status = client.app.state.db.status()  # type: ignore[attr-defined]
    members = {name: getattr(status, name) for name in ("engine", "sequence", "snapshot_sequence", "rows")}
    members |= {"snapshot_saved_at": None, "snapshot_bytes": None, "snapshot_error": "no room in /srv/data"}
    broken = type(
        "Broken", (), members | {"writable": False, "reason": "a sync failed: '/srv/my data/db.lock' is gone"}
    )
    monkeypatch.setattr(Library, "status", lambda _self, **_: broken)
    assert set(check_problem(client.get("/health"), 503)) == {"type", "title", "status", "detail"}
    body = check_problem(client.get("/health", headers={"Authorization": "Bearer monitor-1"}), 503)
    assert "a sync failed" in body["detail"]
    assert "no room" in body["snapshot"]["error"]
    assert not re.search("srv|my data", str(body))


@pytest.mark.memory_only("the disk of a server is not of this process")
def test_a_failing_disk_refuses_writes_and_not_reads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure 503 while syncs fail, nothing of the refused write, and work as before once the disk is well."""
    monkeypatch.setattr(resources, "RETRY_SECONDS", 0.1)
    client = start()
    ann = Api(client).register()
    document = ann.upload()["id"]
    kept = ann.annotate(document)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        for call in ("fsync", "fdatasync", "pwritev"):
            patch.setattr(os, call, broken, raising=False)
        refused = ann.post("/api/annotations", json=annotation(document))
        check_problem(refused, 503)
        assert refused.headers["retry-after"]
        check_problem(client.get("/health"), 503)
        body = check_problem(ann.get("/health"), 503)
        assert body["rows"]["annotations"] == 1
        assert ann.get("/api/annotations").json()["items"] == [kept]
        check_problem(ann.delete(f"/api/documents/{document}"), 503)
        assert ann.get(f"/api/documents/{document}/content").status_code == 200
    wait_for(lambda: client.get("/health").status_code == 200)
    added = ann.annotate(document)
    assert ann.get("/api/annotations").json()["items"] == [kept, added]
