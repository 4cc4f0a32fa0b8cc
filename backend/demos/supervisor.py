"""A server process that is started again when it was killed, or asks for it; its socket stays open meanwhile.

Clients that come between two servers are not refused: the socket listens in this process, and they wait a moment.
The server is a fork of this process, which has imported everything: it is there within a tenth of a second.
"""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

AGAIN: Final = 75
"""The exit status of a server that wants to be started again; those above it mean the same, and something before."""
MOST: Final = 79
Stop = Callable[[int], None]
"""Stops the server's process in order, with an exit status."""


def supervise(
    serve: Callable[[int, socket.socket, Stop], None], listener: socket.socket, between: Callable[[int], None]
) -> int:
    """Run a server until it ends by itself or a signal stops it, and return its exit status.

    Args:
        serve: serves on the socket until SIGTERM; called in a process of its own, with its number, 1 for the first
            server, and with what stops it.
        listener: a bound socket.
        between: called with the exit status before the server is started again; -9 if it was killed.
    """
    listener.listen()
    processes = multiprocessing.get_context("fork")
    is_stopping = False
    child = None
    lives = 0

    def stop(*_signal: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        if child is not None and child.is_alive():
            child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while not is_stopping:
        lives += 1
        ours, theirs = processes.Pipe(duplex=False)
        child = processes.Process(target=_run, args=(partial(serve, lives), listener, ours, theirs))
        child.start()
        if is_stopping:
            child.terminate()
        ours.close()
        child.join()
        theirs.close()
        status = child.exitcode or 0
        if not (status == -signal.SIGKILL or AGAIN <= status <= MOST):
            return 0 if is_stopping else status
        if not is_stopping:
            between(status)
    return 0


def _run(
    serve: Callable[[socket.socket, Stop], None], listener: socket.socket, ours: Connection, theirs: Connection
) -> None:
    """Serve in this process, a child's, and end it with the status that is asked for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    theirs.close()
    threading.Thread(target=_end_with_parent, args=(ours,), daemon=True).start()
    status = 0

    def stop(with_status: int) -> None:
        nonlocal status
        status = with_status
        os.kill(os.getpid(), signal.SIGTERM)

    serve(listener, stop)
    raise SystemExit(status)


def _end_with_parent(pipe: Connection) -> None:
    """Stop this process in order when the other end of a pipe is closed: its parent has gone."""
    pipe.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
