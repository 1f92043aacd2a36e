"""One index over the index segments of many: hard links and a `meta.json` that lists them all.

The files of a committed index segment never change, so a link is as good as a copy; a searcher that has opened a file
keeps it after the link is gone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from storage.index import FIELDS
from storage.paths import write_atomically

META = "meta.json"
INDEX_SEGMENT_DIGITS = 32  # hexadecimal, in the names of an index segment's files


def read_meta(index: Path) -> dict[str, Any]:
    """The engine's own list of an index's segments."""
    meta: dict[str, Any] = orjson.loads((index / META).read_bytes())
    return meta


def segment_ids(meta: dict[str, Any]) -> tuple[str, ...]:
    """The index segments of a `meta.json`, in its order."""
    return tuple(segment["segment_id"] for segment in meta["segments"])


def fields_are_ours(meta: dict[str, Any]) -> bool:
    """Whether an index has the fields that this klomp gives one; one of an older klomp is made anew.

    Raises:
        KeyError, TypeError: the `meta.json` is not as the engine writes it.
    """
    return tuple(field["name"] for field in meta["schema"]) == FIELDS


def index_segment_of(name: str) -> str | None:
    """The index segment that a file of an index belongs to, 32 hexadecimal digits; None for what belongs to none."""
    stem, dot, _ = name.partition(".")
    return stem if dot and len(stem) == INDEX_SEGMENT_DIGITS else None


def publish(
    view: Path, sources: Iterable[tuple[Path, dict[str, Any]]], empty: dict[str, Any], *, relink: bool = False
) -> None:
    """Make `view` an index over all segments of the sources.

    Args:
        view: The folder of the view; made when missing.
        sources: Folder and `meta.json` of each index. All must have one schema.
        empty: A `meta.json` of the same schema, for settings.
        relink: Whether to look for every link, not only for the last of each index segment, and to keep no others: a
            loss of power may have taken some, because they are not synced.

    Raises:
        FileNotFoundError: a source's segment was merged away meanwhile; read its `meta.json` again.
    """
    view.mkdir(parents=True, exist_ok=True)
    present = set(os.listdir(view))
    segments: list[Any] = []
    wanted: set[str] = set()
    for folder, meta in sources:
        names: list[str] | None = None
        for segment in meta["segments"]:
            prefix = segment["segment_id"].replace("-", "")
            wanted.add(prefix)
            segments.append(segment)
            if not relink and f"{prefix}.idx" in present:
                continue
            if names is None:
                names = os.listdir(folder)
            linked = [name for name in names if name.startswith(prefix)]
            # The file that says that all are there comes last.
            for name in sorted(linked, key=lambda name: name.endswith(".idx")):
                with contextlib.suppress(FileExistsError):
                    os.link(folder / name, view / name)
            if f"{prefix}.idx" not in linked:
                raise FileNotFoundError(folder / f"{prefix}.idx")
    meta = {**empty, "segments": segments, "opstamp": 0}
    meta.pop("payload", None)
    write_atomically(view / META, orjson.dumps(meta), durable=False)
    previous = set() if relink else _previous_segments(view)
    for name in present:
        stem = index_segment_of(name)
        # Files of the list before stay for one round: a reader may be about to open them.
        if stem is not None and stem not in wanted and stem not in previous:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(view / name)
    write_atomically(view / "previous.txt", "\n".join(wanted).encode(), durable=False)


def _previous_segments(view: Path) -> set[str]:
    try:
        return set((view / "previous.txt").read_text(errors="replace").split())
    except FileNotFoundError:
        return set()
