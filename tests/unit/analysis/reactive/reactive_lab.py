"""A reactive plasma made of laws that are not those of the analysis: films, light and target each of another form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdl_bluesky.analysis.reactive.actinometry import EmissionRows


@dataclass(frozen=True)
class Plasma:
    """One source in one chamber.

    Films saturate exponentially with the oxygen they are offered (and not as Langmuir says), light is bent by a power
    of the metal's density, oxide and metal share the target, and everything is read with noise.

    Attributes:
        level: rates at the sensors at 60 W, ng cm^-2 s^-1.
        limit: mass of oxygen over metal in the oxide.
        oxide_yield: yield of the oxide over that of the metal.
        half_mTorr: partial pressure at which half of the target is covered at 60 W.
        film_mTorr: partial pressure at which a film that gets 10 ng cm^-2 s^-1 is well oxidised.
        bend: the line goes as density to the power 1 - bend.
        rarefied: argon falls as the power to this power.
        hotter: relative change of the line ratio by the electrons of a covered target.
        noise: relative noise of rates and line ratio.
    """

    level: tuple[float, ...] = (40.0, 18.0, 24.0)
    limit: float = 0.25
    oxide_yield: float = 0.2
    half_mTorr: float = 0.08
    film_mTorr: float = 0.01
    bend: float = 0.1
    rarefied: float = 0.2
    hotter: float = 0.0
    noise: float = 0.003

    def coverage(self, oxygen_mTorr):
        """Of the target."""
        return oxygen_mTorr / (oxygen_mTorr + self.half_mTorr)

    def metal(self, power, argon_mTorr, oxygen_mTorr):
        """Rates of the metal at the sensors [n, q]."""
        theta = self.coverage(oxygen_mTorr)
        yields = (1 - theta + theta * self.oxide_yield) / (1 + 0.1 * theta)
        escape = 1 / (1 + ((argon_mTorr + oxygen_mTorr) / 20.0) ** 1.3)
        return np.outer(power / 60.0 * yields * escape, self.level)

    def rows(self, power, argon_mTorr, oxygen_mTorr, rng) -> EmissionRows:
        """Readings at several conditions [n]."""
        power, argon, oxygen = np.broadcast_arrays(
            np.asarray(power, float), np.asarray(argon_mTorr, float), np.asarray(oxygen_mTorr, float)
        )
        n, theta = power.size, self.coverage(oxygen)
        metal = self.metal(power, argon, oxygen)
        offered = oxygen[:, None] / self.film_mTorr * 10.0 / metal
        total = metal * (1 + self.limit * (1 - np.exp(-offered)))
        sputtered = power / 60.0 * (1 - theta + theta * self.oxide_yield) / (1 + 0.1 * theta)
        ratio = 0.3 * sputtered ** (1 - self.bend) / (argon / 5.0) * (power / 60.0) ** self.rarefied
        ratio = ratio * (1 + self.hotter * theta)
        volts = 330.0 * (power / 60.0) ** 0.12 * (1 + 0.1 * theta)
        error = self.noise * total
        return EmissionRows(
            power,
            (argon + oxygen) * (1 + 5e-4 * rng.normal(size=n)),
            np.where(oxygen > 0, 5.0 * oxygen + 0.5, 0.0),
            volts,
            power / volts,
            total + error * rng.normal(size=total.shape),
            error,
            ratio * (1 + self.noise * rng.normal(size=n)),
            self.noise * ratio,
        )


def any_plasma(seed: int, limit: float) -> Plasma:
    """One of many: drawn with a seed."""
    rng = np.random.default_rng([77, seed])
    return Plasma(
        tuple(float(v) for v in rng.uniform(10.0, 30.0) * np.exp(0.4 * rng.normal(size=3))),
        limit=limit,
        oxide_yield=float(rng.uniform(0.05, 0.4)),
        half_mTorr=float(np.exp(rng.uniform(np.log(0.02), np.log(0.2)))),
        film_mTorr=float(np.exp(rng.uniform(np.log(0.001), np.log(0.02)))),
        bend=float(rng.uniform(0.0, 0.25)),
        rarefied=float(rng.uniform(0.05, 0.35)),
        hotter=float(rng.uniform(-0.04, 0.04)),
    )
