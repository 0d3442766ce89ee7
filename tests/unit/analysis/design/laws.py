"""Sources with known laws: flux = strength x power x g(pressure) x (1 + slope . place), with log-normal errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sdl_bluesky.analysis.maps.prediction import PointPrediction
from sdl_bluesky.physics.composition import atomic_masses


@dataclass(frozen=True)
class Law:
    """One source; `std` is the relative error of its flux, common to all places, powers and pressures."""

    element: str
    strength: float = 1.0
    slope: tuple[float, float] = (0.0, 0.0)  # 1/mm
    std: float = 0.01
    best_mTorr: float = 9.0

    def flux(self, power: float, pressure: float, points: np.ndarray) -> np.ndarray:
        falling = np.exp(-0.1 * np.log(pressure / self.best_mTorr) ** 2)
        return self.strength * power * falling * (1.0 + points @ np.array(self.slope))


@dataclass
class Laws:
    """A model that knows the laws and is unsure of their strengths."""

    sources: Mapping[str, Law]
    samples: int = 4000
    seed: int = 1
    calls: int = field(default=0)

    def predict(self, powers_W, pressure_mTorr, points_mm) -> PointPrediction:
        self.calls += 1
        points = np.asarray(points_mm, dtype=float)
        half = np.random.default_rng(self.seed).standard_normal((self.samples // 2, len(self.sources)))
        normal = np.concatenate([half, -half])
        names = [k for k in self.sources if powers_W.get(k, 0.0) > 0]
        flux = np.stack(
            [
                self.sources[k].flux(powers_W[k], pressure_mTorr, points)
                * np.exp(self.sources[k].std * normal[:, [list(self.sources).index(k)]])
                for k in names
            ],
            axis=1,
        )
        elements = tuple(dict.fromkeys(self.sources[k].element for k in names))
        mass = np.stack(
            [sum(flux[:, i] for i, k in enumerate(names) if self.sources[k].element == e) for e in elements], axis=1
        )
        moles = mass / atomic_masses(elements)[None, :, None]
        return PointPrediction(tuple(names), elements, flux, moles / moles.sum(axis=1, keepdims=True))
