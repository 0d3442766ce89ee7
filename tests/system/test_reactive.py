"""Oxygen and light on a real IOC: the records, what closes the oxygen, and a sweep that is analysed into the catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _lab import LabProcess, lab_data
from _twin import Twin, wait_until

pytestmark = pytest.mark.system

SHORT = {"settle": "5 s", "baseline": "80 s", "transient": "30 s", "shortest": "30 s", "longest": "60 s"}

SCRIPT = """
from sdl_bluesky.plans.reactive import calibrate_light, measure_reactive
chamber.liveness.stale_after_s = 10.0
def plan():
    light = yield from calibrate_light(chamber, "al", [30.0, 60.0, 100.0], [5.0], session.settings, sample="al-o")
    say("LIGHT", light.uid)
    sweep = yield from measure_reactive(
        chamber, "al", 60.0, 5.0, [0.3, 3.0], session.settings, sample="al-o", based_on=[light.uid]
    )
    say("SWEEP", sweep.uid)
RE(plan())
say("OXYGEN", chamber.oxygen.flow.setpoint.get())
say("ANALYSED", session.analysis.wait(180), *map(str, session.analysis.findings))
say("URI", session.tiled_uri)
time.sleep(600)
"""


def test_a_trip_and_a_lost_client_close_the_oxygen(tmp_path: Path) -> None:
    with Twin(tmp_path, speed=50.0, heartbeat_timeout_s=5.0) as twin:
        twin.put("O2:FLOW:SP", 25.0)  # beyond its limit: refused
        assert twin.get("O2:FLOW:SP") == 0.0
        twin.put("O2:FLOW:SP", 2.0)
        wait_until(lambda: abs(twin.get("O2:FLOW") - 2.0) < 0.05, 30, "the flow")
        wait_until(lambda: abs(twin.get("O2:FLOW")) < 0.05, 30, "oxygen closed, for no client beats")
        twin.published()
        assert (twin.get("O2:FLOW:SP"), twin.get("INTERLOCK:OK")) == (0.0, 0)
        twin.put("O2:FLOW:SP", 1.0)  # an interlock that is tripped refuses it
        assert twin.get("O2:FLOW:SP") == 0.0


def test_a_sweep_tells_metal_from_gas(tmp_path: Path) -> None:
    from sdl_bluesky.data.analysis import latest_analysis
    from sdl_bluesky.data.catalogue import connect, find_run, read_table

    data = lab_data("auto", speed=100.0, heartbeat_timeout_s=15.0)
    data["chamber"]["measurement"] |= SHORT
    data["chamber"]["reactive"] |= {"wait": "40 s", "measure": "60 s"}
    with LabProcess(tmp_path, SCRIPT, data=data) as lab:
        light = lab.expect("LIGHT", 240.0)
        sweep = lab.expect("SWEEP", 240.0)
        assert float(lab.expect("OXYGEN")) == 0.0
        assert lab.expect("ANALYSED", 240.0) == "True"
        client = connect(lab.expect("URI"), (lab.home / "tiled" / "api-key").read_text().strip())
        found = latest_analysis(client, "reactive", run=sweep)
        assert found.metadata["derived_from"] == [sweep, light]
        assert found.arrays["oxygen"].tolist() == [0.0, 0.3, 3.0, 3.0, 0.3, 0.0]
        state = found.metadata["state"]
        assert (state[0], state[2], state[3], state[5]) == ("metallic", "poisoned", "poisoned", "metallic")
        metal, low, high = (found.arrays[name] for name in ("metal", "low", "high"))
        assert np.all((low < metal) & (metal < high))
        assert np.all(metal[2] < 0.4 * metal[0])
        rows = read_table(find_run(client, sweep), "primary")
        total = rows["qcm1_rate"].to_numpy()
        assert total[1] > 1.1 * total[0]  # the crystals weigh the oxygen
        assert metal[1, 0] < total[1]
        assert len(read_table(find_run(client, sweep), "light")) == 60
