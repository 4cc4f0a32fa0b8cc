"""Rows changed by the admin: by a form without script, by staged edits, added, deleted, taken back."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.admin.library import SECRET, Box, Browser, Library, library

from snaptable import ReadOnlyStore
from snaptable.admin.edits import control_of, edited, value_of
from snaptable.admin.rows import ShownTable, json_of


def form_of(page: str) -> dict[str, str]:
    """Return what a browser would send of a page's form of a row, unchanged."""
    form = re.search(r'<form id="row-form".*?</form>', page, re.DOTALL)
    assert form
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form[0]):
        attributes = {name: unescape(value) for name, value in re.findall(r'([\w:-]+)="([^"]*)"', tag)}
        if attributes.get("type") == "checkbox":
            if " checked" in tag:
                fields[attributes["name"]] = "on"
        elif "name" in attributes:
            fields[attributes["name"]] = attributes.get("value", "")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form[0], re.DOTALL):
        fields[unescape(name)] = unescape(text).replace("\n", "\r\n")
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form[0], re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        assert chosen
        fields[unescape(name)] = unescape(chosen[1])
    fields.pop("admin_token")
    return fields


def row(browser: Browser, key: str, table: str = "documents") -> tuple[str, dict[str, str]]:
    """Return the address of a row's page, and its form."""
    address = f"/admin/tables/{table}/row?key={key}"
    return address, form_of(browser.get(address))


def sent(key: str, **fields: tuple[Any, str | None]) -> dict[str, Any]:
    """Return edits of a row as the script sends them: of each field the JSON value seen, and the text."""
    shown = {
        name: {"seen": json.dumps(seen), "text": text or "", "null": text is None}
        for name, (seen, text) in fields.items()
    }
    return {"key": key, "fields": shown}


# ── without script ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_sent_as_it_is_changes_nothing() -> None:
    """Ensure that no value is changed by being shown in a form: none is committed."""
    with library() as (db, browser):
        odd = ' a "b" & <c>\n\tde\r\n ü '
        db.documents.update("d1", note=odd, filename="x" * 100, meta={"a": [1, {"b": odd}]}, box=Box(x=1), score=1e300)
        db.documents.update("d2", note="", score=-0.5)
        before = db.history.sequence
        for key in ("d0", "d1", "d2"):
            address, fields = row(browser, key)
            browser.post(address, fields)
        assert db.history.sequence == before


def test_one_row_is_edited_in_a_form() -> None:
    """Ensure that each kind of field is, in one commit with actor, way and note, which can be undone."""
    with library() as (db, browser):
        address, fields = row(browser, "d5")
        fields |= {
            "field:pages": " 55 ",
            "field:filename": "new <b>.pdf",
            "field:public": "true",
            "field:tags": '["a", "b"]',
            "field:box": '{"x": 3}',
            "field:uploaded": "2026-02-03T04:05:06Z",
            "field:note": "two\r\nlines",
            "field:score": "1.5",
            "field:user_id": "ben",
            "note": "because",
        }
        fields = {name: value for name, value in fields.items() if not name.startswith("null:")}
        page = browser.post(address, fields)
        changed = db.documents["d5"]
        assert (changed.pages, changed.filename, changed.public, changed.tags) == (55, "new <b>.pdf", True, ("a", "b"))
        assert (changed.box, changed.note, changed.score) == (Box(x=3), "two\nlines", 1.5)
        assert (changed.user_id, changed.uploaded) == ("ben", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
        commit = next(iter(db.history))
        assert (commit.actor, commit.via, commit.note) == ("admin", "admin", "because")
        assert f"Changed 1 row of documents, #{commit.sequence}" in page
        browser.post("/admin/undo", {"sequence": str(commit.sequence)})
        assert db.documents["d5"].pages == 5


def test_a_row_that_changed_meanwhile_is_not_overwritten() -> None:
    """Ensure that the same field is a conflict, which names who and what, and that one may insist; others are none."""
    with library() as (db, browser):
        address, fields = row(browser, "d5")
        with db.transaction(actor="ben"):
            db.documents.update("d5", pages=7, filename="theirs")
        page = browser.post(address, fields | {"field:pages": "6"}, 409)
        assert "by ben" in unescape(page)
        assert 'value="6"' in page
        assert db.documents["d5"].pages == 7
        again = form_of(page)
        browser.post(address, again)
        assert (db.documents["d5"].pages, db.documents["d5"].filename) == (6, "theirs")
        browser.post(address, fields | {"field:public": "true"})
        assert db.documents["d5"].public


WRONG: dict[str, tuple[str, int]] = {
    "pages": ("-1", 422),
    "score": ("many", 422),
    "public": ("perhaps", 422),
    "tags": ("a, b", 422),
    "box": ('{"x": "one"}', 422),
    "meta": ('{"a": 1, "a": 2}', 422),
    "uploaded": ("yesterday", 422),
    "user_id": ("nobody", 409),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_is_none_is_refused_beside_its_field(name: str) -> None:
    """Ensure that nothing is written, that the field says why, and that what was typed is kept."""
    text, status = WRONG[name]
    with library() as (db, browser):
        before = db.history.sequence
        address, fields = row(browser, "d5")
        fields.pop(f"null:{name}", None)
        status = 422 if name == "user_id" else status
        page = browser.post(address, fields | {f"field:{name}": text, "field:note": "kept", "null:note": ""}, status)
        assert re.search(r'class="field-error"', page)
        assert form_of(page)["field:note"] == "kept"
        assert db.history.sequence == before


def test_a_value_that_another_row_has_leads_to_that_row() -> None:
    """Ensure that a clash is a 409 beside the field, with a link to the row in the way."""
    with library() as (db, browser):
        address, fields = row(browser, "ada", "users")
        page = browser.post(address, fields | {"field:email": "ben@example.org"}, 409)
        assert 'href="/admin/tables/users/row?key=ben"' in page
        assert db.users["ada"].email == "ada@example.org"


def test_a_secret_is_neither_shown_nor_sent() -> None:
    """Ensure that a row's page, its line and its history hold none, and that no form changes it."""
    with library() as (db, browser):
        db.users.update("ada", password_hash="another-secret")
        address, fields = row(browser, "ada", "users")
        page = browser.get(address)
        assert SECRET not in page
        assert "another-secret" not in page
        assert not any("password_hash" in name for name in fields)
        browser.post(address, fields | {"field:password_hash": "x", "seen:password_hash": '"••••"'})
        assert db.users["ada"].password_hash == "another-secret"
        edit = sent("ada", password_hash=("••••", "x"))
        browser.send("/admin/tables/users/save", {"rows": [edit], "note": ""}, 422)
        assert db.users["ada"].password_hash == "another-secret"


def test_what_refers_to_a_row_is_counted_and_linked() -> None:
    """Ensure that a row leads to those that refer to it, and to those it refers to."""
    with library() as (_, browser):
        page = browser.get("/admin/tables/documents/row?key=d1")
        assert re.search(r'href="/admin/tables/marks\?document_id=d1"><b>2</b> marks', page)
        assert 'href="/admin/tables/users/row?key=ada"' in page
        assert "Refers to this row" not in browser.get("/admin/tables/documents/row?key=d9")


@pytest.mark.parametrize("key", ["..", "a/b?c#d", "", "ä ö", "%2F", '"><script>', "d1&key=d2"])
def test_any_key_has_a_page(key: str) -> None:
    """Ensure that a row is reached by its link, whatever its key holds."""
    with library() as (db, browser):
        db.users.create(id=key, email=key or "none")
        link = re.search(r'class="open" href="([^"]+)"', browser.get("/admin/tables/users"))
        assert link
        page = browser.get(unescape(link[1]))
        assert form_of(page)["field:email"] == (key or "none")


def test_what_is_not_there_is_a_404() -> None:
    """Ensure that neither a missing row, table nor commit is an error of the server."""
    with library() as (db, browser):
        for path in ("tables/documents/row?key=none", "tables/marks/row?key=x", "tables/none/row?key=d1", "commits/999",
                     "commits/0", f"commits/{'9' * 5_000}", "commits/x",
                     "tables/documents/row", "tables/documents/delete?key=none"):  # fmt: skip
            browser.get(f"/admin/{path}", 404)
        db.documents.delete("d9")
        assert "This row is deleted" in browser.get("/admin/tables/documents/row?key=d9", 404)


# ── staged edits ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_staged_edits_are_one_commit() -> None:
    """Ensure that edits of several rows are saved together, with a note; and all refused for one that clashes."""
    with library() as (db, browser):
        rows = [sent("d1", pages=(1, "10"), note=(None, "x")), sent("d2", pages=(2, "20"), score=(None, None))]
        sequence = browser.send("/admin/tables/documents/save", {"rows": rows, "note": "both"})["sequence"]
        assert [db.documents[key].pages for key in ("d1", "d2")] == [10, 20]
        commit = next(iter(db.history))
        assert (commit.sequence, commit.note, len(commit.changes)) == (sequence, "both", 2)
        rows = [sent("d1", pages=(10, "11")), sent("d2", pages=(2, "21")), sent("gone", pages=(1, "2"))]
        troubles = browser.send("/admin/tables/documents/save", {"rows": rows, "note": ""}, 409)["troubles"]
        assert [(each["key"], each["field"], each["now"], each["conflict"]) for each in troubles] == [
            ("d2", "pages", "20", True),
            ("gone", "", None, True),
        ]
        assert db.documents["d1"].pages == 10
        assert browser.send("/admin/tables/documents/save", {"rows": [], "note": ""})["sequence"] is None


ODD = {"seen": "x", "text": "", "null": False}
NO_EDITS: list[Any] = [
    [],
    {},
    {"rows": 1, "note": ""},
    {"rows": [{"key": "d1"}], "note": ""},
    {"rows": [sent("d1", id=("d1", "x"))], "note": ""},
    {"rows": [sent("d1", nothing=(1, "x"))], "note": ""},
    {"rows": [{"key": "d1", "fields": {"pages": ODD}}], "note": ""},
]


@pytest.mark.parametrize("body", NO_EDITS)
def test_what_is_no_edit_is_refused(body: Any) -> None:
    """Ensure that nothing else than edits of editable fields is taken."""
    with library() as (db, browser):
        before = db.history.sequence
        browser.send("/admin/tables/documents/save", body, 422)
        assert db.history.sequence == before


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
TIMES = st.integers(-(10**10), 10**11).map(
    lambda seconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
VALUES = {
    "filename": TEXTS,
    "note": st.none() | TEXTS,
    "pages": st.integers(0, 10**30),
    "score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "public": st.booleans(),
    "tags": st.lists(TEXTS, max_size=3).map(tuple),
    "box": st.none() | st.builds(Box, x=st.integers(), y=st.integers()),
    "meta": st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3),
    "uploaded": TIMES,
}


@given(st.fixed_dictionaries(VALUES))
def test_every_value_comes_back_from_its_control(values: dict[str, Any]) -> None:
    """Ensure that the text that stands for a value gives that value, and counts as no edit, as a browser sends it."""
    table = ShownTable(Library("memory:").documents)
    stored = json_of(table.schema.model(user_id="ada", **values))
    controls = []
    for field in table.fields:
        if field.editable:
            control = control_of(field, stored[field.name])
            controls.append(control)
            if not control.is_null:
                assert value_of(table, field, control.mode, control.text) == getattr(
                    table.schema.model(user_id="ada", **values), field.name
                )
    assert not edited(table, "d", controls).fields


# ── new and deleted rows ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_is_added() -> None:
    """Ensure that what is left blank becomes what the model makes of it, and that what must be given is asked for."""
    with library() as (db, browser):
        fields = form_of(browser.get("/admin/tables/documents/new"))
        page = browser.post(
            "/admin/tables/documents/new", fields | {"field:filename": "n.pdf", "field:user_id": "eve"}, 422
        )
        assert "There is no such row" in page
        assert form_of(page)["field:filename"] == "n.pdf"
        page = browser.post("/admin/tables/documents/new", fields | {"field:filename": "n.pdf", "field:user_id": "ada"})
        added = db.documents.where(filename="n.pdf").one()
        assert (added.pages, added.score, added.tags, added.note) == (1, None, (), None)
        assert "Added 1 row of documents" in page
        page = browser.post("/admin/tables/users/new", {"field:email": "eve@example.org", "field:password_hash": "s3"})
        assert db.users.where(email="eve@example.org").one().password_hash == "s3"
        assert "s3" not in re.sub(r"\w{6,}", "", page)
        browser.post("/admin/tables/users/new", {"field:email": "eve@example.org"}, 409)
        browser.post("/admin/tables/loans/new", {"field:document_id": ""}, 422)
        browser.post("/admin/tables/loans/new", {"field:document_id": "d1"})
        assert db.loans.where().one().document_id == "d1"


def test_a_deletion_is_counted_before_it_is_done() -> None:
    """Ensure that the page says what goes and what loses its link, that it goes in one commit, and comes back whole."""
    with library() as (db, browser):
        db.marks.create(document_id="d8", reply_to=1)
        page = browser.get("/admin/tables/documents/delete?key=d0&key=d4")
        counts = re.findall(r'class="right">(\d+)</td><td class="any"><b>(\w+)</b></td><td class="dim">(\w+)', page)
        assert counts == [("2", "documents", "deleted"), ("2", "marks", "go"), ("1", "marks", "stay")]
        rows = (db.documents.count(), db.marks.count())
        page = browser.post("/admin/tables/documents/delete", {"key": ["d0", "d4"], "note": "old"})
        assert (db.documents.count(), db.marks.count()) == (rows[0] - 2, rows[1] - 2)
        commit = next(iter(db.history))
        assert commit.note == "old"
        browser.post("/admin/undo", {"sequence": str(commit.sequence)})
        assert (db.documents.count(), db.marks.count()) == rows


def test_a_row_that_others_hold_is_not_deleted() -> None:
    """Ensure that the page says who holds it, offers no button, and that a request all the same changes nothing."""
    with library() as (db, browser):
        db.loans.create(document_id="d3")
        page = browser.get("/admin/tables/documents/delete?key=d3")
        assert re.search(r'href="/admin/tables/loans\?document_id__in=d3">1 loans', page)
        assert "/admin/tables/documents/delete" not in re.findall(r'action="([^"]+)"', page)
        browser.post("/admin/tables/documents/delete", {"key": "d3"}, 409)
        assert "d3" in db.documents


# ── taking back, going to ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_undo_in_whose_way_something_is_says_what() -> None:
    """Ensure that the conflict is shown in words, with both values, and that it is overridden only when asked."""
    with library() as (db, browser):
        db.documents.update("d1", pages=100)
        sequence = db.history.sequence
        db.documents.update("d1", pages=200)
        page = browser.post("/admin/undo", {"sequence": str(sequence)}, 409)
        assert "changed since" in page
        assert db.documents["d1"].pages == 200
        assert "changed since" in browser.get(f"/admin/commits/{sequence}")
        browser.post("/admin/undo", {"sequence": str(sequence), "force": "on"})
        assert db.documents["d1"].pages == 1
        for wrong in ("x", "", "999"):
            browser.post("/admin/undo", {"sequence": wrong}, 404 if wrong == "999" else 422)


def test_undo_leads_back_inside_only() -> None:
    """Ensure that the field `back` leads to no other host and out of no frame."""
    with library() as (db, browser):
        for back in (
            "//evil.example/",
            "http://evil.example/",
            "/admin/\\evil",
            "/other",
            "/admin/x\r\nSet-Cookie: a=b",
        ):
            db.documents.update("d1", pages=db.documents["d1"].pages + 1)
            data = {"sequence": str(db.history.sequence), "back": back, "admin_token": browser.token()}
            answer = browser.client.post(
                "/admin/undo", data=data, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False
            )
            assert answer.headers["location"].startswith("/admin/?done="), back


FOUND = {
    "#3": "#3",
    "over": "Overview",
    "mar": "marks",
    "d11": "paper-11.pdf",
    "PAPER-11": "paper-11.pdf",
    "ben@": "ben@example.org",
}


@pytest.mark.parametrize("text", FOUND)
def test_anything_is_gone_to(text: str) -> None:
    """Ensure that commits, pages, tables, keys and names are found, with and without script, and no secret is."""
    with library() as (_, browser):
        hits = browser.found(text)
        assert FOUND[text] in [hit["label"] for hit in hits]
        page = browser.get(f"/admin/go?q={text.replace('#', '%23')}")
        for hit in hits:
            assert hit["url"] in unescape(page)
            browser.get(hit["url"])
        assert not browser.client.get(
            "/admin/go", params={"q": "argon"}, headers={"Accept": "application/json"}
        ).json()["hits"]


def test_a_filter_is_completed() -> None:
    """Ensure that choices, references and frequent values are offered, and never a secret."""
    with library() as (_, browser):

        def offered(table: str, field: str, text: str = "") -> list[str]:
            answer = browser.client.get(f"/admin/tables/{table}/values", params={"field": field, "q": text})
            return [each["value"] for each in answer.json()["values"]]

        assert offered("users", "role") == ["user", "admin"]
        assert offered("documents", "user_id", "ben@") == ["ben"]
        assert offered("documents", "tags") == ["even"]
        assert "paper-11.pdf" in offered("documents", "filename", "R-11")
        assert offered("users", "password_hash") == offered("users", "nothing") == []


def test_a_store_that_takes_no_writes_says_so_on_every_page() -> None:
    """Ensure that pages read on, with the reason over them, and that a save is a 503 that keeps what was typed."""
    with library() as (db, browser):
        token = browser.token()
        address, fields = row(browser, "d1")

        def refuse(*_: object, **__: object) -> None:
            raise ReadOnlyStore("the disk is gone; persist() makes writes work again")

        db._opened().writing = refuse  # type: ignore[method-assign, assignment]
        page = browser.post(address, fields | {"field:pages": "3"}, 503)
        assert "the disk is gone" in page
        db.close()
        answer = browser.client.get("/admin/tables/documents")
        assert answer.status_code == 503
        assert "Try again" in answer.text
        browser.client.post("/admin/try-again", data={"admin_token": token}, headers={"Sec-Fetch-Site": "same-origin"})
        assert db.is_open


def test_a_commit_that_was_taken_back_offers_no_undo() -> None:
    """Ensure that its page says that nothing is left to take back, and offers it anew when that was taken back too."""
    with library() as (db, browser):
        db.documents.update("d1", pages=90)
        path = f"/admin/commits/{db.history.sequence}"
        assert 'action="/admin/undo"' in browser.get(path)
        db.history.undo(db.history.sequence)
        page = browser.get(path)
        assert 'action="/admin/undo"' not in page
        assert "There is nothing to take back" in page
        db.history.undo(db.history.sequence)
        assert 'action="/admin/undo"' in browser.get(path)
