"""What a group key is: its node in the tree, how it is read and printed, and a record's values for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from dsl.aggregates.base import tidy
from dsl.analysis import Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Node
from dsl.record import Record

KeysOf: TypeAlias = Callable[[Record], Sequence[Any]]


class Key(Node):
    """What records are grouped by: a record is in the group of each of its values, or in that of nil."""

    op: str = ""
    field: str

    @property
    def name(self) -> str:
        """Under which name rows have it, and `:order-by` finds it."""
        return self.field

    @property
    def gives_time(self) -> bool:
        """Whether its values are times, in microseconds."""
        return False

    def values(self) -> KeysOf:
        """A function from a record to its values for the key, each once; `[None]` when it has none."""
        raise NotImplementedError


K = TypeVar("K", bound=Key)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyKind(Generic[K]):
    """One way to write a group key.

    Attributes:
        name: the word after the bracket, without the colon; of a plain field `field`.
        signature: how it is written, for messages.
        summary: what it groups by.
        example: one that reads.
        nodes: its kinds in the tree.
        build: from the form to a node, or the mistakes noted.
        write: from a node to a form.
    """

    name: str
    signature: str
    summary: str
    example: str
    nodes: Sequence[type[K]]
    build: Callable[[Analysis, Form], K | WrongType]
    write: Callable[[K], Form]


def distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, 1 and 1.0 as one (whole), `[None]` when there are none."""
    kept: dict[tuple[bool, Any], Any] = {}
    for value in values:
        plain = tidy(value) if type(value) is float else value
        kept.setdefault((type(plain) is bool, plain), plain)
    return list(kept.values()) or [None]
