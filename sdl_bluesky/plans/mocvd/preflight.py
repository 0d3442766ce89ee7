"""Checks of a growth or a measurement before anything moves. Every fault is a typed error that says what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sdl_bluesky.devices import MOCVD, AnyInterlock
from sdl_bluesky.devices.mocvd.gases import ReactorInterlock
from sdl_bluesky.errors import DeviceError, InterlockTripped, OutOfRange, ServiceMissing, UnknownName
from sdl_bluesky.plans.mocvd.recipe import LAYER, Recipe, Step, steps
from sdl_bluesky.plans.mocvd.settings import GrowthSettings
from sdl_bluesky.plans.preflight import check_positive

_POSITIVE = {
    **dict.fromkeys(("f_in", "f_p", "f_h2"), "sccm"),
    "temperature": "degC",
    "ramp": "degC/s",
    "rotation": "rpm",
    "pressure": "mbar",
    "layer": "nm",
}


def required(reactor: MOCVD | None) -> MOCVD:
    """The reactor, if there is one.

    Raises:
        ServiceMissing: the lab has none, or it does not answer.
    """
    if reactor is None:
        raise ServiceMissing(
            "no MOCVD reactor: the lab has none, or its IOC does not answer (`sdl up`); nothing was moved"
        )
    return reactor


def check_recipe(reactor: MOCVD, recipe: Recipe, settings: GrowthSettings) -> tuple[Step, ...]:
    """Check a recipe against the reactor's limits and against itself; asks the machine for nothing.

    Returns:
        The layers that it makes.

    Raises:
        OutOfRange: names the number that is not possible, and what would be.
    """
    for name, unit in _POSITIVE.items():
        check_positive(name, _plain(getattr(recipe, name)), unit)
    for name in ("f_ga", "f_as", "buffer", "cap"):
        _check_not_negative(name, getattr(recipe, name))
    for name, flow in recipe.flows.items():
        reactor.flows[name].check_value(flow)
    reactor.susceptor.temperature.check_value(recipe.temperature)
    reactor.susceptor.ramp.check_value(recipe.ramp)
    reactor.vessel.rotation.check_value(recipe.rotation)
    reactor.vessel.pressure.check_value(recipe.pressure)
    if recipe.temperature <= reactor.spec.protect_degC:
        raise OutOfRange(
            f"temperature: nothing grows at {recipe.temperature:g} degC; give more than {reactor.spec.protect_degC:g} degC"
        )
    if recipe.f_h2 < settings.least_carrier_sccm:
        raise OutOfRange(
            f"f_h2: {recipe.f_h2:g} sccm of carrier; {settings.least_carrier_sccm:g} sccm are needed; nothing was moved"
        )
    found = steps(recipe, settings.rates)
    for step in found:
        _check_group_v(recipe, step, settings.least_v_iii)
        reactor.growth.check_value(step.seconds)
    return found


def check_scan(reactor: MOCVD, settings: GrowthSettings) -> None:
    """Check what a diffraction scan would cover.

    Raises:
        OutOfRange: it is no scan, or beyond limits.
    """
    reactor.diffractometer.check_range(settings.scan)


def check_light(reactor: MOCVD, settings: GrowthSettings, place_mm: tuple[float, float] = (0.0, 0.0)) -> None:
    """Check exposure and place of a PL measurement.

    Raises:
        OutOfRange: beyond limits.
    """
    mapper = reactor.mapper
    check_positive("exposure", _plain(settings.exposure_s), "s")
    mapper.exposure.check_value(settings.exposure_s)
    for axis, mm in zip((mapper.x, mapper.y), place_mm, strict=True):
        axis.check_value(mm)


def check_ready(reactor: MOCVD) -> None:
    """Ask the reactor whether a growth may begin.

    Raises:
        StaleReading, Disconnected: its IOC hangs or is gone.
        InterlockTripped: the gas system has tripped, and no person has acknowledged it.
        DeviceError: a growth goes on already.
        AlarmError: a reading of the gas system or the reactor means nothing.
    """
    reactor.liveness.check()
    refuse_alarm(reactor.interlock)
    if reactor.growth.busy:
        raise DeviceError(f"{reactor.name}: a growth goes on already: let it end, or stop it; nothing was moved")
    for device in (reactor.gas_system, reactor.susceptor, reactor.vessel, reactor.carrier):
        device.read()


def refuse_alarm(interlock: AnyInterlock) -> None:
    """Refuse to go on after a trip of the gas system, which a person has to look at; one of the heartbeat is none.

    Raises:
        InterlockTripped: it is tripped by something else than the heartbeat.
    """
    if isinstance(interlock, ReactorInterlock) and interlock.alarm:
        raise InterlockTripped(
            f"{interlock.explain()}: a person looks at the gas system, and then does `{interlock.name}.reset()`"
        )


def check_wafer(reactor: MOCVD, wafer: Any) -> int:
    """Ask whether a wafer can be measured.

    Raises:
        OutOfRange: that is not the number of a wafer, or it is in the reactor.
        UnknownName: there is no such wafer.
        StaleReading, Disconnected: the IOC hangs or is gone.
    """
    number = reactor.mapper.holder.check_number(wafer)
    newest = reactor.wafers.newest()
    if number > newest:
        known = [str(n) for n in range(1, newest + 1)]
        raise UnknownName("wafer", str(number), known if len(known) <= 8 else [known[0], "...", known[-1]])
    if number == reactor.wafers.loaded():
        raise OutOfRange(f"wafer {number} is in the reactor: take it out first; nothing was moved")
    return number


def _check_not_negative(name: str, value: Any) -> None:
    value = _plain(value)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0:
        raise OutOfRange(f"{name} is {value!r}: give a finite number, 0 or more; nothing was moved")


def _check_group_v(recipe: Recipe, step: Step, least: float) -> None:
    hydrides = recipe.f_p + (recipe.f_as if step.arsenic else 0.0)
    metals = recipe.f_in + (recipe.f_ga if step.name == LAYER else 0.0)
    if hydrides < least * metals:
        raise OutOfRange(
            f"{step.name}: {hydrides:g} sccm of hydrides for {metals:g} sccm of metals; {least:g} times as much is needed, "
            f"{least * metals:g} sccm: give more f_p; nothing was moved"
        )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
