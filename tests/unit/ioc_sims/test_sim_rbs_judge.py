"""The judge's arithmetic for RBS results, against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rbs_films import film_truth

from ioc_sims.common.errors import JudgeError
from ioc_sims.judge import judge
from ioc_sims.scoring import Points, rbs_score

CU, SN = np.array([300.0, 330.0, 360.0, 390.0]), np.array([200.0, 220.0, 240.0, 260.0])
TRUE = Points({"Cu": CU, "Sn": SN}, {"Cu": np.full(4, 0.6), "Sn": np.full(4, 0.4)})
WIDE = Points(dict.fromkeys(("Cu", "Sn"), np.full(4, 1e3)), dict.fromkeys(("Cu", "Sn"), np.ones(4)))


def shifted(fraction, density) -> Points:
    return Points(
        {"Cu": CU * (1 + density), "Sn": SN * (1 + density)},
        {"Cu": 0.6 + np.array(fraction), "Sn": 0.4 - np.array(fraction)},
    )


def test_errors_in_atomic_percent_and_of_the_total_density():
    score = rbs_score(shifted([0.01, 0.01, 0.01, -0.03], np.array([0.01, -0.02, 0.03, 0.04])), WIDE, TRUE)
    assert score.rms_percent == pytest.approx(100 * np.sqrt((3 * 1e-4 + 9e-4) / 4))
    assert score.worst_percent == pytest.approx(3.0)
    assert score.density_error_percent == pytest.approx(2.5)
    assert (score.coverage_90, score.points) == (1.0, 4)


def test_coverage_counts_fractions_and_densities():
    # errors: fractions 0.01 (all eight), densities 3, 3.3, 3.6, 3.9 (Cu) and 2, 2.2, 2.4, 2.6 (Sn)
    std = Points({"Cu": np.full(4, 2.0), "Sn": np.full(4, 1.4)}, {"Cu": np.full(4, 0.0061), "Sn": np.full(4, 0.006)})
    score = rbs_score(shifted([0.01] * 4, 0.01), std, TRUE)
    # within 3.29: Cu 3; within 2.303: Sn 2, 2.2; within 0.01003: the fractions of Cu; 0.00987: none of Sn
    assert score.coverage_90 == pytest.approx((1 + 2 + 4) / 16)


def test_an_element_that_one_side_lacks_counts_as_zero():
    more = Points(TRUE.density | {"Ni": np.full(4, 5.0)}, TRUE.fraction | {"Ni": np.full(4, 0.03)})
    wide = Points(dict.fromkeys(more.density, np.full(4, 9.0)), dict.fromkeys(more.fraction, np.ones(4)))
    assert rbs_score(more, wide, TRUE).rms_percent == pytest.approx(100 * 0.03 / np.sqrt(3))
    assert rbs_score(TRUE, WIDE, more).rms_percent == pytest.approx(100 * 0.03 / np.sqrt(3))


def test_a_point_that_is_not_finite_is_left_out():
    broken = shifted([np.nan, 0.01, 0.01, 0.01], 0.0)
    score = rbs_score(broken, WIDE, TRUE)
    assert score.points == 3
    assert score.rms_percent == pytest.approx(1.0)
    with pytest.raises(JudgeError, match="finite"):
        rbs_score(shifted([np.nan] * 4, 0.0), WIDE, TRUE)


def test_points_beside_the_film_cannot_be_judged():
    beside = Points({"Cu": np.array([1.0, 0.0]), "Sn": np.zeros(2)}, {"Cu": np.ones(2), "Sn": np.zeros(2)})
    with pytest.raises(JudgeError, match="no film"):
        rbs_score(beside, beside, beside)
    with pytest.raises(JudgeError, match="no element"):
        rbs_score(Points({}, {}), Points({}, {}), TRUE)


# as it lies in the catalogue -------------------------------------------------------------------------------------------


class Array:
    def __init__(self, values) -> None:
        self._values = values

    def read(self) -> np.ndarray:
        return np.asarray(self._values)


class Node(dict):
    def __init__(self, metadata, **arrays) -> None:
        super().__init__({key: Array(value) for key, value in arrays.items()})
        self.metadata = metadata


TRUTH = {
    "sources": {},
    "films": {"1": film_truth({"Cu": 1.0}, 1e5), "2": film_truth({"Cu": 0.6, "Sn": 0.4}, 1e5, slope_per_mm=0.01)},
}
TOTAL = 703.43 * np.array([1.0, 1.1])  # 1e-4 g/cm2 of Cu0.6Sn0.4 in 1e15 at/cm2, at x = 0 and 10 mm


def result(error: float = 0.0, time: float = 1.0, campaign: str = "c1", **metadata) -> Node:
    fraction = np.array([[0.4 - error, 0.6 + error]] * 2)
    return Node(
        {"kind": "rbs", "elements": ["Sn", "Cu"], "campaign": campaign, "time": time, **metadata},
        x=[0.0, 10.0],
        y=[3.0, -4.0],
        fraction=fraction,
        fraction_std=np.full((2, 2), 0.01),
        density=fraction * TOTAL[:, None],
        density_std=np.full((2, 2), 10.0),
    )


def test_the_last_result_of_the_campaign_is_judged():
    analysis = {
        "new": result(0.005, time=5.0, substrate_number=2),
        "old": result(0.2, time=2.0, substrate_number=2),
        "other": result(0.3, time=9.0, campaign="c2"),
    }
    found = judge(TRUTH, analysis, ["c1"])
    assert found["rbs"] == {
        "rms_percent": pytest.approx(0.5),
        "worst_percent": pytest.approx(0.5),
        "coverage_90": 1.0,
        "density_error_percent": pytest.approx(0.0, abs=0.01),
        "points": 2,
        "film": 2,
        "key": "new",
    }
    assert found["composition"] is None
    json.dumps(found)


def test_the_film_is_that_of_the_metadata():
    assert judge(TRUTH, {"a": result()}, ["c1"])["rbs"]["film"] == 2  # the newest
    assert judge(TRUTH, {"a": result(substrate_number=1)}, ["c1"])["rbs"]["rms_percent"] == pytest.approx(40.0)
    with pytest.raises(JudgeError, match="no film 9"):
        judge(TRUTH, {"a": result(substrate_number=9)}, ["c1"])
