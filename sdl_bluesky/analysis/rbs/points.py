"""Composition at points of a film, measured: in the form in which a composition map is compared with it or corrected by it.

points = composition_points(client, substrate=3)
check = check_map(latest_analysis(client, "composition", run=points.based_on), points)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from sdl_bluesky.analysis.kinds import RBS
from sdl_bluesky.data.analysis import Analysis, latest_analysis
from sdl_bluesky.errors import CatalogueError, OutOfRange
from sdl_bluesky.physics.geometry import Array

if TYPE_CHECKING:
    from tiled.client.container import Container

SLACK_MM = 0.5
"""By which a stage may be beyond the map's edge."""
DISAGREE_SIGMA = 2.58
"""Of the rms of the residuals: an error that all points share exceeds it in one of a hundred good maps."""


@dataclass(frozen=True, eq=False)
class CompositionPoints:
    """Atomic fractions and areal densities at points of one film, with the covariance of all of them together.

    Attributes:
        elements: [e].
        x_mm, y_mm: places on the wafer [p].
        fraction: [p, e]; `fraction_cov`: [p * e, p * e], the elements of a point beside each other.
        density: [p, e], 1e15 at/cm2; `density_cov`: [p * e, p * e].
        accepted: whether the fit describes the spectrum [p].
        substrate_number: number of the film; None if it is not known.
        based_on: uid of the run that made the film, or "".
        key: of the result in the catalogue, or "".
    """

    elements: tuple[str, ...]
    x_mm: Array
    y_mm: Array
    fraction: Array
    fraction_cov: Array
    density: Array
    density_cov: Array
    accepted: NDArray[np.bool_]
    substrate_number: int | None = None
    based_on: str = ""
    key: str = ""

    @property
    def fraction_std(self) -> Array:
        """[p, e]."""
        return np.sqrt(np.maximum(np.diag(self.fraction_cov), 0.0)).reshape(self.fraction.shape)

    @property
    def density_std(self) -> Array:
        """[p, e]."""
        return np.sqrt(np.maximum(np.diag(self.density_cov), 0.0)).reshape(self.density.shape)


@dataclass(frozen=True, eq=False)
class MapCheck:
    """A composition map against points.

    Attributes:
        map_fraction, map_std: of the map at the points [p, e].
        residual: point less map [p, e].
        sigma: the same over the error of the difference [p, e].
        rms_percent: of the residuals, atomic percent. This and what follows is of the points whose fit is accepted, or of
            all if none is.
        chi2, values: sum of squares of independent residuals over their variances, and their number. Neighbouring pixels
            of a map err together, and the map says nothing of how: chi2 spreads more than its law.
        findings: what a person should look at.
        rms_sigma, worst_sigma: of the residuals in units of their errors.
    """

    map_fraction: Array
    map_std: Array
    residual: Array
    sigma: Array
    rms_percent: float
    chi2: float
    values: int
    findings: tuple[str, ...]
    rms_sigma: float
    worst_sigma: float

    def numbers(self) -> dict[str, float]:
        """For the metadata of a result."""
        return {
            "map_rms_percent": self.rms_percent,
            "map_rms_sigma": self.rms_sigma,
            "map_worst_sigma": self.worst_sigma,
            "map_chi2": self.chi2,
            "map_values": float(self.values),
        }


def composition_points(
    client: Container, *, substrate: int | None = None, campaign: str | None = None, run: str | None = None
) -> CompositionPoints:
    """The newest measured points of a film.

    Args:
        client: root of the catalogue.
        substrate: number of the film's substrate.
        campaign: id of the campaign that made it.
        run: uid of the run that measured it.

    Raises:
        OutOfRange: neither is given.
        CatalogueError: there are none.
    """
    given = {"substrate_number": substrate, "campaign": campaign, "run": run}
    filters: dict[str, str | int] = {k: v for k, v in given.items() if v is not None}
    if not filters:
        raise OutOfRange("say which film: substrate=, campaign= or run=")
    return points_of(latest_analysis(client, RBS, **filters))


def points_of(found: Analysis) -> CompositionPoints:
    """The points of a result of the kind "rbs".

    Raises:
        CatalogueError: it is of another kind or schema.
    """
    arrays, about = found.arrays, found.metadata
    try:
        size = arrays["fraction"].size
        return CompositionPoints(
            elements=tuple(str(k) for k in about["elements"]),
            x_mm=arrays["x"],
            y_mm=arrays["y"],
            fraction=arrays["fraction"],
            fraction_cov=arrays["fraction_joint_cov"].reshape(size, size),
            density=arrays["density"],
            density_cov=arrays["density_joint_cov"].reshape(size, size),
            accepted=arrays["accepted"].astype(bool),
            substrate_number=about.get("substrate_number"),
            based_on=str(about.get("based_on") or ""),
            key=found.key,
        )
    except (KeyError, ValueError) as fault:
        raise CatalogueError(f"analysis {found.key!r} holds no measured points: {fault!r}") from fault


def check_map(found: Analysis, points: CompositionPoints) -> MapCheck:
    """Compare a composition map with measured points.

    Args:
        found: result of the kind "composition" of the same film.
        points: all within the map.

    Raises:
        OutOfRange: a point lies beyond the map, or they have no element in common.
    """
    where = {str(name): k for k, name in enumerate(found.metadata["elements"])}
    if not set(where) & set(points.elements):
        raise OutOfRange(f"the map is of {', '.join(where)}, the points are of {', '.join(points.elements)}")
    x, y = found.arrays["x"], found.arrays["y"]
    beyond = [np.maximum(a[0] - p, p - a[-1]) > SLACK_MM for a, p in ((x, points.x_mm), (y, points.y_mm))]
    if np.any(beyond):
        raise OutOfRange(
            f"a point lies beyond the map, which reaches from ({x[0]:g}, {y[0]:g}) to ({x[-1]:g}, {y[-1]:g}) mm"
        )
    fraction, std = (_at(found.arrays, key, points, where) for key in ("composition", "composition_std"))
    residual = points.fraction - fraction
    variance = points.fraction_std**2 + std**2
    sigma = np.divide(residual, np.sqrt(variance), out=np.zeros_like(residual), where=variance > 0)
    used = points.accepted if points.accepted.any() else np.ones_like(points.accepted)
    chi2, values = _chi2(residual, std, points, used)
    rms_percent, rms_sigma = (float(np.sqrt(np.mean(k[used] ** 2))) for k in (100.0 * residual, sigma))
    i, k = np.unravel_index(int(np.argmax(np.abs(sigma) * used[:, None])), sigma.shape)
    findings = ()
    if rms_sigma > DISAGREE_SIGMA:
        findings = (
            f"map and points disagree: {rms_percent:.2f} at. % (rms), {rms_sigma:.1f} of their errors; worst at "
            f"({points.x_mm[i]:g}, {points.y_mm[i]:g}) mm, {points.elements[k]} {100 * points.fraction[i, k]:.2f} at. % "
            f"measured, {100 * fraction[i, k]:.2f} in the map: is it the same film, and are the sensors calibrated?",
        )
    worst = float(sigma[i, k])
    return MapCheck(fraction, std, residual, sigma, rms_percent, chi2, values, findings, rms_sigma, worst)


def _chi2(residual: Array, std: Array, points: CompositionPoints, used: NDArray[np.bool_]) -> tuple[float, int]:
    """Chi2 of the points used and the number of independent values; the last element is what the others leave."""
    free = max(len(points.elements) - 1, 1)
    rows = np.arange(points.fraction.size).reshape(points.fraction.shape)[used, :free].ravel()
    cov = points.fraction_cov[np.ix_(rows, rows)] + np.diag(std[used, :free].ravel() ** 2)
    values = residual[used, :free].ravel()
    return float(values @ np.linalg.pinv(cov, hermitian=True) @ values), values.size


def _at(arrays: Mapping[str, Any], key: str, points: CompositionPoints, where: Mapping[str, int]) -> Array:
    """A map [element, y, x] at the points [p, e]; 0 for an element that it does not have."""
    x, y = arrays["x"], arrays["y"]
    value = np.zeros((len(points.x_mm), len(points.elements)))
    for k, name in enumerate(points.elements):
        if name in where:
            spline = RectBivariateSpline(y, x, arrays[key][where[name]], kx=min(3, len(y) - 1), ky=min(3, len(x) - 1))
            value[:, k] = spline.ev(points.y_mm, points.x_mm)
    return value
