from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ioc_sims.sputter.settings import ChamberConfig
from sdl_bluesky.data.yamlfile import check, read_yaml
from sdl_bluesky.errors import LabFileError, UnitError
from sdl_bluesky.physics.quantity import parse_quantity, parse_range, parse_vector
from sdl_bluesky.session.catalogue import tiled_settings
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import LabFile, default_lab_path, load_lab
from sdl_bluesky.session.machines import chamber_spec, rbs_settings, sputter_settings, station_spec
from sdl_bluesky.session.metadata import metadata_of
from sdl_bluesky.session.twin import twin_config

ROOT = Path(__file__).parents[3]


def data() -> dict:
    return yaml.safe_load(default_lab_path().read_text())


def test_the_users_copy_and_the_shipped_lab_file_both_load() -> None:
    assert load_lab(ROOT / "startup" / "lab.yml").chamber.sources.keys() == load_lab().chamber.sources.keys()


def test_places_follow_from_distance_tilt_and_azimuth() -> None:
    source = load_lab().chamber.sources["sn"]  # 14 cm, 30 degrees from the normal, along +y
    assert source.position_cm == pytest.approx((0.0, 7.0, 14.0 * math.sqrt(3) / 2), abs=1e-12)
    assert source.axis == pytest.approx((0.0, -0.5, -math.sqrt(3) / 2), abs=1e-12)
    assert load_lab().chamber.sensors["qcm1"].position_cm == pytest.approx(
        (5.5 * math.cos(math.radians(20)), 5.5 * math.sin(math.radians(20)), 0.0)
    )


def test_a_place_may_be_given_directly() -> None:
    lab = data()
    lab["chamber"]["sources"]["cu"] = {
        "element": "Cu", "pv": "S1:", "position": "0, 0, 10 cm", "aim": "0, 0, 0 cm", "max_power": "80 W"
    }  # fmt: skip
    assert check(lab, LabFile, "x").chamber.sources["cu"].axis == (0.0, 0.0, -1.0)


@pytest.mark.parametrize(
    ("key", "value", "unit"),
    [
        ("energy", "2 MeV", "keV"),
        ("energy", 2000, "keV"),
        ("theta", "2.88 rad", "deg"),
        ("solid_angle", "10 sr", "msr"),
    ],
)
def test_units_of_the_station_are_strict(key: str, value: object, unit: str) -> None:
    lab = data()
    lab["rbs"][key] = value
    with pytest.raises(UnitError, match=rf"rbs\.{key}.* {unit}"):
        check(lab, LabFile, "lab.yml")
    lab = data()
    lab["rbs"]["measurement"]["charge"] = "5 C"
    with pytest.raises(UnitError, match=r"rbs\.measurement\.charge.* uC"):
        check(lab, LabFile, "lab.yml")


@pytest.mark.parametrize("text", ["0.1 kW", "100 mTorr", "100", "100 w", 100, "W", None])
def test_a_wrong_unit_is_named_with_its_place(text: object) -> None:
    lab = data()
    lab["chamber"]["sources"]["cu"]["max_power"] = text
    with pytest.raises(UnitError, match=r"chamber\.sources\.cu\.max_power.* W"):
        check(lab, LabFile, "lab.yml")


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("chamber", "sources", "cu", "element"), "Xx", "symbol of an element"),
        (("chamber", "sources", "cu", "max_power"), "nan W", "not a finite number"),
        (("chamber", "sources", "cu", "max_power"), "-5 W", "above 0 W"),
        (("chamber", "sources", "cu", "pv"), "S2:", "used twice"),
        (("chamber", "gas", "flow"), "150 to 0 sccm", "smaller"),
        (("chamber", "gas", "flow"), "5 to 150 sccm", "begin at 0"),
        (("chamber", "gas", "flow"), "-5 to 150 sccm", "begin at 0"),
        (("chamber", "sources"), {}, "at least 1"),
        (("twin", "speed"), 0.5, "greater than or equal to 1"),
        (("twin",), None, "needs a twin"),
        (("prefx",), "A:", "not known here"),
        (("schema",), 2, "1"),
        (("chamber", "reactive", "flow"), "1 to 10 sccm", "begin at 0"),
        (("chamber", "reactive", "resolution"), "0 nm", "resolution must be above 0"),
        (("chamber", "reactive", "lines"), {"zn": "481.1 nm"}, "'zn', which is no source"),
        (("chamber", "reactive", "lines"), {"cu": "0 nm"}, "above 0 nm"),
        (("rbs", "ion"), "12C", "ion"),
        (("rbs", "theta"), "80 deg", "above 90 deg"),
        (("rbs", "tilt"), "61 deg", "within -60 and 60 deg"),
        (("rbs", "slope"), "-2 keV", "slope_keV"),
        (("rbs", "channels"), 5000, "4000"),
        (("rbs", "substrate"), [], "at least 1"),
        (("rbs", "substrate"), [{}], "at least 1"),
        (("rbs", "substrate"), [{"Xx": 5.0}], "Xx"),
        (("rbs", "substrate"), [{"Si": -5.0}], "no areal density"),
        (("rbs", "measurement", "charge"), "21 uC", "not above longest"),
        (("rbs", "measurement", "charge"), "0 uC", "above 0 uC"),
        (("rbs", "measurement", "precision"), "0 %", "above 0 %"),
        (("rbs", "pv"), "S1:", "used twice: by rbs and by cu"),
        (("rbs", "current"), "20 nA", "not known here"),
        (
            ("catalogue", "keys"),
            "mysql://db/keys",
            r"catalogue\.keys: 'mysql' is no kind .* postgresql://\.\.\. or sqlite",
        ),
        (("catalogue", "keys"), "keys.db", r"catalogue\.keys: this is no URI"),
        (("catalogue", "keys"), "postgresql://", r"catalogue\.keys.*write postgresql"),
        (("catalogue", "keys"), 5432, r"catalogue\.keys.*string"),
        (("catalogue", "tables"), "redis://db", r"catalogue\.tables: 'redis'"),
        (("catalogue", "streaming_cache"), "disk", r"catalogue\.streaming_cache.*redis"),
        (("tags",), "proposal-7", r"tags.*(list|tuple)"),
        (("tags",), ["proposal 7"], r"tags\.0.*pattern"),
        (("tags",), [7], r"tags\.0.*string"),
        (("approval",), {"rules": []}, "at least 1"),
        (("approval",), {"rules": [{"do": "maybe"}]}, "'free', 'ask' or 'forbid'"),
        (("approval",), {"rules": [{"do": "ask", "steps": ["learn"]}]}, "'learn' is no step"),
        (("approval",), {"rules": [{"do": "ask", "steps": ["learn:zz"]}]}, "no source 'zz'"),
        (("approval",), {"rules": [{"do": "ask", "over": {}}]}, "at least one quantity"),
        (("approval",), {"rules": [{"do": "ask"}], "wait": "0 s"}, "greater than 0"),
    ],
)
def test_every_other_fault_is_named(path: tuple[str, ...], value: object, match: str) -> None:
    lab = data()
    place = lab
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(LabFileError, match=match):
        check(lab, LabFile, "lab.yml")


def test_keys_have_a_database_of_their_own_and_a_fault_has_its_line(tmp_path: Path) -> None:
    lab = data()
    lab["catalogue"] = {"catalog": "postgresql+asyncpg://a:secret@db/tiled", "keys": "postgresql://b@db/tiled?ssl=on"}
    path = tmp_path / "lab.yml"
    path.write_text(yaml.safe_dump(lab))
    line = path.read_text().splitlines().index("  keys: postgresql://b@db/tiled?ssl=on") + 1
    with pytest.raises(LabFileError, match=rf"line {line}: catalogue\.keys: .*'catalog'.* name another") as fault:
        load_lab(path)
    assert "secret" not in str(fault.value)
    lab["catalogue"]["keys"] = "postgresql://b@db/keys"
    found = check(lab, LabFile, "x")
    assert tiled_settings(found, Home(tmp_path)).config()["database"] == {"uri": "postgresql://b@db/keys"}
    assert found.sha256 != load_lab().sha256


def test_tags_of_the_lab_are_in_every_start_document_and_a_lab_without_has_none() -> None:
    assert "tags" not in metadata_of(load_lab())
    lab = check(data() | {"tags": ["proposal-7", "beamtime/2026"]}, LabFile, "x")
    assert metadata_of(lab)["tags"] == ["proposal-7", "beamtime/2026"]
    assert lab.sha256 != load_lab().sha256


def test_all_faults_are_listed_at_once() -> None:
    lab = data()
    lab["chamber"]["sources"]["cu"]["max_power"] = "1 kW"
    lab["chamber"]["sources"]["sn"]["element"] = "Zz"
    with pytest.raises(UnitError, match=r"(?s)2 fault.*cu\.max_power.*sn\.element"):
        check(lab, LabFile, "lab.yml")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n"])
def test_what_is_no_lab_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(text)
    with pytest.raises(LabFileError, match=r"lab\.yml"):
        read_yaml(path, LabFile)
    with pytest.raises(LabFileError, match="cannot read"):
        read_yaml(tmp_path / "missing.yml", LabFile)


@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_a_written_quantity_is_read_back(value: float) -> None:
    assert parse_quantity(f"{value!r} W", "W") == value


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_written_range_is_read_back(low: float, width: float) -> None:
    assert parse_range(f"{low!r} to {low + width!r} mTorr", "mTorr") == (low, low + width)


def test_a_vector_has_three_numbers() -> None:
    assert parse_vector("1, -2.5, 3e1 cm", "cm") == (1.0, -2.5, 30.0)
    with pytest.raises(UnitError):
        parse_vector("1, 2 cm", "cm")


def test_the_hash_is_of_the_content_and_not_of_the_text() -> None:
    again = check(yaml.safe_load(yaml.safe_dump(data(), sort_keys=False)), LabFile, "x")
    assert again.sha256 == load_lab().sha256
    other = data()
    other["chamber"]["sources"]["cu"]["max_power"] = "99 W"
    assert check(other, LabFile, "x").sha256 != again.sha256


def test_settings_of_the_plant_reach_the_simulated_chamber(tmp_path: Path) -> None:
    physics = {"mode_jump": 0.1, "extinction_shape": "knee", "sticking": {"sn": 0.7}}
    lab = data()
    lab["twin"]["physics"] = physics
    config = ChamberConfig.model_validate(twin_config(check(lab, LabFile, "x"), Home(tmp_path)))
    assert config.physics.model_dump(include=set(physics)) == physics


def test_devices_and_plans_get_the_numbers_of_the_file() -> None:
    lab = load_lab()
    spec = chamber_spec(lab)
    assert [s.name for s in spec.sources] == ["cu", "sn", "ni", "al"]
    assert spec.sources[1].position_cm == lab.chamber.sources["sn"].position_cm
    assert spec.max_flow_sccm == 150.0
    assert spec.has_target_numbers
    assert not chamber_spec(check(without_station(), LabFile, "x")).has_target_numbers
    settings = sputter_settings(lab)
    assert settings.precision == pytest.approx(0.007)
    assert settings.pressure_tolerance == pytest.approx(0.02)


def without_station() -> dict:
    lab = data()
    del lab["rbs"], lab["mocvd"]
    for later in ("reactive", "target_numbers"):
        lab["chamber"].pop(later, None)
    return lab


def test_a_lab_without_a_station_is_what_it_always_was() -> None:
    lab = check(without_station(), LabFile, "x")
    assert lab.rbs is None
    assert lab.iocs == ("sputter",)
    assert station_spec(lab) is None
    assert rbs_settings(lab) is None
    # the hash of the lab file that was shipped before there was a station or oxygen: recorded runs still belong to it
    assert lab.sha256 == "5bdcbf3b3a1f2f40c4eb2ad9b6264c502f8b90e7054f63f36341199e11c25020"
    assert lab.sha256 != load_lab().sha256
    with pytest.raises(LabFileError, match="has no 'rbs'"):
        lab.epics_of("rbs")


def test_the_station_is_measured_as_the_file_says() -> None:
    lab = data()
    lab["rbs"] |= {"theta": "170 deg", "resolution": "12 keV", "tilt": "5 deg", "energy": "1800 keV", "channels": 512,
                   "slope": "4 keV", "offset": "-3 keV", "solid_angle": "5 msr", "ion": "3He", "substrate": [{"Si": 1e4}],
                   "measurement": {"charge": "1 uC", "longest": "2 uC", "precision": "2 %"}}  # fmt: skip
    lab["chamber"]["map"] = {"x": "-10 to 20 mm", "y": "-5 to 5 mm"}
    settings, spec = rbs_settings(check(lab, LabFile, "x")), station_spec(check(lab, LabFile, "x"))
    assert settings is not None
    assert spec is not None
    assert (settings.ion, settings.energy_keV, settings.theta_deg, settings.tilt_deg) == ("3He", 1800.0, 170.0, 5.0)
    assert (settings.slope_keV, settings.offset_keV, settings.resolution_fwhm_keV) == (4.0, -3.0, 12.0)
    assert (settings.solid_angle_msr, settings.channels, settings.substrate) == (5.0, 512, ({"Si": 1e4},))
    assert (settings.charge_uC, settings.longest_uC, settings.precision) == (1.0, 2.0, pytest.approx(0.02))
    assert (spec.channels, spec.wafer_x_mm, spec.wafer_y_mm) == (512, (-10.0, 20.0), (-5.0, 5.0))


def test_each_ioc_has_its_address() -> None:
    lab = load_lab()
    assert lab.iocs == ("sputter", "rbs", "mocvd")
    assert (lab.prefix_of("sputter"), lab.prefix_of("rbs")) == ("SDL:", "SDL:RBS:")
    assert lab.epics_of("rbs").port == "auto"
    fixed = data()
    fixed["epics"]["port"] = 5064
    assert check(fixed, LabFile, "x").epics_of("rbs").port == "auto", "two simulated IOCs cannot share a port"
    fixed["rbs"]["epics"] = {"host": "10.0.0.7", "port": 5070}
    assert check(fixed, LabFile, "x").epics_of("rbs").host == "10.0.0.7"
    real = data()
    del real["twin"]
    real["epics"] = {"host": "10.0.0.5", "port": 5064}
    there = check(real, LabFile, "x").epics_of("rbs")
    assert (there.host, there.port) == ("10.0.0.5", 5064), "a real one answers where the chamber's does, unless said"
    real["rbs"]["epics"] = {"port": "auto"}
    with pytest.raises(LabFileError, match=r"rbs\.epics\.port is 'auto', which needs a twin"):
        check(real, LabFile, "x")


@pytest.mark.parametrize("name", ["station", "rbs_beam"])
def test_sources_do_not_take_the_names_of_the_station(name: str) -> None:
    lab = without_station()
    lab["chamber"]["sources"][name] = {**lab["chamber"]["sources"]["cu"], "pv": "S9:"}
    check(lab, LabFile, "x")
    lab["rbs"] = data()["rbs"]
    with pytest.raises(LabFileError, match=f"cannot be used: {name}"):
        check(lab, LabFile, "x")


def test_a_lab_with_oxygen_says_so_to_devices_plans_and_analyses() -> None:
    lab = load_lab()
    spec, settings = chamber_spec(lab).reactive, sputter_settings(lab)
    assert spec is not None
    assert (spec.gas, spec.spectrometer, spec.max_flow_sccm, spec.reference_nm) == ("O2:", "OES:", 10.0, 811.5)
    assert spec.lines_nm == {"cu": 324.8, "sn": 452.5, "ni": 352.5, "al": 396.2}
    assert (settings.reactive_wait_s, settings.reactive_measure_s) == (60.0, 90.0)
    assert lab.geometry()["lines_nm"]["reference"] == 811.5
    own = data()
    own["chamber"]["reactive"]["lines"] = {"cu": "510.6 nm"}
    own["chamber"]["sources"]["sn"]["element"] = "Os"  # no line of it is known
    named = chamber_spec(check(own, LabFile, "x")).reactive
    assert named is not None
    assert named.lines_nm == {"cu": 510.6, "ni": 352.5, "al": 396.2}


def test_a_lab_without_oxygen_has_none_anywhere() -> None:
    lab = data()
    del lab["chamber"]["reactive"]
    found = check(lab, LabFile, "x")
    assert chamber_spec(found).reactive is None
    assert "lines_nm" not in found.geometry()
    lab["chamber"]["sources"]["oxygen"] = lab["chamber"]["sources"].pop("cu")
    assert "oxygen" in check(lab, LabFile, "x").chamber.sources
    lab["chamber"]["reactive"] = {"flow": "0 to 10 sccm"}
    with pytest.raises(LabFileError, match="'oxygen' is reserved"):
        check(lab, LabFile, "x")
