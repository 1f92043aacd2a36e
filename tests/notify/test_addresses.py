"""Where notifications may go: only to addresses of the public internet, whatever they are dressed as."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.notify.addresses import AddressRefused, endpoints, refusal

REFUSED = [
    ("127.0.0.1", "a loopback address"),
    ("127.255.255.254", "a loopback address"),
    ("::1", "a loopback address"),
    ("0.0.0.0", "the unspecified address"),
    ("::", "the unspecified address"),
    ("10.1.2.3", "a private address"),
    ("172.31.255.255", "a private address"),
    ("192.168.0.1", "a private address"),
    ("192.0.2.1", "a private address"),
    ("198.18.0.1", "a private address"),
    ("fd00::1", "a private address"),
    ("169.254.169.254", "a link-local address"),
    ("fe80::1", "a link-local address"),
    ("fe80::1%eth0", "a link-local address"),
    ("100.64.0.1", "a provider's shared address"),
    ("224.0.0.1", "a multicast address"),
    ("ff02::1", "a multicast address"),
    ("255.255.255.255", "the broadcast address"),
    ("240.0.0.1", "a private address"),
    ("fec0::1", "a site-local address"),
    ("64:ff9b:1::808:808", "a local translation address"),
    ("::ffff:127.0.0.1", "a loopback address (127.0.0.1) inside IPv6"),
    ("::ffff:10.0.0.1", "a private address (10.0.0.1) inside IPv6"),
    ("64:ff9b::169.254.169.254", "a link-local address (169.254.169.254) inside IPv6"),
    ("2002:7f00:1::", "a loopback address (127.0.0.1) inside IPv6"),
    ("2002:a9fe:a9fe::1", "a link-local address (169.254.169.254) inside IPv6"),
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", "a private address"),
    ("::127.0.0.1", "a reserved address"),
    ("localhost", "not an address"),
    ("0x7f.1", "not an address"),
    ("2130706433", "not an address"),
    ("", "not an address"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_is_not_public_is_refused_by_name(text, reason):
    assert refusal(text) == reason


@pytest.mark.parametrize(
    "text",
    ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_what_is_public_is_let_through(text):
    assert refusal(text) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_dressed(address):
    plain = refusal(str(address))
    assert (plain is None) == (address.is_global and not address.is_multicast)
    for dressed in (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ipaddress.IPv6Address(0x2002 << 112 | int(address) << 80)),
    ):
        assert (refusal(dressed) is None) == (plain is None)


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_let_through_of_ipv6(address):
    if refusal(str(address)) is None:
        assert (
            address.is_global
            or address.ipv4_mapped
            or address in ipaddress.ip_network("64:ff9b::/96")
            or address.sixtofour
        )


def resolver(*hosts):
    def resolve(_host, port):
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port)) for one in hosts]

    return resolve


def test_a_name_with_one_bad_address_is_refused_as_a_whole():
    with pytest.raises(AddressRefused, match=r"evil.example \(10.0.0.1\) is a private address"):
        endpoints("evil.example", 80, allow_private=False, resolve=resolver("8.8.8.8", "10.0.0.1"))
    found = endpoints("evil.example", 80, allow_private=True, resolve=resolver("8.8.8.8", "10.0.0.1"))
    assert [one.host for one in found] == ["8.8.8.8", "10.0.0.1"]


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
def test_old_ways_to_write_an_address_are_refused_where_the_system_reads_them(host):
    """The resolver takes them; what is judged is what it makes of them."""
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        endpoints(host, 80, allow_private=False)
