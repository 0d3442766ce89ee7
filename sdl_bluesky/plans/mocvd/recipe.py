"""What is grown: flows, conditions, thicknesses; and how long each layer takes, from a calibrated growth rate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sdl_bluesky.errors import OutOfRange

BUFFER, LAYER, CAP = "buffer", "layer", "cap"


@dataclass(frozen=True)
class Rates:
    """Growth rate, calibrated: rate [nm/s] = indium F_In + gallium F_Ga, limited by transport of group III.

    Attributes:
        indium, gallium: nm/s per sccm of each metal's flow.
    """

    indium: float = 0.02
    gallium: float = 0.022

    def __post_init__(self) -> None:
        if not (math.isfinite(self.indium) and self.indium > 0 and math.isfinite(self.gallium) and self.gallium >= 0):
            raise OutOfRange(
                f"growth rates of {self.indium} (In) and {self.gallium} (Ga) nm/s per sccm: give finite numbers, In above 0"
            )

    def rate(self, f_in: float, f_ga: float) -> float:
        """Growth rate [nm/s] for flows of In and Ga [sccm]."""
        return self.indium * f_in + self.gallium * f_ga

    def corrected(self, measured_nm: float, asked_nm: float) -> Rates:
        """Both rates after a layer that came out otherwise than asked for.

        Raises:
            OutOfRange: a thickness that is not finite and above 0.
        """
        if not all(math.isfinite(nm) and nm > 0 for nm in (measured_nm, asked_nm)):
            raise OutOfRange(f"a thickness of {measured_nm} nm for {asked_nm} nm: give finite numbers above 0")
        return Rates(self.indium * measured_nm / asked_nm, self.gallium * measured_nm / asked_nm)


@dataclass(frozen=True)
class Recipe:
    """One stack: InP buffer, In(1-x)Ga(x)As(y)P(1-y) layer, InP cap; by default the paper's, but for its flows.

    Attributes:
        f_ga, f_as, f_in, f_p, f_h2: flows [sccm]; Ga and As flow into the reactor for the layer only.
        temperature: of the susceptor [degC]; ramp: to get there [degC/s].
        rotation: [rpm]; pressure: [mbar].
        buffer, layer, cap: thicknesses [nm]; 0 leaves buffer or cap out.
    """

    f_ga: float
    f_as: float
    f_in: float = 25.0
    f_p: float = 300.0
    f_h2: float = 16000.0
    temperature: float = 650.0
    ramp: float = 1.5
    rotation: float = 900.0
    pressure: float = 100.0
    buffer: float = 200.0
    layer: float = 200.0
    cap: float = 65.0

    @property
    def flows(self) -> dict[str, float]:
        """Flow of each line [sccm], by the line's name."""
        return {"in": self.f_in, "ga": self.f_ga, "as": self.f_as, "p": self.f_p, "h2": self.f_h2}

    def as_document(self) -> dict[str, float]:
        """Plain types, for metadata."""
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """One layer of a stack.

    Attributes:
        name: "buffer", "layer" or "cap".
        metals: lines of group III that grow it.
        arsenic: whether arsine flows into the reactor, too; phosphine always does.
        thickness_nm: meant.
        seconds: process time with group III in the reactor.
    """

    name: str
    metals: tuple[str, ...]
    arsenic: bool
    thickness_nm: float
    seconds: float

    def as_document(self) -> dict[str, Any]:
        """Plain types, for metadata."""
        lines = [*self.metals, *(("as",) if self.arsenic else ()), "p"]
        return {"name": self.name, "lines": lines, "thickness": self.thickness_nm, "duration": self.seconds}


def steps(recipe: Recipe, rates: Rates) -> tuple[Step, ...]:
    """The layers of a recipe in the order in which they grow.

    Args:
        recipe: finite numbers, see `preflight.check_recipe`.
        rates: calibrated growth rates.
    """
    inp = rates.rate(recipe.f_in, 0.0)
    metals = ("in", "ga") if recipe.f_ga > 0 else ("in",)
    rate = rates.rate(recipe.f_in, recipe.f_ga)
    found = (
        Step(BUFFER, ("in",), False, recipe.buffer, recipe.buffer / inp),
        Step(LAYER, metals, recipe.f_as > 0, recipe.layer, recipe.layer / rate),
        Step(CAP, ("in",), False, recipe.cap, recipe.cap / inp),
    )
    return tuple(step for step in found if step.thickness_nm > 0)
