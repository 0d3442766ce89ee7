"""Simulated reactors for the study of growth to target. Assumptions, not data; each seed is another reactor.

log-odds      x/(1-x) = K F_Ga^p F_As^-m e^e, y/(1-y) = L F_As^q F_Ga^h e^e; p ~ U(1.2, 1.9), q ~ U(.5, .95), and K, L, m, h
              such that the two runs of the paper come out: (5.971, 11.2) sccm -> (.192, .4176), (4.095, 6.869) ->
              (.1404, .3065)
linear        x and y linear in both flows through the same two runs, with the slopes of such a reactor between them
offset        log-odds, and ln(x/(1-x)), ln(y/(1-y)) change by N(0, .1) each between the two campaigns
hard          log-odds with twice the noise and 15 % of bad runs
mechanistic   see `bench.pibo_reactor`

All but the last have a smooth misfit of .03 in the logarithm of the odds. A run adds .010 and .008 to it, the
photoluminescence 1.5 nm, the diffraction .005 %. One run in a hundred is bad: another .3 in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from sdl_bluesky.physics.alloys import InGaAsP, lattice_of, mismatch
from sdl_bluesky.physics.geometry import Array

BOUNDS = {"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}
ANCHOR_FLOWS = np.array([[5.971, 11.2], [4.095, 6.869]])
ANCHOR_XY = np.array([[0.192, 0.4176], [0.1404, 0.3065]])
PRELIMINARY = 6
PRELIMINARY_NM = (1120.4, 1162.7)
PRELIMINARY_MISMATCH = 0.2
WORLDS = ("log-odds", "linear", "offset", "hard", "mechanistic")
Law = Callable[[Array], Array]
"""Flows [n, 2] to the logarithm of the odds of x and y [n, 2], without noise."""


@dataclass(frozen=True)
class Noise:
    """Errors of a run and of its measurements.

    Attributes:
        run: standard deviations in ln(x/(1-x)) and ln(y/(1-y)).
        wavelength_nm, mismatch_percent: of the measurements.
        bad: part of the runs that are bad.
        bad_size: standard deviation of a bad run.
    """

    run: tuple[float, float] = (0.010, 0.008)
    wavelength_nm: float = 1.5
    mismatch_percent: float = 0.005
    bad: float = 0.01
    bad_size: float = 0.3


@dataclass
class Reactor:
    """A reactor that grows layers; its offset may change.

    Attributes:
        law: of the reactor.
        noise: of its runs.
        rng: of everything that happens in it.
        offset: added to the law [2].
    """

    law: Law
    noise: Noise
    rng: np.random.Generator
    offset: Array

    def odds(self, flows: Array) -> Array:
        """Logarithm of the odds [n, 2] of a run without noise."""
        return self.law(np.atleast_2d(flows)) + self.offset

    def true(self, flows: Array) -> tuple[Array, Array]:
        """Wavelength [n] and lattice constant [n] of a run without noise."""
        x, y = expit(self.odds(flows)).T
        return InGaAsP().properties(x, y)

    def grow(self, flows: Array) -> tuple[float, float]:
        """One run at flows [2] as it is measured: wavelength [nm] and lattice constant [Angstrom]."""
        z = self.odds(flows)[0] + self.rng.normal(size=2) * self.noise.run
        bad = self.rng.normal(size=2) * self.noise.bad_size
        z += bad if self.rng.random() < self.noise.bad else 0.0
        wavelength, lattice = InGaAsP().properties(*expit(z))
        off = self.rng.normal(size=2) * (self.noise.wavelength_nm, self.noise.mismatch_percent)
        return float(wavelength + off[0]), float(lattice_of(mismatch(lattice) + off[1]))

    def solve(self, wavelength: float, lattice: float) -> Array:
        """Flows [2] of a layer without noise: Newton's steps in the logarithms, from the runs of the paper."""
        want = logit(np.array(InGaAsP().composition(wavelength, lattice)))
        u = np.log(ANCHOR_FLOWS).mean(axis=0)
        for _ in range(60):
            steps = u + 1e-5 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
            z = self.odds(np.exp(steps))
            slopes = (z[1:] - z[0]).T / 1e-5
            u = u + np.clip(np.linalg.solve(slopes, want - z[0]), -0.2, 0.2)
        return np.exp(u)


def reactor(world: str, seed: int) -> Reactor:
    """The reactor of a seed. Both targets lie inside the bounds; a seed whose do not is drawn again."""
    from sdl_bluesky.bench.pibo_reactor import mechanistic

    noise = Noise((0.020, 0.016), 3.0, 0.010, 0.15) if world == "hard" else Noise()
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt, WORLDS.index(world)])
        if world == "mechanistic":
            law = mechanistic(rng)
        else:
            p, q = rng.uniform(1.2, 1.9), rng.uniform(0.5, 0.95)
            law = with_misfit(linear(p, q) if world == "linear" else log_odds(p, q), rng)
        found = Reactor(law, noise, rng, np.zeros(2))
        if _inside(found, (1180.0, 1100.0, *PRELIMINARY_NM)):
            return found
    raise AssertionError(f"no reactor of world {world!r} has its targets inside the bounds")


def _inside(found: Reactor, wavelengths: tuple[float, ...]) -> bool:
    low, high = np.array(list(BOUNDS.values())).T
    flows = np.array([found.solve(w, 5.8688) for w in wavelengths])
    margin = 0.05 * (high - low)
    return bool(np.all((flows > low + margin) & (flows < high - margin)))


def preliminary(found: Reactor) -> Array:
    """Flows [6, 2] of the first runs: layers of 1120 to 1163 nm, within 0.2 % of the lattice of InP."""
    low, high = np.array(list(BOUNDS.values())).T
    flows: list[Array] = []
    while len(flows) < PRELIMINARY:
        wavelength = found.rng.uniform(*PRELIMINARY_NM)
        off = found.rng.uniform(-PRELIMINARY_MISMATCH, PRELIMINARY_MISMATCH)
        at = found.solve(wavelength, float(lattice_of(off)))
        if np.all((at > low) & (at < high)):
            flows.append(np.round(at, 3))
    return np.array(flows)


def maintain(found: Reactor, size: float = 0.10) -> None:
    """Another offset, as after maintenance."""
    found.offset = found.rng.normal(0.0, size, 2)


def log_odds(p: float, q: float) -> Law:
    """The law of powers, through the two runs of the paper."""
    slopes, z0 = _through(logit(ANCHOR_XY), np.log(ANCHOR_FLOWS), p, q)
    return lambda flows: np.log(flows) @ slopes.T + z0


def linear(p: float, q: float) -> Law:
    """x and y linear in the flows, through the two runs of the paper."""
    middle = ANCHOR_XY.mean(axis=0)
    own = middle * (1 - middle) * (p, q) / ANCHOR_FLOWS.mean(axis=0)
    slopes, xy0 = _through(ANCHOR_XY, ANCHOR_FLOWS, own[0], own[1])
    return lambda flows: logit(np.clip(flows @ slopes.T + xy0, 1e-3, 1 - 1e-3))


def _through(z: Array, u: Array, p: float, q: float) -> tuple[Array, Array]:
    """Slopes [2, 2] and constants [2] of planes z(u) through two points, with own slopes p (x by Ga) and q (y by As)."""
    dz, du = z[0] - z[1], u[0] - u[1]
    slopes = np.array([[p, (dz[0] - p * du[0]) / du[1]], [(dz[1] - q * du[1]) / du[0], q]])
    return slopes, z[0] - slopes @ u[0]


def with_misfit(law: Law, rng: np.random.Generator, size: float = 0.03, length: float = 0.5, waves: int = 64) -> Law:
    """The law with smooth random functions added: waves of a squared exponential in the logarithms of the flows."""
    k = rng.normal(0.0, 1.0 / length, (waves, 2))
    phase = rng.uniform(0.0, 2 * np.pi, (2, waves))

    def misfit(flows: Array) -> Array:
        inner = np.log(flows) @ k.T
        return size * np.sqrt(2.0 / waves) * np.stack([np.cos(inner + f).sum(axis=1) for f in phase], axis=1)

    return lambda flows: law(flows) + misfit(flows)
