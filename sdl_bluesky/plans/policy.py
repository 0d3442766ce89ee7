"""The lab's rules of approval: which steps of a campaign run freely, wait for a person, or are never done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Do = Literal["free", "ask", "forbid"]
_NO_POWER = ("pressure", "duration", "f_ga", "f_as", "film_step", "points")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        do: "free", "ask" or "forbid".
        steps: patterns of stages, such as ``learn:*``.
        over, under: quantities ("power", of any source, or an input by its name) beyond which it holds; all steps if empty.
    """

    do: Do
    steps: tuple[str, ...] = ("*",)
    over: Mapping[str, float] = field(default_factory=dict)
    under: Mapping[str, float] = field(default_factory=dict)

    def fits(self, stage: str, inputs: Mapping[str, float]) -> bool:
        """Whether it speaks of a step."""
        if not any(fnmatchcase(stage, pattern) for pattern in self.steps):
            return False
        if not self.over and not self.under:
            return True
        high = any(value > limit for name, limit in self.over.items() for value in _values(name, inputs))
        return high or any(value < limit for name, limit in self.under.items() for value in _values(name, inputs))

    def __str__(self) -> str:
        said = [f"{self.do} {', '.join(self.steps)}"]
        said += [f"{name} over {value:g}" for name, value in self.over.items()]
        said += [f"{name} under {value:g}" for name, value in self.under.items()]
        return "; ".join(said)


@dataclass(frozen=True)
class Policy:
    """The rules in their order: the first that fits a step counts; a step that none fits runs freely.

    Attributes:
        wait_s: how long a request waits for an answer.
    """

    rules: tuple[Rule, ...] = ()
    wait_s: float = 600.0

    def rule_for(self, stage: str, inputs: Mapping[str, float]) -> Rule | None:
        """The rule that counts for a step."""
        return next((rule for rule in self.rules if rule.fits(stage, inputs)), None)


def _values(name: str, inputs: Mapping[str, float]) -> list[float]:
    if name == "power":
        return [value for key, value in inputs.items() if key not in _NO_POWER]
    return [inputs[name]] if name in inputs else []
