"""A rule that fires and resolves all the time, two receivers, and the reckoning: what was owed and what arrived.

Records have a `slot`, which changes every few seconds; each is an alert that fires while its records are new, and is
resolved soon after. One receiver takes everything at once, the other refuses now and then, so that it is tried again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, cycle, repeat
from typing import Any

from tests.support.receivers import Receiver
from tests.support.serving import Serving

SLOT_S = 4
SETTLED_S = 180.0  # until all is resolved and sent, after refusals whose next try may be a minute away
CHANNELS = ("plain", "moody")
RULE = """{:query {:time {:last "2s"} :where [:exists :slot] :group-by [:slot] :aggregate {:n [:count]}}
           :when [:> :n 0] :every "1s" :delay "0s" :samples 1 :notify [:plain :moody]}"""


def slot() -> str:
    """What records of now are told apart by."""
    return f"s{int(time.time()) // SLOT_S}"


class Told:
    """Receivers, and what they were told."""

    def __init__(self) -> None:
        self.receivers = {"plain": Receiver(), "moody": Receiver()}
        refusals = chain(repeat((204, {}), 3), [(500, {})])
        self.receivers["moody"].answers = cycle(refusals)

    def set_up(self, serving: Serving) -> None:
        """Save the channels and the rule."""
        for name, receiver in self.receivers.items():
            text = f'{{:type :webhook :url "{receiver.url}/{name}" :allow-private true :group-wait "0s"}}'
            status, answer, _ = serving.request("PUT", f"/v1/channels/{name}", text)
            assert status in (200, 201), answer
        status, answer, _ = serving.request("PUT", "/v1/rules/beats", RULE)
        assert status in (200, 201), answer

    def check(self, serving: Serving) -> int:
        """Compare what changed, what was owed and what arrived, once all is quiet; how many notifications there are.

        Raises:
            AssertionError: a change is owed to nobody, or something that was owed never arrived.
        """
        owed = self._settled(serving)
        rows = {(row["rule"], row["fingerprint"], row["kind"], row["channel"]) for row in owed}
        changes = _all(serving, "/v1/alerts/history", "history")
        for change in changes:
            if change["state"] in ("firing", "resolved"):
                for channel in CHANNELS:
                    row = (change["rule"], change["fingerprint"], change["state"], channel)
                    assert row in rows, f"{row} is owed to nobody"
        told: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for channel, receiver in self.receivers.items():
            for got in list(receiver.got):
                for alert in got.json["alerts"]:
                    told[channel, alert["rule"], alert["fingerprint"]].add(alert["id"])
        for row in owed:
            assert row["state"] == "sent", f"{row} is not sent"
            # What was overtaken while it waited counts as sent with what overtook it.
            heard = told[row["channel"], row["rule"], row["fingerprint"]]
            assert any(number >= row["id"] for number in heard), f"{row} never arrived"
        return len(owed)

    def _settled(self, serving: Serving) -> list[dict[str, Any]]:
        deadline_s = time.monotonic() + SETTLED_S
        while True:
            active = [one for one in serving.request("GET", "/v1/alerts")[1]["alerts"] if not one["resolved"]]
            owed = _all(serving, "/v1/notifications", "notifications")
            waiting = [row for row in owed if row["state"] in ("pending", "failed")]
            if not active and not waiting:
                return owed
            assert time.monotonic() < deadline_s, f"still active {active[:2]}, still waiting {waiting[:2]}"
            time.sleep(0.2)

    def close(self) -> None:
        """Take the receivers down."""
        for receiver in self.receivers.values():
            receiver.__exit__()


@contextmanager
def telling(serving: Serving) -> Iterator[Told]:
    """Receivers that a server's rule tells."""
    told = Told()
    try:
        told.set_up(serving)
        yield told
    finally:
        told.close()


def _all(serving: Serving, path: str, key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before = ""
    while True:
        page = serving.request("GET", f"{path}?limit=1000{before}")[1]
        rows += page[key]
        if not page["next"]:
            return rows
        before = f"&before={page['next']}"
