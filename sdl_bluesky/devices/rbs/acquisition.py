"""The detector of an RBS end station: it counts until a charge is collected, or says why it did not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.status import Status

from sdl_bluesky.errors import AlarmError, DeviceError, Disconnected, InterlockTripped, MoveTimeout, OutOfRange

from ..base import is_no_answer, metadata_of, put_now
from ..pausing import Pausing, SafeStep
from ..status import ca_thread, fail, finish
from .spec import RBSSpec
from .spectrum import Spectrum

IDLE, ACQUIRING, DONE, STOPPED = STATES = ("Idle", "Acquiring", "Done", "Stopped")
POLL_S = 0.03
SETTLE_S = 0.5
NOTICE_S = 1.5


class Acquisition(Pausing):
    """Collects a spectrum for a given charge.

    `acquire(charge)` or `trigger()` (for the charge that is preset) give a status that is done when the preset charge is
    collected and all records belong to the end of that acquisition; `last` is the spectrum then. It fails with

    - DeviceError: a put was refused (no sample, shutter closed, ...), the acquisition was stopped, or the charge stands;
    - InterlockTripped, StaleReading, Disconnected: what happened to the machine;
    - MoveTimeout: the charge was not collected within the longest time; AlarmError: what came is no spectrum.

    The records of the result are not monitored: every reading is asked from the IOC.

    Attributes:
        preset: charge after which an acquisition stops, uC.
        state: "Idle", "Acquiring", "Done" or "Stopped".
        number: acquisitions so far.
        spectrum: counts in each channel; counts: in all of them.
        charge, live, real: uC, s, s.
        last: result of the last acquisition that was completed from here; None before.
        conditions: says in a few words what an acquisition depends on, for messages.
    """

    preset = Cpt(EpicsSignal, "ACQ:CHARGE:SP", kind="config", auto_monitor=True)
    start_command = Cpt(EpicsSignal, "ACQ:START", kind="omitted", auto_monitor=True)
    stop_command = Cpt(EpicsSignal, "ACQ:STOP", kind="omitted", auto_monitor=True)
    state = Cpt(EpicsSignalRO, "ACQ:STATE", kind="normal", auto_monitor=False)
    number = Cpt(EpicsSignalRO, "ACQ:NUMBER", kind="normal", auto_monitor=False)
    spectrum = Cpt(EpicsSignalRO, "MCA:SPECTRUM", kind="normal", auto_monitor=False)
    counts = Cpt(EpicsSignalRO, "MCA:COUNTS", kind="hinted", auto_monitor=False)
    charge = Cpt(EpicsSignalRO, "MCA:CHARGE", kind="hinted", auto_monitor=False)
    live = Cpt(EpicsSignalRO, "MCA:LIVE", kind="normal", auto_monitor=False)
    real = Cpt(EpicsSignalRO, "MCA:REAL", kind="normal", auto_monitor=False)

    units: ClassVar[Mapping[str, str]] = {
        "preset": "uC",
        "spectrum": "counts",
        "counts": "counts",
        "charge": "uC",
        "live": "s",
        "real": "s",
    }

    def __init__(self, prefix: str = "", *, name: str, spec: RBSSpec, **kwargs: Any) -> None:
        self.spec = spec
        self.last: Spectrum | None = None
        self.conditions: Callable[[], str] = lambda: "is there a sample, is the shutter open?"
        self._status: Status | None = None
        super().__init__(prefix, name=name, **kwargs)

    # what a plan asks for
    def check_charge(self, charge_uC: Any) -> float:
        """Raise OutOfRange if a charge to collect is no finite number above 0."""
        if isinstance(charge_uC, bool) or not isinstance(charge_uC, int | float | np.number):
            raise OutOfRange(f"{self.name}: {charge_uC!r} is not a charge in uC; nothing was started")
        if not math.isfinite(charge_uC) or charge_uC <= 0:
            raise OutOfRange(f"{self.name}: the charge must be above 0 uC, not {charge_uC:g}; nothing was started")
        return float(charge_uC)

    def acquire(self, charge_uC: float) -> Status:
        """Clear the spectrum and count until this charge is collected.

        Raises:
            OutOfRange, StaleReading, Disconnected, InterlockTripped: nothing was started.
        """
        charge = self.check_charge(charge_uC)
        if self.liveness is not None:
            self.liveness.check(interlock=True)
        superseded, self._status = self._status, Status(obj=self)
        if superseded is not None:  # its thread ends with it
            fail(superseded, DeviceError(f"{self.name}: another acquisition was asked for"))
        status = self._status
        if self.liveness is not None:
            self.liveness.guard(status)
        ca_thread(lambda: self._run(status, charge), f"acquisition {self.name}").start()
        return status

    def trigger(self) -> Status:  # type: ignore[override]
        """`acquire` for the charge that is preset."""
        return self.acquire(float(self.preset.get()))

    def halt(self) -> Status:
        """Stop an acquisition that somebody else, or an interrupted plan, has left running; done when none runs."""
        self.check_fresh()
        status = Status(obj=self)

        def run() -> None:
            with self._telling(status):
                if self._state() == ACQUIRING:
                    put_now(self.stop_command, 1)
                end = time.monotonic() + self.spec.start_timeout_s
                while self._state() == ACQUIRING:
                    if time.monotonic() > end:
                        raise DeviceError(f"{self.name} does not stop")
                    time.sleep(POLL_S)
                finish(status)

        if self.liveness is not None:
            self.liveness.guard(status, interlock=False)
        ca_thread(run, f"halt {self.name}").start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """End an acquisition that was started from here; its status fails."""
        if self._status is not None and not self._status.done:
            put_now(self.stop_command, 1)

    def safe_steps(self) -> list[SafeStep]:
        """Stop counting."""
        return [(f"stop {self.name}", lambda: put_now(self.stop_command, 1))]

    # the thread of an acquisition
    def _run(self, status: Status, charge: float) -> None:
        with self._telling(status):
            if self._state() == ACQUIRING:
                raise DeviceError(f"{self.name}: an acquisition runs already: stop it first")
            before = int(self.number.get())
            put_now(self.preset, charge)
            accepted = float(self.preset.get(use_monitor=False))
            if not math.isclose(accepted, charge, rel_tol=1e-6):
                raise DeviceError(f"{self.name}: the IOC refused {charge:g} uC and keeps {accepted:g} uC")
            put_now(self.start_command, 1)
            found = self._follow(status, before, charge)
            if found is not None and self._status is status:
                self.last = found
                finish(status)

    @contextmanager
    def _telling(self, status: Status) -> Iterator[None]:
        """Any error fails the status; silence of the IOC as what liveness makes of it."""
        try:
            yield
        except Exception as exc:
            silent = is_no_answer(exc) or isinstance(exc, Disconnected)
            over = threading.Event()
            status.add_callback(lambda _: over.set())
            if not silent:
                fail(status, exc)
            elif not over.wait(NOTICE_S):  # liveness takes a moment to say what it is
                fail(status, Disconnected(f"{self.name}: the IOC does not answer ({exc}): is it running?"))

    def _follow(self, status: Status, before: int, charge: float) -> Spectrum | None:
        """Wait for the end; None if the status is over before."""
        over = threading.Event()
        status.add_callback(lambda _: over.set())
        began = moved = time.monotonic()
        seen: tuple[Any, ...] = ()
        begun = asked_again = False
        while not over.wait(POLL_S):
            number, state, collected = int(self.number.get()), self._state(), float(self.charge.get())
            now = time.monotonic()
            begun = begun or number != before or state == ACQUIRING
            if not begun and not asked_again and now - began > self.spec.start_timeout_s / 2:
                asked_again = True  # the stage had not quite arrived, or the IOC has just been started
                put_now(self.start_command, 1)
                continue  # it shows at the next look, also if this one came late
            if (number, state, collected) != seen:
                seen, moved = (number, state, collected), now
            settled = now - moved > SETTLE_S
            if number != before and state == STOPPED and (settled or self.number.timestamp <= self.state.timestamp):
                raise self._stopped(collected, charge)
            if number != before and state == DONE:
                found = self._result()
                if settled or self._is_of_one_moment():
                    return found
            self._check_progress(begun, state, now - began, now - moved, collected, charge)
        return None

    def _check_progress(
        self, begun: bool, state: str, since_start_s: float, stood_s: float, collected: float, charge: float
    ) -> None:
        limit_s = self.spec.acquisition_timeout_s
        told = f"{self.name}: {collected:.4g} of {charge:g} uC are collected"
        if since_start_s > self.spec.start_timeout_s and (not begun or state == IDLE):
            interlock = self.liveness.interlock if self.liveness is not None else None
            kind = InterlockTripped if interlock is not None and interlock.tripped else DeviceError
            raise kind(f"{self.name}: the acquisition was not started; {self.conditions()}")
        if stood_s > self.spec.stall_s:
            raise DeviceError(f"{told} and no more come for {stood_s:.0f} s: the beam is lost; {self.conditions()}")
        if since_start_s > limit_s:
            raise MoveTimeout(f"{told} after {limit_s:g} s; {self.conditions()}")

    def _stopped(self, collected: float, charge: float) -> Exception:
        told = f"{self.name}: the acquisition was stopped after {collected:.4g} of {charge:g} uC"
        interlock = self.liveness.interlock if self.liveness is not None else None
        if interlock is not None:
            interlock.wait_for_cause(SETTLE_S)
            if interlock.tripped:
                return InterlockTripped(f"{told}; {interlock.explain()}")
        return DeviceError(told)

    def _result(self) -> Spectrum:
        counts = self._checked_spectrum(self.spectrum.get())
        self.counts.get()
        return Spectrum(counts, float(self.charge.get()), float(self.live.get()), float(self.real.get()))

    def _is_of_one_moment(self) -> bool:
        """Whether the readings just taken are of the tick in which the acquisition ended, or later."""
        results = (self.spectrum, self.counts, self.charge, self.live, self.real)
        return self.number.timestamp <= self.state.timestamp <= min(signal.timestamp for signal in results)

    def _state(self) -> str:
        return self._word(self.state.get())

    def _word(self, value: Any) -> str:
        words = tuple(metadata_of(self.state).get("enum_strs") or STATES)
        return value if isinstance(value, str) else str(words[int(value)])

    def _checked_spectrum(self, value: Any) -> NDArray[np.float64]:
        counts = np.array(value, dtype=np.float64).reshape(-1)
        if counts.shape != (self.spec.channels,):
            raise AlarmError(
                f"{self.spectrum.name} has {counts.size} channels and the lab file says {self.spec.channels}: correct it"
            )
        if not np.all(np.isfinite(counts)) or np.any(counts < 0):
            raise AlarmError(f"{self.spectrum.name} has counts that are negative or no numbers: look at the detector")
        return counts

    # what is read into data
    def read(self) -> dict[str, Any]:
        """The records as they are now; raises as `LabDevice.read`, and AlarmError for what is no spectrum."""
        self.check_fresh()
        with self.answering():
            for signal in self._read_signals():  # they are not monitored: an alarm is known when the value is asked for
                if signal.connected:
                    signal.get()
            readings = super().read()
        readings[self.spectrum.name]["value"] = self._checked_spectrum(readings[self.spectrum.name]["value"])
        readings[self.state.name]["value"] = self._word(readings[self.state.name]["value"])
        return readings

    def describe(self) -> dict[str, Any]:
        """The spectrum has a constant shape and type; the state is a word."""
        keys = super().describe()
        keys[self.spectrum.name].update(dtype="array", shape=[self.spec.channels], dtype_numpy="<f8")
        keys[self.state.name].update(dtype="string", enum_strs=STATES)
        return keys
