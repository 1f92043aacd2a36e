"""The names and kinds of the columns of an index segment, read from the end of its `.fast` file.

The engine's Python binding lists no columns, and its file says which there are: behind the data of all columns stands a
dictionary whose keys are a name, U+0000 and a type, and whose values are stretches of that data. Integers are
little-endian, `vint` has seven bits in each byte, the lowest first, and the highest bit where more follow:

    file         column data · dictionary · its length u64 · records u32 · version u32 · magic · footer
    footer       JSON · its length u32 · magic u32
    dictionary   blocks · u32 0 · an index · 8 bytes · where the index begins u64 · count of keys u64 · version u32
    block        its length u32 · whether it is zstd u8 · values · keys
    values       count vint, then where the first stretch begins and the length of each
    key          how much of the key before is kept, how much is added, and that: two half bytes, or 1 and two vints

The formats are documented in https://github.com/quickwit-oss/tantivy/tree/main/columnar and `sstable` beside it. They
are those of the pinned version; of another one nothing is guessed (`ColumnsUnknown`). Of a column of strings the data
begins with a dictionary of the same form, whose length stands at the end of the data: it says how many distinct strings
there are, at no cost.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import zstandard

from storage import index as ix

Kind: TypeAlias = Literal["string", "number", "boolean"]

FOOTER_MAGIC = 1337  # ends every file of the engine
FOOTER = struct.Struct("<II")  # length of the JSON before it, magic
COLUMNAR_MAGIC = b"\x02qwB"
COLUMNAR_VERSION = 2
COLUMNAR = struct.Struct("<QII4s")  # length of the dictionary, records, version, magic
DICTIONARY_VERSION = 3
DICTIONARY = struct.Struct("<QQQI")  # of the index above it, where that begins, count of keys, version
BLOCK = struct.Struct("<IB")  # length of what follows it, the flag included; whether that is packed
LENGTH = struct.Struct("<I")
DICTIONARY_BYTES_MAX = (
    64 << 20
)  # of names: a million columns have less; a file that says more is no file of ours
BLOCK_BYTES_MAX = 16 << 20  # unpacked; the engine ends a block after some kilobytes
LONG_KEY = 1  # in place of two half bytes

assert FOOTER.size == 8
assert COLUMNAR.size == 20
assert DICTIONARY.size == 28
assert BLOCK.size == 5

_KINDS: dict[int, Kind] = {0: "number", 1: "number", 2: "number", 4: "string", 5: "boolean"}
_STRING = 4
_PREFIX = ix.ATTRIBUTES.encode() + b"\x01"


class ColumnsUnknown(ValueError):
    """A file whose columns cannot be told: cut short, or of another version of the engine."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the attributes in one segment.

    Attributes:
        path: The dotted name, as the index has it.
        kind: Of its values.
        strings: How many distinct strings it has; 0 of others.
    """

    path: str
    kind: Kind
    strings: int = 0


def read_columns(path: Path) -> tuple[Column, ...]:
    """The columns of the attributes that a `.fast` file has.

    Raises:
        OSError: it cannot be read.
        ColumnsUnknown: it is not of the form above.
    """
    with path.open("rb") as file:
        try:
            return tuple(_columns(file))
        except (struct.error, IndexError, UnicodeDecodeError, zstandard.ZstdError) as error:
            raise ColumnsUnknown(f"{path.name}: {error}") from error


def _columns(file: BinaryIO) -> Iterator[Column]:
    end = file.seek(0, os.SEEK_END) - FOOTER.size
    json_bytes, magic = FOOTER.unpack(_piece(file, end, FOOTER.size))
    _insist(magic == FOOTER_MAGIC)
    end -= json_bytes + COLUMNAR.size
    dictionary_bytes, _, version, columnar = COLUMNAR.unpack(_piece(file, end, COLUMNAR.size))
    _insist(columnar == COLUMNAR_MAGIC and version == COLUMNAR_VERSION)
    _insist(dictionary_bytes <= DICTIONARY_BYTES_MAX)
    for key, start, until in _entries(_piece(file, end - dictionary_bytes, dictionary_bytes)):
        if not key.startswith(_PREFIX):
            continue
        _insist(len(key) >= len(_PREFIX) + 2 and key[-2] == 0 and key[-1] in _KINDS)
        name = key[len(_PREFIX) : -2].decode().replace("\x01", ".")
        yield Column(name, _KINDS[key[-1]], _strings(file, start, until) if key[-1] == _STRING else 0)


def _strings(file: BinaryIO, start: int, until: int) -> int:
    """How many distinct strings a column has: its data is their dictionary, which of them each record has, a length."""
    (length,) = LENGTH.unpack(_piece(file, until - LENGTH.size, LENGTH.size))
    _insist(DICTIONARY.size <= length <= until - start)
    _, _, count, version = DICTIONARY.unpack(_piece(file, start + length - DICTIONARY.size, DICTIONARY.size))
    _insist(version == DICTIONARY_VERSION)
    return int(count)


def _entries(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The keys of a dictionary of stretches, and the stretch of each."""
    _, index_at, keys, version = DICTIONARY.unpack(data[-DICTIONARY.size :])
    _insist(version == DICTIONARY_VERSION and index_at <= len(data))
    at = found = 0
    key = b""  # kept from block to block: the first one of each adds all of itself
    while at < index_at:
        (length,) = LENGTH.unpack_from(data, at)
        if not length:
            break
        _, packed = BLOCK.unpack_from(data, at)
        block = data[at + BLOCK.size : at + LENGTH.size + length]
        if packed:
            block = zstandard.ZstdDecompressor().decompress(block, max_output_size=BLOCK_BYTES_MAX)
        at += LENGTH.size + length
        edges, place = _edges(block)
        for start, until in pairwise(edges):
            key, place = _next_key(block, place, key)
            found += 1
            yield key, start, until
    _insist(found == keys)


def _edges(block: bytes) -> tuple[list[int], int]:
    """Where the stretches of a block begin, and the end of the last; and where the keys begin."""
    count, at = _vint(block, 0)
    edges: list[int] = []
    edge = 0
    for _ in range(count):
        step, at = _vint(block, at)
        edge += step
        edges.append(edge)
    return edges, at


def _next_key(block: bytes, at: int, before: bytes) -> tuple[bytes, int]:
    first = block[at]
    if first == LONG_KEY:
        keep, at = _vint(block, at + 1)
        add, at = _vint(block, at)
    else:
        keep, add, at = first & 15, first >> 4, at + 1
    _insist(keep <= len(before) and at + add <= len(block))
    return before[:keep] + block[at : at + add], at + add


def _vint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def _piece(file: BinaryIO, at: int, length: int) -> bytes:
    _insist(at >= 0)
    file.seek(at)
    data = file.read(length)
    _insist(len(data) == length)
    return data


def _insist(holds: bool) -> None:
    if not holds:
        raise ColumnsUnknown("not the columns of the engine's version that is known")
