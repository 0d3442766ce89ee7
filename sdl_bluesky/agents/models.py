"""The models of a rate by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from numpy.typing import ArrayLike

from sdl_bluesky.agents.space import Space
from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.inference.gp import FullyBayesianGP, PowerScaledGP
from sdl_bluesky.inference.joint import JointGP, RateView
from sdl_bluesky.inference.posterior import Predictive

MODELS = ("power-scaled", "standard", "joint")
Sensors: TypeAlias = Mapping[str, tuple[float, float]]
"""ln cos(phi) and reach [cm^-2] of each sensor (see `physics.flux.view`), by name."""


class RateModel(Protocol):
    """Learns from inputs [n, d], readings [n] (of several sensors: [n, s]) and the known part of their errors."""

    def fit(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None, /) -> Predictive: ...  # noqa: D102


@dataclass(frozen=True)
class OneOfSeveral:
    """The joint model as the model of one of its sensors."""

    joint: JointGP
    sensor: int

    def fit(self, x: ArrayLike, y: ArrayLike, y_std: ArrayLike | None = None, /) -> RateView:
        """What that sensor reads, from the readings of all [n, s]."""
        return self.joint.fit(x, y, y_std).sensor(self.sensor)


def outcome_names(objective: str, sensors: Sensors | None) -> tuple[str, ...]:
    """Outcomes that a row may hold: the objective, or that of each sensor ("<sensor>_rate"; a sensor may be the objective).

    Raises:
        UnknownName: none of the sensors measures the objective.
    """
    if sensors is None:
        return (objective,)
    names = tuple(name if name == objective else f"{name}_rate" for name in sensors)
    if objective not in names:
        raise UnknownName("outcome of a sensor", objective, names)
    return names


def power_column(space: Space) -> int | None:
    """The one input called "power" or "<something>_power", if there is one."""
    columns = [k for k, n in enumerate(space.names) if n == "power" or n.endswith("_power")]
    return columns[0] if len(columns) == 1 else None


def make_model(
    name: str, space: Space, seed: int = 0, objective: str = "rate", sensors: Sensors | None = None
) -> RateModel:
    """The model of a name over a space.

    Raises:
        UnknownName: there is none of that name, or no sensor measures the objective.
        OutOfRange: a power-scaled or joint model without an input called "power", or with bounds that are not positive;
            a joint model without sensors, or sensors without it.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    if (name == "joint") != (sensors is not None):
        raise OutOfRange("model 'joint' needs `sensors`, {name: (ln cos phi, reach)}, and no other model takes them")
    if name == "standard":
        return FullyBayesianGP(space.bounds, seed=seed)
    power = power_column(space)
    if power is None:
        raise OutOfRange(f"the {name} model needs one input called 'power', not {list(space.names)}; or use 'standard'")
    if sensors is None:
        return PowerScaledGP(space.bounds, seed=seed, power=power)
    index = outcome_names(objective, sensors).index(objective)
    places = tuple((float(c), float(reach)) for c, reach in sensors.values())
    return OneOfSeveral(JointGP(space.bounds, places, power=power, seed=seed), index)
