"""Measured fractions as rows of the joint model: what they should be, how they change, which of them stands apart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdl_bluesky.analysis.maps.layout import Layout
from sdl_bluesky.analysis.maps.pattern import Prior, design
from sdl_bluesky.analysis.maps.readings import Film
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.composition import atomic_masses
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True, eq=False)
class MeasuredPoints:
    """The points of one film that are used.

    Attributes:
        film: its number.
        points: number of each point in the film's list [p].
        elements: that both film and points have [e]; fractions are of these alone.
        value: [p * (e - 1)]; the last element is what the others leave.
        noise: covariance.
        matrix, offset: of ln flux, [s, p, 5] for (lnS, n, d, q, ln sigma) and [s, p].
        columns: where these numbers are [s, 5].
        element: of each source, by its number in `elements` [s]; -1 for one that the points do not have.
        ln_mass: logarithm of the atomic mass of each source [s].
        rest: relative standard deviation of what the model leaves at a place.
        total: numbers in the joint model.
        findings: what was left out.
    """

    film: int
    points: tuple[int, ...]
    elements: tuple[str, ...]
    value: Array
    noise: Array
    matrix: Array
    offset: Array
    columns: NDArray[np.int_]
    element: NDArray[np.int_]
    ln_mass: Array
    rest: float
    total: int
    findings: tuple[str, ...]

    @classmethod
    def of(
        cls, film: Film, number: int, layout: Layout, prior: Prior, left_out: Collection[tuple[str, int]]
    ) -> MeasuredPoints:
        """The rows of a film.

        Raises:
            OutOfRange: shapes differ, a number is not finite, or film and points have fewer than two elements in common.
        """
        points = film.points
        assert points is not None
        e, p = len(points.elements), len(points.x_mm)
        fraction, cov = np.asarray(points.fraction, float), np.asarray(points.fraction_cov, float)
        if fraction.shape != (p, e) or cov.shape != (p * e, p * e) or len(points.y_mm) != p:
            raise OutOfRange(f"fractions {fraction.shape} with covariance {cov.shape} are not those of {p} points")
        common = [k for k in dict.fromkeys(s.element for s in film.sources) if k in points.elements]
        if len(common) < 2:
            raise OutOfRange(
                f"points of {', '.join(points.elements)} tell nothing of a film of "
                f"{', '.join(dict.fromkeys(s.element for s in film.sources))}: two elements in common are needed"
            )
        used = [k for k in range(p) if points.accepted[k] and (film.uid, k) not in left_out]
        chosen = [points.elements.index(k) for k in common]
        rows = (np.array(used, dtype=int)[:, None] * e + np.array(chosen)).ravel()
        x, c = fraction[used][:, chosen], cov[np.ix_(rows, rows)]
        if not np.all(np.isfinite(x)) or not np.all(np.isfinite(c)) or np.any(x.sum(axis=1) <= 0):
            raise OutOfRange(f"a fraction of film {film.uid or number} or its error is not finite, or all are zero")
        value, noise = _of_these_alone(x, c)
        where = np.column_stack([np.asarray(points.x_mm)[used], np.asarray(points.y_mm)[used], np.zeros(len(used))])
        pairs = [design(s.geometry, where / 10.0, [0.0, 0.0, 1.0], prior.n[0]) for s in film.sources] if used else []
        rejected = [k for k in range(p) if not points.accepted[k]]
        findings = (f"{len(rejected)} of {p} points are not used: their spectra are not described",) if rejected else ()
        return cls(
            film=number,
            points=tuple(used),
            elements=tuple(common),
            value=value,
            noise=noise,
            matrix=np.array([np.column_stack([m, np.ones(len(m))]) for m, _ in pairs]),
            offset=np.array([o for _, o in pairs]),
            columns=np.array([layout.wafer(number, i) for i in range(len(film.sources))]),
            element=np.array([common.index(s.element) if s.element in common else -1 for s in film.sources]),
            ln_mass=np.log(atomic_masses([s.element for s in film.sources])),
            rest=prior.rest,
            total=layout.size,
            findings=findings,
        )

    @property
    def size(self) -> int:
        """Rows."""
        return self.value.size

    def linear(self, at: Array) -> tuple[Array, Array, Array]:
        """Rows around the numbers `at`: matrix [r, total], values [r] (as if the model were linear), covariance [r, r]."""
        e, p = len(self.elements), len(self.points)
        moles = np.exp(np.einsum("spk,sk->sp", self.matrix, at[self.columns]) + self.offset - self.ln_mass[:, None])
        member = (self.element[None] == np.arange(e)[:, None]).astype(float)  # [e, s]
        each = member @ moles
        fraction = each / each.sum(axis=0)  # [e, p]
        part = member[:, :, None] * moles[None] / each[:, None]  # of an element, from each source [e, s, p]
        change = np.einsum("esp,spk->pesk", part, self.matrix)  # of ln u_e
        jacobian = fraction.T[:, :, None] * (np.eye(e)[None] - fraction.T[:, None, :])  # dx_i / d ln u_j [p, e, e]
        local = np.einsum("pij,pjsk->pisk", jacobian, change)[:, : e - 1]
        rows = np.zeros((p, e - 1, self.total))
        for s, columns in enumerate(self.columns):
            rows[:, :, columns] += local[:, :, s]
        rows = rows.reshape(p * (e - 1), self.total)
        rest = self.rest**2 * np.einsum("pij,pkj->pik", jacobian, jacobian)[:, : e - 1, : e - 1]
        noise = self.noise.copy()
        for k in range(p):
            here = slice(k * (e - 1), (k + 1) * (e - 1))
            noise[here, here] += rest[k]
        return rows, self.value - fraction[: e - 1].T.ravel() + rows @ at, noise

    def alone(self, inverse: Array, innovation: Array, first: int) -> dict[tuple[int, int], tuple[float, int]]:
        """Chi2 of each point given everything else, and its number of values.

        With S the expected spread of all rows and r their distance from the prior, the distance of the rows of a point
        from what all other rows say is ([S^-1]_pp)^-1 [S^-1 r]_p with the covariance ([S^-1]_pp)^-1.
        """
        weighed, found = inverse @ innovation, {}
        width = len(self.elements) - 1
        for k, number in enumerate(self.points):
            here = slice(first + k * width, first + (k + 1) * width)
            squared = float(weighed[here] @ np.linalg.solve(inverse[here, here], weighed[here]))
            found[(self.film, number)] = (squared, width)
        return found


def _of_these_alone(fraction: Array, cov: Array) -> tuple[Array, Array]:
    """Fractions [p, e] as parts of their own sum, without the last, flat; and their covariance."""
    p, e = fraction.shape
    total = fraction.sum(axis=1)
    share = fraction / total[:, None]
    jacobian = (np.eye(e)[None] - share[:, :, None]) / total[:, None, None]  # [p, i, j]
    full = np.zeros((p, e - 1, p, e))
    for k in range(p):
        full[k, :, k] = jacobian[k, : e - 1]
    full = full.reshape(p * (e - 1), p * e)
    return share[:, : e - 1].ravel(), full @ cov @ full.T
