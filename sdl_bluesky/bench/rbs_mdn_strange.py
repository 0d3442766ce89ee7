"""Spectra that are not of the system the network was trained for: are they told from those that are, and what if not.

Set A: an element more in one of the layers, a gain or a pile-up that the set-up does not have, another substrate. `auroc` is
the chance that such a spectrum is stranger than one of the system, `auroc_deviance` that of the deviance alone; `strange` is
the share that is called so, `handed_over` that which is handed to a person; the errors are median relative ones of the worst
density after the fit, of all spectra and of those that are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from sdl_bluesky.bench.rbs_mdn_rows import Row
from sdl_bluesky.inference.rbs_mdn import route
from sdl_bluesky.inference.rbs_mdn.assess import Trials
from sdl_bluesky.inference.rbs_mdn.model import Model
from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
from sdl_bluesky.physics import rbs
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs.setup import Setup

FOREIGN = (("C", 0), ("O", 0), ("F", 0), ("Fe", 0), ("Mo", 0), ("Ta", 0), ("C", 1), ("Fe", 1))
"""Elements whose edge at the surface lies in the region of interest of A, and the layer, from 0, in which they are."""
FOREIGN_DENSITY = 500.0
GAIN, PILE_UP = 1.005, 0.01
SUBSTRATES = ("Mo", "Ta")
THICK = 60_000.0


@dataclass(frozen=True, eq=False)
class World:
    """Another experiment or sample than that of the training.

    Attributes:
        setup: of it.
        extra: densities to add [layer, element of its set-up].
    """

    setup: Setup
    extra: Array


def strange_rows(model: Model, trials: Trials, seed: int, tell: Callable[[str], None]) -> list[Row]:
    """A row for the system itself, and one for each of `worlds`."""
    system = model.system
    about = {"case": system.name, "seed": seed, "spectra": len(trials)}
    known = route.answer(model, trials.counts)
    rows: list[Row] = [
        {"method": "of the system", **about, "auroc": None, "auroc_deviance": None, **_judged(known, trials)}
    ]
    for k, (name, world) in enumerate(worlds(system).items()):
        tell(f"{system.name}: {name}")
        counts = np.random.default_rng([seed, 5, k]).poisson(expected(system, world, trials)).astype(float)
        found = route.answer(model, counts)
        told = {
            "auroc": auroc(found.strangeness, known.strangeness),
            "auroc_deviance": auroc(found.excess, known.excess),
        }
        rows.append({"method": name, **about, **told, **_judged(found, trials)})
    return rows


def worlds(system: MaterialSystem) -> dict[str, World]:
    """The ways to be strange, by name."""
    nothing = np.zeros(system.free.shape)
    found = {f"{e} in layer {k + 1}": _with_element(system, e, k, FOREIGN_DENSITY) for e, k in FOREIGN}
    found["gain + 0.5 %"] = World(replace(system.setup, slope_keV=system.setup.slope_keV * GAIN), nothing)
    found["pile-up 1 %"] = World(replace(system.setup, pile_up=PILE_UP), nothing)
    for element in SUBSTRATES:
        last = len(system.layers) - 1
        world = _with_element(system, element, last, THICK)
        world.extra[last, : system.held.shape[1]] = -system.held[last]
        found[f"substrate {element}"] = world
    return found


def expected(system: MaterialSystem, world: World, trials: Trials) -> Array:
    """Expected counts [n, channel] of the densities of test spectra in another world."""
    layers = system.fill(trials.truth[:, : system.densities])
    more = world.extra.shape[1] - layers.shape[2]
    return rbs.simulate(world.setup, np.pad(layers, ((0, 0), (0, 0), (0, more))) + world.extra)


def auroc(strange: Array, known: Array) -> float:
    """Area under the curve of true over false alarms."""
    return float(mannwhitneyu(strange, known).statistic) / (len(strange) * len(known))


def _with_element(system: MaterialSystem, element: str, layer: int, density: float) -> World:
    setup = replace(system.setup, elements=(*system.setup.elements, element))
    extra = np.zeros((len(system.layers), len(setup.elements)))
    extra[layer, -1] = density
    return World(setup, extra)


def _judged(answer: route.Answer, trials: Trials) -> dict[str, Any]:
    d = trials.system.densities
    off = np.abs(answer.fit.values[:, :d] / trials.truth[:, :d] - 1.0)
    good = answer.accepted
    return {
        "strange": float(np.mean(answer.strangeness > route.STRANGE)),
        "handed_over": float(np.mean(~good)),
        "pass": float(np.mean(answer.fit.accepted)),
        "error": float(np.median(off, axis=0).max()),
        "error_accepted": float(np.median(off[good], axis=0).max()) if good.any() else None,
        "accepted": int(good.sum()),
    }
