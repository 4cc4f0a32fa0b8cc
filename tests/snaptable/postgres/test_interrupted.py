"""Ctrl-C in a statement, behind which the caller's block goes on: what the server undid is not acknowledged."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import Counter, Store, engine_of

from snaptable import TransactionError

HELD = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and usename = %s"


@pytest.fixture(name="url")
def give_url() -> Iterator[str]:
    """Give an empty place."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT interrupt this process also where it was started in the background, and so ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_what_an_interrupted_statement_undid_is_not_acknowledged(url: str) -> None:
    """Ensure that a block which goes on behind Ctrl-C in a statement raises at its end: the server rolled it back."""

    def interrupt_once_held() -> None:
        """Interrupt the main thread once its statement waits for a row."""
        with psycopg.connect(url, autocommit=True) as asking:
            while not asking.execute(HELD, [stores.schema_of(url)]).fetchall():
                time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    def write_two(db: Store) -> None:
        """Write one row, and try another."""
        with db.transaction():
            db.counters.upsert(Counter(id="new"))
            with suppress(KeyboardInterrupt):
                db.counters.update("held", value=2)

    with Store(url, history=False) as db, Store(url) as holder, ThreadPoolExecutor(1) as pool:
        db.counters.upsert(Counter(id="held"))
        with holder.transaction():
            holder.counters.update("held", value=1)
            interrupted = pool.submit(interrupt_once_held)
            with pytest.raises(TransactionError, match="rolled back"):
                write_two(db)
            interrupted.result()
        assert db.counters.get("new") is None


def test_a_statement_that_was_sent_and_not_waited_for_is_none_that_was_carried_out(url: str) -> None:
    """Ensure that a block is rolled back where Ctrl-C came between sending a statement and waiting for it."""
    with Store(url, history=False) as db:
        with pytest.raises(TransactionError, match="rolled back"), db.transaction():  # noqa: PT012 - its end raises
            db.counters.insert(Counter(id="new"))
            transaction = engine_of(db).core.current
            assert transaction is not None
            transaction.session.pgconn.send_query(b"select 1")
        assert db.counters.get("new") is None
