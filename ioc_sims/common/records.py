"""EPICS records from Python: a thin layer over softioc that keeps names whole, limits strict and time stamps equal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import epicscorelibs.ioc as epics_ioc
import epicsdbbuilder
import numpy as np
from softioc import alarm, builder, softioc

from ioc_sims.common.process import within_seconds

log = logging.getLogger(__name__)

START_WITHIN_S = 20.0

Request = Callable[[Any], bool]

_READ_ONLY = {"ASG": "READONLY", "TSE": -2}  # -2: the time stamp comes with the value
_WRITABLE = {"ASG": "SETPOINT"}


class Records:
    """The records of one IOC process.

    Readbacks are published together by `publish`. Setpoints and commands hand each put to a check, which may refuse it
    (the record keeps its value), and then to an action, both on the client's thread; what else the record must become
    (a setpoint after a trip, a command back to 0) goes through `put_back` and is written by `publish`, never while a
    lock of the caller is held.

    Args:
        prefix: put before every name.
    """

    def __init__(self, prefix: str) -> None:
        epicsdbbuilder.SetSimpleRecordNames("", "")
        self.prefix = prefix
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._pending: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._inputs) + len(self._outputs)

    def analog(self, name: str, egu: str, precision: int, **fields: Any) -> None:
        """An ai: every publication is posted, also of an unchanged value, so that rows can be aligned by time stamp."""
        self._inputs[name] = builder.aIn(
            self.prefix + name, EGU=egu, PREC=precision, MDEL=-1, ADEL=-1, **_READ_ONLY, **fields
        )

    def binary(self, name: str, off: str, on: str, **fields: Any) -> None:
        """A bi with the names of its two states."""
        self._inputs[name] = builder.boolIn(self.prefix + name, ZNAM=off, ONAM=on, **_READ_ONLY, **fields)

    def integer(self, name: str, **fields: Any) -> None:
        """A longin."""
        self._inputs[name] = builder.longIn(self.prefix + name, **_READ_ONLY, **fields)

    def text(self, name: str) -> None:
        """A stringin (at most 39 characters)."""
        self._inputs[name] = builder.stringIn(self.prefix + name, **_READ_ONLY)

    def choice(self, name: str, *states: str) -> None:
        """An mbbi with the names of its states, from 0 on."""
        self._inputs[name] = builder.mbbIn(self.prefix + name, *states, **_READ_ONLY)

    def waveform(self, name: str, length: int, egu: str, datatype: type[np.generic] = np.int32) -> None:
        """A waveform, of 32 bit integers if not said otherwise."""
        self._inputs[name] = builder.WaveformIn(
            self.prefix + name, length=length, datatype=datatype, EGU=egu, **_READ_ONLY
        )

    def analog_setpoint(
        self,
        name: str,
        egu: str,
        precision: int,
        limits: tuple[float, float],
        initial: float,
        accepts: Request,
        action: Request,
    ) -> None:
        """An ao whose limits refuse.

        The record itself would clip a value at DRVL and DRVH without a word. They lie a billionth of the span outside
        the limits, so that a clipped value is outside and `accepts` refuses it; LOPR and HOPR are the limits.
        """
        low, high = limits
        margin = 1e-9 * (high - low)
        self._outputs[name] = builder.aOut(
            self.prefix + name,
            EGU=egu,
            PREC=precision,
            DRVL=low - margin,
            DRVH=high + margin,
            LOPR=low,
            HOPR=high,
            initial_value=initial,
            validate=self._validator(name, accepts),
            on_update=self._updater(name, action),
            **_WRITABLE,
        )

    def binary_setpoint(self, name: str, off: str, on: str, accepts: Request, action: Request) -> None:
        """A bo that starts in its first state."""
        self._outputs[name] = builder.boolOut(
            self.prefix + name,
            ZNAM=off,
            ONAM=on,
            initial_value=0,
            validate=self._validator(name, lambda value: value in (0, 1) and accepts(value)),
            on_update=self._updater(name, action),
            **_WRITABLE,
        )

    def command(self, name: str, on: str, accepts: Callable[[], bool], action: Callable[[], bool]) -> None:
        """A bo that acts on every 1 and goes back to 0."""

        def act(value: int) -> bool:
            if value:
                self.put_back(name, 0)
                action()
            return True

        self._outputs[name] = builder.boolOut(
            self.prefix + name,
            ZNAM="Idle",
            ONAM=on,
            initial_value=0,
            always_update=True,
            validate=self._validator(name, lambda value: value == 0 or (value == 1 and accepts())),
            on_update=act,
            **_WRITABLE,
        )

    def counter(self, name: str, action: Request) -> None:
        """A longout that acts on every put, also of the same number."""
        self.number_setpoint(name, 0, lambda _value: True, action)

    def number_setpoint(self, name: str, initial: int, accepts: Request, action: Request) -> None:
        """A longout that acts on every put that is accepted, also of the same number."""
        self._outputs[name] = builder.longOut(
            self.prefix + name,
            initial_value=initial,
            always_update=True,
            validate=self._validator(name, accepts),
            on_update=self._updater(name, action),
            **_WRITABLE,
        )

    def text_setpoint(self, name: str, current: Callable[[], str], accepts: Request, action: Request) -> None:
        """A stringout that acts on every put that is accepted, also of the same text; `current` is what holds."""

        def update(value: str) -> None:
            if not action(value):
                self.put_back(name, current())

        self._outputs[name] = builder.stringOut(
            self.prefix + name,
            initial_value=current(),
            always_update=True,
            validate=self._validator(name, accepts),
            on_update=update,
            **_WRITABLE,
        )

    def put_back(self, name: str, value: Any) -> None:
        """Write an output record at the next publication."""
        with self._lock:
            self._pending[name] = value

    def publish(self, values: Mapping[str, Any], time_s: float, invalid: Mapping[str, int] | None = None) -> None:
        """Write the outputs that wait, then set readbacks, all with one time stamp.

        In this order whoever reads that an interlock has tripped reads setpoints that are off.

        Args:
            values: by name without prefix.
            time_s: UNIX time of all of them.
            invalid: alarm status of readings that are no readings (they get severity INVALID).
        """
        with self._lock:
            pending, self._pending = self._pending, {}
        for name, value in pending.items():
            self._outputs[name].set(value)
        invalid = invalid or {}
        for name, value in values.items():
            if name in invalid:
                self._inputs[name].set(value, severity=alarm.INVALID_ALARM, alarm=invalid[name], timestamp=time_s)
            else:
                self._inputs[name].set(value, timestamp=time_s)

    def serve(self, access_file: str, pva: bool) -> None:
        """Load the database and start to serve; once per process.

        Args:
            access_file: name of the access security file in this package.
            pva: also serve PV Access.
        """
        builder.LoadDatabase()
        with resources.as_file(resources.files("ioc_sims") / access_file) as path:
            epics_ioc.dbCore.asSetFilename(str(path).encode())
            with within_seconds(START_WITHIN_S, "the start of Channel Access"):
                softioc.iocInit(_inline, enable_pva=pva)

    def _validator(self, name: str, accepts: Request) -> Callable[[Any, Any], bool]:
        def validate(record: Any, value: Any) -> bool:
            if accepts(value):
                return True
            log.info("refused: %s%s = %s", self.prefix, name, value)
            raw = record._record  # the record gets its old value back: take back the alarm that a NaN raised, too
            raw.UDF, raw.NSEV, raw.NSTA = 0, alarm.NO_ALARM, alarm.NO_ALARM
            return False

        return validate

    def _updater(self, name: str, action: Request) -> Callable[[Any], None]:
        def update(value: Any) -> None:
            if not action(value):  # the world has changed between the check and the action
                self.put_back(name, 0)

        return update


def _inline(
    func: Callable[..., Any],
    func_args: tuple[Any, ...] = (),
    completion: Callable[..., Any] | None = None,
    completion_args: tuple[Any, ...] = (),
) -> None:
    """Dispatcher of softioc that acts at once, on the thread that processes the record."""
    func(*func_args)
    if completion is not None:
        completion(*completion_args)
