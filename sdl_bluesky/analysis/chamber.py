"""The chamber as a run describes it in its start document: enough to analyse the run on any machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdl_bluesky.errors import CatalogueError, UnknownName
from sdl_bluesky.physics.geometry import Array, SensorGeometry, SourceGeometry


@dataclass(frozen=True)
class Chamber:
    """Sources, sensors, wafer map and ranges of one chamber.

    Attributes:
        sources: where each source stands.
        elements: what each source sputters.
        sensors: where each rate sensor stands.
        f0_Hz: frequency of each bare crystal.
        tooling_std: relative standard error of a sensor's calibration (tooling factor), one number for all.
        x_mm, y_mm: axes of the composition map on the wafer.
        power_W, pressure_mTorr: ranges of a rate surface.
    """

    sources: Mapping[str, SourceGeometry]
    elements: Mapping[str, str]
    sensors: Mapping[str, SensorGeometry]
    f0_Hz: Mapping[str, float]
    tooling_std: float
    x_mm: Array
    y_mm: Array
    power_W: tuple[float, float]
    pressure_mTorr: tuple[float, float]

    @classmethod
    def from_start(cls, start: Mapping[str, Any]) -> Chamber:
        """Read `geometry` of a start document.

        Raises:
            CatalogueError: the run carries no geometry, or not in the form of its schema.
        """
        uid = start.get("uid", "?")
        geometry = start.get("geometry")
        if not isinstance(geometry, Mapping):
            raise CatalogueError(f"run {uid} has no 'geometry' in its start document: it cannot be analysed by itself")
        try:
            sources, sensors = geometry["sources"], geometry["sensors"]
            x, y = geometry["map"]["x_mm"], geometry["map"]["y_mm"]
            low, high = (float(v) for v in geometry["ranges"]["power_W"])
            thin, thick = (float(v) for v in geometry["ranges"]["pressure_mTorr"])
            return cls(
                sources={k: SourceGeometry(_vector(v["position_cm"]), _vector(v["axis"])) for k, v in sources.items()},
                elements={k: str(v["element"]) for k, v in sources.items()},
                sensors={
                    k: SensorGeometry(_vector(v["position_cm"]), _vector(v["normal"])) for k, v in sensors.items()
                },
                f0_Hz={k: float(v["f0_Hz"]) for k, v in sensors.items()},
                tooling_std=float(geometry["tooling_std"]),
                x_mm=np.linspace(float(x[0]), float(x[1]), int(x[2])),
                y_mm=np.linspace(float(y[0]), float(y[1]), int(y[2])),
                power_W=(low, high),
                pressure_mTorr=(thin, thick),
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
            raise CatalogueError(f"run {uid}: 'geometry' in its start document is incomplete: {fault!r}") from fault

    def source(self, name: str) -> SourceGeometry:
        """One source by its name.

        Raises:
            UnknownName: the chamber has no such source.
        """
        if name not in self.sources:
            raise UnknownName("source", name, list(self.sources))
        return self.sources[name]

    def sensor_list(self) -> list[SensorGeometry]:
        """The sensors in their order."""
        return list(self.sensors.values())


def _vector(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
