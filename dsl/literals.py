"""What a single piece of a text stands for, and what is wrong with one that stands for nothing.

Strings with escapes, characters, numbers that are too long, `#inst` and `#uuid`; the same for EDN and JSON where both
have them.
"""

import re
from collections.abc import Callable, Iterator

from lark import Token

from dsl.errors import Mistake, quoted
from dsl.forms import INST, Form

NUMBER_DIGITS_MAX = 3_000  # Python prints no integer of over 4300 digits: its time grows with their square
EXPONENT_DIGITS_MAX = 3  # of a decimal: written out it stays under those 4300 too
INFINITE = (float("inf"), float("-inf"))

ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|([\s\S]))")
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "b": "\b", "f": "\f", "/": "/"}
CONTROLS = "".join(map(chr, range(0x20)))
_UNIT = r"u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
EDN_ESCAPE = re.compile(rf'\\(?:[trn\\"bf]|{_UNIT})')
JSON_ESCAPE = re.compile(rf'\\(?:["\\/bfnrt]|{_UNIT})')
_CHARACTERS = {
    "newline": "\n",
    "return": "\r",
    "space": " ",
    "tab": "\t",
    "formfeed": "\f",
    "backspace": "\b",
}
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def span(token: Token) -> tuple[int, int]:
    """Where a token stands: character offsets into the text, half-open."""
    start = token.start_pos
    assert start is not None
    return start, start + len(token)


def unescaped(match: re.Match[str]) -> str:
    """The character of an escape that `ESCAPE` found."""
    unit, low, other = match.groups()
    if other:
        return _ESCAPED[other]
    if not low:
        return chr(int(unit, 16))
    # The grammar lets a low half stand after a high one only.
    return chr(0x10000 + ((int(unit, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


def character_named(name: str) -> str:
    """The character that EDN calls so: `a`, `newline`, `u0041`, `o101`."""
    if len(name) == 1:
        return name
    return _CHARACTERS.get(name) or chr(int(name[1:], 16 if name[0] == "u" else 8))


def string_mistakes(token: Token, escape: re.Pattern[str], hint: str, banned: str) -> Iterator[Mistake]:
    """Every bad escape of a string, and every character that cannot stand in one."""
    start, _ = span(token)
    position, end = 1, len(token) - 1
    while position < end:
        character = token[position]
        place = start + position
        if character == "\\":
            match = escape.match(token, position)
            width = match.end() - position if match else 2
            if not match:
                width = 6 if re.match(r"\\u[0-9a-fA-F]{4}", token[position : position + 6]) else 2
                written = quoted(token[position : position + width])
                message = f"no escape {written} in a string"
                out = f"for a backslash write two, \\{written}; else {hint}"
                if width > 2:
                    message, out = (
                        f"half of a surrogate pair: {written}",
                        r"write both halves, as in \ud83d\ude00",
                    )
                yield Mistake("bad-escape", message, place, place + width, out)
            position += width
            continue
        if "\ud800" <= character <= "\udfff":
            yield Mistake(
                "bad-string", "half of a surrogate pair in a string", place, place + 1, "leave it out"
            )
        elif character in banned:
            message = f"a control character in a string: U+{ord(character):04X}"
            yield Mistake("bad-string", message, place, place + 1, f"write \\u{ord(character):04x}")
        position += 1


def long_number(token: Token) -> Iterator[Mistake]:
    """A number has too many digits."""
    message = f"a number of {len(token)} characters, more than {NUMBER_DIGITS_MAX}"
    yield Mistake("bad-number", message, *span(token), "put it in quotes")


def large_number(token: Token) -> Iterator[Mistake]:
    """A number is beyond what can be kept."""
    yield Mistake("bad-number", f"a number out of range: {quoted(token)}", *span(token), "put it in quotes")


def _inst_mistakes(form: Form) -> Iterator[Mistake]:
    hint = 'write #inst "2026-01-02T03:04:05.678Z"'
    if not isinstance(form.value, str):
        yield Mistake("bad-inst", "#inst stands before a string", form.start, form.end, hint)
    elif not _is_inst(form.value):
        yield Mistake("bad-inst", f"not a time: {quoted(form.value)}", form.start, form.end, hint)


def _is_inst(text: str) -> bool:
    match = INST.fullmatch(text)
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups()[:6])
    assert year is not None
    days = 28 if month == 2 and (year % 4 or (year % 100 == 0 and year % 400)) else 0
    offset = (match["offset"] or "Z")[1:]
    return (
        (month is None or 1 <= month <= 12)
        and (day is None or month is None or 1 <= day <= (days or _MONTH_DAYS[month - 1]))
        and (hour or 0) <= 23
        and (minute or 0) <= 59
        and (second or 0) <= (60 if minute == 59 else 59)  # a leap second ends an hour
        and (not offset or (int(offset[:2]) <= 23 and int(offset[3:]) <= 59))
    )


def _uuid_mistakes(form: Form) -> Iterator[Mistake]:
    hint = 'write #uuid "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"'
    if not isinstance(form.value, str):
        yield Mistake("bad-uuid", "#uuid stands before a string", form.start, form.end, hint)
    elif not _UUID.fullmatch(form.value):
        yield Mistake("bad-uuid", f"not a UUID: {quoted(form.value)}", form.start, form.end, hint)


TAG_CHECKS: dict[str, Callable[[Form], Iterator[Mistake]]] = {"inst": _inst_mistakes, "uuid": _uuid_mistakes}
