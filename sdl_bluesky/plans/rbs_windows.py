"""Where in a spectrum each element of a film is counted, from kinematics alone, and when its counts are enough.

The part of the spectrum above the highest edge of the substrate holds nothing but the film. It is divided at the surface
edges of the film's elements: each window reaches from one edge down to the next. The window of a light element also holds
what heavier ones send back from deeper; that is good enough to judge a measurement by, and nothing is fitted here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.plans.rbs_settings import RBSSettings

if TYPE_CHECKING:
    from sdl_bluesky.physics.rbs.setup import Setup

log = logging.getLogger(__name__)

LEAST_ABUNDANCE = 0.01
SPARE = 1.05
"""Charge that is asked for above what the counts so far would need, so that one more portion is mostly enough."""
LEAST_PORTION = 0.1


@dataclass(frozen=True)
class Window:
    """Channels first <= i < last in which these elements are counted."""

    elements: tuple[str, ...]
    first: int
    last: int

    def counts(self, spectrum: ArrayLike) -> float:
        """Counts of a spectrum [channels] in this window."""
        return float(np.asarray(spectrum, dtype=float)[self.first : self.last].sum())


def surface_edge_keV(setup: Setup, element: str) -> float:
    """Energy of ions scattered at the surface from the heaviest isotope of an element that is no rarity.

    0 if they are not scattered to the detector.

    Raises:
        UnknownName: there is no such element.
    """
    from sdl_bluesky.physics.rbs import nuclides
    from sdl_bluesky.physics.rbs.kinematics import kinematic_factor

    ion = nuclides.ion(setup.ion)
    masses = [k.mass_u for k, part in nuclides.target(element).isotopes if part >= LEAST_ABUNDANCE]
    return kinematic_factor(ion.mass_u, max(masses), math.radians(setup.theta_deg)) * setup.energy_keV


def check_edges(setup: Setup, film: Iterable[str], substrate: Iterable[str]) -> None:
    """Refuse a film that the detector cannot see.

    Raises:
        UnknownName: an element that does not exist.
        OutOfRange: an element of the film that does not scatter to the detector, or an edge above the highest channel.
    """
    for element in film:
        if surface_edge_keV(setup, element) <= 0.0:
            raise OutOfRange(
                f"{element} is too light to scatter {setup.ion} to {setup.theta_deg:g} deg: leave it out of the elements; "
                "nothing was moved"
            )
    edges = {element: surface_edge_keV(setup, element) for element in (*film, *substrate)}
    highest = max(edges, key=edges.__getitem__)
    top = float(setup.edges_keV()[-1])
    if edges[highest] + setup.resolution_fwhm_keV > top:
        raise OutOfRange(
            f"the edge of {highest} at {edges[highest]:.0f} keV is off the detector, whose {setup.channels} channels end at "
            f"{top:.0f} keV: lower the energy, or correct slope, offset and channels; nothing was moved"
        )


def windows(setup: Setup, film: Sequence[str], substrate: Iterable[str]) -> tuple[Window, ...]:
    """The windows of a film's elements, highest energy first.

    Elements whose edges the detector can hardly tell apart (closer than two resolutions) share a window. An element that
    is not above the substrate's highest edge has none: how well it is counted is not judged.
    """
    margin = setup.resolution_fwhm_keV
    floor = max((surface_edge_keV(setup, element) for element in substrate), default=0.0) + margin
    tops = sorted(((surface_edge_keV(setup, element) + margin, element) for element in film), reverse=True)
    clear = [(top, element) for top, element in tops if top - floor >= 2.0 * margin]
    hidden = [element for _, element in tops[len(clear) :]]
    if hidden:
        log.warning("%s cannot be told from the substrate: counts are not judged by it", ", ".join(hidden))
    groups: list[tuple[float, list[str]]] = []
    for top, element in clear:
        if groups and groups[-1][0] - top < 2.0 * margin:
            groups[-1][1].append(element)
        else:
            groups.append((top, [element]))
    bounds = [*(top for top, _ in groups), floor]
    edges = setup.edges_keV()
    channel = [int(np.clip(np.searchsorted(edges, energy), 0, setup.channels)) for energy in bounds]
    return tuple(Window(tuple(names), channel[i + 1], channel[i]) for i, (_, names) in enumerate(groups))


def relative_error(spectrum: ArrayLike, chosen: Sequence[Window]) -> float:
    """sqrt(N) / N of the least populated window; infinite without counts, nan without windows."""
    if not chosen:
        return math.nan
    least = min(window.counts(spectrum) for window in chosen)
    return 1.0 / math.sqrt(least) if least > 0 else math.inf


def next_portion(error: float, charge_uC: float, settings: RBSSettings) -> float:
    """How much more charge a point needs [uC]; 0 if it has enough.

    Counts grow with the charge, so a relative error e needs (e / precision)^2 of the charge so far.

    Args:
        error: relative error so far; nan: not judged.
        charge_uC: asked for so far.
        settings: precision and longest charge.
    """
    left = settings.longest_uC - charge_uC
    if math.isnan(error) or error <= settings.precision or left <= 1e-6 * settings.longest_uC:
        return 0.0
    needed = charge_uC * (SPARE * (error / settings.precision) ** 2 - 1.0)
    return min(left, max(needed, LEAST_PORTION * settings.charge_uC))
