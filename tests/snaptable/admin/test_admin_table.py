"""The pages of a table, as a browser without script sees them."""

import re
import time
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.admin.library import SECRET, Browser, Document, Mark, library


def keys(page: str) -> list[str]:
    """Return the keys of the rows on a page, in order."""
    return re.findall(r'<tr data-key="([^"]*)"', page)


def test_the_newest_rows_come_first_and_every_row_once() -> None:
    """Ensure that the pages behind one another give each row once, though rows come meanwhile."""
    with library() as (db, browser):
        db.marks.insert_many(Mark(document_id="d0", text=str(n)) for n in range(150))
        page, seen = browser.get("/admin/tables/marks"), []
        while True:
            seen += keys(page)
            db.marks.create(document_id="d1")
            following = re.search(r'href="([^"]+)" rel="next"', page)
            if following is None:
                break
            page = browser.get(unescape(following[1]))
        assert seen == [str(n) for n in range(158, 0, -1)]


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_no_row_that_stays_is_left_out_or_shown_twice(data: st.DataObject) -> None:
    """Ensure of newest-first pages, while rows come and go between them, also the last one that was shown."""
    with library() as (db, browser):
        db.marks.insert_many(Mark(document_id="d0", text=str(n)) for n in range(170))
        gone: set[str] = set()
        page, seen = browser.get("/admin/tables/marks"), []
        while True:
            seen += keys(page)
            following = re.search(r'href="([^"]+)" rel="next"', page)
            if following is None:
                break
            there = [str(mark.id) for mark in db.marks if mark.text != "new"]
            removed = data.draw(st.lists(st.sampled_from(there), unique=True, max_size=25))
            for key in removed:
                db.marks.delete(int(key))
            gone |= set(removed)
            for _ in range(data.draw(st.integers(0, 25))):
                db.marks.create(document_id="d1", text="new")
            is_marked = seen[-1] not in gone
            page = browser.get(unescape(following[1]))
            if is_marked:  # else rows may be shown twice
                assert not set(keys(page)) & set(seen)
        assert {str(n) for n in range(1, 171)} - gone <= set(seen)


@pytest.mark.parametrize(
    ("typed", "address", "found"),
    [
        ("pages >= 10", "pages__gte=10", ["d11", "d10"]),
        ("pages<2", "pages__lt=2", ["d1", "d0"]),
        ("pages = 3", "pages=3", ["d3"]),
        ("pages != 3", "pages__ne=3", [f"d{n}" for n in range(11, -1, -1) if n != 3]),
        ("pages in 1,2", "pages__in=1%2C2", ["d2", "d1"]),
        ("tags has even", "tags__has=even", ["d10", "d8", "d6", "d4", "d2", "d0"]),
        ("tags = even", "tags__has=even", ["d10", "d8", "d6", "d4", "d2", "d0"]),
        ("filename contains PAPER-11", "filename__contains=PAPER-11", ["d11"]),
        ("filename starts with paper-1", "filename__starts_with=paper-1", ["d11", "d10", "d1"]),
        ("user_id = ben", "user_id=ben", ["d9", "d6", "d3", "d0"]),
        ("note is not null", "note__isnull=false", []),
        ("public = true", "public=true", []),
        ("uploaded = 2026-01-01", "uploaded=2026-01-01", [f"d{n}" for n in range(11, -1, -1)]),
        ("pages__lte=0", "pages__lte=0", ["d0"]),
        ("pages >= 3, filename contains paper-1", "pages__gte=3&filename__contains=paper-1", ["d11", "d10"]),
        ("pages in 1,2 and tags has even", "pages__in=1%2C2&tags__has=even", ["d2"]),
        ("black and white", "q=black+and+white", []),
        ("PAPER-1", "q=PAPER-1", ["d11", "d10", "d1"]),
        ("nobody = 1", "q=nobody+%3D+1", []),
    ],
)
def test_a_filter_as_it_is_typed(typed: str, address: str, found: list[str]) -> None:
    """Ensure that what is typed becomes the parameter that the REST lists take, and narrows the list."""
    with library() as (_, browser):
        answer = browser.client.get("/admin/tables/documents", params={"filter": typed}, follow_redirects=False)
        assert answer.headers["location"] == f"/admin/tables/documents?{address}"
        assert keys(browser.get(answer.headers["location"])) == found


WRONG = ["pages=many", "pages__has=1", "uploaded__gte=soon", "pages__in=1,x"]
WRONG += ["sort=password_hash", "sort=none", "sort=pages&cursor=none"]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_filter_is_named_and_kept(wrong: str) -> None:
    """Ensure that the page says what is wrong, and shows no rows as if they were the answer."""
    with library() as (_, browser):
        page = browser.get(f"/admin/tables/documents?{wrong}")
        assert 'role="alert"' in page
        assert keys(page) == []


def test_sorted_pages_by_cursor() -> None:
    """Ensure that a sorted list pages by cursor, each row once, and says which rows these are."""
    with library() as (db, browser):
        db.documents.insert_many(
            db.documents.model(id=f"e{n}", user_id="ada", filename="x", pages=n % 7) for n in range(100)
        )
        page, seen = browser.get("/admin/tables/documents?sort=-pages,filename&filename=x"), []
        while True:
            seen += keys(page)
            following = re.search(r'href="([^"]+)" rel="next"', page)
            if following is None:
                break
            page = browser.get(unescape(following[1]))
        assert "51–100 of 100" in page
        assert len(set(seen)) == len(seen) == 100
        assert [int(key[1:]) % 7 for key in seen] == sorted((n % 7 for n in range(100)), reverse=True)


def test_no_page_shows_a_secret() -> None:
    """Ensure that a secret is neither shown, nor asked for by a filter, a sort or a search."""
    with library() as (_, browser):
        for path in ("", "?sort=email", "?q=argon2id", "?password_hash=x", "?password_hash__starts_with=argon"):
            page = browser.get(f"/admin/tables/users{path}")
            assert SECRET not in page
        assert keys(browser.get("/admin/tables/users?q=argon2id")) == []
        assert keys(browser.get("/admin/tables/users?password_hash=x")) == ["ben", "ada"]
        assert SECRET not in browser.get("/admin/")


def test_what_rows_hold_is_text() -> None:
    """Ensure that no value becomes markup: in cells, labels, links, attributes, filters, titles."""
    with library() as (db, browser):
        evil = "\"><script>alert(1)</script>' onmouseover=x"
        db.users.create(id=evil, email=evil)
        db.documents.create(id=evil, user_id=evil, filename=evil, tags=(evil,), meta={evil: evil}, note=evil)
        for path in (
            "documents",
            "users",
            f"documents?q={evil}",
            "documents?filename=%22%3E%3Cscript%3E",
        ):
            page = browser.get(f"/admin/tables/{path}")
            assert "<script>alert" not in page
            assert not re.search(r"<[^>]*\sonmouseover=", re.sub(r'"[^"]*"', '""', page))


def test_references_are_links_with_labels() -> None:
    """Ensure that a reference shows what its row is called, and leads there."""
    with library() as (_, browser):
        page = browser.get("/admin/tables/documents?pages=0")
        assert re.search(r'href="/admin/tables/users/row\?key=ben"[^>]*>ben@example.org</a>', page)


def test_an_empty_table_says_how_to_fill_it() -> None:
    """Ensure that it isn't a blank page; and that nothing found offers to take a filter back."""
    with library() as (_, browser):
        assert "No rows yet" in browser.get("/admin/tables/loans")
        assert "db.loans.create(document_id=…)" in browser.get("/admin/tables/loans")
        assert "Nothing matches" in browser.get("/admin/tables/documents?pages=99")


def test_the_answer_says_what_it_took() -> None:
    """Ensure that the header is there, and the plan at the foot."""
    with library(engine="memory") as (_, browser):  # a server reads a small table whole
        answer = browser.client.get("/admin/tables/documents?pages__gte=3&sort=pages")
        assert re.search(r"query;dur=[\d.]+.*total;dur=[\d.]+", answer.headers["server-timing"])
        assert "documents by index pages" in answer.text


def test_the_overview_shows_figures_and_commits() -> None:
    """Ensure that counts, the sequence, the last commits and the state are there; and that a check says all is well."""
    with library() as (db, browser):
        db.documents.update("d3", pages=77)
        page = browser.get("/admin/")
        assert f"sequence {db.history.sequence}" in page
        assert {"memory": "In memory", "postgresql": "Saved"}[db.status().engine] in page
        assert "holds, in all" in browser.post("/admin/check")


def test_a_page_costs_the_same_at_any_size() -> None:
    """Ensure that the first page of a table, newest first or by an index, doesn't grow with the table."""

    def spent(browser: Browser, path: str) -> float:
        begun = time.process_time()
        assert browser.client.get(path).status_code == 200
        return time.process_time() - begun

    def best(browser: Browser, path: str) -> float:
        """Return the least seconds of processor of several, which other work on the machine adds little to."""
        return min(spent(browser, path) for _ in range(7))

    with library() as (db, browser):
        paths = (
            "/admin/tables/documents",
            "/admin/tables/documents?sort=-pages",
            "/admin/tables/documents?pages__gte=5",
        )
        times: list[list[float]] = []
        for begin, end in ((0, 500), (500, 4_000)):
            db.documents.insert_many(
                Document(id=f"m{n}", user_id="ada", filename="x", pages=n) for n in range(begin, end)
            )
            times.append([best(browser, path) for path in paths])
        for path, small, large in zip(paths, *times, strict=True):
            most = 2 * small + 0.005
            assert large < most or best(browser, path) < most, path


def test_an_empty_table_leads_on() -> None:
    """Ensure that a table without rows offers a new one, an import into it, and the lines that would add one."""
    with library() as (_, browser):
        page = browser.get("/admin/tables/loans")
        assert "No rows yet" in page
        assert 'href="/admin/tables/loans/new"' in page
        assert 'href="/admin/import?table=loans"' in page
        assert "db.loans.create(" in page
