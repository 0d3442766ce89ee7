"""The set-up of a backscattering experiment: beam, geometry, detector, and the physics that is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import numpy as np

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import nuclides
from sdl_bluesky.physics.rbs.cross_section import CrossSection, Screening
from sdl_bluesky.physics.rbs.stopping import ZBL85, Stopping, Straggling

SCALARS = ("fluence", "slope", "offset", "resolution")
MARGIN_SIGMA = 6.0
_CASE_KEYS = {
    "E_keV": "energy_keV",
    "theta_deg": "theta_deg",
    "alpha_deg": "alpha_deg",
    "beta_deg": "beta_deg",
    "slope_keV": "slope_keV",
    "offset_keV": "offset_keV",
    "quadratic_keV": "quadratic_keV",
    "resolution_fwhm_keV": "resolution_fwhm_keV",
    "fluence_ions": "fluence_ions",
    "solid_angle_msr": "solid_angle_msr",
    "lowest_keV": "lowest_keV",
    "pile_up": "pile_up",
}


@dataclass(frozen=True)
class Setup:
    """Everything but the sample.

    Attributes:
        ion: beam ion ("p", "D", "3He", "4He").
        energy_keV: of the beam.
        theta_deg: scattering angle, 180 = straight back.
        alpha_deg: angle between beam and surface normal (the tilt of the sample).
        beta_deg: angle between the way to the detector and the surface normal; None: IBM geometry, 180 - theta - alpha.
        slope_keV, offset_keV, quadratic_keV: channel i covers offset + slope j + quadratic j^2 for j from i to i + 1.
        resolution_fwhm_keV: of the detector, full width at half maximum.
        fluence_ions: ions on the sample.
        solid_angle_msr: of the detector.
        channels: how many.
        elements: columns of the layers: elements ("Cu"), nuclides ("63Cu"), "D".
        lowest_keV: ions that leave with less are not counted.
        cross_sections: tabulated ones that replace Rutherford's in their range.
        screening, straggling: "andersen" and "bohr", or "none".
        stopping: source of the stopping cross sections; ZBL85 by default.
        pile_up: pairs of pulses that are counted as one, over all pulses.

    Raises:
        OutOfRange, UnknownName: a value that cannot be.
    """

    ion: str = "4He"
    energy_keV: float = 2000.0
    theta_deg: float = 165.0
    alpha_deg: float = 0.0
    beta_deg: float | None = None
    slope_keV: float = 2.0
    offset_keV: float = 0.0
    quadratic_keV: float = 0.0
    resolution_fwhm_keV: float = 15.0
    fluence_ions: float = 1e14
    solid_angle_msr: float = 10.0
    channels: int = 1024
    elements: tuple[str, ...] = ()
    lowest_keV: float = 50.0
    cross_sections: tuple[CrossSection, ...] = ()
    screening: Screening = "andersen"
    straggling: Straggling = "bohr"
    stopping: Stopping = field(default_factory=ZBL85)
    pile_up: float = 0.0

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.type in ("float", "float | None") and value is not None:
                if (
                    isinstance(value, bool)
                    or not isinstance(value, int | float | np.number)
                    or not math.isfinite(value)
                ):
                    raise OutOfRange(f"{spec.name} = {value!r} is not a number")
                object.__setattr__(self, spec.name, float(value))
        if self.beta_deg is None:
            object.__setattr__(self, "beta_deg", 180.0 - self.theta_deg - self.alpha_deg)
        beta = self.beta_deg if self.beta_deg is not None else 0.0
        nuclides.ion(self.ion)
        for name in self.elements:
            nuclides.target(name)
        if len(set(self.elements)) != len(self.elements):
            raise OutOfRange(f"elements {', '.join(self.elements)}: one is named twice")
        if self.screening not in get_args(Screening):
            raise UnknownName("screening", str(self.screening), get_args(Screening))
        if self.straggling not in get_args(Straggling):
            raise UnknownName("straggling", str(self.straggling), get_args(Straggling))
        if isinstance(self.channels, bool) or int(self.channels) != self.channels or not 1 <= self.channels <= 65536:
            raise OutOfRange(f"channels = {self.channels}: a detector has 1 to 65536")
        checks = {
            "energy_keV": 10.0 < self.energy_keV <= 20000.0 and self.energy_keV > self.lowest_keV,
            "theta_deg": 0.0 < self.theta_deg <= 180.0,
            "alpha_deg": abs(self.alpha_deg) < 89.0,
            "beta_deg": abs(beta) < 89.0,
            "slope_keV": self.slope_keV > 0.0,
            "resolution_fwhm_keV": 0.05 <= self.resolution_fwhm_keV <= 1000.0,
            "fluence_ions": self.fluence_ions >= 0.0,
            "solid_angle_msr": self.solid_angle_msr >= 0.0,
            "lowest_keV": self.lowest_keV >= 10.0,
            "pile_up": 0.0 <= self.pile_up < 0.3,
        }
        wrong = [f"{name} = {getattr(self, name)!r}" for name, good in checks.items() if not good]
        if wrong:
            raise OutOfRange(f"an experiment cannot have {'; '.join(wrong)}")
        edges = self.edges_keV()
        if np.any(np.diff(edges) <= 0.0):
            raise OutOfRange(
                f"the calibration (slope {self.slope_keV}, quadratic {self.quadratic_keV} keV) does not rise"
            )

    @property
    def sigma_keV(self) -> float:
        """Standard deviation of the detector's response."""
        return self.resolution_fwhm_keV / math.sqrt(8.0 * math.log(2.0))

    @property
    def nuisance_names(self) -> tuple[str, ...]:
        """What `Nuisance` can change, in the order of the Jacobian."""
        return (*SCALARS, *(f"stopping:{name}" for name in self.elements))

    def edges_keV(self) -> Array:
        """Energies of the edges of the channels [channels + 1]."""
        j = np.arange(self.channels + 1, dtype=float)
        return self.offset_keV + self.slope_keV * j + self.quadratic_keV * j * j

    @classmethod
    def from_case(
        cls, case: Mapping[str, Any], elements: Sequence[str] | None = None, channels: int | None = None, **more: Any
    ) -> Setup:
        """The set-up of a case: a mapping with ion, E_keV, theta_deg, alpha_deg, beta_deg, slope_keV, offset_keV,
        resolution_fwhm_keV, fluence_ions, solid_angle_msr, layers and optionally channels, quadratic_keV, ...

        Args:
            case: see above; keys that concern neither are ignored.
            elements: columns of the layers; by default those of the case's layers in the order in which they appear.
            channels: by default those of the case, or enough for the beam energy.
            more: further fields of the set-up.

        Raises:
            OutOfRange, UnknownName: a value is missing or cannot be.
        """
        missing = [k for k in ("ion", "E_keV", "theta_deg", "slope_keV", "resolution_fwhm_keV") if case.get(k) is None]
        if missing:
            raise OutOfRange(f"the case has no {', '.join(missing)}")
        values = {name: case[key] for key, name in _CASE_KEYS.items() if case.get(key) is not None}
        found = elements_of(case) if elements is None else tuple(elements)
        wanted = channels if channels is not None else case.get("channels")
        if wanted is None:
            wanted = math.ceil(1.02 * (case["E_keV"] - case.get("offset_keV", 0.0)) / case["slope_keV"])
        return cls(ion=case["ion"], elements=found, channels=int(wanted), **{**values, **more})


def elements_of(case: Mapping[str, Any]) -> tuple[str, ...]:
    """The elements of a case's layers in the order in which they appear."""
    return tuple(dict.fromkeys(name for layer in case.get("layers", ()) for name in layer))


def layers_of(case: Mapping[str, Any], elements: Sequence[str] | None = None) -> Array:
    """Areal densities [layer, element] of a case in 1e15 at/cm2, the first layer at the surface.

    Raises:
        UnknownName: a layer holds an element that is not among the columns.
    """
    columns = elements_of(case) if elements is None else tuple(elements)
    found = np.zeros((len(case["layers"]), len(columns)))
    for i, layer in enumerate(case["layers"]):
        for name, density in layer.items():
            if name not in columns:
                raise UnknownName("element", name, columns)
            found[i, columns.index(name)] = density
    return found


@dataclass(frozen=True)
class Nuisance:
    """What is not known exactly of a set-up, each a number or one for each spectrum [batch].

    Attributes:
        fluence: factor on fluence times solid angle.
        slope: factor on the slope.
        offset: added to the offset [keV].
        resolution: factor on the detector's resolution.
        stopping: factor on the stopping cross section of each element, [element] or [batch, element]; None: 1.
    """

    fluence: float | Array = 1.0
    slope: float | Array = 1.0
    offset: float | Array = 0.0
    resolution: float | Array = 1.0
    stopping: Array | None = None

    def arrays(self, batch: int, elements: int) -> tuple[Array, Array]:
        """Scalars [batch, 4] in the order of `SCALARS` and stopping factors [batch, element].

        Raises:
            OutOfRange: shapes differ, a factor is not positive, a number is not finite.
        """
        stopping = np.ones(elements) if self.stopping is None else np.asarray(self.stopping, dtype=float)
        try:
            scalars = np.stack(
                [np.broadcast_to(np.asarray(getattr(self, k), dtype=float), batch) for k in SCALARS], axis=1
            )
            factors = np.array(np.broadcast_to(stopping, (batch, elements)))
        except ValueError as fault:
            raise OutOfRange(
                f"nuisance parameters do not belong to {batch} spectra of {elements} elements: {fault}"
            ) from None
        if not (np.all(np.isfinite(scalars)) and np.all(np.isfinite(factors))):
            raise OutOfRange("a nuisance parameter is not finite")
        if np.any(scalars[:, [0]] < 0) or np.any(scalars[:, [1, 3]] <= 0) or np.any(factors <= 0):
            raise OutOfRange("a nuisance factor is not positive")
        return np.ascontiguousarray(scalars), np.ascontiguousarray(factors)
