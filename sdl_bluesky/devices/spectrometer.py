"""A spectrometer that looks at the plasmas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import EpicsSignalRO

from sdl_bluesky.errors import AlarmError

from .base import LabDevice
from .positioner import Positioner


class Spectrometer(LabDevice):
    """Counts of each pixel in one exposure, taken again and again by the instrument.

    The records of the spectrum are not monitored: every reading is asked from the IOC.

    Attributes:
        wavelength: of each pixel, nm, rising.
        spectrum: counts of the last whole exposure.
        exposure: positioner, how long one takes, s.
    """

    wavelength = Cpt(EpicsSignalRO, "WAVELENGTH", kind="config", auto_monitor=False)
    spectrum = Cpt(EpicsSignalRO, "SPECTRUM", kind="normal", auto_monitor=False)
    exposure = Cpt(Positioner, "INTEGRATION", unit="s", atol=1e-3, rtol=1e-3, timeout_s=10.0, kind="normal")

    units: ClassVar[Mapping[str, str]] = {"wavelength": "nm", "spectrum": "counts"}
    _length: int | None = None

    def wavelengths(self) -> NDArray[np.float64]:
        """Wavelength of each pixel [pixel], asked from the IOC.

        Raises:
            StaleReading, Disconnected: the IOC hangs or is gone.
            AlarmError: they do not rise.
        """
        self.check_fresh()
        with self.answering():
            values = _numbers(self.wavelength.get())
        if values.size < 2 or not np.all(np.diff(values) > 0):
            raise AlarmError(f"{self.wavelength.name}: {values.size} wavelengths that do not rise: calibrate it")
        return values

    def read(self) -> dict[str, Any]:
        """The spectrum as it is now; raises as `LabDevice.read`, and AlarmError for what is no spectrum."""
        self.check_fresh()
        with self.answering():
            if self.spectrum.connected:
                self.spectrum.get()  # not monitored: an alarm is known when the value is asked for
            readings = super().read()
        counts = _numbers(readings[self.spectrum.name]["value"])
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise AlarmError(
                f"{self.spectrum.name} has counts that are negative or no numbers: look at the spectrometer"
            )
        if counts.size != self._pixels():
            raise AlarmError(f"{self.spectrum.name} has {counts.size} pixels, {self.wavelength.name} {self._pixels()}")
        readings[self.spectrum.name]["value"] = counts
        return readings

    def describe(self) -> dict[str, Any]:
        """The spectrum has the constant length of the instrument."""
        keys = super().describe()
        keys[self.spectrum.name].update(dtype="array", shape=[self._pixels()], dtype_numpy="<f8")
        return keys

    def _pixels(self) -> int:
        if self._length is None:
            self._length = self.wavelengths().size
        return self._length


def _numbers(value: Any) -> NDArray[np.float64]:
    return np.array(value, dtype=np.float64).reshape(-1)
