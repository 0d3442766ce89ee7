"""The end station behind its interlocks, on a clock that the test moves."""

from __future__ import annotations

import json
import math
from concurrent.futures import Executor, Future

import numpy as np
import pytest
from rbs_films import film_truth

from ioc_sims.common.errors import ConfigError, StateError
from ioc_sims.common.files import write_json
from ioc_sims.common.wander import Wander
from ioc_sims.rbs import state
from ioc_sims.rbs.acquisition import State
from ioc_sims.rbs.plant import Plant
from ioc_sims.rbs.samples import Samples
from ioc_sims.rbs.settings import load_config
from ioc_sims.rbs.spectra import Spectra, with_gain
from ioc_sims.rbs.station import Station
from ioc_sims.rbs.store import Store


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Later(Executor):
    """Does what it was given when it is told to."""

    def __init__(self) -> None:
        self.given: list = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        self.given.append((future, fn, args, kwargs))
        return future

    def work(self) -> None:
        while self.given:
            future, fn, args, kwargs = self.given.pop(0)
            try:
                future.set_result(fn(*args, **kwargs))
            except ValueError as err:
                future.set_exception(err)


class Lab:
    """A station with a client whose heart beats as long as `run(beat=True)`; spectra are ready at the next tick."""

    def __init__(self, config, speed: float = 10.0) -> None:
        self.clock, self.later = Clock(), Later()
        samples = Samples(config)
        plant = state.load_plant(config, samples)
        self.station = Station(plant, samples, speed, 3.0, self.clock, self.later)
        self.plant = plant

    def run(self, seconds: float, beat: bool = True, work: bool = True) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.now += 0.1
            if work:
                self.later.work()
            self.station.catch_up()
            if beat:
                self.station.heartbeat()

    def ready(self, sample: int = 3, charge: float = 5.0) -> None:
        assert self.station.load(sample)
        assert self.station.set_charge(charge)
        self.run(0.1)
        assert self.station.set_shutter(True)

    def acquiring(self) -> None:
        self.ready()
        assert self.station.start()
        self.run(1.0)
        assert self.plant.acquisition.spectrum.sum() > 100


@pytest.fixture
def lab(make_rbs) -> Lab:
    return Lab(make_rbs())


def test_a_whole_acquisition(lab):
    lab.ready()
    assert lab.station.start()
    assert lab.plant.number == 1
    lab.run(30.0)
    one = lab.plant.acquisition
    assert one.state is State.DONE
    assert one.charge_uC == pytest.approx(5.0)
    assert one.live_s < one.real_s == pytest.approx(250.0, rel=0.1)
    hidden = lab.plant.truth[1]
    expected = Spectra(lab.plant.config).per_uC(tuple(hidden["layers"]), 2000.0, 0.0) * 5.0 * hidden["charge_factor"]
    expected = with_gain(expected, hidden["gain"], 1024)
    seen = expected > 5
    chi2 = float(((one.spectrum - expected)[seen] ** 2 / expected[seen]).sum())
    assert seen.sum() > 300
    assert abs(chi2 - seen.sum()) < 5 * math.sqrt(2 * seen.sum())
    assert lab.plant.shutter_open
    assert hidden["layers"][0]["Cu"] == pytest.approx(0.6 * 4e-5 / 85.6116 * 6.02214e8, rel=1e-4)


def test_the_truth_is_that_of_the_place(lab):
    lab.ready()
    assert lab.station.set_axis("X", 10.0)
    assert lab.station.set_axis("TILT", -7.0)
    assert lab.station.set_energy(1990.0)
    lab.run(1.0)
    assert lab.station.start()
    hidden = lab.plant.truth[1]
    assert (hidden["sample"], hidden["x_mm"], hidden["tilt_deg"], hidden["energy_keV"]) == (3, 10.0, -7.0, 1990.0)
    assert hidden["layers"][0]["Cu"] == pytest.approx(1.1 * 0.6 * 4e-5 / 85.6116 * 6.02214e8, rel=1e-4)
    assert hidden["charge_factor"] == pytest.approx(1.0, abs=0.025)
    assert hidden["charge_factor"] != 1.0


def test_a_film_that_was_written_down_late_is_measured_as_it_is(lab, tmp_path):
    lab.ready()
    films = tmp_path / "sputter-truth.json"
    films.write_text(json.dumps({"films": {"3": film_truth({"Cu": 1.0}, 8.96e4)}}))
    assert lab.station.start()
    assert lab.plant.truth[1]["layers"][0] == {"Cu": pytest.approx(849.12, rel=1e-4)}
    assert lab.station.stop()
    films.unlink()
    assert lab.station.start()
    assert lab.plant.truth[2]["layers"] == lab.plant.truth[1]["layers"]


# what START needs -----------------------------------------------------------------------------------------------------


def test_start_needs_everything(lab):
    station = lab.station
    lab.run(0.1)
    assert not station.start()
    assert station.set_shutter(True)
    assert not station.start()  # no sample
    assert station.load(3)
    assert not station.start()  # no charge to collect
    assert station.set_charge(1.0)
    assert station.accepts_start()
    assert station.set_shutter(False)
    assert not station.start()
    assert station.set_shutter(True)
    assert station.set_axis("Y", -20.0)
    lab.run(0.2)
    assert not station.start()  # the stage moves
    lab.run(1.0)
    assert station.set_energy(2200.0)
    lab.run(0.1)
    assert not station.start()
    lab.run(1.0)
    station.set_fault("VACUUM", True)
    station.set_fault("VACUUM", False)
    assert not station.start()  # the trip latches
    assert station.reset()
    assert station.set_shutter(True)
    assert station.start()
    assert not station.start()  # it runs
    assert lab.plant.number == 1


def test_start_needs_a_client_that_lives(make_rbs):
    lab = Lab(make_rbs())
    lab.station.load(3)
    lab.station.set_charge(1.0)
    assert lab.station.set_shutter(True)
    assert not lab.station.start()
    lab.station.heartbeat()
    assert lab.station.start()
    assert lab.station.stop()
    assert lab.station.set_shutter(False)
    lab.run(5.0, beat=False)
    assert lab.station.set_shutter(True)
    assert not lab.station.start()
    lab.station.heartbeat()
    assert lab.station.start()


def test_nothing_is_moved_while_acquiring(lab):
    lab.acquiring()
    station = lab.station
    assert not station.set_axis("X", 1.0)
    assert not station.set_axis("TILT", 1.0)
    assert not station.set_energy(1500.0)
    assert not station.load(7)
    assert not station.load(0)
    assert station.stop()
    assert lab.plant.acquisition.state is State.STOPPED
    assert station.set_axis("X", 1.0)
    assert station.load(7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e4, 1e9])
def test_bad_values_are_refused_not_clipped(lab, bad):
    station = lab.station
    assert not station.set_energy(bad)
    for axis in ("X", "Y", "TILT"):
        assert not station.set_axis(axis, bad)
    assert not station.set_charge(bad)
    assert not station.set_speed(bad)
    assert lab.plant.energy.setpoint == 2000.0
    assert all(axis.setpoint == 0.0 for axis in lab.plant.axes.values())


def test_limits(lab):
    station = lab.station
    assert station.set_energy(500.0)
    assert station.set_energy(3500.0)
    assert not station.set_energy(3500.1)
    assert station.set_axis("X", -30.0)
    assert not station.set_axis("Y", 30.01)
    assert station.set_axis("TILT", -60.0)
    assert not station.set_axis("TILT", 60.1)
    assert not station.load(4)
    assert not station.load(-3)
    assert station.load(2)
    assert station.load(0)
    assert lab.plant.sample is None


def test_a_tilt_that_hides_the_detector_is_refused(make_rbs):
    lab = Lab(make_rbs(setup={"theta_deg": 120.0}))
    assert lab.station.set_axis("TILT", -25.0)
    assert not lab.station.set_axis("TILT", -35.0)
    assert lab.station.set_axis("TILT", 60.0)


# beam and stage -------------------------------------------------------------------------------------------------------


def test_the_stage_has_a_finite_speed(lab):
    lab.run(0.1)
    lab.station.set_axis("X", 20.0)
    lab.station.set_axis("TILT", -10.0)
    lab.run(0.2)  # 2 simulated seconds at 5 mm/s and 5 deg/s
    assert lab.plant.axes["X"].value == pytest.approx(10.0)
    assert lab.plant.axes["TILT"].value == -10.0
    lab.run(0.3)
    assert lab.plant.axes["X"].value == 20.0


def test_the_shutter_holds_the_beam_and_the_charge(lab):
    lab.acquiring()
    charge = lab.plant.acquisition.charge_uC
    assert lab.station.set_shutter(False)
    before = lab.plant.acquisition.charge_uC
    assert before == pytest.approx(charge, abs=0.02)
    lab.run(5.0)
    assert lab.plant.acquisition.state is State.ACQUIRING
    assert lab.plant.acquisition.charge_uC == before
    assert lab.plant.current_nA == 0.0
    assert lab.station.set_shutter(True)
    lab.station.set_fault("BEAM", True)
    lab.run(2.0)
    assert lab.plant.acquisition.charge_uC == pytest.approx(before, abs=0.02)
    assert lab.station.interlock.ok
    lab.station.set_fault("BEAM", False)
    lab.run(30.0)
    assert lab.plant.acquisition.state is State.DONE


def test_drifts_wander_as_stated():
    draw = np.random.default_rng(0)
    one = Wander(0.03, 60.0)
    values = []
    for _ in range(20000):
        one.step(20.0, draw.normal())
        values.append(one.value)
    assert np.std(values) == pytest.approx(0.03, rel=0.05)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(math.exp(-1 / 3), abs=0.02)


# interlocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["VACUUM", "DOOR"])
def test_a_fault_closes_the_shutter_and_keeps_the_spectrum(lab, fault):
    lab.acquiring()
    kept = lab.plant.acquisition.spectrum.sum()
    lab.station.set_fault(fault, True)
    assert not lab.plant.shutter_open
    assert lab.plant.acquisition.state is State.STOPPED
    assert lab.plant.acquisition.spectrum.sum() >= kept
    assert lab.station.interlock.cause == fault
    assert not lab.station.set_shutter(True)
    lab.station.set_fault(fault, False)
    assert not lab.station.set_shutter(True)
    assert lab.station.reset()
    assert lab.station.set_shutter(True)


def test_no_heartbeat_trips_within_the_timeout(lab):
    lab.acquiring()
    lab.run(2.8, beat=False)
    assert lab.plant.acquisition.running
    lab.run(0.4, beat=False)
    assert lab.station.interlock.cause == "HEARTBEAT"
    assert not lab.plant.shutter_open
    assert lab.plant.acquisition.state is State.STOPPED


def test_a_lost_client_ends_an_acquisition_behind_a_closed_shutter(lab):
    lab.acquiring()
    lab.station.set_shutter(False)
    lab.run(3.3, beat=False)
    assert lab.station.interlock.cause == "HEARTBEAT"
    assert lab.plant.acquisition.state is State.STOPPED


def test_a_frozen_process_trips_and_gains_no_charge(lab):
    lab.acquiring()
    before = lab.plant.acquisition.charge_uC
    lab.clock.now += 30.0
    assert not lab.station.start()
    assert lab.station.interlock.cause == "HEARTBEAT"
    assert lab.plant.acquisition.charge_uC == before
    assert not lab.plant.energised


# the thread of the spectra ---------------------------------------------------------------------------------------------


def test_nothing_waits_for_a_slow_spectrum(lab):
    lab.ready()
    assert lab.station.start()
    lab.run(10.0, work=False)
    assert lab.plant.acquisition.running
    assert lab.plant.acquisition.charge_uC == 0.0
    lab.run(0.1)
    assert lab.plant.acquisition.charge_uC == pytest.approx(2.0, rel=0.1)


def test_a_spectrum_that_comes_too_late_is_not_that_of_the_next_acquisition(lab):
    lab.ready()
    assert lab.station.start()
    assert lab.station.stop()
    assert lab.station.load(7)
    assert lab.station.start()
    lab.run(20.0)
    seen = lab.plant.acquisition.spectrum
    assert seen[900:930].sum() > 100  # gold, which film 3 does not hold
    assert lab.plant.number == 2


def test_a_spectrum_that_fails_ends_the_acquisition(lab, caplog):
    lab.ready()
    assert lab.station.start()
    future, *_ = lab.later.given.pop()
    future.set_exception(ValueError("no such thing"))
    lab.run(0.1)
    assert lab.plant.acquisition.state is State.STOPPED
    assert "no such thing" in caplog.text


# state and truth on disk ----------------------------------------------------------------------------------------------


def test_state_round_trip(lab):
    config = lab.plant.config
    lab.acquiring()
    write_json(config.state_file, state.snapshot(lab.plant))
    back = Lab(config).plant
    assert back.acquisition.state is State.STOPPED
    np.testing.assert_array_equal(back.acquisition.spectrum, lab.plant.acquisition.spectrum)
    assert back.acquisition.charge_uC == lab.plant.acquisition.charge_uC
    assert (back.number, back.preset_uC, back.time_s) == (1, 5.0, lab.plant.time_s)
    assert back.sample.number == 3
    assert back.truth == lab.plant.truth
    assert not back.energised
    assert back.gain == lab.plant.gain
    assert back.noise.normal() != Plant(config).noise.normal()


def test_a_sample_that_is_gone_is_not_on_the_stage(lab, tmp_path):
    lab.ready()
    write_json(lab.plant.config.state_file, state.snapshot(lab.plant))
    (tmp_path / "sputter-truth.json").write_text('{"films": {}}')
    assert Lab(lab.plant.config).plant.sample is None


def test_a_state_of_another_station_is_refused(make_rbs):
    config = make_rbs()
    write_json(config.state_file, state.snapshot(Plant(config)))
    with pytest.raises(StateError, match="another seed, set-up or physics"):
        Lab(make_rbs(seed=1))
    config.state_file.write_text("{}")
    with pytest.raises(StateError, match="move it away"):
        Lab(config)


def test_store_writes_state_and_truth(lab):
    config = lab.plant.config
    store = Store(lab.station)
    store.start()
    lab.acquiring()
    store.close()
    hidden = json.loads(config.truth_file.read_text())
    assert hidden["seed"] == 0
    assert set(hidden["stopping"]) == {"Cu", "Sn", "O", "Si"}
    assert hidden["acquisitions"]["1"]["layers"][0] == lab.plant.truth[1]["layers"][0]
    assert hidden["gain"] == lab.plant.gain
    assert json.loads(config.state_file.read_text())["acquisition"]["state"] == State.ACQUIRING


# configuration --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speed": 0.1}, "speed"),
        ({"schema": 2}, "schema"),
        ({"physics": {"no_such": 1}}, "physics.no_such"),
        ({"setup": {"ion": "Xe"}}, "setup.ion"),
        ({"setup": {"theta_deg": 30}}, "setup.theta_deg"),
        ({"setup": {"geometry": "Cornell"}}, "setup.geometry"),
        ({"setup": {"slope_keV": 0.25, "resolution_fwhm_keV": 30}}, "too fine"),
        ({"substrate": []}, "substrate"),
        ({"substrate": [{"Xx": 1.0}]}, "Xx"),
        ({"substrate": [{"Si": -1.0}]}, "substrate.0.Si"),
        ({"substrate": [{"Si": 0.0}]}, "no atoms"),
        ({"samples": {"1": {"layers": [{"H": 1.0, "D": 1.0}]}}}, "samples.1"),
        ({"samples": {"0": {"layers": [{"H": 1.0}]}}}, "samples.0"),
    ],
)
def test_a_bad_configuration_is_told_in_one_line(raw_rbs, tmp_path, change, told):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(raw_rbs(**change)))
    with pytest.raises(ConfigError, match=told) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
