import numpy as np
import pytest
from rbs_lab import GLASS, IONS_PER_UC, SETUP, columns, start_document

from sdl_bluesky.analysis.rbs.priors import RBSPriors
from sdl_bluesky.analysis.rbs.run import rbs_run
from sdl_bluesky.errors import CatalogueError

FILM = ("Cu", "Sn")


def flat(case):
    return np.full(case["channels"], 7.0)


def rows(**changes):
    return columns([{"Cu": 1.0}, {"Cu": 1.0}, {"Cu": 1.0}], None, flat) | {
        k: np.asarray(v, dtype=float) for k, v in changes.items()
    }


def test_a_run_becomes_spectra_with_their_setups():
    run = rbs_run(
        start_document(FILM), rows(energy=[2000.0, 2001.0, 2000.0], tilt=[0.0, 0.0, 7.0], charge=[5.0, 8.0, 5.0])
    )
    assert (run.uid, run.film, run.elements, run.findings) == ("map", FILM, ("Cu", "Sn", "O", "Si"), ())
    np.testing.assert_array_equal(run.substrate, [[0.0, 0.0, GLASS["O"], GLASS["Si"]]])
    first, second, third = run.points
    assert (second.x_mm, second.y_mm, second.setup.energy_keV) == (10.0, 0.0, 2001.0)
    assert first.setup.fluence_ions == pytest.approx(5.0 * IONS_PER_UC)
    assert second.setup.fluence_ions == pytest.approx(8.0 * IONS_PER_UC)
    assert (third.setup.alpha_deg, third.setup.beta_deg) == (7.0, 8.0)  # IBM: 180 - theta - alpha
    assert first.dead == pytest.approx(0.04)
    assert first.counts.shape == (1024,)


def test_charge_that_is_not_gated_counts_for_the_live_time():
    run = rbs_run(start_document(FILM, rbs_setup={**SETUP, "gated": False}), rows())
    assert run.points[0].setup.fluence_ions == pytest.approx(5.0 * IONS_PER_UC * 0.96)


def test_an_element_of_film_and_substrate_is_one_column():
    run = rbs_run(start_document(("Si", "Cu")), rows())
    assert run.elements == ("Si", "Cu", "O")
    np.testing.assert_array_equal(run.substrate, [[GLASS["Si"], 0.0, GLASS["O"]]])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"charge": [5.0, 0.0, 5.0]}, "charge of 0"),
        ({"charge": [5.0, np.nan, 5.0]}, "no number in charge"),
        ({"live_time": [240.0, 260.0, 240.0]}, "live time of 260 s in 250"),
        ({"live_time": [240.0, 0.0, 240.0]}, "live time of 0"),
        ({"spectrum": [[7.0] * 1024, [-1.0] * 1024, [7.0] * 1024]}, "holds no count"),
        ({"spectrum": [[7.0] * 1024, [np.nan] * 1024, [7.0] * 1024]}, "holds no count"),
    ],
)
def test_a_spectrum_that_cannot_be_used_is_left_out_and_told(changes, told):
    run = rbs_run(start_document(FILM), rows(**changes))
    assert [k.x_mm for k in run.points] == [0.0, 20.0]
    [finding] = run.findings
    assert finding.startswith("point 2 at (10, 0) mm left out")
    assert told in finding


@pytest.mark.parametrize("column", ["x", "tilt", "energy", "charge", "live_time", "real_time", "spectrum"])
def test_a_missing_column_is_named(column):
    short = rows()
    del short[column]
    with pytest.raises(CatalogueError, match=rf"run map: its primary stream has no {column}"):
        rbs_run(start_document(FILM), short)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"elements": None}, "elements of its film"),
        ({"elements": []}, "elements of its film"),
        ({"elements": "Cu"}, "elements of its film"),
        ({"elements": ["Cu", "Cu"]}, "elements of its film"),
        ({"elements": ["Cu", "Xx"]}, "Xx"),
        ({"rbs_setup": None}, "no 'rbs_setup'"),
        ({"rbs_setup": {k: v for k, v in SETUP.items() if k != "substrate"}}, "substrate"),
        ({"rbs_setup": {k: v for k, v in SETUP.items() if k != "channels"}}, "channels"),
        ({"rbs_setup": {k: v for k, v in SETUP.items() if k != "slope_keV"}}, "slope_keV"),
        ({"rbs_setup": {k: v for k, v in SETUP.items() if k != "solid_angle_msr"}}, "solid angle"),
        ({"rbs_setup": {**SETUP, "substrate": []}}, "substrate"),
        ({"rbs_setup": {**SETUP, "substrate": [{"O": -1.0}]}}, "substrate"),
        ({"rbs_setup": {**SETUP, "substrate": ["O"]}}, "rbs_setup"),
        ({"rbs_setup": {**SETUP, "theta_deg": "wide"}}, "theta_deg"),
        ({"rbs_setup": {**SETUP, "channels": 512}}, r"\(3, 1024\) do not have 512"),
    ],
)
def test_a_start_document_that_lacks_something_is_a_typed_error(changes, told):
    with pytest.raises(CatalogueError, match=told):
        rbs_run(start_document(FILM, **changes), rows())


def test_a_run_without_a_good_spectrum_says_why():
    with pytest.raises(CatalogueError, match=r"point 3 .* charge of 0"):
        rbs_run(start_document(FILM), rows(charge=[0.0, 0.0, 0.0]))
    none = {k: v[:0] for k, v in rows().items()}
    with pytest.raises(CatalogueError, match="no point"):
        rbs_run(start_document(FILM), none)
    with pytest.raises(CatalogueError, match="make no experiment"):
        rbs_run(start_document(FILM), rows(tilt=[0.0, 95.0, 0.0]))


def test_the_lab_may_say_how_accurate_it_is():
    assert RBSPriors.from_setup(SETUP, "run x") == RBSPriors()
    told = RBSPriors.from_setup({"accuracy": {"charge": 0.02, "stopping": 0.03}}, "run x")
    assert (told.charge, told.stopping, told.slope) == (0.02, 0.03, RBSPriors().slope)
    known = told.parameters(("Cu", "O"))
    assert list(known) == ["fluence", "slope", "offset", "resolution", "stopping:Cu", "stopping:O"]
    assert known["fluence"].total == pytest.approx(np.sqrt(0.02**2 + told.solid_angle**2 + told.model**2))
    assert known["offset"].mean == 0.0
    for odd in ({"gain": 0.1}, {"charge": 0.0}, {"charge": "good"}, {"charge": None}, 3.0):
        with pytest.raises(CatalogueError, match="run x: 'accuracy'"):
            RBSPriors.from_setup({"accuracy": odd}, "run x")
