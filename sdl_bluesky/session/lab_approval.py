"""The part of the lab file about approval: which steps of a campaign run freely, wait for a person, or are forbidden."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from sdl_bluesky.physics.quantity import MilliTorr, Sccm, Seconds, Watts
from sdl_bluesky.plans.policy import Policy, Rule
from sdl_bluesky.session.part import Part

_STAGES = ("check", "deposit", "target", "measure", "preliminary")
_PATTERN = re.compile(rf"^(\*|(learn|grow):\S+|{'|'.join(_STAGES)})$")


class Bounds(Part):
    """Quantities of a step. ``power`` is that of any source."""

    power: Watts | None = None
    pressure: MilliTorr | None = None
    duration: Seconds | None = None
    f_ga: Sccm | None = None
    f_as: Sccm | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if not self.named():
            raise ValueError("name at least one quantity, as in {power: 80 W}")
        return self

    def named(self) -> dict[str, float]:
        """Those that are given, by name."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class RulePart(Part):
    """One rule: what is done with ``steps`` (``learn:cu``, ``learn:*``, ``grow:*``, ``deposit``, ...).

    With ``over`` or ``under`` it holds only for steps that go beyond one of those quantities.
    """

    do: Literal["free", "ask", "forbid"]
    steps: tuple[str, ...] = Field(default=("*",), min_length=1)
    over: Bounds | None = None
    under: Bounds | None = None

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in steps:
            if not _PATTERN.match(pattern):
                raise ValueError(f"{pattern!r} is no step: write learn:SOURCE, grow:TARGET, {', '.join(_STAGES)}, or *")
        return steps

    def rule(self) -> Rule:
        """As plans take it."""
        over, under = ({} if part is None else part.named() for part in (self.over, self.under))
        return Rule(self.do, self.steps, over, under)


class ApprovalPart(Part):
    """The rules in their order; the first that fits counts, and what none fits runs freely.

    A request waits for ``wait``; without an answer the step is not done and the campaign ends, to be resumed.
    """

    rules: tuple[RulePart, ...] = Field(min_length=1)
    wait: Seconds = Field(default=600.0, gt=0)

    def policy(self) -> Policy:
        """As plans take it."""
        return Policy(tuple(rule.rule() for rule in self.rules), self.wait)
