"""Who grows to target in the study: the agent with its models, and what it has to beat.

default          the agent as it comes
published        least squares, residual Gaussian process, noncentral chi-squared quantile, p = .1; "decaying": p falls
gp (x, y)        a Gaussian process of x and y around their means, exact quantile
gp (wl, d)       the same of wavelength and lattice constant in units of their tolerances: no Vegard, no line
qlogei           botorch: Gaussian processes of x and y, qLogExpectedImprovement of the negative squared distance
random, oracle   uniform flows; the flows that hit the target but for the noise
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sdl_bluesky.agents.pibo import PIBOAgent
from sdl_bluesky.agents.pibo.search import search
from sdl_bluesky.bench.pibo_worlds import BOUNDS, Reactor
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.inference.pibo.published import PublishedModel
from sdl_bluesky.inference.pibo.worth import Aim
from sdl_bluesky.physics.alloys import INP_LATTICE, InGaAsP, Specification, mismatch
from sdl_bluesky.physics.geometry import Array

DECAYING = (0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
_LOW, _HIGH = np.array(list(BOUNDS.values())).T
_SIDE = 21


class Learner(Protocol):
    """Given a target, told of runs, asked for the next one."""

    def aim_at(self, wavelength: float, campaign: str) -> None: ...  # noqa: D102

    def tell(self, flows: Array, measured: tuple[float, float]) -> None: ...  # noqa: D102

    def next(self) -> Array: ...  # noqa: D102

    def gives_up(self) -> bool: ...  # noqa: D102


class AgentLearner:
    """A `PIBOAgent` with some settings."""

    def __init__(self, seed: int, settings: Mapping[str, Any]) -> None:
        target = {"wavelength": 1180.0, "lattice": INP_LATTICE}
        self.agent = PIBOAgent(BOUNDS, target, campaign="first", seed=seed, **settings)
        self._asked: dict[str, Any] = {}

    def aim_at(self, wavelength: float, campaign: str) -> None:
        """Another target."""
        self.agent.retarget({"wavelength": wavelength, "lattice": INP_LATTICE}, campaign)

    def tell(self, flows: Array, measured: tuple[float, float]) -> None:
        """A run."""
        row = {**self.agent.space.point(flows), "wavelength": measured[0], "lattice": measured[1]}
        if self._asked:
            row["_id"] = self._asked.pop("_id")
        self.agent.ingest([row])

    def gives_up(self) -> bool:
        """Whether the agent would stop here."""
        return self.agent.should_stop()[0]

    def next(self) -> Array:
        """The flows [2] of the next run."""
        [point] = self.agent.suggest()
        self._asked = {"_id": point["_id"]}
        return np.array([point[name] for name in BOUNDS])


@dataclass
class _Book:
    """Runs and a target, for learners that are no agents."""

    seed: int
    flows: list[Array] = field(default_factory=list)
    measured: list[tuple[float, float]] = field(default_factory=list)
    wavelength: float = 1180.0

    def aim_at(self, wavelength: float, campaign: str) -> None:
        """Another target."""
        self.wavelength = wavelength

    def tell(self, flows: Array, measured: tuple[float, float]) -> None:
        """A run."""
        self.flows.append(flows)
        self.measured.append(measured)

    def gives_up(self) -> bool:
        """Never."""
        return False


class Properties(_Book):
    """A Gaussian process of wavelength and lattice constant in units of their tolerances."""

    def next(self) -> Array:
        """The flows [2] of the next run."""
        import torch

        from sdl_bluesky.inference.pibo.distance import distance_quantile

        w, d = np.array(self.measured).T
        scaled = np.stack([(w - self.wavelength) / 10.0, np.asarray(mismatch(d)) / 0.05], axis=1)
        bounds = (BOUNDS["f_ga"], BOUNDS["f_as"])
        posterior = PublishedModel(bounds, lines=False).fit(GrowthData.one_campaign(np.array(self.flows), scaled))

        def cost(flows: Array) -> Array:
            n = posterior.normal(flows)
            with torch.no_grad():
                return distance_quantile(0.1, torch.tensor(n.mean), torch.tensor(np.maximum(n.std, 1e-9))).numpy()

        return search(bounds, cost).x


class QLogEI(_Book):
    """botorch's qLogExpectedImprovement of -|(x, y) - (x*, y*)|^2, the best of a grid."""

    def next(self) -> Array:
        """The flows [2] of the next run."""
        import torch
        from botorch.acquisition.logei import qLogExpectedImprovement
        from botorch.acquisition.objective import GenericMCObjective
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.models.transforms import Normalize, Standardize
        from botorch.sampling import SobolQMCNormalSampler
        from gpytorch.mlls import ExactMarginalLogLikelihood

        aim = Aim(Specification(self.wavelength), InGaAsP())
        target = torch.tensor(aim.target)
        w, d = np.array(self.measured).T
        at = torch.tensor(np.array(self.flows))
        xy = torch.tensor(np.stack(aim.alloy.composition(w, d), axis=1))
        bounds = torch.tensor(np.array([_LOW, _HIGH]))
        model = SingleTaskGP(at, xy, input_transform=Normalize(2, bounds=bounds), outcome_transform=Standardize(2))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        objective = GenericMCObjective(lambda samples, X=None: -((samples - target) ** 2).sum(dim=-1))
        best = -((xy - target) ** 2).sum(dim=-1).min()
        sampler = SobolQMCNormalSampler(torch.Size([128]), seed=self.seed)
        value = qLogExpectedImprovement(model, best, sampler=sampler, objective=objective)

        def cost(flows: Array) -> Array:
            with torch.no_grad():
                return -value(torch.tensor(flows)[:, None]).numpy()

        return search((BOUNDS["f_ga"], BOUNDS["f_as"]), cost).x


class Uniform(_Book):
    """Uniform flows."""

    def next(self) -> Array:
        """The flows [2] of the next run."""
        return np.random.default_rng([self.seed, len(self.flows)]).uniform(_LOW, _HIGH)


class Oracle(_Book):
    """Knows the reactor."""

    def __init__(self, seed: int, reactor: Reactor) -> None:
        super().__init__(seed)
        self.reactor = reactor

    def next(self) -> Array:
        """The flows [2] of the next run."""
        return self.reactor.solve(self.wavelength, INP_LATTICE)


_PUBLISHED = {"model": "published", "acquisition": "published"}
LEARNERS: Mapping[str, Callable[[int, Reactor], Learner]] = {
    "default": lambda seed, reactor: AgentLearner(seed, {}),
    "published": lambda seed, reactor: AgentLearner(seed, _PUBLISHED),
    "published, decaying p": lambda seed, reactor: AgentLearner(seed, {**_PUBLISHED, "p": DECAYING}),
    "gp (x, y)": lambda seed, reactor: AgentLearner(seed, {"model": "gp"}),
    "gp (wl, d)": lambda seed, reactor: Properties(seed),
    "qlogei": lambda seed, reactor: QLogEI(seed),
    "random": lambda seed, reactor: Uniform(seed),
    "oracle": lambda seed, reactor: Oracle(seed, reactor),
}
