"""`snaptable check`: what is sound is called sound, what isn't is named by place and reason, and nothing is changed."""

import json
import os
import random
import shutil
import socket
from pathlib import Path

import pytest
from tests.snaptable.cli.support import SCHEMA, command, process, unchanged
from tests.snaptable.maintenance.support import edit, fill
from tests.snaptable.storage.snapshot.test_bad_snapshot import swap
from tests.snaptable.storage.support import JOURNAL, QUARANTINE, SNAPSHOT, Rows, Store, User, sealed, segments

from snaptable import OpenError


def test_a_sound_store(directory: Path, states: list[Rows]) -> None:
    """Ensure a closed store is sound with and without its models, the report tells what it holds, nothing changes."""
    assert states
    unchanged(directory, "check", directory).says("sound", "sequence 8", "3 users, 2 posts", "--schema")
    result = unchanged(directory, "check", directory, "--schema", SCHEMA)
    assert result.status == 0
    assert "--schema" not in result.out


def test_as_a_process(directory: Path, states: list[Rows]) -> None:
    """Ensure `python -m snaptable` gives report and exit status, 0 and 1, and 2 for a wrong call."""
    assert states
    assert process("check", directory, "--schema", SCHEMA).says("sound").status == 0
    (directory / SNAPSHOT).write_bytes(b"")
    assert process("check", directory).says("1 problem", SNAPSHOT).status == 1
    assert process("check", directory.parent / "nowhere").says("nowhere").status == 2
    assert process("chekc", directory).status == 2


def test_wrong_calls(directory: Path, states: list[Rows]) -> None:
    """Ensure a directory that holds no store, and a schema that is none, are told from a store with problems."""
    assert states
    assert command("check").status == 2
    assert command("check", directory.parent).says("no store").status == 2
    for schema in (
        "x",
        "nowhere:Store",
        "tests.snaptable.storage.support:Nope",
        "tests.snaptable.storage.support:User",
    ):
        assert command("check", directory, "--schema", schema).says(schema).status == 2


def test_killed_after_any_commit(behind: Path) -> None:
    """Ensure a store that was killed, its snapshot behind the journal or gone, is sound: the next start heals it."""
    assert unchanged(behind, "check", behind, "--schema", SCHEMA).says("sequence 8", "3 users, 2 posts").status == 0
    (behind / SNAPSHOT).unlink()
    assert unchanged(behind, "check", behind, "--schema", SCHEMA).says("sequence 8", "rebuilds").status == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"note":"plain"', '"note":"plain', ["line 5", 'users["bob"]']),
        ('"note":"plain"', '"note":NaN', ["line 5", 'users["bob"]', "NaN"]),
        ('"note":"plain"', '"note":"x","note":"y"', ["line 5", 'users["bob"]', "twice"]),
        ('"note":"plain"', '"note":' + "[" * 150 + "]" * 150, ["line 5", 'users["bob"]', "nested"]),
        ('"users": 3', '"users": 4', ["users has 3 rows", "4"]),
        ('"sequence": 8', '"sequence": "8"', ["header"]),
        ('"format": 1', '"format": 7', ["format 7"]),
    ],
)
def test_a_damaged_snapshot(directory: Path, states: list[Rows], old: str, new: str, words: list[str]) -> None:
    """Ensure the place and the reason are named, whether the checksum gives the damage away or not."""
    assert states
    damaged = swap(old, new)((directory / SNAPSHOT).read_bytes())
    for data in (damaged, sealed(damaged)):
        (directory / SNAPSHOT).write_bytes(data)
        result = unchanged(directory, "check", directory)
        assert result.status == 1
        result.says(*(words if data != damaged or "line 5" in words else [SNAPSHOT]))


def test_every_damaged_row_is_named(directory: Path, states: list[Rows]) -> None:
    """Ensure the report does not end with the first row that is damaged."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"plain')
    edit(directory / SNAPSHOT, '"text":"two"', '"text":NaN')
    unchanged(directory, "check", directory).says('users["bob"]', 'posts["2"]', "line 5", "NaN")


def test_an_edit_is_told_from_damage(directory: Path, states: list[Rows]) -> None:
    """Ensure valid JSON with a wrong checksum points at `snaptable accept`."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    assert unchanged(directory, "check", directory).says(f"snaptable accept {directory}").status == 1


def test_torn_or_damaged(behind: Path) -> None:
    """Ensure a torn end is a notice, and damage with whole frames behind it, or behind a clean close, a problem."""
    path = behind / JOURNAL / "1.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert unchanged(behind, "check", behind, "--schema", SCHEMA).says("sequence 7", "notice", "1.jsonl").status == 0
    path.write_bytes(data.replace(b"eve", b"EVE", 1))
    found = unchanged(behind, "check", behind, "--json")
    (problem,) = json.loads(found.out)["problems"]
    assert problem["byte"] == data.rindex(b'{"frame":', 0, data.index(b"eve"))
    assert problem["file"] == f"{JOURNAL}/1.jsonl"
    assert "snaptable repair" in problem["reason"]
    assert found.status == 1


@pytest.mark.usefixtures("small_segments")
def test_damage_in_history_is_found(directory: Path) -> None:
    """Ensure a damaged file that opening never reads is a problem too, and each of several is named."""
    with Store(directory, fsync=False) as db:
        fill(db)
    for name in ("2.jsonl", "5.jsonl"):
        path = directory / JOURNAL / name
        path.write_bytes(path.read_bytes().replace(b'"key":"', b'"kee":"', 1))
    result = unchanged(directory, "check", directory).says("2 problems", "2.jsonl", "5.jsonl", "history", "repair")
    assert result.status == 1
    with Store(directory, fsync=False, read_only=True) as db:
        assert db.users.count() == 3


@pytest.mark.usefixtures("small_segments")
def test_a_file_that_is_missing_renamed_or_foreign(directory: Path, tmp_path: Path) -> None:
    """Ensure every break in the chain of journal files is a problem, in history as well."""
    for where in (directory, tmp_path / "foreign"):
        with Store(where, fsync=False) as db:
            fill(db)
    journal = directory / JOURNAL
    for first in (1, 3, 5, 8):
        whole = (journal / f"{first}.jsonl").read_bytes()
        (journal / f"{first}.jsonl").write_bytes((tmp_path / "foreign" / JOURNAL / f"{first}.jsonl").read_bytes())
        assert unchanged(directory, "check", directory).says("another store", f"{first}.jsonl").status == 1
        (journal / f"{first}.jsonl").unlink()
        assert unchanged(directory, "check", directory).status == (0 if first == 1 else 1)
        (journal / f"{first}.jsonl").write_bytes(whole)
    (journal / "8.jsonl").rename(journal / "9.jsonl")
    assert unchanged(directory, "check", directory).says("renamed").status == 1


def test_any_flipped_bit_is_found(directory: Path, states: list[Rows]) -> None:
    """Ensure one wrong bit anywhere in the snapshot, or in the journal but for its last line, is a problem."""
    assert states
    chance = random.Random(3)
    for path in (directory / SNAPSHOT, *segments(directory)):
        data = path.read_bytes()
        # Only the very last line may be taken for torn by a crash: nothing whole lies behind it.
        end = len(data) if path.name == SNAPSHOT else data.rindex(b"\n", 0, -1)
        for position in range(0, end, 23):
            damaged = bytearray(data)
            damaged[position] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            assert command("check", directory).status == 1, (path.name, position)
        path.write_bytes(data)
    assert command("check", directory).status == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"note":"plain"', '"note":7', ["line 5", 'users["bob"]', "note"]),
        ('"email":"b@x"', '"email":"a@x"', ["email", "users"]),
        ('"user_id":"ann"', '"user_id":"nobody"', ["posts", "user_id", "nobody"]),
        ('"1": {"id":1', '"1": {"id":7', ['posts["1"]', "another key"]),
    ],
    ids=["type", "unique", "foreign key", "key"],
)
def test_rows_that_do_not_fit_the_models(
    directory: Path, states: list[Rows], old: str, new: str, words: list[str]
) -> None:
    """Ensure what the models forbid is a problem with --schema, by row and reason, and none without."""
    assert states
    (directory / SNAPSHOT).write_bytes(sealed(swap(old, new)((directory / SNAPSHOT).read_bytes())))
    assert command("check", directory).status == 0
    assert unchanged(directory, "check", directory, "--schema", SCHEMA).says(*words).status == 1


def test_the_report_for_machines(directory: Path, states: list[Rows]) -> None:
    """Ensure --json gives the same verdict with every place as a number."""
    assert states
    sound = json.loads(unchanged(directory, "check", directory, "--json").out)
    assert sound["sound"] is True
    assert sound["sequence"] == 8
    assert sound["closed"] is True
    assert sound["rows"] == {"users": 3, "posts": 2, "tokens": 0}
    assert sound["journal"] == {"files": 1, "sequences": [1, 8]}
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"plain')
    (problem,) = json.loads(command("check", directory, "--json").out)["problems"]
    assert problem["line"] == 5
    assert (problem["table"], problem["key"]) == ("users", "bob")


def test_what_else_lies_there(directory: Path, states: list[Rows]) -> None:
    """Ensure leftovers, the quarantine's files and files that others may read are mentioned, and no problem."""
    assert states
    (directory / f".db_snapshot.{'0' * 32}.tmp").write_bytes(b"half")
    (directory / QUARANTINE).mkdir(mode=0o700)
    shutil.copy(directory / SNAPSHOT, directory / QUARANTINE / "old")
    (directory / SNAPSHOT).chmod(0o644)
    result = unchanged(directory, "check", directory)
    result.says(".tmp", "quarantine/old", "whole snapshot of sequence 8", "chmod 600")
    assert result.status == 0
    directory.chmod(0o777)
    assert command("check", directory).says("chmod 700").status == 1


def test_files_that_are_no_files(directory: Path, states: list[Rows]) -> None:
    """Ensure a symlink, a FIFO, a socket or a folder in a file's place is a problem, and none blocks the command."""
    assert states
    snapshot = directory / SNAPSHOT
    snapshot.rename(directory / "real")
    snapshot.symlink_to("real")
    assert command("check", directory).says("symlink").status == 1
    snapshot.unlink()
    os.mkfifo(snapshot)
    assert command("check", directory).says("not a regular file").status == 1
    snapshot.unlink()
    (directory / "real").rename(snapshot)
    (directory / JOURNAL / "1.jsonl").unlink()
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(directory / JOURNAL / "1.jsonl"))
        assert command("check", directory).says("not a regular file").status == 1
    (directory / JOURNAL).rename(directory / "aside")
    (directory / JOURNAL).write_bytes(b"")
    assert json.loads(command("check", directory, "--json").out)["sound"] is False


def test_the_older_format(directory: Path) -> None:
    """Ensure a stop-gap file is recognised and no problem, unless it is damaged."""
    directory.mkdir(mode=0o700)
    (directory / SNAPSHOT).write_text('{"users": {"ann": {"id": "ann"}}, "users_by_email": {}}')
    (directory / SNAPSHOT).chmod(0o600)
    assert unchanged(directory, "check", directory, "--schema", SCHEMA).says("older format", "1 users").status == 0
    (directory / SNAPSHOT).write_text('{"users": {"ann"')
    assert unchanged(directory, "check", directory).says("damaged").status == 1


def test_beside_a_running_writer(directory: Path) -> None:
    """Ensure a store that is being written, its files replaced and pruned meanwhile, is sound at every moment."""
    with Store(directory, fsync=False) as db:
        for number in range(60):
            db.users.insert(User(id=str(number)))
            assert command("check", directory, "--schema", SCHEMA).status == 0


def test_it_agrees_with_opening(directory: Path, states: list[Rows]) -> None:
    """Ensure no store that opening refuses is called sound, over damage of every kind at random places."""
    assert states
    chance = random.Random(11)
    whole = {path: path.read_bytes() for path in (directory / SNAPSHOT, *segments(directory))}
    for number in range(80):
        path, data = chance.choice(list(whole.items()))
        start, size = chance.randrange(len(data)), chance.choice([1, 8, 200])
        path.write_bytes(data[:start] + chance.choice([b"", bytes(size), b"\n"]) + data[start + size :])
        status = command("check", directory).status
        shutil.copytree(directory, copy := directory.parent / str(number))
        try:
            Store(copy, fsync=False).open().close()
        except OpenError:
            assert status == 1
        path.write_bytes(data)
