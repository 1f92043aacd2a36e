"""What the first and the last value of a field share: the record that has one and comes first, or last.

Records are in the order of their time; equal ones by stream name falling and number rising, the order of `:order-by
[[:timestamp :asc]]`. Records without a value do not count.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from dsl.aggregates.base import Accumulator, FieldAggregate
from dsl.aggregates.held import Held
from dsl.rank import Reversed
from dsl.record import TIMESTAMP, Record


class End(FieldAggregate):
    """The value of a field of the record at one end of all that have one."""

    last: ClassVar[bool]

    @property
    def gives_time(self) -> bool:
        """Whether it is the time of that record."""
        return self.field == TIMESTAMP

    def native(self, column: str) -> dict[str, Any] | None:
        """No plain question: the record is found by the index, and read."""
        del column
        return None

    def read(self, result: dict[str, Any]) -> Any:
        """Nothing: the index has no such value."""
        raise NotImplementedError

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        del held
        return _Ended(last=self.last)


def shown_values(values: Sequence[Any]) -> Any:
    """What a row shows of the values of one record: the only one, or a list of all; nil where there is none."""
    return (values[0] if len(values) == 1 else list(values)) if values else None


class _Ended:
    def __init__(self, *, last: bool) -> None:
        self._last = last
        self._place: tuple[Any, ...] | None = None
        self._values: Sequence[Any] = ()

    def add(self, values: Sequence[Any], record: Record) -> None:
        if not values:
            return
        place = (record.timestamp_us, Reversed(record.stream), record.number)
        if self._place is None or (place > self._place) is self._last:
            self._place = place
            self._values = values

    def result(self) -> Any:
        return shown_values(self._values)
