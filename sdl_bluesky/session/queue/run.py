"""A campaign in a process of its own: the agent and its documents here, the machines at a queue server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluesky.utils import MsgGenerator, RunEngineInterrupted

from sdl_bluesky.data.campaigns import campaign_id
from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.log import DocumentLog, close_open_runs
from sdl_bluesky.data.server import api_key
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.errors import CampaignError, ServiceMissing, UnknownName
from sdl_bluesky.plans.approval import Approval
from sdl_bluesky.plans.campaign import campaign_on
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.growth.campaign import run_growth
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.growth.recall import earlier_rows
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.step import Observer
from sdl_bluesky.session.campaigns import CATCH_UP_S, Spec, desk_of, history_before, recalled
from sdl_bluesky.session.claim import is_held
from sdl_bluesky.session.home import Home, find_home
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.machines import growth_settings, rbs_settings
from sdl_bluesky.session.metadata import metadata_of
from sdl_bluesky.session.open import CLOSED_REASON
from sdl_bluesky.session.queue.client import ADDRESS, QueueClient
from sdl_bluesky.session.queue.work import QueueGrower, QueueWork, Remote

if TYPE_CHECKING:
    from bluesky import RunEngine
    from tiled.client.container import Container

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentSession:
    """What an agent's process has: no machine, but the catalogue, a log of its own, and a queue server.

    Attributes:
        lab: the checked lab file.
        home: its data folder.
        RE: a RunEngine without devices, whose documents go to the log.
        remote: the queue server and the catalogue.
    """

    lab: LabFile
    home: Home
    RE: RunEngine
    remote: Remote

    @property
    def client(self) -> Container:
        """Root of the catalogue."""
        return self.remote.client


@contextmanager
def open_agent(
    lab: Path | None = None, home: Path | None = None, address: str = ADDRESS, user: str = "sdl agent"
) -> Iterator[AgentSession]:
    """Open a lab for an agent.

    Args:
        lab: lab file; as in `sdl_bluesky.session.open.open_session`.
        home: data folder.
        address: control address of the queue server.
        user: under which its items stand in the server's history.

    Raises:
        ServiceMissing, ServiceError: the lab's services or the queue server do not run, or cannot be reached.
    """
    from bluesky import RunEngine

    place = find_home(home)
    checked = place.load_lab(lab)
    info = place.services()
    if info is None:
        raise ServiceMissing(f"no services run in {place.path}: start `sdl up`, or open the queue server's environment")
    queue = QueueClient(address, user, lambda: is_held(place.session_lock))
    try:
        for uid in close_open_runs(place.log, CLOSED_REASON):
            log.warning("run %s was left open by a process that died: closed as aborted", uid)
        remote = Remote(queue, connect(info.tiled_uri, api_key(place.tiled)), place.log)
        with DocumentLog(place.log) as documents:
            engine = RunEngine(metadata_of(checked))
            engine.subscribe(documents)
            try:
                yield AgentSession(checked, place, engine, remote)
            finally:
                if engine.state == "paused":
                    engine.abort(reason="the agent's process ends")
    finally:
        queue.close()


def run_on_queue(
    session: AgentSession, spec: Spec, history: History | None = None, observer: Observer | None = None
) -> History:
    """Run a campaign, or what is left of one, through the queue server.

    Raises:
        UnknownName, ServiceMissing: the lab has no such source, sensor, or machine; nothing was asked for.
        CampaignError: it was stopped before its end. SDLError: what ended it.
    """
    done: list[History] = []

    def plan() -> MsgGenerator[None]:
        done.append((yield from _plan(session, spec, history, observer)))

    with suppress(RunEngineInterrupted):  # Ctrl-C: what the queue server does, it does to its end
        session.RE(plan())
    if not done:
        raise CampaignError("the campaign was stopped; `sdl campaign resume` goes on with it", history)
    return done[0]


def resume_on_queue(session: AgentSession, uid: str, observer: Observer | None = None) -> History:
    """Go on with a campaign from what the catalogue tells of it, once the server has ended what it still does for it.

    Raises:
        CatalogueError: no such campaign. CampaignError: it is finished already. SDLError: as `run_on_queue`.
    """
    campaign = campaign_id(session.client, uid)
    session.remote.queue.wait_for_campaign(campaign)
    wait_until_caught_up(session.home.log, session.client, CATCH_UP_S)
    spec, history = recalled(session.client, campaign)
    return run_on_queue(session, spec, history, observer)


def _plan(
    session: AgentSession, spec: Spec, history: History | None, observer: Observer | None
) -> MsgGenerator[History]:
    part = session.lab.approval
    approval = None if part is None else Approval(part.policy(), desk_of(session.home))
    known: dict[str, Any] = {"history": history, "observer": observer, "approval": approval}
    if isinstance(spec, GrowthFile):
        settings = growth_settings(session.lab)
        if settings is None:
            raise ServiceMissing("there is no MOCVD reactor: the lab file has no `mocvd` part")
        earlier = earlier_rows(session.client, spec.grow.earlier)
        return run_growth(QueueGrower(session.remote, settings), spec, earlier=earlier, **known)
    _check_names(session.lab, spec)
    if history is None:
        known["history"] = history_before(session.home, session.client, session.lab, spec)
    work = QueueWork(session.remote, list(session.lab.chamber.sensors), rbs_settings(session.lab))
    return campaign_on(work, spec, geometry=session.lab.geometry(), **known)


def _check_names(lab: LabFile, spec: CampaignFile) -> None:
    """What needs no machine to be known; limits are checked by the queue server's worker, before each experiment."""
    for source in [*spec.learn, *spec.film_sources]:
        if source not in lab.chamber.sources:
            raise UnknownName("source", source, list(lab.chamber.sources))
    if spec.sensor is not None and spec.sensor not in lab.chamber.sensors:
        raise UnknownName("sensor", spec.sensor, list(lab.chamber.sensors))
