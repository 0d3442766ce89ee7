"""Experiments of the sputter chamber rehearsed with their own plans, on a chamber made of the lab file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sdl_bluesky.devices.spec import ChamberSpec
from sdl_bluesky.plans.estimate.chamber import RehearsedChamber
from sdl_bluesky.plans.estimate.habits import Habits
from sdl_bluesky.plans.estimate.walk import Rehearsed, Walk
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.sputter import cosputter, measure_rate, measure_total


@dataclass(frozen=True)
class Bench:
    """A chamber as the lab file describes it.

    Attributes:
        spec: sources, sensors, limits.
        settings: how experiments are done.
        habits: what is assumed and learned besides.
        rbs: how films are measured; None without an end station.
        geometry: as in start documents.
    """

    spec: ChamberSpec
    settings: SputterSettings
    habits: Habits
    rbs: RBSSettings | None = None
    geometry: Mapping[str, Any] | None = None

    def walk(self, factor: float = 1.0) -> tuple[RehearsedChamber, Walk]:
        """A new chamber and somebody who works it; all rates times a factor."""
        habits, names = self.habits, [s.name for s in self.spec.sources]
        rates = {k: replace(habits.rate(k), factor=habits.rate(k).factor * self._by(k, factor)) for k in names}
        chamber = RehearsedChamber(self.spec, replace(habits, rates=rates), self.settings.flow_per_pressure)
        return chamber, Walk(chamber.course)

    def _by(self, source: str, sigmas: float) -> float:
        return (1.0 + self.habits.rate(source).spread) ** (sigmas - 1.0)


def like(plan: str, powers: Mapping[str, float], pressure: float, duration: float = 0.0) -> Rehearsed:
    """A run that is still to be rehearsed."""
    start = {"plan_name": plan, "powers": dict(powers), "pressure": pressure, "duration": duration}
    return Rehearsed(start, 0.0, {}, 0.0, "success")


def again(bench: Bench, starts: Sequence[Mapping[str, Any]], sigmas: float = 1.0) -> list[Rehearsed]:
    """Experiments of the sputter chamber rehearsed, one after the other, from their start documents.

    Args:
        bench: the chamber.
        starts: of runs of measure_rate, measure_total and cosputter.
        sigmas: 1: rates as they are; 0 and 2: lower and higher by their spread.
    """
    chamber, walk = bench.walk(sigmas)
    machine: Any = chamber
    for start in starts:
        pressure, told = float(start["pressure"]), {k: start[k] for k in ("stage",) if k in start}
        if start["plan_name"] == "measure_rate":
            [source] = start["sources"]
            plan = measure_rate(machine, source, float(start["power"]), pressure, bench.settings, md=told)
        elif start["plan_name"] == "measure_total":
            plan = measure_total(machine, start["powers"], pressure, bench.settings, md=told)
        else:
            duration = float(start["duration"])
            plan = cosputter(machine, start["powers"], pressure, duration, bench.settings, sample="", md=told)
        walk.through(plan)
    return walk.runs
