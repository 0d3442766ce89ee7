"""What a sputter chamber consists of: frozen descriptions that need no control system to exist."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sdl_bluesky.errors import LabFileError, OutOfRange, UnknownName

Vector = tuple[float, float, float]
RESERVED_NAMES = ("gas", "gauge", "wide_gauge", "substrate", "interlock", "clock", "liveness", "qcm_stream")
REACTIVE_NAMES = ("oxygen", "spectrometer")


def _check_direction(owner: str, label: str, vector: Vector) -> None:
    length = math.sqrt(sum(c * c for c in vector))
    if not math.isclose(length, 1.0, abs_tol=1e-3):
        raise OutOfRange(f"{owner}: {label} {vector} has length {length:.4g}; give a unit vector")


def _check_finite(owner: str, label: str, vector: Vector) -> None:
    if len(vector) != 3 or not all(math.isfinite(c) for c in vector):
        raise OutOfRange(f"{owner}: {label} {vector} must be three finite numbers (cm)")


@dataclass(frozen=True)
class SourceSpec:
    """One sputter source.

    Attributes:
        name: name in plans and data, such as "cu".
        pv: PV stub after the chamber's prefix, such as "S1:".
        element: symbol of the target's element; checked against the TARGET record when the chamber connects.
        position_cm: centre of the target, in the frame of the substrate (its centre is the origin, z its normal).
        axis: unit vector out of the source.
        max_power_W: the lab's own limit; the IOC's limits hold as well.
        power_tolerance_W: a power move is done when the readback is this close to the setpoint.
    """

    name: str
    pv: str
    element: str
    position_cm: Vector
    axis: Vector
    max_power_W: float = 100.0
    power_tolerance_W: float = 0.5

    def __post_init__(self) -> None:
        _check_finite(f"source {self.name!r}", "position_cm", self.position_cm)
        _check_finite(f"source {self.name!r}", "axis", self.axis)
        _check_direction(f"source {self.name!r}", "axis", self.axis)
        for label, value in (("max_power_W", self.max_power_W), ("power_tolerance_W", self.power_tolerance_W)):
            if not (math.isfinite(value) and value > 0):
                raise OutOfRange(f"source {self.name!r}: {label} is {value}; it must be a positive number")


@dataclass(frozen=True)
class QCMSpec:
    """One quartz crystal microbalance.

    Attributes:
        name: name in plans and data, such as "qcm1".
        pv: PV stub after the chamber's prefix, such as "Q1:".
        position_cm: centre of the crystal, in the frame of the substrate.
        normal: unit vector out of the crystal's face.
        f0_Hz: frequency of the bare crystal.
    """

    name: str
    pv: str
    position_cm: Vector
    normal: Vector = (0.0, 0.0, 1.0)
    f0_Hz: float = 6e6

    def __post_init__(self) -> None:
        _check_finite(f"QCM {self.name!r}", "position_cm", self.position_cm)
        _check_finite(f"QCM {self.name!r}", "normal", self.normal)
        _check_direction(f"QCM {self.name!r}", "normal", self.normal)
        if not (math.isfinite(self.f0_Hz) and self.f0_Hz > 0):
            raise OutOfRange(f"QCM {self.name!r}: f0_Hz is {self.f0_Hz}; it must be a positive number")


@dataclass(frozen=True)
class ReactiveSpec:
    """Oxygen, and the spectrometer that tells metal from gas.

    Attributes:
        lines_nm: a line of the metal of each source [nm].
        reference_nm: line of argon that they are compared with.
        resolution_nm: full width at half maximum of a line.
        max_flow_sccm: the lab's own limit of the oxygen flow.
        flow_tolerance_sccm, flow_tolerance_relative: a flow is reached when the readback is this close.
        gas, spectrometer: PV stubs.
    """

    lines_nm: Mapping[str, float]
    reference_nm: float = 811.5
    resolution_nm: float = 1.2
    max_flow_sccm: float = 10.0
    flow_tolerance_sccm: float = 0.02
    flow_tolerance_relative: float = 0.01
    gas: str = "O2:"
    spectrometer: str = "OES:"

    def __post_init__(self) -> None:
        numbers = {f"line of {k}": v for k, v in self.lines_nm.items()}
        numbers |= {label: getattr(self, label) for label in ("reference_nm", "resolution_nm", "max_flow_sccm")}
        for label, value in numbers.items():
            if not (math.isfinite(value) and value > 0):
                raise OutOfRange(f"reactive part: {label} is {value}; it must be a positive number")


@dataclass(frozen=True)
class ChamberSpec:
    """One sputter chamber with any number of sources and QCMs.

    Tolerances say when a move is done; timeouts (real seconds, also on a fast simulation) say when it has failed.

    Attributes:
        has_clock: the IOC publishes a process clock ({P}SIM:TIME); without it, process time is wall time.
        has_target_numbers: the IOC counts the targets of each source ({P}S1:TARGET:NUMBER).
        stale_after_s: an IOC whose beat is older than this is taken as hung.
        gas, gauge, wide_gauge, substrate, interlock, clock: PV stubs; `wide_gauge=None` where there is none.
        reactive: oxygen and spectrometer; None in a chamber without them.
    """

    sources: tuple[SourceSpec, ...]
    qcms: tuple[QCMSpec, ...]
    name: str = "chamber"
    has_clock: bool = True
    has_target_numbers: bool = False
    max_flow_sccm: float = 200.0
    flow_tolerance_sccm: float = 0.5
    flow_tolerance_relative: float = 0.01
    angle_tolerance_deg: float = 0.1
    power_timeout_s: float = 60.0
    flow_timeout_s: float = 60.0
    shutter_timeout_s: float = 10.0
    angle_timeout_s: float = 120.0
    load_timeout_s: float = 30.0
    stale_after_s: float = 2.0
    gas: str = "GAS:"
    gauge: str = "GAUGE:PROCESS:"
    wide_gauge: str | None = "GAUGE:WIDE:"
    substrate: str = "SUBSTRATE:"
    interlock: str = "INTERLOCK:"
    clock: str = "SIM:"
    reactive: ReactiveSpec | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise LabFileError(f"{self.name}: a sputter chamber needs at least one source")
        names = [s.name for s in self.sources] + [q.name for q in self.qcms] + list(RESERVED_NAMES)
        if self.reactive is not None:
            names += REACTIVE_NAMES
        stubs = [s.pv for s in self.sources] + [q.pv for q in self.qcms]
        for label, found in (("name", names), ("PV stub", stubs)):
            twice = sorted(item for item, n in Counter(found).items() if n > 1)
            if twice:
                raise LabFileError(f"{self.name}: {label} used twice: {', '.join(map(repr, twice))}")
        for source in self.sources:
            if not source.name.isidentifier():
                raise LabFileError(f"{self.name}: source name {source.name!r} is no identifier (letters, digits, _)")
        for qcm in self.qcms:
            if not qcm.name.isidentifier():
                raise LabFileError(f"{self.name}: QCM name {qcm.name!r} is no identifier (letters, digits, _)")
        known = [s.name for s in self.sources]
        for name in self.reactive.lines_nm if self.reactive is not None else ():
            if name not in known:
                raise UnknownName("source with a line", name, known)
