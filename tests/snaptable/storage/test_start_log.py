"""What is logged at each kind of start, to the letter."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.storage.support import SNAPSHOT, Post, Store, User, killed, sealed

BANNER = """\
================================================================================
IMPORTANT: In-memory database is active (proof of concept mode)
Data persistence: Automatic snapshots to disk are enabled as a stopgap measure
Persistence directory: {directory}
LIMITATION: In production, migrate to a proper database (PostgreSQL/MongoDB)
WARNING: Disk persistence is NOT a replacement for proper database replication
================================================================================"""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.LogCaptureFixture:
    """Give the log of `snaptable`, with the test's directory as the working directory."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "snaptable")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged since the last time."""
    messages = [record.getMessage() for record in log.records if record.name == "snaptable"]
    log.clear()
    return messages


def test_a_first_start(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure the banner, as warnings, and then that the database begins empty."""
    with Store("data"):
        banner = [record for record in log.records if record.levelno == logging.WARNING]
        assert [record.getMessage() for record in banner] == BANNER.format(directory=tmp_path / "data").split("\n")
        assert lines(log)[7:] == ["No existing database snapshot found. Starting with empty database."]


@pytest.mark.parametrize("options", [{"banner": False}, {"read_only": True}])
def test_a_start_that_needs_no_banner(log: pytest.LogCaptureFixture, options: dict[str, Any]) -> None:
    """Ensure neither a script that asks for none, nor somebody who only reads, is warned; what was loaded is said."""
    with Store("data", banner=False, fsync=False):
        assert lines(log) == ["No existing database snapshot found. Starting with empty database."]
    with Store("data", fsync=False, **options):
        assert lines(log)[0] == "Database snapshot loaded successfully from data/db_snapshot.json"


def test_one_banner_a_process_and_directory(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure the banner is logged at the first start that wants it, and again for another directory only."""
    for banner in (False, True, True):
        with Store("data", fsync=False, banner=banner):
            pass
    with Store("other", fsync=False):
        pass
    lines_of_one = BANNER.split("\n")
    expected = [text.format(directory=tmp_path / name) for name in ("data", "other") for text in lines_of_one]
    warnings = [record.getMessage() for record in log.records if record.levelno == logging.WARNING]
    assert warnings == expected


def test_a_start_with_data(log: pytest.LogCaptureFixture) -> None:
    """Ensure the file as the user named it, and every table's count in declared order, also the empty ones."""
    with Store("data", fsync=False) as db:
        db.users.insert_many([User(id="a"), User(id="b")])
        db.posts.insert(Post(user_id="a"))
    lines(log)
    with Store("data", fsync=False):
        assert lines(log) == [
            "Database snapshot loaded successfully from data/db_snapshot.json",
            "Recovered: 2 users, 1 posts, 0 tokens",
        ]


def test_a_start_after_a_kill_counts_what_was_replayed(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure rows that were only in the journal are counted as recovered."""
    with Store("data", fsync=False) as db:
        empty = (tmp_path / "data" / SNAPSHOT).read_bytes()
        db.users.insert(User(id="a"))
        copy = killed(db, keep=empty)
    lines(log)
    with Store(copy, fsync=False):
        assert "Recovered: 1 users, 0 posts, 0 tokens" in lines(log)


def test_a_start_without_the_snapshot_does_not_claim_to_be_empty(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure a store rebuilt from its journal is reported as recovered, after a clean close and after a kill."""
    with Store("data", fsync=False) as db:
        db.users.insert(User(id="a"))
        copy = killed(db)
    lines(log)
    for directory in (tmp_path / "data", copy):
        (directory / SNAPSHOT).unlink()
        with Store(directory, fsync=False) as db:
            assert db.users.count() == 1
            messages = lines(log)
        assert "Recovered: 1 users, 0 posts, 0 tokens" in messages
        assert not any("Starting with empty database" in line for line in messages)
        assert any("rebuilt" in line for line in messages)


def test_a_torn_end_is_reported_with_its_bytes(log: pytest.LogCaptureFixture) -> None:
    """Ensure the start says how many bytes it set aside, and where they are."""
    with Store("data", fsync=False) as db:
        db.users.insert(User(id="a"))
        copy = killed(db)
    with (copy / "db_journal" / "1.jsonl").open("ab") as journal:
        journal.write(b'{"frame":')
    lines(log)
    with Store(copy, fsync=False):
        messages = " ".join(lines(log))
    assert "9 bytes" in messages
    (kept,) = (copy / "quarantine").iterdir()
    assert kept.name in messages


def test_a_group_writable_directory_is_warned_of(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure a directory that the group may write to is taken, with a warning that names it."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data").chmod(0o770)
    with Store("data", fsync=False):
        warnings = [record.getMessage() for record in log.records if record.levelno == logging.WARNING]
    assert any("group" in line and str(tmp_path / "data") in line for line in warnings)


def test_a_database_that_keeps_nothing_says_nothing(log: pytest.LogCaptureFixture) -> None:
    """Ensure `memory:` logs no banner: there is no persistence to speak of."""
    with Store("memory:") as db:
        db.users.insert(User(id="a"))
    assert lines(log) == []


def test_no_row_is_in_the_log(log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Ensure a row's values never reach the log or an error, not even when its file is refused."""
    with Store("data", fsync=False) as db:
        db.users.insert(User(id="a", email="secret@example.org", note="secret"))
    snapshot = tmp_path / "data" / SNAPSHOT
    text = snapshot.read_text()
    wrong_type, no_json = text.replace('"note":"secret"', '"note":["secret"]'), text.replace('"secret"', '"secret')
    for damaged in (wrong_type, sealed(wrong_type.encode()).decode(), no_json, text[:-40]):
        snapshot.write_text(damaged)
        with pytest.raises(Exception) as raised, Store("data", fsync=False):  # noqa: PT011 - which one is another test's
            pass
        assert "secret" not in str(raised.value)
    assert "secret" not in json.dumps(lines(log))
