"""Agents: what to measure next. They know numbers only: no control system and no catalogue inside.

An agent has no memory but its data: built again from the same settings and fed the same rows, it suggests the same point.
"""

if __name__ == "agents":
    raise ImportError("this folder is sdl_bluesky.agents: import it by that name")

from sdl_bluesky.agents.balm import BALMAgent
from sdl_bluesky.agents.baselines import RandomAgent, SobolAgent
from sdl_bluesky.agents.learner import RateAgent
from sdl_bluesky.agents.pibo import PIBOAgent
from sdl_bluesky.agents.protocol import Agent
from sdl_bluesky.agents.registry import AGENTS, make_agent

__all__ = ["AGENTS", "Agent", "BALMAgent", "PIBOAgent", "RandomAgent", "RateAgent", "SobolAgent", "make_agent"]
