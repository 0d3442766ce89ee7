"""Semiconductor alloys: light and lattice from a composition, and a composition from light and lattice.

InGaAsP().composition(wavelength, lattice) -> (x, y)         nm, Angstrom
InGaAsP().properties(x, y) -> (wavelength, lattice)
InGaAsP("adachi")                                            another law of the gap, see `laws`
ternary("AlGaAs").composition(wavelength) -> x
Specification(1180.0).met(wavelength, lattice)               within 10 nm and 0.05 % of a target
"""

from __future__ import annotations

from sdl_bluesky.physics.alloys.laws import HC_EV_NM, INP_LATTICE, QUATERNARY_GAPS, TERNARY
from sdl_bluesky.physics.alloys.quaternary import Composition, InGaAsP, Properties, Quaternary
from sdl_bluesky.physics.alloys.specification import Specification, lattice_of, mismatch
from sdl_bluesky.physics.alloys.ternary import Ternary, ternary

__all__ = [
    "HC_EV_NM",
    "INP_LATTICE",
    "QUATERNARY_GAPS",
    "TERNARY",
    "Composition",
    "InGaAsP",
    "Properties",
    "Quaternary",
    "Specification",
    "Ternary",
    "lattice_of",
    "mismatch",
    "ternary",
]
