"""What a person finds in the shell and a queue server in its environment: devices by name, plans with typed arguments.

A queue server describes plans by the annotations of their parameters, so these are types here and not text (no
``from __future__ import annotations``), and by numpy-style docstrings.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky.utils import MsgGenerator

from sdl_bluesky.data.yamlfile import check, read_yaml
from sdl_bluesky.plans.sputter import cosputter as cosputter_plan
from sdl_bluesky.plans.sputter import measure_rate as measure_rate_plan
from sdl_bluesky.plans.stubs import make_safe as make_safe_plan
from sdl_bluesky.session.open import Session

log = logging.getLogger(__name__)


def bound_plans(session: Session) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """The plans of a session, with simple typed arguments: the lab is bound, names and numbers are left."""
    chamber, settings = session.chamber, session.settings

    def measure_rate(source: str, power: float, pressure: float, sample: str = "") -> MsgGenerator[Any]:
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
        """
        return (yield from measure_rate_plan(chamber, source, power, pressure, settings, sample=sample))

    def cosputter(
        powers: dict[str, float],
        pressure: float,
        duration: float,
        sample: str,
        based_on: dict[str, list[str]] | None = None,
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
        """
        plan = cosputter_plan(chamber, powers, pressure, duration, settings, sample=sample, based_on=based_on)
        return (yield from plan)

    def run_campaign(campaign: dict[str, Any] | str) -> MsgGenerator[Any]:
        """Run a campaign.

        Parameters
        ----------
        campaign : dict or str
            The content of a campaign file, or its path on this machine.
        """
        # here and not above: the agents bring torch, which a session that only measures does without
        from sdl_bluesky.plans.campaign import run_campaign as campaign_plan
        from sdl_bluesky.plans.campaign_file import CampaignFile

        if isinstance(campaign, str):
            spec = read_yaml(Path(campaign), CampaignFile)
        else:
            spec = check(campaign, CampaignFile, "the campaign")
        return (yield from campaign_plan(chamber, spec, settings))

    def make_safe() -> MsgGenerator[None]:
        """Close every shutter and take every power to zero."""
        yield from make_safe_plan(chamber)

    return {p.__name__: p for p in (measure_rate, cosputter, run_campaign, make_safe)}


def namespace(session: Session) -> dict[str, Any]:
    """Names for an interactive session: devices, plans, the RunEngine, the catalogue."""
    others: dict[str, Any] = {
        **bound_plans(session),
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
    for name in sorted(session.chamber.devices.keys() & others.keys()):
        log.warning("device %s is reached as chamber.devices[%r] only: the session has another %s", name, name, name)
    return {**session.chamber.devices, **others}
