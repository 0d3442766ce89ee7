"""Do the rates of co-sputtering sources add up? Checks before production, and a term for their interaction if not.

    checks = choose_checks(surfaces, {"cu": (20, 100), "sn": (20, 60)}, (5, 15))    three settings to co-sputter at
    found = assess([Shot.of(experiment), ...], surfaces, voltages=voltages)         after each of them
    found.found, found.kind, found.pairs, found.findings
    found.interaction                                                               None unless the rates ask for it

The total of a shot at sensor q is compared with the sum of the learned single-source rates, T_q = sum_s r_sq (1 + e_s) +
noise. The errors of the surfaces are taken with their covariance between shots and sensors, the scatter of a reading as
each surface learned it; the sensors' calibration is in both and cancels. Two hypotheses are weighed by their evidence: no
interaction (e below `tolerated_std`), and the mean over the forms of `interaction.loads`. The ratio counts as found where
its probability without an interaction is below false_alarm / looks, at any of `looks` looks: so additive sources are
called interacting with a probability of at most `false_alarm`, as far as the surfaces' stated errors hold. The voltages are
weighed in the same way and by themselves: a neighbour may change the rate, the voltage, or both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sdl_bluesky.analysis.health.checks import CHECKS, Check, Shot, choose_checks, common_sensors, sums_alone
from sdl_bluesky.analysis.health.evidence import Hypotheses
from sdl_bluesky.analysis.health.interaction import (
    BY_POWER,
    CONSTANT,
    VOLTAGE,
    Assumptions,
    FormFit,
    Interaction,
    changes_of,
    loads,
    pairs_of,
)
from sdl_bluesky.analysis.health.voltage import VoltageModel
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import OutOfRange, UnknownName, WeakSignal
from sdl_bluesky.physics.geometry import Array

__all__ = [
    "CHECKS",
    "Assessment",
    "Assumptions",
    "Check",
    "Interaction",
    "PairEffect",
    "Shot",
    "assess",
    "choose_checks",
]

_MISFIT = 0.01


@dataclass(frozen=True)
class PairEffect:
    """Relative change of the rate of `source` by `neighbour`, mean over the shots, and its standard error."""

    source: str
    neighbour: str
    change: float
    std: float


@dataclass(frozen=True)
class Assessment:
    """What the shots say.

    Attributes:
        kind: "none", "rate", "voltage" or "rate and voltage": what a neighbour is seen to change.
        found: the rates do not add up, by an interaction.
        found_at: number of the shot, from 1, at which that was first so; None if never.
        probability: of an interaction in the rates.
        log_bayes_factor: ln of the evidence for an interaction over that for none in the rates, after each shot.
        p_value: probability of a factor as large as that without an interaction, after each shot.
        voltage_p_value: the same for the voltages; () where they were not read.
        pairs: effect of each neighbour.
        voltage_change: of ln V of each source, mean over the shots: value and standard error.
        misfit_probability: of a misfit as large as this one if the better hypothesis holds.
        interaction: to correct predictions with; None unless `found`.
        findings: what a person should look at.
    """

    kind: str
    found: bool
    found_at: int | None
    probability: float
    log_bayes_factor: tuple[float, ...]
    p_value: tuple[float, ...]
    voltage_p_value: tuple[float, ...]
    pairs: tuple[PairEffect, ...]
    voltage_change: Mapping[str, tuple[float, float]]
    misfit_probability: float
    interaction: Interaction | None
    findings: tuple[str, ...] = ()

    def as_document(self) -> dict[str, object]:
        """Plain types, for metadata."""
        return {
            "kind": self.kind,
            "found": self.found,
            "probability": self.probability,
            "log_bayes_factor": list(self.log_bayes_factor),
            "p_value": list(self.p_value),
            "voltage_p_value": list(self.voltage_p_value),
            "pairs": [vars(k) for k in self.pairs],
            "voltage_change": {k: list(v) for k, v in self.voltage_change.items()},
            "misfit_probability": self.misfit_probability,
            "interaction": None if self.interaction is None else self.interaction.as_document(),
            "findings": list(self.findings),
        }


def assess(
    shots: Sequence[Shot],
    surfaces: Mapping[str, SourceSurface],
    *,
    voltages: Mapping[str, VoltageModel] | None = None,
    assumptions: Assumptions | None = None,
) -> Assessment:
    """Whether the sources interact, and how much. Call it after every shot with all shots so far, in order.

    Args:
        shots: co-sputter runs, each of two or more sources.
        surfaces: what was learned of each source alone.
        voltages: voltage of each source alone (`voltage.fit_voltage`); without them the rates alone are judged.
        assumptions: see `Assumptions`.

    Raises:
        OutOfRange: no shots, fewer than two sources, or a number is not finite or positive.
        UnknownName: a source that burned was not learned.
        WeakSignal: no shot has a total rate at a sensor that the surfaces know.
    """
    given = assumptions or Assumptions()
    if not shots:
        raise OutOfRange("no co-sputter shots: there is nothing to assess")
    names = list(dict.fromkeys(k for shot in shots for k, power in shot.powers_W.items() if power > 0))
    for name in names:
        if name not in surfaces:
            raise UnknownName("learned source", name, list(surfaces))
    powers = np.array([[float(shot.powers_W.get(k, 0.0)) for k in names] for shot in shots])
    pressure = np.array([shot.pressure_mTorr for shot in shots], dtype=float)
    if np.any((powers > 0).sum(axis=1) < 2):
        raise OutOfRange("a shot has fewer than two burning sources: nothing can interact in it")
    if not np.all(np.isfinite(powers)) or np.any(powers < 0) or not np.all(np.isfinite(pressure) & (pressure > 0)):
        raise OutOfRange("a power or pressure of a shot is not a finite, positive number")
    usual = np.array([p[p > 0].mean() for p in powers.T])
    volts = _voltages(shots, names, powers, pressure, voltages or {}, usual, given)
    by_form = {k: loads(k, powers, usual) for k in BY_POWER}
    if volts is not None:
        by_form[VOLTAGE] = loads(VOLTAGE, powers, usual, volts.change)
    rates = _totals(shots, names, surfaces, powers, pressure, volts, by_form, given)
    alarm = given.false_alarm / given.looks
    looks = [rates.weigh(k + 1) for k in range(len(shots))]
    found_at = next((k + 1 for k, look in enumerate(looks) if look.p_value <= alarm), None)
    found = looks[-1].p_value <= alarm
    volt_looks = [volts.hypotheses.weigh(k + 1) for k in range(len(shots))] if volts is not None else []
    changed = bool(volt_looks) and volt_looks[-1].p_value <= alarm
    kind = " and ".join([k for k, so in (("rate", found), ("voltage", changed)) if so]) or "none"
    last = looks[-1]
    mean, cov = _pair_effects(last.fits, by_form)
    pairs = tuple(
        PairEffect(names[i], names[j], float(mean[c]), float(np.sqrt(cov[c])))
        for c, (i, j) in enumerate(pairs_of(len(names)))
    )
    odds = np.log(given.prior_probability / (1 - given.prior_probability))
    misfit = last.misfit[1] if found else last.misfit[0]
    shown = {} if volts is None else volts.shown
    seen = volt_looks[-1].fits if volt_looks else ()
    rest = given.rest * given.interaction_std
    interaction = Interaction(tuple(names), last.fits, seen, usual, rest) if found else None
    return Assessment(
        kind=kind,
        found=found,
        found_at=found_at,
        probability=float(expit(last.log_bayes_factor + odds)),
        log_bayes_factor=tuple(k.log_bayes_factor for k in looks),
        p_value=tuple(k.p_value for k in looks),
        voltage_p_value=tuple(k.p_value for k in volt_looks),
        pairs=pairs,
        voltage_change=shown,
        misfit_probability=misfit,
        interaction=interaction,
        findings=_findings(found, changed, pairs, shown, misfit, len(shots)),
    )


@dataclass(frozen=True)
class _Volts:
    hypotheses: Hypotheses
    change: Array
    std: Array
    shown: Mapping[str, tuple[float, float]]


def _totals(
    shots: Sequence[Shot],
    names: Sequence[str],
    surfaces: Mapping[str, SourceSurface],
    powers: Array,
    pressure: Array,
    volts: _Volts | None,
    by_form: Mapping[str, Array],
    given: Assumptions,
) -> Hypotheses:
    """The totals less the sums of the rates alone, and what an interaction would do to them."""
    sensors = common_sensors(surfaces, names)
    rates, cov = sums_alone(surfaces, names, sensors, powers, pressure)
    measured, std = np.full((len(shots), len(sensors)), np.nan), np.full((len(shots), len(sensors)), np.nan)
    for k, shot in enumerate(shots):
        if len(shot.rate) != len(shot.sensors) or len(shot.std) != len(shot.sensors):
            raise OutOfRange(f"shot {k + 1}: {len(shot.rate)} rates do not belong to {len(shot.sensors)} sensors")
        for c, sensor in enumerate(sensors):
            if sensor in shot.sensors:
                at = shot.sensors.index(sensor)
                measured[k, c], std[k, c] = shot.rate[at], shot.std[at]
    use = np.flatnonzero((np.isfinite(measured) & np.isfinite(std) & (std >= 0)).ravel())
    if not use.size:
        raise WeakSignal("no shot has a total rate at a sensor that the surfaces know")
    noise = cov + np.diag(np.nan_to_num(std.ravel()) ** 2)
    pairs = len(pairs_of(len(names)))

    def spread(load: Array) -> Array:
        return np.einsum("msq,msc->mqc", rates, load).reshape(rates.shape[0] * rates.shape[2], -1)[use]

    def blurred(std: Array) -> Array:
        """What independent changes of each source in each shot [m, s] add to the covariance of the totals."""
        m, _, q = rates.shape
        out = np.zeros((m, q, m, q))
        each = np.einsum("msq,msr,ms->mqr", rates, rates, std**2)
        out[np.arange(m), :, np.arange(m), :] = each
        return out.reshape(m * q, m * q)[np.ix_(use, use)]

    rest = blurred(np.full(powers.shape, given.rest * given.interaction_std))
    extra = dict.fromkeys(by_form, rest)
    if volts is not None:  # the voltage is read with an error: it acts on the rate as the voltage does
        scale = float(np.hypot(*given.rate_per_voltage))
        extra[VOLTAGE] = rest + blurred(scale * volts.std)
    tolerated = spread(by_form[CONSTANT])
    return Hypotheses(
        y=(measured - rates.sum(axis=1)).ravel()[use],
        shot=np.repeat(np.arange(len(shots)), len(sensors))[use],
        noise=noise[np.ix_(use, use)] + given.tolerated_std**2 * tolerated @ given.shape(pairs) @ tolerated.T,
        designs={k: spread(load) for k, load in by_form.items()},
        priors={k: given.prior(k, pairs) for k in by_form},
        extra=extra,
    )


def _voltages(
    shots: Sequence[Shot],
    names: Sequence[str],
    powers: Array,
    pressure: Array,
    models: Mapping[str, VoltageModel],
    usual: Array,
    given: Assumptions,
) -> _Volts | None:
    """Change of each voltage against that of the source alone; None unless all were read."""
    m, s = powers.shape
    change, cov = np.zeros((m, s)), np.zeros((m, s, m, s))
    for i, name in enumerate(names):
        burns, at = np.flatnonzero(powers[:, i] > 0), np.array([i])
        read = np.array([shots[int(k)].voltage_V.get(name, np.nan) for k in burns], dtype=float)
        if name not in models or not np.all(np.isfinite(read)) or np.any(read <= 0):
            return None
        alone, joint = models[name].predict(np.stack([powers[burns, i], pressure[burns]], axis=1))
        change[burns, i] = np.log(read) - alone
        cov[np.ix_(burns, at, burns, at)] = (joint + models[name].scatter ** 2 * np.eye(len(burns)))[:, None, :, None]
    use = np.flatnonzero((powers > 0).ravel())
    by_form = {k: loads(k, powers, usual) for k in BY_POWER}
    full = cov.reshape(m * s, m * s)
    pairs = len(pairs_of(s))
    flat = {k: load.reshape(m * s, -1)[use] for k, load in by_form.items()}
    hypotheses = Hypotheses(
        y=change.ravel()[use],
        shot=np.repeat(np.arange(m), s)[use],
        noise=full[np.ix_(use, use)] + given.tolerated_std**2 * flat[CONSTANT] @ given.shape(pairs) @ flat[CONSTANT].T,
        designs=flat,
        priors={k: (np.zeros(pairs), given.voltage_std**2 * given.shape(pairs)) for k in by_form},
        extra=dict.fromkeys(by_form, (given.rest * given.voltage_std) ** 2 * np.eye(use.size)),
    )
    std = np.sqrt(np.diag(full)).reshape(m, s)
    shown: dict[str, tuple[float, float]] = {}
    for i, name in enumerate(names):
        burns = powers[:, i] > 0
        shown[name] = float(change[burns, i].mean()), float(np.sqrt(cov[burns][:, i][:, burns][:, :, i].mean()))
    return _Volts(hypotheses, change, std, shown)


def _pair_effects(fits: Sequence[FormFit], by_form: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean over the shots [c] and variance [c] of the change that each pair makes."""
    usual = {}
    for k, load in by_form.items():
        burning = np.maximum((load != 0).any(axis=1).sum(axis=0), 1)
        usual[k] = np.diag(load.sum(axis=(0, 1)) / burning)[None]
    mean, cov = changes_of(fits, usual)
    return mean[0], np.diag(cov[0])


def _findings(
    found: bool,
    changed: bool,
    pairs: Sequence[PairEffect],
    volts: Mapping[str, tuple[float, float]],
    misfit: float,
    shots: int,
) -> tuple[str, ...]:
    said: list[str] = []
    rates = ", ".join(f"{k.source} by {k.neighbour} {100 * k.change:+.1f} +- {100 * k.std:.1f} %" for k in pairs)
    seen = ", ".join(f"{k} {100 * v:+.1f} +- {100 * e:.1f} %" for k, (v, e) in volts.items())
    if found:
        beside = f"; the voltages change with it ({seen})" if changed else ("; the voltages do not" if volts else "")
        said.append(f"plasmas interact: after {shots} shot(s) the rates change ({rates}){beside}")
    elif changed:
        said.append(f"the voltages change beside burning neighbours ({seen}), the rates add up all the same ({rates})")
    if misfit < _MISFIT:
        said.append(
            f"the totals scatter more than surfaces and {'interaction' if found else 'noise'} explain (p = {misfit:.1g}): "
            "a target that wore since it was learned, or a drifting sensor"
        )
    return tuple(said)
