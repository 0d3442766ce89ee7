"""The reactor's part of the lab file: what is refused, what devices, plans and the simulated reactor get of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from bluesky_queueserver.manager.profile_ops import _process_plan, validate_plan

from ioc_sims.mocvd.settings import ReactorConfig
from sdl_bluesky.data.yamlfile import check
from sdl_bluesky.errors import LabFileError, OutOfRange, ServiceMissing, UnitError
from sdl_bluesky.session.home import Home, ServiceInfo
from sdl_bluesky.session.lab import LabFile, default_lab_path
from sdl_bluesky.session.machines import (
    chamber_spec,
    growth_settings,
    rbs_settings,
    reactor_spec,
    sputter_settings,
    station_spec,
)
from sdl_bluesky.session.namespace import bound_plans, namespace
from sdl_bluesky.session.twin import PROGRAMS, choose_ports, twin_config

ROOT = Path(__file__).parents[3]


def data(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(default_lab_path().read_text())
    found["mocvd"] |= changes
    return found


def lab(**changes: Any) -> LabFile:
    return check(data(**changes), LabFile, "lab.yml")


def test_what_the_shipped_file_shows_is_what_holds_without_being_said() -> None:
    shown, bare = lab(), check({**data(), "mocvd": {}}, LabFile, "x")
    assert shown.mocvd is not None
    assert bare.mocvd is not None
    left_out = {"limits"}
    assert shown.mocvd.model_dump(exclude=left_out) == bare.mocvd.model_dump(exclude=left_out)
    assert shown.sha256 == bare.sha256
    assert (ROOT / "startup" / "lab.yml").read_text() == default_lab_path().read_text()


def test_a_lab_without_a_reactor_is_what_it_always_was() -> None:
    found = data()
    del found["mocvd"]
    without = check(found, LabFile, "x")
    assert without.iocs == ("sputter", "rbs")
    assert reactor_spec(without) is None
    assert growth_settings(without) is None
    assert without.sha256 != lab().sha256
    with pytest.raises(LabFileError, match="has no 'mocvd'"):
        without.epics_of("mocvd")


def test_a_lab_file_that_is_written_is_read_back() -> None:
    first = lab()
    again = check(yaml.safe_load(first.model_dump_json(by_alias=True, exclude_none=True)), LabFile, "x")
    assert again.mocvd == first.mocvd
    assert again.sha256 == first.sha256


@pytest.mark.parametrize(
    ("path", "text", "unit"),
    [
        (("recipe", "temperature"), "650 C", "degC"),
        (("recipe", "indium"), "25", "sccm"),
        (("recipe", "pressure"), "100 mTorr", "mbar"),
        (("rate", "indium"), "0.02 nm/s", "nm/s/sccm"),
        (("limits", "rotation"), "0 to 900", "rpm"),
        (("pl", "systematic"), "1.5 A", "nm"),
        (("xrd", "step"), "0.003", "deg"),
    ],
)
def test_a_wrong_unit_is_named_with_its_place(path: tuple[str, str], text: str, unit: str) -> None:
    with pytest.raises(UnitError, match=rf"(?s)mocvd\.{path[0]}\.{path[1]}.* {unit}"):
        lab(**{path[0]: {path[1]: text}})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"flows": {"gallium": "1 to 20 sccm"}}, "gallium must begin at 0"),
        ({"limits": {"temperature": "100 to 700 degC"}}, "begin at 0"),
        ({"tolerances": {"flow": "0 %"}}, "flow: give a tolerance above 0"),
        ({"recipe": {"phosphine": "70 sccm"}}, "below least_v_iii, 3, times the indium"),
        ({"recipe": {"temperature": "720 degC"}}, "beyond limits.temperature"),
        ({"recipe": {"phosphine": "600 sccm"}}, "beyond flows.phosphine, up to 500"),
        ({"recipe": {"layer": "0 nm"}}, "layer is 0: give more than 0"),
        ({"recipe": {"soak": "-1 s"}}, "soak is -1: give 0 or more"),
        ({"rate": {"indium": "0 nm/s/sccm"}}, "indium must be above 0"),
        ({"rate": {"asked": "200 nm"}}, "give both `asked` and `measured`"),
        ({"cold": "450 degC"}, "cold < protect < recipe.temperature"),
        ({"strain": "both"}, "strain"),
        ({"pl": {"exposure": "0 s"}}, "exposure must be above 0"),
        ({"xrd": {"first": "63.5 deg"}}, "must cover the peak of InP"),
        ({"pv": "S1:"}, "used twice: by mocvd and by cu"),
        ({"pv": "RBS:"}, "used twice: by mocvd and by rbs"),
        ({"colour": "red"}, "not known here"),
    ],
)
def test_every_other_fault_is_named(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(LabFileError, match=match):
        lab(**changes)


@pytest.mark.parametrize("name", ["reactor", "mocvd_p"])
def test_sources_do_not_take_the_names_of_the_reactor(name: str) -> None:
    bad = data()
    bad["chamber"]["sources"][name] = {**bad["chamber"]["sources"]["cu"], "pv": "S9:"}
    with pytest.raises(LabFileError, match=f"MOCVD reactor's devices cannot be used: {name}"):
        check(bad, LabFile, "x")


def test_devices_and_plans_get_the_numbers_of_the_file() -> None:
    own = lab(
        flows={"gallium": "0 to 8 sccm"},
        tolerances={"flow": "0.5 %", "temperature": "2 degC"},
        recipe={"indium": "20 sccm", "temperature": "640 degC", "layer": "150 nm", "soak": "30 s"},
        rate={"indium": "0.02 nm/s/sccm", "asked": "200 nm", "measured": "210 nm"},
        strain="coherent",
        pl={"systematic": "2 nm", "points": 31},
        xrd={"step": "0.002 deg"},
    )
    spec, settings = reactor_spec(own), growth_settings(own)
    assert spec is not None
    assert settings is not None
    assert spec.flow_sccm["ga"] == (0.0, 8.0)
    assert (spec.flow_tolerance, spec.temperature_tolerance_degC, spec.map_points) == (0.005, 2.0, 31)
    assert (settings.recipe.f_in, settings.recipe.temperature, settings.recipe.layer) == (20.0, 640.0, 150.0)
    assert settings.recipe.buffer == 200.0
    assert settings.rates.indium == pytest.approx(0.021)
    assert settings.rates.gallium == pytest.approx(0.0231)
    assert (settings.soak_s, settings.strain, settings.pl_systematic_nm) == (30.0, "coherent", 2.0)
    assert settings.scan.points == 901


def test_the_reactor_has_an_address_of_its_own() -> None:
    own = lab(epics={"port": 5075})
    assert own.iocs == ("sputter", "rbs", "mocvd")
    assert own.prefix_of("mocvd") == "SDL:MOCVD:"
    assert own.epics_of("mocvd").port == 5075
    ports = [port for _, port in choose_ports(own).values()]
    assert len(set(ports)) == 3
    real = data()
    del real["twin"]
    real["epics"] = {"host": "10.0.0.5", "port": 5064}
    there = check(real, LabFile, "x").epics_of("mocvd")
    assert (there.host, there.port) == ("10.0.0.5", 5064)
    real["mocvd"]["epics"] = {"port": "auto"}
    with pytest.raises(LabFileError, match=r"mocvd\.epics\.port is 'auto', which needs a twin"):
        check(real, LabFile, "x")


def test_the_simulated_reactor_accepts_its_configuration(tmp_path: Path) -> None:
    own = lab(physics={"bad_run_fraction": 0.0}, gallium="TMGa")
    config = ReactorConfig.model_validate(twin_config(own, Home(tmp_path), "mocvd"))
    assert config.prefix == "SDL:MOCVD:"
    assert config.physics.bad_run_fraction == 0.0
    assert config.precursors["GA"] == "TMGa"
    assert config.truth_file == tmp_path / "truth-mocvd.json"
    assert set(PROGRAMS) == set(own.iocs)


def test_services_of_older_sessions_are_still_read() -> None:
    old = {
        "pid": 1,
        "started": 0.0,
        "lab": "x",
        "prefix": "S:",
        "ca_host": "h",
        "ca_port": 1,
        "tiled_uri": "u",
        "children": {},
    }
    assert ServiceInfo(**old).addresses == [("h", 1)]  # type: ignore[arg-type]
    both = ServiceInfo(**old, mocvd_host="m", mocvd_port=3)  # type: ignore[arg-type]
    assert both.addresses == [("h", 1), ("m", 3)]


@pytest.fixture(scope="module")
def session() -> Any:
    """What the plans need of a session, with devices that are connected to nothing."""
    from ophyd.sim import make_fake_device

    from sdl_bluesky.devices import make_chamber, make_reactor, make_station

    own = lab()
    return SimpleNamespace(
        chamber=make_chamber("X:", chamber_spec(own), make=make_fake_device),
        settings=sputter_settings(own),
        station=make_station("X:RBS:", station_spec(own), make=make_fake_device),
        rbs_settings=rbs_settings(own),
        reactor=make_reactor("X:MOCVD:", reactor_spec(own), make=make_fake_device),
        growth_settings=growth_settings(own),
        RE=None,
        client=None,
        home=SimpleNamespace(approvals=Path("approvals")),
    )


NEW = {"grow_layer", "grow_and_measure", "measure_pl", "measure_xrd"}


def test_the_shell_has_the_reactor_and_its_plans(session: Any, caplog: pytest.LogCaptureFixture) -> None:
    names = namespace(session)
    assert set(names) >= NEW
    assert names["reactor"] is session.reactor
    assert names["mocvd_susceptor"] is session.reactor.susceptor
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "kwargs", "good"),
    [
        ("grow_and_measure", {"f_ga": 5, "f_as": 9.0}, True),
        ("grow_and_measure", {"f_ga": 5, "f_as": 9.0, "changes": {"temperature": 640.0}}, True),
        ("grow_and_measure", {"f_ga": "much", "f_as": 9.0}, False),
        ("grow_and_measure", {"f_ga": 5.0}, False),
        ("measure_pl", {"wafer": 1, "x": 3.0}, True),
        ("measure_xrd", {"wafer": "one"}, False),
    ],
)
def test_a_queue_server_knows_types_and_descriptions(
    session: Any, name: str, kwargs: dict[str, Any], good: bool
) -> None:
    described: dict[str, Any] = _process_plan(bound_plans(session)[name], existing_devices={}, existing_plans={})
    assert described["description"]
    for parameter in described["parameters"]:
        assert parameter["annotation"]["type"], parameter
        assert parameter["description"], parameter
    success, message = validate_plan(
        {"name": name, "kwargs": kwargs}, allowed_plans={name: described}, allowed_devices={}
    )
    assert success is good, message


def test_faults_are_found_before_anything_is_asked_of_the_machine(session: Any) -> None:
    with pytest.raises(OutOfRange, match="outside 0 to 20 sccm"):
        next(bound_plans(session)["grow_and_measure"](21.0, 9.0))
    silent = SimpleNamespace(**{**vars(session), "reactor": None})
    plans = bound_plans(silent)  # type: ignore[arg-type]
    assert set(plans) >= NEW
    with pytest.raises(ServiceMissing, match="does not answer"):
        next(plans["grow_layer"](5.0, 9.0))


def test_a_lab_without_a_reactor_has_no_plan_for_it(session: Any) -> None:
    alone = SimpleNamespace(**{**vars(session), "reactor": None, "growth_settings": None})
    names = namespace(alone)  # type: ignore[arg-type]
    assert not [name for name in names if name.startswith("mocvd_") or name in ("reactor", *NEW)]
    assert {"measure_rate", "measure_rbs"} <= set(names)
