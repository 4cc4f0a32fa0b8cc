"""Changes of several clients to one row, and what strangers can't have: headers, redirects, answers to large bodies."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import Api, Json, annotation, check_problem, make_pdf, pointers


def test_every_row_that_is_answered_has_its_tag(start: Start) -> None:
    """Ensure an ETag on what was created, read and changed, of all three kinds, and the same after a restart."""
    ann = Api(start()).register()
    files = {"file": ("a.pdf", make_pdf(), "application/pdf")}
    uploaded = ann.post("/api/documents", files=files)
    document = uploaded.json()["id"]
    marked = ann.post("/api/annotations", json=annotation(document))
    extracted = ann.extract(document)
    tags = {
        f"/api/documents/{document}": uploaded.headers["etag"],
        f"/api/annotations/{marked.json()['id']}": marked.headers["etag"],
        f"/api/extractions/{extracted['id']}": ann.get(f"/api/extractions/{extracted['id']}").headers["etag"],
    }
    for _ in range(2):
        for path, tag in tags.items():
            assert ann.get(path).headers["etag"] == tag
            known = ann.get(path, headers={"If-None-Match": tag})
            assert (known.status_code, known.content) == (304, b"")
        ann.http = start()
    content = f"/api/documents/{document}/content"
    assert ann.get(content, headers={"If-None-Match": ann.get(content).headers["etag"]}).status_code == 304


def test_a_stale_change_is_412_and_changes_nothing(ann: Api) -> None:
    """Ensure it of PATCH and of DELETE, of every kind, with the present tag to go on from; another's row stays 404."""
    document = ann.upload()["id"]
    path = f"/api/annotations/{ann.annotate(document)['id']}"
    stale = ann.get(path).headers["etag"]
    present = ann.patch(path, json={"content": "new"}, headers={"If-Match": stale}).headers["etag"]
    refused = ann.patch(path, json={"content": "mine"}, headers={"If-Match": stale})
    assert check_problem(refused, 412)["etag"] == refused.headers["etag"] == present
    assert ann.get(path).json()["content"] == "new"
    extraction = f"/api/extractions/{ann.extract(document)['id']}"
    for target in (path, extraction, f"/api/documents/{document}"):
        check_problem(ann.request("DELETE", target, headers={"If-Match": stale}), 412)
        check_problem(ann.request("DELETE", target[:-1], headers={"If-Match": "*"}), 404)
        assert ann.get(target).status_code == 200
    for target in (path, extraction, f"/api/documents/{document}"):
        tag = ann.get(target).headers["etag"]
        assert ann.request("DELETE", target, headers={"If-Match": tag}).status_code == 204


def test_no_change_is_lost_to_those_who_ask(start: Start) -> None:
    """Ensure that 8 clients that add 8 times each, and begin anew when they come too late, end at 64."""
    ann = Api(start()).register()
    path = f"/api/annotations/{ann.annotate(ann.upload()['id'], content='0')['id']}"

    def add(_client: int) -> None:
        for _ in range(8):
            while True:
                before = ann.get(path)
                body = {"content": str(int(before.json()["content"]) + 1)}
                after = ann.patch(path, json=body, headers={"If-Match": before.headers["etag"]})
                if after.status_code == 200:
                    break
                check_problem(after, 412)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(add, range(8)))
    assert ann.get(path).json()["content"] == "64"


def test_answers_are_neither_kept_nor_guessed_nor_framed(ann: Api) -> None:
    """Ensure the headers on rows, problems, logins and pages, whose own scripts are named by their digests."""
    for response in (ann.get("/api/documents"), ann.get("/api/none"), ann.get("/health"), ann.http.get("/api/auth/me")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    for path in ("/docs", "/redoc"):
        page = ann.http.get(path)
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.partition("style-src")[0]
        assert page.headers["x-content-type-options"] == "nosniff"
    content = ann.get(f"/api/documents/{ann.upload()['id']}/content")
    assert content.headers.get_list("cache-control") == ["private, no-cache"]


@pytest.mark.parametrize("path", ["/api/documents/", "/api/auth/me/", "/api/annotations/x/", "/health/", "/docs/"])
def test_nothing_redirects_to_another_host(client: TestClient, path: str) -> None:
    """Ensure 404 for a slash too many: a redirect would go wherever the header Host says."""
    response = client.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
    check_problem(response, 404)
    assert "location" not in response.headers


def test_strangers_send_little(client: TestClient) -> None:
    """Ensure 413 over 16 KiB where nobody has to be known."""
    for path in ("register", "login", "logout", "none"):
        check_problem(client.post(f"/api/auth/{path}", content=b"[" * (16 * 1024 + 1)), 413)
    body = b'{"email": "' + b"x" * (16 * 1024 - 12) + b'"'
    assert len(body) == 16 * 1024
    assert pointers(client.post("/api/auth/register", content=body, headers={"Content-Type": "application/json"})) == [
        ""
    ]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "text/plain", ""])
def test_an_upload_that_is_no_form_is_not_read(shared: Api, kind: str) -> None:
    """Ensure 415 before the body: parsing a form of another kind would take seconds."""
    response = shared.post("/api/documents", content=b"a=1&" * 1000, headers={"Content-Type": kind} if kind else {})
    check_problem(response, 415)
    assert "multipart/form-data" in response.json()["detail"]


def test_a_pointer_is_short(shared: Api, paper: Json) -> None:
    """Ensure that a name of a megabyte does not come back."""
    name = "~/" * 200_000
    (pointer,) = pointers(shared.post("/api/annotations", json=annotation(paper["id"], **{name: 1})))
    assert len(pointer) <= 200
    (pointer,) = pointers(shared.get(f"/api/annotations?{'x' * 5000}=1"))
    assert len(pointer) <= 200
    assert pointer == "/" + "x" * 199
