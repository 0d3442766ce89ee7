"""One acquisition: charge is integrated, counts are drawn, until the preset is reached."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_UC_PER_NA_S = 1e-3


class State(IntEnum):
    """What the acquisition does; the states of the record."""

    IDLE, ACQUIRING, DONE, STOPPED = range(4)


class Acquisition:
    """A multichannel analyser and a current integrator.

    After each event the detector is dead for a while, which gates the integrator: of n events per second that would be
    seen the part 1 / (1 + n dead time) is counted, and the same part of the charge, so that counts are those of the
    charge shown.

    Charge that came while the expected spectrum was still being worked out waits, and is turned into counts when
    `expect` is called. Spectrum, charge and times are those of the same moment at any time.

    Args:
        channels: length of the spectrum.
        dead_time_us: after each event.

    Attributes:
        spectrum: counts.
        charge_uC: as shown: while the detector was ready, with the error of the integrator.
        live_s, real_s: simulated seconds of this acquisition.
        charge_factor: true over shown charge.
    """

    def __init__(self, channels: int, dead_time_us: float) -> None:
        self.state = State.IDLE
        self.spectrum = np.zeros(channels, np.int64)
        self.charge_uC = self.live_s = self.real_s = 0.0
        self.charge_factor = 1.0
        self._dead_s = dead_time_us * 1e-6
        self._rate: Floats | None = None
        self._waiting: list[tuple[float, float]] = []

    @property
    def running(self) -> bool:
        """Whether it acquires."""
        return self.state is State.ACQUIRING

    def begin(self, charge_factor: float) -> None:
        """Clear everything and start."""
        self.state = State.ACQUIRING
        self.spectrum = np.zeros_like(self.spectrum)
        self.charge_uC = self.live_s = self.real_s = 0.0
        self.charge_factor = charge_factor
        self._rate, self._waiting = None, []

    def expect(self, rate: Floats) -> None:
        """Take the expected counts per channel and uC of true charge."""
        self._rate = rate

    def stop(self) -> None:
        """End before the preset; what was counted is kept."""
        if self.running:
            self.state = State.STOPPED
            self._waiting = []

    def run(self, seconds: float, current_nA: float, preset_uC: float, noise: np.random.Generator) -> None:
        """Let simulated time pass at a steady current; ends exactly at the preset.

        Args:
            seconds: of simulated time.
            current_nA: true current on the sample; 0 while the shutter is closed.
            preset_uC: shown charge at which to end.
            noise: what the counts are drawn from.
        """
        self._waiting.append((seconds, current_nA))
        if self._rate is None:
            return
        total, exposure_uC = float(self._rate.sum()), 0.0
        waiting, self._waiting = self._waiting, []
        for span_s, nA in waiting:
            true_uC_s = nA * _UC_PER_NA_S
            ready = 1 / (1 + total * true_uC_s * self._dead_s)
            shown_uC_s = true_uC_s * ready / self.charge_factor
            missing_uC = preset_uC - self.charge_uC
            reached = missing_uC <= shown_uC_s * span_s
            if reached:
                span_s = max(missing_uC, 0.0) / shown_uC_s if shown_uC_s > 0 else 0.0
            self.real_s += span_s
            self.live_s += span_s * ready
            self.charge_uC += shown_uC_s * span_s
            exposure_uC += true_uC_s * ready * span_s
            if reached:
                self.charge_uC = max(self.charge_uC, preset_uC)
                self.state = State.DONE
                break
        self.spectrum = self.spectrum + noise.poisson(self._rate * exposure_uC)
