"""Documents of a map of backscattering spectra, played from films that the tests choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

GLASS = {"O": 16000.0, "Si": 8000.0}
IONS_PER_UC = 1e-6 / 1.602176634e-19
SETUP: dict[str, Any] = {
    "ion": "4He",
    "E_keV": 2000.0,
    "theta_deg": 165.0,
    "alpha_deg": 0.0,
    "beta_deg": None,
    "slope_keV": 2.0,
    "offset_keV": 0.0,
    "resolution_fwhm_keV": 15.0,
    "solid_angle_msr": 10.0,
    "channels": 1024,
    "substrate": [GLASS],
}
Expected = Callable[[dict[str, Any]], np.ndarray]
"""Expected counts [channel] of a case."""


def start_document(film: Sequence[str], **more: Any) -> dict[str, Any]:
    """Of a run of `measure_rbs`."""
    start = {"uid": "map", "plan_name": "measure_rbs", "purpose": "experiment", "sample": "s", "elements": list(film)}
    return {**start, "rbs_setup": dict(SETUP), "substrate_number": 3, "campaign": "c", **more}


def by_package(case: dict[str, Any]) -> np.ndarray:
    """Expected counts by the package's own forward model: for tests of the reduction, not of the physics."""
    from sdl_bluesky.physics import rbs

    elements = rbs.elements_of(case)
    return rbs.simulate(rbs.Setup.from_case(case, elements, case["channels"]), rbs.layers_of(case, elements))


def by_pyrump(stopping: Mapping[str, float] | None = None) -> Expected:
    """Expected counts by pyrump, with factors on the stopping of elements."""
    from ioc_sims.rbs.scattering import spectrum

    return lambda case: np.maximum(spectrum(case, channels=case["channels"], stopping=stopping), 0.0)


def columns(
    films: Sequence[Mapping[str, float]],
    rng: np.random.Generator | None,
    expected: Expected = by_package,
    *,
    charge_uC: float = 5.0,
    charge_sd: float = 0.0,
    scale: float = 1.0,
    gain: float = 1.0,
    setup: Mapping[str, Any] = SETUP,
    places: Sequence[tuple[float, float]] | None = None,
) -> dict[str, np.ndarray]:
    """Columns of the primary stream, a row for each film, with Poisson noise (without `rng`: expected counts)."""
    spectra = []
    for layer in films:
        factor = 1.0 + charge_sd * rng.standard_normal() if rng is not None else 1.0
        fluence = charge_uC * IONS_PER_UC * factor * scale
        changed = {"slope_keV": setup["slope_keV"] * gain, "fluence_ions": fluence}
        mu = expected({**setup, **changed, "layers": [dict(layer), *setup["substrate"]]})
        spectra.append(mu if rng is None else rng.poisson(mu).astype(float))
    place = np.array(places if places is not None else [(10.0 * i, 0.0) for i in range(len(films))], dtype=float)
    one = np.ones(len(films))
    return {
        "x": place[:, 0],
        "y": place[:, 1],
        "tilt": setup["alpha_deg"] * one,
        "energy": setup["E_keV"] * one,
        "charge": charge_uC * one,
        "live_time": 240.0 * one,
        "real_time": 250.0 * one,
        "counts": np.sum(spectra, axis=1),
        "spectrum": np.stack(spectra),
    }
