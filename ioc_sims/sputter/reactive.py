"""Oxygen in the chamber: Berg's balance of target, collecting surfaces, pump and gas.

After S. Berg and T. Nyberg, Thin Solid Films 476, 215 (2005), for each source. With F = p / sqrt(2 pi m k T) molecules
per cm2 and s, theta the covered part of the target, z atoms of oxygen to one of the metal:

    z N dtheta/dt = 2 s_t F (1 - theta) - z j Y_c theta                          target; j ions per cm2 and s
    metal from the target: m (1 - theta) as metal and m c theta as oxide         m atoms/s from a bare target
    theta_c = (2 s F A + z m_ox) / (2 s F A + z (m_met + m_ox))                  oxidised part of what is collected
    V dp/dt = q - S p - sum [ s_t F (1 - theta) A_t + s F A (1 - theta_c) ]      gas, in sccm

A target that does not burn is covered and not cleaned. The pressure follows within milliseconds while metal takes the
gas up, so its equation is stepped implicitly: the right side falls with p, which makes the new pressure unique. Where
there is no oxygen nothing is touched: the chamber is then the one without this module, to the last bit.

On a crystal or a film the same balance holds for the metal that arrives there, in atoms per cm2 and s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ioc_sims.sputter import seeds
from ioc_sims.sputter.oxides import Oxide, oxide_of
from ioc_sims.sputter.settings import ChamberConfig
from ioc_sims.sputter.sources import AVOGADRO_PER_MOL, ELEMENTARY_CHARGE_C, Source

Floats = NDArray[np.float64]

OXYGEN_MASS_U = 15.999
MOLECULES_PER_SCCM_S = 4.478e17
_PA_PER_MTORR = 0.13332237
_KT_J = 1.380649e-23 * 300.0
_MOLECULE_KG = 2 * OXYGEN_MASS_U * 1.66053907e-27
IMPINGEMENT_PER_MTORR = 1e-4 * _PA_PER_MTORR / math.sqrt(2 * math.pi * _MOLECULE_KG * _KT_J)
"""Molecules of O2 per cm2 and s at 1 mTorr and 300 K: 3.59e17."""
OXIDE_Z_RATIO = 1.0
"""Acoustic impedance of quartz over that of what oxygen adds to a film."""
_NOTHING_SCCM = 1e-6
_SETTLED = 1e-5


class Oxygen:
    """Flow controller, partial pressure and the coverage of every target.

    Attributes:
        setpoint_sccm, flow_sccm: of the flow controller.
        pressure_mTorr: partial pressure of oxygen.
        coverage: part of each target that is oxide [source].
    """

    def __init__(self, config: ChamberConfig, start: int = 0) -> None:
        self._s = s = config.physics
        self._oxides: list[Oxide] = [oxide_of(c.element) for c in config.sources]
        draw = seeds.stream(config.seed, seeds.OXYGEN)
        self._noise = seeds.stream(config.seed, seeds.OXYGEN, start + 1)
        self._spread = np.exp(s.oxygen_sticking_sd * draw.normal(size=(2, len(config.sources))))
        self._film_sticking = [self._on_film(k) for k in range(len(self._oxides))]
        self._target_sticking = [self._on_target(k) for k in range(len(self._oxides))]
        self.setpoint_sccm = self.flow_sccm = self.pressure_mTorr = 0.0
        count = len(config.sources)
        self.coverage = [0.0] * count
        self._atoms_s = [0.0] * count  # from a bare target, at the last step
        self._ions_s = [0.0] * count
        self._yields = [0.0] * count
        self._masses = [1.0] * count
        self._arriving: Floats = np.zeros((count, len(config.sensors)))
        self._settled = True

    def mount_target(self, index: int, element: str) -> None:
        """A source gets a new, bare target."""
        self._oxides[index] = oxide_of(element)
        self._film_sticking[index], self._target_sticking[index] = self._on_film(index), self._on_target(index)
        self.coverage[index] = 0.0

    def _on_film(self, index: int) -> float:
        return min(self._oxides[index].sticking * float(self._spread[0, index]), 1.0)

    def _on_target(self, index: int) -> float:
        sticks = min(self._s.oxygen_sticking_target * float(self._spread[1, index]), 1.0)
        return sticks if self._oxides[index].oxygen_per_metal else 0.0

    @property
    def present(self) -> bool:
        """Whether there is any oxygen, in the gas or on a target."""
        return self.setpoint_sccm > 0 or self.flow_sccm > 0 or self.pressure_mTorr > 0 or any(self.coverage)

    @property
    def settled(self) -> bool:
        """Whether flow, pressure and coverages have arrived."""
        return not self.present or (self._settled and self.flow_sccm == self.setpoint_sccm)

    def flow_reading_sccm(self) -> float:
        """One reading of the flow."""
        return self.flow_sccm + self._s.oxygen_flow_noise_sccm * self._noise.normal()

    def step(self, dt_s: float) -> None:
        """Go on by dt with the sources as they were when `poison` last saw them."""
        if not self.present:
            return
        s = self._s
        gap = (self.flow_sccm - self.setpoint_sccm) * math.exp(-dt_s / s.oxygen_flow_time_s)
        self.flow_sccm = self.setpoint_sccm + (gap if abs(gap) > _NOTHING_SCCM else 0.0)
        before = self.pressure_mTorr
        self.pressure_mTorr = self._pressure(dt_s)
        moved = abs(self.pressure_mTorr - before) > _SETTLED * self.pressure_mTorr
        for k in range(len(self.coverage)):
            gain, loss = self._rates(k)
            if gain + loss > 0:
                rest = gain / (gain + loss)
                new = rest + (self.coverage[k] - rest) * math.exp(-(gain + loss) * dt_s)
                new = rest if abs(new - rest) < _SETTLED else new
                moved |= new != rest
                self.coverage[k] = new
        self._settled = not moved

    def poison(self, index: int, source: Source) -> None:
        """Take in how a source burns with a bare target, and make of it how it burns with the covered one."""
        target = source.law.target
        self._masses[index] = target.mass_u
        sputtered_ng_s = source.emitted_ng_s / self._s.throughput  # what stays near the source takes up gas as well
        self._atoms_s[index] = sputtered_ng_s * 1e-9 * AVOGADRO_PER_MOL / target.mass_u
        self._ions_s[index] = source.current_A / ELEMENTARY_CHARGE_C
        self._yields[index] = target.yield_500 * math.sqrt(max(source.voltage_V, 0.0) / 500.0)
        theta = self.coverage[index]
        if theta > 0 and source.burning:
            change = 1 + self._oxides[index].voltage_change * theta
            source.voltage_V *= change
            source.emitted_ng_s *= (1 - theta * (1 - self._oxides[index].yield_ratio)) / change

    def sputtered_atoms_s(self, index: int) -> float:
        """Atoms of metal per second that leave a target, with or without oxygen."""
        return sum(self._metal_and_oxide(index))

    def arrive(self, index: int, rates: Floats) -> None:
        """Note the metal of a source at the crystals [sensor], ng cm^-2 s^-1."""
        self._arriving[index] = rates

    def uptake(self) -> Floats:
        """Oxygen that joins the metal on the crystals [sensor], ng cm^-2 s^-1; forgets the metal that arrived."""
        arriving, self._arriving = self._arriving, np.zeros_like(self._arriving)
        if not self.present or not arriving.any():
            return np.zeros(arriving.shape[1])
        capacity, bound, sticking = (np.zeros(arriving.shape[1]) for _ in range(3))
        total = np.zeros(arriving.shape[1])
        for k, oxide in enumerate(self._oxides):
            if not arriving[k].any():
                continue
            atoms = np.maximum(arriving[k], 0.0) * 1e-9 * AVOGADRO_PER_MOL / self._masses[k]
            capacity += oxide.oxygen_per_metal * atoms
            bound += oxide.oxygen_per_metal * atoms * self._oxide_part(k)
            sticking += self._film_sticking[k] * atoms
            total += atoms
        mean = np.divide(sticking, total, out=np.zeros_like(total), where=total > 0)
        supply = 2 * mean * IMPINGEMENT_PER_MTORR * self.pressure_mTorr
        share = np.divide(supply + bound, supply + capacity, out=np.zeros_like(total), where=capacity > 0)
        return share * capacity / AVOGADRO_PER_MOL * OXYGEN_MASS_U * 1e9

    # -----------------------------------------------------------------------------------------------------------------

    def consumption(self, pressure_mTorr: float) -> float:
        """Oxygen that targets and collecting surfaces take up at a partial pressure, with today's coverages [sccm]."""
        return _taken(self._takers(), pressure_mTorr)

    def _takers(self) -> list[tuple[float, float, float, float]]:
        """By source, what takes oxygen up: target and film [sccm per mTorr], then bare and all metal [sccm of oxygen]."""
        s, per_sccm = self._s, IMPINGEMENT_PER_MTORR / MOLECULES_PER_SCCM_S
        found = []
        for k, theta in enumerate(self.coverage):
            metal, oxide = self._metal_and_oxide(k)
            binds = self._oxides[k].oxygen_per_metal / MOLECULES_PER_SCCM_S
            target = self._target_sticking[k] * per_sccm * (1 - theta) * s.target_area_cm2
            film = self._film_sticking[k] * per_sccm * s.collecting_area_cm2
            found.append((target, film, binds * metal, binds * (metal + oxide)))
        return found

    def _pressure(self, dt_s: float) -> float:
        s, takers = self._s, self._takers()
        volume = s.oxygen_pumping_sccm_per_mTorr * s.chamber_time_s / dt_s
        speed = s.oxygen_pumping_sccm_per_mTorr
        most = (self.flow_sccm + volume * self.pressure_mTorr) / (speed + volume)
        if most < 1e-9:
            return 0.0

        def gap(pressure: float) -> float:
            stored = volume * (pressure - self.pressure_mTorr)
            return stored + speed * pressure + _taken(takers, pressure) - self.flow_sccm

        found: Any = brentq(gap, 0.0, most * (1 + 1e-9), xtol=1e-12)
        return float(found)

    def _rates(self, k: int) -> tuple[float, float]:
        """Covering and cleaning of a target, per second."""
        s, z = self._s, self._oxides[k].oxygen_per_metal
        if not z:
            return 0.0, 0.0
        flux = IMPINGEMENT_PER_MTORR * self.pressure_mTorr
        gain = 2 * self._target_sticking[k] * flux / (z * s.target_sites_per_cm2)
        cleaned = self._ions_s[k] / s.target_area_cm2 * self._yields[k] * self._oxides[k].yield_ratio
        return gain, cleaned / s.target_sites_per_cm2

    def _metal_and_oxide(self, k: int) -> tuple[float, float]:
        """Atoms of metal per second that leave a target, as metal and as oxide."""
        theta, oxide = self.coverage[k], self._oxides[k]
        change = 1 + oxide.voltage_change * theta
        return self._atoms_s[k] * (1 - theta) / change, self._atoms_s[k] * oxide.yield_ratio * theta / change

    def _oxide_part(self, k: int) -> float:
        """Part of a source's metal that leaves it as oxide."""
        metal, oxide = self._metal_and_oxide(k)
        return oxide / (metal + oxide) if metal + oxide > 0 else 0.0


def _taken(takers: list[tuple[float, float, float, float]], pressure_mTorr: float) -> float:
    """Oxygen taken up at a partial pressure [sccm]; see `Oxygen._takers`."""
    total = 0.0
    for target, film, bare, metal in takers:
        total += target * pressure_mTorr
        if bare > 0:
            reach = film * pressure_mTorr
            total += reach * bare / (2 * reach + metal)
    return total


def branch(coverage: float) -> str:
    """Name of the state of a target: metallic under a quarter, poisoned above three quarters."""
    return "metallic" if coverage < 0.25 else "poisoned" if coverage > 0.75 else "transition"
