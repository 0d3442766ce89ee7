"""Backscattering spectra of a film at points of its wafer: one run, one event for each point.

At each point charge is collected in portions until the film's least populated window holds enough counts, or the longest
charge is reached; the portions are added up, so no count is lost. Between the points the beam shutter is closed.

A pause closes the shutter and stops the acquisition. The point that it interrupted is measured again from its beginning;
the points before it are in the documents already and stay there. A measurement that fails keeps them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
from bluesky.utils import MsgGenerator
from numpy.typing import NDArray

from sdl_bluesky.devices import RBSStation, Spectrum
from sdl_bluesky.errors import DeviceError
from sdl_bluesky.plans.rbs_preflight import Place, RBSMap, check_map
from sdl_bluesky.plans.rbs_settings import RBSSettings
from sdl_bluesky.plans.rbs_windows import next_portion, relative_error
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.stubs import again, clear_interlock, run_safely
from sdl_bluesky.plans.watch import Watch

ATTEMPTS = 3
LOADS = 4
BETWEEN_LOADS_S = 1.0


@dataclass(frozen=True)
class RBSMeasurement:
    """What a map found.

    Attributes:
        uid: of its run.
        data: the columns of its primary stream, [points], the spectrum [points, channels].
    """

    uid: str
    data: Mapping[str, NDArray[Any]]


def measure_rbs(
    station: RBSStation,
    points: Sequence[Sequence[float]],
    settings: RBSSettings,
    *,
    sample: str,
    substrate: int,
    elements: Sequence[str],
    charge_uC: float | None = None,
    based_on: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[RBSMeasurement]:
    """Measure backscattering spectra of a film.

    Args:
        station: the machine.
        points: x, y of each point, mm from the middle of the wafer.
        settings: how it is done, and the set-up as the lab knows it.
        sample: name of the film.
        substrate: number of the film's substrate in the sputter chamber.
        elements: of the film, in any order; the substrate's are in the settings.
        charge_uC: least charge at each point; that of the settings by default.
        based_on: uid of the run that made the film.
        md: more metadata.

    Returns:
        Run and columns of the primary stream.

    Raises:
        UnknownName, OutOfRange: before anything moves.
        SDLError: the machine's fault; the shutter is closed, and the points measured by then are in the run.
    """
    plan = check_map(station, points, settings, substrate, elements, charge_uC)
    chosen = plan.settings
    start = {
        "plan_name": "measure_rbs",
        "sample": sample,
        "substrate_number": plan.substrate,
        "elements": list(plan.elements),
        **({} if based_on is None else {"based_on": based_on}),
        "rbs_setup": chosen.case(),
        "points": [list(point) for point in plan.points],
        "charge": chosen.charge_uC,
        "longest": chosen.longest_uC,
        "precision": chosen.precision,
        "windows": [{"elements": list(w.elements), "channels": [w.first, w.last]} for w in plan.windows],
        "hints": {"dimensions": [(["x", "y"], "primary")]},
        **(md or {}),
    }
    opened: list[str] = []
    rows: list[dict[str, Any]] = []
    record = Record("rbs", _fields(chosen.channels))
    yield from clear_interlock(station)
    yield from run_safely(station, _map(station, plan, record, rows), start, opened)
    return RBSMeasurement(opened[0], {key: np.array([row[key] for row in rows]) for key in rows[0]})


def _fields(channels: int) -> dict[str, Field]:
    return {
        "x": Field("number", "mm", "readback, from the middle of the wafer", hinted=True),
        "y": Field("number", "mm", "readback, from the middle of the wafer", hinted=True),
        "tilt": Field("number", "deg", "readback, between beam and surface normal"),
        "energy": Field("number", "keV", "readback"),
        "charge": Field("number", "uC", "as measured by the station", hinted=True),
        "live_time": Field("number", "s"),
        "real_time": Field("number", "s"),
        "counts": Field("number", "counts", "in all channels", hinted=True),
        "spectrum": Field("array", "counts", "all portions added up", shape=(channels,)),
        "portions": Field("integer", None, "acquisitions that were added up"),
        "relative_error": Field("number", None, "of the counts in the least populated window; nan: not judged"),
    }


def _map(station: RBSStation, plan: RBSMap, record: Record, rows: list[dict[str, Any]]) -> MsgGenerator[None]:
    baseline: list[Any] = list(station.baseline)
    readable: Any = record
    yield from bps.declare_stream(readable, name="primary")
    yield from bps.trigger_and_read(baseline, name="baseline")
    yield from again(station, lambda: _prepare(station, plan, Watch(station)), ATTEMPTS)
    for point in plan.points:
        values = yield from again(station, lambda p=point: _measure(station, plan, p, Watch(station)), ATTEMPTS)
        record.put(values)
        yield from _save(readable)
        rows.append(values)
    yield from bps.trigger_and_read(baseline, name="baseline")


def _prepare(station: RBSStation, plan: RBSMap, watch: Watch) -> MsgGenerator[None]:
    settings = plan.settings
    yield from watch.move(station.beam.shutter, "Closed")
    yield from watch.wait("idle", station.acquisition.halt)
    yield from _load(station, plan.substrate, watch)
    yield from watch.move_together(station.beam.energy, settings.energy_keV, station.stage.tilt, settings.tilt_deg)


def _load(station: RBSStation, number: int, watch: Watch) -> MsgGenerator[None]:
    """Put a film into the beam line. One that has just been made may take a moment to be there."""
    for left in reversed(range(LOADS)):
        try:
            yield from watch.move(station.loader, number)
        except DeviceError as refusal:
            if not left or type(refusal) is not DeviceError:  # a trip, a dead IOC, an interruption: no use to ask again
                raise
            yield from bps.sleep(BETWEEN_LOADS_S)
        else:
            return


def _measure(station: RBSStation, plan: RBSMap, point: Place, watch: Watch) -> MsgGenerator[dict[str, Any]]:
    """The columns of one point."""
    acquisition = station.acquisition
    yield from watch.wait("idle", acquisition.halt)
    yield from watch.move_together(station.stage.x, point[0], station.stage.y, point[1])
    yield from watch.move(station.beam.shutter, "Open")
    found: list[Spectrum] = []
    asked, portion = 0.0, plan.settings.charge_uC
    while portion > 0.0:
        yield from watch.wait(f"{portion:.3g} uC", lambda charge=portion: acquisition.acquire(charge))
        if acquisition.last is None:
            raise DeviceError(f"{acquisition.name} ended without a spectrum")
        found.append(acquisition.last)
        asked += portion
        error = relative_error(sum(shot.counts for shot in found), plan.windows)
        portion = next_portion(error, asked, plan.settings)
    values = {}
    for key, axis in (("x", station.stage.x), ("y", station.stage.y), ("tilt", station.stage.tilt)):
        values[key] = yield from bps.rd(axis)
    values["energy"] = yield from bps.rd(station.beam.energy)
    yield from watch.move(station.beam.shutter, "Closed")
    whole = found[0]
    for shot in found[1:]:
        whole += shot
    return {
        **values,
        "charge": whole.charge_uC,
        "live_time": whole.live_s,
        "real_time": whole.real_s,
        "counts": whole.total,
        "spectrum": whole.counts,
        "portions": whole.acquisitions,
        "relative_error": relative_error(whole.counts, plan.windows),
    }


def _save(readable: Any) -> MsgGenerator[None]:
    """Write the event of a point once, also when the RunEngine is paused right here: these messages are not replayed."""

    def event() -> MsgGenerator[None]:
        yield from bps.create(name="primary")
        yield from bps.read(readable)
        yield from bps.save()

    yield from bps.checkpoint()
    yield from bpp.rewindable_wrapper(event(), False)
