"""From stored records to documents of the index, `{"timestamp": 17…, "slot": 5…, "offset": 1…, "number": 8, …}`.

The engine takes a document as JSON text, and a stored record is JSON already: of nearly all records the document is
made by cutting the message out of the line, without reading the rest. One pass over all lines of a frame finds those
that need more: strings that the engine would misread, floats that it would round, words and texts that it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import re2
import tantivy

from storage.format import FrameRecords
from storage.index import (
    ATTRIBUTES,
    COLUMN_DEPTH_MAX,
    LONG_TEXT,
    LONG_WORD,
    MESSAGE,
    NO_MESSAGE,
    NUMBER,
    OFFSET,
    SLOT,
    SLOT_US,
    STREAM,
    TERM_BYTES_MAX,
    TERM_BYTES_SPARE,
    TIMESTAMP,
    WORD_BYTES_MAX,
    encode_text,
    schema,
)

_BYTES = re2.Options()
_BYTES.encoding = (
    re2.Options.Encoding.LATIN1
)  # a pattern says bytes, not the characters that UTF-8 makes of them
# What looks like a date, the mark itself, characters that paths use; and -0.0, which a column holds to be less than 0.
_NEEDS_CARE = re2.compile(rb'"\d{4}-\d\d-\d\d|\xee\x80\x80|\\u000[01]|[:,\[]-0\.0[\],}]', _BYTES)
# Floats that the engine's JSON reader gets wrong by a bit: of 16 digits and more, or with an exponent.
_INEXACT_IN_JSON = re.compile(rb"[:,[]-?(?:(?=[\d.]{17})\d+\.|\d(?:\.\d+)?[eE])")
# A line without any of this needs no look at its values. It finds too much (any run of 64 letters, any of 17 digits),
# never too little, and takes the time of a single pass: RE2 runs all alternatives at once.
_SUSPICIOUS = re2.compile(
    _NEEDS_CARE.pattern + rb"|[:,\[]-?[\d.]{17}|[:,\[]-?\d(?:\.\d+)?[eE]|[0-9A-Za-z\x80-\xff]{64}",
    _BYTES,
)
_REPLACEMENT = "\ufffd"
_UNSAFE_IN_NAME = re.compile(r"[\x00\x01\ue000]")
_LONG_RUN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]{64,}")  # 64 letters of four bytes pass WORD_BYTES_MAX

_MESSAGE_KEY = f'"{MESSAGE}":"'
_MESSAGE_KEY_LENGTH = len(_MESSAGE_KEY)


def add_records(writer: tantivy.IndexWriter, frame: FrameRecords, stream: str) -> None:
    """Add the documents of a frame's records.

    Args:
        writer: Of the index.
        frame: The records; empty lines are deleted ones.
        stream: Their stream.
    """
    add_json = writer.add_json
    for document in documents(frame, stream):
        if isinstance(document, str):
            add_json(document)
        else:
            writer.add_document(tantivy.Document.from_dict(document, schema()))


def documents(frame: FrameRecords, stream: str) -> Iterator[str | dict[str, Any]]:
    """A document per record that is not deleted: as JSON text, or as values where the engine misreads the text."""
    raw = frame.text
    suspects = _suspects(raw)
    live = raw.count(b"\n{") + raw.startswith(b"{")  # a deleted record's line has nothing
    flat = raw.count(b"{") <= live
    rest = f',"{STREAM}":"{stream}","{MESSAGE}":"'
    number = frame.first - 1
    # Behind the last line feed stands nothing more.
    for line, time_us in zip(raw.decode().split("\n"), frame.times_us, strict=False):
        number += 1
        if not line:
            continue
        at = line.find(_MESSAGE_KEY)
        # Where there are other maps, a name found behind the first one may be a name in one of those.
        if (
            at < 1
            or (at > 1 and not flat and line.count("{") > 1)
            or (suspects and number - frame.first in suspects)
            or len(line) > (TERM_BYTES_MAX - TERM_BYTES_SPARE) // 4  # in bytes it may be four times that
            or line.count("[") + (0 if flat else line.count("{")) >= COLUMN_DEPTH_MAX
        ):
            yield _read(frame.line(number - frame.first), time_us, stream, number)
            continue
        # Inside a string of JSON no quote stands without a backslash before it: this one ends the message.
        start = at + _MESSAGE_KEY_LENGTH
        end = line.find('","', start)
        if end < 0:
            end = len(line) - 2
            attributes = line[: at - 1] + "}" if at > 1 else "{}"
        else:
            attributes = line[:at] + line[end + 2 :]
        if line[end - 1] == "\\":
            yield _read(frame.line(number - frame.first), time_us, stream, number)
            continue
        slot, offset = divmod(time_us, SLOT_US)
        yield (
            f'{{"{TIMESTAMP}":{time_us},"{SLOT}":{slot},"{OFFSET}":{offset},"{NUMBER}":{number}{rest}{line[start:end]}","{ATTRIBUTES}":{attributes}}}'
        )


def _suspects(raw: bytes) -> set[int]:
    """The places of the lines that need a look at their values."""
    found: set[int] = set()
    line = at = 0
    for match in _SUSPICIOUS.finditer(raw):
        line += raw.count(b"\n", at, match.start())
        at = match.start()
        found.add(line)
    return found


def _read(line: bytes, time_us: int, stream: str, number: int) -> str | dict[str, Any]:
    """The document of a record that has to be read."""
    fields = document(line, time_us, stream, number)
    return fields if _INEXACT_IN_JSON.search(line) else orjson.dumps(fields).decode()


def document(line: bytes, time_us: int, stream: str, number: int) -> dict[str, Any]:
    """The document of any record, from its stored JSON."""
    record = orjson.loads(line)
    if _NEEDS_CARE.search(line):
        record = _careful(record)
    slot, offset = divmod(time_us, SLOT_US)
    fields: dict[str, Any] = {
        TIMESTAMP: time_us,
        SLOT: slot,
        OFFSET: offset,
        NUMBER: number,
        STREAM: stream,
    }
    message = record.get(MESSAGE)
    if type(message) is str:
        fields[MESSAGE] = record.pop(MESSAGE)
        if len(message) >= 64 and any(map(_may_be_too_long, _LONG_RUN.findall(message))):
            record[LONG_WORD] = True
    else:
        record[NO_MESSAGE] = True
    if len(line) > TERM_BYTES_MAX - TERM_BYTES_SPARE and _has_long_text(
        record, TERM_BYTES_MAX - TERM_BYTES_SPARE
    ):
        record[LONG_TEXT] = True
    if line.count(b"{") + line.count(b"[") > COLUMN_DEPTH_MAX and _is_deeper(record, COLUMN_DEPTH_MAX - 1):
        record = _flattened(record)
    fields[ATTRIBUTES] = record
    return fields


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a map or array has others in it through more than so many levels."""
    return any(
        not levels or _is_deeper(item, levels - 1)
        for item in (value.values() if type(value) is dict else value)
        if type(item) is dict or type(item) is list
    )


def _flattened(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its scalars under their whole names: the same to the index, for which dots are levels."""
    flat: dict[str, list[Any]] = {}

    def gather(path: str, value: Any) -> None:
        if type(value) is dict:
            for name, item in value.items():
                gather(f"{path}.{name}", item)
        elif type(value) is list:
            for item in value:
                gather(path, item)
        elif value is not None:
            flat.setdefault(path, []).append(value)

    for name, item in record.items():
        gather(name, item)
    return flat


def _may_be_too_long(run: str) -> bool:
    """Whether a run of letters may make a word that is left out; in lower case it may have more bytes."""
    return len(run) > WORD_BYTES_MAX or len(run.lower().encode()) > WORD_BYTES_MAX


def _careful(record: dict[str, Any]) -> dict[str, Any]:
    """The record with marked strings and safe names, its message untouched."""
    careful = _marked_map(record)
    if type(record.get(MESSAGE)) is str:
        careful[MESSAGE] = record[MESSAGE]
    return careful


def _marked_map(value: dict[str, Any]) -> dict[str, Any]:
    safe: dict[str, Any] = {}
    for name, item in value.items():
        safe_name = _UNSAFE_IN_NAME.sub(_REPLACEMENT, name)
        while safe_name in safe or (safe_name != name and safe_name in value):
            safe_name += _REPLACEMENT  # no name may hide another: what is above must be found to exist
        safe[safe_name] = _marked(item)
    return safe


def _marked(value: Any) -> Any:
    if type(value) is str:
        return encode_text(value)
    if type(value) is list:
        return [_marked(item) for item in value]
    if type(value) is dict:
        return _marked_map(value)
    return 0 if type(value) is float and not value else value


def _has_long_text(value: Any, bytes_max: int) -> bool:
    """Whether some string of an attribute, with its path before it, is more than a term or a column keeps."""
    if type(value) is str:
        return len(value) > bytes_max // 4 and len(value.encode()) > bytes_max
    if type(value) is list:
        return any(_has_long_text(item, bytes_max) for item in value)
    return type(value) is dict and any(
        _has_long_text(item, bytes_max - len(name.encode()) - 1) for name, item in value.items()
    )
