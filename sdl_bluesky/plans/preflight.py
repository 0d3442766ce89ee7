"""Checks before anything moves: names, numbers, limits, interlock. Every fault is a typed error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdl_bluesky.data.yamlfile import at
from sdl_bluesky.devices import Chamber
from sdl_bluesky.errors import CampaignError, OutOfRange, ServiceMissing, UnknownName
from sdl_bluesky.plans.campaign_file import CampaignFile, Target
from sdl_bluesky.plans.settings import SputterSettings


def check_positive(what: str, value: float, unit: str) -> None:
    """Refuse what is not a finite number above zero.

    Raises:
        OutOfRange: names the quantity.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise OutOfRange(f"{what} is {value!r}: give a number above 0 {unit}; nothing was moved")


def check_conditions(chamber: Chamber, powers: Mapping[str, float], pressure: float, settings: SputterSettings) -> None:
    """Check sources, powers [W] and pressure [mTorr] against the chamber's names and limits.

    Raises:
        UnknownName: a source that the chamber does not have.
        OutOfRange: a power or the pressure is not a positive number or is out of limits.
    """
    for name, power in powers.items():
        source = chamber.source(name)
        check_positive(f"power of {name}", power, "W")
        source.power.check_value(power)
        source.power.check_value(min(settings.ignition_power_W, source.spec.max_power_W))
    check_positive("pressure", pressure, "mTorr")
    for target in (pressure, settings.ignition_pressure_mTorr):
        chamber.gas.flow.check_value(target * settings.flow_per_pressure)


def check_campaign(
    chamber: Chamber,
    spec: CampaignFile,
    settings: SputterSettings,
    *,
    geometry: Mapping[str, Any] | None = None,
    end_station: bool = False,
) -> None:
    """Check every corner of a campaign: its sources, its sensor, the ends of its ranges, its film.

    Args:
        chamber: the machine.
        spec: the campaign file.
        settings: how experiments are done.
        geometry: of the chamber, as in start documents; None if it is not known.
        end_station: whether films can be measured by backscattering.

    Raises:
        UnknownName, OutOfRange: as `check_conditions`; or a target wants what was not learned.
        ServiceMissing: a film shall be measured, but there is no end station.
        CampaignError: a film is to be designed or checked, but the geometry is not known.
    """
    with at("sensor"):
        if spec.sensor is not None and spec.sensor not in chamber.qcms:
            raise UnknownName("sensor", spec.sensor, list(chamber.qcms))
    for name, learn in spec.learn.items():
        with at("learn", name):
            for power, pressure in zip(learn.power, learn.pressure, strict=True):
                check_conditions(chamber, {name: power}, pressure, settings)
    if spec.deposit is not None:
        with at("deposit", "powers"):
            missing = sorted(set(spec.deposit.powers) - set(spec.learn))
            if missing:
                raise UnknownName("source of the film among those learned", missing[0], list(spec.learn))
        with at("deposit"):
            check_conditions(chamber, spec.deposit.powers, spec.deposit.pressure, settings)
    if spec.target is not None:
        with at("target"):
            _check_target(chamber, spec, spec.target, end_station)
    if geometry is None and (spec.target is not None or spec.check_count):
        raise CampaignError(
            "checks and targets need the geometry of the chamber: run the campaign in a session of its lab"
        )


def _check_target(chamber: Chamber, spec: CampaignFile, target: Target, end_station: bool) -> None:
    for name in spec.film_sources:
        if name not in spec.learn:
            raise UnknownName("source of the film among those learned", name, list(spec.learn))
    made = list(dict.fromkeys(chamber.source(name).spec.element for name in spec.film_sources))
    for element, percent in target.composition.items():
        if percent > 0.0 and element not in made:
            raise UnknownName("element of the target among those of the learned sources", element, made)
    low = max(spec.learn[name].pressure[0] for name in spec.film_sources)
    high = min(spec.learn[name].pressure[1] for name in spec.film_sources)
    if low > high:
        raise OutOfRange(
            f"the sources {', '.join(spec.film_sources)} are not learned at any common pressure: widen their ranges"
        )
    if target.pressure is not None and not low <= target.pressure <= high:
        raise OutOfRange(
            f"target: a pressure of {target.pressure:g} mTorr is not learned ({low:g} to {high:g} mTorr); nothing was moved"
        )
    if target.measure is not None and not end_station:
        raise ServiceMissing("target: `measure: rbs` needs an RBS end station: the lab has none, or it does not answer")
