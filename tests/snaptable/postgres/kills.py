"""What is killed by kill -9 at random moments, and that nothing is lost, repeated or left half done.

    uv run python -m tests.snaptable.postgres.kills --seconds 60 --seed 1
    uv run python -m tests.snaptable.postgres.kills --of move --seconds 60 --seed 1
    uv run python -m tests.snaptable.postgres.kills --of back --seconds 60 --seed 1
    uv run python -m tests.snaptable.postgres.kills --of backend --seconds 60 --seed 1

`follow` (the first): a move that follows, and the server, while a store is written to; the database ends with the very
rows of the store. `move`: a move of a store that is closed; after each kill the database is as it was before, or all is
there, and the next call does it. `back`: the same from the server to a directory. `backend`: the process that serves
HTTP; every write that it acknowledged is there once it is started again, and no row that was deleted.
A move is killed after a random part of the time that the last one took which nobody killed, its imports left out.
Prints the seed, what was killed how often, in which tenth of that time, and what differs.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
from tests.app.support import Api, Process
from tests.app.test_app_crash import CLIENTS, Client, load_and_kill
from tests.snaptable.contract.plain_model import Document, Library, User
from tests.snaptable.postgres import moves
from tests.snaptable.postgres.moves import images
from tests.snaptable.postgres.server import SYNCED, Server, running
from tests.snaptable.postgres.shared import ROOT

from snaptable.maintenance.moving import is_url, move

WRITER = (
    "import sys; from tests.snaptable.postgres import moves; moves.write_for(sys.argv[1], *map(float, sys.argv[2:]))"
)
CATCH_UP_SECONDS = 180
LEAST = 3
"""Kills of a run at least, however little time it is given."""
MOVER = (
    "import sys, snaptable.cli.move, snaptable.postgres.engine, tests.snaptable.contract.plain_model; "
    "from snaptable.cli import main; print(flush=True); sys.stdin.readline(); raise SystemExit(main(sys.argv[1:]))"
)
"""The command `snaptable`, which has imported what a move needs before it is told to begin."""
MORE_ROWS = 4000
"""Rows of a store that is moved, besides those of random transactions: so many that a move takes longer than a kill."""


@dataclass
class Outcome:
    """What was killed, and what came of it."""

    seed: int
    kills: int = 0
    server_kills: int = 0
    commits: int = 0
    nothing: int = 0
    """Kills of a move behind which nothing was there."""
    everything: int = 0
    """Kills of a move behind which all was."""
    tenths: list[int] = field(default_factory=lambda: [0] * 10)
    """Kills of a move in each tenth of the time that one takes."""
    writes: int = 0
    """Writes that a backend acknowledged."""
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
        while time.monotonic() < end or outcome.kills + outcome.server_kills < LEAST:
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


# ── the move itself ─────────────────────────────────────────────────────────────────────────────────────────────────


def run_moves(folder: Path, *, seconds: float, seed: int, back: bool, changes: int = 3000) -> Outcome:
    """Move a store that is closed, or a database back, and kill that; then see what is there, and do it again."""
    rng, outcome = random.Random(seed), Outcome(seed)
    wanted = _filled(folder / "data", seed, changes)
    with running(**SYNCED) as server:
        server.sql("create database source")
        source, target = str(folder / "data"), server.url()
        if back:
            source, target = server.url(database="source"), str(folder / "back")
            move(str(folder / "data"), source, schema=Library)
        _empty(server, target)
        takes = _move_unharmed(source, target, outcome)
        end = time.monotonic() + seconds
        while not outcome.differences and (time.monotonic() < end or outcome.kills < LEAST):
            _empty(server, target)
            _kill_move(source, target, takes, rng, outcome)
            if _see(server, target, wanted, outcome):
                takes = _move_unharmed(source, target, outcome)
                _compare(target, wanted, outcome)
    return outcome


def _filled(directory: Path, seed: int, changes: int) -> dict[str, list[bytes]]:
    """Make the store that is moved, and return its rows."""
    moves.fill(directory, seed, changes)
    with Library(directory, fsync=False, banner=False) as db:
        user = db.users.upsert(User(id="many", email="many@x.org"))
        db.documents.insert_many(Document(user=user.id, name=f"m{number}", tags=["é"]) for number in range(MORE_ROWS))
        return images(db)


def _move_unharmed(source: str, target: str, outcome: Outcome) -> float:
    """Move to what is empty, and return the seconds that it takes."""
    mover = _begin(source, target)
    began = time.monotonic()
    if mover.wait():
        outcome.differences.append("a move failed that nobody killed")
    return time.monotonic() - began


def _kill_move(source: str, target: str, takes: float, rng: random.Random, outcome: Outcome) -> None:
    """Kill a move at a random moment, if it has not ended by then."""
    part = rng.random()
    mover = _begin(source, target)
    with suppress(subprocess.TimeoutExpired):
        mover.wait(part * takes)
    if mover.poll() is None:
        outcome.kills += 1
        outcome.tenths[int(10 * part)] += 1
    mover.kill()
    mover.wait()


def _begin(source: str, target: str) -> "subprocess.Popen[bytes]":
    """Return a move that begins at this moment, and has imported all it needs."""
    command = [sys.executable, "-c", MOVER, "move", source, target]
    options = ["--schema", f"{Library.__module__}:Library", "--quiet"]
    mover = subprocess.Popen(
        [*command, *options], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert mover.stdin is not None
    assert mover.stdout is not None
    mover.stdout.readline()
    mover.stdin.write(b"\n")
    mover.stdin.close()
    return mover


def _empty(server: Server, target: str) -> None:
    if is_url(target):
        server.sql("drop schema public cascade")
        server.sql("create schema public")
    else:
        shutil.rmtree(target, ignore_errors=True)


def is_there(target: str, server: Server) -> str | None:
    """Return the name of something that is in the target; None if there is nothing."""
    if not is_url(target):
        return next((path.name for path in Path(target).glob("*")), None)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        # Whoever was killed is still rolled back by the server, until it notices.
        others = "select 1 from pg_stat_activity where application_name = 'snaptable' and datname = 'postgres'"
        while connection.execute(others).fetchall():
            time.sleep(0.01)
        there = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchone()
        return None if there is None else str(there[0])


def _see(server: Server, target: str, wanted: dict[str, list[bytes]], outcome: Outcome) -> bool:
    """Look what a move left; return whether that is nothing."""
    if is_there(target, server) is None:
        outcome.nothing += 1
        return True
    outcome.everything += 1
    _compare(target, wanted, outcome)
    return False


def _compare(target: str, wanted: dict[str, list[bytes]], outcome: Outcome) -> None:
    with Library(target, read_only=True, banner=False) as db:
        if images(db) != wanted:
            outcome.differences.append("the rows differ")


# ── the backend ─────────────────────────────────────────────────────────────────────────────────────────────────────


def run_backend(folder: Path, *, seconds: float, seed: int) -> Outcome:
    """Kill the process that serves, and start it again; each client then finds what it was told."""
    rng, outcome = random.Random(seed), Outcome(seed)
    with running(**SYNCED) as server:
        backend = Process(folder / "data", f"--database-url={server.url()}")
        try:
            backend.start()
            with backend.client() as http:
                clients = [Client(Api(http, f"user{n}@example.org").register(), seed + n) for n in range(CLIENTS)]
            end = time.monotonic() + seconds
            while time.monotonic() < end and not outcome.differences:
                load_and_kill(backend, clients, rng.randrange(10, 80))
                outcome.kills += 1
                backend.start()
                with backend.client() as http:
                    outcome.differences += [each for client in clients for each in _differences(client, http)]
            outcome.writes = sum(client.writes for client in clients)
        finally:
            backend.end()
    return outcome


def _differences(client: Client, http: httpx2.Client) -> list[str]:
    try:
        client.check(http)
    except AssertionError as error:
        return [f"a client finds otherwise than it was told: {error}"]
    return []


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=["follow", "move", "back", "backend"], default="follow")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place, how = Path(folder), {"seconds": given.seconds, "seed": given.seed}
        if given.of == "follow":
            outcome = run(place, **how)
        elif given.of == "backend":
            outcome = run_backend(place, **how)
        else:
            outcome = run_moves(place, **how, back=given.of == "back")
    print(outcome)  # noqa: T201
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
