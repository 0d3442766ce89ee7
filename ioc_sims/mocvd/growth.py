"""What grows: transport through a boundary layer, gallium lost to walls and adducts, hydrides that compete for sites.

Group III. The flux of a metal is that through the boundary layer in series with its reaction at the surface,
j = X_i / (1/k_D + 1/k_S), k_D with the root of stirring (rotation and total flow) and of pressure. Gallium is lost on
the way: to walls that saturate, F_Ga -> F_Ga - L F_Ga / (F_Ga + F_W), and to an adduct with arsine, 1 / (1 + kappa P_As).

Group V. Langmuir: theta_i = K_i c_i / (1 + K_As c_As + K_P c_P), y = theta_As / (theta_As + theta_P), with arsenic that
adsorbs as atom and as dimer, c_As = (1 - w) p + w sqrt(p), p = P_As / 9 sccm, bound the stronger the more gallium lies
there, K_As = S exp(chi x), and less stable the hotter it is. The flux of metals sticks as the sites are covered.

So more As lowers x and more Ga raises y, and neither composition is linear in its flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ioc_sims.common.seeds import stream
from ioc_sims.mocvd import seeds
from ioc_sims.mocvd.settings import PhysicsSettings

PAIRS = (((5.971, 11.2), (0.192, 0.4176)), ((4.095, 6.869), (0.1404, 0.3065)))
"""(F_Ga, F_As) [sccm] -> (x, y), seed 001 and the paper; they hold at the reference conditions of the settings."""

ARSINE_SCCM = 9.0
COVERAGE = 20.0  # K_P c_P at the reference
BOLTZMANN_EV_K = 8.617333e-5
ZERO_DEGC = 273.15
DIFFUSION = {"IN": 1.0, "GA": 0.95}  # k_D at the reference
REACTION = {"IN": (12.0, 0.4), "GA": (6.0, 0.5)}  # k_S at the reference, activation energy [eV]
STABILITY_EV = 0.44  # by which arsenic leaves more easily than phosphorus arrives with temperature
CRACKING_EV = 0.35  # of phosphine
STIRRED_BY_ROTATION = 0.6


@dataclass(frozen=True)
class Gas:
    """What is over the wafer: true flows [sccm], true temperature [degC], pressure [mbar], rotation [rpm]."""

    indium: float
    gallium: float
    arsine: float
    phosphine: float
    hydrogen: float
    temperature_degC: float
    pressure_mbar: float
    rotation_rpm: float

    @property
    def total(self) -> float:
        """All flows, or that of the purge when there is none."""
        return max(self.indium + self.gallium + self.arsine + self.phosphine + self.hydrogen, 1000.0)


@dataclass(frozen=True)
class Shift:
    """What is different in one run: log odds of x and y (as gallium and arsenic that come to much)."""

    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Grown:
    """Solid that grows: In(1-x)Ga(x)As(y)P(1-y) and its rate [nm/s]."""

    x: float
    y: float
    rate_nm_s: float


@dataclass(frozen=True)
class GrowthLaw:
    """The law of one reactor.

    Attributes:
        wall_sccm, lost_sccm: F_W and L.
        adduct_per_sccm: kappa.
        gallium: share of a gallium flux that sticks, over that of indium.
        dimer: w.
        arsenic, bond: S over K_P, and chi.
    """

    settings: PhysicsSettings
    wall_sccm: float
    lost_sccm: float
    adduct_per_sccm: float
    gallium: float
    dimer: float
    arsenic: float
    bond: float

    def grow(self, gas: Gas, shift: Shift = Shift()) -> Grown:
        """What grows from this gas; rate 0 without metals or without hydrides."""
        j_in = self._flux("IN", gas.indium, gas)
        j_ga = self._gallium_flux(gas) * self.gallium * math.exp(shift.x)
        if j_in + j_ga <= 0 or gas.arsine + gas.phosphine <= 0:
            return Grown(0.0, 0.0, 0.0)
        x = j_ga / (j_in + j_ga)
        k_as, k_p = self._coverages(gas, x, shift.y)
        covered = (k_as + k_p) / (1 + k_as + k_p) * (1 + COVERAGE) / COVERAGE
        s = self.settings
        reference = self._flux("IN", s.indium_sccm, reference_gas(s))
        return Grown(x, k_as / (k_as + k_p), s.rate_nm_s * (j_in + j_ga) / reference * covered)

    def _gallium_flux(self, gas: Gas) -> float:
        lost = self.lost_sccm * gas.gallium / (gas.gallium + self.wall_sccm)
        adduct = 1 + self.adduct_per_sccm * _partial(gas.arsine, gas, self.settings)
        return self._flux("GA", max(gas.gallium - lost, 0.0), gas) / adduct

    def _coverages(self, gas: Gas, x: float, shift: float) -> tuple[float, float]:
        """K_As c_As and K_P c_P."""
        s = self.settings
        inverse = 1 / _kelvin(gas.temperature_degC) - 1 / _kelvin(s.temperature_degC)  # times eV over k
        cracked = math.exp(-CRACKING_EV / BOLTZMANN_EV_K * inverse)
        c_p = COVERAGE * cracked * _partial(gas.phosphine, gas, s) / s.phosphine_sccm
        stable = math.exp((STABILITY_EV - CRACKING_EV) / BOLTZMANN_EV_K * inverse)
        c_as = arsenic_supply(_partial(gas.arsine, gas, s), self.dimer)
        return COVERAGE * self.arsenic * math.exp(self.bond * x + shift) * stable * c_as, c_p

    def _flux(self, metal: str, sccm: float, gas: Gas) -> float:
        s = self.settings
        if sccm <= 0:
            return 0.0
        stirring = STIRRED_BY_ROTATION * gas.rotation_rpm / s.rotation_rpm
        stirring += (1 - STIRRED_BY_ROTATION) * gas.total / s.hydrogen_sccm
        pressure = gas.pressure_mbar / s.pressure_mbar
        transport = DIFFUSION[metal] * math.sqrt(stirring * pressure)
        speed, barrier = REACTION[metal]
        inverse = 1 / _kelvin(gas.temperature_degC) - 1 / _kelvin(s.temperature_degC)
        reaction = speed * pressure * math.exp(-barrier / BOLTZMANN_EV_K * inverse)
        return sccm / gas.total / (1 / max(transport, 1e-9) + 1 / max(reaction, 1e-30))


def arsenic_supply(sccm: float, dimer: float) -> float:
    """c_As: atoms and dimers that adsorb, 1 at 9 sccm."""
    p = max(sccm, 0.0) / ARSINE_SCCM
    return (1 - dimer) * p + dimer * math.sqrt(p)


def reference_gas(s: PhysicsSettings, gallium: float = 0.0, arsine: float = 0.0) -> Gas:
    """The gas in which the pairs hold, with other flows of Ga and As."""
    return Gas(
        s.indium_sccm,
        gallium,
        arsine,
        s.phosphine_sccm,
        s.hydrogen_sccm,
        s.temperature_degC,
        s.pressure_mbar,
        s.rotation_rpm,
    )


def make_law(settings: PhysicsSettings, seed: int) -> GrowthLaw:
    """The reactor of a seed: walls and dimers are drawn, the rest is solved so that the two pairs hold.

    ln(x/(1-x)) and ln(y/(1-y)) of a law are linear in what is solved once kappa is known, and kappa follows in closed
    form from the ratio of the two pairs' gallium.
    """
    draw = stream(seed, seeds.LAW)
    wall = float(draw.uniform(*settings.wall_flow_sccm))
    lost = wall * float(draw.uniform(*settings.wall_share))
    dimer = float(draw.uniform(*settings.dimer_share))
    gases = [reference_gas(settings, *flows) for flows, _ in PAIRS]
    odds_x, odds_y = (np.array([_odds(solid[k]) for _, solid in PAIRS]) for k in (0, 1))

    plain = GrowthLaw(settings, wall, lost, 0.0, 1.0, dimer, 1.0, 0.0)
    bare = np.array([_odds(plain.grow(gas).x) for gas in gases])
    excess = bare[0] / bare[1] / (odds_x[0] / odds_x[1])  # = (1 + kappa A_0) / (1 + kappa A_1)
    a = [_partial(gas.arsine, gas, settings) for gas in gases]
    kappa = max(float((excess - 1) / (a[0] - excess * a[1])), 0.0)
    gallium = float(odds_x[0] / bare[0] * (1 + kappa * a[0]))

    x = [solid[0] for _, solid in PAIRS]
    bare_y = np.log([_odds(plain.grow(gas).y) for gas in gases])
    missing = np.log(odds_y) - bare_y  # = ln S + chi x
    chi = float((missing[0] - missing[1]) / (x[0] - x[1]))
    return GrowthLaw(settings, wall, lost, kappa, gallium, dimer, math.exp(missing[0] - chi * x[0]), chi)


def _odds(share: float) -> float:
    return share / (1 - share)


def _partial(sccm: float, gas: Gas, s: PhysicsSettings) -> float:
    """A partial pressure, as the flow [sccm] that makes it at the reference."""
    return sccm * (s.hydrogen_sccm / gas.total) * (gas.pressure_mbar / s.pressure_mbar)


def _kelvin(degC: float) -> float:
    return max(degC, -200.0) + ZERO_DEGC
