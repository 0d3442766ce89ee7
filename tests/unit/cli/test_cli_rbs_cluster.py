"""Spectra that the workers of a dask cluster draw: the same ones, and what is said when they cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from sdl_bluesky.cli import main, rbs_cluster
from sdl_bluesky.cli.rbs_cluster import spectra_of_cluster
from sdl_bluesky.data.rbs.system_file import read_system
from sdl_bluesky.errors import OutOfRange, ServiceError, ServiceMissing
from sdl_bluesky.inference.rbs_mdn import load_model
from sdl_bluesky.inference.rbs_mdn.examples import draw_examples


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as found:
        yield found


def test_a_cluster_draws_the_same_spectra(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdl_bluesky.inference.rbs_mdn.examples.BLOCK", 300)
    system, told = read_system("A"), list[int]()
    with spectra_of_cluster(cluster.scheduler_address) as mapper:
        theirs = draw_examples(system, 1000, 4, progress=told.append, mapper=mapper)
    ours = draw_examples(system, 1000, 4)
    assert told == [300, 300, 300, 100]
    assert np.array_equal(theirs.z, ours.z)
    assert np.array_equal(theirs.counts, ours.counts)


def test_a_training_with_a_cluster(cluster: LocalCluster, tmp_path: Path) -> None:
    out, cache = tmp_path / "m.npz", tmp_path / "cache"
    small = (
        "--spectra",
        "300",
        "--steps",
        "3",
        "--batch",
        "32",
        "--width",
        "8",
        "--blocks",
        "1",
        "--validation",
        "200",
    )
    where = ("--cache", str(cache), "--out", str(out), "--cluster", cluster.scheduler_address, "--device", "cpu")
    assert main(["rbs", "train", "A", *small, *where, "--threads", "1"]) == 0
    assert load_model(out).card["recipe"]["spectra"] == 300


def _no_copper(number: int) -> int:
    if number == 1:
        raise OutOfRange("no copper")
    return number


def test_a_fault_of_a_block_comes_back_as_it_is(cluster: LocalCluster) -> None:
    with (
        spectra_of_cluster(cluster.scheduler_address) as mapper,
        pytest.raises(OutOfRange, match="no copper"),
    ):
        list(mapper(partial(_no_copper), range(3)))


def test_a_cluster_that_cannot_help_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(ServiceMissing, match="has no workers: start some"),
        spectra_of_cluster(empty.scheduler_address),
    ):
        pass
    with pytest.raises(ServiceMissing, match="no dask scheduler answers"), spectra_of_cluster("tcp://127.0.0.1:1", 0.3):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ServiceMissing, match=r"pip install 'sdl-bluesky\[cluster\]'"), spectra_of_cluster("tcp://a:1"):
        pass


def test_workers_with_other_versions_are_told(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"sdl_bluesky": "0.0.1", "numpy": np.__version__}
    monkeypatch.setattr("sdl_bluesky.cli.rbs_cluster._ALIKE", ("sdl_bluesky", "numpy"))
    asked = iter([here])
    true = rbs_cluster._versions
    monkeypatch.setattr(rbs_cluster, "_versions", lambda: next(asked, None) or true())
    with (
        pytest.raises(ServiceError, match=r"sdl_bluesky \S+ instead of 0\.0\.1: install the same versions"),
        spectra_of_cluster(cluster.scheduler_address),
    ):
        pass
