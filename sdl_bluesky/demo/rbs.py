"""The demonstration of a measured film: the sputter demonstration, then spectra of its film at nine points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bluesky.utils import RunEngineInterrupted

from sdl_bluesky.data.campaigns import start_of
from sdl_bluesky.data.catalogue import find_run, read_table
from sdl_bluesky.data.status import wait_until_written
from sdl_bluesky.demo.sputter import CATCH_UP_S, Observer, conclude, demo_campaign, prepare
from sdl_bluesky.errors import CampaignError, CatalogueError, SDLError, ServiceMissing
from sdl_bluesky.plans.rbs import RBSMeasurement, measure_rbs
from sdl_bluesky.session.campaigns import run_campaign_file
from sdl_bluesky.session.open import Session, open_session

POINTS: tuple[tuple[float, float], ...] = tuple((x, y) for y in (-20.0, 0.0, 20.0) for x in (-20.0, 0.0, 20.0))
"""x, y on the wafer [mm]."""


def run_demo(
    out: Path, speed: float, seed: int, tell: Callable[[str], None], observer: Observer | None = None
) -> dict[str, Any]:
    """Run the demonstration from an empty folder to its report.

    Args:
        out: folder for everything that it makes.
        speed: simulated seconds per second.
        seed: of twins and agents (each draws from a stream of its own).
        tell: called with lines of text.
        observer: called after each experiment of the campaign.

    Returns:
        The summary, as in ``summary.json``; with "rbs".

    Raises:
        SDLError: something failed; the folder keeps what was done.
    """
    lab, home = prepare(out, speed, seed, {"mocvd": None})
    with open_session(lab, home, tell=tell) as session:
        history = run_campaign_file(session, demo_campaign(seed), observer=observer)
        films = history.uids("deposit")
        if not films:
            raise CampaignError("the campaign made no film that could be measured", history)
        uid = measure_film(session, films[-1], history.campaign, tell)
        summary = conclude(session, history.campaign, seed)
        if "rbs" not in summary:
            raise SDLError(f"the spectra of run {uid} were not analysed: {_why(session, uid)}")
        return summary


def measure_film(session: Session, film: str, campaign: str, tell: Callable[[str], None]) -> str:
    """Measure the film of a co-sputter run at `POINTS`; returns the uid of the run.

    Args:
        session: with an RBS end station.
        film: uid of the run that made it.
        campaign: id under which the run can be found.
        tell: called with a line for each point.

    Raises:
        ServiceMissing: the lab has no end station, or it does not answer.
        CatalogueError: the film's run is not in the catalogue, or does not say its substrate.
        CampaignError: it was stopped before its end.
        SDLError: the machine's fault.
    """
    if session.station is None or session.rbs_settings is None:
        raise ServiceMissing("there is no RBS end station: the lab file has no `rbs` part, or its IOC does not answer")
    wait_until_written(session.home.log, session.client, film, CATCH_UP_S)
    run = find_run(session.client, film)
    start, rows = start_of(run), read_table(run, "primary")
    if not len(rows) or "substrate_number" not in rows:
        raise CatalogueError(f"run {film} made no film: its primary event has no substrate_number")
    plan = measure_rbs(
        session.station,
        POINTS,
        session.rbs_settings,
        sample=str(start.get("sample", "")),
        substrate=int(rows["substrate_number"].iloc[-1]),
        elements=film_elements(start),
        based_on=film,
        md={"campaign": campaign},
    )
    done: list[RBSMeasurement] = []

    def whole():  # type: ignore[no-untyped-def]  # noqa: ANN202
        done.append((yield from plan))

    token = session.RE.subscribe(_Teller(tell), "all")
    try:
        with suppress(RunEngineInterrupted):  # Ctrl-C: the machine is safe, and the plan is aborted with the session
            session.RE(whole())
    finally:
        session.RE.unsubscribe(token)
    if not done:
        raise CampaignError(
            f"the measurement of film {film} was stopped before its end; its points are in the catalogue"
        )
    return done[0].uid


def film_elements(start: Mapping[str, Any]) -> list[str]:
    """Elements of the film of a co-sputter run, from its start document.

    Raises:
        CatalogueError: it does not say them.
    """
    try:
        sources = start["geometry"]["sources"]
        return list(dict.fromkeys(str(sources[name]["element"]) for name in start["sources"]))
    except (KeyError, TypeError) as fault:
        raise CatalogueError(f"run {start.get('uid', '?')} does not say the elements of its film: {fault!r}") from fault


class _Teller:
    """Tells a line for each measured point."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._primary = ""

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document."""
        if name == "descriptor" and doc.get("name") == "primary":
            self._primary = str(doc["uid"])
        elif name == "event" and doc["descriptor"] == self._primary:
            data = doc["data"]
            place = f"{doc['seq_num']:3d}  rbs        x {data['x']:6.1f}  y {data['y']:6.1f} mm"
            self._tell(f"{place}  {data['counts']:.3g} counts for {data['charge']:.1f} uC")


def _why(session: Session, uid: str) -> str:
    if session.analysis is None:
        return "the session does not analyse runs"
    found = [str(k) for k in session.analysis.findings if k.uid == uid]
    return "; ".join(found) or "the analysis is not ready"
