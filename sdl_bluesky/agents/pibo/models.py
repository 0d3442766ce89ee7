"""The models of growth by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from numpy.typing import ArrayLike

from sdl_bluesky.agents.space import Space
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.pibo.data import GrowthData
from sdl_bluesky.inference.pibo.logodds import LogOddsModel, Simulator
from sdl_bluesky.inference.pibo.normal import Normal
from sdl_bluesky.inference.pibo.published import PublishedModel
from sdl_bluesky.physics.geometry import Array

MODELS = ("log-odds", "published", "gp")


class GrowthPosterior(Protocol):
    """What a model believes."""

    def normal(self, flows: ArrayLike, /) -> Normal:  # noqa: D102
        ...

    @property
    def findings(self) -> tuple[str, ...]:  # noqa: D102
        ...

    def bad_runs(self) -> Array:  # noqa: D102
        ...


class GrowthModel(Protocol):
    """Learns compositions from flows."""

    def fit(self, data: GrowthData, /) -> GrowthPosterior: ...  # noqa: D102


def make_growth_model(name: str, space: Space, seed: int = 0, simulator: Simulator | None = None) -> GrowthModel:
    """The model of a name: "log-odds" (default), "published", or "gp" (a Gaussian process that knows no physics).

    Raises:
        UnknownName: there is none of that name.
        OutOfRange: bounds that are not two above 0, or a simulator with a model that takes none.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    if len(space.bounds) != 2:
        raise OutOfRange(f"inputs {list(space.names)}: give two flows, that of the Ga precursor first, then that of As")
    if name == "log-odds":
        return LogOddsModel((space.bounds[0], space.bounds[1]), simulator=simulator, seed=seed)
    if simulator is not None:
        raise OutOfRange(f"model {name!r} takes no simulator: use 'log-odds'")
    return PublishedModel((space.bounds[0], space.bounds[1]), lines=name == "published")


def checked_simulator(simulator: Simulator | None) -> Simulator | None:
    """The simulator, if it can be called.

    Raises:
        OutOfRange: it cannot.
    """
    if simulator is not None and not isinstance(simulator, Callable):
        raise OutOfRange(f"simulator = {simulator!r}: give a function of flows [n, 2] that returns (x, y) [n, 2]")
    return simulator
