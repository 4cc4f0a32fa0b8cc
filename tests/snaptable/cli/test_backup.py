"""`snaptable backup` and `snaptable restore`: what they say, ask and return, beside a running store too."""

import os
import stat
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pyrage
import pytest
from tests.snaptable.cli.support import SCHEMA, command, process, unchanged
from tests.snaptable.maintenance.support import contents
from tests.snaptable.storage.support import Rows, Store, User, killed, rows_of

from snaptable import Database
from snaptable.cli.moment_option import wanted_moment
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.testing import second_process

BLOBS = "tests.snaptable.backup.support:Store"


def made(result_out: str) -> Path:
    """Return the path that a backup names."""
    return Path(result_out.splitlines()[-3].partition(": sequence")[0])


def test_there_and_back(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure a backup says what it holds, and a restore says what it replaces, asks, and keeps it."""
    target = tmp_path / "backup.zip"
    result = unchanged(directory, "backup", directory, target)
    assert result.status == 0
    result.says(f"{target}: sequence 8, ", "sha256", "read back and verified")
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="newer"))
    before = contents(directory)
    declined = unchanged(directory, "restore", target, directory, answer="n\n")
    assert declined.status == 1
    declined.says(
        "verified; store", "result    sequence 8, ", "data.before-restore-…", "Restore it?", "Nothing was changed."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.zip", "data"]
    result = command("restore", target, directory, "--yes", "--schema", SCHEMA)
    assert result.status == 0
    result.says("Done: ", "is at sequence 8")
    (kept,) = tmp_path.glob("data.before-restore-*")
    result.says(f"kept      {kept}")
    assert contents(kept) == before
    with Store(directory, fsync=False) as db:
        assert rows_of(db) == states[-1]


def test_as_processes(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure the commands work as programs, and a folder gets a name by time and sequence."""
    result = process("backup", directory, tmp_path)
    assert result.status == 0, result.err
    assert made(result.out).exists()
    result = process("restore", made(result.out), directory, "--yes", "--at", "3")
    assert result.status == 0, result.err
    with Store(directory, fsync=False) as db:
        assert rows_of(db) == states[3]


def test_beside_a_running_store(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure a store that another process has open, or that was killed, is backed up with what only its journal has."""
    assert states
    with second_process.kept_open(directory):
        assert command("backup", directory, tmp_path / "open.zip").status == 0
        refused = command("restore", tmp_path / "open.zip", directory, "--yes")
        assert refused.status == 3
        refused.says("is in use by process")
    with Store(directory, fsync=False) as db:
        sound = (directory / "db_snapshot.json").read_bytes()
        db.users.insert(User(id="late"))
        expected = rows_of(db)
        copy = killed(db, keep=sound)
    assert unchanged(copy, "backup", copy, tmp_path / "killed.zip").says("sequence 9").status == 0
    assert command("restore", tmp_path / "killed.zip", tmp_path / "new", "--yes").status == 0
    with Store(tmp_path / "new", fsync=False) as db:
        assert rows_of(db) == expected


def test_folders_by_schema_or_by_name(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure what is beside a store goes in as the class says, or as it is told, and that it says if it can't know."""
    assert states
    (directory / "blobs").mkdir(mode=0o700)
    (directory / "blobs" / "aa").write_bytes(b"a")
    assert command("backup", directory, tmp_path / "1.zip", "--folder", "blobs").status == 0
    assert command("restore", tmp_path / "1.zip", tmp_path / "one", "--yes").status == 0
    assert (tmp_path / "one" / "blobs" / "aa").read_bytes() == b"a"
    assert stat.S_IMODE((tmp_path / "one" / "blobs").stat().st_mode) == 0o700
    (directory / "db.lock").write_text("{}")
    command("backup", directory, tmp_path / "2.zip").says("Without --schema MODULE:DATABASE or --folder NAME")
    assert command("backup", directory, tmp_path / "3.zip", "--schema", BLOBS).says("3 files").status == 0


def test_rows_that_dont_fit_the_models(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure a backup that the models would refuse is not put in place."""
    assert states
    assert command("backup", directory, tmp_path / "x.zip").status == 0
    result = unchanged(directory, "restore", tmp_path / "x.zip", directory, "--yes", "--schema", BLOBS)
    assert result.status == 1
    result.says("problem: ", "doesn't fit the models; nothing was changed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "x.zip"]


def test_encrypted(directory: Path, states: list[Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure keys and passphrases, which are never arguments, and what to do without them."""
    key = pyrage.x25519.Identity.generate()
    keys = tmp_path / "keys"
    keys.write_text(f"{key}\n")
    target = tmp_path / "x.zip.age"
    assert command("backup", directory, target, "--to", key.to_public()).says("encrypted").status == 0
    command("restore", target, tmp_path / "new").says("is encrypted")
    command("restore", target, tmp_path / "new", "--identity", tmp_path / "nowhere").says("--identity: ")
    assert command("restore", target, tmp_path / "new", "--identity", keys, "--yes").status == 0
    with Store(tmp_path / "new", fsync=False) as db:
        assert rows_of(db) == states[-1]
    result = command("backup", directory, tmp_path / "y", "--passphrase")
    assert result.status == 2
    result.says("there is no terminal to ask on; set SNAPTABLE_PASSPHRASE")
    monkeypatch.setenv("SNAPTABLE_PASSPHRASE", "")
    assert command("backup", directory, tmp_path / "y", "--passphrase").status == 2


def test_what_was_purged_is_said(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure a restore says how many rows it leaves out, of the store that it replaces or of one that is named."""
    assert states
    assert command("backup", directory, tmp_path / "x.zip").status == 0
    with Store(directory, fsync=False) as db:
        db.history.purge("users", "zoe")
    assert command("backup", directory, tmp_path / "later.zip").status == 0
    result = command("restore", tmp_path / "x.zip", tmp_path / "new", "--erased", directory, "--yes")
    assert result.says("left out  1 row purged since", "2 users").status == 0
    assert command("restore", tmp_path / "x.zip", directory, "--yes").says("left out  1 row").status == 0
    result = command("restore", tmp_path / "later.zip", directory, "--yes")
    assert result.status == 0
    assert "left out" not in result.out


def test_wrong_calls(directory: Path, states: list[Rows], tmp_path: Path) -> None:
    """Ensure wrong paths, moments and files are told by name, with the status of their kind."""
    assert states
    target = tmp_path / "x.zip"
    assert command("backup", tmp_path / "nowhere", target).says("is not a directory").status == 2
    assert command("backup", directory, target).status == 0
    assert command("backup", directory, target).says("replaces nothing").status == 1
    assert command("backup", directory, directory / "db_journal" / "9.jsonl").says("store's own files").status == 1
    assert command("restore", target, tmp_path / "new", "--at", "9").says("--at: there is no commit 9 yet").status == 2
    assert command("restore", target, tmp_path / "new", "--at", "soon").says("is no moment").status == 2
    assert command("restore", directory / "db.lock", tmp_path / "new").says("no backup").status == 1
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    assert command("restore", target, tmp_path / "home", "--yes").says("takes the place of a store").status == 2
    assert not (tmp_path / "new").exists()


def test_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure each way to write a moment, in this machine's zone unless another is named."""
    assert wanted_moment("57") == 57
    assert wanted_moment("~3") == CommitsAgo(3)
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert wanted_moment("2026-11-28T12:00:00Z") == noon
    assert wanted_moment("2026-11-28T13:00+01:00") == noon
    assert wanted_moment("2026-11-28T14:00") == datetime(2026, 11, 28, 14).astimezone()
    before, found, after = datetime.now().astimezone(), wanted_moment("00:01"), datetime.now().astimezone()
    # Midnight may lie between; and the clocks may have been changed since.
    assert found in {datetime.combine(each.date(), time(0, 1)).astimezone() for each in (before, after)}
    for text, ago in (("2h", timedelta(hours=2)), ("5min", timedelta(minutes=5)), ("3d", timedelta(days=3))):
        moment = wanted_moment(text)
        assert isinstance(moment, datetime)
        assert abs(datetime.now(UTC) - ago - moment) < timedelta(minutes=1)


def test_the_models_are_those_that_made_it(tmp_path: Path) -> None:
    """Ensure a backup names its Database class, and a restore checks against it."""
    from tests.snaptable.backup.support import Store as Blobs

    with Blobs(tmp_path / "data", banner=False, fsync=False) as db:
        assert isinstance(db, Database)
        db.backup(tmp_path / "x.zip")
    os.chdir(Path(__file__).parents[3])
    result = command("restore", tmp_path / "x.zip", tmp_path / "new", "--yes")
    assert result.status == 0
    assert "Warning" not in result.out
