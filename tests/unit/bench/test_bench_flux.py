import json

import numpy as np
import pytest

from ioc_sims.sputter.settings import ChamberConfig
from sdl_bluesky.bench import BENCHES, flux
from sdl_bluesky.bench.flux_chamber import ELEMENTS, Case, config


def test_the_study_is_known_by_its_name():
    assert BENCHES["flux"] == flux.__name__


@pytest.mark.parametrize("case", flux.CASES, ids=lambda k: k.name)
def test_every_case_is_a_chamber_that_can_be_simulated(case):
    made = config(case, seed=3) | {"prefix": "", "state_file": "none", "truth_file": "none"}
    chamber = ChamberConfig.model_validate_json(json.dumps(made))
    assert tuple(s.element for s in chamber.sources) == ELEMENTS
    for source in chamber.sources:
        assert np.linalg.norm(source.position_cm) == pytest.approx(14.0 * case.distance)
    for key, value in case.physics.items():
        assert getattr(chamber.physics, key) == value


def test_rows_are_medians_percentiles_and_the_mean_coverage_of_each_method():
    def score(rms, centre, coverage):
        return {"rms_percent": rms, "centre_error": centre, "coverage_90": coverage}

    chambers = [
        [("a", score(float(k), k / 100, 0.9)), ("b", score(1.0, 0.01, 0.5 + 0.1 * k))] for k in range(5)
    ]  # 0, 1, 2, 3, 4: median 2, 90th percentile 3.6
    a, b = flux._rows(Case("c"), chambers)
    assert (a["method"], a["case"], a["films"], a["chambers"]) == ("a", "c", 5, 5)
    assert (a["rms_percent"], a["rms_percent_p90"]) == (2.0, pytest.approx(3.6))
    assert (a["centre_error"], a["centre_error_p90"]) == (pytest.approx(0.02), pytest.approx(0.036))
    assert b["coverage_90"] == pytest.approx(0.7)
