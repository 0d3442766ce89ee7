"""Checks before anything moves: names, numbers, limits, interlock. Every fault is a typed error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sdl_bluesky.devices import Chamber
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.plans.campaign_file import CampaignFile
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


def check_campaign(chamber: Chamber, spec: CampaignFile, settings: SputterSettings) -> None:
    """Check every corner of a campaign: its sources, its sensor, the ends of its ranges, its film.

    Raises:
        UnknownName, OutOfRange: as `check_conditions`.
    """
    if spec.sensor is not None and spec.sensor not in chamber.qcms:
        raise UnknownName("sensor", spec.sensor, list(chamber.qcms))
    for name, learn in spec.learn.items():
        for power, pressure in zip(learn.power, learn.pressure, strict=True):
            check_conditions(chamber, {name: power}, pressure, settings)
    if spec.deposit is not None:
        check_conditions(chamber, spec.deposit.powers, spec.deposit.pressure, settings)
        missing = sorted(set(spec.deposit.powers) - set(spec.learn))
        if missing:
            raise UnknownName("source of the film among those learned", missing[0], list(spec.learn))
