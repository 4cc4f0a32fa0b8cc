"""Real processes, killed with SIGKILL at any moment while they write: all they acknowledged is there."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.snaptable.storage.support import SNAPSHOT, Store, parse_snapshot

ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("SNAPTABLE_KILLS", "2"))
"""Kills for each way of writing and each policy."""


@pytest.fixture
def tmp_path(on_disk: Path) -> Path:
    """Give a folder on the disk."""
    return on_disk


@contextmanager
def child(directory: Path, mode: str, policy: str = "auto") -> Iterator[subprocess.Popen[bytes]]:
    """Run a writing process; it is killed at the end."""
    command = [sys.executable, "-m", "tests.snaptable.storage.child", str(directory), mode, policy]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def killed_after(directory: Path, mode: str, policy: str, seconds: float) -> list[str]:
    """Let a process write for a while, kill it, and return the keys it said were acknowledged."""
    with child(directory, mode, policy) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        process.kill()
        said = process.stdout.read().decode()
    # A line that was cut by the kill is a write that was acknowledged all the same, but not known by its whole name.
    return [line.rstrip("\n") for line in said.splitlines(keepends=True) if line.endswith("\n")]


def verify(directory: Path, acknowledged: set[str], policy: str) -> set[str]:
    """Check what a kill left; return the keys that are there."""
    if (directory / SNAPSHOT).exists():
        header, rows = parse_snapshot((directory / SNAPSHOT).read_bytes())
        assert len(rows["posts"]) == header["sequence"], "the snapshot is not a committed state"
        if policy != "background":
            # When a write returned, the file held it.
            assert acknowledged <= rows["users"].keys()
    with Store(directory, fsync=False) as db:
        present = {user.id for user in db.users.where().all()} - {"counter"}
        assert acknowledged <= present
        assert db.check() == []
        posts = db.posts.where().all()
        assert {post.user_id for post in posts} == present
        assert [post.id for post in posts] == list(range(1, len(posts) + 1))
        assert db.status().sequence == len(posts)
        if posts:
            assert db.users["counter"].note == posts[-1].text
        # Those of the last moment that were not acknowledged: one for each that was being written, at most.
        assert len(present) <= len(acknowledged) + 4 * 4
    return present


@pytest.mark.parametrize("policy", ["auto", "always", "background"])
@pytest.mark.parametrize("mode", ["threads", "tasks", "turns"])
def test_killed_at_any_moment(directory: Path, mode: str, policy: str) -> None:
    """Ensure that after each of several kills in a row all acknowledged transactions are there, whole and in order."""
    chance = random.Random(f"{mode} {policy}")
    there: set[str] = set()
    kills = written = 0
    while kills < KILLS or written <= KILLS:  # a busy machine lets a process write nothing in so short a time
        acknowledged = killed_after(directory, mode, policy, chance.uniform(0, 0.25) * max(1, kills))
        kills, written = kills + 1, written + len(acknowledged)
        there = verify(directory, there | set(acknowledged), policy)


def test_killed_while_it_opens(directory: Path) -> None:
    """Ensure a kill in the middle of a start, of a store with much to recover, loses nothing."""
    there = verify(directory, set(killed_after(directory, "threads", "background", 0.3)), "background")
    for number in range(KILLS):
        with child(directory, "threads", "background") as process:
            time.sleep(0.15 + 0.08 * number)
            process.kill()
            assert process.stdout is not None
            said = {line for line in process.stdout.read().decode().split("\n")[:-1] if line != "ready"}
        there = verify(directory, there | said, "background")


def test_stopped_in_order(directory: Path) -> None:
    """Ensure a process that ends by itself without closing has its last snapshot written all the same."""
    script = (
        "import sys; from tests.snaptable.storage.support import Store, User\n"
        "db = Store(sys.argv[1], snapshot='background').open()\n"
        "db.users.insert(User(id='a'))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(directory)], cwd=ROOT, check=True, capture_output=True)
    assert list(parse_snapshot((directory / SNAPSHOT).read_bytes())[1]["users"]) == ["a"]
