"""The answer to a query, before it is written in some format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from dsl.table import Table
from server.json_table import json_rows


@dataclass(slots=True)
class Answer:
    """Rows and what is to be said of them.

    Attributes:
        records: The rows of a query for records, a JSON object each.
        times: The columns of groups that are times; of records it is the timestamp.
        groups: The rows of a query for groups, as columns; None for records.
        now: The instant for which `now` in the query stood, RFC 3339.
        took_ms: Time spent answering.
        cursor: Where the next page begins; None on the last.
        complete: Whether nothing is missing.
        total: How many records match in all, where asked for.
        warnings: `{"code", "message", "hint"}` each.
        approximate: Names of columns that are not exact, and how far they may be off.
        columns: The columns in their order, where the query names them.
        about: What else is to be said of the rows, by its name.
    """

    records: list[bytes]
    now: str
    took_ms: float = 0.0
    cursor: str | None = None
    complete: bool = True
    total: int | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    approximate: dict[str, str] = field(default_factory=dict)
    columns: list[str] | None = None
    times: list[str] | None = None
    groups: Table | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[bytes]:
        """The rows, a JSON object each."""
        return self.records if self.groups is None else json_rows(self.groups)

    def plain_rows(self) -> list[dict[str, Any]]:
        """The rows as plain data."""
        return [orjson.loads(row) for row in self.records] if self.groups is None else self.groups.rows()

    def head(self) -> dict[str, Any]:
        """Everything but the rows."""
        head: dict[str, Any] = {"cursor": self.cursor, "complete": self.complete, "now": self.now}
        if self.total is not None:
            head["total"] = self.total
        if self.warnings:
            head["warnings"] = self.warnings
        if self.approximate:
            head["approximate"] = self.approximate
        if self.columns is not None:
            head["columns"] = self.columns
        if self.times:
            head["times"] = self.times
        head |= self.about
        head["took_ms"] = round(self.took_ms, 3)
        return head
