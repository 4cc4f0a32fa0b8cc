"""`snaptable accept`: an edit is shown, asked about, checked, and becomes a commit like any other."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.snaptable.cli.support import ROOT, SCHEMA, command, nothing_lost, process, unchanged
from tests.snaptable.maintenance.support import contents, edit, fill, lift
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Post,
    Rows,
    Store,
    User,
    expect_refusal,
    killed,
    opened,
    parse_snapshot,
    read_snapshot,
    segments,
)

from snaptable import SchemaMismatch, SnapshotEdited
from snaptable.maintenance.external_edit import examine
from snaptable.maintenance.models import validator_of


def check_accepted(directory: Path, *words: str, sequence: int = 9, schema: bool = True) -> Rows:
    """Check that an edit is shown, taken over after a yes, and part of an unbroken history; return the rows."""
    arguments = ["--schema", SCHEMA] if schema else []
    expect_refusal(directory, SnapshotEdited, f"snaptable accept {directory}")
    if not schema:
        forget_models(directory)
    for answer, status in (("", 2), ("n\n", 1)):
        assert unchanged(directory, "accept", directory, *arguments, answer=answer).says(*words).status == status
    before = contents(directory)
    assert command("accept", directory, *arguments, answer="y\n").says(*words, f"sequence {sequence}").status == 0
    assert before[SNAPSHOT] in [path.read_bytes() for path in (directory / QUARANTINE).iterdir()]
    assert command("check", directory, "--schema", SCHEMA).says(f"sequence {sequence}", "closed").status == 0
    header, rows = read_snapshot(directory)
    assert header["sequence"] == sequence
    assert unchanged(directory, "accept", directory).says("no edit").status == 0
    shutil.copytree(directory, rebuilt := directory.parent / "rebuilt")
    assert opened(directory) == rows
    if (rebuilt / JOURNAL / "1.jsonl").exists():
        (rebuilt / SNAPSHOT).unlink()
        assert opened(rebuilt) == rows
    return rows


def forget_models(directory: Path) -> None:
    """Forget which models opened a store last."""
    (directory / "db.lock").write_bytes(b"")


def test_changed_added_and_removed(directory: Path, states: list[Rows]) -> None:
    """Ensure rows changed, added and removed are shown by table, key and field, and are what the store holds then."""
    snapshot = directory / SNAPSHOT
    edit(snapshot, '"note":"märk"', '"note":"mörk"')
    edit(snapshot, '"zoe": {"id":"zoe","email":"z@x","note":""}', '"new": {"id":"new"}')
    edit(snapshot, '"text":"one"', '"text":"uno"')
    rows = check_accepted(
        directory, "users", '~ "ann"', 'note: "märk" -> "mörk"', '- "zoe"', '+ "new"', 'text: "one" -> "uno"'
    )
    assert list(rows["users"]) == ["ann", "bob", "new"]
    assert rows["users"]["new"] == {"id": "new", "email": None, "note": ""}
    assert rows["users"]["ann"] == {**states[8]["users"]["ann"], "note": "mörk"}
    assert rows["posts"]["1"]["text"] == "uno"


def test_the_commit_is_a_commit(directory: Path, states: list[Rows]) -> None:
    """Ensure the journal holds the edit as one frame that follows the last one, and the store goes on from there."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    check_accepted(directory, 'note: "plain" -> "other"')
    lines = (directory / JOURNAL / "9.jsonl").read_text().splitlines()
    frame = json.loads(lines[1])
    assert frame["frame"] == [9, 9]
    assert frame["previous"] == json.loads((directory / JOURNAL / "1.jsonl").read_text().splitlines()[-2])["check"]
    assert [change["replace"] for change in frame["commits"][0]["changes"]] == ["users"]
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="next"))
        copy = killed(db)
    (copy / SNAPSHOT).unlink()
    assert opened(copy)["users"]["bob"]["note"] == "other"
    assert command("check", copy, "--schema", SCHEMA).says("sequence 10").status == 0


@pytest.mark.parametrize(
    "layout",
    [{"indent": 2}, {"separators": (",", ":")}, {"sort_keys": True, "indent": 4}, {"ensure_ascii": True}],
    ids=["indent", "one line", "sorted", "ascii"],
)
def test_laid_out_anew(directory: Path, states: list[Rows], layout: dict[str, object]) -> None:
    """Ensure a file that jq or an editor laid out anew is taken back as it was, with no commit for it."""
    path = directory / SNAPSHOT
    text = json.dumps(json.loads(path.read_bytes()), **layout)  # type: ignore[arg-type]
    path.write_text(text)
    assert check_accepted(directory, "no row was changed", sequence=8) == states[8]
    path.write_text(text.replace("plain", "other"))
    shutil.rmtree(directory.parent / "rebuilt")
    assert check_accepted(directory, 'note: "plain" -> "other"')["users"]["bob"]["note"] == "other"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("options", [["."], ["-S", "."], ["-c", "."], ['.users.bob.note = "jq"']])
def test_with_jq(directory: Path, states: list[Rows], options: list[str]) -> None:
    """Ensure what jq writes is taken back, values exactly as they were, but for the one that it was told to change."""
    path = directory / SNAPSHOT
    path.write_bytes(subprocess.run(["jq", *options, str(path)], capture_output=True, check=True).stdout)
    changed = "jq" in options[0]
    rows = check_accepted(directory, '"plain" -> "jq"' if changed else "no row was changed", sequence=8 + changed)
    assert rows["posts"] == states[8]["posts"]
    assert rows["users"]["bob"]["note"] == ("jq" if changed else "plain")


def test_header_and_checksum_do_not_matter(directory: Path, states: list[Rows]) -> None:
    """Ensure counts and checksum are made right again, also where the checksum's line was taken out."""
    path = directory / SNAPSHOT
    data = path.read_bytes()
    path.write_bytes(
        re.sub(rb',\n"checksum".*', b"\n}\n", data, flags=re.DOTALL).replace(b'"users": 3', b'"users": 99')
    )
    assert check_accepted(directory, "no row was changed", sequence=8) == states[8]
    assert parse_snapshot(path.read_bytes())


def test_a_number_that_was_never_given_out(directory: Path, states: list[Rows]) -> None:
    """Ensure a numbered row added by hand moves the counter, so that its number is not given out again."""
    assert states
    edit(directory / SNAPSHOT, '"1": {"id":1', '"40": {"id":40,"user_id":"bob"},\n"1": {"id":1')
    assert list(check_accepted(directory, '+ "40"')["posts"]) == ["1", "2", "40"]
    with Store(directory, fsync=False) as db:
        assert db.posts.insert(Post(user_id="bob")).id == 41


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"note":"plain"', '"note":7', ["bob", "note", "valid string"]),
        ('"note":"plain"', '"note":"plain","admin":true', ["bob", "admin"]),
        ('"email":"b@x"', '"email":"a@x"', ["users", "email"]),
        ('"user_id":"ann"', '"user_id":"nobody"', ["posts", "user_id", "nobody"]),
        ('"tokens": {\n', '"people": {\n"x": {"id":"x"}\n', ["people"]),
        ('"tokens": {\n', '"tokens": {\n"x": {"id":"x"}\n', ["tokens"]),
    ],
    ids=["type", "unknown field", "unique", "foreign key", "unknown table", "key"],
)
def test_what_breaks_the_schema_is_refused(
    directory: Path, states: list[Rows], old: str, new: str, words: list[str]
) -> None:
    """Ensure an edit that the models forbid is refused by row and reason, and nothing is changed."""
    assert states
    edit(directory / SNAPSHOT, old, new)
    result = unchanged(directory, "accept", directory, "--yes", "--schema", SCHEMA)
    assert result.says(*words, "nothing was changed").status == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"note":"plain"', '"note":"plain', ["damaged"]),
        ('"note":"plain"', '"note":NaN', ["NaN"]),
        ('"note":"plain"', '"note":"a","note":"b"', ["twice"]),
        ('"bob": {"id":"bob"', '"rob": {"id":"bob"', ["users['rob'].id", "another key"]),
        ('"bob": {', '"rob": 5, "bob": {', ["users['rob']", "no row"]),
        ('"tokens": {\n}', '"tokens": []', ["tokens", "no table"]),
        ('"note":"plain"', '"note":' + "[" * 100 + "]" * 100, ["nested", "byte 450"]),
        ('"format": 1', '"format": 2', ["format 2"]),
        ('"sequence": 8, ', "", ["header"]),
        ('"snaptable": {', '"other": {', ["snapshot"]),
    ],
)
def test_what_is_refused_without_a_schema(
    directory: Path, states: list[Rows], old: str, new: str, words: list[str]
) -> None:
    """Ensure damage, and structure that no models are needed to judge, is refused with the reason."""
    assert states
    edit(directory / SNAPSHOT, old, new)
    assert unchanged(directory, "accept", directory, "--yes").says(*words).status == 1


def test_without_a_schema_it_warns(directory: Path, states: list[Rows]) -> None:
    """Ensure an edit is taken over without models too, saying that types were not checked."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    check_accepted(directory, "were not checked", schema=False)


def test_as_a_process(directory: Path, states: list[Rows]) -> None:
    """Ensure the command works from a shell: shown, not done without an answer, done with --yes."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    assert process("accept", directory, "--schema", SCHEMA).says('note: "plain" -> "other"', "--yes").status == 2
    declined = process("accept", directory, "--schema", SCHEMA, answer="n\n")
    assert declined.says("Take it over? [y/N]", "Nothing was changed").status == 1
    assert process("accept", directory, "--schema", SCHEMA, "--yes").says("Done").status == 0
    assert opened(directory)["users"]["bob"]["note"] == "other"


def test_newer_commits_stay(behind: Path, states: list[Rows]) -> None:
    """Ensure an edit of a snapshot that a kill left behind the journal is added to the commits it did not hold."""
    edit(behind / SNAPSHOT, '"note":"plain"', '"note":"other"')
    rows = check_accepted(behind, 'note: "plain" -> "other"', "6 commits of the journal")
    assert rows["posts"] == states[8]["posts"]
    assert rows["users"]["bob"]["note"] == "other"
    assert "zoe" in rows["users"]


def test_an_edit_against_a_newer_commit(behind: Path) -> None:
    """Ensure a row that a later commit changed as well is refused by name: neither of them is lost."""
    edit(
        behind / SNAPSHOT, '"ann": {"id":"ann","email":"a@x","note":""}', '"ann": {"id":"ann","email":"a@x","note":"x"}'
    )
    result = unchanged(behind, "accept", behind, "--yes", "--schema", SCHEMA)
    assert result.says("users['ann']", "changed the row as well").status == 1


def test_many_changes_are_counted(directory: Path) -> None:
    """Ensure each table's changes are counted, the first 20 shown, and all of them with --all."""
    with Store(directory, fsync=False) as db:
        db.users.insert_many([User(id=f"user {number}") for number in range(70)])
        db.posts.insert_many([Post(user_id="user 0") for _ in range(3)])
    plain = json.loads((directory / SNAPSHOT).read_bytes())
    for number in range(30):
        plain["users"][f"user {number}"]["note"] = "x"
        del plain["users"][f"user {69 - number}"]
        plain["users"][f"new {number}"] = {"id": f"new {number}"}
    plain["posts"]["2"]["text"] = "x"
    (directory / SNAPSHOT).write_text(json.dumps(plain, indent=2))
    few = unchanged(directory, "accept", directory, "--schema", SCHEMA, answer="n\n")
    few.says("users: 30 changed, 30 added, 30 removed", "… and 70 more; --all shows them", "posts: 1 changed", '~ "2"')
    assert (few.out.count('note: "" -> "x"'), few.out.count("more")) == (20, 1)
    every = unchanged(directory, "accept", directory, "--schema", SCHEMA, "--all", answer="n\n")
    assert [every.out.count(f'\n  {mark} "') for mark in "~+-"] == [31, 30, 30]
    assert "more" not in every.out
    assert command("accept", directory, "--schema", SCHEMA, "--yes").status == 0
    assert "new 29" in opened(directory)["users"]


def test_what_is_refused_is_named_by_its_line(directory: Path, states: list[Rows]) -> None:
    """Ensure a refused row is named once, by its line in the file as the user laid it out."""
    assert states
    path = directory / SNAPSHOT
    for layout in ({"indent": 2}, {"indent": None}):
        plain = json.loads(path.read_bytes())
        plain["users"]["bob"]["note"] = 7
        plain["posts"]["2"]["user_id"] = "bob"
        text = json.dumps(plain, **layout)
        path.write_text(text)
        line = text[: text.index('"bob": {')].count("\n") + 1
        result = unchanged(directory, "accept", directory, "--yes", "--schema", SCHEMA)
        assert result.says(str(path), f"\n  line {line}: users['bob']", "note", "nothing was changed").status == 1
        assert "byte" not in result.err
    files = lift(directory)
    with pytest.raises(SchemaMismatch) as raised:
        examine(files, path.read_bytes(), validator_of(Store))
    assert (raised.value.path, raised.value.line) == (str(files.path(SNAPSHOT)), 1)


def test_one_newer_commit_stays(tmp_path: Path) -> None:
    """Ensure a single commit that the edited file doesn't hold is spoken of in the singular."""
    with Store(tmp_path / "data", fsync=False) as db:
        db.users.insert(User(id="ann"))
        first = (tmp_path / "data" / SNAPSHOT).read_bytes()
        db.users.insert(User(id="bob"))
        copy = killed(db, keep=first.replace(b'"note":""', b'"note":"x"'))
    assert (
        command("accept", copy, "--yes").says("1 commit of the journal that the file didn't hold yet stays.").status
        == 0
    )


def test_the_first_line_says_what_was_not_checked(directory: Path, states: list[Rows]) -> None:
    """Ensure that without models the warning comes before the changes, not behind them."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    forget_models(directory)
    result = unchanged(directory, "accept", directory, answer="n\n")
    assert "were not checked" in result.out.splitlines()[0]


def test_the_models_that_opened_the_store_last_are_used(directory: Path, states: list[Rows]) -> None:
    """Ensure an edit is checked against them without being told to, and that a tool's own lock keeps their name."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":7')
    for _ in range(2):
        result = unchanged(directory, "accept", directory, "--yes")
        assert result.says("users['bob'].note", "valid string", "nothing was changed").status == 1
    edit(directory / SNAPSHOT, '"note":7', '"note":"x"')
    result = command("accept", directory, "--yes").says("Done")
    assert result.out.splitlines()[0].startswith(f"Checked against {SCHEMA}, which opened the store last")
    assert opened(directory)["users"]["bob"]["note"] == "x"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.away:Store", "No module named 'gone'"),
        ("tests.snaptable.storage.support:Gone", "has no attribute 'Gone'"),
        ("tests.snaptable.storage.support:User", "is not a Database"),
        ("this", ""),
    ],
)
def test_models_that_can_not_be_imported(directory: Path, states: list[Rows], name: str, reason: str) -> None:
    """Ensure the first line says which models they were, why they could not be used, and what was not checked."""
    assert states
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":7')
    (directory / "db.lock").write_text(json.dumps({"pid": 1, "host": "x", "since": "", "models": name}))
    result = unchanged(directory, "accept", directory, answer="n\n")
    first = result.out.splitlines()[0]
    assert "were not checked" in first
    assert name in first
    assert reason in first


def test_a_module_that_opens_the_store_can_not_change_it(directory: Path, tmp_path: Path) -> None:
    """Ensure models are imported only if there is an edit, and while the store is locked."""
    (tmp_path / "opener.py").write_text(
        "from tests.snaptable.storage.support import Store, User\n"
        f"class Mine(Store): pass\nwith Mine({str(directory)!r}) as db: db.users.insert(User())\n"
    )
    code = "import opener"
    for _ in range(2):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    rows = opened_by(directory)
    assert len(rows) == 2
    for change in ("", "x"):
        path = directory / SNAPSHOT
        path.write_text(path.read_text().replace('"note":""', f'"note":"{change}"', 1))
        line = [sys.executable, "-m", "snaptable", "accept", str(directory)]
        result = subprocess.run(line, env=environment, input="n\n", capture_output=True, text=True, check=False)
        assert ("in use" in result.stdout) == bool(change), result
        assert result.returncode == bool(change)
    path.write_text(path.read_text().replace('"note":"x"', '"note":""'))
    assert opened_by(directory) == rows


def opened_by(directory: Path) -> Rows:
    """Return the users in a store's snapshot, without opening it."""
    return parse_snapshot((directory / SNAPSHOT).read_bytes())[1]["users"]


def test_where_history_does_not_reach_back(directory: Path, states: list[Rows]) -> None:
    """Ensure that without the state before, the content is taken as it is, and the old journal is set aside whole."""
    assert states
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="ten"))
    (directory / JOURNAL / "1.jsonl").unlink()
    edit(directory / SNAPSHOT, '"note":"plain"', '"note":"other"')
    before = contents(directory)
    rows = check_accepted(directory, "only the new content", "4 users, 2 posts", sequence=10)
    nothing_lost(directory, before)
    assert rows["users"]["bob"]["note"] == "other"
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="more"))
    assert [path.name for path in segments(directory)] == ["11.jsonl"]
    # The old journal, put back, is not taken for this history.
    (directory / JOURNAL / "9.jsonl").write_bytes(before[f"{JOURNAL}/9.jsonl"])
    assert command("check", directory).status == 1


def test_newer_commits_without_history(behind: Path) -> None:
    """Ensure commits that would be lost are not: the edit is refused, saying which and what to do."""
    edit(behind / SNAPSHOT, '"note":"plain"', '"note":"other"')
    path = behind / JOURNAL / "1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"ann"', b'"ANN"', 1))
    result = unchanged(behind, "accept", behind, "--yes")
    assert result.says("commits 3 to 8", "would be lost").status == 1


def test_no_snapshot_at_all(directory: Path, states: list[Rows]) -> None:
    """Ensure a missing snapshot is told from an edited one."""
    assert states
    (directory / SNAPSHOT).unlink()
    assert command("accept", directory).says("no db_snapshot.json").status == 2


def test_history_stays_continuous(directory: Path) -> None:
    """Ensure edits between ordinary work, several in a row, leave one history that rebuilds every state."""
    with Store(directory, fsync=False) as db:
        fill(db)
    for number in range(3):
        edit(directory / SNAPSHOT, f'"text":"two{"!" * number}"', f'"text":"two{"!" * (number + 1)}"')
        assert command("accept", directory, "--yes", "--schema", SCHEMA).status == 0
        with Store(directory, fsync=False) as db:
            db.users.insert(User(id=f"user {number}"))
    assert command("check", directory, "--schema", SCHEMA).says("sequences 1 to 14", "sequence 14").status == 0
    rows = opened(directory)
    (directory / SNAPSHOT).unlink()
    assert opened(directory) == rows
    assert rows["posts"]["2"]["text"] == "two!!!"
