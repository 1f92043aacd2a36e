"""Files and pipes of logs: opened, decompressed, and told apart by what they begin with."""

import bz2
import gzip
import io
import lzma
import os
import re
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import orjson
import zstandard

from server.cli.documents import Items, Kind, Reading, SourceError

CHUNK_BYTES = 256 * 1024  # of one read: what a line is shorter than, nearly always
HEAD_BYTES_MAX = 4 * CHUNK_BYTES  # looked at to tell what a file holds
IDLE_S = 1.0  # after so long without input from a pipe, what has come is sent
ZSTD_WINDOW_BYTES_MAX = 128 * 1024 * 1024  # memory that a frame may ask for: what `zstd --long` makes

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Source:
    """One file or pipe, to be read once.

    Attributes:
        size_bytes: of the file as it lies there; None for a pipe.
        read_bytes: gives how much of that was read.
    """

    name: str
    size_bytes: int | None
    read_bytes: Callable[[], int]
    file: io.BufferedReader
    stream: io.BufferedReader
    waits: bool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not getattr(sys.stdin, "buffer", None):
            self.stream.close()
            self.file.close()

    def begin(
        self, forced: Kind | None = None, fields: Mapping[str, str] | None = None
    ) -> tuple[Reading, Items]:
        """Look at what the file holds, and begin to read it.

        Raises:
            SourceError: also from the items: the file is damaged, is no document, or is one and too large.
        """
        chunks = _pipe(self.stream) if self.waits else self._chunks()
        head = _head(chunks).removeprefix(_BOM)
        reading = Reading(self.name, forced or detect(head), fields or {})
        if fields and reading.kind is not Kind.TEXT:
            raise SourceError(f"--field is for text lines, and {self.name} holds {reading.kind.upper()}")
        return reading, reading.items(chain([head], chunks))

    def _chunks(self) -> Iterator[bytes]:
        try:
            while chunk := self.stream.read1(CHUNK_BYTES):
                yield chunk
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise SourceError(f"{self.name} cannot be read to its end: {error}") from error


def open_source(name: str) -> Source:
    """A file, or `-` for standard input, ready to be read; compressed ones are known by their first bytes.

    Raises:
        SourceError: it cannot be opened, or holds text in an encoding that is not read.
    """
    shown = "stdin" if name == "-" else name
    try:
        file = _open(name)
        size_bytes = _size_bytes(file)
        magic = file.peek(8)[:8]
    except OSError as error:
        raise SourceError(f"{shown} cannot be opened: {(error.strerror or str(error)).lower()}") from error
    if magic.startswith(_UTF16):
        raise SourceError(f"{shown} is UTF-16; convert it with: iconv -f UTF-16 -t UTF-8")
    opener = next((opener for start, opener in _DECOMPRESSORS.items() if magic.startswith(start)), None)
    return Source(
        name=shown,
        size_bytes=size_bytes,
        read_bytes=file.tell if size_bytes is not None else lambda: 0,
        file=file,
        stream=file if opener is None else opener(file),
        waits=size_bytes is None and opener is None and _can_wait(file),
    )


def _open(name: str) -> io.BufferedReader:
    if name != "-":
        return open(name, "rb")  # noqa: PTH123  # the source closes it
    standard: Any = sys.stdin.buffer
    return standard if isinstance(standard, io.BufferedReader) else io.BufferedReader(standard)


def _size_bytes(file: io.BufferedReader) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None  # a stand-in for standard input
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _can_wait(file: io.BufferedReader) -> bool:
    try:
        select.select([file.fileno()], [], [], 0)
    except (OSError, ValueError):
        return False
    return True


def _unzstd(file: io.BufferedReader) -> io.BufferedReader:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    reader: Any = decompressor.stream_reader(file, read_across_frames=True)
    return io.BufferedReader(reader)


def _unbz2(file: io.BufferedReader) -> io.BufferedReader:
    return io.BufferedReader(bz2.BZ2File(file))


def _unxz(file: io.BufferedReader) -> io.BufferedReader:
    return io.BufferedReader(lzma.LZMAFile(file))  # the source closes it


def _gunzip(file: io.BufferedReader) -> io.BufferedReader:
    return io.BufferedReader(gzip.GzipFile(fileobj=file))


_DECOMPRESSORS: dict[bytes, Callable[[io.BufferedReader], io.BufferedReader]] = {
    b"\x1f\x8b": _gunzip,
    b"\x28\xb5\x2f\xfd": _unzstd,
    b"BZh": _unbz2,
    b"\xfd7zXZ\x00": _unxz,
}


def _pipe(file: io.BufferedReader) -> Iterator[bytes | None]:
    """Chunks of a pipe as they come, and None when none has come for a while."""
    if held := file.peek():
        yield file.read1(len(held))
    descriptor = file.fileno()
    while True:
        if not select.select([descriptor], [], [], IDLE_S)[0]:
            yield None
        elif chunk := os.read(descriptor, CHUNK_BYTES):
            yield chunk
        else:
            return


def _head(chunks: Iterator[bytes | None]) -> bytes:
    """The beginning of a file, at least to the end of its first line that is not empty."""
    head = bytearray()
    while len(head) < HEAD_BYTES_MAX and b"\n" not in head.lstrip():
        chunk = next(chunks, b"")
        if chunk == b"":
            break
        head += chunk or b""
    return bytes(head)


_JSON_ARRAY = re.compile(rb"\[\s*(?:[{\]]|\Z)")  # a log line may begin with [2026-01-02] or [error]
_EDN_MAP = re.compile(rb"(?:\[\s*)?\{\s*:")
_JSON_OBJECT = re.compile(rb'\{\s*(?:["}]|\Z)')


def detect(head: bytes) -> Kind:
    """What a file holds, by its first line that is not empty; by the second where that leaves two answers."""
    text = head.lstrip()
    first, newline, more = text.partition(b"\n")
    if _EDN_MAP.match(text):
        return Kind.EDN
    if _JSON_ARRAY.match(text):
        return Kind.JSON
    if not _JSON_OBJECT.match(text):
        return Kind.TEXT
    if _is_json_object(first) or not newline:
        return Kind.NDJSON
    # An object that goes on in the next line, or a broken line among whole ones.
    broken = first.rstrip().endswith(b"}") or _is_json_object(more.lstrip().partition(b"\n")[0])
    return Kind.NDJSON if broken else Kind.JSON


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
