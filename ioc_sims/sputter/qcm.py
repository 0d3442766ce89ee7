"""Quartz crystals: mass to frequency (Z-match), heat, drift, noise and life."""

from __future__ import annotations

import math

import numpy as np

from ioc_sims.sputter.settings import PhysicsSettings, SensorConfig

QUARTZ_DENSITY_G_CM3 = 2.648
QUARTZ_SHEAR_MODULUS = 2.947e11  # g cm^-1 s^-2
_WARM_DEGC = 25.0
_DEGC_PER_HZ = 1.5


def sauerbrey(f0_Hz: float) -> float:
    """Mass per area and Hz of a thin film [ng cm^-2 Hz^-1]: sqrt(rho mu) / (2 f0^2); 12.269 at 6 MHz."""
    return 1e9 * math.sqrt(QUARTZ_DENSITY_G_CM3 * QUARTZ_SHEAR_MODULUS) / (2 * f0_Hz**2)


def loaded_frequency(f0_Hz: float, mass_ng_cm2: float, z_ratio: float) -> float:
    """Frequency of a crystal that carries a film (Z-match equation of Lu and Lewis, solved for the frequency).

    tan(pi Z f m / (N rho)) = Z tan(pi (f0 - f) / f0),  N rho = C f0^2.  Falls back on Sauerbrey for thin films.

    Args:
        f0_Hz: frequency of the bare crystal.
        mass_ng_cm2: mass of the film.
        z_ratio: acoustic impedance of quartz over that of the film.
    """
    per_hz = mass_ng_cm2 / (sauerbrey(f0_Hz) * f0_Hz**2)
    f = f0_Hz
    for _ in range(60):
        angle = math.pi * z_ratio * f * per_hz
        if abs(angle) > 1.5:
            return math.nan  # far beyond the life of any crystal
        new = f0_Hz * (1 - math.atan(math.tan(angle) / z_ratio) / math.pi)
        if abs(new - f) < 1e-7:
            return new
        f = new
    return f


class Crystal:
    """One QCM in operation.

    Attributes:
        mass_ng_cm2: film on the crystal (with the tooling factor and the run-to-run noise of the sensor).
        z_mass: sum of mass times Z ratio, for the mean acoustic impedance of the stack.
        drift_rate: apparent rate [ng cm^-2 s^-1] that wanders round zero; drift_mass: its integral.
        warm_Hz: frequency shift by the heat of open sources.
    """

    def __init__(self, config: SensorConfig, settings: PhysicsSettings, tooling: float, warmth: float) -> None:
        self.config = config
        self.tooling = tooling
        self._warmth = warmth
        self._settings = settings
        self.mass_ng_cm2 = 0.0
        self.z_mass = 0.0
        self.drift_rate = 0.0
        self.drift_mass = 0.0
        self.warm_Hz = 0.0

    def deposit(self, mass_ng_cm2: float, z_ratio: float) -> None:
        """Add a film of one element."""
        self.mass_ng_cm2 += mass_ng_cm2
        self.z_mass += mass_ng_cm2 * z_ratio

    def replace(self) -> None:
        """Become a new crystal in the same holder: no film, the tooling factor and the temperature stay."""
        self.mass_ng_cm2 = self.z_mass = self.drift_mass = 0.0

    def heat(self, dt_s: float, power_W: float) -> None:
        """Relax towards the temperature that the open, burning sources give; warmer means a higher frequency."""
        target = self._settings.thermal_shift_Hz * self._warmth * power_W / 50.0
        self.warm_Hz = target + (self.warm_Hz - target) * math.exp(-dt_s / self._settings.thermal_time_s)

    def drift(self, dt_s: float, normal: float) -> None:
        """Let the zero wander (Ornstein-Uhlenbeck step; normal is a draw from N(0, 1))."""
        s = self._settings
        keep = math.exp(-dt_s / s.zero_drift_time_s)
        new = keep * self.drift_rate + s.zero_drift_sd * math.sqrt(1 - keep * keep) * normal
        self.drift_mass += 0.5 * (self.drift_rate + new) * dt_s
        self.drift_rate = new

    @property
    def film_frequency_Hz(self) -> float:
        """Frequency by the film alone: no heat, drift or noise."""
        z = self.z_mass / self.mass_ng_cm2 if self.mass_ng_cm2 > 0 else 1.0
        return loaded_frequency(self.config.f0_Hz, max(self.mass_ng_cm2, 0.0), z)

    def frequency_Hz(self, noise: np.random.Generator) -> float:
        """One reading of the frequency."""
        drift = self.drift_mass / sauerbrey(self.config.f0_Hz)
        return self.film_frequency_Hz - drift + self.warm_Hz + self._settings.frequency_noise_Hz * noise.normal()

    @property
    def life_percent(self) -> float:
        """100 = new, 0 = used up."""
        f = self.film_frequency_Hz
        used = 1.0 if math.isnan(f) else (self.config.f0_Hz - f) / self._settings.crystal_life_Hz
        return 100.0 * min(max(1.0 - used, 0.0), 1.0)

    def temperature_degC(self, noise: np.random.Generator) -> float:
        """One reading of the crystal's temperature."""
        return _WARM_DEGC + _DEGC_PER_HZ * self.warm_Hz + 0.02 * noise.normal()
