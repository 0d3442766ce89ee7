"""X-ray diffraction at a symmetric reflection: angles, spacings, strain, critical thickness.

Bragg: wavelength = 2 d sin(theta), d = a / sqrt(h2 + k2 + l2). Cu K-alpha1, 1.54060 Angstrom; InP (004) at 2 theta =
63.338 deg. A theta-2theta scan sees the lattice constant across the film. If the film is relaxed, that is its own. If it
is coherent, the film keeps the substrate's lattice constant in its plane and is stretched across it (isotropic plane, cubic
(001); Hornstra and Bartels, J. Cryst. Growth 44, 513, 1978):

    a_across - a_s = (1 + 2 C12 / C11) (a - a_s)

Elastic constants of the binaries: Vurgaftman, Meyer and Ram-Mohan, J. Appl. Phys. 89, 5815 (2001), bilinear between them.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import lambertw

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.alloys import INP_LATTICE
from sdl_bluesky.physics.geometry import Array

CU_K_ALPHA1: Final = 1.54060
"""Wavelength [Angstrom]."""
ORDER_004: Final = 4.0
"""sqrt(h2 + k2 + l2) of the reflection (004)."""
INP_TWO_THETA: Final = 63.338
"""Of InP (004) with Cu K-alpha1 [deg]."""

Strain: TypeAlias = Literal["relaxed", "coherent"]
"""Whether a film has its own lattice constant in its plane, or the substrate's."""

ELASTIC_GPA: Final = {
    "InP": (101.1, 56.1),
    "InAs": (83.29, 45.26),
    "GaP": (140.5, 62.03),
    "GaAs": (122.1, 56.6),
}
"""C11 and C12 [GPa]."""


def spacing(two_theta_deg: ArrayLike, wavelength: float = CU_K_ALPHA1) -> Array:
    """Distance of the planes [Angstrom] from 2 theta [deg], of its shape.

    Raises:
        OutOfRange: an angle that is not finite or not between 0 and 180.
    """
    angle = np.asarray(two_theta_deg, dtype=float)
    if not np.all((angle > 0) & (angle < 180)):
        raise OutOfRange(f"2 theta = {two_theta_deg} deg: give angles between 0 and 180")
    return (0.5 * wavelength / np.sin(np.radians(angle) / 2))[()]


def lattice_from_angle(two_theta_deg: ArrayLike, order: float = ORDER_004, wavelength: float = CU_K_ALPHA1) -> Array:
    """Lattice constant across the film [Angstrom] from 2 theta [deg]; order = sqrt(h2 + k2 + l2)."""
    return order * spacing(two_theta_deg, wavelength)


def angle_from_lattice(lattice: ArrayLike, order: float = ORDER_004, wavelength: float = CU_K_ALPHA1) -> Array:
    """2 theta [deg] of a lattice constant across the film [Angstrom].

    Raises:
        OutOfRange: a lattice constant that is not finite, or so small that the reflection does not exist.
    """
    a = np.asarray(lattice, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        sine = order * wavelength / (2 * a)
    if not np.all((sine > 0) & (sine < 1)):
        raise OutOfRange(
            f"lattice constant {lattice} Angstrom: the reflection needs more than {order * wavelength / 2:g}"
        )
    return (2 * np.degrees(np.arcsin(sine)))[()]


def lattice_std(two_theta_deg: ArrayLike, std_deg: ArrayLike, order: float = ORDER_004) -> Array:
    """Standard error of the lattice constant [Angstrom] from that of 2 theta [deg]: a cot(theta) d(theta)."""
    half = np.radians(np.asarray(two_theta_deg, dtype=float)) / 2
    return (lattice_from_angle(two_theta_deg, order) / np.tan(half) * np.radians(std_deg) / 2)[()]


def angle_std(lattice: ArrayLike, std: ArrayLike, order: float = ORDER_004) -> Array:
    """Standard error of 2 theta [deg] from that of the lattice constant [Angstrom]."""
    half = np.radians(angle_from_lattice(lattice, order)) / 2
    return (2 * np.degrees(np.tan(half) * np.asarray(std, dtype=float) / np.asarray(lattice, dtype=float)))[()]


def elastic_constants(x: ArrayLike = 0.0, y: ArrayLike = 0.0) -> tuple[Array, Array]:
    """C11 and C12 [GPa] of In(1-x)Ga(x)As(y)P(1-y), bilinear between the binaries; InP by default."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weights = {"InP": (1 - x) * (1 - y), "InAs": (1 - x) * y, "GaP": x * (1 - y), "GaAs": x * y}
    c11, c12 = (sum((weights[k] * ELASTIC_GPA[k][i] for k in weights), np.zeros(())) for i in (0, 1))
    return c11[()], c12[()]


def stretch(x: ArrayLike = 0.0, y: ArrayLike = 0.0) -> Array:
    """1 + 2 C12 / C11: mismatch across a coherent film over its relaxed one; 2.11 for InP."""
    c11, c12 = elastic_constants(x, y)
    return 1 + 2 * c12 / c11


def relaxed_lattice(
    across: ArrayLike, strain: Strain, factor: ArrayLike | None = None, substrate: float = INP_LATTICE
) -> Array:
    """Lattice constant that a film has when nothing strains it [Angstrom].

    Args:
        across: lattice constant across the film [Angstrom].
        strain: "relaxed" (it is that one) or "coherent".
        factor: 1 + 2 C12 / C11 of the film; InP's if not given.
        substrate: lattice constant of the substrate [Angstrom].

    Raises:
        UnknownName: no such state of strain.
    """
    a = np.asarray(across, dtype=float)
    if check_strain(strain) == "relaxed":
        return a[()]
    return (substrate + (a - substrate) / (stretch() if factor is None else np.asarray(factor, dtype=float)))[()]


def strained_lattice(
    lattice: ArrayLike, strain: Strain, factor: ArrayLike | None = None, substrate: float = INP_LATTICE
) -> Array:
    """Lattice constant across a film [Angstrom] from its own; the inverse of `relaxed_lattice`."""
    a = np.asarray(lattice, dtype=float)
    if check_strain(strain) == "relaxed":
        return a[()]
    return (substrate + (a - substrate) * (stretch() if factor is None else np.asarray(factor, dtype=float)))[()]


def check_strain(strain: str) -> str:
    """The state of strain, if there is such a one.

    Raises:
        UnknownName: there is not.
    """
    if strain not in get_args(Strain):
        raise UnknownName("state of strain", strain, get_args(Strain))
    return strain


def critical_thickness(
    mismatch_percent: ArrayLike, x: ArrayLike = 0.0, y: ArrayLike = 0.0, *, capped: bool = True
) -> Array:
    """Thickness up to which a film stays coherent in equilibrium [nm], of the common shape; inf for a perfect match.

    Matthews and Blakeslee (J. Cryst. Growth 27, 118, 1974), 60 degree dislocations on {111}, b = a / sqrt(2): the force of
    the strain on a threading dislocation equals the tension of the line that it would draw behind it,

        h = n b (1 - nu / 4) (1 + ln(h / b)) / (4 pi f (1 + nu)),      nu = C12 / (C11 + C12),

    with one line (n = 1) at the interface of an uncapped film, and two (n = 2) at both interfaces of a buried one. Real
    films stay coherent to several times this thickness.

    Args:
        mismatch_percent: relaxed mismatch [%].
        x, y: composition.
        capped: whether another layer lies on the film.
    """
    f = np.abs(np.asarray(mismatch_percent, dtype=float)) / 100
    c11, c12 = elastic_constants(x, y)
    nu = c12 / (c11 + c12)
    b_nm = INP_LATTICE / np.sqrt(2) / 10
    with np.errstate(divide="ignore", invalid="ignore"):
        k = (2 if capped else 1) * (1 - nu / 4) / (4 * np.pi * f * (1 + nu))
        # u = k (1 + ln u) for u = h / b; below k = 1 the strain wins at every thickness
        u = np.where(k > 1, -k * np.real(lambertw(-1 / (np.e * np.maximum(k, 1.0)), -1)), 1.0)
        thickness = np.where(f == 0, np.inf, b_nm * u)
    if not np.all(np.isfinite(f)):
        raise OutOfRange(f"mismatch {mismatch_percent} %: give finite numbers")
    return thickness[()]
