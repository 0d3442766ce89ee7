"""Estimates of sputter campaigns against sums done by hand: what each wait of the plan takes, what each watt-second is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import LabFileError, OutOfRange, ServiceMissing, UnknownName
from sdl_bluesky.plans.campaign_file import CampaignFile
from sdl_bluesky.plans.conditions import set_pressure
from sdl_bluesky.plans.estimate.amounts import Amount, Estimate
from sdl_bluesky.plans.estimate.habits import Habits, Learned
from sdl_bluesky.plans.estimate.rehearsal import Bench, again, like
from sdl_bluesky.plans.estimate.sputter import estimate_sputter
from sdl_bluesky.plans.stubs import Attempt
from sdl_bluesky.session.campaigns import read_campaign_file
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.machines import chamber_spec, rbs_settings, sputter_settings

LAB = load_lab()
EXACT = Habits(
    times=Learned(1.0, 0.0, 1), pump_sccm=1e12, rates={"cu": Learned(1.0, 0.0, 1), "sn": Learned(1.0, 0.0, 1)}
)

COARSE = replace(EXACT, tick_s=10.0)


def bench(habits: Habits = EXACT, **changes: Any) -> Bench:
    settings = replace(sputter_settings(LAB), **changes)
    return Bench(chamber_spec(LAB), settings, habits, rbs_settings(LAB), LAB.geometry())


def campaign(**body: Any) -> CampaignFile:
    return check({"schema": 1, "name": "t", "sample": "t", "seed": 1, **body}, CampaignFile, "test")


DEPOSIT = {"powers": {"cu": "50 W", "sn": "50 W"}, "pressure": "12 mTorr", "duration": "600 s"}


def test_a_film_takes_what_its_waits_and_moves_take_together() -> None:
    known = bench(replace(EXACT, power_ramp_W_s=10.0))
    [film] = again(known, [like("cosputter", {"cu": 50.0, "sn": 50.0}, 12.0, 600.0).start])
    s, habits = known.settings, known.habits
    # the gas is set once, for the film is made at the pressure of ignition; each supply takes 5 s to its power
    waits = 2 * 50.0 / 10.0 + s.pump_s + s.pump_s + s.settle_s + s.baseline_s + s.transient_s + 600.0
    assert waits + habits.flow_s == pytest.approx(film.process_s, abs=30 * habits.tick_s)
    burning = film.process_s - habits.flow_s - s.pump_s  # of the first one that is lit
    assert film.used["energy:cu"] == pytest.approx(50.0 * burning / 3.6e6, rel=0.01)
    assert film.used["gas"] == pytest.approx(60.0 * film.process_s / 60.0, rel=0.01)  # 12 mTorr x 5 sccm/mTorr
    assert film.used["substrates"] == 1.0


def test_a_measurement_ends_between_the_shortest_and_the_longest() -> None:
    start = {"plan_name": "measure_rate", "sources": ["cu"], "power": 100.0, "pressure": 12.0}
    [strong] = again(bench(), [start])
    [weak] = again(bench(replace(EXACT, noise_Hz=10.0)), [start])
    s = bench().settings
    assert weak.process_s - strong.process_s == pytest.approx(s.longest_s - s.shortest_s, abs=10.0)


def test_mass_on_a_crystal_is_its_rate_times_the_open_time() -> None:
    known = bench()
    chamber, _ = known.walk()
    source = chamber.source("cu")
    source.burns, source.power.position, chamber.gas.flow.position = True, 50.0, 60.0
    rate = float(chamber.rates("cu")[0])
    [film] = again(known, [like("cosputter", {"cu": 50.0}, 12.0, 600.0).start])
    assert film.used["mass:qcm1"] == pytest.approx(rate * (600.0 + known.settings.transient_s), rel=0.01)
    hertz = film.used["mass:qcm1"] / 12.269  # Sauerbrey's constant at 6 MHz
    assert film.used["life:qcm1"] == pytest.approx(100.0 * hertz / known.habits.life_Hz, rel=0.001)


def test_coarser_ticks_cost_time() -> None:
    start = {"plan_name": "measure_rate", "sources": ["cu"], "power": 100.0, "pressure": 6.0}
    times = [again(bench(replace(EXACT, tick_s=tick)), [start])[0].process_s for tick in (0.1, 2.0, 10.0)]
    assert times == sorted(times)
    assert times[2] > times[0] + 60.0


def test_a_campaign_is_the_sum_of_its_experiments() -> None:
    spec = campaign(learn={"cu": {"experiments": 4}, "sn": {"experiments": 3, "agent": "sobol"}}, deposit=DEPOSIT)
    found = estimate_sputter(bench(), spec)
    assert found.amounts["experiments"] == Amount.exactly(8.0)
    assert found.amounts["films"] == found.amounts["substrates"] == Amount.exactly(1.0)
    alone = estimate_sputter(bench(), campaign(learn={"cu": {"experiments": 4}}))
    [film] = again(bench(), [like("cosputter", {"cu": 50.0, "sn": 50.0}, 12.0, 600.0).start])
    more = found.amounts["energy:cu"].expected - alone.amounts["energy:cu"].expected
    assert more == pytest.approx(film.used["energy:cu"], rel=0.02)
    assert not found.warnings


def test_an_unknown_rate_widens_what_depends_on_it_and_an_earlier_run_narrows_it() -> None:
    spec = campaign(learn={"cu": {"experiments": 3}})
    vague = estimate_sputter(bench(Habits()), spec)
    sure = estimate_sputter(bench(Habits(rates={"cu": Learned(1.0, 0.05, 10)})), spec)

    def width(found: Estimate) -> float:
        life = found.amounts["crystal_life:qcm1"]
        return life.high / life.low

    assert width(vague) > 3.5
    assert width(sure) < 1.5
    assert "no earlier run" in vague.basis[0]
    assert "10 earlier run(s)" in sure.basis[0]


def test_more_experiments_than_are_rehearsed_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl_bluesky.plans.estimate.sputter.MOST_REHEARSED", 5)
    few, many = (
        estimate_sputter(bench(COARSE), campaign(learn={"cu": {"experiments": n, "agent": "sobol"}})).amounts
        for n in (5, 20)
    )
    assert many["process_time"].expected == pytest.approx(4 * few["process_time"].expected, rel=0.01)


def test_what_runs_out_is_told() -> None:
    habits = replace(EXACT, life_percent={"qcm1": 0.01}, energy_kWh={"cu": 4.999})
    spec = campaign(learn={"cu": {"experiments": 3, "target_life": "5 kWh"}})
    told = " ".join(estimate_sputter(bench(habits), spec).warnings)
    assert "target of cu" in told
    assert "crystal of qcm1 is used up" in told


def test_films_of_a_target_are_between_one_and_all_and_beam_time_goes_with_them() -> None:
    target = {"composition": {"Cu": "60 %"}, "duration": "300 s", "depositions": 3, "measure": "rbs"}
    spec = campaign(learn={"cu": {"experiments": 4}, "sn": {"experiments": 4}}, checks=1, target=target)
    found = estimate_sputter(bench(COARSE), spec).amounts
    assert (found["films"].low, found["films"].high) == (1.0, 3.0)
    assert found["experiments"].low == 10.0
    assert found["rbs_charge"].high == pytest.approx(20.0 * 5 * 3)  # uC at five places of each film at most
    assert found["rbs_time"].expected == pytest.approx(found["rbs_charge"].expected * 1e3 / 20.0 / 3600.0)


@pytest.mark.parametrize(
    ("body", "error", "word"),
    [
        ({"learn": {"cu": {"power": "10 to 400 W"}}}, OutOfRange, "cu_power"),
        ({"learn": {"zn": {}}}, UnknownName, "zn"),
        ({"learn": {"cu": {}}, "sensor": "qcm9"}, UnknownName, "qcm9"),
        ({"learn": {"cu": {"pressure": "4 to 90 mTorr"}}}, OutOfRange, "gas_flow"),
        ({"learn": {"cu": {}}, "deposit": DEPOSIT}, UnknownName, "sn"),
    ],
)
def test_what_cannot_be_done_is_refused(body: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        estimate_sputter(bench(), campaign(**body))


def test_a_measured_target_needs_an_end_station() -> None:
    target = {"composition": {"Cu": "60 %"}, "duration": "300 s", "measure": "rbs"}
    spec = campaign(learn={"cu": {}, "sn": {}}, target=target)
    with pytest.raises(ServiceMissing, match="end station"):
        estimate_sputter(replace(bench(), rbs=None), spec)


@pytest.mark.parametrize("text", ["learn: {cu: {power: 10 to nan W}}", "learn: {cu: {experiments: 3", ""])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "campaign.yml"
    file.write_text(f"schema: 1\nname: t\nsample: t\n{text}")
    with pytest.raises(LabFileError):
        read_campaign_file(file)


def test_an_error_of_a_device_reaches_the_plan() -> None:
    chamber, walk = bench().walk()
    machine: Any = chamber
    caught: list[Exception] = []

    def plan() -> Any:
        try:
            yield from set_pressure(Attempt(machine, ["cu"]), 100.0, bench().settings)
        except OutOfRange as fault:
            caught.append(fault)

    walk.through(plan())
    assert "gas_flow" in str(caught[0])
    assert math.isclose(walk.course.now_s, 0.0)


def test_an_estimate_survives_its_document() -> None:
    found = Estimate({"experiments": Amount(1.0, 2.0, 3.0)}, ("assumed",), ("look",))
    assert Estimate.from_document(found.as_document()) == found
