"""What a person finds in the shell and a queue server in its environment: devices by name, plans with typed arguments.

A queue server describes plans by the annotations of their parameters, so these are types here and not text (no
``from __future__ import annotations``), and by numpy-style docstrings.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky.utils import MsgGenerator

from sdl_bluesky.data.approvals import Desk
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.plans.rbs import measure_rbs as measure_rbs_plan
from sdl_bluesky.plans.reactive import calibrate_light as calibrate_light_plan
from sdl_bluesky.plans.reactive import measure_reactive as measure_reactive_plan
from sdl_bluesky.plans.sputter import cosputter as cosputter_plan
from sdl_bluesky.plans.sputter import measure_rate as measure_rate_plan
from sdl_bluesky.plans.sputter import measure_total as measure_total_plan
from sdl_bluesky.plans.stubs import make_safe as make_safe_plan
from sdl_bluesky.session.growth_plans import growth_plans, reactor_of
from sdl_bluesky.session.open import Session

log = logging.getLogger(__name__)


def bound_plans(session: Session) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """The plans of a session, with simple typed arguments: the lab is bound, names and numbers are left."""
    chamber, settings = session.chamber, session.settings
    others = (session.station, reactor_of(session))
    machines = [chamber, *(machine for machine in others if machine is not None)]

    def measure_rate(
        source: str,
        power: float,
        pressure: float,
        sample: str = "",
        sensor: str | None = None,
        careful_below: float | None = None,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Any]:
        """Measure the deposition rate of one source.

        Parameters
        ----------
        source : str
            Name of the source, as in the lab file.
        power : float
            Power [W].
        pressure : float
            Pressure [mTorr].
        sample : str
            Name under which the run can be found.
        sensor : str
            The QCM whose precision counts; the first by default.
        careful_below : float
            Pressure below which the plasma may go out, so that the gas goes down in small steps [mTorr].
        md : dict
            More metadata for the start document.
        """
        known: dict[str, Any] = {"sample": sample, "sensor": sensor, "careful_below": careful_below, "md": md}
        return (yield from measure_rate_plan(chamber, source, power, pressure, settings, **known))

    def measure_total(
        powers: dict[str, float],
        pressure: float,
        sample: str = "",
        sensor: str | None = None,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Any]:
        """Measure the deposition rate of several sources together, without a film.

        Parameters
        ----------
        powers : dict
            Power of each source [W].
        pressure : float
            Pressure [mTorr].
        sample : str
            Name under which the run can be found.
        sensor : str
            The QCM whose precision counts; the first by default.
        md : dict
            More metadata for the start document.
        """
        plan = measure_total_plan(chamber, powers, pressure, settings, sample=sample, sensor=sensor, md=md)
        return (yield from plan)

    def cosputter(
        powers: dict[str, float],
        pressure: float,
        duration: float,
        sample: str,
        based_on: dict[str, list[str]] | None = None,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Any]:
        """Deposit a film from several sources at once.

        Parameters
        ----------
        powers : dict
            Power of each source [W].
        pressure : float
            Pressure [mTorr].
        duration : float
            Process time with the substrate shutter open [s].
        sample : str
            Name of the film.
        based_on : dict
            For each source the uids of the runs from which its rate is known.
        md : dict
            More metadata for the start document.
        """
        plan = cosputter_plan(chamber, powers, pressure, duration, settings, sample=sample, based_on=based_on, md=md)
        return (yield from plan)

    def run_campaign(campaign: dict[str, Any] | str) -> MsgGenerator[Any]:
        """Run a campaign.

        Parameters
        ----------
        campaign : dict or str
            The content of a campaign file, or its path on this machine.
        """
        # here and not above: the agents bring torch, which a session that only measures does without
        from sdl_bluesky.plans.campaign_file import CampaignFile
        from sdl_bluesky.plans.growth.file import GrowthFile
        from sdl_bluesky.session.campaigns import campaign_plan, read_campaign_file

        if isinstance(campaign, str):
            spec = read_campaign_file(Path(campaign))
        else:
            spec = check(campaign, GrowthFile if "grow" in campaign else CampaignFile, "the campaign")
        return (yield from campaign_plan(session, spec))

    def make_safe() -> MsgGenerator[None]:
        """Close every shutter, take every power to zero, stop counting and growing."""
        yield from make_safe_plan(*machines)

    plans = (measure_rate, measure_total, cosputter, run_campaign, make_safe)
    more = {**_reactive_plans(session), **_station_plans(session), **growth_plans(session)}
    return {**{p.__name__: p for p in plans}, **more}


def _reactive_plans(session: Session) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """The plans that use oxygen and spectrometer; none without them."""
    chamber, settings = session.chamber, session.settings
    if chamber.oxygen is None:
        return {}

    def calibrate_light(
        source: str, powers: list[float], pressures: list[float], sample: str = ""
    ) -> MsgGenerator[Any]:
        """Measure how the light of a source follows its metal, without oxygen.

        Parameters
        ----------
        source : str
            Name of the source, as in the lab file.
        powers : list
            Powers [W], two or more that differ by a factor of two.
        pressures : list
            Pressures [mTorr].
        sample : str
            Name under which the run can be found.
        """
        return (yield from calibrate_light_plan(chamber, source, powers, pressures, settings, sample=sample))

    def measure_reactive(
        source: str,
        power: float,
        pressure: float,
        flows: list[float],
        falling: bool = True,
        sample: str = "",
        based_on: list[str] | None = None,
    ) -> MsgGenerator[Any]:
        """Measure rates and light of a source at several oxygen flows, before and after them without.

        Parameters
        ----------
        source : str
            Name of the source, as in the lab file.
        power : float
            Power [W].
        pressure : float
            Pressure before the oxygen flows [mTorr].
        flows : list
            Oxygen flows [sccm].
        falling : bool
            Take the flows in the opposite order afterwards.
        sample : str
            Name under which the run can be found.
        based_on : list
            Uids of the runs of calibrate_light from which metal and gas are told apart.
        """
        plan = measure_reactive_plan(
            chamber,
            source,
            power,
            pressure,
            flows,
            settings,
            falling=falling,
            sample=sample,
            based_on=based_on or (),
        )
        return (yield from plan)

    return {"calibrate_light": calibrate_light, "measure_reactive": measure_reactive}


def _station_plans(session: Session) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """The plans of the RBS end station; none without one."""
    station, settings = session.station, session.rbs_settings
    if station is None or settings is None:
        return {}

    def measure_rbs(
        points: list[list[float]],
        sample: str,
        substrate: int,
        elements: list[str],
        charge: float | None = None,
        based_on: str | None = None,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Any]:
        """Measure backscattering spectra of a film at points of its wafer.

        Parameters
        ----------
        points : list
            x, y of each point [mm], from the middle of the wafer.
        sample : str
            Name of the film.
        substrate : int
            Number of the film's substrate in the sputter chamber.
        elements : list
            Symbols of the film's elements.
        charge : float
            Least charge at each point [uC]; that of the lab file by default.
        based_on : str
            Uid of the run that made the film.
        md : dict
            More metadata for the start document.
        """
        plan = measure_rbs_plan(
            station,
            points,
            settings,
            sample=sample,
            substrate=substrate,
            elements=elements,
            charge_uC=charge,
            based_on=based_on,
            md=md,
        )
        return (yield from plan)

    return {"measure_rbs": measure_rbs}


def campaign_functions(session: Session) -> dict[str, Callable[..., Any]]:
    """What a person asks of campaigns and says to steps that wait; a queue server calls these, also while a plan runs."""
    desk = Desk(session.home.approvals)

    def waiting() -> list[dict[str, Any]]:
        """Steps of campaigns that wait for a person."""
        return [asdict(request) | {"key": request.key} for request in desk.waiting()]

    def approve(key: str, why: str = "", who: str = "") -> str:
        """Let a step be done.

        Parameters
        ----------
        key : str
            As `waiting` names it, or its beginning.
        why : str
            For the record.
        who : str
            For the record; the user of this process by default.
        """
        return desk.decide(key, True, why, who).key

    def veto(key: str, why: str, who: str = "") -> str:
        """Do not let a step be done; the agent proposes another.

        Parameters
        ----------
        key : str
            As `waiting` names it, or its beginning.
        why : str
            For the record.
        who : str
            For the record; the user of this process by default.
        """
        return desk.decide(key, False, why, who).key

    def estimate(campaign: str) -> Any:
        """What a campaign will take, and whether it can be done.

        Parameters
        ----------
        campaign : str
            Path of its file.
        """
        from sdl_bluesky.session.estimates import estimate as found  # the agents bring torch

        return found(session, campaign)

    return {"waiting": waiting, "approve": approve, "veto": veto, "estimate": estimate}


def namespace(session: Session) -> dict[str, Any]:
    """Names for an interactive session: devices, plans, the RunEngine, the catalogue."""
    others: dict[str, Any] = {
        **bound_plans(session),
        **campaign_functions(session),
        "session": session,
        "RE": session.RE,
        "catalogue": session.client,
        "chamber": session.chamber,
        "bp": bp,
        "bps": bps,
        "count": bp.count,
        "scan": bp.scan,
        "mv": bps.mv,
    }
    devices: dict[str, Any] = dict(session.chamber.devices)
    if session.station is not None:
        others["station"] = session.station
        devices.update(session.station.devices)
    reactor = reactor_of(session)
    if reactor is not None:
        others["reactor"] = reactor
        devices.update(reactor.devices)
    for name in sorted(devices.keys() & others.keys()):
        log.warning("device %s is reached as chamber.devices[%r] only: the session has another %s", name, name, name)
    return {**devices, **others}
