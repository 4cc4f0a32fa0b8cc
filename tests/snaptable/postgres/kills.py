"""A move, a follower and the server killed by kill -9 at random moments, while a store is written to.

    uv run python -m tests.snaptable.postgres.kills --seconds 60 --seed 1

Prints the seed, what was killed how often, and whether the database ended with the very rows of the store.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.snaptable.contract.plain_model import Library
from tests.snaptable.postgres.moves import images
from tests.snaptable.postgres.server import SYNCED, Server, running
from tests.snaptable.postgres.shared import ROOT

WRITER = (
    "import sys; from tests.snaptable.postgres import moves; moves.write_for(sys.argv[1], *map(float, sys.argv[2:]))"
)
CATCH_UP_SECONDS = 60


@dataclass
class Outcome:
    """What was killed, and what came of it."""

    seed: int
    kills: int = 0
    server_kills: int = 0
    commits: int = 0
    differences: list[str] = field(default_factory=list)


def run(folder: Path, *, seconds: float, seed: int) -> Outcome:
    """Do it for so long, and compare."""
    rng, outcome = random.Random(seed), Outcome(seed)
    data = folder / "data"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(data), str(seconds), str(seed)], cwd=ROOT)
    while not (data / "db_snapshot.json").exists():
        time.sleep(0.02)
    with running(**SYNCED) as server:
        follower = _follow(data, server)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.2, 1.2))
            if rng.random() < 0.3:
                server.kill()
                time.sleep(rng.random() * 0.3)
                server.start()
                outcome.server_kills += 1
            else:
                follower = _kill(follower, data, server, outcome)
        writer.wait()
        _finish(follower, data, server, outcome)
    return outcome


def _follow(data: Path, server: Server) -> "subprocess.Popen[bytes]":
    options = ["--schema", "tests.snaptable.contract.plain_model:Library", "--until-closed", "--quiet"]
    command = [sys.executable, "-m", "snaptable", "move", str(data), server.url(), *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def _kill(
    follower: "subprocess.Popen[bytes]", data: Path, server: Server, outcome: Outcome
) -> "subprocess.Popen[bytes]":
    """Kill what moves or follows, and begin again."""
    if follower.poll() is None:
        outcome.kills += 1
        follower.send_signal(signal.SIGKILL)
    follower.communicate()
    return _follow(data, server)


def _finish(follower: "subprocess.Popen[bytes]", data: Path, server: Server, outcome: Outcome) -> None:
    """Let it catch up, and compare; one that the server's end took along is begun again."""
    for _ in range(3):
        _, said = follower.communicate(timeout=CATCH_UP_SECONDS)
        if follower.returncode == 0:
            break
        follower = _follow(data, server)
    else:
        outcome.differences.append(f"the follower failed: {said.decode()}")
        return
    with Library(data, read_only=True) as source, Library(server.url()) as db:
        outcome.commits = source.status().sequence
        if images(source) != images(db):
            outcome.differences.append("the rows differ")
        if source.status().sequence != db.status().sequence:
            outcome.differences.append(f"commit {db.status().sequence} in the place of {source.status().sequence}")
        outcome.differences += db.check()


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), seconds=given.seconds, seed=given.seed)
    print(outcome)  # noqa: T201
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
