"""Attacks on the admin page beside those of the other tests: each ends in words, and does nothing it may not."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from tests.growth import assert_proportional
from tests.snaptable.admin.library import SECRET, Library, admin_of, library

from snaptable.admin import Admin
from snaptable.admin.access import FAILURES, Access, client_address
from snaptable.web.problems import Problem

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
"""A text that would run, leave its attribute, or be worked out, wherever it isn't escaped."""


class SlowAuth:
    """Admins by password, whose check takes a while, as a good one does."""

    asked = 0

    async def login(self, name: str, password: str) -> Admin | None:
        self.asked += 1
        await asyncio.sleep(0.01)
        return Admin(name) if password == "right" else None

    async def is_admin(self, request: Request) -> None:
        return None


def attempts(auth: SlowAuth, addresses: list[str], password: str = "wrong") -> list[str]:
    """Return what became of logins that come at the same time, each from an address: in, wrong, refused."""
    access = Access(auth)

    async def one(address: str) -> str:
        """Log in."""
        client_address.set(address)
        try:
            return "wrong" if await access.log_in("ada", password) is None else "in"
        except Problem:
            return "refused"

    async def all_() -> list[str]:
        """Log in from all of them, each as a task of its own."""
        return await asyncio.gather(*(asyncio.create_task(one(address)) for address in addresses))

    return asyncio.run(all_())


@pytest.mark.parametrize("addresses", [["192.0.2.1"] * 60, [f"2001:db8::{number:x}" for number in range(60)]])
def test_attempts_at_the_same_time_count(addresses: list[str]) -> None:
    """Ensure no more passwords are tried for one address, or one IPv6 network, than one after the other."""
    auth = SlowAuth()
    ends = attempts(auth, addresses)
    assert (ends.count("wrong"), ends.count("refused"), auth.asked) == (FAILURES, 60 - FAILURES, FAILURES)


def test_logins_that_succeed_are_no_failures() -> None:
    """Ensure admins behind one address all come in, and that other addresses are not counted with it."""
    assert attempts(SlowAuth(), ["192.0.2.1"] * FAILURES, "right") == ["in"] * FAILURES
    assert "refused" not in attempts(SlowAuth(), [f"192.0.2.{number}" for number in range(40)])


@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "//testserver", "http://testserver/", "http://", ":", "é"]
)
def test_no_origin_is_an_error(origin: str) -> None:
    """Ensure an origin that is no address is refused as any other, to strangers too, and is no defect of ours."""
    with Library("memory:") as db, admin_of(db) as (client, _):
        for path in ("/admin/login", "/admin/enter"):
            answer = client.post(path, data={"token": "x"}, headers={b"Origin": origin.encode()})
            assert answer.status_code == 403, origin


def test_no_redirect_leads_to_another_host() -> None:
    """Ensure nobody is led to where the header Host says, by any address of the page with a slash too many."""
    with Library("memory:") as db, admin_of(db) as (client, site):
        for route in site.routes:
            path = "/admin" + route.path.replace("{table}", "users").replace("{sequence:int}", "1")
            for address in (path, f"{path}/", f"{path}//"):
                answer = client.get(address, headers={"Host": "evil.example"}, follow_redirects=False)
                assert "evil" not in answer.headers.get("location", ""), address


def test_a_head_full_of_escapes_takes_no_time() -> None:
    """Ensure a stranger's cookie costs a page no more than in proportion to its size."""
    with Library("memory:") as db, admin_of(db) as (client, _):

        def ask(cookie: str) -> None:
            """Ask for a page with a cookie."""
            assert client.get("/admin/", headers={"Cookie": cookie}, follow_redirects=False).status_code == 303

        assert_proportional(ask, lambda size: 'a="%s"' % ("\\1" * size), 4_000)


MOMENTS = [
    "999999w",
    "999999d",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "~" + "9" * 17,
    "#",
    ",,",
    "²",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_is_one_or_is_told(moment: str) -> None:
    """Ensure what a person may type for a moment is one, or is told to be none, on each page that takes one."""
    with library() as (_, browser):
        for path, name in (("/time", "from"), ("/time", "to"), ("/history", "since"), ("/history", "until"),
                           ("/export/file", "at"), ("/time/restore", "at")):  # fmt: skip
            answer = browser.client.get(f"/admin{path}", params={name: moment})
            assert answer.status_code in (200, 403, 422), (path, answer.status_code)


@pytest.mark.parametrize("seen", ["not JSON", "[" * 50_000, '{"a":' * 500, "1e9999999", "\ud83d"])
def test_a_damaged_page_is_told(seen: str) -> None:
    """Ensure a form, or a script, that brings back something else than it was shown is 422, and changes nothing."""
    with library() as (db, browser):
        before = db.documents["d1"]
        form = {"seen:filename": seen.encode("utf-8", "surrogatepass"), "field:filename": "x"}
        headers = {"Sec-Fetch-Site": "same-origin", "X-Admin-Token": browser.token()}
        answer = browser.client.post("/admin/tables/documents/row", params={"key": "d1"}, data=form, headers=headers)
        assert answer.status_code in (409, 422), answer.status_code
        sent = {"rows": [{"key": "d1", "fields": {"filename": {"seen": seen, "text": "x", "null": False}}}], "note": ""}
        script = browser.client.post("/admin/tables/documents/save", content=json.dumps(sent), headers=headers)
        assert script.status_code in (409, 422), script.status_code
        assert db.documents["d1"] == before


def test_what_is_not_shown_is_neither_told_nor_undone() -> None:
    """Ensure a page of some tables shows no value of others in a commit or in what is in its way, and undoes none."""
    with library(tables=["documents"]) as (db, browser):
        db.users.update("ben", email="before@example.org")
        sequence = db.history.sequence
        db.users.update("ben", email="after@example.org")
        page = browser.get(f"/admin/commits/{sequence}")
        assert "@example.org" not in page
        for force in ({}, {"force": "on"}):
            browser.post("/admin/undo", {"sequence": str(sequence), **force}, status=403)
        assert db.users["ben"].email == "after@example.org"
        db.documents.create(id="new", user_id="ada", filename="new.pdf")
        sequence = db.history.sequence
        db.loans.create(document_id="new")
        assert "loans" not in browser.get(f"/admin/commits/{sequence}")
        browser.get(f"/admin/time/restore?at={sequence - 1}&table=documents")
        browser.post("/admin/undo", {"sequence": str(sequence)}, status=409)


def test_no_page_runs_what_is_stored() -> None:
    """Ensure a hostile text in rows, keys, notes, actors, file names and choices is shown as itself on every page."""
    with library() as (db, browser):
        with db.transaction(actor=HOSTILE, note=HOSTILE):
            db.users.create(id=HOSTILE, email=HOSTILE)
            db.documents.create(id=f"d{HOSTILE}", user_id=HOSTILE, filename=HOSTILE, tags=(HOSTILE,), note=HOSTILE,
                                meta={HOSTILE: HOSTILE})  # fmt: skip
        sequence = db.history.sequence
        browser.send("/admin/tables/documents/propose", {"rows": [{"key": f"d{HOSTILE}", "fields": {
            "note": {"seen": json.dumps(HOSTILE), "text": HOSTILE * 2, "null": False}}}], "note": HOSTILE})  # fmt: skip
        pages: list[tuple[str, dict[str, Any]]] = [
            ("/", {}), ("/tables/users", {}), ("/tables/documents", {"row": f"d{HOSTILE}"}), ("/history", {}),
            ("/tables/documents", {"filename__contains": HOSTILE}), ("/tables/users/row", {"key": HOSTILE}),
            ("/tables/documents/row", {"key": f"d{HOSTILE}"}), ("/history", {"actor": HOSTILE, "table": HOSTILE}),
            (f"/commits/{sequence}", {}), ("/time", {"from": str(sequence - 1)}), ("/go", {"q": HOSTILE}),
            ("/time", {"from": str(sequence), "table": "documents"}), ("/proposals", {}), ("/file", {"find": HOSTILE}),
            ("/tables/users/delete", {"key": HOSTILE}), ("/export", {"table": "users", "email": HOSTILE, "at": "x"}),
            ("/import", {"table": HOSTILE}), ("/login", {"next": HOSTILE}), ("/backups", {"made": HOSTILE}),
            ("/tables/users/new", {"email": HOSTILE, "id": HOSTILE}), (f"/tables/{HOSTILE}", {}),
            ("/time/restore", {"at": str(sequence - 1), "table": "users", "key": HOSTILE}),
            ("/time", {"from": HOSTILE}), ("/history", {"since": HOSTILE, "key": HOSTILE}),
        ]  # fmt: skip
        for path, query in pages:
            answer = browser.client.get(f"/admin{path}", params=query)
            assert answer.status_code < 500, (path, answer.status_code)
            for part in ("<script>alert", "<img src=x", "49<", SECRET):
                assert part not in answer.text, (path, part)
            assert answer.headers["x-content-type-options"] == "nosniff"
        uploaded = browser.client.post(
            "/admin/import",
            data={"admin_token": browser.token(), "text": f"{HOSTILE},email\n1,2\n"},
            files={"file": (HOSTILE, b'id,email,"<script>alert"\n<img src=x,2,3\n')},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert uploaded.status_code < 500
        assert "<script>alert" not in uploaded.text
        assert "<img src=x" not in uploaded.text


def test_a_file_has_a_name_of_its_own() -> None:
    """Ensure no export or download is shown in the page's place, whatever it holds, nor named by what it holds."""
    with library() as (_, browser):
        for path in ("/admin/export/file?table=users&format=csv", "/admin/export/file?table=users&format=json"):
            headers = browser.client.get(path).headers
            assert headers["content-disposition"].startswith("attachment; ")
            assert headers["cache-control"] == "no-store"
            assert (
                "sandbox" in headers["content-security-policy"]
                or "default-src 'none'" in headers["content-security-policy"]
            )
