"""Disks that are nearly full, full or failing: senders get a status and a reason, and writing goes on afterwards."""

import asyncio
import errno
import os
from types import SimpleNamespace

import falcon.asgi
import orjson
import pytest
from falcon.testing import ASGIConductor

from server import errors
from server.heartbeat import HEARTBEAT_FILE, Heartbeat
from server.ingest import Ingest
from server.resources.health import Ready
from server.resources.logs import Logs
from server.settings import Settings
from server.space import FreeSpace
from storage.catalog import Catalog, SegmentEntry
from storage.errors import DiskNearlyFull
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.scrub_tables import ScrubTables
from storage.store import Store


class Disk:
    """A file system of 1000 blocks, and a clock."""

    def __init__(self, free):
        self.free = free
        self.now_s = 0.0
        self.asked = 0

    def statvfs(self, _path):
        self.asked += 1
        return SimpleNamespace(f_blocks=1000, f_bfree=self.free, f_bavail=self.free, f_frsize=1 << 20)

    def space(self, path, percent_min=5.0):
        return FreeSpace(path, percent_min, lambda: self.now_s, self.statvfs)


@pytest.mark.parametrize(("free", "percent_min", "refused"), [(50, 5, False), (49, 5, True), (0, 0, False)])
def test_the_floor(tmp_path, free, percent_min, refused):
    space = Disk(free).space(tmp_path, percent_min)
    assert (space.problem is not None) == refused


def test_the_disk_is_asked_once_a_second(tmp_path):
    disk = Disk(10)
    space = disk.space(tmp_path)
    for _ in range(100):
        with pytest.raises(DiskNearlyFull, match=r"1.0 % free \(10 MiB\), less than the 5 % that must stay"):
            space.check()
    assert disk.asked == 1
    disk.free = 500
    disk.now_s = 1.1
    space.check()
    assert disk.asked == 2


def test_what_root_alone_may_use_is_not_free(tmp_path):
    reserved = SimpleNamespace(f_blocks=1000, f_bfree=100, f_bavail=40, f_frsize=4096)
    assert FreeSpace(tmp_path, 5, statvfs=lambda _: reserved).problem is not None


def test_a_file_system_that_does_not_tell_is_not_full(tmp_path):
    silent = SimpleNamespace(f_blocks=0, f_bfree=0, f_bavail=0, f_frsize=4096)
    assert FreeSpace(tmp_path, 5, statvfs=lambda _: silent).problem is None

    def fails(_path):
        raise OSError(errno.EIO, "Input/output error")

    assert FreeSpace(tmp_path, 5, statvfs=fails).problem is None


def serve(tmp_path, script, space=None):
    """Run a coroutine against an application that takes records."""

    async def run():
        data = DataDirectory(tmp_path)
        store = Store(data)
        ingest = Ingest(data, lambda: 0, 10)
        ingest.space = space
        app = falcon.asgi.App()
        errors.install(app)
        app.add_route("/logs", Logs(ingest, store, Settings(data=tmp_path)))
        metadata = Metadata(data.metadata)
        app.add_route("/readyz", Ready(tmp_path, store, ingest, ScrubTables(metadata)))
        try:
            async with ASGIConductor(app) as conductor:
                await script(conductor)
        finally:
            await asyncio.to_thread(ingest.close)
            metadata.close()

    asyncio.run(run())


async def send(conductor):
    reply = await conductor.simulate_post("/logs", json={"message": "hello"})
    return reply.status_code, reply.json


def error_of(body):
    (error,) = body["errors"]
    return error["code"], error["message"]


def test_below_the_floor_records_are_refused_and_taken_again_above(tmp_path):
    disk = Disk(500)

    async def script(conductor):
        assert (await send(conductor))[0] == 202
        disk.free, disk.now_s = 20, 2.0
        status, body = await send(conductor)
        assert (status, error_of(body)[0]) == (507, "disk-nearly-full")
        assert "make room" in body["errors"][0]["hint"]
        (tmp_path / HEARTBEAT_FILE).touch()
        ready = await conductor.simulate_get("/readyz")
        assert ready.status_code == 200
        assert ready.json["status"] == "ready"
        assert [warning["code"] for warning in ready.json["warnings"]] == ["disk-nearly-full"]
        disk.free, disk.now_s = 500, 4.0
        assert (await send(conductor))[0] == 202

    serve(tmp_path, script, disk.space(tmp_path))


@pytest.mark.parametrize(
    ("number", "want"),
    [
        (errno.ENOSPC, (507, "log-unwritable", "the disk refused the batch: No space left on device")),
        (errno.EDQUOT, (507, "log-unwritable", "the disk refused the batch: Disk quota exceeded")),
        (errno.EIO, (503, "log-unwritable", "the disk refused the batch: Input/output error")),
    ],
)
@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "mkdir"])
def test_a_disk_that_refuses_is_told_and_writing_goes_on(tmp_path, monkeypatch, call, number, want):
    async def script(conductor):
        if call != "mkdir":
            assert (await send(conductor))[0] == 202
        with monkeypatch.context() as broken:

            def refuse(*_args, **_options):
                raise OSError(number, os.strerror(number))

            broken.setattr(os, call, refuse)
            for _ in range(2):
                status, body = await send(conductor)
                assert (status, *error_of(body)) == want
                assert body["errors"][0]["hint"]
        assert (await send(conductor))[0] == 202

    serve(tmp_path, script)


def test_readiness_names_the_streams_that_are_not_whole(tmp_path):
    Heartbeat(tmp_path).beat({"other": "no answer"})
    segments = (
        SegmentEntry(first=1, until=10, sealed=True, damaged=2, damaged_bytes=300),
        SegmentEntry(first=10, until=20, sealed=True, rebuilding=True),
    )
    for name, entries in (("app", segments), ("whole", ())):
        root = DataDirectory(tmp_path).stream(name).root
        root.mkdir(parents=True)
        Catalog(stream=name, segments=entries).save(root / "catalog.json")

    async def script(conductor):
        ready = await conductor.simulate_get("/readyz")
        assert ready.status_code == 200
        assert ready.json["streams"] == {"app": {"damaged": 2, "damaged_bytes": 300, "rebuilding": 1}}
        told = {warning["code"]: warning["message"] for warning in ready.json["warnings"]}
        assert list(told) == ["stream-not-indexed", "data-damaged", "index-rebuilding"]
        assert (
            told["stream-not-indexed"]
            == "other is not indexed: no answer; new records of it are kept, not found"
        )
        Heartbeat(tmp_path).beat({})
        ready = await conductor.simulate_get("/readyz")
        assert [warning["code"] for warning in ready.json["warnings"]] == ["data-damaged", "index-rebuilding"]
        (tmp_path / HEARTBEAT_FILE).unlink()
        silent = await conductor.simulate_get("/readyz")
        assert silent.status_code == 503
        assert orjson.loads(silent.content)["errors"][0]["code"] == "indexer-silent"
        assert silent.json["warnings"]

    serve(tmp_path, script)
