"""The sputter chamber as its clients meet it: the plant behind interlocks, on a real clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from ioc_sims.common.instrument import Instrument, within
from ioc_sims.sputter.elements import is_element
from ioc_sims.sputter.light import INTEGRATION_LIMITS_S
from ioc_sims.sputter.plant import Plant

_SAFE_RAMP_TIME_S = 1.0  # real time in which a full supply must be down when the interlock trips


class Chamber(Instrument):
    """A plant that lives in real time.

    Args:
        plant: the physics.
        speed: simulated seconds per real second.
        heartbeat_timeout_s: real seconds.
        clock: monotonic real time [s].
    """

    def __init__(
        self, plant: Plant, speed: float, heartbeat_timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(
            plant,
            ("WATER", "DOOR", "PRESSURE"),
            ("WATER", "DOOR", "PRESSURE", "GAUGE"),
            speed,
            heartbeat_timeout_s,
            clock,
        )
        self.plant = plant
        self.deposited = False  # a film has grown since somebody last looked
        self.exchanged = False  # a target has been exchanged since somebody last looked

    # requests: each says whether it was accepted ---------------------------------------------------------------------

    def set_power(self, index: int, watts: float) -> bool:
        """Ask for a power [W]."""
        with self.lock:
            if not self.accepts_power(index, watts):
                return False
            self.catch_up()
            self.plant.sources[index].setpoint_W = watts
            return True

    def accepts_power(self, index: int, watts: float) -> bool:
        """Whether this power may be asked for now."""
        limit = self.plant.sources[index].law.config.max_power_W
        return within(watts, 0.0, limit) and (watts == 0 or self._may_switch_on())

    def set_source_shutter(self, index: int, is_open: bool) -> bool:
        """Open or close the shutter of a source."""
        with self.lock:
            if is_open and not self._may_switch_on():
                return False
            self.catch_up()
            self.plant.open_source_shutter(index, is_open)
            return True

    def set_substrate_shutter(self, is_open: bool) -> bool:
        """Open or close the substrate shutter."""
        with self.lock:
            if is_open and not self._may_switch_on():
                return False
            self.catch_up()
            self.plant.substrate_shutter_open = is_open
            return True

    def accepts_shutter(self, is_open: bool) -> bool:
        """Whether a shutter may move that way now."""
        return not is_open or self._may_switch_on()

    def set_flow(self, sccm: float) -> bool:
        """Ask for an argon flow."""
        with self.lock:
            if not self.accepts_flow(sccm):
                return False
            self.catch_up()
            self.plant.gas.setpoint_sccm = sccm
            return True

    def set_oxygen(self, sccm: float) -> bool:
        """Ask for an oxygen flow."""
        with self.lock:
            if not self.accepts_oxygen(sccm):
                return False
            self.catch_up()
            self.plant.oxygen.setpoint_sccm = sccm
            return True

    def accepts_oxygen(self, sccm: float) -> bool:
        """Whether this oxygen flow may be asked for now; it is one of the things that the interlock shuts."""
        limit = self.plant.settings.oxygen_maximum_sccm
        return within(sccm, 0.0, limit) and (sccm == 0 or self._may_switch_on())

    def set_integration(self, seconds: float) -> bool:
        """Change the integration time of the spectrometer."""
        with self.lock:
            if not self.accepts_integration(seconds):
                return False
            self.plant.spectrometer.integration_s = seconds
            return True

    def accepts_integration(self, seconds: float) -> bool:
        """Whether this integration time is possible."""
        return within(seconds, *INTEGRATION_LIMITS_S)

    def accepts_flow(self, sccm: float) -> bool:
        """Whether this flow may be asked for."""
        return within(sccm, 0.0, self.plant.settings.maximum_flow_sccm)

    def set_angle(self, deg: float) -> bool:
        """Ask for a stage angle."""
        with self.lock:
            if not self.accepts_angle(deg):
                return False
            self.catch_up()
            self.plant.angle_setpoint_deg = deg
            return True

    def accepts_angle(self, deg: float) -> bool:
        """Whether this angle may be asked for."""
        return within(deg, -360.0, 360.0)

    def load_substrate(self) -> bool:
        """Put a fresh substrate in; refused while its shutter is open."""
        with self.lock:
            if not self.accepts_load():
                return False
            self.catch_up()
            self.plant.load_substrate()
            return True

    def accepts_load(self) -> bool:
        """Whether a substrate may be exchanged now."""
        return not self.plant.substrate_shutter_open

    def exchange_target(self, index: int, element: str) -> bool:
        """Put a new target of this element into a source; refused while its supply or its plasma is on."""
        with self.lock:
            if not self.accepts_target(index, element):
                return False
            self.catch_up()
            self.plant.mount_target(index, element)
            self.exchanged = True
            return True

    def accepts_target(self, index: int, element: str) -> bool:
        """Whether this target may be put into a source now."""
        with self.lock:
            self.catch_up()
            source = self.plant.sources[index]
            return is_element(element) and not (source.setpoint_W > 0 or source.supply_W > 0 or source.burning)

    def replace_crystal(self, index: int) -> bool:
        """Put a new crystal into a sensor; refused while the shutter of any source is open."""
        with self.lock:
            if not self.accepts_crystal():
                return False
            self.catch_up()
            self.plant.crystals[index].replace()
            return True

    def accepts_crystal(self) -> bool:
        """Whether a crystal may be exchanged now."""
        return not any(source.shutter_open for source in self.plant.sources)

    # -----------------------------------------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, bool]:
        plant = self.plant
        low, high = plant.settings.interlock_pressure_mTorr
        powered = any(source.supply_W > 0 for source in plant.sources)
        outside = powered and not low <= plant.pressure_mTorr <= high
        return {
            "WATER": self.faults["WATER"],
            "DOOR": self.faults["DOOR"],
            "PRESSURE": outside or self.faults["PRESSURE"],
        }

    def _advance(self, dt_s: float) -> None:
        self.plant.advance(dt_s, self._ramp())
        self.deposited |= self.plant.depositing

    def _ramp(self) -> float:
        """Speed of the supplies per simulated second; on a trip the whole way down takes at most a real second."""
        usual = self.plant.settings.power_ramp_W_per_s
        if self.interlock.ok:
            return usual
        largest = max(source.law.config.max_power_W for source in self.plant.sources)
        return max(usual, largest / _SAFE_RAMP_TIME_S / self.speed)
