import numpy as np
import pytest

from sdl_bluesky.analysis.totals import Totals, condition_on_totals
from sdl_bluesky.errors import OutOfRange

MEAN = np.array([[40.0, 60.0, 50.0], [70.0, 30.0, 45.0]])
COV = np.stack([np.diag((0.03 * m) ** 2) for m in MEAN])
NAMES = ("cu", "sn")
QCMS = ("qcm1", "qcm2", "qcm3")


def test_without_totals_only_the_neighbours_influence_is_added():
    joint = condition_on_totals(MEAN, COV, None, NAMES, QCMS, interaction_std=0.02)
    np.testing.assert_array_equal(joint.mean, MEAN)
    expected = COV[0] + 4e-4 * np.outer(MEAN[0], MEAN[0])
    np.testing.assert_allclose(joint.cov[:3, :3], expected)
    np.testing.assert_array_equal(joint.cov[:3, 3:], 0.0)


def test_the_condition_is_that_of_weighted_samples():
    rng = np.random.default_rng(0)
    totals = Totals(np.array([112.0, 91.0, 94.0]), np.array([1.0, 1.5, 1.0]))
    joint = condition_on_totals(MEAN, COV, totals, NAMES, QCMS, interaction_std=0.01)
    n = 400_000
    alone = MEAN + 0.03 * MEAN * rng.standard_normal((n, 2, 3)) + 0.01 * MEAN * rng.standard_normal((n, 2, 1))
    chi2 = (((alone.sum(axis=1) - totals.rate) / totals.std) ** 2).sum(axis=1)
    weight = np.exp(-0.5 * (chi2 - chi2.min()))
    weight /= weight.sum()
    mean = np.einsum("n,nsq->sq", weight, alone)
    cov = np.einsum("n,ni,nj->ij", weight, *(2 * [(alone - mean).reshape(n, 6)]))
    np.testing.assert_allclose(joint.mean, mean, atol=0.05)
    np.testing.assert_allclose(joint.cov, cov, atol=0.06)
    assert joint.checks["totals_used"] == 3


def test_a_total_can_only_make_it_surer():
    joint = condition_on_totals(MEAN, COV, Totals(MEAN.sum(axis=0), np.full(3, 1.0)), NAMES, QCMS)
    before = condition_on_totals(MEAN, COV, None, NAMES, QCMS)
    assert np.all(np.diag(joint.cov) < np.diag(before.cov))
    np.testing.assert_allclose(joint.mean, MEAN)
    assert joint.findings == ()


def test_what_does_not_add_up_is_said():
    joint = condition_on_totals(MEAN, COV, Totals(1.3 * MEAN.sum(axis=0), np.full(3, 1.0)), NAMES, QCMS)
    assert len(joint.findings) == 1
    assert "cu, sn do not add up" in joint.findings[0]
    assert joint.checks["totals_worst_relative"] == pytest.approx(0.3 / 1.3)


def test_a_bad_total_is_left_out():
    totals = Totals(np.array([np.nan, 90.0, -3.0]), np.ones(3))
    joint = condition_on_totals(MEAN, COV, totals, NAMES, QCMS)
    assert [k.split(":")[0] for k in joint.findings] == [f"total rate of qcm{k} left out" for k in (1, 3)]
    assert np.all(np.isfinite(joint.mean))
    assert np.all(np.isfinite(joint.cov))
    nothing = condition_on_totals(MEAN, COV, Totals(np.full(3, np.nan), np.ones(3)), NAMES, QCMS)
    np.testing.assert_array_equal(nothing.mean, MEAN)
    assert len(nothing.findings) == 3
    with pytest.raises(OutOfRange, match="3 sensors"):
        condition_on_totals(MEAN, COV, Totals(np.ones(2), np.ones(2)), NAMES, QCMS)
