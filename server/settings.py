"""What can be set, each with its unit, its bounds and the reason for its default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dsl.limits import DEFAULT, Limits


class Settings(BaseModel):
    """The settings of a server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("data"), description="the folder that holds everything")
    host: str = Field(
        "127.0.0.1", description="the address to listen on; a log store is not for everyone by default"
    )
    port: int = Field(8080, ge=0, le=65535, description="the port to listen on")
    body_bytes_max: int = Field(
        64 << 20,
        ge=1 << 10,
        description="the largest request body, unpacked: what one request may hold in memory",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="lanes for taking records in: so many threads index, and from two on so many processes decode",
    )
    query_timeout_s: float = Field(
        10.0,
        gt=0,
        description="how long a query may take before it is given up: nobody waits longer for a page",
    )
    query_timeout_max_s: int = Field(
        60,
        ge=1,
        description="seconds that a query may ask for by :timeout: it holds one of few threads so long",
    )
    query_text_characters_max: int = Field(
        DEFAULT.text_characters_max,
        ge=1 << 10,
        le=64 << 10,
        description="characters that a query may have: no question that a person asks is longer",
    )
    query_depth_max: int = Field(
        DEFAULT.depth_max,
        ge=8,
        le=64,
        description="levels that a query may nest: everything that walks one may recurse",
    )
    query_nodes_max: int = Field(
        DEFAULT.nodes_max,
        ge=16,
        le=1 << 14,
        description="conditions that a query may have: each is a search of its own in every segment",
    )
    query_values_max: int = Field(
        DEFAULT.values_max,
        ge=16,
        le=1 << 16,
        description="values that one :in may have: each is a term to look up in every segment",
    )
    query_regex_program_max: int = Field(
        DEFAULT.regex_program_max,
        ge=100,
        le=100_000,
        description="instructions that a regular expression may have: each may be tried at every byte of a text",
    )
    query_rows_max: int = Field(
        DEFAULT.rows_max,
        ge=100,
        le=100_000,
        description="rows that a page may have: a page is held in memory",
    )
    query_groups_max: int = Field(
        DEFAULT.groups_max,
        ge=100,
        le=DEFAULT.groups_max,
        description="groups that an answer may have: the index counts no more at once",
    )
    query_held_bytes_max: int = Field(
        DEFAULT.held_bytes_max,
        ge=1 << 20,
        description="bytes that one query may hold: several run at once, and share the memory with the senders",
    )
    query_apart_bytes_max: int = Field(
        1 << 30,
        ge=64 << 20,
        description="bytes that a long query may take in a process of its own; one that wants more is refused",
    )
    query_threads: int = Field(
        4, ge=1, le=64, description="queries that run at once; the index works outside the interpreter's lock"
    )
    query_queue_max: int = Field(
        100,
        ge=0,
        description="queries that wait for their turn; more are refused, so that nobody waits in vain",
    )
    streams_max: int = Field(
        1000,
        ge=1,
        description="streams that may exist: each costs files and a place in every round of the indexer",
    )
    refresh_s: float = Field(
        30.0, gt=0, description="how long ?refresh=wait waits for the index before it answers without"
    )
    free_space_min_percent: float = Field(
        5.0,
        ge=0,
        le=50,
        description="percent of the disk that stay free: below, records are refused and nothing else; 0 for none",
    )
    public_url: str = Field(
        "auto",
        description="what the server is called from outside: links in notifications begin so; auto is its own address",
    )

    @property
    def limits(self) -> Limits:
        """What one query may cost."""
        return replace(
            DEFAULT,
            text_characters_max=self.query_text_characters_max,
            depth_max=self.query_depth_max,
            nodes_max=self.query_nodes_max,
            values_max=self.query_values_max,
            regex_program_max=self.query_regex_program_max,
            rows_max=self.query_rows_max,
            groups_max=self.query_groups_max,
            held_bytes_max=self.query_held_bytes_max,
            timeout_s_max=self.query_timeout_max_s,
        )

    @property
    def link_url(self) -> str:
        """What links begin with."""
        return f"http://{self.host}:{self.port}" if self.public_url == "auto" else self.public_url.rstrip("/")
