"""How well metal and gas are told apart, over seeds and elements, on simulated chambers that keep their truth.

Each seed is another chamber. Its light is calibrated without oxygen at six conditions; then the oxygen goes up and down
again at one power and pressure, from far below to far above what poisons any of the targets. A judge in the simulation says
how far the metal is off in the metallic branch, how often the truth lies in the intervals, and which flags were right.
"crystals" is what is known without light: the middle of what the oxide allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdl_bluesky.analysis.rates import Window, reduce_run
from sdl_bluesky.analysis.reactive.actinometry import EmissionRows, calibrate
from sdl_bluesky.analysis.reactive.metal import ReactiveRates, metal_rates
from sdl_bluesky.bench.sputter_twin import SputterTwin, twin_config
from sdl_bluesky.physics.emission import ARGON_NM, actinometric_ratio, line_intensity, strong_line_nm
from sdl_bluesky.physics.oxides import oxygen_limit

SEEDS = 4
ELEMENTS = {True: ("Cu", "Al"), False: ("Cu", "Al", "Ti", "Sn", "Ni", "Zn")}
POWER_W, PRESSURE_MTORR = 60.0, 5.0
CALIBRATION = tuple((power, pressure) for pressure in (5.0, 10.0) for power in (25.0, 50.0, 100.0))
FLOWS = {True: 8, False: 14}
RANGE_SCCM = (0.05, 8.0)
RESOLUTION_NM = 1.2
SENSORS_F0_HZ = {"qcm1": 6e6, "qcm2": 6e6, "qcm3": 6e6}
LARGEST = ("max_percent", "arrives_max_percent")
SUMMED = ("metallic", "poisoned", "false_flags")


def run(seeds: int | None, quick: bool, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """The study, see `sdl_bluesky.bench`: rows of each element, figures over all seeds."""
    rising = [0.0, *np.geomspace(*RANGE_SCCM, FLOWS[quick]).round(4).tolist()]
    rows: list[dict[str, Any]] = []
    for element in ELEMENTS[quick]:
        found: dict[str, list[Mapping[str, Any]]] = {"light and crystals": [], "crystals": []}
        for seed in range(seeds or SEEDS):
            for method, score in chamber_scores(element, seed, rising).items():
                found[method].append(score)
        rows += [_summary(method, element, scores) for method, scores in found.items()]
        tell(f"{element}: {len(found['crystals'])} chamber(s)")
    return rows


def chamber_scores(
    element: str, seed: int, rising: Sequence[float], physics: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Scores of one chamber by method.

    Args:
        element: of the target.
        seed: of the chamber.
        rising: oxygen flows [sccm], the first of them 0; they are repeated falling.
        physics: settings of the plant that differ from its defaults.
    """
    source = element.lower()
    with SputterTwin(twin_config([element], seed, physics)) as twin:
        law = calibrate(
            EmissionRows.join(
                [
                    read_sweep(twin.ask("reactive", source=source, power=p, pressure=q, oxygen_sccm=[0.0]), element)
                    for p, q in CALIBRATION
                ]
            )
        )
        flows = [*rising, *list(rising)[::-1]]
        rows = read_sweep(
            twin.ask("reactive", source=source, power=POWER_W, pressure=PRESSURE_MTORR, oxygen_sccm=flows), element
        )
        found = metal_rates(rows, law, element)
        return {
            "light and crystals": twin.ask("score_reactive", **_answer(found)),
            "crystals": twin.ask("score_reactive", **_crystals_alone(rows, found, element)),
        }


def read_sweep(reply: Mapping[str, Any], element: str) -> EmissionRows:
    """Rows of a sweep from what the instruments showed: stream, windows, spectra."""
    stream = {name: np.array([np.nan if v is None else v for v in c]) for name, c in reply["rows"].items()}
    time, source, parts = stream["clock_time"], element.lower(), []
    for step in reply["steps"]:
        begin, end = step["window"]
        rates, stds = reduce_run(stream, Window(tuple(reply["zero"]), (begin, end)), SENSORS_F0_HZ).arrays(
            list(SENSORS_F0_HZ)
        )
        lines = [
            line_intensity(reply["wavelength_nm"], step["spectrum"], nm, RESOLUTION_NM)
            for nm in (strong_line_nm(element), ARGON_NM)
        ]
        use = (time >= begin) & (time <= end)
        mean = {k: stream[k][use].mean() for k in ("gauge_pressure", f"{source}_voltage", f"{source}_current")}
        volts, amperes = mean[f"{source}_voltage"], mean[f"{source}_current"]
        oxygen = 0.0 if abs(step["oxygen_sccm"]) < 0.01 else step["oxygen_sccm"]
        ratio = actinometric_ratio(*lines)
        parts.append((volts * amperes, mean["gauge_pressure"], oxygen, volts, amperes, rates, stds, *ratio))
    return EmissionRows(*(np.array(column) for column in zip(*parts, strict=True)))


def _answer(found: ReactiveRates) -> dict[str, Any]:
    arrays = {name: getattr(found, name).tolist() for name in ("metal", "std", "low", "high")}
    return {**arrays, "branch": found.branch}


def _crystals_alone(rows: EmissionRows, found: ReactiveRates, element: str) -> dict[str, Any]:
    """The middle of T/(1 + w) and T where there is oxygen, with the flat distribution between as its error."""
    most = rows.rate
    least = np.where(rows.oxygen_sccm[:, None] > 0, rows.rate / (1.0 + oxygen_limit(element)), rows.rate)
    middle, half = (most + least) / 2.0, (most - least) / 2.0
    noise = 1.96 * rows.std
    return {
        "metal": middle.tolist(),
        "std": np.hypot(0.68 * half, rows.std).tolist(),
        "low": (least - noise).tolist(),
        "high": (most + noise).tolist(),
        "branch": ["metallic"] * len(found.branch),
    }


def _summary(method: str, element: str, scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Worst of what is worst, sums of counts, means over the chambers of the rest; "flagged" over the poisoned rows."""
    row: dict[str, Any] = {"method": method, "case": element, "chambers": len(scores)}
    for key in scores[0]:
        kept = [score for score in scores if score[key] is not None]
        values = [score[key] for score in kept]
        if not values:
            row[key] = None
        elif key in SUMMED:
            row[key] = sum(values)
        elif key in LARGEST:
            row[key] = max(values)
        else:
            weights = [score["poisoned"] for score in kept] if key == "flagged" else None
            row[key] = float(np.average(values, weights=weights))
    return row
