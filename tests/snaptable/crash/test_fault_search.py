"""Every operation of a store's life fails, in every way: the quick form; SNAPTABLE_FAULTS=long tries every one."""

import os
from itertools import count

import pytest
from tests.snaptable.crash import faults, search

LONG = os.environ.get("SNAPTABLE_FAULTS") == "long"
EVERY = 1 if LONG else 13
"""One of so many faults is injected."""


@pytest.mark.parametrize("way", list(faults.WAYS))
def test_no_fault_costs_more_than_its_write(way: str) -> None:
    """Whatever fails, nothing acknowledged is lost, nothing is there by half, and the store recovers as promised."""
    found = faults.Found()
    with search.configured(way):
        for plan in faults.plans(EVERY, (way,)):
            faults.inject(found, *plan)
    assert found.failures == []
    assert found.lives > 5
    assert found.struck >= found.lives // 2
    assert found.states >= found.lives


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A life in which memory is never what was acknowledged is reported, with the place of its fault."""
    found, numbers = faults.Found(), count()
    monkeypatch.setattr(faults, "rows_of", lambda _: {"authors": [next(numbers)]})
    faults.inject(found, "EIO", "once", False, 30)
    assert len(found.failures) == 1
    assert found.failures[0].startswith("EIO, once, auto, operation 30: ")
