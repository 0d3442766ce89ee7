"""The simulated RBS end station as a real process, over Channel Access."""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import pytest
from _bench import PREFIX, STALL_S, poll

pytestmark = pytest.mark.system

AXIS = np.linspace(-25.0, 25.0, 51)
FILM = {
    "x_mm": AXIS.tolist(),
    "y_mm": AXIS.tolist(),
    "elements": ["Cu", "Sn"],
    "fraction": {"Cu": np.full((51, 51), 0.6).tolist(), "Sn": np.full((51, 51), 0.4).tolist()},
    "areal_ng_cm2": np.tile(4e4 * (1 + 0.01 * AXIS), (51, 1)).tolist(),
}
STATES = ("Idle", "Acquiring", "Done", "Stopped")


class Bench(_bench.Bench):
    """The end station, its client and a film with number 3."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        films = folder / "films.json"
        films.write_text(json.dumps({"films": {"3": FILM}}))
        config = {
            "schema": 1,
            "prefix": PREFIX,
            "speed": 100.0,
            "seed": 4,
            "heartbeat_timeout_s": 15.0,
            "faults": True,
            "state_file": str(folder / "state.json"),
            "truth_file": str(folder / "truth.json"),
            "films_file": str(films),
            "setup": {"ion": "4He", "theta_deg": 165.0, "geometry": "IBM", "slope_keV": 2.0, "channels": 1024},
            "substrate": [{"O": 16000, "Si": 8000}],
            **changes,
        }
        super().__init__(folder, "rbs", config)

    def live(self) -> None:
        """A living client; without one no acquisition starts."""
        self.beat(True)
        poll(lambda: self.get("HEARTBEAT") > 0)

    def ready(self, charge_uC: float) -> None:
        """A living client, film 3 at x = 10 mm, an open shutter."""
        self.live()
        self.put("SAMPLE:LOAD", 3)
        self.put("STAGE:X:SP", 10.0)
        self.put("ACQ:CHARGE:SP", charge_uC)
        self.put("BEAM:SHUTTER:SP", 1)
        poll(lambda: self.get("BEAM:SHUTTER") and self.get("STAGE:X") == 10.0 and self.get("SAMPLE:NUMBER") == 3)

    def start_acquisition(self) -> None:
        before = self.get("ACQ:NUMBER")
        self.put("ACQ:START", 1)
        poll(lambda: self.get("ACQ:NUMBER") == before + 1)

    @property
    def acquisition(self) -> str:
        return STATES[self.get("ACQ:STATE")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    try:
        yield one.start()
    finally:
        one.close()


def test_the_documented_pvs_are_served_with_their_units(bench):
    import ioc_sims.rbs

    table = re.findall(r"\{P\}(\S+)( +\S+)?", ioc_sims.rbs.__doc__ or "")
    assert len(table) > 30
    for name, unit in table:
        found = bench.ask("units", PREFIX + name)
        if unit.strip() in ("keV", "nA", "mm", "deg", "uC", "s", "counts"):
            assert found == unit.strip(), name
    assert len(bench.get("MCA:SPECTRUM")) == 1024
    assert bench.acquisition == "Idle"
    assert bench.stop() == 0


def test_bad_puts_leave_the_record_alone(bench):
    bench.beat(True)
    limits = {"BEAM:ENERGY:SP": 2000.0, "STAGE:X:SP": 0.0, "STAGE:TILT:SP": 0.0, "ACQ:CHARGE:SP": 0.0}
    for name, kept in {**limits, "SIM:SPEED": 100.0}.items():
        for bad in (1e5, -1e5, math.nan, math.inf, -math.inf):
            bench.put(name, bad)
            assert bench.get(name) == kept, (name, bad)
        assert bench.ask("severity", PREFIX + name) == 0
    for film in (4, -1):
        bench.put("SAMPLE:LOAD", film)
        assert bench.get("SAMPLE:LOAD") == 0
    bench.put("ACQ:START", 1)
    bench.put("SAMPLE:LOAD", 3)
    poll(lambda: bench.get("SAMPLE:NUMBER") == 3)
    bench.put("ACQ:START", 1)  # no charge, no beam
    bench.published()
    assert bench.get("ACQ:NUMBER") == 0
    assert bench.get("ACQ:START") == 0


def test_clients_may_write_values_and_nothing_else(bench):
    for name in ("BEAM:CURRENT", "MCA:CHARGE", "ACQ:STATE", "ACQ:NUMBER", "HEARTBEAT:TIMEOUT"):
        assert bench.put(name, 1) == "refused", name
    assert bench.put("MCA:SPECTRUM", [1, 2]) == "refused"
    for field in ("DRVH", "HOPR", "DISP", "ASG", "SCAN"):
        assert bench.put(f"STAGE:X:SP.{field}", "x" if field == "ASG" else 1) == "refused", field
    assert bench.put("STAGE:X:SP", 3.0) == "ok"
    poll(lambda: bench.get("STAGE:X") == 3.0)


def test_an_acquisition_is_that_of_the_film_under_the_beam(bench):
    bench.ready(2.0)
    bench.put("SIM:SPEED", 20.0)  # time to look at it while it grows
    bench.start_acquisition()
    seen: list[np.ndarray] = []
    poll(lambda: seen.append(np.array(bench.get("MCA:SPECTRUM"))) or bench.acquisition == "Done")
    seen.append(np.array(bench.get("MCA:SPECTRUM")))
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(seen))
    assert len({int(spectrum.sum()) for spectrum in seen}) > 3
    assert bench.get("MCA:CHARGE") == pytest.approx(2.0, rel=1e-6)
    assert bench.get("MCA:COUNTS") == seen[-1].sum()
    real, live = bench.get("MCA:REAL"), bench.get("MCA:LIVE")
    assert 0.9 < live / real < 0.999
    assert real == pytest.approx(100.0, rel=0.15)
    assert bench.get("BEAM:SHUTTER") == 1
    assert bench.stop() == 0

    from ioc_sims.rbs import spectrum

    hidden = json.loads((bench.folder / "truth.json").read_text())
    one = hidden["acquisitions"]["1"]
    assert (one["sample"], one["x_mm"], one["y_mm"]) == (3, 10.0, 0.0)
    atoms = 4e4 * 1.1 * 1e-9 / (0.6 * 63.546 + 0.4 * 118.71) * 6.02214076e8
    assert one["layers"][0] == pytest.approx({"Cu": 0.6 * atoms, "Sn": 0.4 * atoms}, rel=1e-4)
    case = {
        "ion": "4He",
        "E_keV": 2000.0,
        "theta_deg": 165.0,
        "alpha_deg": 0.0,
        "slope_keV": 2.0 * one["gain"],
        "offset_keV": 0.0,
        "resolution_fwhm_keV": 15.0,
        "solid_angle_msr": 10.0,
        "fluence_ions": 2e-6 * one["charge_factor"] / 1.602176634e-19,
        "layers": one["layers"],
    }
    expected = spectrum(case, stopping=hidden["stopping"])
    bright = expected > 10
    chi2 = float(((seen[-1] - expected)[bright] ** 2 / expected[bright]).sum())
    assert bright.sum() > 300
    assert abs(chi2 - bright.sum()) < 5 * math.sqrt(2 * bright.sum())


def test_nothing_moves_while_acquiring_and_a_stop_keeps_the_spectrum(bench):
    bench.ready(5000.0)
    bench.start_acquisition()
    poll(lambda: bench.get("MCA:COUNTS") > 0)
    for name, value, kept in (("STAGE:X:SP", 1.0, 10.0), ("BEAM:ENERGY:SP", 1500.0, 2000.0), ("SAMPLE:LOAD", 0, 3)):
        bench.put(name, value)
        assert bench.get(name) == kept
    bench.put("BEAM:SHUTTER:SP", 0)
    poll(lambda: bench.get("BEAM:SHUTTER") == 0)
    bench.published()
    charge = bench.get("MCA:CHARGE")
    later = bench.get("SIM:TIME") + 50.0
    poll(lambda: bench.get("SIM:TIME") > later)
    assert bench.get("MCA:CHARGE") == charge
    assert abs(bench.get("BEAM:CURRENT")) == 0.0
    assert bench.acquisition == "Acquiring"
    bench.put("ACQ:STOP", 1)
    poll(lambda: bench.acquisition == "Stopped")
    assert bench.get("MCA:COUNTS") > 0
    bench.put("STAGE:X:SP", 1.0)
    poll(lambda: bench.get("STAGE:X") == 1.0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Bench]:
    """A station that soon misses its client."""
    one = Bench(tmp_path, heartbeat_timeout_s=4.0)
    try:
        yield one.start()
    finally:
        one.close()


def test_a_killed_client_ends_the_beam_and_the_acquisition(watched):
    bench = watched
    bench.ready(5000.0)
    bench.start_acquisition()
    poll(lambda: bench.get("MCA:COUNTS") > 0)
    bench.new_client()
    poll(lambda: bench.get("BEAM:SHUTTER") == 0)
    bench.published()
    assert bench.acquisition == "Stopped"
    assert bench.get("MCA:COUNTS") > 0
    assert bench.get("INTERLOCK:CAUSE") == "HEARTBEAT"
    assert bench.ask("severity", PREFIX + "INTERLOCK:OK") == 2
    assert bench.get("BEAM:SHUTTER:SP") == 0
    bench.put("BEAM:SHUTTER:SP", 1)
    assert bench.get("BEAM:SHUTTER:SP") == 0
    bench.beat(True)
    poll(lambda: bench.get("INTERLOCK:HEARTBEAT") == 1)
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)
    bench.put("BEAM:SHUTTER:SP", 1)
    poll(lambda: bench.get("BEAM:SHUTTER") == 1)


def test_the_door_ends_the_beam_and_the_acquisition(bench):
    bench.ready(5000.0)
    bench.start_acquisition()
    bench.put("SIM:FAULT:DOOR", 1)
    bench.published()  # at once
    assert (bench.get("BEAM:SHUTTER"), bench.get("BEAM:SHUTTER:SP")) == (0, 0)
    assert bench.acquisition == "Stopped"
    assert bench.get("INTERLOCK:CAUSE") == "DOOR"
    bench.put("INTERLOCK:RESET", 1)
    bench.published()
    assert bench.get("INTERLOCK:OK") == 0
    bench.put("SIM:FAULT:DOOR", 0)
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)


def test_a_killed_ioc_resumes_its_state_and_begins_safe(bench):
    bench.ready(5000.0)
    bench.start_acquisition()
    poll(lambda: bench.saved()["acquisition"]["charge_uC"] > 2.0)
    seen_s = bench.get("SIM:TIME")
    bench.kill()
    state = bench.saved()
    assert state["time_s"] > seen_s - 100.0 * (1.5 + STALL_S)  # the state on disk is at most a second old
    bench.start()
    assert (bench.get("BEAM:SHUTTER"), bench.get("BEAM:SHUTTER:SP"), bench.get("INTERLOCK:OK")) == (0, 0, 1)
    assert bench.acquisition == "Stopped"
    assert (bench.get("SAMPLE:NUMBER"), bench.get("SAMPLE:LOAD"), bench.get("ACQ:NUMBER")) == (3, 3, 1)
    assert (bench.get("STAGE:X"), bench.get("STAGE:X:SP"), bench.get("ACQ:CHARGE:SP")) == (10.0, 10.0, 5000.0)
    assert bench.get("SIM:TIME") > state["time_s"]
    assert bench.get("MCA:CHARGE") == pytest.approx(state["acquisition"]["charge_uC"], rel=1e-9)
    assert bench.get("MCA:COUNTS") > 0
    assert bench.get("MCA:COUNTS") == sum(bench.get("MCA:SPECTRUM"))
    bench.live()
    bench.put("BEAM:SHUTTER:SP", 1)
    poll(lambda: bench.get("BEAM:SHUTTER") == 1)
    bench.start_acquisition()
    assert bench.get("ACQ:NUMBER") == 2
    assert bench.stop() == 0
    assert set(json.loads((bench.folder / "truth.json").read_text())["acquisitions"]) == {"1", "2"}


@pytest.mark.parametrize("change", [{"speed": -1}, {"substrate": [{"Xx": 1}]}, {"setup": {"ion": "Xe"}}])
def test_a_bad_configuration_is_one_clear_line(tmp_path, change):
    bench = Bench(tmp_path, **change)
    done = subprocess.run(bench.command, env=bench.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"ioc_sims: .*{next(iter(change))}.*\n", done.stderr)


def test_help_is_the_pv_table():
    done = subprocess.run(
        [sys.executable, "-m", "ioc_sims", "rbs", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "{P}MCA:SPECTRUM" in done.stdout
