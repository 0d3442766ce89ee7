"""From mass rates of several elements to atomic fractions, with their errors.

Fraction of element i: x_i = u_i / sum_k u_k with u_i = (mass rate of i) / (atomic mass of i).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import periodictable
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array


def atomic_mass(element: str) -> float:
    """Standard atomic mass of an element [g/mol].

    Raises:
        UnknownName: there is no such element.
    """
    try:
        return float(periodictable.elements.symbol(element).mass)
    except ValueError:
        known = [e.symbol for e in periodictable.elements if e.number > 0]
        raise UnknownName("element", element, known) from None


def atomic_masses(elements: Sequence[str]) -> Array:
    """Atomic masses [e] in g/mol."""
    return np.array([atomic_mass(e) for e in elements])


def mass_densities(elements: Sequence[str]) -> Array:
    """Densities [e] of the solid elements in g cm^-3.

    Raises:
        OutOfRange: the density of one is not known.
    """
    atomic_masses(elements)
    found = [periodictable.elements.symbol(e).density for e in elements]
    for element, density in zip(elements, found):
        if density is None:
            raise OutOfRange(f"the density of {element} is not known: give the time of the deposition, not a thickness")
    return np.array(found, dtype=float)


def atomic_fractions(mass_rates: ArrayLike, masses: ArrayLike) -> Array:
    """Atomic fractions [e, ...] from mass rates [e, ...] (any one unit) and atomic masses [e].

    They sum to one over the first axis; nan where nothing arrives at all.

    Raises:
        OutOfRange: a rate is negative or not finite, or the masses do not fit.
    """
    rates, m = np.asarray(mass_rates, dtype=float), np.asarray(masses, dtype=float)
    if rates.ndim == 0 or m.shape != rates.shape[:1] or not np.all(m > 0):
        raise OutOfRange(f"mass rates {rates.shape} need one positive atomic mass per element, not {m.tolist()}")
    if not np.all(np.isfinite(rates)) or np.any(rates < 0):
        raise OutOfRange("a mass rate is negative or not finite: no film has such a part")
    moles = rates / m.reshape((-1,) + (1,) * (rates.ndim - 1))
    total = moles.sum(axis=0)
    return np.divide(moles, total, out=np.full_like(moles, np.nan), where=total > 0)


def fractions_std(fractions: ArrayLike, relative_cov: ArrayLike) -> Array:
    """Standard errors [e, ...] of atomic fractions, to first order.

    dx_i / d ln u_j = x_i (delta_ij - x_j); a common relative error of all elements cancels.

    Args:
        fractions: [e, ...].
        relative_cov: covariance of ln(mass rate), [e, e] or [e, e, ...].
    """
    x, cov = np.asarray(fractions, dtype=float), np.asarray(relative_cov, dtype=float)
    e = x.shape[0]
    if cov.shape[:2] != (e, e):
        raise OutOfRange(f"a covariance of shape {cov.shape} does not belong to {e} elements")
    cov = cov.reshape(cov.shape + (1,) * (x.ndim + 1 - cov.ndim))
    eye = np.eye(e).reshape((e, e) + (1,) * (x.ndim - 1))
    jacobian = x[:, None] * (eye - x[None, :])
    variance = np.einsum("ij...,jk...,ik...->i...", jacobian, np.broadcast_to(cov, (e, e, *x.shape[1:])), jacobian)
    return np.sqrt(np.maximum(variance, 0.0))


def sampled_fractions(mass_rates: ArrayLike, masses: ArrayLike) -> tuple[Array, Array]:
    """Mean and standard deviation [e, ...] of the atomic fractions over samples of mass rates [samples, e, ...].

    Samples of one row belong together, so that errors that elements or pixels share are carried through.
    """
    samples = np.asarray(mass_rates, dtype=float)
    if samples.ndim < 2 or samples.shape[0] < 2:
        raise OutOfRange(f"{samples.shape} is no set of samples: give [samples, elements, ...] with two or more")
    x = np.moveaxis(atomic_fractions(np.moveaxis(samples, 0, 1), masses), 0, 1)
    return x.mean(axis=0), x.std(axis=0, ddof=1)
