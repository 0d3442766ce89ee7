"""The end station as its clients meet it: the plant behind interlocks, on a real clock.

Expected spectra take up to some 100 ms and are worked out on a thread of their own, so that no publication waits; the
charge of that time is counted when the spectrum is there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from ioc_sims.common.instrument import Instrument, within
from ioc_sims.rbs.acquisition import Floats
from ioc_sims.rbs.plant import Plant
from ioc_sims.rbs.samples import Sample, Samples
from ioc_sims.rbs.scattering import exit_angle_deg
from ioc_sims.rbs.settings import CHARGES_UC, ENERGIES_KEV, PLACES_MM, TILTS_DEG
from ioc_sims.rbs.spectra import Spectra

log = logging.getLogger(__name__)

LIMITS = {"X": PLACES_MM, "Y": PLACES_MM, "TILT": TILTS_DEG}


class Station(Instrument):
    """A plant that lives in real time.

    Args:
        plant: the physics.
        samples: what can be loaded.
        speed: simulated seconds per real second.
        heartbeat_timeout_s: real seconds.
        clock: monotonic real time [s].
        executor: where expected spectra are worked out, one at a time; None for a thread of its own.

    Attributes:
        truth_changed: an acquisition has begun since somebody last looked.
    """

    def __init__(
        self,
        plant: Plant,
        samples: Samples,
        speed: float,
        heartbeat_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
    ) -> None:
        super().__init__(plant, ("VACUUM", "DOOR"), ("VACUUM", "DOOR", "BEAM"), speed, heartbeat_timeout_s, clock)
        self.plant = plant
        self.samples = samples
        self.truth_changed = False
        self._spectra = Spectra(plant.config)
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="spectrum")
        self._expected: Future[Floats] | None = None

    # requests: each says whether it was accepted ---------------------------------------------------------------------

    def set_energy(self, keV: float) -> bool:
        """Ask for a beam energy."""
        with self.lock:
            if not self.accepts_energy(keV):
                return False
            self.catch_up()
            self.plant.energy.setpoint = keV
            return True

    def accepts_energy(self, keV: float) -> bool:
        """Whether this energy may be asked for now (not while acquiring)."""
        return within(keV, *ENERGIES_KEV) and self._idle()

    def set_axis(self, name: str, value: float) -> bool:
        """Ask for a place of the stage [mm] or its tilt [deg]."""
        with self.lock:
            if not self.accepts_axis(name, value):
                return False
            self.catch_up()
            self.plant.axes[name].setpoint = value
            return True

    def accepts_axis(self, name: str, value: float) -> bool:
        """Whether an axis may be sent there now (not while acquiring, nor where the detector would be hidden)."""
        if not within(value, *LIMITS[name]):
            return False
        if name == "TILT" and abs(exit_angle_deg(self.plant.config.setup.theta_deg, value)) >= 90:
            return False
        return self._idle()

    def set_shutter(self, is_open: bool) -> bool:
        """Open or close the beam shutter."""
        with self.lock:
            if not self.accepts_shutter(is_open):
                return False
            self.catch_up()
            self.plant.shutter_open = is_open
            return True

    def accepts_shutter(self, is_open: bool) -> bool:
        """Whether the shutter may move that way now."""
        return not is_open or self._may_switch_on()

    def load(self, number: int) -> bool:
        """Put a sample on the stage; 0 takes it away."""
        with self.lock:
            sample = self.samples.find(number) if number else None
            if not self._may_load(number, sample):
                return False
            self.plant.sample = sample
            return True

    def accepts_load(self, number: int) -> bool:
        """Whether there is such a sample, and it may be loaded now (not while acquiring)."""
        return self._may_load(number, self.samples.find(number) if number else None)

    def set_charge(self, uC: float) -> bool:
        """Set the charge at which an acquisition ends, also of one that runs."""
        with self.lock:
            if not self.accepts_charge(uC):
                return False
            self.catch_up()
            self.plant.preset_uC = uC
            return True

    def accepts_charge(self, uC: float) -> bool:
        """Whether this preset may be asked for."""
        return within(uC, *CHARGES_UC)

    def start(self) -> bool:
        """Begin an acquisition."""
        with self.lock:
            if not self.accepts_start():
                return False
            self._look_again()
            exposure = self.plant.begin()
            self._expected = self._executor.submit(
                self._spectra.per_uC, exposure.layers, exposure.energy_keV, exposure.tilt_deg
            )
            self.truth_changed = True
            return True

    def accepts_start(self) -> bool:
        """Whether an acquisition may begin.

        It needs a sample, an open shutter, stage and energy arrived, a charge to collect, a client that lives, and an
        interlock that has not tripped; and none must run.
        """
        with self.lock:
            plant = self.plant
            ready = plant.sample is not None and plant.shutter_open and plant.preset_uC > 0
            return self._may_switch_on() and self._idle() and ready and plant.arrived and self.client_alive

    def stop(self) -> bool:
        """End an acquisition."""
        with self.lock:
            self.catch_up()
            self.plant.acquisition.stop()
            return True

    # -----------------------------------------------------------------------------------------------------------------

    def _idle(self) -> bool:
        with self.lock:
            self.catch_up()
            return not self.plant.acquisition.running

    def _may_load(self, number: int, sample: Sample | None) -> bool:
        return number >= 0 and (number == 0 or sample is not None) and self._idle()

    def _look_again(self) -> None:
        """The sputter chamber may have written down the film a moment after it was loaded."""
        current = self.plant.sample
        if current is not None:
            self.plant.sample = self.samples.find(current.number) or current

    def _inputs(self) -> dict[str, bool]:
        return {"VACUUM": self.faults["VACUUM"], "DOOR": self.faults["DOOR"]}

    def _advance(self, dt_s: float) -> None:
        self.plant.beam_lost = self.faults["BEAM"]
        if self._expected is not None and self._expected.done():
            future, self._expected = self._expected, None
            if (error := future.exception()) is not None:
                log.error("the spectrum cannot be worked out, the acquisition ends: %s", error)
                self.plant.acquisition.stop()
            elif self.plant.acquisition.running:
                self.plant.expect(future.result())
        self.plant.advance(dt_s)
