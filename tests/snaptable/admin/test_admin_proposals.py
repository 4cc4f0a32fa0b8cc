"""Edits that are proposed in place of saved, and merged by another admin."""

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.snaptable.admin.library import Browser, Library, admin_of, fill, library
from tests.snaptable.admin.test_admin_editing import sent

from snaptable.admin import kept_file, proposal_file
from snaptable.admin.pages.proposals import GONE, MOST


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


# ── a restart ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def started(folder: Path) -> Iterator[tuple[Library, Browser]]:
    """Give the database of a folder, and the admin page of a process that has just started."""
    with Library(folder, banner=False) as db:
        if not db.users.count():
            fill(db)
        with admin_of(db) as (client, site):
            assert site.link is not None
            assert client.get(site.link).status_code == 200
            yield db, Browser(client)


def test_proposals_outlive_a_restart(tmp_path: Path) -> None:
    """Ensure that they come back as they were, against rows that changed since, and that none that ended does."""
    with started(tmp_path) as (db, browser):
        number, other = propose(browser, "d5", 5, 50), propose(browser, "d6", 6, 60)
        browser.post("/admin/proposals/discard", {"number": other})
        db.documents.update("d5", filename="theirs")
        path = tmp_path / proposal_file.NAME
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(json.loads(path.read_text())["proposals"]) == 1
    with started(tmp_path) as (db, browser):
        assert re.search(r"pages</dt><dd>.*5.*50", browser.get("/admin/proposals"))
        assert propose(browser, "d7", 7, 70) == "3"  # no number is given twice
        browser.post("/admin/proposals/merge", {"number": number})
        assert (db.documents["d5"].pages, db.documents["d5"].filename) == (50, "theirs")
        assert last_note(db) == "proposed by admin: better"
        assert db.check() == []
    with started(tmp_path) as (_, browser):
        browser.post("/admin/proposals/merge", {"number": number}, 404)
        browser.post("/admin/proposals/merge", {"number": "3"})


def test_a_proposal_of_rows_that_are_gone_can_be_discarded(tmp_path: Path) -> None:
    """Ensure that it is shown with the reason, and neither merged nor in the way, when the history was forgotten."""
    with started(tmp_path) as (db, browser):
        number = propose(browser, "d5", 5, 50)
        db.documents.update("d6", pages=1)
        db.history.forget(db.history.sequence)
    with started(tmp_path) as (db, browser):
        assert GONE in browser.get("/admin/proposals")
        assert GONE in browser.post("/admin/proposals/merge", {"number": number}, 409)
        assert db.documents["d5"].pages == 5
        browser.post("/admin/proposals/discard", {"number": number})
        assert "Nothing is proposed" in browser.get("/admin/proposals")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2, "last": 0, "proposals": []}', b"\xff\x00" * 9])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """Ensure that it keeps nobody out, and that its bytes are not written over."""
    with started(tmp_path) as (_, browser):
        (tmp_path / proposal_file.NAME).write_bytes(content)
        assert "Nothing is proposed" in browser.get("/admin/proposals")
        assert propose(browser, "d5", 5, 50) == "1"
        assert (tmp_path / f"{proposal_file.NAME}.set-aside").read_bytes() == content


def test_a_proposal_that_can_not_be_kept_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure 503 in place of one that a restart would forget."""

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with started(tmp_path) as (_, browser):
        monkeypatch.setattr(kept_file, "replace_durably", fail)
        body = {"rows": [sent("d5", pages=(5, "50"))], "note": ""}
        browser.send("/admin/tables/documents/propose", body, 503)
        assert "Nothing is proposed" in browser.get("/admin/proposals")
