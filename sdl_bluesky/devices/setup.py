"""Process-wide defaults of ophyd, set once and on purpose (never by an import)."""

from __future__ import annotations

from ophyd.signal import EpicsSignalBase

from sdl_bluesky.errors import DeviceError

READ_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 5.0
CONNECTION_TIMEOUT_S = 2.0


def configure_ophyd() -> None:
    """Give every EPICS signal of this process finite timeouts and a monitor; call it before the first device is made.

    Set the EPICS_* environment before: Channel Access reads it once per process. Calling it again is allowed.

    Raises:
        DeviceError: signals exist already that were made with other defaults.
    """
    wanted = {
        "timeout": READ_TIMEOUT_S,
        "write_timeout": WRITE_TIMEOUT_S,
        "connection_timeout": CONNECTION_TIMEOUT_S,
        "auto_monitor": True,
    }
    found = {name: getattr(EpicsSignalBase, f"_EpicsSignalBase__default_{name}") for name in wanted}
    if found == wanted:
        return
    try:
        EpicsSignalBase.set_defaults(**wanted)
    except RuntimeError as exc:
        raise DeviceError(
            "configure_ophyd() came after the first EPICS signal: call it before any device exists"
        ) from exc
