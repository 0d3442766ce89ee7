"""Oxygen in the simulated chamber: Berg's balance against an independent solution, hysteresis, and no oxygen at all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import root

from ioc_sims.sputter.chamber import Chamber
from ioc_sims.sputter.oxides import oxide_of
from ioc_sims.sputter.plant import Plant
from ioc_sims.sputter.readings import readings
from ioc_sims.sputter.settings import ChamberConfig

QUIET = dict.fromkeys(
    (
        *("rate_noise_relative", "rate_noise_absolute", "tooling_sd", "zero_drift_sd", "frequency_noise_Hz"),
        *("thermal_shift_Hz", "source_strength_sd", "source_n_sd", "plasma_sd", "neighbour_interaction"),
    ),
    0.0,
)
K_J, AVOGADRO, E_C = 1.380649e-23, 6.02214076e23, 1.602176634e-19


def plant_of(raw_config, elements=("Al",), seed=0, **physics) -> Plant:
    raw = raw_config(elements, seed=seed, physics={**QUIET, "oxygen_sticking_sd": 0.0, **physics})
    return Plant(ChamberConfig.model_validate(raw))


def burn(plant: Plant, watts: float = 60.0, argon_sccm: float = 26.0) -> Plant:
    plant.gas.setpoint_sccm = 62.0
    for source in plant.sources:
        source.setpoint_W = watts
    plant.advance(60.0)
    plant.gas.setpoint_sccm = argon_sccm
    plant.advance(60.0)
    assert all(source.burning for source in plant.sources)
    for index in range(len(plant.sources)):
        plant.open_source_shutter(index, True)
    return plant


def rates(plant: Plant, seconds: float = 20.0) -> np.ndarray:
    before = np.array([c.mass_ng_cm2 for c in plant.crystals])
    plant.advance(seconds)
    return (np.array([c.mass_ng_cm2 for c in plant.crystals]) - before) / seconds


def steady(plant: Plant, sccm: float) -> float:
    plant.oxygen.setpoint_sccm = sccm
    plant.advance(600.0)
    return plant.oxygen.coverage[0]


def berg(plant: Plant, sccm: float, guess: tuple[float, float]) -> tuple[float, float]:
    """Coverage and partial pressure [mTorr] by a root of the two balances, from the constants of nature up."""
    s, source = plant.settings, plant.sources[0]
    oxide, target = oxide_of(source.law.config.element), source.law.target
    impingement = 0.13332237 / math.sqrt(2 * math.pi * 2 * 15.999 * 1.66053907e-27 * K_J * 300.0) * 1e-4
    volts = float(source.law.voltage(source.supply_W, plant.pressure_mTorr, source.energy_kWh))
    bare = float(source.law.emitted(source.supply_W, plant.pressure_mTorr, source.energy_kWh))
    ions = source.supply_W / volts / E_C
    atoms = bare * 1e-9 / target.mass_u * AVOGADRO / s.throughput
    cleaning = ions / s.target_area_cm2 * target.yield_500 * math.sqrt(volts / 500.0) * oxide.yield_ratio
    z, stick, area = oxide.oxygen_per_metal, oxide.sticking, s.collecting_area_cm2

    def balances(unknown):
        theta, pressure = unknown
        flux = impingement * pressure
        change = 1 + oxide.voltage_change * theta
        metal, compound = atoms * (1 - theta) / change, atoms * oxide.yield_ratio * theta / change
        arriving = 2 * stick * flux * area
        film = (arriving + z * compound) / (arriving + z * (metal + compound))
        taken = s.oxygen_sticking_target * flux * (1 - theta) * s.target_area_cm2 + stick * flux * (1 - film) * area
        return [
            2 * s.oxygen_sticking_target * flux * (1 - theta) / 1e16 - z * cleaning * theta / 1e16,
            sccm - s.oxygen_pumping_sccm_per_mTorr * pressure - taken / 4.478e17,
        ]

    found = root(balances, guess, method="hybr", tol=1e-12)
    assert found.success, found.message
    return tuple(found.x)


def test_a_molecule_hits_a_surface_as_gas_kinetics_says():
    from ioc_sims.sputter.reactive import IMPINGEMENT_PER_MTORR

    torr_L_s = 3.51e22 / math.sqrt(32.0 * 300.0)  # Dushman: molecules per cm2 and s at 1 Torr
    assert pytest.approx(torr_L_s * 1e-3, rel=2e-3) == IMPINGEMENT_PER_MTORR


@pytest.mark.parametrize(("element", "sccm"), [("Al", 0.3), ("Al", 3.0), ("Cu", 1.0), ("Cu", 3.0), ("Ni", 0.7)])
def test_a_steady_state_is_a_root_of_both_balances(raw_config, element, sccm):
    plant = burn(plant_of(raw_config, (element,)))
    coverage = steady(plant, sccm)
    theta, pressure = berg(plant, sccm, (coverage + 0.02, plant.oxygen.pressure_mTorr * 1.1))
    assert coverage == pytest.approx(theta, rel=5e-3)
    assert plant.oxygen.pressure_mTorr == pytest.approx(pressure, rel=5e-3)


def test_flow_in_is_what_is_pumped_and_what_is_taken_up(raw_config):
    plant = burn(plant_of(raw_config))
    for sccm in (0.4, 2.0):
        steady(plant, sccm)
        gas = plant.oxygen
        pumped = plant.settings.oxygen_pumping_sccm_per_mTorr * gas.pressure_mTorr
        assert pumped + gas.consumption(gas.pressure_mTorr) == pytest.approx(sccm, rel=1e-4)


def test_aluminium_has_two_states_at_one_flow_and_a_strong_pump_leaves_one(raw_config):
    plant = burn(plant_of(raw_config), watts=60.0)
    assert steady(plant, 0.75) < 0.25  # on the way up
    assert steady(plant, 3.0) > 0.75
    assert steady(plant, 0.75) > 0.75  # the same flow on the way down
    assert steady(plant, 0.4) < 0.25
    strong = burn(plant_of(raw_config, oxygen_pumping_sccm_per_mTorr=200.0))
    up = [steady(strong, q) for q in (5.0, 10.0, 20.0)]
    down = [steady(strong, q) for q in (10.0, 5.0)]
    assert down == pytest.approx(up[1::-1], abs=2e-3)


def test_crystals_weigh_metal_and_no_more_oxygen_than_its_oxide_holds(raw_config):
    plant = burn(plant_of(raw_config))
    bare = rates(plant)
    limit = 1.5 * 15.999 / 26.982
    last = np.zeros(3)
    for sccm in (0.05, 0.2, 0.5):
        coverage = steady(plant, sccm)
        change = 1 - 0.28 * coverage
        metal = bare * ((1 - coverage) + 0.05 * coverage) / change
        uptake = rates(plant) / metal - 1
        assert np.all((uptake > last) & (uptake < limit * 1.01))
        assert uptake[1] > uptake[0]  # the crystal with less metal is oxidised further
        last = uptake
    coverage = steady(plant, 8.0)
    metal = bare * ((1 - coverage) + 0.05 * coverage) / (1 - 0.28 * coverage)
    assert rates(plant) / metal - 1 == pytest.approx(np.full(3, limit), rel=0.03)


def test_without_oxygen_nothing_is_touched(raw_config):
    def run(**physics):
        raw = raw_config(("Cu", "Al"), seed=4, physics=physics)
        chamber = Chamber(burn(Plant(ChamberConfig.model_validate(raw))), 100.0, 3.0)
        seen = readings(chamber)
        masses = [c.mass_ng_cm2 for c in chamber.plant.crystals]
        return [seen[k] for k in sorted(seen) if not k.startswith(("O2", "OES", "IOC"))], masses

    assert run() == run(oxygen_sticking_target=0.1, collecting_area_cm2=10.0, oes_counts_per_s=1.0)


def test_a_target_becomes_bare_again_when_the_oxygen_is_closed(raw_config):
    plant = burn(plant_of(raw_config))
    bare = rates(plant)
    assert steady(plant, 3.0) > 0.75
    steady(plant, 0.0)
    assert not plant.oxygen.present
    assert rates(plant) == pytest.approx(bare, rel=1e-3)  # a little erosion


def test_an_idle_target_is_covered_and_burns_clean(raw_config):
    plant = plant_of(raw_config, ("Al",))
    plant.oxygen.setpoint_sccm = 1.0
    plant.advance(600.0)
    assert plant.oxygen.coverage[0] == pytest.approx(1.0)
    plant.oxygen.setpoint_sccm = 0.0
    plant.advance(60.0)
    burn(plant)
    plant.advance(300.0)
    assert plant.oxygen.coverage[0] == 0.0


def test_gold_takes_up_nothing(raw_config):
    plant = burn(plant_of(raw_config, ("Au",)))
    bare = rates(plant)
    assert steady(plant, 3.0) == 0.0
    pumped = plant.settings.oxygen_pumping_sccm_per_mTorr * plant.oxygen.pressure_mTorr
    assert pumped == pytest.approx(3.0, rel=1e-4)
    assert rates(plant) == pytest.approx(bare, rel=0.05)  # the higher pressure scatters a little


def test_making_safe_closes_it(raw_config):
    plant = burn(plant_of(raw_config))
    steady(plant, 1.0)
    assert plant.energised
    plant.make_safe()
    plant.advance(60.0)
    assert plant.oxygen.flow_sccm == 0.0
    assert plant.oxygen.pressure_mTorr < 1e-6


def test_the_same_seed_has_the_same_spectra_and_light_follows_the_metal(raw_config):
    first, second = (burn(plant_of(raw_config, ("Cu", "Al"), seed=3)) for _ in range(2))
    assert np.array_equal(first.spectrum(), second.spectrum())
    plant = burn(plant_of(raw_config, ("Al",)))
    x = np.arange(300.0, 830.0, 0.5)
    mean = plant.spectrometer.expected(plant.sources, plant.gas.pressure_mTorr, plant.oxygen)
    aluminium, argon = (np.abs(x - nm) < 1.0 for nm in (396.2, 811.5))
    before = mean[aluminium].sum() / mean[argon].sum()
    coverage = steady(plant, 3.0)
    mean = plant.spectrometer.expected(plant.sources, plant.gas.pressure_mTorr, plant.oxygen)
    assert coverage > 0.9
    assert mean[aluminium].sum() / mean[argon].sum() < 0.3 * before
    oxygen = np.abs(x - 777.4) < 1.0
    assert mean[oxygen].sum() > 1.2 * mean[np.abs(x - 785.0) < 1.0].sum()


def test_counts_are_those_of_poisson(raw_config):
    plant = burn(plant_of(raw_config, ("Cu",)))
    mean = plant.spectrometer.expected(plant.sources, plant.gas.pressure_mTorr, plant.oxygen)
    many = np.stack([plant.spectrum() for _ in range(400)])
    assert many.mean() == pytest.approx(mean.mean(), rel=0.01)
    assert np.mean(many.var(axis=0) / mean) == pytest.approx(1.0, abs=0.02)


def test_a_sweep_of_the_batch_program_is_scored_and_keeps_its_truth(raw_config):
    from ioc_sims.sputter.batch import Batch

    batch = Batch(ChamberConfig.model_validate(raw_config(("Al",), physics=QUIET)))
    empty = {"metal": [], "std": [], "low": [], "high": [], "branch": []}
    assert "no sweep" in batch.answer({"do": "score_reactive", **empty})["error"]
    ask = {"do": "reactive", "source": "al", "power": 60.0, "pressure": 5.0, "oxygen_sccm": [0.0, 3.0]}
    assert "beyond 0 .. 20" in batch.answer({**ask, "oxygen_sccm": [0.0, 30.0]})["error"]
    reply = batch.answer(ask)
    assert "coverage" not in json.dumps(reply)
    assert [len(step["spectrum"]) for step in reply["steps"]] == [len(reply["wavelength_nm"])] * 2
    frequency, time = (np.array(reply["rows"][k], float) for k in ("qcm1_frequency", "clock_time"))
    begin, end = reply["steps"][0]["window"]
    use = (time >= begin) & (time <= end)
    rate = -12.269 * np.polyfit(time[use], frequency[use], 1)[0]
    flat = [[rate] * 3] * 2
    answer = {"metal": flat, "std": flat, "low": [[0.0] * 3] * 2, "high": flat, "branch": ["metallic", "poisoned"]}
    score = batch.answer({"do": "score_reactive", **answer})
    assert (score["metallic"], score["poisoned"], score["flagged"], score["false_flags"]) == (1, 1, 1.0, 0)
    assert "shape" in batch.answer({"do": "score_reactive", **{**answer, "metal": flat[:1]}})["error"]
