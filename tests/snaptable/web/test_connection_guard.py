"""The guard of connections by itself: whom a connection counts for, who gives way, and that a defect stops no look."""

import asyncio
import logging
import socket

import pytest

from snaptable.web.server.guard import ConnectionGuard
from snaptable.web.server.limits import ServerLimits
from snaptable.web.server.reader_progress import is_readable


class Connection:
    """A connection as the guard sees it."""

    def __init__(
        self,
        since: float | None = None,
        address: str | None = None,
        *,
        is_broken: bool = False,
        is_unread: bool = False,
    ) -> None:
        self.since = since
        self.address = address
        self.is_broken = is_broken
        self.is_unread = is_unread
        self.looks = 0
        self.gave_way = False

    def waits_since(self) -> float | None:
        """Return since when it waits."""
        return self.since

    def has_unread(self) -> bool:
        """Return whether something has come."""
        return self.is_unread

    def sweep(self, now: float) -> None:
        """Count the looks."""
        self.looks += 1
        if self.is_broken:
            raise OSError("not connected")

    def give_way(self) -> None:
        """End."""
        self.gave_way = True


def guard(**limits: float) -> ConnectionGuard:
    """Return a guard within a running loop."""
    return ConnectionGuard(ServerLimits(**limits), asyncio.get_running_loop())  # type: ignore[arg-type]


def test_a_defect_of_one_connection_stops_no_look_at_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """It is cut and logged; the others are looked at in time, again and again."""

    async def look() -> None:
        guarded = guard(head_seconds=0.04)
        broken, sound = Connection(is_broken=True), [Connection() for _ in range(20)]
        for connection in (broken, *sound):
            guarded.add(connection)
        async with asyncio.timeout(60):
            while not (broken.gave_way and all(connection.looks > 3 for connection in sound)):  # noqa: ASYNC110 - nothing tells of looks
                await asyncio.sleep(0.01)
        for connection in (broken, *sound):
            guarded.remove(connection)

    with caplog.at_level(logging.ERROR):
        asyncio.run(look())
    assert "could not be judged" in caplog.text


def test_those_who_wait_longest_give_way() -> None:
    """Of all, and of one address; those who are answered never do."""

    async def fill() -> None:
        guarded = guard(connections=4, connections_per_address=2)
        busy, late, early = Connection(), Connection(5.0), Connection(3.0)
        assert all(guarded.add(one) for one in (busy, late, early, Connection()))
        assert guarded.is_full
        assert guarded.add(Connection())
        assert (busy.gave_way, late.gave_way, early.gave_way) == (False, False, True)

    async def fill_address() -> None:
        guarded = guard(connections_per_address=2)
        mine = [Connection(address="192.0.2.1") for _ in range(2)]
        assert all(guarded.add(one) for one in mine)
        assert not guarded.add(Connection(1.0, "192.0.2.1"))
        other = Connection(1.0, "192.0.2.2")
        assert guarded.add(other)
        mine[0].since = 2.0
        assert guarded.add(Connection(1.0, "192.0.2.1"))
        assert mine[0].gave_way
        assert not other.gave_way

    asyncio.run(fill())
    asyncio.run(fill_address())


def test_one_whose_head_has_come_stays() -> None:
    """Another gives way, even one that has waited less; if there is none, the new one is not admitted."""

    async def fill() -> None:
        guarded = guard(connections=2, connections_per_address=0)
        asked, idle = Connection(1.0, is_unread=True), Connection(2.0)
        assert all(guarded.add(one) for one in (asked, idle))
        assert guarded.add(Connection(3.0, is_unread=True))
        assert (asked.gave_way, idle.gave_way) == (False, True)
        assert not guarded.make_room()
        assert guarded.can_make_room()
        assert not guarded.add(Connection(4.0))

    async def fill_address() -> None:
        guarded = guard(connections_per_address=1)
        asked = Connection(1.0, "192.0.2.1", is_unread=True)
        assert guarded.add(asked)
        assert not guarded.add(Connection(2.0, "192.0.2.1"))
        assert not asked.gave_way

    asyncio.run(fill())
    asyncio.run(fill_address())


def test_it_is_seen_that_a_head_has_come_before_it_is_read() -> None:
    """On a real connection: nothing has come, something has, it was read, the other side has ended, it is closed."""

    class Reader(asyncio.Protocol):
        received = b""

        def data_received(self, data: bytes) -> None:
            self.received += data

    async def watch() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, reader = await asyncio.get_running_loop().connect_accepted_socket(Reader, ours)
            await asyncio.sleep(0.01)
            assert not is_readable(transport)
            theirs.sendall(b"GET / HTTP/1.1\r\n")
            assert is_readable(transport)
            assert reader.received == b""
            await asyncio.sleep(0.01)
            assert reader.received
            assert not is_readable(transport)
        assert is_readable(transport)
        transport.abort()
        await asyncio.sleep(0)
        assert not is_readable(transport)

    asyncio.run(watch())


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
    ],
)
def test_a_network_of_one_client_is_one_address(one: str, other: str, are_one: bool) -> None:
    """A /64 of IPv6 is what one client has."""

    async def ask() -> tuple[str | None, str | None]:
        guarded = guard()
        return guarded.address_of(one), guarded.address_of(other)

    first, second = asyncio.run(ask())
    assert first is not None
    assert (first == second) is are_one


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None, "a socket", ""])
def test_this_machine_and_sockets_are_not_counted(host: str | None) -> None:
    """A proxy speaks for many."""

    async def ask() -> str | None:
        return guard().address_of(host)

    assert asyncio.run(ask()) is None


def test_counts_come_back_to_nothing() -> None:
    """Whoever was counted is forgotten, once, however often that is said."""

    async def churn() -> None:
        guarded = guard(connections=50, connections_per_address=5)
        for number in range(2_000):
            connection = Connection(float(number), f"192.0.2.{number % 7}")
            guarded.add(connection)
            if number % 3 == 0:
                guarded.remove(connection)
                guarded.remove(connection)
        assert len(guarded.connections) <= 50
        for counted in list(guarded.connections):
            guarded.remove(counted)
        assert not guarded.is_full
        assert all(guarded.add(Connection(1.0, f"192.0.2.{number}")) for number in range(7) for _ in range(5))

    asyncio.run(churn())
