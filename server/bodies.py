"""Request bodies: read within a bound, unpacked within the same bound."""

from __future__ import annotations

import asyncio
import contextlib
import zlib

import falcon.asgi
import zstandard

from server.errors import RequestError

DRAIN_BYTES_MAX = 256 << 20  # of a body that is refused: several times what may come
DRAIN_S_MAX = 10.0  # who sends slower than that has to read the answer while sending
ZSTD_WINDOW_BYTES_MAX = 1 << 27  # what `zstd --long` asks for
ZSTD_STEP_BYTES = 1 << 16  # unpacked at a time: zstd packs zeros some ten thousandfold


def too_large(limit: int) -> RequestError:
    """What a body over the limit gets."""
    return RequestError(
        413, "body-too-large", f"the body is larger than {limit} bytes", "send it in several requests"
    )


async def read_body(req: falcon.asgi.Request, limit: int) -> bytes:
    """The whole body, unpacked by its Content-Encoding.

    Raises:
        RequestError: `body-too-large` (413), `bad-encoding` (400), `unknown-encoding` (415).
    """
    if (req.content_length or 0) > limit:
        await _drain(req)
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in req.stream:
        size += len(chunk)
        if size > limit:
            chunks.clear()
            await _drain(req)
            raise too_large(limit)
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    encoding = (req.get_header("Content-Encoding") or "identity").strip().lower()
    if encoding == "identity":
        return body
    unpack = _UNPACK.get(encoding)
    if unpack is None:
        raise RequestError(
            415, "unknown-encoding", f"no Content-Encoding {encoding!r}", "use gzip, deflate, zstd or none"
        )
    try:
        return unpack(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise RequestError(400, "bad-encoding", f"the body is no {encoding}: {error}") from error


async def _drain(req: falcon.asgi.Request) -> None:
    """Read on for a while: many clients send all of a body before they read the answer, and would miss it."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S_MAX):
            async for chunk in req.stream:
                size += len(chunk)
                if size > DRAIN_BYTES_MAX:
                    return


def _inflate(body: bytes, limit: int, window_bits: int) -> bytes:
    out: list[bytes] = []
    room = limit
    while body:
        unpacker = zlib.decompressobj(window_bits)
        piece = unpacker.decompress(body, room + 1)
        room -= len(piece)
        if room < 0:
            raise too_large(limit)
        if not unpacker.eof:
            raise EOFError("it ends too early")
        out.append(piece)
        body = unpacker.unused_data  # gzip files may stand one behind another
    return b"".join(out)


def _gunzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, zlib.MAX_WBITS | 16)


def _unzlib(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, zlib.MAX_WBITS)


def _unzstd(body: bytes, limit: int) -> bytes:
    out: list[bytes] = []
    room = limit
    while body:
        unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX).decompressobj()
        for start in range(0, len(body), ZSTD_STEP_BYTES):
            piece = unpacker.decompress(body[start : start + ZSTD_STEP_BYTES])
            room -= len(piece)
            if room < 0:
                raise too_large(limit)
            out.append(piece)
            if unpacker.eof:
                body = unpacker.unused_data + body[start + ZSTD_STEP_BYTES :]
                break
        else:
            raise EOFError("it ends too early")
    return b"".join(out)


_UNPACK = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _unzlib, "zstd": _unzstd}
