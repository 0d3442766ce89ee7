"""Before a campaign: is it possible, is the machine ready, and what will it take?

found = estimate(session, "campaign.yml")            in IPython, on the session's machines
found = check_file(Path("campaign.yml"), lab, home)  without a session; what runs is asked, what does not is left out
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.server import api_key
from sdl_bluesky.errors import InterlockTripped, ServiceError, ServiceMissing
from sdl_bluesky.plans.earlier import find_earlier, words_of
from sdl_bluesky.plans.estimate.amounts import Estimate
from sdl_bluesky.plans.estimate.growth import ReactorBench, estimate_growth
from sdl_bluesky.plans.estimate.habits import TICK_S, Habits
from sdl_bluesky.plans.estimate.lessons import learn_chamber, learn_growth
from sdl_bluesky.plans.estimate.rehearsal import Bench
from sdl_bluesky.plans.estimate.sputter import estimate_sputter
from sdl_bluesky.plans.estimate.used import Used, used
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.session.campaigns import Spec, read_campaign_file
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile
from sdl_bluesky.session.machines import (
    chamber_spec,
    growth_settings,
    rbs_settings,
    reactor_spec,
    sputter_settings,
    station_spec,
)

if TYPE_CHECKING:
    from tiled.client.container import Container

    from sdl_bluesky.devices import MOCVD, Chamber, Machine, RBSStation
    from sdl_bluesky.session.open import Session

ANSWERS_S = 3.0
HEARTBEAT = "HEARTBEAT"


@dataclass(frozen=True)
class Machines:
    """The machines that answer; None for one that does not, or that the campaign does not need.

    Attributes:
        all_asked: whether each one was asked that the campaign needs: then one that is missing refuses it.
    """

    chamber: Chamber | None = None
    station: RBSStation | None = None
    reactor: MOCVD | None = None
    all_asked: bool = False


@dataclass(frozen=True)
class Checked:
    """A campaign that can be done.

    Attributes:
        spec: its file.
        estimate: what it takes.
        notes: what was asked, and what could not be.
    """

    spec: Spec
    estimate: Estimate
    notes: tuple[str, ...] = ()


def estimate(session: Session, campaign: Spec | Path | str) -> Estimate:
    """What a campaign takes, with what the session's machines and catalogue tell.

    Raises:
        LabFileError, UnknownName, OutOfRange, ServiceMissing: the campaign cannot be done; nothing was moved.
        CatalogueError, CampaignError: the earlier runs that it names are not there, or cannot be used.
        InterlockTripped: the machine is not ready.
    """
    spec = read_campaign_file(Path(campaign)) if isinstance(campaign, Path | str) else campaign
    machines = Machines(session.chamber, session.station, session.reactor, all_asked=True)
    return checked(session.lab, spec, machines, session.client).estimate


def check_file(file: Path, lab: LabFile, home: Home) -> Checked:
    """Check a campaign file without a session; nothing is started, and nothing is moved.

    Raises:
        as `estimate`.
    """
    spec = read_campaign_file(file)
    with _catalogue(lab, home) as client, _reached(lab, home, spec) as (machines, notes):
        found = checked(lab, spec, machines, client)
    told = [] if client is not None else ["no catalogue answers: nothing is known of earlier runs"]
    return replace(found, notes=(*notes, *told, *found.notes))


def checked(lab: LabFile, spec: Spec, machines: Machines, client: Container | None) -> Checked:
    """Check a campaign against the lab file and the machines that answer, and estimate it.

    Raises:
        as `estimate`.
    """
    notes: list[str] = []
    for machine in (machines.reactor,) if isinstance(spec, GrowthFile) else (machines.chamber, machines.station):
        if machine is not None:
            notes.append(refuse_tripped(machine))
    if isinstance(spec, GrowthFile):
        if machines.all_asked and machines.reactor is None:
            raise ServiceMissing("the MOCVD reactor does not answer: start its IOC, then open the session again")
        return Checked(spec, estimate_growth(reactor_bench(lab, client), spec), tuple(notes))
    bench = _read(chamber_bench(lab, client, spec.learn), machines.chamber)
    if machines.all_asked and machines.station is None:
        bench = replace(bench, rbs=None)
    found = estimate_sputter(bench, spec.without_earlier())
    if spec.wants_earlier and client is not None:
        notes += words_of(find_earlier(client, spec, lab.geometry()))
    elif spec.wants_earlier:
        notes.append("earlier runs were not looked for: no catalogue answers")
    return Checked(spec, found, tuple(notes))


def refuse_tripped(machine: Machine) -> str:
    """Refuse a machine whose interlock is tripped by more than a missing heartbeat, which a session brings.

    Returns:
        What was found, in words.

    Raises:
        InterlockTripped: says which input is bad, and what to do.
    """
    interlock = machine.interlock
    if not interlock.tripped:
        return f"{machine.kind}: interlock in order"
    bad = sorted(set(interlock.bad_inputs) - {HEARTBEAT})
    if bad:
        raise InterlockTripped(
            f"{machine.kind}: {interlock.explain()}: put {', '.join(bad).lower()} right, then check again; nothing was moved"
        )
    if bool(getattr(interlock, "alarm", False)):
        raise InterlockTripped(
            f"{machine.kind}: {interlock.explain()}: a person looks at the gas system, and then does "
            f"`{interlock.name}.reset()`; nothing was moved"
        )
    return f"{machine.kind}: interlock latched, its inputs are good; the campaign resets it"


def chamber_bench(lab: LabFile, client: Container | None = None, sources: Iterable[str] | None = None) -> Bench:
    """The sputter chamber of a lab for rehearsals, with what its catalogue tells."""
    bench = Bench(chamber_spec(lab), sputter_settings(lab), habits_of(lab), rbs_settings(lab), lab.geometry())
    names = lab.chamber.sources if sources is None else sources
    return bench if client is None else learn_chamber(bench, client, lab.sha256, names)


def reactor_bench(lab: LabFile, client: Container | None = None) -> ReactorBench:
    """The reactor of a lab for rehearsals, with what its catalogue tells.

    Raises:
        ServiceMissing: the lab has none.
    """
    spec, settings = reactor_spec(lab), growth_settings(lab)
    if spec is None or settings is None:
        raise ServiceMissing("there is no MOCVD reactor: the lab file has no `mocvd` part; nothing was moved")
    bench = ReactorBench(spec, settings, habits_of(lab))
    return bench if client is None else learn_growth(bench, client, lab.sha256)


def habits_of(lab: LabFile) -> Habits:
    """What the lab file says of the pace of its machines."""
    speed = 1.0 if lab.twin is None else lab.twin.speed
    return Habits(tick_s=TICK_S * speed, speed=speed)


def _read(bench: Bench, chamber: Chamber | None) -> Bench:
    """The bench with what stands on the chamber's meters."""
    if chamber is None:
        return bench
    energy = {name: float(source.energy.get()) for name, source in chamber.sources.items()}
    life = {name: float(qcm.life.get()) for name, qcm in chamber.qcms.items()}
    return replace(bench, habits=replace(bench.habits, energy_kWh=energy, life_percent=life))


@contextmanager
def _catalogue(lab: LabFile, home: Home) -> Iterator[Container | None]:
    """The catalogue of a lab, if a server runs."""
    running = home.services()
    uri = running.tiled_uri if running is not None else lab.catalogue.uri
    client = None
    if uri != "auto":
        with suppress(ServiceError):
            client = connect(uri, api_key(home.tiled))
    yield client


@contextmanager
def _reached(lab: LabFile, home: Home, spec: Spec) -> Iterator[tuple[Machines, list[str]]]:
    """The machines that a campaign needs, as far as they answer; they are only read."""
    running = home.services()
    if running is None and lab.twin is not None:
        yield Machines(), ["the simulated machine does not run: checked against the lab file alone"]
        return
    from sdl_bluesky.session.epics_env import set_client
    from sdl_bluesky.session.twin import choose_ports

    set_client(running.addresses if running is not None else list(choose_ports(lab).values()))
    from sdl_bluesky.devices import configure_ophyd, make_chamber, make_reactor, make_station

    configure_ophyd()
    made: dict[str, Any] = {}
    spectra, growth = station_spec(lab), reactor_spec(lab)
    if isinstance(spec, GrowthFile):
        if growth is not None:
            made["reactor"] = make_reactor(lab.prefix_of("mocvd"), growth)
    else:
        made["chamber"] = make_chamber(lab.prefix, chamber_spec(lab))
        if spectra is not None and spec.target is not None and spec.target.measure is not None:
            made["station"] = make_station(lab.prefix_of("rbs"), spectra)
    notes: list[str] = []
    found: dict[str, Any] = {}
    try:
        for name, machine in made.items():
            try:
                found[name] = machine.connect(ANSWERS_S)
            except ServiceMissing:
                notes.append(f"the {machine.kind} does not answer: checked against the lab file alone")
        yield Machines(**found), notes
    finally:
        for machine in made.values():
            machine.close()


def used_by(client: Container, campaign: str, lab: LabFile) -> Used:
    """What a campaign has used; `plans.estimate.used.used` with what the lab file says of a growth's gases.

    Raises:
        CatalogueError: there is no such campaign, or it did nothing.
    """
    part, usual = lab.mocvd, Habits()
    if part is None:
        return used(client, campaign)
    hot, safe = part.recipe.temperature - usual.ambient_degC, part.protect - usual.ambient_degC
    return used(
        client,
        campaign,
        vent_s=part.recipe.soak + part.recipe.settle,
        cool_s=usual.cool_s * math.log(hot / safe),
    )
