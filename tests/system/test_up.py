"""`sdl up` serves others, and everything it started ends with it. (SIGTERM: see the fixture of test_shell.)"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from _terminal import SDL, Place, alive, descendants

pytestmark = pytest.mark.system


def test_up_serves_others_and_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    place = Place(tmp_path)
    up = place.start(*SDL, "up")
    try:
        up.expect("ready")
        started = descendants(up.process.pid)
        services = place.services()
        children = set(services["children"].values())
        assert services["pid"] == up.process.pid
        assert set(services["children"]) == {"ioc", "rbs", "tiled", "writer"}
        assert children <= started
        assert set(place.client()) == {"raw", "campaigns", "analysis"}

        for other in (["up"], ["ioc", "sputter"]):
            second = place.sdl(*other)
            assert second.returncode == 1
            told = f"sdl: ServiceError: process {up.process.pid} keeps the services of this data folder already"
            assert second.stderr.startswith(told)
        assert alive(children, 0.0) == children
    finally:
        status = up.end(signal.SIGINT)
    place.assert_ended(up, status, started)


def test_everything_ends_with_an_up_that_is_killed(tmp_path: Path) -> None:
    up = Place(tmp_path).start(*SDL, "up")
    up.expect("ready")
    started = descendants(up.process.pid)
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    assert len(started) >= 3
    assert not alive(started, 60.0)
