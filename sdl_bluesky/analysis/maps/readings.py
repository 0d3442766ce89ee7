"""What is known of the sources of a chamber at several settings, before the emission pattern: one Gaussian of rates.

The rates of one source at two settings come from one surface, so their errors belong together; the sources that burn at
one setting belong together by what they do to each other and by the total rates that the sensors read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.maps.totals import Totals, condition, neighbours
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array, SourceGeometry

ALIKE = 0.3
"""Correlation between the errors of two sources' levels at one pressure: they burn in one gas, which acts alike on both."""


@dataclass(frozen=True)
class SourceRates:
    """What is known of one source alone at one setting, as the sensors of the chamber would read it.

    Attributes:
        name, element: of the source.
        geometry: where it is.
        mean: rate at each sensor [q], ng cm^-2 s^-1.
        cov: covariance [q, q]; errors of tooling factors not included.
        surface, setting: where the two are from, and for which power [W] and pressure [mTorr], if from a surface.
    """

    name: str
    element: str
    geometry: SourceGeometry
    mean: Array
    cov: Array
    surface: SourceSurface | None = None
    setting: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        element: str,
        geometry: SourceGeometry,
        surface: SourceSurface,
        setting: tuple[float, float],
        sensors: Sequence[str],
    ) -> tuple[SourceRates, tuple[str, ...]]:
        """By its surface at (power W, pressure mTorr), and findings."""
        mean, cov, findings = surface.at(setting, sensors)
        return cls(name, element, geometry, mean, cov, surface, setting), findings


class Points(Protocol):
    """Fractions that were measured at points of a film: see `analysis.rbs.points.CompositionPoints`."""

    @property
    def elements(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def x_mm(self) -> Array: ...  # noqa: D102

    @property
    def y_mm(self) -> Array: ...  # noqa: D102

    @property
    def fraction(self) -> Array: ...  # noqa: D102

    @property
    def fraction_cov(self) -> Array: ...  # noqa: D102

    @property
    def accepted(self) -> NDArray[np.bool_]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Film:
    """One setting of the chamber and what was measured there.

    Attributes:
        sources: the rates of each alone at this setting.
        totals: rates that the sensors read while all of them ran, if it was done.
        points: fractions at points of the film, if they were measured.
        uid: of the run that made it, "" for none.
        together: whether the sources burn together; False for sources that only bear witness of the chamber.
    """

    sources: tuple[SourceRates, ...]
    totals: Totals | None = None
    points: Points | None = None
    uid: str = ""
    together: bool = True


@dataclass(frozen=True)
class Readings:
    """Rates of every source at every setting, in the order of the films: mean [r, q], cov [r * q, r * q].

    Attributes:
        mean, cov: within the co-sputter runs, what totals say included.
        before: means and standard errors [r, q] without the totals.
        findings, checks: by film.
    """

    mean: Array
    cov: Array
    before: tuple[Array, Array]
    findings: tuple[tuple[str, ...], ...] = ()
    checks: tuple[dict[str, float], ...] = field(default_factory=tuple)


def readings(films: Sequence[Film], sensors: Sequence[str]) -> Readings:
    """The rates of all sources at all settings as one Gaussian.

    Args:
        films: the settings.
        sensors: names of the sensors of the chamber [q].

    Raises:
        OutOfRange: rates do not belong to the sensors, or a number is not finite.
    """
    rates = [k for film in films for k in film.sources]
    if not rates or not all(film.sources for film in films):
        raise OutOfRange("a composition map needs at least one source")
    q = len(sensors)
    for k in rates:
        _check(k, q)
    mean = np.stack([k.mean for k in rates])
    cov = alone(rates, sensors)
    findings, checks = [], []
    first = 0
    for film in films:
        rows = slice(first * q, (first + len(film.sources)) * q)
        part = mean[first : first + len(film.sources)]
        if film.together:
            cov[rows, rows] += neighbours(part)
        first += len(film.sources)
    before = mean, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(mean.shape)
    first = 0
    for film in films:
        which = range(first, first + len(film.sources))
        names = [k.name for k in film.sources]
        found = condition(mean, cov, film.totals, which, names, sensors)
        mean, cov = found.mean, found.cov
        findings.append(found.findings)
        checks.append(dict(found.checks))
        first += len(film.sources)
    return Readings(mean, cov, before, tuple(findings), tuple(checks))


def alone(rates: Sequence[SourceRates], sensors: Sequence[str]) -> Array:
    """Covariance [r * q, r * q] of the rates of sources alone: what surfaces say of two settings is one error."""
    r, q = len(rates), len(sensors)
    cov = np.zeros((r, q, r, q))
    for i, k in enumerate(rates):
        cov[i, :, i] = k.cov
    for mine in _by_surface(rates):
        surface = rates[mine[0]].surface
        if surface is None or len(mine) < 2:
            continue
        known = [i for i, sensor in enumerate(sensors) if sensor in surface.sensors]
        here = [surface.sensors.index(sensors[i]) for i in known]
        full = surface.joint(np.array([rates[i].setting for i in mine]))[1]
        for a, i in enumerate(mine):
            for b, j in enumerate(mine):
                if i != j:
                    cov[i][np.ix_(known, [j], known)] = full[a][np.ix_(here, [b], here)]
    return cov.reshape(r * q, r * q) + _in_common(rates, q)


def _by_surface(rates: Sequence[SourceRates]) -> list[list[int]]:
    """Numbers of the rates that come from one surface, for each surface; a source that was learned again has another."""
    found: dict[int, list[int]] = {}
    for i, k in enumerate(rates):
        if k.surface is not None and k.setting is not None:
            found.setdefault(id(k.surface), []).append(i)
    return list(found.values())


def _in_common(rates: Sequence[SourceRates], sensors: int) -> Array:
    """What surfaces leave is partly the same for all sources at one pressure: the change of the covariance [r * q, r * q].

    Relative error of the level of source s at setting a: l_a (sqrt(ALIKE) u_a + sqrt(1 - ALIKE) v_sa), v as its surface has
    it, u one for all sources, as one surface has it at one power.
    """
    r = len(rates)
    out = np.zeros((r, sensors, r, sensors))
    learned = [i for i, k in enumerate(rates) if k.surface is not None and k.setting is not None]
    if len({id(rates[i].surface) for i in learned}) < 2:
        return out.reshape(r * sensors, r * sensors)
    reference = rates[learned[0]].surface
    assert reference is not None
    power = float(np.median(reference.points[:, 0]))
    pressures = [k.setting[1] for k in (rates[i] for i in learned) if k.setting is not None]
    common = _correlation(reference.level.covariance([[power, pressure] for pressure in pressures]))
    change = common.copy()
    relative = np.zeros(len(learned))
    for mine in _by_surface([rates[i] for i in learned]):
        surface = rates[learned[mine[0]]].surface
        assert surface is not None
        x = np.array([rates[learned[a]].setting for a in mine])
        cov = surface.level.covariance(x)
        relative[mine] = np.sqrt(np.diag(cov)) / surface.level.predict(x)[0]
        change[np.ix_(mine, mine)] -= _correlation(cov)
    for a, i in enumerate(learned):
        for b, j in enumerate(learned):
            share = ALIKE * change[a, b] * relative[a] * relative[b]
            out[i, :, j] = share * np.outer(rates[i].mean, rates[j].mean)
    return out.reshape(r * sensors, r * sensors)


def _correlation(cov: Array) -> Array:
    std = np.sqrt(np.diag(cov))
    return cov / np.outer(std, std)


def _check(k: SourceRates, sensors: int) -> None:
    if np.shape(k.mean) != (sensors,) or np.shape(k.cov) != (sensors, sensors):
        raise OutOfRange(f"source {k.name!r}: rates {np.shape(k.mean)} do not belong to {sensors} sensors")
    if not np.all(np.isfinite(k.mean)) or not np.all(np.isfinite(k.cov)):
        raise OutOfRange(f"source {k.name!r}: a rate is not finite; learn the source again")
