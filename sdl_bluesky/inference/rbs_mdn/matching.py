"""Whether a measurement is the one that a model was trained for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdl_bluesky.errors import ModelMismatch
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.cross_section import CrossSection
from sdl_bluesky.physics.rbs.setup import Setup

TOLERANCES = {
    "energy_keV": 1e-3,
    "theta_deg": 1e-3,
    "slope_keV": 1e-3,
    "resolution_fwhm_keV": 0.02,
}
"""Relative differences that no spectrum shows."""
TILT_DEG = 0.5
OFFSET_KEV = 0.5
ROUNDING = 1e-9
HELD = 0.01
"""Relative difference of known densities, such as those of a substrate."""


def check_setup(system: MaterialSystem, setup: Setup, held: Array | None = None) -> float:
    """The factor on the fluence of a measurement that a system describes.

    Args:
        system: of the model.
        setup: of the measurement.
        held: known densities of the measurement [layer, element], columns as `setup.elements`; None: not compared.

    Raises:
        ModelMismatch: it does not; every difference is named.
    """
    own, told = system.setup, list[str]()
    for name in ("ion", "channels", "screening", "straggling", "lowest_keV", "quadratic_keV", "pile_up"):
        if getattr(own, name) != getattr(setup, name):
            told.append(_said(name, getattr(own, name), getattr(setup, name)))
    if repr(own.stopping) != repr(setup.stopping):
        told.append(_said("stopping", own.stopping, setup.stopping))
    if sorted(map(_table, own.cross_sections)) != sorted(map(_table, setup.cross_sections)):
        told.append(f"cross sections are {_tables(setup)}, the model's {_tables(own)}")
    if set(own.elements) != set(setup.elements):
        told.append(_said("elements", ", ".join(own.elements), ", ".join(setup.elements)))
    for name, tolerance in TOLERANCES.items():
        a, b = float(getattr(own, name)), float(getattr(setup, name))
        if abs(a - b) > tolerance * abs(a):
            told.append(_said(name, a, b))
    for name, tolerance in (("alpha_deg", TILT_DEG), ("beta_deg", TILT_DEG), ("offset_keV", OFFSET_KEV)):
        if abs(float(getattr(own, name)) - float(getattr(setup, name))) > tolerance:
            told.append(_said(name, getattr(own, name), getattr(setup, name)))
    if held is not None and set(own.elements) == set(setup.elements):
        told += _differing_layers(system, setup.elements, held)
    factor = setup.fluence_ions * setup.solid_angle_msr / (own.fluence_ions * own.solid_angle_msr)
    low, high = system.fluence
    if not low * (1.0 - ROUNDING) <= factor <= high * (1.0 + ROUNDING):
        told.append(f"fluence times solid angle is {factor:.3g} of the model's, which knows {low:g} to {high:g}")
    if told:
        raise ModelMismatch(system.name, told)
    return factor


def _differing_layers(system: MaterialSystem, elements: Sequence[str], held: Array) -> list[str]:
    """Layers in which no density is free must be the same."""
    if held.shape[0] != len(system.layers):
        return [f"{held.shape[0]} layers instead of {len(system.layers)}"]
    order = [elements.index(name) for name in system.setup.elements]
    told = []
    for k, free in enumerate(system.free):
        ours, theirs = system.held[k], held[k, order]
        if not free.any() and np.any(np.abs(ours - theirs) > HELD * ours.max()):
            told.append(f"layer {k + 1} holds other densities than that of the model")
    return told


def _table(table: CrossSection) -> tuple[str, str, float, bytes]:
    """What tells a cross section from another."""
    return (
        table.target,
        table.product or table.ion,
        table.q_keV,
        table.energy_keV.tobytes() + table.value_mb_sr.tobytes(),
    )


def _tables(setup: Setup) -> str:
    return ", ".join(f"{k.target}({k.ion},{k.product or k.ion})" for k in setup.cross_sections) or "Rutherford's"


def _said(name: str, own: object, other: object) -> str:
    a, b = (f"{k:g}" if isinstance(k, float) else str(k) for k in (own, other))
    return f"{name} is {b}, the model's {a}"
