"""What every command writes for programs: one JSON document and nothing else; and nothing when told to be quiet."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.cli.library import SCHEMA, filled
from tests.snaptable.cli.support import Result, command


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a store in the working directory, and let its models be known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPTABLE_SCHEMA", SCHEMA)
    return filled(tmp_path / "data")


def parsed(result: Result, status: int = 0) -> Any:
    """Return the document that is all of the output."""
    assert result.status == status, result.err
    return json.loads(result.out)


def test_looking_after_as_json(store: Path) -> None:
    """Ensure what each of these did, or would do, is one document."""
    assert parsed(command("check", store, "--json"))["sound"] is True
    made = parsed(command("backup", store, "b.zip", "--json"))
    assert (made["sequence"], made["encrypted"]) == (7, False)
    restored = parsed(command("restore", "b.zip", "new", "--yes", "--json"))
    assert (restored["sequence"], restored["kept"]) == (7, None)
    assert parsed(command("migrate", store, "--dry-run", "--json"))["pending"] == []
    assert parsed(command("repair", store, "--yes", "--json"))["needed"] is False
    assert parsed(command("accept", store, "--json"))["accepted"] is False
    snapshot = store / "db_snapshot.json"
    snapshot.write_bytes(snapshot.read_bytes().replace(b"sesame-2", b"sesame-3").replace(b'"Anna"', b'"Anne"'))
    accepted = command("accept", store, "--yes", "--json")
    assert "sesame" not in accepted.out
    assert parsed(accepted)["changes"][0]["after"]["name"] == "Anne"
    snapshot.write_bytes(snapshot.read_bytes()[:-30])
    plan = parsed(command("repair", store, "--dry-run", "--json"))
    assert (plan["needed"], plan["done"], plan["lost"]) == (True, False, [])
    assert parsed(command("check", store, "--json"), 1)["sound"] is False
    assert parsed(command("repair", store, "--yes", "--json"))["done"] is True
    assert parsed(command("tables", "-s", store, "--json"))["sequence"] == 8


def test_json_never_asks(store: Path) -> None:
    """Ensure --json without --yes is exit 2 where something would be asked, whatever is piped in."""
    for asked in (["undo", "7"], ["rewind", "--at", "1"], ["purge", "users", "bob"], ["restore", "b.zip", "new"]):
        command("backup", store, "b.zip")
        assert command(*asked, "--json", answer="y\n").says("--yes").status == 2
    assert parsed(command("tables", "-s", store, "--json"))["sequence"] == 7


def test_quiet(store: Path) -> None:
    """Ensure -q leaves results and errors: of what looks its rows, of what acts nothing."""
    assert command("check", store, "-q").out == ""
    assert command("undo", "7", "--yes", "-q").out == ""
    assert command("find", "notes", "-q").out == "1\tann\tmilk\n"
    assert command("tables", "-q", "-s", "nowhere").says("nowhere").status == 2


def test_help_of_every_command() -> None:
    """Ensure each command explains itself, with usage and options."""
    listed = command("--help").out
    for section in ("Look:", "Change:", "Look after:", "Carry:", "Serve:"):
        assert section in listed
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2:3].islower()]
    assert {"tables", "undo", "check", "export", "serve", "move", "git", "completion"} <= set(names)
    for name in (each for each in names if each.isalpha()):
        if command(name, "--help").status == 0:
            command(name, "--help").says("usage: ", "--json", "--no-color")
