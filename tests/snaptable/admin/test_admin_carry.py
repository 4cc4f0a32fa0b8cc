"""Import, export, backups and users in the admin: nothing is written unseen, nothing secret goes out."""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.admin.library import SECRET, Browser, Library, admin_of, fill, library
from tests.snaptable.admin.test_admin_past import Auth

from snaptable.admin.multipart import parse
from snaptable.admin.pages.users import ListedUser
from snaptable.admin.uploads import MOST, SECONDS, SentUpload, Uploads
from snaptable.interchange import read_bytes

SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def there() -> Iterator[tuple[Library, Browser]]:
    """Give a filled database in memory, and an admin's browser."""
    with library() as both:
        yield both


def send_file(browser: Browser, name: str, data: bytes, status: int = 200, **fields: str) -> tuple[str, str]:
    """Send a file as a form does, and return the address that it leads to, and the page."""
    fields = {"admin_token": browser.token(), "text": "", "table": "", "format": "", **fields}
    answer = browser.client.post("/admin/import", data=fields, files={"file": (name, data)}, headers=SAME)
    assert answer.status_code == status, answer.text
    return answer.url.raw_path.decode(), answer.text


# ── import ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_looked_at_then_imported_as_one_commit(there: tuple[Library, Browser]) -> None:
    """Ensure that nothing is written before the import, that it is one commit with actor and note, and one undo."""
    db, browser = there
    before = db.history.sequence
    data = b'id,user_id,filename,pages,tags,meta\n01234,ada,a.pdf,3,"[""x""]",{}\n5,ben,b.pdf,4,[],{}\n'
    path, page = send_file(browser, "docs.csv", data, table="documents")
    assert "2 to add" in page
    assert "Import 2 rows into documents" in page
    assert db.history.sequence == before
    browser.post(path, {"note": "spring"})
    assert db.documents["01234"].tags == ("x",)
    commit = next(iter(db.history))
    assert (commit.actor, commit.note, len(commit.changes)) == ("admin", "spring", 2)
    browser.post("/admin/undo", {"sequence": commit.sequence})
    assert "01234" not in db.documents
    browser.get(path, 404)


def test_a_text_is_pasted_and_names_are_mapped(there: tuple[Library, Browser]) -> None:
    """Ensure that a pasted text is taken, that unknown names are told with a suggestion, and a mapping helps."""
    db, browser = there
    page = browser.post("/admin/import", {"text": "ID,eMail,colour\nzoe,z@x,red\n", "table": "users"})
    assert "is no field of users" in page
    action = re.search(r'<form class="card stack" action="(/admin/import/[^"]+)"', page)
    assert action
    query = {"table": "users", "map:ID": "id", "map:eMail": "email", "map:colour": ""}
    path = str(browser.client.get(action[1], params=query).url.raw_path.decode())
    assert "1 to add" in browser.get(path)
    browser.post(path)
    assert db.users["zoe"].email == "z@x"


def test_faults_are_listed_by_line_and_nothing_is_imported(there: tuple[Library, Browser]) -> None:
    """Ensure that line, field and reason are told, that a forged import is refused, and updates want a tick."""
    db, browser = there
    path, page = send_file(
        browser, "x.json", b'[{"id": "ada", "email": "new@x"},\n{"id": "q", "email": 7}]', table="users"
    )
    assert "there is a row with this key already" in page
    assert "Import" not in re.findall(r"<button[^>]*>(.*?)</button>", page)[-1]
    browser.post(path, status=409)
    assert db.users["ada"].email == "ada@example.org"
    path, page = send_file(browser, "x.json", b'[{"id": "ada", "email": "new@x"}]', table="users")
    assert "1 to change" in browser.get(f"{path}&update=on")
    assert SECRET not in browser.get(f"{path}&update=on")


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.json", b"[{]"), ("x.csv", b"a,a\n1,2"), ("x.db", b"no"), ("x.json", b"PK\x03\x04"), ("x", b" ")],
)
def test_bad_files_are_refused_in_words(there: tuple[Library, Browser], name: str, data: bytes) -> None:
    """Ensure that a file that can't be read is told on the page."""
    assert 'role="alert"' in send_file(there[1], name, data, 422)[1]


def test_several_tables_of_a_file(there: tuple[Library, Browser]) -> None:
    """Ensure that the tables of a file are chosen by name."""
    text = json.dumps({"marks": [{"document_id": "d1", "text": "new"}], "users": [], "about": {"x": "y"}})
    path, page = send_file(there[1], "db.json", text.encode())
    assert "Choose the table" in page
    assert "about" in page
    assert "1 to add" in there[1].get(f"{path}?table=marks")


def test_files_are_of_who_sent_them_and_go() -> None:
    """Ensure that nobody else sees a file, and that there are few of them, for half an hour."""
    now = [0.0]
    uploads = Uploads(lambda: now[0])
    sent = SentUpload("x.csv", b"id\n1\n", None)
    parsed = read_bytes(sent.data, sent.name)
    tokens = [uploads.keep(parsed, sent, "ada") for _ in range(MOST + 2)]
    assert [uploads.of(token, "ada") is not None for token in tokens] == [False, False] + [True] * MOST
    assert uploads.of(tokens[-1], "ben") is None
    now[0] = SECONDS
    assert uploads.of(tokens[-1], "ada") is None


@given(
    st.text(max_size=20), st.binary(max_size=60), st.text(st.characters(blacklist_characters='"\\\r\n', codec="utf-8"))
)
def test_any_form_is_read(text: str, data: bytes, name: str) -> None:
    """Ensure that a form's texts and files come out as they were put in."""
    text = text.encode("utf-8", "ignore").decode()
    mark = b"----x7Boundary"
    body = b"".join(
        [
            b"--" + mark + b'\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + text.encode() + b"\r\n",
            b"--" + mark + b'\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n',
            b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--" + mark + b"--\r\n",
        ]
    )
    fields, files = parse("multipart/form-data; boundary=----x7Boundary", body)
    assert (fields, files["file"].name, files["file"].data) == ([("text", text)], name, data)


@given(st.binary(max_size=100))
def test_any_bytes_are_no_form_or_one(body: bytes) -> None:
    """Ensure that nothing but a ValueError comes of what is no form."""
    for content_type in ("multipart/form-data; boundary=a", "multipart/form-data"):
        try:
            fields, files = parse(content_type, body)
        except ValueError:
            continue
        assert all(isinstance(text, str) for pair in fields for text in pair)
        assert all(file.data in body for file in files.values())


# ── export ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_export_of_what_is_filtered(there: tuple[Library, Browser]) -> None:
    """Ensure that a table's link leads to its filters' rows, in their order, and of a moment."""
    db, browser = there
    table = browser.get("/admin/tables/documents?pages__gte=9&sort=-pages")
    link = re.search(r'href="(/admin/export\?[^"]+)"', table)
    assert link
    page = browser.get(link[1].replace("&amp;", "&"))
    assert 'name="pages__gte" value="9"' in page
    query = "table=documents&pages__gte=9&sort=-pages&format=jsonl"
    rows = [json.loads(line) for line in browser.get(f"/admin/export/file?{query}").splitlines()]
    assert [row["id"] for row in rows] == ["d11", "d10", "d9"]
    then = db.history.sequence
    db.documents.delete("d10")
    assert '"d10"' not in browser.get(f"/admin/export/file?{query}")
    assert '"d10"' in browser.get(f"/admin/export/file?{query}&at={then}")
    for bad in (
        "format=xml",
        "format=csv",
        "table=x&format=csv",
        "table=documents&pages__gte=x",
        "at=x",
        "table=logins&at=1&pages=1",
    ):
        assert browser.client.get(f"/admin/export/file?{bad}").status_code in (404, 422, 200)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "sqlite", "json-server", "tinydb"])
def test_exports_have_no_secrets_and_come_back(there: tuple[Library, Browser], form: str) -> None:
    """Ensure that secrets are masked in every format, that the answer is a download, and can be imported again."""
    browser = there[1]
    answer = browser.client.get(f"/admin/export/file?table=users&format={form}")
    assert answer.headers["content-disposition"].startswith('attachment; filename="users.')
    assert SECRET.encode() not in answer.content
    path, _ = send_file(browser, f"users.{form}", answer.content, table="users", format=form)
    joint = "&" if "?" in path else "?"
    assert "2 unchanged" in browser.get(
        f"{path}{joint}update=on&source={'' if form in ('json', 'jsonl', 'csv') else 'users'}"
    )


def test_hidden_tables_are_not_carried() -> None:
    """Ensure that tables that are not shown are neither exported nor imported into, nor backed up for a download."""
    with library(tables=["marks"]) as (_, browser):
        browser.get("/admin/export/file?table=users&format=json", 404)
        browser.get("/admin/export/file?format=json", 403)
        browser.post("/admin/backups/for-download", status=403)
        page = browser.post("/admin/import", {"text": "id,email\nq,q@x\n", "table": "users"})
        assert "into users" not in page


# ── backups ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_back_up_now_and_download(tmp_path: Path) -> None:
    """Ensure that a backup is made at once, listed, and given to who gives the password again."""
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        fill(db)
        with admin_of(db, auth=Auth(), backup_dir=str(tmp_path / "backups")) as (client, _):
            client.post("/admin/login", data={"name": "ada", "password": "pa55"}, headers=SAME)
            browser = Browser(client)
            assert "No backups yet" in browser.get("/admin/backups")
            assert "Back up now" in browser.get("/admin/")
            page = browser.post("/admin/backups/make")
            name = next((tmp_path / "backups").iterdir()).name
            assert f"{name} was made" in page
            assert f"#{db.history.sequence}" in browser.get("/admin/")
            browser.post("/admin/backups/download", {"name": name, "password": "no"}, 403)
            for bad in ("../data/db_snapshot.json", "x", ""):
                browser.post("/admin/backups/download", {"name": bad, "password": "pa55"}, 404)
            fields = {"admin_token": browser.token(), "name": name, "password": "pa55"}
            data = client.post("/admin/backups/download", data=fields, headers=SAME).content
            assert "db_snapshot.json" in zipfile.ZipFile(io.BytesIO(data)).namelist()


def test_a_backup_for_the_download_alone() -> None:
    """Ensure that without a folder a backup is made, given, and kept nowhere."""
    with library(engine="memory") as (_, browser):  # a server's own tools back up what it has
        fields = {"admin_token": browser.token()}
        data = browser.client.post("/admin/backups/for-download", data=fields, headers=SAME).content
        assert "manifest.json" in zipfile.ZipFile(io.BytesIO(data)).namelist()
        assert "download" in browser.post("/admin/backups/make")


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Roles:
    """Users by a field of their row."""

    table = "users"

    def __init__(self, db: Library) -> None:
        self.db, self.ended = db, list[str]()

    def find(self, text: str, skip: int, most: int) -> tuple[Sequence[ListedUser], int]:
        rows = [row for row in self.db.users if text in row.email]
        found = [
            ListedUser(row.id, row.email, row.role == "admin", 2, datetime(2026, 1, 1, tzinfo=UTC)) for row in rows
        ]
        return found[skip : skip + most], len(found)

    def set_admin(self, key: str, *, is_admin: bool) -> str | None:
        if key == "ada" and not is_admin:
            return "You are the last admin."
        self.db.users.update(key, role="admin" if is_admin else "user")
        return None

    def end_sessions(self, key: str) -> int:
        self.ended.append(key)
        return 2


def test_users() -> None:
    """Ensure that users are listed and found, made admins by a commit with an actor, and logged out."""
    with Library("memory:", banner=False) as db:
        fill(db)
        roles = Roles(db)
        with admin_of(db, users=roles) as (client, site):
            client.get(site.link or "")
            browser = Browser(client)
            page = browser.get("/admin/users")
            assert "2 users" in page
            assert SECRET not in page
            assert "ada@" not in browser.get("/admin/users?q=ben").partition("<main")[2]
            browser.post("/admin/users/admin", {"key": "ben", "admin": "yes"})
            assert (db.users["ben"].role, next(iter(db.history)).actor) == ("admin", "admin")
            assert "last admin" in browser.post("/admin/users/admin", {"key": "ada", "admin": "no"}, 409)
            browser.post("/admin/users/sessions", {"key": "ben"})
            assert roles.ended == ["ben"]


def test_nothing_is_done_for_other_sites_or_strangers(there: tuple[Library, Browser]) -> None:
    """Ensure that no act is done without the token or for another origin, and that strangers see the login alone."""
    db, browser = there
    before = db.history.sequence
    path, _ = send_file(browser, "x.csv", b"id,email\nq,q@x\n", table="users")
    for act in (path, "/admin/import", "/admin/backups/make", "/admin/backups/download", "/admin/backups/for-download"):
        browser.post(act, {"admin_token": "no"}, 403)
        browser.post(act, {}, 403, **{"Sec-Fetch-Site": "cross-site"})
    browser.client.cookies.clear()
    for page in (path, "/admin/import", "/admin/export", "/admin/export/file?table=users&format=csv", "/admin/backups"):
        answer = browser.client.get(page, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/admin/login")
    assert db.history.sequence == before
