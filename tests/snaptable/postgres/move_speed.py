"""How quickly a store moves to PostgreSQL, beside a raw COPY of the same rows into the same tables.

    uv run python -m tests.snaptable.postgres.move_speed --rows 100000 --rounds 3

Raw is what no move can go without: COPY of bytes that are ready, then the same indexes and foreign keys, then commit;
syncs on. Rounds of both are done in turns, and the least of each counts: seconds by the clock, and seconds of processor
of both sides, which other work on the machine moves less. The step `comparing` has the making of indexes in
it: the server makes them meanwhile.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.snaptable.postgres.server import SYNCED, Server, running

from app.library import Library
from app.tables import Annotation, Document, User
from snaptable.maintenance.moving import Report, move
from snaptable.maintenance.moving.source import opened_source
from snaptable.maintenance.moving.target import Target
from snaptable.postgres.layout.packing import blocks

USERS, DOCUMENTS = 100, 2000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "the quick brown fox jumps over the lazy dog " * 2


@dataclass
class Spent:
    """Seconds of one kind of work, the least of some rounds each.

    Attributes:
        wall: by the clock.
        processor: of this process and the server's.
    """

    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    def least(self, step: str, wall: float, processor: float) -> None:
        """Take a measurement."""
        self.wall[step] = min(wall, self.wall.get(step, wall))
        self.processor[step] = min(processor, self.processor.get(step, processor))


class Steps(Report):
    """Times each step of a move."""

    def __init__(self, clock: Callable[[], tuple[float, float]]) -> None:
        self._clock = clock
        self.steps: dict[str, tuple[float, float]] = {}
        self._doing, self._since = "reading", clock()

    def step(self, doing: str, rows: int = 0) -> None:
        """End the step before."""
        now = self._clock()
        wall, processor = self.steps.get(self._doing, (0.0, 0.0))
        spent = wall + now[0] - self._since[0], processor + now[1] - self._since[1]
        self.steps[self._doing], self._since, self._doing = spent, now, doing.partition(" ")[0]


def fill(folder: Path, rows: int) -> None:
    """Make a store of so many annotations, and what they refer to."""
    rng = random.Random(1)
    with Library(folder, fsync=False, banner=False) as db:
        db.users.insert_many(User(id=f"u{n}", email=f"{n}@x.org", password_hash="h") for n in range(USERS))
        db.documents.insert_many(_document(n) for n in range(DOCUMENTS))
        db.annotations.insert_many(_annotation(rng, n) for n in range(rows))


def _document(n: int) -> Document:
    sha256 = f"{n:064x}"
    return Document(
        id=f"d{n}", user_id=f"u{n % USERS}", filename="f", total_pages=300, size=1, sha256=sha256, metadata={}
    )


def _annotation(rng: random.Random, n: int) -> Annotation:
    return Annotation(
        id=f"{rng.getrandbits(128):032x}",
        document_id=f"d{n % DOCUMENTS}",
        user_id=f"u{n % USERS}",
        page_num=n % 300 + 1,
        type="rectangle",
        content=TEXT,
        color="#ffcc00" if n % 3 else None,
        coordinates={"x": rng.random() * 600, "y": rng.random() * 800, "width": 10.5, "height": 20},
        created_at=BEGIN + timedelta(seconds=n, microseconds=n % 1000),
        updated_at=BEGIN + timedelta(seconds=n),
    )


def _clock(server: Server) -> tuple[float, float]:
    """Return the time, and the processor time of this process, its forks that ended and the server's, in seconds."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return time.perf_counter(), own + server.processor_time()


@contextmanager
def _empty(server: Server) -> Iterator[str]:
    """Give the URL of an empty database."""
    name = f"speed_{random.randrange(10**9)}"
    server.sql(f"create database {name}")
    yield server.url(database=name)
    server.sql(f"drop database {name} with (force)")


def _raw(server: Server, folder: Path, spent: Spent) -> None:
    with _empty(server) as url, opened_source(folder, Library, running=False) as source, Target(url, Library) as target:
        packed = {
            name: list(blocks(target.packer(name).pack(row, place) for place, row in enumerate(table.rows.values(), 1)))
            for name, table in source.tables.items()
        }
        begun = _clock(server)
        with target.transaction() as session:
            target.make_tables()
            for name, parts in packed.items():
                with session.cursor().copy(target.copy_statement(name)) as copy:
                    for part in parts:
                        copy.write(part)
            target.make_orders()
            for statement in target.other_indexes():
                session.tell(statement)
        ended = _clock(server)
        spent.least("raw", ended[0] - begun[0], ended[1] - begun[1])


def _moved(server: Server, folder: Path, spent: Spent) -> None:
    with _empty(server) as url:
        steps = Steps(lambda: _clock(server))
        move(str(folder), url, schema=Library, report=steps)
        steps.step("end")
        for name, seconds in steps.steps.items():
            spent.least(name, *seconds)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    spent, raw = Spent(), Spent()
    with tempfile.TemporaryDirectory() as folder, running(**SYNCED, shared_buffers="512MB") as server:
        fill(Path(folder) / "data", given.rows)
        for _ in range(given.rounds):
            _raw(server, Path(folder) / "data", raw)
            _moved(server, Path(folder) / "data", spent)
    for unit, of, by in (("s", spent.wall, raw.wall), ("s of processor", spent.processor, raw.processor)):
        print(f"{'by the clock' if unit == 's' else 'by processor time of both sides'}:")  # noqa: T201
        for name, seconds in of.items():
            print(f"  {name:10} {seconds:.3f} {unit}")  # noqa: T201
        whole = sum(of.values())
        for what, seconds in (
            ("the raw COPY", by["raw"]),
            ("the move", whole),
            ("the move of a source in memory", whole - of["reading"]),
        ):
            print(f"  {what}: {given.rows / seconds:,.0f} rows/s, {by['raw'] / seconds:.2f} of raw")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
