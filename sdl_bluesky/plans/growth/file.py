"""The file of a growth campaign: what shall be grown, checked before anything moves."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdl_bluesky.agents.pibo.phase import penalty_of
from sdl_bluesky.data.yamlfile import FaultAt, check
from sdl_bluesky.errors import OutOfRange
from sdl_bluesky.physics.alloys import InGaAsP
from sdl_bluesky.physics.quantity import Angstroms, Nanometres, Percent, Sccm, SccmRange

PRELIMINARY = "preliminary"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Flows(_Part):
    """Flows of the precursors of Ga and As; the others are those of the lab file."""

    f_ga: Sccm
    f_as: Sccm


class GrowthTarget(_Part):
    """A wanted layer: wavelength of its light, lattice constant without strain, and how near is near enough.

    ``name`` tells targets of one campaign apart; by default it is the wavelength. ``runs`` is the most runs for it.
    """

    wavelength: Nanometres
    lattice: Angstroms = 5.8688
    wavelength_tolerance: Nanometres = Field(default=10.0, gt=0)
    mismatch_tolerance: Percent = Field(default=0.05, gt=0)
    runs: int = Field(default=15, ge=1, le=200)
    name: str = ""

    @model_validator(mode="after")
    def _reachable(self) -> GrowthTarget:
        try:
            InGaAsP().composition(self.wavelength, self.lattice)
        except OutOfRange as fault:  # for pydantic, a fault of a file is a ValueError
            raise ValueError(str(fault)) from fault
        return self

    @property
    def stage(self) -> str:
        """Name of its stage in the campaign."""
        return f"grow:{self.name or f'{self.wavelength:g}'}"

    def as_aim(self) -> dict[str, float]:
        """As an agent takes it."""
        return {
            "wavelength": self.wavelength,
            "lattice": self.lattice,
            "wavelength_tolerance": self.wavelength_tolerance,
            "mismatch_tolerance": self.mismatch_tolerance,
        }


class PhaseDiagram(_Part):
    """Where growth is worse or not wanted: a penalty at each pair of flows, [len(f_ga)][len(f_as)].

    0 is good; above 0 the acquisition is multiplied by 1 + penalty; "forbidden" is never suggested. Between the points the
    worst of the corners around counts, outside of them the nearest edge.
    """

    f_ga: tuple[Sccm, ...] = Field(min_length=1)
    f_as: tuple[Sccm, ...] = Field(min_length=1)
    penalty: tuple[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["forbidden"], ...], ...]

    @model_validator(mode="after")
    def _whole(self) -> PhaseDiagram:
        try:
            penalty_of(self.as_table(), ("f_ga", "f_as"))
        except (OutOfRange, ValueError) as fault:
            raise ValueError(f"phase: {fault}") from fault
        return self

    def as_table(self) -> dict[str, Any]:
        """As an agent takes it."""
        penalty = [[math.inf if k == "forbidden" else k for k in row] for row in self.penalty]
        return {"f_ga": self.f_ga, "f_as": self.f_as, "penalty": penalty}


class Grow(_Part):
    """Grow layers until each target is met.

    ``f_ga`` and ``f_as`` bound the search. ``preliminary`` layers are grown first, as they stand. ``earlier`` are uids of
    campaigns whose layers are learned from, too, each with an offset of its own: the reactor was opened in between.
    ``phase`` is what is known of where growth is poor.
    """

    f_ga: SccmRange = (2.0, 8.0)
    f_as: SccmRange = (4.0, 14.0)
    preliminary: tuple[Flows, ...] = ()
    targets: tuple[GrowthTarget, ...] = Field(min_length=1)
    model: Literal["log-odds", "published", "gp"] = "log-odds"
    acquisition: Literal["distance", "published", "probability"] = "distance"
    quantile: float = Field(default=0.1, gt=0, lt=1)
    earlier: tuple[str, ...] = ()
    phase: PhaseDiagram | None = None

    @model_validator(mode="after")
    def _whole(self) -> Grow:
        stages = [k.stage for k in self.targets]
        if len(set(stages)) < len(stages):
            raise ValueError("two targets have one name: give each a `name` of its own")
        for k, flows in enumerate(self.preliminary):
            for name, (low, high) in (("f_ga", self.f_ga), ("f_as", self.f_as)):
                if not low <= getattr(flows, name) <= high:
                    raise FaultAt(f"the flow lies outside {low:g} to {high:g} sccm", "preliminary", k, name)
        return self


class GrowthFile(_Part):
    """A whole growth campaign: first the preliminary layers, then the targets in the order given."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    goal: str = ""
    sample: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    grow: Grow

    def stages(self) -> list[str]:
        """Names of the stages in order."""
        first = [PRELIMINARY] if self.grow.preliminary else []
        return [*first, *(k.stage for k in self.grow.targets)]

    def as_document(self) -> dict[str, Any]:
        """Plain types, quantities with their units, for a start document; `from_document` reads it back."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> GrowthFile:
        """The campaign that `as_document` wrote.

        Raises:
            LabFileError: the document is not of this schema.
        """
        return check(document, cls, "the recorded campaign")
