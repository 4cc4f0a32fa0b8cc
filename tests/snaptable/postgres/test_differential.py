"""Random transactions on both engines; the long form is `python -m tests.snaptable.postgres.differential`."""

from tests.snaptable.postgres import differential


def test_both_engines_do_the_same() -> None:
    """Ensure that rows in order, results, errors and refusals are the same after each transaction."""
    outcome = differential.run(300, seed=5)
    assert outcome.difference is None, outcome
    assert outcome.counts["transactions"] > 50
