"""The magnetrons of the extinction study, and one campaign of it."""

from __future__ import annotations

import numpy as np
import pytest

from sdl_bluesky.bench.extinction import PRESSURE_MTORR, SHAPES, Magnetron, campaign


@pytest.mark.parametrize("name", SHAPES)
def test_a_plasma_goes_out_at_its_boundary_on_the_way_down(name: str) -> None:
    source = Magnetron(SHAPES[name], np.random.default_rng(0))
    for power in (10.0, 35.0, 41.0, 100.0):
        boundary = float(SHAPES[name](np.array([power]))[0])
        out = source.experiment({"power": power, "pressure": PRESSURE_MTORR[0] * 0.5})
        assert out["plasma"] == 0
        assert 0.99 * out["out_pressure"] < boundary < 1.01 * out["lit_pressure"]
        lit = source.experiment({"power": power, "pressure": 1.05 * boundary})
        clean = float(source.rate(np.array([power]), np.array([1.05 * boundary]))[0])
        assert lit["rate"] == pytest.approx(clean, rel=0.06, abs=0.2)
    p = np.linspace(boundary, 20.0, 200)
    assert (
        np.argmax(source.rate(np.full(200, 100.0), p)) > 5
    )  # it collapses towards extinction, and falls at high pressure


def test_one_campaign_of_each_kind() -> None:
    learned, cut = (campaign(SHAPES["power law"], 1, setting) for setting in ("learn", 4.0))
    assert learned["extinctions"] == 1
    assert cut["extinctions"] == 0
    assert learned["class_percent"] > 97.0 > cut["class_percent"]
    assert learned["e_rms_percent"] < min(3.5, cut["e_rms_percent"])
