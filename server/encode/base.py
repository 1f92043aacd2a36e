"""What a result format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.answer import Answer


@dataclass(frozen=True, slots=True)
class Encoder:
    """A result format.

    Attributes:
        media_type: As in Content-Type.
        encode: An answer as bytes.
        aliases: Other media types by which it can be asked for.
    """

    media_type: str
    encode: Callable[[Answer], bytes]
    aliases: tuple[str, ...] = ()
