"""What klomp is compared with: one file each, that loads a corpus and asks the questions in its own language."""

from __future__ import annotations

from collections.abc import Callable

from bench.adapters.base import Adapter
from bench.adapters.chdb import ChDB
from bench.adapters.duckdb import DuckDB
from bench.adapters.klomp import Klomp
from bench.adapters.loki import Loki
from bench.adapters.victorialogs import VictoriaLogs
from bench.corpus import Corpus
from bench.questions import Survey

EMBEDDED: dict[str, Callable[[Corpus], Adapter]] = {"duckdb": DuckDB, "chdb": ChDB}
SERVERS: dict[str, Callable[[str, Survey], Adapter]] = {
    "klomp": Klomp,
    "victorialogs": VictoriaLogs,
    "loki": Loki,
}


def start(text: str, corpus: Corpus, found: Survey) -> Adapter:
    """What `--against` names, `NAME` or `NAME=URL`, with the corpus in it.

    Raises:
        ValueError: There is no such engine or server, or its URL is missing, or too much.
    """
    name, _, url = text.partition("=")
    if name in EMBEDDED and not url:
        return EMBEDDED[name](corpus)
    if name in SERVERS and url:
        adapter = SERVERS[name](url, found)
        adapter.load(corpus)
        return adapter
    known = ", ".join([*EMBEDDED, *(f"{server}=URL" for server in SERVERS)])
    raise ValueError(f"--against {text!r}: write one of {known}")
