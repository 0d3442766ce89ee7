"""From a lab file to a working session: devices, RunEngine, log, catalogue, safety. One door for the interactive shell,
the queue server's worker, the command line and tests.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.log import DocumentLog, close_open_runs
from sdl_bluesky.data.server import api_key
from sdl_bluesky.errors import ServiceError, ServiceMissing
from sdl_bluesky.session.claim import Claim
from sdl_bluesky.session.epics_env import Address, address_list, set_client
from sdl_bluesky.session.home import Home, find_home
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.machines import (
    chamber_spec,
    growth_settings,
    rbs_settings,
    reactor_spec,
    sputter_settings,
    station_spec,
)
from sdl_bluesky.session.metadata import metadata_of
from sdl_bluesky.session.scan_id import ScanId
from sdl_bluesky.session.services import Services

if TYPE_CHECKING:
    from bluesky import RunEngine
    from tiled.client.container import Container

    from sdl_bluesky.analysis.doors import AnalysisCallback
    from sdl_bluesky.devices import MOCVD, Chamber, Guard, Machine, RBSStation
    from sdl_bluesky.plans.mocvd.settings import GrowthSettings
    from sdl_bluesky.plans.rbs_settings import RBSSettings
    from sdl_bluesky.plans.settings import SputterSettings

    M = TypeVar("M", bound=Machine)

__all__ = ["Session", "chamber_spec", "open_session", "rbs_settings", "sputter_settings", "station_spec"]

log = logging.getLogger(__name__)

CLOSED_REASON = "the process that made this run is dead; closed by a later session"
CLAIM_PATIENCE_S = 3.0
"""A session that is just being closed (a queue server's environment, the shell in the other terminal) may take this long."""
STATION_ANSWERS_S = 5.0


@dataclass
class Session:
    """Everything that a person or a program needs to run a lab.

    Attributes:
        lab: the checked lab file.
        home: its data folder.
        chamber: the devices of its sputter chamber, connected.
        RE: the RunEngine; every document goes to the write-ahead log first.
        client: the root of the catalogue (Tiled).
        settings: how experiments are done.
        guard: heartbeats and safety hook of all machines.
        log: the write-ahead log.
        tiled_uri: address of the catalogue's server.
        analysis: the callback that analyses finished runs; None if switched off.
        services: those that this session started itself; None if others keep them.
        claim: the right to run this lab, which one process at a time has.
        station: the RBS end station, connected; None if the lab has none, or it did not answer.
        rbs_settings: how spectra are measured; None if the lab has no RBS end station.
        reactor: the MOCVD reactor, connected; None if the lab has none, or it did not answer.
        growth_settings: how layers are grown; None if the lab has no MOCVD reactor.
    """

    lab: LabFile
    home: Home
    chamber: Chamber
    RE: RunEngine
    client: Container
    settings: SputterSettings
    guard: Guard
    log: DocumentLog
    tiled_uri: str
    analysis: AnalysisCallback | None = None
    services: Services | None = None
    claim: Claim | None = None
    station: RBSStation | None = None
    rbs_settings: RBSSettings | None = None
    reactor: MOCVD | None = None
    growth_settings: GrowthSettings | None = None
    _closed: bool = field(default=False, repr=False)

    def close(self) -> None:
        """Make the machine safe, finish analyses, end what this session started. Harmless to call twice."""
        if self._closed:
            return
        self._closed = True
        if self.RE.state == "paused":
            with suppress(Exception):  # the plan's own fault while it cleans up
                self.RE.abort(reason="the session was closed while the plan was paused")
        with ExitStack() as steps:  # done from the last to the first, each one also when another fails
            if self.claim is not None:
                steps.callback(self.claim.release)
            if self.services is not None:
                steps.callback(self.services.stop)
            steps.callback(self.log.close)
            steps.callback(self.chamber.close)
            for machine in (self.station, self.reactor):
                if machine is not None:
                    steps.callback(machine.close)
            if self.analysis is not None:
                steps.callback(self.analysis.close)
            steps.callback(self.guard.close)

    def __enter__(self) -> Session:
        """Use as a context manager to have it closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def open_session(
    lab: Path | str | LabFile | None = None,
    home: Path | str | Home | None = None,
    *,
    analyse: bool = True,
    tell: Callable[[str], None] = log.info,
) -> Session:
    """Open a lab.

    Services that run already (`sdl up`) are used; a simulated lab without any starts its own, which end with the session.

    Args:
        lab: lab file, or its path; by default the one in the data folder, ``$SDL_LAB``, or the shipped one.
        home: data folder; by default ``$SDL_HOME`` or one of the user's named after the lab.
        analyse: analyse runs when they end.
        tell: called with lines of text about what was started.

    Raises:
        UnitError, LabFileError: the lab file has faults; nothing was started.
        PortInUse, ServiceMissing, ServiceError: a service cannot be started or reached, or another process runs this
            lab; what to do is in the message.
    """
    place = home if isinstance(home, Home) else find_home(home, lab if isinstance(lab, LabFile) else None)
    checked = lab if isinstance(lab, LabFile) else place.load_lab(lab)
    place.make()
    claim = Claim(place.session_lock, "runs this lab", CLAIM_PATIENCE_S)
    try:
        session = _start(checked, place, analyse, tell)
    except BaseException:
        claim.release()
        raise
    session.claim = claim
    return session


def _start(checked: LabFile, place: Home, analyse: bool, tell: Callable[[str], None]) -> Session:
    services = None
    info = place.services()
    if info is not None and (info.lab, info.prefix) != (checked.name, checked.prefix):
        raise ServiceError(
            f"the services of {place.path} belong to lab {info.lab!r} ({info.prefix}), not to {checked.name!r}: "
            "end them, or choose another --home"
        )
    if info is None:
        services = Services(checked, place, tell)
        info = services.info
    try:
        return _open(checked, place, info.addresses, info.tiled_uri, services, analyse)
    except BaseException:
        if services is not None:
            services.stop()
        raise


def _open(
    lab: LabFile, home: Home, addresses: Sequence[Address], uri: str, services: Services | None, analyse: bool
) -> Session:
    _point_epics(addresses)
    from bluesky import RunEngine

    from sdl_bluesky.devices import (
        Guard,
        Severity,
        SuspendOnAlarm,
        configure_ophyd,
        make_chamber,
        make_reactor,
        make_station,
    )

    key = api_key(home.tiled)
    client = connect(uri, key)
    for uid in close_open_runs(home.log, CLOSED_REASON):
        log.warning("run %s was left open by a process that died: closed as aborted", uid)
    documents = DocumentLog(home.log)
    configure_ophyd()
    spectra, growth = station_spec(lab), reactor_spec(lab)
    made_station = None if spectra is None else make_station(lab.prefix_of("rbs"), spectra)
    made_reactor = None if growth is None else make_reactor(lab.prefix_of("mocvd"), growth)
    chamber = make_chamber(lab.prefix, chamber_spec(lab)).connect()
    station, reactor = _connected(made_station), _connected(made_reactor)
    guard = Guard(chamber, *(machine for machine in (station, reactor) if machine is not None))
    guard.start()
    engine = RunEngine(metadata_of(lab), scan_id_source=ScanId(home.path / "scan-id"))
    engine.subscribe(documents)
    analysis = None
    if analyse:
        from sdl_bluesky.analysis.doors import AnalysisCallback

        analysis = AnalysisCallback(lambda: connect(uri, key), home.log, models=(home.models,))
        engine.subscribe(analysis)
    engine.install_suspender(SuspendOnAlarm(chamber.gauge.pressure, Severity.INVALID, sleep=1.0))
    engine.preprocessors.append(_refuse_without_log(documents))
    guard.attach(engine)
    session = Session(
        lab,
        home,
        chamber,
        engine,
        client,
        sputter_settings(lab),
        guard,
        documents,
        uri,
        analysis,
        services,
        station=station,
        rbs_settings=rbs_settings(lab),
        reactor=reactor,
        growth_settings=growth_settings(lab),
    )
    # as atexit, but also in a process of multiprocessing (a queue server's worker), and never in a forked copy
    Finalize(None, session.close, exitpriority=100)
    return session


def _connected(machine: M | None) -> M | None:
    """A machine, or None with a warning: the chamber can be used without it."""
    if machine is None:
        return None
    try:
        return machine.connect(STATION_ANSWERS_S)
    except ServiceMissing as fault:
        log.warning("the session goes on without the %s; open it again to have it: %s", machine.kind, fault)
        machine.close()
        return None


def _point_epics(addresses: Sequence[Address]) -> None:
    """Channel Access reads its addresses when the first channel of the process is made; later it is too late."""
    library = sys.modules.get("epics.ca")
    used = library is not None and any(getattr(library, "_cache", {}).values())
    if not used:
        set_client(addresses)
        return
    missing = set(address_list(addresses)) - set(os.environ.get("EPICS_CA_ADDR_LIST", "").split())
    if missing:
        raise ServiceError(
            f"this process talks to other IOCs already and cannot be pointed to {', '.join(sorted(missing))}: one lab a "
            "process"
        )


def _refuse_without_log(documents: DocumentLog) -> Callable[[Any], Any]:
    def preprocessor(plan: Any) -> Any:
        if documents.failed is not None:
            raise ServiceError(f"no run is started: {documents.failed}")
        return (yield from plan)

    return preprocessor
