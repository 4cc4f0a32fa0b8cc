"""`uv run --group bench python -m tests.benchmarks.server`: the real server beside bare FastAPI and SQLModel."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks.server import serving
from tests.benchmarks.server.load import Sample, load
from tests.benchmarks.server.report import BACKEND, BEHIND, FLOOR, OFF, SQLMODEL, TARGETS, Results, markdown
from tests.benchmarks.server.scenarios import Subject, client, documents

WARM_UP = 0.3
BACKENDS = {
    BACKEND: serving.BACKEND,
    BEHIND: [*serving.BACKEND, "--snapshot=background"],
    OFF: serving.COLLECTOR_OFF,
}
PEERS = {FLOOR: f"{serving.HERE}.floor", SQLMODEL: f"{serving.HERE}.sqlmodel_peer"}

Servers = dict[str, tuple[int, Subject]]
"""Port and rows of each server by name."""


@contextmanager
def subjects(rounds: int) -> Iterator[Servers]:
    """Run every server, holding the same rows; they stand side by side, and only one works at a time."""
    servers: Servers = {}
    with ExitStack() as stack:
        for name, command in BACKENDS.items():
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            port = stack.enter_context(serving.running(*command, "--port=0", f"--data-dir={directory}/data"))
            ann = client(port).register()
            servers[name] = port, Subject(ann, *documents(ann, rounds)).fill()
        filled = servers[BACKEND][1]
        token = filled.api.headers["Authorization"].removeprefix("Bearer ")
        for name, module in PEERS.items():
            port = stack.enter_context(serving.running("-m", module, token, *filled.marked, *filled.written))
            servers[name] = port, Subject(client(port, filled.api.headers), filled.marked, filled.written[:1]).fill()
        yield servers


def measure(rounds: int, seconds: float) -> Results:
    """Load every server with every scenario in turn, round after round, so that what the machine does hits all."""
    results: Results = {}
    with subjects(rounds) as servers:
        for number in range(rounds):
            for scenario in TARGETS:
                for name, (port, subject) in servers.items():
                    if number == 0:
                        load(port, subject.requests(scenario), WARM_UP)
                    sample = load(port, subject.requests(scenario), seconds)
                    results.setdefault((scenario, name), []).append(sample)
            for name in BACKENDS:
                servers[name][1].forget_writes()
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return results


def limit_of_client(seconds: float) -> Sample:
    """Return what the client sees of a server that does nothing."""
    with serving.running(*serving.NOTHING) as port:
        return load(port, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], seconds)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(prog=f"python -m {serving.HERE}", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="below a minute, less exact")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write server.md there as well")
    options = parser.parse_args()
    rounds, seconds = (3, 0.6) if options.quick else (9, 1.0)
    text = markdown(limit_of_client(seconds), measure(rounds, seconds))
    sys.stdout.write(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "server.md").write_text(text)


if __name__ == "__main__":
    main()
