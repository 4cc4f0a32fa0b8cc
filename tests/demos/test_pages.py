"""The pages of all demos: nothing from another host, a strict policy, and no page of another site that writes."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.demos.support import client_of, running, wait_for

from demos import serving
from demos.chat import application as chat
from demos.lesson import application as lesson
from demos.tracker import application as tracker

FOLDER = Path(serving.__file__).parent
MAKERS = {"lesson": lesson.create_app, "chat": chat.create_app, "tracker": tracker.create_app}


@pytest.fixture(params=MAKERS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestClient]:
    """Give a client of each demo."""
    with client_of(MAKERS[request.param](tmp_path / "data", banner=False)) as client:
        yield client


def test_a_page_holds_to_its_policy(client: TestClient) -> None:
    """Ensure the policy, and that the page needs nothing that it forbids: no inline script or style, no other host."""
    page = client.get("/")
    assert page.headers["content-security-policy"] == serving.POLICY
    assert "unsafe" not in serving.POLICY
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert named
    for address in named:
        assert "//" not in address
        assert "/admin" in address or client.get(f"/{address.lstrip('/')}").status_code == 200, address
    assert not re.search(r"<style|\bon[a-z]+=|style=|<script(?![^>]*src)", page.text)
    for file in ("page.js", "kit.js", "style.css"):
        text = client.get(f"/{file}").text
        assert not re.search(r"https?://(?!www\.w3\.org)|\beval\(|innerHTML|setAttribute\(.style", text), file


def test_a_page_is_made_for_everybody(client: TestClient) -> None:
    """Ensure a language, a title, a heading, a name for each field, and room for a phone."""
    text = client.get("/").text
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
    assert text.count("<h1") == 1
    for field in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
        assert "aria-label=" in field, field


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_page_of_another_site_writes(client: TestClient, headers: dict[str, str]) -> None:
    """Ensure 403 for what a browser says to come from elsewhere, whatever the route; its own pages may."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.request(method, "/api/anything", headers=headers).status_code == 403
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/anything", headers=own).status_code in (404, 405)


def test_another_name_is_not_answered(client: TestClient) -> None:
    """Ensure that a page whose own name was made to lead here reads nothing."""
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "127.0.0.1:8000"}).status_code == 200


def test_the_admin_is_there_and_lets_nobody_in(client: TestClient) -> None:
    """Ensure that each demo has its admin page, and that it wants the link of the start."""
    answer = client.get("/admin/", follow_redirects=False)
    assert answer.status_code in (302, 303, 307, 401, 403), answer.text
    assert "unsafe" not in answer.headers.get("content-security-policy", "unsafe")


@pytest.mark.parametrize("demo", ["chat", "tracker"])
def test_a_browser_is_opened_once_the_page_is_there(demo: str, tmp_path: Path) -> None:
    """Ensure that a browser finds the page at its first try, however quickly it asks."""
    script, seen = tmp_path / "browser.py", tmp_path / "seen"
    script.write_text(
        "import pathlib, sys, urllib.request\n"
        "with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:\n"
        "    pathlib.Path(sys.argv[2], 'new').write_text(str(answer.status))\n"
        "pathlib.Path(sys.argv[2], 'new').rename(sys.argv[3])\n"
    )
    with running(demo, "--data-dir", tmp_path / "data", browser=f"{sys.executable} {script} %s {tmp_path} {seen}"):
        wait_for(seen.exists)
    assert seen.read_text() == "200"
