"""How fast the forward model is, alone and beside another program.

Spectra per second of the data sets A, B and C with one thread and with all; microseconds of the derivatives; for each
reference case the time of one spectrum on one thread beside that of pyrump, a process of its own in the same run, and how
far the two spectra are apart. Memory: what the process holds more after a batch that is ten times as large.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sdl_bluesky.bench.rbs_sets import SETS, DataSet
from sdl_bluesky.errors import ServiceError
from sdl_bluesky.physics.geometry import Array
from sdl_bluesky.physics.rbs import Setup, jacobian, layers_of, simulate

SEEDS = 3
BATCH = {True: 200, False: 2000}
PEER_RUNS = {True: 1, False: 5}
PEER = ("--slab", "1000", "--parts", "1")  # pyrump as it is when nothing is asked of it
PEER_TIMEOUT_S = 300.0
COMPARED_ABOVE_KEV = 200.0


def run(seeds: int | None, quick: bool, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """The study, see `sdl_bluesky.bench`: the best of `seeds` repetitions counts, which is the least disturbed one."""
    repeats = max(seeds or SEEDS, 1)
    batch = BATCH[quick]
    rows = [_memory(batch)]  # first: what was held at most only grows
    for name, kind in SETS.items():
        tell(f"set {name}: {batch} spectra")
        rows += list(_speed(name, kind, batch, repeats))
    tell("reference cases: this program and pyrump")
    rows += _beside_pyrump(repeats, PEER_RUNS[quick])
    return rows


def _speed(name: str, kind: DataSet, batch: int, repeats: int) -> Iterator[dict[str, Any]]:
    layers = kind.draw(batch, np.random.default_rng(0))
    simulate(kind.setup, layers[:4])
    jacobian(kind.setup, layers[:4])
    for threads in dict.fromkeys((1, _all_threads())):
        with _threads(threads):
            seconds = _best(partial(simulate, kind.setup, layers), repeats)
            few = layers[: max(batch // 10, 1)]
            derivatives = _best(partial(jacobian, kind.setup, few), repeats)
        yield {
            "method": "sdl_bluesky",
            "case": name,
            "threads": threads,
            "spectra_per_s": batch / seconds,
            "us": 1e6 * threads * seconds / batch,
            "jacobian_us": 1e6 * threads * derivatives / len(few),
        }


def _beside_pyrump(repeats: int, runs: int) -> list[dict[str, Any]]:
    cases = json.loads((files("sdl_bluesky.bench") / "rbs_cases.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, _threads(1):
        told = _pyrump(cases, Path(folder), runs)
        rows = []
        for name, case in cases.items():
            setup = Setup.from_case(case)
            batch = np.repeat(layers_of(case)[None], 100, axis=0)
            counts = simulate(setup, batch)[0]
            seconds = _best(partial(simulate, setup, batch), max(repeats, 3)) / len(batch)
            row: dict[str, Any] = {"method": "sdl_bluesky", "case": name, "threads": 1, "us": 1e6 * seconds}
            if "seconds" in told[name]:
                peer = np.loadtxt(Path(folder) / f"{name}.csv", delimiter=",", skiprows=1)[:, 1]
                row |= {
                    "pyrump_us": 1e6 * told[name]["seconds"],
                    "times_faster": told[name]["seconds"] / seconds,
                    "median_deviation_percent": _deviation(setup, counts, peer),
                }
            rows.append(row)
    return rows


def _pyrump(cases: dict[str, Any], folder: Path, runs: int) -> dict[str, Any]:
    """Spectra (into the folder) and times of pyrump, which has a process of its own."""
    file = folder / "cases.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    command = [sys.executable, "-m", "ioc_sims.rbs", str(file), "--out", str(folder), "--repeat", str(runs), *PEER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PEER_TIMEOUT_S, check=False)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        raise ServiceError(f"pyrump could not be run beside this program: {done.stderr.strip()[-500:]}") from None


def _deviation(setup: Setup, counts: Array, peer: Array) -> float:
    size = min(len(counts), len(peer))
    seen = (setup.edges_keV()[:size] > COMPARED_ABOVE_KEV) & (peer[:size] > 0.01 * peer.max())
    return 100.0 * float(np.median(np.abs(counts[:size][seen] / peer[:size][seen] - 1.0)))


def _memory(batch: int) -> dict[str, Any]:
    """What a spectrum costs: what is held at most after a large batch over that after a small one."""
    kind = SETS["C"]
    rng = np.random.default_rng(0)
    simulate(kind.setup, kind.draw(batch // 10, rng))
    before = _peak_MiB()
    large = kind.draw(batch, rng)
    counts = simulate(kind.setup, large)
    own = (counts.nbytes + large.nbytes) / 2**20
    return {"method": "sdl_bluesky", "case": "C", "memory_MiB": _peak_MiB() - before, "arrays_MiB": own}


def _peak_MiB() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _best(work: Callable[[], Any], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _all_threads() -> int:
    import numba

    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)
