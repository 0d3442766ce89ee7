"""Setpoints that the reactor itself may change, and records that show them without acting on them again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ioc_sims.common.records import Records, Request
from ioc_sims.mocvd.plant import Plant
from ioc_sims.mocvd.settings import GROUP_III


def setpoints(plant: Plant) -> dict[str, Any]:
    """What every setpoint is now, by the name of its record."""
    mapper, scan = plant.mapper, plant.diffractometer
    return {
        **{f"{name}:FLOW:SP": one.setpoint for name, one in plant.controllers.items()},
        **{f"{name}:VALVE:SP": int(run) for name, run in plant.run.items()},
        **{f"{name}:ARM:SP": int(name in plant.sequence.armed) for name in GROUP_III},
        "TEMPERATURE:SP": plant.susceptor.setpoint,
        "TEMPERATURE:RAMP:SP": plant.susceptor.ramp,
        "ROTATION:SP": plant.rotation_setpoint,
        "PRESSURE:SP": plant.pressure_setpoint,
        "GROWTH:DURATION:SP": plant.sequence.duration_s,
        "PL:WAFER:SP": mapper.wafer.number if mapper.wafer else 0,
        "PL:EXPOSURE:SP": mapper.exposure_s,
        "PL:X:SP": mapper.place_mm["X"],
        "PL:Y:SP": mapper.place_mm["Y"],
        "XRD:WAFER:SP": scan.wafer.number if scan.wafer else 0,
        "XRD:FIRST:SP": scan.first_deg,
        "XRD:LAST:SP": scan.last_deg,
        "XRD:STEP:SP": scan.step_deg,
        "XRD:TIME:SP": scan.time_s,
    }


class EchoRecords(Records):
    """Records whose outputs, when they are written by `publish`, only show what is.

    A record that is written is processed, and would ask for what it shows. A growth that has just ended must not begin
    again because its valve is still to be shown as open.

    Args:
        prefix: put before every name.
        plant: keeps the names of setpoints that must be shown anew.
    """

    def __init__(self, prefix: str, plant: Plant) -> None:
        super().__init__(prefix)
        self._plant = plant
        self._publisher: int | None = None

    def publish(self, values: Mapping[str, Any], time_s: float, invalid: Mapping[str, int] | None = None) -> None:
        """Set readbacks, and write the outputs that wait without acting on them."""
        self._publisher = threading.get_ident()
        try:
            super().publish(values, time_s, invalid)
        finally:
            self._publisher = None

    @property
    def _echoing(self) -> bool:
        """Whether this thread is publishing (puts of clients come on threads of their own)."""
        return self._publisher == threading.get_ident()

    def _validator(self, name: str, accepts: Request) -> Callable[[Any, Any], bool]:
        usual = super()._validator(name, accepts)
        return lambda record, value: self._echoing or usual(record, value)

    def _updater(self, name: str, action: Request) -> Callable[[Any], None]:
        def update(value: Any) -> None:
            if not self._echoing and not action(value):  # the world has changed between the check and the action
                self._plant.changed.add(name)

        return update
