"""Which addresses a notification may be sent to: `10.0.0.1` and `::ffff:127.0.0.1` not, `93.184.216.34` yes.

A channel's URL is given by whoever may set channels, and requests go out from inside the network. Without this guard
a URL could reach what trusts that network: a cloud's metadata service, a database's admin port, klomp itself.

What is let through is what IANA's special-purpose registries call globally reachable and nothing else:
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry.
An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is judged by that one.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_NAT64_LOCAL = ipaddress.IPv6Network(
    "64:ff9b:1::/48"
)  # RFC 8215: a network's own translation: where to, who knows
_CGNAT = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598: between a provider and its customers
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")  # RFC 3879, deprecated, and still routed in places
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # RFC 4291: all that is assigned for global unicast
_LOW_32_BITS = 0xFFFFFFFF


class AddressRefused(OSError):
    """A connection that is not made because of where it leads. An `OSError`, so that libraries report it as any other.

    Attributes:
        address: Where it would have led.
        reason: What that address is.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address} is {reason}")
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that was looked up and may be connected to, as `socket.connect` takes it."""

    family: int
    host: str
    port: int


def refusal(text: str) -> str | None:
    """What an address is that must not be reached, such as "a loopback address"; None for one that may be.

    Args:
        text: An address in digits; a scope (`fe80::1%eth0`) is allowed. What is no address is refused.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "not an address"
    embedded = _embedded(address)
    if isinstance(address, ipaddress.IPv6Address) and embedded is not None:
        inner = _refusal(embedded)
        return None if inner is None else f"{inner} ({embedded}) inside IPv6"
    return _refusal(address)


def _refusal(address: Address) -> str | None:
    """The most telling name of what an address is; the last line catches what has no name here."""
    kinds: tuple[tuple[str, bool], ...] = (
        ("the unspecified address", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("the broadcast address", address == _BROADCAST),
        ("a provider's shared address", address.version == 4 and address in _CGNAT),
        ("a site-local address", address.version == 6 and address in _SITE_LOCAL),
        ("a local translation address", address.version == 6 and address in _NAT64_LOCAL),
        ("a private address", address.is_private),
        ("a reserved address", address.is_reserved),
        ("not a global address", not address.is_global),
        ("not a global address", address.version == 6 and address not in _GLOBAL_V6),
    )
    return next((name for name, holds in kinds if holds), None)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, None where it carries none."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOW_32_BITS)
    return None


AddressInfo = tuple[int, int, int, str, tuple[str | int, ...]]
Resolve = Callable[[str, int], Sequence[AddressInfo]]


def system_resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """The addresses of a host, as the system knows them."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]  # no AF_UNIX here


def endpoints(
    host: str, port: int, *, allow_private: bool, resolve: Resolve = system_resolve
) -> tuple[Endpoint, ...]:
    """The addresses to connect to, looked up once: whoever connects to these and to nothing else cannot be rebound.

    A name of which one address is refused is refused as a whole: which one a connection would take is chance.

    Raises:
        AddressRefused: the host has an address that must not be reached.
        OSError: the host is not known.
    """
    found = tuple(
        dict.fromkeys(
            Endpoint(family, str(sockaddr[0]), port) for family, *_, sockaddr in resolve(host, port)
        )
    )
    if not found:
        raise OSError(f"{host} has no address")
    if not allow_private:
        for endpoint in found:
            reason = refusal(endpoint.host)
            if reason is not None:
                shown = endpoint.host if host == endpoint.host else f"{host} ({endpoint.host})"
                raise AddressRefused(shown, reason)
    return found
