"""Experiments on a sputter chamber: measure the deposition rate of one source or of several, co-sputter a film.

Each is one run. It begins with a safe machine and ends with one: a finalizer closes every shutter and takes every power to
zero, step by step, whatever happened. A pause makes the machine safe too; the experiment is then done again as a new run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from sdl_bluesky.analysis.rates import Window
from sdl_bluesky.devices import Chamber, NumberedSource, StreamGoal
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.plans.conditions import come_down, light
from sdl_bluesky.plans.preflight import check_conditions, check_positive
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.reduction import good_enough, result
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt, again, run_safely

ATTEMPTS = 3


@dataclass(frozen=True)
class Measurement:
    """What an experiment found: its run and the columns of its primary event."""

    uid: str
    data: Mapping[str, Any]


def measure_rate(
    chamber: Chamber,
    source: str,
    power: float,
    pressure: float,
    settings: SputterSettings,
    *,
    sample: str = "",
    sensor: str | None = None,
    careful_below: float | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Measurement]:
    """Measure the deposition rate of one source at all QCMs.

    Ignites at high pressure, goes to the conditions, measures the zero rate, opens the source's shutter, waits the thermal
    transient out and follows the frequencies until the first sensor's rate is known to the wanted precision or the time
    is up.

    Args:
        chamber: the machine.
        source: name of the source.
        power: [W].
        pressure: [mTorr].
        settings: how it is done.
        sample: name under which the run can be found.
        sensor: the QCM whose precision counts; the first by default.
        careful_below: pressure below which the plasma may go out and the gas goes down in small steps [mTorr].
        md: more metadata.

    Returns:
        Run and primary event; rates [ng cm^-2 s^-1] and their standard errors, mean readbacks.

    Raises:
        UnknownName, OutOfRange: before anything moves.
        PlasmaError: it did not ignite, or went out.
        SDLError: the machine's fault; the machine is left safe.
    """
    start = {"plan_name": "measure_rate", "sources": [source], "sample": sample, "power": power, "pressure": pressure}
    start |= dict(md or {})
    return (yield from _rates(chamber, {source: power}, pressure, settings, sensor, start, careful_below))


def measure_total(
    chamber: Chamber,
    powers: Mapping[str, float],
    pressure: float,
    settings: SputterSettings,
    *,
    sample: str = "",
    sensor: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Measurement]:
    """Measure the total deposition rate of several sources at all QCMs: do they add up? The substrate stays covered.

    As `measure_rate`, with all sources burning and their shutters open together.

    Args:
        chamber: the machine.
        powers: power of each source [W].
        pressure: [mTorr].
        settings: how it is done.
        sample: name under which the run can be found.
        sensor: the QCM whose precision counts; the first by default.
        md: more metadata.

    Returns:
        Run and primary event: total rates at the QCMs, mean readbacks.

    Raises:
        OutOfRange: fewer than two sources, or as `check_conditions`; before anything moves.
        UnknownName, PlasmaError, SDLError: see `measure_rate`.
    """
    if len(powers) < 2:
        raise OutOfRange(f"a total of {', '.join(powers) or 'no source'}: name two sources or more; nothing was moved")
    start = {"plan_name": "measure_total", "sources": list(powers), "sample": sample}
    start |= {"powers": dict(powers), "pressure": pressure}
    return (yield from _rates(chamber, powers, pressure, settings, sensor, {**start, **(md or {})}))


def _rates(
    chamber: Chamber,
    powers: Mapping[str, float],
    pressure: float,
    settings: SputterSettings,
    sensor: str | None,
    start: Mapping[str, Any],
    careful_below: float | None = None,
) -> MsgGenerator[Measurement]:
    """Rates at the QCMs with the shutters of some sources open; see `measure_rate`."""
    check_conditions(chamber, powers, pressure, settings)
    judged = chamber.qcm(sensor) if sensor is not None else next(iter(chamber.qcms.values()))

    def body(attempt: Attempt) -> MsgGenerator[Record]:
        yield from light(attempt, powers, settings)
        yield from come_down(attempt, powers, pressure, settings, careful_below)
        yield from attempt.hold(settings.settle_s)
        windows: list[Window] = []
        reached = good_enough(windows, powers, judged.name, judged.spec.f0_Hz, settings)
        attempt.stream.prepare(StreamGoal(reached, timeout_s=_longest_s(settings)))
        yield from attempt.kickoff()
        zero = yield from attempt.zero_rate(settings.baseline_s)
        for name in powers:
            yield from attempt.move(chamber.source(name).shutter, "Open")
        begin = chamber.clock.now_s + settings.transient_s
        windows.append(Window(zero, (begin, math.inf)))
        yield from attempt.wait("rate", attempt.stream.complete)
        window = Window(zero, (begin, chamber.clock.now_s))
        for name in powers:
            yield from attempt.move(chamber.source(name).shutter, "Closed")
        yield from attempt.finish()
        return _result(attempt, powers, window)

    return (yield from _experiment(chamber, list(powers), start, body))


def cosputter(
    chamber: Chamber,
    powers: Mapping[str, float],
    pressure: float,
    duration_s: float,
    settings: SputterSettings,
    *,
    sample: str,
    based_on: Mapping[str, Sequence[str]] | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Measurement]:
    """Deposit a film from several sources at once onto a fresh substrate.

    Args:
        chamber: the machine.
        powers: power of each source [W].
        pressure: [mTorr].
        duration_s: process time with the substrate shutter open [s].
        settings: how it is done.
        sample: name of the film.
        based_on: for each source the runs from which its rate is known; the composition map is derived from them.
        md: more metadata.

    Returns:
        Run and primary event: total rates at the QCMs, mean readbacks, number of the substrate.

    Raises:
        UnknownName, OutOfRange: before anything moves.
        PlasmaError, SDLError: the machine's fault; the machine is left safe and the film is not complete.
    """
    check_conditions(chamber, powers, pressure, settings)
    check_positive("duration", duration_s, "s")
    start = {
        "plan_name": "cosputter",
        "sources": list(powers),
        "sample": sample,
        "powers": dict(powers),
        "pressure": pressure,
        "duration": duration_s,
        "based_on": {name: list(uids) for name, uids in (based_on or {}).items()},
    }

    def body(attempt: Attempt) -> MsgGenerator[Record]:
        yield from attempt.wait("fresh substrate", chamber.substrate.load)
        yield from light(attempt, powers, settings)
        yield from come_down(attempt, powers, pressure, settings)
        yield from attempt.hold(settings.settle_s)
        attempt.stream.prepare(StreamGoal())
        yield from attempt.kickoff()
        zero = yield from attempt.zero_rate(settings.baseline_s)
        for name in powers:
            yield from attempt.move(chamber.source(name).shutter, "Open")
        yield from attempt.hold(settings.transient_s)
        yield from attempt.move(chamber.substrate.shutter, "Open")
        begin = chamber.clock.now_s
        yield from attempt.hold(duration_s)
        yield from attempt.move(chamber.substrate.shutter, "Closed")
        window = Window(zero, (begin, chamber.clock.now_s))
        for name in powers:
            yield from attempt.move(chamber.source(name).shutter, "Closed")
        yield from attempt.finish()
        return _result(attempt, powers, window, substrate=int(chamber.substrate.number.get()))

    return (yield from _experiment(chamber, list(powers), {**start, **(md or {})}, body))


Body = Callable[[Attempt], MsgGenerator[Record]]


def _experiment(
    chamber: Chamber, sources: Sequence[str], start: Mapping[str, Any], body: Body
) -> MsgGenerator[Measurement]:
    """Do an experiment as one run; after an interruption as another one."""
    return (yield from again(chamber, lambda: _run(chamber, sources, start, body), ATTEMPTS))


def _run(chamber: Chamber, sources: Sequence[str], start: Mapping[str, Any], body: Body) -> MsgGenerator[Measurement]:
    opened: list[str] = []
    found: list[Record] = []
    everything: list[Any] = list(chamber.baseline)

    def inside() -> MsgGenerator[None]:
        yield from bps.trigger_and_read(everything, name="baseline")
        attempt = Attempt(chamber, sources)
        try:
            record: Any = yield from body(attempt)
        except Exception:
            if attempt.streaming:
                yield from attempt.finish()
            raise
        found.append(record)
        yield from bps.trigger_and_read([record], name="primary")
        yield from bps.trigger_and_read(everything, name="baseline")

    yield from run_safely(chamber, inside(), start, opened)
    return Measurement(opened[0], {key: reading["value"] for key, reading in found[0].read().items()})


def _longest_s(settings: SputterSettings) -> float:
    """Real seconds after which a measurement has failed, whatever its precision."""
    return 2.0 * (settings.baseline_s + settings.transient_s + settings.longest_s) + 60.0


def _result(attempt: Attempt, powers: Mapping[str, float], window: Window, substrate: int | None = None) -> Record:
    """The primary event of an experiment."""
    chamber = attempt.chamber
    f0_Hz = {name: qcm.spec.f0_Hz for name, qcm in chamber.qcms.items()}
    life = {name: float(qcm.life.get()) for name, qcm in chamber.qcms.items()}
    fields, values = result(attempt.stream.data(), window, f0_Hz, powers, life)
    for name in powers:
        source = chamber.source(name)
        fields |= {f"{name}_voltage": Field("number", "V"), f"{name}_current": Field("number", "A")}
        values |= {f"{name}_voltage": source.voltage.get(), f"{name}_current": source.current.get()}
        fields |= {f"{name}_energy": Field("number", "kWh", "on this target"), f"{name}_target": Field("string")}
        values |= {f"{name}_energy": source.energy.get(), f"{name}_target": source.target.get()}
        if isinstance(source, NumberedSource):
            fields[f"{name}_target_number"] = Field("integer", None, "targets so far, this one included")
            values[f"{name}_target_number"] = source.target_number.get()
    if substrate is not None:
        fields["substrate_number"], values["substrate_number"] = Field("integer"), substrate
    return Record("result", fields, values)
