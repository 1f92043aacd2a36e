"""EDN: `{:message "one"}`, `[{:message "one"} …]`, or maps one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsl.errors import QueryError
from dsl.forms import MapForm, VectorForm, to_plain
from dsl.reader import ReadLimits, read_all
from server.errors import RequestError
from server.protocols.ndjson import not_a_map
from storage.errors import BadRecord
from storage.record import DEPTH_MAX

EDN_CHARACTERS_MAX = (
    4 << 20
)  # EDN is read at about a megabyte a second: more would hold the processor too long


def decode(body: bytes) -> Iterator[dict[str, Any] | BadRecord]:
    """A record or its mistake for every map.

    Raises:
        RequestError: `bad-utf-8` (400).
        QueryError: the text is no EDN.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        raise RequestError(
            400,
            "bad-utf-8",
            f"byte {wrong.start + 1} of the body is not UTF-8",
            "send UTF-8; recode the source first",
        ) from wrong
    forms = read_all(text, limits=ReadLimits(text_characters_max=EDN_CHARACTERS_MAX, depth_max=DEPTH_MAX + 2))
    if len(forms) == 1 and isinstance(forms[0].value, VectorForm):
        forms = forms[0].value.items
    return _records(forms, text)


def _records(forms: Any, text: str) -> Iterator[dict[str, Any] | BadRecord]:
    for form in forms:
        if not isinstance(form.value, MapForm):
            yield not_a_map(to_plain(form))
            continue
        try:
            yield to_plain(form)
        except QueryError as error:
            first = error.to_json(text)[0]
            yield BadRecord(
                first["code"], f"line {first['line']}, column {first['column']}: {first['message']}"
            )
