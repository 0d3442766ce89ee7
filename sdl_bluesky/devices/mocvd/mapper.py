"""The PL mapper: a map of peak wavelengths over a wafer, or the spectrum of one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import AlarmError

from ..positioner import Positioner
from .procedure import Procedure
from .spec import MOCVDSpec
from .wafers import WaferHolder

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PLMap:
    """One finished map.

    Attributes:
        axis_mm: places in x, and in y [n].
        wavelength_nm: peak wavelength [n (y), n (x)]; nan where there is no reading.
        intensity: counts in the peak [n, n].
        exposure_s: of each pixel.
    """

    axis_mm: Floats
    wavelength_nm: Floats
    intensity: Floats
    exposure_s: float


@dataclass(frozen=True, eq=False)
class PLSpectrum:
    """One finished spectrum.

    Attributes:
        wavelength_nm: of each channel [n], rising.
        counts: [n]; noise of the detector may be below 0.
        x_mm, y_mm: where on the wafer.
        exposure_s: how long.
    """

    wavelength_nm: Floats
    counts: Floats
    x_mm: float
    y_mm: float
    exposure_s: float


class PLMapper(Procedure):
    """A mapper with 532 nm excitation. `trigger()` measures a map; `measure_spectrum()` a spectrum at (x, y).

    The records of the results are not monitored: every reading is asked from the IOC. Their shapes are those of the lab
    file. It measures also while the interlock of the reactor is tripped.

    Attributes:
        holder: positioner, number of the wafer on it.
        exposure: positioner, s; x, y: positioners, mm from the middle, where a spectrum is taken.
        axis, map, intensity, wavelength, spectrum: results.
        last_map, last_spectrum: of the last measurement that was completed from here; None before.
    """

    guarded = False

    holder = Cpt(WaferHolder, "WAFER", timeout_s=60.0, kind="normal")
    exposure = Cpt(Positioner, "EXPOSURE", unit="s", atol=1e-3, rtol=1e-3, timeout_s=10.0, kind="normal")
    x = Cpt(Positioner, "X", unit="mm", atol=0.05, timeout_s=10.0, kind="normal")
    y = Cpt(Positioner, "Y", unit="mm", atol=0.05, timeout_s=10.0, kind="normal")
    map_command = Cpt(EpicsSignal, "MAP:START", kind="omitted", auto_monitor=True)
    spectrum_command = Cpt(EpicsSignal, "SPECTRUM:START", kind="omitted", auto_monitor=True)
    axis = Cpt(EpicsSignalRO, "AXIS", kind="normal", auto_monitor=False)
    map = Cpt(EpicsSignalRO, "MAP", kind="normal", auto_monitor=False)
    intensity = Cpt(EpicsSignalRO, "INTENSITY", kind="normal", auto_monitor=False)
    wavelength = Cpt(EpicsSignalRO, "WAVELENGTH", kind="normal", auto_monitor=False)
    spectrum = Cpt(EpicsSignalRO, "SPECTRUM", kind="normal", auto_monitor=False)

    units: ClassVar[Mapping[str, str]] = {
        "axis": "mm",
        "map": "nm",
        "intensity": "counts",
        "wavelength": "nm",
        "spectrum": "counts",
    }

    def __init__(self, prefix: str = "", *, name: str, spec: MOCVDSpec, **kwargs: Any) -> None:
        self.spec = spec
        self.last_map: PLMap | None = None
        self.last_spectrum: PLSpectrum | None = None
        super().__init__(prefix, name=name, **kwargs)
        self.holder.timeout_s = spec.load_timeout_s

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        side, channels = self.spec.map_points, self.spec.spectrum_channels
        return {
            "axis": (side,),
            "map": (side, side),
            "intensity": (side, side),
            "wavelength": (channels,),
            "spectrum": (channels,),
        }

    def measure_map(self) -> Status:
        """Measure a map of the wafer on the holder; the result is in `last_map`.

        Raises:
            StaleReading, Disconnected: nothing was started.
        """
        exposure = float(self.exposure.position)

        def take() -> None:
            arrays = {name: self._array(name, getattr(self, name).get()) for name in ("axis", "map", "intensity")}
            self.last_map = PLMap(arrays["axis"], arrays["map"], arrays["intensity"], exposure)

        pixels = self.spec.map_points**2
        return self._begin("map", self.map_command, 2.0 * pixels * exposure + 60.0, after=take)

    def measure_spectrum(self) -> Status:
        """Measure a spectrum at the preset place; the result is in `last_spectrum`. Raises as `measure_map`."""
        exposure, x, y = (float(axis.position) for axis in (self.exposure, self.x, self.y))

        def take() -> None:
            arrays = {name: self._array(name, getattr(self, name).get()) for name in ("wavelength", "spectrum")}
            self.last_spectrum = PLSpectrum(arrays["wavelength"], arrays["spectrum"], x, y, exposure)

        return self._begin("spectrum", self.spectrum_command, 2.0 * exposure + 60.0, after=take)

    def trigger(self) -> Status:  # type: ignore[override]
        """The same as `measure_map`."""
        return self.measure_map()

    def _array(self, name: str, value: Any) -> Floats:
        found, shape = np.array(value, dtype=np.float64).reshape(-1), self._shapes[name]
        if found.size != int(np.prod(shape)):
            label = getattr(self, name).name
            raise AlarmError(f"{label} has {found.size} numbers and the lab file says {shape}: correct it")
        if name != "map" and not np.all(np.isfinite(found)):
            raise AlarmError(f"{getattr(self, name).name} has values that are no numbers: look at the mapper")
        return found.reshape(shape)

    def read(self) -> dict[str, Any]:
        """The records as they are now; raises as `LabDevice.read`, and AlarmError for what has another shape."""
        readings = super().read()
        for name in self._shapes:
            key = getattr(self, name).name
            readings[key]["value"] = self._array(name, readings[key]["value"])
        return readings

    def describe(self) -> dict[str, Any]:
        """Every result has a constant shape."""
        keys = super().describe()
        for name, shape in self._shapes.items():
            keys[getattr(self, name).name].update(dtype="array", shape=list(shape), dtype_numpy="<f8")
        return keys
