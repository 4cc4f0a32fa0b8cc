"""`uv run python -m tests.app.hostile --minutes 8`: honest clients with and without hostile ones beside them.

Judged: the honest p99 is at most three times what it is without the hostile ones, every honest request is answered
right, and the server's memory, descriptors, threads and log don't grow.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.app.hostile.honest import Honest, Measured
from tests.app.support import Api, wait_for

HERE = "tests.app.hostile"
MOST_RATIO = 3.0
SLICES = 8
MIB = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """What a server uses at a moment."""

    at: float
    memory: int
    descriptors: int
    threads: int
    log: int


class Server:
    """The backend in a process of its own, with its default limits, and its log in a file."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        """Start it, and wait until it serves."""
        self.log = folder / "log"
        with self.log.open("w") as target:
            command = [sys.executable, "-m", "app.main", "--port=0", f"--data-dir={folder / 'data'}", "--no-access-log"]
            self.process = subprocess.Popen([*command, *options], stdout=target, stderr=subprocess.STDOUT)
        wait_for(lambda: "Data  " in self.log.read_text(), seconds=30)
        match = re.search(r"API +http://\S+:(\d+)/", self.log.read_text())
        assert match is not None
        self.port = int(match[1])

    def usage(self) -> Usage:
        """Return what it uses now; on Linux."""
        folder = Path(f"/proc/{self.process.pid}")
        numbers = dict(re.findall(r"(VmRSS|Threads):\s+(\d+)", (folder / "status").read_text()))
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
        size = self.log.stat().st_size
        return Usage(time.monotonic(), int(numbers["VmRSS"]) * 1024, descriptors, int(numbers["Threads"]), size)

    def stop(self) -> int:
        """Stop it in order, and return its exit status."""
        self.process.terminate()
        return self.process.wait(30)


class Hostile:
    """The hostile clients, in a process of their own; their rows are there before anything is measured."""

    def __init__(self, port: int, only: list[str]) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", f"{HERE}.attacks", str(port), *only]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "settled\n"

    @contextmanager
    def attacking(self) -> Iterator[None]:
        """Let them do what they do for the length of a block."""
        assert self.process.stdin is not None
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()
        yield
        assert self.process.poll() is None, "the hostile clients gave up"
        self.end()

    def end(self) -> None:
        """End the process; do nothing if it has ended."""
        self.process.kill()
        self.process.communicate()


def watch(server: Server, seconds: float) -> list[Usage]:
    """Return what a server used over some seconds."""
    seen = [server.usage()]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, seconds / SLICES / 2))
        seen.append(server.usage())
    return seen


def percentile(measured: list[Measured], part: float) -> float:
    """Return a percentile of the times, in milliseconds."""
    times = sorted(one.took for one in measured)
    return 1000 * times[min(len(times) - 1, int(len(times) * part))] if times else float("nan")


def between(measured: list[Measured], begin: float, end: float) -> list[Measured]:
    """Return what was answered within a time."""
    return [one for one in measured if begin <= one.at < end]


def compare(before: list[Measured], during: list[Measured]) -> Iterator[tuple[str, bool]]:
    """Yield a line for each kind of honest request, and whether it is good."""
    for kind in ("read", "list", "write"):
        alone, beside = ([one for one in part if one.kind == kind] for part in (before, during))
        wrong = sum(not one.is_right for one in beside)
        p99 = percentile(alone, 0.99), percentile(beside, 0.99)
        ratio = p99[1] / p99[0]
        yield (
            f"{kind:6} {len(alone):6} alone: p50 {percentile(alone, 0.5):6.1f} p99 {p99[0]:6.1f} ms;"
            f" {len(beside):6} beside: p50 {percentile(beside, 0.5):6.1f} p99 {p99[1]:6.1f} ms"
            f" (x {ratio:.1f}), {wrong} wrong",
            ratio <= MOST_RATIO and not wrong,
        )


def timeline(usages: list[Usage], measured: list[Measured]) -> Iterator[str]:
    """Yield a line for each slice of time: the honest p99, and what the server used at most."""
    begin, end = usages[0].at, usages[-1].at
    for number in range(SLICES):
        first, last = (begin + (end - begin) * part / SLICES for part in (number, number + 1))
        part = [usage for usage in usages if first <= usage.at <= last]
        yield (
            f"{last - begin:6.0f} s  p99 {percentile(between(measured, first, last), 0.99):6.1f} ms"
            f"  RSS {max(usage.memory for usage in part) / MIB:6.1f} MiB"
            f"  {max(usage.descriptors for usage in part):5} descriptors"
            f"  {max(usage.threads for usage in part):3} threads  log {part[-1].log / 1024:6.1f} KiB"
        )


def growth(usages: list[Usage], after: Usage) -> Iterator[tuple[str, bool]]:
    """Yield what must not grow: the last quarter against the second, and what is left when all have gone."""
    quarter = len(usages) // 4
    second, last = usages[quarter : 2 * quarter], usages[-quarter:]
    for name, slack in (("memory", 16 * MIB), ("descriptors", 40), ("threads", 4)):
        then, now = (max(getattr(usage, name) for usage in part) for part in (second, last))
        unit, text = (MIB, "MiB of memory") if name == "memory" else (1, name)
        line = f"{text}: {then / unit:.0f} at most in the second quarter, {now / unit:.0f} in the last"
        yield line, now <= then * 1.1 + slack
    left = after.descriptors - usages[0].descriptors
    yield f"descriptors left when all have gone: {left}", left <= 8
    minutes = (usages[-1].at - usages[0].at) / 60
    log = (usages[-1].log - usages[0].log) / 1024 / max(minutes, 1)
    yield f"log: {log:.0f} KiB a minute", log < 64


def judge(lines: Iterator[tuple[str, bool]]) -> bool:
    """Write lines with a verdict each, and return whether all are good."""
    verdicts = []
    for line, is_good in lines:
        sys.stdout.write(f"{'good' if is_good else 'BAD '}  {line}\n")
        verdicts.append(is_good)
    return all(verdicts)


def subject(server: Server) -> Honest:
    """Return honest clients with an account, a document and a hundred annotations."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
        ann = Api(http).register()
        document = ann.upload()["id"]
        marked = [ann.annotate(document)["id"] for _ in range(100)]
    return Honest(server.port, ann.headers, document, marked[0])


def main() -> int:
    """Measure, report, judge; the exit status is 0 if all is good."""
    parser = argparse.ArgumentParser(prog=f"python -m {HERE}", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="of hostile load; a quarter of it without, before")
    parser.add_argument("--option", action="append", default=[], help="of the backend")
    parser.add_argument("--only", nargs="*", default=[], help="kinds of attacks, named as in attacks.py")
    options = parser.parse_args()
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), options.option)
        strangers = Hostile(server.port, options.only)
        try:
            with subject(server) as honest:
                time.sleep(1)
                begin = time.monotonic()
                watch(server, seconds / 4)
                middle = time.monotonic()
                with strangers.attacking():
                    usages = watch(server, seconds)
                end = time.monotonic()
            time.sleep(min(15, seconds / 4))
            after = server.usage()
        finally:
            strangers.end()
            status = server.stop()
        alone, beside = between(honest.measured, begin, middle), between(honest.measured, middle, end)
        sys.stdout.write("\n".join(timeline(usages, beside)) + "\n")
        good = judge(compare(alone, beside)) & judge(growth(usages, after))
        if status or "Traceback" in server.log.read_text():
            sys.stdout.write(f"BAD   exit status {status}; the log ends:\n{server.log.read_text()[-3000:]}\n")
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
