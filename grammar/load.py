"""The grammars of EDN and JSON as LALR parsers, made from the `.lark` files beside this module."""

from pathlib import Path

from lark import Lark

GRAMMARS = ("edn", "json")


def load(name: str, builder: object) -> Lark:
    """The parser of one grammar, which calls `builder` as it goes and makes no tree of its own.

    Args:
        name: one of `GRAMMARS`.
        builder: a method for each rule (given the list of its parts) and for each terminal (given its token).
    """
    assert name in GRAMMARS
    text = Path(__file__).with_name(f"{name}.lark").read_text(encoding="utf-8")
    return Lark(
        text, start="document", parser="lalr", lexer="basic", transformer=builder, maybe_placeholders=True
    )
