"""The study of reactive sputtering: on chambers that nobody has looked at, and what its rows say."""

from __future__ import annotations

import numpy as np
import pytest

from sdl_bluesky.bench import BENCHES
from sdl_bluesky.bench.reactive import _summary, chamber_scores
from sdl_bluesky.bench.sputter_twin import SputterTwin, twin_config
from sdl_bluesky.errors import ServiceError


@pytest.mark.parametrize(
    ("element", "physics"), [("Al", {}), ("Cu", {"oes_self_absorption": 0.3, "oxygen_pumping_sccm_per_mTorr": 8.0})]
)
def test_metal_within_five_percent_and_the_poisoned_branch_flagged(element, physics):
    scores = chamber_scores(element, 1001, [0.0, 0.1, 0.3, 8.0], physics)
    both, crystals = scores["light and crystals"], scores["crystals"]
    assert both["metallic"] >= 4
    assert both["max_percent"] < 5.0 < crystals["max_percent"]
    assert (both["flagged"], both["false_flags"]) == (1.0, 0)
    assert both["coverage_95"] >= 0.9


def test_rows_of_several_chambers_become_one():
    some = {"metallic": 3, "poisoned": 1, "false_flags": 0, "max_percent": 2.0, "rms_percent": 1.0, "flagged": 0.0}
    more = {"metallic": 5, "poisoned": 3, "false_flags": 1, "max_percent": 3.0, "rms_percent": 2.0, "flagged": 1.0}
    none = {"metallic": 8, "poisoned": 0, "false_flags": 0, "max_percent": 1.0, "rms_percent": 0.3, "flagged": None}
    row = _summary("m", "Cu", [some, more, none])
    assert (row["chambers"], row["metallic"], row["false_flags"]) == (3, 16, 1)
    assert (row["max_percent"], row["flagged"]) == (3.0, 0.75)
    assert row["rms_percent"] == pytest.approx(np.mean([1.0, 2.0, 0.3]))
    assert BENCHES["reactive"] == "sdl_bluesky.bench.reactive"


def test_what_the_chamber_refuses_is_an_error_that_says_so():
    with SputterTwin(twin_config(["Cu"])) as twin:
        with pytest.raises(ServiceError, match="no source 'zn'"):
            twin.ask("reactive", source="zn", power=50.0, pressure=5.0, oxygen_sccm=[0.0])
        with pytest.raises(ServiceError, match="refuses 'nothing'"):
            twin.ask("nothing")
