"""Our importance sampling beside the No-U-Turn sampler of another program."""

import pytest

from sdl_bluesky.bench import nuts


@pytest.mark.nuts
def test_predictions_are_those_of_a_long_chain():
    """At 30 readings and 961 candidates: mean within .05 sd, sd within 5 %, everywhere."""
    row = nuts.compare(n=30, seed=0, long=(500, 4000, 4))
    assert row["mean_deviation_sd"] < 0.05
    assert row["sd_deviation_percent"] < 5.0
