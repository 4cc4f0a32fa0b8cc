"""`uv run --group bench python -m tests.benchmarks.server.on_postgres`: the backend on both engines, and SQLModel.

On PostgreSQL it is served by one process and by several; SQLModel has the same server, and the engine in memory is
beside. The server is the tests' own, with syncs on. 32 connections are kept open; what is asked is what
`tests.benchmarks.server` asks. Client, backends and PostgreSQL share one machine.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import psycopg
from tests.benchmarks.server import cached, serving
from tests.benchmarks.server.load import CLIENTS, Sample, load
from tests.benchmarks.server.report import TARGETS
from tests.benchmarks.server.scenarios import Subject, client, documents
from tests.snaptable.postgres import server

MEMORY, ALONE, SQLMODEL = "in memory", "PostgreSQL", "SQLModel, PostgreSQL"
WARM_UP = 0.3
Servers = dict[str, tuple[int, Subject]]


@contextmanager
def subjects(rounds: int, workers: int) -> Iterator[Servers]:
    """Run every server, holding the same rows; only one works at a time."""
    servers: Servers = {}
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running(**server.SYNCED))
        backends = {MEMORY: [], ALONE: ["--workers=1"], f"{ALONE}, {workers} processes": [f"--workers={workers}"]}
        for name, options in backends.items():
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            given = [*options, f"--database-url={new_database(postgres)}"] if options else []
            port = stack.enter_context(
                serving.running(*serving.BACKEND, "--port=0", f"--data-dir={directory}/data", *given)
            )
            ann = client(port).register()
            servers[name] = port, Subject(ann, *documents(ann, rounds)).fill()
        filled = servers[MEMORY][1]
        token = filled.api.headers["Authorization"].removeprefix("Bearer ")
        module = ["-m", f"{serving.HERE}.sqlmodel_peer", token, *filled.marked, *filled.written]
        port = stack.enter_context(serving.running(*module, PEER_DATABASE_URL=new_database(postgres)))
        servers[SQLMODEL] = port, Subject(client(port, filled.api.headers), filled.marked, filled.written[:1]).fill()
        yield servers


def new_database(postgres: server.Server) -> str:
    """Make an empty database on the server, and return its URL."""
    name = f"bench_{os.urandom(4).hex()}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return postgres.url(database=name)


def measure(rounds: int, seconds: float, workers: int) -> dict[tuple[str, str], list[Sample]]:
    """Load every server with every scenario in turn, round after round."""
    results: dict[tuple[str, str], list[Sample]] = {}
    with subjects(rounds, workers) as servers:
        for number in range(rounds):
            for scenario in TARGETS:
                for name, (port, subject) in servers.items():
                    if number == 0:
                        load(port, subject.requests(scenario), WARM_UP)
                    results.setdefault((scenario, name), []).append(load(port, subject.requests(scenario), seconds))
            for name, (_, subject) in servers.items():
                if name != SQLMODEL:
                    subject.forget_writes()
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return results


def markdown(results: dict[tuple[str, str], list[Sample]]) -> str:
    """Return the table: medians over the rounds, and ratios taken within each round."""
    lines = [
        f"{CLIENTS} connections kept open; medians over interleaved rounds, ratios within each round.",
        f"\n| | server | requests/s | p50 ms | p99 ms | ÷ {MEMORY} | ÷ {SQLMODEL} |\n|---|---|--:|--:|--:|--:|--:|",
    ]
    for (scenario, name), samples in results.items():
        cells = [f"{median(each.rate for each in samples):,.0f}"]
        cells += [f"{median(getattr(each, part) for each in samples):.2f}" for part in ("p50", "p99")]
        for other in (MEMORY, SQLMODEL):
            pairs = zip(samples, results[scenario, other], strict=True)
            cells.append(f"{median(ours.rate / theirs.rate for ours, theirs in pairs):.2f}")
        lines.append(f"| {scenario} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(prog=f"python -m {serving.HERE}.on_postgres", description="Load on both engines.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; default 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load; default 1")
    parser.add_argument("--workers", type=int, default=2, help="processes of the backend that has several; default 2")
    parser.add_argument("--cache", action="store_true", help="what a cache of hot reads gains and costs, instead")
    options = parser.parse_args()
    if options.cache:
        sys.stdout.write(cached.markdown(cached.measure(options.rounds, new_database)))
        return
    sys.stdout.write(markdown(measure(options.rounds, options.seconds, options.workers)))


if __name__ == "__main__":
    main()
