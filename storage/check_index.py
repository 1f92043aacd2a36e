"""One index, read from end to end: whether its files are as they were written, and what it says it has.

The engine closes each file of an index segment with a footer: a JSON object with the CRC-32 of all before it, the
length of that object (32 bits, little-endian) and the number 1337.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

import orjson
import tantivy

from storage.index import NUMBER, create_index, open_index
from storage.segment import CHECKSUM_READ_BYTES
from storage.view import META, read_meta

FOOTER_END = Struct("<II")  # length of the footer's JSON; magic
assert FOOTER_END.size == 8
FOOTER_MAGIC = 1337
FOOTER_BYTES_MAX = 4096  # they have about 90
_SEGMENT_KEYS = {"segment_id", "max_doc", "deletes"}
READ_TRIES = 20  # a commit or a merge may replace what is being read
READ_AGAIN_S = 0.02


@dataclass(slots=True)
class IndexFiles:
    """What is to be known of an index.

    Attributes:
        problems: What is wrong with it, none for a good one.
        documents: How many records it has.
        until: The number after the highest record that it has; 0 when it has none.
    """

    problems: list[str] = field(default_factory=list)
    documents: int = 0
    until: int = 0


def read_index(path: Path) -> IndexFiles:
    """Read all of an index. It may be written to meanwhile: what was committed never changes, it is only replaced.

    Raises:
        FileNotFoundError: it is not there.
    """
    for _ in range(READ_TRIES):
        try:
            stamp = (path / META).read_bytes()
            read = _read(path)
            if (path / META).read_bytes() == stamp:
                return read
        except FileNotFoundError:
            if not (path / META).exists():
                raise
            read = IndexFiles(["a file that meta.json lists is missing"])
        time.sleep(READ_AGAIN_S)
    return read


@lru_cache(maxsize=1)
def _engine_meta() -> dict[str, Any]:
    """What the engine writes down of an empty index of ours."""
    with tempfile.TemporaryDirectory(prefix="klomp-check-") as folder:
        create_index(Path(folder))
        return read_meta(Path(folder))


def check_meta(path: Path) -> list[dict[str, Any]]:
    """The index segments that the engine's `meta.json` of an index lists.

    The engine panics on some that are damaged, so it is not given one that is not like those that it writes.

    Raises:
        ValueError: it is not as it was written.
        FileNotFoundError: there is none.
    """
    ours = _engine_meta()
    meta = read_meta(path)
    same = ("schema", "index_settings")
    if not isinstance(meta, dict) or any(meta.get(name) != ours[name] for name in same):
        raise ValueError("the fields in meta.json are not those of this klomp")
    segments = meta.get("segments")
    if meta.keys() - {"payload"} != ours.keys() - {"payload"} or not isinstance(segments, list):
        raise ValueError("meta.json is not as it was written")
    for segment in segments:
        if segment.keys() != _SEGMENT_KEYS or segment["deletes"] is not None:
            raise ValueError("meta.json is not as it was written")
    return segments


def _read(path: Path) -> IndexFiles:
    read = IndexFiles()
    try:
        meta = check_meta(path)
        segments = [str(segment["segment_id"]).replace("-", "") for segment in meta]
        listed = sum(int(segment["max_doc"]) for segment in meta)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        read.problems.append(f"meta.json cannot be read: {error}")
        return read
    footers: dict[bytes, list[str]] = {}
    names = sorted(os.listdir(path))
    for name in names:
        if name.partition(".")[0] in segments:
            shape = check_footer(path / name, read.problems)
            footers.setdefault(shape, []).append(name)
    read.problems += [f"{stem}.idx is missing" for stem in segments if f"{stem}.idx" not in names]
    if len(footers) > 1 and not read.problems:
        odd = min(footers.values(), key=len)
        read.problems.append(f"the footer of {odd[0]} is not like the others'")
    if not read.problems:
        _ask(path, listed, read)
    return read


def check_footer(path: Path, problems: list[str]) -> bytes:
    """Compare a file with the checksum in its footer; the footer without it, which all files have alike."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END) - FOOTER_END.size
        footer: dict[str, Any] = {}
        wanted = crc = None
        if end >= 0:
            file.seek(end)
            size, magic = FOOTER_END.unpack(file.read())
            if magic == FOOTER_MAGIC and size <= min(end, FOOTER_BYTES_MAX):
                file.seek(end - size)
                try:
                    footer = orjson.loads(file.read(size))
                    wanted = footer.pop("crc")
                except (ValueError, KeyError, AttributeError, TypeError):
                    footer = {}
                file.seek(0)
                crc = _crc_of(file, end - size)
    if wanted is None or wanted != crc:
        problems.append(f"{path.name} does not match its checksum")
    return orjson.dumps(footer)


def _crc_of(file: BinaryIO, size: int) -> int:
    crc = 0
    while size > 0 and (piece := file.read(min(size, CHECKSUM_READ_BYTES))):
        crc = zlib.crc32(piece, crc)
        size -= len(piece)
    return crc


def _ask(path: Path, listed: int, read: IndexFiles) -> None:
    """Open an index whose files are good, and ask it what it has."""
    try:
        searcher = open_index(path).searcher()
        read.documents = searcher.num_docs
        if read.documents:
            hits = searcher.search(
                tantivy.Query.all_query(), limit=1, count=False, order_by_field=NUMBER
            ).hits
            read.until = int(hits[0][0]) + 1
    except (ValueError, OSError) as error:
        read.problems.append(f"it cannot be opened: {error}")
    except Exception:
        raise
    except BaseException as error:  # a panic of the engine is no Exception
        if type(error).__name__ != "PanicException":
            raise
        read.problems.append(f"the engine fails on it: {error}")
    if not read.problems and listed != read.documents:
        read.problems.append(f"meta.json lists {listed} documents, there are {read.documents}")
