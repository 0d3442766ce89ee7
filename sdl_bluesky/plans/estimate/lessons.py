"""What earlier runs of the catalogue tell of a machine: rates, the pump, crystals, how long things take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.data.campaigns import start_of, stop_of
from sdl_bluesky.data.catalogue import find_run, find_runs, read_table
from sdl_bluesky.plans.estimate.growth import ReactorBench, regrown
from sdl_bluesky.plans.estimate.habits import Habits, Learned
from sdl_bluesky.plans.estimate.rehearsal import Bench, again
from sdl_bluesky.plans.estimate.used import Told, tell

if TYPE_CHECKING:
    from tiled.client.container import Container

NEWEST = 6
"""Runs of each plan, and of each source, that are read, the newest ones."""
TIMED = 8
"""Of these, runs that are rehearsed to compare times."""
LEAST_SPREAD = 0.03
LEAST_FLOWS = 4
LEAST_ROWS = 10
HEARD = 4
"""Runs whose rows are read."""
TOGETHER = ("measure_total", "cosputter")


def learn_chamber(bench: Bench, client: Container, lab_sha256: str, sources: Iterable[str]) -> Bench:
    """A chamber with what its earlier runs tell of some sources; times only of runs under the same lab file."""
    runs = [run for name in sources for run in _newest(client, "measure_rate", source=name)]
    runs += [run for plan in TOGETHER for run in _newest(client, plan)]
    if not runs:
        return bench
    habits = replace(bench.habits, **_pump(bench, runs), **_crystals(bench, runs), **_noise(bench, client, runs))
    habits = replace(habits, rates=_rates(replace(bench, habits=habits), runs))
    habits = replace(habits, **_beam(client), films=_films(client))
    bench = replace(bench, habits=habits)
    same = [k for k in runs if k.start.get("lab_sha256") == lab_sha256]
    chosen = sorted(same, key=lambda k: float(k.start["time"]))[-TIMED:]
    rehearsed = [k.process_s for k in again(bench, [k.start for k in chosen])] if chosen else []
    return replace(bench, habits=_timed(habits, "times", [k.process_s for k in chosen], rehearsed))


def learn_growth(bench: ReactorBench, client: Container, lab_sha256: str) -> ReactorBench:
    """A reactor with what its earlier runs tell."""
    runs = _newest(client, "grow_and_measure")
    habits = replace(bench.habits, layers=_counted(client, "grow_and_measure", "grow:"))
    same = [k for k in runs if k.start.get("lab_sha256") == lab_sha256][-TIMED:]
    flows = [(float(k.start["recipe"]["f_ga"]), float(k.start["recipe"]["f_as"])) for k in same]
    rehearsed = [k.process_s for k in regrown(bench, flows)] if flows else []
    return replace(bench, habits=_timed(habits, "growth_times", [k.process_s for k in same], rehearsed))


def _newest(client: Container, plan: str, source: str | None = None) -> list[Told]:
    """The newest runs of a plan that ended well."""
    found: Any = find_runs(client, plan_name=plan, source=source)
    good = [run for run in found.values().tail(NEWEST) if (stop_of(run) or {}).get("exit_status") == "success"]
    return [k for k in map(tell, good) if k is not None and k.process_s > 0]


def _timed(habits: Habits, name: str, used: Sequence[float], rehearsed: Sequence[float]) -> Habits:
    if not used:
        return habits
    ratios = np.array(used) / np.array(rehearsed)
    spread = float(np.std(ratios) / len(ratios) ** 0.5) if len(ratios) > 1 else 0.05
    factor = float(np.sum(used) / np.sum(rehearsed))
    told = f"times: {factor:.2f} times those of the plan's steps, from {len(used)} earlier run(s)"
    found = {name: Learned(factor, max(spread, LEAST_SPREAD), len(used)), "known": (*habits.known, told)}
    return replace(habits, **found)  # type: ignore[arg-type]


def _rates(bench: Bench, runs: Iterable[Told]) -> dict[str, Learned]:
    """Of each source that was measured alone: measured over assumed, and the scatter."""
    logs: dict[str, list[float]] = {}
    chamber, _ = bench.walk()
    for run in runs:
        if run.start["plan_name"] != "measure_rate" or not run.result:
            continue
        [name] = run.start["sources"]
        if name not in chamber.sources:
            continue
        source = chamber.source(name)
        source.burns, source.power.position = True, float(run.result[f"{name}_power"])
        chamber.gas.flow.position = float(run.last.get("gas_flow", 0.0))
        model = chamber.rates(name)
        read = np.array([float(run.result.get(f"{q}_rate", np.nan)) for q in chamber.qcms])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.log(read / model)
        if np.isfinite(ratio).any():
            logs.setdefault(name, []).append(float(np.mean(ratio[np.isfinite(ratio)])))
    found = {}
    for name, values in logs.items():
        spread = float(np.std(values)) if len(values) > 2 else 0.3
        before = bench.habits.rate(name).factor
        found[name] = Learned(before * float(np.exp(np.median(values))), max(spread, 0.05), len(values))
    return found


def _pump(bench: Bench, runs: Sequence[Told]) -> dict[str, float]:
    """flow / pressure = k (1 + flow / q): k and q from the ends of the runs."""
    pairs = [(float(k.last["gas_flow"]), float(k.last["gauge_pressure"])) for k in runs if _has_gas(k.last)]
    flow = np.array([f for f, p in pairs])
    if len(flow) < LEAST_FLOWS or np.ptp(flow) < 0.2 * flow.max():
        return {}
    ratio = flow / np.array([p for _, p in pairs])
    slope, k = np.polyfit(flow, ratio, 1)
    if k <= 0 or slope <= 0:
        return {}
    return {"flow_per_pressure": float(k), "pump_sccm": float(min(max(k / slope, 50.0), 1e5))}


def _has_gas(row: Mapping[str, Any]) -> bool:
    return float(row.get("gas_flow", 0.0)) > 0 and float(row.get("gauge_pressure", 0.0)) > 0


def _crystals(bench: Bench, runs: Sequence[Told]) -> dict[str, float]:
    """Frequency shift at which crystals are used up."""
    found = []
    for qcm in bench.spec.qcms:
        for run in runs:
            life, frequency = run.last.get(f"{qcm.name}_life"), run.last.get(f"{qcm.name}_frequency")
            if life is not None and frequency is not None and 1.0 < float(life) < 99.8:
                found.append((qcm.f0_Hz - float(frequency)) / (1.0 - float(life) / 100.0))
    good = [k for k in found if np.isfinite(k) and k > 0]
    return {"life_Hz": float(np.median(good))} if good else {}


def _noise(bench: Bench, client: Container, runs: Sequence[Told]) -> dict[str, float]:
    """Noise of a frequency reading, from the rows of the newest rate measurements."""
    names = [f"{qcm.name}_frequency" for qcm in bench.spec.qcms]
    measured = sorted((k for k in runs if k.start["plan_name"] == "measure_rate"), key=lambda k: float(k.start["time"]))
    found = []
    for run in measured[-HEARD:]:
        table = read_table(find_run(client, str(run.start["uid"])), "qcm")
        found += [scatter(table[name].to_numpy(dtype=float)) for name in names if name in table]
    good = [k for k in found if np.isfinite(k) and k > 0]
    return {"noise_Hz": float(np.median(good))} if good else {}


def scatter(readings: NDArray[np.float64]) -> float:
    """Standard deviation of readings [n] about a line that bends in a few places; NaN with too few of them.

    Second differences do not know a line, and their median does not know the bends; of independent readings with
    deviation s they have the deviation s sqrt(6).
    """
    bends = np.diff(readings, 2)
    if len(bends) < LEAST_ROWS:
        return float("nan")
    return float(1.4826 * np.median(np.abs(bends - np.median(bends))) / 6.0**0.5)


def _beam(client: Container) -> dict[str, float]:
    points = [k for run in _newest(client, "measure_rbs") for k in run.points]
    seconds = sum(float(k["live_time"]) for k in points)
    return {"beam_nA": 1e3 * sum(float(k["charge"]) for k in points) / seconds} if seconds > 0 else {}


def _films(client: Container) -> Learned:
    return _counted(client, "cosputter", "target")


def _counted(client: Container, plan: str, stage: str) -> Learned:
    """How many runs a stage of a campaign took."""
    found: Any = find_runs(client, plan_name=plan)
    count: Counter[tuple[str, str]] = Counter()
    for run in found.values():
        start = start_of(run)
        if str(start.get("stage", "")).startswith(stage):
            count[(str(start["campaign"]), str(start["stage"]))] += 1
    if not count:
        return Learned()
    return Learned(float(np.mean(list(count.values()))), float(np.std(list(count.values()))), len(count))
