"""Random streams of the chamber, apart from every stream that a client's seed could make."""

from __future__ import annotations

import numpy as np

_PLANT = 0x5F5F_5EED  # keeps the plant's numbers apart from those of an agent with the same seed
CHAMBER, NOISE, OPENING = range(3)


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """A generator that depends on the seed and the purpose alone.

    Args:
        seed: seed of the configuration.
        purpose: CHAMBER (what makes this chamber this one), NOISE with the number of the start, or OPENING with the
            index of the source and the number of times its shutter has opened.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, _PLANT, *purpose]))
