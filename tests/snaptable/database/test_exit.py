"""A program that ends without closing its database: nothing is lost, and nothing hangs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading, time
from snaptable import Database, Row, Table

class Item(Row):
    id: str

class Store(Database):
    items: Table[Item]

db = Store(sys.argv[1], snapshot="background").open()
db.items.insert(Item(id="a"))
"""

HOLDING = """
def hold():
    with db.transaction():
        db.items.insert(Item(id="never"))
        begun.set()
        time.sleep(600)

begun = threading.Event()
threading.Thread(target=hold, daemon=True).start()
begun.wait()
"""

FORKING = """
import os
if os.fork() == 0:
    sys.exit(0)
os.wait()
db.items.insert(Item(id="b"))
"""


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    arguments = [sys.executable, "-W", "ignore", "-c", code, str(directory)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)


def items(directory: Path) -> list[str]:
    """Return the keys in the snapshot."""
    return list(json.loads((directory / "db_snapshot.json").read_bytes())["items"])


def test_the_last_snapshot_is_saved_at_the_end_of_the_program(tmp_path: Path) -> None:
    """Without close(), the snapshot still holds everything once the program has ended, and the journal its mark."""
    run(PROGRAM, tmp_path)
    assert items(tmp_path) == ["a"]
    assert b'"frame":"closed"' in (tmp_path / "db_journal" / "1.jsonl").read_bytes()


def test_a_transaction_held_for_ever_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    """A daemon thread inside a transaction is not waited for; what was committed is in the journal."""
    run(PROGRAM + HOLDING, tmp_path)
    assert b'"a"' in (tmp_path / "db_journal" / "1.jsonl").read_bytes()
    assert b"never" not in (tmp_path / "db_journal" / "1.jsonl").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork here")
def test_a_fork_that_ends_leaves_the_store_to_its_parent(tmp_path: Path) -> None:
    """The end of a forked child closes nothing; the parent writes on."""
    run(PROGRAM + FORKING, tmp_path)
    assert items(tmp_path) == ["a", "b"]
