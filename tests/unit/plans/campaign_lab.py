"""A laboratory for whole campaigns: fake devices for the checks, and experiments that answer at once by known laws.

The laws are those of `ring_lab` (ring sources with a diffuse part, summed over the ring): not the learner's form. A reading
has the noise of a real one; the sensors have hidden calibration factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
from ring_lab import CENTRE, SENSORS, WAFER, RingSource, fractions, place
from scipy.stats import qmc

from sdl_bluesky.errors import PlasmaError
from sdl_bluesky.plans.history import Step, row_of
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.sputter import Measurement

ELEMENTS = {"cu": "Cu", "sn": "Sn"}
NAMES = ("qcm1", "qcm2", "qcm3")


@dataclass
class CampaignLab:
    """Experiments by laws.

    Attributes:
        interaction: relative change of a source's rate by a burning neighbour.
        broken: relative error of the totals of one sensor that nothing explains.
        dark: sources and pressures at which a co-sputter run fails, as often as listed.
    """

    seed: int = 0
    interaction: float = 0.0
    broken: float = 0.0
    noise: float = 0.008
    tooling_sd: float = 0.01
    dark: list[str] = field(default_factory=list)
    made: list[tuple[str, dict[str, float], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.sources = {
            "cu": RingSource(0.0, 1.8, 0.05, 42.0, exponent=1.03, best=9.0, n0=1.8),
            "sn": RingSource(90.0, 1.8, 0.05, 31.0, exponent=0.99, best=10.0, n0=1.4),
        }
        self.tooling = 1 + self.tooling_sd * self.rng.standard_normal(3)

    @property
    def geometry(self) -> dict[str, Any]:
        """As a session's start documents carry it."""
        stand = {k: place(v.azimuth) for k, v in self.sources.items()}
        return {
            "sources": {
                k: {"element": ELEMENTS[k], "position_cm": p.tolist(), "axis": a.tolist()}
                for k, (p, a) in stand.items()
            },
            "sensors": {
                n: {"position_cm": p.tolist(), "normal": [0.0, 0.0, 1.0], "f0_Hz": 6e6} for n, p in zip(NAMES, SENSORS)
            },
            "tooling_std": 0.01,
            "map": {"x_mm": [-25.0, 25.0, 11], "y_mm": [-25.0, 25.0, 11]},
            "ranges": {"power_W": [10.0, 100.0], "pressure_mTorr": [4.0, 20.0]},
        }

    def flux(self, powers: Mapping[str, float], pressure: float, points: np.ndarray) -> list[np.ndarray]:
        """Of each source at points [cm], its neighbours counted in."""
        beside = 1 + (self.interaction if len(powers) > 1 else 0.0)
        return [beside * self.sources[k].flux(p, pressure, points) for k, p in powers.items()]

    def truth(self, powers: Mapping[str, float], pressure: float) -> float:
        """Fraction of Cu in the middle."""
        return float(fractions(self.flux(powers, pressure, WAFER), [ELEMENTS[k] for k in powers])[0, CENTRE])

    def experiment(self, plan: str, powers: Mapping[str, float], pressure: float, md: Mapping[str, Any]) -> Any:
        """A plan that opens a run, answers by the laws, and ends it."""
        powers = dict(powers)
        self.made.append((plan, powers, pressure))
        start = {"plan_name": plan, "purpose": "experiment", "sources": list(powers), "geometry": self.geometry, **md}
        uid = yield from bps.open_run(start)
        if plan in self.dark:
            self.dark.remove(plan)
            yield from bps.close_run(exit_status="fail", reason="dark")
            fault = PlasmaError(f"the plasma went out at {pressure:.2f} mTorr")
            fault.run_uid = uid  # type: ignore[attr-defined]
            raise fault
        record = Record("result", *self._result(plan, powers, pressure))
        yield from bps.trigger_and_read([record], name="primary")
        yield from bps.close_run()
        return Measurement(uid, {key: reading["value"] for key, reading in record.read().items()})

    def _result(
        self, plan: str, powers: Mapping[str, float], pressure: float
    ) -> tuple[dict[str, Field], dict[str, Any]]:
        rates = np.zeros(3)
        for one in self.flux(powers, pressure, SENSORS):
            rates += one * (1 + self.noise * self.rng.standard_normal(3)) + 0.03 * self.rng.standard_normal(3)
        rates *= self.tooling
        if len(powers) > 1:
            rates[0] *= 1 + self.broken
        std = 0.003 * rates
        rates = rates + std * self.rng.standard_normal(3)
        values: dict[str, Any] = {"gauge_pressure": pressure, "substrate_number": sum(p == plan for p, *_ in self.made)}
        values |= {f"{k}_power": p for k, p in powers.items()}
        for k, name in enumerate(NAMES):
            values |= {f"{name}_rate": rates[k], f"{name}_rate_std": std[k]}
        for k, p in powers.items():
            values[f"{k}_voltage"] = 400.0 * (p / 50.0) ** 0.1 * (1 + 0.001 * self.rng.standard_normal())
        return {k: Field("number") for k in values}, values

    def learned(self, count: int = 8) -> list[Step]:
        """Single-source experiments as a campaign's history holds them."""
        steps: list[Step] = []
        for name in self.sources:
            unit = qmc.Sobol(2, seed=len(steps)).random(8)
            for power, pressure in np.exp(np.log([10.0, 4.0]) + unit[:count] * np.log([8.0, 5.0])):
                _, data = self._result("measure_rate", {name: float(power)}, float(pressure))
                number, inputs = len(steps) + 1, {"power": float(power), "pressure": float(pressure)}
                row = row_of(data, name, "qcm1", f"s{number}")
                steps.append(Step(number, f"learn:{name}", f"s{number}", inputs, "success", f"u{number}", row, data))
        return steps

    @contextmanager
    def instead_of_the_machine(self, monkeypatch: Any) -> Any:
        """Let campaigns use these experiments."""

        def rate(chamber, source, power, pressure, settings, *, md=None, **_):
            return self.experiment("measure_rate", {source: power}, pressure, md or {})

        def total(chamber, powers, pressure, settings, *, md=None, **_):
            return self.experiment("measure_total", powers, pressure, md or {})

        def film(chamber, powers, pressure, duration, settings, *, md=None, based_on=None, **_):
            return self.experiment(
                "cosputter", powers, pressure, {"based_on": based_on, "duration": duration, **(md or {})}
            )

        with monkeypatch.context() as patch:
            patch.setattr("sdl_bluesky.plans.work.measure_rate", rate)
            patch.setattr("sdl_bluesky.plans.work.cosputter", film)
            patch.setattr("sdl_bluesky.plans.work.measure_total", total)
            yield self
