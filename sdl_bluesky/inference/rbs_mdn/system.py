"""A material system: the experiment, the layers whose areal densities are not known, and what is believed of them before.

Every unknown has a coordinate z with a standard normal prior: a density with the prior distribution function F has
z = Phi^-1(F(density)), a nuisance parameter with a normal prior is its deviation over its standard deviation. So the box of
the densities has no edges in z, and where counts say nothing the posterior is N(0, 1) exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.cross_section import CrossSection
from sdl_bluesky.physics.rbs.setup import SCALARS, Nuisance, Setup
from sdl_bluesky.physics.rbs.stopping import ZBL85

EDGE = 1e-9
"""Probabilities are kept so far from 0 and 1."""
Prior = Literal["uniform", "log"]
Layer = Mapping[str, float | tuple[float, float]]


@dataclass(frozen=True, eq=False)
class MaterialSystem:
    """What spectra are like, and what may lie behind them.

    Attributes:
        name: a word.
        setup: the experiment; its elements are the columns of the layers.
        layers: from the surface; of each element the density in 1e15 at/cm2 if it is known, or the range of it.
        roi: channels that count, [(first, last + 1), ...].
        prior: of densities in their range: "uniform" in the density or in its logarithm ("log").
        nuisance: standard deviations of the normal priors of what is not known exactly, see `Setup.nuisance_names`.
        fluence: range of the factor on the set-up's fluence; it is known of every spectrum, even in its logarithm.

    Raises:
        OutOfRange: it cannot be; the message says what.
    """

    name: str
    setup: Setup
    layers: tuple[Layer, ...]
    roi: tuple[tuple[int, int], ...]
    prior: Prior = "uniform"
    nuisance: Mapping[str, float] = field(default_factory=dict)
    fluence: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not self.free.any():
            raise OutOfRange(f"{self.name}: no density is unknown: give one a range, as in [50, 5000]")
        for number, layer in enumerate(self.layers, 1):
            for element, value in layer.items():
                low, high = value if isinstance(value, tuple) else (value, value)
                least = 1e-6 if self.prior == "log" and isinstance(value, tuple) else 0.0
                if not (np.isfinite(high) and least <= low <= high) or (isinstance(value, tuple) and low == high):
                    raise OutOfRange(
                        f"{self.name}: {element} of layer {number} is {value}: write a density in 1e15 at/cm2, or a "
                        "range from a smaller to a larger one (from more than 0 with a log prior)"
                    )
        for first, last in self.roi:
            if not 0 <= first < last <= self.setup.channels:
                raise OutOfRange(
                    f"{self.name}: region {first} to {last} does not lie in {self.setup.channels} channels"
                )
        if not 0.0 < self.fluence[0] <= self.fluence[1]:
            raise OutOfRange(f"{self.name}: fluence {self.fluence}: a range of positive factors, the smaller first")
        self.nuisance_of(np.zeros((1, self.size)), np.ones(1))

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Unknown densities, bool [layer, element]."""
        return np.array([[isinstance(k.get(e), tuple) for e in self.setup.elements] for k in self.layers], dtype=bool)

    @cached_property
    def held(self) -> Array:
        """Known densities [layer, element]."""
        values = [[k.get(e, 0.0) for e in self.setup.elements] for k in self.layers]
        return np.array([[0.0 if isinstance(v, tuple) else float(v) for v in row] for row in values])

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest unknown densities [d]."""
        ranges = np.array([self.layers[k][self.setup.elements[e]] for k, e in np.argwhere(self.free)], dtype=float)
        return ranges[:, 0], ranges[:, 1]

    @property
    def densities(self) -> int:
        """Number d of unknown densities."""
        return int(self.free.sum())

    @property
    def size(self) -> int:
        """Number p of unknowns: densities, then nuisance parameters."""
        return self.densities + len(self.nuisance)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the unknowns: "W@2" for tungsten of the second layer, then nuisance parameters."""
        elements = self.setup.elements
        return (*(f"{elements[e]}@{layer + 1}" for layer, e in np.argwhere(self.free)), *self.nuisance)

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The box as [layer, element], as a fit wants it."""
        low, high = np.zeros(self.free.shape), np.full(self.free.shape, self.box[1].max())
        low[self.free], high[self.free] = self.box
        return low, high

    @cached_property
    def channels(self) -> NDArray[np.intp]:
        """Numbers of the channels that count."""
        return np.concatenate([np.arange(*k) for k in self.roi])

    @cached_property
    def prior_sd(self) -> Array:
        """Standard deviation of the prior of each unknown [p]."""
        low, high = self.box
        if self.prior == "log":
            width = np.log(high / low)
            second, first = (high**2 - low**2) / (2.0 * width), (high - low) / width
            spread = np.sqrt(second - first**2)
        else:
            spread = (high - low) / np.sqrt(12.0)
        return np.concatenate([spread, list(self.nuisance.values())])

    def values(self, z: Array) -> Array:
        """Densities and nuisance parameters [..., p] of coordinates [..., p]."""
        d, (low, high) = self.densities, self.box
        part = ndtr(z[..., :d])
        found = np.array(z, dtype=float)
        found[..., :d] = low * (high / low) ** part if self.prior == "log" else low + (high - low) * part
        for k, (name, sd) in enumerate(self.nuisance.items(), d):
            found[..., k] = z[..., k] * sd + (0.0 if name == "offset" else 1.0)
        return found

    def coordinates(self, values: Array) -> Array:
        """Coordinates [..., p] of densities and nuisance parameters [..., p]; densities beyond the range come to its end."""
        d, (low, high) = self.densities, self.box
        found = np.array(values, dtype=float)
        density = np.clip(found[..., :d], low, high)
        part = np.log(density / low) / np.log(high / low) if self.prior == "log" else (density - low) / (high - low)
        found[..., :d] = ndtri(np.clip(part, EDGE, 1.0 - EDGE))
        for k, (name, sd) in enumerate(self.nuisance.items(), d):
            found[..., k] = (found[..., k] - (0.0 if name == "offset" else 1.0)) / sd
        return found

    def fill(self, densities: Array) -> Array:
        """Layers [b, layer, element] of unknown densities [b, d]."""
        layers = np.repeat(self.held[None], len(densities), axis=0)
        layers[:, self.free] = densities
        return layers

    def nuisance_of(self, z: Array, fluence: Array) -> Nuisance:
        """What the forward model wants of coordinates [b, p] and known factors on the fluence [b].

        Raises:
            OutOfRange: a nuisance parameter that the set-up does not have.
        """
        values = self.values(z)
        given = {name: values[:, self.densities + k] for k, name in enumerate(self.nuisance)}
        known = self.setup.nuisance_names
        odd = [name for name in given if name not in known]
        if odd:
            raise OutOfRange(f"{self.name}: no nuisance parameter {', '.join(odd)}: there are {', '.join(known)}")
        scalars = {name: given[name] for name in SCALARS if name in given}
        scalars["fluence"] = scalars.get("fluence", 1.0) * fluence
        stopping = np.ones((len(z), len(self.setup.elements)))
        for k, element in enumerate(self.setup.elements):
            stopping[:, k] = given.get(f"stopping:{element}", 1.0)
        return Nuisance(**scalars, stopping=stopping)

    def spectra(self, z: Array, fluence: Array) -> Array:
        """Noise-free counts [b, channel] of coordinates [b, p] and known factors on the fluence [b]."""
        from sdl_bluesky.physics.rbs import simulate

        densities = self.values(z)[:, : self.densities]
        return simulate(self.setup, self.fill(densities), self.nuisance_of(z, fluence))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Coordinates [count, p] from the prior, and factors on the fluence [count]."""
        low, high = self.fluence
        return rng.standard_normal((count, self.size)), np.exp(rng.uniform(np.log(low), np.log(high), count))

    def definition(self) -> dict[str, Any]:
        """All that makes its spectra what they are, as plain types; `from_definition` reads it."""
        setup = {k.name: getattr(self.setup, k.name) for k in fields(Setup)}
        setup["elements"] = list(self.setup.elements)
        setup["stopping"] = repr(self.setup.stopping)
        setup["cross_sections"] = [_plain_table(k) for k in self.setup.cross_sections]
        return {
            "setup": setup,
            "layers": [{k: list(v) if isinstance(v, tuple) else v for k, v in layer.items()} for layer in self.layers],
            "roi": [list(k) for k in self.roi],
            "prior": self.prior,
            "nuisance": dict(self.nuisance),
            "fluence": list(self.fluence),
        }

    @classmethod
    def from_definition(cls, name: str, definition: Mapping[str, Any]) -> MaterialSystem:
        """What `definition` wrote.

        Raises:
            OutOfRange: its stopping is not that of this program, or something is missing or cannot be.
        """
        try:
            setup = dict(definition["setup"])
            stopping = next((k for k in (ZBL85(), ZBL85(nuclear=False)) if repr(k) == setup["stopping"]), None)
            if stopping is None:
                raise OutOfRange(f"{name}: stopping {setup['stopping']} cannot be read back: only ZBL85 can")
            setup["stopping"], setup["elements"] = stopping, tuple(setup["elements"])
            setup["cross_sections"] = tuple(CrossSection(**k) for k in setup["cross_sections"])
            layers = [{k: tuple(v) if isinstance(v, list) else v for k, v in i.items()} for i in definition["layers"]]
            return cls(
                name,
                Setup(**setup),
                tuple(layers),
                tuple((int(a), int(b)) for a, b in definition["roi"]),
                definition["prior"],
                dict(definition["nuisance"]),
                (float(definition["fluence"][0]), float(definition["fluence"][1])),
            )
        except (KeyError, TypeError, AttributeError) as fault:
            raise OutOfRange(f"{name}: its definition cannot be read: {fault!r}") from fault

    @cached_property
    def digest(self) -> str:
        """Of the definition."""
        return digest_of(self.definition())


def digest_of(definition: Mapping[str, Any]) -> str:
    """What tells a definition from every other."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]


def _plain_table(table: CrossSection) -> dict[str, Any]:
    found = {k.name: getattr(table, k.name) for k in fields(CrossSection)}
    return {**found, "energy_keV": table.energy_keV.tolist(), "value_mb_sr": table.value_mb_sr.tolist()}
