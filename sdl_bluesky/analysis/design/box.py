"""What an inverse design asks of a model, and where it may lie: sources, powers and pressures that were learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.design.target import Target
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array


class Predicted(Protocol):
    """What is expected at points of the wafer: see `analysis.maps.prediction.PointPrediction`."""

    @property
    def sources(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def elements(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def samples(self) -> Array: ...  # noqa: D102

    @property
    def flux_samples(self) -> Array: ...  # noqa: D102

    @property
    def findings(self) -> Sequence[str]: ...  # noqa: D102


class Predicts(Protocol):
    """A model of the chamber: see `analysis.maps.prediction.Prediction`."""

    def predict(self, powers_W: Mapping[str, float], pressure_mTorr: float, points_mm: ArrayLike) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Box:
    """Where a design may lie: within what was learned.

    Attributes:
        elements: of each source that may burn, by name.
        power_W: range of each source.
        pressure_mTorr: range; both ends alike for a pressure that is given.
        burns: whether a source burns at a power [W] and a pressure [mTorr]; None where the whole box does.
    """

    elements: Mapping[str, str]
    power_W: Mapping[str, tuple[float, float]]
    pressure_mTorr: tuple[float, float]
    burns: Callable[[str, float, float], bool] | None = None

    def __post_init__(self) -> None:
        if not self.elements or set(self.elements) != set(self.power_W):
            raise OutOfRange(f"powers of {sorted(self.power_W)} do not belong to the sources {sorted(self.elements)}")
        for what, (low, high) in {**self.power_W, "pressure": self.pressure_mTorr}.items():
            if not (np.isfinite(low) and np.isfinite(high) and 0.0 < low <= high):
                raise OutOfRange(f"range of {what} is {low:g} to {high:g}: give two finite numbers above 0, in order")

    def at_pressure(self, pressure_mTorr: float) -> Box:
        """The same at one pressure.

        Raises:
            OutOfRange: it is outside of the range.
        """
        low, high = self.pressure_mTorr
        if not low <= pressure_mTorr <= high:
            raise OutOfRange(
                f"pressure {pressure_mTorr:g} mTorr is outside what was learned, {low:g} to {high:g} mTorr"
            )
        return replace(self, pressure_mTorr=(pressure_mTorr, pressure_mTorr))

    def of(self, sources: Sequence[str]) -> Box:
        """The same for some of the sources.

        Raises:
            UnknownName: one is not in the box.
        """
        for name in sources:
            if name not in self.elements:
                raise UnknownName("learned source", name, list(self.elements))
        pick = {name: self.elements[name] for name in sources}
        return replace(self, elements=pick, power_W={name: self.power_W[name] for name in pick})

    def for_target(self, target: Target) -> Box:
        """The same for the sources that a target needs: those of its elements, and all if they do not sum to one.

        Raises:
            UnknownName: an element is wanted that no source has.
        """
        for element, wanted in zip(target.elements, target.fraction):
            if wanted.max() > 0.0 and element not in self.elements.values():
                raise UnknownName("element of a learned source", element, list(dict.fromkeys(self.elements.values())))
        absent = {e for e, wanted in zip(target.elements, target.fraction) if wanted.max() == 0.0}
        whole = bool(np.all(target.fraction.sum(axis=0) > 1.0 - 1e-6))
        named = set(target.elements) - absent
        return self.of([s for s, e in self.elements.items() if (e in named if whole else e not in absent)])
