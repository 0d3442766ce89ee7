"""The chamber as its clients meet it: the plant on a real clock, behind interlocks, one lock round it all.

Requests may come from any thread (a Channel Access put runs on its client's thread). Each first brings simulated time
up to now, so that what it switches is switched at that moment and not at the next publication.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from ioc_sims.sputter.interlocks import Interlock, Watchdog
from ioc_sims.sputter.plant import Plant

log = logging.getLogger(__name__)

FAULTS = ("WATER", "DOOR", "PRESSURE", "GAUGE")
_STALE_PUTS_S = 1.0  # after a freeze, puts that had waited in the socket arrive within this time
_SAFE_RAMP_TIME_S = 1.0  # real time in which a full supply must be down when the interlock trips


class Chamber:
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
        self.plant = plant
        self.speed = speed
        self.interlock = Interlock()
        self.watchdog = Watchdog(heartbeat_timeout_s)
        self.faults: dict[str, bool] = dict.fromkeys(FAULTS, False)
        self.lock = threading.RLock()
        self.trips = 0
        self.deposited = False  # a film has grown since somebody last looked
        self._clock = clock
        self._last_s = clock()
        self._stale_until_s = -math.inf

    def catch_up(self) -> None:
        """Bring simulated time and interlocks up to the present.

        A gap longer than the heartbeat timeout means that this process was frozen: simulated time does not run through
        it, and an energised chamber trips at once.
        """
        with self.lock:
            now = self._clock()
            gap = max(now - self._last_s, 0.0)
            self._last_s = now
            if gap > self.watchdog.timeout_s:
                log.warning("frozen for %.1f s", gap)
                self._stale_until_s = now + _STALE_PUTS_S
                if self.plant.energised:
                    self.watchdog.trip()
                gap = 0.0
            self._check(now)
            if gap > 0:
                self.plant.advance(gap * self.speed, self._ramp())
                self.deposited |= self.plant.depositing
            self._check(now)

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
        return _within(watts, 0.0, limit) and (watts == 0 or self._may_switch_on())

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

    def accepts_flow(self, sccm: float) -> bool:
        """Whether this flow may be asked for."""
        return _within(sccm, 0.0, self.plant.settings.maximum_flow_sccm)

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
        return _within(deg, -360.0, 360.0)

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

    def set_speed(self, speed: float) -> bool:
        """Change the speed of simulated time."""
        with self.lock:
            if not _within(speed, 1.0, 1000.0):
                return False
            self.catch_up()
            self.speed = speed
            return True

    def set_fault(self, name: str, is_bad: bool) -> bool:
        """Make an input bad, as the person would who opens the door."""
        with self.lock:
            self.faults[name] = is_bad
            self.catch_up()
            return True

    def heartbeat(self) -> bool:
        """A client lives."""
        with self.lock:
            self.catch_up()
            self.watchdog.beat(self._clock())
            self._check(self._clock())
            return True

    def reset(self) -> bool:
        """Acknowledge the interlock; refused while an input is bad."""
        with self.lock:
            self.catch_up()
            return self.interlock.reset()

    def accepts_reset(self) -> bool:
        """Whether a reset would work now."""
        with self.lock:
            self.catch_up()
            return not self.interlock.any_bad

    # -----------------------------------------------------------------------------------------------------------------

    def _may_switch_on(self) -> bool:
        with self.lock:
            self.catch_up()
            return self.interlock.ok and self._clock() >= self._stale_until_s

    def _check(self, now_s: float) -> None:
        plant = self.plant
        low, high = plant.settings.interlock_pressure_mTorr
        powered = any(source.supply_W > 0 for source in plant.sources)
        outside = powered and not low <= plant.gas.pressure_mTorr <= high
        tripped = self.interlock.update(
            WATER=self.faults["WATER"],
            DOOR=self.faults["DOOR"],
            PRESSURE=outside or self.faults["PRESSURE"],
            HEARTBEAT=self.watchdog.check(now_s, plant.energised),
        )
        if tripped:
            log.warning("interlock tripped: %s", self.interlock.cause)
            self.trips += 1
        if not self.interlock.ok and plant.energised:
            plant.make_safe()

    def _ramp(self) -> float:
        """Speed of the supplies per simulated second; on a trip the whole way down takes at most a real second."""
        usual = self.plant.settings.power_ramp_W_per_s
        if self.interlock.ok:
            return usual
        largest = max(source.law.config.max_power_W for source in self.plant.sources)
        return max(usual, largest / _SAFE_RAMP_TIME_S / self.speed)


def _within(value: float, low: float, high: float) -> bool:
    return math.isfinite(value) and low <= value <= high
