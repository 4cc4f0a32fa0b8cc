"""What happens to accounts, one line an event in the log `app.security`.

    login failed address=192.0.2.1 account=5cf0…
    login limit reached address=192.0.2.1 account=digest:91ab… left_out=210

Lines hold the account's id, or, where no account is known, a digest of what was typed in its place, which differs from
one run of the server to the next: never an e-mail address, a password or a token. Their number is limited, by kind of
event and network, and by kind over all networks; the next line of the kind tells how many were left out.
"""

import hashlib
import logging
import re
import secrets
import time
from collections import Counter

from app.security.counters import Clock, WindowCounter
from app.security.networks import networks_of

LINES_A_NETWORK = 10
"""Of one kind from one network in `WINDOW` seconds."""
LINES_A_KIND = 200
"""Of one kind in `WINDOW` seconds."""
WINDOW = 60.0
_STRANGE = re.compile(r"[^A-Za-z0-9.:_-]")
MAX_ID = 64

logger = logging.getLogger("app.security")


class SecurityEvents:
    """The log of security events; to be used by one thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Begin with nothing left out."""
        self._networks = WindowCounter(WINDOW, clock=clock)
        self._kinds = WindowCounter(WINDOW, clock=clock)
        self._left_out: Counter[str] = Counter()
        self._clock = clock
        self._flush_at = clock() + WINDOW
        self._secret = secrets.token_bytes(16)

    def report(
        self, kind: str, address: str, *, account: str | None = None, unknown: str | None = None, number: int = 0
    ) -> None:
        """Write a line, or count it as left out; O(1).

        Args:
            kind: what happened, in plain words.
            address: the network address it came from.
            account: id of the account.
            unknown: what was typed to name an account, if that has no id; only its digest is written.
            number: of what it happened to, such as sessions.
        """
        self._tell_what_was_left_out()
        networks = networks_of(address)
        # Of IPv6 the widest network counts: in a /48 there are as many addresses to write from as lines.
        if self._kinds.count(kind) >= LINES_A_KIND or self._networks.add(f"{kind}/{networks[-1]}") > LINES_A_NETWORK:
            self._left_out[kind] += 1
            return
        self._kinds.add(kind)
        self._write(kind, f" address={_plain(address)}{self._details(kind, account, unknown, number)}")

    def close(self) -> None:
        """Tell what was left out last."""
        self._flush_at = self._clock()
        self._tell_what_was_left_out()

    def _details(self, kind: str, account: str | None, unknown: str | None, number: int) -> str:
        """Return what a line says besides kind and address."""
        text = ""
        if account is not None:
            text += f" account={_plain(account)}"
        elif unknown is not None:
            text += f" account=digest:{self._digest(unknown)}"
        if number:
            text += f" number={number}"
        left_out = self._left_out.pop(kind, 0)
        return text + (f" left_out={left_out}" if left_out else "")

    def _tell_what_was_left_out(self) -> None:
        """Write, once a window, a line for each kind whose lines were left out and that has not come again since."""
        if self._clock() < self._flush_at:
            return
        self._flush_at = self._clock() + WINDOW
        for kind, number in self._left_out.items():
            self._write(kind, f" left_out={number}")
        self._left_out.clear()

    @staticmethod
    def _write(kind: str, details: str) -> None:
        """Write a line; its fields have the same by name, for logs that are no text."""
        named = dict(part.split("=", 1) for part in details.split())
        logger.info("%s%s", kind, details, extra={"fields": {"event": kind, **named}})

    def _digest(self, text: str) -> str:
        """Return what tells typed names apart, and can't be guessed backwards."""
        encoded = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(encoded, digest_size=8, key=self._secret).hexdigest()


def _plain(text: str) -> str:
    """Return a text that can't break out of its line or its place: ids and addresses may come from elsewhere."""
    return _STRANGE.sub("?", text[:MAX_ID])
