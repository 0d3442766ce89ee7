"""SIMNRA's .xnra files (IDF, XML): experiment, sample and spectra in, and out again.

`pyrump` reads and writes the format. What it leaves out (isotopes, the quadratic calibration) is read from the document
here, and a quantity that the file does not hold is a fault, not a default. docs/reference/rbs-files.md tells what is lost.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import periodictable
from numpy.typing import ArrayLike

from sdl_bluesky.data.rbs.case_file import check_case
from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.names import plain_name
from sdl_bluesky.data.rbs.spectra import MOST_CHANNELS, Spectrum
from sdl_bluesky.data.rbs.text import read_bytes
from sdl_bluesky.errors import OutOfRange, SpectrumFileError
from sdl_bluesky.physics.rbs import nuclides

if TYPE_CHECKING:
    from pyrump.io.rbs import RbsSpectrum
    from pyrump.io.xnra import XnraFile

E_UC = 1.602176634e-13
"""Elementary charge in microcoulomb (SI 2019)."""
_NS = {"i": "http://idf.schemas.itn.pt", "s": "http://www.simnra.com/simnra"}
_SPECTRUM = "i:sample/i:spectra/i:spectrum"
_CALIBRATION = f"{_SPECTRUM}/i:calibrations/i:energycalibrations/i:energycalibration/i:calibrationparameters"
_NEEDED = {
    "beam energy": f"{_SPECTRUM}/i:beam/i:beamenergy",
    "charge number of the ion": f"{_SPECTRUM}/i:beam/i:beamZ",
    "mass of the ion": f"{_SPECTRUM}/i:beam/i:beammass",
    "particles times solid angle": f"{_SPECTRUM}/i:beam/i:beamfluence",
    "scattering angle": f"{_SPECTRUM}/i:geometry/i:scatteringangle",
    "incidence angle": f"{_SPECTRUM}/i:geometry/i:incidenceangle",
    "exit angle": f"{_SPECTRUM}/i:geometry/i:exitangle",
    "energy calibration": f"{_CALIBRATION}/i:calibrationparameter",
    "detector resolution": f"{_SPECTRUM}/i:calibrations/i:detectorresolutions/i:detectorresolution"
    "/i:resolutionparameters/i:resolutionparameter",
}
_KEPT_HERE = ("SIMNRA stores charge", "quadratic calibration term")
_TROUBLE = (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, OSError, RecursionError)
"""What a broken file can make the reader of `pyrump` raise."""


@dataclass(frozen=True, eq=False)
class Xnra:
    """What an .xnra file holds.

    Attributes:
        case: the experiment as in a file of cases; "layers" only if the file has a sample.
        spectrum: measured, or None.
        simulation: SIMNRA's, or None.
        findings: what was ignored, or is odd.
        source: the file.
    """

    case: dict[str, Any]
    spectrum: Spectrum | None = field(repr=False)
    simulation: Spectrum | None = field(repr=False)
    findings: tuple[str, ...] = ()
    source: str = ""

    def require_spectrum(self) -> Spectrum:
        """The measured spectrum.

        Raises:
            SpectrumFileError: the file has a simulation only.
        """
        if self.spectrum is None:
            raise SpectrumFileError(self.source, "it holds a simulation, no measured spectrum")
        return self.spectrum

    def to_case(self) -> Case:
        """The case, checked.

        Raises:
            CaseFileError: the forward model cannot use it (no sample, heavy ions, ...).
        """
        return check_case(Path(self.source).stem, self.case, Path(self.source))[0]


def read_xnra(path: Path) -> Xnra:
    """Read an .xnra file.

    Raises:
        SpectrumFileError: it cannot be used; names the file and what is wrong.
    """
    read_bytes(path, SpectrumFileError)
    try:
        from pyrump.io import xnra

        found = xnra.read_xnra(path)
        root = ET.fromstring(found.xml)
    except _TROUBLE as fault:
        raise SpectrumFileError(path, f"this is no .xnra file that can be read: {str(fault)[:300]}") from fault
    missing = [name for name, place in _NEEDED.items() if not (root.findtext(place, "", _NS) or "").strip()]
    if missing:
        raise SpectrumFileError(path, f"no {', no '.join(missing)}: enter it in SIMNRA and save the file again")
    try:
        return _bring_over(found, root, path)
    except _TROUBLE as fault:
        if isinstance(fault, SpectrumFileError):
            raise
        raise SpectrumFileError(path, f"a value cannot be used: {str(fault)[:300]}") from fault


def write_xnra(
    path: Path, case: Case, counts: ArrayLike | None = None, simulation: ArrayLike | None = None, title: str = ""
) -> None:
    """Write experiment, sample and spectra as an .xnra file.

    SIMNRA knows particles times solid angle only: reading it back gives 1 msr and the product. R33 tables, regions of
    interest and priors are not written.

    Args:
        path: file to write.
        case: experiment and sample.
        counts: [n], measured, from channel 0.
        simulation: [n], on the same channels.
        title: legend of the spectrum.

    Raises:
        OutOfRange: there are neither counts nor a simulation.
    """
    from pyrump.io import xnra
    from pyrump.model.detector import Measurement
    from pyrump.model.geometry import Geometry, GeometryKind
    from pyrump.model.spectrum import Calibration
    from pyrump.model.spectrum import Spectrum as Channels

    if counts is None and simulation is None:
        raise OutOfRange("an .xnra file needs counts, or a simulation")
    simulated = None if simulation is None else np.asarray(simulation, dtype=float)
    measured = np.zeros(1) if counts is None else np.asarray(counts, dtype=float)
    ion = nuclides.ion(case.ion)
    setup = case.setup(max(measured.size, 1))
    charge_uC = case.fluence_ions * E_UC
    buffer = SimpleNamespace(
        beam=SimpleNamespace(z=ion.z, mass=ion.mass_u, e0_MeV=case.E_keV * 1e-3),
        geometry=Geometry(case.alpha_deg, 180.0 - case.theta_deg, setup.beta_deg or 0.0, GeometryKind.GENERAL),
        measurement=Measurement(case.solid_angle_msr, charge_uC, 1.0, 1, fwhm_keV=case.resolution_fwhm_keV),
        calibration=Calibration(case.slope_keV, case.offset_keV, 0.0, measured.size),
        spectrum=Channels(measured),
        identifier=title or path.stem,
        livetime="",
    )
    layers = [xnra.XnraLayer(sum(row.values()), _fractions(row)) for row in case.layers]
    xnra.write_xnra(path, buffer, layers=layers, simulation=simulated, description=case.desc)
    tree = ET.parse(path)
    root = tree.getroot()
    root.findall(f"{_CALIBRATION}/i:calibrationparameter", _NS)[2].text = xnra.format_number(case.quadratic_keV)
    root.find(f"{_SPECTRUM}/i:beam/i:beamparticle", _NS).text = ion.symbol  # type: ignore[union-attr]
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _fractions(layer: dict[str, float]) -> dict[str, float]:
    total = sum(layer.values())
    return {name: density / total for name, density in layer.items() if density > 0.0}


def _bring_over(found: XnraFile, root: ET.Element, path: Path) -> Xnra:
    one = found.spectrum if found.spectrum is not None else found.simulation
    assert one is not None  # else pyrump refuses the file
    findings = [notice.split(" -- ")[0] for notice in found.notices if not _handled(notice)]
    for key, what in (("non-rutherford", "SIMNRA used its own cross sections for"), ("pileup", "pile-up in SIMNRA:")):
        if found.physics.get(key, "false").lower() not in ("false", ""):
            findings.append(f"{what} {found.physics[key]}")
    beta = root.find(_NEEDED["exit angle"], _NS)
    assert beta is not None  # looked for above
    case: dict[str, Any] = {
        "ion": f"{round(one.mbeam)}{periodictable.elements[one.zbeam].symbol}",
        "E_keV": one.e0_MeV * 1e3,
        "theta_deg": one.geometry.scattering_angle,
        "alpha_deg": abs(one.geometry.theta),
        "beta_deg": one.geometry.psi,
        "slope_keV": one.calibration.kevch,
        "offset_keV": one.calibration.kev0,
        "quadratic_keV": _quadratic(root),
        "resolution_fwhm_keV": one.measurement.fwhm_keV,
        "fluence_ions": one.measurement.charge_uC / E_UC,
        "solid_angle_msr": one.measurement.omega_msr,
        "desc": one.identifier,
    }
    if not all(math.isfinite(v) for v in case.values() if isinstance(v, float)):
        raise SpectrumFileError(path, "a number of the experiment is not finite: correct it in SIMNRA")
    layers = list(_layers(root))
    if layers:
        case["layers"] = layers
    measured, simulated = _spectrum(found.spectrum, path), _spectrum(found.simulation, path)
    end = max(s.end for s in (measured, simulated) if s is not None)
    return Xnra({**case, "channels": end}, measured, simulated, tuple(dict.fromkeys(findings)), str(path))


def _handled(notice: str) -> bool:
    return notice.startswith(_KEPT_HERE) or (": isotope " in notice and "read as natural" in notice)


def _spectrum(found: RbsSpectrum | None, path: Path) -> Spectrum | None:
    if found is None:
        return None
    counts, first = np.asarray(found.counts, dtype=float), found.calibration.first
    if not np.all(np.isfinite(counts)) or np.any(counts < 0.0):
        bad = int(np.argmax(~(counts >= 0.0) | ~np.isfinite(counts)))
        raise SpectrumFileError(path, f"channel {first + bad:g} holds {counts[bad]:g} counts: raw counts are needed")
    if first != int(first) or not 0 <= first < MOST_CHANNELS - counts.size:
        raise SpectrumFileError(path, f"channels begin at {first:g}: whole numbers from 0 are needed")
    return Spectrum(counts, int(first), (), str(path))


def _quadratic(root: ET.Element) -> float:
    parameters = root.findall(f"{_CALIBRATION}/i:calibrationparameter", _NS)
    for k, parameter in enumerate(parameters):
        unit = parameter.get("units")
        if unit == "keV/channel^2" or (unit is None and k == 2):
            return float(parameter.text or 0.0)
    return 0.0


def _layers(root: ET.Element) -> Iterator[dict[str, float]]:
    """Areal densities of the layers that hold anything, with isotopes as they are."""
    for layer in root.findall("i:sample/i:structure/i:layeredstructure/i:layers/i:layer", _NS):
        thickness = layer.find("i:layerthickness", _NS)
        if thickness is None:
            continue
        factor = 1e-15 if (thickness.get("units") or "").lower() == "at/cm2" else 1.0
        total = float(thickness.text or 0.0) * factor
        parts: dict[str, float] = {}
        for element in layer.findall("i:layerelements/i:layerelement", _NS):
            name = plain_name(element.findtext("i:name", "", _NS))
            parts[name] = parts.get(name, 0.0) + float(element.findtext("i:concentration", "0", _NS))
        parts = {name: value for name, value in parts.items() if value > 0.0}
        if total > 0.0 and parts:
            yield {name: total * value / sum(parts.values()) for name, value in parts.items()}
