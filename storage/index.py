"""The search index of a segment: its fields, how a record becomes a document, and what strings look like inside.

    timestamp    i64, column            microseconds since 1970
    slot         i64, terms             which five minutes the time lies in (`storage/time_slots.py`)
    offset       u64, column            how far in them, microseconds
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

import tantivy

TIMESTAMP = "timestamp"
SLOT = "slot"
OFFSET = "offset"
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
TERM_BYTES_SPARE = 16  # for what stands around a string in its term: a mark, the letter of its type
COLUMN_DEPTH_MAX = 20  # maps and arrays in one another; what lies deeper gets no column

SLOT_US = 300_000_000  # an hour is looked up in a dozen terms, and each of them is thousands of records

MARK = "\ue000"  # private use: stands before strings that the engine would take for dates
_DATE_LIKE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NOT_INDEXED_IN_PATH = re.compile(r"[\x00\x01\ufffd\ue000\\]")

# Flags that the index keeps among the attributes, under names that no record's field can have there.
NO_MESSAGE = MARK + "no_message"  # the record has no text called `message`
LONG_WORD = MARK + "long_word"  # its message has a word that was too long to be indexed
LONG_TEXT = MARK + "long_text"  # another text of it was too long for a term or its column


FIELDS = (TIMESTAMP, SLOT, OFFSET, NUMBER, STREAM, MESSAGE, ATTRIBUTES)
"""The names of all, in their order: an index that has others was made by another klomp."""


@lru_cache(maxsize=1)
def schema() -> tantivy.Schema:
    """The fields of every index."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(TIMESTAMP, fast=True)
    builder.add_integer_field(SLOT, indexed=True)
    builder.add_unsigned_field(OFFSET, fast=True)
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


def encode_text(text: str) -> str:
    """A string as the attribute terms hold it."""
    return MARK + text if text.startswith(MARK) or _DATE_LIKE.match(text) else text


def decode_text(term: str) -> str:
    """The string that an attribute term stands for."""
    return term[1:] if term.startswith(MARK) else term


def path_is_indexed(path: str) -> bool:
    """Whether the index can be asked about this dotted name.

    It cannot where a level's name is empty at the end or the whole of it, nor where it has characters that the engine
    uses itself: such fields are kept and checked record by record.
    """
    return bool(path) and not path.endswith(".") and not _NOT_INDEXED_IN_PATH.search(path)
