"""Our agents as optimisers of bluesky-adaptive, in its own plan."""

from __future__ import annotations

from typing import Any

import pytest
from bluesky import RunEngine
from bluesky_adaptive.plans import optimize
from bluesky_adaptive.protocols import (
    CanRegisterSuggestions,
    OptimizationProblem,
    Optimizer,
    SupportsStoppingCriteria,
    TrialFaultAware,
)
from ophyd import Device
from ophyd import Signal as OphydSignal

from sdl_bluesky.agents import BALMAgent, PIBOAgent
from sdl_bluesky.physics.alloys import InGaAsP

PROTOCOLS = (Optimizer, CanRegisterSuggestions, SupportsStoppingCriteria, TrialFaultAware)


class Knob(OphydSignal):
    """A signal that can be moved."""


def problem(agent: Any, names: tuple[str, ...], outcomes: Any) -> tuple[OptimizationProblem, list[Device]]:
    """Knobs that the plan moves; what they were moved to is what the outcomes are of."""
    knobs = [Knob(name=name, value=1.0) for name in names]

    def evaluate(uid: str, suggestions: Any) -> list[dict[str, Any]]:
        return [
            {**suggestion, "uid": uid, **outcomes(*(suggestion[name] for name in names))} for suggestion in suggestions
        ]

    return OptimizationProblem(agent, knobs, [], evaluate), knobs


@pytest.fixture
def engine() -> RunEngine:
    return RunEngine({}, context_managers=[])


def test_a_rate_is_learned_in_the_plan_of_bluesky_adaptive(engine: RunEngine) -> None:
    agent = BALMAgent({"power": (10.0, 100.0), "pressure": (4.0, 20.0)}, budget=8)
    assert all(isinstance(agent, protocol) for protocol in PROTOCOLS)
    asked, knobs = problem(
        agent, ("power", "pressure"), lambda power, pressure: {"rate": 0.4 * power / (1 + pressure / 30)}
    )
    starts: list[dict[str, Any]] = []
    engine(optimize(asked, iterations=None), lambda name, doc: starts.append(doc) if name == "start" else None)
    assert agent.should_stop()[0]  # it ended by the agent's own criterion
    assert len(agent.ledger.y) == 8
    assert knobs[0].get() == agent.ledger.rows[-1]["power"]
    assert sum(start["plan_name"] != "optimize" for start in starts) == 8
    mean, std = agent.predict([[55.0, 8.0]])
    assert abs(mean[0] - 0.4 * 55.0 / (1 + 8 / 30)) < 3 * std[0] + 0.2


def test_a_layer_is_grown_to_target_in_the_plan_of_bluesky_adaptive(engine: RunEngine) -> None:
    def layer(f_ga: float, f_as: float) -> dict[str, float]:
        u = 0.2376 * (f_ga / 5.971) ** 1.6 * (f_as / 11.2) ** -0.6
        v = 0.717 * (f_as / 11.2) ** 0.75 * (f_ga / 5.971) ** 0.3
        wavelength, lattice = InGaAsP().properties(u / (1 + u), v / (1 + v))
        return {"wavelength": float(wavelength), "lattice": float(lattice)}

    agent = PIBOAgent({"f_ga": (2.0, 8.0), "f_as": (4.0, 14.0)}, {"wavelength": 1180.0, "lattice": 5.8688}, budget=10)
    assert all(isinstance(agent, protocol) for protocol in PROTOCOLS)
    for ga, arsine in ((5.2, 9.4), (5.0, 9.0), (4.6, 8.4), (5.4, 9.0)):
        agent.ingest([{"f_ga": ga, "f_as": arsine, **layer(ga, arsine)}])
    asked, _ = problem(agent, ("f_ga", "f_as"), layer)
    engine(optimize(asked, iterations=None))
    last = agent.ledger.rows[-1]
    assert abs(last["wavelength"] - 1180.0) <= 10.0
    assert abs(100 * (last["lattice"] / 5.8688 - 1)) <= 0.05
    assert len(agent.ledger.y) <= 7


def test_a_failed_point_is_told_to_the_agent(engine: RunEngine) -> None:
    agent = BALMAgent({"power": (10.0, 100.0), "pressure": (4.0, 20.0)}, budget=8)

    def went_out(power: float, pressure: float) -> dict[str, float]:
        raise RuntimeError("the plasma went out")

    asked, _ = problem(agent, ("power", "pressure"), went_out)
    with pytest.raises(RuntimeError, match="went out"):
        engine(optimize(asked))
    assert agent.ledger.failed == 1
