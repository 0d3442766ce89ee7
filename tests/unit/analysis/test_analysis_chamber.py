import numpy as np
import pytest

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.errors import CatalogueError, UnknownName

GEOMETRY = {
    "sources": {"cu": {"element": "Cu", "position_cm": [7, 0, 12.1], "axis": [-0.5, 0, -0.866]}},
    "sensors": {"qcm1": {"position_cm": [5, 2, 0], "normal": [0, 0, 1], "f0_Hz": 6e6}},
    "tooling_std": 0.01,
    "map": {"x_mm": [-25, 25, 51], "y_mm": [-10, 10, 3]},
    "ranges": {"power_W": [10, 100], "pressure_mTorr": [2, 20]},
}


def test_a_chamber_is_read_from_a_start_document():
    chamber = Chamber.from_start({"uid": "u", "geometry": GEOMETRY})
    assert chamber.source("cu").position_cm == (7.0, 0.0, 12.1)
    assert chamber.elements == {"cu": "Cu"}
    assert chamber.f0_Hz == {"qcm1": 6e6}
    assert chamber.sensor_list()[0].normal == (0.0, 0.0, 1.0)
    assert chamber.power_W == (10.0, 100.0)
    assert chamber.pressure_mTorr == (2.0, 20.0)
    assert chamber.x_mm[[0, 1, -1]].tolist() == [-25.0, -24.0, 25.0]
    assert chamber.y_mm.tolist() == [-10.0, 0.0, 10.0]
    with pytest.raises(UnknownName, match=r"'tin'.*'cu'"):
        chamber.source("tin")


@pytest.mark.parametrize("missing", ["sources", "sensors", "tooling_std", "map", "ranges"])
def test_an_incomplete_geometry_is_named(missing):
    geometry = {k: v for k, v in GEOMETRY.items() if k != missing}
    with pytest.raises(CatalogueError, match=f"run u: .*{missing}"):
        Chamber.from_start({"uid": "u", "geometry": geometry})


@pytest.mark.parametrize(
    "change",
    [
        {"map": {"x_mm": [-25, 25], "y_mm": [-10, 10, 3]}},
        {"sources": {"cu": {"element": "Cu", "position_cm": [7, 0], "axis": [0, 0, 1]}}},
        {"ranges": {"power_W": [10], "pressure_mTorr": [2, 20]}},
        {"sensors": ["qcm1"]},
    ],
)
def test_a_geometry_of_another_form_is_refused(change):
    with pytest.raises(CatalogueError, match="incomplete"):
        Chamber.from_start({"uid": "u", "geometry": GEOMETRY | change})


def test_a_run_without_geometry_cannot_be_analysed():
    with pytest.raises(CatalogueError, match="run u has no 'geometry'"):
        Chamber.from_start({"uid": "u"})
    assert np.isfinite(Chamber.from_start({"uid": "u", "geometry": GEOMETRY}).tooling_std)
