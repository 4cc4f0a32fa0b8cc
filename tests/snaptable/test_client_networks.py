"""One client is one network, whoever asks: the guard of connections, the admin page's logins, the backend's."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snaptable.client_networks import client_ip, client_network, listed_networks, network_of


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1), st.sampled_from(["", "%eth0", "%1"]))
def test_a_link_is_one_client(number: int, host: int, zone: str) -> None:
    """Whatever the last 64 bits are, and by which interface it is reached; mapped IPv4 is IPv4."""
    one, other = IPv6Address(number), IPv6Address(number >> 64 << 64 | host)
    if one.ipv4_mapped is None and other.ipv4_mapped is None:
        assert network_of(f"{one}{zone}") == network_of(str(other)) == str(IPv6Network((other, 64), strict=False))


@given(st.ip_addresses(v=4))
def test_ipv4_is_by_itself(address: IPv4Address) -> None:
    """Also where the socket is one of IPv6."""
    assert network_of(str(address)) == network_of(f"::ffff:{address}") == str(address)
    assert client_ip(f"::ffff:{address}") == address
    assert client_network(address, 48) == str(address)


@pytest.mark.parametrize("text", ["", "testclient", "unix:", "1.2.3", "::g", "%"])
def test_what_is_no_address_is_itself(text: str) -> None:
    """The name of a socket, or what a proxy passes on."""
    assert client_ip(text) is None
    assert network_of(text) == text


def test_names_are_left_out_of_networks() -> None:
    """A list of peers may hold the name of a socket."""
    assert [str(each) for each in listed_networks(["10.0.0.1", "a socket", "10.1.2.3/16", "::1"])] == [
        "10.0.0.1/32", "10.1.0.0/16", "::1/128",
    ]  # fmt: skip
