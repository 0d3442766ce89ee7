"""Whether intervals hold what they promise where the stopping and the instrument are not known exactly.

A film of Cu and Sn on glass: stopping scales (sd 2 %), fluence (1 %), slope (0.2 %) and offset (1 keV) are drawn for each
film, and the fit has them as nuisance parameters with these priors. The model of the spectra is that of the fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdl_bluesky.inference import rbs_fit
from sdl_bluesky.physics.rbs import Nuisance, Setup, simulate

PRIORS = {"fluence": 0.01, "slope": 0.002, "offset": 1.0}
STOPPING = 0.02
FILM = {"Cu": (60.0, 900.0), "Sn": (60.0, 900.0)}
GLASS = {"Si": 8000.0, "O": 16000.0}


def coverage_rows(films: int, seed: int = 0) -> list[dict[str, Any]]:
    """Coverage and error of composition and areal density over a number of films."""
    rng = np.random.default_rng(seed)
    setup = Setup(elements=("Cu", "Sn", "Si", "O"), fluence_ions=3e13)
    layers = np.zeros((films, 2, 4))
    for k, (low, high) in enumerate(FILM.values()):
        layers[:, 0, k] = rng.uniform(low, high, films)
    layers[:, 1, 2:] = list(GLASS.values())
    stopping = 1.0 + STOPPING * rng.standard_normal((films, 4))
    truth = Nuisance(
        fluence=1.0 + PRIORS["fluence"] * rng.standard_normal(films),
        slope=1.0 + PRIORS["slope"] * rng.standard_normal(films),
        offset=PRIORS["offset"] * rng.standard_normal(films),
        stopping=stopping,
    )
    counts = rng.poisson(simulate(setup, layers, truth)).astype(float)
    free = np.zeros((2, 4), dtype=bool)
    free[0, :2] = True
    start = np.where(free, 500.0, layers)
    all_priors = {**PRIORS, **{f"stopping:{name}": STOPPING for name in setup.elements}}
    rows = []
    for method, priors in (("with nuisance parameters", all_priors), ("without", {})):
        result = rbs_fit.fit(setup, counts, start, free=free, roi=[(60, setup.channels)], nuisance=priors)
        found = rbs_fit.composition(result, layers=[0], elements=["Cu", "Sn"])
        density, density_std = rbs_fit.total(result, layers=[0])
        true_density = layers[:, 0].sum(axis=1)
        for case, off, std in (
            ("Cu/(Cu+Sn) on glass", found.fraction[:, 0] - layers[:, 0, 0] / true_density, found.std[:, 0]),
            ("areal density, relative", density / true_density - 1.0, density_std / true_density),
        ):
            rows.append(
                {
                    "method": f"95 % intervals, {method}",
                    "case": case,
                    "spectra": films,
                    "pass": float(result.accepted.mean()),
                    "coverage": float(np.mean(np.abs(off) < 1.96 * std)),
                    "rms_error": float(np.sqrt(np.mean(off**2))),
                    "median_std": float(np.median(std)),
                }
            )
    return rows
