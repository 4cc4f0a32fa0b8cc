"""Limits on logins, per account and per address; other networks can't lock an owner out of an account.

Failures are counted over a window of some minutes:

- of an account from one network: guessing one password after the other;
- of a network over all accounts: trying one password on many accounts;
- of an account over all addresses: guessing from many machines. Addresses from which the account has logged in are not
  bound by it, and neither is the first try of every other address, up to `STRANGERS` a window: who knows the password
  gets in, unless that many machines attack the account at once.

The network of an IPv4 address is the address. One of IPv6 belongs to three, /64, /56 and /48, of which the wider ones
have the wider limits (`WIDER`): a provider hands out the one or the other to a single client. For an account, the wider
ones don't bind a /64 from which it has logged in: whatever neighbours in a /56 or /48 do, its owner gets in.

Successful logins are counted by network, too, with a limit far above what people do.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass, field

from app.security.counters import Clock, Count, Counts, OwnCounts
from app.security.networks import networks_of

STRANGERS = 100
"""Networks whose first try on an account is free, in one window."""
WIDER = (1, 2, 4)
"""By how much the limits of the wider networks are higher."""


class LoginLimits:
    """Counts of the attempts to log in and to register: of this process, or of all that share a database."""

    def __init__(
        self,
        *,
        failures: int,
        window: int,
        address_failures: int,
        registrations: int,
        address_logins: int = 1000,
        clock: Clock = time.monotonic,
        counts: Counts | None = None,
        secret: bytes = b"",
    ) -> None:
        """Take the limits.

        Args:
            failures: failed logins that one address may have on one account in a window.
            window: in seconds.
            address_failures: failed logins that one address may have on all accounts in a window.
            registrations: registrations from one address in a minute.
            address_logins: logins that one address may have on all accounts in a window, those that succeed included.
            clock: never goes back.
            counts: what was counted; None for counts of this process alone.
            secret: what the names of accounts are hashed with; another one in each process if left out.
        """
        self._failures = failures
        self._window = window
        self._address_failures = address_failures
        self._address_logins = address_logins
        self._registrations = registrations
        self.counts: Counts = OwnCounts(clock) if counts is None else counts
        self._secret = secret or secrets.token_bytes(16)

    def count_registration(self, address: str) -> None:
        """Count a registration from an address.

        Raises:
            TooManyAttempts: there were too many in a minute.
        """
        self.counts.take(_by_network("registered", networks_of(address), self._registrations, 60))

    def begin_login(self, account: str, address: str) -> "LoginAttempt":
        """Count an attempt as failed until it is known to have succeeded: attempts may run side by side.

        A refused attempt is not counted, costs O(1), and leaves nothing in memory.

        Raises:
            TooManyAttempts: one of the limits is reached; the attempt must not be made.
        """
        networks, account = networks_of(address), self.digest(account)
        pair = f"{account}/{networks[0]}"
        is_known = self.counts.is_known(pair)
        if is_known:
            networks = networks[:1]
        failures = _by_network("addresses", networks, self._address_failures, self._window)
        failures += _by_network("pairs", networks, self._failures, self._window, account)
        if not is_known:
            failures.append(self._of_account(account, pair))
        logins = _by_network("logins", networks, self._address_logins, self._window)
        self.counts.take(logins + failures)
        return LoginAttempt(self, pair, failures, logins)

    def digest(self, account: str) -> str:
        """Return a key of fixed length, whatever was typed as the account's name; another one for each secret."""
        text = account.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=12, key=self._secret).hexdigest()

    def remember(self, pair: str) -> None:
        """Clear the failures on an account from an address that has logged in, and remember the address."""
        self.counts.forget(self._of_pair(pair))
        self.counts.know(pair)

    def _of_pair(self, pair: str) -> Count:
        return Count("pairs", pair, self._failures, self._window)

    def _of_account(self, account: str, pair: str) -> Count:
        """Return what a try of a stranger counts for: a first one for the free tries, as long as there are some."""
        free = Count("strangers", account, STRANGERS, self._window)
        if self.counts.count(self._of_pair(pair)) == 0 and self.counts.count(free) < STRANGERS:
            return free
        return Count("accounts", account, self._failures * 10, self._window)


@dataclass(frozen=True)
class LoginAttempt:
    """An attempt to log in, and what it was counted for."""

    limits: LoginLimits
    pair: str
    failures: list[Count]
    logins: list[Count] = field(default_factory=list)

    def succeeded(self) -> None:
        """Take back what was counted as a failure: the password was right."""
        self.limits.counts.give_back(self.failures)
        self.limits.remember(self.pair)

    def was_not_made(self) -> None:
        """Take back all that was counted: the password was not looked at."""
        self.limits.counts.give_back(self.failures + self.logins)


def _by_network(kind: str, networks: tuple[str, ...], limit: int, seconds: float, account: str = "") -> list[Count]:
    """Return what counts for each of the networks, on one account or on all."""
    prefix = f"{account}/" if account else ""
    return [
        Count(kind, prefix + network, limit * wider, seconds) for network, wider in zip(networks, WIDER, strict=False)
    ]
