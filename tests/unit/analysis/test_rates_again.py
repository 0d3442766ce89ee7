import numpy as np
import pytest
from ring_lab import SENSORS, place, ring

from sdl_bluesky.analysis.chamber import Chamber
from sdl_bluesky.analysis.rates import Window, is_open, reduce_run, run_flux, shutter_window
from sdl_bluesky.errors import CatalogueError, Unidentifiable, UnknownName
from sdl_bluesky.physics.qcm import fit_rate

F0 = {"qcm1": 6e6, "qcm2": 6e6, "qcm3": 5e6}
SENSITIVITY = {"qcm1": 12.269, "qcm2": 12.269, "qcm3": 17.668}  # ng cm^-2 Hz^-1
RATES = {"qcm1": 20.0, "qcm2": 35.0, "qcm3": 8.0}
RESULT = {"zero_from_s": 0.0, "zero_to_s": 59.0, "window_from_s": 110.0, "window_to_s": 200.0}


def rows(noise_Hz=0.02, drift_Hz_s=-0.004, transient_Hz=8.0, seed=0):
    """A minute closed, shutter open from 60 to 205 s with a thermal transient, closed again."""
    rng = np.random.default_rng(seed)
    t = np.arange(0.0, 230.0, 1.0)
    opened = (t >= 60) & (t <= 205)
    columns = {"clock_time": t, "cu_shutter": opened.astype(int), "sn_shutter": np.zeros(t.size, dtype=int)}
    exposed = np.clip(t - 60, 0, 145)
    for name, rate in RATES.items():
        f = F0[name] - 500.0 - rate / SENSITIVITY[name] * exposed + drift_Hz_s * t
        f += np.where(t >= 60, transient_Hz * (1 - np.exp(-(t - 60).clip(0) / 8.0)), 0.0)
        columns[f"{name}_frequency"] = f + noise_Hz * rng.standard_normal(t.size)
    return columns


def test_rates_come_back_from_the_raw_rows():
    data = rows()
    found = reduce_run(data, Window.of(RESULT, data, ["cu"]), F0)
    assert found.findings == ()
    for name, rate in RATES.items():
        assert found.fits[name].rate == pytest.approx(rate, abs=4 * found.fits[name].std)
        assert found.fits[name].std < 0.01 * rate
    mean, std = found.arrays(["qcm3", "qcm1"])
    assert mean.tolist() == [found.fits["qcm3"].rate, found.fits["qcm1"].rate]
    assert std.tolist() == [found.fits["qcm3"].std, found.fits["qcm1"].std]


def test_the_reduction_is_that_of_the_plan():
    data = rows()
    t, f = data["clock_time"], data["qcm1_frequency"]
    zero = fit_rate(t[t <= 59], f[t <= 59], 6e6)
    used = (t >= 110) & (t <= 200)
    found = reduce_run(data, Window.of(RESULT, data, ["cu"]), {"qcm1": 6e6})
    plan = fit_rate(t[used], f[used], 6e6, zero=zero)
    assert (found.fits["qcm1"].rate, found.fits["qcm1"].std, found.fits["qcm1"].n) == (plan.rate, plan.std, plan.n)


def test_without_a_recorded_window_the_shutters_tell_it():
    data = rows()
    window = Window.of({}, data, ["cu"])
    assert window == Window((0.0, 59.0), (100.0, 205.0))
    texts = {**data, "cu_shutter": np.where(data["cu_shutter"] > 0, "Open", "Closed")}
    assert shutter_window(texts, ["cu"]) == window
    assert reduce_run(data, window, F0).fits["qcm1"].rate == pytest.approx(20.0, rel=0.01)
    early = {k: v[60:] for k, v in data.items()}
    assert shutter_window(early, ["cu"]).zero is None
    with pytest.raises(Unidentifiable, match="never open"):
        shutter_window(data, ["cu", "sn"])
    with pytest.raises(CatalogueError, match="ni_shutter"):
        shutter_window(data, ["ni"])


def test_shutter_columns_of_any_kind():
    assert is_open([0, 1, 1]).tolist() == [False, True, True]
    assert is_open(["Closed", "Open"]).tolist() == [False, True]
    assert is_open(np.array([True, False])).tolist() == [True, False]
    assert is_open([np.nan, 1.0]).tolist() == [False, True]


def test_what_cannot_be_reduced_is_said():
    data = rows()
    data["qcm1_frequency"][120:150] = np.nan
    data["qcm2_frequency"][:] = np.nan
    data["qcm3_frequency"] = 5e6 + 0.5 * data["clock_time"] * (data["clock_time"] > 60)
    found = reduce_run(data, Window.of(RESULT, data, ["cu"]), F0)
    assert set(found.fits) == {"qcm1", "qcm3"}
    assert found.findings[0] == "qcm1: 30 of 91 rows hold no number and were left out"
    assert found.findings[1].startswith("qcm2: 91 of 91 rows")
    assert found.findings[2].startswith("qcm2: no rate")
    assert found.findings[3].startswith("qcm3: negative rate")
    assert np.isnan(found.arrays(["qcm2"])[0][0])
    with pytest.raises(CatalogueError, match="qcm1_frequency"):
        reduce_run({"clock_time": data["clock_time"]}, Window(None, (0.0, 1.0)), F0)


@pytest.fixture
def chamber():
    position, axis = place(0.0)
    sources = {"cu": {"element": "Cu", "position_cm": list(position), "axis": list(axis)}}
    sensors = {
        f"qcm{k + 1}": {"position_cm": list(p), "normal": [0, 0, 1], "f0_Hz": 6e6} for k, p in enumerate(SENSORS)
    }
    geometry = {"sources": sources, "sensors": sensors, "tooling_std": 0.01}
    geometry |= {"map": {"x_mm": [-25, 25, 5], "y_mm": [-25, 25, 5]}}
    geometry |= {"ranges": {"power_W": [10, 100], "pressure_mTorr": [2, 20]}}
    return Chamber.from_start({"uid": "u", "geometry": geometry})


def test_strength_and_exponent_of_one_run(chamber):
    y = 5e4 * ring(*place(0.0), SENSORS, 1.8, 0.0)
    fit, findings = run_flux(y, 0.001 * y, chamber, "cu")
    assert fit is not None
    assert findings == ()
    assert fit.n == pytest.approx(1.8, abs=1e-6)
    assert fit.ln_strength == pytest.approx(np.log(5e4 * 2.8), abs=1e-6)
    assert fit.n_std > 0.3  # a tooling error of 1 % is part of it


def test_sensors_without_a_rate_do_not_stop_the_flux_fit(chamber):
    y = 5e4 * ring(*place(0.0), SENSORS, 1.8, 0.0)
    two, findings = run_flux([y[0], np.nan, y[2]], 0.001 * y, chamber, "cu")
    assert two is not None
    assert findings == ("qcm2: left out of the flux fit",)
    assert two.n == pytest.approx(1.8, abs=1e-6)
    one, findings = run_flux([y[0], -1.0, np.nan], 0.001 * y, chamber, "cu")
    assert one is not None
    assert one.n == pytest.approx(2.0)
    assert "is assumed" in findings[-1]
    none, findings = run_flux(-y, 0.001 * y, chamber, "cu")
    assert none is None
    assert "no sensor" in findings[-1]
    with pytest.raises(UnknownName, match="'sn'"):
        run_flux(y, y, chamber, "sn")
