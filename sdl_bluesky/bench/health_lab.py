"""A chamber in numpy for studies: sources that are rings with a scattered part, no cos^n points and no Gaussian processes.

    rate_q(P, p) = S (P/40)^a exp(-(ln(p/b))^2 / 2 w^2) (1 - k P sqrt(p/20)) pattern_q(n0 + n1 ln(p/8))

Readings have a relative and an absolute scatter, a slope error, and the tooling factor of their sensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sdl_bluesky.analysis.health.voltage import VoltageModel, fit_voltage
from sdl_bluesky.analysis.surface import SourceSurface, fit_surface
from sdl_bluesky.inference.design import corners
from sdl_bluesky.physics.flux import view
from sdl_bluesky.physics.geometry import Array

POWER_W = (10.0, 100.0)
PRESSURE_MTORR = (4.0, 20.0)
SENSOR_NAMES: tuple[str, ...] = ("qcm1", "qcm2", "qcm3")
_RING = 24
_SENSORS = np.array([[5.5 * np.cos(t), 5.5 * np.sin(t), 0.0] for t in np.radians([20.0, 140.0, 260.0])])


@dataclass(frozen=True)
class Source:
    """One source of the chamber; numbers as in the equation above, scale in ng cm^-2 s^-1 at the middle at 40 W."""

    azimuth_deg: float
    scale: float
    exponent: float
    best: float
    width: float
    n: tuple[float, float]
    radius_cm: float
    diffuse: float
    voltage_V: float
    jump: float = 0.0  # relative step of the rate above 9 mTorr, for studies of discontinuities

    @classmethod
    def draw(cls, rng: np.random.Generator, azimuth_deg: float) -> Source:
        """One of the sources that a chamber may have."""
        return cls(
            azimuth_deg,
            scale=float(rng.uniform(15, 60)),
            exponent=float(rng.uniform(0.9, 1.1)),
            best=float(rng.uniform(6, 14)),
            width=float(rng.uniform(0.8, 1.3)),
            n=(float(rng.uniform(0.9, 3.2)), float(rng.uniform(-0.2, 0.8))),
            radius_cm=float(rng.uniform(1.0, 2.0)),
            diffuse=float(rng.uniform(0.0, 0.1)),
            voltage_V=float(rng.uniform(300, 500)),
        )

    def rate(self, power_W: float, pressure_mTorr: float) -> Array:
        """True rates at the sensors [q]."""
        n = self.n[0] + self.n[1] * np.log(pressure_mTorr / 8.0)
        cos_phi, reach = self._views
        flux = (cos_phi**n * reach).mean(axis=0)  # but for a factor (n + 1)
        pattern = (1 - self.diffuse) * flux[:-1] / flux[-1] + self.diffuse
        level = self.scale * (power_W / 40.0) ** self.exponent
        level *= np.exp(-0.5 * (np.log(pressure_mTorr / self.best) / self.width) ** 2)
        level *= 1 - 0.0015 * power_W * np.sqrt(pressure_mTorr / 20)
        return level * pattern * (1 + self.jump * (pressure_mTorr > 9.0))

    @cached_property
    def _views(self) -> tuple[Array, Array]:
        """cos(phi) and cos(theta) / (2 pi r^2) of the ring's emitters at the sensors and the middle [ring, q + 1]."""
        tilt, turn = np.radians(30.0), np.radians(self.azimuth_deg)
        out = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
        across = np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), -np.sin(tilt)])
        other = np.cross(out, across)
        points = np.concatenate([_SENSORS, np.zeros((1, 3))])
        pairs = []
        for angle in 2 * np.pi * np.arange(_RING) / _RING:
            place = 14.0 * out + self.radius_cm * (np.cos(angle) * across + np.sin(angle) * other)
            pairs.append(view(place, -out, points, np.array([0.0, 0.0, 1.0])))
        return np.stack([k[0] for k in pairs]), np.stack([k[1] for k in pairs])

    def voltage(self, power_W: float, pressure_mTorr: float) -> float:
        """True voltage alone [V]; not quite a power law."""
        bend = 0.004 * np.log(pressure_mTorr / 8.0) ** 2
        return float(self.voltage_V * (power_W / 50.0) ** 0.13 * (pressure_mTorr / 5.0) ** -0.12 * (1 + bend))


@dataclass(frozen=True)
class Lab:
    """Sources with sensors that read them.

    Attributes:
        sources: by name.
        tooling: factor of each sensor [q].
        relative, absolute, slope: scatter of a run, per source and sensor, and the error of its slope.
    """

    sources: Mapping[str, Source]
    tooling: Array
    relative: float = 0.015
    absolute: float = 0.05
    slope: float = 0.005
    volts: float = 0.002

    @classmethod
    def draw(cls, rng: np.random.Generator, names: Sequence[str] = ("cu", "sn"), tooling_std: float = 0.01) -> Lab:
        """A chamber with sources of its own."""
        azimuth = rng.uniform(0, 120)
        sources = {k: Source.draw(rng, azimuth + 100.0 * i) for i, k in enumerate(names)}
        return cls(sources, 1 + tooling_std * rng.standard_normal(len(SENSOR_NAMES)))

    def with_jump(self, name: str, jump: float) -> Lab:
        """The same with a step in the rate of one source."""
        return replace(self, sources={**self.sources, name: replace(self.sources[name], jump=jump)})

    def read(
        self,
        rng: np.random.Generator,
        powers_W: Mapping[str, float],
        pressure_mTorr: float,
        change: Mapping[str, float],
    ) -> tuple[Array, Array]:
        """Rates of a run [q] with the standard errors of their slopes; `change`: of each source's rate by others."""
        total = np.zeros(len(SENSOR_NAMES))
        for name, power in powers_W.items():
            true = self.sources[name].rate(power, pressure_mTorr) * (1 + change.get(name, 0.0))
            seen = true * (1 + self.relative * rng.standard_normal(true.shape))
            total += seen + self.absolute * rng.standard_normal(true.shape)
        total = total * self.tooling
        std = self.slope * np.abs(total)
        return total + std * rng.standard_normal(total.shape), std

    def learn(self, rng: np.random.Generator, name: str, count: int = 10) -> tuple[SourceSurface, VoltageModel]:
        """What `count` single-source runs tell: five corners and centre, the others anywhere."""
        points = self.points(rng, count)
        pairs = [self.read(rng, {name: float(p)}, float(q), {}) for p, q in points]
        volts = [self.sources[name].voltage(float(p), float(q)) for p, q in points]
        volts = np.array(volts) * (1 + self.volts * rng.standard_normal(count))
        rates, std = np.stack([k[0] for k in pairs]), np.stack([k[1] for k in pairs])
        surface = fit_surface(points, rates, std, SENSOR_NAMES, POWER_W, PRESSURE_MTORR)
        return surface, fit_voltage(points, volts, POWER_W, PRESSURE_MTORR)

    @staticmethod
    def points(rng: np.random.Generator, count: int) -> Array:
        """Power and pressure of the runs [count, 2]."""
        start = corners((POWER_W, PRESSURE_MTORR))
        others = np.column_stack(
            [rng.uniform(*POWER_W, count - len(start)), rng.uniform(*PRESSURE_MTORR, count - len(start))]
        )
        return np.concatenate([start, others])
