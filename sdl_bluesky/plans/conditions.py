"""To the wanted conditions: light plasmas at a pressure where they ignite, then go to the pressure of the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from sdl_bluesky.errors import MoveTimeout, OutOfRange, PlasmaError
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt

PRESSURE_STEPS = 8
IGNITION_STEPS = 3
IGNITION_TOLERANCE = 0.15


def set_pressure(
    attempt: Attempt, pressure: float, settings: SputterSettings, tolerance: float | None = None
) -> MsgGenerator[float]:
    """Change the gas flow until the process gauge reads `pressure` [mTorr].

    The pressure goes almost in proportion with the flow, so the flow is corrected by the ratio of wanted and read; the
    attempt remembers it for the next pressure.

    Args:
        attempt: the try that it is part of.
        pressure: [mTorr].
        settings: how it is done.
        tolerance: relative; that of the settings by default.

    Returns:
        The pressure read [mTorr].

    Raises:
        OutOfRange: the gas flow that it would take is beyond its limits.
        MoveTimeout: not reached within the tolerance; the last reading is in the message.
    """
    chamber = attempt.chamber
    gauge: Any = chamber.gauge.pressure
    allowed = (settings.pressure_tolerance if tolerance is None else tolerance) * pressure
    read = float("nan")
    for _ in range(PRESSURE_STEPS):
        flow = pressure * (attempt.flow_per_pressure or settings.flow_per_pressure)
        chamber.gas.flow.check_value(flow)
        yield from attempt.move(chamber.gas.flow, flow)
        yield from attempt.hold(settings.pump_s)
        read = float((yield from bps.rd(gauge)))
        if read <= 0:
            raise OutOfRange(f"the process gauge reads {read:g} mTorr with {flow:g} sccm: is the gas open?")
        attempt.flow_per_pressure = flow / read
        if abs(read - pressure) <= allowed:
            return read
    raise MoveTimeout(
        f"the pressure did not come to {pressure:g} mTorr: it is {read:g} mTorr after {PRESSURE_STEPS} corrections"
    )


def light(attempt: Attempt, powers: Mapping[str, float], settings: SputterSettings) -> MsgGenerator[None]:
    """Ignite each source at high pressure and bring it to its power [W]; shutters stay closed.

    Raises:
        PlasmaError: a plasma did not ignite, also at higher pressures.
    """
    pressure = settings.ignition_pressure_mTorr
    yield from set_pressure(attempt, pressure, settings, IGNITION_TOLERANCE)
    for name, power in powers.items():
        source = attempt.chamber.source(name)
        ignition = min(max(power, settings.ignition_power_W), source.spec.max_power_W)
        for left in reversed(range(IGNITION_STEPS)):
            try:
                yield from attempt.wait(
                    f"plasma of {name}", lambda s=source, p=ignition: s.ignite(p, timeout_s=settings.ignition_timeout_s)
                )
                break
            except PlasmaError:
                if not left:
                    raise
                pressure *= 1.3
                yield from set_pressure(attempt, pressure, settings, IGNITION_TOLERANCE)
        yield from attempt.move(source.power, power)
