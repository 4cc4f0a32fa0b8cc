"""What `attribution()` returns can be entered again, inside itself, and by many at once; each entry is left alone."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snaptable import attribution
from snaptable.changes.attribution import Attribution, current_attribution

ANN = Attribution(actor="ann")


def test_tasks_enter_one_object_at_once() -> None:
    """Two tasks are in the block at the same time; the one that entered first leaves first."""
    block = attribution(actor="ann")

    async def enter(entered: asyncio.Event, leave: asyncio.Event) -> list[Attribution | None]:
        with block:
            entered.set()
            await leave.wait()
            inside = current_attribution()
        return [inside, current_attribution()]

    async def both() -> list[list[Attribution | None]]:
        first, second = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(enter(first, second), enter(second, first)))

    assert asyncio.run(both()) == [[ANN, None], [ANN, None]]


def test_threads_enter_one_object_at_once() -> None:
    """Neither thread leaves before both have entered."""
    block, barrier = attribution(actor="ann"), Barrier(2)

    def enter(_: int) -> list[Attribution | None]:
        with block:
            barrier.wait(timeout=60)
            inside = current_attribution()
            barrier.wait(timeout=60)
        return [inside, current_attribution()]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(enter, range(2))) == [[ANN, None], [ANN, None]]


@given(st.lists(st.integers(0, 2), max_size=6))
def test_blocks_stand_in_one_another_in_any_order(chosen: list[int]) -> None:
    """The same objects again and again: each is left to what held before it, and the next may begin anew."""
    blocks = [attribution(actor="ann"), attribution(note="why"), attribution(actor="ben", via="a job")]
    before: list[Attribution | None] = []

    def enter(numbers: list[int]) -> None:
        before.append(held := current_attribution())
        if numbers:
            with blocks[numbers[0]]:
                enter(numbers[1:])
        assert current_attribution() == held

    enter(chosen)
    assert before[0] is current_attribution() is None
    assert [held is None for held in before] == [True] + [False] * len(chosen)


def test_a_decorated_function_may_call_itself() -> None:
    """As a decorator it is one object for every call."""
    seen: list[Attribution | None] = []

    @attribution(actor="ann")
    def count_down(number: int) -> None:
        seen.append(current_attribution())
        if number:
            count_down(number - 1)

    count_down(2)
    assert seen == [ANN] * 3
    assert current_attribution() is None


@pytest.mark.parametrize("surroundings", [contextvars.Context, contextvars.copy_context], ids=["without", "inside"])
def test_leaving_elsewhere_is_refused(surroundings: Callable[[], contextvars.Context]) -> None:
    """A block is left where it was entered; the error says so, and what holds there stays."""
    block = attribution(actor="ann")
    with block:
        other = surroundings()
        with pytest.raises(RuntimeError, match="another thread or task than it was entered in"):
            other.run(block.__exit__, None, None, None)
        assert current_attribution() == ANN
    assert current_attribution() is None
