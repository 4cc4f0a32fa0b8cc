"""The admin's pages for the backend: who is an admin and who is logged in, and the backups of its schedule."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import Api, wait_for
from tests.app.test_app_admin import become_first, library

SAME = {"Sec-Fetch-Site": "same-origin"}


def post(client: TestClient, path: str, **fields: str) -> int:
    """Send a form of the admin's; return the status of the answer."""
    token = re.search(r'data-token="([^"]+)"', client.get("/admin/").text)
    assert token
    return client.post(path, data={"admin_token": token[1], **fields}, headers=SAME).status_code


def test_admins_are_made_and_unmade_and_logins_ended(client: TestClient, ann: Api, bob: Api) -> None:
    """An admin makes another by a commit of theirs, and ends logins; the last admin stays one."""
    become_first(client, ann.email)
    page = client.get("/admin/users").text
    assert ann.email in page
    assert bob.email in page
    users = {user.email: user for user in library(client).users}
    assert post(client, "/admin/users/admin", key=users[ann.email].id, admin="no") == 409
    assert post(client, "/admin/users/admin", key=users[bob.email].id, admin="yes") == 200
    assert library(client).users[users[bob.email].id].is_admin
    assert next(library(client).history.commits("users", limit=1)).actor == ann.email
    assert post(client, "/admin/users/sessions", key=users[bob.email].id) == 200
    assert bob.get("/api/auth/me").status_code == 401
    assert post(client, "/admin/users/admin", key=users[ann.email].id, admin="no") == 200
    assert client.get("/admin/users", follow_redirects=False).status_code == 303, "ann is out at once"


@pytest.mark.memory_only("a server's database is backed up by its own tools")
def test_the_backups_of_the_schedule(start: Start, tmp_path: Path) -> None:
    """The page says when backups are made, makes one now, and gives it for the password alone."""
    folder = tmp_path / "backups"
    client = start(backup_dir=str(folder), backup_every="7d")
    wait_for(lambda: list(folder.glob("*.zip")))  # the first one is due at once
    ann = Api(client).register()
    become_first(client, ann.email)
    assert "every 7d; keeps the last 3" in client.get("/admin/backups").text
    assert post(client, "/admin/backups/make") == 200
    assert len(list(folder.glob("*.zip"))) == 2
    name = max(each.name for each in folder.glob("*.zip"))
    assert name in client.get("/admin/backups").text
    assert post(client, "/admin/backups/download", name=name, password="wrong password") == 403


def test_a_file_of_any_name_is_taken_and_no_token_fails(client: TestClient, ann: Api) -> None:
    """Ensure a name with a zero byte is no error, nor a token with one, wherever files wait to be imported."""
    become_first(client, ann.email)
    assert client.get("/admin/import/%00").status_code == 404
    page = client.get("/admin/import").text
    match = re.search(r'name="admin_token" value="(\w+)"', page)
    assert match is not None
    fields = (("admin_token", "", match[1]), ("file", '; filename="a\0b.json"', '{"users": []}'))
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}' for name, more, value in fields
    ]
    sent = client.post(
        "/admin/import",
        content="\r\n".join([*parts, "--b--\r\n"]).encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b", "Sec-Fetch-Site": "same-origin"},
        follow_redirects=False,
    )
    assert sent.status_code == 303, sent.text
    assert client.get(sent.headers["location"]).status_code == 200
