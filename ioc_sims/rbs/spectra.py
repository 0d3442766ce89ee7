"""Expected spectra of this station: pyrump with its hidden stopping, each made once; a gain that has drifted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ioc_sims.common.seeds import stream
from ioc_sims.rbs import seeds
from ioc_sims.rbs.samples import Layers
from ioc_sims.rbs.scattering import ELEMENTARY_CHARGE_C, exit_angle_deg, spectrum
from ioc_sims.rbs.settings import RBSConfig
from ioc_sims.rbs.species import target_of

Floats = NDArray[np.float64]

_REMEMBERED = 64
_SPARE = 0.05  # part of the channels that is worked out beyond the last, for a gain above 1


class Spectra:
    """Makes the expected spectrum of layers under the beam.

    Not for two threads at once.

    Args:
        config: set-up, seed and settings.
    """

    def __init__(self, config: RBSConfig) -> None:
        self._config = config
        self._known: dict[object, Floats] = {}

    def per_uC(self, layers: Layers, energy_keV: float, tilt_deg: float) -> Floats:
        """Counts per channel and uC of 4He+ (charge 1) at the nominal calibration, some channels beyond the last."""
        key = (tuple(tuple(layer.items()) for layer in layers), energy_keV, tilt_deg)
        if key not in self._known:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = self._make(layers, energy_keV, tilt_deg)
        return self._known[key]

    def _make(self, layers: Layers, energy_keV: float, tilt_deg: float) -> Floats:
        setup, physics = self._config.setup, self._config.physics
        case = {
            "ion": setup.ion,
            "E_keV": energy_keV,
            "theta_deg": setup.theta_deg,
            "alpha_deg": tilt_deg,
            "beta_deg": exit_angle_deg(setup.theta_deg, tilt_deg),
            "slope_keV": setup.slope_keV,
            "offset_keV": setup.offset_keV,
            "resolution_fwhm_keV": setup.resolution_fwhm_keV,
            "fluence_ions": 1e-6 / ELEMENTARY_CHARGE_C,
            "solid_angle_msr": setup.solid_angle_msr,
            "layers": layers,
        }
        channels = int(setup.channels * (1 + _SPARE)) + 1
        factors = stopping_factors(self._config, (label for layer in layers for label in layer))
        return spectrum(case, channels=channels, stopping=factors, slab=physics.slab)


def stopping_factors(config: RBSConfig, labels: Iterable[str]) -> dict[str, float]:
    """Hidden factor on the stopping of each element; depends on the seed and the element alone, not on its company."""
    found = {}
    for label in dict.fromkeys(labels):
        draw = stream(config.seed, seeds.STOPPING, target_of(label).z)
        found[label] = float(np.exp(config.physics.stopping_sd * draw.normal()))
    return found


def with_gain(counts: Floats, gain: float, channels: int) -> Floats:
    """A spectrum as it is seen when a channel is `gain` times as wide as it should be.

    The cumulative counts (a monotone cubic between channel edges) are read at the drifted edges.

    Args:
        counts: [n] at the nominal calibration, n >= channels x gain.
        gain: true over nominal keV per channel; channel 0 keeps its lower edge.
        channels: how many channels to give.
    """
    total = np.concatenate([[0.0], np.cumsum(counts)])
    edges = np.minimum(np.arange(channels + 1) * gain, len(counts))
    read = np.diff(PchipInterpolator(np.arange(len(total)), total)(edges))
    return np.maximum(read, 0.0)  # rounding where there is nothing
