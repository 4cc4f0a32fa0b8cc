"""Random transactions on both engines; the long form is `python -m tests.snaptable.postgres.differential`."""

import pytest
from tests.snaptable.postgres import differential


def test_both_engines_do_the_same() -> None:
    """Ensure that rows in order, results, errors and refusals are the same after each transaction."""
    outcome = differential.run(300, seed=5)
    assert outcome.difference is None, outcome
    assert outcome.counts["transactions"] > 50
    assert outcome.counts["operations"] >= 300


def test_a_run_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that parts draw the same whichever came before, and that all are told."""
    monkeypatch.setattr(differential, "PART", 20)
    told: list[tuple[int, int]] = []
    whole = differential.run(60, 7, tell=lambda parts, outcome: told.append((parts, outcome.counts["operations"])))
    behind = differential.run(60, 7, first=1)
    assert [parts for parts, _ in told] == [1, 2, 3]
    assert behind.counts["operations"] == whole.counts["operations"] - told[0][1]
    assert whole.difference is behind.difference is None
