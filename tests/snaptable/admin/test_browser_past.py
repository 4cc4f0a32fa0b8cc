"""The main paths through the past, the file, imports and backups in a real browser, and the accessibility of all pages.

The fixture `page` fails a test at any violation of the pages' policy.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.snaptable.admin.accessibility import problems_of
from tests.snaptable.admin.library import Library
from tests.snaptable.admin.screenshots import pages_of, served

from snaptable import attribution

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


RULES_OF: dict[str, tuple[str, ...]] = {"light": (), "dark": ("color-contrast",), "phone": ("target-size",)}
"""What is looked at again: names and roles are the same in the dark, colours on a phone."""


@pytest.fixture(scope="module")
def place(browser: "Browser") -> "Iterator[tuple[Library, str]]":
    """Give a database that is served, and the link that lets in; where there is a browser."""
    with served() as both:
        yield both


@pytest.fixture
def admin(page: "Page", place: tuple[Library, str]) -> "Page":
    """Give a page on which an admin came by the link."""
    page.goto(place[1])
    page.wait_for_url("**/admin/")
    return page


def at(page: "Page", path: str) -> None:
    """Go to a page of the admin."""
    page.goto(page.url.partition("/admin")[0] + "/admin" + path)


def test_history_is_live_and_commits_are_taken_back(admin: "Page", place: tuple[Library, str]) -> None:
    """Ensure that a commit appears by itself, that new ones wait while one reads, and that Undo has a preview."""
    db = place[0]
    at(admin, "/history")
    admin.locator("#live").wait_for()
    with attribution(actor="live@example.org"):
        db.users.update("u001", email="live@example.org")
    admin.locator(f"#c{db.history.sequence}", has_text="live@example.org").wait_for()
    admin.locator(".content").evaluate("each => each.scrollTo(0, 400)")
    db.users.update("u002", email="second@example.org")
    db.users.update("u002", email="third@example.org")
    admin.get_by_role("button", name="2 new").click()
    admin.locator(f"#c{db.history.sequence}").wait_for()
    admin.locator("#filter").fill("table = users, actor = live")
    admin.keyboard.press("Enter")
    admin.wait_for_url(re.compile(r"table=users&actor=live"))
    assert admin.locator(".commit").count() == 1
    admin.get_by_role("link", name=re.compile("Undo #")).click()
    admin.get_by_role("button", name="Undo").click()
    admin.locator(".toast").wait_for()
    assert db.users["u001"].email != "live@example.org"


def test_the_time_machines_handle_and_a_restore(admin: "Page", place: tuple[Library, str]) -> None:
    """Ensure that a handle is moved by keys, that the address follows, and that a row is restored with a preview."""
    db = place[0]
    then = db.history.sequence
    document = db.documents.where(filename="invoice-31.pdf").one()
    db.documents.update(document.id, pages=document.pages + 100)
    at(admin, "/time")
    handle = admin.get_by_role("slider", name="Then")
    handle.focus()
    for key, moment in (("End", then + 1), ("ArrowLeft", then)):  # keys within a third of a second would be one move
        admin.keyboard.press(key)
        admin.wait_for_url(re.compile(rf"from=%23{moment}&"))
    assert handle.evaluate("handle => handle === document.activeElement"), "the handle was lost with the page"
    row = admin.locator(".change-row", has_text="invoice-31.pdf")
    row.hover()
    row.get_by_role("link", name=re.compile("^Restore")).click()
    admin.get_by_text("would remove 0, put back 0, change 1").wait_for()
    admin.get_by_role("button", name="Restore documents").click()
    admin.wait_for_url(re.compile("/tables/documents/row"))
    assert db.documents[document.id].pages == document.pages
    at(admin, f"/time?from={then}&table=documents")
    admin.get_by_text("read only.").wait_for()
    admin.get_by_role("link", name="Back to now").click()
    admin.wait_for_url(re.compile("/tables/documents$"))


def test_the_file_and_an_edit_outside(admin: "Page", place: tuple[Library, str]) -> None:
    """Ensure that bytes are found, that a line leads to its row, and that an edit outside is taken over."""
    db = place[0]
    at(admin, "/file")
    admin.keyboard.press("/")
    admin.keyboard.type("letter-12.pdf")
    admin.keyboard.press("Enter")
    line = admin.locator("tr.here", has_text="letter-12.pdf")
    line.wait_for()
    assert line.is_visible()
    assert admin.locator(".file tr.is").inner_text().count("invoice-21-signed.pdf") == 1
    admin.get_by_role("button", name="Take over 1 change").click()
    admin.get_by_text("Edited outside the store").wait_for(state="detached")
    assert db.documents.where(filename="invoice-21-signed.pdf").count() == 1
    at(admin, "/file?find=letter-12.pdf")
    admin.locator("tr.here .no a").click()
    admin.wait_for_url(re.compile("/tables/documents/row"))


def test_an_import_and_an_export(admin: "Page", place: tuple[Library, str], tmp_path: Path) -> None:
    """Ensure that a file is looked at as soon as it is chosen, mapped, imported, taken back, and exported again."""
    db = place[0]
    file = tmp_path / "people.csv"
    file.write_text("id,eMail\n007,bond@example.org\n008,bill@example.org\n", encoding="utf-8")
    at(admin, "/import?table=users")
    admin.locator("input[type=file]").set_input_files(file)
    admin.get_by_text("is no field of users").wait_for()
    admin.get_by_role("button", name="Look again").click()  # the suggestion is chosen
    admin.get_by_text("2 to add").wait_for()
    admin.get_by_role("button", name="Import 2 rows into users").click()
    admin.locator(".toast", has_text="Added 2 rows").wait_for()
    assert db.users["007"].email == "bond@example.org"
    admin.locator(".toast").get_by_role("button", name="Undo").click()
    admin.locator(".toast", has_text="Took back").wait_for()
    assert "007" not in db.users
    at(admin, "/tables/users?role=admin")
    admin.locator(".actions").get_by_role("link", name="Export").click()
    with admin.expect_download() as download:
        admin.get_by_role("button", name="Export").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert '"role":"admin"' in text
    assert '"role":"user"' not in text
    assert "••••" in text


def test_a_backup_is_made_and_downloaded(admin: "Page", place: tuple[Library, str]) -> None:
    """Ensure that a backup is made by a click, and is the zip that a restore takes."""
    at(admin, "/backups")
    admin.get_by_role("button", name="Back up now").click()
    admin.get_by_text("was made, read back and verified").wait_for()
    with admin.expect_download() as download:
        admin.get_by_role("button", name="Download").first.click()
    assert "db_snapshot.json" in zipfile.ZipFile(download.value.path()).namelist()


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_every_page_is_accessible(admin: "Page", place: tuple[Library, str], look: str) -> None:
    """Ensure that names, roles, focus and contrast of every page pass, and that none scrolls sideways on a phone."""
    admin.emulate_media(color_scheme="light" if look == "light" else "dark", reduced_motion="reduce")
    if look == "phone":
        admin.set_viewport_size({"width": 500, "height": 900})
    wrong = {}
    for name, path in pages_of(place[0]).items():
        if name in ("filtered", "history-of-a-row"):
            continue  # they are as the table and the history
        at(admin, path)
        found = problems_of(admin, RULES_OF[look])
        if found:
            wrong[name] = found
    assert not wrong, "\n".join(f"{name}:\n  " + "\n  ".join(each) for name, each in wrong.items())
