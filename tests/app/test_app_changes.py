"""The backend's feed and its monitoring: a user sees changes of their own rows, operators what they need."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient
from tests.app.support import PATIENCE, Api, check_problem, serving


@contextmanager
def following(api: Api, base: str, **parameters: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Give the events of a user's feed."""
    with (
        httpx2.Client(base_url=base, timeout=PATIENCE) as http,
        http.stream("GET", "/api/changes", headers=api.headers, params=parameters) as response,
    ):
        assert response.status_code == 200
        yield events(response.iter_lines())


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield what is sent, an object an event."""
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield {"kind": kind, **json.loads(value)}


def test_users_follow_their_own_rows_until_the_server_stops(tmp_path: Path) -> None:
    """Ensure that another user's rows, accounts and sessions never appear, and that a stop ends the stream at once."""
    options = ["--no-fsync", f"--shutdown-seconds={10 * PATIENCE:.0f}"]  # longer than the end is waited for
    with serving(tmp_path / "data", *options) as server, server.client() as http:
        ann, bob = Api(http).register(), Api(http, "bob@example.org").register()
        with following(ann, server.base) as stream:
            assert next(stream)["kind"] == "bookmark"
            secret = bob.upload(name="secret.pdf")
            bob.annotate(secret["id"])
            document = ann.upload()
            note = ann.annotate(document["id"])
            ann.log_in()
            assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
            seen: list[tuple[str, str, str]] = []
            while ("documents", document["id"], "delete") not in seen:
                event = next(stream)
                assert "secret.pdf" not in json.dumps(event)
                seen += [(change["table"], change["key"], change["kind"]) for change in event.get("changes", [])]
            assert set(seen) == {
                (table, key, kind)
                for table, key in (("documents", document["id"]), ("annotations", note["id"]))
                for kind in ("insert", "delete")
            }
            assert http.head("/api/changes", headers=ann.headers).status_code == 200
            assert server.stop() == 0
            assert [event["kind"] for event in stream][-1] == "restart"


def test_the_feed_is_for_users_and_their_tables_alone(client: TestClient, ann: Api) -> None:
    """Ensure 401 without a token, and that accounts and sessions are no tables of it."""
    check_problem(client.get("/api/changes"), 401)
    for name in ("users", "sessions"):
        check_problem(ann.get(f"/api/changes?tables={name}"), 422)
    check_problem(ann.get("/api/changes?since=999999"), 410)


def test_operators_see_how_the_backend_is_doing(client: TestClient, ann: Api, engine: str) -> None:
    """Ensure that a login shows what strangers don't see."""
    ann.upload()
    assert client.get("/api/monitoring/database/health").json() == {"status": "ok"}
    for path in ("/api/monitoring/performance", "/metrics"):
        check_problem(client.get(path), 401)
    assert ann.get("/api/monitoring/database/health").json()["sequence"] == {"memory": 3, "postgres": 2}[engine]
    routes = {each["route"]: each for each in ann.get("/api/monitoring/performance").json()["routes"]}
    assert routes["/api/documents"]["requests"] == 1
    assert 'snaptable_rows{table="documents"} 1.0' in ann.get("/metrics").text
