"""When a measurement ends, against frequencies made from a known rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from bluesky import Msg

from sdl_bluesky.analysis.rates import Window
from sdl_bluesky.errors import DeviceError, PlasmaError
from sdl_bluesky.plans.reduction import good_enough, result
from sdl_bluesky.plans.settings import SputterSettings
from sdl_bluesky.plans.stubs import Attempt

F0 = 6e6
NG_PER_HZ = 12.269  # Sauerbrey at 6 MHz
SETTINGS = SputterSettings(shortest_s=30.0, longest_s=100.0, precision=0.01)
WINDOW = Window((0.0, 60.0), (100.0, math.inf))


def rows(end: float, rate: float = 20.0, drift: float = 1.0, noise: float = 0.02, out_at: float = math.inf) -> dict:
    t = np.arange(0.0, end, 5.0)
    mass = drift * t + rate * np.clip(t - 60.0, 0.0, None)
    f = F0 - mass / NG_PER_HZ + noise * np.random.default_rng(1).standard_normal(t.size)
    return {
        "clock_time": t,
        "qcm1_frequency": f,
        "gauge_pressure": np.full(t.size, 8.0),
        "cu_power": np.full(t.size, 49.9),
        "cu_plasma": (t < out_at).astype(int),
    }


def judge(windows: list[Window]):
    return good_enough(windows, {"cu": 50.0}, "qcm1", F0, SETTINGS)


def test_nothing_is_judged_before_the_shutter_is_open() -> None:
    assert not judge([])(rows(500.0))
    assert not judge([WINDOW])(rows(95.0))


def test_it_ends_when_the_rate_is_known_and_not_before_the_shortest_time() -> None:
    assert not judge([WINDOW])(rows(125.0))
    assert judge([WINDOW])(rows(140.0))


def test_it_ends_when_the_time_is_up_however_bad_the_rate() -> None:
    assert not judge([WINDOW])(rows(190.0, rate=0.05, noise=5.0))
    assert judge([WINDOW])(rows(210.0, rate=0.05, noise=5.0))


def test_a_time_that_is_up_without_rows_is_none() -> None:
    """An instrument stood still: its clock is past the end, and it told nothing meanwhile."""
    taken = {name: np.delete(column, slice(22, 40)) for name, column in rows(205.0).items()}
    assert taken["clock_time"][-1] == 200.0
    assert not judge([WINDOW])(taken)
    assert judge([WINDOW])({name: np.delete(column, slice(22, 40)) for name, column in rows(225.0).items()})


def zero_rate(rows_of: Callable[[list[float]], list[float]]) -> tuple[list[float], list[tuple[float, float]]]:
    """Ticks of the clock, and the result, of a zero rate of 60 s; from ticks to the times of the rows that are complete."""
    ticks, found = [0.0], []
    attempt = Attempt.__new__(Attempt)
    attempt.chamber = SimpleNamespace(clock=SimpleNamespace(now_s=0.0))  # type: ignore[assignment]
    attempt.stream = SimpleNamespace(  # type: ignore[assignment]
        name="qcm_stream", data=lambda: {"clock_time": np.array(rows_of(ticks))}
    )

    def hold(seconds: float):
        ticks.append(ticks[-1] + max(seconds, 20.0))
        attempt.chamber.clock.now_s = ticks[-1]  # type: ignore[misc]
        yield Msg("null")

    attempt.hold = hold  # type: ignore[method-assign]

    def whole():
        found.append((yield from attempt.zero_rate(60.0)))

    list(whole())
    return ticks, found


def test_a_zero_rate_takes_longer_if_an_instrument_stood_still() -> None:
    ticks, found = zero_rate(lambda ticks: ticks[1:-1])  # the last one is complete when the next one comes
    assert ticks == [0.0, 60.0, 80.0, 100.0, 120.0]
    assert found == [(0.0, 120.0)]


def test_a_zero_rate_needs_three_rows_that_are_complete() -> None:
    """What of the next tick has arrived closes a row while the clock still tells the time of that row."""
    ticks, found = zero_rate(lambda ticks: ticks[1:])
    assert found == [(0.0, ticks[-1])]
    assert len(ticks[1:]) == 3


def test_a_zero_rate_without_rows_is_none() -> None:
    with pytest.raises(DeviceError, match=r"fewer than 3 rows in 1260 s with closed shutters"):
        zero_rate(lambda ticks: [])


def test_a_plasma_that_goes_out_is_noticed() -> None:
    with pytest.raises(PlasmaError, match=r"cu went out at 50 W and 8\.00 mTorr"):
        judge([WINDOW])(rows(140.0, out_at=120.0))


def test_the_result_is_the_rate_less_the_zero_rate() -> None:
    fields, values = result(rows(200.0), Window((0.0, 59.0), (100.0, 200.0)), {"qcm1": F0}, {"cu": 50.0})
    assert set(fields) == set(values)
    assert values["qcm1_rate"] == pytest.approx(20.0, abs=4 * values["qcm1_rate_std"])
    assert 0.0 < values["qcm1_rate_std"] < 0.05
    assert values["cu_power"] == pytest.approx(49.9)
    assert (values["window_from_s"], values["zero_to_s"], values["samples"]) == (100.0, 59.0, 20)
    assert fields["qcm1_rate"].units == "ng cm^-2 s^-1"


def test_too_few_rows_are_an_error() -> None:
    with pytest.raises(DeviceError, match="rows came"):
        result(rows(105.0), Window((0.0, 59.0), (100.0, 105.0)), {"qcm1": F0}, {"cu": 50.0})


def test_a_plasma_that_goes_out_while_it_is_measured_tells_its_pressure() -> None:
    taken = rows(200.0, out_at=150.0)
    taken["gauge_pressure"] = np.where(taken["clock_time"] < 150.0, 3.05, 2.95)
    with pytest.raises(PlasmaError) as fault:
        result(taken, WINDOW, {"qcm1": F0}, {"cu": 50.0})
    assert fault.value.source == "cu"
    assert fault.value.power_W == 50.0
    assert (fault.value.lit_pressure_mTorr, fault.value.out_pressure_mTorr) == (3.05, 2.95)


def test_a_stuck_sensor_is_flagged_and_its_life_is_kept() -> None:
    taken = rows(200.0)
    taken["qcm2_frequency"] = np.full(taken["clock_time"].size, 5.9e6)
    taken["qcm3_frequency"] = np.full(taken["clock_time"].size, np.nan)
    sensors = {"qcm1": F0, "qcm2": F0, "qcm3": F0}
    fields, values = result(
        taken, Window((0.0, 59.0), (100.0, 200.0)), sensors, {"cu": 50.0}, {"qcm1": 81.0, "qcm2": 0.0}
    )
    assert [values[f"{name}_saturated"] for name in sensors] == [0, 1, 1]
    assert (values["qcm1_life"], values["qcm2_life"]) == (81.0, 0.0)
    assert "qcm3_life" not in values
    assert fields["qcm1_life"].units == "%"
