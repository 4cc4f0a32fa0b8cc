"""Who may enter the admin page, and which of their requests count."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient
from tests.snaptable.admin.library import Browser, Library, admin_of, fill, library

from snaptable.admin import Admin, mount_admin
from snaptable.admin.access import FAILURES, IDLE_SECONDS, SESSION_SECONDS, LinkToken, Sessions
from snaptable.admin.session_file import NAME, FileSessions

SAME = {"Sec-Fetch-Site": "same-origin"}
SITES: dict[str, dict[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another host of the same site": {"Sec-Fetch-Site": "same-site"},
    "an address typed": {"Sec-Fetch-Site": "none"},
    "another origin": {"Origin": "http://evil.example"},
    "another port": {"Origin": "http://testserver:8001"},
    "a sandboxed page": {"Origin": "null"},
    "nothing said": {},
    "another site with this origin": {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
}


class Auth:
    """Admins by name and password, and a header for the application's own session."""

    def __init__(self) -> None:
        self.passwords = {"ada": "pa55"}

    async def login(self, name: str, password: str) -> Admin | None:
        return Admin(name) if self.passwords.get(name) == password else None

    async def is_admin(self, request: Request) -> Admin | None:
        return Admin("root") if request.headers.get("x-session") == "root" else None

    def still(self, admin: Admin) -> bool:
        return admin.name in self.passwords


class FirstAuth(Auth):
    """The same, where nobody can log in yet."""

    def __init__(self) -> None:
        self.passwords = {}

    def lacks_admin(self) -> bool:
        return not self.passwords

    async def make_first(self, name: str, password: str) -> Admin | str:
        if len(password) < 4:
            return "This password is too short."
        self.passwords[name] = password
        return Admin(name)


def test_a_stranger_sees_the_login_and_nothing_else() -> None:
    """Ensure that each route of the admin, whatever its method, shows nothing to whoever has no session."""
    with Library("memory:") as db, admin_of(db) as (client, site):
        for route in site.routes:
            path = "/admin" + route.path.replace("{table}", "users").replace("{sequence:int}", "1")
            for method in route.methods or ():
                if route.path in ("/login", "/enter"):
                    continue
                answer = client.request(method, path, headers=SAME, follow_redirects=False)
                assert answer.status_code in (303, 401), (method, path)
                assert "users" not in answer.text, (method, path)
                if method == "GET":
                    assert answer.headers["location"].startswith("/admin/login?next=")


def test_the_link_of_a_start_lets_in() -> None:
    """Ensure that it does, with a cookie that no script and no other site can use; no other does."""
    with Library("memory:") as db, admin_of(db) as (client, site):
        assert site.link is not None
        for link in (site.link[:-1], site.link + "x", "/admin/enter", "/admin/enter?token=%ff"):
            assert client.get(link).status_code == 401
        for _ in range(2):
            client.cookies.clear()
            entered = client.get(site.link)
            cookie = entered.headers["set-cookie"]
            assert re.search(r"HttpOnly; Path=/admin; SameSite=strict", cookie, re.IGNORECASE), cookie
            assert client.get("/admin/").status_code == 200
        Browser(client).post("/admin/logout")
        assert client.get("/admin/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("name", SITES)
def test_a_change_must_come_from_a_page_of_the_admin(name: str) -> None:
    """Ensure that a form of any other page changes nothing, token or not."""
    with library() as (_, browser):
        path, fields = "/admin/preferences", {"theme": "dark", "admin_token": browser.token()}
        answer = browser.client.post(path, data=fields, headers=SITES[name], follow_redirects=False)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [SAME, {"Origin": "http://testserver"}])
def test_a_change_must_bring_the_token(headers: dict[str, str]) -> None:
    """Ensure that the session's own token is asked for, as a field or as a header, and no other will do."""
    with library() as (_, browser):
        client, path, right = browser.client, "/admin/preferences", browser.token()
        for token in (None, "", right[:-1], right + "x", "\ud800"):
            fields = {"theme": "dark"} | ({} if token is None else {"admin_token": token.encode("utf-8", "replace")})
            assert client.post(path, data=fields, headers=headers, follow_redirects=False).status_code == 403
        given: tuple[dict[str, Any], ...] = (
            {"data": {"theme": "dark", "admin_token": right}, "headers": headers},
            {"data": {"theme": "dark"}, "headers": headers | {"X-Admin-Token": right}},
        )
        for sent in given:
            assert client.post(path, follow_redirects=False, **sent).status_code == 303


def test_every_answer_has_the_headers() -> None:
    """Ensure a policy without anything inline or of another host, on pages, files, errors and redirects alike."""
    with library() as (_, browser):
        styles = re.search(r'href="(/admin/static/admin.css\?v=[^"]+)"', browser.get("/admin/"))
        assert styles
        for path in ("/admin/", "/admin/login", "/admin/nowhere", "/admin/tables/none", styles[1], "/admin/state"):
            headers = browser.client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
        assert browser.client.get("/admin/").headers["cache-control"] == "no-store"
        assert "immutable" in browser.client.get(styles[1]).headers["cache-control"]


def test_an_admin_logs_in_by_password() -> None:
    """Ensure that only the right one does, and that the login leads on to the page asked for, and to no other host."""
    with Library("memory:") as db, admin_of(db, auth=Auth()) as (client, site):
        assert site.link is None
        for name, password in (("ada", "wrong"), ("eve", "pa55"), ("", "")):
            answer = client.post("/admin/login", data={"name": name, "password": password}, headers=SAME)
            assert answer.status_code == 401
        for asked, led in (("/admin/tables/users", "/admin/tables/users"), ("//evil.example/", "/admin/"),
                           ("/admin/\\evil", "/admin/"), ("http://evil.example", "/admin/")):  # fmt: skip
            fields = {"name": "ada", "password": "pa55", "next": asked}
            answer = client.post("/admin/login", data=fields, headers=SAME, follow_redirects=False)
            assert answer.headers["location"] == led
        assert "ada" in client.get("/admin/").text


def test_an_admin_who_is_none_any_more_is_out_at_once() -> None:
    """Ensure that a session ends with its admin, in the next request."""
    auth = Auth()
    with Library("memory:") as db, admin_of(db, auth=auth) as (client, _):
        client.post("/admin/login", data={"name": "ada", "password": "pa55"}, headers=SAME)
        assert client.get("/admin/", follow_redirects=False).status_code == 200
        del auth.passwords["ada"]
        assert client.get("/admin/", follow_redirects=False).status_code == 303


def test_a_session_of_the_application_lets_in() -> None:
    """Ensure that it does, that its pages hold a token too, and that changes ask for it."""
    with Library("memory:") as db, admin_of(db, auth=Auth()) as (client, _):
        client.headers["x-session"] = "root"
        browser = Browser(client)
        assert "root" in browser.get("/admin/")
        browser.post("/admin/preferences", {"theme": "dark"})
        assert client.post("/admin/preferences", data={"theme": "dark"}, headers=SAME).status_code == 403


def test_guesses_are_bounded() -> None:
    """Ensure that an address that failed too often is refused for a while, with the right password too."""
    with Library("memory:") as db, admin_of(db, auth=Auth()) as (client, _):
        fields = {"name": "ada", "password": "wrong"}
        answers = [client.post("/admin/login", data=fields, headers=SAME).status_code for _ in range(FAILURES + 1)]
        assert answers == [401] * FAILURES + [429]
        right = client.post("/admin/login", data={"name": "ada", "password": "pa55"}, headers=SAME)
        assert right.status_code == 429


def test_the_first_admin_comes_by_a_link_that_is_good_once() -> None:
    """Ensure that the link makes one admin, that opening it alone does nothing, and that a refusal leaves it good."""
    auth = FirstAuth()
    with Library("memory:") as db, admin_of(db, auth=auth) as (client, site):
        link = site.link
        assert link is not None
        token = link.partition("token=")[2]
        assert client.get(link).status_code == client.get(link).status_code == 200
        assert not auth.passwords
        fields = {"link": token, "name": "ada", "password": "pa5"}
        assert client.post("/admin/enter", data=fields, headers=SAME).status_code == 422
        fields["password"] = "pa55"
        assert client.post("/admin/enter", data=fields).status_code == 403
        assert client.post("/admin/enter", data=fields | {"link": token + "x"}, headers=SAME).status_code == 401
        assert client.post("/admin/enter", data=fields, headers=SAME).status_code == 200
        assert client.get("/admin/", follow_redirects=False).status_code == 200
        assert site.link is None
        fields["name"] = "eve"
        assert client.post("/admin/enter", data=fields, headers=SAME).status_code == 401
        assert list(auth.passwords) == ["ada"]


def test_sessions_and_links_end_by_time() -> None:
    """Ensure that a session ends after its hours, sooner unused, and that a link for the first admin does."""
    now = 0.0
    sessions = Sessions(clock=lambda: now)
    cookie = sessions.begin(Admin("ada"))
    for _ in range(int(SESSION_SECONDS / (IDLE_SECONDS - 1))):
        now += IDLE_SECONDS - 1
        assert sessions.of(cookie) is not None
    now += IDLE_SECONDS - 1
    assert sessions.of(cookie) is None
    other = sessions.begin(Admin("ada"))
    now += IDLE_SECONDS
    assert sessions.of(other) is None
    link = LinkToken(once=True, seconds=900, clock=lambda: now)
    assert link.fits(link.text)
    now += 901
    assert not link.fits(link.text)


def test_a_restart_logs_nobody_out(tmp_path: Path) -> None:
    """Ensure that with logins sessions outlive the process, kept as digests, until they are ended."""
    place = tmp_path / "data"
    file = place / NAME
    auth = Auth()
    fields = {"name": "ada", "password": "pa55", "next": ""}
    with Library(place, banner=False) as db, admin_of(db, auth=auth) as (client, _):
        fill(db)
        client.post("/admin/login", data=fields, headers=SAME)
        cookies = dict(client.cookies)
        token = Browser(client).token()
    kept = file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [text for text in (*cookies.values(), token) if text in kept]
    with Library(place, banner=False) as db, admin_of(db, auth=auth) as (client, _):
        client.cookies.update(cookies)
        browser = Browser(client)
        assert browser.token() == token
        browser.post("/admin/undo", {"sequence": db.history.sequence, "back": "/admin/"})
        assert next(iter(db.history)).actor == "ada"
        browser.post("/admin/logout")
        assert '"digest"' not in file.read_text(encoding="utf-8")
        client.cookies.clear()
        client.post("/admin/login", data=fields, headers=SAME)
        cookies = dict(client.cookies)
    file.write_bytes(file.read_bytes()[:-9])  # damaged: all log in again
    with Library(place, banner=False) as db, admin_of(db, auth=auth) as (client, _):
        client.cookies.update(cookies)
        assert client.get("/admin/", follow_redirects=False).status_code == 303
    with Library("memory:") as db, admin_of(db, auth=auth) as (client, _):
        assert client.post("/admin/login", data=fields, headers=SAME).status_code == 200


def test_sessions_of_a_file_end_by_time(tmp_path: Path) -> None:
    """Ensure that a restart doesn't lengthen a session, whether it was used or not."""
    now = 1_000_000.0

    def restarted() -> FileSessions:
        return FileSessions(lambda: tmp_path, clock=lambda: now)

    used, unused = restarted().begin(Admin("ada")), restarted().begin(Admin("ben"))
    for _ in range(int(SESSION_SECONDS / 3_600) - 1):
        now += 3_600
        sessions = restarted()
        assert sessions.of(used) is not None
        assert (sessions.of(unused) is None) == (now - 1_000_000 >= IDLE_SECONDS)
    now += 3_600
    assert restarted().of(used) is None


WRONG: list[dict[str, Any]] = [
    {"path": "admin"},
    {"path": "/"},
    {"tables": ["nothing"]},
    {"labels": {"users": "password_hash"}},
    {"labels": {"users": "nothing"}},
]


@pytest.mark.parametrize("options", WRONG)
def test_a_wrong_argument_is_refused_at_once(options: dict[str, Any]) -> None:
    """Ensure that a typing error doesn't come out at the first request."""
    with Library("memory:") as db, pytest.raises(ValueError, match="mount_admin"), admin_of(db, **options):
        pass


def test_tables_that_are_not_shown_are_nowhere() -> None:
    """Ensure that a table left out has neither a page nor a place in the sidebar."""
    with library(tables=["users"]) as (_, browser):
        assert "documents" not in browser.get("/admin/tables/users")
        browser.get("/admin/tables/documents", 404)


def test_a_table_that_is_not_shown_is_in_no_page_of_others() -> None:
    """Ensure that neither commits, references, searches nor counts tell of its rows."""
    with library(tables=["documents", "marks"]) as (db, browser):
        with db.transaction():
            db.users.update("ada", role="user")
            db.documents.update("d1", pages=5)
        sequence = db.history.sequence
        for path in ("", "tables/documents", "tables/documents/row?key=d1", f"commits/{sequence}", "go?q=ada"):
            page = browser.get(f"/admin/{path}")
            assert "ada@example.org" not in page, path
            assert "tables/users" not in page, path
        browser.get("/admin/tables/users/row?key=ada", 404)
        assert set(browser.client.get("/admin/state").json()["rows"]) == {"documents", "marks"}


def test_the_token_of_the_link_is_in_no_log_of_requests() -> None:
    """Ensure that what a server logs at the answer, from the request's own scope, has the path alone."""
    with Library("memory:") as db:
        app = FastAPI()
        site = mount_admin(app, db, announce=False)
        scopes: list[Any] = []

        async def server(scope: Any, receive: Any, send: Any) -> None:
            """Keep the scope, as a server does until it has answered."""
            scopes.append(scope)
            await app(scope, receive, send)

        with TestClient(server) as client:
            assert site.link is not None
            assert client.get(site.link).status_code == 200
            assert client.get(site.link + "x").status_code == 401
        assert [scope["query_string"] for scope in scopes if scope["type"] == "http"] == [b"", b""]


@pytest.mark.parametrize("is_mounted", [True, False], ids=["in another application", "behind a proxy's prefix"])
def test_it_works_below_a_prefix(*, is_mounted: bool) -> None:
    """Ensure that cookie, links, forms and redirects have the prefix, which the application doesn't know."""
    with Library("memory:") as db:
        fill(db)
        app, outer = FastAPI(), FastAPI()
        site = mount_admin(app, db, announce=False)
        outer.mount("/x", app)
        with TestClient(outer) if is_mounted else TestClient(app, root_path="/x") as client:
            entered = client.get(f"/x{site.link}")
            assert "Path=/x/admin;" in entered.headers["set-cookie"]
            page = client.get("/x/admin/tables/documents?sort=-pages").text
            links = re.findall(r'(?:href|action|src)="([^"#][^"]*)"', page)
            assert len(links) > 20
            assert all(link.startswith("/x/admin/") for link in links)
            asked = client.get("/x/admin/tables/documents", params={"filter": "pages>3"}, follow_redirects=False)
            assert asked.headers["location"] == "/x/admin/tables/documents?pages__gt=3"
