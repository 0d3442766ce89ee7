"""The simulated reactor as a real process, over Channel Access: the paper's stack, its light and its pattern, a trip."""

from __future__ import annotations

import json
import math
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _bench
import numpy as np
import pytest
from _bench import PREFIX, poll

pytestmark = pytest.mark.system

STATES = ("Idle", "Growing", "Done", "Stopped")
GROUP_III, HYDRIDES = ("IN", "GA"), ("AS", "P")
UNITS = ("sccm", "degC", "degC/s", "%", "rpm", "mbar", "s", "ppb", "m3/h", "mm", "nm", "counts", "deg")


class Bench(_bench.Bench):
    """The reactor and its client, who works it by puts alone."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        config = {
            "schema": 1,
            "prefix": PREFIX,
            "speed": 400.0,
            "seed": 4,
            "heartbeat_timeout_s": 15.0,
            "faults": True,
            "state_file": str(folder / "state.json"),
            "truth_file": str(folder / "truth.json"),
            **changes,
        }
        super().__init__(folder, "mocvd", config)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ioc_sims.mocvd", str(self.config)]

    def ready(self) -> None:
        """A fresh wafer, hydrogen, rotation, phosphine in run, hot."""
        self.beat(True)
        poll(lambda: self.get("HEARTBEAT") > 0)
        self.put("WAFER:LOAD", 1)
        self.put("H2:FLOW:SP", 16000.0)
        self.put("ROTATION:SP", 900.0)
        self.put("P:FLOW:SP", 300.0)
        poll(lambda: self.near("H2:FLOW", 16000.0, 100.0) and self.near("PRESSURE", 100.0, 1.0))
        self.put("P:VALVE:SP", 1)
        self.put("TEMPERATURE:SP", 650.0)
        poll(lambda: self.near("TEMPERATURE", 650.0, 1.0) and self.get("ROTATION") == 900.0)
        assert self.get("P:VALVE") == 1
        for name, sccm in (("IN", 25.0), ("GA", 5.971), ("AS", 11.2)):
            self.put(f"{name}:FLOW:SP", sccm)
            self.put(f"{name}:ARM:SP", int(name == "IN")) if name in GROUP_III else None
        poll(lambda: self.near("GA:FLOW", 5.971, 0.03) and self.near("AS:FLOW", 11.2, 0.06))

    def near(self, name: str, value: float, tolerance: float) -> bool:
        return abs(self.get(name) - value) <= tolerance

    def layer(self, seconds: float) -> None:
        number = self.get("GROWTH:NUMBER")
        self.put("GROWTH:DURATION:SP", seconds)
        self.put("GROWTH:START", 1)
        poll(lambda: self.get("GROWTH:NUMBER") == number + 1)
        self.published()  # the state comes after the number
        poll(lambda: self.state != "Growing")

    def quaternary(self, on: bool) -> None:
        self.put("AS:VALVE:SP", int(on))
        self.put("GA:ARM:SP", int(on))
        poll(lambda: self.get("AS:VALVE") == int(on) and self.get("GA:ARM") == int(on))

    def cool(self) -> None:
        self.put("TEMPERATURE:SP", 0.0)
        poll(lambda: self.get("TEMPERATURE") < 390)
        for name in (*GROUP_III, *HYDRIDES):
            self.put(f"{name}:VALVE:SP", 0)
            self.put(f"{name}:FLOW:SP", 0.0)
        self.put("ROTATION:SP", 0.0)
        poll(lambda: self.get("TEMPERATURE") < 145 and self.get("ROTATION") == 0)

    def measure(self, which: str, start: str) -> None:
        number = self.get(f"{which}:NUMBER")
        self.put(f"{which}:{start}:START", 1)
        poll(lambda: self.get(f"{which}:NUMBER") == number + 1)
        self.published()
        poll(lambda: self.get(f"{which}:STATE") != 1)
        assert self.get(f"{which}:STATE") == 2

    @property
    def state(self) -> str:
        return STATES[self.get("GROWTH:STATE")]

    def safe(self) -> bool:
        return not any(self.get(f"{name}:VALVE") for name in (*GROUP_III, *HYDRIDES))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    try:
        yield one.start()
    finally:
        one.close()


def test_the_documented_pvs_are_served_with_their_units_and_locked(bench):
    import ioc_sims.mocvd

    table = re.findall(r"\{P\}(\S+)( +\S+)?", ioc_sims.mocvd.__doc__ or "")
    assert len(table) > 80
    for name, unit in table:
        found = bench.ask("units", PREFIX + name)
        if unit.strip() in UNITS:
            assert found == unit.strip(), name
    assert bench.get("GA:PRECURSOR") == "TEGa"
    assert len(bench.get("PL:MAP")) == 625
    # nobody can write the interlock, nor any readback or limit
    for name in (
        *(f"INTERLOCK:{n}" for n in ("OK", "CAUSE", "ASH3", "PH3", "HYDROGEN", "EXHAUST", "SCRUBBER", "PRESSURE")),
        "IN:FLOW",
        "P:VALVE",
        "GROWTH:CLOCK",
        "DETECTOR:ASH3",
        "XRD:POINTS",
        "GA:FLOW:SP.DRVH",
        "TEMPERATURE:SP.DISP",
        "INTERLOCK:OK.ZSV",
    ):
        assert bench.put(name, "x" if name.endswith("CAUSE") else 1) == "refused", name
    bench.beat(True)
    for name, kept in (("GA:FLOW:SP", 0.0), ("TEMPERATURE:SP", 0.0), ("PRESSURE:SP", 100.0), ("XRD:STEP:SP", 0.003)):
        for bad in (1e6, -1e6, math.nan, math.inf):
            bench.put(name, bad)
            assert bench.get(name) == kept, (name, bad)
        assert bench.ask("severity", PREFIX + name) == 0
    for command in ("GROWTH:START", "PL:MAP:START", "XRD:SCAN:START", "WAFER:UNLOAD"):
        bench.put(command, 1)
    bench.published()
    assert [bench.get(f"{what}:NUMBER") for what in ("GROWTH", "PL", "XRD", "WAFER")] == [0, 0, 0, 0]
    bench.put("IN:VALVE:SP", 1)  # no carrier, no hydride
    assert bench.get("IN:VALVE:SP") == 0
    assert bench.stop() == 0


def test_the_papers_stack_its_light_and_its_pattern(bench):
    bench.ready()
    bench.layer(400.0)
    bench.quaternary(True)
    bench.put("GROWTH:DURATION:SP", 317.0)
    bench.put("SIM:SPEED", 10.0)  # time to look
    bench.put("GROWTH:START", 1)
    poll(lambda: bench.get("GA:VALVE:SP") == 1 and bench.get("IN:VALVE:SP") == 1)  # shown, though nobody put it
    bench.put("SIM:SPEED", 400.0)
    poll(lambda: bench.state != "Growing")
    bench.published()
    assert bench.get("GROWTH:NUMBER") == 2
    assert bench.state == "Done"
    assert bench.get("GROWTH:LAYER") == pytest.approx(317.0, abs=1e-3)
    assert bench.get("GA:VALVE:SP") == bench.get("IN:VALVE:SP") == 0  # written back by the reactor
    bench.quaternary(False)
    bench.layer(130.0)
    assert bench.get("GROWTH:CLOCK") == pytest.approx(847.0, abs=1e-3)
    bench.cool()
    bench.put("WAFER:UNLOAD", 1)
    poll(lambda: bench.get("WAFER:NUMBER") == 0)

    bench.put("PL:WAFER:SP", 1)
    bench.measure("PL", "MAP")
    nm = np.array(bench.get("PL:MAP"), float).reshape(25, 25)
    bench.measure("PL", "SPECTRUM")
    light = np.array(bench.get("PL:SPECTRUM"))
    peak = np.array(bench.get("PL:WAVELENGTH"))[light.argmax()]
    bench.put("PL:WAFER:SP", 0)
    bench.put("XRD:WAFER:SP", 1)
    bench.measure("XRD", "SCAN")
    angle, counts = np.array(bench.get("XRD:TWOTHETA")), np.array(bench.get("XRD:COUNTS"))
    assert len(angle) == len(counts) == bench.get("XRD:POINTS") == 601
    assert bench.stop() == 0

    hidden = json.loads((bench.folder / "truth.json").read_text())
    wafer = hidden["wafers"]["1"]
    assert wafer["decomposed_s"] == 0.0
    assert [layer["lines"] for layer in wafer["layers"]] == [["IN", "P"], ["IN", "GA", "AS", "P"], ["IN", "P"]]
    assert [layer["seconds"] for layer in wafer["layers"]] == pytest.approx([400.0, 317.0, 130.0], abs=1e-3)
    assert [layer["thickness_nm"] for layer in wafer["layers"]] == pytest.approx([200.0, 200.0, 65.0], rel=0.1)
    layer = wafer["layer"]
    assert (layer["x"], layer["y"]) == pytest.approx((0.192, 0.4176), abs=0.03)
    assert max(layer["x_sd"], layer["y_sd"]) < 0.02
    assert np.nanmean(nm) == pytest.approx(layer["wavelength_mean_nm"], abs=6.0)
    assert np.isnan(nm[0, 0])
    assert peak == pytest.approx(layer["wavelength_nm"], abs=10.0)
    assert angle[counts.argmax()] == pytest.approx(63.338, abs=0.05)


def test_a_trip_in_mid_growth_latches_and_a_wafer_outlives_the_process(bench):
    bench.ready()
    bench.quaternary(True)
    bench.put("GROWTH:DURATION:SP", 20000.0)
    bench.put("GROWTH:START", 1)
    poll(lambda: bench.get("GROWTH:LAYER") > 20)
    bench.put("SIM:FAULT:ASH3", 1)
    bench.published()  # at once
    assert bench.safe()
    assert bench.state == "Stopped"
    assert bench.get("INTERLOCK:CAUSE") == "ASH3"
    assert [bench.get(f"{n}:FLOW:SP") for n in (*GROUP_III, *HYDRIDES)] == [0.0] * 4
    assert [bench.get(f"{n}:VALVE:SP") for n in (*GROUP_III, *HYDRIDES)] == [0] * 4
    assert bench.get("TEMPERATURE:SP") == 0.0
    assert bench.get("H2:FLOW:SP") == 16000.0
    assert bench.ask("severity", PREFIX + "INTERLOCK:OK") == 2
    poll(lambda: bench.ask("severity", PREFIX + "DETECTOR:ASH3") == 2)
    bench.put("INTERLOCK:RESET", 1)  # still bad
    bench.put("TEMPERATURE:SP", 650.0)
    bench.published()
    assert (bench.get("INTERLOCK:OK"), bench.get("TEMPERATURE:SP")) == (0, 0.0)
    bench.put("SIM:FAULT:ASH3", 0)
    poll(lambda: bench.get("INTERLOCK:ASH3") == 1)
    bench.put("P:FLOW:SP", 300.0)
    bench.published()
    assert (bench.get("INTERLOCK:OK"), bench.get("P:FLOW:SP")) == (0, 0.0)  # latched
    bench.put("INTERLOCK:RESET", 1)
    poll(lambda: bench.get("INTERLOCK:OK") == 1)
    assert bench.put("P:FLOW:SP", 300.0) == "ok"
    assert bench.get("P:FLOW:SP") == 300.0

    assert bench.stop() == 0
    bench.start()
    bench.new_client()
    assert (bench.get("WAFER:NUMBER"), bench.get("GROWTH:NUMBER"), bench.state) == (1, 1, "Stopped")
    assert bench.get("SIM:TIME") > 400


def test_a_client_that_dies_leaves_a_protected_surface(tmp_path):
    one = Bench(tmp_path, heartbeat_timeout_s=4.0)
    try:
        one.start().ready()
        one.put("SIM:SPEED", 1.0)  # the surface stays hot while processes start
        one.put("IN:VALVE:SP", 1)
        poll(lambda: one.state == "Growing")
        assert one.client is not None
        one.client.send_signal(signal.SIGKILL)
        one.new_client()
        poll(lambda: one.get("INTERLOCK:CAUSE") == "HEARTBEAT")
        assert [one.get(f"{name}:VALVE") for name in (*GROUP_III, *HYDRIDES)] == [0, 0, 0, 1]
        assert one.get("P:FLOW:SP") == 300.0
        assert one.get("TEMPERATURE:SP") == 0.0
        assert one.get("TEMPERATURE") > 450
        assert one.stop() == 0  # nor does the end of the IOC take the phosphine away
        one.config.write_text(json.dumps({**json.loads(one.config.read_text()), "speed": 1.0}))
        one.start().new_client()
        poll(lambda: one.get("P:VALVE:SP") == 1)
        one.published()
        assert [one.get(f"{name}:VALVE") for name in (*GROUP_III, *HYDRIDES)] == [0, 0, 0, 1]
        one.put("SIM:SPEED", 200.0)
        poll(lambda: not one.get("P:VALVE"))
        one.published()
        assert (one.get("P:VALVE:SP"), one.get("P:FLOW:SP")) == (0, 0.0)
        assert one.get("TEMPERATURE") < 401
        assert one.stop() == 0
        truth = json.loads((tmp_path / "truth.json").read_text())
        assert truth["wafers"]["1"]["decomposed_s"] == 0.0
    finally:
        one.close()
