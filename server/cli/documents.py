"""Records in what a file holds: text lines, JSON lines, a JSON document, EDN; each comes out as a JSON line.

JSON lines pass unchanged, byte for byte: it is the server that judges them. A text line becomes
`{"message": line}`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple, NoReturn

import orjson

from dsl.errors import QueryError
from dsl.forms import ListForm, MapForm, SetForm, VectorForm, to_plain
from dsl.reader import ReadLimits, read, read_all
from server.cli.lines import LINE_BYTES_MAX, Line, split_lines

JSON_BYTES_MAX = (
    256 * 1024 * 1024
)  # a document is parsed whole, and as Python objects takes ten times as much
EDN_BYTES_MAX = 16 * 1024 * 1024  # the reader keeps each form with its place, and takes seconds for each MiB


class Kind(StrEnum):
    """What a file holds."""

    NDJSON = "ndjson"
    TEXT = "text"
    JSON = "json"
    EDN = "edn"


class SourceError(Exception):
    """A file that cannot be read, or not further: its name, the place, why, and a way out."""


class Record(NamedTuple):
    """A record as JSON on one line; its place is the number of its line, or in a JSON document its number."""

    place: int
    body: bytes


class Skipped(NamedTuple):
    """What is not sent, and why."""

    place: int
    code: str
    message: str


Items = Iterator[Record | Skipped | None]  # None: nothing came for a while
Chunks = Iterable[bytes | None]


@dataclass(slots=True)
class Reading:
    """One file while it is read.

    Attributes:
        name: for messages.
        kind: what the file holds.
        fields: constant ones, added to each text line.
        not_utf8: so many text lines were read as Latin-1 because they are not UTF-8.
        not_utf8_first: the number of the first of them.
    """

    name: str
    kind: Kind
    fields: Mapping[str, str]
    not_utf8: int = 0
    not_utf8_first: int = 0

    def items(self, chunks: Chunks) -> Items:
        """The records of the file's bytes.

        Raises:
            SourceError: it is no document of its kind, or too large a one.
        """
        return _READERS[self.kind](self, chunks)

    def place(self, number: int) -> str:
        """A record's place for people."""
        return f"{self.name}#{number}" if self.kind is Kind.JSON else f"{self.name}:{number}"


def _too_long(line: Line) -> Skipped:
    message = f"a line of {line.length_bytes} bytes, more than the {LINE_BYTES_MAX} that a record may have"
    return Skipped(line.number, "too-large", message)


def _is_blank(line: Line) -> bool:
    return line.data is not None and not line.data.strip()


def _ndjson(_: Reading, chunks: Chunks) -> Items:
    for line in split_lines(chunks):
        if line is None:
            yield None
        elif line.data is None:
            yield _too_long(line)
        elif not _is_blank(line):
            yield Record(line.number, line.data.rstrip(b"\r"))


def _text(reading: Reading, chunks: Chunks) -> Items:
    for line in split_lines(chunks):
        if line is None:
            yield None
        elif line.data is None:
            yield _too_long(line)
        elif not _is_blank(line):
            message = _decoded(reading, line.number, line.data.rstrip(b"\r"))
            yield Record(line.number, orjson.dumps({**reading.fields, "message": message}))


def _decoded(reading: Reading, number: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        reading.not_utf8 += 1
        reading.not_utf8_first = reading.not_utf8_first or number
        return data.decode("latin-1")  # every byte is a character, so nothing is lost


def _json(reading: Reading, chunks: Chunks) -> Items:
    """One array of records, or objects one after another."""
    number = 0
    for document in _json_documents(reading, _whole(reading, chunks, JSON_BYTES_MAX)):
        for record in document if isinstance(document, list) else [document]:
            number += 1
            yield _encoded(number, record)


def _json_documents(reading: Reading, text: str) -> Iterator[Any]:
    start = _blank_end(text, 0)
    while start < len(text):
        try:
            document, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise _no_document(reading, f":{error.lineno}", error.msg) from error
        except RecursionError as error:
            raise _no_document(reading, "", "nested too deep") from error
        yield document
        start = _blank_end(text, end)


def _no_document(reading: Reading, place: str, reason: str) -> SourceError:
    message = f"{reading.name}{place} is no JSON document: {reason.lower()}"
    return SourceError(f"{message}; --as ndjson or --as text reads it line by line")


def _blank_end(text: str, start: int) -> int:
    match = _BLANK.match(text, start)
    assert match is not None, "it matches everywhere"
    return match.end()


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no JSON value", "", 0)


_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _edn(reading: Reading, chunks: Chunks) -> Items:
    """A map on each line where the first line is one; else a vector of maps, or maps one after another."""
    lines = split_lines(chunks)
    first = next((line for line in lines if line is not None and not _is_blank(line)), None)
    if first is None:
        return
    if first.data is None or _is_edn_map(first.data):
        yield from _edn_lines(chain([first], lines))
        return
    # Lines before the first are blank; the empty ones keep the places right.
    begin = Line(0, b"\n" * (first.number - 1) + first.data, 0)
    yield from _edn_document(reading, _joined(chain([begin], lines)))


def _joined(lines: Iterable[Line | None]) -> Iterator[bytes]:
    for line in lines:
        if line is not None:
            # A line that was dropped for its length stands as blanks: the document is too large anyway.
            yield (b" " * line.length_bytes if line.data is None else line.data) + b"\n"


def _is_edn_map(line: bytes) -> bool:
    try:
        return isinstance(read(line.decode(), limits=_LINE_LIMITS).value, MapForm)
    except (QueryError, UnicodeDecodeError):
        return False


_LINE_LIMITS = ReadLimits(text_characters_max=LINE_BYTES_MAX)


def _edn_lines(lines: Iterable[Line | None]) -> Items:
    for line in lines:
        if line is None:
            yield None
        elif line.data is None:
            yield _too_long(line)
        elif not _is_blank(line):
            yield _edn_line(line.number, line.data)


def _edn_line(number: int, data: bytes) -> Record | Skipped:
    try:
        return _encoded(number, to_plain(read(data.decode(), limits=_LINE_LIMITS)))
    except UnicodeDecodeError:
        return Skipped(number, "bad-utf-8", "the line is not UTF-8")
    except QueryError as error:
        return Skipped(number, error.mistakes[0].code, error.mistakes[0].message)


def _edn_document(reading: Reading, chunks: Chunks) -> Items:
    text = _whole(reading, chunks, EDN_BYTES_MAX)
    try:
        forms = read_all(text, limits=ReadLimits(text_characters_max=EDN_BYTES_MAX))
    except QueryError as error:
        raise SourceError(f"{reading.name} is no EDN document:\n{error.render()}") from error
    if len(forms) == 1 and isinstance(forms[0].value, VectorForm | ListForm | SetForm):
        forms = forms[0].value.items
    line, counted_to = 1, 0
    for form in forms:
        line += text.count("\n", counted_to, form.start)
        counted_to = form.start
        try:
            yield _encoded(line, to_plain(form))
        except QueryError as error:
            yield Skipped(line, error.mistakes[0].code, error.mistakes[0].message)


def _whole(reading: Reading, chunks: Chunks, bytes_max: int) -> str:
    data = bytearray()
    for chunk in chunks:
        data += chunk or b""
        if len(data) > bytes_max:
            message = (
                f"{reading.name} is one {reading.kind.upper()} document of over {bytes_max // 1024**2} MiB"
            )
            raise SourceError(f"{message}; write it as one record a line, which may be of any length")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"{reading.name} is not UTF-8 at byte {error.start}"
        raise SourceError(f"{message}; convert it with: iconv -t UTF-8") from error


def _encoded(number: int, value: Any) -> Record | Skipped:
    try:
        return Record(number, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:  # a lone surrogate, a number that JSON cannot write
        return Skipped(number, "bad-value", f"no JSON for it: {error}")


_READERS: dict[Kind, Callable[[Reading, Chunks], Items]] = {
    Kind.NDJSON: _ndjson,
    Kind.TEXT: _text,
    Kind.JSON: _json,
    Kind.EDN: _edn,
}
