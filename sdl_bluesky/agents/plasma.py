"""Where a plasma burns, as an agent needs to know it: everywhere, or above a fixed pressure."""

from __future__ import annotations

import numpy as np

from sdl_bluesky.agents.ledger import Ledger
from sdl_bluesky.agents.space import Mask, Space
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.geometry import Array


class Rule:
    """No rule: a plasma burns everywhere."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def allowed(self, x: Array) -> Mask:
        """Which points [q, d] may be suggested as far as the plasma goes: [q]."""
        return np.ones(len(x), dtype=bool)

    def probability(self, x: Array) -> Array:
        """Probability of burning at points [q, d]: [q]."""
        return np.ones(len(x))

    def blamed(self, ledger: Ledger) -> list[Array]:
        """The failures [d] that keep suggestions away; not those that the rule itself explains."""
        return ledger.failures

    def raised(self, x: Array) -> Array:
        """A point [d], moved up in pressure as far as it takes to be allowed, if the bounds permit it."""
        return x

    def edge(self) -> Array:
        """Points [k, d] right on the edge of what is allowed, as further candidates."""
        return np.empty((0, len(self.space.names)))

    def worth(self, x: Array) -> Array:
        """Share of the classes still open that seeing the plasma burn or not at points [q, d] would settle: [q]."""
        return np.zeros(len(x))

    def careful(self, x: Array) -> float | None:
        """Pressure [mTorr] below which a plasma at the power of a point [d] may go out; None if nobody knows."""
        return None

    def dive(self) -> tuple[Array, float] | None:
        """The point at which it is best to let the plasma go out once, and the share of the space that it settles."""
        return None


class FixedCut(Rule):
    """Nothing below a pressure [mTorr].

    Raises:
        OutOfRange: nothing is left above it, or there is no pressure among the inputs.
    """

    def __init__(self, space: Space, cut: float) -> None:
        super().__init__(space)
        self.cut, self._pressure = float(cut), column(space, "pressure")
        if not np.isfinite(self.cut) or self.cut < 0 or not self.allowed(space.candidates).any():
            raise OutOfRange(f"extinction = {cut}: no candidate lies above that pressure; give it in mTorr")

    def allowed(self, x: Array) -> Mask:
        """Points at or above the pressure."""
        return x[:, self._pressure] >= self.cut

    def probability(self, x: Array) -> Array:
        """1 at or above the pressure, 0 below it."""
        return self.allowed(x).astype(float)

    def raised(self, x: Array) -> Array:
        """The point, at the pressure if it was below it."""
        return moved(x[None], self._pressure, max(x[self._pressure], self.cut))[0]

    def edge(self) -> Array:
        """Points at the pressure itself."""
        low = self.space.bounds[self._pressure][0]
        if self.space.listed or self.cut <= low:
            return super().edge()
        return moved(self.space.candidates[self.space.candidates[:, self._pressure] == low], self._pressure, self.cut)


def moved(x: Array, column: int, value: Array | float) -> Array:
    """Points [q, d] with another value of one input."""
    out = x.copy()
    out[:, column] = value
    return out


def column(space: Space, what: str) -> int:
    """The input called `what`, or "<something>_<what>".

    Raises:
        OutOfRange: there is none, or there are several.
    """
    found = [k for k, name in enumerate(space.names) if name == what or name.endswith(f"_{what}")]
    if len(found) != 1:
        raise OutOfRange(f"extinction needs one input called {what!r}, not {list(space.names)}")
    return found[0]
