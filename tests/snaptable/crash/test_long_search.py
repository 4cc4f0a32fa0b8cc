"""The command of the long crash search: it tells how far it is, ends in time, and says what it did not look at."""

import pytest
from tests.snaptable.crash import __main__ as long_search
from tests.snaptable.crash.__main__ import Search, Task, Watch, arguments, look


def test_tasks_end_when_the_time_is_up() -> None:
    """Ensure that a task stops amid its states, and counts those alone that it looked at."""
    task = Task("crashes", "restarts", "weak", seed=1, most=3, every=40)
    whole = Watch(5)
    found = look(task, whole)
    assert not found.cut_short
    assert found.states.total() == whole.seen > 3
    late = Watch(-1)
    cut = look(task, late)
    assert cut.cut_short
    assert cut.failures == []
    assert cut.states.total() == late.seen == 0


@pytest.mark.parametrize("kind", ["restores", "copies"])
def test_every_kind_of_task_counts_for_all_to_see(kind: str) -> None:
    """Ensure that what is told while a search runs is what its sum says in the end."""
    watch = Watch(5)
    name = "to nothing" if kind == "restores" else "small commits"
    found = look(Task(kind, name, "kill", seed=1, most=4, every=9), watch)
    assert found.failures == []
    assert found.states.total() == watch.seen >= 3


def test_a_search_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ensure that lines come while it runs, and that it names what it never came to when the time was short."""
    monkeypatch.setattr(long_search, "TELL_EVERY", 0.0)
    searching = Search(arguments(["--only", "restarts", "--every", "60", "--most", "2", "--states", "1"]))
    searching.run()
    assert searching.total.failures == []
    assert searching.total.states.total() >= 1
    assert " states, 0 wrong; now " in capsys.readouterr().out
    assert searching.never_begun
    assert searching.begun.isdisjoint(searching.never_begun)
