"""What is fitted: areal densities that are free, then nuisance parameters, in one vector for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.rbs_fit.arrays import Indices, Mask
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import SCALARS, Nuisance, Setup

WIDE = 8.0
"""Standard deviations of its prior that a nuisance parameter may go."""
SMALLEST = 0.05
"""Least factor of a nuisance parameter."""


@dataclass(frozen=True)
class Extra:
    """A nuisance parameter.

    Attributes:
        label: its name in the result.
        name: its name in the set-up ("fluence", "stopping:Cu").
        spectra: which spectra it belongs to.
        nominal: mean of its prior.
        sd: standard deviation of its prior.
    """

    label: str
    name: str
    spectra: tuple[int, ...]
    nominal: float
    sd: float


@dataclass(frozen=True, eq=False)
class Parameters:
    """Layout of the vector theta [p].

    Attributes:
        setups: one for each spectrum of a sample.
        free: which densities are fitted [layer, element].
        extras: nuisance parameters, after the densities.
        lower, upper: bounds [p].
        mean, precision: of the normal priors [p]; the mean may be [b, p]; precision 0: no prior.
    """

    setups: tuple[Setup, ...]
    free: Mask
    extras: tuple[Extra, ...]
    lower: Array
    upper: Array
    mean: Array
    precision: Array

    @property
    def densities(self) -> int:
        """Number of free densities."""
        return int(self.free.sum())

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.densities + len(self.extras)

    @property
    def names(self) -> tuple[str, ...]:
        """ "Cu@1" for Cu in the surface layer, then the nuisance parameters."""
        elements = self.setups[0].elements
        return (*(f"{elements[e]}@{layer + 1}" for layer, e in np.argwhere(self.free)), *(k.label for k in self.extras))

    def columns(self, spectrum: int) -> tuple[Indices, Indices]:
        """Which parameters [q] a spectrum depends on, and their columns in its Jacobian's matrix [q]."""
        setup = self.setups[spectrum]
        own = np.flatnonzero(self.free)
        mine = [k for k, extra in enumerate(self.extras) if spectrum in extra.spectra]
        names = setup.nuisance_names
        columns = [self.free.size + names.index(self.extras[k].name) for k in mine]
        parameters = np.concatenate([np.arange(own.size), own.size + np.array(mine, dtype=int)])
        return parameters, np.concatenate([own, np.array(columns, dtype=int)])

    def layers(self, theta: Array, held: Array) -> Array:
        """Densities [r, layer, element] of vectors [r, p]; `held` [r, layer, element] for those that are not free."""
        layers = np.array(held)
        layers[:, self.free] = theta[:, : self.densities]
        return layers

    def nuisance(self, theta: Array, spectrum: int) -> Nuisance:
        """Nuisance parameters of one spectrum for vectors [r, p]."""
        setup = self.setups[spectrum]
        values: dict[str, Array] = {}
        stopping = None
        for k, extra in enumerate(self.extras):
            if spectrum not in extra.spectra:
                continue
            column = theta[:, self.densities + k]
            if extra.name in SCALARS:
                values[extra.name] = column
            else:
                stopping = np.ones((len(theta), len(setup.elements))) if stopping is None else stopping
                stopping[:, setup.elements.index(extra.name.partition(":")[2])] = column
        return Nuisance(**values, stopping=stopping)


def extras_of(setups: Sequence[Setup], nuisance: Sequence[Mapping[str, float]]) -> tuple[Extra, ...]:
    """Nuisance parameters of the spectra of one sample, from name -> standard deviation of the prior of each.

    A factor on stopping is one and the same for all spectra of one ion; everything else is each spectrum's own, with
    "#2" after its name for the second spectrum where there are several.

    Raises:
        UnknownName: the set-up has no such parameter.
        OutOfRange: a standard deviation is not positive and finite, or spectra that share a parameter disagree on it.
    """
    found: dict[tuple[str, str], Extra] = {}
    ions = {setup.ion for setup in setups}
    for i, (setup, wanted) in enumerate(zip(setups, nuisance, strict=True)):
        for name, sd in wanted.items():
            if name not in setup.nuisance_names:
                raise UnknownName("nuisance parameter", str(name), setup.nuisance_names)
            sd = float(sd)
            if not (np.isfinite(sd) and sd > 0.0):
                raise OutOfRange(
                    f"nuisance parameter {name}: the prior's standard deviation {sd} is not positive and finite"
                )
            shared = name.startswith("stopping:")
            key = (name, setup.ion if shared else str(i))
            if key in found:
                if found[key].sd != sd:
                    raise OutOfRange(f"nuisance parameter {name} is shared by spectra that give it different priors")
                old = found[key]
                found[key] = Extra(old.label, name, (*old.spectra, i), old.nominal, sd)
                continue
            label = name
            if shared and len(ions) > 1:
                label = f"{name}({setup.ion})"
            elif not shared and len(setups) > 1:
                label = f"{name}#{i + 1}"
            found[key] = Extra(label, name, (i,), 0.0 if name == "offset" else 1.0, sd)
    return tuple(found.values())
