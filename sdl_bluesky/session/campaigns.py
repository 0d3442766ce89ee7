"""Campaigns from outside the RunEngine: run one, go on with one, list them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bluesky.utils import MsgGenerator, RunEngineInterrupted

from sdl_bluesky.data.campaigns import start_of, stop_of
from sdl_bluesky.data.catalogue import campaigns
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.errors import CampaignError
from sdl_bluesky.plans.campaign import run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.film_stages import EndStation
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.recall import campaign_id, recall
from sdl_bluesky.plans.step import Observer
from sdl_bluesky.session.open import Session

if TYPE_CHECKING:
    from tiled.client.container import Container

CATCH_UP_S = 60.0


def campaign_plan(
    session: Session, spec: CampaignFile, history: History | None = None, observer: Observer | None = None
) -> MsgGenerator[History]:
    """The plan of a campaign in a session: its machines, and the geometry that its lab file gives."""
    station, settings = session.station, session.rbs_settings
    return run_campaign(
        session.chamber,
        spec,
        session.settings,
        history=history,
        observer=observer,
        geometry=session.lab.geometry(),
        end_station=None if station is None or settings is None else EndStation(station, settings),
    )


def run_campaign_file(
    session: Session, spec: CampaignFile, history: History | None = None, observer: Observer | None = None
) -> History:
    """Run a campaign, or what is left of one.

    Raises:
        SDLError: see `sdl_bluesky.plans.campaign.run_campaign`.
        CampaignError: it was stopped before its end.
    """
    done: list[History] = []

    def plan():  # type: ignore[no-untyped-def]  # noqa: ANN202
        done.append((yield from campaign_plan(session, spec, history, observer)))

    with suppress(
        RunEngineInterrupted
    ):  # Ctrl-C: the machine is safe, and the session aborts the plan when it is closed
        session.RE(plan())
    if not done:
        raise CampaignError("the campaign was stopped; `sdl campaign resume` goes on with it", history)
    return done[0]


def resume(session: Session, uid: str, observer: Observer | None = None) -> History:
    """Go on with a campaign from what the catalogue tells of it.

    Runs that a dead process left open were closed as aborted when the session was opened; they are not learned from.

    Args:
        session: an open session on the lab of the campaign.
        uid: campaign, or the beginning of its uid.
        observer: called after each step.

    Raises:
        CatalogueError: no such campaign. CampaignError: it is finished already.
    """
    wait_until_caught_up(session.home.log, session.client, CATCH_UP_S)
    spec, history = recall(session.client, campaign_id(session.client, uid))
    if is_finished(session.client, history.last_run):
        raise CampaignError(f"campaign {history.campaign} is finished: nothing is left to do", history)
    return run_campaign_file(session, spec, history, observer)


def is_finished(client: Container, run_uid: str) -> bool:
    """Whether a campaign run came to its planned end."""
    stop = stop_of(campaigns(client)[run_uid]) or {}  # type: ignore[arg-type]
    return stop.get("exit_status") == "success"


@dataclass(frozen=True)
class Listed:
    """One campaign in a list: state is "finished", "stopped" or "open"."""

    uid: str
    name: str
    sample: str
    started: float
    runs: int
    state: str


def list_campaigns(client: Container) -> list[Listed]:
    """All campaigns of a catalogue, oldest first."""
    chains: dict[str, list[Container]] = {}
    for uid, run in campaigns(client).items():
        chains.setdefault(str(start_of(run).get("campaign") or uid), []).append(run)  # type: ignore[arg-type]
    found = []
    for uid, runs in chains.items():
        runs.sort(key=lambda run: start_of(run)["time"])
        first, stop = start_of(runs[0]), stop_of(runs[-1])
        state = "open" if stop is None else "finished" if stop["exit_status"] == "success" else "stopped"
        found.append(
            Listed(
                uid, str(first.get("campaign_name", "")), str(first.get("sample", "")), first["time"], len(runs), state
            )
        )
    return sorted(found, key=lambda item: item.started)
