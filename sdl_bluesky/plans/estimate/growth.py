"""What a growth campaign takes: layers at several flows of its bounds are rehearsed with the reactor's own plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdl_bluesky.devices.mocvd.spec import MOCVDSpec
from sdl_bluesky.plans.estimate.amounts import Amount, Estimate, Sum
from sdl_bluesky.plans.estimate.habits import Habits
from sdl_bluesky.plans.estimate.reactor import RehearsedReactor
from sdl_bluesky.plans.estimate.sputter import timed
from sdl_bluesky.plans.estimate.walk import Rehearsed, Walk
from sdl_bluesky.plans.growth.campaign import growth_agent
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.mocvd.experiment import grow_and_measure
from sdl_bluesky.plans.mocvd.preflight import check_recipe
from sdl_bluesky.plans.mocvd.settings import GrowthSettings, recipe_for

USUAL_RUNS = 5.0
"""Runs that a target is assumed to take where no earlier campaign tells."""


@dataclass(frozen=True)
class ReactorBench:
    """A reactor as the lab file describes it; see `sputter.Bench`."""

    spec: MOCVDSpec
    settings: GrowthSettings
    habits: Habits


def check_growth(bench: ReactorBench, spec: GrowthFile) -> None:
    """Check every corner of a growth campaign against the lab file alone.

    Raises:
        OutOfRange: names the number that is not possible; nothing was moved.
    """
    reactor: Any = RehearsedReactor(bench.spec, bench.habits)
    for f_ga in spec.grow.f_ga:
        for f_as in spec.grow.f_as:
            check_recipe(reactor, recipe_for(bench.settings, f_ga, f_as), bench.settings)


def estimate_growth(bench: ReactorBench, spec: GrowthFile) -> Estimate:
    """What a growth campaign takes.

    Raises:
        OutOfRange: as `check_growth`.
    """
    check_growth(bench, spec)
    grow, known = spec.grow, bench.habits.layers
    first = float(len(grow.preliminary))
    usual = known.factor if known.runs else USUAL_RUNS
    counts = Amount(
        first + len(grow.targets),
        first + sum(min(float(k.runs), usual) for k in grow.targets),
        first + sum(float(k.runs) for k in grow.targets),
    )
    ends = [(grow.f_ga[0], grow.f_as[0]), (sum(grow.f_ga) / 2, sum(grow.f_as) / 2), (grow.f_ga[1], grow.f_as[1])]
    designed = designed_runs(spec)[: int(counts.low - first)]
    layers = regrown(bench, [*((k.f_ga, k.f_as) for k in grow.preliminary), *designed, *ends])
    known_ones, each = layers[: -len(ends)], layers[-len(ends) :]
    first += len(designed)
    total = Sum()
    total.add("experiments", counts)
    names = sorted({k for run in each for k in run.used if k.startswith("flow:")})
    for name in ["process_time", *names]:
        values = [_of(k, name) for k in each]
        one = Amount(min(values), values[1], max(values))
        told = Amount.exactly(sum(_of(k, name) for k in known_ones))
        searched = one.times(counts.low - first, counts.expected - first, counts.high - first)
        total.add(name, timed(told + searched, bench.habits.growth_times))
    total.add("wafers", counts)
    basis = [f"runs to a target: {usual:.1f} " + (f"in {known.runs} earlier one(s)" if known.runs else "(assumed)")]
    return Estimate(total.amounts, (*basis, *bench.habits.known))


def designed_runs(spec: GrowthFile) -> list[tuple[float, float]]:
    """Flows of Ga and As [sccm] that the agent will take whatever the layers before tell: those of its first design."""
    grow = spec.grow
    if grow.earlier:
        return []  # it knows layers already
    agent = growth_agent(spec)
    told = {"wavelength": grow.targets[0].wavelength, "lattice": grow.targets[0].lattice}
    agent.ingest([{"f_ga": k.f_ga, "f_as": k.f_as, **told} for k in grow.preliminary])
    found: list[tuple[float, float]] = []
    while len(found) < grow.targets[0].runs:
        [point] = agent.suggest(1)
        if agent.explain()["acquisition"]["name"] != "initial design":
            break
        found.append((point["f_ga"], point["f_as"]))
        agent.ingest([{**point, **told}])
    return found


def _of(run: Rehearsed, name: str) -> float:
    """Hours, or litres of a line."""
    return run.process_s / 3600.0 if name == "process_time" else run.used.get(name, 0.0) / 1000.0


def regrown(bench: ReactorBench, flows: list[tuple[float, float]]) -> list[Rehearsed]:
    """Layers rehearsed, one after the other, at flows of Ga and As [sccm]."""
    machine = RehearsedReactor(bench.spec, bench.habits)
    machine.carrier.flow.position = bench.settings.recipe.f_h2
    walk = Walk(machine.course)
    reactor: Any = machine
    for f_ga, f_as in flows:
        recipe = recipe_for(bench.settings, f_ga, f_as)
        walk.through(grow_and_measure(reactor, recipe, bench.settings))
    return walk.runs
