import numpy as np
import pytest

from sdl_bluesky.analysis.maps.totals import Totals, condition, neighbours
from sdl_bluesky.errors import OutOfRange

MEAN = np.array([[40.0, 60.0, 50.0], [70.0, 30.0, 45.0]])
NAMES = ("cu", "sn")
QCMS = ("qcm1", "qcm2", "qcm3")


def spread(std=0.01, shared=0.0):
    cov = np.zeros((2, 3, 2, 3))
    for i, m in enumerate(MEAN):
        cov[i, :, i] = np.diag((0.03 * m) ** 2)
    return cov.reshape(6, 6) + neighbours(MEAN, std, shared)


def joint_of(totals, **more):
    return condition(MEAN, spread(**more), totals, (0, 1), NAMES, QCMS)


def test_neighbours_change_all_sensors_of_a_source_alike_and_no_source_alone():
    cov = neighbours(MEAN, 0.02, 0.5)
    np.testing.assert_allclose(cov[:3, :3], 4e-4 * np.outer(MEAN[0], MEAN[0]))
    np.testing.assert_allclose(cov[:3, 3:], 2e-4 * np.outer(MEAN[0], MEAN[1]))
    assert not neighbours(MEAN[:1]).any()


def test_without_totals_nothing_changes():
    joint = joint_of(None)
    np.testing.assert_array_equal(joint.mean, MEAN)
    np.testing.assert_array_equal(joint.cov, spread())


def test_the_condition_is_that_of_weighted_samples():
    rng = np.random.default_rng(0)
    totals = Totals(np.array([112.0, 91.0, 94.0]), np.array([1.0, 1.5, 1.0]))
    joint = joint_of(totals)
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


def test_an_error_that_readings_share_is_not_averaged_away():
    each, both = np.full(3, 2.0), 4.0 * np.ones((3, 3)) + 1e-6 * np.eye(3)
    total = MEAN.sum(axis=0) + 3.0
    alone, together = joint_of(Totals(total, each)), joint_of(Totals(total, both))
    assert np.trace(together.cov) > np.trace(alone.cov) * 0.5
    assert np.abs(together.mean.sum() - MEAN.sum()) < np.abs(alone.mean.sum() - MEAN.sum())


def test_a_run_of_other_sources_hears_nothing_that_does_not_belong_to_it():
    mean = np.concatenate([MEAN, MEAN])
    cov = np.kron(np.eye(2), spread())
    joint = condition(mean, cov, Totals(1.05 * MEAN.sum(axis=0), np.ones(3)), (0, 1), NAMES, QCMS)
    np.testing.assert_array_equal(joint.mean[2:], MEAN)
    cov[6:, :6] = cov[:6, 6:] = 0.9 * spread()  # the same sources at another setting: what one hears, the other does
    joint = condition(mean, cov, Totals(1.05 * MEAN.sum(axis=0), np.ones(3)), (0, 1), NAMES, QCMS)
    np.testing.assert_allclose(joint.mean[2:] - MEAN, 0.9 * (joint.mean[:2] - MEAN))


def test_a_total_can_only_make_it_surer():
    joint = joint_of(Totals(MEAN.sum(axis=0), np.full(3, 1.0)))
    assert np.all(np.diag(joint.cov) < np.diag(spread()))
    np.testing.assert_allclose(joint.mean, MEAN)
    assert joint.findings == ()


def test_what_does_not_add_up_is_said():
    joint = joint_of(Totals(1.3 * MEAN.sum(axis=0), np.full(3, 1.0)))
    assert len(joint.findings) == 1
    assert "cu, sn do not add up" in joint.findings[0]
    assert joint.checks["totals_worst_relative"] == pytest.approx(0.3 / 1.3)


def test_a_bad_total_is_left_out():
    joint = joint_of(Totals(np.array([np.nan, 90.0, -3.0]), np.ones(3)))
    assert [k.split(":")[0] for k in joint.findings] == [f"total rate of qcm{k} left out" for k in (1, 3)]
    assert np.all(np.isfinite(joint.mean))
    assert np.all(np.isfinite(joint.cov))
    nothing = joint_of(Totals(np.full(3, np.nan), np.ones(3)))
    np.testing.assert_array_equal(nothing.mean, MEAN)
    assert len(nothing.findings) == 3
    with pytest.raises(OutOfRange, match="3 sensors"):
        joint_of(Totals(np.ones(2), np.ones(2)))
