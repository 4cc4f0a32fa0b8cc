"""Copies of a running store, file by file in random order: each opens, or is mended, with all that was acknowledged."""

import pytest
from tests.snaptable.crash import copies, search
from tests.snaptable.crash.search import record


@pytest.mark.parametrize("name", copies.COPIED)
def test_no_copy_loses_a_commit(name: str) -> None:
    """Ensure every copy holds exactly the state after some commit, none older than the last before the copy began."""
    report = copies.CopyReport()
    with search.silenced_log(), search.configured(name) as workload:
        copies.search(record(workload), report, seed=20261128, copies=60)
    assert report.failures == []
    assert report.outcomes["opened"] > 20
    assert report.outcomes["repaired"] > 0


@pytest.mark.parametrize("name", search.SHORTENED)
def test_a_copy_while_history_goes_holds_what_was_or_is_refused(name: str) -> None:
    """Ensure no copy shows what never was, also if it lacks files that were forgotten, pruned or purged meanwhile."""
    report = copies.CopyReport()
    with search.silenced_log(), search.configured(name) as workload:
        copies.search(record(workload), report, seed=20261128, copies=60, shortened=True)
    assert report.failures == []
    assert report.outcomes["opened"] > 20
