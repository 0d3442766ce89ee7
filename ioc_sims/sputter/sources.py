"""Magnetrons: power supply, plasma with hysteresis, voltage and current, sputtered mass rate, erosion.

The functions of `Magnetron` accept numbers or arrays, so that the truth grid and the running plant share one law:

    V = V0 (P/50)^(1/(m+1)) (p/5)^b          from I = k(p) V^m and P = V I
    a = t I/e Y(V) M/N_A * escape(p, P) * confinement(p, P) * mode(p) * erosion
    Y ~ sqrt(V) (1 - sqrt(V_threshold / V))
    escape = 1 / (1 + (p_eff/p_s)^c), p_eff = p / (1 + P/P_r)     gas scattering; the plasma heats and thins the gas
    confinement = 1 - l exp(-(p - p_ext(P)) / p_l)                electrons get lost as the plasma nears extinction
    mode = 1 + j (1 + tanh((p - p_m) / w)) / 2                    another mode of the discharge (none by default)
    p_ext = p_100 (P/100)^-s  or  p_end + c exp(-P / P_k)         through the same points at 10 W and 100 W
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioc_sims.sputter.elements import Target, target_of
from ioc_sims.sputter.settings import PhysicsSettings, SourceConfig

Value = float | NDArray[np.float64]

ELEMENTARY_CHARGE_C = 1.602176634e-19
AVOGADRO_PER_MOL = 6.02214076e23


@dataclass(frozen=True)
class Character:
    """How this source differs from its sisters: drawn once from the seed."""

    strength: float = 1.0
    n_offset: float = 0.0
    boundary: float = 1.0


class Magnetron:
    """The laws of one source; no state."""

    def __init__(self, config: SourceConfig, settings: PhysicsSettings, character: Character | None = None) -> None:
        self.config = config
        self.settings = settings
        self.character = character or Character()
        self.target: Target = target_of(config.element)
        self._slope = float(np.log10(settings.extinction_10W_mTorr / settings.extinction_100W_mTorr))

    def extinction_pressure(self, power_W: Value) -> Value:
        """Below this pressure [mTorr] a burning plasma goes out; falls with power."""
        s = self.settings
        if s.extinction_shape == "knee":
            fall = s.extinction_10W_mTorr - s.extinction_100W_mTorr
            least, most = np.exp(-100.0 / s.extinction_knee_W), np.exp(-10.0 / s.extinction_knee_W)
            shape = s.extinction_100W_mTorr + fall * (np.exp(-power_W / s.extinction_knee_W) - least) / (most - least)
            return self.character.boundary * shape
        return s.extinction_100W_mTorr * self.character.boundary * (power_W / 100.0) ** -self._slope

    def ignition_pressure(self, power_W: Value) -> Value:
        """From this pressure [mTorr] on a dark source ignites."""
        return self.settings.ignition_ratio * self.extinction_pressure(power_W)

    def voltage(self, power_W: Value, pressure_mTorr: Value, energy_kWh: float = 0.0) -> Value:
        """Discharge voltage [V] without neighbours."""
        s = self.settings
        worn = 1 + s.erosion_voltage_per_kWh * energy_kWh
        volts = self.target.voltage_V * (power_W / 50.0) ** (1 / (s.voltage_exponent + 1))
        return worn * volts * (pressure_mTorr / 5.0) ** s.voltage_pressure_exponent

    def exponent(self, pressure_mTorr: Value, energy_kWh: float = 0.0) -> Value:
        """Angular exponent n of the emitters."""
        t = self.target
        worn = self.settings.erosion_n_per_kWh * energy_kWh + self.character.n_offset
        return t.n_4mTorr + t.n_per_mTorr * (pressure_mTorr - 4.0) + worn

    def emitted(self, power_W: Value, pressure_mTorr: Value, energy_kWh: float = 0.0) -> Value:
        """Mass that leaves the burning source [ng/s], without neighbours."""
        s, t = self.settings, self.target
        volts = self.voltage(power_W, pressure_mTorr, energy_kWh)
        ions = power_W / volts / ELEMENTARY_CHARGE_C
        atoms = ions * t.yield_500 * _yield_shape(volts, t.threshold_eV)
        thinned = pressure_mTorr / (1 + power_W / s.rarefaction_power_W)
        half = s.scattering_pressure_mTorr * (t.mass_u / 63.5) ** 0.3
        escape = 1 / (1 + (thinned / half) ** s.scattering_exponent)
        above = np.maximum(pressure_mTorr - self.extinction_pressure(power_W), 0.0)
        confinement = 1 - s.confinement_loss * np.exp(-above / s.confinement_pressure_mTorr)
        worn = 1 + s.erosion_rate_per_kWh * energy_kWh
        grams = s.throughput * self.character.strength * atoms * t.mass_u / AVOGADRO_PER_MOL
        return grams * 1e9 * escape * confinement * self._mode(pressure_mTorr) * worn

    def _mode(self, pressure_mTorr: Value) -> Value:
        s = self.settings
        beyond = pressure_mTorr - s.mode_pressure_mTorr
        step = np.tanh(beyond / s.mode_width_mTorr) if s.mode_width_mTorr > 0 else np.where(beyond >= 0, 1.0, -1.0)
        return 1 + s.mode_jump * (1 + step) / 2


class Source:
    """One source in operation: supply, plasma, energy on the target."""

    def __init__(self, magnetron: Magnetron) -> None:
        self.law = magnetron
        self.name = magnetron.config.name
        self.target_number = 1
        self.setpoint_W = 0.0
        self.supply_W = 0.0
        self.burning = False
        self.shutter_open = False
        self.energy_kWh = 0.0
        self.openings = 0
        self.voltage_V = 0.0
        self.emitted_ng_s = 0.0
        self.n = float(magnetron.exponent(4.0))

    @property
    def settled(self) -> bool:
        """Whether the supply has reached its setpoint."""
        return self.supply_W == self.setpoint_W

    @property
    def power_W(self) -> float:
        """Power in the plasma: what the supply is set to while it burns, else nothing."""
        return self.supply_W if self.burning else 0.0

    @property
    def current_A(self) -> float:
        """Discharge current, so that power = voltage x current."""
        return self.power_W / self.voltage_V if self.burning else 0.0

    def ramp(self, dt_s: float, rate_W_s: float) -> None:
        """Move the supply towards its setpoint."""
        change = rate_W_s * dt_s
        gap = self.setpoint_W - self.supply_W
        self.supply_W = self.setpoint_W if abs(gap) <= change else self.supply_W + (change if gap > 0 else -change)

    def mount(self, magnetron: Magnetron, number: int) -> None:
        """Take a new target; `number` counts them."""
        self.law, self.target_number = magnetron, number
        self.energy_kWh = 0.0
        self.n = float(magnetron.exponent(4.0))

    def update_plasma(self, pressure_mTorr: float) -> None:
        """Ignite or go out; between the two boundaries the plasma stays as it is."""
        if self.supply_W < self.law.settings.plasma_minimum_power_W:
            self.burning = False
        elif self.burning:
            self.burning = pressure_mTorr >= float(self.law.extinction_pressure(self.supply_W))
        else:
            self.burning = pressure_mTorr >= float(self.law.ignition_pressure(self.supply_W))

    def update_emission(self, pressure_mTorr: float, neighbours: float) -> None:
        """Voltage, exponent and emitted mass at this pressure.

        Args:
            pressure_mTorr: true pressure.
            neighbours: sum of the burning neighbours' weights (1 for a strong one at the reference distance).
        """
        self.n = float(self.law.exponent(pressure_mTorr, self.energy_kWh))
        if not self.burning:
            self.emitted_ng_s = 0.0
            self.voltage_V = self.law.settings.open_circuit_voltage_V if self.supply_W > 0 else 0.0
            return
        change = self.law.settings.neighbour_interaction * neighbours
        self.voltage_V = float(self.law.voltage(self.supply_W, pressure_mTorr, self.energy_kWh)) * (1 - change)
        self.emitted_ng_s = float(self.law.emitted(self.supply_W, pressure_mTorr, self.energy_kWh)) * (1 + change)

    def erode(self, dt_s: float) -> None:
        """Count the energy on the target."""
        self.energy_kWh += self.power_W * dt_s / 3.6e6


def _yield_shape(volts: Value, threshold_eV: float) -> Value:
    def shape(v: Value) -> Value:
        return np.sqrt(v) * (1 - np.sqrt(threshold_eV / v))

    return shape(volts) / shape(500.0)
