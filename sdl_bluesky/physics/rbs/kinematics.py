"""Two-body kinematics, non-relativistic, in the laboratory frame; angles in radians, masses in u, energies in keV."""

from __future__ import annotations

import math

import numpy as np

from sdl_bluesky.physics.geometry import Array

KEV_PER_U = 931494.1
"""Energy of the atomic mass unit [keV]."""


def kinematic_factor(m1: float, m2: float, theta: float) -> float:
    """K = ((m1 cos theta + sqrt(m2^2 - m1^2 sin^2 theta)) / (m1 + m2))^2; 0 where the ion cannot be scattered to theta.

    For a target lighter than the ion there are two energies at a forward angle; this is the higher one.
    Source: Chu, Mayer, Nicolet, Backscattering Spectrometry (1978), eq. 2.2.
    """
    root = m2 * m2 - (m1 * math.sin(theta)) ** 2
    if root < 0.0:
        return 0.0
    speed = (m1 * math.cos(theta) + math.sqrt(root)) / (m1 + m2)
    return speed * speed if speed > 0.0 else 0.0


def product_energy(energy_keV: Array, m1: float, m2: float, m3: float, q_keV: float, theta: float) -> Array:
    """Energy of the light product m3 of a reaction m2(m1, m3)m4 at the angle theta; nan where it does not get there.

    m4 = m1 + m2 - m3 - Q/c^2;
    sqrt(E3) = (sqrt(m1 m3 E) cos theta + sqrt(m1 m3 E cos^2 theta + (m3 + m4)(m4 Q + (m4 - m1) E))) / (m3 + m4).
    With Q = 0 and m3 = m1 this is elastic scattering. Source: Marion and Young, Nuclear Reaction Analysis (1968).
    """
    m4 = m1 + m2 - m3 - q_keV / KEV_PER_U
    forward = np.sqrt(m1 * m3 * energy_keV) * math.cos(theta)
    root = forward**2 + (m3 + m4) * (m4 * q_keV + (m4 - m1) * energy_keV)
    speed = (forward + np.sqrt(np.where(root >= 0, root, np.nan))) / (m3 + m4)
    return np.where(speed > 0, speed**2, np.nan)
