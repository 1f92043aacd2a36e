"""Delivers what is owed to channels: takes it from the outbox, sends it, and writes down what became of that.

    outbox --grouping--> batches --breaker, send--> sent | tried again after a while | dead

Every channel is served by one thread at a time, so a slow one holds up nobody else, and what it gets is in order. A
crash between sending and writing that down sends once more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dsl.errors import QueryError
from dsl.reader import read
from server.notify.backoff import Backoff
from server.notify.breaker import Breaker
from server.notify.channels.base import ChannelSettings, ChannelType, Sending
from server.notify.documents import CHANNEL, read_channel
from server.notify.grouping import Batch, batches
from server.notify.message import Alert, Message
from server.notify.outcome import Outcome, failed, refused
from storage.documents import Documents
from storage.notifications import Attempt, Notification, Notifications
from storage.times import US_PER_S

log = logging.getLogger(__name__)

THREADS = 8  # channels that are served at once: they wait for others nearly all the time
WAITING_MAX = 5000  # taken of one channel at once
AGAIN_S = 5  # after something went wrong that nobody foresaw


@dataclass(frozen=True, slots=True)
class _Rest:
    """When a channel is looked at again, unless what is owed to it, or what is set of it, changes before."""

    seen: tuple[int, int, int]
    until_us: int


class Dispatcher:
    """Delivers, from the one process that does.

    Args:
        outbox: What is owed.
        documents: Where the channels are.
        clock: Microseconds since 1970.
        random: Gives numbers in [0, 1), for the jitter.
        public_url: What links begin with.
        backoff: How long to wait between attempts.
        sending: How names are looked up.
    """

    def __init__(
        self,
        outbox: Notifications,
        documents: Documents,
        clock: Callable[[], int],
        *,
        random: Callable[[], float],
        public_url: str = "",
        backoff: Backoff | None = None,
        sending: Sending | None = None,
    ) -> None:
        self._outbox = outbox
        self._documents = documents
        self._clock = clock
        self._random = random
        self._public_url = public_url
        self._backoff = backoff or Backoff()
        self._sending = sending or Sending()
        self._breakers = {name: Breaker(*kept) for name, kept in outbox.breakers().items()}
        self._versions: dict[str, int] = {}
        self._rests: dict[str, _Rest] = {}
        self._busy: set[str] = set()
        self._unwritten: dict[str, set[int]] = {}  # what was sent, and could not be written down
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notify")

    def tick(self) -> None:
        """Begin to deliver what is ready. Never waits for a channel."""
        for name, seen in self._ready():
            self._busy.add(name)
            self._threads.submit(self._serve, name, seen)

    def deliver(self) -> None:
        """Deliver what is ready now, and come back when that is done."""
        for name, seen in self._ready():
            self._busy.add(name)
            self._serve(name, seen)

    def close(self) -> None:
        """Begin nothing new, and wait for what is being sent."""
        self._stopping.set()
        self._threads.shutdown(cancel_futures=True)

    def _ready(self) -> list[tuple[str, tuple[int, int, int]]]:
        now_us = self._clock()
        generation = self._documents.generation(CHANNEL)
        ready = []
        with self._lock:
            for name, (count, newest) in self._outbox.channels_waiting(now_us).items():
                seen, rest = (count, newest, generation), self._rests.get(name)
                if name not in self._busy and (rest is None or rest.seen != seen or rest.until_us <= now_us):
                    ready.append((name, seen))
        return ready

    def _serve(self, name: str, seen: tuple[int, int, int]) -> None:
        try:
            until_us = self._deliver(name)
        except Exception:  # the other channels have their rights as well, and so has this one a little later
            log.exception("notifying channel %s failed; it goes on in %d s", name, AGAIN_S)
            until_us = self._clock() + AGAIN_S * US_PER_S
        with self._lock:
            self._rests[name] = _Rest(seen, until_us)
            self._busy.discard(name)

    def _deliver(self, name: str) -> int:
        """Send what is ready for a channel; when it is to be looked at again."""
        unwritten = self._unwritten.setdefault(name, set())
        if (
            unwritten
        ):  # while that still fails nothing is sent: on a full disk it would be sent again and again
            self._outbox.mark_sent(sorted(unwritten), self._clock())
            unwritten.clear()
        waiting = self._outbox.waiting(name, self._clock(), WAITING_MAX)
        found = self._channel(name)
        if isinstance(found, Outcome):
            self._note(waiting, found, self._clock(), self._clock())
            return self._clock()
        kind, settings = found
        breaker = self._breakers.setdefault(name, Breaker())
        for batch in batches(waiting, settings.group_by, settings.group_wait_s * US_PER_S, kind.batch_max):
            now_us = self._clock()
            if self._stopping.is_set():
                break
            if batch.ready_us > now_us:
                return batch.ready_us  # the others come later still
            if not breaker.allows(now_us):
                return breaker.until_us()
            self._send(name, kind, settings, batch, breaker)
        return self._clock()

    def _send(
        self, name: str, kind: ChannelType, settings: ChannelSettings, batch: Batch, breaker: Breaker
    ) -> None:
        now_us = self._clock()
        alerts = tuple(Alert.of(one.id, one.payload) for one in batch.newest)
        breaker.begin(now_us)
        try:
            outcome = kind.send(
                settings, Message(name, batch.group, alerts, now_us, self._public_url), self._sending
            )
        except Exception:
            breaker.fail(self._clock())
            raise
        ended_us = self._clock()
        was = breaker.kept()
        if outcome.ok or outcome.permanent:  # who says no to a message is there
            breaker.succeed()
        else:
            breaker.fail(ended_us)
            log.warning("channel %s: %s", name, outcome.detail)
        if outcome.ok:
            self._unwritten[name].update(one.id for one in batch.all)
        self._note(batch.all, outcome, now_us, ended_us)
        self._unwritten[name].clear()
        if breaker.kept() != was:
            self._outbox.keep_breaker(name, *breaker.kept())

    def _note(
        self, rows: tuple[Notification, ...] | list[Notification], outcome: Outcome, at_us: int, ended_us: int
    ) -> None:
        """Write down what became of an attempt. Each notification counts its own attempts: some came later."""
        if outcome.ok:
            self._outbox.mark_sent([one.id for one in rows], ended_us)
            return
        ids = [one.id for one in rows]
        self._outbox.note_attempt(ids, Attempt(at_us, ended_us - at_us, outcome.detail, outcome.status))
        dead = {one.id for one in rows if outcome.permanent or self._backoff.is_exhausted(one.attempts + 1)}
        if dead:
            self._outbox.mark_dead(sorted(dead), outcome.detail)
            log.error("%d notifications of %s are given up: %s", len(dead), rows[0].channel, outcome.detail)
        left = [one for one in rows if one.id not in dead]
        if left:
            attempts = max(one.attempts for one in left) + 1
            wait_us = self._backoff.wait_us(attempts, self._random, outcome.retry_after_s)
            self._outbox.mark_retry([one.id for one in left], outcome.detail, ended_us + wait_us)

    def _channel(self, name: str) -> tuple[ChannelType, ChannelSettings] | Outcome:
        """What is set of a channel, or why nothing can be sent to it."""
        document = self._documents.get(CHANNEL, name)
        if document is None:
            return refused(f"there is no channel {name!r}")
        if self._versions.get(name, document.version) != document.version:
            self._breakers.pop(name, None)  # it is another channel than the one that failed
        self._versions[name] = document.version
        try:
            return read_channel(name, read(document.body))
        except QueryError as error:
            return failed(f"the channel {name!r} cannot be read: {error}")
