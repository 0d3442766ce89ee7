"""The separate fits of the spectra of a film: one layer of its elements on the known substrate, whose layers are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdl_bluesky.analysis.rbs.pool import Prior
from sdl_bluesky.analysis.rbs.residual import surface_edge_keV
from sdl_bluesky.analysis.rbs.run import RBSPoint, RBSRun
from sdl_bluesky.analysis.rbs.start import best_start
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Nuisance, Setup

BOUNDS = (0.0, 1e5)
"""Of an areal density, 1e15 at/cm2."""
LOWEST = 0.2
"""Part of the beam energy below which the model is not compared: multiple scattering, which it lacks, matters there."""
_JUDGED = ("not accepted", "at a bound")


@dataclass(frozen=True, eq=False)
class Fits:
    """Separate fits of spectra.

    Attributes:
        names: of the parameters [d]: the film's elements, then the nuisance parameters.
        mean, cov: [p, d], [p, d, d].
        findings: for each spectrum; how good the fit is, and what is odd in its values, is judged later.
    """

    names: tuple[str, ...]
    mean: Array
    cov: Array
    findings: tuple[tuple[str, ...], ...]


def region_of(setup: Setup) -> tuple[int, int]:
    """Channels that are fitted, the first and one after the last: from `LOWEST` of the beam energy, and clear of the lowest
    energy that is counted, to above the highest edge.

    Raises:
        OutOfRange: there is none.
    """
    edges, width = setup.edges_keV(), setup.resolution_fwhm_keV
    low = max(LOWEST * setup.energy_keV, setup.lowest_keV + 2.0 * width)
    high = max(surface_edge_keV(setup, name) for name in setup.elements) + 0.01 * setup.energy_keV + 2.0 * width
    first, last = (int(np.clip(np.searchsorted(edges, k), 0, setup.channels)) for k in (low, high))
    if last - first < 2:
        raise OutOfRange(f"no channel of the detector lies between {low:.0f} and {high:.0f} keV: check the calibration")
    return first, last


def layers_of_film(run: RBSRun, density: Array) -> Array:
    """Layers [p, layer, element] of films of areal densities [p, film] on the substrate."""
    layers = np.zeros((len(density), 1 + len(run.substrate), len(run.elements)))
    layers[:, 0, : len(run.film)] = density
    layers[:, 1:] = run.substrate
    return layers


def fit_points(
    run: RBSRun, points: Sequence[RBSPoint], region: tuple[int, int], priors: Mapping[str, Prior], seed: int = 0
) -> Fits:
    """Fit each spectrum by itself, with a Poisson likelihood and the priors on the nuisance parameters."""
    from sdl_bluesky.inference.rbs_fit import fit

    film = len(run.film)
    spectra, ions = np.stack([k.counts for k in points]), np.array([k.setup.fluence_ions for k in points])
    begin = best_start(points[0].setup, spectra, ions, film, run.substrate, slice(*region))
    layers = layers_of_film(run, begin)
    free = np.zeros(layers.shape[1:], dtype=bool)
    free[0, :film] = True
    width = {name: prior.total for name, prior in priors.items()}
    means, covs, findings = [], [], []
    for point, start in zip(points, layers):
        found = fit(
            point.setup,
            point.counts[None],
            start[None],
            free=free,
            bounds=BOUNDS,
            roi=[region],
            nuisance=width,
            seed=seed,
        )
        means.append(np.concatenate([found.layers[0, 0, :film], found.nuisance[0]]))
        covs.append(found.cov[0])
        findings.append(tuple(k for k in found.findings[0] if not k.startswith(_JUDGED)))
    return Fits((*run.film, *priors), np.stack(means), np.stack(covs), tuple(findings))


def nuisance_of(values: Mapping[str, float], elements: Sequence[str]) -> Nuisance:
    """Nuisance parameters of the forward model from a mapping by name; what is missing is as the set-up says."""
    return Nuisance(
        fluence=values.get("fluence", 1.0),
        slope=values.get("slope", 1.0),
        offset=values.get("offset", 0.0),
        resolution=values.get("resolution", 1.0),
        stopping=np.array([values.get(f"stopping:{name}", 1.0) for name in elements]),
    )


def calibrated(setup: Setup, values: Mapping[str, float]) -> Setup:
    """The set-up with calibration and resolution as fitted."""
    return replace(
        setup,
        slope_keV=setup.slope_keV * values.get("slope", 1.0),
        offset_keV=setup.offset_keV + values.get("offset", 0.0),
        resolution_fwhm_keV=setup.resolution_fwhm_keV * values.get("resolution", 1.0),
    )
