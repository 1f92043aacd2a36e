"""The group keys, one line each; a new one is a file beside this and a line here."""

from typing import Annotated, Any, Final, Union

from pydantic import Field

from dsl.keys.base import Key, KeyKind
from dsl.keys.bucket import BUCKET
from dsl.keys.field import FIELD
from dsl.keys.ranges import RANGES
from dsl.keys.top import TOP

_ALL: tuple[KeyKind[Any], ...] = (
    FIELD,
    BUCKET,
    RANGES,
    TOP,
)

KEYS: Final[dict[str, KeyKind[Any]]] = {kind.name: kind for kind in _ALL}
"""Every kind of group key by its name."""

BY_NODE: Final[dict[type[Key], KeyKind[Any]]] = {node: kind for kind in _ALL for node in kind.nodes}
"""Every kind of group key by its kinds of node."""

ANY_KEY: Any = Annotated[Union[tuple(BY_NODE)], Field(discriminator="op")]  # noqa: UP007  # a tuple
"""The type of every group key, for the models that hold some."""
