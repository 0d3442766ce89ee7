"""A case: an ion-beam experiment and a sample in plain numbers, in the units that its keys name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdl_bluesky.data.rbs import fields as f
from sdl_bluesky.data.rbs.r33 import read_r33
from sdl_bluesky.errors import SDLError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import CrossSection, Screening
from sdl_bluesky.physics.rbs.kinematics import product_energy
from sdl_bluesky.physics.rbs.setup import Setup, elements_of, layers_of
from sdl_bluesky.physics.rbs.stopping import Straggling

HEADROOM = 1.02
"""Channels go this much over the highest energy, for the detector's resolution."""


class Case(BaseModel):
    """One experiment on one sample.

    Attributes:
        beta_deg: None is IBM geometry, 180 - theta - alpha.
        layers: areal densities in 1e15 at/cm2 of elements ("Cu"), isotopes ("63Cu") or "D", the surface first.
        channels: None is enough for the highest energy.
        roi: regions of interest, channels lo to hi - 1 each; None is all that the model describes.
        cross_sections: R33 files.
        nuisance: prior standard deviations of what is not known exactly (relative; keV for the offset).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ion: f.Ion
    E_keV: f.BeamEnergy
    theta_deg: f.Scattering
    alpha_deg: f.Direction = 0.0
    beta_deg: f.Direction | None = None
    slope_keV: f.Slope
    offset_keV: f.KeV = 0.0
    quadratic_keV: f.KeV = 0.0
    resolution_fwhm_keV: f.Resolution
    fluence_ions: f.Ions
    solid_angle_msr: f.SolidAngle
    layers: Annotated[tuple[f.Layer, ...], Field(min_length=1)]
    channels: f.Channels | None = None
    roi: Annotated[tuple[f.Region, ...], Field(min_length=1)] | None = None
    cross_sections: tuple[Path, ...] = ()
    nuisance: dict[f.PriorName, f.Prior] = Field(default_factory=dict)
    lowest_keV: f.Lowest = 50.0
    pile_up: f.PileUp = 0.0
    screening: Screening = "andersen"
    straggling: Straggling = "bohr"
    desc: str = ""

    @model_validator(mode="after")
    def _together(self) -> Case:
        """What one field alone cannot tell."""
        for i, layer in enumerate(self.layers):
            if not any(layer.values()):
                raise ValueError(f"layers.{i} is empty: give a density over 0, or leave the layer out")
            seen: dict[tuple[int, ...], str] = {}
            for name in layer:
                key = tuple(k.a * 1000 + k.z for k, _ in nuclides.target(name).isotopes)
                if key in seen:
                    raise ValueError(f"layers.{i}: {name} and {seen[key]} are the same: name it once")
                seen[key] = name
        if self.roi is not None:
            rising = sorted(self.roi)
            if any(b[0] < a[1] for a, b in pairwise(rising)):
                raise ValueError(f"roi: {[list(r) for r in rising]} overlap: a channel counts once")
            if self.channels is not None and rising[-1][1] > self.channels:
                raise ValueError(f"roi: it ends at {rising[-1][1]}, the detector has {self.channels} channels")
        for name in self.nuisance:
            element = name.partition(":")[2]
            if element and element not in self.elements:
                raise ValueError(f"nuisance.{name}: {element} is not in the layers ({', '.join(self.elements)})")
        if self.channels is None and self.E_keV <= self.offset_keV:
            raise ValueError(f"offset_keV {self.offset_keV:g} lies above the beam energy: no edge is on the detector")
        try:
            self._setup((), 16 if self.channels is None else self.channels)
        except SDLError as fault:
            raise ValueError(str(fault)) from fault
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements in the order in which they appear."""
        return elements_of(self.mapping)

    @property
    def mapping(self) -> Mapping[str, Any]:
        """The case as the forward model reads it."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def setup(self, channels: int | None = None) -> Setup:
        """The set-up for the forward model, with the tables of its R33 files.

        Args:
            channels: those of the spectrum, if another number than the case's.

        Raises:
            CrossSectionFileError: a table cannot be used.
            OutOfRange, UnknownName: the values do not go together.
        """
        tables = tuple(read_r33(path).cross_section() for path in self.cross_sections)
        return self._setup(tables, channels or self.channels or self._enough(tables))

    def densities(self) -> Array:
        """Areal densities [layer, element] in 1e15 at/cm2, columns as `elements`."""
        return layers_of(self.mapping)

    def priors(self, elements: Sequence[str] | None = None) -> dict[str, float]:
        """Prior standard deviations with "stopping" written out for each element that has none of its own."""
        return spread_priors(self.nuisance, self.elements if elements is None else elements)

    def key(self) -> str:
        """A text that is equal for cases that differ in densities only, and so can be simulated together."""
        data = self.model_dump(mode="json", exclude={"layers", "desc"})
        return json.dumps([data, self.elements, len(self.layers)], sort_keys=True)

    def _setup(self, tables: tuple[CrossSection, ...], channels: int) -> Setup:
        chosen = {"screening": self.screening, "straggling": self.straggling}
        return Setup.from_case(self.mapping, self.elements, channels, cross_sections=tables, **chosen)

    def _enough(self, tables: Sequence[CrossSection]) -> int:
        """Channels up to the beam energy, or to that of the fastest product."""
        highest = self.E_keV
        ion, theta = nuclides.ion(self.ion), math.radians(self.theta_deg)
        for table in tables:
            if table.product is not None:
                target, product = nuclides.target(table.target), nuclides.ion(table.product)
                energy = product_energy(
                    np.array([self.E_keV]), ion.mass_u, target.mass_u, product.mass_u, table.q_keV, theta
                )
                highest = max(highest, float(np.nan_to_num(energy)[0]))
        span = HEADROOM * (highest - self.offset_keV)
        curve = self.quadratic_keV
        if curve == 0.0:
            return min(math.ceil(span / self.slope_keV), f.MOST_CHANNELS)
        inside = self.slope_keV**2 + 4.0 * curve * span
        if inside <= 0.0:  # the calibration turns before that energy: the set-up will say so
            return f.MOST_CHANNELS
        return min(math.ceil((math.sqrt(inside) - self.slope_keV) / (2.0 * curve)), f.MOST_CHANNELS)


def spread_priors(priors: Mapping[str, float], elements: Sequence[str]) -> dict[str, float]:
    """Priors with "stopping" written out as "stopping:Cu", ... for each element that has none of its own."""
    found = {name: sd for name, sd in priors.items() if name != "stopping"}
    if "stopping" in priors:
        for element in elements:
            found.setdefault(f"stopping:{element}", priors["stopping"])
    return found
