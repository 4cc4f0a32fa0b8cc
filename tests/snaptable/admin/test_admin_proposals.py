"""Edits that are proposed in place of saved, and merged by another admin."""

import re

from tests.snaptable.admin.library import Browser, Library, library
from tests.snaptable.admin.test_admin_editing import sent

from snaptable.admin.pages.proposals import MOST


def propose(browser: Browser, key: str, old: int, new: int) -> str:
    """Propose another number of pages, and return the proposal's number."""
    body = {"rows": [sent(key, pages=(old, str(new)))], "note": "better"}
    return str(browser.send("/admin/tables/documents/propose", body)["proposal"])


def last_note(db: Library) -> str | None:
    """Return why the last commit was made."""
    return next(iter(db.history)).note


def test_a_proposal_changes_nothing_until_it_is_merged() -> None:
    """Ensure that it waits with both values, is merged by field as a commit that names its author, and is gone."""
    with library() as (db, browser):
        before = db.history.sequence
        number = propose(browser, "d5", 5, 50)
        assert db.history.sequence == before
        assert re.search(r"pages</dt><dd>.*5.*50", browser.get("/admin/proposals"))
        db.documents.update("d5", filename="theirs")
        page = browser.post("/admin/proposals/merge", {"number": number})
        assert (db.documents["d5"].pages, db.documents["d5"].filename) == (50, "theirs")
        assert last_note(db) == "proposed by admin: better"
        assert "Nothing is proposed" in page
        browser.post("/admin/proposals/merge", {"number": number}, 404)


def test_a_proposal_that_clashes_says_with_what() -> None:
    """Ensure that what was changed since is named, and overridden only when asked."""
    with library() as (db, browser):
        number = propose(browser, "d5", 5, 50)
        db.documents.update("d5", pages=7)
        assert "changed since" in browser.post("/admin/proposals/merge", {"number": number}, 409)
        assert db.documents["d5"].pages == 7
        browser.post("/admin/proposals/merge", {"number": number, "force": "on"})
        assert db.documents["d5"].pages == 50


def test_proposals_are_refused_discarded_and_bounded() -> None:
    """Ensure that no faulty edit becomes one, that one can be discarded, and that there are only so many."""
    with library() as (db, browser):
        body = {"rows": [sent("d5", pages=(5, "-1"))], "note": ""}
        assert browser.send("/admin/tables/documents/propose", body, 422)["troubles"]
        browser.send("/admin/tables/documents/propose", {"rows": [], "note": ""}, 422)
        numbers = [propose(browser, "d5", 5, 60 + n) for n in range(MOST)]
        browser.send("/admin/tables/documents/propose", {"rows": [sent("d5", pages=(5, "6"))], "note": ""}, 409)
        for number in numbers:
            browser.post("/admin/proposals/discard", {"number": number})
        assert "Nothing is proposed" in browser.get("/admin/proposals")
        assert db.documents["d5"].pages == 5
        for wrong in ("", "x", "99"):
            browser.post("/admin/proposals/discard", {"number": wrong}, 404)
