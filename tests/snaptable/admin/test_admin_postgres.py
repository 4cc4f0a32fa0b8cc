"""Every page of the admin over a database on PostgreSQL: what each is for, done once.

All other tests of the pages run over it by `SNAPTABLE_ADMIN_ENGINE=postgres uv run pytest tests/snaptable/admin`; those
of the file need a directory, and stay in memory.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.admin.library import SECRET, Browser, Library, admin_of, library
from tests.snaptable.admin.test_admin_carry import SAME, send_file
from tests.snaptable.admin.test_admin_editing import sent
from tests.snaptable.postgres import stores

from snaptable.admin import Admin, pages


@pytest.fixture(scope="module")
def there() -> Iterator[tuple[Library, Browser]]:
    """Give a filled database on the server, and an admin's browser, to all tests of this module."""
    with library(engine="postgres") as both:
        yield both


def test_every_page_is_there_and_shows_no_secret(there: tuple[Library, Browser]) -> None:
    """Ensure that each address of the sidebar, and of a table and a row, answers; the state is that of a server."""
    db, browser = there
    overview = browser.get("/admin/")
    assert f"sequence {db.history.sequence}" in overview
    assert "Saved" in overview
    addresses = set(re.findall(r'href="(/admin/[^"#?]*)"', overview)) - {"/admin/logout"}
    assert {"/admin/history", "/admin/time", "/admin/file", "/admin/import", "/admin/export"} <= addresses
    for address in (
        *sorted(addresses),
        "/admin/tables/users/row?key=ada",
        "/admin/tables/documents?pages__gte=3&sort=-pages",
    ):
        if "/static/" not in address:
            assert SECRET not in browser.get(address), address
    assert "12 documents" in browser.get("/admin/tables/documents") or db.documents.count() == 12
    assert len(pages.ALL) == 13, "a new page is tried here, too"


def test_rows_are_added_edited_and_deleted_and_all_is_undone(there: tuple[Library, Browser]) -> None:
    """Ensure that staged edits are one commit, that one that clashes is told, and that a deletion comes back whole."""
    db, browser = there
    rows = [sent("d1", pages=(1, "10"), note=(None, "x")), sent("d2", pages=(2, "20"))]
    sequence = browser.send("/admin/tables/documents/save", {"rows": rows, "note": "both"})["sequence"]
    assert [db.documents[key].pages for key in ("d1", "d2")] == [10, 20]
    clash = {"rows": [sent("d2", pages=(2, "21"))], "note": ""}
    assert browser.send("/admin/tables/documents/save", clash, 409)["troubles"][0]["now"] == "20"
    browser.post("/admin/undo", {"sequence": str(sequence)})
    assert [db.documents[key].pages for key in ("d1", "d2")] == [1, 2]
    before = db.documents.count(), db.marks.count()
    browser.post("/admin/tables/documents/delete", {"key": ["d0"], "note": "old"})
    assert (db.documents.count(), db.marks.count()) == (before[0] - 1, before[1] - 2)
    commit = next(iter(db.history))
    assert (commit.actor, commit.via, commit.note) == ("admin", "admin", "old")
    browser.post("/admin/undo", {"sequence": str(commit.sequence)})
    assert (db.documents.count(), db.marks.count()) == before


def test_the_past_is_shown_and_restored(there: tuple[Library, Browser]) -> None:
    """Ensure that History, a row's own and the time machine tell what was, and that a restore brings it back."""
    db, browser = there
    then = db.history.sequence
    db.documents.update("d3", pages=77)
    db.documents.delete("d5")
    assert "77" in browser.get("/admin/history?table=documents")
    assert "77" in browser.get("/admin/tables/documents/row?key=d3")
    assert "paper-5.pdf" in browser.get(f"/admin/time?from={then}&table=documents")
    assert "change 1" in browser.get(f"/admin/time/restore?at={then}&table=documents&key=d3")
    browser.post("/admin/time/restore", {"at": then, "table": "documents"})
    assert (db.documents["d3"].pages, "d5" in db.documents) == (3, True)


def test_files_come_in_and_go_out(there: tuple[Library, Browser]) -> None:
    """Ensure that an import is looked at first and is one commit, that exports have the rows, and texts are found."""
    db, browser = there
    before = db.history.sequence
    path, page = send_file(browser, "docs.csv", b"id,user_id,filename\nnew,ada,new.pdf\n", table="documents")
    assert "1 to add" in page
    assert db.history.sequence == before
    browser.post(path, {"note": "spring"})
    assert db.documents["new"].filename == "new.pdf"
    for form in ("json", "jsonl", "csv", "sqlite"):
        assert browser.client.get(f"/admin/export/file?format={form}&table=documents").status_code == 200
    assert any("paper-11" in str(hit) for hit in browser.found("paper-11"))


def test_proposals_wait_and_are_merged(there: tuple[Library, Browser]) -> None:
    """Ensure that a fork of the server's rows keeps edits until they are merged."""
    db, browser = there
    body = {"rows": [sent("d6", pages=(6, "60"))], "note": "better"}
    number = browser.send("/admin/tables/documents/propose", body)["proposal"]
    assert db.documents["d6"].pages == 6
    browser.post("/admin/proposals/merge", {"number": str(number)})
    assert db.documents["d6"].pages == 60


def test_what_a_server_has_not_is_told(there: tuple[Library, Browser]) -> None:
    """Ensure that the page of the file says that there is none, and that a backup names the server's own tools."""
    _, browser = there
    assert "on a PostgreSQL server" in browser.get("/admin/file")
    assert "in memory only" not in browser.get("/admin/")
    assert "pg_dump" in browser.get("/admin/backups")
    for path in ("/admin/backups/make", "/admin/backups/for-download"):
        assert "pg_dump" in browser.post(path, status=409)


class Auth:
    """Admins of the rows, who come by a link first."""

    def __init__(self, db: Library) -> None:
        self._db = db

    async def login(self, name: str, password: str) -> Admin | None:
        return Admin(name) if password == "pa55" else None

    async def is_admin(self, request: Any) -> None:
        return None

    def lacks_admin(self) -> bool:
        return not self._db.users.where(role="admin").exists()

    def still(self, admin: Admin) -> bool:
        user = self._db.users.get(admin.name)
        return user is not None and user.role == "admin"

    async def make_first(self, name: str, password: str) -> Admin | str:
        await self._db.run(lambda db: db.users.create(id=name, email=f"{name}@example.org", role="admin"))
        return Admin(name)


def test_admins_are_asked_for_beside_the_event_loop(tmp_path: Path) -> None:
    """Ensure that rows on the server say who is an admin: at the start's link, at a login, and at each request."""
    url = stores.new_schema()
    with Library(url) as db, admin_of(db, auth=Auth(db)) as (client, site):
        link = site.link
        assert link is not None
        fields = {"link": link.partition("token=")[2], "name": "ada", "password": "pa55"}
        assert client.post("/admin/enter", data=fields, headers=SAME, follow_redirects=False).status_code == 303
        assert site.link is None
        assert client.get("/admin/", follow_redirects=False).status_code == 200
        db.users.update("ada", role="user")
        assert client.get("/admin/", follow_redirects=False).status_code == 303
    stores.drop_schemas([url])
