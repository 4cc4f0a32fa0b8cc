"""A server that is killed, restarted, away, or replaced by its standby: nothing acknowledged is lost or done twice."""

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.snaptable.postgres import failover
from tests.snaptable.postgres.breakdown import breaking_down
from tests.snaptable.postgres.load import Counter, Entry, Store, Writers, engine_of, insert, wait_for
from tests.snaptable.postgres.server import SYNCED, Server, running, url_of

from snaptable import OpenError, OutcomeUnknown, RowNotFound, TransactionConflict, TransactionError, Unavailable
from snaptable.changes.records import CommitRecord
from snaptable.postgres import standby as standby_module
from snaptable.postgres.commits import CommitTable
from snaptable.postgres.server import retry
from snaptable.postgres.server.connections import Session
from snaptable.postgres.transaction import CommitMark
from snaptable.web import install_problems, monitoring_router

HEALTH = "/api/monitoring/database/health"


@pytest.fixture(name="server", scope="module")
def give_server() -> Iterator[Server]:
    """Give a server of the module's own, which syncs."""
    with running(**SYNCED) as server:
        yield server


@pytest.fixture(name="db")
def open_store(server: Server) -> Iterator[Store]:
    """Give a store on it, with a counter."""
    if not server.is_running:
        server.start()
    with Store(server.url()) as db:
        db.entries.where().delete()
        db.counters.where().delete()
        db.counters.insert(Counter(id="a"))
        yield db


def monitor_of(db: Store, *, details: bool = True) -> TestClient:
    """Return a client of an application that shows how a store is doing; to strangers without details."""
    app = FastAPI()
    app.include_router(monitoring_router(db, details=lambda: details))
    install_problems(app)
    return TestClient(app, raise_server_exceptions=False)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(db: Store, server: Server) -> None:
    """Kill -9 of the server under load: reads and writes go on once it is back; each write happened once, or not."""
    wait_for(db, 60.0)  # a busy machine takes its time to start a server
    writers = Writers(db, 4, insert)
    for _ in range(3):
        writers.go_on(10)
        server.kill()
        time.sleep(0.1)
        server.start()
    writers.go_on(10)
    writers.end()
    there = {row.id for row in db.entries}
    assert len(writers.acknowledged) > 20
    assert writers.acknowledged <= there
    assert writers.unreadable == []
    assert there <= writers.acknowledged | writers.unknown
    assert writers.failed == []
    commits = [
        change.key for commit in db.history.commits("entries") for change in commit.changes if change.kind == "insert"
    ]
    assert len(commits) == len(set(commits))


def test_a_number_that_a_crashed_server_gave_again_proves_nothing(db: Store) -> None:
    """The state of another transaction, or of one to come, is not taken for that of the lost one; its own is found."""
    core = engine_of(db).core
    marks: list[CommitMark] = []

    def noted(session: Session, record: CommitRecord) -> CommitMark:
        marks.append(add_record(session, record))
        return marks[-1]

    assert core.commits is not None
    add_record, core.commits.add_record = core.commits.add_record, noted  # type: ignore[method-assign]
    insert(db, "there")
    [mark] = marks
    for is_there, each in [
        (True, mark),
        (True, mark._replace(xid=str(int(mark.xid) + 10**6))),
        (False, mark._replace(sequence=mark.sequence + 10**6)),
        (False, mark._replace(microseconds=mark.microseconds - 1)),
    ]:
        with core._connections.session() as session:
            assert CommitTable.outcome(session, each) is is_there, each
    with core._connections.session() as session, pytest.raises(OutcomeUnknown, match="is not kept any more"):
        CommitTable.outcome(session, mark._replace(sequence=0))


def test_a_commit_that_is_still_being_made_is_waited_for(db: Store) -> None:
    """What becomes of a transaction isn't known before it ends, that with the greatest number of all included."""
    core = engine_of(db).core
    assert core.commits is not None
    for ending, is_there in [("commit", True), ("rollback", False)]:
        with core._connections.session() as being_made, core._connections.session() as asking:
            being_made.tell("begin isolation level serializable")
            mark = core.commits.add_record(being_made, CommitRecord(0, (), {}))
            assert CommitTable.outcome(asking, mark) is None, "no number above its own was given"
            asking.ask("select pg_current_xact_id()")
            assert CommitTable.outcome(asking, mark) is None, "one above its own was given"
            being_made.tell(ending)
            assert CommitTable.outcome(asking, mark) is is_there


def test_a_write_cut_off_while_its_commit_is_carried_out_happens_once(
    db: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends and the server has yet to finish the commit: that is waited for, and not written again."""
    tell, outcome = Session.tell, CommitTable.outcome
    stopped, found = list[int](), list[bool | None]()

    def cut_off(session: Session, sql: str) -> None:
        if sql == "commit" and not stopped:
            stopped.append(session.info.backend_pid)
            os.kill(stopped[0], signal.SIGSTOP)
            session.pgconn.send_query(b"commit")
            assert session.pgconn.flush() == 0
            with socket.socket(fileno=os.dup(session.fileno())) as connection:
                connection.shutdown(socket.SHUT_RDWR)
        tell(session, sql)

    def go_on_once_asked(session: Session, mark: CommitMark) -> bool | None:
        found.append(outcome(session, mark))
        if len(found) == 1:
            os.kill(stopped[0], signal.SIGCONT)
        return found[-1]

    monkeypatch.setattr(Session, "tell", cut_off)
    monkeypatch.setattr(CommitTable, "outcome", go_on_once_asked)
    db.counters.update("a", value=Counter.value + 1)
    assert (found[0], found[-1]) == (None, True)
    assert db.counters["a"].value == 1


@pytest.mark.parametrize("comes_to", ["committed", "rolled back"])
def test_a_server_that_breaks_down_amid_a_commit_has_not_refused_it(server: Server, comes_to: str) -> None:
    """Ensure that a write happens once whose COMMIT is answered by the server's end, for whatever reason that is."""
    with breaking_down(server) as way, Store(way.url) as db:
        db.counters.upsert(Counter(id="a"))
        way.next_commit = comes_to
        db.counters.update("a", value=Counter.value + 1)
        assert way.next_commit is None
        assert db.counters["a"].value == 1


def test_a_block_left_by_another_thread_is_over_for_the_one_that_began_it(db: Store, server: Server) -> None:
    """Ensure that what that thread writes next is a transaction of its own, recorded as any."""
    block = db.transaction()
    block.__enter__()
    db.entries.insert(Entry(id="in the block"))
    with ThreadPoolExecutor(1) as other, pytest.raises(TransactionError, match="another thread"):
        other.submit(block.__exit__, None, None, None).result()
    before = db.history.sequence
    db.entries.insert(Entry(id="behind it"))
    assert db.history.sequence > before
    with Store(server.url()) as another:
        assert [entry.id for entry in another.entries] == ["behind it"]


def test_connections_cut_at_any_moment(db: Store) -> None:
    """Sessions ended while they write: what returned is there once, also what had to be looked up; nobody notices."""

    def add(db: Store, name: str) -> None:
        db.entries.insert(Entry(id=name))
        db.counters.update("a", value=Counter.value + 1)

    wait_for(db, 60.0)  # a busy machine takes its time to begin a session
    writers = Writers(db, 3, add)
    rng, end = random.Random(3), time.monotonic() + 2
    with Store(db.url) as other:
        core = engine_of(other).core
        while time.monotonic() < end:
            time.sleep(rng.random() * 0.05)
            core.fetch(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where pid <> pg_backend_pid() "
                "and application_name = 'snaptable' and state <> 'idle' order by random() limit 1) as one"
            )
    writers.end()
    there = {row.id for row in db.entries}
    assert (writers.failed, writers.unreadable) == ([], [])
    assert writers.acknowledged <= there
    assert db.counters["a"].value in range(len(writers.acknowledged), len(there) + 1)


def attempts_of(db: Store, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that grows with each attempt that did not reach the server."""
    circuit = engine_of(db).core.circuit
    found, failed = list[float](), circuit.failed

    def noted() -> float:
        found.append(time.monotonic())
        return failed()

    monkeypatch.setattr(circuit, "failed", noted)
    return found


def test_a_server_that_stays_away_is_given_up_and_found_again(
    db: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls wait for it so long, then fail at once, saying when to try again; they work again once it is back."""
    wait_for(db, 1.0)
    monitor = monitor_of(db)
    assert monitor.get(HEALTH).json()["circuit"] == "closed"
    assert "snaptable_reachable 1.0" in monitor.get("/metrics").text
    server.kill()
    try:
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            db.counters.get("a")
        assert time.monotonic() - begun > 0.5
        attempts, begun = attempts_of(db, monkeypatch), time.monotonic()
        for _ in range(20):
            with pytest.raises(Unavailable) as raised:
                db.counters.update("a", value=1)
        assert len(attempts) <= time.monotonic() - begun + 1, "more than one call a second tried it"
        assert raised.value.retry_after > 0
        with pytest.raises(Unavailable):
            asyncio.run(db.read(lambda db: db.counters.get("a")))
        with pytest.raises(OpenError, match="can't be reached"):
            Store(db.url).open()
        answer = monitor.get(HEALTH)
        assert (answer.status_code, answer.json()["circuit"]) == (503, "open")
        assert int(answer.headers["Retry-After"]) >= 1
        stranger = monitor_of(db, details=False).get(HEALTH)
        assert (stranger.status_code, "circuit" in stranger.json()) == (503, False)
        away = monitor.get("/metrics").text
        assert "snaptable_reachable 0.0" in away
        assert "snaptable_sequence" not in away
    finally:
        server.start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            assert db.counters.update("a", value=5).value == 5
            break
        except Unavailable:
            time.sleep(0.1)
    assert db.counters["a"].value == 5


class Clock:
    """Stands in for the module `time` where calls are done again, so that an hour passes at once."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        """Return the time, with what passed at once."""
        return time.monotonic() + self.passed

    sleep = staticmethod(time.sleep)


@pytest.fixture(name="clock")
def give_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock by which a server is given up."""
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock


def lose_connection(db: Store) -> None:
    """End the connection of the transaction that calls, once it has read something."""
    db.counters.get("a")
    engine_of(db).core.fetch("select pg_terminate_backend(pg_backend_pid())")


def test_a_long_call_that_loses_its_connection_is_done_again(db: Store, clock: Clock) -> None:
    """The server answered until a moment ago: it was not away for as long as the call went on."""
    calls = list[None]()

    def take_an_hour(db: Store) -> int:
        calls.append(None)
        if len(calls) == 1:
            clock.passed += 3600
            lose_connection(db)
        return db.counters.update("a", value=7).value

    assert asyncio.run(db.run(take_an_hour)) == 7


def test_a_call_that_never_comes_through_ends_and_leaves_the_others_alone(db: Store, clock: Clock) -> None:
    """A server that answers all but one call is not away: that call is given up, and the circuit stays closed."""

    def take_an_hour(db: Store) -> None:
        db.counters.get("a")
        clock.passed += 3600
        lose_connection(db)

    with pytest.raises(Unavailable) as raised:
        asyncio.run(db.run(take_an_hour))
    assert raised.value.circuit == "closed"
    assert not engine_of(db).core.circuit.is_open


def test_a_server_that_refuses_what_is_done_again_has_answered(db: Store, clock: Clock) -> None:
    """A call that is refused after it was done again has found the server: the circuit does not open behind it."""
    calls = list[None]()

    def refused(db: Store) -> None:
        calls.append(None)
        if len(calls) == 1:
            lose_connection(db)
        db.counters.update("nobody", value=1)

    with pytest.raises(RowNotFound):
        asyncio.run(db.run(refused))
    clock.passed += 3600
    assert len(calls) == 2
    assert not engine_of(db).core.circuit.is_open


def test_transactions_of_many_threads_lose_no_update(db: Store) -> None:
    """Everybody adds to one row: each function of db.run is run again until it wins; a block that lost says so."""

    def add(db: Store) -> None:
        value = db.counters["a"].value
        db.counters.update("a", value=value + 1)

    async def many() -> None:
        await asyncio.gather(*(db.run(add) for _ in range(150)))

    asyncio.run(many())
    assert db.counters["a"].value == 150
    with pytest.raises(TransactionConflict), db.transaction():  # noqa: PT012 - what happens meanwhile is the point
        value = db.counters["a"].value
        other = threading.Thread(target=lambda: db.counters.update("a", value=0))
        other.start()
        other.join()
        db.counters.update("a", value=value + 1)
    assert db.counters["a"].value == 0


def check_who_asks_the_standby(db: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that strangers cost the standby nothing, and details one round a while."""
    core = engine_of(db).core
    asked: list[str] = []
    standby = core._standby
    assert standby is not None
    lag = standby._asked
    standby._asked = lambda: asked.append("lag") or lag()  # type: ignore[method-assign, func-returns-value]
    standby._known = None
    monkeypatch.setattr(standby_module, "KEPT_SECONDS", 600.0)
    try:
        stranger, monitor = monitor_of(db, details=False), monitor_of(db)
        for _ in range(5):
            assert stranger.get("/health").json() == {"status": "ok"}
            assert stranger.get(HEALTH).json() == {"status": "ok"}
        assert asked == []
        for _ in range(5):
            assert monitor.get(HEALTH).json()["replica"]["lag_seconds"] is not None
            assert monitor.get("/metrics").status_code == 200
        assert asked == ["lag"]
    finally:
        standby._asked = lag  # type: ignore[method-assign]


def test_a_standby_answers_stale_reads_and_takes_over(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """stale=True goes to a standby; after its promotion writes go there."""
    if not server.is_running:
        server.start()
    standby = server.standby()
    try:
        with Store(url_of(server, standby)) as db:
            db.counters.upsert(Counter(id="s", value=1))

            def is_standby(db: Store) -> bool:
                ((is_one,),) = engine_of(db).core.fetch("select pg_is_in_recovery()")
                return bool(is_one)

            assert asyncio.run(db.read(is_standby)) is False
            assert asyncio.run(db.read(is_standby, one_state=False)) is False
            for one_state in (True, False):
                assert asyncio.run(db.read(is_standby, stale=True, one_state=one_state)) is True
            end = time.monotonic() + 60
            while asyncio.run(db.read(lambda db: db.counters.get("s"), stale=True)) is None:
                assert time.monotonic() < end, "the standby does not follow"
                time.sleep(0.05)
            monitor = monitor_of(db)
            health = monitor.get(HEALTH).json()
            assert 0 <= health["replica"]["lag_seconds"] < 60
            assert 0 <= health["pool"]["idle"] <= health["pool"]["connections"] <= health["pool"]["most"]
            assert "snaptable_replica_lag_seconds" in monitor.get("/metrics").text
            check_who_asks_the_standby(db, monkeypatch)
            server.kill()
            standby.promote()
            assert db.counters.update("s", value=2).value == 2
            assert is_standby(db) is False
    finally:
        standby.remove()
        server.start()


def test_a_synchronous_standby_takes_over_under_load() -> None:
    """Kill -9 of the primary amid writes: what was acknowledged is there once its standby is promoted, and once only.

    The long form, and that of asynchronous standbys, is `python -m tests.snaptable.postgres.failover`.
    """
    outcome = failover.run(1, seed=5, synchronous=True)
    assert (outcome.lost, outcome.twice, outcome.failed) == (0, 0, []), outcome
    assert outcome.acknowledged > 20
