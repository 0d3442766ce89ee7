"""Reactive sputtering: how light follows the metal, and sweeps of the oxygen.

Both are one run with a row for each condition in the stream "primary" and each spectrum in the stream "light". The shutter
of the source is open throughout, so that all rows have the same run-to-run error. In a sweep the argon flow is held and not
the pressure: a loop that corrects the argon would move the target while it decides between metallic and poisoned, and
argon's own pressure, which the light is compared with, stays known. The total pressure rises by that of the oxygen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from bluesky.utils import MsgGenerator

from sdl_bluesky.analysis.rates import Window
from sdl_bluesky.devices import Chamber, ReactiveGas, ReactiveSpec, Spectrometer, StreamGoal
from sdl_bluesky.errors import LabFileError, OutOfRange, UnknownName
from sdl_bluesky.physics.emission import OXYGEN_NM, actinometric_ratio, line_intensity
from sdl_bluesky.plans.conditions import light, set_pressure
from sdl_bluesky.plans.preflight import check_conditions, check_positive
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.reduction import result
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt, again, run_safely

ATTEMPTS = 3
SPECTRA = 10
"""Spectra of a row."""


@dataclass(frozen=True)
class Sweep:
    """What a run found: its uid and the columns of its rows."""

    uid: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Condition:
    """Power [W], pressure before any oxygen [mTorr] and oxygen flow [sccm] of a row."""

    power: float
    pressure: float
    oxygen: float = 0.0


def calibrate_light(
    chamber: Chamber,
    source: str,
    powers: Sequence[float],
    pressures: Sequence[float],
    settings: SputterSettings,
    *,
    sample: str = "",
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Sweep]:
    """Rates and light of a source without oxygen, at every power and every pressure.

    Args:
        chamber: the machine; it needs a reactive part.
        source: name of the source.
        powers: [W].
        pressures: [mTorr].
        settings: how it is done.
        sample: name under which the run can be found.
        md: more metadata.

    Raises:
        UnknownName, OutOfRange, LabFileError: before anything moves.
        SDLError: the machine's fault; the machine is left safe.
    """
    conditions = [Condition(power, pressure) for pressure in pressures for power in powers]
    start = {"plan_name": "calibrate_light", "powers": list(powers), "pressures": list(pressures), "sample": sample}
    return (yield from _measure(chamber, source, conditions, settings, {**start, **(md or {})}))


def measure_reactive(
    chamber: Chamber,
    source: str,
    power: float,
    pressure: float,
    flows: Sequence[float],
    settings: SputterSettings,
    *,
    falling: bool = True,
    sample: str = "",
    based_on: Sequence[str] = (),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Sweep]:
    """Rates and light of a source at several oxygen flows, at one power; the first row and the last are without oxygen.

    Args:
        chamber: the machine; it needs a reactive part.
        source: name of the source.
        power: [W].
        pressure: before the oxygen flows [mTorr]; the argon flow is held from then on.
        flows: of oxygen [sccm], in the order wanted.
        settings: how it is done.
        falling: take them in the opposite order afterwards, to see hysteresis.
        sample: name under which the run can be found.
        based_on: runs of `calibrate_light` that the analysis of this one uses.
        md: more metadata.

    Raises:
        UnknownName, OutOfRange, LabFileError: before anything moves.
        SDLError: the machine's fault; the machine is left safe and the oxygen closed.
    """
    oxygen = _parts(chamber)[0]
    for flow in flows:
        check_positive("oxygen flow", flow, "sccm")
        oxygen.flow.check_value(flow)
    if not flows:
        raise OutOfRange("no oxygen flow is given: give one or more in sccm; nothing was moved")
    course = [0.0, *flows, *(list(flows)[::-1] if falling else ()), 0.0]
    conditions = [Condition(power, pressure, flow) for flow in course]
    start = {"plan_name": "measure_reactive", "power": power, "pressure": pressure, "oxygen": course, "sample": sample}
    if based_on:
        start["based_on"] = {source: list(based_on)}
    return (yield from _measure(chamber, source, conditions, settings, {**start, **(md or {})}))


def _parts(chamber: Chamber) -> tuple[ReactiveGas, Spectrometer, ReactiveSpec]:
    if chamber.oxygen is None or chamber.spectrometer is None or chamber.spec.reactive is None:
        raise LabFileError(
            f"chamber {chamber.name!r} has no oxygen and no spectrometer: add `reactive` to `chamber` in the lab file"
        )
    return chamber.oxygen, chamber.spectrometer, chamber.spec.reactive


def _measure(
    chamber: Chamber,
    source: str,
    conditions: Sequence[Condition],
    settings: SputterSettings,
    start: Mapping[str, Any],
) -> MsgGenerator[Sweep]:
    """Measure a row at each condition, in one run; after an interruption from the beginning, in another one."""
    spec = _parts(chamber)[2]
    if not conditions:
        raise OutOfRange("no condition is given: give powers and pressures; nothing was moved")
    for one in conditions:
        check_conditions(chamber, {source: one.power}, one.pressure, settings)
    if source not in spec.lines_nm:
        raise UnknownName("line of a source", source, list(spec.lines_nm))
    everything = {
        "sources": [source],
        "lines_nm": {"metal": spec.lines_nm[source], "argon": spec.reference_nm},
        **start,
    }
    return (yield from again(chamber, lambda: _run(chamber, source, conditions, settings, everything), ATTEMPTS))


def _run(
    chamber: Chamber, source: str, conditions: Sequence[Condition], settings: SputterSettings, start: Mapping[str, Any]
) -> MsgGenerator[Sweep]:
    opened: list[str] = []
    rows: list[Mapping[str, Any]] = []
    baseline: list[Any] = list(chamber.baseline)

    def inside() -> MsgGenerator[None]:
        yield from bps.trigger_and_read(baseline, name="baseline")
        attempt = Attempt(chamber, [source])
        try:
            yield from _rows(attempt, source, conditions, settings, rows)
        finally:
            if attempt.streaming:
                yield from attempt.finish()
        yield from bps.trigger_and_read(baseline, name="baseline")

    yield from run_safely(chamber, inside(), start, opened)
    return Sweep(opened[0], tuple(rows))


def _rows(
    attempt: Attempt,
    source: str,
    conditions: Sequence[Condition],
    settings: SputterSettings,
    found: list[Mapping[str, Any]],
) -> MsgGenerator[None]:
    chamber = attempt.chamber
    oxygen, magnetron = _parts(chamber)[0], chamber.source(source)
    first, record = conditions[0], None
    yield from light(attempt, {source: first.power}, settings)
    yield from set_pressure(attempt, first.pressure, settings)
    yield from attempt.hold(settings.settle_s)
    attempt.stream.prepare(StreamGoal())
    yield from attempt.kickoff()
    zero = yield from attempt.zero_rate(settings.baseline_s)
    yield from attempt.move(magnetron.shutter, "Open")
    now = first
    for one in conditions:
        if one.pressure != now.pressure:
            yield from set_pressure(attempt, one.pressure, settings)
        if one.power != now.power:
            yield from attempt.move(magnetron.power, one.power)
        if one.oxygen != now.oxygen:
            yield from attempt.move(oxygen.flow, one.oxygen)
        now = one
        yield from attempt.hold(max(settings.transient_s, settings.reactive_wait_s))
        fields, values = yield from _row(attempt, source, one, zero, settings)
        if record is None:
            record = Record("result", fields)
        record.put(values)
        found.append(values)
        yield from bps.trigger_and_read([record], name="primary")
    yield from attempt.move(magnetron.shutter, "Closed")


def _row(
    attempt: Attempt, source: str, condition: Condition, zero: tuple[float, float], settings: SputterSettings
) -> MsgGenerator[tuple[dict[str, Field], dict[str, Any]]]:
    """Columns and values of one row: rates, light, and the state of plasma and gas."""
    chamber, powers = attempt.chamber, {source: condition.power}
    oxygen, spectrometer, spec = _parts(chamber)
    read: list[Any] = [spectrometer, oxygen, chamber.gas, chamber.source(source)]
    begin = chamber.clock.now_s
    seen: list[Mapping[str, Any]] = []
    for _ in range(SPECTRA):
        yield from attempt.hold(settings.reactive_measure_s / SPECTRA)
        reading: Any = yield from bps.trigger_and_read(read, name="light")
        seen.append({key: value["value"] for key, value in reading.items()})
    window = Window(zero, (begin, chamber.clock.now_s))
    fields, values = result(attempt.stream.data(), window, {n: q.spec.f0_Hz for n, q in chamber.qcms.items()}, powers)
    fields["oxygen_asked"], values["oxygen_asked"] = (
        Field("number", "sccm", "as the plan asked", True),
        condition.oxygen,
    )
    units = {f"{source}_voltage": "V", f"{source}_current": "A", "oxygen_flow": "sccm", "gas_flow": "sccm"}
    for key, unit in units.items():
        fields[key] = Field("number", unit, "mean readback")
        values[key] = float(np.mean([row[key] for row in seen]))
    counts = np.sum([row[spectrometer.spectrum.name] for row in seen], axis=0)
    lit_fields, lit_values = _light(spectrometer.wavelengths(), counts, spec, source)
    return fields | lit_fields, values | lit_values


def _light(wavelength_nm: Any, counts: Any, spec: ReactiveSpec, source: str) -> tuple[dict[str, Field], dict[str, Any]]:
    """Intensities of the metal's, argon's and oxygen's line, and the ratio of the first two."""
    places = {"metal": spec.lines_nm[source], "argon": spec.reference_nm, "oxygen": OXYGEN_NM}
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}
    lines = {name: line_intensity(wavelength_nm, counts, nm, spec.resolution_nm) for name, nm in places.items()}
    for name, line in lines.items():
        what = f"line at {places[name]:g} nm"
        fields |= {f"line_{name}": Field("number", "counts", what), f"line_{name}_std": Field("number", "counts", what)}
        values |= {f"line_{name}": line.intensity, f"line_{name}_std": line.std}
    ratio, std = actinometric_ratio(lines["metal"], lines["argon"])
    fields |= {"line_ratio": Field("number", None, "metal over argon", True), "line_ratio_std": Field("number")}
    fields["line_metal_chi2"] = Field("number", None, "of the fit over its degrees of freedom")
    values |= {"line_ratio": ratio, "line_ratio_std": std, "line_metal_chi2": lines["metal"].chi2}
    return fields, values
