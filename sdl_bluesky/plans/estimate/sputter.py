"""What a campaign on the sputter chamber takes: its own plan and its own agents are rehearsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.errors import OutOfRange, SDLError
from sdl_bluesky.physics.composition import mass_densities
from sdl_bluesky.physics.flux import deposition_flux
from sdl_bluesky.plans.campaign import run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile, Target
from sdl_bluesky.plans.estimate.amounts import NOTHING, Amount, Estimate, Sum
from sdl_bluesky.plans.estimate.habits import Learned
from sdl_bluesky.plans.estimate.rehearsal import Bench, again, like
from sdl_bluesky.plans.estimate.walk import Rehearsed
from sdl_bluesky.plans.knowledge import TARGET
from sdl_bluesky.plans.preflight import check_campaign
from sdl_bluesky.plans.rbs_settings import RBSSettings

MOST_REHEARSED = 25
"""Experiments of one source that are rehearsed; those beyond are taken to be like these."""
CHOICE = 0.1
"""Points that agents choose of other rates than those of the rehearsal change means by so much."""
MEASURED_PLACES = 4
"""Places at which a film is measured beside the wanted ones."""


def check_sputter(bench: Bench, spec: CampaignFile) -> None:
    """Check a campaign against the lab file alone; the errors are those of `plans.preflight.check_campaign`."""
    chamber, _ = bench.walk()
    check_campaign(
        chamber,  # type: ignore[arg-type]
        spec,
        bench.settings,
        geometry=bench.geometry,
        end_station=bench.rbs is not None,
    )


def estimate_sputter(bench: Bench, spec: CampaignFile) -> Estimate:
    """What a campaign takes.

    Args:
        bench: the chamber.
        spec: a checked campaign file.

    Raises:
        UnknownName, OutOfRange, ServiceMissing, CampaignError: the campaign cannot be done; nothing was moved.
    """
    check_sputter(bench, spec)
    runs, problem = _rehearsed(bench, spec)
    total = Sum()
    for source, learn in spec.learn.items():
        mine = _of(runs, f"learn:{source}")
        capped = min(learn.experiments, MOST_REHEARSED)
        expected = len(mine) * (learn.experiments / capped if len(mine) == capped else 1.0)
        low = min(3.0, expected) if learn.tolerance is not None else expected
        early = learn.tolerance is not None or learn.target_life is not None
        _add(bench, total, mine, Amount(low, expected, float(learn.experiments) if early else expected))
    if spec.check_count:
        powers, pressure = _middle(spec)
        checks = _of(runs, CHECK) or [like("measure_total", powers, pressure)]
        _add(bench, total, checks, Amount.exactly(float(spec.check_count)))
    films = _films(bench, spec, total, runs)
    if films.high > 0:
        total.add("films", films)
        total.add("substrates", films)
    return _finished(bench, spec, total, problem)


def _of(runs: Sequence[Rehearsed], stage: str) -> list[Rehearsed]:
    return [k for k in runs if k.start.get("stage") == stage]


def _rehearsed(bench: Bench, spec: CampaignFile) -> tuple[list[Rehearsed], str]:
    """The runs of the campaign as its own plan and agents do them; and what ended it early, if anything did."""
    learn = {k: v.model_copy(update={"experiments": min(v.experiments, MOST_REHEARSED)}) for k, v in spec.learn.items()}
    target = None if spec.target is None else spec.target.model_copy(update={"measure": None})
    shorter = spec.model_copy(update={"learn": learn, "target": target})
    chamber, walk = bench.walk()
    try:
        walk.through(run_campaign(chamber, shorter, bench.settings, geometry=bench.geometry))  # type: ignore[arg-type]
    except SDLError as fault:
        if not walk.runs:
            raise
        return walk.runs, f"the rehearsal ended early: {fault}"
    return walk.runs, ""


def _films(bench: Bench, spec: CampaignFile, total: Sum, runs: Sequence[Rehearsed]) -> Amount:
    """Add the films up; returns how many."""
    powers, pressure = _middle(spec)
    if spec.deposit is not None:
        film = like("cosputter", powers, pressure, spec.deposit.duration)
        _add(bench, total, [film], Amount.exactly(1.0), chosen=False)
        return Amount.exactly(1.0)
    target = spec.target
    if target is None:
        return NOTHING
    made, known, most = _of(runs, TARGET), bench.habits.films, float(target.depositions)
    usual = known.factor if known.runs else float(len(made)) or min(most, 2.0)
    films = Amount(1.0, min(max(usual, 1.0), most), most)
    duration = target.duration or _duration(bench, target, powers, pressure)
    _add(bench, total, made or [like("cosputter", powers, pressure, duration)], films)
    if target.measure is not None and bench.rbs is not None:
        _add_rbs(bench, bench.rbs, total, len(target.wanted().points_mm) + MEASURED_PLACES, films)
    return films


def _add_rbs(bench: Bench, rbs: RBSSettings, total: Sum, points: int, films: Amount) -> None:
    middle = (rbs.charge_uC * rbs.longest_uC) ** 0.5
    least = max(films.low - 1.0, 0.0)  # a film that is good enough is not measured
    charge = Amount(rbs.charge_uC * least, middle * films.expected, rbs.longest_uC * films.high).times(*[points] * 3)
    total.add("rbs_charge", charge)
    hours = 1e3 / bench.habits.beam_nA / 3600.0
    total.add("rbs_time", charge.times(hours / 1.1, hours, hours * 1.1))


def _middle(spec: CampaignFile) -> tuple[dict[str, float], float]:
    """Powers and pressure of a film that is not designed yet: the middle of what is learned."""
    if spec.deposit is not None:
        return dict(spec.deposit.powers), spec.deposit.pressure
    target, names = spec.target, spec.film_sources
    if not names:
        return {}, 0.0
    low = max(spec.learn[k].pressure[0] for k in names if k in spec.learn)
    high = min(spec.learn[k].pressure[1] for k in names if k in spec.learn)
    pressure = target.pressure if target is not None and target.pressure is not None else (low * high) ** 0.5
    return {k: sum(spec.learn[k].power) / 2.0 for k in names}, pressure


def _duration(bench: Bench, target: Target, powers: Mapping[str, float], pressure: float) -> float:
    """Seconds for a thickness, elements side by side, at the middle of the wafer."""
    chamber, _ = bench.walk()
    chamber.gas.flow.position = pressure * bench.settings.flow_per_pressure
    rate = 0.0  # cm/s
    for name, power in powers.items():
        source = chamber.source(name)
        source.burns, source.power.position = True, power
        spec = source.spec
        here = float(np.mean(chamber.rates(name)))
        at = [
            deposition_flux(1.0, bench.habits.exponent, spec.position_cm, spec.axis, p, [0.0, 0.0, 1.0])
            for p in ([[0.0, 0.0, 0.0]], chamber.places)
        ]
        rate += here * float(at[0][0]) / float(np.mean(at[1])) * 1e-9 / float(mass_densities([spec.element])[0])
    if rate <= 0 or target.thickness is None:
        raise OutOfRange("target: no thickness can be reached from these sources: name others")
    return target.thickness * 1e-7 / rate


def _add(bench: Bench, total: Sum, runs: Sequence[Rehearsed], count: Amount, *, chosen: bool = True) -> None:
    """Add runs up: their mean times how many there will be, bounds from slower and faster rates; wider where somebody is
    still to choose the points.
    """
    if not runs or count.high == 0:
        return
    starts = [k.start for k in runs]
    slow, fast = again(bench, starts, 0.0), again(bench, starts, 2.0)
    even = runs if all(k.process_s > 0 for k in runs) else again(bench, starts)
    total.add("experiments", count)
    for name in sorted({k for run in even for k in run.used} | {"process_time", "between", "argon_between"}):
        means = [_mean(bench, each, name) for each in (slow, even, fast)]
        if name in ("between", "argon_between"):
            means = [_mean(bench, runs, name)] * 3
        amount = Amount(min(means), means[1], max(means)).times(count.low, count.expected, count.high)
        if _is_time(name):
            amount = timed(amount, bench.habits.times)
        elif name in ("between", "argon_between"):
            amount = amount.times(0.3, 1.0, 3.0)
        if chosen and name.partition(":")[0] in ("energy", "life", "gas"):
            amount = amount.times(1.0 - CHOICE, 1.0, 1.0 + CHOICE)
        if not name.startswith("mass") and name != "substrates":
            total.add(_public(name), amount)


def _is_time(name: str) -> bool:
    return name in ("process_time", "gas") or name.startswith("energy")


def timed(amount: Amount, times: Learned) -> Amount:
    """Something that goes with time, corrected by what was learned of times; bounds of two standard deviations."""
    f = times.factor
    return amount.times(f * (1.0 - 2.0 * times.spread), f, f * (1.0 + 2.0 * times.spread))


def _mean(bench: Bench, runs: Sequence[Rehearsed], name: str) -> float:
    if name == "process_time":
        values = [k.process_s / 3600.0 for k in runs]
    elif name == "between":
        values = [k.thought_s * bench.habits.speed / 3600.0 for k in runs]
    elif name == "argon_between":
        values = [k.thought_s * bench.habits.speed / 60.0 * _flow(bench, k) / 1000.0 for k in runs]
    else:
        values = [k.used.get(name, 0.0) / (1000.0 if name == "gas" else 1.0) for k in runs]
    return float(np.mean(values))


def _flow(bench: Bench, run: Rehearsed) -> float:
    return float(run.start["pressure"]) * (bench.habits.flow_per_pressure or bench.settings.flow_per_pressure)


def _public(name: str) -> str:
    kind, colon, whose = name.partition(":")
    return {"life": "crystal_life", "gas": "argon"}.get(kind, kind) + colon + whose


def _finished(bench: Bench, spec: CampaignFile, total: Sum, problem: str) -> Estimate:
    warnings = [problem] if problem else []
    for name, learn in spec.learn.items():
        energy = total.amounts.get(f"energy:{name}")
        if learn.target_life is None or energy is None:
            continue
        end = bench.habits.energy_kWh.get(name, 0.0) + energy.high
        if end > learn.target_life:
            warnings.append(
                f"target of {name}: {end:.3g} kWh at the end at most, more than its target_life of {learn.target_life:g} "
                "kWh: its stage may end early; replace the target before, or ask for fewer experiments"
            )
    for name, amount in total.amounts.items():
        kind, _, sensor = name.partition(":")
        left = bench.habits.life_percent.get(sensor, 100.0)
        if kind == "crystal_life" and amount.high > left:
            often = "is used up" if amount.expected > left else "may be used up"
            warnings.append(
                f"crystal of {sensor} {often}: {amount.expected:.3g} % of a crystal's life (up to {amount.high:.3g} %), "
                f"and {left:.3g} % are left: replace it before, or ask for fewer experiments"
            )
    basis = bench.habits.basis(list(spec.learn))
    if any(learn.extinction is not None for learn in spec.learn.values()):
        basis.append("every plasma is taken to burn at every point that is tried")
    return Estimate(total.amounts, tuple(basis), tuple(warnings))
