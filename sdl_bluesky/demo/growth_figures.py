"""What a growth report shows: the agent before each target, the trend that a line leaves, a model that knows no physics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sdl_bluesky.agents import PIBOAgent
from sdl_bluesky.errors import SDLError
from sdl_bluesky.inference.pibo.logodds import LogOddsPosterior
from sdl_bluesky.inference.pibo.worth import Aim
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.plans.growth.campaign import agent_before
from sdl_bluesky.plans.growth.file import GrowthFile, GrowthTarget
from sdl_bluesky.plans.history import History

GRID = 41
Axes2 = tuple[Array, Array]
_NAIVE = "gp"
_Z90 = 1.645


def axes_of(spec: GrowthFile) -> tuple[Axes2, Array]:
    """Axes of the flows, and the points [GRID * GRID, 2] of their grid, the flow of As slowest."""
    ga, as_ = (np.linspace(*bounds, GRID) for bounds in (spec.grow.f_ga, spec.grow.f_as))
    x, y = np.meshgrid(ga, as_)
    return (ga, as_), np.column_stack([x.ravel(), y.ravel()])


def knowledge(
    spec: GrowthFile, history: History, target: GrowthTarget
) -> tuple[Axes2, Mapping[str, Array], Array, tuple[float, float], str] | None:
    """What the agent knew before the first run for a target: acquisition, x, y over the flows; layers; its choice; words.

    None where nothing was grown before, or for the target.
    """
    steps = history.of(target.stage)
    agent = agent_before(spec, history, target.stage, steps=0)
    if not steps or len(agent.ledger.y) < 1:
        return None
    axes, points = axes_of(spec)
    normal = agent.posterior().normal(points)
    cost = agent.aim.cost(agent.acquisition, normal, agent.p[0])
    shape = (GRID, GRID)
    panels = {
        f"log10 of the acquisition ({agent.acquisition})": np.log10(np.maximum(cost, 1e-12)).reshape(shape),
        "x": normal.mean[:, 0].reshape(shape),
        "y": normal.mean[:, 1].reshape(shape),
    }
    following = (steps[0].inputs["f_ga"], steps[0].inputs["f_as"])
    chance = float(agent.aim.probability(agent.posterior().normal(np.array([following])))[0])
    words = f"The star is the choice; a layer grown there was in specification with a probability of {chance:.2f}."
    return axes, panels, np.array(agent.ledger.x), following, words


def residuals(spec: GrowthFile, history: History) -> tuple[Axes2, Mapping[str, Array], Array, str]:
    """What lines x(F_Ga), y(F_As) through the learned surfaces leave over the flows, and the trend in words."""
    agent = agent_before(spec, history, spec.grow.targets[-1].stage)
    axes, points = axes_of(spec)
    mean = agent.posterior().normal(points).mean
    panels = {}
    for k, name in enumerate(("x", "y")):
        line = np.polynomial.Polynomial.fit(points[:, k], mean[:, k], 1)(points[:, k])
        panels[f"{name} less its line in F_{('Ga', 'As')[k]}"] = (mean[:, k] - line).reshape(GRID, GRID)
    return axes, panels, np.array(agent.ledger.x), _trend(agent)


def _trend(agent: PIBOAgent) -> str:
    posterior = agent.posterior()
    if not isinstance(posterior, LogOddsPosterior):
        return "This model knows of no trend with the other flow."
    mean, std = posterior.slopes()
    texts = []
    for name, k, j, flow in (("x", 0, 1, "As"), ("y", 1, 0, "Ga")):
        low, high = mean[k, j] - _Z90 * std[k, j], mean[k, j] + _Z90 * std[k, j]
        verb = "lowers" if mean[k, j] < 0 else "raises"
        texts.append(
            f"more {flow} {verb} {name}: d ln odds({name}) / d ln F_{flow} = {mean[k, j]:.2f} ({low:.2f} to {high:.2f})"
        )
    return "; ".join(texts) + " (90 %)."


def naive_comparison(spec: GrowthFile, history: History) -> str:
    """How far each target's first layer was expected to be off, by the agent's model and by one that knows no physics."""
    texts = []
    for target in spec.grow.targets:
        steps = [s for s in history.of(target.stage) if s.outcome == "success" and s.row]
        if not steps or steps[0].row is None:
            continue
        flows, row = np.array([[steps[0].row["f_ga"], steps[0].row["f_as"]]]), steps[0].row
        for model in (spec.grow.model, _NAIVE):
            other = replace_model(spec, model)
            try:
                agent = agent_before(other, history, target.stage, steps=0)
                aim: Aim = agent.aim
                found = np.array(aim.alloy.composition(row["wavelength"], row["lattice"]))
                expected, std = agent.predict(flows)
            except SDLError as fault:
                texts.append(f"{target.wavelength:g} nm, {model}: {fault}")
                continue
            off = ", ".join(f"{n} {e:+.4f} ± {s:.4f}" for n, e, s in zip("xy", expected[0] - found, std[0]))
            texts.append(f"{target.wavelength:g} nm, model {model!r}: predicted less grown {off}")
    return "First layers. " + "; ".join(texts) + "." if texts else ""


def replace_model(spec: GrowthFile, model: str) -> GrowthFile:
    """The same campaign with another model."""
    return spec.model_copy(update={"grow": spec.grow.model_copy(update={"model": model})})
