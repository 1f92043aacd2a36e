"""The search index of a segment: its fields, how a record becomes a document, and what strings look like inside.

    timestamp    i64, column            microseconds since 1970
    number       u64, column            the record's number
    stream       text, column           the stream's name, one term
    message      text, positions        the record's `message` as words
    attributes   JSON, columns          everything else, each string one term, dots in names as levels

Nothing is stored: a hit gives the record's number, and the record is read from the data file.

Two things the engine does that a log store must not: it takes a string that looks like a time for a date (and finds it
no more as a string), and it uses the characters U+0000 and U+0001 inside paths. So such strings get a mark in front in
the index only, and such names a replacement; `encode_text` and `path_is_indexed` are how queries know.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import tantivy

TIMESTAMP = "timestamp"
NUMBER = "number"
STREAM = "stream"
MESSAGE = "message"
ATTRIBUTES = "attributes"

WORDS_ANALYZER = "klomp_words"
WORD_BYTES_MAX = 255  # a longer run of letters is no word; 64 hex digits of a digest are
TERM_BYTES_MAX = (
    65_530  # the engine leaves longer strings out of the terms (their column has their beginning)
)
COLUMN_BYTES_MAX = 65_535  # the engine cuts a longer string in its column
COLUMN_DEPTH_MAX = 20  # maps and arrays in one another; what lies deeper gets no column

_MARK = "\ue000"  # private use: stands before strings that the engine would take for dates
_DATE_LIKE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NEEDS_CARE = re.compile(  # in a record's JSON; a column holds -0.0 to be less than 0
    rb'"\d{4}-\d\d-\d\d|\xee\x80\x80|\\u000[01]|[:,[]-0\.0[],}]'
)
# Floats that the engine's JSON reader gets wrong by a bit: of 16 digits and more, or with an exponent.
_INEXACT_IN_JSON = re.compile(rb"[:,[]-?(?:(?=[\d.]{17})\d+\.|\d(?:\.\d+)?[eE])")
_REPLACEMENT = "\ufffd"
_UNSAFE_IN_NAME = re.compile(r"[\x00\x01\ue000]")
_NOT_INDEXED_IN_PATH = re.compile(r"[\x00\x01\ufffd\ue000\\]")
_LONG_RUN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]{64,}")  # 64 letters of four bytes pass WORD_BYTES_MAX

# Flags that the index keeps among the attributes, under names that no record's field can have there.
NO_MESSAGE = _MARK + "no_message"  # the record has no text called `message`
LONG_WORD = _MARK + "long_word"  # its message has a word that was too long to be indexed
LONG_TEXT = _MARK + "long_text"  # another text of it was too long for its column


@lru_cache(maxsize=1)
def schema() -> tantivy.Schema:
    """The fields of every index."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(TIMESTAMP, fast=True)
    builder.add_unsigned_field(NUMBER, fast=True)
    builder.add_text_field(STREAM, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_text_field(MESSAGE, tokenizer_name=WORDS_ANALYZER, index_option="position")
    builder.add_json_field(
        ATTRIBUTES, tokenizer_name="raw", index_option="basic", fast=True, expand_dots_enabled=True
    )
    return builder.build()


def words_analyzer() -> tantivy.TextAnalyzer:
    """How a message becomes words: split at everything that is no letter or digit, lower-cased."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.remove_long(WORD_BYTES_MAX + 1))
        .build()
    )


_ANALYZER = words_analyzer()


def analyse(text: str) -> list[str]:
    """The words of a text, as the index makes them."""
    return _ANALYZER.analyze(text)


def open_index(path: Path) -> tantivy.Index:
    """Open an index that exists.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    index = tantivy.Index.open(str(path))
    index.register_tokenizer(WORDS_ANALYZER, words_analyzer())
    return index


def create_index(path: Path) -> tantivy.Index:
    """Make an empty index."""
    path.mkdir(parents=True, exist_ok=True)
    index = tantivy.Index(schema(), path=str(path), reuse=False)
    index.register_tokenizer(WORDS_ANALYZER, words_analyzer())
    return index


def add_record(writer: tantivy.IndexWriter, line: bytes, time_us: int, stream: str, number: int) -> None:
    """Add the index document of a record.

    Args:
        writer: Of the index.
        line: The record's stored JSON.
        time_us: Its time.
        stream: Its stream.
        number: Its number.
    """
    fields = _document(line, time_us, stream, number)
    if _INEXACT_IN_JSON.search(line):
        writer.add_document(tantivy.Document.from_dict(fields, schema()))
    else:
        writer.add_json(orjson.dumps(fields).decode())


def _document(line: bytes, time_us: int, stream: str, number: int) -> dict[str, Any]:
    record = orjson.loads(line)
    if _NEEDS_CARE.search(line):
        record = _careful(record)
    fields: dict[str, Any] = {TIMESTAMP: time_us, NUMBER: number, STREAM: stream}
    message = record.get(MESSAGE)
    if type(message) is str:
        fields[MESSAGE] = record.pop(MESSAGE)
        if len(message) >= 64 and any(map(_may_be_too_long, _LONG_RUN.findall(message))):
            record[LONG_WORD] = True
    else:
        record[NO_MESSAGE] = True
    if len(line) > COLUMN_BYTES_MAX and _has_long_text(record):
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


def _has_long_text(value: Any) -> bool:
    """Whether some string of an attribute is more than a column keeps."""
    if type(value) is str:
        return len(value) > COLUMN_BYTES_MAX // 4 and len(value.encode()) >= COLUMN_BYTES_MAX - len(
            _MARK.encode()
        )
    if type(value) is list:
        return any(map(_has_long_text, value))
    return type(value) is dict and any(map(_has_long_text, value.values()))


def encode_text(text: str) -> str:
    """A string as the attribute terms hold it."""
    return _MARK + text if text.startswith(_MARK) or _DATE_LIKE.match(text) else text


def decode_text(term: str) -> str:
    """The string that an attribute term stands for."""
    return term[1:] if term.startswith(_MARK) else term


def path_is_indexed(path: str) -> bool:
    """Whether the index can be asked about this dotted name.

    It cannot where a level's name is empty at the end or the whole of it, nor where it has characters that the engine
    uses itself: such fields are kept and checked record by record.
    """
    return bool(path) and not path.endswith(".") and not _NOT_INDEXED_IN_PATH.search(path)
