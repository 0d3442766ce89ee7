"""What a campaign takes, as a range; and the same as plain types for documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNITS = {
    "experiments": "",
    "films": "",
    "substrates": "",
    "wafers": "",
    "process_time": "h",
    "between": "h",
    "energy": "kWh",
    "crystal_life": "%",
    "argon": "l",
    "argon_between": "l",
    "rbs_time": "h",
    "rbs_charge": "uC",
    "flow": "l",
}
"""Unit of each quantity; l are litres at 0 degC and 1 atm (1000 standard cubic centimetres)."""
WORDS = {
    "experiments": "experiments",
    "films": "films",
    "substrates": "substrates",
    "wafers": "wafers",
    "process_time": "process time in experiments",
    "between": "process time between experiments",
    "energy": "energy on the target of",
    "crystal_life": "crystal life of",
    "argon": "argon in experiments",
    "argon_between": "argon between experiments",
    "rbs_time": "RBS live time",
    "rbs_charge": "RBS charge",
    "flow": "precursor line",
}


@dataclass(frozen=True)
class Amount:
    """A number to expect, and between which bounds."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Amount:
        """A number that is known."""
        return cls(value, value, value)

    def times(self, low: float, expected: float, high: float) -> Amount:
        """Scaled, the bounds by other factors."""
        return Amount(self.low * low, self.expected * expected, self.high * high)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def holds(self, value: float, slack: float = 0.0) -> bool:
        """Whether a value lies between the bounds, a relative slack allowed."""
        return self.low * (1 - slack) <= value <= self.high * (1 + slack)


NOTHING = Amount.exactly(0.0)


@dataclass(frozen=True)
class Estimate:
    """What a campaign takes.

    Attributes:
        amounts: by name: those of `UNITS`; of energy, crystal life and flow with the name of source, sensor or line behind
            a colon.
        basis: where the numbers come from.
        warnings: what runs out, or what a person should decide before.
    """

    amounts: Mapping[str, Amount]
    basis: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """Plain types, for metadata: key `estimate` of a campaign's start document."""
        return {
            "amounts": {k: [v.low, v.expected, v.high] for k, v in self.amounts.items()},
            "basis": list(self.basis),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Estimate:
        """What `as_document` wrote."""
        amounts = {k: Amount(*map(float, v)) for k, v in document["amounts"].items()}
        return cls(amounts, tuple(document["basis"]), tuple(document["warnings"]))


@dataclass
class Sum:
    """Adds amounts up by name."""

    amounts: dict[str, Amount] = field(default_factory=dict)

    def add(self, name: str, amount: Amount) -> None:
        """One more."""
        self.amounts[name] = self.amounts.get(name, NOTHING) + amount


def words_of(name: str) -> str:
    """A quantity in words."""
    kind, _, whose = name.partition(":")
    return f"{WORDS[kind]} {whose}".strip()


def unit_of(name: str) -> str:
    """Its unit."""
    return UNITS[name.partition(":")[0]]


def figures(value: float) -> str:
    """Three digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
