"""What one client controls, as seen from its address: an IPv4 address, or whole networks of IPv6."""

import ipaddress
import re

PREFIXES = (64, 56, 48)
"""Of IPv6, the narrowest first: one link, what providers give a household, what they or tunnels give a site."""
_STRANGE = re.compile(r"[^A-Za-z0-9.:_-]")
MAX_NAME = 64
"""Characters that are kept of what is no address: a proxy may pass on anything."""


def networks_of(address: str) -> tuple[str, ...]:
    """Return the networks that the client of an address may control, the narrowest first; one for IPv4.

    What is not an IP address stands for itself, without characters that no address has.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return (_STRANGE.sub("?", address[:MAX_NAME]),)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            number = int(parsed)
            return tuple(f"{_address_of(number, prefix)}/{prefix}" for prefix in PREFIXES)
        parsed = parsed.ipv4_mapped
    return (str(parsed),)


def household_of(address: str) -> str:
    """Return the network whose clients wait in one queue: an IPv4 address, or a /56 network."""
    networks = networks_of(address)
    return networks[min(1, len(networks) - 1)]


def _address_of(number: int, prefix: int) -> ipaddress.IPv6Address:
    """Return the first address of the network that holds this one."""
    shift = 128 - prefix
    return ipaddress.IPv6Address(number >> shift << shift)
