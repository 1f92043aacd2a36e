"""`klomp demo`: fill a stream with believable logs, first of the past minutes, then as time goes by."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import click
import orjson

from server.cli.common import client_failures, counted, grouped, url_option
from server.cli.durations import Duration
from server.client import Client
from server.clock import now_us
from server.demo.feed import feed
from server.demo.generator import MINUTE_US, RATE, SECOND_US, Demo

TICK_S = 1.0  # between two batches
TOLD_EVERY_S = 10.0  # a line about how it goes, where no terminal can show it all the time
CALM_PART = 0.4  # of the past minutes goes by before the outage in them
CENTURY_US = 100 * 366 * 24 * 60 * MINUTE_US  # longer than anybody prints


@click.command
@click.option("--stream", default="main", show_default=True, help="Where to; it is made on first use.")
@click.option(
    "--rate",
    default=RATE,
    show_default=True,
    type=click.FloatRange(0.1, 100_000),
    help="Records a second, on the average of a day: nights are quieter.",
)
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(0, 1e7), help="Past to write first."
)
@click.option("--for", "for_s", type=Duration(), help='How long to go on, like "5m". [default: until Ctrl-C]')
@click.option("--seed", default=1, show_default=True, help="Another seed makes other logs.")
@click.option("--print", "printed", type=click.IntRange(0), metavar="N", help="Print N records, send none.")
@url_option
def demo(
    *,
    stream: str,
    rate: float,
    minutes: float,
    for_s: float | None,
    seed: int,
    printed: int | None,
    url: str,
) -> None:
    """Write the logs of a small web shop: those of the past minutes, then more as time goes by.

    An edge proxy, checkout, payments, auth, search, inventory, a database, cron jobs and kernels write them;
    a request leaves records in several, all with its trace_id. In the past minutes the payments fail for a
    while: errors, timeouts, stack traces. And once there is a needle in the haystack.

    \b
      klomp demo                                   until Ctrl-C
      klomp demo --minutes 60 --for 0s             an hour of the past, and no more
      klomp demo --print 5 | jq                    only to look at
      klomp query '[:match :message "klompendans"]'
    """  # noqa: D301  # \b keeps lines as they are
    begin_us = now_us()
    past_us = int(minutes * MINUTE_US)
    shop = Demo(seed, begin_us - past_us, rate=rate, calm_us=int(past_us * CALM_PART))
    if printed is not None:
        for record in islice(shop.records(begin_us + CENTURY_US), printed):
            click.echo(orjson.dumps(record))
        return
    with client_failures(), Client(url) as client:
        end_us = None if for_s is None else begin_us + int(for_s * SECOND_US)
        Run(client, stream, shop, now_us, time.sleep).until(begin_us, end_us)


@dataclass(slots=True)
class Run:
    """One run of the demo.

    Args:
        now_us: tells the time.
        sleep: waits for so many seconds.
    """

    client: Client
    stream: str
    shop: Demo
    now_us: Callable[[], int]
    sleep: Callable[[float], None]
    sent: int = 0
    rejected: int = 0

    def until(self, begin_us: int, end_us: int | None) -> None:
        """Write the past up to `begin_us`, then go on until `end_us`, or Ctrl-C, and tell how much it was."""
        live = sys.stderr.isatty()
        told_us = begin_us
        try:
            self._send(begin_us, live=live)
            click.echo(f"{counted(self.sent, 'record')} of the past in {self.stream}", err=True)
            while end_us is None or self.now_us() < end_us:
                self.sleep(TICK_S)
                now_us = self.now_us()
                self._send(now_us if end_us is None else min(now_us, end_us), live=live)
                if not live and now_us - told_us >= TOLD_EVERY_S * SECOND_US:
                    click.echo(f"{counted(self.sent, 'record')} sent; Ctrl-C ends it", err=True)
                    told_us = now_us
        except KeyboardInterrupt:
            pass  # the way to end it
        took_s = max((self.now_us() - begin_us) / SECOND_US, 0)
        click.echo(f"{counted(self.sent, 'record')} sent to {self.stream} in {grouped(took_s)} s", err=True)
        if self.rejected:
            click.echo(f"{counted(self.rejected, 'record')} rejected", err=True)

    def _send(self, until_us: int, *, live: bool) -> None:
        for fate in feed(self.client, self.stream, self.shop.records(until_us)):
            self.sent += fate.accepted
            self.rejected += fate.rejected_count
            if live:
                click.echo(f"\r{counted(self.sent, 'record')} sent; Ctrl-C ends it \r", nl=False, err=True)
