"""Experiments on an MOCVD reactor, each one run: grow a stack, measure a wafer, or both.

A run that grows has a stream `growth` with an event for each layer that was grown, and a primary event when everything
has ended well; a run that failed has none, so nothing is learned from it. A pause makes the reactor safe; the growth is
then done again as another run on another wafer. A pause while a wafer is measured only repeats that measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from sdl_bluesky.devices import MOCVD, LayerReadings
from sdl_bluesky.plans.mocvd.grow import grow_stack
from sdl_bluesky.plans.mocvd.measure import Columns, diffraction, joined, light
from sdl_bluesky.plans.mocvd.preflight import check_light, check_recipe, check_scan, check_wafer, required
from sdl_bluesky.plans.mocvd.recipe import LAYER, Recipe, Step
from sdl_bluesky.plans.mocvd.settings import GrowthSettings
from sdl_bluesky.plans.mocvd.work import asked, save, tries
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.stubs import run_safely

_UNITS = {"temperature": "degC", "rotation": "rpm", "pressure": "mbar"}
Body = Callable[[int], MsgGenerator[Columns]]


@dataclass(frozen=True)
class Growth:
    """What an experiment found: its run, its wafer, and the columns of its primary event."""

    uid: str
    wafer: int
    data: Mapping[str, Any]


def grow_layer(
    reactor: MOCVD | None,
    recipe: Recipe,
    settings: GrowthSettings,
    *,
    sample: str = "",
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Growth]:
    """Grow a stack on a fresh wafer; by default 200 nm InP, 200 nm InGaAsP and 65 nm InP at 650 degC and 900 rpm.

    Args:
        reactor: the machine.
        recipe: flows, conditions and thicknesses.
        settings: how it is done.
        sample: name under which the run can be found.
        md: more metadata.

    Returns:
        Run, number of the wafer, and means and standard deviations of what was read while the layer grew.

    Raises:
        OutOfRange, ServiceMissing: before anything moves.
        InterlockTripped: before anything moves, or in mid-growth; the reactor is safe and the run failed.
        SDLError: the machine's fault; likewise.
    """
    return (yield from _grown(reactor, recipe, settings, "grow_layer", sample, md, measured=False))


def grow_and_measure(
    reactor: MOCVD | None,
    recipe: Recipe,
    settings: GrowthSettings,
    *,
    sample: str = "",
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Growth]:
    """Grow a stack, then measure its PL map and its diffraction, in one run. Args, returns and errors as `grow_layer`."""
    return (yield from _grown(reactor, recipe, settings, "grow_and_measure", sample, md, measured=True))


def measure_pl(
    reactor: MOCVD | None,
    wafer: int,
    settings: GrowthSettings,
    *,
    place_mm: tuple[float, float] = (0.0, 0.0),
    sample: str = "",
    based_on: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Growth]:
    """Measure a PL map of a wafer, and the spectrum of one place.

    Args:
        reactor: the machine.
        wafer: number of the wafer, which must not be in the reactor.
        settings: how it is done.
        place_mm: x, y of the spectrum, from the middle.
        sample: name under which the run can be found.
        based_on: uid of the run that grew it.
        md: more metadata.

    Raises:
        OutOfRange, UnknownName, ServiceMissing: before anything moves.
        SDLError: the machine's fault.
    """
    machine = required(reactor)
    check_light(machine, settings, place_mm)
    start = {"exposure": settings.exposure_s, "place": list(place_mm), "pl_systematic": settings.pl_systematic_nm}
    start |= _common("measure_pl", sample, based_on)
    plan = _measured(machine, wafer, lambda n: light(machine, n, settings, place_mm), {**start, **(md or {})})
    return (yield from plan)


def measure_xrd(
    reactor: MOCVD | None,
    wafer: int,
    settings: GrowthSettings,
    *,
    sample: str = "",
    based_on: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Growth]:
    """Scan theta-2theta round the (004) reflection of a wafer. Args and errors as `measure_pl`."""
    machine = required(reactor)
    check_scan(machine, settings)
    start = {"scan": _scan(settings), "strain": settings.strain, **_common("measure_xrd", sample, based_on)}
    plan = _measured(machine, wafer, lambda n: diffraction(machine, n, settings), {**start, **(md or {})})
    return (yield from plan)


def _common(plan_name: str, sample: str, based_on: str | None = None) -> dict[str, Any]:
    return {"plan_name": plan_name, "sample": sample, **({} if based_on is None else {"based_on": based_on})}


def _scan(settings: GrowthSettings) -> dict[str, float]:
    scan = settings.scan
    return {"first": scan.first_deg, "last": scan.last_deg, "step": scan.step_deg, "time": scan.time_s}


def _measured(reactor: MOCVD, wafer: int, work: Body, start: Mapping[str, Any]) -> MsgGenerator[Growth]:
    """Measure as one run."""
    number = yield from asked(lambda: check_wafer(reactor, wafer))

    def body() -> MsgGenerator[Columns]:
        return (yield from work(number))

    return (yield from _run(reactor, number, body, {**start, "wafer_number": number}))


def _grown(
    reactor: MOCVD | None,
    recipe: Recipe,
    settings: GrowthSettings,
    plan_name: str,
    sample: str,
    md: Mapping[str, Any] | None,
    *,
    measured: bool,
) -> MsgGenerator[Growth]:
    """Check, then grow as one run; after an interruption as another one."""
    machine = required(reactor)
    steps = check_recipe(machine, recipe, settings)
    if measured:
        check_scan(machine, settings)
        check_light(machine, settings)
    start = {
        **_common(plan_name, sample),
        "flows": {f"f_{name}": flow for name, flow in recipe.flows.items()},
        "recipe": recipe.as_document(),
        "stack": [step.as_document() for step in steps],
        "growth_rates": {"in": settings.rates.indium, "ga": settings.rates.gallium},
        "strain": settings.strain,
        "pl_systematic": settings.pl_systematic_nm,
        **({"scan": _scan(settings), "exposure": settings.exposure_s} if measured else {}),
        **(md or {}),
    }

    def once() -> MsgGenerator[Growth]:
        wafer, maintenance = yield from asked(lambda: (machine.wafers.newest() + 1, machine.wafers.maintained()))

        def body() -> MsgGenerator[Columns]:
            kept: dict[str, Any] = {}
            record = Record("layer", _layer_fields(machine))

            def note(step: Step, readings: LayerReadings, seconds: float) -> MsgGenerator[None]:
                values = _layer_values(step, readings, seconds)
                record.put(values)
                yield from save(record, "growth")
                if step.name == LAYER:
                    kept.update(values)

            yield from grow_stack(machine, recipe, steps, settings, wafer, note)
            own: dict[str, Field] = {
                "wafer_number": Field("integer"),
                "maintenance_number": Field("integer", None, "maintenances before this growth"),
            }
            layer = (
                {**own, **_layer_fields(machine)},
                {"wafer_number": wafer, "maintenance_number": maintenance, **kept},
            )
            if not measured:
                return joined(layer)
            seen = yield from light(machine, wafer, settings, (0.0, 0.0))
            scanned = yield from diffraction(machine, wafer, settings)
            return joined(layer, seen, scanned)

        told = {**start, "wafer_number": wafer, "maintenance_number": maintenance}
        return (yield from _run(machine, wafer, body, told))

    return (yield from tries(machine, once, growth=True))


def _run(
    reactor: MOCVD, wafer: int, body: Callable[[], MsgGenerator[Columns]], start: Mapping[str, Any]
) -> MsgGenerator[Growth]:
    opened: list[str] = []
    found: list[Record] = []
    everything: list[Any] = list(reactor.baseline)

    def inside() -> MsgGenerator[None]:
        yield from bps.trigger_and_read(everything, name="baseline")
        fields, values = yield from body()
        record = Record("result", fields, values)
        yield from save(record, "primary")
        found.append(record)
        yield from bps.trigger_and_read(everything, name="baseline")

    yield from run_safely(reactor, inside(), start, opened)
    return Growth(opened[0], wafer, {key: reading["value"] for key, reading in found[0].read().items()})


def _layer_fields(reactor: MOCVD) -> dict[str, Field]:
    fields: dict[str, Field] = {
        "layer_name": Field("string"),
        "layer_duration": Field("number", "s", "with group III in run, by the growth clock"),
        "layer_thickness_asked": Field("number", "nm"),
        "layer_ticks": Field("integer", None, "readings in the means"),
    }
    for name in (*(f"{line}_flow" for line in reactor.flows), *_UNITS):
        unit = _UNITS.get(name, "sccm")
        fields[name] = Field("number", unit, "mean over the layer", hinted=name in ("ga_flow", "as_flow"))
        fields[f"{name}_std"] = Field("number", unit, "standard deviation of the readings over the layer")
    return fields


def _layer_values(step: Step, readings: LayerReadings, seconds: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "layer_name": step.name,
        "layer_duration": seconds,
        "layer_thickness_asked": step.thickness_nm,
        "layer_ticks": readings.ticks,
    }
    for name, mean in readings.mean.items():
        values |= {name: mean, f"{name}_std": readings.std[name]}
    return values
