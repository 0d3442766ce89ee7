"""Documents for the study of data: a run of many events, and a campaign of many runs, made by a RunEngine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.inference.design import sobol
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.decision import FIELDS, STREAM, Decision
from sdl_bluesky.plans.history import row_of
from sdl_bluesky.plans.record import Field, Record
from sdl_bluesky.plans.step import RUN_KEY
from sdl_bluesky.plans.stubs import keyed, recorded

if TYPE_CHECKING:
    from bluesky import RunEngine

SOURCES = ("cu", "sn", "ni", "al")
RUNS_A_SOURCE = 125
_BOUNDS = ((10.0, 100.0), (4.0, 20.0))
_COLUMNS = tuple(f"column_{k}" for k in range(12))


def many_events(count: int) -> MsgGenerator[None]:
    """A run of `count` events of twelve numbers, as quick as a RunEngine makes them."""
    record = Record("numbers", {name: Field("number", "Hz") for name in _COLUMNS}, dict.fromkeys(_COLUMNS, 1.5))

    @bpp.run_decorator(md={"plan_name": "many_events", "purpose": "experiment"})
    def inner() -> MsgGenerator[None]:
        for _ in range(count):
            yield from bps.trigger_and_read([record])

    yield from inner()


def campaign_file(runs: int) -> CampaignFile:
    """Four sources, `runs` experiments each."""
    learn = {source: {"experiments": runs + 1} for source in SOURCES}
    return check({"schema": 1, "name": "many", "sample": "many", "learn": learn}, CampaignFile, "the study's campaign")


def recorded_campaign(engine: RunEngine, runs: int) -> tuple[str, str]:
    """A campaign that was stopped after `runs` experiments of each source.

    Returns:
        Its uid, and that of the run whose document is the last one.
    """
    opened: list[str] = []
    made: list[str] = []
    record = Record(STREAM, FIELDS)
    spec = campaign_file(runs)

    def steps() -> MsgGenerator[None]:
        number = 0
        for source in SOURCES:
            for power, pressure in sobol(_BOUNDS, runs, seed=0):
                number += 1
                point = {"power": float(power), "pressure": float(pressure)}
                decision = Decision(number, f"learn:{source}", "sobol", f"{source}-{number}", point, list(made[-9:]))
                uid, data = yield from _experiment(source, decision, opened[0])
                made.append(uid)
                _, values = decision.closed("success", uid, row=row_of(data, source, "qcm1", decision.suggestion_id))
                record.put(values)
                yield from decision_event(record)

    start = {
        "plan_name": "run_campaign",
        "purpose": "campaign",
        "campaign_file": spec.as_document(),
        "campaign_name": spec.name,
        "sample": spec.sample,
    }
    engine(recorded(steps(), start, opened, key=RUN_KEY))
    return opened[0], made[-1]


def _experiment(source: str, decision: Decision, campaign: str) -> MsgGenerator[tuple[str, dict[str, Any]]]:
    power, pressure = decision.inputs["power"], decision.inputs["pressure"]
    values = {
        f"{source}_power": power,
        "gauge_pressure": pressure,
        "qcm1_rate": power**0.95 / (1.0 + pressure / 30.0),
        "qcm1_rate_std": 0.01,
        "qcm1_life": 90.0,
        "qcm1_saturated": 0.0,
    }
    record = Record("result", {name: Field("number") for name in values}, values)
    start = {
        "plan_name": "measure_rate",
        "purpose": "experiment",
        "campaign": campaign,
        "stage": decision.stage,
        "step": decision.step,
        "suggestion_id": decision.suggestion_id,
        "sources": [source],
        "geometry": {"sensors": {"qcm1": {}}},
    }
    uid = yield from bps.open_run(start)
    yield from bps.trigger_and_read([record])
    yield from bps.close_run()
    return uid, values


def decision_event(record: Any) -> MsgGenerator[None]:
    """What the record of a decision holds, as an event of the campaign's run."""

    def event() -> MsgGenerator[None]:
        yield from bps.create(name=STREAM)
        yield from bps.read(record)
        yield from bps.save()

    yield from keyed(event(), RUN_KEY)
