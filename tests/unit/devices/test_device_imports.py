"""The devices package is light, and its descriptions need no control system."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_all_of_it_imports_neither_torch_nor_numba():
    code = "import sdl_bluesky.devices as d; [getattr(d, n) for n in d.__all__]"
    loaded = modules_after(code)
    assert "ophyd" in loaded
    assert not loaded & {"torch", "numba", "scipy", "tiled", "ioc_sims"}


def test_descriptions_start_no_channel_access():
    loaded = modules_after("from sdl_bluesky.devices import ChamberSpec, SourceSpec, QCMSpec")
    assert not loaded & {"ophyd", "epics", "bluesky", "torch", "numba"}


def test_every_public_name_has_a_home():
    import sdl_bluesky.devices as devices

    assert set(devices.__all__) == set(devices._HOME)
    for name in devices.__all__:
        assert getattr(devices, name) is not None
    with pytest.raises(AttributeError):
        _ = devices.nothing


def test_configure_ophyd_is_idempotent_and_says_when_it_is_too_late():
    code = (
        "from sdl_bluesky.devices import configure_ophyd; from ophyd import EpicsSignal; configure_ophyd();"
        "s = EpicsSignal('X:Y', name='s'); assert (s.timeout, s.write_timeout, s.connection_timeout) == (2.0, 5.0, 2.0);"
        "configure_ophyd()"
    )
    modules_after(code)
    late = (
        "from sdl_bluesky.devices import configure_ophyd; from ophyd import EpicsSignal; s = EpicsSignal('X:Y', name='s')\n"
        "try: configure_ophyd()\nexcept Exception as e: assert 'before any device' in str(e), e\nelse: raise SystemExit(3)\n"
    )
    subprocess.run([sys.executable, "-c", late], check=True, timeout=60)
