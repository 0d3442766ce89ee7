"""Metal and gas told apart, against plasmas that obey other laws than the analysis assumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reactive_lab import Plasma, any_plasma

from sdl_bluesky.analysis.reactive.actinometry import EmissionRows, calibrate
from sdl_bluesky.analysis.reactive.metal import BRANCHES, metal_rates
from sdl_bluesky.errors import OutOfRange, Unidentifiable, UnknownName
from sdl_bluesky.physics.oxides import oxygen_limit

POWERS, ARGON = np.array([30.0, 60.0, 100.0] * 2), np.array([5.0] * 3 + [9.0] * 3)
RISE = np.array([0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.15, 0.5, 1.5])
SWEEP = np.concatenate([RISE, RISE[::-1]])


def law(plasma, rng):
    return calibrate(plasma.rows(POWERS, ARGON, 0.0, rng))


def study(plasma, element, seed=0):
    rng = np.random.default_rng(seed)
    rows = plasma.rows(60.0, 5.0, SWEEP, rng)
    return rows, metal_rates(rows, law(plasma, rng), element), plasma.metal(np.full(SWEEP.size, 60.0), 5.0, SWEEP)


COPPER = Plasma(limit=oxygen_limit("Cu"), oxide_yield=0.3)
ALUMINIUM = Plasma((9.0, 4.0, 5.0), limit=oxygen_limit("Al"), oxide_yield=0.06, half_mTorr=0.04, film_mTorr=0.003)
THICK = replace(COPPER, bend=0.2, rarefied=0.1, hotter=0.04)


@pytest.mark.parametrize("element", ["Cu", "Al", "Ti"])
def test_metal_is_within_five_percent_in_the_metallic_branch_and_intervals_cover(element):
    errors, crystals, within_68, within_95 = [], [], [], []
    for seed in range(30):
        plasma = any_plasma(seed, oxygen_limit(element))
        rows, found, truth = study(plasma, element, seed)
        metallic = plasma.coverage(SWEEP) < 0.25
        errors.append(np.abs(found.metal / truth - 1)[metallic].ravel())
        crystals.append((rows.rate / truth - 1)[metallic].ravel())
        within_68.append(np.abs(found.metal - truth) <= found.std)
        within_95.append((found.low <= truth) & (truth <= found.high))
    assert np.max(np.concatenate(errors)) < 0.05
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 0.02
    assert np.max(np.concatenate(crystals)) > 3 * 0.05
    assert 0.62 < np.mean(within_68) < 0.92
    assert np.mean(within_95) > 0.93


@pytest.mark.parametrize(("plasma", "element"), [(COPPER, "Cu"), (ALUMINIUM, "Al")])
def test_the_poisoned_branch_is_flagged_and_the_metallic_one_is_not(plasma, element):
    covered = plasma.coverage(SWEEP)
    for seed in range(6):
        _, found, _ = study(plasma, element, seed)
        branch = np.array(found.branch)
        assert np.all(branch[covered > 0.85] == "poisoned")
        assert np.all(branch[covered < 0.2] == "metallic")
        assert found.probability.sum(axis=1) == pytest.approx(np.ones(SWEEP.size), abs=1e-6)
        flagged = sum(text.startswith("poisoned: ") for text in found.findings)
        assert flagged == np.sum(branch == "poisoned")
        value, std = found.oxide_yield
        assert abs(value - plasma.oxide_yield) < 4 * std < 0.5


def test_the_crystals_bound_what_the_light_says():
    rows, found, _ = study(ALUMINIUM, "Al")
    limit, gas = oxygen_limit("Al"), rows.oxygen_sccm > 0
    slack = 4 * np.hypot(rows.std, 0.05 * (1 + found.factor[:, None]))
    assert np.all(found.metal[gas] <= rows.rate[gas] + slack[gas])
    assert np.all(found.metal[gas] >= rows.rate[gas] / (1 + limit) - slack[gas])
    light_alone = found.by_light_std / found.by_light
    both = found.factor_std / found.factor
    assert np.all(both[6:-6] < 0.6 * light_alone[6:-6])


def test_without_gas_the_rate_is_that_of_the_crystals():
    rows, found, _ = study(COPPER, "Cu")
    assert found.metal[[0, -1]] == pytest.approx(rows.rate[[0, -1]], rel=0.01)
    assert np.all(found.oxidised[[0, -1]] == 0.0)
    assert np.all(found.oxidised[8] > found.oxidised[1])


def test_a_noble_metal_binds_nothing():
    plasma = replace(COPPER, limit=0.0, half_mTorr=1e9)
    rows, found, truth = study(plasma, "Au")
    assert found.metal == pytest.approx(truth, rel=0.01)
    assert found.branch == ["metallic"] * len(rows)


def test_light_that_is_not_the_metals_is_a_finding():
    rng = np.random.default_rng(3)
    rows = COPPER.rows(60.0, 5.0, SWEEP, rng)
    wrong = replace(rows, ratio=rows.ratio * np.where(SWEEP > 1.0, 4.0, 1.0))
    found = metal_rates(wrong, law(COPPER, rng), "Cu")
    assert [text for text in found.findings if text.startswith("disagreement: row 8")]
    assert not [text for text in metal_rates(rows, law(COPPER, rng), "Cu").findings if "disagreement" in text]


def test_a_jump_and_hysteresis_are_findings():
    rng = np.random.default_rng(1)
    pressure = np.array([0.0, 0.004, 0.006, 1.0, 1.2, 1.0, 0.9, 0.004, 0.0])
    flow = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 2.0, 1.0, 0.5, 0.0])
    rows = replace(ALUMINIUM.rows(60.0, 5.0, pressure, rng), oxygen_sccm=flow)
    found = metal_rates(rows, law(ALUMINIUM, rng), "Al", ["a", "b", "c"])
    names = [text.split(":")[0] for text in found.findings]
    assert names.count("jump") == 2
    assert "jump: metallic to poisoned between 1 and 2 sccm" in "\n".join(found.findings)
    assert names.count("hysteresis") == 1
    assert "at 1 sccm" in next(text for text in found.findings if text.startswith("hysteresis"))


def test_a_sensor_that_reads_nothing_in_a_row_is_left_out_and_one_that_never_did_is_refused():
    rng = np.random.default_rng(2)
    rows, rule = COPPER.rows(60.0, 5.0, SWEEP, rng), law(COPPER, rng)
    some = rows.rate.copy()
    some[4, 1] = np.nan
    found, whole = (metal_rates(k, rule, "Cu") for k in (replace(rows, rate=some), rows))
    assert np.all(np.isfinite(found.metal))
    assert found.metal == pytest.approx(whole.metal, rel=0.02)
    some[:, 1] = np.nan
    with pytest.raises(Unidentifiable, match="sensor 2: no rate without oxygen"):
        metal_rates(replace(rows, rate=some), rule, "Cu")


def test_what_cannot_be_told_is_refused():
    rng = np.random.default_rng(2)
    rows, rule = COPPER.rows(60.0, 5.0, SWEEP, rng), law(COPPER, rng)
    with pytest.raises(Unidentifiable, match="no row without oxygen"):
        metal_rates(rows[1:-1], rule, "Cu")
    with pytest.raises(Unidentifiable, match="analyse each power"):
        metal_rates(EmissionRows.join([rows, COPPER.rows(90.0, 5.0, [0.0], rng)]), rule, "Cu")
    with pytest.raises(OutOfRange, match="2 names"):
        metal_rates(rows, rule, "Cu", ["a", "b"])
    with pytest.raises(UnknownName):
        metal_rates(rows, rule, "Xx")
    with pytest.raises(Unidentifiable, match="factor of two"):
        calibrate(COPPER.rows([50.0, 52.0, 55.0], 5.0, 0.0, rng))
    with pytest.raises(Unidentifiable, match="2 usable rows"):
        calibrate(COPPER.rows([30.0, 90.0, 90.0], 5.0, [0.0, 0.0, 0.1], rng))
    for name, value in (("ratio", np.nan), ("power_W", 0.0), ("oxygen_sccm", -1.0), ("ratio_std", 0.0)):
        with pytest.raises(OutOfRange, match=name):
            replace(rows, **{name: np.where(np.arange(len(rows)) == 2, value, getattr(rows, name))})
    with pytest.raises(OutOfRange, match="do not belong"):
        replace(rows, rate=rows.rate[:-1])
    with pytest.raises(OutOfRange, match="no rows"):
        EmissionRows.join([])


@pytest.mark.parametrize("plasma", [COPPER, THICK, replace(COPPER, bend=0.05, rarefied=0.15)])
def test_the_law_is_found_where_the_conditions_tell_it_and_its_error_says_where_not(plasma):
    slopes = [law(plasma, np.random.default_rng(seed)).slope for seed in range(20)]
    assert sum(abs(slope - 1 / (1 - plasma.bend)) < 2 * std for slope, std in slopes) >= 18
    assert max(std for _, std in slopes) < 0.12  # less than the prior's 0.16


def test_a_drift_within_the_run_is_a_finding():
    rng = np.random.default_rng(2)
    rows = COPPER.rows(60.0, 5.0, SWEEP, rng)
    drifted = rows.rate * np.where(np.arange(len(rows)) == len(rows) - 1, 1.06, 1.0)[:, None]
    found = metal_rates(replace(rows, rate=drifted), law(COPPER, rng), "Cu")
    assert any(text.startswith("drift: without oxygen sensor 1") for text in found.findings)
    assert BRANCHES == ("metallic", "transition", "poisoned")
