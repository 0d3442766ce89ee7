from __future__ import annotations

import numpy as np
import pytest
from laws import Law, Laws

from sdl_bluesky.analysis.design.cover import Region, cover
from sdl_bluesky.analysis.design.inverse import Box
from sdl_bluesky.errors import OutOfRange, UnknownName

MASS = {"Cu": 63.546, "Sn": 118.71, "Ni": 58.6934}


def box(laws: Laws, power=(10.0, 100.0), pressure=(8.0, 8.0), **more) -> Box:
    return Box({k: v.element for k, v in laws.sources.items()}, dict.fromkeys(laws.sources, power), pressure, **more)


def pair(slope: float) -> Laws:
    return Laws({"cu": Law("Cu", 0.8, (slope, 0.0)), "sn": Law("Sn", 0.8, (-slope, 0.0))}, samples=20)


def test_a_binary_region_takes_as_few_films_as_their_spread_allows() -> None:
    """ln(u1/u2) spans 2 ln((1 + g)/(1 - g)) on each wafer, g = slope x 25 mm; the region's logit spans 2 ln 4."""
    laws = pair(0.016)  # g = 0.4: each film spans 1.695, the region 2.773
    found = cover(laws, Region.between({"Cu": 0.2, "Sn": 0.8}, {"Cu": 0.8, "Sn": 0.2}), box(laws), resolution=0.05)
    assert found.coverage == 1.0
    assert len(found.films) == 2
    for film in found.films:
        u1 = 0.8 * film.powers_W["cu"] / MASS["Cu"] * np.array([0.6, 1.4])
        u2 = 0.8 * film.powers_W["sn"] / MASS["Sn"] * np.array([1.4, 0.6])
        low, high = u1 / (u1 + u2)
        mine = found.cells[film.covers.astype(bool), 0]
        assert low - 0.026 <= mine.min() <= low + 0.076 or mine.min() == 0.2
        assert high - 0.076 <= mine.max() <= high + 0.026 or mine.max() == 0.8
    assert max(max(film.powers_W.values()) for film in found.films) == 100.0


def test_flat_films_are_needed_one_a_cell_and_a_wide_spread_needs_one() -> None:
    region = Region.between({"Cu": 0.3, "Sn": 0.7}, {"Cu": 0.6, "Sn": 0.4})
    assert len(cover(pair(0.0), region, box(pair(0.0)), resolution=0.1).films) == 4
    assert len(cover(pair(0.03), region, box(pair(0.03)), resolution=0.1).films) == 1


def test_a_ternary_polygon_is_covered_or_what_is_missing_is_named() -> None:
    laws = Laws(
        {
            "cu": Law("Cu", 0.8, (0.02, 0.0)),
            "sn": Law("Sn", 0.8, (-0.01, 0.017)),
            "ni": Law("Ni", 0.8, (-0.01, -0.017)),
        },
        samples=20,
    )
    corners = [
        {"Cu": 0.5, "Sn": 0.25, "Ni": 0.25},
        {"Cu": 0.3, "Sn": 0.4, "Ni": 0.3},
        {"Cu": 0.3, "Sn": 0.3, "Ni": 0.4},
    ]
    region = Region.between(*corners)
    assert region.cells(0.05).sum(axis=1) == pytest.approx(1.0)
    found = cover(laws, region, box(laws), resolution=0.05)
    assert found.coverage == 1.0
    assert not len(found.missing())
    assert 1 <= len(found.films) <= 4
    few = cover(laws, region, box(laws), resolution=0.05, films=1)
    assert len(few.films) == 1
    assert few.coverage <= found.coverage
    pure = Region.between({"Cu": 1.0}, {"Sn": 1.0}, {"Ni": 1.0})
    part = cover(laws, pure, box(laws), resolution=0.1)
    assert 0.2 < part.coverage < 1.0
    assert any(np.allclose(cell, [1.0, 0.0, 0.0]) for cell in part.missing())


def test_cells_are_a_lattice_inside_the_region() -> None:
    cells = Region.between({"Cu": 0.2, "Sn": 0.8}, {"Cu": 0.8, "Sn": 0.2}).cells(0.1)
    assert cells[:, 0] == pytest.approx(np.arange(0.2, 0.81, 0.1))
    triangle = Region.between({"Cu": 1.0}, {"Sn": 1.0}, {"Ni": 1.0}).cells(0.25)
    assert len(triangle) == 15  # barycentric lattice with 4 steps: 5 * 6 / 2
    assert triangle.min() >= -1e-9


def test_what_is_no_region_or_cannot_be_made_is_refused() -> None:
    laws = pair(0.01)
    line = Region.between({"Cu": 0.2, "Sn": 0.8}, {"Cu": 0.8, "Sn": 0.2})
    pure = Region.between({"Cu": 0.99, "Sn": 0.01}, {"Cu": 1.0, "Sn": 0.0})
    with pytest.raises(OutOfRange, match="no setting"):
        cover(laws, pure, box(laws), resolution=0.005)
    with pytest.raises(UnknownName, match="'Ni'"):
        cover(laws, Region.between({"Cu": 0.2, "Ni": 0.8}, {"Cu": 0.8, "Ni": 0.2}), box(laws))
    with pytest.raises(OutOfRange, match="resolution"):
        line.cells(0.0)
    with pytest.raises(OutOfRange, match="coarser"):
        line.cells(1e-6)
    with pytest.raises(OutOfRange, match="films"):
        cover(laws, line, box(laws), films=0)
    with pytest.raises(OutOfRange, match="sum to one"):
        Region.between({"Cu": 0.2, "Sn": 0.7}, {"Cu": 0.8, "Sn": 0.2})
    with pytest.raises(OutOfRange, match="give 3 or more"):
        Region.between({"Cu": 0.5, "Sn": 0.5}, {"Ni": 1.0})
    with pytest.raises(OutOfRange, match="on a line"):
        Region.between({"Cu": 1.0}, {"Sn": 1.0}, {"Cu": 0.5, "Sn": 0.5, "Ni": 0.0}).cells(0.1)
    with pytest.raises(OutOfRange, match="two or more"):
        Region.between({"Cu": 1.0}, {"Cu": 1.0})
