"""Believable logs of a web shop: records as its programs would write them, in the order of time.

Nothing here is random twice: the same seed and start give the same records, however they are asked for.
"""

import heapq
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any

from server.demo.stories import Shop, Story, background, needle, request

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US

RATE = 50.0  # records a second, on the average of a day
RECORDS_OF_A_REQUEST = 2.1  # measured: what one request leaves in all programs together
CALM_US = 4 * MINUTE_US  # before the first outage
OUTAGE_US = 150 * SECOND_US
OUTAGE_EVERY_US = 45 * MINUTE_US
NEEDLE_US = 97 * SECOND_US  # when the one record of its kind is written, and again every hour
NEEDLE_EVERY_US = 60 * MINUTE_US
QUIETEST = 0.4  # the rate at four in the morning, as a part of the average; in the afternoon 1.6

Records = Iterator[dict[str, Any]]


class Demo:
    """The logs of one shop, from an instant on.

    Args:
        seed: for everything that is by chance.
        start_us: the first instant, in microseconds since 1970 UTC.
        rate: records a second, on the average of a day.
        calm_us: from the start to the first outage of the payments; it lasts two and a half minutes and comes
            back every three quarters of an hour.
    """

    def __init__(self, seed: int, start_us: int, *, rate: float = RATE, calm_us: int = CALM_US) -> None:
        self._random = Random(seed)  # noqa: S311  # logs to look at, no secrets
        self._shop = Shop(self._random)
        self._start_us = start_us
        self._second_us = start_us
        self._rate = rate
        self._calm_us = calm_us
        self._order = count()
        self._pending: list[tuple[int, int, dict[str, Any]]] = []

    def records(self, until_us: int) -> Records:
        """What is written from where the last call ended up to `until_us`, exclusive."""
        while self._second_us < until_us:
            self._write_second()
            yield from self._before(min(until_us, self._second_us))
        yield from self._before(until_us)

    def outage(self, instant_us: int) -> bool:
        """If the payments are down."""
        since_us = instant_us - self._start_us - self._calm_us
        return since_us >= 0 and since_us % OUTAGE_EVERY_US < OUTAGE_US

    def _before(self, until_us: int) -> Records:
        while self._pending and self._pending[0][0] < until_us:
            instant_us, _, record = heapq.heappop(self._pending)
            yield {"timestamp": rfc3339(instant_us), **record}

    def _write_second(self) -> None:
        """Everything that begins in the next second; some of it is written later."""
        begin_us = self._second_us
        self._second_us += SECOND_US
        outage = self.outage(begin_us)
        # Who gets no answer tries again.
        requests = self._rate / RECORDS_OF_A_REQUEST * day_curve(begin_us) * (1.4 if outage else 1.0)
        for _ in range(self._poisson(requests)):
            self._add(begin_us + self._random.randrange(SECOND_US), request(self._shop, outage=outage))
        since_us = begin_us - self._start_us
        self._add(begin_us, background(self._shop, since_us // SECOND_US, outage=outage))
        if (since_us - NEEDLE_US) % NEEDLE_EVERY_US == 0:
            self._add(begin_us + self._random.randrange(SECOND_US), needle(self._shop))

    def _add(self, begin_us: int, story: Story) -> None:
        for after_us, record in story:
            heapq.heappush(self._pending, (begin_us + after_us, next(self._order), record))

    def _poisson(self, mean: float) -> int:
        """How often something happens that happens `mean` times on average."""
        if mean > 50:
            return max(0, round(self._random.gauss(mean, math.sqrt(mean))))
        limit, product, number = math.exp(-mean), self._random.random(), 0
        while product > limit:
            product *= self._random.random()
            number += 1
        return number


def day_curve(instant_us: int) -> float:
    """How busy it is at an hour of the day (UTC), with the average as 1: least at four, most at sixteen."""
    return 1 - (1 - QUIETEST) * math.cos(2 * math.pi * ((instant_us % DAY_US) / DAY_US - 4 / 24))


def rfc3339(instant_us: int) -> str:
    """An instant with microseconds, in UTC."""
    whole = datetime.fromtimestamp(instant_us // SECOND_US, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{instant_us % SECOND_US:06d}Z"
