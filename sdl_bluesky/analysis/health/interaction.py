"""How burning neighbours change the rate of a source: a pairwise term, in forms that the data choose between.

rate_i = rate_i alone x (1 + e_i),   e_i = sum over neighbours j of c_ij load_ij + rest

    constant   load = 1 while j burns
    root       load = square root of the power of j over its mean
    power      load = power of j over its mean
    voltage    load = -(change of ln V of i) x share of j in the neighbours' power
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.errors import OutOfRange, UnknownName
from sdl_bluesky.physics.geometry import Array

CONSTANT, ROOT, POWER, VOLTAGE = "constant", "root", "power", "voltage"
BY_POWER = {CONSTANT: 0.0, ROOT: 0.5, POWER: 1.0}
"""Exponent of the neighbour's power in the forms that depend on it alone."""


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of interacting plasmas before any data: of magnetrons in general.

    Attributes:
        interaction_std: relative change of a rate by a neighbour, standard deviation, where there is an interaction.
        tolerated_std: the same where there is none to speak of; a film's map allows for more than that.
        together: correlation of the changes of different pairs: what acts on one plasma mostly acts on its neighbour.
        rate_per_voltage: mean and standard deviation of -(change of ln rate) / (change of ln V). At constant power
            I = P/V and the yield goes as sqrt(V), which gives 1/2; confinement and gas heating may change it.
        rest: standard deviation of what no form explains, for each source and shot, over that of the interaction.
        voltage_std: relative change of a voltage by a neighbour, standard deviation, where there is one.
        false_alarm: largest part of additive pairs that may be called interacting, over all looks together.
        looks: number of looks, one after each shot, over which the false alarms are counted.
        prior_probability: of an interaction, before the shots.
    """

    interaction_std: float = 0.05
    tolerated_std: float = 0.005
    together: float = 0.5
    rate_per_voltage: tuple[float, float] = (0.5, 0.75)
    rest: float = 0.2
    voltage_std: float = 0.03
    false_alarm: float = 0.05
    looks: int = 4
    prior_probability: float = 0.5

    def __post_init__(self) -> None:
        if not (
            self.interaction_std > self.tolerated_std > 0 and self.voltage_std > 0 and self.rate_per_voltage[1] > 0
        ):
            raise OutOfRange("the standard deviations must be positive, that of an interaction above the tolerated one")
        if self.looks < 1 or not self.rest >= 0:
            raise OutOfRange("looks: one or more; rest: 0 or more")
        if not (0 < self.false_alarm < 1 and 0 < self.prior_probability < 1 and 0 <= self.together < 1):
            raise OutOfRange("false_alarm and prior_probability lie between 0 and 1, together from 0 to below 1")

    def prior(self, form: str, pairs: int) -> tuple[Array, Array]:
        """Mean [c] and covariance [c, c] of the coefficients of a form."""
        mean, std = self.rate_per_voltage if form == VOLTAGE else (0.0, self.interaction_std)
        return np.full(pairs, mean), std**2 * self.shape(pairs)

    def shape(self, pairs: int) -> Array:
        """Correlation between the coefficients of the pairs [c, c]."""
        return np.full((pairs, pairs), self.together) + (1.0 - self.together) * np.eye(pairs)


def pairs_of(sources: int) -> list[tuple[int, int]]:
    """(source that is changed, neighbour that changes it) of every ordered pair."""
    return [(i, j) for i in range(sources) for j in range(sources) if i != j]


def loads(form: str, powers_W: Array, usual_W: Array, voltage_change: Array | None = None) -> Array:
    """What each pair's coefficient is multiplied with.

    Args:
        form: "constant", "root", "power" or "voltage".
        powers_W: [m, s]; 0 for a source that is off.
        usual_W: mean power of each source while it burns [s].
        voltage_change: ln V less ln V alone [m, s]; for "voltage".

    Returns:
        [m, s, c]: change of each source per coefficient.
    """
    m, s = powers_W.shape
    pairs = pairs_of(s)
    out = np.zeros((m, s, len(pairs)))
    total = powers_W.sum(axis=1)
    for c, (i, j) in enumerate(pairs):
        both = (powers_W[:, i] > 0) & (powers_W[:, j] > 0)
        if form in BY_POWER:
            load = (powers_W[:, j] / usual_W[j]) ** BY_POWER[form]
        elif form == VOLTAGE and voltage_change is not None:
            others = np.maximum(total - powers_W[:, i], 1e-12)
            load = -voltage_change[:, i] * powers_W[:, j] / others
        else:
            raise UnknownName("form of an interaction", form, [*BY_POWER, VOLTAGE])
        out[:, i, c] = np.where(both, load, 0.0)
    return out


@dataclass(frozen=True)
class FormFit:
    """One form with its share of the evidence and the coefficients [c] of the pairs, with their covariance [c, c]."""

    form: str
    weight: float
    mean: Array
    cov: Array


def changes_of(fits: Sequence[FormFit], by_form: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean [m, s] and covariance [m, s, s] of the changes over all forms, from the loads [m, s, c] of each."""
    means = np.stack([by_form[k.form] @ k.mean for k in fits])
    weight = np.array([k.weight for k in fits])
    mean = np.einsum("f,fms->ms", weight, means)
    cov = np.zeros((*mean.shape, mean.shape[1]))
    for k, one in zip(fits, means, strict=True):
        load = by_form[k.form]
        cov += k.weight * (
            np.einsum("mac,cd,mbd->mab", load, k.cov, load) + np.einsum("ma,mb->mab", one - mean, one - mean)
        )
    return mean, cov


@dataclass(frozen=True)
class Interaction:
    """What was learned of the neighbours' influence; made by `additivity.assess` where the rates ask for it.

    Attributes:
        sources: their names [s].
        rates: forms of the change of the rates.
        voltages: forms of the change of ln V; () where no voltages were read.
        usual_W: mean power of each source in the shots [s].
        rest_std: standard deviation of what no form explains.
    """

    sources: tuple[str, ...]
    rates: tuple[FormFit, ...]
    voltages: tuple[FormFit, ...]
    usual_W: Array
    rest_std: float = 0.0

    def changes(
        self, powers_W: Mapping[str, float], voltage_change: Mapping[str, float] | None = None
    ) -> tuple[Array, Array]:
        """Relative change of each source's rate [s] and its covariance [s, s], in the order of `sources`.

        Args:
            powers_W: of each source; a source left out is off.
            voltage_change: ln V less ln V alone, as measured; None: as it was learned.

        Raises:
            UnknownName: a burning source was not in the shots. OutOfRange: a power is no power.
        """
        foreign = [k for k, power in powers_W.items() if k not in self.sources and power > 0]
        if foreign:
            raise UnknownName("source of this interaction", foreign[0], list(self.sources))
        powers = np.array([[float(powers_W.get(k, 0.0)) for k in self.sources]])
        if not np.all(np.isfinite(powers)) or np.any(powers < 0):
            raise OutOfRange(f"powers {dict(powers_W)}: give finite numbers of W, 0 for a source that is off")
        by_form = {k: loads(k, powers, self.usual_W) for k in BY_POWER}
        if any(k.form == VOLTAGE for k in self.rates):
            if voltage_change is not None:
                volts = np.array([[float(voltage_change.get(k, 0.0)) for k in self.sources]])
            else:
                volts = changes_of(self.voltages, by_form)[0]
            by_form[VOLTAGE] = loads(VOLTAGE, powers, self.usual_W, volts)
        mean, cov = changes_of(self.rates, by_form)
        beside = (powers[0] > 0) & (np.sum(powers > 0) > 1)
        return mean[0], cov[0] + self.rest_std**2 * np.diag(beside.astype(float))

    def correct(
        self,
        mean: ArrayLike,
        cov: ArrayLike,
        powers_W: Mapping[str, float],
        voltage_change: Mapping[str, float] | None = None,
    ) -> tuple[Array, Array]:
        """Rates alone -> rates beside the burning neighbours; first order.

        Args:
            mean: rates alone [s, q], in the order of `sources`.
            cov: their covariance [s, q, q]; errors of different sources are independent.
            powers_W, voltage_change: see `changes`.

        Returns:
            Rates [s, q] and their joint covariance [s * q, s * q]: an interaction acts on several sources at once.

        Raises:
            UnknownName, OutOfRange: see `changes`; or shapes differ.
        """
        mean, cov = np.asarray(mean, dtype=float), np.asarray(cov, dtype=float)
        s = len(self.sources)
        if mean.ndim != 2 or len(mean) != s or cov.shape != (s, mean.shape[1], mean.shape[1]):
            raise OutOfRange(f"rates {mean.shape} and covariance {cov.shape} do not belong to {s} sources")
        change, spread = self.changes(powers_W, voltage_change)
        q = mean.shape[1]
        full = np.einsum("iq,jr,ij->iqjr", mean, mean, spread)
        for i in range(s):
            full[i, :, i, :] += (1.0 + change[i]) ** 2 * cov[i]
        return mean * (1.0 + change)[:, None], full.reshape(s * q, s * q)

    def as_document(self) -> dict[str, object]:
        """Plain types, for metadata."""
        names = [[self.sources[i], self.sources[j]] for i, j in pairs_of(len(self.sources))]
        forms = [
            {
                "form": k.form,
                "weight": k.weight,
                "coefficients": k.mean.tolist(),
                "std": np.sqrt(np.diag(k.cov)).tolist(),
            }
            for k in self.rates
        ]
        return {"sources": list(self.sources), "pairs": names, "forms": forms, "usual_W": self.usual_W.tolist()}
