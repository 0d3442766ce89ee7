"""Another lab file, with another prefix, two sources and six QCMs elsewhere, runs the same plans and analyses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from _lab import LabProcess, lab_data

pytestmark = pytest.mark.system

SHORT = {"settle": "10 s", "baseline": "60 s", "transient": "40 s", "shortest": "60 s", "longest": "240 s"}

SCRIPT = """
from sdl_bluesky.plans.sputter import cosputter, measure_rate
based_on = {"ni": [], "zr": []}
chamber.liveness.stale_after_s = 10.0
def plan():
    for name in based_on:
        for power, pressure in [(20.0, 5.0), (90.0, 5.0), (20.0, 15.0), (90.0, 15.0), (50.0, 9.0)]:
            m = yield from measure_rate(chamber, name, power, pressure, session.settings, sample="other")
            based_on[name].append(m.uid)
            say("RATE", name, *[m.data[f"{q}_rate"] for q in chamber.qcms])
    m = yield from cosputter(chamber, {"ni": 60.0, "zr": 60.0}, 8.0, 800.0, session.settings, sample="other",
                             based_on=based_on)
    say("FILM", m.uid)
RE(plan())
say("ANALYSED", session.analysis.wait(180), *map(str, session.analysis.findings))
say("URI", session.tiled_uri)
time.sleep(600)
"""


def other_lab() -> dict:
    data = lab_data("auto", speed=200.0, heartbeat_timeout_s=15.0)
    data["prefix"] = "OTHER:CH2:" + data["prefix"]
    chamber = data["chamber"]
    chamber["sources"] = {
        "ni": {"element": "Ni", "pv": "GunA:", "distance": "12 cm", "tilt": "25 deg", "azimuth": "45 deg",
               "max_power": "120 W"},
        "zr": {"element": "Zr", "pv": "GunB:", "position": "-5, -5, 11 cm", "aim": "0, 0, 0 cm", "max_power": "100 W"},
    }  # fmt: skip
    chamber["sensors"] = {f"q{i}": {"pv": f"XTAL{i}:", "radius": "5 cm", "azimuth": f"{60 * i} deg"} for i in range(6)}
    chamber["map"] = {"x": "-20 to 20 mm", "y": "-20 to 20 mm", "points": 21}
    chamber["measurement"] |= SHORT
    return data


def test_two_sources_and_six_sensors_run_the_same_plans(tmp_path: Path) -> None:
    from sdl_bluesky.analysis.health.ageing import TargetState
    from sdl_bluesky.analysis.runs import read_experiments
    from sdl_bluesky.data.analysis import latest_analysis
    from sdl_bluesky.data.campaigns import start_of
    from sdl_bluesky.data.catalogue import connect, find_run

    with LabProcess(tmp_path, SCRIPT, data=other_lab()) as lab:
        for _ in range(10):
            name, *rates = lab.expect("RATE", 240.0).split()
            values = [float(r) for r in rates]
            assert len(values) == 6
            nearest = 1 if name == "ni" else 4  # azimuth 45 deg is nearest to 60; 225 deg to 240
            assert max(range(6), key=values.__getitem__) == nearest
        film = lab.expect("FILM", 240.0)
        assert lab.expect("ANALYSED", 240.0) == "True"
        client = connect(lab.expect("URI"), (lab.home / "tiled" / "api-key").read_text().strip())
        found = latest_analysis(client, "composition", run=film)
        assert found.arrays["composition"].shape == (2, 21, 21)
        assert found.metadata["elements"] == ["Ni", "Zr"]
        total = found.arrays["composition"].sum(axis=0)
        assert total == pytest.approx(1.0, abs=1e-9)
        corner_ni, corner_zr = found.arrays["composition"][0][-1, -1], found.arrays["composition"][0][0, 0]
        assert corner_ni > corner_zr  # nickel comes from +x +y
        assert all(math.isfinite(v) for v in found.arrays["composition_std"].ravel())
        assert isinstance(found.metadata["signatures"], list)
        start = start_of(find_run(client, film))
        states = [TargetState.of(k, "zr") for k in read_experiments(client, start["based_on"]["zr"], "zr", start)]
        assert {(k.element, k.number) for k in states} == {("Zr", 1)}
        energies = [k.energy_kWh for k in states]
        assert 0 < energies[0] < energies[-1] < 0.2  # 5 runs of some minutes at 20 to 90 W
        assert energies == sorted(energies)
