"""Experiments on a sputter chamber: measure a source's deposition rate, co-sputter a film.

Each is one run. It begins with a safe machine and ends with one: a finalizer closes every shutter and takes every power to
zero, step by step, whatever happened. A pause makes the machine safe too; the experiment is then done again as a new run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
from bluesky.utils import MsgGenerator

from sdl_bluesky.devices import Chamber, StreamGoal
from sdl_bluesky.errors import DeviceError, SDLError
from sdl_bluesky.physics.qcm import RateFit
from sdl_bluesky.plans.conditions import light, set_pressure
from sdl_bluesky.plans.preflight import check_conditions, check_positive
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.reduction import LEAST_ROWS, Rows, Window, check_plasma, rate
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt, Interrupted, clear_interlock, make_safe, recorded

ATTEMPTS = 3
RATE_UNIT = "ng cm^-2 s^-1"


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
        md: more metadata.

    Returns:
        Run and primary event; rates [ng cm^-2 s^-1] and their standard errors, mean readbacks.

    Raises:
        UnknownName, OutOfRange: before anything moves.
        PlasmaError: it did not ignite, or went out.
        SDLError: the machine's fault; the machine is left safe.
    """
    check_conditions(chamber, {source: power}, pressure, settings)
    judged = chamber.qcm(sensor) if sensor is not None else next(iter(chamber.qcms.values()))
    start = {"plan_name": "measure_rate", "sources": [source], "sample": sample, "power": power, "pressure": pressure}

    def body(attempt: Attempt) -> MsgGenerator[Record]:
        yield from light(attempt, {source: power}, settings)
        yield from set_pressure(attempt, pressure, settings)
        yield from attempt.hold(settings.settle_s)
        window, goal = _goal(attempt, {source: power}, judged.name, judged.spec.f0_Hz, settings)
        attempt.stream.prepare(goal)
        yield from attempt.kickoff()
        zero_from = chamber.clock.now_s
        yield from attempt.hold(settings.baseline_s)
        zero_to = chamber.clock.now_s
        yield from attempt.move(chamber.source(source).shutter, "Open")
        window.append(Window(zero_from, zero_to, chamber.clock.now_s + settings.transient_s))
        yield from attempt.wait("rate", attempt.stream.complete)
        to = chamber.clock.now_s
        yield from attempt.move(chamber.source(source).shutter, "Closed")
        yield from attempt.finish()
        return _result(attempt, {source: power}, Window(zero_from, zero_to, window[0].from_s, to))

    return (yield from _experiment(chamber, [source], {**start, **(md or {})}, body))


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
        yield from set_pressure(attempt, pressure, settings)
        yield from attempt.hold(settings.settle_s)
        attempt.stream.prepare(StreamGoal())
        yield from attempt.kickoff()
        zero_from = chamber.clock.now_s
        yield from attempt.hold(settings.baseline_s)
        zero_to = chamber.clock.now_s
        for name in powers:
            yield from attempt.move(chamber.source(name).shutter, "Open")
        yield from attempt.hold(settings.transient_s)
        yield from attempt.move(chamber.substrate.shutter, "Open")
        begin = chamber.clock.now_s
        yield from attempt.hold(duration_s)
        yield from attempt.move(chamber.substrate.shutter, "Closed")
        window = Window(zero_from, zero_to, begin, chamber.clock.now_s)
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
    for left in reversed(range(ATTEMPTS)):
        try:
            return (yield from _run(chamber, sources, start, body))
        except Interrupted:
            if not left:
                raise
    raise AssertionError("unreachable")


def _run(chamber: Chamber, sources: Sequence[str], start: Mapping[str, Any], body: Body) -> MsgGenerator[Measurement]:
    yield from clear_interlock(chamber)
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

    try:
        safe = bpp.finalize_wrapper(inside(), lambda: make_safe(chamber))
        yield from recorded(safe, {"purpose": "experiment", **start}, opened)
    except SDLError as fault:
        fault.add_note(f"run {opened[0]}" if opened else "no run was opened")
        fault.run_uid = opened[0] if opened else ""  # type: ignore[attr-defined]
        raise
    return Measurement(opened[0], {key: reading["value"] for key, reading in found[0].read().items()})


def _goal(
    attempt: Attempt, powers: Mapping[str, float], sensor: str, f0_Hz: float, settings: SputterSettings
) -> tuple[list[Window], StreamGoal]:
    """A goal for the stream, and the list into which the plan puts the window once the shutter is open."""
    windows: list[Window] = []

    def reached(rows: Rows) -> bool:
        if not windows:
            return False
        window = windows[0]
        opened = window.open(rows)
        if not opened.any():
            return False
        check_plasma(rows, powers, opened)
        waited = float(rows["clock_time"][-1]) - window.from_s
        if waited >= settings.longest_s:
            return True
        if waited < settings.shortest_s or int(opened.sum()) < LEAST_ROWS:
            return False
        return rate(rows, sensor, f0_Hz, window).relative_std <= settings.precision

    total = settings.baseline_s + settings.transient_s + settings.longest_s
    return windows, StreamGoal(reached, timeout_s=2.0 * total + 60.0)


def _result(attempt: Attempt, powers: Mapping[str, float], window: Window, substrate: int | None = None) -> Record:
    """The primary event of an experiment."""
    chamber, rows = attempt.chamber, attempt.stream.data()
    opened = window.open(rows)
    if int(opened.sum()) < 3:
        raise DeviceError(
            f"only {int(opened.sum())} rows came in {window.to_s - window.from_s:g} s: is the IOC too slow?"
        )
    check_plasma(rows, powers, opened)
    fields: dict[str, Field] = {}
    values: dict[str, Any] = {}

    def add(key: str, value: Any, field: Field) -> None:
        fields[key], values[key] = field, value

    for name, qcm in chamber.qcms.items():
        fit: RateFit = rate(rows, name, qcm.spec.f0_Hz, window)
        add(f"{name}_rate", fit.rate, Field("number", RATE_UNIT, "slope of the frequency, zero rate taken off"))
        add(f"{name}_rate_std", fit.std, Field("number", RATE_UNIT, "standard error"))
    for name in powers:
        source = chamber.source(name)
        add(f"{name}_power", rows[f"{name}_power"][opened].mean(), Field("number", "W", "mean readback"))
        add(f"{name}_voltage", source.voltage.get(), Field("number", "V"))
        add(f"{name}_current", source.current.get(), Field("number", "A"))
        add(f"{name}_plasma", int(rows[f"{name}_plasma"][opened].min()), Field("integer", None, "1: burnt throughout"))
    add("gauge_pressure", np.nanmean(rows["gauge_pressure"][opened]), Field("number", "mTorr", "mean readback"))
    add("samples", int(opened.sum()), Field("integer"))
    add("duration_s", float(rows["clock_time"][opened][-1] - rows["clock_time"][opened][0]), Field("number", "s"))
    add("zero_from_s", window.zero_from_s, Field("number", "s", "process time"))
    add("zero_to_s", window.zero_to_s, Field("number", "s", "process time"))
    add("window_from_s", window.from_s, Field("number", "s", "process time"))
    add("window_to_s", window.to_s, Field("number", "s", "process time"))
    if substrate is not None:
        add("substrate_number", substrate, Field("integer"))
    return Record("result", fields, values)
