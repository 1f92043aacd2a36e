"""What can be done with streams as a whole: look at one, set something of it, delete it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from server.errors import RequestError
from server.ingest import Ingest
from storage.catalog import Catalog, SegmentEntry
from storage.drop import disk_bytes
from storage.errors import MetadataUnwritable, UnknownStream
from storage.log import Rotation
from storage.metadata import Metadata, StreamRow
from storage.paths import DataDirectory, check_stream_name
from storage.store import Store, segment_summary, stream_summary
from storage.stream_settings import StreamSettings, merge, read_settings, stored_settings
from storage.times import format_time

log = logging.getLogger(__name__)

SEGMENTS_LISTED_MAX = 1000  # the newest: there are more only where very much was rotated by hand


def rotation_of(metadata: Metadata, stream: str) -> Rotation:
    """When the segments of a stream end; as where nothing is set, where that cannot be read: records come first."""
    try:
        row = metadata.stream(stream)
    except sqlite3.DatabaseError as error:
        log.error("cannot read the settings of stream %s: %s", stream, error)  # noqa: TRY400
        row = None
    return _settings(stream, row).rotation.policy()


class StreamAdmin:
    """Changes streams, one at a time. Lives on the event loop of `ingest`.

    Args:
        data: Where the streams lie.
        store: What readers know of them.
        metadata: What is set of them.
        ingest: What writes to them.
        clock: Microseconds since 1970.
    """

    def __init__(
        self, data: DataDirectory, store: Store, metadata: Metadata, ingest: Ingest, clock: Callable[[], int]
    ) -> None:
        self._data = data
        self._store = store
        self._metadata = metadata
        self._ingest = ingest
        self._clock = clock
        self._changing = asyncio.Lock()

    def names(self) -> list[str]:
        """The streams that there are, those of the store itself left out."""
        return sorted(name for name in self.all_names() if not name.startswith("_"))

    def all_names(self) -> list[str]:
        """The streams that there are."""
        return self._data.stream_names()

    async def describe(self, name: str) -> dict[str, Any]:
        """What there is to know of a stream.

        Raises:
            UnknownStream: there is none of this name.
        """
        return await asyncio.to_thread(self._describe, name)

    def _describe(self, name: str) -> dict[str, Any]:
        catalog = self._store.catalog(name)
        row = self._metadata.stream(name)
        directory = self._data.stream(name)
        created_us = min(us for us in (catalog.born_us, row.created_us if row else 0, self._clock()) if us)
        return {
            **stream_summary(catalog, disk_bytes(directory.segments)),
            "created": format_time(created_us),
            "version": row.version if row else 0,
            "settings": _settings(name, row).to_json(),
            "segments_count": len(catalog.segments),
            "segments": [_segment(entry) for entry in catalog.segments[-SEGMENTS_LISTED_MAX:]],
        }

    async def replace(self, name: str, given: object) -> tuple[bool, dict[str, Any]]:
        """Set all of a stream, which is made if it is not there; whether it was not, and what it is now.

        Raises:
            BadSettings: the settings have mistakes.
            TooManyStreams: it would be one too many.
        """
        check_stream_name(name)
        read_settings(given)
        async with self._changing:
            created = await self._ingest.create(name)
            await self._set(name, lambda _: merge({}, given))
        return created, await self.describe(name)

    async def change(self, name: str, change: object) -> dict[str, Any]:
        """Set some of a stream; what it is now.

        Raises:
            UnknownStream: there is none of this name.
            BadSettings: the settings would have mistakes.
        """
        async with self._changing:
            self._store.catalog(name)
            await self._set(name, lambda old: merge(old or {}, change))
        return await self.describe(name)

    async def _set(self, name: str, change: Callable[[dict[str, Any] | None], dict[str, Any]]) -> None:
        def checked(old: dict[str, Any] | None) -> dict[str, Any]:
            settings = change(old)
            read_settings(settings)
            return settings

        try:
            row = await asyncio.to_thread(self._metadata.change_stream, name, checked, self._clock())
        except sqlite3.OperationalError as error:
            raise MetadataUnwritable(
                f"the settings cannot be written: {error}", "make room on the disk, then try again"
            ) from error
        await self._ingest.rotate_by(name, _settings(name, row).rotation.policy())

    async def delete(self, name: str, confirm: str | None) -> dict[str, Any]:
        """Take a stream away with all its records; what went.

        Args:
            name: The stream.
            confirm: Its name again: nothing brings it back.

        Raises:
            UnknownStream: there is none of this name.
            RequestError: `confirm-needed`.
        """
        check_stream_name(name)
        async with self._changing:
            catalog = self._store.catalog(name)
            if confirm != name:
                raise RequestError(
                    400,
                    "confirm-needed",
                    f"this would delete all {catalog.records} records of {name}, for good",
                    f"add ?confirm={name} if that is meant",
                )
            await self._ingest.delete(name)
            self._store.forget(name)
            await asyncio.to_thread(self._forget, name)
        return {"deleted": name, "records": catalog.records}

    def _forget(self, name: str) -> None:
        self._metadata.forget_stream(name)
        self._metadata.ask_job("housekeeping")  # which empties the trash

    def forget_deleted(self) -> None:
        """Forget what is set of streams that are not there: a crash came between the two steps of their deletion.

        Only for one that starts: later there may be a stream in the making.
        """
        names = set(self._data.stream_names())
        for row in self._metadata.streams():
            if row.name not in names:
                self._metadata.forget_stream(row.name)

    async def open_idle(self) -> None:
        """Open the logs that nobody has written to since the start and whose segment has to end by its age."""
        for name in await asyncio.to_thread(self._idle):
            await self._ingest.open(name)

    def _idle(self) -> list[str]:
        now_s = self._clock() / 1_000_000
        rows = {row.name: row for row in self._metadata.streams()}
        idle = []
        for name in self._store.stream_names():
            if self._ingest.is_open(name):
                continue
            try:
                catalog = self._store.catalog(name)
                begun_s = _begun_s(self._data, catalog)
            except (UnknownStream, FileNotFoundError):
                continue  # it is being deleted
            policy = _settings(name, rows.get(name)).rotation.policy()
            if begun_s is not None and now_s - begun_s >= policy.age_max_s:
                idle.append(name)
        return idle


def _begun_s(data: DataDirectory, catalog: Catalog) -> float | None:
    """When the segment was begun that is written to, as the log reckons it; None while it is empty."""
    if not catalog.segments or catalog.segments[-1].sealed or not catalog.segments[-1].records:
        return None
    return os.stat(data.stream(catalog.stream).segment(catalog.segments[-1].first).root).st_mtime


def _settings(name: str, row: StreamRow | None) -> StreamSettings:
    return stored_settings(name, row.settings) if row else StreamSettings()


def _segment(entry: SegmentEntry) -> dict[str, Any]:
    return {
        **segment_summary(entry),
        "sealed": entry.sealed,
    }
