"""The reader of the journal: commits in order from any sequence on, past damage if asked, and how it ends."""

from pathlib import Path

import pytest
from tests.snaptable.storage.support import JOURNAL, Store, User, killed

from snaptable import CorruptJournal, OpenError
from snaptable.changes.attribution import Attribution
from snaptable.changes.records import CommitRecord, Delete, Insert, Replace
from snaptable.storage import group_commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.format import decode_commit, encode_commit
from snaptable.storage.journal.reader import Ending, JournalReader
from snaptable.values.strict_json import parse_strictly


@pytest.fixture
def journal(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Give a store of ten commits in a journal of several segments, closed."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 700)
    with Store(directory, fsync=False) as db:
        for number in range(8):
            db.users.insert(User(id=str(number)))
        db.users.update("0", note="changed")
        db.users.delete("1")
    assert len(list((directory / JOURNAL).iterdir())) > 2
    return Files(directory)


def test_a_commit_comes_back_as_it_was_encoded() -> None:
    """Ensure every kind of change survives encoding and decoding, keys as text, rows as the bytes they were."""
    row = '{"id":"ä\\"\\\\","n":1.0,"deep":[{"x":null}]}'.encode()
    changes = (
        Insert("t", 'ä"\\', row),
        Replace("other table", "k", b"{}"),
        Replace("t", "k", b'{"a":1}', b'{"a":2,"b":null}', ("c",)),
        Delete("t", "7"),
        Delete("t", "8", row),
    )
    by = Attribution("ann", 'why "not"', "PATCH /é")
    for commit in (
        CommitRecord(12, changes, {}),
        CommitRecord(12, changes, {"t": 7}),
        CommitRecord(12, changes, {"t": 7}, by, (3, 9), ("split names",)),
        CommitRecord(12, (), {}, Attribution(via="import")),
    ):
        assert decode_commit(parse_strictly(encode_commit(commit))) == commit


def test_unknown_members_are_ignored() -> None:
    """Ensure commits and changes of a later version, which say more, are read for what is known of them."""
    plain = {"sequence": 1, "changes": [{"insert": "t", "key": "a", "row": {}, "new": 1}], "newer": [2]}
    assert decode_commit(plain) == CommitRecord(1, (Insert("t", "a", b"{}"),), {})


@pytest.mark.parametrize(
    "plain", [{}, {"sequence": 1}, {"sequence": 1, "changes": [{"key": "a"}]}, {"sequence": 1, "changes": 5}]
)
def test_what_is_not_a_commit_is_a_value_error(plain: dict[str, object]) -> None:
    """Ensure JSON of another shape is refused by one kind of error."""
    with pytest.raises(ValueError, match="not a commit"):
        decode_commit(plain)


@pytest.mark.parametrize("after", range(11))
def test_commits_after_a_sequence(journal: Files, after: int) -> None:
    """Ensure all commits after any sequence are read, in order, and none before it, across segments."""
    reader = JournalReader(journal, after=after)
    assert [commit.sequence for commit in reader.commits()] == list(range(after + 1, 11))
    assert reader.segment is not None
    assert (reader.segment.ending, reader.segment.last_sequence) == (Ending.CLOSED, 10)
    assert reader.first is not None
    assert reader.first <= after + 1


def test_commits_hold_what_was_changed(journal: Files) -> None:
    """Ensure the changes of a commit are decoded: kind, table, key, and the row's JSON."""
    *_, updated, deleted = JournalReader(journal).commits()
    assert updated.changes == (Replace("users", "0", b'{"id":"0","email":null,"note":"changed"}', b'{"note":""}'),)
    assert deleted.changes == (Delete("users", "1", b'{"id":"1","email":null,"note":""}'),)


def test_how_it_ends(directory: Path, tmp_path: Path) -> None:
    """Ensure a closed, an open and a torn journal are told apart."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
        copy = killed(db)
    for where, torn, ending in ((directory, b"", Ending.CLOSED), (copy, b"", Ending.OPEN), (copy, b"{x", Ending.TORN)):
        path = where / JOURNAL / "1.jsonl"
        path.write_bytes(path.read_bytes().rstrip(b"\0") + torn)
        reader = JournalReader(Files(where))
        assert len(list(reader.commits())) == 1
        assert reader.segment is not None
        assert (reader.segment.ending, reader.segment.torn_bytes) == (ending, torn)


def test_past_damaged_segments(journal: Files) -> None:
    """Ensure one damaged segment is reported with path, line and byte, and the others are read all the same."""
    first, second, *_ = (segment.first for segment in JournalReader(journal).segments())
    path = journal.path(f"{JOURNAL}/{second}.jsonl")
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"store"', b'"stare"', 1))
    reported: list[tuple[int, OpenError | OSError]] = []
    damaged = JournalReader(journal)
    read = [
        segment.first for segment in damaged.segments(lambda *damage: reported.append(damage)) if list(segment.frames())
    ]
    assert first in read
    assert second not in read
    assert len(read) > 1
    ((where, error),) = reported
    assert (where, type(error)) == (second, CorruptJournal)
    assert isinstance(error, OpenError)
    assert (error.path, error.line, error.offset) == (str(path), 1, 0)
    with pytest.raises(CorruptJournal, match="first line"):
        list(JournalReader(journal).commits())


def test_whole_frames_behind_damage(journal: Files) -> None:
    """Ensure frames behind a damaged one are found by themselves, and the damage names its line."""
    first = next(segment.first for segment in JournalReader(journal).segments())
    path = journal.path(f"{JOURNAL}/{first}.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"insert", b"insart"), *lines[2:]]))
    segment = next(JournalReader(journal).segments())
    with pytest.raises(CorruptJournal) as raised:
        list(segment.frames())
    assert (raised.value.line, raised.value.offset) == (2, len(lines[0]))
    assert [frame.first for frame in segment.frames_behind_damage()] == list(range(2, len(lines)))
