"""Helpers of the device tests: a machine of fake devices that follows at once."""

from __future__ import annotations

import time

from ophyd.sim import make_fake_device

from sdl_bluesky.devices import Chamber, ChamberSpec, QCMSpec, SourceSpec, make_chamber

WAIT_S = 30.0
"""For whatever will come: a busy machine may leave the tests standing for seconds."""

SPEC = ChamberSpec(
    stale_after_s=60.0,  # nothing counts the beat up here
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


def wait_until(condition, timeout_s=WAIT_S) -> None:
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


def fake_chamber() -> Chamber:
    """A chamber of fake devices that is at rest and in order; close its liveness in the end."""
    made = make_chamber("X:", SPEC, make=make_fake_device)
    for mover in made.positioners:
        follow(mover)
    for source in made.sources.values():
        source.target.sim_put(source.spec.element)
        source.power.setpoint.sim_set_limits((0.0, 100.0))
        for signal in (source.voltage, source.current, source.energy):
            signal.sim_put(0.0)
        source.plasma.sim_put(0)
    for label in ("ok", "water", "door", "pressure", "heartbeat"):
        getattr(made.interlock, label).sim_put(1)
    made.interlock.cause.sim_put("")
    made.gas.flow.setpoint.sim_set_limits((0.0, 200.0))
    made.substrate.angle.setpoint.sim_set_limits((-360.0, 360.0))
    made.substrate.number.sim_put(0)
    made.gauge.pressure.sim_put(5.0)
    made.wide_gauge.pressure.sim_put(5.0)
    for qcm in made.qcms.values():
        qcm.frequency.sim_put(6e6)
        qcm.life.sim_put(100.0)
        qcm.temperature.sim_put(20.0)
    made.clock.time.sim_put(0.0)
    made.clock.speed.sim_put(1.0)
    made.liveness.beat.sim_put(0)
    return made
