"""Limit failed logins, per account and per address, without letting anyone lock an account's owner out.

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

KNOWN_ADDRESSES = 10_000


class TooManyAttempts(Exception):
    """Say after how many seconds the next attempt is worth making."""

    def __init__(self, seconds: int) -> None:
        """Take the seconds."""
        super().__init__(f"too many attempts; wait {seconds} s")
        self.seconds = seconds


class LoginLimits:
    """Count attempts at logging in and registering; kept in memory, and gone with the process."""

    def __init__(self, *, failures: int, window: int, address_failures: int, registrations: int) -> None:
        """Take how many failures one address may have on one account, and on all, in `window` seconds."""
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._pair = RateLimitItemPerSecond(failures, window, "login-pair")
        self._address = RateLimitItemPerSecond(address_failures, window, "login-address")
        self._account = RateLimitItemPerSecond(failures * 10, window, "login-account")
        self._register = RateLimitItemPerSecond(registrations, 60, "register")
        self._known: OrderedDict[str, None] = OrderedDict()

    def registering(self, address: str) -> None:
        """Count a registration from an address.

        Raises:
            TooManyAttempts: there were too many in a minute.
        """
        self._hit(self._register, _network(address))

    def logging_in(self, account: str, address: str) -> "Attempt":
        """Count an attempt as failed until it is known to have succeeded: attempts may run side by side.

        Raises:
            TooManyAttempts: one of the limits is spent; the attempt is not to be made.
        """
        network, account = _network(address), _digest(account)
        pair = f"{account}/{network}"
        attempt = Attempt(self, pair)
        first = self._limiter.get_window_stats(self._pair, pair).remaining == self._pair.amount
        attempt.count(self._pair, pair)
        attempt.count(self._address, network)
        if pair not in self._known and not first:
            attempt.count(self._account, account)
        return attempt

    def _hit(self, item: RateLimitItem, key: str) -> None:
        """Count one, or raise if the limit is spent."""
        if not self._limiter.hit(item, key):
            reset = self._limiter.get_window_stats(item, key).reset_time
            raise TooManyAttempts(max(1, math.ceil(reset - time.time())))

    def _forgive(self, counted: list[tuple[RateLimitItem, str]], pair: str) -> None:
        """Take back what a success counted, clear the account's failures from there, and remember the address."""
        for item, key in counted:
            self._storage.decr(item.key_for(key))
        self._limiter.clear(self._pair, pair)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > KNOWN_ADDRESSES:
            self._known.popitem(last=False)


class Attempt:
    """Be one attempt at logging in."""

    def __init__(self, attempts: LoginLimits, pair: str) -> None:
        """Begin with nothing counted."""
        self._attempts = attempts
        self._pair = pair
        self._counted: list[tuple[RateLimitItem, str]] = []

    def count(self, item: RateLimitItem, key: str) -> None:
        """Count against one limit."""
        self._attempts._hit(item, key)  # the two classes are one thing
        self._counted.append((item, key))

    def succeeded(self) -> None:
        """Tell that the password was right."""
        self._attempts._forgive(self._counted, self._pair)


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
