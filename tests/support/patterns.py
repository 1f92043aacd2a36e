"""Patterns that a text fits, or nearly: regular expressions, globs, phrases with gaps, misspelt words, blocks."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st

ADDRESSES = [
    "10.0.0.1",
    "10.0.255.7",
    "192.168.1.1",
    "::ffff:10.0.0.1",
    "::FFFF:a00:1",
    "0:0:0:0:0:ffff:10.0.0.1",
    "2001:db8::1",
    "2001:0DB8:0:0::1",
    "fe80::1%eth0",
    "FEBF::1",
    "::1",
    "::",
    "0db8::1",
    "10.0.0.1:80",
    "[::1]",
    "10.0.0",
    "010.0.0.1",
    "1e3",
]
SIGNS = st.sampled_from("abcdeixyzkü\u017f日1 -/.\n*?[\\")
OPERATORS = ["phrase", "fuzzy", "glob", "glob", "regex", "regex", "regex", "cidr"]


def part(draw: Any, text: str) -> str:
    """A piece of a text, cut anywhere."""
    start = draw(st.integers(0, max(len(text) - 1, 0)))
    return text[start : draw(st.integers(start, len(text)))]


def chunks(draw: Any, text: str, most: int = 5) -> list[str]:
    """A text cut into some pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=most)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def quoted(text: str) -> str:
    """A text as a regular expression."""
    return "".join(c if c.isalnum() or c in " -/_:=" else f"\\x{{{ord(c):x}}}" for c in text)


def regex(draw: Any, text: str) -> str:
    """A regular expression that is found in the text, or nearly."""
    inner = text if draw(st.booleans()) else part(draw, text)
    made = [_expression(draw, chunk) for chunk in chunks(draw, inner)]
    expression = "".join(made)
    if draw(st.integers(0, 3)) == 0:
        expression = f"{expression}|{quoted(part(draw, text))}"
    flags = draw(st.sampled_from(["", "", "", "(?s)", "(?i)", "(?m)", "(?is)"]))
    ends = draw(
        st.sampled_from(
            [("", ""), ("", ""), ("^", ""), ("", "$"), ("^", "$"), (r"\A", r"\z"), (r"\b", r"\B")]
        )
    )
    return f"{flags}{ends[0]}{expression}{ends[1]}"


def _expression(draw: Any, chunk: str) -> str:
    kind = draw(st.integers(0, 15))
    plain = quoted(chunk)
    if not chunk or kind < 5:
        return plain
    last = f"{quoted(chunk[:-1])}(?:{quoted(chunk[-1])})"
    forms = [
        draw(st.sampled_from([".", ".*", ".+?", r"\w+", r"\d*", "[^x]*", "[a-z]+", r"\pL+", "(?s:.*)"])),
        f"(?i:{quoted(chunk.swapcase())})",
        f"(?:{plain}|{quoted(draw(st.text(SIGNS, max_size=3)))})",
        f"(?P<n{draw(st.integers(0, 99))}>{plain})?",
        f"(?:{plain})" + draw(st.sampled_from(["+", "*", "{1,2}", "{2}", "{0,3}?", "{0}"])),
        last + draw(st.sampled_from(["?", "*", "+", "{1}", "{2,}"])),
        "".join(f"[{quoted(c)}{quoted(draw(SIGNS))}]" for c in chunk[:4]) + quoted(chunk[4:]),
        f"^{plain}" if draw(st.booleans()) else f"{plain}$",
        f"(?i){plain}(?-i)",
        rf"\Q{chunk}\E" if "\\" not in chunk else plain,
        f"(?:^|{plain})",
    ]
    return forms[kind - 5]


def glob(draw: Any, text: str) -> str:
    """A glob that the text fits, or nearly."""
    made = []
    for chunk in chunks(draw, text):
        kind = draw(st.integers(0, 5))
        plain = "".join(f"\\{c}" if c in "*?[\\" else c for c in chunk)
        if kind < 2:
            made.append(draw(st.sampled_from(["*", "**", "*?", "?*"])))
        elif kind == 2 and chunk:
            made.append("?" * len(chunk))
        elif kind == 3 and chunk:
            first = f"\\{chunk[0]}" if chunk[0] in "]\\-!^" else chunk[0]
            made.append(
                draw(st.sampled_from([f"[{first}x]", "[a-z]", "[!x]", "[]a]"])) + plain[len(chunk[:1]) :]
            )
        else:
            made.append(plain)
    return "".join(made) if draw(st.booleans()) else f"*{''.join(made)}*"


def misspelt(draw: Any, text: str) -> str:
    """A word of a text with some edits."""
    words = text.split() or [text]
    word = list(draw(st.sampled_from(words)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(word) - 1, 0)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            word.insert(at, draw(SIGNS))
        elif kind == 1:
            word[at : at + 1] = []
        elif kind == 2:
            word[at : at + 1] = [draw(SIGNS)]
        else:
            word[at : at + 2] = reversed(word[at : at + 2])
    return "".join(word)


def scattered(draw: Any, text: str) -> str:
    """Some words of a text, perhaps in another order, the last perhaps cut off."""
    words = text.split() or [text]
    start = draw(st.integers(0, len(words) - 1))
    some = [word for word in words[start : start + 5] if draw(st.integers(0, 3))]
    if draw(st.booleans()):
        some = draw(st.permutations(some))
    if some and draw(st.integers(0, 3)) == 0:
        some[-1] = some[-1][: draw(st.integers(1, 4))].rstrip("*") + "*"
    return " ".join(some)


def block(draw: Any, text: str) -> str:
    """A block of addresses around an address, or any."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        address = ipaddress.ip_address(
            draw(st.sampled_from(["10.0.0.1", "2001:db8::1", "fe80::1", "::ffff:10.0.0.1"]))
        )
    bits = draw(st.integers(0, address.max_prefixlen) | st.sampled_from([0, 8, 9, 16, 24, 32]))
    return str(ipaddress.ip_network((address, bits), strict=False))


def condition(draw: Any, operator: str, field: str, text: str) -> list[Any]:
    """A predicate about a text, as JSON."""
    if operator == "phrase":
        return [operator, field, scattered(draw, text), {"slop": draw(st.integers(0, 5))}]
    if operator == "fuzzy":
        return [operator, field, misspelt(draw, text), {"distance": draw(st.integers(1, 2))}]
    if operator == "glob":
        return [operator, field, glob(draw, text)]
    if operator == "cidr":
        return [operator, field, block(draw, text)]
    return [operator, field, regex(draw, text)]
