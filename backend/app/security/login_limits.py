"""Limits on logins, per account and per address; nobody at other networks locks an owner out of an account.

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
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.errors import TooManyAttempts
from app.security.counters import Clock, WindowCounter
from app.security.networks import networks_of

KNOWN_ADDRESSES = 10_000
"""Pairs of account and address that are remembered after a successful login."""
STRANGERS = 100
"""Networks whose first try on an account is free, in one window."""
WIDER = (1, 2, 4)
"""By how much the limits of the wider networks are higher."""


@dataclass(frozen=True)
class _Count:
    """What an attempt counts for one limit: one event of a key, of which there may be so many."""

    counter: WindowCounter
    key: str
    limit: int

    def check(self) -> None:
        """Refuse the attempt if the limit is reached.

        Raises:
            TooManyAttempts: it is.
        """
        if self.counter.count(self.key) >= self.limit:
            raise TooManyAttempts(max(1, math.ceil(self.counter.remaining(self.key))))


class LoginLimits:
    """Counts of the attempts to log in and to register; kept in memory, and gone with the process."""

    def __init__(
        self,
        *,
        failures: int,
        window: int,
        address_failures: int,
        registrations: int,
        address_logins: int = 1000,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take the limits.

        Args:
            failures: failed logins that one address may have on one account in a window.
            window: in seconds.
            address_failures: failed logins that one address may have on all accounts in a window.
            registrations: registrations from one address in a minute.
            address_logins: logins that one address may have on all accounts in a window, those that succeed included.
            clock: never goes back.
        """
        self._failures = failures
        self._address_failures = address_failures
        self._address_logins = address_logins
        self._registrations = registrations
        self._pairs = WindowCounter(window, clock=clock)
        self._addresses = WindowCounter(window, clock=clock)
        self._logins = WindowCounter(window, clock=clock)
        self._accounts = WindowCounter(window, clock=clock)
        self._strangers = WindowCounter(window, clock=clock)
        self._registered = WindowCounter(60, clock=clock)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._secret = secrets.token_bytes(16)

    def count_registration(self, address: str) -> None:
        """Count a registration from an address.

        Raises:
            TooManyAttempts: there were too many in a minute.
        """
        _count_all(_by_network(self._registered, networks_of(address), self._registrations))

    def begin_login(self, account: str, address: str) -> "LoginAttempt":
        """Count an attempt as failed until it is known to have succeeded: attempts may run side by side.

        A refused attempt is not counted, costs O(1), and leaves nothing in memory.

        Raises:
            TooManyAttempts: one of the limits is reached; the attempt must not be made.
        """
        networks, account = networks_of(address), self.digest(account)
        pair = f"{account}/{networks[0]}"
        is_known = pair in self._known
        if is_known:
            networks = networks[:1]
        failures = _by_network(self._addresses, networks, self._address_failures)
        failures += _by_network(self._pairs, networks, self._failures, account)
        if not is_known:
            failures.append(self._of_account(account, pair))
        logins = _by_network(self._logins, networks, self._address_logins)
        _count_all(logins + failures)
        return LoginAttempt(self, pair, failures, logins)

    def digest(self, account: str) -> str:
        """Return a key of fixed length, whatever was typed as the account's name; another one in each process."""
        text = account.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=12, key=self._secret).hexdigest()

    def remember(self, pair: str) -> None:
        """Clear the failures on an account from an address that has logged in, and remember the address."""
        self._pairs.forget(pair)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > KNOWN_ADDRESSES:
            self._known.popitem(last=False)

    def _of_account(self, account: str, pair: str) -> _Count:
        """Return what a try of a stranger counts for: a first one for the free tries, as long as there are some."""
        if self._pairs.count(pair) == 0 and self._strangers.count(account) < STRANGERS:
            return _Count(self._strangers, account, STRANGERS)
        return _Count(self._accounts, account, self._failures * 10)


@dataclass(frozen=True)
class LoginAttempt:
    """An attempt to log in, and what it was counted for."""

    limits: LoginLimits
    pair: str
    failures: list[_Count]
    logins: list[_Count] = field(default_factory=list)

    def succeeded(self) -> None:
        """Take back what was counted as a failure: the password was right."""
        _take_back(self.failures)
        self.limits.remember(self.pair)

    def was_not_made(self) -> None:
        """Take back all that was counted: nobody looked at the password."""
        _take_back(self.failures)
        _take_back(self.logins)


def _by_network(counter: WindowCounter, networks: tuple[str, ...], limit: int, account: str = "") -> list[_Count]:
    """Return what counts for each of the networks, on one account or on all."""
    prefix = f"{account}/" if account else ""
    return [_Count(counter, prefix + network, limit * wider) for network, wider in zip(networks, WIDER, strict=False)]


def _count_all(counts: Iterable[_Count]) -> None:
    """Count an event for every limit, or for none.

    Raises:
        TooManyAttempts: one of them is reached.
    """
    counts = list(counts)
    for count in counts:
        count.check()
    for count in counts:
        count.counter.add(count.key)


def _take_back(counts: Iterable[_Count]) -> None:
    for count in counts:
        count.counter.take_back(count.key)
