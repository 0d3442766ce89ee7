"""A noise-free RBS spectrum by pyrump, for a case of layers, geometry and detector.

Physics: ZBL85 electronic and ZBL nuclear stopping, Bragg additivity, Rutherford cross sections with Andersen screening,
natural isotopes, Bohr straggling, a Gaussian detector. No pile-up, no multiple scattering.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyrump.atomic.tables import PeriodicTable
from pyrump.model.detector import Measurement
from pyrump.model.element import Element, Isotope
from pyrump.model.geometry import Geometry, GeometryKind
from pyrump.model.spectrum import Calibration
from pyrump.physics.xsec.rutherford import ScreeningModel
from pyrump.sim.engine import Beam, UniformSample, simulate
from pyrump.stopping.registry import StoppingRegistry, StoppingResult

from ioc_sims.common.errors import ConfigError
from ioc_sims.rbs.species import Ion, ion_of, periodic_table, target_of

ELEMENTARY_CHARGE_C = 1.602176634e-19
_KERNEL_SIGMAS = 3  # where pyrump ends its detector kernel
_KERNEL = 90  # channels of the calculation to which pyrump's detector kernel may reach (it cuts it at 100)
_MARGIN = 2 * _KERNEL + 20  # channels below and above; what the kernel loses at an end is put back within its reach
_NO_SCATTERING = (Isotope(mass=1000.0, fraction=0.0),)  # takes part in stopping and straggling alone

Floats = NDArray[np.float64]


class ScaledStopping(StoppingRegistry):
    """Stopping whose cross section of each target element is multiplied by a factor.

    Args:
        elements: pyrump's elements, by atomic number.
        factors: by atomic number; 1 where one is missing.
    """

    def __init__(self, elements: list[Element], factors: Mapping[int, float]) -> None:
        super().__init__(elements)
        self._factors = dict(factors)

    def __call__(self, z1: int, m1: float, z2: int, energy_keV: ArrayLike) -> StoppingResult:
        """Electronic and nuclear stopping together [eV/(1e15 at/cm2)]."""
        found = super().__call__(z1, m1, z2, energy_keV)
        return StoppingResult(found.values * self._factors.get(z2, 1.0), found.source)


def spectrum(
    case: Mapping[str, Any],
    *,
    channels: int | None = None,
    stopping: Mapping[str, float] | None = None,
    slab: float = 300.0,
    parts: int | None = None,
) -> Floats:
    """Expected counts per channel; channel i covers the energies offset + [i, i+1) slope.

    Args:
        case: "ion" (p, 1H, 2H, 3He, 4He), "E_keV", "theta_deg" (scattering angle, over 90), "alpha_deg" (incidence),
            "beta_deg" (exit; missing or None: 180 - theta - alpha, IBM geometry), "slope_keV", "offset_keV",
            "resolution_fwhm_keV", "fluence_ions", "solid_angle_msr", "channels" (where the argument is None) and
            "layers", from the surface on, {element: areal density in 1e15 at/cm2}; D and 2H are deuterium.
        channels: number of channels; None for that of the case, or 1024.
        stopping: factor on the stopping cross section, by element; 1 where one is missing.
        slab: thickest slab of the calculation [1e15 at/cm2 along the longer path]; the time goes as its inverse square.
        parts: in how many a channel is divided for the calculation, as what is narrower than a channel loses its place
            in it; None for up to 8, 1 for pyrump alone.

    Returns:
        float64[channels]; nothing below 3 % of the beam energy.

    Raises:
        ConfigError: an unknown element or ion, two isotopes of one element, a geometry with no way in or out, a key
            that is missing or no number.
    """
    try:
        count = int(channels or case.get("channels") or 1024)
        ion, energy_keV = ion_of(case["ion"]), float(case["E_keV"])
        slope, offset = float(case["slope_keV"]), float(case["offset_keV"])
        for name, value in (("E_keV", energy_keV), ("slope_keV", slope)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} {value:g}: must be above 0")
        geometry = _geometry(case)
        measurement = Measurement(
            omega_msr=float(case["solid_angle_msr"]),
            charge_uC=float(case["fluence_ions"]) * ELEMENTARY_CHARGE_C * 1e6,
            fwhm_keV=float(case["resolution_fwhm_keV"]),
            tau_us=0.0,
        )
        widest = 2.355 * _KERNEL / _KERNEL_SIGMAS * slope
        if not 0 <= measurement.fwhm_keV <= widest:
            raise ConfigError(f"resolution_fwhm_keV {measurement.fwhm_keV:g}: must be 0 .. {widest:g} at this slope")
        sample, table = _sample(case["layers"], ion, slab)
    except (KeyError, TypeError, ValueError) as err:
        raise err if isinstance(err, ConfigError) else ConfigError(f"case: {type(err).__name__}: {err}") from err
    factors = {target_of(label).z: factor for label, factor in (stopping or {}).items()}
    parts = parts or _parts(slope, measurement.fwhm_keV)
    fine = slope / parts
    # pyrump drops what lies beyond the top channel, and channel k of its fill with straggling is centred on k slope
    reach = max(count * parts, math.ceil((energy_keV - offset) / fine))
    calibration = Calibration(fine, offset + (0.5 - _MARGIN) * fine, 0.0, reach + 2 * _MARGIN)
    found = simulate(
        sample,
        Beam(energy_keV / 1000.0, ion.z, ion.mass_u),
        geometry,
        ScaledStopping(table.elements, factors),
        table,
        calibration,
        measurement,
        screening=ScreeningModel.ANDERSEN,
        convolve_edge="renormalize",
        faithful=False,
    )
    counts = found.counts[_MARGIN : _MARGIN + count * parts].reshape(count, parts).sum(axis=1)
    return np.maximum(counts, 0.0)  # rounding


def exit_angle_deg(theta_deg: float, alpha_deg: float) -> float:
    """Angle between the detector's direction and the surface normal in IBM geometry: 180 - theta - alpha."""
    return 180.0 - theta_deg - alpha_deg


def _parts(slope_keV: float, fwhm_keV: float) -> int:
    """As fine as the kernel, which ends at three standard deviations, allows."""
    return int(np.clip(_KERNEL * slope_keV / (_KERNEL_SIGMAS * max(fwhm_keV, 1e-6) / 2.355), 1, 8))


def _geometry(case: Mapping[str, Any]) -> Geometry:
    theta, alpha = float(case["theta_deg"]), float(case["alpha_deg"])
    given = case.get("beta_deg")
    beta = exit_angle_deg(theta, alpha) if given is None else float(given)
    if not 90.0 < theta < 180.0:
        raise ConfigError(f"theta_deg {theta:g}: backscattering needs an angle between 90 and 180 degrees")
    for name, angle in (("alpha_deg", alpha), ("beta_deg", beta)):
        if not abs(angle) < 90.0:
            raise ConfigError(f"{name} {angle:g}: the beam would run along or behind the surface")
    return Geometry(theta=alpha, phi=180.0 - theta, psi=beta, kind=GeometryKind.GENERAL)


def _sample(layers: Sequence[Mapping[str, float]], ion: Ion, slab: float) -> tuple[UniformSample, PeriodicTable]:
    """The layers in pyrump's terms, and a periodic table of which only what is heavier than the ion scatters.

    (pyrump takes the square root of a negative number where a target is lighter than the ion.)
    """
    labels = list(dict.fromkeys(label for layer in layers for label in layer))
    targets = {label: target_of(label) for label in labels}
    numbers = [target.z for target in targets.values()]
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"two isotopes of one element in one sample: {', '.join(labels)}")
    densities = np.array([[float(layer.get(label, 0.0)) for label in labels] for layer in layers])
    if not (densities.size and np.isfinite(densities).all() and (densities >= 0).all() and densities.any()):
        raise ConfigError("layers must have areal densities of 0 or more, and one above 0")
    elements = list(periodic_table().elements)
    for target in targets.values():
        known = target.isotopes or (Isotope(target.mass, 1.0),)
        heavy = tuple(isotope for isotope in known if isotope.mass > ion.mass_u * 1.001)
        elements[target.z - 1] = replace(target, isotopes=heavy or _NO_SCATTERING)
    sample = UniformSample(
        thicknesses=densities.sum(axis=1).tolist(),
        element_z=numbers,
        compositions=densities.tolist(),
        maxpth=slab,
        straggle=1.0,
    )
    return sample, PeriodicTable(elements)
