"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.serving import Serving

settings.register_profile("klomp", deadline=None)  # nothing is timed: machines that test are busy
settings.load_profile("klomp")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A real server with an empty store, one for each test module; stopped by SIGTERM, as a service would be."""
    serving = Serving(tmp_path_factory.mktemp("served") / "data")
    try:
        yield serving
        assert serving.stop() == 0, serving.log.read_text()
    finally:
        if serving.process.poll() is None:
            serving.process.kill()
            serving.process.wait()


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of real log files, beside the project where there is one."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real logs: {folder} is missing")
    return folder
