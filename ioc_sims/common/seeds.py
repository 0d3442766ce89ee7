"""Random streams of the simulated instruments, apart from every stream that a client's seed could make."""

from __future__ import annotations

import numpy as np

_PLANT = 0x5F5F_5EED  # keeps the instruments' numbers apart from those of an agent with the same seed


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """A generator that depends on the seed and the purpose alone.

    Args:
        seed: seed of the configuration.
        purpose: numbers that no other stream of any instrument has.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, _PLANT, *purpose]))
