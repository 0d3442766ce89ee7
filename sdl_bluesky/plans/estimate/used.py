"""What a campaign has used, from its documents alone: the baselines of its runs say what stood on the meters, and when.

Three things no document holds: how much gas flowed before the first row of a stream (a third of that time is taken at the
flow of ignition, the rest at that of the measurement); how long precursors flowed into the vent before the first layer
(`vent_s`), and how long phosphine flowed after the last (`cool_s`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.campaigns import campaign_chain, start_of, stop_of
from sdl_bluesky.data.catalogue import find_runs, read_table, streams
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.plans.estimate.amounts import Estimate

if TYPE_CHECKING:
    from tiled.client.container import Container

Row = Mapping[str, Any]
IGNITION_PART = 1.0 / 3.0
ALWAYS = "h2"
"""The line that flows all the time."""


@dataclass(frozen=True)
class Told:
    """One run as its documents tell it.

    Attributes:
        start, stop: its documents.
        first, last: its baseline at the beginning and at the end.
        result: its primary event; empty of a run that failed.
        layers: events of its stream "growth", with their wall times under "time".
        points: events of a map by backscattering.
    """

    start: Row
    stop: Row
    first: Row
    last: Row
    result: Row = field(default_factory=dict)
    layers: tuple[Row, ...] = ()
    points: tuple[Row, ...] = ()

    @property
    def process_s(self) -> float:
        """Process time between the baselines [s]."""
        return max(0.0, self.value(self.last, "clock") - self.value(self.first, "clock"))

    def value(self, row: Row, what: str) -> float:
        """A column of a baseline, whatever the clock is called."""
        if what == "clock":
            return float(next((v for k, v in row.items() if k.endswith("clock_time")), row["time"]))
        return float(row.get(what, 0.0))


def tell(run: Container) -> Told | None:
    """One run of the catalogue; None if it has no two baselines (it failed before, or is open)."""
    start, stop = start_of(run), stop_of(run) or {}
    there = streams(run)
    if "baseline" not in there:
        return None
    baseline = list(_rows(run, "baseline"))
    if not baseline:
        return None
    primary = _rows(run, "primary") if "primary" in there else ()
    layers = _rows(run, "growth") if "growth" in there else ()
    last = baseline[-1] if len(baseline) > 1 else {**baseline[0], "time": stop.get("time", baseline[0]["time"])}
    maps = start.get("plan_name") == "measure_rbs"
    return Told(
        start, stop, baseline[0], last, {} if maps or not primary else primary[-1], layers, primary if maps else ()
    )


def _rows(run: Container, stream: str) -> tuple[Row, ...]:
    return tuple(read_table(run, stream).to_dict(orient="records"))


@dataclass(frozen=True)
class Used:
    """What a campaign used: amounts as an `Estimate` names them; and what the documents do not say."""

    amounts: Mapping[str, float]
    missing: tuple[str, ...] = ()


def used(client: Container, campaign: str, *, vent_s: float = 0.0, cool_s: float = 0.0) -> Used:
    """What the runs of a campaign used.

    Args:
        client: root of the catalogue.
        campaign: its id.
        vent_s: how long the precursors flowed into the vent before the first layer of a growth [s].
        cool_s: how long phosphine flowed after the last layer [s].

    Raises:
        CatalogueError: there is no such campaign, or it did nothing.
    """
    campaign_chain(client, campaign)
    runs = [tell(run) for run in find_runs(client, campaign=campaign).values()]
    whole = sorted((k for k in runs if k is not None), key=lambda k: float(k.start["time"]))
    if not whole:
        raise CatalogueError(f"campaign {campaign} has no run with a baseline: it used nothing that is known")
    short = len(runs) - len(whole)
    missing = (f"{short} run(s) have no baseline and are not counted",) if short else ()
    return Used(_added(whole, vent_s, cool_s), missing)


def _added(runs: list[Told], vent_s: float, cool_s: float) -> dict[str, float]:
    total: dict[str, float] = {}

    def add(name: str, value: float) -> None:
        total[name] = total.get(name, 0.0) + value

    before: Told | None = None
    for run in runs:
        plan = run.start["plan_name"]
        if plan == "measure_rbs":
            add("rbs_charge", sum(float(k["charge"]) for k in run.points))
            add("rbs_time", sum(float(k["live_time"]) for k in run.points) / 3600.0)
            continue
        add("experiments", 1.0)
        add("process_time", run.process_s / 3600.0)
        if before is not None:
            gap = max(0.0, run.value(run.first, "clock") - before.value(before.last, "clock"))
            add("between", gap / 3600.0)
            for name in before.start.get("sources", ()):  # a plasma burns a moment longer than the last reading
                key = f"{name}_energy"
                if key in before.last and key in run.first:
                    add(f"energy:{name}", max(0.0, float(run.first[key]) - float(before.last[key])))
            if "gas_flow" in before.last:
                add("argon_between", gap / 60.0 * before.value(before.last, "gas_flow") / 1000.0)
        before = run
        if "recipe" in run.start:
            add("wafers", 1.0)
            for line, litres in growth_flows(run, vent_s, cool_s).items():
                add(f"flow:{line}", litres)
        else:
            for name, value in sputter_use(run).items():
                add(name, value)
        if plan == "cosputter":
            add("films", 1.0)
    return total


def sputter_use(run: Told) -> dict[str, float]:
    """Energy, crystal life, argon and substrates of one run of the sputter chamber."""
    found: dict[str, float] = {}
    for name in run.start["sources"]:
        key = f"{name}_energy"
        if key in run.first:
            found[f"energy:{name}"] = max(0.0, float(run.last[key]) - float(run.first[key]))
    for key in run.first:
        if key.endswith("_life"):
            fall = float(run.first[key]) - float(run.last[key])
            found[f"crystal_life:{key.removesuffix('_life')}"] = max(0.0, fall)
    if "substrate_number" in run.first:
        found["substrates"] = max(0.0, float(run.last["substrate_number"]) - float(run.first["substrate_number"]))
    if "gas_flow" in run.last:
        found["argon"] = argon(run)
    return found


def argon(run: Told) -> float:
    """Argon of one run [l]."""
    end = run.value(run.last, "gas_flow")
    begin = run.value(run.first, "clock")
    until = float(run.result.get("zero_from_s", begin + 0.4 * run.process_s))
    rest = run.value(run.last, "clock") - until
    pressure = float(run.last.get("gauge_pressure", 0.0))
    ignition = end * float(run.start.get("ignition_pressure", 12.0)) / pressure if pressure > 0 else end
    lit = until - begin
    return (lit * (IGNITION_PART * ignition + (1.0 - IGNITION_PART) * end) + rest * end) / 60.0 / 1000.0


def growth_flows(run: Told, vent_s: float, cool_s: float) -> dict[str, float]:
    """Litres through each line in one growth."""
    if not run.layers:
        return {}
    speed = run.process_s / max(float(run.last["time"]) - float(run.first["time"]), 1e-9)
    last = (float(run.layers[-1]["time"]) - float(run.first["time"])) * speed
    first = (float(run.layers[0]["time"]) - float(run.first["time"])) * speed - float(run.layers[0]["layer_duration"])
    seconds = {"p": last + cool_s, ALWAYS: run.process_s}
    found: dict[str, float] = {}
    for key in run.layers[0]:
        name, ending = key.rsplit("_", 1) if "_" in str(key) else (str(key), "")
        if ending != "flow":
            continue
        flow = sum(float(k[key]) for k in run.layers) / len(run.layers)
        found[name] = flow * seconds.get(name, last - first + vent_s) / 60.0 / 1000.0
    return found


def beside(expected: Estimate, found: Used) -> list[dict[str, Any]]:
    """Estimate beside use: a row for each quantity that one of them knows."""
    rows = []
    for name in [*expected.amounts, *(k for k in found.amounts if k not in expected.amounts)]:
        amount, value = expected.amounts.get(name), found.amounts.get(name, 0.0)
        row: dict[str, Any] = {"name": name, "used": value}
        if amount is not None:
            row |= {"low": amount.low, "expected": amount.expected, "high": amount.high, "within": amount.holds(value)}
            if value > 0:
                row["error_percent"] = 100.0 * (amount.expected - value) / value
        rows.append(row)
    return rows
