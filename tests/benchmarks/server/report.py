"""The table: medians over the rounds, their spread, and ratios taken within each round."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

from tests.benchmarks.server.load import CLIENTS, Sample

BACKEND, BEHIND, OFF = "backend", "backend, snapshot in the background", "backend, collector off"
FLOOR, SQLMODEL = "bare FastAPI", "SQLModel"

TARGETS = {"read": (0.85, 0.95), "list of 50": (0.85, 0.95), "write": (0.45, 0.6)}
"""Of the floor: to reach, and the aim."""
MAX_COLLECTOR = 1.5
"""How much longer than with the collector off a p99 may be before it is the collector's."""

Results = dict[tuple[str, str], list[Sample]]
"""A sample for each round, by scenario and server."""
Value = Literal["rate", "p50", "p99"]


def markdown(limit: Sample, results: Results) -> str:
    """Return everything as Markdown."""
    lines = [
        f"{CLIENTS} connections kept open; the client sees {limit.rate:,.0f} answers/s of a server that does nothing.",
        "Medians over interleaved rounds, the lowest and the highest in brackets; ratios within each round.",
        "\n| | server | requests/s | p50 ms | p99 ms | ÷ bare FastAPI |\n|---|---|--:|--:|--:|--:|",
    ]
    for (scenario, name), samples in results.items():
        cells = (
            _spread([sample.rate for sample in samples], ",.0f"),
            *(_times(samples, value) for value in ("p50", "p99")),
        )
        lines.append(f"| {scenario} | {name} | {' | '.join(cells)} | {_spread(_ratios(results, scenario, name))} |")
    lines.append("\n| | ÷ bare FastAPI | reach | aim | | ÷ SQLModel | p99 ÷ p99 with the collector off | |")
    lines += ["|---|--:|--:|--:|---|--:|--:|---|", *(_target_row(results, scenario) for scenario in TARGETS)]
    return "\n".join(lines) + "\n"


def _target_row(results: Results, scenario: str) -> str:
    reach, aim = TARGETS[scenario]
    floor, collector = _ratios(results, scenario), _ratios(results, scenario, other=OFF, value="p99")
    reached = "aim" if median(floor) >= aim else "reach" if median(floor) >= reach else "**short**"
    others = _spread(_ratios(results, scenario, other=SQLMODEL), ".1f")
    cells = scenario, _spread(floor), str(reach), str(aim), reached, others, _spread(collector)
    return f"| {' | '.join(cells)} | {'reach' if median(collector) <= MAX_COLLECTOR else '**short**'} |"


def _ratios(
    results: Results, scenario: str, name: str = BACKEND, other: str = FLOOR, value: Value = "rate"
) -> list[float]:
    pairs = zip(results[scenario, name], results[scenario, other], strict=True)
    return [getattr(ours, value) / getattr(theirs, value) for ours, theirs in pairs]


def _times(samples: Sequence[Sample], value: str) -> str:
    return _spread([getattr(sample, value) for sample in samples])


def _spread(values: Sequence[float], form: str = ".2f") -> str:
    return f"**{median(values):{form}}** ({min(values):{form}}–{max(values):{form}})"
