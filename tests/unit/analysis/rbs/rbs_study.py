"""Films of copper and tin on glass whose spectra another program made, with stopping that the analysis does not know.

python tests/unit/analysis/rbs/rbs_study.py 200        200 films of one spectrum each: errors, and how often intervals cover
python tests/unit/analysis/rbs/rbs_study.py 40 9       40 films of nine spectra each
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from rbs_lab import SETUP, by_pyrump, columns, start_document
from scipy.stats import norm

from sdl_bluesky.analysis.rbs.film import FilmPoints, analyse_film
from sdl_bluesky.analysis.rbs.priors import RBSPriors
from sdl_bluesky.analysis.rbs.run import rbs_run

ELEMENTS = ("Cu", "Sn")
PRIORS = RBSPriors()
GAIN = 0.001


@dataclass(frozen=True)
class Film:
    """What was there and what was found: fraction of copper and total areal density of each point [p]."""

    fraction: np.ndarray
    total: np.ndarray
    found: FilmPoints

    @property
    def fraction_error(self):
        return self.found.fraction[:, 0] - self.fraction

    @property
    def fraction_std(self):
        return np.sqrt(np.einsum("pipi->pi", self.found.fraction_cov))[:, 0]

    @property
    def total_error(self):
        return self.found.density.sum(axis=1) / self.total - 1.0

    @property
    def total_std(self):
        return np.sqrt(np.einsum("piqj->pq", self.found.density_cov).diagonal()) / self.total


def make_film(seed: int, points: int = 1, solid_angle: float = PRIORS.solid_angle) -> Film:
    """A film, its hidden stopping, charges, solid angle and gain, its spectra and what is made of them.

    Standard deviations: stopping factors and charge those of the priors, gain 0.1 %, solid angle as given.
    """
    rng = np.random.default_rng([20, seed])
    stopping = dict(zip(("Cu", "Sn", "O", "Si"), np.exp(PRIORS.stopping * rng.standard_normal(4))))
    slope = 0.2 * np.linspace(-1.0, 1.0, points) * rng.uniform(-1.0, 1.0)
    fraction = rng.uniform(0.3, 0.7) + slope
    total = rng.uniform(150.0, 900.0) * (1.0 + slope[::-1])
    films = [{"Cu": f * n, "Sn": (1.0 - f) * n} for f, n in zip(fraction, total)]
    rows = columns(
        films,
        rng,
        by_pyrump(stopping),
        charge_sd=PRIORS.charge,
        scale=1.0 + solid_angle * rng.standard_normal(),
        gain=1.0 + GAIN * rng.standard_normal(),
    )
    return Film(fraction, total, analyse_film(rbs_run(start_document(ELEMENTS, rbs_setup=SETUP), rows)))


def coverage(error: np.ndarray, std: np.ndarray, part: float = 0.9) -> float:
    """Part of the errors within the central interval."""
    return float(np.mean(np.abs(error) <= norm.isf((1.0 - part) / 2.0) * std))


def main(films: int, points: int = 1, solid_angle: float = PRIORS.solid_angle) -> None:
    done = [make_film(seed, points, solid_angle) for seed in range(films)]

    def all_of(name):
        return np.concatenate([getattr(film, name) for film in done])

    for what in ("fraction", "total"):
        error, std = all_of(f"{what}_error"), all_of(f"{what}_std")
        print(
            f"{what}: rms {np.sqrt(np.mean(error**2)):.5f}, worst {np.abs(error).max():.5f}, mean {error.mean():+.5f}"
        )
        shown = ", ".join(f"{100 * p:.0f} %: {100 * coverage(error, std, p):.1f}" for p in (0.68, 0.9, 0.95))
        print(
            f"  stated {std.mean():.5f}; coverage {shown}; rms of error/std {np.sqrt(np.mean((error / std) ** 2)):.2f}"
        )
    accepted = np.concatenate([film.found.accepted for film in done])
    p_value = np.concatenate([film.found.p_value for film in done])
    told = sum(bool(film.found.findings) for film in done)
    print(
        f"accepted {accepted.mean():.3f}, p < 0.05 {np.mean(p_value < 0.05):.3f}, films with findings {told} of {films}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4]))
