"""What a run has found so far, kept in files after each finding, so that an interrupted run can be continued."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.bench import Finding, Point
from tests.benchmarks.measure import Ratio
from tests.benchmarks.targets import TARGETS

import snaptable


class OtherRun(Exception):
    """What is to be continued is not there, or is a run of something else."""


@dataclass
class Results:
    """The findings of a run, in `results.json` and, for people, in `results.md`.

    Attributes:
        out: the directory of the two.
        settings: how long it measures, and on how much: findings of one run have them in common.
        findings: in the order in which they were found.
        scenarios: the scenario of each finding.
        points: those of the plot of growth.
        done: the scenarios that ended.
        failed: the scenarios that did not.
    """

    out: Path
    settings: str
    findings: list[Finding] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def continued(cls, out: Path, settings: str) -> "Results":
        """Return what a run has left in a directory, of the scenarios that ended.

        Raises:
            OtherRun: it left nothing there, or measured other code, on another machine, or with other settings.
        """
        try:
            kept: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OtherRun(f"there is no run to continue in {out}: {error}") from error
        results = cls(out, settings)
        if kept.get("subject") != results.subject:
            raise OtherRun(f"the run in {out} measured {kept.get('subject')}, this one {results.subject}: begin anew")
        results.done += kept["done"]
        results.points += [Point(**point) for point in kept["growth"] if "growth" in results.done]
        for found in kept["findings"]:
            if found["scenario"] in results.done:
                results.add(found["scenario"], _finding(found), write=False)
        return results

    @property
    def subject(self) -> dict[str, str]:
        """What is measured: findings of two runs may stand in one table only where this is the same."""
        machine = report.machine().rpartition(";")[0]
        return {"code": _digest(Path(snaptable.__file__).parent), "machine": machine, "settings": self.settings}

    def add(self, scenario: str, found: Finding, *, write: bool = True) -> None:
        """Keep a finding."""
        self.scenarios.append(scenario)
        self.findings.append(found)
        if write:
            self.write()

    def forget(self, scenario: str) -> None:
        """Drop what a scenario found that did not end: it begins anew when the run is continued."""
        kept = [both for both in zip(self.scenarios, self.findings, strict=True) if both[0] != scenario]
        self.scenarios, self.findings = [name for name, _ in kept], [found for _, found in kept]

    def write(self) -> str:
        """Write both files; return the Markdown."""
        title = f"`{' '.join(('python -m tests.benchmarks', *sys.argv[1:]))}`"
        text = f"{title}\n\n{report.machine()}\n\n{report.markdown(self.findings)}\n"
        (self.out / "results.md").write_text(text, encoding="utf-8")
        plain: dict[str, Any] = {
            "machine": report.machine(),
            "subject": self.subject,
            "done": self.done,
            "findings": [
                {**asdict(found), "scenario": name, "verdict": report.verdict(found)}
                for name, found in zip(self.scenarios, self.findings, strict=True)
            ],
            "growth": [asdict(point) for point in self.points],
        }
        fresh = self.out / "results.json.new"
        fresh.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(self.out / "results.json")
        return text


def _finding(kept: Mapping[str, Any]) -> Finding:
    ratio = Ratio(**kept["ratio"]) if kept["ratio"] else None
    return Finding(kept["key"], TARGETS[kept["key"]], ratio, kept["ours"], kept["theirs"], kept["unit"], kept["note"])


def _digest(folder: Path) -> str:
    """Return a digest of the sources in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
