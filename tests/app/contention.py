"""How often the writes of one user are tried that several processes make on one PostgreSQL database.

    uv run python -m tests.app.contention --processes 2 --writes 200

Each process makes its writes as the backend does, twelve side by side, each with the user's sums. Prints the tries a
write, and the server's and the processes' seconds of processor a write; with `--alone`, without locks across
processes. Syncs on.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import Any

from tests.app.support import annotation
from tests.snaptable.postgres.load import engine_of
from tests.snaptable.postgres.server import SYNCED, running
from tests.snaptable.postgres.shared import ROOT

from app.library import Library
from app.services import annotations, quotas
from app.tables import Document, User

SIDE_BY_SIDE = 12
BODY: dict[str, Any] = {"filename": "f", "total_pages": 9, "size": 1, "sha256": "0" * 64, "metadata": {}}


async def write(db: Library, user: User, document: Document, count: int) -> None:
    """Make so many annotations."""
    left = iter(range(count))

    async def one_by_one() -> None:
        for _ in left:
            async with quotas.write_lock(db, user):
                await db.run(annotations.create, user, **annotation(document.id))

    await asyncio.gather(*(one_by_one() for _ in range(SIDE_BY_SIDE)))


def process(url: str, count: int, *, alone: bool) -> None:
    """Make writes once all processes are told to, and print the tries and the seconds of processor."""
    with Library(url) as db:
        shared: Any = db.shared
        if alone:
            shared.user_locks.of = lambda _: nullcontext()
        core: Any = engine_of(db).core
        begin, tries = core.begin, list[bool]()
        core.begin = lambda *args, **options: tries.append(True) or begin(*args, **options)  # type: ignore[func-returns-value]
        (user,), (document,) = db.users, db.documents
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        begun = time.process_time()
        asyncio.run(write(db, user, document, count))
        print(len(tries), time.process_time() - begun)  # noqa: T201


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--writes", type=int, default=200, help="of each process")
    parser.add_argument("--alone", action="store_true", help="let writes follow each other within each process alone")
    parser.add_argument("--of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.of:
        return process(given.of, given.writes, alone=given.alone)
    with running(**SYNCED) as server:
        with Library(server.url()) as db:
            assert db.shared is not None
            db.shared.make()
            user = db.users.create(email="ann@example.org", password_hash="!")
            db.documents.create(user_id=user.id, **BODY)
        options = [f"--of={server.url()}", f"--writes={given.writes}", *(["--alone"] if given.alone else [])]
        each = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.app.contention", *options],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(given.processes)
        ]  # fmt: skip
        for one in each:
            assert one.stdout is not None
            one.stdout.readline()
        begun, before = time.perf_counter(), server.processor_time()
        for one in each:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        results = [one.communicate()[0].split() for one in each]
        seconds, server_seconds = time.perf_counter() - begun, server.processor_time() - before
    writes = given.processes * given.writes
    tries, client = (sum(float(result[place]) for result in results) for place in (0, 1))
    print(  # noqa: T201
        f"{writes} writes of one user by {given.processes} processes: {tries / writes:.2f} tries a write; processor "
        f"{server_seconds / writes * 1000:.2f} ms of the server, {client / writes * 1000:.2f} ms of the processes; "
        f"{writes / seconds:,.0f} writes/s by the clock"
    )
    return None


if __name__ == "__main__":
    main()
