"""Campaigns from outside the RunEngine: run one, go on with one, list them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bluesky.utils import MsgGenerator, RunEngineInterrupted

from sdl_bluesky.data.approvals import Desk
from sdl_bluesky.data.campaigns import campaign_chain, campaign_id, start_of, stop_of
from sdl_bluesky.data.catalogue import campaigns
from sdl_bluesky.data.status import wait_until_caught_up
from sdl_bluesky.data.yamlfile import check, read_mapping
from sdl_bluesky.errors import CampaignError, ServiceMissing
from sdl_bluesky.plans.approval import Approval
from sdl_bluesky.plans.campaign import run_campaign
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.counterfactual import Other, others
from sdl_bluesky.plans.earlier import find_earlier
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.growth.recall import earlier_rows, recall_growth, replay_growth
from sdl_bluesky.plans.history import History
from sdl_bluesky.plans.recall import recall, replay
from sdl_bluesky.plans.replayed import Replayed
from sdl_bluesky.plans.step import Observer
from sdl_bluesky.plans.work import EndStation
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.open import Session

if TYPE_CHECKING:
    from tiled.client.container import Container

CATCH_UP_S = 60.0


Spec: TypeAlias = CampaignFile | GrowthFile


def read_campaign_file(path: Path) -> Spec:
    """A campaign file of either kind: with `grow` for the reactor, or with `learn` for the sputter chamber.

    Raises:
        LabFileError: it cannot be read, or is no campaign; nothing was moved.
    """
    content = read_mapping(path)
    return check(content, GrowthFile if "grow" in content else CampaignFile, str(path))


def campaign_plan(
    session: Session,
    spec: Spec,
    history: History | None = None,
    observer: Observer | None = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[History]:
    """The plan of a campaign in a session: its machines, and what its lab file says of them. `md`: see `run_campaign`.

    Raises:
        ServiceMissing: a growth campaign in a lab without a reactor.
        CatalogueError, CampaignError: the earlier runs that the file names are not there, or cannot be used.
    """
    if isinstance(spec, GrowthFile):
        return _growth_plan(session, spec, history, observer, md)
    if history is None:
        history = history_before(session.home, session.client, session.lab, spec)
    rules = approval_of(session)
    station, settings = session.station, session.rbs_settings
    return run_campaign(
        session.chamber,
        spec,
        session.settings,
        history=history,
        observer=observer,
        geometry=session.lab.geometry(),
        end_station=None if station is None or settings is None else EndStation(station, settings),
        approval=rules,
        md=md,
    )


def history_before(home: Home, client: Container, lab: LabFile, spec: CampaignFile) -> History | None:
    """The history with which a new campaign begins: the earlier runs that its file names; None if it names none.

    Raises:
        CatalogueError, CampaignError: see `plans.earlier.find_earlier`.
    """
    if not spec.wants_earlier:
        return None
    wait_until_caught_up(home.log, client, CATCH_UP_S)
    return History(earlier=find_earlier(client, spec, lab.geometry()))


def approval_of(session: Session) -> Approval | None:
    """The lab's rules of what a person must allow, with the desk of its data folder; None without rules."""
    part = session.lab.approval
    return None if part is None else Approval(part.policy(), desk_of(session.home))


def desk_of(home: Home) -> Desk:
    """Where steps of a lab's campaigns wait for a person."""
    return Desk(home.approvals)


def _growth_plan(
    session: Session,
    spec: GrowthFile,
    history: History | None,
    observer: Observer | None,
    md: Mapping[str, Any] | None,
) -> MsgGenerator[History]:
    from sdl_bluesky.plans.growth.campaign import run_growth
    from sdl_bluesky.plans.growth.reactor import ReactorGrower

    if session.reactor is None or session.growth_settings is None:
        raise ServiceMissing("there is no MOCVD reactor: the lab file has no `mocvd` part, or its IOC does not answer")
    grower = ReactorGrower(session.reactor, session.growth_settings)
    earlier = earlier_rows(session.client, spec.grow.earlier)
    known = {"history": history, "earlier": earlier, "observer": observer, "approval": approval_of(session), "md": md}
    return run_growth(grower, spec, **known)


def run_campaign_file(
    session: Session,
    spec: Spec,
    history: History | None = None,
    observer: Observer | None = None,
    md: Mapping[str, Any] | None = None,
) -> History:
    """Run a campaign, or what is left of one; `md` goes into the start document of the campaign.

    Raises:
        SDLError: see `plans.campaign.run_campaign` and `plans.growth.campaign.run_growth`.
        CampaignError: it was stopped before its end.
    """
    done: list[History] = []

    def plan():  # type: ignore[no-untyped-def]  # noqa: ANN202
        done.append((yield from campaign_plan(session, spec, history, observer, md)))

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
    spec, history = recalled(session.client, campaign_id(session.client, uid))
    return run_campaign_file(session, spec, history, observer)


def recalled(client: Container, campaign: str) -> tuple[Spec, History]:
    """File and history of a campaign that is not finished, of either kind.

    Raises:
        CatalogueError: no such campaign. CampaignError: nothing of it is left to do.
    """
    spec: Spec
    if is_growth(client, campaign):
        spec, history = recall_growth(client, campaign)
    else:
        spec, history = recall(client, campaign)
    if is_finished(client, history.last_run):
        raise CampaignError(f"campaign {history.campaign} is finished: nothing is left to do", history)
    return spec, history


def is_growth(client: Container, campaign: str) -> bool:
    """Whether a campaign grows layers."""
    return start_of(campaign_chain(client, campaign)[0]).get("plan_name") == "run_growth"


def replay_campaign(client: Container, campaign: str) -> Iterator[Replayed]:
    """Let agents, rebuilt from the catalogue alone for every step, choose again; see `plans.recall.replay`."""
    return replay_growth(client, campaign) if is_growth(client, campaign) else replay(client, campaign)


def other_agents(client: Container, campaign: str) -> Iterator[Other]:
    """What other agents would have picked; see `plans.counterfactual`."""
    if is_growth(client, campaign):
        spec, history = recall_growth(client, campaign)
        return others(spec, history, earlier_rows(client, spec.grow.earlier))
    return others(*recall(client, campaign))


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
