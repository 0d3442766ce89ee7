"""The campaign file: what a campaign shall learn and make, checked before anything moves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sdl_bluesky.analysis.design.target import Target as Wanted
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.quantity import (
    KilowattHours,
    Millimetres,
    MilliTorr,
    MilliTorrRange,
    Nanometres,
    Percent,
    PercentPerMillimetre,
    Seconds,
    WattRange,
    Watts,
)

CHECKS = 3
"""Co-sputter checks before a film that is designed."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Earlier(_Part):
    """Runs of `measure_rate` that are data from the beginning: those that all the conditions hold for.

    ``campaign`` is a uid, or its beginning. ``scale`` (percent) is the standard deviation of an unknown factor between the
    rates then and now, for a setting that changed; 0: it is the same.
    """

    campaign: str | None = Field(default=None, min_length=1)
    sample: str | None = Field(default=None, min_length=1)
    after: datetime | None = None
    before: datetime | None = None
    scale: Percent = Field(default=0.0, ge=0.0, le=20.0)

    @model_validator(mode="after")
    def _whole(self) -> Earlier:
        if self.campaign is None and self.sample is None and self.after is None and self.before is None:
            raise ValueError(
                "say which runs: name a campaign or a sample, or a time after or before which they were made"
            )
        # a time without a zone is local
        if self.after and self.before and self.after.timestamp() >= self.before.timestamp():
            raise ValueError("after is not earlier than before: no run can be meant")
        return self


class Learn(_Part):
    """Learn the deposition rate of one source over power and pressure.

    ``power`` and ``pressure`` bound the experiments; ``experiments`` is the budget, initial ones included;
    ``tolerance``
    (percent of the mean rate) stops earlier when the predicted error stays below it. ``extinction`` is a pressure below
    which no experiment is done, or ``learn``: then the bounds may reach to where the plasma goes out, and the boundary
    is learned. ``target_life`` is the energy that the target may have had at the end. ``earlier`` are runs that were made
    before, by a campaign or by hand, and are learned from, too.
    """

    power: WattRange = (10.0, 100.0)
    pressure: MilliTorrRange = (4.0, 20.0)
    experiments: int = Field(default=10, ge=1, le=1000)
    tolerance: Percent | None = None
    agent: Literal["balm", "random", "sobol"] = "balm"
    model: str = "power-scaled"
    acquisition: str = "balm"
    initial: str = "ends"
    extinction: Literal["learn"] | MilliTorr | None = None
    target_life: KilowattHours | None = Field(default=None, gt=0)
    earlier: tuple[Earlier, ...] = ()


def _not_empty(powers: dict[str, float]) -> dict[str, float]:
    if not powers:
        raise ValueError("name at least one source with its power, as in {cu: 40 W}")
    return powers


class Deposit(_Part):
    """Make one film: the power of each source, one pressure, the time with the substrate shutter open."""

    powers: Annotated[dict[str, Watts], AfterValidator(_not_empty)]
    pressure: MilliTorr
    duration: Seconds = Field(gt=0)


Place = tuple[Millimetres, Millimetres]


class Target(_Part):
    """Make films until one is likely to have the wanted composition.

    ``composition`` (atomic percent, by element) is wanted ``at`` a place of the wafer; with ``gradient`` it changes
    linearly from there, and is wanted at all ``points``. Powers, and the pressure unless it is given, are designed. A
    film is deposited for ``duration``, or until it should have the ``thickness``. Another one is made, at most
    ``depositions`` in all, as long as none is in tolerance with a probability of ``confidence``.
    """

    composition: dict[str, Percent] = Field(min_length=1)
    at: Place = (0.0, 0.0)
    gradient: dict[str, tuple[PercentPerMillimetre, PercentPerMillimetre]] = Field(default_factory=dict)
    points: tuple[Place, ...] = ()
    tolerance: Percent = 1.0
    sources: tuple[str, ...] = ()
    pressure: MilliTorr | None = None
    duration: Seconds | None = Field(default=None, gt=0)
    thickness: Nanometres | None = Field(default=None, gt=0)
    depositions: int = Field(default=2, ge=1, le=20)
    confidence: Percent = Field(default=90.0, gt=0.0, lt=100.0)
    measure: Literal["rbs"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Target:
        if (self.duration is None) == (self.thickness is None):
            raise ValueError("give either duration or thickness")
        if self.points and not self.gradient:
            raise ValueError("points belong to a gradient; without one the composition is wanted at one place, 'at'")
        try:
            self.wanted()
        except UnknownName as fault:  # for pydantic, a fault of a file is a ValueError
            raise ValueError(str(fault)) from fault
        return self

    def wanted(self) -> Wanted:
        """The target in atomic fractions.

        Raises:
            OutOfRange: the fractions are no parts of one, somewhere. UnknownName: there is no such element.
        """
        composition = {k: v / 100.0 for k, v in self.composition.items()}
        tolerance = self.tolerance / 100.0
        if not self.gradient:
            return Wanted.at(composition, tolerance, self.at)
        slope = {k: (x / 100.0, y / 100.0) for k, (x, y) in self.gradient.items()}
        more = {"points_mm": self.points} if self.points else {}
        return Wanted.gradient(composition, slope, tolerance, at_mm=self.at, **more)


class CampaignFile(_Part):
    """A whole campaign: first every source in ``learn`` in the order given; then ``deposit`` or ``target``, if there is one.

    Before the film, ``checks`` co-sputter runs without it tell whether the sources' rates add up.
    """

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    goal: str = ""
    sample: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    sensor: str | None = Field(
        default=None, description="the QCM whose rate is learned; the lab's first one by default"
    )
    learn: dict[str, Learn] = Field(min_length=1)
    checks: int | None = Field(default=None, ge=0, le=20)
    deposit: Deposit | None = None
    target: Target | None = None

    @model_validator(mode="after")
    def _one_film(self) -> CampaignFile:
        if self.deposit is not None and self.target is not None:
            raise ValueError("deposit makes a film as it says and target designs one: give one of them")
        if self.checks and self.deposit is None and self.target is None:
            raise ValueError("checks come before a film: give deposit or target too")
        return self

    @property
    def film_sources(self) -> list[str]:
        """Sources from which the film is made; of a target that names none, all that were learned."""
        if self.deposit is not None:
            return list(self.deposit.powers)
        return [] if self.target is None else list(self.target.sources or self.learn)

    @property
    def check_count(self) -> int:
        """Checks to be done: as the file says; else three before a film of several sources that is designed."""
        if self.checks is not None:
            return self.checks
        return CHECKS if self.target is not None and len(self.film_sources) > 1 else 0

    @property
    def wants_earlier(self) -> bool:
        """Whether it learns from earlier runs, too."""
        return any(learn.earlier for learn in self.learn.values())

    def without_earlier(self) -> CampaignFile:
        """The same campaign, with its own experiments alone."""
        learn = {name: one.model_copy(update={"earlier": ()}) for name, one in self.learn.items()}
        return self.model_copy(update={"learn": learn})

    def stages(self) -> list[str]:
        """Names of the stages in order: ``learn:SOURCE`` ..., ``check``, ``deposit`` or ``target``."""
        film = ["deposit"] if self.deposit else ["target"] if self.target else []
        return [f"learn:{source}" for source in self.learn] + (["check"] if self.check_count else []) + film

    def as_document(self) -> dict[str, Any]:
        """Plain types, quantities with their units, for a start document; `from_document` reads it back."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> CampaignFile:
        """The campaign that `as_document` wrote.

        Raises:
            LabFileError: the document is not of this schema.
        """
        return check(document, cls, "the recorded campaign")
