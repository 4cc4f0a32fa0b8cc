"""The searches are tested themselves: each of a set of broken storage layers must be noticed."""

import pytest
from tests.snaptable.crash import faults, mutants, search
from tests.snaptable.crash.mutants import EQUIVALENT, MUTANTS, Mutant

PLACES = sorted({(where, mutant.nested, mutant.every) for mutant in MUTANTS for where in mutant.where})

SOME = 16
"""At every which operation a store is looked at where nothing is broken."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_broken_storage_layer_is_caught(mutant: Mutant) -> None:
    """With one mechanism taken out, the quick search finds a state, or a fault, in which a promise is broken."""
    assert mutants.caught(mutant) is not None


@pytest.mark.parametrize("name", list(EQUIVALENT))
def test_what_makes_no_difference_is_named(name: str) -> None:
    """What is said to change nothing that a crash could show is not caught where the others are."""
    break_it, reason = EQUIVALENT[name]
    assert reason
    assert mutants.caught(Mutant(name, break_it, ("journal only",), nested=1, every=16)) is None


@pytest.mark.parametrize(("where", "nested", "every"), PLACES)
def test_nothing_is_caught_where_nothing_is_broken(where: str, nested: int, every: int) -> None:
    """The same searches, at some operations, say nothing against the storage as it is: so the others count.

    At all of them it is for `test_crash_search` and `test_fault_search` to say, and for the long searches.
    """
    assert mutants.caught(Mutant("none", lambda _: None, (where,), nested, SOME * every)) is None


def test_there_are_enough() -> None:
    """The set covers what is known to have gone wrong elsewhere, and every place that it names exists."""
    assert len(MUTANTS) >= 20
    known = {*search.WORKLOADS, *faults.FAILURES}
    assert all(where in known for mutant in MUTANTS for where in mutant.where)
