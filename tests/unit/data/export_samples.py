"""A campaign in documents with everything that is awkward, and a result; nothing of it was made by a plan."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.data.log import DocumentLog

CAMPAIGN, RESUMED, EARLIER = "c0000000-first", "c0000001-second", "e0000000-earlier"
COPPER, TIN, FILM, LAYER = "r0000000-cu", "r0000001-sn", "r0000002-film", "r0000003-layer"
GEOMETRY = {"sources": {"cu": {"element": "Cu"}, "sn": {"element": "Sn"}}}
UNIT = "ng cm^-2 s^-1"


def key(dtype="number", **more):
    return {"dtype": dtype, "source": "sample", "shape": [], **more}


class Run:
    """Documents of one run, in the order in which they are asked for."""

    def __init__(self, uid, time, **start):
        self.uid, self.time, self.streams = uid, time, itertools.count(1)
        self.documents = [("start", {"uid": uid, "time": time, "scan_id": 1, "sample": "s1", **start})]

    def tick(self):
        self.time += 0.1
        return self.time

    def add(self, name, doc):
        self.documents.append((name, doc))
        return self

    def stream(self, name, keys, **more):
        uid = f"{self.uid}-d{next(self.streams)}"
        doc = {"uid": uid, "run_start": self.uid, "name": name, "time": self.tick(), "data_keys": keys}
        self.add("descriptor", doc | {"configuration": {}, "hints": {}, "object_keys": {}} | more)
        return uid

    def event(self, descriptor, seq_num, data, **more):
        time = self.tick()
        doc = {"descriptor": descriptor, "uid": f"{descriptor}-{seq_num}-{time}", "seq_num": seq_num, "time": time}
        return self.add("event", doc | {"data": data, "timestamps": dict.fromkeys(data, time - 0.01), **more})

    def page(self, descriptor, seq_nums, data):
        times = [self.tick() for _ in seq_nums]
        doc = {"descriptor": descriptor, "uid": [f"{descriptor}-{n}" for n in seq_nums], "seq_num": seq_nums}
        doc |= {"time": times, "data": data, "timestamps": dict.fromkeys(data, times), "filled": {}}
        return self.add("event_page", doc)

    def end(self, status="success", **more):
        stop = {"uid": f"{self.uid}-stop", "run_start": self.uid, "time": self.tick(), "exit_status": status, **more}
        self.add("stop", stop)
        return self.documents


def decision(step, stage, based_on, uid, inputs, row):
    return {
        "step": step,
        "stage": stage,
        "inputs": json.dumps(inputs),
        "prediction_mean": math.nan if step == 1 else 30.5,
        "based_on": json.dumps(based_on),
        "outcome": "success" if row else "failed",
        "outcome_uid": uid,
        "outcome_row": json.dumps(row),
    }


DECISIONS = {
    **{"step": key("integer"), "prediction_mean": key(units=UNIT)},
    **{name: key("string") for name in ("stage", "inputs", "based_on", "outcome", "outcome_uid", "outcome_row")},
}


def experiment(uid, time, source, **start):
    """An experiment with columns of every type, pages and single events, and a stream that has two descriptors."""
    run = Run(uid, time, purpose="experiment", plan_name="measure_rate", operator="ann", **start)
    baseline = run.stream("baseline", {"stage-x": key(units="mm"), "stage.x": key("integer"), "note": key("string")})
    run.event(baseline, 1, {"stage-x": 0, "stage.x": 7, "note": "ünïcode"}, filled={})
    qcm = run.stream("qcm", {"qcm1_frequency": key(units="Hz"), "seq_num": key("integer"), "time": key(units="s")})
    run.page(
        qcm, [1, 2, 3], {"qcm1_frequency": [6e6, 6e6 - 0.1, math.nan], "seq_num": [5, 5, 6], "time": [0.1, 0.2, 0.3]}
    )
    run.page(qcm, [], {"qcm1_frequency": [], "seq_num": [], "time": []})
    run.page(qcm, [4], {"qcm1_frequency": [-0.0], "seq_num": [2**62], "time": [5e-324]})
    run.event(baseline, 2, {"stage-x": 0.5, "stage.x": 8, "note": "null"}, filled={})
    keys = {f"{source}_power": key(units="W"), "qcm1_rate": key(units=UNIT), "qcm1_rate_std": key(units=UNIT)}
    keys |= {"lit": key("boolean"), "spectrum": key("array", units="counts"), "ragged": key("array"), "odd": key()}
    primary = run.stream("primary", keys)
    first = {f"{source}_power": 50.0, "qcm1_rate": 31.25, "qcm1_rate_std": 0.1, "lit": True}
    run.event(primary, 1, first | {"spectrum": [1.0, 2.0, math.inf], "ragged": [1, 2], "odd": None})
    again = run.stream("primary", keys | {"later": key("string")})
    second = {f"{source}_power": 51, "qcm1_rate": 31.5, "qcm1_rate_std": 0.2, "lit": False, "later": "nul \0 in it"}
    run.event(again, 2, second | {"spectrum": [4.0, 5.0, 6.0], "ragged": [1], "odd": {"a": [1, None]}})
    run.event(again, 2, second | {"spectrum": [4.0, 5.5, 6.0], "ragged": [], "odd": 2**70})  # after a pause
    run.stream("empty", {"nothing": key()})
    return run.end(num_events={"baseline": 2, "qcm": 4, "primary": 2, "empty": 0})


def campaign():
    """The documents of every run, by uid: a campaign in two runs, its experiments, and an earlier campaign."""
    common = {"purpose": "campaign", "plan_name": "run_campaign", "geometry": GEOMETRY}
    belongs = {"campaign": CAMPAIGN, "geometry": GEOMETRY}
    file = {"grow": {"earlier": [EARLIER]}, "name": "sample"}
    first = Run(CAMPAIGN, 1000.0, campaign_name="sample", goal="know", campaign_file=file, **common)
    stream = first.stream("decision", DECISIONS)
    row = {"power": 50.1, "rate": 31.25, "rate_std": 0.1, "_id": "a", "saturated": False}
    first.event(stream, 1, decision(1, "learn:cu", [], COPPER, {"power": 50.0, "pressure": 8.0}, row))
    resumed = Run(RESUMED, 2000.0, campaign=CAMPAIGN, resumes=CAMPAIGN, campaign_name="sample", **common)
    stream = resumed.stream("decision", DECISIONS)
    resumed.event(stream, 1, decision(2, "learn:sn", [COPPER], TIN, {"power": 20.0, "pressure": 8.0}, None))
    resumed.event(stream, 2, decision(3, "deposit", [COPPER], FILM, {"cu": 50.0, "duration": 60.0}, {"points": [1]}))
    film = Run(FILM, 2500.0, purpose="experiment", plan_name="cosputter", based_on={"cu": [COPPER, "gone"]}, **belongs)
    earlier = Run(EARLIER, 10.0, purpose="campaign", plan_name="run_growth")
    layer = Run(LAYER, 11.0, purpose="experiment", plan_name="grow_and_measure", campaign=EARLIER)
    return {
        EARLIER: earlier.end(),
        LAYER: layer.end(),
        CAMPAIGN: first.end("abort", reason="killed"),
        COPPER: experiment(COPPER, 1001.0, "cu", sources=["cu"], stage="learn:cu", **belongs),
        RESUMED: resumed.end(),
        TIN: experiment(TIN, 2001.0, "sn", sources=["sn"], stage="learn:sn", **belongs),
        FILM: film.end(),
    }


def write_log(folder: Path, runs=None) -> Path:
    """The campaign in a document log, with a run of somebody else beside it."""
    other = {"other": Run("other", 1500.0, purpose="experiment", plan_name="count").end()}
    with DocumentLog(folder) as log:
        for documents in ({**campaign(), **other} if runs is None else runs).values():
            for name, doc in documents:
                log(name, doc)
    return folder


def result() -> Analysis:
    """A map with texts as an axis."""
    arrays = {
        "composition": np.arange(12.0).reshape(2, 3, 2) / 12,
        "composition_std": np.full((2, 3, 2), 0.01),
        "element": np.array(["Cu", "Sn"]),
        "y": np.array([-1.0, 0.0, 1.0]),
        "x": np.array([0.0, 5.0]),
        "number": np.array([3, 4], dtype="<i4"),
    }
    grid = ("element", "y", "x")
    dims = {"composition": grid, "composition_std": grid, "number": ("element",)}
    metadata = {
        "kind": "composition",
        "schema": 1,
        "units": {"composition": "", "x": "mm", "y": "mm"},
        "derived_from": [FILM, COPPER, "outside"],
        "method": "joint model",
        "parameters": {"tooling_std": 0.01, "sources": ["cu", "sn"]},
        "software": {"sdl_bluesky": "0.1.0"},
        "campaign": CAMPAIGN,
        "time": 3000.5,
        "content": "hash",
        "complete": True,
    }
    return Analysis("key-composition", metadata, arrays, {name: dims.get(name, (name,)) for name in arrays})
