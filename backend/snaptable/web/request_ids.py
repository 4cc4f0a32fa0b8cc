"""The id of the request that is being answered: each line of the log, and each problem, can tell which one it is of."""

import logging
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count

from snaptable.client_networks import listed_networks

LONGEST_ID = 64
_ID = re.compile(rb"[A-Za-z0-9._-]{1,%d}" % LONGEST_ID)
_RUN = secrets.token_hex(4)
"""What the ids of this process begin with: they differ from those of others, and of the last run."""
_numbers = count(1)


@dataclass(slots=True)
class RequestRecord:
    """A request, as its line in the log has it.

    Attributes:
        id: its own, or the one that a trusted proxy gave it.
        caller: the key of who makes it; "" while that isn't known.
    """

    id: str
    caller: str = ""


CURRENT: ContextVar[RequestRecord | None] = ContextVar("snaptable_request", default=None)
"""Of the task that answers a request, and of the threads that it waits for."""


def current_request_id() -> str | None:
    """Return the id of the request that is being answered; None outside of any, and without `RequestLog`."""
    record = CURRENT.get()
    return None if record is None else record.id


def note_caller(key: str) -> None:
    """Have the line of the request that is being answered name who makes it: by key, never by name."""
    record = CURRENT.get()
    if record is not None:
        record.caller = key


def new_record(sent: bytes | None) -> RequestRecord:
    """Return the record of a request that begins.

    Args:
        sent: the id that a trusted proxy gave it; one that isn't made of up to 64 letters, digits, `.`, `_` and `-` is
            replaced.
    """
    if sent is not None and _ID.fullmatch(sent):
        return RequestRecord(sent.decode("ascii"))
    return RequestRecord(f"{_RUN}-{next(_numbers):x}")


class TrustedPeers:
    """The addresses whose word is taken for what the client is: proxies, by address or network; `*` for all."""

    def __init__(self, listed: Iterable[str]) -> None:
        """Take them as text; what is not an address names no peer."""
        names = frozenset(name for name in listed if name)
        self._all = "*" in names
        self._names = names
        self._networks = listed_networks(names)

    def __contains__(self, address: object) -> bool:
        """Return whether an address is one of them; O(networks)."""
        if self._all:
            return True
        if not self._names or not isinstance(address, str):
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return address in self._names
        return any(parsed in network for network in self._networks)


class RequestIdFilter(logging.Filter):
    """Gives each record of a log the attribute `request_id`: that of the request in whose course it was written."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        record.request_id = current_request_id()
        return True
