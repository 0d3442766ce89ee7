"""To the wanted conditions: light plasmas at a pressure where they ignite, then go to the pressure of the experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from sdl_bluesky.errors import MoveTimeout, OutOfRange, PlasmaError
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt

PRESSURE_STEPS = 8
Look = Callable[[float], MsgGenerator[None]]
IGNITION_STEPS = 3
IGNITION_TOLERANCE = 0.15


def set_pressure(
    attempt: Attempt,
    pressure: float,
    settings: SputterSettings,
    tolerance: float | None = None,
    look: Look | None = None,
) -> MsgGenerator[float]:
    """Change the gas flow until the process gauge reads `pressure` [mTorr].

    The pressure goes almost in proportion with the flow, so the flow is corrected by the ratio of wanted and read; the
    attempt remembers it for the next pressure.

    Args:
        attempt: the try that it is part of.
        pressure: [mTorr].
        settings: how it is done.
        tolerance: relative; that of the settings by default.
        look: a plan that is handed each pressure read [mTorr], and raises to end it.

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
        if look is not None:
            yield from look(read)
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


def come_down(
    attempt: Attempt,
    powers: Mapping[str, float],
    pressure: float,
    settings: SputterSettings,
    careful_below: float | None = None,
) -> MsgGenerator[float]:
    """From where the plasmas were lit to the pressure of the experiment, with an eye on them.

    A plasma goes out at a lower pressure than that at which it ignites, so whether it burns at `pressure` is only told by
    coming from above. Below `careful_below` the gas goes down in small steps, so that the last pressure at which a plasma
    burnt and the one at which it was out lie close together.

    Args:
        attempt: the try that it is part of; the sources burn.
        powers: power of each burning source [W].
        pressure: [mTorr].
        settings: how it is done.
        careful_below: [mTorr]; None goes down at once.

    Returns:
        The pressure read [mTorr].

    Raises:
        PlasmaError: a plasma went out, with the bracket that was seen.
        OutOfRange, MoveTimeout: see `set_pressure`.
    """
    chamber = attempt.chamber
    gauge: Any = chamber.gauge.pressure
    lit = float((yield from bps.rd(gauge)))

    def look(read: float) -> MsgGenerator[None]:
        nonlocal lit
        for name, power in powers.items():
            plasma: Any = chamber.source(name).plasma
            if not int((yield from bps.rd(plasma))):
                raise went_out(name, power, lit, read)
        lit = read

    yield from look(lit)
    if careful_below is not None:
        if pressure < careful_below < lit:
            yield from set_pressure(attempt, careful_below, settings, IGNITION_TOLERANCE, look)
        at = lit
        while at * (1.0 - settings.descent_step) > pressure:
            at *= 1.0 - settings.descent_step
            flow = at * (attempt.flow_per_pressure or settings.flow_per_pressure)
            chamber.gas.flow.check_value(flow)
            yield from attempt.move(chamber.gas.flow, flow)
            yield from attempt.hold(settings.descent_s)
            read = float((yield from bps.rd(gauge)))
            attempt.flow_per_pressure = flow / read if read > 0 else attempt.flow_per_pressure
            yield from look(read)
    return (yield from set_pressure(attempt, pressure, settings, look=look))


def went_out(source: str, power: float, lit: float | None, out: float) -> PlasmaError:
    """The error of a plasma that went out between two pressures [mTorr]; `lit` is None if nobody saw it burn."""
    burnt = "" if lit is None else f"; it still burnt at {lit:.2f} mTorr"
    return PlasmaError(
        f"the plasma of {source} went out at {power:g} W and {out:.2f} mTorr{burnt}",
        source=source,
        power_W=power,
        lit_pressure_mTorr=lit,
        out_pressure_mTorr=out,
    )
