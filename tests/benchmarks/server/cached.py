"""What the cache of hot reads gains and costs: `python -m tests.benchmarks.server.on_postgres --cache`.

Two backends of one process each, on one PostgreSQL server with syncs on: without a cache, and with a Redis or Valkey
server of their own socket. One client asks, so that no request waits for another. A commit of the user's goes before
every pass whose answers are to be misses, and moves where all answers are looked for.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

from tests.app.redis_server import redis_server
from tests.benchmarks.server import serving
from tests.benchmarks.server.load import Connection
from tests.benchmarks.server.scenarios import Subject, client, documents
from tests.snaptable.postgres import server

T = TypeVar("T")
WITHOUT, WITH = "no cache", "cache"
HIT, MISS, WRITE = "again, nothing written since", "first after a commit", "write"
PROGRAMS = ("backend", "PostgreSQL", "cache")
READS, WRITES = 200, 50
"""Requests of one pass."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Pass:
    """What passes of one kind took: latencies in ms, and processor time of each program in s."""

    latencies: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PROGRAMS, 0.0))


@dataclass
class _Backend:
    subject: Subject
    port: int
    programs: dict[str, int]
    """The process of each program, by name."""

    def do(self, requests: list[bytes], taken: Pass) -> None:
        """Send the requests one after another, and take note of what that took.

        By a connection of their own: the server closes one that nothing is sent by while the other backend is asked.
        """
        connection = Connection(self.port)
        with connection.socket:
            before = {name: _processor_seconds(pid) for name, pid in self.programs.items()}
            for request in requests:
                connection.send(request)
                while not connection.is_answered():
                    pass
                taken.latencies.append(1000 * (perf_counter() - connection.sent))
        for name, pid in self.programs.items():
            taken.seconds[name] += _processor_seconds(pid) - before[name]

    def commit(self) -> None:
        """Write something of the user's: nothing that is kept is an answer any more."""
        self.do(self.subject.requests(WRITE)[:1], Pass())


def _children(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def _processor_seconds(pid: int) -> float:
    """Return what a process and those below it have taken, those that ended included."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / TICK + sum(map(_processor_seconds, _children(pid)))


def _started(begin: Callable[[], T]) -> tuple[T, int]:
    """Return what a function gives that starts a process, and that process."""
    before = _children(os.getpid())
    result = begin()
    (pid,) = _children(os.getpid()) - before
    return result, pid


@contextmanager
def _backends(database: Callable[[server.Server], str]) -> Iterator[dict[str, _Backend]]:
    with ExitStack() as stack:

        def entered(context: AbstractContextManager[T]) -> tuple[T, int]:
            return _started(lambda: stack.enter_context(context))

        postgres, postgres_pid = entered(server.running(**server.SYNCED))
        redis, redis_pid = entered(redis_server())
        backends = {}
        for name, options in {WITHOUT: [], WITH: [f"--cache-url={redis.url}"]}.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = [f"--data-dir={folder}/data", f"--database-url={database(postgres)}", *options]
            port, pid = entered(serving.running(*serving.BACKEND, "--port=0", "--workers=1", *given))
            ann = client(port).register()
            stack.callback(ann.http.close)
            subject = Subject(ann, *documents(ann, 1)).fill()
            programs = dict(zip(PROGRAMS, (pid, postgres_pid, redis_pid), strict=True))
            backends[name] = _Backend(subject, port, programs)
        yield backends


def measure(rounds: int, database: Callable[[server.Server], str]) -> dict[tuple[str, str, str], Pass]:
    """Let both backends answer in turn, round after round; the first round warms up.

    Args:
        rounds: how many are counted.
        database: makes an empty database on a server, and returns its URL.
    """
    results: dict[tuple[str, str, str], Pass] = {}
    with _backends(database) as backends:
        for number in range(rounds + 1):
            counted = results if number else {}
            for name, backend in backends.items():
                for scenario in ("read", "list of 50"):
                    requests = backend.subject.requests(scenario)[:READS]
                    backend.commit()
                    backend.do(requests, counted.setdefault((scenario, MISS, name), Pass()))
                    again = requests * (READS // len(requests))
                    backend.do(again, counted.setdefault((scenario, HIT, name), Pass()))
                writes = backend.subject.requests(WRITE)[:1] * WRITES
                backend.do(writes, counted.setdefault((WRITE, "", name), Pass()))
    return results


def markdown(results: dict[tuple[str, str, str], Pass]) -> str:
    """Return the table: latencies, and processor time of each program, a request."""
    lines = [
        "One client, one process of the backend, rounds interleaved; processor time in ms a request.",
        f"\n| | asked | | p50 ms | {' | '.join(PROGRAMS)} | all |\n|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for (scenario, asked, name), taken in sorted(results.items()):
        each = [1000 * seconds / len(taken.latencies) for seconds in taken.seconds.values()]
        cells = " | ".join(f"{value:.2f}" for value in (median(taken.latencies), *each, sum(each)))
        lines.append(f"| {scenario} | {asked} | {name} | {cells} |")
    return "\n".join(lines) + "\n"
