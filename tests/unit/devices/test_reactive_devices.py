"""Oxygen and spectrometer of a chamber: built when the description has them, safe when closed, honest when read."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from device_fakes import SPEC, follow
from ophyd.sim import make_fake_device

from sdl_bluesky.devices import ReactiveSpec, make_chamber
from sdl_bluesky.errors import AlarmError, LabFileError, OutOfRange, UnknownName

WAVELENGTH = np.arange(300.0, 830.0, 0.5)
REACTIVE = ReactiveSpec({"cu": 324.8, "sn": 452.5}, max_flow_sccm=10.0)


@pytest.fixture
def reactive():
    made = make_chamber("X:", replace(SPEC, reactive=REACTIVE), make=make_fake_device)
    follow(made.oxygen.flow)
    made.oxygen.flow.setpoint.sim_set_limits((0.0, 20.0))
    follow(made.spectrometer.exposure)
    made.spectrometer.wavelength.sim_put(WAVELENGTH)
    made.spectrometer.spectrum.sim_put(np.arange(WAVELENGTH.size))
    made.liveness.check = lambda **_: None
    yield made
    made.liveness.close()


def test_a_chamber_without_is_what_it_was(chamber):
    assert (chamber.oxygen, chamber.spectrometer) == (None, None)
    assert "oxygen" not in chamber.devices
    assert chamber.safe_owners == [chamber.substrate, *chamber.sources.values()]


def test_a_chamber_with_has_both_by_name_and_records_no_spectra_at_the_ends_of_runs(reactive):
    assert {"oxygen", "spectrometer"} <= set(reactive.devices)
    assert reactive.oxygen in reactive.baseline
    assert reactive.spectrometer not in reactive.baseline
    assert reactive.oxygen.flow in reactive.positioners
    assert reactive.oxygen.flow.prefix == "X:O2:FLOW"


def test_making_safe_closes_the_oxygen(reactive):
    reactive.oxygen.flow.setpoint.sim_put(3.0)
    sent = {result.step for result in reactive.safe()}
    assert "close oxygen_flow" in sent
    assert reactive.oxygen.flow.setpoint.get() == 0.0
    before = reactive.oxygen.interruptions
    reactive.oxygen.flow.setpoint.sim_put(3.0)
    reactive.oxygen.pause()
    assert (reactive.oxygen.flow.setpoint.get(), reactive.oxygen.interruptions) == (0.0, before + 1)


@pytest.mark.parametrize("flow", [-0.1, 10.1, float("nan"), "1", True])
def test_the_labs_own_limit_of_the_flow_holds(reactive, flow):
    with pytest.raises(OutOfRange, match=r"0 to 10 sccm|not a number"):
        reactive.oxygen.flow.check_value(flow)


def test_a_spectrum_is_read_and_described_with_its_length(reactive):
    spectrometer = reactive.spectrometer
    readings, keys = spectrometer.read(), spectrometer.describe()
    assert np.array_equal(readings["spectrometer_spectrum"]["value"], np.arange(WAVELENGTH.size))
    assert keys["spectrometer_spectrum"]["shape"] == [WAVELENGTH.size]
    assert keys["spectrometer_spectrum"]["dtype_numpy"] == "<f8"
    assert keys["spectrometer_spectrum"]["units"] == "counts"
    assert "spectrometer_wavelength" not in keys  # it is part of the configuration
    assert np.array_equal(spectrometer.wavelengths(), WAVELENGTH)


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        (np.full(WAVELENGTH.size, -1.0), "negative or no numbers"),
        (np.full(WAVELENGTH.size, np.nan), "negative or no numbers"),
        (np.zeros(10), "10 pixels"),
    ],
)
def test_what_is_no_spectrum_is_refused(reactive, counts, match):
    reactive.spectrometer.spectrum.sim_put(counts)
    with pytest.raises(AlarmError, match=match):
        reactive.spectrometer.read()


def test_wavelengths_that_do_not_rise_are_refused(reactive):
    reactive.spectrometer.wavelength.sim_put(WAVELENGTH[::-1])
    with pytest.raises(AlarmError, match="do not rise"):
        reactive.spectrometer.describe()


def test_a_description_that_cannot_be_is_refused():
    with pytest.raises(UnknownName, match="'al'"):
        replace(SPEC, reactive=ReactiveSpec({"al": 396.2}))
    with pytest.raises(OutOfRange, match="line of cu"):
        ReactiveSpec({"cu": float("nan")})
    with pytest.raises(OutOfRange, match="resolution_nm"):
        ReactiveSpec({}, resolution_nm=0.0)
    named = replace(SPEC.sources[0], name="oxygen")
    with pytest.raises(LabFileError, match="'oxygen'"):
        replace(SPEC, sources=(named,), reactive=ReactiveSpec({}))
    assert replace(SPEC, sources=(named,)).reactive is None


def test_plans_check_everything_before_anything_moves(reactive, chamber):
    from sdl_bluesky.plans.reactive import calibrate_light, measure_reactive
    from sdl_bluesky.plans.settings import SputterSettings

    settings = SputterSettings()
    for source in reactive.sources.values():
        source.power.setpoint.sim_set_limits((0.0, 100.0))
    reactive.gas.flow.setpoint.sim_set_limits((0.0, 200.0))

    def refused(error, match, plan):
        with pytest.raises(error, match=match):
            next(plan)

    refused(LabFileError, "no oxygen", measure_reactive(chamber, "cu", 50.0, 5.0, [1.0], settings))
    refused(LabFileError, "no oxygen", calibrate_light(chamber, "cu", [50.0], [5.0], settings))
    for flows, match in (([], "no oxygen flow"), ([-1.0], "above 0"), ([11.0], "0 to 10 sccm"), ([np.nan], "above 0")):
        refused(OutOfRange, match, measure_reactive(reactive, "cu", 50.0, 5.0, flows, settings))
    refused(UnknownName, "'xx'", measure_reactive(reactive, "xx", 50.0, 5.0, [1.0], settings))
    refused(OutOfRange, "cu_power", measure_reactive(reactive, "cu", 90.0, 5.0, [1.0], settings))
    refused(OutOfRange, "above 0 mTorr", measure_reactive(reactive, "cu", 50.0, -5.0, [1.0], settings))
    refused(OutOfRange, "no condition", calibrate_light(reactive, "cu", [], [5.0], settings))
    blind = SimpleNamespace(**{**vars(reactive), "spec": replace(reactive.spec, reactive=ReactiveSpec({"sn": 452.5}))})
    blind.source = reactive.source
    refused(UnknownName, "line of a source 'cu'", measure_reactive(blind, "cu", 50.0, 5.0, [1.0], settings))
