"""Whom an address stands for: what one client controls is an IPv4 address, or whole networks of IPv6."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

LINK = 64
"""The bits of an IPv6 address that a client can't choose: those of its link."""

ClientAddress = IPv4Address | IPv6Address


def client_ip(text: str) -> ClientAddress | None:
    """Return an address without its zone, an IPv4 one that was mapped into IPv6 as IPv4; None if it isn't one."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def client_network(address: ClientAddress, prefix: int = LINK) -> str:
    """Return the network that a client may have whole: an IPv4 address by itself, or as many bits of an IPv6 one."""
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((address, prefix), strict=False))


def network_of(text: str) -> str:
    """Return the network by which a client is counted: an IPv4 address, an IPv6 /64; other text as it is."""
    address = client_ip(text)
    return text if address is None else client_network(address)


def listed_networks(texts: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    """Return the networks and addresses among texts; what is neither, such as the name of a socket, is left out."""
    networks: list[IPv4Network | IPv6Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return networks
