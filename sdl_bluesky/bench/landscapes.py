"""Rates over power and pressure for studies of learning: laws that no model here has as its own form.

    strong    a metal at a near sensor: a little less than proportional to power, lost in the gas at high pressure
    feature   the same with one sharp but continuous feature: near extinction a third of it is lost within about a millitorr
    weak      the strong one at a far sensor: 4.5 % of the rate, so that the noise is 2 to 3 % of the mean

and, harder than these, for the record:

    cusp      a ridge with a kink: the rate rises to a pressure that moves with power, then falls
    shelf     a smooth drop by an eighth over two to three millitorr

Noise as a crystal has it: `RELATIVE` of the reading and `ABSOLUTE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sdl_bluesky.physics.geometry import Array

BOUNDS = {"power": (10.0, 100.0), "pressure": (4.0, 20.0)}
RELATIVE = 0.015
ABSOLUTE = 0.05
"""ng cm^-2 s^-1."""
SENSORS: Mapping[str, tuple[float, float]] = {"rate": (-0.02, 1.06e-3), "qcm2": (-0.35, 5.3e-4), "qcm3": (-0.8, 3.5e-4)}
"""ln cos(phi) and reach [cm^-2] of three sensors; the landscape is the rate at the first."""


def strong(x: Array) -> Array:
    """Rate [n] at power [W] and pressure [mTorr] x [n, 2], ng cm^-2 s^-1."""
    power, pressure = x.T
    thinned = pressure / (1.0 + power / 160.0)
    kept = 1.0 - 0.28 * np.exp(-(pressure - 2.2 * (power / 100.0) ** -0.22) / 2.2)
    return 1.18 * power**0.97 * kept / (1.0 + (thinned / 18.0) ** 1.5)


def feature(x: Array) -> Array:
    """As `strong`, with a steep loss where the plasma is about to go out."""
    power, pressure = x.T
    above = np.maximum(pressure - 3.9 * (power / 10.0) ** -0.25, 0.0)
    return strong(x) * (1.0 - 0.35 * np.exp(-above / 0.8))


def weak(x: Array) -> Array:
    """As `strong`, at a sensor that sees 4.5 % of it."""
    return 0.045 * strong(x)


def cusp(x: Array) -> Array:
    """A ridge with a kink."""
    power, pressure = x.T
    s = np.log(pressure / (7.0 + 0.03 * power))
    return 1.1 * power**0.97 * np.exp(np.where(s < 0, 0.35 * s, -0.45 * s))


def shelf(x: Array) -> Array:
    """A smooth drop of 12 %."""
    power, pressure = x.T
    drop = 1.0 - 0.12 / (1.0 + np.exp(-(pressure - 10.0 - 0.03 * power) / 0.8))
    return power**0.9 * np.exp(-pressure / 28.0) * (1.0 + 0.25 * np.tanh((pressure - 6.0) / 4.0)) * drop


LANDSCAPES: Mapping[str, Callable[[Array], Array]] = {"strong": strong, "feature": feature, "weak": weak}
HARDER: Mapping[str, Callable[[Array], Array]] = {"cusp": cusp, "shelf": shelf}


def exponent(x: Array) -> Array:
    """Exponent n [n] of the emission, which the sensors beside the first one see; rises with pressure."""
    return 1.2 + 0.06 * (x[:, 1] - 4.0)


def at_sensors(law: Callable[[Array], Array], x: Array) -> dict[str, Array]:
    """Rate [n] at each sensor, by name."""
    (c0, reach0), strength = SENSORS["rate"], law(x)
    return {k: strength * np.exp(exponent(x) * (c - c0)) * reach / reach0 for k, (c, reach) in SENSORS.items()}


def read(rate: Array, rng: np.random.Generator) -> Array:
    """Readings [n] of rates [n]."""
    return rate * (1.0 + RELATIVE * rng.standard_normal(rate.shape)) + ABSOLUTE * rng.standard_normal(rate.shape)
