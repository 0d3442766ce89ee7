"""The separate fits of the spectra of a film: one layer of its elements on the known substrate, whose layers are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl_bluesky.analysis.rbs.pool import Prior
from sdl_bluesky.analysis.rbs.residual import surface_edge_keV
from sdl_bluesky.analysis.rbs.run import RBSPoint, RBSRun
from sdl_bluesky.analysis.rbs.start import best_start
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Nuisance, Setup

if TYPE_CHECKING:
    from sdl_bluesky.inference.rbs_fit import FitResult

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
        strangeness: deviance that is left less what counting gives, in standard deviations [p].
    """

    names: tuple[str, ...]
    mean: Array
    cov: Array
    findings: tuple[tuple[str, ...], ...]
    strangeness: Array


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
    run: RBSRun,
    points: Sequence[RBSPoint],
    region: tuple[int, int],
    priors: Mapping[str, Prior],
    seed: int = 0,
    begin: Array | None = None,
) -> Fits:
    """Fit each spectrum by itself, with a Poisson likelihood and the priors on the nuisance parameters.

    Args:
        run: whose points they are.
        points: with counts.
        region: from `region_of`.
        priors: by the name of the nuisance parameter.
        seed: of the restarts.
        begin: areal densities [p, film] near which the minimum is thought to be; a spectrum that is not described from
            there is fitted from the library of `start` as well, and the better fit counts. None: all begin there.
    """
    film = len(run.film)
    free = np.zeros((1 + len(run.substrate), len(run.elements)), dtype=bool)
    free[0, :film] = True
    width = {name: prior.total for name, prior in priors.items()}
    common = {"free": free, "bounds": BOUNDS, "roi": [region], "nuisance": width, "seed": seed}
    found: list[FitResult | None] = [None] * len(points)
    if begin is not None:
        near = {**common, "coarse": False, "confirm": 0, "restarts": 0}
        starts = layers_of_film(run, np.clip(begin, *BOUNDS))
        found = [_fit(point, start, near) for point, start in zip(points, starts)]
    rows = [i for i, k in enumerate(found) if k is None or not (k.accepted[0] and k.converged[0])]
    if rows:
        chosen = [points[i] for i in rows]
        spectra, ions = np.stack([k.counts for k in chosen]), np.array([k.setup.fluence_ions for k in chosen])
        library = best_start(points[0].setup, spectra, ions, film, run.substrate, slice(*region))
        for i, start in zip(rows, layers_of_film(run, library)):
            found[i] = _better(found[i], _fit(points[i], start, common), width)
    return _fits(run, priors, [k for k in found if k is not None])


def _fit(point: RBSPoint, start: Array, options: Mapping[str, Any]) -> FitResult:
    from sdl_bluesky.inference.rbs_fit import fit

    return fit(point.setup, point.counts[None], start[None], **options)


def _better(old: FitResult | None, new: FitResult, width: Mapping[str, float]) -> FitResult:
    """That which is more probable, deviance and priors together."""
    sd = np.array([width[name] for name in new.nuisance_names])
    nominal = np.array([0.0 if name == "offset" else 1.0 for name in new.nuisance_names])

    def cost(k: FitResult) -> float:
        return float(k.deviance[0] + np.sum(((k.nuisance[0] - nominal) / sd) ** 2))

    return new if old is None or cost(new) <= cost(old) else old


def _fits(run: RBSRun, priors: Mapping[str, Prior], found: Sequence[FitResult]) -> Fits:
    from sdl_bluesky.inference.rbs_fit.goodness import excess

    film = len(run.film)
    strange = [excess(k.deviance, k.problem.expected(k.values, np.arange(1))) for k in found]
    return Fits(
        (*run.film, *priors),
        np.stack([np.concatenate([k.layers[0, 0, :film], k.nuisance[0]]) for k in found]),
        np.stack([k.cov[0] for k in found]),
        tuple(tuple(text for text in k.findings[0] if not text.startswith(_JUDGED)) for k in found),
        np.concatenate(strange),
    )


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
