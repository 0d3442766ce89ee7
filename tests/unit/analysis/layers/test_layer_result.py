"""Light and diffraction together: the layer of the paper, strain, composition with its covariance."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from diffraction import scan, weak

from sdl_bluesky.analysis.layers import MapReduction, PeakReduction, ScanReduction, reduce_layer, reduce_scan
from sdl_bluesky.errors import UnknownName
from sdl_bluesky.physics.alloys import InGaAsP
from sdl_bluesky.physics.xrd import stretch

MAP = MapReduction(1120.4, 0.5, 3.0, 1.5, 4.0, 0.2, 400, 0, 0, ("dead: 3 pixels",))


def scanned(across, std=5.8688e-5, thickness=200.0):
    m = 100 * (across / 5.8688 - 1)
    return ScanReduction(
        substrate_deg=63.34,
        substrate_std_deg=1e-3,
        layer_deg=63.2,
        layer_std_deg=1e-3,
        zero_deg=0.0,
        zero_std_deg=1e-3,
        mismatch=m,
        mismatch_std=100 * std / 5.8688,
        across=across,
        across_std=std,
        thickness_nm=thickness,
        thickness_std_nm=1.0,
        cap_nm=65.0,
        deviance=1.0,
        dof=1,
        misfit=0.0,
        two_theta_deg=np.zeros(0),
        expected=np.zeros(0),
        findings=("overlap: it is",),
    )


def test_first_sample_of_the_paper():
    found = reduce_layer(MAP, scanned(5.87998))
    assert found.composition == pytest.approx((0.1124, 0.3043), abs=1e-3)
    assert found.mismatch == pytest.approx(100 * (5.87998 - 5.8688) / 5.8688)
    assert found.strain == "relaxed"
    assert found.findings[:2] == ("dead: 3 pixels", "overlap: it is")
    assert found.as_document()["composition"] == found.composition
    with pytest.raises(FrozenInstanceError):
        found.wavelength = 0.0  # type: ignore[misc]


def test_covariance_by_monte_carlo():
    found = reduce_layer(MAP, scanned(5.87998))
    rng = np.random.default_rng(0)
    x, y = InGaAsP().composition(1120.4 + 0.5 * rng.normal(size=20_000), 5.87998 + 5.8688e-5 * rng.normal(size=20_000))
    np.testing.assert_allclose(found.composition_cov, np.cov(x, y), rtol=0.05)


def test_a_coherent_layer_has_less_mismatch_by_its_own_stretch():
    x, y = InGaAsP().composition(1120.4, 5.875)
    across = 5.8688 + float(stretch(x, y)) * (5.875 - 5.8688)
    found = reduce_layer(MAP, scanned(across), "coherent")
    assert found.lattice == pytest.approx(5.875, abs=1e-9)
    assert found.lattice_std == pytest.approx(5.8688e-5 / float(stretch(x, y)))
    assert found.composition == pytest.approx((x, y), abs=1e-8)
    assert found.strain == "coherent"
    assert reduce_layer(MAP, scanned(across)).lattice == across


def test_strain_that_does_not_fit_the_thickness_is_told():
    thin = reduce_layer(MAP, scanned(5.8688 * 1.002))
    assert any(k.startswith("strain: reduced as relaxed, but 200 nm") for k in thin.findings)
    thick = reduce_layer(MAP, scanned(5.8688 * 1.02, thickness=400.0), "coherent")
    assert any("probably relaxed" in k for k in thick.findings)
    assert not any(k.startswith("strain") for k in reduce_layer(MAP, scanned(5.8688 * 1.02, thickness=400.0)).findings)
    unknown = reduce_layer(MAP, scanned(5.8688 * 1.002, thickness=float("nan")))
    assert not any(k.startswith("strain") for k in unknown.findings)
    with pytest.raises(UnknownName, match="relaxed"):
        reduce_layer(MAP, scanned(5.87), "tense")  # type: ignore[arg-type]


@pytest.mark.parametrize("strain", ["relaxed", "coherent"])
def test_a_layer_outside_the_alloy_keeps_its_measurements(strain):
    found = reduce_layer(replace(MAP, mean_nm=1900.0), scanned(5.87), strain)
    assert found.composition is None
    assert found.composition_cov is None
    assert found.wavelength == 1900.0
    assert any(k.startswith("unreachable: ") and " to " in k for k in found.findings)


def test_from_a_scan_to_a_layer():
    """A coherent layer of 1180 nm with 0.05 % mismatch, scanned plane by plane, comes back."""
    lattice = 5.8688 * 1.0005
    x, y = InGaAsP().composition(1180.0, lattice)
    angle = 62.8 + 0.004 * np.arange(271)
    expected = scan(weak, angle, mismatch=0.05 * float(stretch(x, y)), zero=0.02, peak=3e5)
    reduced = reduce_scan(angle, np.random.default_rng(0).poisson(expected))
    found = reduce_layer(PeakReduction(1180.0, 0.8, 1e3, 60.0, ()), reduced, "coherent")
    assert abs(found.mismatch - 0.05) < 0.005
    assert found.composition == pytest.approx((x, y), abs=2e-3)
    relaxed = reduce_layer(PeakReduction(1180.0, 0.8, 1e3, 60.0, ()), reduced)
    assert relaxed.mismatch == pytest.approx(0.05 * float(stretch(x, y)), abs=0.01)
