"""How backscattering spectra are measured: the set-up as the lab knows it, charges, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdl_bluesky.physics.rbs.setup import Setup

GLASS: tuple[Mapping[str, float], ...] = ({"O": 16000.0, "Si": 8000.0},)


@dataclass(frozen=True)
class RBSSettings:
    """Settings of `measure_rbs`.

    Attributes:
        ion: beam ion, such as "4He".
        energy_keV: of the beam.
        theta_deg: scattering angle, 180 = straight back; the geometry is IBM (beam, normal and detector in one plane).
        tilt_deg: angle between beam and surface normal.
        slope_keV, offset_keV: channel i covers offset + slope i to offset + slope (i + 1).
        resolution_fwhm_keV: of the detector.
        solid_angle_msr: of the detector.
        channels: of a spectrum.
        substrate: layers below the film, uppermost first, areal densities in 1e15 at/cm2.
        charge_uC: least charge at each point.
        longest_uC: most charge at each point.
        precision: wanted relative standard error of the counts in the least populated window; reached earlier, the
            measurement goes on to the next point.
    """

    ion: str = "4He"
    energy_keV: float = 2000.0
    theta_deg: float = 165.0
    tilt_deg: float = 0.0
    slope_keV: float = 2.0
    offset_keV: float = 0.0
    resolution_fwhm_keV: float = 15.0
    solid_angle_msr: float = 10.0
    channels: int = 1024
    substrate: tuple[Mapping[str, float], ...] = GLASS
    charge_uC: float = 5.0
    longest_uC: float = 20.0
    precision: float = 0.005

    def case(self) -> dict[str, Any]:
        """The set-up as the start document keeps it: the fields of `physics.rbs.Setup.from_case`, and the substrate."""
        return {
            "ion": self.ion,
            "E_keV": self.energy_keV,
            "theta_deg": self.theta_deg,
            "alpha_deg": self.tilt_deg,
            "beta_deg": None,
            "geometry": "IBM",
            "slope_keV": self.slope_keV,
            "offset_keV": self.offset_keV,
            "resolution_fwhm_keV": self.resolution_fwhm_keV,
            "solid_angle_msr": self.solid_angle_msr,
            "channels": self.channels,
            "substrate": [dict(layer) for layer in self.substrate],
        }

    def setup(self, elements: Sequence[str] = ()) -> Setup:
        """The set-up as the physics takes it.

        Raises:
            OutOfRange, UnknownName: it cannot be.
        """
        from sdl_bluesky.physics.rbs.setup import Setup

        return Setup.from_case(self.case(), elements)

    def substrate_elements(self) -> tuple[str, ...]:
        """Elements of the substrate, each once."""
        return tuple(dict.fromkeys(name for layer in self.substrate for name in layer))
