"""Coming down from ignition: the bracket that is seen when a plasma goes out, on a small simulated chamber."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bluesky.run_engine import RunEngine
from ophyd.signal import Signal

from sdl_bluesky.errors import MoveTimeout, PlasmaError
from sdl_bluesky.plans.conditions import come_down
from sdl_bluesky.plans.settings import SputterSettings

SETTINGS = SputterSettings()


class Flow(Signal):
    """A flow controller without limits."""

    def check_value(self, value: float) -> None:
        assert 0.0 < value < 200.0


class Machine:
    """Pressure after flow over a pump that is not quite linear; a plasma with hysteresis; stands for attempt and chamber."""

    def __init__(self, boundary: float, start: float = 12.0, noise: float = 0.002) -> None:
        self.boundary, self.noise, self.rng = boundary, noise, np.random.default_rng(2)
        self.flow, self.pressure = Flow(name="flow", value=0.0), Signal(name="pressure", value=0.0)
        self.plasma = Signal(name="plasma", value=1)
        self.chamber = self.gas = self.gauge = self
        self.flow_per_pressure: float | None = None
        self.held, self.moves, self.true = 0.0, 0, 0.0
        self._set(start * 5.2)

    def source(self, name: str) -> Machine:
        assert name == "cu"
        return self

    def _set(self, flow: float) -> None:
        self.true = flow / (5.0 * (1.0 + flow / 800.0))
        if self.true < self.boundary:
            self.plasma.put(0)
        self.pressure.put(self.true * (1.0 + self.noise * self.rng.standard_normal()))

    def move(self, device: Flow, value: float) -> Any:
        yield from ()
        self.moves += 1
        self._set(value)

    def hold(self, duration_s: float) -> Any:
        yield from ()
        self.held += duration_s


def run(machine: Machine, pressure: float, careful_below: float | None = None) -> Any:
    found: list[Any] = []

    def plan() -> Any:
        try:
            found.append((yield from come_down(machine, {"cu": 40.0}, pressure, SETTINGS, careful_below)))  # type: ignore[arg-type]
        except (PlasmaError, MoveTimeout) as fault:
            found.append(fault)

    RunEngine({})(plan())
    return found[0]


@pytest.mark.parametrize("boundary", [2.3, 3.1, 4.4, 9.0])
def test_the_bracket_is_narrow_and_holds_the_boundary(boundary: float) -> None:
    machine = Machine(boundary)
    seen = run(machine, 2.0, careful_below=10.0)
    assert isinstance(seen, PlasmaError)
    assert (seen.source, seen.power_W) == ("cu", 40.0)
    assert seen.lit_pressure_mTorr is not None
    assert seen.out_pressure_mTorr is not None
    assert 0.99 * seen.out_pressure_mTorr <= boundary <= 1.01 * seen.lit_pressure_mTorr
    assert 1.0 < seen.lit_pressure_mTorr / seen.out_pressure_mTorr < 1.07
    assert f"went out at 40 W and {seen.out_pressure_mTorr:.2f} mTorr" in str(seen)
    assert machine.held < 300.0  # process seconds


def test_down_to_a_pressure_where_it_burns() -> None:
    machine = Machine(2.0)
    assert run(machine, 3.0, careful_below=4.0) == pytest.approx(3.0, rel=0.03)
    assert machine.plasma.get() == 1
    assert 6 < machine.moves < 15  # quickly to 4 mTorr, then in steps of 4 %
    quick = Machine(2.0)
    assert run(quick, 3.0) == pytest.approx(3.0, rel=0.03)
    assert quick.moves <= 3


def test_without_care_the_bracket_is_wide_but_true() -> None:
    seen = run(Machine(3.0), 2.0)
    assert isinstance(seen, PlasmaError)
    assert seen.lit_pressure_mTorr == pytest.approx(12.0, rel=0.05)
    assert seen.out_pressure_mTorr is not None
    assert seen.out_pressure_mTorr < 3.0


def test_going_up_needs_no_steps_and_a_dark_plasma_is_noticed_at_once() -> None:
    machine = Machine(2.0)
    assert run(machine, 20.0, careful_below=15.0) == pytest.approx(20.0, rel=0.03)
    assert machine.moves <= 3
    dark = Machine(2.0)
    dark.plasma.put(0)
    assert isinstance(run(dark, 3.0), PlasmaError)
    assert dark.moves == 0
