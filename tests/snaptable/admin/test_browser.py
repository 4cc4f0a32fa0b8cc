"""The main path through a table and its rows, as a person goes it: in a real browser, against a real server.

Its policy allows nothing inline and nothing of another host: the fixture `page` fails a test at any violation.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import uvicorn
from fastapi import FastAPI
from tests.snaptable.admin.library import Document, Library, fill

from snaptable.admin import mount_admin
from snaptable.web import server_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


class Served:
    """A database whose admin page is served.

    Attributes:
        db: the database.
        origin: of the server.
        link: what lets in.
    """

    def __init__(self, db: Library, origin: str, link: str) -> None:
        self.db, self.origin, self.link = db, origin, link


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Served]":
    """Give the database, with enough documents for several pages, on a server in another thread."""
    with Library(tmp_path_factory.mktemp("library") / "data", banner=False) as db:
        fill(db)
        db.documents.insert_many(
            Document(id=f"e{n}", user_id="ada", filename=f"letter-{n}.pdf", pages=n) for n in range(100, 220)
        )
        app = FastAPI()
        site = mount_admin(app, db, announce=False)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", **server_settings()))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert site.link is not None
        yield Served(db, f"http://127.0.0.1:{port}", site.link)
        server.should_exit = True
        thread.join()


@pytest.fixture
def admin(page: "Page", served: Served) -> "Page":
    """Give a page on which an admin came by the link."""
    page.goto(served.origin + served.link)
    page.wait_for_url(f"{served.origin}/admin/")
    return page


def cell(page: "Page", key: str, column: str) -> "Locator":
    """Return a cell of the grid."""
    return page.locator(f'.grid tr[data-key="{key}"] td[data-column="{column}"]')


def test_a_list_is_filtered_sorted_and_paged(admin: "Page", served: Served) -> None:
    """Ensure that a filter is typed with completion, becomes a chip, and that the address has the whole state."""
    admin.goto(f"{served.origin}/admin/tables/documents")
    assert admin.locator(".headline .meta").inner_text() == "132 rows"
    admin.keyboard.press("/")
    admin.keyboard.type("pag")
    admin.get_by_role("option", name="pages").click()
    admin.keyboard.type(">= 100")
    admin.keyboard.press("Escape")
    admin.keyboard.press("Enter")
    admin.locator(".chip", has_text="pages ≥ 100").wait_for()
    assert admin.locator(".headline .meta").inner_text() == "120 rows"
    admin.locator(".grid th a", has_text="pages").click()
    admin.wait_for_url(re.compile(r"sort=pages"))
    assert admin.locator(".grid tbody tr").first.get_attribute("data-key") == "e100"
    first_page = admin.url
    admin.get_by_role("link", name="Next").click()
    admin.get_by_text("51–100 of 120").wait_for()
    admin.wait_for_url(lambda url: url != first_page)  # the driver is told of it a little later
    state = admin.url
    assert "pages__gte=100" in state
    admin.go_back()
    admin.get_by_text("1–50 of 120").wait_for()
    admin.goto(state)
    admin.get_by_text("51–100 of 120").wait_for()
    admin.get_by_role("link", name=re.compile("Remove the filter pages")).click()
    admin.locator(".headline .meta", has_text="132 rows").wait_for()


def test_edits_wait_are_saved_as_one_commit_and_undone(admin: "Page", served: Served) -> None:
    """Ensure that edits in cells are staged, reviewed, saved with a note, and taken back by the toast and Ctrl Z."""
    db = served.db
    before = db.history.sequence
    admin.goto(f"{served.origin}/admin/tables/documents?filename__starts_with=paper")
    cell(admin, "d11", "pages").dblclick()
    admin.keyboard.type("77")
    admin.keyboard.press("Enter")
    admin.keyboard.press("Enter")  # the cell below
    admin.keyboard.type("78")
    admin.keyboard.press("Enter")
    cell(admin, "d9", "note").dblclick()
    admin.keyboard.type("seen")
    admin.keyboard.press("Enter")
    admin.get_by_text("3 changes in 3 rows").wait_for()
    assert "staged" in (cell(admin, "d11", "pages").get_attribute("class") or "")
    assert db.history.sequence == before
    admin.reload()  # they are kept
    admin.get_by_text("3 changes in 3 rows").wait_for()
    admin.get_by_role("button", name="Review").click()
    assert admin.locator("dialog .change-row").count() == 3
    admin.get_by_role("button", name="Go on editing").click()
    admin.locator("#staged input").fill("by hand")
    admin.keyboard.press("Control+s")
    admin.get_by_text(f"Changed 3 rows of documents, #{before + 1}").wait_for()
    assert [db.documents[key].pages for key in ("d11", "d10")] == [77, 78]
    assert next(iter(db.history)).note == "by hand"
    admin.locator(".toast").get_by_role("button", name="Undo").click()
    admin.get_by_text(f"Took back 3 rows of documents, #{before + 2}").wait_for()
    assert [db.documents[key].pages for key in ("d11", "d10")] == [11, 10]
    admin.keyboard.press("Control+z")  # an undo of the undo
    admin.get_by_text(f"#{before + 3}").wait_for()
    assert db.documents["d11"].pages == 77


def test_a_conflict_shows_both_values(admin: "Page", served: Served) -> None:
    """Ensure that what somebody else changed meanwhile is not overwritten until the editor says so."""
    db = served.db
    admin.goto(f"{served.origin}/admin/tables/documents?filename__starts_with=paper")
    cell(admin, "d3", "pages").dblclick()
    admin.keyboard.type("30")
    admin.keyboard.press("Enter")
    with db.transaction(actor="ben"):
        db.documents.update("d3", pages=31)
    admin.keyboard.press("Control+s")
    conflict = admin.locator(".conflict-line")
    conflict.get_by_text("by ben").wait_for()
    assert db.documents["d3"].pages == 31
    conflict.get_by_role("button", name="Keep mine").click()
    admin.get_by_role("button", name="Save").click()
    admin.locator(".toast", has_text="Changed 1 row").wait_for()
    assert db.documents["d3"].pages == 30


def test_the_keys_lead_everywhere(admin: "Page", served: Served) -> None:
    """Ensure that rows, their drawer, its neighbours, a save, a selection and the way back need no mouse."""
    db = served.db
    admin.goto(f"{served.origin}/admin/tables/documents?filename__starts_with=letter")
    assert admin.locator('.grid td[tabindex="0"]').count() == 1
    admin.keyboard.press("j")
    admin.keyboard.press("j")
    admin.keyboard.press("o")
    drawer = admin.locator(".drawer")
    drawer.get_by_label("filename").wait_for()
    admin.wait_for_url(re.compile("row=e218"))
    drawer.get_by_label("filename").fill("renamed.pdf")
    admin.keyboard.press("Control+s")
    admin.locator(".toast", has_text="Changed 1 row").wait_for()
    assert db.documents["e218"].filename == "renamed.pdf"
    admin.goto(f"{served.origin}/admin/tables/documents?filename__starts_with=letter&row=e217")
    admin.locator("h1").click()
    admin.keyboard.press("]")
    admin.locator('.drawer[data-key="e216"]').wait_for()
    admin.keyboard.press("Escape")
    admin.locator(".drawer").wait_for(state="detached")
    admin.wait_for_url(lambda url: "row=" not in url)
    admin.keyboard.press("Space")
    admin.keyboard.press("Shift+ArrowDown")
    admin.get_by_text("2 rows selected").wait_for()
    admin.get_by_role("link", name="Delete …").click()
    admin.get_by_role("heading", name="Delete 2 rows of documents").wait_for()
    admin.get_by_role("button", name="Delete").click()
    admin.locator(".toast", has_text="Deleted 2 rows").wait_for()
    admin.keyboard.press("?")
    admin.get_by_role("heading", name="Keys").wait_for()
    admin.keyboard.press("Escape")
    admin.keyboard.press("Control+k")
    admin.get_by_role("dialog").get_by_role("searchbox").fill("ben@")
    admin.get_by_role("option", name=re.compile("ben@example.org")).wait_for()
    admin.keyboard.press("Enter")
    admin.wait_for_url(re.compile(r"/tables/users/row\?key=ben"))


def test_a_row_is_added_in_the_drawer(admin: "Page", served: Served) -> None:
    """Ensure that a fault stands beside its field, what was typed stays, and the row is added once it is right."""
    admin.goto(f"{served.origin}/admin/tables/documents")
    admin.keyboard.press("n")
    drawer = admin.locator(".drawer")
    drawer.get_by_label("filename").fill("new.pdf")
    drawer.get_by_label("user_id").fill("nobody")
    drawer.get_by_role("button", name="Add").click()
    drawer.get_by_role("alert").wait_for()
    assert drawer.get_by_label("filename").input_value() == "new.pdf"
    drawer.get_by_label("user_id").fill("ada")
    drawer.get_by_role("button", name="Add").click()
    admin.locator(".toast", has_text="Added 1 row").wait_for()
    assert served.db.documents.where(filename="new.pdf").count() == 1


def test_columns_are_chosen_and_kept(admin: "Page", served: Served) -> None:
    """Ensure that a column that was left out stays so in this browser."""
    admin.goto(f"{served.origin}/admin/tables/documents")
    admin.get_by_text("Columns").click()
    admin.locator("#columns").get_by_label("score", exact=True).uncheck()
    assert admin.locator('th[data-column="score"]').is_hidden()
    admin.goto(f"{served.origin}/admin/tables/documents?sort=pages")
    assert admin.locator('th[data-column="score"]').is_hidden()
    assert admin.locator('th[data-column="pages"]').is_visible()


def test_without_script_a_row_is_found_edited_and_undone(browser: "Browser", served: Served) -> None:
    """Ensure that links and forms are enough."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 500, "height": 900})
    page = context.new_page()
    page.goto(served.origin + served.link)
    page.wait_for_url(f"{served.origin}/admin/")
    page.get_by_role("link", name=re.compile("documents")).first.click()
    page.get_by_label("Filter").fill("filename = paper-5.pdf")
    page.get_by_label("Filter").press("Enter")
    page.locator('tr[data-key="d5"] a.open').click()
    page.get_by_label("filename").fill("five.pdf")
    page.get_by_role("button", name="Save").click()
    page.locator(".toast", has_text="Changed 1 row").wait_for()
    assert served.db.documents["d5"].filename == "five.pdf"
    page.locator(".toast").get_by_role("button", name="Undo").click()
    page.locator(".toast", has_text="Took back").wait_for()
    assert served.db.documents["d5"].filename == "paper-5.pdf"
    context.close()


def in_focus(page: "Page") -> str:
    """Return what is in focus, as its tag begins."""
    focused = "() => document.activeElement.closest('[data-column], .drawer, summary')?.outerHTML.slice(0, 200) ?? ''"
    return str(page.evaluate(focused))


def test_keys_go_on_where_they_were(admin: "Page", served: Served) -> None:
    """Ensure that no step by keys loses the focus: an order, a save, a drawer and its neighbour, a menu."""
    keys = admin.keyboard
    admin.goto(f"{served.origin}/admin/tables/documents?pages__gte=150")
    admin.locator('th[data-column="pages"] a').focus()
    keys.press("Enter")
    admin.wait_for_url(re.compile("sort=pages"))
    admin.locator('th[data-column="pages"][aria-sort="ascending"] a:focus').wait_for()
    keys.press("j")
    for _ in range(3):
        keys.press("ArrowRight")
    assert 'data-column="pages"' in in_focus(admin)
    keys.press("Enter")
    keys.type("1234")
    keys.press("Control+s")
    admin.locator(".toast").wait_for()
    admin.locator("#staged").wait_for(state="hidden")
    admin.locator('td[data-column="pages"]:focus').wait_for()
    keys.press("o")
    admin.locator(".drawer:focus").wait_for()
    first = admin.locator(".drawer").get_attribute("data-key")
    keys.press("]")
    admin.locator(f'.drawer:not([data-key="{first}"]):focus').wait_for()
    keys.press("[")
    admin.locator(f'.drawer[data-key="{first}"]:focus').wait_for()
    keys.press("Enter")
    assert admin.locator(".drawer .field:focus").count() == 1
    keys.press("Escape")
    admin.locator(".drawer").wait_for(state="detached")
    assert "<td" in in_focus(admin)
    admin.locator(".columns summary").focus()
    keys.press("Enter")
    admin.locator("#columns").wait_for()
    keys.press("Escape")
    assert not admin.locator("#columns").is_visible()
    assert "<summary" in in_focus(admin)
    admin.evaluate("document.activeElement.blur()")
    keys.press("t")
    admin.wait_for_url("**/time?table=documents")
    admin.get_by_text("read only.").wait_for()
    served.db.history.undo(served.db.history.sequence)
