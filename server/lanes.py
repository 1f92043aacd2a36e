"""Lanes: processes that decode, recognise and compress batches, so that the one that talks HTTP need not.

body --in a lane: decode, normalise, compress--> frames without numbers --in one process: number, write, sync--> 202

Only the last step has to be in one place: it gives the numbers, and takes a tenth of the time.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

from server.preparing import Batch, Decode, prepare
from storage.format import FrameEncoder

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # prctl(2)
LANE_BYTES_LEAST = 32 << 10  # a smaller body is decoded in less time than it takes to send it there and back

_encoder: FrameEncoder | None = None


class Lanes:
    """So many processes beside this one, started when the first batch comes. Lives on an event loop.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    async def pack(self, decode: Decode, body: bytes, now_us: int) -> Batch | None:
        """A batch as frames, and the mistakes of the records that are left out; None where that must be done here.

        That is so of a body that cannot be decoded as a whole, and when a lane has died.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(os.getpid(),),
            )
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _pack, decode, body, now_us)
        except BrokenExecutor:
            log.exception("a lane died; others are started, and this batch is decoded here")
            if self._pool is pool:
                self._pool = None
                pool.shutdown(wait=False)
            return None

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _start(parent: int) -> None:
    """Make this process one that ends with its parent, and leaves Ctrl-C to it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        os._exit(1)


def _pack(decode: Decode, body: bytes, now_us: int) -> Batch | None:
    global _encoder  # noqa: PLW0603  # one for the life of the process: making it takes as long as using it
    if _encoder is None:
        _encoder = FrameEncoder()
    try:
        batch = prepare(decode, body, now_us)
    except Exception as error:  # noqa: BLE001  # it happens again where it can be answered
        log.debug("a body is left to the process that talks HTTP: %s", error)
        return None
    return Batch(
        batch.rejected, packed=_encoder.pack_batch(batch.times_us, batch.lines) if batch.lines else ()
    )
