"""Sums of estimates and of use: errors of single campaigns may cancel, and the sum says so."""

from __future__ import annotations

import pytest

from sdl_bluesky.bench.campaign import summed


def test_quantities_are_summed_over_the_campaigns_by_name() -> None:
    rows = [
        {"name": "argon", "used": 2.0, "expected": 3.0},
        {"name": "films", "used": 1.0, "expected": 1.0},
        {"name": "argon", "used": 2.0, "expected": 1.4},
    ]
    argon, films = summed(rows)
    assert (argon["name"], argon["used"], argon["expected"]) == ("argon", 4.0, pytest.approx(4.4))
    assert argon["error_percent"] == pytest.approx(10.0)
    assert films["error_percent"] == 0.0
