"""The result "reactive" of a run: metal and gas apart, row by row, and the state of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.reactive.actinometry import EmissionRows, calibrate
from sdl_bluesky.analysis.reactive.metal import BRANCHES, metal_rates
from sdl_bluesky.analysis.recipes import RATE_UNIT, common
from sdl_bluesky.analysis.store import Result
from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import read_table
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tiled.client.container import Container

_COLUMNS = {
    "power_W": "{source}_power",
    "pressure_mTorr": "gauge_pressure",
    "oxygen_sccm": "oxygen_asked",
    "voltage_V": "{source}_voltage",
    "current_A": "{source}_current",
    "ratio": "line_ratio",
    "ratio_std": "line_ratio_std",
}


def source_of(start: Mapping[str, Any]) -> str:
    """The one source of a run.

    Raises:
        CatalogueError: it has none, or several.
    """
    names = list(start.get("sources", ()))
    if len(names) != 1:
        raise CatalogueError(f"run {start['uid']} measured {len(names)} sources: one is needed to tell metal from gas")
    return str(names[0])


def emission_rows(start: Mapping[str, Any], table: Sequence[Mapping[Hashable, Any]]) -> EmissionRows:
    """Rows of the primary stream of a `calibrate_light` or `measure_reactive` run.

    Args:
        start: its start document.
        table: a mapping of columns for each row.

    Raises:
        CatalogueError: no row, or a column is missing.
    """
    source, chamber = source_of(start), Chamber.from_start(start)
    if not table:
        raise CatalogueError(f"run {start['uid']} has no rows: it was broken off before the first one")
    columns = {name: column.format(source=source) for name, column in _COLUMNS.items()}
    missing = sorted({c for c in columns.values() if c not in table[0]})
    if missing:
        raise CatalogueError(f"run {start['uid']}: its rows have no {', '.join(missing)}")
    arrays = {name: np.array([float(row[column]) for row in table]) for name, column in columns.items()}
    rates, stds = (
        np.array([[float(row.get(f"{sensor}_{what}", np.nan)) for sensor in chamber.sensors] for row in table])
        for what in ("rate", "rate_std")
    )
    return EmissionRows(**arrays, rate=rates, std=stds)


def read_rows(run: Container) -> EmissionRows:
    """`emission_rows` of a run of the catalogue."""
    return emission_rows(start_of(run), read_table(run, "primary").to_dict(orient="records"))


def reactive_metadata(start: Mapping[str, Any], calibrations: Sequence[str]) -> dict[str, Any]:
    """Of a sweep that is analysed with the runs `calibrations`."""
    source, chamber = source_of(start), Chamber.from_start(start)
    return common(
        start,
        source=source,
        elements=[chamber.elements[source]],
        units={"metal": RATE_UNIT, "metal_std": RATE_UNIT, "low": RATE_UNIT, "high": RATE_UNIT, "oxygen": "sccm"},
        derived_from=[str(start["uid"]), *calibrations],
        method="actinometry and the bounds of the oxide: mixture over oxidised shares, see analysis.reactive.metal",
        parameters={"interval": 0.95},
        note=f"as the sensors read: their calibration, known to {chamber.tooling_std:g} of the rate, is not in metal_std",
    )


def reactive_result(start: Mapping[str, Any], rows: EmissionRows, calibration: EmissionRows) -> Result:
    """Arrays metal, metal_std, low, high, oxidised [row, sensor], probability [row, branch], oxygen, factor [row].

    Raises:
        Unidentifiable: calibration or sweep cannot tell them apart, see `actinometry.calibrate`, `reactive.metal_rates`.
    """
    chamber = Chamber.from_start(start)
    law = calibrate(calibration)
    found = metal_rates(rows, law, chamber.elements[source_of(start)], list(chamber.sensors))
    by_sensor = {"metal": found.metal, "metal_std": found.std, "low": found.low, "high": found.high}
    by_sensor["oxidised"] = found.oxidised
    by_row = {"oxygen": rows.oxygen_sccm, "factor": found.factor, "factor_std": found.factor_std}
    arrays: dict[str, Any] = {**by_sensor, **by_row, "probability": found.probability}
    dims: dict[str, Sequence[str]] = {name: ["row", "sensor"] for name in by_sensor}
    dims |= {name: ["row"] for name in by_row} | {"probability": ["row", "branch"]}
    arrays |= {"sensor": list(chamber.sensors), "branch": list(BRANCHES)}
    dims |= {"sensor": ["sensor"], "branch": ["branch"]}
    slope, slope_std = law.slope
    more = {
        "findings": list(found.findings),
        "state": found.branch,
        "light": {"slope": slope, "slope_std": slope_std, "scatter": law.scatter, "rows": law.rows},
        "oxide_yield": list(found.oxide_yield),
    }
    return Result(arrays, dims, more)
