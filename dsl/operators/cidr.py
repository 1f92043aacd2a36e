"""`[:cidr f "10.0.0.0/8"]`: one string of the field is an IPv4 or IPv6 address in that block.

An IPv4-mapped address (`::ffff:10.0.0.1`, RFC 4291 2.5.5.2) counts as the IPv4 address within it.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

from dsl.analysis import WRONG, Analysis, WrongType, described
from dsl.errors import quoted
from dsl.forms import Form
from dsl.nodes import is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_tagged, write_text
from dsl.patterns.pieces import Needs, Piece
from dsl.record import Matcher, some_string

_Network: TypeAlias = IPv4Network | IPv6Network
_MAPPED_BITS: Final = 96  # before the IPv4 address in a mapped one
_NIBBLES_OF_GROUP: Final = 4
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}(?:%.+)?", re.DOTALL)
"""What an address looks like: most strings are none, and to try them costs more."""


class Cidr(TextPredicate):
    """One string of the field is an address in this block."""

    op: Literal["cidr"] = "cidr"


def build_cidr(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Cidr | WrongType:
    """From a field and a block, a text or `#log/ip`."""
    made = _build(analysis, form, arguments)
    if made is WRONG or is_open(made.text):
        return made
    try:
        block = _block(made.text, strict=False)
    except ValueError:
        hint = 'write "10.0.0.0/8" or "2001:db8::/32"; without / it is one address'
        return analysis.wrong(
            "bad-value", f"no block of addresses: {described(arguments[1])}", arguments[1], hint
        )
    try:
        _block(made.text, strict=True)
    except ValueError:
        message = f"{quoted(made.text)} is an address and the size of a block, not where a block begins"
        return analysis.wrong("bad-value", message, arguments[1], f"did you mean {_text(block)}?")
    return Cidr(field=made.field, text=_text(block))


def compile_cidr(node: Cidr, compiler: Compiler) -> Pair:
    """Strings that begin as the addresses of the block do, where they all begin alike."""
    block = _block(node.text)
    return compiler.index.passing(node.field, _test(block), _needs(block))


def evaluate_cidr(node: Cidr, _: Evaluator) -> Matcher:
    """One string is an address in the block."""
    return some_string(node.field, _test(_block(node.text)))


def _block(text: str, *, strict: bool = True) -> _Network:
    """A block from its text; one of mapped addresses is that of the IPv4 addresses."""
    if "%" in text:
        raise ValueError(text)  # a zone says where an address is valid, and a block has none
    block = ip_network(text, strict=strict)
    if isinstance(block, IPv6Network) and block.prefixlen >= _MAPPED_BITS:
        mapped = block.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), block.prefixlen - _MAPPED_BITS))
    return block


def _text(block: _Network) -> str:
    """A block as it is printed: one address without its size."""
    return str(block.network_address if block.prefixlen == block.max_prefixlen else block)


def _test(block: _Network) -> Callable[[str], bool]:
    version, low, high = block.version, int(block.network_address), int(block.broadcast_address)
    looks = _ADDRESS.fullmatch

    def test(text: str) -> bool:
        if looks(text) is None:
            return False
        try:
            address: IPv4Address | IPv6Address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return address.version == version and low <= int(address) <= high

    return test


def _needs(block: _Network) -> Needs:
    """How all addresses of a block are written at their beginning, whichever way."""
    if isinstance(block, IPv4Network):
        known = block.prefixlen // 8
        if not known:
            return ()
        octets = str(block.network_address).split(".")[:known]
        text = ".".join(octets) + ("." if known < len(block.network_address.packed) else "")
        mapped = Piece("ffff", fold=True)  # it is in every mapped one, written out or short
        return ((Piece(text, left=True, right=known == len(block.network_address.packed)), mapped),)
    digits = block.network_address.exploded[: min(block.prefixlen // _NIBBLES_OF_GROUP, _NIBBLES_OF_GROUP)]
    if not digits or digits[0] == "0":
        return ()  # noughts at the beginning may be left out
    return ((Piece(digits + (":" if len(digits) == _NIBBLES_OF_GROUP else ""), left=True, fold=True),),)


_build = build_tagged(Cidr, "log/ip")

CIDR = Operator(
    name="cidr",
    signature='[:cidr field "10.0.0.0/8"]',
    summary="one string of the field is an IPv4 or IPv6 address in that block",
    example='[:cidr :client.ip "10.0.0.0/8"]',
    arguments=(2, 2),
    node=Cidr,
    build=build_cidr,
    write=write_text,
    compile=compile_cidr,
    evaluate=evaluate_cidr,
)
