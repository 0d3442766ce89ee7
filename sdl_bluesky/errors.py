"""Typed errors of the whole package.

Every message says what was wrong, where, and what to do. Errors that stop a piece of work carry the part that was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SDLError(Exception):
    """Base of every error that this package raises on purpose."""


class OutOfRange(SDLError, ValueError):
    """A number lies outside the range in which it has a meaning, or outside a limit; nothing was moved."""


class UnknownName(SDLError, KeyError):
    """A name (source, sensor, agent, plan, ...) that the lab or the program does not have."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}: choose one of {', '.join(map(repr, self.known)) or '(none)'}")

    def __str__(self) -> str:
        return str(self.args[0])


class LabFileError(SDLError, ValueError):
    """The lab file (or a campaign file) cannot be used; every fault found is listed."""


class UnitError(LabFileError):
    """A quantity has no unit, or another one than the contract fixes."""


class ServiceError(SDLError, RuntimeError):
    """A service (IOC, Tiled, Redis) cannot be started, reached or used."""


class PortInUse(ServiceError):
    """The port that a service should listen on belongs to somebody else."""


class ServiceMissing(ServiceError):
    """A service does not answer at its address."""


class DeviceError(SDLError, RuntimeError):
    """An instrument cannot do what it was asked to do."""


class StaleReading(DeviceError):
    """The IOC stopped updating: its last values are no readings any more."""


class Disconnected(DeviceError):
    """The connection to the IOC is lost."""


class AlarmError(DeviceError):
    """A reading carries an alarm that makes it invalid."""


class InterlockTripped(DeviceError):
    """An interlock of the machine is tripped; it names the cause."""


class MoveTimeout(DeviceError, TimeoutError):
    """A setpoint was not reached in time; the last readback is in the message."""


class PlasmaError(DeviceError):
    """A plasma did not ignite, or went out; what was seen of it, where it is known.

    Attributes:
        source: name of the source.
        power_W: power that was asked for.
        lit_pressure_mTorr: last pressure at which it was seen burning.
        out_pressure_mTorr: pressure at which it was seen out; None if it never burnt.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        power_W: float | None = None,
        lit_pressure_mTorr: float | None = None,
        out_pressure_mTorr: float | None = None,
    ) -> None:
        self.source, self.power_W = source, power_W
        self.lit_pressure_mTorr, self.out_pressure_mTorr = lit_pressure_mTorr, out_pressure_mTorr
        super().__init__(message)

    @property
    def seen(self) -> str:
        """The pressures as a line of text, for a traceback that another process reads."""
        lit, out = ("unknown" if k is None else repr(k) for k in (self.lit_pressure_mTorr, self.out_pressure_mTorr))
        return f"seen: lit {lit} mTorr, out {out} mTorr"


class TargetChanged(SDLError, ValueError):
    """The target is another one than that of which a model was learned, or its energy counter went back: learn it again."""


class Unidentifiable(SDLError, ValueError):
    """The data cannot determine the parameters that were asked for; the message says which and why."""


class WeakSignal(SDLError, ValueError):
    """The signal-to-noise ratio is too low for the parameters to mean anything."""


class IngestError(SDLError, ValueError):
    """Rows that an agent refused. The good rows of the same call were kept.

    Attributes:
        rows: index of each refused row, with the reason.
    """

    def __init__(self, rows: Mapping[int, str]) -> None:
        self.rows = dict(rows)
        text = "; ".join(f"row {i}: {why}" for i, why in self.rows.items())
        super().__init__(f"{len(self.rows)} row(s) refused, the others were kept: {text}")


class CampaignError(SDLError, RuntimeError):
    """A campaign cannot start, go on or be read; carries what was done so far.

    Attributes:
        partial: what was done before the fault, if anything.
    """

    def __init__(self, message: str, partial: Any = None) -> None:
        self.partial = partial
        super().__init__(message)


class Vetoed(CampaignError):
    """A person, or a rule of the lab file, does not want a step; it was not begun."""


class NotApproved(CampaignError):
    """A step waited for an approval that nobody gave; it was not begun."""


class CatalogueError(SDLError, LookupError):
    """Something is not in the catalogue, or not in the form that its schema says."""


class DataFileError(SDLError, ValueError):
    """A file of measured or tabulated data cannot be used; nothing of it was taken.

    Attributes:
        path: the file.
        line: number of the line, from 1, where one line is to blame.
    """

    def __init__(self, path: object, what: str, line: int | None = None) -> None:
        self.path, self.line = str(path), line
        where = self.path if line is None else f"{self.path}, line {line}"
        super().__init__(f"{where}: {what}")


class SpectrumFileError(DataFileError):
    """A file holds no usable spectrum."""


class CrossSectionFileError(DataFileError):
    """A file holds no usable cross section."""


class ModelFileError(DataFileError):
    """A file holds no usable model."""


class ModelMismatch(SDLError, ValueError):
    """A model was trained for another measurement than this one; every difference is listed.

    Attributes:
        model: its name.
        differences: one text each.
    """

    def __init__(self, model: str, differences: Sequence[str]) -> None:
        self.model, self.differences = model, tuple(differences)
        super().__init__(
            f"model {model!r} is not for this measurement: {'; '.join(self.differences)}: train one for this set-up "
            "(sdl rbs train), or measure as the model expects"
        )


class CaseFileError(SDLError, ValueError):
    """A file of cases, or one case of it, cannot be used; every fault found is listed.

    Attributes:
        faults: one text for each fault, with the field that is wrong.
    """

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.where, self.faults = where, tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(f"{where} has {len(self.faults)} fault(s):{lines}")
