"""What the tree of a query is made of: frozen models, equal when they say the same, wherever written."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Node(BaseModel):
    """A piece of a query. Equal to another when kind and content are; 1, 1.0 and true differ.

    Attributes:
        span: where it stood in the text, characters, half-open; no part of what it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    _span: tuple[int, int] = PrivateAttr(default=(0, 0))

    @property
    def span(self) -> tuple[int, int]:
        """Where it stood in the text."""
        return self._span

    def at(self, start: int, end: int) -> Self:
        """The node itself, once its place is known."""
        self._span = (start, end)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self is other or (type(self) is type(other) and _content(self) == _content(other))

    def __hash__(self) -> int:
        return hash(_content(self))


class Predicate(Node):
    """What holds for a record or does not. Each kind is defined in the file of its operator."""

    op: str = ""


def _content(node: Node) -> tuple[Any, ...]:
    return (type(node), *(_exact(value) for value in node.__dict__.values()))


def _exact(value: Any) -> Any:
    """The value with its type, because Python finds 1, 1.0 and True equal."""
    if isinstance(value, tuple):
        return tuple(_exact(item) for item in value)
    return value if value is None or isinstance(value, str | Node) else (type(value), value)
