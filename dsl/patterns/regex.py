"""Regular expressions, in RE2's syntax: no back-references and no looking around, and time linear in the text.

Syntax and semantics: https://github.com/google/re2/wiki/Syntax
"""

import re
from collections.abc import Callable
from typing import Final

import re2

from dsl.analysis import Analysis, WrongType
from dsl.errors import quoted
from dsl.forms import Form
from dsl.limits import Limits

MEMORY_BYTES_MAX: Final = 1 << 20
"""Of one compiled expression and the states it goes through; 128 of them are kept."""

_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = MEMORY_BYTES_MAX
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True  # nobody asks what a group held

# What other engines know, how RE2 complains of it, and what to write instead.
_UNSUPPORTED: Final = (
    (r"\(\?<?[=!]", "look-around", "join two conditions with [:and …] and [:not …]"),
    (r"\(\?>|[*+?}]\+", "possessive repeats", "leave the + or ?> out: nothing is tried twice here"),
    (r"\\[1-9]|\\[gk]|\(\?P=", "back-references", "write out what is repeated"),
    (r"\(\?\(", "conditions in a group", "write the alternatives with |"),
    (r"\(\?#", "comments", "write it behind a ; outside of the text"),
    (r"\(\?[a-zA-Z]*[xuaL]", "this flag", "the flags are i, m, s and U"),
    (r"\\Z", r"\Z", r"the end of a text is $ or \z"),
    (r"\\[hHRKXGN]", "this escape", "write the characters as a class: [ \\t]"),
)


class BadPattern(ValueError):
    """No expression that RE2 takes.

    Attributes:
        code: `bad-pattern` or `regex-too-large`.
        hint: a way out.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def searcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether an expression is found in a text.

    Raises:
        BadPattern: it is none.
    """
    search = _compiled(pattern).search
    return lambda text: search(text.encode()) is not None


def check(pattern: str, limits: Limits) -> None:
    """Whether RE2 takes an expression, and it is no larger than it may be.

    Raises:
        BadPattern: it does not, or it is.
    """
    size = _compiled(pattern).programsize
    if size > limits.regex_program_max:
        raise _too_large(f"an expression of {size} instructions, more than {limits.regex_program_max}")


def checked(analysis: Analysis, pattern: str, form: Form, *, what: str | None = None) -> str | WrongType:
    """The pattern, or its mistake noted.

    Args:
        analysis: where mistakes are noted.
        pattern: an expression.
        form: where it stands.
        what: what the caller wrote, where it was no expression.
    """
    try:
        check(pattern, analysis.limits)
    except BadPattern as error:
        if what is not None:
            return analysis.wrong(
                error.code, f"{what} is too large", form, "write * for many ?, and fewer classes"
            )
        return analysis.wrong(error.code, str(error), form, error.hint)
    return pattern


def _compiled(pattern: str) -> "re2._Regexp":
    try:
        return re2.compile(pattern, _OPTIONS)
    except UnicodeEncodeError:
        hint = "leave out characters that are half of one"
        raise BadPattern("bad-pattern", "no regular expression: it is no valid text", hint) from None
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    if "too large" in reason or re.search(r"repetition size: \{\d*[,\d]*\}", reason):
        if "too large" not in reason and _is_backwards(reason):
            raise BadPattern(
                "bad-pattern", f"no regular expression: {quoted(reason)}", "write the least first"
            )
        raise _too_large("the expression is too large")
    for shape, name, hint in _UNSUPPORTED:
        if re.search(shape, pattern):
            raise BadPattern("bad-pattern", f"RE2 has not got {name}: {quoted(reason)}", hint)
    hint = 'a sign that stands for itself has \\\\ before it in EDN: "a\\\\.b"'
    raise BadPattern("bad-pattern", f"no regular expression: {quoted(reason)}", hint)


def _is_backwards(reason: str) -> bool:
    counts = re.search(r"\{(\d+),(\d+)\}", reason)
    return counts is not None and int(counts[1]) > int(counts[2])


def _too_large(message: str) -> BadPattern:
    return BadPattern(
        "regex-too-large", message, "repeat less: a* in place of a{1000}; a text may be split by [:or …]"
    )
