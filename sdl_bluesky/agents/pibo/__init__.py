"""Growth to target: `agent` chooses flows; the other files are its book, its models, its search and its words."""

from sdl_bluesky.agents.pibo.agent import PIBOAgent

__all__ = ["PIBOAgent"]
