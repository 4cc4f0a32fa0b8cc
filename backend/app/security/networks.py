"""What the client of an address may control, and what its attempts are counted for."""

import re

from snaptable.client_networks import client_ip, client_network

PREFIXES = (64, 56, 48)
"""Of IPv6, the narrowest first: one link, what providers give a household, what they or tunnels give a site."""
_STRANGE = re.compile(r"[^A-Za-z0-9.:_-]")
MAX_NAME = 64
"""Characters that are kept of what is no address: a proxy may pass on anything."""


def networks_of(address: str) -> tuple[str, ...]:
    """Return the networks that the client of an address may control, the narrowest first; one for IPv4.

    What is not an IP address stands for itself, without characters that no address has.
    """
    parsed = client_ip(address)
    if parsed is None:
        return (_STRANGE.sub("?", address[:MAX_NAME]),)
    if parsed.version == 4:
        return (str(parsed),)
    return tuple(client_network(parsed, prefix) for prefix in PREFIXES)


def household_of(address: str) -> str:
    """Return the network whose clients wait in one queue: an IPv4 address, or a /56 network."""
    networks = networks_of(address)
    return networks[min(1, len(networks) - 1)]
