from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.data.yamlfile import check, read_yaml
from sdl_bluesky.errors import LabFileError, UnitError
from sdl_bluesky.physics.quantity import parse_quantity, parse_range, parse_vector
from sdl_bluesky.session.lab import LabFile, default_lab_path, load_lab
from sdl_bluesky.session.open import chamber_spec, sputter_settings

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


def test_devices_and_plans_get_the_numbers_of_the_file() -> None:
    lab = load_lab()
    spec = chamber_spec(lab)
    assert [s.name for s in spec.sources] == ["cu", "sn", "ni", "al"]
    assert spec.sources[1].position_cm == lab.chamber.sources["sn"].position_cm
    assert spec.max_flow_sccm == 150.0
    settings = sputter_settings(lab)
    assert settings.precision == pytest.approx(0.007)
    assert settings.pressure_tolerance == pytest.approx(0.02)
