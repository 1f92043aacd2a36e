"""A question while it is worked on: when it is given up, and what of it may be answered then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from server.answer import Answer
from storage.errors import QueryTimeout
from storage.stop import Stop

Item = TypeVar("Item")


@dataclass(slots=True)
class Asked:
    """What whoever waits for an answer shares with whoever works it out.

    Attributes:
        stop: When the work is given up.
        fallback: What to answer where time is up and the work still goes on, because it wants a partial answer
            and is in one long step; None where that is an error.
    """

    stop: Stop = field(default_factory=Stop)
    fallback: Answer | None = None


class Elsewhere(Protocol):
    """Where questions are answered that have steps which are too long to be taken here."""

    def ask(self, name: str, arguments: dict[str, Any], asked: Asked) -> Any:
        """What a method of the engine gives there; it raises what that does.

        Args:
            name: The method.
            arguments: For it, but for `asked`.
            asked: When the question is given up.
        """
        ...


@dataclass(slots=True)
class Partial:
    """Whether less than all will do when time is up, and whether it came to that.

    Attributes:
        wanted: Whether the query says `:on-timeout :partial`.
        reason: Why something is missing; None while nothing is.
    """

    wanted: bool = False
    reason: str | None = None

    def cut(self, error: QueryTimeout) -> None:
        """Note that time is up.

        Raises:
            QueryTimeout: the query wants all or nothing.
        """
        if not self.wanted:
            raise error
        self.reason = error.message

    def upto(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items that come before time is up."""
        try:
            yield from items
        except QueryTimeout as error:
            self.cut(error)


def out_of_time(answer: Answer, reason: str) -> None:
    """Say of an answer that it has not everything."""
    answer.complete = False
    answer.warnings.append(
        {
            "code": "out-of-time",
            "message": f"{reason}: this is what was found by then",
            "hint": "narrow the query by :time or :where, or give it a longer :timeout",
        }
    )
