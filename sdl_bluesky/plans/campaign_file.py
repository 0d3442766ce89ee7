"""The campaign file: what a campaign shall learn and make, checked before anything moves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.physics.quantity import MilliTorr, MilliTorrRange, Percent, Seconds, WattRange, Watts


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Learn(_Part):
    """Learn the deposition rate of one source over power and pressure.

    ``power`` and ``pressure`` bound the experiments; ``experiments`` is the budget, initial ones included;
    ``tolerance``
    (percent of the mean rate) stops earlier when the predicted error stays below it.
    """

    power: WattRange = (10.0, 100.0)
    pressure: MilliTorrRange = (4.0, 20.0)
    experiments: int = Field(default=10, ge=1, le=1000)
    tolerance: Percent | None = None
    agent: Literal["balm", "random", "sobol"] = "balm"
    model: str = "power-scaled"
    acquisition: str = "balm"
    initial: str = "corners"


def _not_empty(powers: dict[str, float]) -> dict[str, float]:
    if not powers:
        raise ValueError("name at least one source with its power, as in {cu: 40 W}")
    return powers


class Deposit(_Part):
    """Make one film: the power of each source, one pressure, the time with the substrate shutter open."""

    powers: Annotated[dict[str, Watts], AfterValidator(_not_empty)]
    pressure: MilliTorr
    duration: Seconds = Field(gt=0)


class CampaignFile(_Part):
    """A whole campaign: first every source in ``learn`` in the order given, then ``deposit`` if there is one."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    goal: str = ""
    sample: str = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    sensor: str | None = Field(
        default=None, description="the QCM whose rate is learned; the lab's first one by default"
    )
    learn: dict[str, Learn] = Field(min_length=1)
    deposit: Deposit | None = None

    def stages(self) -> list[str]:
        """Names of the stages in order: ``learn:SOURCE`` ..., ``deposit``."""
        return [f"learn:{source}" for source in self.learn] + (["deposit"] if self.deposit else [])

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
