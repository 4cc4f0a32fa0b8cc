"""The table of results: printed, and kept as Markdown and JSON."""

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.bench import Finding
from tests.benchmarks.targets import Target

HEAD = ("what", "against", "reach", "aim", "today", "quartiles", "snaptable", "theirs", "")
DATED = "Measured: "
"""How the line below the table of goals begins that says on which machine, and when."""


def shown(value: float, unit: str) -> str:
    """Return a value with a unit that makes it readable."""
    if unit == "B":
        return f"{value:,.0f} B"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.3g} ns"


def ratio_shown(value: float | None, target: Target) -> str:
    """Return a ratio as it is shown for a target."""
    if value is None:
        return ""
    if target.kind == "cost":
        return f"{value:.2f}"
    return f"{value:.2f}×" if value < 2 else f"{value:.1f}×" if value < 20 else f"{value:.0f}×"


def verdict(finding: Finding) -> str:
    """Return what a finding says about its target: aim, reach, or short of it."""
    target, ratio = finding.target, finding.ratio
    if ratio is None:
        return finding.note
    for name, wanted in (("aim", target.aim), ("reach", target.reach)):
        if wanted is not None and (ratio.median <= wanted if target.kind == "cost" else ratio.median >= wanted):
            return name
    return "" if target.reach is None else "**short**"


def _cells(finding: Finding) -> Sequence[str]:
    target, ratio = finding.target, finding.ratio
    wanted = ratio_shown(target.reach, target), ratio_shown(target.aim, target)
    if ratio is None:
        return target.what, target.against, *wanted, "", "", "", "", verdict(finding)
    spread = f"{ratio_shown(ratio.low, target)} – {ratio_shown(ratio.high, target)}"
    values = shown(finding.ours, finding.unit), shown(finding.theirs, finding.unit)
    return target.what, target.against, *wanted, ratio_shown(ratio.median, target), spread, *values, verdict(finding)


def line(finding: Finding) -> str:
    """Return a finding as one line: what was measured, the ratio, and what it means."""
    what, against, _, aim, ratio, spread, ours, theirs, says = _cells(finding)
    found = f"{ratio} ({spread}), {ours} against {theirs}, aim {aim or 'none'}: " if ratio else ""
    return f"{what} ÷ {against}: {found}{says or 'for information'}"


def machine() -> str:
    """Return what was measured on, and when."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    versions = f"Python {platform.python_version()}, sqlite {sqlite3.sqlite_version}"
    system = f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}"
    return f"{os.cpu_count()} × {model}, {system}, {versions}; {datetime.now(UTC):%Y-%m-%d}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def markdown(findings: Iterable[Finding]) -> str:
    """Return the table: a ratio without × is ours ÷ theirs, small is good; with ×, how many times as fast we are."""
    rows = [HEAD, *map(_cells, findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def fill_in(page: Path, findings: Iterable[Finding]) -> None:
    """Put findings into the rows of a page's table that begin as theirs do; rows of others stay as they are.

    Raises:
        ValueError: the page has no row for one of them, or no line that says when it was measured.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    for finding in findings:
        if finding.ratio is None:
            continue
        cells = _cells(finding)
        places = [number for number, line in enumerate(lines) if line.startswith(f"| {cells[0]} | {cells[1]} |")]
        if finding.target.reach is None and not places:
            continue  # measured beside the others, for information
        (place,) = places or [_missing(page, cells)]
        lines[place] = f"| {' | '.join(cells)} |".replace("|  |", "| |")
    dated = [number for number, line in enumerate(lines) if line.startswith(DATED)]
    lines[dated[0] if dated else _missing(page, [DATED])] = f"{DATED}{machine()}."
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _missing(page: Path, cells: Sequence[str]) -> int:
    raise ValueError(f"{page} has no line that begins with {' | '.join(cells[:2])}")
