"""The admin page of the backend: its admins are users, by their passwords."""

import re

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import PASSWORD, Api, make_pdf

from app.api.application import create_app
from app.library import Library
from app.settings import Settings

SAME = {"Sec-Fetch-Site": "same-origin"}


def library(client: TestClient) -> Library:
    """Return the database behind a client."""
    db: Library = client.app.state.db  # type: ignore[attr-defined]
    return db


def link(client: TestClient) -> str | None:
    """Return the link for the first admin."""
    found: str | None = client.app.state.admin.link  # type: ignore[attr-defined]
    return found


def log_in(client: TestClient, email: str, password: str = PASSWORD) -> int:
    """Log in to the admin page, and return the status."""
    fields = {"name": email, "password": password}
    return client.post("/admin/login", data=fields, headers=SAME, follow_redirects=False).status_code


def become_first(client: TestClient, email: str, password: str = PASSWORD) -> int:
    """Open the link for the first admin, and return the status."""
    asked = link(client)
    assert asked is not None
    fields = {"link": asked.partition("token=")[2], "name": email, "password": password}
    return client.post("/admin/enter", data=fields, headers=SAME, follow_redirects=False).status_code


def test_a_user_becomes_the_first_admin(client: TestClient, ann: Api) -> None:
    """Ensure that the link makes one by the password of an account, that it is used up, and that history has it."""
    assert log_in(client, ann.email) == 401
    assert become_first(client, ann.email, "another password") == 422
    assert become_first(client, ann.email) == 303
    assert client.get("/admin/", follow_redirects=False).status_code == 200
    assert link(client) is None
    client.cookies.clear()
    assert log_in(client, ann.email) == 303
    commits = list(library(client).history.commits("users"))
    assert any(change.fields.get("is_admin") == (False, True) for commit in commits for change in commit.changes)


def test_a_stranger_becomes_the_first_admin_with_a_new_account(client: TestClient) -> None:
    """Ensure that an address without an account gets one, by the rules of registering."""
    for email, password in (("nobody", PASSWORD), ("eve@example.org", "short"), ("eve@example.org", "password1")):
        assert become_first(client, email, password) == 422
    assert library(client).users.count() == 0
    assert become_first(client, " Eve@Example.org ") == 303
    assert library(client).users.where().one().email == "eve@example.org"
    assert Api(client, "eve@example.org").log_in().get("/api/auth/me").status_code == 200


def test_only_admins_are_let_in_and_only_as_long(client: TestClient, ann: Api, bob: Api) -> None:
    """Ensure that no other user is, and that who is none any more, or is deleted, is out at the next request."""
    assert become_first(client, ann.email) == 303
    client.cookies.clear()
    assert log_in(client, bob.email) == log_in(client, ann.email, "wrong password") == 401
    assert log_in(client, ann.email) == 303
    db = library(client)
    user = db.users.where(email=ann.email).one()
    db.users.update(user.id, is_admin=False)
    assert client.get("/admin/", follow_redirects=False).status_code == 303
    db.users.update(user.id, is_admin=True)
    assert log_in(client, ann.email) == 303
    assert ann.request("DELETE", "/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert client.get("/admin/", follow_redirects=False).status_code == 303


def test_a_program_comes_with_the_token_of_the_api(client: TestClient, ann: Api, bob: Api) -> None:
    """Ensure that an admin's token opens the page, and another user's does not."""
    become_first(client, ann.email)
    client.cookies.clear()
    assert ann.get("/admin/").status_code == 200
    assert bob.http.get("/admin/", headers=bob.headers, follow_redirects=False).status_code == 303


def test_nobody_makes_themselves_an_admin(client: TestClient, ann: Api) -> None:
    """Ensure that the API takes no such field, and shows none."""
    body = {"email": "eve@example.org", "password": PASSWORD, "is_admin": True}
    assert client.post("/api/auth/register", json=body).status_code == 422
    assert set(ann.get("/api/auth/me").json()) == {"id", "email", "created_at"}


def test_pages_of_the_backend_show_no_secret(client: TestClient, ann: Api) -> None:
    """Ensure that neither a password's hash nor a session's is on any page, and that rows lead to one another."""
    document = ann.upload(make_pdf(2))
    become_first(client, ann.email)
    db = library(client)
    secrets = [user.password_hash for user in db.users] + [session.token_sha256 for session in db.sessions]
    pages = [client.get(f"/admin/tables/{name}").text for name in db.tables]
    pages += [client.get("/admin/tables/users/row", params={"key": user.id}).text for user in db.users]
    pages.append(client.get("/admin/").text)
    assert not any(secret in page for page in pages for secret in secrets)
    page = client.get("/admin/tables/documents/row", params={"key": document["id"]}).text
    assert f">{ann.email}</a>" in page


def test_the_store_is_closed_and_opened_again(client: TestClient, ann: Api) -> None:
    """Ensure that the overview's Restart does so, that all comes back, and that the API goes on."""
    ann.upload(make_pdf(1))
    become_first(client, ann.email)
    token = re.search(r'data-token="([^"]+)"', client.get("/admin/").text)
    assert token
    page = client.post("/admin/restart", data={"admin_token": token[1]}, headers=SAME)
    assert page.status_code == 200
    assert "closed and opened again" in page.text
    assert len(ann.get("/api/documents").json()["items"]) == 1


def test_it_can_be_left_out(start: Start) -> None:
    """Ensure that the setting leaves no route."""
    client = start(admin=False)
    assert client.get("/admin/").status_code == 404
    assert client.get("/admin").status_code == 404


def test_guesses_are_bounded_as_at_the_login(start: Start) -> None:
    """Ensure that failed logins of both are counted together."""
    client = start(login_failures=3)
    ann = Api(client).register()
    become_first(client, ann.email)
    client.cookies.clear()
    login = {"username": ann.email, "password": "wrong"}
    assert [log_in(client, ann.email, "wrong") for _ in range(2)] == [401, 401]
    assert client.post("/api/auth/login", data=login).status_code == 401
    assert log_in(client, ann.email, "wrong") == 429


def test_an_application_may_be_made_before_its_store_is_open() -> None:
    """Ensure that nothing is asked of a closed store."""
    app = create_app(Settings(_env_file=None, data_dir="memory:"))
    assert app.state.admin.link is None


@pytest.mark.parametrize("way", ["password", "sessions", "page"])
def test_who_logs_out_everywhere_leaves_the_admin_page_too(client: TestClient, ann: Api, way: str) -> None:
    """Ensure a session of the page that somebody took over ends with the others: by the API, and by the users' page."""
    assert become_first(client, ann.email) == 303
    stolen = dict(client.cookies)
    if way == "password":
        body = {"old_password": PASSWORD, "new_password": "another long password"}
        assert ann.request("POST", "/api/auth/password", json=body).status_code == 204
    elif way == "sessions":
        assert ann.delete("/api/auth/sessions").status_code == 204
    else:
        token = re.search(r'data-token="([^"]+)"', client.get("/admin/").text)
        assert token
        fields = {"key": library(client).users.where(email=ann.email).one().id, "admin_token": token[1]}
        assert (
            client.post("/admin/users/sessions", data=fields, headers=SAME, follow_redirects=False).status_code == 303
        )
    client.cookies.clear()
    client.cookies.update(stolen)
    assert client.get("/admin/", follow_redirects=False).headers["location"].startswith("/admin/login")
