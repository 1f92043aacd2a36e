"""The bounds of one query: each with its unit, default and reason, each refused by name when passed."""

from dataclasses import dataclass, field

GROUPS_MAX = 65_000  # the index counts no more buckets at once


def _bound(default: int, unit: str, reason: str) -> int:
    made: int = field(default=default, metadata={"unit": unit, "reason": reason})
    return made


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may cost."""

    text_characters_max: int = _bound(
        64 * 1024, "characters of a query", "no question that a person asks is longer"
    )
    depth_max: int = _bound(64, "levels of nesting", "everything that walks a query may recurse")
    nodes_max: int = _bound(1024, "predicates", "each is a search of its own in every segment")
    values_max: int = _bound(1024, "values in one :in", "each is a term to look up in every segment")
    regex_program_max: int = _bound(
        4000, "instructions of a regular expression", "each may be tried at every byte of a text"
    )
    field_characters_max: int = _bound(
        1024,
        "characters of a field's name",
        "longer than any name seen in logs; a path is matched per record",
    )
    rows_max: int = _bound(10_000, "rows of a page", "a page is held in memory; :after gives the next")
    order_steps_max: int = _bound(
        8, "steps of :order-by", "a cursor holds a value for each, and a query a cursor"
    )
    group_keys_max: int = _bound(8, "group keys", "the index nests one search in another for each")
    aggregates_max: int = _bound(64, "aggregates", "each is kept for every group at once")
    groups_max: int = _bound(GROUPS_MAX, "groups", "the index counts no more buckets at once")
    ranges_max: int = _bound(100, "bounds of :ranges", "each range is a search of its own")
    top_max: int = _bound(1000, "values of one :top", "each is a search of its own, or a part of a row")
    values_shown_max: int = _bound(1000, "values of one :values", "they are all in one row")
    timeout_s_max: int = _bound(60, "seconds of :timeout", "a query holds one of few threads while it runs")
    held_bytes_max: int = _bound(
        256 << 20, "bytes held by one query", "several run at once, and share the memory with the senders"
    )


DEFAULT = Limits()
