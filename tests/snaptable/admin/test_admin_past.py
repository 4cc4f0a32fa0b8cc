"""History, the time machine and the file: what they show, what they never show, and the ways back."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.admin.library import SECRET, Browser, Library, admin_of, fill, library

from snaptable import attribution
from snaptable.admin import Admin, timeline
from snaptable.admin.file_lines import opened, shown_row
from snaptable.admin.moments import moment_of
from snaptable.admin.timeline import Timeline

PAGES = ("/admin/history", "/admin/time", "/admin/file")


@pytest.fixture
def there() -> Iterator[tuple[Library, Browser]]:
    """Give a filled database in memory, and an admin's browser."""
    with library() as both:
        yield both


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[Library, Browser]]:
    """Give a filled database with a file, and an admin's browser."""
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        fill(db)
        with admin_of(db) as (client, site):
            assert site.link is not None
            client.get(site.link)
            yield db, Browser(client)


def text_of(page: str) -> str:
    """Return a page's words."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<main")[2]))


# ── history ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_history_shows_who_did_what(there: tuple[Library, Browser]) -> None:
    """Ensure that a commit shows its number, actor, way, note, fields before and after, and the way to take it back."""
    db, browser = there
    with attribution(actor="grace", via="PATCH /x", note="spring <clean>"):
        db.documents.update("d3", pages=77)
    page = browser.get("/admin/history")
    said = text_of(page)
    for words in (
        "Today",
        f"#{db.history.sequence}",
        "grace",
        "PATCH /x",
        "spring &lt;clean&gt;",
        "documents",
        "3",
        "77",
    ):
        assert words in said, words
    assert f'href="/admin/commits/{db.history.sequence}"' in page
    assert SECRET not in page


def test_history_is_filtered_and_paged(there: tuple[Library, Browser]) -> None:
    """Ensure that table, key, field, actor and times narrow it, and pages follow one another without a gap."""
    db, browser = there
    for n in range(70):
        with attribution(actor="grace" if n % 2 else "ada"):
            db.documents.update("d1" if n % 3 else "d2", pages=100 + n)
    seen: list[int] = []
    path: str | None = "/admin/history"
    while path:
        page = browser.get(path)
        seen += map(int, re.findall(r'id="c(\d+)"', page))
        older = re.search(r'href="(/admin/history\?before=\d+)" rel="next"', page)
        path = older[1] if older else None
    assert seen == list(range(db.history.sequence, 0, -1))

    def numbers(query: str) -> list[int]:
        return [int(each) for each in re.findall(r'id="c(\d+)"', browser.get(f"/admin/history?{query}"))]

    for commit in (db.history.commits(limit=1), db.history.commits("documents", "d2", limit=1)):
        assert numbers("table=documents&key=d2")[0] <= next(commit).sequence
    assert all(next(db.history.commits(until=n, limit=1)).actor == "grace" for n in numbers("actor=grace"))
    assert len(numbers("field=pages")) == 30
    assert numbers("table=users") == [2, 1]
    assert numbers(f"since={db.history.sequence - 2}") == [db.history.sequence, db.history.sequence - 1]
    assert numbers("until=2") == [2, 1]
    assert "Nothing matches" in browser.get("/admin/history?actor=nobody")


@pytest.mark.parametrize(
    ("typed", "leads"),
    [
        ("table = documents", "table=documents"),
        ("documents, actor = ada", "table=documents&actor=ada"),
        ("since 09:00", "since=09%3A00"),
        ("grace", "actor=grace"),
        ("2h", "since=2h"),
    ],
)
def test_what_is_typed_becomes_a_part_of_the_address(there: tuple[Library, Browser], typed: str, leads: str) -> None:
    """Ensure that the filter bar's words are parameters, so that the address is the state."""
    answer = there[1].client.get("/admin/history", params={"filter": typed}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/history?{leads}")


@pytest.mark.parametrize(
    "query", ["table=logins", "table=x", "key=a", "since=x", "since=2999-01-01", "until=999999", "before=x"]
)
def test_wrong_filters_are_told(there: tuple[Library, Browser], query: str) -> None:
    """Ensure that a filter that means nothing is told on the page; nothing fails."""
    page = there[1].get(f"/admin/history?{query}")
    assert 'class="field-error"' in page or query.startswith(("before", "until"))


def test_hidden_tables_have_no_past_here() -> None:
    """Ensure that tables that are not shown, and transient ones, are in no page of the past, nor in any way back."""
    with library(tables=["marks"]) as (db, browser):
        with attribution(note="only users"):
            db.users.update("ada", email="hidden@example.org")
        db.marks.update(1, text="shown")
        for path in (*PAGES, "/admin/time?from=0"):
            page = browser.get(path)
            assert "hidden@example.org" not in page
            assert "paper-1.pdf" not in page
        assert "shown" in browser.get("/admin/history")
        assert "only users" not in browser.get("/admin/history")
        browser.get("/admin/time/restore?at=3", 403)
        browser.get("/admin/time/restore?at=3&table=users&key=ada", 404)
        browser.post("/admin/time/restore", {"at": 3, "table": "users", "key": "ada"}, 404)


# ── the time machine ────────────────────────────────────────────────────────────────────────────────────────────────


def test_time_shows_differences_and_tables_as_they_were(there: tuple[Library, Browser]) -> None:
    """Ensure that two moments show what is different, and each table as it was, in an amber frame."""
    db, browser = there
    then = db.history.sequence
    db.documents.update("d3", pages=77)
    db.documents.delete("d5")
    page = browser.get(f"/admin/time?from={then}")
    assert "1 changed" in page
    assert "paper-5.pdf" in page
    past = browser.get(f"/admin/time?from={then}&table=documents")
    assert "You look at" in past
    assert "read only" in past
    assert "paper-5.pdf" in past
    assert SECRET not in browser.get(f"/admin/time?from={then}&table=users")
    assert "12 rows then" in past
    assert browser.get("/admin/time?from=x&to=2999-01-01").count("field-error") == 2


def test_restore_of_a_row_a_table_and_everything(there: tuple[Library, Browser]) -> None:
    """Ensure that a restore is previewed, is one commit with actor, way and note, and can be taken back."""
    db, browser = there
    then = db.history.sequence
    db.documents.update("d3", pages=77)
    db.documents.delete("d5")
    db.marks.update(1, text="changed")
    preview = browser.get(f"/admin/time/restore?at={then}&table=documents&key=d3")
    assert "change 1" in preview
    assert db.documents["d3"].pages == 77
    browser.post("/admin/time/restore", {"at": then, "table": "documents", "key": "d3", "note": "oops"})
    assert db.documents["d3"].pages == 3
    commit = next(iter(db.history))
    assert (commit.actor, commit.via, commit.note) == ("admin", "admin", "oops")
    browser.post("/admin/time/restore", {"at": then, "table": "documents"})
    assert "d5" in db.documents
    assert db.marks[1].text == "changed"
    page = browser.post("/admin/time/restore", {"at": then})
    assert db.marks[1].text == "mark 0"
    assert 'action="/admin/undo"' in page, "undo is offered"
    browser.post("/admin/undo", {"sequence": db.history.sequence})
    assert db.marks[1].text == "changed"
    assert "nothing to do" in browser.get(f"/admin/time/restore?at={db.history.sequence}")


def test_conflicts_are_in_words(there: tuple[Library, Browser]) -> None:
    """Ensure that what is in the way of a restore is said, with the row, and nothing is written."""
    db, browser = there
    then = db.history.sequence
    db.documents.delete("d3")
    db.users.delete("ben") if db.documents.where(user_id="ben").count() == 0 else None
    db.users.create(id="eve", email="eve@example.org")
    db.users.update("eve", email="x@example.org")
    db.users.update("ada", email="y@example.org")
    db.users.update("eve", email="ada@example.org")
    page = browser.post("/admin/time/restore", {"at": then, "table": "users", "key": "ada"}, 409)
    assert "has the same email" in page
    assert db.users["ada"].email == "y@example.org"


class Auth:
    """One admin with a password."""

    async def login(self, name: str, password: str) -> Admin | None:
        return Admin(name) if (name, password) == ("ada", "pa55") else None

    async def is_admin(self, request: Any) -> None:
        return None


def test_what_asks_for_the_password_again(tmp_path: Path) -> None:
    """Ensure that a restore of more than a row, and a download, want the password once more."""
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        fill(db)
        with admin_of(db, auth=Auth()) as (client, _):
            client.post(
                "/admin/login", data={"name": "ada", "password": "pa55"}, headers={"Sec-Fetch-Site": "same-origin"}
            )
            browser = Browser(client)
            then = db.history.sequence
            db.documents.update("d3", pages=77)
            for given, status in (({}, 403), ({"password": "no"}, 403), ({"password": "pa55"}, 200)):
                page = browser.post("/admin/time/restore", {"at": then, **given}, status)
                assert (db.documents["d3"].pages == 3) is (status == 200)
                whole = browser.post("/admin/file/download", given, status)
                assert (SECRET in whole) is (status == 200)
                assert SECRET not in page


def test_nothing_is_done_for_other_sites_or_strangers(stored: tuple[Library, Browser]) -> None:
    """Ensure that no act is done without the token, for another origin, or by who isn't in; and no page is seen."""
    db, browser = stored
    before = db.history.sequence
    for path in ("/admin/time/restore", "/admin/file/download", "/admin/file/take-over", "/admin/file/discard"):
        browser.post(path, {"at": 1, "admin_token": ""}, 403)
        browser.post(path, {"at": 1}, 403, **{"Sec-Fetch-Site": "cross-site"})
    browser.client.cookies.clear()
    for path in (*PAGES, "/admin/history/feed?since=0"):
        answer = browser.client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/admin/login")
    assert db.history.sequence == before


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_by_line_key_and_bytes(stored: tuple[Library, Browser]) -> None:
    """Ensure that a line is found by number, key and bytes, and leads to its row, as the row to its line."""
    db, browser = stored
    page = browser.get("/admin/file?find=d3")
    assert "The row with this key, on line" in page
    number = re.search(r'class="here" id="L(\d+)"', page)
    assert number
    assert '/admin/tables/documents/row?key=d3"' in page
    assert f'id="L{number[1]}"' in browser.get(f"/admin/file?find={number[1]}")
    assert f'class="here" id="L{number[1]}"' in browser.get("/admin/file?find=paper-3.pdf")
    assert f"/admin/file?line={number[1]}" in browser.get("/admin/tables/documents/row?key=d3")
    following = re.search(r'href="(/admin/file\?find=paper-1&amp;after=\d+)"', browser.get("/admin/file?find=paper-1"))
    assert following
    assert "<mark>paper-1</mark>0.pdf" in browser.get(following[1].replace("&amp;", "&"))
    assert "The file has" in browser.get("/admin/file?find=99999")
    assert "Nothing that is shown" in browser.get("/admin/file?find=zzzzzz")
    assert db.directory is not None


def test_secrets_are_neither_shown_nor_found(stored: tuple[Library, Browser]) -> None:
    """Ensure that secrets are masked in lines, and that a search can't tell whether one begins like this."""
    db, browser = stored
    db.users.update("ada", password_hash="findme-123")
    db.persist()
    page = browser.get("/admin/file")
    assert "findme" not in page
    assert SECRET not in page
    assert "••••" in page
    for needle in ("findme-123", "findme", "argon2id"):
        assert "Nothing that is shown" in browser.get(f"/admin/file?find={needle}")


def test_a_file_of_another_layout_shows_nothing_secret(stored: tuple[Library, Browser]) -> None:
    """Ensure that a file that was laid out anew, while the store runs, shows no line that may hold a secret."""
    import json

    db, browser = stored
    assert db.directory is not None
    path = db.directory / "db_snapshot.json"
    value = json.loads(path.read_bytes())
    for indent in (None, 1, 4):
        path.write_text(json.dumps(value, indent=indent))
        for query in ("", "?find=argon2id-never-shown", "?find=ada", "?line=3"):
            shown = browser.get(f"/admin/file{query}").replace(f"find={SECRET}", "").replace(f'value="{SECRET}"', "")
            assert SECRET not in shown


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_row_is_masked(key: str, secret: str) -> None:
    """Ensure that a line's secret is masked whatever it holds, and that a line that isn't one is not shown."""
    from snaptable.values.row_lines import encode_line, row_json

    row = {"id": key, "password_hash": secret + "!needle!", "text": secret}
    line = encode_line(key, row_json(row))
    for raw in (line, line + b","):
        found = shown_row(raw, {"password_hash"})
        assert found is not None
        assert found[0] == key
        assert "!needle!" not in found[1]
    assert shown_row(line[:-1], {"password_hash"}) is None


def test_lines_by_number(tmp_path: Path) -> None:
    """Ensure that every line of a file larger than a chunk has its number, and the reverse."""
    rows = b",\n".join(b'"%d": {"id":"%d","pad":"%b"}' % (n, n, b"x" * 3_000) for n in range(900))
    (tmp_path / "db_snapshot.json").write_bytes(
        b'{\n"snaptable": {},\n"marks": {\n' + rows + b'\n},\n"checksum": ""\n}\n'
    )
    with opened(tmp_path, {"marks": ()}) as file:
        assert file.count == 906
        for number in (1, 2, 3, 4, 300, 349, 350, 351, 700, 903, 904, 906):
            assert file.number_at(file.offset_of(number)) == number
        assert [line.key for line in file.lines(3, 3)] == [None, "0", "1"]
        assert file.find_key("899") == 903
        assert file.find('"id":"500"').line == 504


def edit_file(db: Library, old: bytes, new: bytes) -> None:
    """Edit the file as an editor would, and let the store write its own."""
    assert db.directory is not None
    path = db.directory / "db_snapshot.json"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    db.marks.update(8, text="went on")
    db.persist()


def test_an_edit_outside_is_shown_and_taken_over(stored: tuple[Library, Browser]) -> None:
    """Ensure that an edit made beside the store is shown as a difference, and taken over as one commit, once."""
    db, browser = stored
    edit_file(db, b"paper-3.pdf", b"signed-3.pdf")
    page = browser.get("/admin/file")
    assert "Edited outside the store" in page
    assert "signed" in re.sub(r"</?mark>", "", page)
    assert db.documents["d3"].filename == "paper-3.pdf"
    assert SECRET not in page
    name = re.search(r'name="name" value="(edited-[^"]+)"', page)
    assert name
    browser.post("/admin/file/take-over", {"name": name[1]})
    assert db.documents["d3"].filename == "signed-3.pdf"
    commit = next(iter(db.history))
    assert (commit.actor, [str(change.key) for change in commit.changes]) == ("admin", ["d3"])
    assert "Edited outside" not in browser.get("/admin/file")
    browser.post("/admin/file/take-over", {"name": name[1]}, 404)
    assert db.directory is not None
    assert (db.directory / "quarantine" / f"dealt-with-{name[1]}").is_file()


def test_an_edit_in_whose_way_something_is(stored: tuple[Library, Browser]) -> None:
    """Ensure that an edit of what was changed since, or of what doesn't fit, is not taken over, and says why."""
    db, browser = stored
    edit_file(db, b'"pages":3', b'"pages":33')
    db.documents.update("d3", pages=44)
    name = re.findall(r'name="name" value="(edited-[^"]+)"', browser.get("/admin/file"))[0]
    assert "changed since" in browser.post("/admin/file/take-over", {"name": name}, 409)
    assert db.documents["d3"].pages == 44
    browser.post("/admin/file/discard", {"name": name})
    edit_file(db, b'"pages":4', b'"pages":-4')
    name = re.findall(r'name="name" value="(edited-[^"]+)"', browser.get("/admin/file"))[0]
    assert "pages" in browser.post("/admin/file/take-over", {"name": name}, 409)
    for bad in ("../db_snapshot.json", "edited-x", ""):
        browser.post("/admin/file/discard", {"name": bad}, 404)


# ── moments, and the bar ────────────────────────────────────────────────────────────────────────────────────────────


def test_moments_as_they_are_typed(there: tuple[Library, Browser]) -> None:
    """Ensure that each way to write a moment means it, and that others are refused with what to write."""
    db, now = there[0], datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    last = db.history.sequence
    for text, meant in {
        "57": 57, "#57": 57, "9,758": 9758, "~3": last - 3, "-3": last - 3, "now": last, "2h": now - timedelta(hours=2),
        "11:30": now - timedelta(minutes=30), "14:00": now - timedelta(hours=22),
        "2026-11-27T14:00": now - timedelta(hours=22), "2026-11-27T15:00+01:00": now - timedelta(hours=22),
    }.items():  # fmt: skip
        assert moment_of(text, db, now) == meant, text
    for text in ("x", "57x", "~", "99:99", "2026-13-01"):
        with pytest.raises(ValueError, match=r"moment|range|hour"):
            moment_of(text, db, now)


def test_the_bar_covers_every_commit(there: tuple[Library, Browser]) -> None:
    """Ensure that the bars are of all commits, one behind the other, and follow new ones."""
    db, timeline = there[0], Timeline()
    for _ in range(2):
        bars = timeline.bars(db)
        assert [bar.first for bar in bars] == [1, *[bar.last + 1 for bar in bars[:-1]]]
        assert bars[-1].last == db.history.sequence
        assert sum(bar.weight for bar in bars) == sum(len(commit.changes) for commit in db.history)
        db.documents.update("d1", note="new")
    assert timeline.time_of(db.history.sequence) is not None


def test_pages_of_an_empty_store_and_a_pruned_one() -> None:
    """Ensure that pages answer where there is no commit, and where the first ones are not kept."""
    with Library("memory:", banner=False) as db, admin_of(db) as (client, site):
        client.get(site.link or "")
        browser = Browser(client)
        for path in PAGES:
            browser.get(path)
        fill(db)
        db.history.forget(5)
        assert "back to #6" in browser.get("/admin/history").replace("<span", "")
        assert "is not kept any more" in browser.get("/admin/time?from=2")
        browser.get("/admin/time/restore?at=2")


# ── what is read once ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bar_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a page reads some of what is older, that all is known in the end, and new commits at once."""
    with library() as (db, _):
        for number in range(20):
            db.documents.update("d1", pages=number + 100)
        whole = Timeline()
        bars = whole.bars(db)
        monkeypatch.setattr(timeline, "LOOK_SECONDS", -1.0)  # one commit a page
        parts = Timeline()
        parts.bars(db)
        assert sum(bar.weight > 0 for bar in parts.bars(db)) == 2
        db.documents.update("d1", pages=1)
        assert parts.bars(db)[-1].weight == 1
        for _ in range(db.history.sequence):
            parts.bars(db)
        assert len(parts.bars(db)) == len(bars) + 1
        monkeypatch.undo()
        assert parts.bars(db) == whole.bars(db) == Timeline().bars(db)


def test_a_file_that_is_another_is_looked_through_anew(tmp_path: Path) -> None:
    """Ensure that what is kept of a file is not used for the one that replaces it, nor for other tables of it."""
    shown: dict[str, frozenset[str]] = {"users": frozenset(), "documents": frozenset()}
    with Library(tmp_path, banner=False) as db:
        fill(db)
        for number in range(4):
            with opened(tmp_path, shown) as file:
                count, lines = file.count, file.lines(1, 200)
            assert len(lines) == count == len((tmp_path / "db_snapshot.json").read_text().splitlines())
            with opened(tmp_path, {"documents": frozenset()}) as file:
                assert {line.table for line in file.lines(1, count)} == {"documents", None}
            db.users.create(id=f"new{number}", email=f"new{number}@example.org")
            with opened(tmp_path, shown) as file:
                assert file.count == count + 1
                assert file.find_key(f"new{number}") is not None
