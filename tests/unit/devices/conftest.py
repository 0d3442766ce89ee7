"""A chamber of fake devices that behave like a machine which follows at once."""

from __future__ import annotations

import pytest
from device_fakes import SPEC, follow
from ophyd.sim import make_fake_device

from sdl_bluesky.devices import make_chamber


@pytest.fixture
def chamber():
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
    yield made
    made.liveness.close()
