"""A number that can be moved: power, flow, angle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO

from sdl_bluesky.errors import OutOfRange

from .base import metadata_of
from .mover import Mover


class Positioner(Mover):
    """A number with a unit: power, flow, angle.

    Args:
        prefix: PV of the readback; the setpoint is the same with ":SP".
        unit: unit of the number, as the contract fixes it.
        atol: absolute tolerance, in that unit.
        rtol: relative tolerance; a move is done when |readback - target| <= atol + rtol |target|.
        limits: the lab's own limits; the record's control limits (DRVL, DRVH) hold as well.
    """

    readback = Cpt(EpicsSignalRO, "", kind="hinted", auto_monitor=True)
    setpoint = Cpt(EpicsSignal, ":SP", kind="normal", auto_monitor=True)

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        unit: str,
        atol: float,
        rtol: float = 0.0,
        limits: tuple[float, float] = (-math.inf, math.inf),
        **kwargs: Any,
    ) -> None:
        self.atol, self.rtol, self.own_limits, self._unit = atol, rtol, limits, unit
        super().__init__(prefix, name=name, **kwargs)

    @property
    def egu(self) -> str:
        """Unit of the position."""
        return self._unit

    @property
    def units(self) -> dict[str, str]:  # type: ignore[override]
        """Both records are in the unit of the position."""
        return {"readback": self._unit, "setpoint": self._unit}

    @property
    def precision(self) -> int:
        """Digits after the point that make sense to show."""
        return int(metadata_of(self.setpoint).get("precision") or 3)

    @property
    def limits(self) -> tuple[float, float]:  # type: ignore[override]
        """Lowest and highest position that are allowed: the lab's and the record's limits together."""
        low, high = self.own_limits
        record = self.setpoint.limits or (None, None)
        if record[0] is not None and record[1] is not None and record[0] < record[1]:
            low, high = max(low, float(record[0])), min(high, float(record[1]))
        return low, high

    def _checked(self, position: Any) -> float:
        if isinstance(position, (bool, np.bool_, str)):
            raise OutOfRange(f"{self.name}: {position!r} is not a number of {self.egu}; nothing was moved")
        try:
            target = float(position)
        except (TypeError, ValueError):
            raise OutOfRange(f"{self.name}: {position!r} is not a number of {self.egu}; nothing was moved") from None
        low, high = self.limits
        if not math.isfinite(target) or not low <= target <= high:
            raise OutOfRange(
                f"{self.name}: {target:g} {self.egu} is outside {low:g} to {high:g} {self.egu}; nothing was moved"
            )
        return target

    def _is_accepted(self, raw: Any, target: float) -> bool:
        return math.isclose(float(raw), target, rel_tol=1e-6, abs_tol=1e-9)

    def _reached(self, position: float, target: float) -> bool:
        return abs(position - target) <= self.atol + self.rtol * abs(target)

    def describe(self) -> dict[str, Any]:  # type: ignore[override]
        """Data keys of readback and setpoint, both with unit and the limits of the position."""
        keys = super().describe()
        found = zip(("lower_ctrl_limit", "upper_ctrl_limit"), self.limits, strict=True)
        limits = {label: value for label, value in found if math.isfinite(value)}
        for key in keys.values():
            key.pop("lower_ctrl_limit", None)
            key.pop("upper_ctrl_limit", None)
            key.update(limits)
        return keys


def check_all(*pairs: Any) -> None:
    """Check every (device, position) pair as `bps.mv` takes them, before anything moves.

    Raises:
        OutOfRange: lists every position that is not allowed.
    """
    if len(pairs) % 2:
        raise OutOfRange("give pairs: device, position, device, position, ...")
    faults = []
    for device, position in zip(pairs[::2], pairs[1::2], strict=True):
        try:
            device.check_value(position)
        except OutOfRange as exc:
            faults.append(str(exc))
    if faults:
        raise OutOfRange("; ".join(faults))
