"""Helpers of the device tests: a machine of fake devices that follows at once."""

from __future__ import annotations

import time

from sdl_bluesky.devices import Chamber, ChamberSpec, QCMSpec, SourceSpec

SPEC = ChamberSpec(
    sources=(
        SourceSpec("cu", "S1:", "Cu", (7.0, 0.0, 12.1), (-0.5, 0.0, -0.8660254), max_power_W=80.0),
        SourceSpec("sn", "S2:", "Sn", (0.0, 7.0, 12.1), (0.0, -0.5, -0.8660254)),
    ),
    qcms=tuple(QCMSpec(f"qcm{i}", f"Q{i}:", (5.0, float(i), 0.0)) for i in (1, 2, 3)),
)


def follow(mover) -> None:
    """Make a fake mover's readback follow its setpoint at once."""
    mover.setpoint.sim_set_putter(lambda value, *a, **k: (mover.setpoint.sim_put(value), mover.readback.sim_put(value)))
    mover.setpoint.sim_put(0)
    mover.readback.sim_put(0)


def wait_until(condition, timeout_s=2.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.005)


def tick(chamber: Chamber, at: float, **values: float) -> None:
    """One tick of the machine: every named record updated with one timestamp, then the clock."""
    for name, value in values.items():
        owner, _, attr = name.partition("_")
        device = chamber.devices[owner]
        signal = getattr(device, attr)
        getattr(signal, "readback", signal).sim_put(value, timestamp=at)
    chamber.clock.time.sim_put(at, timestamp=at)
