"""Tables of alloys: energy gaps and lattice constants as functions of composition, at 300 K.

Quaternary In(1-x)Ga(x)As(y)P(1-y), Eg in eV. Lattice constant of all: 5.8688 - 0.4176 x + 0.1896 y + 0.0125 xy [Angstrom]
(Adachi, J. Appl. Phys. 53, 8775, 1982).

    standard    1.35 + 0.672 x - 1.091 y + 0.758 x2 + 0.101 y2 - 0.157 xy - 0.312 x2y + 0.109 xy2; this one reproduces
                the pairs of wavelength and composition that are printed in the paper on physics-informed optimisation
    adachi      1.35 + 0.672 x - 1.091 y + 0.758 x2 + 0.101 y2 + 0.111 xy - 0.580 x2y - 0.159 xy2 + 0.268 x2y2
                (Adachi 1982)
    minch       1.35 + 0.642 x - 1.101 y + 0.758 x2 + 0.101 y2 - 0.159 xy - 0.28 x2y + 0.109 xy2
                (Minch, Park, Keating and Chuang, IEEE J. Quantum Electron. 35, 771, 1999)
    nahory      1.35 - 0.72 y + 0.12 y2: measured along the lattice match to InP and a function of y alone, so it means
                nothing far from it (Nahory, Pollack, Johnston and Barns, Appl. Phys. Lett. 33, 659, 1978)
    vurgaftman  the four binaries and the bowing of the four ternaries, joined bilinearly
                (Vurgaftman, Meyer and Ram-Mohan, J. Appl. Phys. 89, 5815, 2001)

Direct gaps all: near GaP the alloy is indirect and gives no such light.

Ternary Al(x)Ga(1-x)As, Eg = 1.424 + 1.247 x [eV], direct for x < 0.45, lattice constant 5.6533 + 0.0078 x [Angstrom]
(Adachi, J. Appl. Phys. 58, R1, 1985).
"""

from __future__ import annotations

from typing import Final

from sdl_bluesky.physics.alloys.polynomials import Coefficients, Polynomial

HC_EV_NM: Final = 1239.842
"""Wavelength [nm] times photon energy [eV]."""
INP_LATTICE: Final = 5.8688
"""Lattice constant of InP [Angstrom], the substrate."""

QUATERNARY_LATTICE: Final = Polynomial(((INP_LATTICE, 0.1896), (-0.4176, 0.0125)))

BINARY_GAP_EV: Final = {"InP": 1.3529, "InAs": 0.3537, "GaP": 2.7770, "GaAs": 1.4225}
"""At 300 K by the Varshni parameters of Vurgaftman (GaP by his hyperbolic form)."""
BOWING_EV: Final = {"GaInP": 0.65, "GaInAs": 0.477, "InAsP": 0.10, "GaAsP": 0.19}
"""Of the direct gap: Eg = (1 - t) A + t B - C t (1 - t)."""


def bilinear_gap(binaries: dict[str, float], bowing: dict[str, float]) -> Coefficients:
    """Coefficients of Eg(x, y) from four binaries and the bowing of four ternaries.

    Eg = (1-x)(1-y) InP + (1-x) y InAs + x (1-y) GaP + x y GaAs
         - x(1-x) [(1-y) C(GaInP) + y C(GaInAs)] - y(1-y) [(1-x) C(InAsP) + x C(GaAsP)]
    """
    inp, inas, gap, gaas = (binaries[k] for k in ("InP", "InAs", "GaP", "GaAs"))
    p, arsenide, indium, gallium = (bowing[k] for k in ("GaInP", "GaInAs", "InAsP", "GaAsP"))
    return (
        (inp, inas - inp - indium, indium),
        (gap - inp - p, inp - inas - gap + gaas + p - arsenide + indium - gallium, gallium - indium),
        (p, arsenide - p, 0.0),
    )


QUATERNARY_GAPS: Final[dict[str, Polynomial]] = {
    "standard": Polynomial(((1.35, -1.091, 0.101), (0.672, -0.157, 0.109), (0.758, -0.312, 0.0))),
    "adachi": Polynomial(((1.35, -1.091, 0.101), (0.672, 0.111, -0.159), (0.758, -0.580, 0.268))),
    "minch": Polynomial(((1.35, -1.101, 0.101), (0.642, -0.159, 0.109), (0.758, -0.28, 0.0))),
    "nahory": Polynomial(((1.35, -0.72, 0.12),)),
    "vurgaftman": Polynomial(bilinear_gap(BINARY_GAP_EV, BOWING_EV)),
}
"""Eg(x, y) [eV] by name."""

TERNARY: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...], float]]] = {
    "AlGaAs": ((1.424, 1.247), (5.6533, 0.0078), 0.45),
}
"""By name: coefficients of Eg(x) [eV], of the lattice constant [Angstrom], and the x up to which the gap is direct."""
