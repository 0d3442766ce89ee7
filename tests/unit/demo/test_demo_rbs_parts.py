"""Parts of the demonstration with a measured film that need no lab: elements, summary, section of the report."""

import base64
import re

import numpy as np
import pytest

from sdl_bluesky.data.analysis import Analysis
from sdl_bluesky.demo import report_rbs, sputter
from sdl_bluesky.demo.rbs import POINTS, film_elements
from sdl_bluesky.demo.reference import NAMES, write_reference
from sdl_bluesky.demo.report_rbs import TITLE, measured_film
from sdl_bluesky.demo.sputter import film_figures, summarise
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.plans.history import History

SETUP = {"ion": "4He", "E_keV": 2000.0, "theta_deg": 165.0, "alpha_deg": 0.0, "beta_deg": None, "slope_keV": 2.0}
SETUP |= {"offset_keV": 0.0, "resolution_fwhm_keV": 15.0, "solid_angle_msr": 10.0, "channels": 64}
SETUP |= {"substrate": [{"O": 16000.0, "Si": 8000.0}]}
SCORE = {"rms_percent": 0.2, "worst_percent": 0.5, "coverage_90": 0.9, "density_error_percent": 0.4, "points": 2}


def result(compared=True):
    share = np.array([[0.4, 0.6], [0.5, 0.5]])
    arrays = {"x": np.array([-20.0, 1.0]), "y": np.array([0.0, -1.0]), "energy": 2.0 * np.arange(64) + 1.0}
    arrays |= {"fraction": share, "fraction_std": 0.002 + 0 * share, "density": 400 * share, "accepted": np.ones(2)}
    arrays |= {"density_cov": np.tile(4.0 * np.eye(2), (2, 1, 1)), "p_value": np.array([0.5, 0.03])}
    arrays |= {"spectrum": np.full((2, 64), 9.0), "fit": np.full((2, 64), 9.5)}
    about = {"elements": ["Cu", "Sn"], "sample": "a <b>", "setup": SETUP, "parameters": {"region": [[5, 60]]}}
    about |= {"run": "uid-of-the-map", "findings": ["look <here>"], "checks": {}}
    if compared:
        arrays |= {"map_fraction": share + 0.01, "map_std": 0.01 + 0 * share}
        about["checks"] = {"map_rms_percent": 1.0, "map_rms_sigma": 0.98, "map_worst_sigma": -0.98}
    return Analysis("key", about, arrays, {})


@pytest.fixture
def catalogue(monkeypatch):
    """What stands in the catalogue, by hand."""
    found = {"result": result()}

    def latest(client, kind, **filters):
        assert (client, kind, filters) == ("client", "rbs", {"campaign": "c"})
        if found["result"] is None:
            raise CatalogueError("none")
        return found["result"]

    monkeypatch.setattr(report_rbs, "latest_analysis", latest)
    monkeypatch.setattr(sputter, "read_analysis", lambda client, key: found["result"])
    return found


def test_a_film_that_was_not_measured_has_no_section(catalogue):
    catalogue["result"] = None
    assert measured_film("client", "c") == ""


def test_the_section_has_figures_a_row_for_each_point_and_findings(catalogue):
    text = measured_film("client", "c")
    assert text.startswith(f"<h2>{TITLE}</h2>")
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert len(pictures) == 2
    assert all(base64.b64decode(k).startswith(b"\x89PNG") for k in pictures)
    assert "Point 2 at (1, -1) mm" in text  # nearest to the middle
    rows = re.findall(r"<tr><td>.*?</tr>", text)
    assert len(rows) == 2
    for wanted in ("40.00 ± 0.20", "41.00 ± 1.00", "-1.0", "400.0 ± 2.8", "0.5"):
        assert wanted in rows[0], (wanted, rows[0])
    assert "look &lt;here&gt;" in text
    assert "a &lt;b&gt;" in text
    assert "1.00 at. % (rms)" in text


def test_without_a_map_there_is_nothing_to_compare(catalogue):
    catalogue["result"] = result(compared=False)
    text = measured_film("client", "c")
    assert text.count("base64,") == 1
    assert "map" not in text


def test_the_summary_has_the_film_beside_the_fixed_keys(catalogue):
    verdict = {"sources": {}, "composition": None, "rbs": {**SCORE, "film": 1, "key": "key"}}
    measured = film_figures("client", "c", verdict)
    assert measured == {"uid": "uid-of-the-map", **SCORE, **result().metadata["checks"]}
    found = summarise(History("c", "c"), verdict, 3, measured)
    assert set(found) == {"schema", "seed", "campaign", "sources", "composition", "rbs"}
    assert found["rbs"]["rms_percent"] == 0.2
    for nothing in ({}, {"rbs": None}):
        assert film_figures("client", "c", nothing) is None
    assert "rbs" not in summarise(History("c", "c"), verdict, 3, None)


def test_nine_points_lie_on_the_wafer():
    assert len(set(POINTS)) == 9
    assert {abs(v) for point in POINTS for v in point} == {0.0, 20.0}


def test_elements_of_a_film_are_those_of_its_sources():
    sources = {"a": {"element": "Cu"}, "b": {"element": "Sn"}, "c": {"element": "Cu"}, "d": {"element": "Ni"}}
    start = {"uid": "u", "sources": ["b", "a", "c"], "geometry": {"sources": sources}}
    assert film_elements(start) == ["Sn", "Cu"]
    with pytest.raises(CatalogueError, match="run u does not say the elements"):
        film_elements({"uid": "u", "sources": ["z"], "geometry": {"sources": sources}})
    with pytest.raises(CatalogueError):
        film_elements({"uid": "u"})


def test_the_reference_is_written_whole(tmp_path):
    place = write_reference(tmp_path / "new")
    assert {k.name for k in place.iterdir()} == set(NAMES)
    counts = np.loadtxt(place / "CuSn_on_glass.csv", delimiter=",", skiprows=1)
    assert counts.shape[1] == 2
    assert counts[:, 1].sum() > 1e6
