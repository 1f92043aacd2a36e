"""What a group key is: its node in the tree, how it is read and printed, and a record's values for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from dsl.aggregates.base import tidy
from dsl.analysis import Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Node
from dsl.record import Record
from dsl.time import format_instant

KeysOf: TypeAlias = Callable[[Record], Sequence[Any]]
Show: TypeAlias = Callable[[Any], Any]


class Key(Node):
    """What records are grouped by: a record is in the group of each of its values, or in that of nil.

    The values of a key are what groups are told apart and ordered by; rows may show something else for them.

    Attributes:
        field: whose values.
        alias: under which name rows have it; None is that of the field.
        gives_maps: whether rows may show a map.
        ranked: how many of the most frequent values must be known before records can be grouped; 0 is none.
    """

    op: str = ""
    field: str
    alias: str | None = None

    gives_maps: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Under which name rows have it, and `:order-by` finds it."""
        return self.field if self.alias is None else self.alias

    @property
    def gives_time(self) -> bool:
        """Whether its values are times, in microseconds."""
        return False

    @property
    def ranked(self) -> int:
        """How many of the most frequent values `values` must be told."""
        return 0

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """A function from a record to its values for the key, each once; `[None]` when it has none.

        Args:
            frequent: The most frequent values of the field, where it is `ranked`.
        """
        raise NotImplementedError

    def shows(self, record: Record, shown: Any) -> bool:
        """Whether a record is in the group that rows show so; of a `ranked` key only where that is certain."""
        show = format_instant if self.gives_time else self.show() or (lambda value: value)
        values = (None if value is None else show(value) for value in self.values()(record))
        return any(type(value) is type(shown) and value == shown for value in values)

    def show(self, frequent: Sequence[Any] = ()) -> Show | None:
        """A function from a value to what rows show; None where they show the value, or the time that it is."""
        del frequent
        return None


K = TypeVar("K", bound=Key)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyKind(Generic[K]):
    """One way to write a group key.

    Attributes:
        name: the word after the bracket, without the colon.
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
    if len(values) == 1 and type(values[0]) is not float:
        return list(values)
    kept: dict[tuple[bool, Any], Any] = {}
    for value in values:
        plain = tidy(value) if type(value) is float else value
        kept.setdefault((type(plain) is bool, plain), plain)
    return list(kept.values()) or [None]
