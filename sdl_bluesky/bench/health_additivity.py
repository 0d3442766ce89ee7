"""How surely an interaction of co-sputtering plasmas is found, how often one is seen where there is none, and how large."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdl_bluesky.analysis.health.additivity import Assessment, Check, Shot, assess, choose_checks
from sdl_bluesky.bench.health_lab import SENSOR_NAMES, Lab
from sdl_bluesky.bench.health_twin import learn, shoot
from sdl_bluesky.bench.sputter_twin import SputterTwin, twin_config

SHOTS = 4
NAMES = ("cu", "sn")
REGION_W, REGION_MTORR = (20.0, 90.0), (5.0, 15.0)
CHANGES = (0.0, 0.02, 0.03, 0.05)
LAWS: Sequence[Callable[[float], float]] = (
    lambda power_W: 1.0,
    lambda power_W: float(np.tanh(power_W / 30.0)),
    lambda power_W: power_W / 55.0,
)
"""How the influence of a neighbour may depend on its power; about 1 in the middle."""
SPACINGS_DEG = (60.0, 90.0, 120.0, 180.0)


def numpy_rows(trials: int) -> list[dict[str, Any]]:
    """Rows over simulated laboratories in numpy: size of the change x whether the voltage follows, or one source only."""
    found: dict[tuple[str, float], list[tuple[Assessment, float]]] = {}
    for seed in range(trials):
        for case, change, assessment, truth in _trial(seed):
            found.setdefault((case, change), []).append((assessment, truth))
    return [_row("numpy chamber", case, change, trials) for (case, change), trials in found.items()]


def _trial(seed: int) -> list[tuple[str, float, Assessment, float]]:
    rng = np.random.default_rng(seed)
    lab = Lab.draw(rng, NAMES)
    learned = {name: lab.learn(rng, name) for name in NAMES}
    surfaces, voltages = {k: v[0] for k, v in learned.items()}, {k: v[1] for k, v in learned.items()}
    checks = choose_checks(surfaces, dict.fromkeys(NAMES, REGION_W), REGION_MTORR, n=SHOTS, seed=seed)
    law, sign = LAWS[seed % len(LAWS)], 1.0 if seed % 2 else -1.0
    cases = [("voltage follows", change, True, -1.0) for change in CHANGES]
    cases += [
        ("voltage stays", 0.05, True, 0.0),
        ("voltage alone", 0.0, True, 0.05),
        ("one source changes", 0.05, False, -1.0),
    ]
    out = []
    for k, (case, change, both, volts) in enumerate(cases):
        noise = np.random.default_rng([seed, k])
        shots, truth = [], []
        for check in checks:
            loads = {NAMES[i]: law(check.powers_W[NAMES[1 - i]]) * (both or i == 0) for i in range(2)}
            rate = {name: sign * change * load for name, load in loads.items()}
            shift = {name: volts * rate[name] if volts <= 0 else volts * loads[name] for name in NAMES}
            shots.append(_shot(lab, noise, check, rate, shift))
            truth.append(np.mean(list(rate.values())))
        out.append((case, change, assess(shots, surfaces, voltages=voltages), float(np.mean(truth))))
    return out


def _shot(
    lab: Lab, rng: np.random.Generator, check: Check, rate: Mapping[str, float], shift: Mapping[str, float]
) -> Shot:
    total, std = lab.read(rng, check.powers_W, check.pressure_mTorr, rate)
    volts = {
        name: lab.sources[name].voltage(power, check.pressure_mTorr)
        * (1 + shift[name])
        * (1 + lab.volts * rng.standard_normal())
        for name, power in check.powers_W.items()
    }
    return Shot(check.powers_W, check.pressure_mTorr, SENSOR_NAMES, total, std, volts)


def twin_rows(chambers: int) -> list[dict[str, Any]]:
    """The same through simulated chambers that keep their truth, tooling errors of 1 %."""
    rows = []
    with SputterTwin(twin_config(("Cu", "Sn"))) as twin:
        for change in (0.0, 0.05):
            found = []
            for seed in range(chambers):
                twin.ask("new", seed=1000 + seed, physics={"neighbour_interaction": change})
                found.append((_assessed(twin, seed), float("nan")))
            rows.append(_row("twin", "voltage follows", change, found))
    return rows


def spacing_rows(spacings_deg: Sequence[float], chambers: int) -> list[dict[str, Any]]:
    """An interaction of 5 % at 10 cm against the distance of the two sources, through the twin."""
    rows = []
    for spacing in spacings_deg:
        config = _spaced(spacing)
        places = [np.array(source["position_cm"]) for source in config["sources"]]
        with SputterTwin(config) as twin:
            found: list[Assessment] = []
            for seed in range(chambers):
                twin.ask("new", seed=2000 + seed)
                found.append(_assessed(twin, seed))
        change = [np.mean([k.change for k in one.pairs]) for one in found]
        std = [np.mean([k.std for k in one.pairs]) for one in found]
        volts = [np.mean([v for v, _ in one.voltage_change.values()]) for one in found]
        rows.append(
            {
                "method": "spacing",
                "case": f"{spacing:g} deg apart",
                "chambers": chambers,
                "distance_cm": float(np.linalg.norm(places[0] - places[1])),
                "found": float(np.mean([k.found for k in found])),
                "change_percent": 100 * float(np.mean(change)),
                "std_percent": 100 * float(np.mean(std)),
                "voltage_percent": 100 * float(np.mean(volts)),
            }
        )
    return rows


def _spaced(spacing_deg: float) -> dict[str, Any]:
    """Two sources on the usual circle at this angle from each other."""
    config = twin_config(("Cu", "Sn"), physics={"neighbour_interaction": 0.05})
    first = np.array(config["sources"][0]["position_cm"])
    turn = np.radians(spacing_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    place = matrix @ first
    config["sources"][1] |= {"position_cm": place.tolist(), "axis": (-place / np.linalg.norm(place)).tolist()}
    return config


def _assessed(twin: SputterTwin, seed: int) -> Assessment:
    """Ten runs a source, four checks, one assessment."""
    rng = np.random.default_rng([seed, 99])
    learned = {name: learn(twin, name, rng) for name in NAMES}
    surfaces = {name: k.surface for name, k in learned.items()}
    checks = choose_checks(surfaces, dict.fromkeys(NAMES, REGION_W), REGION_MTORR, n=SHOTS, seed=seed)
    shots = [shoot(twin, k.powers_W, k.pressure_mTorr) for k in checks]
    return assess(shots, surfaces, voltages={name: k.voltage for name, k in learned.items()})


def _row(method: str, case: str, change: float, found: Sequence[tuple[Assessment, float]]) -> dict[str, Any]:
    first = np.array([k.found_at or SHOTS + 1 for k, _ in found])
    error = [np.mean([p.change for p in k.pairs]) - truth for k, truth in found]
    shifts = [k.voltage_p_value[-1] <= 0.05 / SHOTS for k, _ in found if k.voltage_p_value]
    return {
        "method": method,
        "case": case,
        "change_percent": 100 * change,
        "trials": len(found),
        **{f"found_by_{shot}": float(np.mean(first <= shot)) for shot in range(1, SHOTS + 1)},
        "voltage_changed": float(np.mean(shifts)),
        "error_percent": None if np.isnan(error).any() else 100 * float(np.sqrt(np.mean(np.square(error)))),
        "misfits": float(np.mean([k.misfit_probability < 0.01 for k, _ in found])),
    }
