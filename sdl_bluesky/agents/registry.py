"""Agents by name, for campaign files and the command line."""

from __future__ import annotations

import inspect
from typing import Any

from sdl_bluesky.agents.balm import BALMAgent
from sdl_bluesky.agents.baselines import RandomAgent, SobolAgent
from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.errors import OutOfRange, UnknownName

AGENTS: dict[str, type[RateAgent]] = {"balm": BALMAgent, "random": RandomAgent, "sobol": SobolAgent}


def make_agent(name: str, **settings: Any) -> RateAgent:
    """An agent by its name.

    Raises:
        UnknownName: there is no agent of that name.
        OutOfRange: it has no such setting, or a setting cannot be used.
    """
    if name not in AGENTS:
        raise UnknownName("agent", name, list(AGENTS))
    try:
        inspect.signature(AGENTS[name]).bind(**settings)
    except TypeError as fault:
        raise OutOfRange(f"settings of agent {name!r}: {fault}") from fault
    return AGENTS[name](**settings)
