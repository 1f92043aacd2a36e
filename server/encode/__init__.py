"""Result formats: an answer as bytes, chosen by Accept. One file each, one line here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.encode import csv, edn, json, ndjson
from server.encode.base import Encoder
from server.errors import RequestError

ENCODERS: tuple[Encoder, ...] = (json.JSON, edn.EDN, ndjson.NDJSON, csv.CSV)


BY_SUFFIX: Mapping[str, Encoder] = {
    encoder.media_type.rpartition("/")[2].removeprefix("x-"): encoder for encoder in ENCODERS
}
"""The encoders by the ending of a URL: `run.csv`."""


def choose(accept: str | None) -> Encoder:
    """The first encoder that the caller accepts, by its own order of preference.

    Raises:
        RequestError: `not-acceptable` (406).
    """
    return negotiate(accept, ENCODERS)


def choose_data(accept: str | None) -> Encoder:
    """JSON or EDN, for what is no answer to a query.

    Raises:
        RequestError: `not-acceptable` (406).
    """
    return negotiate(accept, ENCODERS[:2])


def negotiate(accept: str | None, encoders: Sequence[Encoder]) -> Encoder:
    """The first of some encoders that the caller accepts (RFC 9110, 12.5.1).

    Raises:
        RequestError: `not-acceptable` (406).
    """
    wanted = sorted(
        (_range(part) for part in (accept or "*/*").split(",") if part.strip()), key=lambda r: -r[1]
    )
    for kind, quality in wanted:
        if not quality:
            continue
        for encoder in encoders:
            family = encoder.media_type.partition("/")[0]
            if kind in ("*/*", f"{family}/*", encoder.media_type, *encoder.aliases):
                return encoder
    known = ", ".join(encoder.media_type for encoder in encoders)
    raise RequestError(406, "not-acceptable", f"no answer can be {accept!r}", f"accept one of {known}")


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return kind, float(parameter[2:])
            except ValueError:
                return kind, 0.0
    return kind, 1.0
