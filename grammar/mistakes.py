"""What people write that is neither EDN nor JSON: each kind of bad word, its code, message and way out."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrong:
    """One kind of bad word.

    Attributes:
        example: such a word in a text; tests read it.
        pattern: matches the word and the one character after it, from the word's first character.
        code: of the mistake.
        message: of the mistake; `{word}` stands for what was written.
        hint: the way out.
    """

    example: str
    pattern: re.Pattern[str]
    code: str
    message: str
    hint: str


def _wrong(example: str, pattern: str, code: str, message: str, hint: str) -> Wrong:
    return Wrong(example, re.compile(pattern, re.DOTALL), code, message, hint)


# Tried from first to last: the first that matches names the mistake.
EDN_WORDS = (
    _wrong(
        "22/7",
        r"[+-]?[0-9]+/[0-9]+\b",
        "clojure-only",
        "no ratios in EDN: {word}",
        "write it as a decimal number",
    ),
    _wrong(
        "0xFF",
        r"[+-]?0[xX][0-9a-fA-F]+N?\b",
        "clojure-only",
        "no hexadecimal numbers in EDN: {word}",
        "write it in decimal",
    ),
    _wrong(
        "2r101",
        r"[+-]?[0-9]+[rR][0-9a-zA-Z]+\b",
        "clojure-only",
        "no numbers with a radix in EDN: {word}",
        "write it in decimal",
    ),
    _wrong(
        "017",
        r"[+-]?0[0-9]",
        "bad-number",
        "a number does not begin with 0: {word}",
        "leave out the leading zeros, or put it in quotes if it is a string",
    ),
    _wrong(
        "1_000",
        r"[+-]?[0-9][0-9_]*_[0-9_]*\b",
        "bad-number",
        "no underscores in numbers: {word}",
        "leave out the underscores",
    ),
    _wrong(
        "1.",
        r"[+-]?[0-9]+\.(?![0-9])",
        "bad-number",
        "no digits after the point: {word}",
        "add a 0 after the point",
    ),
    _wrong(
        ".5", r"[+-]?\.[0-9]", "bad-number", "no digit before the point: {word}", "add a 0 before the point"
    ),
    _wrong(
        "4cats",
        r"[+-]?[0-9]",
        "bad-number",
        "not a number: {word}",
        "put it in quotes if it is a string; a name does not begin with a digit",
    ),
    _wrong(
        "::level",
        r"::",
        "clojure-only",
        "no auto-resolved keywords in EDN: {word}",
        "write one colon, and the namespace in full",
    ),
    _wrong(
        ":",
        r":(?![^\t-\r\x1c-\x20,;\"()\[\]{}\\])",
        "bad-token",
        "a colon without a name",
        "a keyword is a colon and a name, such as :level",
    ),
    _wrong(
        ":5xx",
        r":[+-.]?[0-9]",
        "bad-token",
        "a keyword does not begin with a digit: {word}",
        'put the name in quotes instead, such as "5xx"',
    ),
    _wrong("^:private x", r"#?\^", "clojure-only", "no metadata in EDN: {word}", "leave it out"),
    _wrong(
        "@atom",
        r"@",
        "clojure-only",
        "no @ before a form in EDN: {word}",
        "leave out the @, or put it in quotes",
    ),
    _wrong(
        "'level",
        r"'",
        "clojure-only",
        "no ' before a form in EDN: {word}",
        'leave out the \', or write a string in "double quotes"',
    ),
    _wrong("`level", r"`", "clojure-only", "no ` before a form in EDN: {word}", "leave out the `"),
    _wrong("~level", r"~", "clojure-only", "no ~ before a form in EDN: {word}", "leave out the ~"),
    _wrong(
        "#:http{:status 200}",
        r"#:",
        "clojure-only",
        "no namespaced maps in EDN: {word}",
        "write the namespace in each key",
    ),
    _wrong("##Inf", r"##", "clojure-only", "no symbolic values in EDN: {word}", "write a number"),
    _wrong("#(inc %)", r"#\(", "clojure-only", "no functions in EDN: #(", "a list is written without the #"),
    _wrong('#"GET .*"', r"#\"", "clojure-only", 'no regular expressions in EDN: #"', 'write #log/re "…"'),
    _wrong("#'level", r"#'", "clojure-only", "no #' before a form in EDN: {word}", "leave out the #'"),
    _wrong(
        "#?(:clj 1)", r"#\?", "clojure-only", "no reader conditionals in EDN: {word}", "write the form itself"
    ),
    _wrong(
        "#=(+ 1 2)", r"#=", "clojure-only", "nothing is evaluated in EDN: {word}", "write the value itself"
    ),
    _wrong(
        "#1 2",
        r"#",
        "bad-token",
        "not a tag: {word}",
        "a tag is # and a name that begins with a letter, such as #inst; a set is #{…}",
    ),
    _wrong(
        "a/b/c",
        r"[^/]*/[^/]*/|/|[^/]*/(?![^\t-\r\x1c-\x20,;\"()\[\]{}\\])",
        "bad-token",
        "not a name: {word}",
        "a name has at most one /, with something on both sides of it",
    ),
    _wrong(
        "[a/1b]",
        r"[^/]*/[+-.]?[0-9]",
        "bad-token",
        "a name does not begin with a digit, nor after its /: {word}",
        "put it in quotes",
    ),
    _wrong("it's", r"", "bad-token", "not a name: {word}", 'put it in quotes: "…"'),
)

JSON_WORDS = (
    _wrong(
        "True", r"(?i:true|false)\b", "bad-token", "not JSON: {word}", "write true or false, in small letters"
    ),
    _wrong("None", r"(?i:none|nil|null|undefined)\b", "bad-token", "not JSON: {word}", "write null"),
    _wrong(
        "NaN",
        r"[+-]?(?i:nan|inf(?:inity)?)\b",
        "bad-number",
        "JSON has no such number: {word}",
        "write a number, or null",
    ),
    _wrong(
        "017",
        r"-?0[0-9]",
        "bad-number",
        "a number does not begin with 0: {word}",
        "leave out the leading zeros",
    ),
    _wrong("+1", r"\+[0-9]", "bad-number", "a number has no + before it: {word}", "leave out the +"),
    _wrong(
        "1.",
        r"-?[0-9]+\.(?![0-9])",
        "bad-number",
        "no digits after the point: {word}",
        "add a 0 after the point",
    ),
    _wrong(".5", r"-?\.[0-9]", "bad-number", "no digit before the point: {word}", "add a 0 before the point"),
    _wrong("15m", r"-?[0-9]", "bad-number", "not a number: {word}", "put it in quotes if it is a string"),
    _wrong("// why", r"[/#]", "bad-token", "no comments in JSON: {word}", "leave it out"),
    _wrong("'level'", r"'", "bad-token", "not JSON: {word}", 'a string stands in "double quotes"'),
    _wrong("level", r"", "bad-token", "not JSON: {word}", 'put it in quotes: "…"'),
)
