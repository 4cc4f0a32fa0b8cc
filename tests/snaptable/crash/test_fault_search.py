"""Every operation of a store fails, in every way: the quick form; SNAPTABLE_FAULTS=long tries every one."""

import os
from itertools import count

import pytest
from tests.snaptable.crash import faults, search

LONG = os.environ.get("SNAPTABLE_FAULTS") == "long"
EVERY = 1 if LONG else 13
"""One in this many faults is injected."""


@pytest.mark.parametrize("name", list(faults.FAILURES))
def test_no_fault_costs_more_than_its_write(name: str) -> None:
    """Whatever fails, nothing acknowledged is lost, nothing is there by half, and the store recovers as promised."""
    report = faults.FaultReport()
    with search.configured(name):
        for plan in faults.plans(EVERY, (name,)):
            faults.inject(report, *plan)
    assert report.failures == []
    assert report.runs > 5
    assert report.triggered >= report.runs // 2
    assert report.states >= report.runs


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in which memory is never what was acknowledged is reported, with the place of its fault."""
    report, numbers = faults.FaultReport(), count()
    monkeypatch.setattr(faults, "rows_of", lambda _: {"authors": [next(numbers)]})
    faults.inject(report, "EIO", "once", False, 30)
    assert len(report.failures) == 1
    assert report.failures[0].startswith("EIO, once, auto, operation 30: ")
