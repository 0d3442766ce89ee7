from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import Law, Laws
from scipy.stats import norm

from sdl_bluesky.analysis.design.inverse import Box, deposition_time, design
from sdl_bluesky.analysis.design.target import Target
from sdl_bluesky.errors import OutOfRange, UnknownName

MASS = {"Cu": 63.546, "Sn": 118.71, "Ni": 58.6934}


def box(laws: Laws, power=(10.0, 100.0), pressure=(4.0, 20.0), **more) -> Box:
    return Box({k: v.element for k, v in laws.sources.items()}, dict.fromkeys(laws.sources, power), pressure, **more)


PAIR = Laws({"cu": Law("Cu", 0.8), "sn": Law("Sn", 0.5, std=0.02)})


def test_equal_molar_rates_need_powers_in_the_ratio_of_mass_over_strength() -> None:
    """x = 1/2 where P1 k1 / M1 = P2 k2 / M2."""
    found = design(PAIR, Target.at({"Cu": 0.5}, 0.01), box(PAIR))
    ratio = (MASS["Cu"] / 0.8) / (MASS["Sn"] / 0.5)
    assert found.powers_W["cu"] / found.powers_W["sn"] == pytest.approx(ratio, rel=2e-3)
    assert found.fraction[found.elements.index("Cu"), 0] == pytest.approx(0.5, abs=5e-4)


def test_two_alike_sources_of_two_isotopically_equal_targets_run_at_equal_power() -> None:
    twins = Laws({"left": Law("Ni", 0.7, (0.01, 0.0)), "right": Law("Ni", 0.7, (-0.01, 0.0)), "cu": Law("Cu", 0.7)})
    found = design(twins, Target.at({"Ni": 0.5}, 0.01), box(twins))
    u = {k: law.flux(found.powers_W[k], found.pressure_mTorr, np.zeros((1, 2)))[0] / MASS[law.element]
         for k, law in twins.sources.items()}  # fmt: skip
    assert (u["left"] + u["right"]) / sum(u.values()) == pytest.approx(0.5, abs=1e-3)


@settings(max_examples=15)
@given(wanted=st.floats(0.25, 0.75), strength=st.floats(0.4, 1.4))
def test_the_film_made_by_the_true_law_is_what_was_asked_for(wanted: float, strength: float) -> None:
    laws = Laws({"cu": Law("Cu", strength), "sn": Law("Sn", 0.9)}, samples=200)
    found = design(laws, Target.at({"Cu": wanted}, 0.02), box(laws))
    u = [law.flux(found.powers_W[k], found.pressure_mTorr, np.zeros((1, 2)))[0] / MASS[law.element]
         for k, law in laws.sources.items()]  # fmt: skip
    assert u[0] / sum(u) == pytest.approx(wanted, abs=1e-3)
    assert all(10.0 <= p <= 100.0 for p in found.powers_W.values())
    assert 4.0 <= found.pressure_mTorr <= 20.0


def test_the_probability_is_that_of_the_law_of_the_errors() -> None:
    """ln(u1/u2) is normal with sd hypot(s1, s2); x = 1/(1 + exp(-l)) is monotone in it."""
    tolerance = 0.006
    found = design(PAIR, Target.at({"Cu": 0.6}, tolerance), box(PAIR))
    x = found.fraction[found.elements.index("Cu"), 0]
    logit = math.log(x / (1 - x))
    ends = [math.log(v / (1 - v)) for v in (0.6 - tolerance, 0.6 + tolerance)]
    exact = float(np.diff(norm.cdf((np.array(ends) - logit) / math.hypot(0.01, 0.02)))[0])
    assert 0.5 < exact < 0.9
    assert found.probability == pytest.approx(exact, abs=0.02)
    assert found.std[0, 0] == pytest.approx(0.6 * 0.4 * math.hypot(0.01, 0.02), rel=0.05)


def test_the_fastest_of_equal_settings_is_chosen_and_the_wanted_rate_is_kept() -> None:
    free = design(PAIR, Target.at({"Cu": 0.6}, 0.05), box(PAIR))
    slow = design(PAIR, Target.at({"Cu": 0.6}, 0.05), box(PAIR), rate=(25.0, 30.0))
    assert max(free.powers_W.values()) > 95.0, "errors do not depend on the level: full power is fastest"
    assert 25.0 * 0.99 <= slow.rate <= 30.0 * 1.01
    assert slow.fraction == pytest.approx(free.fraction, abs=0.01)
    assert free.pressure_mTorr == pytest.approx(9.0, rel=0.5), "both sources are fastest at 9 mTorr"
    assert slow.alternatives
    with pytest.raises(OutOfRange, match="at 500 to 600 ng"):
        design(PAIR, Target.at({"Cu": 0.6}, 0.05), box(PAIR), rate=(500.0, 600.0))


def test_the_setting_with_the_smaller_error_wins_over_the_faster_one() -> None:
    class Unsure(Laws):
        """Errors grow with pressure."""

        def predict(self, powers_W, pressure_mTorr, points_mm):
            std = 0.005 * (1 + (pressure_mTorr / 5.0) ** 2)
            worse = {k: Law(v.element, v.strength, v.slope, std, v.best_mTorr) for k, v in self.sources.items()}
            return Laws(worse, self.samples).predict(powers_W, pressure_mTorr, points_mm)

    unsure = Unsure({"cu": Law("Cu", 0.8, best_mTorr=20.0), "sn": Law("Sn", 0.5, best_mTorr=20.0)}, samples=1000)
    found = design(unsure, Target.at({"Cu": 0.6}, 0.005), box(unsure))
    assert found.pressure_mTorr < 4.5
    assert all(found.probability >= other.probability - 0.01 for other in found.alternatives)


def test_a_gradient_over_the_wafer_is_reached_where_the_sources_allow_it() -> None:
    laws = Laws({"cu": Law("Cu", 0.8, (0.008, 0.0)), "sn": Law("Sn", 0.8, (-0.008, 0.0))})
    # x = u1/(u1+u2), dx/dr = x (1 - x) (0.008 + 0.008) in the middle
    target = Target.gradient({"Cu": 0.5}, {"Cu": (0.004, 0.0)}, 0.02, points_mm=[(-10, 0), (0, 0), (10, 0)])
    found = design(laws, target, box(laws))
    assert found.fraction[found.elements.index("Cu")] == pytest.approx([0.46, 0.5, 0.54], abs=2e-3)
    steep = Target.gradient({"Cu": 0.5}, {"Cu": (0.02, 0.0)}, 0.02, points_mm=[(-10, 0), (0, 0), (10, 0)])
    with pytest.raises(OutOfRange, match=r"at \(10, 0\) mm"):
        design(laws, steep, box(laws))


def test_three_elements_are_reached_together() -> None:
    laws = Laws({"cu": Law("Cu", 0.8), "sn": Law("Sn", 0.5), "ni": Law("Ni", 0.6)}, samples=400)
    found = design(laws, Target.at({"Cu": 0.4, "Sn": 0.25, "Ni": 0.35}, 0.02), box(laws))
    got = dict(zip(found.elements, found.fraction[:, 0], strict=True))
    assert got == pytest.approx({"Cu": 0.4, "Sn": 0.25, "Ni": 0.35}, abs=2e-3)


def test_an_unreachable_target_names_what_can_be_reached() -> None:
    """Between 10 and 100 W the molar ratio is (k1/M1)/(k2/M2) times 1/10 to 10."""
    ratio = (0.8 / MASS["Cu"]) / (0.5 / MASS["Sn"])
    low, high = (100 * r / (1 + r) for r in (ratio / 10, ratio * 10))
    with pytest.raises(OutOfRange, match=f"Cu {low:.1f} to {high:.1f} %"):
        design(PAIR, Target.at({"Cu": 0.99}, 0.005), box(PAIR))


def test_sources_that_would_not_burn_are_left_alone() -> None:
    free = design(PAIR, Target.at({"Cu": 0.5}, 0.02), box(PAIR))
    lit = design(PAIR, Target.at({"Cu": 0.5}, 0.02), box(PAIR, burns=lambda source, power, pressure: pressure > 15.0))
    assert free.pressure_mTorr < 15.0 < lit.pressure_mTorr
    with pytest.raises(OutOfRange, match="cannot be reached"):
        design(PAIR, Target.at({"Cu": 0.5}, 0.02), box(PAIR, burns=lambda *_: False))


def test_the_same_models_give_the_same_design() -> None:
    one, other = (design(PAIR, Target.at({"Cu": 0.6}, 0.01), box(PAIR)) for _ in "12")
    assert one.powers_W == other.powers_W
    assert one.pressure_mTorr == other.pressure_mTorr
    assert PAIR.calls < 5000


def test_a_box_is_cut_to_a_pressure_to_sources_and_to_a_target() -> None:
    laws = Laws({"cu": Law("Cu"), "sn": Law("Sn"), "ni": Law("Ni")})
    whole = box(laws)
    assert set(whole.for_target(Target.at({"Cu": 0.6, "Sn": 0.4}, 0.01)).elements) == {"cu", "sn"}
    assert set(whole.for_target(Target.at({"Cu": 0.6, "Ni": 0.0}, 0.01)).elements) == {"cu", "sn"}
    assert set(whole.for_target(Target.at({"Cu": 0.6}, 0.01)).elements) == {"cu", "sn", "ni"}
    assert (
        design(laws, Target.at({"Cu": 0.6, "Sn": 0.4}, 0.05), whole.of(["cu", "sn"]).at_pressure(8.0)).pressure_mTorr
        == 8.0
    )
    with pytest.raises(OutOfRange, match="4 to 20 mTorr"):
        whole.at_pressure(3.0)
    with pytest.raises(UnknownName, match="'al'"):
        whole.of(["al"])
    with pytest.raises(UnknownName, match="'Al'"):
        whole.for_target(Target.at({"Al": 0.6}, 0.01))
    with pytest.raises(OutOfRange, match="range of cu"):
        Box({"cu": "Cu"}, {"cu": (100.0, 10.0)}, (4.0, 20.0))
    with pytest.raises(OutOfRange, match="do not belong"):
        Box({"cu": "Cu"}, {}, (4.0, 20.0))


def test_a_thickness_takes_its_time() -> None:
    """F_Cu / 8.96 + F_Sn / 7.31 in units of 0.01 nm/s: copper and tin side by side."""
    found = design(PAIR, Target.at({"Cu": 0.5}, 0.02), box(PAIR).at_pressure(9.0))
    nm_per_s = 0.01 * (0.8 * found.powers_W["cu"] / 8.96 + 0.5 * found.powers_W["sn"] / 7.31)
    assert deposition_time(found, 100.0) == pytest.approx(100.0 / nm_per_s, rel=0.01)
    with pytest.raises(OutOfRange, match="above 0 nm"):
        deposition_time(found, 0.0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Target.at({}, 0.01), "needs elements"),
        (lambda: Target.at({"Cu": 1.2}, 0.01), "parts of one"),
        (lambda: Target.at({"Cu": 0.7, "Sn": 0.4}, 0.01), "parts of one"),
        (lambda: Target.at({"Cu": float("nan")}, 0.01), "finite"),
        (lambda: Target.at({"Cu": 0.5}, 0.0), "tolerance"),
        (lambda: Target.gradient({"Cu": 0.9}, {"Cu": (0.01, 0.0)}, 0.01), "parts of one"),
        (lambda: Target.gradient({"Cu": 0.5}, {"Sn": (0.01, 0.0)}, 0.01), "no fraction"),
        (lambda: Target(("Cu", "Cu"), np.zeros((1, 2)), np.full((2, 1), 0.4), 0.1), "twice"),
        (lambda: Target(("Cu",), np.zeros((2, 2)), np.full((1, 1), 0.4), 0.1), "do not belong"),
    ],
)  # fmt: skip
def test_a_target_that_is_none_is_refused(make, match: str) -> None:
    with pytest.raises(OutOfRange, match=match):
        make()


def test_an_unknown_element_is_refused() -> None:
    with pytest.raises(UnknownName):
        Target.at({"Xx": 0.5}, 0.01)
