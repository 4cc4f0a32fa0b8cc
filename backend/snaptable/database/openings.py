"""One opening of a database, which closes itself when nothing refers to it: no Database, no table, no query.

A finalizer may run at any instruction of any thread, also inside the engine's own locks. So it only notes the engine
and starts a thread, which closes it; opening a database waits for the closings that are under way. A thread of the
`threading` module would not do: starting it takes a lock that the interrupted instruction may hold.
"""

import _thread
import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import suppress
from typing import Protocol

from snaptable.contract import Engine

logger = logging.getLogger("snaptable")

PAUSE = 0.1
"""Seconds until it is tried again to close an engine that has a transaction open."""


class Owner(Protocol):
    """What was opened, as the program has it: a database."""

    def close(self) -> None:
        """Close it."""

    def _leave_to_parent(self) -> None:
        """Be closed in this process, a fork of the one that opened it; takes no lock."""


class Opening:
    """One opening of a database: referred to by the Database, its tables and its queries, never by its engine.

    Attributes:
        engine: what was opened.
        owner: gives the Database; None if nothing refers to that any more.
        pid: the process that opened it.
    """

    __slots__ = ("__weakref__", "_finalizer", "engine", "owner", "pid")

    def __init__(self, engine: Engine, owner: Owner) -> None:
        self.engine = engine
        self.owner = weakref.ref(owner)
        self.pid = os.getpid()
        self._finalizer = weakref.finalize(self, _abandon, engine)
        # At exit everything is closed in order, by `close_all`.
        self._finalizer.atexit = False
        _openings.add(self)

    def end(self) -> None:
        """Take note that the engine is closed by what refers to it."""
        self._finalizer.detach()
        _openings.discard(self)

    def leave_to_parent(self) -> None:
        """Let this process, a fork, neither use nor close what its parent opened."""
        self.end()
        self.engine.leave_to_parent(forked_from(self.pid))
        owner = self.owner()
        if owner is not None:
            owner._leave_to_parent()


class _Abandoned:
    """An engine that nothing refers to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._is_closed = False

    def close(self) -> bool:
        """Return whether the engine is closed now; False if that would mean to wait for a transaction."""
        if not self._engine.can_close_at_exit():
            return False
        with self._mutex:
            if not self._is_closed:
                self._is_closed = True
                _close(self._engine)
                _abandoned.remove(self)
        return True

    def close_in_time(self) -> None:
        """Close the engine as soon as no transaction is open; runs in a thread of its own."""
        while not self.close():
            time.sleep(PAUSE)


_openings: "weakref.WeakSet[Opening]" = weakref.WeakSet()
_abandoned: list[_Abandoned] = []


def _abandon(engine: Engine) -> None:
    """Have an engine closed that nothing refers to; for finalizers: takes no lock."""
    abandoned = _Abandoned(engine)
    _abandoned.append(abandoned)
    # Without another thread, as at the end of the program, the next opening closes it, or `close_all`.
    with suppress(RuntimeError):
        _thread.start_new_thread(abandoned.close_in_time, ())


def close_abandoned() -> None:
    """Close the engines that nothing refers to, and return when those are closed that have no transaction open."""
    for abandoned in tuple(_abandoned):
        abandoned.close()


def open_owners() -> list[Owner]:
    """Return the databases that this process has open."""
    return [owner for opening in tuple(_openings) if (owner := opening.owner()) is not None]


def close_all() -> None:
    """Close what is open still, at the end of the program: every commit is durable, this saves the last snapshots.

    Not in a fork, whose locks may be held by threads that it doesn't have, nor if that would mean to wait for a
    transaction, which a thread that runs to the end may never finish.
    """
    close_abandoned()
    for opening in tuple(_openings):
        if opening.engine.can_close_at_exit():
            owner = opening.owner()
            if owner is not None:
                with suppress(Exception):
                    owner.close()
            if opening in _openings:
                opening.end()
                _close(opening.engine)


def leave_all_to_parent() -> None:
    """Leave every opening to the parent of this process, which is a fork; its threads, which closed some, aren't here.

    Takes no lock: the parent's threads may hold any.
    """
    _abandoned.clear()
    for opening in tuple(_openings):
        opening.leave_to_parent()


def forked_from(pid: int) -> str:
    """Return why a fork of the process that opened a database can't use it, and what to do."""
    return (
        f"this process is a fork of process {pid}, which opened the database, and can't use it: open a database of its "
        f"own here, after the fork; with read_only=True while process {pid} has the same directory open"
    )


def _close(engine: Engine) -> None:
    try:
        engine.stop()
        engine.close()
    except Exception as error:  # noqa: BLE001 - nobody is left to be told
        logger.error("A database that nothing refers to could not be closed: %s", error)  # noqa: TRY400


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave_all_to_parent)
