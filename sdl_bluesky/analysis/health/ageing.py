"""The rate surface of a source grows old with its target; runs made later bring it up to date.

    model = AgedModel.learn("cu", surface, experiments, chamber.power_W, chamber.pressure_mTorr)
    now = TargetState.of(last_experiment, "cu")
    model.expired(0.03, now)                    (True, "predicted error 9.1 % of the rate is above 3.0 %, ...")
    model.cheapest_anchors(0.03, now)           re-anchor runs, for measure_rate
    model = model.observe(those_experiments)
    model.at(now)                               a surface of today, used as any `SourceSurface`

Level and shares age by themselves (`inference.ageing`): wear changes the rate at all sensors alike, and a little the
emission pattern. Another target, or an energy counter that went back, ends the model with `TargetChanged`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.analysis.runs import Experiment
from sdl_bluesky.analysis.surface import SourceSurface
from sdl_bluesky.errors import CatalogueError, TargetChanged, WeakSignal
from sdl_bluesky.inference.ageing import AgedRate, AgeingPrior, Anchor, Request
from sdl_bluesky.inference.posterior import Posterior
from sdl_bluesky.physics.geometry import Array

SHARES = AgeingPrior(trend_per_kWh=0.02, walk_per_root_kWh=0.005, tilt=0.1, gauge_per_root_day=0.0)
"""How fast shares change: n moves by a tenth or so per kWh, and sensors see a source at angles whose ln cos differ by .2."""
SLOPE_STD = 0.005
"""Relative standard error of the slopes of a re-anchor run, before it is made."""
SECONDS_PER_DAY = 86400.0
_BACK_KWH = 1e-4  # rounding of a counter


@dataclass(frozen=True)
class TargetState:
    """Which target, and how worn.

    Attributes:
        element: as the machine says.
        number: how many targets the source has had, where the machine counts them.
        energy_kWh: on this target since it was new.
        process_s: process time; it may start again with the machine.
        wall_s: wall time.
        uid: of the run that saw it.
    """

    element: str
    number: int | None
    energy_kWh: float
    process_s: float
    wall_s: float
    uid: str = ""

    @classmethod
    def of(cls, experiment: Experiment, source: str) -> TargetState:
        """As a run saw it.

        Raises:
            CatalogueError: the run does not say how much energy the target has had.
        """
        row, start = experiment.result, experiment.start
        energy = float(row.get(f"{source}_energy", np.nan))
        if not np.isfinite(energy):
            raise CatalogueError(
                f"run {experiment.uid} has no column {source}_energy: the age of its target is unknown"
            )
        number = row.get(f"{source}_target_number")
        wall = float(start.get("time", 0.0))
        return cls(
            element=str(row.get(f"{source}_target", experiment.chamber.elements[source])),
            number=None if number is None or not np.isfinite(float(number)) else int(number),
            energy_kWh=energy,
            process_s=float(row.get("window_to_s", wall)),
            wall_s=wall,
            uid=experiment.uid,
        )


def check_target(source: str, learned: TargetState, now: TargetState) -> None:
    """Refuse a model whose target is gone.

    Raises:
        TargetChanged: element or number differ, or the energy counter went back.
    """
    then = f"target {learned.number or ''}".strip() + f" of {learned.element} at {learned.energy_kWh:.4g} kWh"
    seen = f"target {now.number or ''}".strip() + f" of {now.element} at {now.energy_kWh:.4g} kWh"
    renumbered = learned.number is not None and now.number is not None and learned.number != now.number
    if learned.element != now.element or renumbered:
        raise TargetChanged(f"{source} was learned with {then} and now has {seen}: another target; learn it again")
    if now.energy_kWh < learned.energy_kWh - _BACK_KWH:
        raise TargetChanged(
            f"{source} was learned with {then}, its counter now says {seen}: a new target? learn it again"
        )


@dataclass(frozen=True)
class AgedSurface(SourceSurface):
    """A rate surface of today: made by `AgedModel.at`.

    Attributes:
        aged_level, aged_shares: see `AgedModel`.
        energy_kWh, days: age.
    """

    aged_level: AgedRate | None = None
    aged_shares: tuple[AgedRate, ...] = ()
    energy_kWh: float = 0.0
    days: float = 0.0

    def predict(self, x: ArrayLike) -> tuple[Array, Array]:
        """Rates [q, m] and their covariance between sensors [q, q, m]; see `SourceSurface.predict`."""
        assert self.aged_level is not None
        x, age, q = np.asarray(x, dtype=float), (self.energy_kWh, self.days), len(self.sensors)
        level, level_std = self.aged_level.predict(x, *age)
        if q == 1:
            return level[None], (level_std**2)[None, None]
        pairs = [share.predict(x, *age) for share in self.aged_shares]
        share, variance = np.stack([m for m, _ in pairs]), np.stack([e**2 for _, e in pairs])
        share = share * (q / share.sum(axis=0))
        zero_sum = np.eye(q) - 1.0 / q
        spread = np.einsum("ab,bm,cb->acm", zero_sum, variance * q / (q - 1), zero_sum)
        return level * share, level**2 * spread + share[:, None] * share[None] * level_std**2

    def joint(self, x: ArrayLike) -> tuple[Array, Array]:
        """Rates [m, q] and their covariance [m, q, m, q]; see `SourceSurface.joint`."""
        assert self.aged_level is not None
        x, age, q = np.asarray(x, dtype=float), (self.energy_kWh, self.days), len(self.sensors)
        ln_level, level_cov = self.aged_level.predict_log(x, *age)
        level = np.exp(ln_level)
        level_cov = level_cov * np.outer(level, level)
        if q == 1:
            return level[:, None], level_cov[:, None, :, None]
        pairs = [share.predict_log(x, *age) for share in self.aged_shares]
        raw = np.exp(np.stack([m for m, _ in pairs], axis=1))
        each = np.stack([c * np.outer(raw[:, k], raw[:, k]) for k, (_, c) in enumerate(pairs)]) * q / (q - 1)
        share = raw * (q / raw.sum(axis=1, keepdims=True))
        zero_sum = np.eye(q) - 1.0 / q
        cov = np.einsum("ab,bkl,cb,k,l->kalc", zero_sum, each, zero_sum, level, level)
        cov += np.einsum("ka,lc,kl->kalc", share, share, level_cov)
        return level[:, None] * share, cov


@dataclass(frozen=True)
class AgedModel:
    """A learned source and how it ages.

    Attributes:
        source: its name.
        surface: as it was learned.
        learned: the target then, at the mean energy and time of the runs.
        level: mean rate over the sensors.
        shares: share of each sensor [q]; () for a single sensor.
    """

    source: str
    surface: SourceSurface
    learned: TargetState
    level: AgedRate
    shares: tuple[AgedRate, ...] = field(default=())

    @classmethod
    def learn(
        cls,
        source: str,
        surface: SourceSurface,
        experiments: Sequence[Experiment],
        power_W: tuple[float, float],
        pressure_mTorr: tuple[float, float],
        prior: AgeingPrior | None = None,
    ) -> AgedModel:
        """A model of a surface and the runs it was learned from.

        Args:
            source: its name.
            surface: learned from the runs.
            experiments: the runs.
            power_W, pressure_mTorr: ranges over which the surface is used.
            prior: how fast rates change.

        Raises:
            CatalogueError: no runs, or one does not say how worn its target was.
            TargetChanged: the runs did not see one and the same target.
        """
        states = [TargetState.of(k, source) for k in experiments]
        if not states:
            raise CatalogueError(f"source {source!r}: no runs are named that measured it")
        for one in states:
            check_target(source, replace(states[0], energy_kWh=min(k.energy_kWh for k in states)), one)
        mean = replace(
            states[-1],
            energy_kWh=float(np.mean([k.energy_kWh for k in states])),
            process_s=float(np.mean([k.process_s for k in states])),
            wall_s=float(np.mean([k.wall_s for k in states])),
        )
        return cls.of(source, surface, mean, power_W, pressure_mTorr, prior)

    @classmethod
    def of(
        cls,
        source: str,
        surface: SourceSurface,
        learned: TargetState,
        power_W: tuple[float, float],
        pressure_mTorr: tuple[float, float],
        prior: AgeingPrior | None = None,
    ) -> AgedModel:
        """A model of a surface that was learned with a target in a known state."""
        level = AgedRate(
            _rate(surface.level),
            power_W,
            pressure_mTorr,
            prior or AgeingPrior(),
            mean=lambda x: surface.level.predict(x)[0],
        )
        shares = tuple(AgedRate(_rate(k, logs=True), power_W, pressure_mTorr, SHARES) for k in surface.shares)
        return cls(source, surface, learned, level, shares)

    def age(self, now: TargetState) -> tuple[float, float]:
        """Energy on the target [kWh] and time [days] since it was learned.

        Raises:
            TargetChanged: it is not the target that was learned.
        """
        check_target(self.source, self.learned, now)
        passed = max(now.process_s - self.learned.process_s, now.wall_s - self.learned.wall_s, 0.0)
        return max(now.energy_kWh - self.learned.energy_kWh, 0.0), passed / SECONDS_PER_DAY

    def observe(self, experiments: Sequence[Experiment]) -> AgedModel:
        """The same, brought up to date by later runs of this source alone.

        Raises:
            TargetChanged: they saw another target. WeakSignal: a run has no usable rates.
        """
        new = self
        for one in experiments:
            if one.sources != (self.source,):
                raise CatalogueError(f"run {one.uid} measured {', '.join(one.sources)}, not {self.source} alone")
            at = [list(one.chamber.sensors).index(k) for k in self.surface.sensors]
            setting = (one.power_W[self.source], one.pressure_mTorr)
            new = new.read(TargetState.of(one, self.source), setting, one.rate[at], one.std[at])
        return new

    def read(self, now: TargetState, setting: tuple[float, float], rate: ArrayLike, std: ArrayLike) -> AgedModel:
        """The same, brought up to date by one reading.

        Args:
            now: state of the target.
            setting: power [W], pressure [mTorr].
            rate, std: of the surface's sensors [q], and standard errors of their slopes.

        Raises:
            TargetChanged: it is another target. WeakSignal: a rate is missing or not positive.
        """
        energy, days = self.age(now)
        y, e, q = np.asarray(rate, dtype=float), np.asarray(std, dtype=float), len(self.surface.sensors)
        if y.shape != (q,) or e.shape != (q,) or not np.all(np.isfinite(y) & np.isfinite(e) & (y > 0)):
            raise WeakSignal(f"re-anchor run of {self.source}: rates {y} +- {e} are missing or not positive")
        then = self.surface.predict([setting])[0][:, 0]
        cov = self.surface.scatter_covariance([setting])[0] * np.outer(y / then, y / then) + np.diag(e**2)
        mean = float(y.mean())
        share = y / mean
        slopes = (np.eye(q) - share[:, None] / q) / mean
        level_std = float(np.sqrt(cov.sum())) / q / mean
        share_std = np.sqrt(np.diag(slopes @ cov @ slopes.T)) / share
        level = self.level.observe([Anchor(*setting, energy, days, float(np.log(mean)), level_std)])
        shares = tuple(
            k.observe([Anchor(*setting, energy, days, float(np.log(s)), float(e))])
            for k, s, e in zip(self.shares, share, share_std, strict=True)
        )
        return replace(self, level=level, shares=shares)

    def at(self, now: TargetState) -> AgedSurface:
        """The surface of today.

        Raises:
            TargetChanged: it is another target.
        """
        energy, days = self.age(now)
        old = {k: getattr(self.surface, k) for k in SourceSurface.__dataclass_fields__}
        return AgedSurface(**old, aged_level=self.level, aged_shares=self.shares, energy_kWh=energy, days=days)

    def expired(self, tolerance: float, now: TargetState) -> tuple[bool, str]:
        """Whether the predicted error of the mean rate is above `tolerance` (relative), and why.

        Raises:
            TargetChanged: it is another target. OutOfRange: the tolerance is not positive.
        """
        return self.level.expired(tolerance, *self.age(now))

    def energy_left(self, tolerance: float, now: TargetState) -> float:
        """Energy on the target [kWh] that the model still bears; see `AgedRate.energy_left`.

        Raises:
            TargetChanged: it is another target.
        """
        return self.level.energy_left(tolerance, *self.age(now))

    def cheapest_anchors(
        self, tolerance: float, now: TargetState, *, most: int = 5, **options: Any
    ) -> tuple[Request, ...]:
        """Re-anchor runs that bring the predicted error under `tolerance`; see `AgedRate.cheapest_anchors` for the options.

        Raises:
            TargetChanged: it is another target. OutOfRange: see there.
        """

        def scatter(x: Array) -> Array:
            rate = self.surface.predict(x)[0].sum(axis=0)
            return np.sqrt(self.surface.scatter_covariance(x).sum(axis=(1, 2)) + (SLOPE_STD * rate) ** 2) / rate

        return self.level.cheapest_anchors(tolerance, *self.age(now), **{"std": scatter, "most": most, **options})


def _rate(posterior: Posterior, logs: bool = False) -> Callable[[Array], tuple[Array, Array]]:
    def rate(x: Array) -> tuple[Array, Array]:
        z = np.log(x) if logs else x
        return posterior.predict(z)[0], posterior.covariance(z)

    return rate
