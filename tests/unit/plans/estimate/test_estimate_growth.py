"""Estimates of growth campaigns against the recipe: carrier is flow times time, a layer its thickness over its rate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import OutOfRange, ServiceMissing
from sdl_bluesky.plans.estimate.growth import ReactorBench, designed_runs, estimate_growth, regrown
from sdl_bluesky.plans.estimate.habits import Habits, Learned
from sdl_bluesky.plans.estimate.reactor import RehearsedReactor
from sdl_bluesky.plans.growth.campaign import growth_agent
from sdl_bluesky.plans.growth.file import GrowthFile
from sdl_bluesky.session.estimates import reactor_bench
from sdl_bluesky.session.lab import load_lab

LAB = load_lab()


def bench(**recipe: float) -> ReactorBench:
    found = reactor_bench(LAB)
    settings = replace(found.settings, recipe=replace(found.settings.recipe, **recipe))
    return ReactorBench(found.spec, settings, Habits(growth_times=Learned(1.0, 0.0, 1)))


def growth(**grow: Any) -> GrowthFile:
    body = {"targets": [{"wavelength": "1180 nm", "runs": 4}], **grow}
    return check({"schema": 1, "name": "g", "sample": "g", "grow": body}, GrowthFile, "test")


def test_a_growth_takes_what_heating_layers_cooling_and_instruments_take() -> None:
    known = bench()
    [run] = regrown(known, [(5.0, 9.0)])
    s, habits = known.settings, known.habits
    heating = (650.0 - 25.0) / 1.5
    layers = 200.0 / 0.5 + 200.0 / (0.5 + 0.11) + 65.0 / 0.5
    cooling = 404.0  # 250 s x ln(625 / 124), and the purge passes meanwhile
    instruments = 601 * 1.0 + 626 * 0.1
    spinning = 2 * 900.0 / habits.rotation_rpm_s
    waits = s.soak_s + 2 * s.settle_s + 3 * s.pause_s
    least = heating + layers + cooling + instruments + waits + spinning
    assert run.process_s == pytest.approx(least, rel=0.02)
    assert run.used["flow:h2"] == pytest.approx(16000.0 * run.process_s / 60.0, rel=0.001)
    assert run.used["flow:in"] > 25.0 * layers / 60.0  # and while it flows past the reactor
    assert run.used["flow:ga"] / run.used["flow:in"] == pytest.approx(5.0 / 25.0, rel=0.02)
    assert run.used["wafers"] == 1.0


@pytest.mark.parametrize("waits_s", [(), (60.0,), (10.0, 200.0)])
def test_a_susceptor_cools_while_somebody_waits_for_something_else(waits_s: tuple[float, ...]) -> None:
    habits = Habits(tick_s=0.1)
    reactor = RehearsedReactor(bench().spec, habits)
    course, susceptor = reactor.course, reactor.susceptor
    susceptor.heat(650.0)
    course.settle()
    susceptor.heat(0.0)
    began = course.now_s
    for seconds in waits_s:
        course.run(seconds)
    susceptor.until_below(149.0)
    course.settle()
    assert course.now_s - began == pytest.approx(250.0 * math.log(625.0 / 124.0), abs=0.2)
    assert susceptor.degC == pytest.approx(149.0, abs=0.1)


def test_runs_are_from_one_a_target_to_all() -> None:
    spec = growth(preliminary=[{"f_ga": "5 sccm", "f_as": "9 sccm"}])
    found = estimate_growth(bench(), spec).amounts["wafers"]
    assert (found.low, found.expected, found.high) == (2.0, 5.0, 5.0)
    learned = replace(bench().habits, layers=Learned(2.0, 0.5, 3))
    assert estimate_growth(replace(bench(), habits=learned), spec).amounts["wafers"].expected == 3.0


def test_flows_beyond_the_controllers_are_refused() -> None:
    with pytest.raises(OutOfRange, match="ga_flow"):
        estimate_growth(bench(), growth(f_ga="2 to 50 sccm"))


def test_too_little_phosphine_is_refused_before_anything_moves() -> None:
    with pytest.raises(OutOfRange, match="give more f_p"):
        estimate_growth(bench(f_p=80.0), growth(f_as="0 to 10 sccm", f_ga="2 to 15 sccm"))


def test_a_lab_without_a_reactor_cannot_grow() -> None:
    with pytest.raises(ServiceMissing, match="no MOCVD reactor"):
        reactor_bench(LAB.model_copy(update={"mocvd": None}))


def test_a_run_that_depends_on_no_outcome_is_no_guess() -> None:
    layers = [{"f_ga": f"{ga} sccm", "f_as": f"{arsine} sccm"} for ga, arsine in ((5.3, 9.6), (6.2, 10.9), (4.4, 8.0))]
    spec = growth(preliminary=layers[:2], targets=[{"wavelength": "1180 nm", "runs": 1}])
    [(f_ga, f_as)] = designed_runs(spec)
    agent = growth_agent(spec)
    agent.ingest([{"f_ga": 5.3, "f_as": 9.6, "wavelength": 1250.0, "lattice": 5.88}])
    agent.ingest([{"f_ga": 6.2, "f_as": 10.9, "wavelength": 1040.0, "lattice": 5.85}])
    [point] = agent.suggest(1)
    assert (point["f_ga"], point["f_as"]) == (f_ga, f_as)
    found = estimate_growth(bench(), spec).amounts["flow:as"]
    assert found.expected == pytest.approx(
        sum(run.used["flow:as"] for run in regrown(bench(), [(5.3, 9.6), (6.2, 10.9), (f_ga, f_as)])) / 1000.0
    )
    assert found.low == found.expected == found.high
    assert designed_runs(growth(preliminary=layers)) == []
