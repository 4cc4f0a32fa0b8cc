"""What logging in costs the server and those who wait: counters, networks, queues, memory, time.

Ensures that no stranger can fill the memory with counts, lock an owner out by the clock or from a network beside them,
keep others from their turn, or see in the time a failure takes which accounts there are.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import bcrypt
import pytest
from argon2.exceptions import HashingError, VerificationError
from argon2.low_level import error_to_str
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import PASSWORD, PATIENCE, Api, check_problem
from tests.growth import assert_proportional

from app.errors import TooBusy, TooManyAttempts
from app.resources import Resources
from app.security.counters import OwnCounts, WindowCounter
from app.security.fair_queue import FairQueue
from app.security.login_limits import STRANGERS, LoginLimits
from app.security.networks import household_of, networks_of
from app.security.passwords import Passwords


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


# ── counters ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc")),
            st.tuples(st.just("take_back"), st.sampled_from("abc")),
            st.tuples(st.just("forget"), st.sampled_from("abc")),
            st.tuples(st.just("pass"), st.sampled_from(["1", "5", "10"])),
        )
    )
)
def test_a_counter_counts_as_a_plain_dictionary_would(steps: list[tuple[str, str]]) -> None:
    """Ensure windows that begin with a key's first event and end by themselves, whatever is done in between."""
    clock = HandClock()
    counter = WindowCounter(10, clock=clock)
    model: dict[str, tuple[float, int]] = {}
    for step, argument in steps:
        if step == "pass":
            clock.now += float(argument)
            model = {key: value for key, value in model.items() if value[0] > clock.now}
        elif step == "add":
            ends, count = model.get(argument, (clock.now + 10, 0))
            model[argument] = (ends, count + 1)
            counter.add(argument)
        elif step == "forget":
            model.pop(argument, None)
            counter.forget(argument)
        else:
            ends, count = model.get(argument, (0, 0))
            model.pop(argument, None)
            if count > 1:
                model[argument] = (ends, count - 1)
            counter.take_back(argument)
        for key in "abc":
            ends, count = model.get(key, (clock.now, 0))
            assert (counter.count(key), counter.remaining(key)) == (count, ends - clock.now)


def test_hundreds_of_thousands_of_keys_take_bounded_memory_and_the_youngest_stay() -> None:
    """Ensure that a flood of addresses forgets the oldest windows only, and what has ended goes by itself."""
    clock = HandClock()
    counter = WindowCounter(10, keys=1000, clock=clock)
    for number in range(300_000):
        counter.add(str(number))
    assert len(counter) == 1000
    assert counter.count("299000") == counter.count("299999") == 1
    clock.now += 11
    for number in range(600):
        counter.add(f"new {number}")
    assert len(counter) <= 1000
    assert counter.count("299999") == 0


def limits(**options: Any) -> LoginLimits:
    """Return limits that are quickly reached."""
    defaults = {"failures": 2, "window": 60, "address_failures": 1000, "registrations": 2}
    return LoginLimits(**defaults | options)


def passes(limits: LoginLimits, account: str, address: str) -> bool:
    """Return whether an attempt is let through."""
    try:
        limits.begin_login(account, address)
    except TooManyAttempts:
        return False
    return True


def test_a_refused_attempt_leaves_nothing_and_costs_the_same_at_any_number_of_keys() -> None:
    """Ensure that an address that is blocked can't fill the memory by naming ever new accounts."""
    tried = limits(address_failures=3)
    assert [passes(tried, f"u{number}", "192.0.2.1") for number in range(5)] == [True] * 3 + [False] * 2
    assert isinstance(tried.counts, OwnCounts)
    counters = tried.counts.by_kind
    before = {kind: len(counter) for kind, counter in counters.items()}
    assert_proportional(lambda n: [passes(tried, f"other {i}", "192.0.2.1") for i in range(n)], lambda n: n, 500)
    assert {kind: len(counter) for kind, counter in counters.items()} == before


def test_a_clock_set_back_locks_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that the time of day has no part in it."""
    tried = limits()
    monkeypatch.setattr("time.time", lambda: 0.0)
    passes(tried, "ann", "192.0.2.1")
    passes(tried, "ann", "192.0.2.1")
    with pytest.raises(TooManyAttempts) as refused:
        tried.begin_login("ann", "192.0.2.1")
    assert refused.value.seconds <= 60


@pytest.mark.parametrize("shift", [64, 72, 80])
def test_many_networks_of_one_site_guess_no_more_than_a_few_times_what_one_does(shift: int) -> None:
    """Ensure that 400 networks of /64, of one /56 or one /48, don't get 400 guesses on one account."""
    tried = limits(failures=10)
    base = 0x20010DB8000000000000000000000000
    guesses = [passes(tried, "ann", networks_of_number(base + (number << shift))) for number in range(400)]
    # 400 of /56 lie in two of /48; of 400 /48 the limit of the account holds.
    assert sum(guesses) <= {64: 40, 72: 80, 80: STRANGERS + 100}[shift]


def networks_of_number(number: int) -> str:
    """Return an IPv6 address as text."""
    return ":".join(f"{number >> bits & 0xFFFF:x}" for bits in range(112, -16, -16))


def test_the_owner_at_a_known_address_gets_in_whatever_neighbours_and_strangers_do() -> None:
    """Ensure that neither the /48 around the owner nor the rest of the world locks them out."""
    tried = limits(address_failures=1_000_000)
    tried.begin_login("ann", "2001:db8::1").succeeded()
    for number in range(1, 200):
        passes(tried, "ann", f"2001:db8:0:{number:x}::1")
        passes(tried, "ann", f"198.51.100.{number}")
    assert not passes(tried, "ann", "2001:db8:0:ffff::1")
    assert passes(tried, "ann", "2001:db8::2")


@pytest.mark.parametrize("neighbours", [64, 72])
@pytest.mark.parametrize("by", ["failures on many accounts", "failures on the account", "successes"])
def test_no_neighbours_keep_an_owner_out_who_has_logged_in_there(by: str, neighbours: int) -> None:
    """Ensure that a /56 or /48 whose other networks use up all limits leaves a known /64 its own; also the reverse."""
    tried = limits(failures=5, address_failures=10, address_logins=20)
    base = 0x20010DB8000000000000000000000000
    tried.begin_login("ann", networks_of_number(base)).succeeded()
    for number in range(1, 400):
        address = networks_of_number(base + (number << neighbours))
        account = {"failures on the account": "ann", "successes": f"own {number}"}.get(by, f"other {number}")
        with contextlib.suppress(TooManyAttempts):
            attempt = tried.begin_login(account, address)
            if by == "successes":
                attempt.succeeded()
    stranger = "ann" if by == "failures on the account" else "nobody"
    assert not passes(tried, stranger, networks_of_number(base + (255 << 64)))
    assert passes(tried, "ann", networks_of_number(base + 5))
    for _ in range(20):
        passes(tried, "ann", networks_of_number(base))
    assert not passes(tried, "ann", networks_of_number(base))  # its own limit holds
    assert passes(tried, "bob", networks_of_number(base + (1 << 96)))


def test_successes_count_with_a_limit_of_their_own() -> None:
    """Ensure that who knows a password can't log in without end, and failures don't grow by it."""
    tried = limits(address_logins=5)
    for _ in range(5):
        tried.begin_login("ann", "192.0.2.1").succeeded()
    assert not passes(tried, "ann", "192.0.2.1")
    assert passes(tried, "ann", "192.0.2.2")


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("192.0.2.1", ("192.0.2.1",)),
        ("::ffff:192.0.2.1", ("192.0.2.1",)),
        ("2001:db8:1:2:3::", ("2001:db8:1:2::/64", "2001:db8:1::/56", "2001:db8:1::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/56", "fe80::/48")),
        ("", ("",)),
        ("a\r\nb\x1b[0m" + "x" * 100, ("a??b??0m" + "x" * 56,)),
    ],
)
def test_networks_of_an_address(address: str, networks: tuple[str, ...]) -> None:
    """Ensure the networks, and that what is no address can't be long or odd."""
    assert networks_of(address) == networks
    assert household_of(address) == (networks[1] if len(networks) > 1 else networks[0])


# ── queues ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function."""
    asyncio.run(work())


async def served(queue: FairQueue, client: str, order: list[str]) -> None:
    """Take a place, remember the order, and give it back."""
    await queue.take(client)
    order.append(client)
    await asyncio.sleep(0)
    queue.give_back()


def test_clients_are_served_in_turn() -> None:
    """Ensure that one who comes after eight of another waits for one of them only."""

    async def work() -> None:
        queue, order = FairQueue(1, waiting=100, patience=10), list[str]()
        await queue.take("first")
        waiting = [asyncio.create_task(served(queue, "many", order)) for _ in range(8)]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(served(queue, "one", order)))
        await asyncio.sleep(0)
        queue.give_back()
        await asyncio.gather(*waiting)
        assert order.index("one") == 1

    in_loop(work)


def test_no_client_can_fill_the_room() -> None:
    """Ensure the share of a client, and that a newcomer takes the room of the one who has most of it."""

    async def work() -> None:
        queue = FairQueue(1, waiting=6, share=4, patience=10)
        await queue.take("first")
        results = [asyncio.create_task(queue.take("a")) for _ in range(5)]
        results += [asyncio.create_task(queue.take("b")) for _ in range(2)]
        await asyncio.sleep(0)
        newcomer = asyncio.create_task(queue.take("c"))
        for _ in range(5):
            await asyncio.sleep(0)
        refused = [task.done() and isinstance(task.exception(), TooBusy) for task in results]
        assert refused == [False, False, False, True, True, False, False]  # the fifth at once, the fourth displaced
        assert not newcomer.done()
        for _ in range(6):
            queue.give_back()
        await asyncio.wait_for(newcomer, PATIENCE)
        assert queue._room == 6

    in_loop(work)


def test_a_wait_that_is_too_long_ends_with_a_time_to_come_back() -> None:
    """Ensure that nobody hangs, and the place goes to somebody who still waits."""

    async def work() -> None:
        queue = FairQueue(1, waiting=6, patience=0.02)
        await queue.take("first")
        with pytest.raises(TooBusy) as refused:
            await queue.take("second")
        assert refused.value.seconds > 0
        queue.give_back()
        await queue.take("third")

    in_loop(work)


def test_no_place_is_lost_by_cancelling_at_any_moment() -> None:
    """Ensure, with threads giving back while tasks are cancelled at random, that every place comes back."""

    async def work() -> None:
        queue = FairQueue(3, waiting=50, patience=0.01)

        threads: list[threading.Thread] = []

        async def use(number: int) -> None:
            await queue.take(str(number % 7))
            threads.append(threading.Thread(target=queue.give_back))
            threads[-1].start()

        for number in range(40):
            tasks = [asyncio.create_task(use(number)) for number in range(30)]
            for _ in range(number % 5):
                await asyncio.sleep(0)
            for task in tasks[number % 3 :: 3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for thread in threads:
            thread.join()
        assert (queue._free, queue._room, len(queue._queues)) == (3, 50, 0)

    in_loop(work)


def test_logins_of_one_address_leave_others_their_turn(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure, over HTTP, that more than a share of one address is told 503 with Retry-After, at once."""
    ann = Api(client).register()
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    queue = FairQueue(0, waiting=100, share=0, patience=1)
    monkeypatch.setattr(resources.accounts.passwords, "_queue", queue)
    response = client.post("/api/auth/login", data={"username": ann.email, "password": PASSWORD})
    check_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [-22, -33])
def test_short_memory_is_503_and_no_failure(start: Start, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Ensure that the right password is never wrong, and its owner not locked out, because memory or threads lack."""
    client = start(login_failures=3)
    ann = Api(client).register()
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    hasher = resources.accounts.passwords._argon2._hasher

    def short(*_: Any) -> Any:
        raise VerificationError(error_to_str(code))

    def short_too(*_: Any, **__: Any) -> Any:
        raise HashingError(error_to_str(code))

    with monkeypatch.context() as patched:
        patched.setattr(type(hasher), "verify", short)
        patched.setattr(type(hasher), "hash", short_too)
        for _ in range(8):
            response = client.post("/api/auth/login", data={"username": ann.email, "password": PASSWORD})
            check_problem(response, 503)
            assert response.headers["retry-after"]
        body = {"email": "new@example.org", "password": PASSWORD}
        check_problem(client.post("/api/auth/register", json=body), 503)
    ann.log_in()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_a_thread_that_can_not_start_is_503(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that the place comes back, too."""
    passwords = Passwords(memory_kib=64, passes=1, lanes=1, workers=1)

    async def work() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(passwords._pool, "submit", lambda *_: (_ for _ in ()).throw(error))
            with pytest.raises(TooBusy):
                await passwords.verify("secret words", None)
        assert not (await passwords.verify("secret words", None)).right

    in_loop(work)
    passwords.close()


@pytest.mark.parametrize(
    "stored", ["$argon2id$v=19$m=64,t=1,p=1$!!!!$????", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$"]
)
def test_a_damaged_hash_is_opened_by_nothing(stored: str) -> None:
    """Ensure that what can't be read is a failure, and not a shortage for ever."""
    passwords = Passwords(memory_kib=64, passes=1, lanes=1)
    assert not asyncio.run(passwords.verify("secret words", stored)).right
    passwords.close()


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed", ["wrong words", "wr\u00f6ng", "wro\u0308ng"])
def test_every_failure_does_the_same_work(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that unknown, argon2 and bcrypt accounts can't be told apart by the time a failure takes."""
    passwords = Passwords(memory_kib=64, passes=1, lanes=1, bcrypt_cost=4)
    done: Counter[str] = Counter()
    for name in ("_argon2", "_bcrypt"):
        hasher = getattr(passwords, name)
        monkeypatch.setattr(hasher, "verify", counted(name, hasher.verify, done))
    works = []
    new = asyncio.run(passwords.hash("right words"))
    old = bcrypt.hashpw(b"right words", bcrypt.gensalt(4)).decode()
    for stored in (None, "", "plain", new, old):
        done.clear()
        assert not asyncio.run(passwords.verify(typed, stored)).right
        works.append(dict(done))
    assert works == [works[0]] * 5
    assert works[0].keys() == {"_argon2", "_bcrypt"}
    passwords.close()


def counted(name: str, work: Callable[..., bool], done: "Counter[str]") -> Callable[..., bool]:
    """Return the work, counting how often it is done."""

    def verify(*arguments: Any) -> bool:
        done[name] += 1
        return work(*arguments)

    return verify


def test_bcrypt_costs_nothing_where_no_account_was_taken_over(client: TestClient) -> None:
    """Ensure that failures are as quick as before when no hash of bcrypt is stored."""
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    assert resources.accounts.passwords._bcrypt_dummy is None
