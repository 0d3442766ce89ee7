"""Rutherford backscattering spectra: an open forward model with its derivatives.

    setup = Setup(ion="4He", energy_keV=2000, theta_deg=165, elements=("Cu", "Sn", "Si"), ...)
    counts = simulate(setup, layers)      # layers[batch, layer, element] in 1e15 at/cm2, the first at the surface
    found = jacobian(setup, layers)       # counts and their derivatives

The compiled kernels load when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl_bluesky.physics.rbs.advice import advise, surface_edge_keV
from sdl_bluesky.physics.rbs.cross_section import CrossSection, rutherford_mb_sr
from sdl_bluesky.physics.rbs.setup import Nuisance, Setup, elements_of, layers_of
from sdl_bluesky.physics.rbs.stopping import ZBL85, Stopping, StoppingTable

if TYPE_CHECKING:
    from sdl_bluesky.physics.rbs.forward import Jacobian, jacobian, simulate

_COMPILED = ("Jacobian", "jacobian", "simulate")

__all__ = [
    "ZBL85",
    "CrossSection",
    "Jacobian",
    "Nuisance",
    "Setup",
    "Stopping",
    "StoppingTable",
    "advise",
    "elements_of",
    "jacobian",
    "layers_of",
    "rutherford_mb_sr",
    "simulate",
    "surface_edge_keV",
]


def __getattr__(name: str) -> Any:
    if name in _COMPILED:
        from sdl_bluesky.physics.rbs import forward

        return getattr(forward, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
