"""Turns of those whose PDFs are read: users one after the other, one count at a time each, and no wait without end."""

import asyncio
import errno
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.app.support import Api, make_pdf

from app.errors import TooBusy
from app.files.page_counter import PageCounter


class FakeChild:
    """A child that takes its time, and notes whose documents it counts."""

    def __init__(self, world: "World") -> None:
        self.world = world

    async def start(self) -> None:
        """Do nothing."""

    async def ask(self, path: Path) -> dict[str, int | str]:
        """Count a document; its name is the user's."""
        user, world = path.name, self.world
        world.order.append(user)
        world.now.append(user)
        world.most[user] = max(world.most.get(user, 0), world.now.count(user))
        await world.go.wait()
        await asyncio.sleep(0.001)
        world.now.remove(user)
        return {"pages": 1}

    async def kill(self) -> None:
        """Do nothing."""


class World:
    """A counter with such children, and what they did."""

    def __init__(self, workers: int = 1, **options: Any) -> None:
        self.order: list[str] = []
        self.now: list[str] = []
        self.most: dict[str, int] = {}
        self.go = asyncio.Event()
        self.go.set()
        self.counter = PageCounter(workers, **options)
        self.counter._idle = [FakeChild(self) for _ in range(workers)]  # type: ignore[misc]
        self.tasks: list[asyncio.Task[int]] = []

    async def ask(self, *users: str) -> None:
        """Let users ask, in this order."""
        for user in users:
            self.tasks.append(asyncio.create_task(self.counter.count(Path(user), user)))
            await asyncio.sleep(0)

    async def outcomes(self) -> list[object]:
        """Return what each got."""
        return [
            result if isinstance(result, int) else type(result)
            for result in await asyncio.gather(*self.tasks, return_exceptions=True)
        ]

    def check_at_rest(self) -> None:
        """Check that nobody waits or is served, and every child is there."""
        assert self.counter._queues == {}
        assert self.counter._served == set()
        assert len(self.counter._idle) == len(self.counter._children)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine."""
    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize("workers", [1, 2])
def test_users_are_served_in_turn(workers: int) -> None:
    """Ensure that ten documents of one user delay another's by one count, and that no user has two at a time."""

    async def work() -> None:
        world = World(workers)
        world.go.clear()  # Nobody is answered before all have asked, however slow the machine is.
        await world.ask(*["ann"] * 10, "bob", "carl", "bob")
        world.go.set()
        assert await world.outcomes() == [1] * 13
        assert {"bob", "carl"} <= set(world.order[:4])
        assert set(world.most.values()) == {1}
        assert world.order.count("ann") == 10
        world.check_at_rest()

    run(work)


def test_a_wait_has_an_end() -> None:
    """Ensure that whoever waits too long is told so, and the others are served."""

    async def work() -> None:
        world = World(patience=0.05)
        world.go.clear()
        await world.ask("ann", "bob", "ann")
        await asyncio.sleep(0.1)
        world.go.set()
        world.counter.patience = 10  # On a slow machine, a twentieth of a second may pass before carl's turn.
        await world.ask("carl")
        assert await world.outcomes() == [1, TooBusy, TooBusy, 1]
        world.check_at_rest()

    run(work)


def test_one_user_does_not_take_every_place() -> None:
    """Ensure that when all places are taken, the user who has most of them makes room for another."""

    async def work() -> None:
        world = World(waiting=3)
        world.go.clear()
        await world.ask("ann", "ann", "ann", "ann", "ann", "bob", "carl", "dora", "bob")
        await asyncio.sleep(0)
        world.go.set()
        assert await world.outcomes() == [1, 1, TooBusy, TooBusy, TooBusy, 1, 1, TooBusy, TooBusy]
        world.check_at_rest()

    run(work)


@pytest.mark.parametrize("ticks", range(6))
def test_whoever_gives_up_keeps_nobody_waiting(ticks: int) -> None:
    """Ensure that a caller cancelled at any moment, also just as its turn comes, takes no child along."""

    async def work() -> None:
        world = World()
        world.go.clear()
        await world.ask("ann", "bob", "carl")
        world.go.set()
        await asyncio.sleep(0.001)
        for _ in range(ticks):
            await asyncio.sleep(0)
        world.tasks[1].cancel()
        results = await world.outcomes()
        assert (results[0], results[2]) == (1, 1)
        world.check_at_rest()

    run(work)


def test_a_child_that_cannot_be_started_is_not_the_clients_fault(ann: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that without a descriptor or process left an upload is 503, and works again once there is one."""

    async def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    files = {"file": ("a.pdf", make_pdf(), "application/pdf")}
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "create_subprocess_exec", refuse)
        response = ann.post("/api/documents", files=files)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert ann.get("/api/documents").json()["items"] == []
    ann.upload()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an order in which processes are killed")
def test_children_die_before_the_server(tmp_path: Path) -> None:
    """Ensure that where memory runs short the kernel takes a child that reads PDFs first."""
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(2))

    async def work() -> None:
        counter = PageCounter(workers=1)
        try:
            assert await counter.count(path) == 2
            process = counter._children[0]._process
            assert process is not None
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"  # noqa: ASYNC240
        finally:
            await counter.close()

    run(work)
