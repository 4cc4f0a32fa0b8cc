"""What browsers and their tools ask: HEAD, and pages of other origins."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import Api, make_pdf

from app.settings import Settings

ORIGIN = "http://localhost:3000"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


def test_head_works_where_get_does(ann: Api) -> None:
    """Ensure the status and headers of GET, ranges and errors too, without a body."""
    document = ann.upload(make_pdf(2))
    content = f"/api/documents/{document['id']}/content"
    plain: dict[str, str] = {}
    for path in ("/health", "/api/auth/me", "/api/documents", content[:-8], content, "/api/documents/none", "/docs"):
        for headers in (plain, {"Range": "bytes=2-5"}, {"Range": "bytes=99999999-"}):
            get, head = ann.get(path, headers=headers), ann.request("HEAD", path, headers=headers)
            assert head.status_code == get.status_code, path
            assert head.content == b""
            assert head.headers == get.headers
    assert ann.request("HEAD", content, headers={"Range": "bytes=2-5"}).headers["content-length"] == "4"
    assert ann.request("HEAD", "/api/auth/logout").status_code == 405


def test_other_origins_are_closed_by_default(client: TestClient) -> None:
    """Ensure that no answer allows anything unless it is set."""
    for response in (client.options("/api/documents", headers=PREFLIGHT), client.get("/health", headers=PREFLIGHT)):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_named_origin_may_call(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure preflight and headers for the origin that is named, on errors and defects of ours too."""
    client = start(cors_origins=f"{ORIGIN}, https://app.example.org")
    asked = PREFLIGHT | {"Access-Control-Request-Headers": "authorization,content-type"}
    preflight = client.options("/api/documents", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    other = client.options("/api/documents", headers=asked | {"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    ok = client.get("/health", headers=PREFLIGHT)
    refused = client.get("/api/documents", headers=PREFLIGHT)
    missing = client.get("/nowhere", headers=PREFLIGHT)
    monkeypatch.setattr("app.api.health.plain_health", lambda _: 1 / 0)
    bug = client.get("/health", headers=PREFLIGHT)
    assert [response.status_code for response in (ok, refused, missing, bug)] == [200, 401, 404, 500]
    for response in (ok, refused, missing, bug):
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("text", ["*", "localhost:3000", "https://a.org/", "https://a.org, null"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    """Ensure that a setting that would allow everything, or nothing, is refused."""
    options: dict[str, Any] = {"cors_origins": text}
    with pytest.raises(ValueError, match="origin"):
        Settings(_env_file=None, **options)
