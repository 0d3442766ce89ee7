"""The plans that a person and a queue server find: typed, described, light."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bluesky_queueserver.manager.profile_ops import _process_plan, validate_plan

from sdl_bluesky.errors import LabFileError, OutOfRange, UnknownName
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.machines import chamber_spec, rbs_settings, sputter_settings, station_spec
from sdl_bluesky.session.namespace import bound_plans, namespace


@pytest.fixture(scope="module")
def session() -> Any:
    """What the plans need of a session, with devices that are connected to nothing."""
    from ophyd.sim import make_fake_device

    from sdl_bluesky.devices import make_chamber, make_station

    lab = load_lab()
    return SimpleNamespace(
        chamber=make_chamber("X:", chamber_spec(lab), make=make_fake_device),
        settings=sputter_settings(lab),
        station=make_station("X:RBS:", station_spec(lab), make=make_fake_device),
        rbs_settings=rbs_settings(lab),
        RE=None,
        client=None,
        home=SimpleNamespace(approvals=Path("approvals")),
    )


def described(plan: Any) -> dict[str, Any]:
    found: dict[str, Any] = _process_plan(plan, existing_devices={}, existing_plans={})
    return found


def test_a_queue_server_sees_types_and_descriptions_of_every_parameter(session: Any) -> None:
    plans = bound_plans(session)
    assert set(plans) == {
        *("measure_rate", "measure_total", "cosputter", "measure_rbs", "run_campaign", "make_safe"),
        *("calibrate_light", "measure_reactive"),
    }
    for name, plan in plans.items():
        assert inspect.isgeneratorfunction(plan)
        found = described(plan)
        assert found["name"] == name
        assert found["description"]
        for parameter in found["parameters"]:
            assert parameter["annotation"]["type"], parameter
            assert parameter["description"], parameter


@pytest.mark.parametrize(
    ("name", "kwargs", "good"),
    [
        ("measure_rate", {"source": "cu", "power": 50, "pressure": 8.0}, True),
        ("measure_rate", {"source": "cu", "power": "much", "pressure": 8.0}, False),
        ("measure_rate", {"source": "cu", "power": 50}, False),
        ("measure_rate", {"source": "cu", "power": 50, "pressure": 8, "colour": "red"}, False),
        ("cosputter", {"powers": {"cu": 50.0}, "pressure": 8, "duration": 60, "sample": "a"}, True),
        ("cosputter", {"powers": ["cu"], "pressure": 8, "duration": 60, "sample": "a"}, False),
        ("cosputter", {"powers": {"cu": 50.0}, "pressure": 8, "duration": 60, "sample": "a", "based_on": {"cu": ["u"]}},
         True),
        ("measure_rbs", {"points": [[0, 0], [1.5, -2]], "sample": "a", "substrate": 1, "elements": ["Cu"]}, True),
        ("measure_rbs", {"points": [[0, 0]], "sample": "a", "substrate": 1, "elements": ["Cu"], "charge": 2.5,
                         "based_on": "u"}, True),
        ("measure_rbs", {"points": 3, "sample": "a", "substrate": 1, "elements": ["Cu"]}, False),
        ("measure_rbs", {"points": [[0, 0]], "sample": "a", "substrate": "one", "elements": ["Cu"]}, False),
        ("run_campaign", {"campaign": "file.yml"}, True),
        ("run_campaign", {"campaign": {"name": "x"}}, True),
        ("run_campaign", {"campaign": 3}, False),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_they_are_queued(
    session: Any, name: str, kwargs: dict[str, Any], good: bool
) -> None:
    allowed = {name: described(bound_plans(session)[name])}
    success, message = validate_plan({"name": name, "kwargs": kwargs}, allowed_plans=allowed, allowed_devices={})
    assert success is good, message


def test_faults_are_found_before_anything_is_asked_of_the_machine(session: Any) -> None:
    plans = bound_plans(session)
    with pytest.raises(UnknownName, match="unknown source 'xx': choose one of 'cu', 'sn', 'ni', 'al'"):
        next(plans["measure_rate"]("xx", 50.0, 8.0))
    with pytest.raises(OutOfRange, match="off the wafer"):
        next(plans["measure_rbs"]([[0.0, 99.0]], "a", 1, ["Cu"]))
    with pytest.raises(LabFileError):
        next(plans["run_campaign"]({"name": "no campaign"}))


def test_names_are_devices_and_what_is_done_with_them(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    names = namespace(session)
    assert names["cu"] is session.chamber.sources["cu"]
    assert {"qcm1", "gauge", "measure_rate", "RE", "catalogue", "session", "bps"} <= set(names)
    assert names["station"] is session.station
    assert names["rbs_stage"] is session.station.stage
    assert {"rbs_beam", "rbs_loader", "rbs_acquisition", "rbs_interlock", "measure_rbs"} <= set(names)
    assert not caplog.records

    hiding = SimpleNamespace(devices={"count": object()}, oxygen=None)
    with caplog.at_level(logging.WARNING):
        namespace(SimpleNamespace(**{**vars(session), "chamber": hiding}))  # type: ignore[arg-type]
    assert "device count is reached as chamber.devices['count'] only" in caplog.text


def test_a_lab_without_a_station_has_no_plan_for_it(session: Any) -> None:
    alone = SimpleNamespace(**{**vars(session), "station": None, "rbs_settings": None})
    names = namespace(alone)  # type: ignore[arg-type]
    assert not [name for name in names if name.startswith("rbs_") or name in ("station", "measure_rbs")]
    assert "measure_rate" in names


def test_a_lab_without_oxygen_has_no_plan_for_it(session: Any) -> None:
    from dataclasses import replace

    alone = SimpleNamespace(**{**vars(session), "chamber": replace(session.chamber, oxygen=None, spectrometer=None)})
    names = namespace(alone)  # type: ignore[arg-type]
    assert not {"calibrate_light", "measure_reactive", "oxygen", "spectrometer"} & set(names)
    assert {"calibrate_light", "measure_reactive", "oxygen", "spectrometer"} <= set(namespace(session))


def test_a_session_that_only_measures_does_without_torch() -> None:
    code = "import sys, sdl_bluesky.session.namespace, sdl_bluesky.session.open\n"
    code += "sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
