"""A layer as it was measured: wavelength, lattice constant, mismatch, composition, with their errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sdl_bluesky.analysis.layers.maps import MapReduction
from sdl_bluesky.analysis.layers.scan import ScanReduction
from sdl_bluesky.analysis.layers.spectrum import PeakReduction
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.alloys import INP_LATTICE, InGaAsP, Quaternary, mismatch
from sdl_bluesky.physics.xrd import Strain, check_strain, critical_thickness, relaxed_lattice, stretch

_ROUNDS = 12


@dataclass(frozen=True)
class LayerResult:
    """What photoluminescence and diffraction say of a layer.

    Attributes:
        wavelength, wavelength_std: [nm].
        lattice, lattice_std: of the layer without strain [Angstrom].
        strain: how the lattice constant was reduced, "relaxed" or "coherent".
        across: lattice constant across the layer as measured [Angstrom].
        mismatch, mismatch_std: of `lattice` against InP [%].
        composition: (x, y), or None where the alloy has no such layer.
        composition_cov: their covariance, or None.
        thickness_nm, thickness_std_nm: of the layer by its fringes; nan if there are none.
        alloy: name of the alloy and its law.
        findings: what a person should look at, "name: what".
    """

    wavelength: float
    wavelength_std: float
    lattice: float
    lattice_std: float
    strain: Strain
    across: float
    mismatch: float
    mismatch_std: float
    composition: tuple[float, float] | None
    composition_cov: tuple[tuple[float, float], tuple[float, float]] | None
    thickness_nm: float
    thickness_std_nm: float
    alloy: str
    findings: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Plain types, for metadata."""
        return asdict(self)


def reduce_layer(
    light: MapReduction | PeakReduction,
    scan: ScanReduction,
    strain: Strain = "relaxed",
    alloy: Quaternary | None = None,
) -> LayerResult:
    """A layer from its light and its diffraction.

    A coherent layer's stretch 1 + 2 C12 / C11 is that of its own composition, found by iteration (InP's where the alloy
    has no such layer). Its gap is taken as that of the unstrained alloy.

    Args:
        light: reduced map, or spectrum at one point.
        scan: reduced theta-2theta scan.
        strain: how the layer is taken to be, "relaxed" or "coherent".
        alloy: InGaAsP by the default law if not given.

    Raises:
        UnknownName: no such state of strain.
    """
    check_strain(strain)
    alloy = alloy or InGaAsP()
    if isinstance(light, MapReduction):
        wavelength, wavelength_std = light.mean_nm, light.std_nm
    else:
        wavelength, wavelength_std = light.peak_nm, light.std_nm
    findings = [*light.findings, *scan.findings]
    lattice, factor, composition = _unstrained(alloy, wavelength, scan.across, strain)
    lattice_std = scan.across_std / factor
    percent, percent_std = float(mismatch(lattice)), 100 * lattice_std / INP_LATTICE
    cov = None
    if composition is None:
        try:
            alloy.composition(wavelength, lattice)
        except OutOfRange as fault:
            findings.append(f"unreachable: {fault}")
    else:
        inverse = np.linalg.inv(alloy.jacobian(*composition))
        full = inverse @ np.diag([wavelength_std**2, lattice_std**2]) @ inverse.T
        cov = ((float(full[0, 0]), float(full[0, 1])), (float(full[1, 0]), float(full[1, 1])))
    findings += _strain_finding(scan, strain, percent, composition)
    return LayerResult(
        wavelength=wavelength,
        wavelength_std=wavelength_std,
        lattice=lattice,
        lattice_std=lattice_std,
        strain=strain,
        across=scan.across,
        mismatch=percent,
        mismatch_std=percent_std,
        composition=composition,
        composition_cov=cov,
        thickness_nm=scan.thickness_nm,
        thickness_std_nm=scan.thickness_std_nm,
        alloy=alloy.name,
        findings=tuple(findings),
    )


def _unstrained(
    alloy: Quaternary, wavelength: float, across: float, strain: Strain
) -> tuple[float, float, tuple[float, float] | None]:
    """Lattice constant without strain, what it was divided by, and the composition if there is one."""
    factor, composition = (float(stretch()) if strain == "coherent" else 1.0), None
    for _ in range(_ROUNDS):
        lattice = float(relaxed_lattice(across, strain, factor))
        composition = None
        if not alloy.reachable(wavelength, lattice):
            return lattice, factor, None
        x, y = alloy.composition(wavelength, lattice)
        composition = (float(x), float(y))
        new = float(stretch(x, y)) if strain == "coherent" else 1.0
        if abs(new - factor) < 1e-12:
            break
        factor = new
    return float(relaxed_lattice(across, strain, factor)), factor, composition


def _strain_finding(
    scan: ScanReduction, strain: Strain, percent: float, composition: tuple[float, float] | None
) -> list[str]:
    """Whether the layer is thin enough, or too thick, for the strain that it was reduced with."""
    at = composition or (0.0, 0.0)
    own = percent if strain == "coherent" else scan.mismatch / float(stretch(*at))
    thickness = scan.thickness_nm
    critical = float(critical_thickness(own, *at))
    if not np.isfinite(thickness) or abs(own) < 2 * scan.mismatch_std:
        return []
    if strain == "relaxed" and thickness < critical:
        return [
            f"strain: reduced as relaxed, but {thickness:.0f} nm is within the critical thickness of {critical:.0f} nm: a "
            f"coherent layer would have a mismatch of {own:+.4f} %, not {percent:+.4f} %"
        ]
    if strain == "coherent" and thickness > 5 * critical:
        return [
            f"strain: reduced as coherent, but {thickness:.0f} nm is {thickness / critical:.1f} times the critical one: it "
            "has probably relaxed"
        ]
    return []
