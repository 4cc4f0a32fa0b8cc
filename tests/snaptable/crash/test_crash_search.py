"""A quick form of the crash search; `python -m tests.snaptable.crash` is the long one."""

import pytest
from tests.snaptable.crash import search
from tests.snaptable.crash.search import WORKLOADS, CrashReport, record

SEED = 20261120


@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
@pytest.mark.parametrize("name", list(WORKLOADS))
def test_no_crash_loses_or_halves_a_commit(name: str, model: search.Model) -> None:
    """In every state that a crash leaves, the store opens and holds exactly the state after some allowed commit."""
    # A kill leaves one state an operation, a power cut many.
    tally, every = CrashReport(), search.EVERY.get(name, 2 if model == "kill" else 4)
    with search.silenced_log(), search.configured(name) as workload:
        search.search(record(workload), model, tally, seed=SEED, most=6, every=every)
    assert tally.failures == []
    assert tally.states[model] >= 15


@pytest.mark.parametrize("model", ["kill", "weak"])
def test_no_crash_during_recovery_does_either(model: search.Model) -> None:
    """A second crash, at any operation of the recovery from a first, leaves no worse state."""
    tally = CrashReport()
    with search.silenced_log(), search.configured("journal only") as workload:
        search.search(record(workload), model, tally, seed=SEED, most=3, every=14, nested=1)
    assert tally.failures == []
    assert sum(tally.states.values()) > 120
