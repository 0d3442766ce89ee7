"""`sdl up` serves others, and everything it started ends with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from _terminal import SDL, Place, Terminal, alive, descendants

pytestmark = pytest.mark.system


def test_up_serves_others_and_ends_cleanly(tmp_path: Path) -> None:
    place = Place(tmp_path)
    up = place.start(*SDL, "up")
    try:
        up.expect("ready")
        started = descendants(up.process.pid)
        services = place.services()
        assert services["pid"] == up.process.pid
        assert set(services["children"]) == {"ioc", "tiled", "writer"}
        assert set(services["children"].values()) <= started
        assert set(place.client()) == {"raw", "campaigns", "analysis"}

        for other in (["up"], ["ioc", "sputter"]):
            second = place.sdl(*other)
            assert second.returncode == 1
            told = f"sdl: ServiceError: process {up.process.pid} keeps the services of this data folder already"
            assert second.stderr.startswith(told)
        assert alive(started, 0.0) == started
    finally:
        status = up.end(signal.SIGINT)
    _assert_ended(place, up, status, started)

    up = place.start(*SDL, "up")
    up.expect("ready")
    started = descendants(up.process.pid)
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    assert not alive(started, 20.0)

    up = place.start(*SDL, "up")  # the locks of the dead process hold nobody up
    try:
        up.expect("ready")
        started = descendants(up.process.pid)
    finally:
        status = up.end(signal.SIGTERM)
    _assert_ended(place, up, status, started)


def _assert_ended(place: Place, up: Terminal, status: int, started: set[int]) -> None:
    assert status == 0, up.text
    assert up.text.rstrip().endswith("ended")
    assert "Traceback" not in up.text
    assert not alive(started)
    assert not (place.home / "services.json").exists()
    assert place.listing() == place.files
