"""Large commits are read in part: who made them, what they did to one row, their first rows; exactly, and quickly."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field
from tests.growth import assert_proportional

from snaptable import Database, Row, Table, attribution, table
from snaptable.changes.attribution import Attribution
from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, PurgedChange, Replace
from snaptable.history import Commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import stored_commits as module
from snaptable.storage.journal.format import (
    Frame,
    decode_change,
    decode_frames,
    decode_header,
    encode_frame,
    encode_purged,
)
from snaptable.storage.journal.reader import SegmentReader
from snaptable.storage.journal.stored_commits import StoredCommit, stored_commits
from snaptable.values.row_lines import row_json

SALT = bytes(16)


class Doc(Row):
    id: str
    name: str = ""
    meta: dict[str, Any] = Field(default_factory=dict)


class Visit(Row):
    id: int | None = None
    who: str = ""


class Library(Database):
    docs: Table[Doc]
    visits: Table[Visit] = table(transient=True)


def frame_of(*commits: CommitRecord, purged: bool = False) -> Frame:
    """Return the frame of some commits, as a segment has it."""
    line, digest = encode_frame(commits, "2026-11-28T00:00:00.000000Z", "0" * 32, SALT)
    frame = Frame(0, len(line), commits[0].sequence, commits[-1].sequence, "0" * 32, digest, "", False, line)
    return frame if not purged else Frame(**{**vars(frame), "line": encode_purged(frame, commits, SALT)})


# ── exactly ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LOOKALIKE = {"insert": "docs", "key": "k", "row": {"id": "k"}}
"""What a row may hold that looks like a change."""
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(['"}],"actor":"eve"', "\\", '\\"', "]}", ',{"sequence":2,"changes":['])
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.none(), st.just(LOOKALIKE), st.just({"sequence": 2, "changes": [LOOKALIKE]})),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
rows = st.dictionaries(texts, values, max_size=3).map(row_json)
tables, keys = st.sampled_from(["docs", "visits", "döcs"]), st.one_of(st.sampled_from(["k", "kk", "1"]), texts)
changes: st.SearchStrategy[ChangeRecord] = st.one_of(
    st.builds(Insert, tables, keys, rows),
    st.builds(Replace, tables, keys, rows, rows | st.none(), st.lists(texts, max_size=2).map(tuple)),
    st.builds(Delete, tables, keys, rows | st.none()),
    st.builds(PurgedChange, tables, keys, kind=st.sampled_from(["insert", "replace", "delete"])),
)
maybe = st.none() | texts.filter(bool)
bodies = st.builds(
    CommitRecord,
    st.just(0),
    st.lists(changes, max_size=4).map(tuple),
    st.dictionaries(tables, st.integers(1, 99), max_size=2),
    st.none() | st.builds(Attribution, maybe, maybe, maybe).filter(lambda by: bool(by.actor or by.note or by.via)),
    st.lists(st.integers(1, 9), max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.none()
    | st.dictionaries(
        tables, st.dictionaries(st.sampled_from(["a" * 32, "b"]), st.integers(1, 9), min_size=1), min_size=1
    ),
)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small commits be read in part too."""
    monkeypatch.setattr(module, "_WINDOW", 1)


@pytest.mark.usefixtures("window")
class TestExactly:
    """A commit that is read in part says what the same commit says that is decoded whole."""

    @settings(max_examples=60)
    @given(st.lists(bodies, min_size=1, max_size=3), st.integers(1, 11), st.booleans())
    @example(
        [CommitRecord(0, (Insert("docs", "a", row_json({"log": [LOOKALIKE] * 2})), Delete("docs", "k", b"{}")), {})],
        1,
        False,
    )
    @example(
        [CommitRecord(0, (Insert("docs", "a", row_json({"log": {"sequence": 2, "changes": [{}]}})),), {})] * 2, 1, True
    )
    def test_any_commit(self, made: list[CommitRecord], first: int, purged: bool) -> None:
        """Ensure heads, changes of each row, tables, places and beginnings, whatever rows and notes hold."""
        for number, body in enumerate(made):
            body.sequence = first + number
        frame = frame_of(*made, purged=purged)
        for record, whole in zip(stored_commits(frame), frame.commits, strict=True):
            names = (
                "sequence",
                "numbered",
                "attribution",
                "undoes",
                "migrations",
                "erased",
                "actor",
                "named_migrations",
            )
            assert [getattr(record, name) for name in names] == [getattr(whole, name) for name in names]
            places = {(change.table, change.key) for change in whole.changes} | {("docs", "k"), ("docs", "1")}
            for table_name, key in places:
                assert record.changes_to(table_name, key) == whole.changes_to(table_name, key)
            for name in ("docs", "visits", "döcs", "none"):
                assert record.has_table(name) == whole.has_table(name)
                assert record.first_changes([name], 2) == whole.first_changes([name], 2)
            assert record.first_changes(["docs", "visits"], 9) == whole.first_changes(["docs", "visits"], 9)
            assert (record.first_table, record.places) == (whole.first_table, whole.places)
            assert list(record.rows()) == [tuple(place) for place in whole.places] == list(map(tuple, record.places))
            numbers = list(range(len(whole.changes)))
            for wanted in (numbers, numbers[1::2], numbers[::-1]):
                read, expected = ([dict(plain) for plain in each.plain_at(wanted)] for each in (record, whole))
                assert json.loads(json.dumps(read)) == json.loads(json.dumps(expected))
            assert record.changes == whole.changes
            assert record.changes_to("docs", "k") == whole.changes_to("docs", "k")

    @pytest.mark.parametrize(
        "line",
        [
            b'{"sequence":1,"changes":[{"insert":"docs","key":"k","row":{}}],"new":{"a":[1]},"actor":"ann"}',
            b'{"sequence":1,"actor":"ann","changes":[{"insert":"docs","key":"k","row":{}}]}',
            b'{ "sequence": 1, "changes": [ {"insert":"docs","key":"k","row":{}} ], "actor": "ann" }',
            b'{"sequence":1,"changes":[{"key":"k","insert":"docs","row":{}}],"actor":"ann"}',
            b'{"sequence":1,"changes":[{"insert":"docs","key":"k","row":{}}],"actor":"ann","sealed":"x"}',
        ],
    )
    def test_what_another_version_writes(self, line: bytes) -> None:
        """Ensure a commit in another order, with spaces, or with members nobody knows, is read as well."""
        payload = b'{"frame":[1,1],"at":"2026-11-28T00:00:00.000000Z","previous":"%b","commits":[%b]' % (
            b"0" * 32,
            line,
        )
        frame = Frame(0, 0, 1, 1, "", "", "", False, payload + b',"check":"' + b"0" * 32 + b'"}\n')
        (record,) = stored_commits(frame)
        assert (record.actor, record.first_table, len(record.changes_to("docs", "k"))) == ("ann", "docs", 1)

    def test_what_is_no_commit(self) -> None:
        """Ensure changes that can't be decoded are an error that says so, in whatever way they are asked for."""
        payload = (
            b'{"frame":[1,1],"at":"","previous":"","commits":[{"sequence":1,"changes":[{"insert":"docs","key":"k"}]}]'
        )
        frame = Frame(0, 0, 1, 1, "", "", "", False, payload + b',"check":"' + b"0" * 32 + b'"}\n')
        (record,) = stored_commits(frame)
        with pytest.raises(ValueError, match="not a change"):
            record.first_changes(["docs"], 1)
        with pytest.raises(ValueError, match="not a change"):
            record.changes_to("docs", "k")
        with pytest.raises(ValueError, match="not a change"):
            record.plain_at([0])
        with pytest.raises(ValueError, match="not a change"):
            assert record.changes


# ── quickly ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Library]:
    """Give a store with one giant commit among small ones."""
    with Library(tmp_path / "data", fsync=False, banner=False, snapshot="background") as db:
        db.docs.insert(Doc(id="first"))
        with db.transaction(actor="importer", note="all of it"):
            db.docs.insert_many(Doc(id=f"doc-{n}", name="x" * 40, meta={"n": [n]}) for n in range(3000))
            db.visits.insert(Visit(who="ann"))
        with attribution(actor="ann"):
            db.docs.update("doc-1500", name="another")
        db.visits.insert_many(Visit() for _ in range(500))
        yield db


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Give the changes that are decoded meanwhile."""
    found: list[object] = []
    real = decode_change

    def counted(plain: Any) -> ChangeRecord:
        found.append(plain["key"])
        return real(plain)

    monkeypatch.setattr(module, "decode_change", counted)
    return found


def test_only_what_is_asked_for_is_decoded(db: Library, decoded: list[object]) -> None:
    """Ensure a head costs no change, a row its own, a page its first ones, and a restored row no other."""
    history = db.history
    assert [commit.sequence for commit in history.commits(actor="importer")] == [2]
    assert [commit.sequence for commit in history] == [3, 2, 1]
    assert [(each.note, each.actor) for each in history.commits("docs", limit=2)] == [
        (None, "ann"),
        ("all of it", "importer"),
    ]
    assert list(history.commits(actor="nobody")) == []
    decoded.clear()
    newest, giant = history.commits("docs", "doc-1500")
    assert (newest.sequence, giant.sequence) == (3, 2)
    (change,) = giant.only("docs", "doc-1500").changes
    assert change.after == {"id": "doc-1500", "name": "x" * 40, "meta": {"n": [1500]}}
    assert set(decoded) == {"doc-1500"}
    decoded.clear()
    part = giant.beginning(["docs"], 3)
    assert [each.key for each in part.changes] == ["doc-0", "doc-1", "doc-2"]
    assert len(decoded) == 3
    assert len(giant.places) == 3000
    assert db.history.restore(2, "docs", "doc-1500").commit == 5
    assert len(decoded) < 10
    assert len(giant.changes) == 3000
    assert (giant.touches("docs"), giant.touches("docs", "doc-7"), giant.touches("docs", "nobody")) == (
        True,
        True,
        False,
    )


def test_a_difference_is_counted_without_reading_rows(db: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure counts read no row, the first differences the bytes of these, and rows changed twice their own alone."""
    sizes: list[int] = []
    real = module._parsed

    def parsed(data: bytes) -> Any:
        sizes.append(len(data))
        return real(data)

    monkeypatch.setattr(module, "_parsed", parsed)
    diff = db.history.diff(0)
    assert diff.counts == {"docs": {"insert": 3001, "replace": 0, "delete": 0}}
    assert db.history.diff(2, 1).counts == {"docs": {"insert": 0, "replace": 0, "delete": 3000}}
    assert sum(sizes) == 0
    (first,) = diff.first(1, ["docs"])
    assert first.after == {"id": "doc-1500", "name": "another", "meta": {"n": [1500]}}
    assert 0 < sum(sizes) < 2_000
    sizes.clear()
    db.docs.update("doc-1500", name="x" * 40)
    assert len(db.history.diff(2)) == 0
    assert 0 < sum(sizes) < 2_000
    assert [change.key for change in db.history.diff(2, 1).first(2)] == ["doc-0", "doc-1"]
    assert sum(sizes) < 3_000
    assert len(diff.changes) == len(list(diff)) == len(diff) == 3001


def test_what_lies_behind_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a question about an early commit decodes none of those behind it, the first time a segment is read too."""
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        for number in range(5):
            db.docs.insert(Doc(id=f"doc-{number}"))
    with Library(tmp_path / "data", fsync=False, banner=False) as db:
        monkeypatch.setattr(Frame, "commits", property(lambda frame: pytest.fail(f"{frame.first} was decoded")))
        assert [commit.sequence for commit in db.history.commits(until=2)] == [2, 1]
        assert db.history.undo(2, dry_run=True).changes[0].key == "doc-1"
        assert len(db.history.diff(3)) == 2


def test_where_changes_begin_is_proved_once(db: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the second row that is asked for of a giant commit needs no parser pass over it."""
    passes: list[int] = []
    real = StoredCommit._count

    def count(commit: StoredCommit) -> int | None:
        passes.append(commit.sequence)
        return real(commit)

    monkeypatch.setattr(StoredCommit, "_count", count)
    monkeypatch.setattr(module, "_STARTS", module._Starts())
    for key in ("doc-7", "doc-2999", "doc-8", "nobody"):
        assert [commit.sequence for commit in db.history.commits("docs", key)] == [2] * (key != "nobody")
    assert db.history.undo(2, dry_run=True, force=True).changes
    assert passes == [2]


def test_what_a_row_costs_of_a_giant_commit(tmp_path: Path) -> None:
    """Ensure the head of a commit, and the change of one row in it, cost next to nothing beside decoding it."""
    with Library(tmp_path / "data", fsync=False, banner=False, snapshot="background") as db:
        with db.transaction(actor="importer"):
            db.docs.insert_many(Doc(id=f"doc-{n}", name="x" * 40, meta={"n": [n]}) for n in range(12_000))

        def seconds(commits: Iterator[Commit], read: Any) -> float:
            began = time.thread_time()
            for commit in commits:
                read(commit)
            return time.thread_time() - began

        def least(make: Any, read: Any) -> float:
            return min(seconds(make(), read) for _ in range(5))

        history = db.history
        whole = least(lambda: history.commits(), lambda commit: commit.changes)
        assert least(lambda: history.commits(actor="nobody"), str) < whole / 8
        assert (
            least(lambda: history.commits("docs", "doc-6000"), lambda commit: commit.only("docs", "doc-6000").changes)
            < whole / 2.5
        )
        assert least(lambda: history.commits(), lambda commit: commit.beginning(["docs"], 6).changes) < whole / 8


def test_heads_grow_with_the_bytes_alone() -> None:
    """Ensure frames of many commits, and of large ones, are split in proportion to their bytes."""

    def frame(count: int) -> Frame:
        rows = [Insert("docs", str(number), row_json({"id": str(number), "name": "x" * 50})) for number in range(20)]
        return frame_of(*(CommitRecord(number + 1, tuple(rows), {}, Attribution("ann")) for number in range(count)))

    def heads(frame: Frame) -> None:
        found = stored_commits(frame)
        assert all(isinstance(each, StoredCommit) and each.actor == "ann" for each in found)

    assert_proportional(heads, frame, 400)


def test_the_very_bytes_of_a_store(db: Library) -> None:
    """Ensure the store's own frames are split, so that nothing above falls back to decoding them whole."""
    files = Files(db.directory or Path())
    data = journal_directory.read(files, 1)
    frames = list(SegmentReader("x", data, 1, None).frames())
    found = [commit for frame in frames for commit in stored_commits(frame)]
    assert [commit.sequence for commit in found] == [1, 2, 3, 4]
    assert all(isinstance(commit, StoredCommit) for commit in found)
    header = decode_header(data)
    assert header is not None
    assert len(list(decode_frames(data, *header))) == 4
    assert json.loads(frames[1].line)["commits"][0]["actor"] == "importer"
