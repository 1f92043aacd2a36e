"""What the tree of a query is made of: frozen models, equal when they say the same, wherever written."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr

Place: TypeAlias = Literal[
    "value", "values", "text", "moment", "duration", "number", "count", "flag", "streams"
]
"""What may stand where a parameter stands: a value of a field, a set of them, a text, …"""


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


class Param(Node):
    """A parameter `?service`, in JSON `{"param": "service"}`: it stands where a value will.

    Only a tree that was analyzed as an open one has any, and such a tree is printed and bound, never run: what is run
    comes out of `dsl.binding.bind`, or was refused by the analysis.

    Attributes:
        param: its name, without the question mark.
        place: what its value will be taken as; no part of what it is.
    """

    param: str

    _place: Place = PrivateAttr(default="value")

    @property
    def place(self) -> Place:
        """What its value will be taken as."""
        return self._place

    def in_place(self, place: Place) -> Self:
        """The node itself, once it is known where it stands."""
        self._place = place
        return self


# A field of a node that a parameter may stand for: `text: Open[str]`. Who compiles or evaluates a tree is given a bound
# one, so that to type checkers it is the type alone; the models know better.
T = TypeVar("T")
if TYPE_CHECKING:
    Open: TypeAlias = Annotated[T, "or a Param"]
else:

    class Open:
        """`Open[T]` is T or a parameter."""

        def __class_getitem__(cls, item: object) -> object:
            """A union that pydantic checks."""
            return item | Param


def is_open(value: object) -> bool:
    """Whether a parameter stands for this value, so that nothing can be said of it yet."""
    return isinstance(value, Param)


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
