"""The protocol of the cache: for any order of steps of readers, writers and a cache that lies, no wrong answer.

Ensures, over a database and a store made for the test, that an answer is what the database held between the beginning
of the request and its end, of that user and that question; and that a cache that fails is left alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.cache import FAILURES, LONGEST_PAUSE, MOST_BYTES, Cache, Loaded

SECRET = str(UUID(int=7))
USERS = ("ann", "bob")


class Steps:
    """Runs coroutines so that at each point where one waits, what was drawn says which goes on."""

    def __init__(self, drawn: Random) -> None:
        self._drawn = drawn
        self._waiting: list[asyncio.Future[None]] = []

    async def pause(self) -> None:
        """Let others go first."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def run(self, coroutines: list[Coroutine[Any, Any, None]]) -> None:
        """Run them all to their ends."""
        tasks = [asyncio.create_task(each) for each in coroutines]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            if self._waiting:
                self._waiting.pop(self._drawn.randrange(len(self._waiting))).set_result(None)
        for task in tasks:
            task.result()


class Rows:
    """A database of one row a user; its past is kept, to know what there was when."""

    def __init__(self) -> None:
        self.now = 0
        self.states: dict[str, list[tuple[int, str, int]]] = {user: [(0, str(uuid4()), 0)] for user in USERS}
        """For each user: when, the revision, the row."""
        self._newest = 0

    def read(self, user: str) -> tuple[str, int]:
        """Return a user's revision and row, as of one state."""
        _, revision, row = self.states[user][-1]
        return revision, row

    def commit(self, user: str) -> None:
        """Change a user's row."""
        self.now += 1
        self._newest += 1
        self.states[user].append((self.now, str(uuid4()), self._newest))

    def fail_over(self, user: str) -> None:
        """Lose the last commit, as a server does that follows asynchronously."""
        self.now += 1
        if len(self.states[user]) > 1:
            _, revision, row = self.states[user][-2]
            self.states[user].append((self.now, revision, row))

    def between(self, user: str, begun: int) -> set[int]:
        """Return every row that a user had since some time."""
        states = self.states[user]
        before = max(number for number, (at, _, _) in enumerate(states) if at <= begun)
        return {row for _, _, row in states[before:]}


class LyingStore:
    """A cache whose content is lost, put back, moved, cut and altered, and that fails at times."""

    def __init__(self, steps: Steps) -> None:
        self.content: dict[str, bytes] = {}
        self._steps = steps
        self._old: dict[str, bytes] = {}
        self.fails = False

    async def read(self, key: str, most: int) -> bytes:
        await self._steps.pause()
        if self.fails:
            raise ConnectionError
        entry = self.content.get(key, b"")[:most]
        await self._steps.pause()
        return entry

    async def write(self, key: str, entry: bytes, seconds: float) -> None:
        await self._steps.pause()
        if self.fails:
            raise TimeoutError
        self.content[key] = entry
        self._old[key] = entry

    async def close(self) -> None:
        """Do nothing."""

    def lie(self, how: str) -> None:
        """Do something that no cache should."""
        keys = list(self.content)
        if how == "restart":
            self.content.clear()
        elif how == "put back":
            self.content.update(self._old)
        elif how == "fail":
            self.fails = not self.fails
        elif len(keys) > 1 and how == "move":
            self.content[keys[0]], self.content[keys[-1]] = self.content[keys[-1]], self.content[keys[0]]
        elif keys and how == "alter":
            entry = self.content[keys[0]]
            self.content[keys[0]] = entry[:-1] + bytes([entry[-1] ^ 1])
        elif keys and how == "cut":
            self.content[keys[0]] = self.content[keys[0]][:-1]


LIES = ("restart", "put back", "fail", "move", "alter", "cut")
LANE = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("read", "read", "write")), st.sampled_from(USERS)),
        st.tuples(st.just("read"), st.just("ann")),
        st.tuples(st.just("fail over"), st.sampled_from(USERS)),
        st.tuples(st.just("lie"), st.sampled_from(LIES)),
    ),
    min_size=1,
    max_size=12,
)
"""What one client does, one thing behind the other."""


@settings(max_examples=150, deadline=None)
@given(st.lists(LANE, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_any_order_of_steps_gives_only_what_was_there_meanwhile(
    lanes: list[list[tuple[str, str]]], drawn: Random
) -> None:
    """Ensure that no reader sees what was not their user's row at some time of the request, a lost one's included."""
    steps, rows = Steps(drawn), Rows()
    store = LyingStore(steps)
    caches = [Cache(store, SECRET, 60.0) for _ in range(2)]  # of two processes

    async def read(number: int, user: str) -> None:
        """Do what a request does."""
        await steps.pause()
        begun = rows.now
        revision, _ = rows.read(user)

        async def load() -> Loaded:
            await steps.pause()
            revision, row = rows.read(user)
            await steps.pause()
            return revision, f"{user} {row}".encode()

        answer = await caches[number % 2].through(user, revision, "row", load)
        owner, row = answer.decode().split()
        assert owner == user
        assert int(row) in rows.between(user, begun)

    async def write(user: str) -> None:
        await steps.pause()
        rows.commit(user)  # from here on it may be acknowledged: who begins to read later sees it

    async def at_some_time(act: Callable[[str], None], what: str) -> None:
        await steps.pause()
        act(what)

    acts: dict[str, Callable[[int, str], Coroutine[Any, Any, None]]] = {
        "read": read,
        "write": lambda _, user: write(user),
        "fail over": lambda _, user: at_some_time(rows.fail_over, user),
        "lie": lambda _, how: at_some_time(store.lie, how),
    }

    async def client(number: int, lane: list[tuple[str, str]]) -> None:
        for what, whose in lane:
            await acts[what](number, whose)

    asyncio.run(steps.run([client(number, lane) for number, lane in enumerate(lanes)]))


class Plain:
    """A cache that works, or doesn't, at once."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.error: Exception | None = None
        self.asked = 0

    async def read(self, key: str, most: int) -> bytes:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.content.get(key, b"")[:most]

    async def write(self, key: str, entry: bytes, seconds: float) -> None:
        if self.error is not None:
            raise self.error
        self.content[key] = entry

    async def close(self) -> None:
        raise ConnectionError


class Hand:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(
    cache: Cache, question: str = "q", answer: bytes = b"a", user: str = "ann", revision: str | None = "r"
) -> bytes:
    """Ask, with a database that has this answer."""

    async def load() -> Loaded:
        return revision, answer

    return asyncio.run(cache.through(user, revision, question, load))


@given(*[st.lists(st.text(max_size=3), min_size=3, max_size=3)] * 2, st.binary(max_size=20), st.binary(max_size=20))
@example(["ab", "", "c"], ["a", "b", "c"], b"first", b"second")
@example(["a", "b", "cd"], ["a", "bc", "d"], b"first", b"second")
def test_any_two_questions_have_two_places(one: list[str], other: list[str], first: bytes, second: bytes) -> None:
    """Ensure that user, revision and question can't be taken for others, whatever they are made of."""
    store = Plain()
    cache = Cache(store, SECRET, 60.0)
    assert ask(cache, one[2], first, one[0], one[1]) == first
    assert ask(cache, other[2], second, other[0], other[1]) == (first if one == other else second)
    assert not any(text in key for key in store.content for text in (*one, *other) if len(text) > 2)


@given(st.binary(max_size=200))
def test_whatever_is_put_there_is_not_taken(entry: bytes) -> None:
    """Ensure that an entry that was not made here is refused, and counted."""
    store = Plain()
    cache = Cache(store, SECRET, 60.0)
    ask(cache)
    store.content = dict.fromkeys(store.content, entry)
    assert ask(cache, answer=b"b") == b"b"
    assert cache.counts.hits == 0
    assert (cache.counts.refused, cache.counts.misses) == ((1, 1) if entry else (0, 2))


def test_entries_end_and_other_databases_and_programs_have_others() -> None:
    """Ensure it of a store that forgets nothing: by time, by the database's secret, by the shape of the answers."""
    store, clock = Plain(), Hand()
    cache = Cache(store, SECRET, 60.0, clock=clock)
    ask(cache)
    assert ask(cache, answer=b"b") == b"a"
    assert ask(Cache(store, SECRET, 60.0, clock=clock, shape="other"), answer=b"b") == b"b"
    assert ask(Cache(store, str(UUID(int=8)), 60.0, clock=clock), answer=b"b") == b"b"
    clock.now += 66
    assert ask(cache, answer=b"b") == b"b"
    clock.now -= 600
    assert ask(cache, answer=b"c") == b"c"


def test_large_answers_are_not_kept_and_large_entries_not_read() -> None:
    """Ensure that neither fills memory."""
    store = Plain()
    cache = Cache(store, SECRET, 60.0)
    large = bytes(MOST_BYTES + 1)
    assert ask(cache, answer=large) == large
    assert (store.content, cache.counts.too_large) == ({}, 1)
    assert ask(cache, answer=large[1:]) == large[1:]
    store.content = {key: entry + b"x" for key, entry in store.content.items()}
    assert ask(cache, answer=b"b") == large[1:]  # what is behind the longest answer is not even read


def test_without_revisions_nothing_is_kept() -> None:
    """Ensure that a database that names no states is asked each time."""
    store = Plain()
    cache = Cache(store, SECRET, 60.0)
    assert [ask(cache, answer=each, revision=None) for each in (b"a", b"b")] == [b"a", b"b"]
    assert store.content == {}


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), ValueError("x"), OSError()])
def test_a_cache_that_fails_is_left_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure that it is asked three times, then once a pause that grows, and is used again once it answers."""
    store, clock = Plain(), Hand()
    cache = Cache(store, SECRET, 60.0, monotonic=clock)
    store.error = error
    for _ in range(20):
        assert ask(cache) == b"a"
    assert (store.asked, cache.is_open) == (FAILURES, True)
    assert (cache.counts.errors, cache.counts.skipped) == (FAILURES, 20 - FAILURES)
    pauses = []
    for _ in range(8):
        asked, pause = store.asked, 0.0
        while store.asked == asked:
            clock.now += 0.5
            pause += 0.5
            ask(cache)
        pauses.append(pause)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, LONGEST_PAUSE)
    store.error = None
    clock.now += LONGEST_PAUSE
    assert [ask(cache), ask(cache, answer=b"b")] == [b"a", b"a"]
    assert not cache.is_open
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert cache.measures()["hits_total"] == 1
    asyncio.run(cache.close())


def test_what_the_database_refuses_is_passed_on_and_not_kept() -> None:
    """Ensure that a missing row is asked for again."""
    store = Plain()
    cache = Cache(store, SECRET, 60.0)

    async def load() -> Loaded:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            asyncio.run(cache.through("ann", "r", "q", load))
    assert store.content == {}
