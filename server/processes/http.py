"""The HTTP process: Falcon under granian; it owns the logs' writing side and answers queries."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from server.apart import Apart, Place
from server.app import Parts, create_app
from server.clock import now_us
from server.deletions import Deletions
from server.engine import Engine
from server.ingest import Ingest
from server.lanes import Lanes
from server.settings import Settings
from server.shortcut import Shortcut
from server.space import FreeSpace
from server.streams import StreamAdmin, rotation_of
from server.turns import Turns
from storage.locks import hold_lock
from storage.metadata import Metadata
from storage.paths import DataDirectory, make_durably
from storage.store import Store

log = logging.getLogger(__name__)

TEND_S = 15.0  # how often idle streams are looked after
LET_GO_S = 1.0  # how soon files are closed that were dropped or replaced: their bytes are freed only then
GC_THRESHOLDS = (
    100_000,
    50,
    100,
)  # new objects before a look at the young, and how many of those before the old


def run(settings: Settings) -> None:
    """Serve until SIGTERM.

    Raises:
        StoreLocked: another process writes to this data directory.
    """
    make_durably(settings.data)
    hold_lock(settings.data / "writer.lock", "another process writes to this data directory")
    # A request crosses from granian's threads to the loop and back; uvloop does it for a fifth less.
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    data = DataDirectory(settings.data)
    store = Store(data)
    metadata = Metadata(data.metadata)
    lanes = Lanes(settings.workers) if settings.workers > 1 else None
    ingest = Ingest(data, now_us, settings.streams_max, partial(rotation_of, metadata), lanes)
    admin = StreamAdmin(data, store, metadata, ingest, now_us)
    admin.forget_deleted()
    turns = Turns(settings.query_threads, settings.query_queue_max, settings.query_timeout_s)
    apart = Apart(Place(settings.data, settings.limits, settings.query_apart_bytes_max))
    engine = Engine(store, now_us, settings.limits, settings.query_timeout_s, apart)
    engine.warm_up()
    ingest.space = FreeSpace(settings.data, settings.free_space_min_percent)
    # Answers are large heaps of small objects without cycles: looking for cycles in them costs more than it finds.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    deletions = Deletions(engine, ingest, metadata, now_us)
    app = create_app(Parts(settings, data, store, ingest, engine, turns, metadata, admin, deletions))
    server = Server(
        Shortcut(app, ingest, settings.body_bytes_max),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        websockets=False,
        backlog=1024,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    tending = (
        asyncio.create_task(_again(LET_GO_S, lambda: asyncio.to_thread(store.let_go))),
        asyncio.create_task(_again(TEND_S, admin.open_idle)),
    )
    try:
        await server.serve()
    finally:
        for task in tending:
            task.cancel()
        # What was appended is written and told, even where the answer can't be delivered any more.
        await asyncio.to_thread(ingest.close)
        turns.close()
        apart.close()
        store.close()
        metadata.close()


async def _again(every_s: float, tend: Callable[[], Awaitable[None]]) -> None:
    """Do, again and again, what no request asks for."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await tend()
        except Exception:
            log.exception("tending the streams failed; it goes on in %.0f s", every_s)
