"""Growth campaigns in a RunEngine against a made-up reactor: stages, spoiled layers, resumption, re-tuning."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
import yaml
from bluesky import RunEngine

from sdl_bluesky.errors import CampaignError, InterlockTripped, LabFileError
from sdl_bluesky.physics.alloys import InGaAsP
from sdl_bluesky.plans.growth.campaign import agent_before, growth_agent, run_growth
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.plans.history import History

ALLOY = InGaAsP()
SIX = ((5.2, 9.4), (5.0, 9.0), (4.6, 8.4), (5.4, 9.0), (4.8, 9.2), (5.0, 8.2))


def campaign(**changes):
    flows = [{"f_ga": f"{ga} sccm", "f_as": f"{as_} sccm"} for ga, as_ in SIX]
    grow = {"preliminary": flows, "targets": [{"wavelength": "1180 nm"}, {"wavelength": "1100 nm"}], **changes}
    return GrowthFile.from_document({"schema": 1, "name": "g", "sample": "w", "grow": grow})


@dataclass
class Layer:
    uid: str
    data: dict


@dataclass
class Reactor:
    """Odds that are power laws of both flows, of the size of the paper's: no learner knows them; some runs are spoiled."""

    offset: float = 0.0
    after: tuple[int, float] = (1000, 0.0)
    name: str = "run"
    spoiled: tuple[int, ...] = ()
    unacknowledged: bool = False
    broken: int | None = None
    runs: list = field(default_factory=list)

    def composition(self, ga, as_, more=0.0):
        u = 0.192 / 0.808 * (ga / 5.971) ** 1.6 * (as_ / 11.2) ** -0.6 * 2.718281828 ** (self.offset + more)
        v = 0.4176 / 0.5824 * (as_ / 11.2) ** 0.75 * (ga / 5.971) ** 0.3
        return u / (1 + u), v / (1 + v)

    def grow(self, flows, sample, md):
        if self.unacknowledged and len(self.runs) >= min(self.spoiled):
            raise InterlockTripped("arsine detected, and nobody has acknowledged it")
        number = len(self.runs) + 1
        self.runs.append(dict(flows))

        @bpp.set_run_key_decorator(f"layer-{number}")
        @bpp.run_decorator(md={"plan_name": "grow_and_measure", "sample": sample, **md})
        def inner():
            yield from bps.null()
            if number in self.spoiled:
                fault = InterlockTripped("arsine detected")
                fault.run_uid = f"{self.name}-{number}"
                raise fault
            if number == self.broken:
                raise RuntimeError("power cut")

        yield from inner()
        return Layer(f"{self.name}-{number}", {**flows, "number": number})

    def row(self, uid, data):
        first, more = self.after
        opened = data["number"] >= first
        wavelength, lattice = ALLOY.properties(*self.composition(data["f_ga"], data["f_as"], more * opened))
        flows = {name: data[name] for name in ("f_ga", "f_as")}
        return {**flows, "maintenance": float(opened), "wavelength": float(wavelength), "lattice": float(lattice)}


def run(reactor, spec, **more):
    docs = []
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(lambda name, doc: docs.append((name, dict(doc))))
    found = []

    def plan():
        found.append((yield from run_growth(reactor, spec, **more)))

    engine(plan())
    return found[0], docs


def decisions(docs):
    return [doc["data"] for name, doc in docs if name == "event" and "suggestion_id" in doc["data"]]


def test_six_layers_then_two_targets_each_met_and_written():
    reactor = Reactor()
    history, docs = run(reactor, campaign())
    stages = [s.stage for s in history.steps]
    assert stages[:6] == ["preliminary"] * 6
    assert set(stages[6:]) == {"grow:1180", "grow:1100"}
    for nm in (1180.0, 1100.0):
        last = history.of(f"grow:{nm:g}")[-1].row
        assert abs(last["wavelength"] - nm) <= 10.0
        assert abs(100 * (last["lattice"] / 5.8688 - 1)) <= 0.05
        assert len(history.of(f"grow:{nm:g}")) <= 3
    start = next(doc for name, doc in docs if name == "start")
    assert (start["purpose"], start["plan_name"]) == ("campaign", "run_growth")
    assert GrowthFile.from_document(start["campaign_file"]) == campaign()
    told = decisions(docs)
    assert len(told) == len(history.steps)
    expected = json.loads(told[6]["expected"])
    assert len(expected["mean"]) == 2
    assert 0 < expected["in_specification"] <= 1
    assert json.loads(told[7]["based_on"])[:6] == [f"run-{k}" for k in range(1, 7)]
    assert told[-1]["stop"]


def test_a_spoiled_layer_is_not_learned_from_and_the_campaign_goes_on():
    history, docs = run(Reactor(spoiled=(3, 7)), campaign())
    failed = [s for s in history.steps if s.outcome == "failed"]
    assert [s.step for s in failed] == [3, 7]
    assert all("arsine" in k["reason"] for k in decisions(docs) if k["outcome"] == "failed")
    agent = agent_before(campaign(), history, "grow:1100")
    assert len(agent.ledger.y) == len(history.steps) - 2
    with pytest.raises(CampaignError, match="3 layers in a row"):
        run(Reactor(spoiled=(2, 3, 4)), campaign())


def test_a_trip_that_nobody_acknowledged_ends_the_campaign_and_uses_no_layer_up():
    history = History()
    with pytest.raises(CampaignError, match="acknowledge it"):
        run(Reactor(spoiled=(3,), unacknowledged=True), campaign(), history=history)
    assert [s.outcome for s in history.steps] == ["success", "success", "failed"]
    again, _ = run(Reactor(name="again"), campaign(), history=history)
    assert [s.inputs for s in again.steps[3:6]] == [{"f_ga": ga, "f_as": as_} for ga, as_ in SIX[3:]]


def test_after_a_maintenance_within_a_campaign_the_target_is_met_with_another_offset():
    reactor = Reactor(after=(8, 0.25))
    history, docs = run(
        reactor,
        campaign(targets=[{"wavelength": "1180 nm", "wavelength_tolerance": "3 nm"}, {"wavelength": "1100 nm"}]),
    )
    agent = agent_before(campaign(), history, "grow:1100")
    assert set(agent.ledger.campaigns) == {"g, maintenance 0", "g, maintenance 1"}
    last = history.of("grow:1100")[-1].row
    assert abs(last["wavelength"] - 1100.0) <= 10.0
    assert abs(100 * (last["lattice"] / 5.8688 - 1)) <= 0.05
    assert len(history.of("grow:1100")) <= 4
    told = [json.loads(k["findings"]) for k in decisions(docs)]
    assert any("maintenance 1" in text for texts in told for text in texts)


def test_what_the_agent_says_of_its_data_is_in_the_documents():
    odd = [{"f_ga": f"{ga} sccm", "f_as": "9 sccm"} for ga in (4.6, 5.0, 5.4)]
    _, docs = run(Reactor(), campaign(preliminary=odd, targets=[{"wavelength": "1140 nm"}]))
    told = [json.loads(k["findings"]) for k in decisions(docs)]
    assert told[0] == []
    assert any("f_as never varied" in text for text in told[3])


def test_a_campaign_that_was_broken_off_goes_on_with_the_same_point():
    whole, _ = run(Reactor(), campaign())
    broken = History()
    with pytest.raises(RuntimeError, match="power cut"):
        run(Reactor(broken=8), campaign(), history=broken)
    assert len(broken.steps) == 7
    rest = Reactor(name="again")
    again, docs = run(rest, campaign(), history=broken)
    assert [s.inputs for s in again.steps] == [s.inputs for s in whole.steps]
    assert next(doc for name, doc in docs if name == "start")["resumes"]


def test_earlier_campaigns_are_learned_from_with_an_offset_of_their_own():
    first, _ = run(Reactor(), campaign())
    rows = [{**s.row, "_id": "", "campaign": "before"} for s in first.steps]
    spec = campaign(preliminary=[], earlier=["before"], targets=[{"wavelength": "1140 nm"}])
    agent = growth_agent(spec, rows)
    assert agent.ledger.campaigns == ["before, maintenance 0"] * len(rows)
    history, _ = run(Reactor(0.1, name="second"), spec, earlier=rows)
    assert history.steps[-1].outcome == "success"
    assert abs(history.steps[-1].row["wavelength"] - 1140.0) <= 10.0
    assert len(history.steps) <= 5


def test_a_file_that_asks_for_the_impossible_is_refused_before_anything_moves():
    with pytest.raises(LabFileError, match="918"):
        campaign(targets=[{"wavelength": "1900 nm"}])
    with pytest.raises(LabFileError, match=r"preliminary\.0\.f_ga: the flow lies outside"):
        campaign(preliminary=[{"f_ga": "9 sccm", "f_as": "8 sccm"}])
    with pytest.raises(LabFileError, match="of its own"):
        campaign(targets=[{"wavelength": "1180 nm"}, {"wavelength": "1180 nm"}])
    with pytest.raises(LabFileError, match="Angstrom"):
        campaign(targets=[{"wavelength": "1180 nm", "lattice": "0.58688 nm"}])


def test_a_phase_diagram_of_the_file_keeps_out_of_what_it_forbids():
    """Without it, the second target is met where the arsine is low."""
    rows = {"f_ga": ["2 sccm", "8 sccm"], "f_as": ["4 sccm", "7.5 sccm", "14 sccm"]}
    phase = {**rows, "penalty": [["forbidden", 0.5, 0], ["forbidden", 0.5, 0]]}
    agent = growth_agent(campaign(phase=phase))
    assert agent.penalty(np.array([[5.0, 5.0], [5.0, 7.5], [5.0, 9.0], [5.0, 14.0]])).tolist() == [
        np.inf,
        0.5,
        0.5,
        0.0,
    ]
    free, _ = run(Reactor(), campaign())
    assert min(step.inputs["f_as"] for step in free.of("grow:1100")) < 7.4
    kept, docs = run(Reactor(), campaign(phase=phase))
    assert all(step.inputs["f_as"] >= 7.5 for step in kept.steps if step.stage != "preliminary")
    [start] = [doc for name, doc in docs if name == "start" and doc["plan_name"] == "run_growth"]
    assert GrowthFile.from_document(start["campaign_file"]) == campaign(phase=phase)
    for bad, words in (
        ({**phase, "penalty": [[0, 0, 0]]}, "penalties"),
        ({**phase, "penalty": [[0, -1, 0]] * 2}, "greater than or equal to 0"),
        ({**phase, "f_ga": ["8 sccm", "2 sccm"]}, "does not rise"),
    ):
        with pytest.raises(LabFileError, match=words):
            campaign(phase=bad)


def test_the_examples_of_the_documentation_are_growth_files():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "growth-file.md").read_text(encoding="utf-8")
    whole, phase = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    spec = GrowthFile.from_document(whole)
    assert spec.stages() == ["preliminary", "grow:1180", "grow:1100"]
    with_phase = GrowthFile.from_document({**whole, "grow": {**whole["grow"], **phase}})
    assert growth_agent(with_phase).penalty(np.array([[5.0, 5.0], [5.0, 10.0], [5.0, 14.0]])).tolist() == [
        np.inf,
        0.5,
        0.0,
    ]
