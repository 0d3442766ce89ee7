"""The devices package is light, and its descriptions need no control system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sdl_bluesky.errors import DeviceError


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
    loaded = modules_after("from sdl_bluesky.devices import ChamberSpec, SourceSpec, QCMSpec, RBSSpec")
    assert not loaded & {"ophyd", "epics", "bluesky", "torch", "numba"}


def test_every_public_name_has_a_home():
    import sdl_bluesky.devices as devices

    assert set(devices.__all__) == set(devices._HOME)
    for name in devices.__all__:
        assert getattr(devices, name) is not None
    with pytest.raises(AttributeError):
        _ = devices.nothing


def test_configure_ophyd_sets_finite_timeouts_and_may_be_called_again():
    modules_after(
        "from sdl_bluesky.devices import configure_ophyd; from ophyd import EpicsSignal; configure_ophyd();"
        "s = EpicsSignal('X:Y', name='s'); assert (s.timeout, s.write_timeout, s.connection_timeout) == (2.0, 5.0, 2.0);"
        "configure_ophyd()"
    )


def test_configure_ophyd_says_when_it_is_too_late(monkeypatch):
    from ophyd.signal import EpicsSignalBase

    from sdl_bluesky.devices import configure_ophyd

    monkeypatch.setattr(EpicsSignalBase, "_EpicsSignalBase__default_write_timeout", None)
    monkeypatch.setattr(EpicsSignalBase, "_EpicsSignalBase__any_instantiated", True)
    with pytest.raises(DeviceError, match="before any device"):
        configure_ophyd()
