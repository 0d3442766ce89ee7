"""Composition and areal density of layers, with their errors from the covariance of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_fit.result import FitResult
from sdl_bluesky.physics.geometry import Array


@dataclass(frozen=True, eq=False)
class Composition:
    """Atomic fractions.

    Attributes:
        elements: which.
        fraction, std: [b, element]; nan where there is nothing at all.
        cov: covariance [b, element, element].
    """

    elements: tuple[str, ...]
    fraction: Array
    std: Array
    cov: Array


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over layers: of each element [b, e], and which parameters they add up [d, e]."""

    elements: tuple[str, ...]
    values: Array
    adds: Array


def composition(
    result: FitResult, layers: Sequence[int] | None = None, elements: Sequence[str] | None = None
) -> Composition:
    """Fractions of elements in a layer or in the sum of some layers.

    Args:
        result: of a fit.
        layers: numbers of the layers from 0, the surface; by default those in which a density was fitted.
        elements: which are counted, by default all that these layers have; fractions are of their sum.

    Raises:
        UnknownName: an element that the fit does not have.
        OutOfRange: a layer that it does not have.
    """
    sums = sums_of(result, layers, elements)
    whole = sums.values.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = sums.values / whole
        slope = (sums.adds[None, :, :] - fraction[:, None, :] * sums.adds.sum(axis=1)[None, :, None]) / whole[
            :, :, None
        ]
    cov = np.einsum("bpe,bpq,bqf->bef", slope, _density_cov(result), slope)
    return Composition(sums.elements, fraction, np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0.0)), cov)


def total(
    result: FitResult, layers: Sequence[int] | None = None, elements: Sequence[str] | None = None
) -> tuple[Array, Array]:
    """Areal density of layers in 1e15 at/cm2 and its standard deviation, each [b]; arguments and errors as `composition`."""
    sums = sums_of(result, layers, elements)
    adds = sums.adds.sum(axis=1)
    return sums.values.sum(axis=1), np.sqrt(np.maximum(np.einsum("p,bpq,q->b", adds, _density_cov(result), adds), 0.0))


def sums_of(result: FitResult, layers: Sequence[int] | None, elements: Sequence[str] | None) -> Sums:
    """Sums of densities over layers, for `composition` and `total`."""
    count = result.free.shape[0]
    chosen = (
        np.flatnonzero(result.free.any(axis=1)) if layers is None else np.array([int(k) for k in layers], dtype=int)
    )
    if not chosen.size or np.any((chosen < 0) | (chosen >= count)):
        raise OutOfRange(f"layers {chosen.tolist()}: the sample has layers 0 to {count - 1}")
    if elements is None:
        present = result.free[chosen].any(axis=0) | (result.layers[:, chosen] > 0.0).any(axis=(0, 1))
        columns = np.flatnonzero(present)
    else:
        for name in elements:
            if name not in result.elements:
                raise UnknownName("element", name, result.elements)
        columns = np.array([result.elements.index(name) for name in elements], dtype=int)
    places = np.argwhere(result.free)
    adds = np.array([[layer in chosen and e == column for column in columns] for layer, e in places], dtype=float)
    values = result.layers[:, chosen][:, :, columns].sum(axis=1)
    return Sums(tuple(result.elements[k] for k in columns), values, adds)


def _density_cov(result: FitResult) -> Array:
    d = int(result.free.sum())
    return result.cov[:, :d, :d]
