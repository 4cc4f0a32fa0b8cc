"""Limits on failed logins, per account and per address, that lock no owner out of an account.

Three limits, each over a window of some minutes, count failures only:

- an account from one address: guessing one password after the other;
- an address over all accounts: trying one password on many accounts;
- an account over all addresses: guessing from many machines. Addresses from which the account has logged in are not
  bound by it, and every other address has one try a window: who knows the password gets in, whatever others do.
"""

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from app.errors import TooManyAttempts

KNOWN_ADDRESSES = 10_000
"""Pairs of account and address that are remembered after a successful login."""


class LoginLimits:
    """Counts of the attempts to log in and to register; kept in memory, and gone with the process."""

    def __init__(self, *, failures: int, window: int, address_failures: int, registrations: int) -> None:
        """Take the limits.

        Args:
            failures: failed logins that one address may have on one account in a window.
            window: in seconds.
            address_failures: failed logins that one address may have on all accounts in a window.
            registrations: registrations from one address in a minute.
        """
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._pair = RateLimitItemPerSecond(failures, window, "login-pair")
        self._address = RateLimitItemPerSecond(address_failures, window, "login-address")
        self._account = RateLimitItemPerSecond(failures * 10, window, "login-account")
        self._register = RateLimitItemPerSecond(registrations, 60, "register")
        self._known: OrderedDict[str, None] = OrderedDict()

    def count_registration(self, address: str) -> None:
        """Count a registration from an address.

        Raises:
            TooManyAttempts: there were too many in a minute.
        """
        self.count(self._register, _network(address))

    def begin_login(self, account: str, address: str) -> "LoginAttempt":
        """Count an attempt as failed until it is known to have succeeded: attempts may run side by side.

        Raises:
            TooManyAttempts: one of the limits is reached; the attempt must not be made.
        """
        network, account = _network(address), _digest(account)
        pair = f"{account}/{network}"
        attempt = LoginAttempt(self, pair)
        is_first = self._limiter.get_window_stats(self._pair, pair).remaining == self._pair.amount
        attempt.count(self._pair, pair)
        attempt.count(self._address, network)
        if pair not in self._known and not is_first:
            attempt.count(self._account, account)
        return attempt

    def count(self, limit: RateLimitItem, key: str) -> None:
        """Count an attempt against a limit.

        Raises:
            TooManyAttempts: the limit is reached.
        """
        if not self._limiter.hit(limit, key):
            reset = self._limiter.get_window_stats(limit, key).reset_time
            raise TooManyAttempts(max(1, math.ceil(reset - time.time())))

    def forgive(self, counted: list[tuple[RateLimitItem, str]], pair: str) -> None:
        """Take back what a success counted, clear the account's failures from there, and remember the address."""
        for limit, key in counted:
            self._storage.decr(limit.key_for(key))
        self._limiter.clear(self._pair, pair)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > KNOWN_ADDRESSES:
            self._known.popitem(last=False)


class LoginAttempt:
    """An attempt to log in."""

    def __init__(self, limits: LoginLimits, pair: str) -> None:
        self._limits = limits
        self._pair = pair
        self._counted: list[tuple[RateLimitItem, str]] = []

    def count(self, limit: RateLimitItem, key: str) -> None:
        """Count the attempt against one limit.

        Raises:
            TooManyAttempts: the limit is reached.
        """
        self._limits.count(limit, key)
        self._counted.append((limit, key))

    def succeeded(self) -> None:
        """Take back what was counted: the password was right."""
        self._limits.forgive(self._counted, self._pair)


def _digest(account: str) -> str:
    """Return a key of fixed length, whatever was typed as the account's name."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()


def _network(address: str) -> str:
    """Return what one client controls: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)).network_address
    return str(parsed)
